//! Watches that an answer does not hand an attached secret to the plugin: a server that repeats the request's
//! headers would. What is found is not scrubbed but ends the answer, for part of a record is worse than none.
//!
//! It finds the forms that software makes without meaning harm: plain, base64, hexadecimal, percent-encoded, as a
//! JSON string. A granted server that means to pass the secret on can always spell it otherwise.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::HeaderMap;
use memchr::memmem::Finder;
use sluice_model::secret::Secret;
use std::sync::Arc;
use url::form_urlencoded;

/// Shorter secrets are not looked for: they would be found in answers that know nothing of them.
const SECRET_BYTES_MIN: usize = 16;

/// Every form of one secret that is looked for. Holds the secret, so it has no `Debug`.
pub(crate) struct Forms {
    finders: Vec<Finder<'static>>,
    longest: usize,
}

/// An answer repeats the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Echoed;

impl Forms {
    /// None where the secret is too short to be looked for.
    pub(crate) fn of(secret: &Secret) -> Option<Self> {
        let value = secret.expose();
        let mut forms = Vec::new();
        // Of `user:password`, the password alone as well.
        let password = value
            .iter()
            .position(|byte| *byte == b':')
            .map(|colon| &value[colon + 1..]);
        for value in [Some(value), password].into_iter().flatten() {
            if value.len() >= SECRET_BYTES_MIN {
                add_forms(value, &mut forms);
            }
        }
        forms.sort_unstable();
        forms.dedup();
        let longest = forms.iter().map(Vec::len).max()?;
        Some(Self {
            finders: forms
                .iter()
                .map(|form| Finder::new(form).into_owned())
                .collect(),
            longest,
        })
    }

    fn are_in(&self, bytes: &[u8]) -> bool {
        self.finders
            .iter()
            .any(|finder| finder.find(bytes).is_some())
    }

    /// How many bytes at the end may be the beginning of a form.
    fn begun_in(&self, bytes: &[u8]) -> usize {
        let most = bytes.len().min(self.longest - 1);
        let begins = |count: &usize| {
            let end = &bytes[bytes.len() - count..];
            self.finders
                .iter()
                .any(|finder| finder.needle().starts_with(end))
        };
        (1..=most).rev().find(begins).unwrap_or(0)
    }

    /// Looks through an answer's headers.
    pub(crate) fn check_headers(&self, headers: &HeaderMap) -> Result<(), Echoed> {
        let echoed = headers.values().any(|value| self.are_in(value.as_bytes()));
        if echoed { Err(Echoed) } else { Ok(()) }
    }
}

fn add_forms(value: &[u8], forms: &mut Vec<Vec<u8>>) {
    forms.push(value.to_vec());
    for alphabet in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
        // Where it begins within a group of three decides how it is spelled; what its neighbours spell with it is
        // left out.
        for before in 0..3 {
            let text = alphabet.encode([&[0; 3][..before], value].concat());
            let (begin, end) = ((8 * before).div_ceil(6), 8 * (before + value.len()) / 6);
            forms.push(text.as_bytes()[begin..end].to_vec());
        }
    }
    let digits = value.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let hex: String = digits
        .filter_map(|digit| char::from_digit(u32::from(digit), 16))
        .collect();
    forms.push(hex.to_ascii_uppercase().into_bytes());
    forms.push(hex.into_bytes());
    let encoded: String = form_urlencoded::byte_serialize(value).collect();
    forms.push(encoded.replace('+', "%20").into_bytes());
    forms.push(encoded.into_bytes());
    if let Some(json) = std::str::from_utf8(value)
        .ok()
        .and_then(|text| serde_json::to_string(text).ok())
    {
        let inner = &json[1..json.len() - 1];
        forms.push(inner.replace('/', "\\/").into_bytes());
        forms.push(inner.as_bytes().to_vec());
    }
}

/// Looks through an answer's body as it comes. What may be the beginning of a secret is held back until it is known
/// not to be one.
pub(crate) struct Scan {
    forms: Arc<Forms>,
    held: Vec<u8>,
}

impl Scan {
    pub(crate) fn new(forms: Arc<Forms>) -> Self {
        Self {
            forms,
            held: Vec::new(),
        }
    }

    /// The bytes that can be handed on now that these have come. `last`: nothing comes after them.
    pub(crate) fn pass(&mut self, data: Bytes, last: bool) -> Result<Bytes, Echoed> {
        let data = if self.held.is_empty() {
            data
        } else {
            let mut joined = std::mem::take(&mut self.held);
            joined.extend_from_slice(&data);
            Bytes::from(joined)
        };
        if self.forms.are_in(&data) {
            return Err(Echoed);
        }
        let open = if last { 0 } else { self.forms.begun_in(&data) };
        self.held = data[data.len() - open..].to_vec();
        Ok(data.slice(..data.len() - open))
    }

    /// Bytes held back.
    pub(crate) fn held(&self) -> usize {
        self.held.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};

    const VALUE: &str = "k/9+\"s3cret-value ü0123456789";

    fn forms() -> Arc<Forms> {
        Arc::new(Forms::of(&Secret::new(VALUE.as_bytes().to_vec())).expect("long enough"))
    }

    /// The bodies a server might make of it.
    fn echoes() -> Vec<String> {
        let hex: String = VALUE
            .bytes()
            .flat_map(|byte| format!("{byte:02x}").chars().collect::<Vec<_>>())
            .collect();
        let mut echoes = vec![
            VALUE.to_owned(),
            hex.to_uppercase(),
            hex,
            serde_json::json!({ "authorization": format!("Bearer {VALUE}") }).to_string(),
            serde_json::to_string(VALUE)
                .expect("json")
                .replace('/', "\\/"),
            form_urlencoded::Serializer::new(String::new())
                .append_pair("key", VALUE)
                .finish(),
            format!("user:{VALUE}"),
        ];
        for before in ["", "u", "us", "use", "user:", "Bearer "] {
            for after in ["", "x", "xy", "xyz"] {
                let text = format!("{before}{VALUE}{after}");
                echoes.extend([STANDARD.encode(&text), URL_SAFE.encode(&text)]);
            }
        }
        echoes
    }

    #[test]
    fn every_form_is_found_however_it_is_cut() {
        for echo in echoes() {
            let body = format!("{{\"you sent\": \"{echo}\"}}").into_bytes();
            for piece in [1, 2, 7, body.len()] {
                let mut scan = Scan::new(forms());
                let mut shown = Vec::new();
                let found = body.chunks(piece).enumerate().any(|(at, bytes)| {
                    let last = (at + 1) * piece >= body.len();
                    match scan.pass(Bytes::copy_from_slice(bytes), last) {
                        Ok(bytes) => {
                            shown.extend_from_slice(&bytes);
                            false
                        }
                        Err(Echoed) => true,
                    }
                });
                assert!(found, "{echo} in pieces of {piece}");
                let begins = String::from_utf8_lossy(&shown).into_owned();
                assert!(begins.len() < 40 && !begins.contains("s3cr"), "{begins}");
            }
        }
    }

    #[test]
    fn what_is_no_secret_passes_whole() {
        let near = [
            &VALUE[..VALUE.len() - 1],
            "x",
            &VALUE[1..],
            &VALUE[..5],
            &VALUE[..5],
        ]
        .concat();
        for piece in [1, 3, near.len()] {
            let mut scan = Scan::new(forms());
            let mut shown = Vec::new();
            for (at, bytes) in near.as_bytes().chunks(piece).enumerate() {
                let last = (at + 1) * piece >= near.len();
                shown.extend(
                    scan.pass(Bytes::copy_from_slice(bytes), last)
                        .expect("no secret"),
                );
            }
            assert_eq!(
                (shown.as_slice(), scan.held()),
                (near.as_bytes(), 0),
                "{piece}"
            );
        }
    }

    #[test]
    fn a_password_is_found_without_its_user() {
        let forms =
            Forms::of(&Secret::new(b"user:0123456789abcdef".to_vec())).expect("long enough");
        assert!(forms.are_in(b"x 0123456789abcdef x"));
        assert!(Forms::of(&Secret::new(b"short".to_vec())).is_none());
    }
}
