//! A client that sends any bytes.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::world::World;

/// Longer than any deadline that a test waits for, shorter than those it does not.
pub const SOON: Duration = Duration::from_secs(20);

/// A plaintext connection to the gateway.
pub struct Raw(TcpStream);

impl Raw {
    pub async fn connect(world: &World) -> Raw {
        Raw::to(world.gateway.traffic[0]).await
    }

    /// A connection to another address than the gateway's.
    pub async fn to(address: SocketAddr) -> Raw {
        Raw(TcpStream::connect(address).await.unwrap())
    }

    /// Sends; a connection that is closed already is for the reader to notice.
    pub async fn send(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes).await;
    }

    /// The next head of a response.
    pub async fn head(&mut self) -> String {
        let mut head = Vec::new();
        timeout(SOON, async {
            while !head.ends_with(b"\r\n\r\n") {
                match self.0.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => break,
                }
            }
        })
        .await
        .unwrap();
        String::from_utf8(head).unwrap()
    }

    /// The next response, with a body whose length it says.
    pub async fn answer(&mut self) -> String {
        let head = self.head().await;
        let length = head.to_lowercase().lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        timeout(SOON, self.0.read_exact(&mut body)).await.unwrap().unwrap();
        head + &String::from_utf8(body).unwrap()
    }

    /// The socket itself.
    pub fn into_inner(self) -> TcpStream {
        self.0
    }

    /// Everything until the gateway closes; `None` if it does not.
    pub async fn rest(&mut self) -> Option<String> {
        let mut all = Vec::new();
        // A reset ends a connection as well as a close.
        timeout(SOON, self.0.read_to_end(&mut all)).await.ok().map(|_| String::from_utf8_lossy(&all).into_owned())
    }
}
