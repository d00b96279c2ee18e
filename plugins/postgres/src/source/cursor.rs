//! Where a split is: behind which row, and between which bounds. Values stand as PostgreSQL writes them, so that an
//! operator reads them, and sets one by hand.

use super::catalog::Table;
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

/// Where a table is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TablePlace {
    /// The columns by which the table is read; none where that is left to its settings.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) by: Vec<String>,
    /// Their values in the last row that was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) after: Option<Vec<String>>,
    /// Of a range: the key's first column is above this,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) above: Option<String>,
    /// and at most this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) up_to: Option<String>,
    /// Of a range: the table had no rows to tell the bounds by, and another range has all of it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) nothing: bool,
    /// The slot whose log has what changes from where the table was begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) log: Option<String>,
    /// It was read to its end, and what comes is in that log.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) ended: bool,
    /// Bytes that were read before.
    pub(super) bytes: u64,
}

impl TablePlace {
    /// Whether it is a place in this table as it is read now.
    pub(super) fn fits(&self, table: &Table) -> Result<(), Fault> {
        let order = table.order();
        let names = || order.iter().map(|column| column.name.as_str());
        let is_same = self.by.is_empty() || self.by.iter().map(String::as_str).eq(names());
        let is_whole = self
            .after
            .as_ref()
            .is_none_or(|after| after.len() == order.len());
        if is_same && is_whole {
            return Ok(());
        }
        let columns: Vec<&str> = names().collect();
        Err(Fault::cursor_lost(format!(
            "the place in `{}` is not one in the order of `{}`, by which it is read now; \
             hint: reset the checkpoint of this split",
            table.name,
            columns.join("`, `")
        )))
    }

    /// Has it be read beside the log of this slot: from its beginning, or on, where that is the log that it was begun beside.
    pub(super) fn beside(&mut self, slot: Option<&str>) -> Result<(), Fault> {
        match (slot, &self.log) {
            (Some(slot), Some(log)) if slot == log => Ok(()),
            (Some(slot), None) if self.after.is_none() => {
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

    /// Behind the row with these values, so many bytes on.
    pub(super) fn advance(&mut self, table: &Table, after: Vec<String>, bytes: usize) {
        self.by = table
            .order()
            .iter()
            .map(|column| column.name.clone())
            .collect();
        self.after = Some(after);
        self.bytes += bytes as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::catalog::tests::orders;

    fn read(json: &str) -> TablePlace {
        serde_json::from_str(json).expect(json)
    }

    #[test]
    fn what_is_not_said_is_left_out_and_need_not_be_there() {
        assert_eq!(read("{}"), TablePlace::default());
        let by_hand = read(r#"{"after":["17"]}"#);
        assert_eq!(by_hand.after, Some(vec!["17".to_owned()]));
        let mut cursor = read(r#"{"above":"10","up_to":"20","bytes":5}"#);
        assert_eq!(cursor.up_to.as_deref(), Some("20"));
        cursor.advance(&orders("{}"), vec!["17".to_owned()], 100);
        assert_eq!(
            serde_json::to_string(&cursor).expect("json"),
            r#"{"by":["id"],"after":["17"],"above":"10","up_to":"20","bytes":105}"#
        );
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

    #[test]
    fn a_place_in_another_order_is_lost() {
        let (by_key, by_time) = (orders("{}"), orders(r#"{"cursor":"at"}"#));
        let mut cursor = TablePlace::default();
        cursor.advance(&by_key, vec!["17".to_owned()], 1);
        assert_eq!(cursor.fits(&by_key), Ok(()));
        let fault = cursor.fits(&by_time).expect_err("another order");
        assert!(matches!(fault, Fault::CursorLost(_)));
        assert!(
            fault.message().contains("the order of `at`, `id`"),
            "{fault}"
        );
        assert!(read(r#"{"after":["1","2"]}"#).fits(&by_key).is_err());
        assert_eq!(read(r#"{"after":["1"]}"#).fits(&by_key), Ok(()));
    }
}
