//! Numbers in headers and log lines, written without `fmt`, which costs five times as much: a request writes a dozen.

use std::net::{IpAddr, SocketAddr};

/// Appends a number.
pub fn push(out: &mut String, mut value: u64) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
        start -= 1;
        if value == 0 {
            break;
        }
    }
    out.push_str(std::str::from_utf8(&digits[start..]).unwrap_or_default());
}

/// An address and its port, as it displays itself.
pub fn address(address: SocketAddr) -> String {
    let IpAddr::V4(ip) = address.ip() else { return address.to_string() };
    let mut text = String::with_capacity(21);
    for (index, octet) in ip.octets().into_iter().enumerate() {
        if index > 0 {
            text.push('.');
        }
        push(&mut text, octet.into());
    }
    text.push(':');
    push(&mut text, address.port().into());
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn both_write_what_fmt_writes(value: u64, small in 0u64..200, ip: std::net::IpAddr, port: u16) {
            for value in [value, small, u64::MAX] {
                let mut text = "x".to_owned();
                push(&mut text, value);
                prop_assert_eq!(text, format!("x{value}"));
            }
            let socket = SocketAddr::new(ip, port);
            prop_assert_eq!(address(socket), socket.to_string());
        }
    }
}
