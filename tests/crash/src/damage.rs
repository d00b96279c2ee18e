//! Damage to one file: what a failing disk, or somebody's hand, does to it.

use crate::chance::Chance;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

const PAGE_BYTES: u64 = 4096;

/// What is done to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// One bit is another.
    Flip,
    /// A page is zeros.
    Zero,
    /// Its end is gone.
    Cut,
    /// It is gone.
    Remove,
}

/// All of them, in the order in which they take turns.
pub const ALL: [Damage; 4] = [Damage::Flip, Damage::Zero, Damage::Cut, Damage::Remove];

impl Damage {
    /// Does it, and says where. None where the file is empty, which damages nothing.
    pub fn spoil(self, file: &Path, chance: &mut Chance) -> Option<String> {
        let length = fs::metadata(file).expect("a file to spoil").len();
        if self == Self::Remove {
            fs::remove_file(file).expect("removes");
            return Some("removed".to_owned());
        }
        if length == 0 {
            return None;
        }
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .open(file)
            .expect("opens");
        let at = place(&opened, length, chance);
        Some(match self {
            Self::Flip => {
                let mut byte = [0];
                opened.read_exact_at(&mut byte, at).expect("reads");
                let bit = chance.below(8);
                opened
                    .write_all_at(&[byte[0] ^ 1 << bit], at)
                    .expect("writes");
                format!("bit {bit} of byte {at} of {length} flipped")
            }
            Self::Zero => {
                let page = at / PAGE_BYTES * PAGE_BYTES;
                let bytes = PAGE_BYTES.min(length - page);
                opened
                    .write_all_at(&vec![0; bytes as usize], page)
                    .expect("writes");
                format!("{bytes} bytes from {page} of {length} zeroed")
            }
            Self::Cut | Self::Remove => {
                opened.set_len(at).expect("cuts");
                format!("cut to {at} of {length}")
            }
        })
    }
}

/// A byte that says something: in a file with holes most do not.
fn place(file: &File, length: u64, chance: &mut Chance) -> u64 {
    const TRIES: u32 = 5_000;
    let mut byte = [0];
    for _ in 0..TRIES {
        let at = chance.below(length);
        file.read_exact_at(&mut byte, at).expect("reads");
        if byte[0] != 0 {
            return at;
        }
    }
    chance.below(length)
}
