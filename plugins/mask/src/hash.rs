//! The keyed hash: HMAC-SHA-256 (RFC 2104, FIPS 198-1) over a value's text form, cut and written as text.

use crate::config::Encoding;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Characters of the longest form: 32 bytes as hexadecimal digits.
const FORM_BYTES_MAX: usize = 64;

/// Hashes values under one key.
#[derive(Clone)]
pub(crate) struct Hasher {
    /// The key is in its state already: each value starts from a copy.
    keyed: Hmac<Sha256>,
    bytes: usize,
    encoding: Encoding,
}

impl Hasher {
    /// Keeps the first `bytes` (32 at most) of each hash.
    pub(crate) fn new(key: &[u8], bytes: usize, encoding: Encoding) -> Self {
        let keyed = Hmac::new_from_slice(key).expect("HMAC takes a key of any length");
        Self {
            keyed,
            bytes,
            encoding,
        }
    }

    /// The hash of a value as text, written into `form`.
    pub(crate) fn hash<'f>(&self, value: &[u8], form: &'f mut Form) -> &'f str {
        let mut mac = self.keyed.clone();
        mac.update(value);
        let digest = mac.finalize().into_bytes();
        form.write(&digest[..self.bytes.min(digest.len())], self.encoding)
    }
}

/// Room for one hash as text.
pub(crate) struct Form([u8; FORM_BYTES_MAX]);

impl Form {
    pub(crate) fn new() -> Self {
        Self([0; FORM_BYTES_MAX])
    }

    fn write(&mut self, bytes: &[u8], encoding: Encoding) -> &str {
        let length = match encoding {
            Encoding::Hex => hex(bytes, &mut self.0),
            Encoding::Base64url => base64url(bytes, &mut self.0),
        };
        std::str::from_utf8(&self.0[..length]).expect("both alphabets are ascii")
    }
}

fn hex(bytes: &[u8], out: &mut [u8; FORM_BYTES_MAX]) -> usize {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (pair, byte) in out.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    bytes.len() * 2
}

/// RFC 4648, section 5, without padding.
fn base64url(bytes: &[u8], out: &mut [u8; FORM_BYTES_MAX]) -> usize {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut length = 0;
    for chunk in bytes.chunks(3) {
        let three = chunk
            .iter()
            .fold(0_u32, |all, byte| all << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            out[length] = ALPHABET[(three >> (18 - 6 * place) & 63) as usize];
            length += 1;
        }
    }
    length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_hmac_of_the_standard() {
        // RFC 4231, test cases 1 and 2.
        let check = |key: &[u8], value: &[u8], expected: &str| {
            let mut form = Form::new();
            assert_eq!(
                Hasher::new(key, 32, Encoding::Hex).hash(value, &mut form),
                expected
            );
            assert_eq!(
                Hasher::new(key, 8, Encoding::Hex).hash(value, &mut form),
                &expected[..16]
            );
        };
        check(
            &[0x0b; 20],
            b"Hi There",
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
        );
        check(
            b"Jefe",
            b"what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        );
    }

    #[test]
    fn base64url_has_no_padding() {
        for (bytes, expected) in [
            (&b""[..], ""),
            (b"f", "Zg"),
            (b"fo", "Zm8"),
            (b"foo", "Zm9v"),
            (b"foob", "Zm9vYg"),
            (&[0xfb, 0xff], "-_8"),
        ] {
            assert_eq!(Form::new().write(bytes, Encoding::Base64url), expected);
        }
        assert_eq!(
            Form::new().write(&[0xff; 32], Encoding::Base64url).len(),
            43
        );
    }
}
