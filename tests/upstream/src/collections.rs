//! The records, by collection, and the idempotency keys that were seen. Knows nothing of HTTP.

use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

/// What arrived so far.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    /// Requests of any kind.
    pub requests: u64,
    /// Records, by collection.
    pub collections: BTreeMap<String, usize>,
    /// Records whose idempotency key had been seen, and which therefore changed nothing.
    pub repeated: u64,
    /// Records refused with 422.
    pub refused: u64,
}

/// What became of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Created(String),
    Replaced(String),
    Repeated(String),
    Refused(String),
}

#[derive(Default)]
struct Collection {
    records: Vec<(String, Value)>,
    by_id: HashMap<String, usize>,
    keys: HashMap<String, String>,
    next_id: u64,
}

#[derive(Default)]
pub(crate) struct Collections {
    by_name: BTreeMap<String, Collection>,
    repeated: u64,
    refused: u64,
}

impl Collections {
    pub(crate) fn new(seed: &[(String, Vec<Value>)]) -> Self {
        let mut collections = Self::default();
        for (name, records) in seed {
            let collection = collections.by_name.entry(name.clone()).or_default();
            for record in records {
                collection.append(record.clone());
            }
        }
        collections
    }

    /// Keeps a record unless its key was seen before. A refusal does not use its key up.
    pub(crate) fn post(
        &mut self,
        name: &str,
        key: Option<&str>,
        record: Value,
        refusal: Option<String>,
    ) -> Outcome {
        let collection = self.by_name.entry(name.to_owned()).or_default();
        if let Some(id) = key.and_then(|key| collection.keys.get(key)) {
            self.repeated += 1;
            return Outcome::Repeated(id.clone());
        }
        if let Some(reason) = refusal {
            self.refused += 1;
            return Outcome::Refused(reason);
        }
        let id = collection.append(record);
        if let Some(key) = key {
            collection.keys.insert(key.to_owned(), id.clone());
        }
        Outcome::Created(id)
    }

    /// Sets the record of this id.
    pub(crate) fn put(
        &mut self,
        name: &str,
        id: &str,
        record: Value,
        refusal: Option<String>,
    ) -> Outcome {
        if let Some(reason) = refusal {
            self.refused += 1;
            return Outcome::Refused(reason);
        }
        let collection = self.by_name.entry(name.to_owned()).or_default();
        if let Some(&at) = collection.by_id.get(id) {
            collection.records[at].1 = record;
            return Outcome::Replaced(id.to_owned());
        }
        collection.insert(id.to_owned(), record);
        Outcome::Created(id.to_owned())
    }

    /// Whether there was one.
    pub(crate) fn delete(&mut self, name: &str, id: &str) -> bool {
        let Some(collection) = self.by_name.get_mut(name) else {
            return false;
        };
        let Some(at) = collection.by_id.remove(id) else {
            return false;
        };
        collection.records.remove(at);
        collection
            .by_id
            .values_mut()
            .filter(|place| **place > at)
            .for_each(|place| *place -= 1);
        true
    }

    pub(crate) fn values(&self, name: &str) -> Vec<Value> {
        self.by_name
            .get(name)
            .into_iter()
            .flat_map(|all| &all.records)
            .map(|(_, value)| value.clone())
            .collect()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    pub(crate) fn counts(&self, requests: u64) -> Counts {
        let collections = self
            .by_name
            .iter()
            .map(|(name, all)| (name.clone(), all.records.len()))
            .collect();
        Counts {
            requests,
            collections,
            repeated: self.repeated,
            refused: self.refused,
        }
    }
}

impl Collection {
    fn insert(&mut self, id: String, record: Value) {
        self.by_id.insert(id.clone(), self.records.len());
        self.records.push((id, record));
    }

    /// Under a number of its own: an API without keys takes the same record twice, and so does this one.
    fn append(&mut self, record: Value) -> String {
        self.next_id += 1;
        while self.by_id.contains_key(&self.next_id.to_string()) {
            self.next_id += 1;
        }
        let id = self.next_id.to_string();
        self.insert(id.clone(), record);
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_key_counts_once_and_no_key_never() {
        let mut all = Collections::default();
        let mut post = |key, value| all.post("c", key, value, None);
        assert_eq!(post(Some("k"), json!(1)), Outcome::Created("1".into()));
        assert_eq!(post(Some("k"), json!(2)), Outcome::Repeated("1".into()));
        assert_eq!(post(None, json!(3)), Outcome::Created("2".into()));
        assert_eq!(post(None, json!(3)), Outcome::Created("3".into()));
        assert_eq!(all.values("c"), [json!(1), json!(3), json!(3)]);
        assert_eq!(all.counts(0).repeated, 1);
    }

    #[test]
    fn a_refused_key_may_be_sent_again() {
        let mut all = Collections::default();
        assert_eq!(
            all.post("c", Some("k"), json!(1), Some("no".into())),
            Outcome::Refused("no".into())
        );
        assert_eq!(
            all.post("c", Some("k"), json!(1), None),
            Outcome::Created("1".into())
        );
        assert_eq!(all.counts(0).refused, 1);
    }

    #[test]
    fn an_id_is_put_replaced_and_deleted() {
        let mut all = Collections::default();
        assert_eq!(
            all.put("c", "1", json!("a"), None),
            Outcome::Created("1".into())
        );
        assert_eq!(
            all.post("c", None, json!("b"), None),
            Outcome::Created("2".into())
        );
        assert_eq!(
            all.put("c", "2", json!("B"), None),
            Outcome::Replaced("2".into())
        );
        assert!(all.delete("c", "1") && !all.delete("c", "1") && !all.delete("d", "1"));
        assert_eq!(
            all.put("c", "2", json!("C"), None),
            Outcome::Replaced("2".into())
        );
        assert_eq!(all.values("c"), [json!("C")]);
    }
}
