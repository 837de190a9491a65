//! Where pages are made: not on the threads that serve traffic, and one after another.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
    mpsc,
};

use tokio::{
    io::{AsyncWriteExt, duplex},
    sync::mpsc as told,
    time::{Duration, timeout},
};

use super::*;

/// A page that takes as long as it is told to.
struct Slow {
    began: told::UnboundedSender<()>,
    end: std::sync::Mutex<mpsc::Receiver<()>>,
    running: Arc<AtomicBool>,
}

impl Vitals for Slow {
    fn metrics(&self) -> Result<Vec<u8>, prometheus::Error> {
        Ok(Vec::new())
    }

    fn unready(&self) -> Vec<&'static str> {
        Vec::new()
    }

    fn usage(&self) -> serde_json::Result<Vec<u8>> {
        assert!(!self.running.swap(true, Ordering::AcqRel), "two pages are made at once");
        self.began.send(()).unwrap();
        self.end.lock().unwrap().recv().unwrap();
        self.running.store(false, Ordering::Release);
        Ok(b"{}".to_vec())
    }

    fn usage_of(&self, _: &str) -> Option<serde_json::Result<Vec<u8>>> {
        None
    }

    fn figures(&self) -> Figures {
        unreachable!("nobody asks for the console")
    }
}

/// The status of the answer.
async fn get(admin: Arc<Admin>, path: &str) -> u16 {
    let (mut client, server) = duplex(1_024);
    client.write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).await.unwrap();
    let mut session = ServerSession::new_http1(Box::new(server));
    assert!(session.read_request().await.unwrap());
    admin.response(&mut session).await.status().as_u16()
}

#[tokio::test]
async fn a_page_keeps_nobody_waiting_but_who_wants_the_next() {
    let ((began, mut begun), (let_end, end)) = (told::unbounded_channel(), mpsc::channel());
    let admin = Arc::new(Admin::new(Slow { began, end: end.into(), running: Arc::default() }));
    let hurried = tokio::spawn(get(admin.clone(), "/usage"));
    begun.recv().await.unwrap();
    // The only thread of this runtime is free.
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(timeout(Duration::from_secs(60), get(admin.clone(), path)).await, Ok(200), "{path}");
    }

    hurried.abort();
    assert!(hurried.await.unwrap_err().is_cancelled());
    let patient = tokio::spawn(get(admin.clone(), "/usage"));
    assert_eq!(get(admin.clone(), "/healthz").await, 200);
    assert!(begun.try_recv().is_err(), "whoever left has left work behind, which is in its turn");
    let_end.send(()).unwrap();
    let_end.send(()).unwrap();
    assert_eq!(patient.await.unwrap(), 200);
    assert!(begun.try_recv().is_ok());
}
