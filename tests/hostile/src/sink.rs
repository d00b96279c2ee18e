//! How it lies about what it wrote.

use crate::behaviour::Behaviour;
use crate::bindings::exports::sluice::plugin::sink::{
    Commit, Guest, GuestWriter, Part, Target, Writer,
};
use crate::bindings::sluice::plugin::log::{self, Level};
use crate::bindings::sluice::plugin::records::{Batch, Format, encode_parquet};
use crate::bindings::sluice::plugin::types::{Fault, Rejection};
use crate::poison::Poison;
use crate::{Hostile, behaviour};
use std::cell::RefCell;

impl Guest for Hostile {
    type Writer = Lying;

    fn check(_: String) -> Result<(), Fault> {
        Ok(())
    }
}

pub struct Lying {
    behaviour: Behaviour,
    poison: Poison,
    /// The pipeline and the split.
    place: (String, String),
    kept: RefCell<Vec<Batch>>,
}

impl GuestWriter for Lying {
    fn open(
        config: String,
        pipeline: String,
        split: String,
        _: Vec<Target>,
    ) -> Result<Writer, Fault> {
        Ok(Writer::new(Lying {
            behaviour: behaviour(&config),
            poison: Poison::of(&config).open()?,
            place: (pipeline, split),
            kept: RefCell::default(),
        }))
    }

    fn committed(&self) -> Result<Option<Commit>, Fault> {
        let stranger = || Commit {
            pipeline: "other".to_owned(),
            split: "all".to_owned(),
            cursor: vec![],
            epoch: u64::MAX,
            sequence: u64::MAX,
        };
        let (pipeline, split) = self.place.clone();
        let own = Commit {
            pipeline,
            split,
            ..stranger()
        };
        Ok(match self.behaviour {
            Behaviour::CommitStranger => Some(stranger()),
            Behaviour::CommitAhead => Some(own),
            Behaviour::CommitHuge => Some(Commit {
                cursor: vec![0; (64 << 10) + 1],
                epoch: 1,
                sequence: 1,
                ..own
            }),
            _ => None,
        })
    }

    fn write(&self, parts: Vec<Part>, _: Commit) -> Result<Vec<Rejection>, Fault> {
        let reject = |part, row| {
            vec![Rejection {
                part,
                row,
                code: "no".to_owned(),
                message: "no".to_owned(),
            }]
        };
        let rejections = match self.behaviour {
            Behaviour::Honest => honest(&parts)?,
            Behaviour::SinkRejectMany => {
                let row = reject(0, 0);
                (0..100_000).flat_map(|_| row.clone()).collect()
            }
            Behaviour::SinkRejectText => {
                let hidden = "a\u{1b}[2J\u{202e}b".repeat(100_000);
                let mut rejections = reject(0, 0);
                rejections[0].code.clone_from(&hidden);
                rejections[0].message = hidden;
                rejections
            }
            Behaviour::EncodeUndeclared => {
                encode_undeclared(&parts)?;
                assert_hidden(&parquet(parts)?);
                return Ok(vec![]);
            }
            Behaviour::ParquetEmpty => {
                parquet(vec![])?;
                vec![]
            }
            Behaviour::ParquetMixed => {
                parquet(parts)?;
                return Ok(vec![]);
            }
            Behaviour::EncodeStorm => loop {
                let _ = std::hint::black_box(parts[0].batch.encode(Format::Ndjson));
            },
            Behaviour::SinkPoison => {
                // Of the whole unit first: what is written of one is written of all.
                let tasted = parts.iter().map(|part| self.poison.taste(&part.batch));
                for ids in tasted.collect::<Result<Vec<_>, _>>()? {
                    self.poison.keep(&ids)?;
                }
                vec![]
            }
            Behaviour::WritePanic => panic!("in the middle of a unit"),
            Behaviour::SinkRejectPart => reject(parts.len() as u32, 0),
            Behaviour::SinkRejectRow => reject(0, parts[0].batch.rows()),
            _ => vec![],
        };
        if matches!(self.behaviour, Behaviour::BatchLeak | Behaviour::BatchLate) {
            let mut kept = self.kept.borrow_mut();
            if let (Behaviour::BatchLate, Some(batch)) = (self.behaviour, kept.first()) {
                batch.rows();
            }
            kept.extend(parts.into_iter().map(|part| part.batch));
        }
        Ok(rejections)
    }

    fn publish(&self, _: Commit) -> Result<(), Fault> {
        Ok(())
    }
}

/// A column that is not granted is in nothing that the host encodes: neither its name nor its values.
fn encode_undeclared(parts: &[Part]) -> Result<(), Fault> {
    use crate::bindings::sluice::plugin::records::CsvOutput;
    let broken = |error| Fault::Broken(format!("{error:?}"));
    for part in parts {
        let formats = [
            Format::Ndjson,
            Format::JsonArray,
            Format::Csv(CsvOutput { header: true }),
        ];
        let mut seen = Vec::new();
        for format in formats {
            seen.extend(part.batch.encode(format).map_err(broken)?);
        }
        seen.extend(part.batch.encode_rows().map_err(broken)?.bytes);
        assert_hidden(&seen);
    }
    Ok(())
}

fn assert_hidden(seen: &[u8]) {
    let seen = String::from_utf8_lossy(seen);
    assert!(seen.contains("id") && !seen.contains("name"), "{seen}");
}

/// All of it in one file.
fn parquet(parts: Vec<Part>) -> Result<Vec<u8>, Fault> {
    let batches = parts.into_iter().map(|part| part.batch).collect();
    encode_parquet(batches).map_err(|error| Fault::Broken(format!("{error:?}")))
}

/// Says what it was given, as text, and rejects the last row of each part.
fn honest(parts: &[Part]) -> Result<Vec<Rejection>, Fault> {
    let mut rejections = Vec::new();
    for (number, part) in parts.iter().enumerate() {
        let broken = |error| Fault::Broken(format!("{error:?}"));
        let bytes = part.batch.encode(Format::Ndjson).map_err(broken)?;
        let rows = part.batch.encode_rows().map_err(broken)?;
        let ids = part.batch.row_ids().len();
        let text = format!(
            "{} {} {ids} {:?}",
            part.stream,
            String::from_utf8_lossy(&bytes),
            rows.offsets
        );
        log::write(Level::Info, &text, &[]);
        let row = part.batch.rows() - 1;
        let (code, message) = ("last".to_owned(), "the last of them".to_owned());
        rejections.push(Rejection {
            part: number as u32,
            row,
            code,
            message,
        });
    }
    Ok(rejections)
}
