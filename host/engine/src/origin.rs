//! What a component says it was made with: the `producers` sections that compilers write, and the crates that
//! `cargo auditable` lists (`.dep-v0`). The vendor's word, read for people and never decided on; nothing of it keeps a
//! plugin from being looked at, so what cannot be read is told and not an error.

use auditable_serde::VersionInfo;
use miniz_oxide::inflate::decompress_to_vec_zlib_with_limit;
use serde::Serialize;
use sluice_model::guards::Guard;
use sluice_model::limits::{DEPENDENCIES_BYTES_MAX, ORIGIN_ENTRIES_MAX};
use std::collections::BTreeSet;
use wasmparser::{BinaryReader, Parser, Payload, ProducersSectionReader};

const PRODUCERS: &str = "producers";
const DEPENDENCIES: &str = ".dep-v0";
/// A name or a version, as it is kept.
const WORD_CHARS_MAX: usize = 200;

/// What a component says of its making. Core modules inside it included.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Origin {
    /// Languages and tools.
    pub producers: BTreeSet<Producer>,
    /// Crates; none where it does not say.
    pub dependencies: Option<BTreeSet<Dependency>>,
    /// What of it could not be read, and why.
    pub unreadable: Vec<String>,
    /// Bytes of such lists so far.
    #[serde(skip)]
    inflated: usize,
}

/// One language or tool.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Producer {
    /// `language`, `processed-by`, `sdk`.
    pub field: String,
    /// `Rust`, `rustc`, `wit-component`.
    pub name: String,
    /// As it calls itself.
    pub version: String,
}

/// One crate.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Dependency {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// `crates.io`, `git`, `local`, `registry`.
    pub source: String,
    /// `build` where it ran when the component was made, `runtime` where it is in it.
    pub kind: &'static str,
}

/// Reads it off a component, which was validated.
pub fn origin(component: &[u8]) -> Origin {
    let mut origin = Origin::default();
    for payload in Parser::new(0).parse_all(component) {
        match payload {
            Ok(Payload::CustomSection(section)) => {
                let read = match section.name() {
                    PRODUCERS => origin.producers(section.data()),
                    DEPENDENCIES => origin.dependencies(section.data()),
                    _ => Ok(()),
                };
                if let Err(reason) = read
                    && origin.unreadable.len() < Guard::OriginEntries.limit(ORIGIN_ENTRIES_MAX)
                {
                    origin
                        .unreadable
                        .push(format!("`{}`: {reason}", section.name()));
                }
            }
            Ok(_) => {}
            Err(_) => break, // It was validated before: this does not happen, and here it does not matter.
        }
    }
    origin
}

fn word(text: &str) -> String {
    text.chars().take(WORD_CHARS_MAX).collect()
}

impl Origin {
    fn producers(&mut self, data: &[u8]) -> Result<(), String> {
        let broken = |error: wasmparser::BinaryReaderError| error.message().to_owned();
        let fields = ProducersSectionReader::new(BinaryReader::new(data, 0)).map_err(broken)?;
        for field in fields {
            let field = field.map_err(broken)?;
            for value in field.values {
                let value = value.map_err(broken)?;
                if self.producers.len() >= Guard::OriginEntries.limit(ORIGIN_ENTRIES_MAX) {
                    return Err(format!("more than {ORIGIN_ENTRIES_MAX} entries"));
                }
                self.producers.insert(Producer {
                    field: word(field.name),
                    name: word(value.name),
                    version: word(value.version),
                });
            }
        }
        Ok(())
    }

    fn dependencies(&mut self, data: &[u8]) -> Result<(), String> {
        // Of all such sections together.
        let most = Guard::DependenciesBytes.limit(DEPENDENCIES_BYTES_MAX);
        let most = most.saturating_sub(self.inflated);
        let bytes = decompress_to_vec_zlib_with_limit(data, most)
            .inspect_err(|error| self.inflated += error.output.len())
            .map_err(|_| format!("not zlib, or more than {DEPENDENCIES_BYTES_MAX} bytes in all"))?;
        self.inflated += bytes.len();
        let text = String::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned())?;
        let info: VersionInfo = text
            .parse()
            // A wrong value is in it, as long as that is.
            .map_err(|error: serde_json::Error| word(&error.to_string()))?;
        let known = self.dependencies.get_or_insert_default();
        for package in info.packages {
            if known.len() >= Guard::OriginEntries.limit(ORIGIN_ENTRIES_MAX) {
                return Err(format!("more than {ORIGIN_ENTRIES_MAX} crates"));
            }
            known.insert(Dependency {
                name: word(&package.name),
                version: word(&package.version.to_string()),
                source: word(&String::from(package.source)),
                kind: match package.kind {
                    auditable_serde::DependencyKind::Build => "build",
                    auditable_serde::DependencyKind::Runtime => "runtime",
                },
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::append_section;

    fn with(sections: &[(&str, &[u8])]) -> Vec<u8> {
        let mut component = wat::parse_str("(component)").expect("a component");
        for (name, data) in sections {
            append_section(&mut component, name, data);
        }
        component
    }

    fn zlib(text: &[u8]) -> Vec<u8> {
        miniz_oxide::deflate::compress_to_vec_zlib(text, 6)
    }

    #[test]
    fn crates_are_listed() {
        let list = br#"{"packages":[{"name":"adler","version":"0.2.3","source":"crates.io"},{"name":"mine","version":"1.0.0","source":"local","dependencies":[0],"root":true}]}"#;
        let origin = origin(&with(&[(DEPENDENCIES, &zlib(list))]));
        let names: Vec<String> = origin
            .dependencies
            .expect("a list")
            .into_iter()
            .map(|d| format!("{} {} {} {}", d.name, d.version, d.source, d.kind))
            .collect();
        assert_eq!(
            names,
            ["adler 0.2.3 crates.io runtime", "mine 1.0.0 local runtime"]
        );
    }

    #[test]
    fn producers_are_listed_inside_modules_too() {
        // One field, `processed-by`, with one value.
        let mut data = vec![1, 12];
        data.extend_from_slice(b"processed-by");
        data.extend_from_slice(&[1, 5]);
        data.extend_from_slice(b"rustc");
        data.push(6);
        data.extend_from_slice(b"1.95.0");
        let expected = Producer {
            field: "processed-by".into(),
            name: "rustc".into(),
            version: "1.95.0".into(),
        };
        assert_eq!(
            origin(&with(&[(PRODUCERS, &data)])).producers.first(),
            Some(&expected)
        );
        let module = "(component (core module (@producers (processed-by \"rustc\" \"1.95.0\"))))";
        let component = wat::parse_str(module).expect("a component");
        assert_eq!(origin(&component).producers.first(), Some(&expected));
    }

    #[test]
    fn a_list_without_end_is_cut() {
        // One field, `sdk`, with values that differ in their name: `0000`, `0001` …
        let count = ORIGIN_ENTRIES_MAX + 1;
        let mut data = vec![1, 3];
        data.extend_from_slice(b"sdk");
        data.extend_from_slice(&[(count & 0x7f) as u8 | 0x80, (count >> 7) as u8]);
        for at in 0..count {
            data.push(4);
            data.extend_from_slice(format!("{at:04}").as_bytes());
            data.push(0);
        }
        let origin = origin(&with(&[(PRODUCERS, &data)]));
        assert_eq!(origin.producers.len(), ORIGIN_ENTRIES_MAX);
        assert_eq!(
            origin.unreadable,
            ["`producers`: more than 5000 entries".to_owned()]
        );
    }

    #[test]
    fn what_cannot_be_read_is_told_and_bounded() {
        let bomb = zlib(&vec![b' '; DEPENDENCIES_BYTES_MAX + 1]);
        for (name, data, expected) in [
            (DEPENDENCIES, bomb.as_slice(), "or more than"),
            (DEPENDENCIES, b"no zlib", "not zlib"),
            (DEPENDENCIES, &zlib(b"\xff"), "not UTF-8"),
            (DEPENDENCIES, &zlib(b"{}"), "missing field `packages`"),
            (PRODUCERS, b"\xff\xff", "`producers`: "),
        ] {
            let origin = origin(&with(&[(name, data)]));
            assert!(
                origin.unreadable[0].contains(expected),
                "{:?}",
                origin.unreadable
            );
        }
    }

    /// Many sections, each with a value that is as long as it may be.
    #[test]
    fn what_is_told_of_what_cannot_be_read_is_bounded_too() {
        let long = "x".repeat(DEPENDENCIES_BYTES_MAX / 4);
        let list = zlib(format!("{{\"packages\":[{{\"name\":\"a\",\"version\":\"1.0.0\",\"source\":\"local\",\"kind\":\"{long}\"}}]}}").as_bytes());
        let sections = [(DEPENDENCIES, list.as_slice()); 50];
        let origin = origin(&with(&sections));
        assert_eq!(origin.unreadable.len(), 50);
        let told: usize = origin.unreadable.iter().map(String::len).sum();
        assert!(told < 50 * 2 * WORD_CHARS_MAX, "{told}");
        assert!(
            origin.inflated <= DEPENDENCIES_BYTES_MAX,
            "{}",
            origin.inflated
        );
    }
}
