//! The sink: record by record or batch by batch, in the order they came.

use crate::answer::{self, Asked, Outcome, Refused};
use crate::config::{Config, Mode, Paths};
use crate::path;
use crate::progress::Progress;
use crate::request::{self, Item};
use sluice_sdk::http::{Request, Response};
use sluice_sdk::sink::{Commit, Context, Part, Target};
use sluice_sdk::template::Template;
use sluice_sdk::{Change, Fault, Packed, Rejection, RowIds, Sink};
use std::time::{Duration, Instant};

/// No request begins later than this after its call did. One may wait a minute for its turn under a grant's `rate`, ten
/// seconds for a connection and a minute for the answer, and the manifest's `call_time` is 300 s. A call over that time
/// costs the instance, and with it all that is known of what was sent: the unit would begin again at its first record.
const SENDING_TIME_MAX: Duration = Duration::from_secs(150);

/// Sends the units of one split.
pub struct HttpSink {
    config: Config,
    paths: Paths,
    /// The URL without a `/` at its end.
    base: String,
    progress: Progress,
    /// The clock, which a test may set.
    now: fn() -> Instant,
    /// When the call at hand began.
    began: Instant,
}

/// A part as it is sent.
struct Encoded {
    records: Packed,
    row_ids: RowIds,
    changes: Option<Vec<Change>>,
}

impl Sink for HttpSink {
    type Config = Config;

    /// The settings only: there is no request that is known to change nothing.
    fn check(config: &Config) -> Result<(), Fault> {
        config.paths().map(|_| ())
    }

    fn open(config: Config, _: Context, targets: Vec<Target>) -> Result<Self, Fault> {
        let paths = config.paths()?;
        targets
            .iter()
            .try_for_each(|target| config.fits(&paths, &target.stream, &target.schema))?;
        let base = config.url.trim_end_matches('/').to_owned();
        Ok(Self {
            config,
            paths,
            base,
            progress: Progress::default(),
            now: Instant::now,
            began: Instant::now(),
        })
    }

    fn write(&mut self, parts: Vec<Part>, commit: &Commit) -> Result<Vec<Rejection>, Fault> {
        self.began = (self.now)();
        self.progress.begin(commit);
        let encoded = parts
            .iter()
            .map(Encoded::of)
            .collect::<Result<Vec<_>, _>>()?;
        let items = items(&parts, &encoded)?;
        let outcomes = self.send_all(&items)?;
        self.progress.finish();
        let rejection = |(item, outcome): (&Item, Outcome)| {
            outcome.map(|Refused { code, message }| {
                Rejection::new(item.row, code, message).in_part(item.part)
            })
        };
        Ok(items.iter().zip(outcomes).filter_map(rejection).collect())
    }
}

impl Encoded {
    fn of(part: &Part) -> Result<Self, Fault> {
        Ok(Self {
            records: part.batch.encode_rows()?,
            row_ids: part.batch.row_ids(),
            changes: part.batch.changes(),
        })
    }
}

fn items<'a>(parts: &'a [Part], encoded: &'a [Encoded]) -> Result<Vec<Item<'a>>, Fault> {
    let mut items = Vec::new();
    for (
        part,
        Encoded {
            records,
            row_ids,
            changes,
        },
    ) in encoded.iter().enumerate()
    {
        for (row, bytes) in records.iter().enumerate() {
            let record = std::str::from_utf8(bytes)
                .map_err(|_| Fault::broken("the host's encoding of a record is not UTF-8"))?;
            items.push(Item {
                part,
                row,
                stream: &parts[part].stream,
                record,
                change: changes
                    .as_ref()
                    .map_or(Change::Upsert, |changes| changes[row]),
                key: request::key_of(row_ids.get(row), record),
            });
        }
    }
    Ok(items)
}

impl HttpSink {
    /// The outcome of each item. A fault ends it, and what is settled by then is kept for the next attempt.
    fn send_all(&mut self, items: &[Item]) -> Result<Vec<Outcome>, Fault> {
        let mut outcomes: Vec<Outcome> = vec![None; items.len()];
        let mut gathered: Vec<usize> = Vec::new();
        for (at, item) in items.iter().enumerate() {
            if let Some(outcome) = self.progress.earlier(&item.key) {
                outcomes[at] = outcome;
            } else if item.change == Change::Delete {
                self.send_batch(items, &std::mem::take(&mut gathered), &mut outcomes)?;
                outcomes[at] = self.settled(item, Self::delete)?;
            } else if self.config.mode == Mode::Record {
                outcomes[at] = self.settled(item, Self::send_record)?;
            } else {
                let full = gathered.len() == self.config.batch_size;
                if full
                    || gathered
                        .last()
                        .is_some_and(|last| items[*last].stream != item.stream)
                {
                    self.send_batch(items, &std::mem::take(&mut gathered), &mut outcomes)?;
                }
                gathered.push(at);
            }
        }
        self.send_batch(items, &gathered, &mut outcomes)?;
        Ok(outcomes)
    }

    fn settled(
        &mut self,
        item: &Item,
        send: fn(&Self, &Item) -> Result<Outcome, Fault>,
    ) -> Result<Outcome, Fault> {
        let outcome = send(self, item)?;
        self.progress.settle(item.key, outcome.clone());
        Ok(outcome)
    }

    fn send_record(&self, item: &Item) -> Result<Outcome, Fault> {
        let path = match path::of(&self.paths.write, item.stream, item.record) {
            Ok(path) => path,
            Err(refused) => return Ok(Some(refused)),
        };
        let response = self.ask(
            request::writing(&self.config, self.url(&path), &[item]),
            &self.paths.write,
        )?;
        let asked = if self.paths.write.has_fields() {
            Asked::WriteAtOwnPath
        } else {
            Asked::WriteAtFixedPath
        };
        self.outcome(&response, asked, &self.paths.write)
    }

    fn delete(&self, item: &Item) -> Result<Outcome, Fault> {
        let Some(template) = &self.paths.delete else {
            return Ok(Some(Refused {
                code: "delete-not-supported".to_owned(),
                message: "no `delete_path` is set".to_owned(),
            }));
        };
        match path::of(template, item.stream, item.record) {
            Err(refused) => Ok(Some(refused)),
            Ok(path) => {
                let response =
                    self.ask(request::deleting(&self.config, self.url(&path)), template)?;
                self.outcome(&response, Asked::Delete, template)
            }
        }
    }

    /// Sends the items at these places, all of one stream, in one request; halves them where that is refused.
    fn send_batch(
        &mut self,
        items: &[Item],
        places: &[usize],
        outcomes: &mut [Outcome],
    ) -> Result<(), Fault> {
        let Some(first) = places.first() else {
            return Ok(());
        };
        let batch: Vec<&Item> = places.iter().map(|at| &items[*at]).collect();
        let template = &self.paths.write;
        let path = path::of(template, items[*first].stream, "{}")
            .map_err(|refused| Fault::misconfigured(format!("`path`: {}", refused.message)))?;
        let response = self.ask(
            request::writing(&self.config, self.url(&path), &batch),
            template,
        )?;
        if let (Some(pointer), 200..300) = (&self.config.results, response.status) {
            let found = answer::outcomes(&response, pointer, places.len(), &self.config)
                .map_err(|fault| self.in_context(fault, &self.paths.write))?;
            return self.settle_each(items, places, found, outcomes);
        }
        let outcome = self.outcome(&response, Asked::WriteAtFixedPath, template)?;
        if outcome.is_some() && places.len() > 1 {
            let (left, right) = places.split_at(places.len() / 2);
            self.send_batch(items, left, outcomes)?;
            return self.send_batch(items, right, outcomes);
        }
        for at in places {
            self.progress.settle(items[*at].key, outcome.clone());
            outcomes[*at].clone_from(&outcome);
        }
        Ok(())
    }

    /// Notes what is settled before the first fault among the others ends the attempt.
    fn settle_each(
        &mut self,
        items: &[Item],
        places: &[usize],
        found: Vec<Result<Outcome, Fault>>,
        outcomes: &mut [Outcome],
    ) -> Result<(), Fault> {
        let mut first_fault = None;
        for (at, found) in places.iter().zip(found) {
            match found {
                Ok(outcome) => {
                    self.progress.settle(items[*at].key, outcome.clone());
                    outcomes[*at] = outcome;
                }
                Err(fault) => {
                    first_fault.get_or_insert(fault);
                }
            }
        }
        first_fault.map_or(Ok(()), |fault| {
            Err(self.in_context(fault, &self.paths.write))
        })
    }

    fn outcome(
        &self,
        response: &Response,
        asked: Asked,
        template: &Template,
    ) -> Result<Outcome, Fault> {
        answer::outcome(response, asked, &self.config)
            .map_err(|fault| self.in_context(fault, template))
    }

    fn ask(&self, request: Request, template: &Template) -> Result<Response, Fault> {
        if (self.now)().saturating_duration_since(self.began) >= SENDING_TIME_MAX {
            return Err(Fault::transient(format!(
                "the unit is not sent within {} s: the next try goes on where this one ends",
                SENDING_TIME_MAX.as_secs()
            )));
        }
        request
            .send()
            .map_err(|fault| self.in_context(fault, template))
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Says which request: with the path as it is set, for a record's values are not for messages.
    fn in_context(&self, fault: Fault, template: &Template) -> Fault {
        fault.context(format!("{}{}", self.base, template.text()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use sluice_sdk::Record;
    use sluice_sdk::testing::{self, Table, Writer};
    use std::cell::{Cell, RefCell};
    use std::rc::Rc;

    #[derive(Record, Clone)]
    struct Movie {
        id: i64,
    }

    thread_local! {
        static EPOCH: Instant = Instant::now();
        static SECONDS: Cell<u64> = const { Cell::new(0) };
    }

    fn clock() -> Instant {
        EPOCH.with(|epoch| *epoch) + Duration::from_secs(SECONDS.get())
    }

    /// How many requests each try of a unit makes of a server that takes so long for each and refuses record 3.
    fn tries(rows: i64, request_s: u64, more: &Value) -> Vec<usize> {
        let taken: Rc<RefCell<Vec<i64>>> = Rc::default();
        let requests: Rc<Cell<usize>> = Rc::default();
        let (own, counted) = (Rc::clone(&taken), Rc::clone(&requests));
        testing::http(move |request| {
            counted.set(counted.get() + 1);
            SECONDS.set(SECONDS.get() + request_s);
            let body: Value = serde_json::from_slice(&request.body).expect("JSON");
            let records = body.as_array().cloned().unwrap_or_else(|| vec![body]);
            let ids: Vec<i64> = records
                .iter()
                .filter_map(|record| record["id"].as_i64())
                .collect();
            if ids.contains(&3) {
                return Ok(Response::new(422, ""));
            }
            own.borrow_mut().extend(ids);
            Ok(Response::new(201, ""))
        });
        let mut config = json!({ "url": "http://a", "path": "/movies" });
        for (name, value) in more.as_object().expect("settings") {
            config[name] = value.clone();
        }
        let target = Target {
            stream: "movies".to_owned(),
            schema: Movie::schema(),
        };
        let mut writer = Writer::<HttpSink>::open(&config.to_string(), vec![target]).expect("open");
        writer.sink().now = clock;
        let table = || Table::from_records((0..rows).map(|id| Movie { id }).collect());
        let mut tries = Vec::new();
        let commit = writer.commit();
        let rejections = loop {
            let part = Part {
                stream: "movies".to_owned(),
                batch: table().into_batch(),
            };
            let before = requests.get();
            let outcome = writer.sink().write(vec![part], &commit);
            tries.push(requests.get() - before);
            assert!(tries.len() < 10, "it gets on: {tries:?}");
            match outcome {
                Ok(rejections) => break rejections,
                Err(fault) => assert!(matches!(fault, Fault::Transient { .. }), "{fault}"),
            }
        };
        let refused: Vec<u32> = rejections.iter().map(|one| one.row).collect();
        assert_eq!(refused, [3], "a refusal of an earlier try is told");
        let all: Vec<i64> = (0..rows).filter(|id| *id != 3).collect();
        assert_eq!(*taken.borrow(), all, "each is sent once, in order");
        tries
    }

    #[test]
    fn a_unit_that_takes_longer_than_a_call_may_is_sent_over_several() {
        assert_eq!(tries(400, 1, &json!({})), [150, 150, 100]);
        assert_eq!(tries(5, 149, &json!({})), [2, 2, 1]);
        assert_eq!(tries(149, 1, &json!({})), [149]);
        let batches = json!({ "mode": "batch", "batch_size": 2 });
        assert_eq!(tries(8, 100, &batches), [2, 2, 2, 2]);
    }
}
