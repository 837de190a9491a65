//! Networks as operators write them: `10.0.0.0/8`, `2001:db8::/32`, or a single address.

use std::{net::IpAddr, str::FromStr};

/// The addresses that share a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u32,
}

/// Why a text is no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// Not `address/prefix`.
    #[error("not a network")]
    Malformed,
    /// More bits than an address of its family has.
    #[error("a prefix of this family has at most {0} bits")]
    Prefix(u32),
    /// The address has bits beyond the prefix: one of the two is not what was meant.
    #[error("the address has bits beyond its prefix")]
    HostBits,
}

impl Network {
    /// Whether an address belongs to it. An IPv4 address that a socket of both families shows as `::ffff:a.b.c.d` is one of IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => same_prefix(widen(own.to_bits()), widen(other.to_bits()), self.prefix),
            (IpAddr::V6(own), IpAddr::V6(other)) => same_prefix(own.to_bits(), other.to_bits(), self.prefix),
            _ => false,
        }
    }
}

/// IPv4 bits where IPv6 has its first.
fn widen(bits: u32) -> u128 {
    u128::from(bits) << 96
}

fn same_prefix(a: u128, b: u128, bits: u32) -> bool {
    (a ^ b).checked_shr(128 - bits).unwrap_or(0) == 0
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Network, NetworkError> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().map_err(|_| NetworkError::Malformed)?;
        let (bits, bits_max) = match address {
            IpAddr::V4(address) => (widen(address.to_bits()), 32),
            IpAddr::V6(address) => (address.to_bits(), 128),
        };
        let prefix = match prefix {
            None => bits_max,
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().map_err(|_| NetworkError::Malformed)?,
            Some(_) => return Err(NetworkError::Malformed),
        };
        if prefix > bits_max {
            return Err(NetworkError::Prefix(bits_max));
        }
        if bits.checked_shl(prefix).unwrap_or(0) != 0 {
            return Err(NetworkError::HostBits);
        }
        Ok(Network { address, prefix })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    #[test]
    fn edges_belong_and_neighbours_do_not() {
        for (text, inside, outside) in [
            ("10.0.0.0/8", ["10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3"], ["9.255.255.255", "11.0.0.0", "::a00:1"]),
            ("192.0.2.7", ["192.0.2.7"; 3], ["192.0.2.6", "192.0.2.8", "::1"]),
            ("0.0.0.0/0", ["0.0.0.0", "255.255.255.255", "::ffff:1.1.1.1"], ["::", "2001:db8::1", "ffff::"]),
            ("2001:db8::/33", ["2001:db8::", "2001:db8:7fff::1", "2001:db8::f"], ["2001:db8:8000::", "2001:db7::", "10.0.0.1"]),
            ("::/0", ["::", "ffff::", "2001:db8::1"], ["1.2.3.4", "0.0.0.0", "255.0.0.1"]),
        ] {
            for address in inside {
                assert!(network(text).contains(address.parse().unwrap()), "{address} in {text}");
            }
            for address in outside {
                assert!(!network(text).contains(address.parse().unwrap()), "{address} in {text}");
            }
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in ["", "10.0.0.0/", "/8", "10.0.0/8", "10.0.0.0/+8", "10.0.0.0/8/8", "localhost", "10.0.0.0/99999999999"] {
            assert_eq!(text.parse::<Network>(), Err(NetworkError::Malformed), "{text}");
        }
        assert_eq!("10.0.0.0/33".parse::<Network>(), Err(NetworkError::Prefix(32)));
        assert_eq!("::/129".parse::<Network>(), Err(NetworkError::Prefix(128)));
        for text in ["10.0.0.1/8", "0.0.0.1/0", "2001:db8::1/64"] {
            assert_eq!(text.parse::<Network>(), Err(NetworkError::HostBits), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_network_contains_what_shares_its_first_bits(own: u32, other: u32, prefix in 0u32..=32) {
            let mask = if prefix == 0 { 0 } else { u32::MAX << (32 - prefix) };
            let address = |bits| IpAddr::from(std::net::Ipv4Addr::from_bits(bits));
            let network = network(&format!("{}/{prefix}", address(own & mask)));
            prop_assert_eq!(network.contains(address(other)), own & mask == other & mask);
            prop_assert!(network.contains(address(own)));
        }
    }
}
