//! The PROXY protocol, version 2: what a load balancer says of the client before the client's own first byte.
//! <https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt>, §2.2. Version 1 is text without a length, and refused.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use tokio::io::{AsyncRead, AsyncReadExt};

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Of addresses and extensions; an AWS load balancer's has 100 or so.
const BYTES_MAX: usize = 2_048;

/// What the header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The connection is for this client.
    Client(SocketAddr),
    /// The load balancer connects for itself, to see whether we live.
    Balancer,
}

/// Why a header is none.
#[derive(Debug, thiserror::Error)]
pub(super) enum HeaderError {
    #[error("the connection does not begin with a PROXY header of version 2")]
    Signature,
    #[error("the PROXY header has command or family {0:#04x}")]
    Unknown(u8),
    #[error("the PROXY header has {0} bytes")]
    Length(usize),
    #[error("the PROXY header broke off: {0}")]
    Broken(#[from] io::Error),
}

/// Reads the header, and not a byte more.
pub(super) async fn read(from: &mut (impl AsyncRead + Unpin)) -> Result<Source, HeaderError> {
    let mut fixed = [0; 16];
    from.read_exact(&mut fixed).await?;
    let [.., command, family, high, low] = fixed;
    if !fixed.starts_with(&SIGNATURE) {
        return Err(HeaderError::Signature);
    }
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > BYTES_MAX {
        return Err(HeaderError::Length(length));
    }
    let mut rest = vec![0; length];
    from.read_exact(&mut rest).await?;
    match (command, family) {
        (0x20, _) => Ok(Source::Balancer),
        (0x21, 0x11) => client(&rest, |b: [u8; 4]| IpAddr::from(Ipv4Addr::from(b))),
        (0x21, 0x21) => client(&rest, |b: [u8; 16]| IpAddr::from(Ipv6Addr::from(b))),
        (0x21, family) => Err(HeaderError::Unknown(family)),
        (command, _) => Err(HeaderError::Unknown(command)),
    }
}

/// Source and destination address, then source and destination port.
fn client<const N: usize>(rest: &[u8], address: impl Fn([u8; N]) -> IpAddr) -> Result<Source, HeaderError> {
    let source = rest.first_chunk::<N>();
    let port = rest.get(2 * N..).and_then(|ports| ports.first_chunk::<4>());
    match (source, port) {
        (Some(source), Some(&[high, low, ..])) => {
            Ok(Source::Client(SocketAddr::new(address(*source), u16::from_be_bytes([high, low]))))
        }
        _ => Err(HeaderError::Length(rest.len())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        [&SIGNATURE[..], &[command, family], &(rest.len() as u16).to_be_bytes(), rest].concat()
    }

    fn addresses(source: SocketAddr, extensions: &[u8]) -> Vec<u8> {
        let (family, ip) = match source.ip() {
            IpAddr::V4(ip) => (0x11, ip.octets().to_vec()),
            IpAddr::V6(ip) => (0x21, ip.octets().to_vec()),
        };
        let (source, destination) = (source.port().to_be_bytes(), 443u16.to_be_bytes());
        header(0x21, family, &[&ip[..], &ip.iter().map(|b| !b).collect::<Vec<_>>(), &source, &destination, extensions].concat())
    }

    /// What was read, and what was left for the client's own protocol.
    fn parsed(bytes: &[u8]) -> (Result<Source, String>, Vec<u8>) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut left = bytes;
        let source = runtime.block_on(read(&mut left)).map_err(|error| error.to_string());
        (source, left.to_vec())
    }

    proptest! {
        #[test]
        fn the_client_is_who_the_balancer_says(ip: IpAddr, port: u16, extensions in prop::collection::vec(any::<u8>(), 0..200), rest: Vec<u8>) {
            let client = SocketAddr::new(ip, port);
            let bytes = [addresses(client, &extensions), rest.clone()].concat();
            prop_assert_eq!(parsed(&bytes), (Ok(Source::Client(client)), rest));
        }

        #[test]
        fn bytes_that_nobody_meant_are_no_header(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            prop_assert!(parsed(&bytes).0.is_err());
        }

        #[test]
        fn a_header_cut_short_is_none(cut in 0usize..28) {
            let bytes = addresses(SocketAddr::from(([1, 2, 3, 4], 5)), &[]);
            prop_assert!(parsed(&bytes[..cut]).0.is_err());
        }
    }

    #[test]
    fn health_checks_are_the_balancers_own_and_the_rest_is_refused() {
        assert_eq!(parsed(&header(0x20, 0x00, &[])).0, Ok(Source::Balancer));
        assert_eq!(parsed(&header(0x20, 0x11, &[7; 40])).0, Ok(Source::Balancer));
        for bytes in [
            b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n".to_vec(),
            header(0x11, 0x11, &[0; 12]),
            header(0x22, 0x11, &[0; 12]),
            header(0x21, 0x00, &[0; 12]),
            header(0x21, 0x12, &[0; 12]),
            header(0x21, 0x31, &[0; 216]),
            header(0x21, 0x11, &[0; 11]),
            header(0x21, 0x21, &[0; 12]),
            header(0x21, 0x11, &[0; BYTES_MAX + 1]),
        ] {
            assert!(parsed(&bytes).0.is_err(), "{bytes:02x?}");
        }
    }
}
