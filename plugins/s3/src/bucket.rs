//! A bucket, as far as this plugin asks of one. Each function is one request; the host signs it.

use crate::xml::{self, Element};
use sluice_sdk::Fault;
use sluice_sdk::http::{Request, Response};
use std::fmt::Write as _;

/// Objects of one listing. The host takes as many splits.
const OBJECTS_MAX: usize = 100_000;
/// Answers of one listing. Stops a server that never comes to an end.
const LIST_PAGES_MAX: usize = 1_000;
/// A key, as S3 has it.
const KEY_BYTES_MAX: usize = 1_024;

/// A bucket of a server.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    /// `https://host/bucket`
    base: String,
    name: String,
}

/// An object in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Object {
    pub(crate) key: String,
    pub(crate) etag: String,
    pub(crate) bytes: u64,
}

/// A part of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) bytes: Vec<u8>,
    /// Which object it is of.
    pub(crate) etag: String,
    /// How long that is.
    pub(crate) object_bytes: u64,
}

/// What became of a request for a part of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    Range(Range),
    /// There is no such object.
    Missing,
    /// It is another object than the one that was asked for.
    Changed,
}

/// An upload that is not an object yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Upload {
    pub(crate) key: String,
    pub(crate) id: String,
}

/// What became of an upload that was to be completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Completed {
    Yes,
    /// There is no such upload: it was completed before, or given up.
    Gone,
}

impl Bucket {
    pub(crate) fn new(endpoint: &str, bucket: &str) -> Self {
        Self {
            base: format!("{}/{bucket}", endpoint.trim_end_matches('/')),
            name: bucket.to_owned(),
        }
    }

    fn url(&self, key: &str, query: &[(&str, &str)]) -> String {
        let mut url = self.base.clone();
        if !key.is_empty() {
            url.push('/');
            encode(key, true, &mut url);
        }
        for (at, (name, value)) in query.iter().enumerate() {
            url.push(if at == 0 { '?' } else { '&' });
            encode(name, false, &mut url);
            url.push('=');
            encode(value, false, &mut url);
        }
        url
    }

    /// Whether it is there and may be listed.
    pub(crate) fn check(&self, prefix: &str) -> Result<(), Fault> {
        self.list_page(prefix, "1", None).map(|_| ())
    }

    /// Its objects whose keys begin with `prefix`.
    pub(crate) fn list(&self, prefix: &str) -> Result<Vec<Object>, Fault> {
        let mut objects: Vec<Object> = Vec::new();
        let mut next: Option<String> = None;
        for _ in 0..LIST_PAGES_MAX {
            let page = self.list_page(prefix, "1000", next.as_deref())?;
            for contents in page.all("Contents") {
                objects.push(object(contents, prefix)?);
            }
            if objects.len() > OBJECTS_MAX {
                return Err(Fault::misconfigured(format!(
                    "bucket `{}` has more than {OBJECTS_MAX} objects under `{}`; hint: narrow `prefix`",
                    self.name,
                    prefix.escape_debug()
                )));
            }
            if page.text_of("IsTruncated") != Some("true") {
                return Ok(objects);
            }
            let token = page
                .text_of("NextContinuationToken")
                .filter(|token| !token.is_empty());
            let token = token.ok_or_else(|| {
                Fault::broken("the server cuts a list off and does not say where it goes on")
            })?;
            next = Some(token.to_owned());
        }
        Err(Fault::broken(format!(
            "the server's list does not end in {LIST_PAGES_MAX} answers"
        )))
    }

    fn list_page(&self, prefix: &str, max: &str, next: Option<&str>) -> Result<Element, Fault> {
        let mut query = vec![
            ("list-type", "2"),
            ("encoding-type", "url"),
            ("max-keys", max),
            ("prefix", prefix),
        ];
        query.extend(next.map(|next| ("continuation-token", next)));
        let answer = Request::get(self.url("", &query)).send()?;
        xml::parse(&self.success(answer)?.body, "ListBucketResult")
    }

    /// Bytes `from` to `to` (exclusive) of an object, fewer where it ends before; only of this one, where an ETag is given.
    pub(crate) fn range(
        &self,
        key: &str,
        from: u64,
        to: u64,
        etag: Option<&str>,
    ) -> Result<Found, Fault> {
        let mut request = Request::get(self.url(key, &[]))
            .header("range", format!("bytes={from}-{}", to.max(from + 1) - 1));
        if let Some(etag) = etag {
            request = request.header("if-match", etag);
        }
        let answer = request.send()?;
        match answer.status {
            206 => {}
            404 if code(&answer).as_deref() != Some("NoSuchBucket") => return Ok(Found::Missing),
            412 | 416 => return Ok(Found::Changed),
            200 => {
                return Err(Fault::misconfigured(
                    "the server answers with a whole object where a part is asked for: it takes no ranges",
                ));
            }
            _ => return Err(self.fault(&answer)),
        }
        let found = etag_of(&answer)?;
        if etag.is_some_and(|etag| etag != found) {
            return Ok(Found::Changed);
        }
        let told = answer.header("content-range").and_then(content_range);
        let Some((first, last, object_bytes)) = told else {
            return Err(Fault::broken(
                "the server does not say which part of an object it sent",
            ));
        };
        let asked = to.min(object_bytes);
        if first != from
            || last.checked_add(1) != Some(asked)
            || answer.body.len() as u64 != asked - from
        {
            return Err(Fault::transient(
                "the server sent another part of an object than the one asked for",
            ));
        }
        Ok(Found::Range(Range {
            etag: found,
            object_bytes,
            bytes: answer.body,
        }))
    }

    /// Whether there is an object of this key.
    pub(crate) fn exists(&self, key: &str) -> Result<bool, Fault> {
        let answer = Request::new("HEAD", self.url(key, &[])).send()?;
        match answer.status {
            404 => Ok(false),
            // What answers a HEAD has no body, and so no code: the same is asked in a way that has.
            400 => Ok(!matches!(self.range(key, 0, 1, None)?, Found::Missing)),
            _ => self.success(answer).map(|_| true),
        }
    }

    /// A whole object and its ETag; none where there is none.
    pub(crate) fn get(&self, key: &str) -> Result<Option<(Vec<u8>, String)>, Fault> {
        let answer = Request::get(self.url(key, &[])).send()?;
        if answer.status == 404 && code(&answer).as_deref() != Some("NoSuchBucket") {
            return Ok(None);
        }
        let answer = self.success(answer)?;
        let etag = etag_of(&answer)?;
        Ok(Some((answer.body, etag)))
    }

    /// Puts a whole object in the place of the one of this ETag, or where there is none; gives its ETag. A server that
    /// knows no conditions puts it over whatever is there.
    pub(crate) fn put(
        &self,
        key: &str,
        bytes: Vec<u8>,
        over: Option<&str>,
    ) -> Result<String, Fault> {
        let request = Request::put(self.url(key, &[]))
            .header("content-type", "application/json")
            .body(bytes);
        let request = match over {
            Some(etag) => request.header("if-match", etag),
            None => request.header("if-none-match", "*"),
        };
        let answer = request.send()?;
        match answer.status {
            412 => Err(Fault::transient(format!(
                "`{key}` is not what it was: another run writes this split"
            ))),
            409 => Err(Fault::transient(format!("`{key}` is being written"))),
            _ => etag_of(&self.success(answer)?),
        }
    }

    /// Begins an object that is sent in parts.
    pub(crate) fn begin(&self, key: &str, content_type: &str) -> Result<Upload, Fault> {
        let answer = Request::post(self.url(key, &[("uploads", "")]))
            .header("content-type", content_type)
            .send()?;
        let body = self.success(answer)?.body;
        let told = xml::parse(&body, "InitiateMultipartUploadResult")?;
        let id = told.text_of("UploadId").filter(|id| !id.is_empty());
        let id = id.ok_or_else(|| Fault::broken("the server names no upload"))?;
        Ok(Upload {
            key: key.to_owned(),
            id: id.to_owned(),
        })
    }

    /// Sends one part, counted from 1; gives its ETag.
    pub(crate) fn part(
        &self,
        upload: &Upload,
        number: usize,
        bytes: Vec<u8>,
    ) -> Result<String, Fault> {
        let number = number.to_string();
        let query = [("partNumber", number.as_str()), ("uploadId", &upload.id)];
        let answer = Request::put(self.url(&upload.key, &query))
            .body(bytes)
            .send()?;
        etag_of(&self.success(answer)?)
    }

    /// Makes an object of the parts of an upload.
    pub(crate) fn complete(&self, upload: &Upload, parts: &[String]) -> Result<Completed, Fault> {
        let mut body = String::from("<CompleteMultipartUpload>");
        for (at, etag) in parts.iter().enumerate() {
            // Writing to a string cannot fail.
            let _ = write!(
                body,
                "<Part><PartNumber>{}</PartNumber><ETag>{}</ETag></Part>",
                at + 1,
                xml::escaped(etag)
            );
        }
        body.push_str("</CompleteMultipartUpload>");
        let answer = Request::post(self.url(&upload.key, &[("uploadId", &upload.id)]))
            .header("content-type", "application/xml")
            .body(body)
            .send()?;
        if code(&answer).as_deref() == Some("NoSuchUpload") {
            return Ok(Completed::Gone);
        }
        let answer = self.success(answer)?;
        // S3 begins to answer before it knows: an error may follow on a 200.
        match xml::tree(&answer.body) {
            Some(told) if told.name == "CompleteMultipartUploadResult" => Ok(Completed::Yes),
            _ => Err(Fault::transient("the server did not complete an upload")),
        }
    }

    /// Gives an upload up.
    pub(crate) fn abort(&self, upload: &Upload) -> Result<(), Fault> {
        let answer =
            Request::new("DELETE", self.url(&upload.key, &[("uploadId", &upload.id)])).send()?;
        match answer.status {
            404 => Ok(()),
            _ => self.success(answer).map(|_| ()),
        }
    }

    /// The uploads, of keys that begin with `prefix`, that are no objects yet. None where the server does not list them.
    pub(crate) fn uploads(&self, prefix: &str) -> Result<Option<Vec<Upload>>, Fault> {
        let query = [("uploads", ""), ("prefix", prefix), ("max-uploads", "1000")];
        let answer = Request::get(self.url("", &query)).send()?;
        if answer.status == 501 {
            return Ok(None);
        }
        let told = xml::parse(&self.success(answer)?.body, "ListMultipartUploadsResult")?;
        let uploads = told.all("Upload").filter_map(|upload| {
            let (key, id) = (upload.text_of("Key")?, upload.text_of("UploadId")?);
            // Some servers list all there are.
            key.starts_with(prefix).then(|| Upload {
                key: key.to_owned(),
                id: id.to_owned(),
            })
        });
        Ok(Some(uploads.collect()))
    }

    fn success(&self, answer: Response) -> Result<Response, Fault> {
        if (200..300).contains(&answer.status) {
            Ok(answer)
        } else {
            Err(self.fault(&answer))
        }
    }

    /// What an answer means that was not expected. Only the server's code is told: its message may repeat the request.
    fn fault(&self, answer: &Response) -> Fault {
        let status = answer.status;
        let code = code(answer).unwrap_or_else(|| status.to_string());
        match (status, code.as_str()) {
            (_, "NoSuchBucket") => Fault::misconfigured(format!(
                "there is no bucket `{}`; hint: make it, or change `bucket`",
                self.name
            )),
            (
                301 | 307 | 400,
                "PermanentRedirect"
                | "TemporaryRedirect"
                | "AuthorizationHeaderMalformed"
                | "301"
                | "307",
            ) => Fault::misconfigured(format!(
                "bucket `{}` is in another region (`{code}`); hint: change `endpoint` and `region`",
                self.name
            )),
            // The codes are of a session's token and of a clock: S3 says 400 with them.
            (401 | 403, _)
            | (400, "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired" | "RequestExpired") => {
                Fault::unauthorized(format!(
                    "the server refuses the keys for bucket `{}` (`{code}`)",
                    self.name
                ))
            }
            (408 | 425 | 429 | 500..=599, _)
            | (
                _,
                "SlowDown"
                | "InternalError"
                | "RequestTimeout"
                | "OperationAborted"
                | "ThrottlingException"
                | "KMS.ThrottlingException",
            ) => transient(answer, &code),
            _ => Fault::broken(format!("the server answered {status} (`{code}`)")),
        }
    }
}

fn transient(answer: &Response, code: &str) -> Fault {
    match answer.fault() {
        // With how long the server asks to be left alone.
        fault @ Fault::Transient { .. } => fault,
        _ => Fault::transient(format!("the server answered {} (`{code}`)", answer.status)),
    }
}

/// Without one nobody could tell an object from the one that took its place.
fn etag_of(answer: &Response) -> Result<String, Fault> {
    let found = answer.header("etag").filter(|etag| !etag.is_empty());
    let found = found.ok_or_else(|| {
        Fault::misconfigured("the server names no ETag: is the endpoint one of S3?")
    })?;
    Ok(found.to_owned())
}

/// The word for an error, where it is one.
fn code(answer: &Response) -> Option<String> {
    if answer.status < 300 && !answer.body.starts_with(b"<") {
        return None;
    }
    let told = xml::tree(&answer.body).filter(|told| told.name == "Error")?;
    let code = told.text_of("Code")?;
    // A dot: what another service says, with its name before it.
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || letter == '.';
    let is_word = code.len() <= 64 && code.chars().all(is_letter);
    is_word.then(|| code.to_owned())
}

fn object(contents: &Element, prefix: &str) -> Result<Object, Fault> {
    let odd = |what: &str| Fault::broken(format!("the server's list has an object {what}"));
    let key = contents
        .text_of("Key")
        .and_then(decode)
        .ok_or_else(|| odd("without a key in UTF-8"))?;
    if key.len() > KEY_BYTES_MAX || !key.starts_with(prefix) {
        return Err(odd("that was not asked for"));
    }
    let bytes = contents
        .text_of("Size")
        .and_then(|bytes| bytes.parse().ok());
    let etag = contents.text_of("ETag").filter(|etag| !etag.is_empty());
    Ok(Object {
        key,
        etag: etag.ok_or_else(|| odd("without an ETag"))?.to_owned(),
        bytes: bytes.ok_or_else(|| odd("of no size"))?,
    })
}

/// `bytes 0-99/1000`
fn content_range(text: &str) -> Option<(u64, u64, u64)> {
    let (range, of) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last, of) = (first.parse().ok()?, last.parse().ok()?, of.parse().ok()?);
    (first <= last && last < of).then_some((first, last, of))
}

/// All but RFC 3986's unreserved characters, and in a path its slashes.
fn encode(text: &str, is_path: bool, out: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            b'/' if is_path => out.push('/'),
            _ => {
                // Writing to a string cannot fail.
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
}

/// A key as a listing has it: percent-encoded, a `+` for a space.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let (high, low) = (digit(rest.next())?, digit(rest.next())?);
                u8::try_from(high * 16 + low).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}
