//! The organisation's policy, ready to decide: its patterns parsed, and for each key the line it stands on, for a
//! refusal names the line that would change it.
//!
//! ```text
//! policy.toml ─ Organisation ─┬─ start   what of a grant it forbids before a stage starts
//!                             ├─ decide  what of a guest's call it forbids, whatever the grant says
//!                             └─ narrow  which key leaves less than a grant allows, for reports
//! ```

mod decide;
mod name;
mod narrow;
mod start;

pub use start::Forbidden;

use crate::columns::Columns;
use crate::host::HostPattern;
use name::NamePattern;
use sluice_model::grant::ipnet_text::Network;
use sluice_model::guards::Guard;
use sluice_model::ids::PluginName;
use sluice_model::policy::Policy;
use sluice_model::ports::Refusal;
use sluice_model::tomlfile::{FileError, locate};
use std::time::Duration;

/// A policy that was read. The default one forbids nothing.
#[derive(Debug, Clone, Default)]
pub struct Organisation {
    /// As messages name it.
    file: String,
    hosts: Option<Key<Vec<HostPattern>>>,
    deny: Vec<Key<HostPattern>>,
    /// Where it says `wildcards = false`.
    no_wildcards: Option<Key<()>>,
    networks: Option<Key<Vec<Network>>>,
    /// Where it says `plain = false`.
    no_plain: Option<Key<()>>,
    reveal: Option<Key<Vec<PluginName>>>,
    memory_bytes_max: Option<Key<u64>>,
    call_time_max: Option<Key<Duration>>,
    roots: Option<Key<Vec<String>>>,
    classes: Vec<Class>,
    /// Where it says `required = true`.
    signed: Option<Key<()>>,
    unsigned: Key<Vec<PluginName>>,
    signers: Option<Key<Vec<String>>>,
}

/// What a key says, and the line it stands on.
#[derive(Debug, Clone, Default)]
struct Key<T> {
    line: usize,
    says: T,
}

/// Columns that go to some hosts only.
#[derive(Debug, Clone)]
struct Class {
    name: String,
    columns: Vec<NamePattern>,
    hosts: Key<Vec<HostPattern>>,
}

/// A class that a stage is bound by, for it may see one of its columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bound {
    /// The class's place in the file, from zero.
    class: usize,
    /// The column; `*` where the stage may see every one.
    column: String,
}

/// Why the policy forbids a thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct No {
    file: String,
    line: usize,
    reason: String,
    hint: String,
}

impl No {
    pub(crate) fn refusal(self, capability: &'static str, asked: String) -> Refusal {
        Refusal {
            capability,
            asked,
            reason: self.reason,
            hint: Some(self.hint),
        }
    }

    /// In one line, for a report.
    pub(crate) fn told(&self) -> String {
        format!("{} ({}:{})", self.reason, self.file, self.line)
    }
}

impl Organisation {
    /// Reads a policy file, or says all that is wrong with it.
    pub fn read(file: &str, text: &str) -> Result<Self, Vec<FileError>> {
        let policy = Policy::parse(file, text).map_err(|error| vec![error])?;
        let mut reader = Reader {
            file,
            text,
            wrong: Vec::new(),
        };
        let organisation = reader.organisation(policy);
        if reader.wrong.is_empty() {
            Ok(organisation)
        } else {
            Err(reader.wrong)
        }
    }

    /// The ceilings it sets to memory and to the time of a call, over what a manifest and a grant leave.
    pub(crate) fn lowered(&self, memory_bytes: u64, call_time: Duration) -> (u64, Duration) {
        if !Guard::PolicyCeilings.stands() {
            return (memory_bytes, call_time);
        }
        let ceiling = self.memory_bytes_max.as_ref();
        let memory_bytes = ceiling.map_or(memory_bytes, |key| key.says.min(memory_bytes));
        let ceiling = self.call_time_max.as_ref();
        let call_time = ceiling.map_or(call_time, |key| key.says.min(call_time));
        (memory_bytes, call_time)
    }

    /// Whether it has any class of columns.
    pub fn has_classes(&self) -> bool {
        !self.classes.is_empty()
    }

    /// Whether a column of this name is in one of its classes.
    pub fn classifies(&self, column: &str) -> bool {
        let mut patterns = self.classes.iter().flat_map(|class| &class.columns);
        patterns.any(|pattern| pattern.fits(column))
    }

    /// The classes that bind whoever may see these columns.
    pub(crate) fn bounds(&self, reads: &Columns) -> Vec<Bound> {
        let bound = |(class, about): (usize, &Class)| {
            let column = match reads {
                Columns::Every => Some("*".to_owned()),
                Columns::Named(names) => names
                    .iter()
                    .find(|name| about.columns.iter().any(|pattern| pattern.fits(name)))
                    .cloned(),
            };
            column.map(|column| Bound { class, column })
        };
        self.classes.iter().enumerate().filter_map(bound).collect()
    }
}

/// Reads patterns, and remembers what is wrong.
struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    wrong: Vec<FileError>,
}

impl Reader<'_> {
    fn organisation(&mut self, policy: Policy) -> Organisation {
        let Policy {
            http,
            secrets,
            limits,
            dir,
            class,
            signing,
        } = policy;
        Organisation {
            file: self.file.to_owned(),
            hosts: http.hosts.map(|hosts| self.hosts("/http/hosts", &hosts)),
            deny: self.each_host("/http/deny", &http.deny),
            no_wildcards: (!http.wildcards).then(|| self.key("/http/wildcards", ())),
            networks: self.optional("/http/networks", http.networks),
            no_plain: (!http.plain).then(|| self.key("/http/plain", ())),
            reveal: self.optional("/secrets/reveal", secrets.reveal),
            memory_bytes_max: self.optional("/limits/memory", limits.memory.map(|memory| memory.0)),
            call_time_max: self.optional("/limits/call_time", limits.call_time.map(|time| time.0)),
            roots: self.optional("/dir/roots", dir.roots),
            classes: class
                .into_iter()
                .enumerate()
                .map(|(at, class)| Class {
                    name: class.name,
                    columns: class
                        .columns
                        .iter()
                        .map(|text| NamePattern::of(text))
                        .collect(),
                    hosts: self.hosts(&format!("/class/{at}/hosts"), &class.hosts),
                })
                .collect(),
            signed: signing.required.then(|| self.key("/signing/required", ())),
            unsigned: self.key("/signing/unsigned", signing.unsigned),
            signers: self.optional("/signing/signers", signing.signers),
        }
    }

    fn key<T>(&self, pointer: &str, says: T) -> Key<T> {
        let before = &self.text[..locate(self.text, pointer).unwrap_or_default()];
        let line = before.matches('\n').count() + 1;
        Key { line, says }
    }

    fn optional<T>(&self, pointer: &str, says: Option<T>) -> Option<Key<T>> {
        says.map(|says| self.key(pointer, says))
    }

    fn hosts(&mut self, pointer: &str, texts: &[String]) -> Key<Vec<HostPattern>> {
        let patterns = self.each_host(pointer, texts);
        self.key(pointer, patterns.into_iter().map(|key| key.says).collect())
    }

    fn each_host(&mut self, pointer: &str, texts: &[String]) -> Vec<Key<HostPattern>> {
        let mut found = Vec::new();
        for (at, text) in texts.iter().enumerate() {
            let place = format!("{pointer}/{at}");
            match HostPattern::parse(text) {
                Ok(pattern) => found.push(self.key(&place, pattern)),
                Err(error) => {
                    let wrong = FileError::new(self.file, format!("`{text}`: {error}"));
                    self.wrong.push(wrong.at_pointer(self.text, &place));
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_that_cannot_be_read_is_told_by_its_line() {
        let text = "[http]\nhosts = [\n  \"*.example\",\n  \"api.acme.example\",\n]\ndeny = [\"127.1\"]\n\
                    [[class]]\nname = \"pii\"\ncolumns = [\"email\"]\nhosts = [\"*\"]\n";
        let wrong = Organisation::read("policy.toml", text).expect_err("three mistakes");
        let told: Vec<String> = wrong.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "policy.toml:3:3: `*.example`: `*` stands once, in front, with two parts or more behind it: `*.acme.example`",
                "policy.toml:6:9: `127.1`: an address is written `127.0.0.1`",
                "policy.toml:10:10: `*`: `*` stands once, in front, with two parts or more behind it: `*.acme.example`",
            ]
        );
    }

    #[test]
    fn a_class_binds_whoever_may_see_one_of_its_columns() {
        let text = "[[class]]\nname = \"pii\"\ncolumns = [\"email\", \"*_ssn\"]\nhosts = []\n\
                    [[class]]\nname = \"pay\"\ncolumns = [\"salary\"]\nhosts = []\n";
        let organisation = Organisation::read("policy.toml", text).expect("a policy");
        let check = |columns: &[&str], expected: &[(usize, &str)]| {
            let columns = Columns::of(columns.iter().map(ToString::to_string));
            let bounds = organisation.bounds(&columns);
            let found: Vec<_> = bounds
                .iter()
                .map(|bound| (bound.class, bound.column.as_str()))
                .collect();
            assert_eq!(found, expected);
        };
        check(&[], &[]);
        check(&["id", "ssn"], &[]);
        check(&["id", "Email"], &[(0, "Email")]);
        check(&["old_ssn", "salary"], &[(0, "old_ssn"), (1, "salary")]);
        check(&["*"], &[(0, "*"), (1, "*")]);
    }
}
