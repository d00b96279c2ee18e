//! The sink: each record is one message, with an id by which the server drops what it has. Deliberately no order of its
//! own: records are published as they come, several before the first answer.

mod message;
mod subject;

use crate::config::{Config, Deletions};
use crate::jetstream::{self, Outcome};
use crate::session::{ANSWER_WAIT, Session};
use message::{head, id_of};
use sluice_sdk::sink::{Commit, Context, Part, Target};
use sluice_sdk::{Change, Fault, Rejection, Sink, log};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use subject::Subject;

/// Messages that are published before their answers are waited for.
const IN_FLIGHT_MAX: usize = 512;
/// Their bytes.
const IN_FLIGHT_BYTES_MAX: usize = 1 << 20;

/// A session that was left alone for so long is not used again: the server hears nothing from it meanwhile, and ends it.
const REST_MAX: Duration = Duration::from_mins(1);

/// Less than this is warned of: a host that is away for longer publishes again what the server no longer remembers.
const WINDOW_MIN: Duration = Duration::from_mins(2);

/// Publishes the units of one split.
pub struct NatsSink {
    config: Config,
    subject: Subject,
    /// None after a fault: the next unit begins with another.
    session: Option<Session>,
    used: Instant,
}

/// Publishes one unit.
struct Publisher<'a> {
    session: &'a mut Session,
    subject: &'a Subject,
    deletions: Deletions,
}

/// Where a record stands in a unit.
#[derive(Debug, Clone, Copy)]
struct Spot {
    part: usize,
    row: usize,
}

impl Sink for NatsSink {
    type Config = Config;

    fn check(config: &Config) -> Result<(), Fault> {
        let subject = subject(config)?;
        let mut session = Session::open(config)?;
        is_taken(&mut session, &subject.wildcard(None))
    }

    fn open(config: Config, _: Context, targets: Vec<Target>) -> Result<Self, Fault> {
        let subject = subject(&config)?;
        targets
            .iter()
            .try_for_each(|target| subject.fits(&target.stream, &target.schema))?;
        let mut session = Session::open(&config)?;
        for target in &targets {
            is_taken(&mut session, &subject.wildcard(Some(&target.stream)))?;
        }
        Ok(Self {
            config,
            subject,
            session: Some(session),
            used: Instant::now(),
        })
    }

    fn write(&mut self, parts: Vec<Part>, _: &Commit) -> Result<Vec<Rejection>, Fault> {
        let rested = self
            .session
            .take()
            .filter(|_| self.used.elapsed() < REST_MAX);
        let mut session = match rested {
            Some(session) => session,
            None => Session::open(&self.config)?,
        };
        let mut publisher = Publisher {
            session: &mut session,
            subject: &self.subject,
            deletions: self.config.deletions,
        };
        let rejections = publisher.write(&parts)?;
        self.session = Some(session);
        self.used = Instant::now();
        Ok(rejections)
    }
}

fn subject(config: &Config) -> Result<Subject, Fault> {
    let subject = config.subject.as_deref();
    Subject::parse(subject.ok_or_else(|| Fault::misconfigured("a sink needs `subject`"))?)
}

/// That a stream stores what is published there, and how long it remembers ids.
fn is_taken(session: &mut Session, subject: &str) -> Result<(), Fault> {
    let streams = jetstream::streams_of(session, subject)?;
    if streams.is_empty() {
        return Err(Fault::misconfigured(format!(
            "no stream takes what is published to `{subject}`; hint: make one with this subject, or mend `subject`"
        )));
    }
    for name in &streams {
        let window =
            Duration::from_nanos(jetstream::stream(session, name)?.config.duplicate_window);
        let told = format!("{}s", window.as_secs());
        let fields = [
            ("stream", name.as_str()),
            ("duplicate_window", told.as_str()),
        ];
        if window < WINDOW_MIN {
            log::warn(
                "the stream forgets ids soon: a repetition that comes later is stored twice",
                &fields,
            );
        } else {
            log::info("the stream drops repetitions", &fields);
        }
    }
    Ok(())
}

/// A word and a sentence for a dead letter, which quote nothing of the record.
type Refused = (&'static str, String);

impl Publisher<'_> {
    fn write(&mut self, parts: &[Part]) -> Result<Vec<Rejection>, Fault> {
        let mut rejections = Vec::new();
        let mut waited = BTreeMap::new();
        let mut bytes = 0;
        for (at, part) in parts.iter().enumerate() {
            let records = part.batch.encode_rows()?;
            let (ids, changes) = (part.batch.row_ids(), part.batch.changes());
            for (row, record) in records.iter().enumerate() {
                let change = changes
                    .as_ref()
                    .map_or(Change::Upsert, |changes| changes[row]);
                let refused = match self.put(&part.stream, record, ids.get(row), change) {
                    Ok(number) => {
                        waited.insert(number, Spot { part: at, row });
                        bytes += record.len();
                        None
                    }
                    Err(refused) => Some(Rejection::new(row, refused.0, refused.1).in_part(at)),
                };
                rejections.extend(refused);
                if waited.len() >= IN_FLIGHT_MAX || bytes >= IN_FLIGHT_BYTES_MAX {
                    self.settle(std::mem::take(&mut waited), &mut rejections)?;
                    bytes = 0;
                }
            }
        }
        self.settle(waited, &mut rejections)?;
        Ok(rejections)
    }

    /// Puts a record among what is said next. The number its answer will have.
    fn put(
        &mut self,
        stream: &str,
        record: &[u8],
        row_id: &[u8],
        change: Change,
    ) -> Result<u64, Refused> {
        if change == Change::Delete && self.deletions == Deletions::Reject {
            let message = "it asks for its deletion, and `deletions` is `reject`";
            return Err(("delete-not-supported", message.to_owned()));
        }
        let subject = self.subject.of(stream, record)?;
        let head = head(&id_of(row_id, &subject, record, change), change);
        let (bytes, max) = (head.len() + record.len(), self.session.payload_bytes_max());
        if bytes > max {
            return Err((
                "too-large",
                format!("the record is a message of {bytes} bytes, and the server takes {max}"),
            ));
        }
        let (reply, number) = self.session.answers_to();
        self.session
            .publish(&subject, &reply, head.as_bytes(), record);
        Ok(number)
    }

    /// Says what was put there, and waits for every answer.
    fn settle(
        &mut self,
        mut waited: BTreeMap<u64, Spot>,
        rejections: &mut Vec<Rejection>,
    ) -> Result<(), Fault> {
        if waited.is_empty() {
            return Ok(());
        }
        self.session.send()?;
        let (mut duplicates, mut until) = (0, Instant::now() + ANSWER_WAIT);
        while !waited.is_empty() {
            let Some((number, message)) = self.session.answer(until)? else {
                return Err(Fault::transient(
                    "the server does not say that it has stored what was published",
                ));
            };
            let Some(spot) = waited.remove(&number) else {
                continue; // To a unit that was given up.
            };
            until = Instant::now() + ANSWER_WAIT;
            match jetstream::outcome(&message)? {
                Outcome::Stored(published) => duplicates += u64::from(published.duplicate),
                Outcome::Refused(refusal) => {
                    let (code, told) = if refusal.is_too_large() {
                        ("too-large", "the record is larger than its stream takes")
                    } else if refusal.is_subject_full() {
                        (
                            "subject-full",
                            "its subject has as many messages as its stream takes of one",
                        )
                    } else {
                        return Err(refusal.fault());
                    };
                    rejections.push(Rejection::new(spot.row, code, told).in_part(spot.part));
                }
                Outcome::Nobody => return Err(self.nobody()),
            }
        }
        if duplicates > 0 {
            log::debug(
                "the server had some of them",
                &[("duplicates", &duplicates.to_string())],
            );
        }
        Ok(())
    }

    /// No stream took a message: there is none, or it has no leader now.
    fn nobody(&mut self) -> Fault {
        match is_taken(self.session, &self.subject.wildcard(None)) {
            Err(fault) => fault,
            Ok(()) => Fault::transient(
                "no stream took a message, though there is one: it is not ready, or takes other subjects",
            ),
        }
    }
}
