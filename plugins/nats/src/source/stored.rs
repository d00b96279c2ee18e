//! Messages read by their number: what a consumer sent to an earlier reader, and would send again only after a while and
//! out of order. Several are asked for at once, each for the first message from a number on.

use super::reader::StreamReader;
use super::records::{Records, Row};
use crate::jetstream::{self, Stored};
use crate::session::{ANSWER_WAIT, malformed};
use crate::wire::Head;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sluice_sdk::Fault;
use sluice_sdk::source::Limit;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Questions at once.
const WINDOW_MAX: u64 = 64;
/// Bytes of their answers, where each is as large as the server takes.
const WINDOW_BYTES_MAX: usize = 32 << 20;
/// How long a page is gathered.
const GATHER_TIME: Duration = Duration::from_secs(1);

impl StreamReader {
    /// Reads on, up to the message of this number; whether that is done.
    pub(super) fn read_stored(
        &mut self,
        until: u64,
        limit: Limit,
        records: &mut Records,
    ) -> Result<bool, Fault> {
        let began = Instant::now();
        while self.last < until {
            if records.rows() >= limit.rows as usize
                || records.bytes() >= limit.bytes as usize
                || began.elapsed() > GATHER_TIME
            {
                return Ok(false);
            }
            self.read_window(until, limit, records)?;
        }
        Ok(true)
    }

    fn read_window(
        &mut self,
        until: u64,
        limit: Limit,
        records: &mut Records,
    ) -> Result<(), Fault> {
        let from = self.last + 1;
        let to = until.min(self.last.saturating_add(self.window));
        let mut answers = self.answers(from, to)?;
        let mut fresh = 0;
        for asked in from..=to {
            let Some(stored) = answers.remove(&asked).flatten() else {
                // Nothing is there from this number on.
                self.last = until;
                return Ok(());
            };
            if stored.seq < asked {
                return Err(Fault::broken(
                    "the server answers with another message than was asked for",
                ));
            }
            if stored.seq > until {
                self.last = until;
                return Ok(());
            }
            if stored.seq > self.last {
                push(records, &stored)?;
                self.last = stored.seq;
                fresh += 1;
            }
            if records.rows() >= limit.rows as usize || records.bytes() >= limit.bytes as usize {
                self.window = (self.window / 2).max(1);
                return Ok(());
            }
        }
        // Up to there nothing else is.
        self.last = self.last.max(to);
        self.window = if fresh == self.window {
            self.window * 2
        } else {
            self.window / 2
        };
        self.window = self.window.clamp(1, self.window_max());
        Ok(())
    }

    fn window_max(&self) -> u64 {
        let one = self.session.payload_bytes_max().max(1) * 4 / 3;
        (WINDOW_BYTES_MAX as u64 / one as u64).clamp(1, WINDOW_MAX)
    }

    /// The first message from each of these numbers on; none where there is none.
    fn answers(&mut self, from: u64, to: u64) -> Result<BTreeMap<u64, Option<Stored>>, Fault> {
        let subject = format!("$JS.API.STREAM.MSG.GET.{}", self.settings.stream);
        let filter = self.settings.subject.clone().unwrap_or_default();
        let mut asked = BTreeMap::new();
        for sequence in from..=to {
            let (reply, number) = self.session.answers_to();
            self.session.publish(
                &subject,
                &reply,
                &[],
                &jetstream::from_number(sequence, &filter),
            );
            asked.insert(number, sequence);
        }
        self.session.send()?;
        let until = Instant::now() + ANSWER_WAIT;
        let mut answers = BTreeMap::new();
        while !asked.is_empty() {
            let Some((number, message)) = self.session.answer(until)? else {
                return Err(Fault::transient(format!(
                    "the server does not answer to `{subject}`"
                )));
            };
            if let Some(sequence) = asked.remove(&number) {
                answers.insert(sequence, jetstream::stored(&message)?);
            }
        }
        Ok(answers)
    }

    /// The number of the first message from here on; none where there is none.
    pub(super) fn next_stored(&mut self) -> Result<Option<u64>, Fault> {
        let from = self.last.saturating_add(1);
        let mut answers = self.answers(from, from)?;
        Ok(answers.remove(&from).flatten().map(|stored| stored.seq))
    }
}

fn push(records: &mut Records, stored: &Stored) -> Result<(), Fault> {
    let decoded = |base64: &Option<String>| match base64 {
        None => Ok(Vec::new()),
        Some(base64) => BASE64_STANDARD
            .decode(base64)
            .map_err(|_| Fault::broken("the server's message is not in base64")),
    };
    let head = Head::read(&decoded(&stored.hdrs)?).map_err(malformed)?;
    let body = decoded(&stored.data)?;
    let time = stored
        .time
        .parse()
        .map_err(|_| Fault::broken("the server's message has no time"))?;
    records.push(&Row {
        sequence: stored.seq,
        subject: &stored.subject,
        stored: time,
        head: &head,
        body: &body,
    })
}
