//! What was used, and when last: summed from the trail's own entries, so that there is one record and it cannot be
//! changed unseen.

use crate::action::Action;
use crate::entry::Entry;
use serde::Serialize;
use std::collections::BTreeMap;

/// Something that was granted, as it was used.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Use {
    /// Requests, connections, opened directories, batches.
    pub times: u64,
    /// Towards it.
    pub bytes_out: u64,
    /// From it.
    pub bytes_in: u64,
    /// When last, in milliseconds since 1970.
    pub last_ms: u64,
}

/// What each plugin used in each pipeline: by (pipeline, plugin), then by (capability, name).
#[derive(Debug, Clone, Default)]
pub struct Uses(pub BTreeMap<(String, String), BTreeMap<(String, String), Use>>);

impl Uses {
    /// Adds what an entry says of use.
    pub fn add(&mut self, entry: &Entry) {
        if entry.action != Action::Used.word() {
            return;
        }
        let field = |key: &str| entry.field(key).unwrap_or_default().to_owned();
        let number = |key: &str| {
            entry
                .field(key)
                .and_then(|text| text.parse().ok())
                .unwrap_or(0)
        };
        let party = self
            .0
            .entry((field("pipeline"), field("plugin")))
            .or_default();
        let capability = field("capability");
        let mut add = |name: String, times: u64, bytes_out: u64, bytes_in: u64| {
            let sum = party.entry((capability.clone(), name)).or_default();
            sum.times = sum.times.saturating_add(times);
            sum.bytes_out = sum.bytes_out.saturating_add(bytes_out);
            sum.bytes_in = sum.bytes_in.saturating_add(bytes_in);
            sum.last_ms = sum.last_ms.max(entry.time);
        };
        match entry.field("names") {
            Some(names) => {
                let names: Vec<(String, u64)> = serde_json::from_str(names).unwrap_or_default();
                for (name, times) in names {
                    add(name, times, 0, 0);
                }
            }
            None if entry.field("others").is_some() => {
                add("others".to_owned(), number("others"), 0, 0);
            }
            None => add(
                field("name"),
                number("times"),
                number("bytes-out"),
                number("bytes-in"),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Act, Actor, Hash};

    #[test]
    fn uses_add_up() {
        let entry = |time: u64, act: &Act| Entry::new(time, time, &Actor::host(), act, Hash::NONE);
        let of = |act: Act| act.with("pipeline", "p").with("plugin", "a/b 1.0.0");
        let http = of(Action::Used.with("capability", "http"))
            .with("name", "https://api.test:443")
            .with("times", 2)
            .with("bytes-out", 5)
            .with("bytes-in", 50);
        let columns = of(Action::Used.with("capability", "data.reads"))
            .names("names", &[("email".to_owned(), 3)]);
        let mut uses = Uses::default();
        for (time, act) in [
            (1, &http),
            (9, &http),
            (4, &columns),
            (5, &of(Action::Refused.into())),
        ] {
            uses.add(&entry(time, act));
        }
        let of = &uses.0[&("p".to_owned(), "a/b 1.0.0".to_owned())];
        let http = &of[&("http".to_owned(), "https://api.test:443".to_owned())];
        assert_eq!(
            (http.times, http.bytes_out, http.bytes_in, http.last_ms),
            (4, 10, 100, 9)
        );
        assert_eq!(of[&("data.reads".to_owned(), "email".to_owned())].times, 3);
        assert_eq!(of.len(), 2);
    }
}
