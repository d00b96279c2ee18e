//! Where a split is: behind which row, and between which bounds. Values stand as PostgreSQL writes them, so that an
//! operator reads them, and sets one by hand.

use super::changes::Place;
use serde::{Deserialize, Serialize};
use sluice_sdk::Fault;

/// Where a split is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Cursor {
    /// One that reads the log.
    Log(Place),
    /// One that reads a table.
    Table(TablePlace),
}

/// Where a table is, and the log beside it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TablePlace {
    #[serde(flatten)]
    pub(super) place: sluice_sql::Place,
    /// The slot whose log has what changes from where the table was begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) log: Option<String>,
    /// It was read to its end, and what comes is in that log.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) ended: bool,
}

impl TablePlace {
    /// Has it be read beside the log of this slot: from its beginning, or on, where that is the log that it was begun beside.
    pub(super) fn beside(&mut self, slot: Option<&str>) -> Result<(), Fault> {
        match (slot, &self.log) {
            (Some(slot), Some(log)) if slot == log => Ok(()),
            (Some(slot), None) if self.place.after.is_none() => {
                self.log = Some(slot.to_owned());
                Ok(())
            }
            (None, _) => {
                self.ended = false;
                Ok(())
            }
            (Some(slot), _) => Err(Fault::cursor_lost(format!(
                "what changed in the rows that were read is not in the log of `{slot}`, which was not there or is another's; \
                 hint: reset the checkpoints of this pipeline"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> TablePlace {
        serde_json::from_str(json).expect(json)
    }

    #[test]
    fn what_is_said_of_a_table_and_of_the_log_is_one_place() {
        let json =
            r#"{"by":["id"],"after":["17"],"above":"10","bytes":105,"log":"a","ended":true}"#;
        let place = read(json);
        assert_eq!(place.place.after, Some(vec!["17".to_owned()]));
        assert_eq!(serde_json::to_string(&place).expect("json"), json);
        assert_eq!(read("{}"), TablePlace::default());
        assert!(serde_json::from_str::<TablePlace>(r#"{"behind":["17"]}"#).is_err());
    }

    #[test]
    fn a_place_of_the_log_is_told_from_one_of_a_table() {
        let read = |json: &str| serde_json::from_str::<Cursor>(json);
        for json in [
            r#"{"lsn":"16/B374D848"}"#,
            r#"{"lsn":"0/10","within":{"commit":"0/20","changes":7}}"#,
        ] {
            let cursor = read(json).expect(json);
            assert!(matches!(cursor, Cursor::Log(_)), "{json}");
            assert_eq!(serde_json::to_string(&cursor).expect("json"), json);
        }
        let ended = r#"{"ended":true,"bytes":7}"#;
        assert!(matches!(read(ended), Ok(Cursor::Table(place)) if place.ended));
        assert!(read(r#"{"lsn":"16/B374D848","bytes":7}"#).is_err());
    }

    #[test]
    fn a_table_is_followed_by_the_log_that_it_was_begun_beside() {
        let mut fresh = read(r#"{"above":"7"}"#);
        fresh.beside(Some("a")).expect("it begins");
        assert_eq!(fresh.log.as_deref(), Some("a"));
        let begun = |log: &str| read(&format!(r#"{{"after":["7"],{log}"ended":true}}"#));
        assert_eq!(begun(r#""log":"a","#).beside(Some("a")), Ok(()));
        for log in [r#""log":"b","#, ""] {
            let lost = begun(log).beside(Some("a")).expect_err("another log");
            assert!(matches!(lost, Fault::CursorLost(_)), "{lost}");
        }
        let mut without = begun(r#""log":"a","#);
        assert_eq!((without.beside(None), without.ended), (Ok(()), false));
    }
}
