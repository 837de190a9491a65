//! RSA keys of chips whose generator was broken (CVE-2017-15361, "ROCA"): whoever has the public key finds the private one. Their
//! moduli are powers of 65537 modulo every small prime; of honest moduli not one in 2^150 is.
//!
//! Nemec, Sys, Svenda, Klinec, Matyas: The Return of Coppersmith's Attack, §2.3 (CCS 2017).

/// The primes that those chips used for keys of every length.
const PRIMES: [u32; 38] = [
    3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109, 113, 127,
    131, 137, 139, 149, 151, 157, 163, 167,
];

const GENERATOR: u32 = 65_537;

/// Whether a modulus, in big-endian bytes, is one of theirs.
pub(super) fn is_roca(modulus: &[u8]) -> bool {
    PRIMES.iter().all(|&prime| is_power(remainder(modulus, prime), prime))
}

fn remainder(number: &[u8], prime: u32) -> u32 {
    number.iter().fold(0, |remainder, byte| (remainder * 256 + u32::from(*byte)) % prime)
}

/// Whether `number` is a power of the generator modulo `prime`.
fn is_power(number: u32, prime: u32) -> bool {
    let generator = GENERATOR % prime;
    let powers = std::iter::successors(Some(1), |power| Some(power * generator % prime));
    // The powers come round after less than `prime` of them.
    powers.take(usize::try_from(prime).unwrap_or(usize::MAX)).any(|power| power == number)
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::auth::{KeySet, KeySetError, key::KeyRefusal};

    /// 65537 to this power.
    fn power(exponent: usize) -> Vec<u8> {
        let mut little_endian = vec![1_u8];
        for _ in 0..exponent {
            // n · 65537 = n · 2^16 + n
            let shifted = [&[0, 0], little_endian.as_slice()].concat();
            let mut carry = 0_u16;
            little_endian = shifted
                .iter()
                .enumerate()
                .map(|(at, byte)| {
                    let sum = u16::from(*byte) + u16::from(little_endian.get(at).copied().unwrap_or(0)) + carry;
                    carry = sum >> 8;
                    sum.to_le_bytes()[0]
                })
                .collect();
            little_endian.extend((carry > 0).then(|| carry.to_le_bytes()[0]));
        }
        little_endian.into_iter().rev().collect()
    }

    #[test]
    fn powers_of_the_generator_are_found_and_their_neighbours_are_not() {
        assert_eq!(power(1), [1, 0, 1]);
        assert_eq!(power(2), [1, 0, 2, 0, 1]);
        for exponent in [1, 2, 64, 128, 200] {
            let mut modulus = power(exponent);
            assert!(is_roca(&modulus), "{exponent}");
            *modulus.last_mut().unwrap() += 2;
            assert!(!is_roca(&modulus), "{exponent}");
        }
    }

    #[test]
    fn such_a_key_is_set_aside() {
        let key = json!({ "kty": "RSA", "n": URL_SAFE_NO_PAD.encode(power(128)), "e": "AQAB" });
        let parsed = KeySet::parse(json!({ "keys": [key] }).to_string().as_bytes());
        let Err(KeySetError::NoUsableKey(problems)) = parsed else { panic!("it is used") };
        assert_eq!(problems[0].refusal, KeyRefusal::BrokenGenerator);
    }

    proptest! {
        #[test]
        fn no_other_number_is_one_of_theirs(modulus in prop::collection::vec(any::<u8>(), 256..512)) {
            prop_assert!(!is_roca(&modulus));
        }
    }
}
