//! Accepts connections and drives them: TLS with `h2` or `http/1.1` by ALPN, or plaintext with HTTP/1.1 or HTTP/2 by prior
//! knowledge. What is answered is `exchange`'s business; this file owns the ways in which a connection ends.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use hyper::{
    rt::{Read, Write},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use super::{
    connection::{Connection, End},
    exchange::Exchange,
};

/// As many header fields as the gateway itself takes.
const HEADERS_MAX: usize = 256;

/// Listens on `address`; IPv4 or IPv6.
pub(super) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(4096)?;
    TcpListener::from_std(socket.into())
}

/// Accepts for ever. Dropping the future ends every connection.
pub(super) async fn accept(listener: TcpListener, tls: Option<Arc<rustls::ServerConfig>>, exchange: Arc<Exchange>) {
    let tls = tls.map(TlsAcceptor::from);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(connections.spawn(connect(stream, tls.clone(), exchange.clone()))),
                // No file descriptor is left: others have to close before the next can be accepted.
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connect(stream: TcpStream, tls: Option<TlsAcceptor>, exchange: Arc<Exchange>) {
    // Events are written as they come; Nagle would hold them back.
    let _ = stream.set_nodelay(true);
    let connection = Arc::new(exchange.open_connection());
    let wire = Wire { stream, connection: connection.clone() };
    let Some(tls) = tls else {
        return drive(builder(), TokioIo::new(wire), connection, exchange).await;
    };
    let Ok(stream) = tls.accept(wire).await else { return };
    let builder = match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => builder().http2_only(),
        _ => builder().http1_only(),
    };
    drive(builder, TokioIo::new(stream), connection, exchange).await;
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(None).max_headers(HEADERS_MAX).keep_alive(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(1 << 20)
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(1 << 24);
    builder
}

/// Drives one connection until either side ends it. `biased`: what has been written reaches the kernel before a cut.
async fn drive<S>(builder: Builder<TokioExecutor>, io: S, connection: Arc<Connection>, exchange: Arc<Exchange>)
where
    S: Read + Write + Unpin + Send + 'static,
{
    let service = service_fn(|request| {
        let (exchange, in_flight) = (exchange.clone(), connection.begin());
        async move { Ok::<_, Infallible>(exchange.answer(request, in_flight).await) }
    });
    let served = builder.serve_connection(io, service);
    tokio::pin!(served);
    let mut ending = false;
    loop {
        tokio::select! {
            biased;
            _ = served.as_mut() => return,
            end = connection.ended() => match end {
                End::Reset | End::Close => return,
                End::Graceful => served.as_mut().graceful_shutdown(),
            },
            () = connection.idle(), if !ending => {
                ending = true;
                served.as_mut().graceful_shutdown();
            }
        }
    }
}

/// The TCP stream below TLS. When it is dropped because of a reset, it lingers for no time: the kernel then sends RST.
struct Wire {
    stream: TcpStream,
    connection: Arc<Connection>,
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.connection.wanted_end() == Some(End::Reset) {
            let _ = socket2::SockRef::from(&self.stream).set_linger(Some(std::time::Duration::ZERO));
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context, buffer: &mut ReadBuf) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context, buffer: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buffer)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context, buffers: &[io::IoSlice]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
