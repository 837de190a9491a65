//! Which protocol a plaintext connection speaks: HTTP/2 begins with a preface that no HTTP/1 request has. Asked here and not by
//! Pingora, whose own look has no deadline and waits for 24 bytes.

use std::time::Duration;

use tokio::{net::TcpStream, time::sleep};

const H2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Whether the connection begins with HTTP/2's preface; `None` if it ends before that is clear.
pub(super) async fn speaks_h2(socket: &TcpStream) -> Option<bool> {
    let mut seen = [0; H2_PREFACE.len()];
    let mut pause = Duration::from_millis(1);
    loop {
        let length = socket.peek(&mut seen).await.ok().filter(|&length| length > 0)?;
        if seen[..length] != H2_PREFACE[..length] {
            return Some(false);
        }
        if length == seen.len() {
            return Some(true);
        }
        // What was peeked stays readable, so waiting for more to be readable would return at once.
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}
