//! What the record beside the objects says of the unit published last.

use serde::{Deserialize, Serialize};
use sluice_sdk::publish;

/// The record.
pub(super) type Record = publish::Record<Objects>;

/// What the unit consists of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Objects {
    pub(super) objects: Vec<Pending>,
    /// Whether all of them are completed: they may be taken away then.
    pub(super) completed: bool,
}

/// An object of the unit: its key, and the parts that it is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pending {
    pub(super) key: String,
    pub(super) upload: String,
    /// Their ETags.
    pub(super) parts: Vec<String>,
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
        let text = r#"{"pipeline":"p","split":"s","epoch":3,"sequence":7,"cursor":"00ff7b","objects":[{"key":"x/y","upload":"u","parts":["\"e\""]}],"completed":false}"#;
        let record = Record::from_bytes("r", text.as_bytes(), &context).expect("a record");
        let objects = vec![Pending {
            key: "x/y".into(),
            upload: "u".into(),
            parts: vec!["\"e\"".into()],
        }];
        let completed = false;
        assert_eq!(record.unit, Objects { objects, completed });
        assert_eq!(record.to_bytes().expect("bytes"), text.as_bytes());
    }
}
