//! Reads one stream. First, by their numbers, the messages that the consumer sent to somebody before: those it would send
//! again only when their time is over, and behind newer ones. Then what it sends.
//!
//! - Invariant: between the place a reader is opened at and the cursor of a page, each message is in exactly one page. The
//!   consumer numbers all that it sends, to whomever; where a number is missing, another reader has it, and this one ends
//!   rather than go on behind it.
//! - Invariant: a message is acknowledged only once the host has said that it is durable.

use super::consumer;
use super::cursor::Place;
use super::delivery::{Came, Delivery};
use super::records::{Records, Row};
use crate::config::{Config, StreamSettings};
use crate::jetstream::{self, ConsumerInfo, StreamInfo};
use crate::session::Session;
use sluice_sdk::source::{Lag, LagUnit, Limit, Split};
use sluice_sdk::{Fault, Page, Reader, Timestamp, log};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The first messages that a consumer would send: a check looks at them, and is to leave it alone.
const SAMPLE_MESSAGES: u64 = 256;
/// How often the server is asked how far behind it is.
const TOLD_EVERY: Duration = Duration::from_mins(1);
/// How long a page that has something waits for more.
const GATHER_WAIT: Duration = Duration::from_millis(10);
/// A pull that the server forgot is given up, so long after it should have ended.
const PULL_GRACE: Duration = Duration::from_secs(2);
/// Where a reader that does not follow is at the end: the server has said nothing in this time.
const END_WAIT: Duration = Duration::from_millis(250);

/// Reads one stream.
pub struct StreamReader {
    pub(super) session: Session,
    pub(super) settings: StreamSettings,
    name: String,
    created: String,
    follow: bool,
    /// There is none where a check looks at a stream.
    has_consumer: bool,
    phase: Phase,
    /// The last message that was handed over, or looked at and left out.
    pub(super) last: u64,
    /// All up to this message is durable.
    durable: u64,
    /// What the consumer has sent, by its own count.
    sent: u64,
    /// So many messages it has not sent yet, when it said so last.
    behind: u64,
    /// Where messages that were sent are acknowledged, once they are durable.
    unacknowledged: BTreeMap<u64, String>,
    pull: Option<Pull>,
    pub(super) window: u64,
    told: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// By their numbers, up to this one.
    Stored(u64),
    /// As the consumer sends them.
    Sent,
}

/// What was asked of the consumer.
struct Pull {
    inbox: String,
    left: u32,
    until: Instant,
}

impl StreamReader {
    pub(super) fn open(
        config: &Config,
        split: &Split,
        place: Option<Place>,
    ) -> Result<Self, Fault> {
        let name = split.streams.first().cloned().unwrap_or_default();
        let settings = config.stream(&name)?.clone();
        let mut session = Session::open(config)?;
        let found = jetstream::stream(&mut session, &settings.stream)?;
        let consumer = jetstream::consumer(&mut session, &settings.stream, &settings.consumer)?;
        match (&consumer, &place) {
            (Some(consumer), _) => consumer::check(&settings, &consumer.config)?,
            (None, Some(_)) => return Err(gone(&settings)),
            (None, None) => {}
        }
        let place = match place {
            Some(place) => {
                place.fits(&settings, &found)?;
                place
            }
            None => beginning(consumer.as_ref()),
        };
        Ok(Self {
            session,
            name,
            follow: config.follow,
            phase: Phase::Stored(until(&found, consumer.as_ref())),
            last: place.sequence,
            durable: 0,
            has_consumer: consumer.is_some(),
            sent: consumer
                .as_ref()
                .map_or(0, |consumer| consumer.delivered.consumer_seq),
            behind: consumer.as_ref().map_or(0, |consumer| consumer.num_pending),
            unacknowledged: BTreeMap::new(),
            pull: None,
            window: 1,
            told: None,
            created: found.created,
            settings,
        })
    }

    /// What the consumer has not sent yet, and what it has sent that is not durable.
    fn lag(&self) -> Lag {
        let sent = self.unacknowledged.len() as u64;
        Lag {
            unit: LagUnit::Records,
            behind: self.behind.saturating_add(sent),
            left: None,
        }
    }

    fn place(&self) -> Place {
        Place {
            sequence: self.last,
            created: Some(self.created.clone()),
        }
    }

    /// Takes what the consumer sends until there is a page, or nothing for so long.
    fn read_sent(&mut self, limit: Limit, records: &mut Records) -> Result<(), Fault> {
        let wait = if self.follow {
            Duration::from_millis(limit.wait_ms.into())
        } else {
            END_WAIT
        };
        let until = Instant::now() + wait;
        while records.rows() < limit.rows as usize && records.bytes() < limit.bytes as usize {
            let now = Instant::now();
            if self.pull.as_ref().is_none_or(|pull| now > pull.until) {
                // One that ends without a word: a consumer that is gone answers nothing.
                if self.pull.take().is_some() {
                    self.look(false)?;
                }
                if !records.is_empty() || now >= until {
                    return Ok(());
                }
                self.ask(limit, until - now)?;
            }
            let until = if records.is_empty() {
                until
            } else {
                now + GATHER_WAIT
            };
            let Some(message) = self.session.delivery(until)? else {
                return Ok(());
            };
            match Came::read(message)? {
                Came::Message(delivery) => {
                    let is_last = delivery.numbers.pending == 0;
                    self.take(*delivery, records)?;
                    if is_last && !records.is_empty() {
                        return Ok(());
                    }
                }
                Came::Status {
                    pull,
                    status,
                    description,
                } => {
                    if self.heard(&pull, status, &description)? {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// Asks for as many messages as fit a page, the first of which always does.
    fn ask(&mut self, limit: Limit, expires: Duration) -> Result<(), Fault> {
        let inbox = self.session.deliveries_to();
        let bytes = (limit.bytes as usize).max(self.session.payload_bytes_max() + (64 << 10));
        // Never so short that it is over before it arrives.
        let expires = expires.max(Duration::from_millis(50));
        let pull = serde_json::json!({ "batch": limit.rows, "max_bytes": bytes, "expires": expires.as_nanos() as u64 });
        let subject = format!(
            "$JS.API.CONSUMER.MSG.NEXT.{}.{}",
            self.settings.stream, self.settings.consumer
        );
        self.session
            .publish(&subject, &inbox, &[], pull.to_string().as_bytes());
        self.session.send()?;
        self.pull = Some(Pull {
            inbox,
            left: limit.rows,
            until: Instant::now() + expires + PULL_GRACE,
        });
        Ok(())
    }

    /// One message that was sent: it comes next, or it came before.
    fn take(&mut self, delivery: Delivery, records: &mut Records) -> Result<(), Fault> {
        let numbers = delivery.numbers;
        if Some(numbers.consumer_seq) != self.sent.checked_add(1) {
            return Err(Fault::transient(format!(
                "the consumer `{}` has sent messages to somebody else: they are read by their numbers; hint: where that goes \
                 on, another reader uses it, and each needs its own",
                self.settings.consumer
            )));
        }
        self.sent = numbers.consumer_seq;
        self.behind = numbers.pending;
        if let Some(pull) = &mut self.pull {
            pull.left -= 1;
            if pull.left == 0 {
                self.pull = None;
            }
        }
        if numbers.stream_seq <= self.durable {
            self.session.publish(&delivery.reply, "", &[], b"+ACK");
            return Ok(());
        }
        self.unacknowledged
            .insert(numbers.stream_seq, delivery.reply);
        if self.unacknowledged.len() > 2 * self.settings.max_ack_pending as usize {
            return Err(Fault::broken(
                "the server sends more than may be without acknowledgement",
            ));
        }
        if numbers.stream_seq <= self.last {
            return Ok(()); // Handed over, and on its way.
        }
        if numbers.deliveries > 1 {
            return Err(Fault::transient(
                "the consumer repeats what was never sent here: it is read by its number",
            ));
        }
        let micros = i64::try_from(numbers.stored_nanos / 1_000).unwrap_or(i64::MAX);
        records.push(&Row {
            sequence: numbers.stream_seq,
            subject: &delivery.subject,
            stored: Timestamp(micros),
            head: &delivery.head,
            body: &delivery.body,
        })?;
        self.last = numbers.stream_seq;
        Ok(())
    }

    /// The server says something of a pull; whether it had nothing for it in all its time. What it says of one that was given
    /// up is of no use.
    fn heard(&mut self, pull: &str, status: u16, description: &str) -> Result<bool, Fault> {
        if self.pull.as_ref().is_none_or(|asked| asked.inbox != pull) {
            return Ok(false);
        }
        let is_full = || {
            let description = description.to_lowercase();
            ["maxbytes", "exceeded max"]
                .iter()
                .any(|words| description.contains(words))
        };
        match status {
            100 => return Ok(false),
            404 | 408 => {}
            409 if is_full() => {}
            _ => {
                return Err(Fault::transient(format!(
                    "the consumer `{}`: {status} {description}",
                    self.settings.consumer
                )));
            }
        }
        self.pull = None;
        Ok(status != 409)
    }

    /// Tells an operator how far behind it is, finds what is gone, and moves on over messages of other subjects.
    fn look(&mut self, is_idle: bool) -> Result<(), Fault> {
        self.told = Some(Instant::now());
        let Some(consumer) = jetstream::consumer(
            &mut self.session,
            &self.settings.stream,
            &self.settings.consumer,
        )?
        else {
            return Err(gone(&self.settings));
        };
        let found = jetstream::stream(&mut self.session, &self.settings.stream)?;
        self.behind = consumer.num_pending;
        let behind = consumer.num_pending.to_string();
        let unacknowledged = consumer.num_ack_pending.to_string();
        log::info(
            "the consumer",
            &[
                ("consumer", &self.settings.consumer),
                ("behind", &behind),
                ("unacknowledged", &unacknowledged),
            ],
        );
        // Whatever came before the stream was asked and belongs here is found now.
        if is_idle && self.next_stored()?.is_none() {
            self.last = self.last.max(found.state.last_seq);
        } else if self.settings.subject.is_none() {
            self.place().fits(&self.settings, &found)?;
        }
        Ok(())
    }
}

/// Where a stream begins that was never read.
fn beginning(consumer: Option<&ConsumerInfo>) -> Place {
    let first = consumer.and_then(|consumer| consumer.config.opt_start_seq);
    Place {
        sequence: first.map_or(0, |first| first.saturating_sub(1)),
        created: None,
    }
}

/// Up to where messages are read by their numbers: as far as the consumer was, and the first there are.
fn until(found: &StreamInfo, consumer: Option<&ConsumerInfo>) -> u64 {
    let sent = consumer.map_or(0, |consumer| consumer.delivered.stream_seq);
    let sample = beginning(consumer).sequence.saturating_add(SAMPLE_MESSAGES);
    // A server that says more than there is would have numbers asked for without end.
    sent.max(sample).min(found.state.last_seq)
}

fn gone(settings: &StreamSettings) -> Fault {
    Fault::misconfigured(format!(
        "the consumer `{}` of the stream `{}` is not there any more; hint: start the pipeline again, which makes it anew",
        settings.consumer, settings.stream
    ))
}

impl Reader for StreamReader {
    type Cursor = Place;

    fn read(&mut self, limit: Limit) -> Result<Page<Place>, Fault> {
        let mut records = Records::new(&self.settings);
        let is_done = match self.phase {
            Phase::Stored(until) => {
                let is_done = self.read_stored(until, limit, &mut records)? && records.is_empty();
                // An empty page between the two: a backfill ends there, and leaves the consumer to whoever follows.
                if is_done && self.has_consumer {
                    self.phase = Phase::Sent;
                    return Ok(Page::wait_ms(self.place(), 0));
                }
                is_done
            }
            Phase::Sent => {
                self.read_sent(limit, &mut records)?;
                let is_due = match self.told {
                    Some(told) => told.elapsed() > TOLD_EVERY,
                    None => records.is_empty(),
                };
                if is_due {
                    self.look(records.is_empty())?;
                }
                if self.follow && records.is_empty() {
                    return Ok(Page::wait_ms(self.place(), 0).lagging(Some(self.lag())));
                }
                records.is_empty() && self.behind == 0
            }
        };
        let page = if is_done {
            Page::end(self.place())
        } else {
            Page::more(self.place())
        };
        let page = match self.phase {
            Phase::Sent => page.lagging(Some(self.lag())),
            Phase::Stored(_) => page,
        };
        Ok(records.put(page, &self.name, &self.settings.stream))
    }

    fn acknowledge(&mut self, place: Place) -> Result<(), Fault> {
        self.durable = self.durable.max(place.sequence);
        let later = self
            .unacknowledged
            .split_off(&self.durable.saturating_add(1));
        let durable = std::mem::replace(&mut self.unacknowledged, later);
        if durable.is_empty() {
            return Ok(());
        }
        for reply in durable.values() {
            self.session.publish(reply, "", &[], b"+ACK");
        }
        // So that what the server does not let us acknowledge is told here.
        self.session.flush()
    }
}
