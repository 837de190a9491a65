//! `tollgate run` as operators run it, and somebody who reads what it writes, or does not.

use std::{
    io::{Read, Write},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{
    client::Client,
    harness::{INVOKE, World, until},
};

/// Killed at the end.
pub struct Process {
    child: Mutex<Child>,
    output: Arc<Mutex<Vec<u8>>>,
    /// Whoever has it may read.
    turn: Arc<Mutex<()>>,
    hung_up: Arc<AtomicBool>,
}

/// While this is there, nobody reads.
pub struct Unread<'a> {
    _turn: MutexGuard<'a, ()>,
}

impl Process {
    pub fn run(world: &World) -> Process {
        Process::with(&world.config_file(), &[])
    }

    /// With another configuration, and these variables besides.
    pub fn with(config: &Path, variables: &[(&str, &str)]) -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
        command.arg("run").arg("-c").arg(config).envs(variables.iter().copied());
        Process::of(command)
    }

    /// What this runs.
    pub fn of(mut command: Command) -> Process {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let streams: [Box<dyn Read + Send>; 2] = [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        let process = Process { child: Mutex::new(child), output: Arc::default(), turn: Arc::default(), hung_up: Arc::default() };
        for mut stream in streams {
            let (output, turn, hung_up) = (process.output.clone(), process.turn.clone(), process.hung_up.clone());
            std::thread::spawn(move || {
                let mut piece = [0; 4096];
                while let Ok(length @ 1..) = stream.read(&mut piece) {
                    output.lock().unwrap().write_all(&piece[..length]).unwrap();
                    if hung_up.load(Ordering::Relaxed) {
                        return;
                    }
                    drop(turn.lock());
                }
            });
        }
        process
    }

    /// What it has written, as far as that was read.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.output.lock().unwrap()).into_owned()
    }

    /// Keeps everybody from reading what it writes, but for some kilobytes.
    pub fn unread(&self) -> Unread<'_> {
        Unread { _turn: self.turn.lock().unwrap() }
    }

    /// With the next line, whoever reads is gone.
    pub fn hang_up(&self) {
        self.hung_up.store(true, Ordering::Relaxed);
    }

    pub fn signal(&self, name: &str) {
        let id = self.child.lock().unwrap().id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
    }

    /// Waits for its end.
    pub async fn ended(&self) -> ExitStatus {
        until("the process ends", || self.child.lock().unwrap().try_wait().unwrap().is_some()).await;
        self.child.lock().unwrap().wait().unwrap()
    }

    /// The address that the line "serving" names for `what`.
    pub async fn address(&self, what: &str) -> SocketAddr {
        let find = || {
            let text = self.text();
            let line = text.lines().find(|line| line.contains("\"serving\"") && line.ends_with('}'))?;
            let named = line.split(&format!("\"{what}\":\"")).nth(1)?.trim_start_matches('[');
            named.split([',', ']', '"']).next()?.parse().ok()
        };
        until("the process serves", || find().is_some()).await;
        find().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap();
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// The process may serve before it has credentials.
pub async fn within_ready(client: &mut Client) {
    while client.post(INVOKE, "{}").await.status == 503 {}
}
