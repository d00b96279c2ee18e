//! Bytes as hexadecimal digits, two each: as SQL has them.

use std::fmt::Write as _;

/// Bytes as digits.
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    push_hex(&mut text, bytes);
    text
}

/// The same, behind what is there.
pub fn push_hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        let _ = write!(text, "{byte:02x}"); // Into memory.
    }
}

/// Bytes of digits; none where they are no digits, or an odd one is left.
pub fn unhex(digits: &[u8]) -> Option<Vec<u8>> {
    let digit = |digit: u8| char::from(digit).to_digit(16);
    let pairs = digits.chunks(2);
    let pairs = pairs.map(|pair| match pair {
        [high, low] => u8::try_from(digit(*high)? << 4 | digit(*low)?).ok(),
        _ => None,
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_survive_their_digits() {
        let bytes = b"{\"after\":[\"\xff\"]}";
        assert_eq!(unhex(hex(bytes).as_bytes()).as_deref(), Some(&bytes[..]));
        assert_eq!(unhex(b"7B").as_deref(), Some(&b"{"[..]));
        for odd in [&b"7b0"[..], b"+1", b"zz"] {
            assert_eq!(unhex(odd), None);
        }
    }
}
