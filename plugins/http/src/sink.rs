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

/// Sends the units of one split.
pub struct HttpSink {
    config: Config,
    paths: Paths,
    /// The URL without a `/` at its end.
    base: String,
    progress: Progress,
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
        })
    }

    fn write(&mut self, parts: Vec<Part>, commit: &Commit) -> Result<Vec<Rejection>, Fault> {
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
