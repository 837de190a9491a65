//! The gateway as systemd sees it: a main process that says itself which one it is, and others that end.

use std::{os::unix::net::UnixDatagram, path::Path, process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, set_child_subreaper, waitpid};
use tokio::time::{sleep, timeout};

use crate::harness::{BINARY, DEADLINE, World};

/// All processes of one service. Those that live are killed when it is dropped.
pub struct Service {
    told: UnixDatagram,
    _directory: tempfile::TempDir,
    /// In the order in which they were the main one.
    mains: Vec<Pid>,
    gone: Vec<Pid>,
    generation: u64,
}

impl Service {
    pub async fn start(world: &World) -> Service {
        Service::start_as(world, Path::new(BINARY)).await
    }

    /// `program`: what an upgrade starts, too.
    #[allow(clippy::zombie_processes, reason = "waited for by their ids, all of them")]
    pub async fn start_as(world: &World, program: &Path) -> Service {
        // Processes whose parent has ended are this one's to reap.
        set_child_subreaper(Some(getpid())).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let told = UnixDatagram::bind(&path).unwrap();
        told.set_nonblocking(true).unwrap();
        let mut command = world.command(program);
        let child = command.env("NOTIFY_SOCKET", &path).stdin(Stdio::null()).spawn().unwrap();
        let first = Pid::from_child(&child);
        let mut service = Service { told, _directory: directory, mains: Vec::new(), gone: Vec::new(), generation: 1 };
        service.until("READY=1").await;
        service.mains = vec![first];
        world.until_ready().await;
        service
    }

    /// The process that serves.
    pub fn main(&self) -> Pid {
        *self.mains.last().unwrap()
    }

    pub fn signal_upgrade(&self) {
        kill_process(self.main(), Signal::USR2).unwrap();
    }

    /// Returns when another process is the main one.
    pub async fn upgrade(&mut self) {
        self.signal_upgrade();
        let told = self.until("MAINPID=").await;
        let pid = told.lines().find_map(|line| line.strip_prefix("MAINPID=")).unwrap();
        let pid = Pid::from_raw(pid.parse().unwrap()).unwrap();
        assert_ne!(pid, self.main());
        self.until("STATUS=serving").await;
        self.mains.push(pid);
        self.generation = 1;
    }

    pub fn signal_reload(&self) {
        kill_process(self.main(), Signal::HUP).unwrap();
    }

    /// Returns when the file was read again.
    pub async fn reload(&mut self) {
        self.signal_reload();
        self.generation += 1;
        self.until(&format!("STATUS=serving configuration {}", self.generation)).await;
    }

    /// `kill -9`.
    pub fn kill(&mut self, pid: Pid) {
        kill_process(pid, Signal::KILL).unwrap();
        let _ = waitpid(Some(pid), WaitOptions::empty());
        self.gone.push(pid);
    }

    /// As systemd stops it.
    pub fn terminate(&self) {
        kill_process(self.main(), Signal::TERM).unwrap();
    }

    /// Ends the main process, and waits for every other one: all have to end by themselves, and in order.
    pub async fn stop(&mut self) {
        self.terminate();
        self.ends().await;
    }

    /// Waits for every process: all have to end by themselves, and in order.
    pub async fn ends(&mut self) {
        for pid in self.mains.clone() {
            if self.gone.contains(&pid) {
                continue;
            }
            let ended = timeout(DEADLINE, async {
                loop {
                    match waitpid(Some(pid), WaitOptions::NOHANG) {
                        Ok(Some((_, status))) => return status.exit_status(),
                        // The process that started it was there to reap it.
                        Err(_) => return Some(0),
                        Ok(None) => sleep(Duration::from_millis(10)).await,
                    }
                }
            });
            assert_eq!(ended.await.expect("a process does not end"), Some(0));
            self.gone.push(pid);
        }
    }

    /// Ends it once nothing is open any more; there were so many processes.
    pub async fn assert_ends_after(&mut self, processes: usize, world: &World) {
        for name in ["tollgate_predecessors", "tollgate_quota_reserved_ratio", "tollgate_ledger_waiting_rows"] {
            world.until_metric(name, 0.0).await;
        }
        self.stop().await;
        assert_eq!(self.mains.len(), processes);
    }

    /// Waits for a message to the service manager that contains this.
    async fn until(&self, what: &str) -> String {
        let mut message = [0; 4096];
        let heard = timeout(DEADLINE, async {
            loop {
                match self.told.recv(&mut message) {
                    Ok(length) => {
                        let text = String::from_utf8_lossy(&message[..length]).into_owned();
                        assert!(!text.contains("STOPPING"), "the service goes on");
                        if text.contains(what) {
                            return text;
                        }
                    }
                    Err(_) => sleep(Duration::from_millis(5)).await,
                }
            }
        });
        heard.await.unwrap_or_else(|_| panic!("in vain waited for {what}"))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        for pid in self.mains.iter().filter(|pid| !self.gone.contains(pid)) {
            let _ = kill_process(*pid, Signal::KILL);
            let _ = waitpid(Some(*pid), WaitOptions::empty());
        }
    }
}
