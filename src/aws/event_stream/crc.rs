//! CRC-32 as Ethernet, gzip and AWS's event stream have it (reflected, polynomial 0xEDB88320), eight bytes at a time.

const TABLES: [[u32; 256]; 8] = tables();

const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut value = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { value >> 1 ^ 0xEDB8_8320 } else { value >> 1 };
            bit += 1;
        }
        tables[0][byte] = value;
        byte += 1;
    }
    let mut table = 1;
    while table < 8 {
        let mut byte = 0;
        while byte < 256 {
            let previous = tables[table - 1][byte];
            tables[table][byte] = previous >> 8 ^ tables[0][(previous & 0xFF) as usize];
            byte += 1;
        }
        table += 1;
    }
    tables
}

/// Goes on from `previous`, which is 0 at the start.
pub(super) fn crc32(previous: u32, bytes: &[u8]) -> u32 {
    let of = |table: usize, byte: u64| TABLES[table][(byte & 0xFF) as usize];
    let mut crc = !previous;
    let (eights, rest) = bytes.as_chunks::<8>();
    for eight in eights {
        let word = u64::from_le_bytes(*eight) ^ u64::from(crc);
        crc = of(7, word)
            ^ of(6, word >> 8)
            ^ of(5, word >> 16)
            ^ of(4, word >> 24)
            ^ of(3, word >> 32)
            ^ of(2, word >> 40)
            ^ of(1, word >> 48)
            ^ of(0, word >> 56);
    }
    for &byte in rest {
        crc = crc >> 8 ^ of(0, u64::from(crc) ^ u64::from(byte));
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::crc32;

    #[test]
    fn the_check_value_of_the_standard_is_met_at_any_split() {
        assert_eq!(crc32(0, b"123456789"), 0xCBF4_3926);
        let text = b"The quick brown fox jumps over the lazy dog";
        for at in 0..text.len() {
            assert_eq!(crc32(crc32(0, &text[..at]), &text[at..]), 0x414F_A339);
        }
    }
}
