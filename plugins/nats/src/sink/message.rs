//! A record as a message: its id, and what stands before its body.

use sha2::{Digest, Sha256};
use sluice_sdk::Change;
use std::fmt::Write as _;

/// Sets these hashes apart from all others.
const DOMAIN: &[u8] = b"sluice/nats id 1";

/// A message's id, in hexadecimal digits. The host's row id alone would not do: a later version of a record has the same,
/// and so have two records that a transform made of one.
pub(super) fn id_of(row_id: &[u8], subject: &str, record: &[u8], change: Change) -> String {
    let change: &[u8] = if change == Change::Delete {
        b"delete"
    } else {
        b"upsert"
    };
    let mut hash = Sha256::new();
    for part in [DOMAIN, row_id, subject.as_bytes(), record, change] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize()[..16]
        .iter()
        .fold(String::with_capacity(32), |mut hex, byte| {
            // Writing to a string cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}

/// What stands before the body.
pub(super) fn head(id: &str, change: Change) -> String {
    let change = if change == Change::Delete {
        "Sluice-Change: delete\r\n"
    } else {
        ""
    };
    format!("NATS/1.0\r\nNats-Msg-Id: {id}\r\n{change}\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_of_one_version_of_one_record() {
        let id = id_of(&[1; 16], "a", b"{}", Change::Upsert);
        assert_eq!(id, id_of(&[1; 16], "a", b"{}", Change::Upsert));
        assert_eq!(id.len(), 32);
        for other in [
            id_of(&[2; 16], "a", b"{}", Change::Upsert),
            id_of(&[1; 16], "b", b"{}", Change::Upsert),
            id_of(&[1; 16], "a", b"{ }", Change::Upsert),
            id_of(&[1; 16], "a", b"{}", Change::Delete),
        ] {
            assert_ne!(id, other);
        }
    }

    #[test]
    fn a_head_is_what_the_server_reads() {
        assert_eq!(
            head("7f", Change::Upsert),
            "NATS/1.0\r\nNats-Msg-Id: 7f\r\n\r\n"
        );
        assert_eq!(
            head("7f", Change::Delete),
            "NATS/1.0\r\nNats-Msg-Id: 7f\r\nSluice-Change: delete\r\n\r\n"
        );
    }
}
