//! What the record beside the files says of the unit published last.

use super::names::Side;
use serde::{Deserialize, Serialize};
use sluice_sdk::publish;

/// The record.
pub(super) type Record = publish::Record<Files>;

/// What the unit consists of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Files {
    /// Which temporary names its files had.
    pub(super) side: Side,
    pub(super) files: Vec<Moved>,
}

/// A file of the unit: where it was written, and where it belongs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Moved {
    pub(super) from: String,
    pub(super) to: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_sdk::sink::Context;

    /// As earlier versions wrote it.
    #[test]
    fn a_record_is_what_it_was() {
        let context = Context {
            pipeline: "p".into(),
            split: "s".into(),
        };
        let text = r#"{"pipeline":"p","split":"s","epoch":3,"sequence":7,"cursor":"00ff7b","side":"b","files":[{"from":"x/.t","to":"x/y"}]}"#;
        let record = Record::from_bytes("r", text.as_bytes(), &context).expect("a record");
        let files = vec![Moved {
            from: "x/.t".into(),
            to: "x/y".into(),
        }];
        let side = Side::B;
        assert_eq!(record.unit, Files { side, files });
        assert_eq!(record.to_bytes().expect("bytes"), text.as_bytes());
    }
}
