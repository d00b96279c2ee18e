//! A checkpoint: how long the trail was and what its entries hash to, signed. In the format of
//! [C2SP tlog-checkpoint](https://c2sp.org/tlog-checkpoint), so that what others use to watch logs can watch this one.

use crate::hash::Hash;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt;

/// Lines of a checkpoint in a file of many: origin, size, root, none, signature, none.
const LINES: usize = 6;
/// Before a signature.
const DASH: &str = "\u{2014} ";

/// What is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Body {
    pub(crate) origin: String,
    pub(crate) size: u64,
    pub(crate) root: Hash,
}

impl Body {
    pub(crate) fn text(&self) -> String {
        format!(
            "{}\n{}\n{}\n",
            self.origin,
            self.size,
            STANDARD.encode(self.root.0)
        )
    }
}

/// A signed checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    pub(crate) body: Body,
    pub(crate) signer: String,
    /// Four bytes that name the key, and its signature.
    pub(crate) signature: Vec<u8>,
}

impl Note {
    pub(crate) fn signed(body: Body, signer: String, signature: Vec<u8>) -> Self {
        Self {
            body,
            signer,
            signature,
        }
    }

    /// The entries it covers.
    pub fn size(&self) -> u64 {
        self.body.size
    }

    /// What they hash to.
    pub fn root(&self) -> Hash {
        self.body.root
    }

    /// The notes in a text, one after the other, and how many bytes of it they are: what follows is the beginning of
    /// another, which a crash left.
    pub(crate) fn parse_all(text: &[u8]) -> Result<(Vec<Self>, usize), String> {
        let whole = text
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        let all = str::from_utf8(&text[..whole]).map_err(|_| "checkpoints are text".to_owned())?;
        let lines: Vec<&str> = all.split_inclusive('\n').collect();
        let (mut notes, mut bytes) = (Vec::new(), 0);
        for (at, lines) in lines.chunks(LINES).enumerate() {
            // The last may stand alone in a file, without the empty line after it.
            let stands = lines.len() == LINES || lines.len() == LINES - 1;
            if !stands {
                break;
            }
            let note = Self::parse(lines)
                .ok_or_else(|| format!("checkpoint {} cannot be read", at + 1))?;
            bytes += lines.iter().map(|line| line.len()).sum::<usize>();
            notes.push(note);
        }
        Ok((notes, bytes))
    }

    /// Where the first whole note begins in bytes cut out of a file of many.
    pub(crate) fn start(bytes: &[u8]) -> Option<usize> {
        let after = |from: usize, what: &[u8]| {
            let found = bytes[from..]
                .windows(what.len())
                .position(|part| part == what);
            found.map(|at| from + at + what.len())
        };
        after(after(0, format!("\n{DASH}").as_bytes())?, b"\n\n")
    }

    fn parse(lines: &[&str]) -> Option<Self> {
        let mut plain = lines.iter().map(|line| line.trim_end_matches('\n'));
        let (origin, size, root) = (plain.next()?, plain.next()?, plain.next()?);
        let (empty, signature) = (plain.next()?, plain.next()?);
        let (signer, signature) = signature.strip_prefix(DASH)?.split_once(' ')?;
        let note = Self {
            body: Body {
                origin: origin.to_owned(),
                size: size.parse().ok()?,
                root: Hash::try_from(STANDARD.decode(root).ok()?.as_slice()).ok()?,
            },
            signer: signer.to_owned(),
            signature: STANDARD.decode(signature).ok()?,
        };
        let exact = empty.is_empty() && format!("{note}\n").starts_with(&lines.concat());
        exact.then_some(note)
    }
}

/// As it stands in a file, its last line end included.
impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let signature = STANDARD.encode(&self.signature);
        writeln!(f, "{}\n{DASH}{} {signature}", self.body.text(), self.signer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(size: u64) -> Note {
        let body = Body {
            origin: "sluice.audit/7".to_owned(),
            size,
            root: Hash::empty(),
        };
        Note::signed(body, "sluice.audit/7".to_owned(), vec![7; 68])
    }

    #[test]
    fn text_and_back() {
        let text = format!("{}\n{}\n", note(1), note(20));
        let (notes, bytes) = Note::parse_all(text.as_bytes()).unwrap();
        assert_eq!(
            (notes.as_slice(), bytes),
            ([note(1), note(20)].as_slice(), text.len())
        );
        assert_eq!(
            Note::parse_all(note(1).to_string().as_bytes()).unwrap().0,
            [note(1)]
        );
        assert_eq!(note(1).to_string().lines().count(), LINES - 1);
        assert!(
            note(1)
                .to_string()
                .contains("\n\n\u{2014} sluice.audit/7 Bwc")
        );
    }

    #[test]
    fn a_torn_end_is_left_out_and_a_broken_middle_is_not() {
        let text = format!("{}\n{}\n", note(1), note(20));
        for cut in 1..note(20).to_string().len() {
            let (notes, bytes) = Note::parse_all(&text.as_bytes()[..text.len() - 1 - cut]).unwrap();
            assert_eq!(notes, [note(1)], "{cut}");
            assert!(bytes <= note(1).to_string().len() + 1);
        }
        let amid = &text.as_bytes()[10..];
        let start = Note::start(amid).unwrap();
        assert_eq!(Note::parse_all(&amid[start..]).unwrap().0, [note(20)]);
        assert_eq!(Note::start(b"nothing here"), None);
        for (from, to) in [
            ("\n1\n", "\n01\n"),
            ("\n1\n", "\n+1\n"),
            ("Bwc", "B!c"),
            ("\n\n", "\nx\n"),
        ] {
            assert!(
                Note::parse_all(text.replacen(from, to, 1).as_bytes()).is_err(),
                "{from} {to}"
            );
        }
    }
}
