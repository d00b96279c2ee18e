//! Checkpoints and keys: six lines each, and a line of text.

use sha2::{Digest as _, Sha256};

pub(crate) struct Note {
    pub(crate) size: u64,
    pub(crate) root: [u8; 32],
    origin: String,
    signed: String,
    signature: Vec<u8>,
}

/// Every checkpoint of a file: origin, size, root, an empty line, the signature, an empty line. Less than that at the
/// end is what a crash left; in a file of one, its last line may be missing.
pub(crate) fn read_all(bytes: &[u8]) -> Result<Vec<Note>, String> {
    let text = str::from_utf8(bytes).map_err(|_| "not text".to_owned())?;
    let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
    let lines: Vec<&str> = whole.split_terminator('\n').collect();
    let mut notes = Vec::new();
    for (at, lines) in lines
        .chunks(6)
        .enumerate()
        .filter(|(_, lines)| lines.len() >= 5)
    {
        notes.push(read(lines).ok_or_else(|| format!("number {} cannot be read", at + 1))?);
    }
    Ok(notes)
}

fn read(lines: &[&str]) -> Option<Note> {
    let [origin, size, root, "", signature, after @ ..] = lines else {
        return None;
    };
    if after.iter().any(|line| !line.is_empty()) {
        return None;
    }
    let signature = signature.strip_prefix(&format!("— {origin} "))?;
    let number: u64 = size.parse().ok()?;
    (number.to_string() == *size).then_some(())?;
    Some(Note {
        size: number,
        root: unbase64(root)?.try_into().ok()?,
        origin: (*origin).to_owned(),
        signed: format!("{origin}\n{size}\n{root}\n"),
        signature: unbase64(signature)?,
    })
}

pub(crate) struct Key {
    pub(crate) text: String,
    origin: String,
    id: [u8; 4],
    public: Vec<u8>,
}

impl Key {
    /// `ORIGIN+ID+BASE64`, where the last is 1 and the key, and the id the first four bytes of SHA-256 over
    /// `ORIGIN`, a line end, 1 and the key.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.splitn(3, '+').collect();
        let [origin, id, key] = parts[..] else {
            return Err("no key is named".to_owned());
        };
        let bytes = unbase64(key)
            .filter(|bytes| bytes.len() == 33 && bytes[0] == 1)
            .ok_or("no Ed25519 key")?;
        let hashed = Sha256::new()
            .chain_update(origin)
            .chain_update(b"\n")
            .chain_update(&bytes)
            .finalize();
        let own_id: [u8; 4] = hashed[..4].try_into().map_err(|_| "no id".to_owned())?;
        if crate::entry::hex(&own_id) != id {
            return Err("the key's id is another's".to_owned());
        }
        Ok(Self {
            text: text.to_owned(),
            origin: origin.to_owned(),
            id: own_id,
            public: bytes[1..].to_vec(),
        })
    }

    pub(crate) fn check(&self, note: &Note) -> Result<(), String> {
        if note.origin != self.origin || note.signature.get(..4) != Some(&self.id[..]) {
            return Err("another key's signature".to_owned());
        }
        let key = ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, &self.public);
        let verified = key.verify(note.signed.as_bytes(), &note.signature[4..]);
        verified.map_err(|_| "the signature is not good".to_owned())
    }
}

/// Base64 with padding, as RFC 4648 has it, and in no other spelling.
fn unbase64(text: &str) -> Option<Vec<u8>> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let plain = text.trim_end_matches('=');
    if !text.len().is_multiple_of(4) || text.len() - plain.len() > 2 {
        return None;
    }
    let (mut bits, mut held, mut bytes) = (0_u32, 0, Vec::new());
    for letter in plain.bytes() {
        let value = LETTERS.iter().position(|other| *other == letter)?;
        bits = bits << 6 | u32::try_from(value).ok()?;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from(bits >> held & 0xff).ok()?);
        }
        bits &= (1 << held) - 1;
    }
    (bits == 0).then_some(bytes)
}
