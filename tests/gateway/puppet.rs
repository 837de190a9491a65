//! An upstream on a string: a bare socket that says what the test says, when the test says it. For what the simulator cannot be made
//! to do on cue.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tollgate::bedrock::Service;

use crate::harness::within;

pub struct Puppet {
    listener: TcpListener,
}

impl Puppet {
    pub async fn start() -> Puppet {
        Puppet { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// What `[upstream]` needs so that every service is this.
    pub fn upstream(&self) -> String {
        let endpoints = Service::ALL.map(|service| format!("{service} = \"http://{}\"", self.address()));
        format!("endpoints = {{ {} }}\n", endpoints.join(", "))
    }

    /// The next connection, with nothing read from it.
    pub async fn accept(&self) -> Strings {
        Strings(within(self.listener.accept()).await.unwrap().0)
    }

    /// The next connection, after a request without a body of interest was read from it.
    pub async fn request(&self) -> Strings {
        let mut strings = self.accept().await;
        strings.read_request().await;
        strings
    }
}

/// One connection.
pub struct Strings(pub TcpStream);

impl Strings {
    /// Reads a head and the body that its Content-Length announces.
    pub async fn read_request(&mut self) -> String {
        self.read().await.0
    }

    /// The body of the next request.
    pub async fn read_body(&mut self) -> String {
        self.read().await.1
    }

    async fn read(&mut self) -> (String, String) {
        let mut read = Vec::new();
        let head = loop {
            if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            read.push(within(self.0.read_u8()).await.unwrap());
        };
        let text = String::from_utf8_lossy(&read).to_lowercase();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
        let mut body = vec![0; length];
        within(self.0.read_exact(&mut body)).await.unwrap();
        assert_eq!(read.len(), head);
        (String::from_utf8_lossy(&read).into_owned(), String::from_utf8_lossy(&body).into_owned())
    }

    pub async fn say(&mut self, text: impl AsRef<[u8]>) {
        within(self.0.write_all(text.as_ref())).await.unwrap();
    }

    pub async fn say_head(&mut self) {
        self.say("HTTP/1.1 200 OK\r\ncontent-type: application/vnd.amazon.eventstream\r\ntransfer-encoding: chunked\r\n\r\n")
            .await;
    }

    pub async fn say_chunk(&mut self, text: &str) {
        self.say(format!("{:x}\r\n{text}\r\n", text.len())).await;
    }
}
