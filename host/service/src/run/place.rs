//! The host's cursor: the source's own, and where the line count of the document being read stands. It is what a
//! checkpoint keeps and a sink is handed, so that a resumed run still names lines rightly.

use crate::Error;
use serde::{Deserialize, Serialize};
use sluice_model::checkpoint::Cursor;
use sluice_model::fault::{Fault, FaultKind};
use sluice_model::guards::Guard;

/// A place in a split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// In the source's own encoding.
    pub source: Cursor,
    /// Which version of that: the manifest's `[source] cursor`.
    #[serde(default = "first", skip_serializing_if = "is_first")]
    pub version: u32,
    /// The document last read from, and the number of its next line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<Line>,
}

/// The next line of a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The document.
    pub name: String,
    /// Its next line, from 1.
    pub next: u64,
}

fn first() -> u32 {
    1
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "what serde calls it with"
)]
fn is_first(version: &u32) -> bool {
    *version == first()
}

impl Place {
    /// Refuses a place that a newer version of the plugin gave.
    pub fn readable_by(&self, version: u32) -> Result<(), Fault> {
        if Guard::CursorVersion.bars(self.version > version) {
            let message = format!(
                "the stored place is of version {}, and this version of the plugin reads up to {version}",
                self.version
            );
            return Err(Fault::new(FaultKind::Misconfigured, message).hint(
                "put the newer version of the plugin back; or choose another place with `sluice checkpoint set`",
            ));
        }
        Ok(())
    }

    /// As it is stored.
    pub fn encode(&self) -> Cursor {
        Cursor::from(serde_json::to_vec(self).expect("a place is plain data, which JSON holds"))
    }

    /// As it was stored.
    pub fn decode(cursor: &Cursor) -> Result<Self, Fault> {
        serde_json::from_slice(cursor.as_bytes()).map_err(|error| {
            Fault::new(
                FaultKind::Host,
                format!("a stored place cannot be read: {error}"),
            )
        })
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Error::failed("run", fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_never_read_by_an_older_plugin() {
        let place = |version| Place {
            source: Cursor::from(&b"7"[..]),
            version,
            document: None,
        };
        for (stored, plugin, reads) in [(1, 1, true), (1, 2, true), (2, 2, true), (2, 1, false)] {
            let place = Place::decode(&place(stored).encode()).expect("a place");
            assert_eq!(place.version, stored);
            assert_eq!(
                place.readable_by(plugin).is_ok(),
                reads,
                "{stored} {plugin}"
            );
        }
        let old = Cursor::from(&br#"{"source":"7"}"#[..]);
        assert_eq!(Place::decode(&old), Ok(place(1)));
    }
}
