//! Watches that an answer does not hand an attached secret to the plugin: a server that repeats the request's
//! headers would. What is found is not scrubbed but ends the answer, for part of a record is worse than none.
//!
//! It finds the forms that software makes without meaning harm (`forms`). A granted server that means to pass the
//! secret on can always spell it otherwise.

mod forms;

use bytes::Bytes;
use http::HeaderMap;
use memchr::memmem::Finder;
use std::sync::Arc;

/// Shorter secrets are not looked for: they would be found in answers that know nothing of them.
const SECRET_BYTES_MIN: usize = 16;

/// Every form of some values that is looked for. Holds the secret, so it has no `Debug`.
pub(crate) struct Forms {
    finders: Vec<Finder<'static>>,
}

/// An answer repeats the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Echoed;

impl Forms {
    /// Of all that one request could be repeated with. None where every value is too short to be looked for.
    pub(crate) fn of(values: &[&[u8]]) -> Option<Self> {
        let mut forms = Vec::new();
        for value in values {
            // Of `user:password`, the password alone as well.
            let colon = value.iter().position(|byte| *byte == b':');
            let password = colon.map(|colon| &value[colon + 1..]);
            for value in [Some(*value), password].into_iter().flatten() {
                if value.len() >= SECRET_BYTES_MIN {
                    forms::add(value, &mut forms);
                }
            }
        }
        forms.sort_unstable();
        forms.dedup();
        let finders = forms.iter().map(|form| Finder::new(form).into_owned());
        (!forms.is_empty()).then(|| Self {
            finders: finders.collect(),
        })
    }

    fn are_in(&self, bytes: &[u8]) -> bool {
        self.finders
            .iter()
            .any(|finder| finder.find(bytes).is_some())
    }

    /// How many bytes at the end may be the beginning of a form.
    fn begun_in(&self, bytes: &[u8]) -> usize {
        let begun = |finder: &Finder<'static>| {
            let (needle, most) = (finder.needle(), bytes.len().min(finder.needle().len() - 1));
            let end = &bytes[bytes.len() - most..];
            let mut begins = memchr::memchr_iter(needle[0], end);
            let at = begins.find(|at| needle.starts_with(&end[*at..]));
            at.map_or(0, |at| most - at)
        };
        self.finders.iter().map(begun).max().unwrap_or(0)
    }

    /// Looks through an answer's headers.
    pub(crate) fn check_headers(&self, headers: &HeaderMap) -> Result<(), Echoed> {
        let echoed = headers.values().any(|value| self.are_in(value.as_bytes()));
        if echoed { Err(Echoed) } else { Ok(()) }
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
    use forms::tests::{VALUE, echoes};

    fn forms() -> Arc<Forms> {
        Arc::new(Forms::of(&[VALUE.as_bytes()]).expect("long enough"))
    }

    #[test]
    fn every_form_is_found_however_it_is_cut() {
        for (how, echo) in echoes() {
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
                assert!(found, "{how}: {echo} in pieces of {piece}");
                // What stands before it may have been handed on, and no more of it than a few bytes.
                assert!(
                    shown.len() < 64,
                    "{how}: {}",
                    String::from_utf8_lossy(&shown)
                );
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
    fn a_password_is_found_without_its_user_and_each_value_of_several() {
        let forms = Forms::of(&[
            b"user:0123456789abcdef",
            b"short",
            b"another-value-of-some-length",
        ]);
        let forms = forms.expect("two are long enough");
        assert!(forms.are_in(b"x 0123456789abcdef x"));
        assert!(forms.are_in(b"another-value-of-some-length"));
        assert!(!forms.are_in(b"short"));
        assert!(Forms::of(&[b"short"]).is_none());
    }
}
