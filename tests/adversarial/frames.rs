//! HTTP/2 by hand: frames as no library would send them.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpSocket, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::timeout,
};

use crate::{
    raw::{Raw, SOON},
    world::World,
};

pub const DATA: u8 = 0x0;
pub const HEADERS: u8 = 0x1;
pub const PRIORITY: u8 = 0x2;
pub const RST_STREAM: u8 = 0x3;
pub const SETTINGS: u8 = 0x4;
pub const PING: u8 = 0x6;
pub const GOAWAY: u8 = 0x7;
pub const WINDOW_UPDATE: u8 = 0x8;
pub const CONTINUATION: u8 = 0x9;

pub const END_STREAM: u8 = 0x1;
/// Of PING and SETTINGS.
pub const ACK: u8 = 0x1;
pub const END_HEADERS: u8 = 0x4;

/// A frame that came.
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// A plaintext connection that has sent its preface and empty SETTINGS.
pub struct Http2 {
    reading: OwnedReadHalf,
    writing: OwnedWriteHalf,
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// HPACK, literal and not indexed (RFC 7541 §6.2.2).
pub fn field(name: &str, value: &str) -> Vec<u8> {
    [&[0], &*string(name), &*string(value)].concat()
}

/// Its length in seven bits, or in those and as many as it takes (§5.1, §5.2).
fn string(text: &str) -> Vec<u8> {
    let mut string = vec![text.len().min(127) as u8];
    if let Some(mut rest) = text.len().checked_sub(127) {
        while rest >= 128 {
            string.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        string.push(rest as u8);
    }
    string.extend(text.as_bytes());
    string
}

/// The fields of a POST without a body and without a token.
pub fn fields(path: &str) -> Vec<u8> {
    [field(":method", "POST"), field(":scheme", "http"), field(":path", path), field(":authority", "localhost")].concat()
}

/// A whole request.
pub fn request(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &fields(path))
}

/// The head of a request that is served once its body of two bytes is there.
pub fn good(stream: u32, world: &World, path: &str) -> Vec<u8> {
    let token = field("authorization", &format!("Bearer {}", world.token()));
    frame(HEADERS, END_HEADERS, stream, &[fields(path), token, field("content-length", "2")].concat())
}

/// And its body.
pub fn body(stream: u32) -> Vec<u8> {
    frame(DATA, END_STREAM, stream, b"{}")
}

impl Http2 {
    pub async fn connect(world: &World) -> Http2 {
        let mut connection = Http2::over(Raw::connect(world).await.into_inner());
        connection.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        connection.send(&frame(SETTINGS, 0, 0, &[])).await;
        connection
    }

    /// Takes this much of any answer without being asked, but reads it by the kilobyte.
    pub async fn taking(window: u32, world: &World) -> Http2 {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4 << 10).unwrap();
        let mut connection = Http2::over(socket.connect(world.gateway.traffic[0]).await.unwrap());
        connection.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        let setting = [&[0, 4][..], &window.to_be_bytes()].concat();
        connection.send(&frame(SETTINGS, 0, 0, &setting)).await;
        connection.send(&frame(WINDOW_UPDATE, 0, 0, &window.to_be_bytes())).await;
        connection
    }

    fn over(socket: TcpStream) -> Http2 {
        let (reading, writing) = socket.into_split();
        Http2 { reading, writing }
    }

    /// Whether the connection still takes bytes.
    pub async fn send(&mut self, bytes: &[u8]) -> bool {
        self.writing.write_all(bytes).await.is_ok()
    }

    pub async fn next(&mut self) -> Option<Frame> {
        let mut header = [0; 9];
        self.reading.read_exact(&mut header).await.ok()?;
        let [a, b, c, kind, flags, stream @ ..] = header;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.reading.read_exact(&mut payload).await.ok()?;
        Some(Frame { kind, flags, stream: u32::from_be_bytes(stream), payload })
    }

    /// Every frame until the gateway closes; `None` if it does not.
    pub async fn rest(&mut self) -> Option<Vec<Frame>> {
        let mut frames = Vec::new();
        let all = async {
            while let Some(frame) = self.next().await {
                frames.push(frame);
            }
        };
        timeout(SOON, all).await.ok()?;
        Some(frames)
    }

    /// Sends pieces as fast as they are taken, reading what comes, until the gateway closes; how many pieces it took. `None` if it goes
    /// on for too long.
    pub async fn flood(mut self, mut piece: impl FnMut(u32) -> Vec<u8>) -> Option<u32> {
        let flooding = async {
            let mut count = 0;
            // Several at once, or the test floods itself with system calls.
            while self.writing.write_all(&(0..16).flat_map(|more| piece(count + more)).collect::<Vec<_>>()).await.is_ok() {
                count += 16;
            }
            count
        };
        let mut nowhere = tokio::io::sink();
        let listening = tokio::io::copy(&mut self.reading, &mut nowhere);
        timeout(SOON, async { tokio::join!(flooding, listening).0 }).await.ok()
    }
}
