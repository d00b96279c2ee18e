//! Reads one stream: a request a page. The answer's bytes go on as they came; looked at is only what paging needs.

use crate::address::{self, Base};
use crate::answer::{self, Mark};
use crate::config::{Config, Endpoint};
use crate::cursor::{Cursor, Latest, Place, Tag};
use crate::paging::Behind;
use serde_json::value::RawValue;
use sluice_sdk::http::{Request, Response};
use sluice_sdk::source::{Document, Limit, Next};
use sluice_sdk::{Fault, Page, Reader};
use std::time::Duration;

/// Reads one stream.
pub struct PageReader {
    base: Base,
    headers: Vec<(String, String)>,
    endpoint: Endpoint,
    /// How long the host waits between two pages.
    wait_ms: Option<u64>,
    cursor: Cursor,
}

/// What the plugin made of an answer.
struct Answered {
    /// What goes on to the host; none where nothing is new.
    document: Option<(String, Vec<u8>)>,
    behind: Behind,
}

impl PageReader {
    pub(crate) fn new(config: &Config, stream: &str, mut cursor: Cursor) -> Result<Self, Fault> {
        let base = config.base()?;
        let endpoint = config.endpoint(stream)?.clone();
        if let Some(incremental) = &endpoint.incremental {
            if cursor.place == Place::Done {
                cursor.place = Place::Start;
            }
            if cursor.since.is_none() {
                cursor.since = incremental.start.clone().map(Latest::new);
            }
        } else if cursor.place == Place::Done && config.repeat {
            cursor = cursor.next_reading();
        }
        if !endpoint.pagination.fits(&cursor.place) {
            return Err(Fault::cursor_lost(
                "the pagination was set to another style in the middle of a reading; hint: reset the checkpoint of this split",
            ));
        }
        let wait_ms = config.requests_per_second.map(wait_ms);
        let headers = config
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        Ok(Self {
            base,
            headers,
            endpoint,
            wait_ms,
            cursor,
        })
    }

    /// Asks for the page at hand, and gives nothing on.
    pub(crate) fn probe(&self) -> Result<(), Fault> {
        let target = self.target();
        let response = self.ask(&target, None)?;
        self.look(&response, &mut self.cursor.clone()).map(|_| ())
    }

    /// The path and query of the page at hand.
    fn target(&self) -> String {
        if let Place::Target(target) = &self.cursor.place {
            return target.clone();
        }
        let mut query: Vec<(&str, String)> = self
            .endpoint
            .query
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_string()))
            .collect();
        if let (Some(incremental), Some(since)) = (&self.endpoint.incremental, &self.cursor.since) {
            query.push((&incremental.param, incremental.asked(&since.value)));
        }
        if let Some((param, size)) = self.endpoint.pagination.size() {
            query.push((param, size.to_string()));
        }
        query.extend(self.endpoint.pagination.parameter(&self.cursor.place));
        let path = self.base.path(&self.endpoint.path);
        address::with_query(
            &path,
            query.iter().map(|(name, value)| (*name, value.as_str())),
        )
    }

    /// The `ETag` of the last reading, where one request gave it whole, and this request is the same.
    fn known(&self, target: &str) -> Option<&str> {
        let is_first = self.endpoint.conditional && self.cursor.pages == 0;
        let tag = self.cursor.tag.as_ref().filter(|_| is_first)?;
        tag.is_of(target).then_some(tag.etag.as_str())
    }

    /// At the end of a reading.
    fn finished(&self, cursor: Cursor) -> Cursor {
        let place = match self.endpoint.incremental {
            Some(_) => Place::Start,
            None => Place::Done,
        };
        Cursor {
            place,
            ..cursor.next_reading()
        }
    }

    /// `known` is what makes it a conditional request (RFC 9110, 13.1.2): only then is 304 an answer.
    fn ask(&self, target: &str, known: Option<&str>) -> Result<Response, Fault> {
        let mut request = Request::get(format!("{}{target}", self.base.origin()));
        if !self
            .headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("accept"))
        {
            request = request.header("accept", "application/json");
        }
        for (name, value) in &self.headers {
            request = request.header(name, value.as_str());
        }
        if let Some(etag) = known {
            request = request.header("if-none-match", etag);
        }
        let response = request.send().map_err(|fault| self.in_context(fault))?;
        let is_unchanged = known.is_some() && response.status == 304;
        if is_unchanged || (200..300).contains(&response.status) {
            Ok(response)
        } else {
            Err(self.in_context(refused(&response)))
        }
    }

    /// Says which request: without its query, which may hold what is not for logs.
    fn in_context(&self, fault: Fault) -> Fault {
        fault.context(format!("GET {}", self.url()))
    }

    fn url(&self) -> String {
        format!(
            "{}{}",
            self.base.origin(),
            self.base.path(&self.endpoint.path)
        )
    }

    /// Finds the records, leaves out those that the last reading gave already, and notes the latest.
    fn look(&self, response: &Response, cursor: &mut Cursor) -> Result<Answered, Fault> {
        let pagination = &self.endpoint.pagination;
        let nothing = || Answered {
            document: None,
            behind: Behind::nothing(pagination, response),
        };
        if response.status == 204 {
            return Ok(nothing());
        }
        let json = std::str::from_utf8(&response.body).map_err(|_| self.broken("is not UTF-8"))?;
        let not_json = |error: serde_json::Error| {
            self.broken(&format!("is not the JSON that was expected: {error}"))
        };
        let pointer = &self.endpoint.records;
        let Some(value) = answer::at(json, pointer).map_err(not_json)? else {
            return if cursor.pages > 0 {
                Ok(nothing())
            } else {
                Err(self.no_records(json))
            };
        };
        let (records, array) = answer::records(value).map_err(not_json)?;
        let fresh = self.fresh(&records, cursor).map_err(not_json)?;
        let document = match fresh.len() {
            0 => None,
            all if all == records.len() => Some((pointer.clone(), response.body.clone())),
            _ => Some((String::new(), format!("[{}]", fresh.join(",")).into_bytes())),
        };
        let behind = Behind::of(pagination, response, json, (&records, array)).map_err(not_json)?;
        Ok(Answered { document, behind })
    }

    /// The records that the last reading did not give.
    fn fresh<'a>(
        &self,
        records: &[&'a RawValue],
        cursor: &mut Cursor,
    ) -> Result<Vec<&'a str>, serde_json::Error> {
        let Some(incremental) = &self.endpoint.incremental else {
            return Ok(records.iter().map(|record| record.get()).collect());
        };
        let pointer = incremental.pointer();
        let mut fresh = Vec::with_capacity(records.len());
        for record in records {
            let text = record.get();
            if let Some(value) = answer::at(text, &pointer)?.and_then(Mark::of) {
                if self
                    .cursor
                    .since
                    .as_ref()
                    .is_some_and(|since| since.knows(&value, text))
                {
                    continue;
                }
                cursor.note(value, text);
            }
            fresh.push(text);
        }
        Ok(fresh)
    }

    fn broken(&self, what: &str) -> Fault {
        Fault::broken(format!("GET {}: the answer {what}", self.url()))
    }

    fn no_records(&self, json: &str) -> Fault {
        let names: Vec<String> = answer::names(json)
            .iter()
            .map(|name| format!("`{name}`"))
            .collect();
        let has = if names.is_empty() {
            String::new()
        } else {
            format!("; it has {}", names.join(", "))
        };
        Fault::misconfigured(format!(
            "GET {}: the answer has nothing at `{}`{has}",
            self.url(),
            self.endpoint.records
        ))
    }
}

impl Reader for PageReader {
    type Cursor = Cursor;

    fn read(&mut self, _: Limit) -> Result<Page<Cursor>, Fault> {
        if self.cursor.place == Place::Done {
            return Ok(Page::end(self.cursor.clone()));
        }
        let target = self.target();
        let known = self.known(&target);
        let response = self.ask(&target, known)?;
        let mut cursor = self.cursor.clone();
        if response.status == 304 {
            self.cursor = self.finished(cursor);
            return Ok(Page::end(self.cursor.clone()));
        }
        let answered = self.look(&response, &mut cursor)?;
        let number = cursor.pages + 1;
        let pagination = &self.endpoint.pagination;
        let next = pagination.next(&self.cursor.place, &answered.behind, (&self.base, &target));
        let next = if let Some(place) = next.map_err(|what| self.broken(&what))? {
            cursor = Cursor {
                place,
                pages: number,
                ..cursor
            };
            self.wait_ms.map_or(Next::More, Next::WaitMs)
        } else {
            // The tag of a page says nothing of the pages behind it.
            cursor.tag = (number == 1 && self.endpoint.conditional)
                .then(|| Tag::of(&target, response.header("etag")?))
                .flatten();
            cursor = self.finished(cursor);
            Next::End
        };
        self.cursor = cursor;
        let page = Page {
            parts: Vec::new(),
            cursor: self.cursor.clone(),
            next,
            lag: None,
        };
        Ok(match answered.document {
            Some((pointer, bytes)) => {
                let document =
                    Document::json(format!("{}#page={number}", self.url()), pointer, bytes);
                page.document(self.endpoint.name.as_str(), document)
            }
            None => page,
        })
    }
}

/// How long a page is after the one before it, at so many requests a second: rounded up.
fn wait_ms(rate: f64) -> u64 {
    Duration::try_from_secs_f64(1.0 / rate).map_or(u64::MAX, |wait| {
        u64::try_from(wait.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX)
    })
}

/// What a status means for a request that only reads: where the SDK sees a defect of records, it is the settings.
fn refused(response: &Response) -> Fault {
    match response.fault() {
        Fault::Broken(message) => Fault::misconfigured(message),
        Fault::Misconfigured(message) if (300..400).contains(&response.status) => {
            let host = response.header("location").and_then(address::host_of);
            let hint =
                host.map_or_else(String::new, |host| format!("; hint: base_url = \"{host}\""));
            Fault::misconfigured(format!("{message}{hint}"))
        }
        fault => fault,
    }
}
