//! The socket between a process and its successor. It keeps messages apart, so that the one who reads can leave to another between two
//! of them; a socket can come with a message.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{io::Interest, net::UnixDatagram};

/// What has to be said is a tenth of this at most, by a refusal with what is left of 32 quotas. A role's session with all the tags that STS
/// takes may come near it, and one that is longer stays behind.
const MESSAGE_BYTES_MAX: usize = 128 * 1024;

/// One end. A socket of another type than the name says: it is borrowed for its place among tokio's, since `AsyncFd` is unsafe to make.
pub(in crate::server) struct Link(UnixDatagram);

impl Link {
    /// Both ends, one of them for another process.
    pub fn pair() -> io::Result<(Link, OwnedFd)> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (here, there) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        Ok((Link::of(here)?, there))
    }

    /// An end that came from another process.
    pub fn of(fd: OwnedFd) -> io::Result<Link> {
        Ok(Link(UnixDatagram::from_std(fd.into())?))
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    #[cfg(test)]
    fn into_fd(self) -> OwnedFd {
        self.0.into_std().unwrap().into()
    }

    pub async fn send(&self, message: &impl Serialize) -> io::Result<()> {
        self.send_with(message, None).await
    }

    /// Sends a message, and a socket with it.
    pub async fn send_with(&self, message: &impl Serialize, socket: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let bytes = serde_json::to_vec(message)?;
        if bytes.len() > MESSAGE_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a message is too long"));
        }
        self.0.async_io(Interest::WRITABLE, || send(&self.0, &bytes, socket)).await
    }

    /// The next message, and the socket that came with it; nothing if the other side has closed.
    pub async fn receive<T: DeserializeOwned>(&self) -> io::Result<Option<(T, Option<OwnedFd>)>> {
        let mut bytes = vec![0; MESSAGE_BYTES_MAX];
        let (length, socket) = self.0.async_io(Interest::READABLE, || receive(&self.0, &mut bytes)).await?;
        match bytes.get(..length) {
            Some(message) if length > 0 => Ok(Some((serde_json::from_slice(message)?, socket))),
            _ => Ok(None),
        }
    }
}

fn send(end: &UnixDatagram, bytes: &[u8], socket: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let sockets = socket.map(|socket| [socket]);
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if let Some(sockets) = &sockets {
        control.push(SendAncillaryMessage::ScmRights(sockets));
    }
    Ok(sendmsg(end, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL).map(drop)?)
}

fn receive(end: &UnixDatagram, bytes: &mut [u8]) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = match recvmsg(end, &mut [IoSliceMut::new(bytes)], &mut control, RecvFlags::CMSG_CLOEXEC) {
        // It went without having read everything, and that is told once. What it said before is there, and then the end.
        Err(rustix::io::Errno::CONNRESET) => return receive(end, bytes),
        received => received?,
    };
    if received.flags.contains(ReturnFlags::TRUNC) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a message is longer than any should be"));
    }
    let socket = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut sockets) => sockets.next(),
        _ => None,
    });
    Ok((received.bytes, socket))
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, os::fd::AsFd};

    use super::*;

    #[tokio::test]
    async fn messages_come_whole_and_in_order_with_their_sockets_and_outlive_the_sender() {
        let (here, there) = Link::pair().unwrap();
        let there = Link::of(there).unwrap();
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let sending = tokio::spawn(async move {
            for number in 0..500 {
                let with = (number == 250).then(|| socket.as_fd());
                here.send_with(&(number, "x".repeat(number * 10)), with).await.unwrap();
            }
        });
        for number in 0..500 {
            let ((got, text), with): ((usize, String), _) = there.receive().await.unwrap().unwrap();
            assert_eq!((got, text.len(), with.is_some()), (number, number * 10, number == 250));
            let listener = with.map(|fd| TcpListener::from(fd).local_addr().unwrap());
            assert_eq!(listener, (number == 250).then_some(address));
        }
        sending.await.unwrap();
        assert!(there.receive::<()>().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn what_is_left_unread_is_there_for_the_next_reader() {
        let (here, there) = Link::pair().unwrap();
        for number in 0..5 {
            here.send(&number).await.unwrap();
        }
        let first = Link::of(there).unwrap();
        assert_eq!(first.receive::<u32>().await.unwrap().unwrap().0, 0);
        let second = Link::of(first.into_fd()).unwrap();
        for number in 1..5 {
            assert_eq!(second.receive::<u32>().await.unwrap().unwrap().0, number);
        }
        drop(second);
        assert!(here.send(&5).await.is_err());
    }
}
