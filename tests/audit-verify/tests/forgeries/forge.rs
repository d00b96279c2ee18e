//! What somebody does who can write to the trail's files: knows the format, recomputes every hash, and has whatever
//! key the case gives them. What they do not have is the key in force.

use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use std::fs;
use std::path::Path;

type Hash = [u8; 32];

/// The lines of each file.
#[derive(Clone)]
pub struct Lines(pub Vec<Vec<Value>>);

fn name(at: usize) -> String {
    format!("{:08}.log", at + 1)
}

impl Lines {
    pub fn read(dir: &Path) -> Self {
        let mut files = Vec::new();
        while let Ok(text) = fs::read_to_string(dir.join(name(files.len()))) {
            files.push(
                text.lines()
                    .map(|line| serde_json::from_str(line).unwrap())
                    .collect(),
            );
        }
        Self(files)
    }

    pub fn write(&self, dir: &Path) {
        for (at, lines) in self.0.iter().enumerate() {
            let text: Vec<String> = lines.iter().map(line).collect();
            fs::write(dir.join(name(at)), text.concat()).unwrap();
        }
        // Files that a forgery left empty are taken away.
        for at in self.0.len().. {
            if fs::remove_file(dir.join(name(at))).is_err() {
                break;
            }
        }
    }

    pub fn count(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }

    /// The file and line of an entry, by its number.
    pub fn place(&self, seq: usize) -> (usize, usize) {
        let mut left = seq - 1;
        for (file, lines) in self.0.iter().enumerate() {
            if left < lines.len() {
                return (file, left);
            }
            left -= lines.len();
        }
        panic!("no entry {seq}");
    }

    pub fn entry(&mut self, seq: usize) -> &mut Value {
        let (file, line) = self.place(seq);
        &mut self.0[file][line]
    }

    pub fn remove(&mut self, seq: usize) -> Value {
        let (file, line) = self.place(seq);
        self.0[file].remove(line)
    }

    pub fn insert(&mut self, seq: usize, entry: Value) {
        let (file, line) = self.place(seq);
        self.0[file].insert(line, entry);
    }

    pub fn swap(&mut self, seq: usize) {
        let (one, next) = (self.entry(seq).clone(), self.entry(seq + 1).clone());
        *self.entry(seq) = next;
        *self.entry(seq + 1) = one;
    }

    pub fn cut(&mut self, keep: usize) {
        while self.count() > keep {
            let last = self.0.last_mut().unwrap();
            last.pop();
            if last.is_empty() {
                self.0.pop();
            }
        }
    }

    /// Numbers, chains and hashes them all again, the heads of files too. Gives the root after each entry.
    pub fn again(&mut self) -> Vec<Hash> {
        let (mut prev, mut leaves, mut roots) = ([0; 32], Vec::new(), Vec::new());
        for entry in self.0.iter_mut().flatten() {
            let before = leaves.len();
            entry["seq"] = (before as u64 + 1).into();
            entry["prev"] = hex(&prev).into();
            if entry["action"] == "audit.segment" {
                entry["fields"]["entries"] = before.to_string().into();
                entry["fields"]["peaks"] = peaks(&leaves).into();
            }
            prev = digest(entry);
            entry["hash"] = hex(&prev).into();
            leaves.push(prev);
            roots.push(root(&leaves));
        }
        roots
    }
}

pub fn line(entry: &Value) -> String {
    let fields = entry["fields"].as_object().unwrap();
    let fields: Vec<String> = fields
        .iter()
        .map(|(key, value)| format!("\"{key}\":{value}"))
        .collect();
    let commit = entry
        .get("commit")
        .map_or(String::new(), |commit| format!("\"commit\":{commit},"));
    format!(
        "{{\"seq\":{},\"time\":{},\"actor\":{},\"action\":{},\"fields\":{{{}}},{commit}\"prev\":{},\"hash\":{}}}\n",
        entry["seq"],
        entry["time"],
        entry["actor"],
        entry["action"],
        fields.join(","),
        entry["prev"],
        entry["hash"]
    )
}

fn digest(entry: &Value) -> Hash {
    let mut bytes = vec![0];
    let number = |bytes: &mut Vec<u8>, number: u64| bytes.extend(number.to_be_bytes());
    let text = |bytes: &mut Vec<u8>, text: &str| {
        bytes.extend((text.len() as u64).to_be_bytes());
        bytes.extend(text.as_bytes());
    };
    text(&mut bytes, "sluice audit entry 1");
    number(&mut bytes, entry["seq"].as_u64().unwrap());
    number(&mut bytes, entry["time"].as_u64().unwrap());
    text(&mut bytes, entry["actor"].as_str().unwrap());
    text(&mut bytes, entry["action"].as_str().unwrap());
    let fields: &Map<String, Value> = entry["fields"].as_object().unwrap();
    number(&mut bytes, fields.len() as u64);
    for (key, value) in fields {
        text(&mut bytes, key);
        text(&mut bytes, value.as_str().unwrap());
    }
    match entry.get("commit").and_then(Value::as_u64) {
        None => bytes.push(0),
        Some(commit) => {
            bytes.push(1);
            number(&mut bytes, commit);
        }
    }
    let prev = entry["prev"].as_str().unwrap();
    bytes.extend((0..32).map(|at| u8::from_str_radix(&prev[2 * at..2 * at + 2], 16).unwrap()));
    Sha256::digest(bytes).into()
}

fn join(left: Hash, right: Hash) -> Hash {
    Sha256::digest([&[1][..], &left, &right].concat()).into()
}

/// RFC 6962, section 2.1, word for word.
fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Sha256::digest([]).into(),
        [one] => *one,
        more => {
            let split = more.len().next_power_of_two() / 2;
            join(root(&more[..split]), root(&more[split..]))
        }
    }
}

fn peaks(mut leaves: &[Hash]) -> String {
    let mut text = String::new();
    while !leaves.is_empty() {
        let full = 1 << leaves.len().ilog2();
        text.push_str(&hex(&root(&leaves[..full])));
        leaves = &leaves[full..];
    }
    text
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<Vec<_>>()
        .concat()
}

/// A checkpoint, signed with this key.
pub fn sign(key: &[u8], origin: &str, size: usize, root: &Hash) -> String {
    let pair = Ed25519KeyPair::from_pkcs8(key).unwrap();
    let body = format!("{origin}\n{size}\n{}\n", base64(root));
    let mut named = format!("{origin}\n\u{1}").into_bytes();
    named.extend(pair.public_key().as_ref());
    let mut signature = Sha256::digest(&named)[..4].to_vec();
    signature.extend(pair.sign(body.as_bytes()).as_ref());
    format!("{body}\n— {origin} {}\n\n", base64(&signature))
}

/// The size of each checkpoint in a file of them.
pub fn sizes(dir: &Path) -> Vec<usize> {
    let text = fs::read_to_string(dir.join("checkpoints")).unwrap();
    text.lines()
        .skip(1)
        .step_by(6)
        .map(|line| line.parse().unwrap())
        .collect()
}

pub fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let mut padded = [0; 4];
        padded[1..=three.len()].copy_from_slice(three);
        let bits = u32::from_be_bytes(padded);
        for at in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * at)) as usize & 63];
            text.push(if at > three.len() {
                '='
            } else {
                char::from(letter)
            });
        }
    }
    text
}
