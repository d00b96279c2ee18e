//! Reads one stream: a request a page. The answer's bytes go on as they came; looked at is only what paging needs.

use crate::address::{self, Base};
use crate::answer::{self, Mark};
use crate::config::{Config, Endpoint, Pagination};
use crate::cursor::{Cursor, Latest, Place};
use crate::link;
use serde_json::value::RawValue;
use sluice_sdk::http::{Request, Response};
use sluice_sdk::source::{Document, Limit, Next};
use sluice_sdk::{Fault, Page, Reader};
use std::time::Duration;

/// A token for the next page. Stops a server from filling the cursor.
const TOKEN_BYTES_MAX: usize = 8 << 10;

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
    /// How many records came.
    count: usize,
    /// Whether an answer with more records is possible at all.
    array: bool,
    /// What goes on to the host; none where nothing is new.
    document: Option<(String, Vec<u8>)>,
    /// The next page, where the answer names it.
    token: Option<String>,
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
            cursor = Cursor::default();
        }
        if !fits(&cursor.place, &endpoint.pagination) {
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
        let response = self.ask(&target)?;
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
            query.push((&incremental.param, since.value.to_string()));
        }
        if let Some((param, size)) = self.endpoint.pagination.size() {
            query.push((param, size.to_string()));
        }
        match (&self.endpoint.pagination, &self.cursor.place) {
            (Pagination::Page { page_param, .. }, Place::Page(page)) => {
                query.push((page_param, page.to_string()));
            }
            (
                Pagination::Page {
                    page_param,
                    first_page,
                    ..
                },
                _,
            ) => query.push((page_param, first_page.to_string())),
            (Pagination::Offset { offset_param, .. }, Place::Offset(offset)) => {
                query.push((offset_param, offset.to_string()));
            }
            (Pagination::Offset { offset_param, .. }, _) => {
                query.push((offset_param, "0".to_owned()));
            }
            (Pagination::Cursor { cursor_param, .. }, Place::Token(token)) => {
                query.push((cursor_param, token.clone()));
            }
            _ => {}
        }
        let path = self.base.path(&self.endpoint.path);
        address::with_query(
            &path,
            query.iter().map(|(name, value)| (*name, value.as_str())),
        )
    }

    fn ask(&self, target: &str) -> Result<Response, Fault> {
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
        let response = request.send().map_err(|fault| self.in_context(fault))?;
        if (200..300).contains(&response.status) {
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
        let nothing = || Answered {
            count: 0,
            array: true,
            document: None,
            token: None,
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
        let token = match &self.endpoint.pagination {
            Pagination::Cursor { cursor_pointer, .. } => answer::at(json, cursor_pointer)
                .map_err(not_json)?
                .and_then(token),
            _ => None,
        };
        Ok(Answered {
            count: records.len(),
            array,
            document,
            token,
        })
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

    /// The page behind the one at hand; none at the end.
    fn next_place(
        &self,
        response: &Response,
        answered: &Answered,
        target: &str,
    ) -> Result<Option<Place>, Fault> {
        let count = answered.count as u64;
        let last = count == 0
            || !answered.array
            || self
                .endpoint
                .pagination
                .full_page()
                .is_some_and(|size| count < size);
        let place = match (&self.endpoint.pagination, &self.cursor.place) {
            (Pagination::None, _) => return Ok(None),
            (Pagination::Page { .. } | Pagination::Offset { .. }, _) if last => return Ok(None),
            (Pagination::Page { .. }, Place::Page(page)) => Place::Page(page + 1),
            (Pagination::Page { first_page, .. }, _) => Place::Page(first_page + 1),
            (Pagination::Offset { .. }, Place::Offset(offset)) => Place::Offset(offset + count),
            (Pagination::Offset { .. }, _) => Place::Offset(count),
            (Pagination::Cursor { .. }, _) => match &answered.token {
                None => return Ok(None),
                Some(token) if token.len() > TOKEN_BYTES_MAX => {
                    return Err(self.broken("has a token longer than 8 KiB"));
                }
                Some(token) => Place::Token(token.clone()),
            },
            (Pagination::Link { .. }, _) => match next_link(response) {
                None => return Ok(None),
                Some(reference) => {
                    let next = self.base.resolve(target, reference);
                    let next = next.map_err(|why| {
                        self.broken(&format!("has a link to the next page that {why}"))
                    })?;
                    if next == target {
                        return Err(self.broken("names itself as the next page"));
                    }
                    Place::Target(next)
                }
            },
        };
        if place == self.cursor.place {
            return Err(self.broken("names itself as the next page"));
        }
        Ok(Some(place))
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
        let response = self.ask(&target)?;
        let mut cursor = self.cursor.clone();
        let answered = self.look(&response, &mut cursor)?;
        let number = cursor.pages + 1;
        let next = match self.next_place(&response, &answered, &target)? {
            Some(place) => {
                cursor = Cursor {
                    place,
                    pages: number,
                    ..cursor
                };
                self.wait_ms.map_or(Next::More, Next::WaitMs)
            }
            None if self.endpoint.incremental.is_some() => {
                cursor = cursor.next_reading();
                Next::End
            }
            None => {
                cursor = Cursor {
                    place: Place::Done,
                    ..Cursor::default()
                };
                Next::End
            }
        };
        self.cursor = cursor;
        let page = Page {
            parts: Vec::new(),
            cursor: self.cursor.clone(),
            next,
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

/// Whether a place is one of this style.
fn fits(place: &Place, pagination: &Pagination) -> bool {
    match place {
        Place::Start | Place::Done => true,
        Place::Page(_) => matches!(pagination, Pagination::Page { .. }),
        Place::Offset(_) => matches!(pagination, Pagination::Offset { .. }),
        Place::Token(_) => matches!(pagination, Pagination::Cursor { .. }),
        Place::Target(_) => matches!(pagination, Pagination::Link { .. }),
    }
}

/// A text or a number; null, false and the empty text are the end.
fn token(value: &RawValue) -> Option<String> {
    match serde_json::from_str(value.get()).ok()? {
        serde_json::Value::String(text) if !text.is_empty() => Some(text),
        serde_json::Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn next_link(response: &Response) -> Option<&str> {
    let links = response
        .headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("link"));
    links.map(|(_, value)| value.as_str()).find_map(link::next)
}

/// What a status means for a request that only reads: where the SDK sees a defect of records, it is the settings.
fn refused(response: &Response) -> Fault {
    if response.status == 403 && response.header("retry-after").is_some() {
        // Some APIs say "too many requests" so. The SDK knows how to read the time.
        return Response {
            status: 429,
            ..response.clone()
        }
        .fault();
    }
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
