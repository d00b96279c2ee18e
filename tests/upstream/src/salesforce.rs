//! Salesforce's `query` of contacts, as its REST API's documentation has it: a SOQL query, pages behind a locator, and a
//! token of an authorization server, which is asked about each. Of SOQL it knows one shape, and refuses any other.

use crate::listening::Listening;
use crate::locked;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Records of one page, where the request says nothing, and what it may say in `Sforce-Query-Options`.
const BATCH: usize = 2_000;
const BATCH_MIN: usize = 200;

struct Shared {
    /// The port of the authorization server.
    authority: u16,
    contacts: Mutex<Vec<Value>>,
    /// What was found, by locator.
    found: Mutex<HashMap<String, Vec<Value>>>,
    asked: Mutex<Vec<String>>,
}

/// The server. Gone when dropped.
pub struct Salesforce {
    shared: Arc<Shared>,
    listening: Listening,
}

impl Salesforce {
    /// Starts one that takes the tokens of the authorization server on this port.
    pub fn start(authority: u16) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            authority,
            contacts: Mutex::default(),
            found: Mutex::default(),
            asked: Mutex::default(),
        });
        let own = Arc::clone(&shared);
        let listening = Listening::start(move |_| {
            Router::new()
                .route("/services/data/{version}/query", get(query))
                .route("/services/data/{version}/query/{locator}", get(more))
                .with_state(own)
        })?;
        Ok(Self { shared, listening })
    }

    /// `http://127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("http://{}", self.listening.address)
    }

    /// A contact is made, or another one is put in the place of that `Id`.
    pub fn put(&self, contact: Value) {
        let mut contacts = locked(&self.shared.contacts);
        match contacts.iter_mut().find(|own| own["Id"] == contact["Id"]) {
            Some(own) => *own = contact,
            None => contacts.push(contact),
        }
    }

    /// The queries and the locators that it was asked for since this was last called.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *locked(&self.shared.asked))
    }
}

fn error(status: StatusCode, code: &str, message: &str) -> Response {
    (
        status,
        Json(json!([{ "message": message, "errorCode": code }])),
    )
        .into_response()
}

async fn query(
    State(shared): State<Arc<Shared>>,
    Path(version): Path<String>,
    Query(asked): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    if let Err(refused) = authorized(&shared, &headers).await {
        return refused;
    }
    let soql = asked.get("q").cloned().unwrap_or_default();
    locked(&shared.asked).push(soql.clone());
    let Some((fields, since)) = parse(&soql) else {
        return error(
            StatusCode::BAD_REQUEST,
            "MALFORMED_QUERY",
            &format!("unexpected: {soql}"),
        );
    };
    let mut found: Vec<Value> = locked(&shared.contacts).clone();
    found.retain(|contact| stamp(contact) >= since);
    found.sort_by_key(stamp);
    let found: Result<Vec<Value>, String> = found
        .iter()
        .map(|contact| select(contact, &fields, &version))
        .collect();
    match found {
        Err(field) => {
            let message = format!("No such column '{field}' on entity 'Contact'.");
            error(StatusCode::BAD_REQUEST, "INVALID_FIELD", &message)
        }
        Ok(found) => {
            let mut all = locked(&shared.found);
            let locator = format!("01g{:015}", all.len());
            all.insert(locator.clone(), found);
            drop(all);
            page(&shared, &version, &locator, 0, &headers)
        }
    }
}

async fn more(
    State(shared): State<Arc<Shared>>,
    Path((version, locator)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    if let Err(refused) = authorized(&shared, &headers).await {
        return refused;
    }
    locked(&shared.asked).push(locator.clone());
    let place = locator
        .split_once('-')
        .and_then(|(locator, from)| Some((locator, from.parse().ok()?)));
    match place {
        Some((locator, from)) => page(&shared, &version, locator, from, &headers),
        None => error(
            StatusCode::BAD_REQUEST,
            "INVALID_QUERY_LOCATOR",
            "invalid query locator",
        ),
    }
}

fn page(
    shared: &Shared,
    version: &str,
    locator: &str,
    from: usize,
    headers: &HeaderMap,
) -> Response {
    let all = locked(&shared.found);
    let Some(found) = all.get(locator) else {
        return error(
            StatusCode::BAD_REQUEST,
            "INVALID_QUERY_LOCATOR",
            "invalid query locator",
        );
    };
    let wanted = headers
        .get("sforce-query-options")
        .and_then(|value| value.to_str().ok());
    let wanted = wanted.and_then(|value| value.strip_prefix("batchSize=")?.parse::<usize>().ok());
    let to = from + wanted.unwrap_or(BATCH).clamp(BATCH_MIN, BATCH);
    let records: Vec<&Value> = found.iter().skip(from).take(to - from).collect();
    let mut body =
        json!({ "totalSize": found.len(), "done": to >= found.len(), "records": records });
    if to < found.len() {
        body["nextRecordsUrl"] = json!(format!("/services/data/{version}/query/{locator}-{to}"));
    }
    Json(body).into_response()
}

/// `SELECT a, b FROM Contact WHERE SystemModstamp >= INSTANT ORDER BY SystemModstamp`: the fields, and the instant.
fn parse(soql: &str) -> Option<(Vec<String>, String)> {
    let rest = soql.strip_prefix("SELECT ")?;
    let (fields, rest) = rest.split_once(" FROM Contact WHERE SystemModstamp >= ")?;
    let (since, rest) = rest.split_once(' ')?;
    let zone = ["Z", "+0000", "+00:00"]
        .iter()
        .find_map(|zone| since.strip_suffix(zone))?;
    let fields = fields
        .split(',')
        .map(|field| field.trim().to_owned())
        .collect();
    (rest == "ORDER BY SystemModstamp").then(|| (fields, zone.to_owned()))
}

/// In UTC, without its zone.
fn stamp(contact: &Value) -> String {
    let stamp = contact["SystemModstamp"].as_str().unwrap_or_default();
    stamp.trim_end_matches("+0000").to_owned()
}

/// The record with these fields, or the one that it does not have.
fn select(contact: &Value, fields: &[String], version: &str) -> Result<Value, String> {
    let id = contact["Id"].as_str().unwrap_or_default();
    let url = format!("/services/data/{version}/sobjects/Contact/{id}");
    let mut record = Map::new();
    record.insert(
        "attributes".to_owned(),
        json!({ "type": "Contact", "url": url }),
    );
    for field in fields {
        let value = contact.get(field).ok_or_else(|| field.clone())?;
        record.insert(field.clone(), value.clone());
    }
    Ok(Value::Object(record))
}

/// Asks the authorization server whose token it is.
async fn authorized(shared: &Shared, headers: &HeaderMap) -> Result<(), Response> {
    let refused = || {
        error(
            StatusCode::UNAUTHORIZED,
            "INVALID_SESSION_ID",
            "Session expired or invalid",
        )
    };
    let value = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let status = whoami(shared.authority, value.ok_or_else(refused)?).await;
    if status.is_ok_and(|said| said.starts_with("HTTP/1.1 200 ")) {
        Ok(())
    } else {
        Err(refused())
    }
}

async fn whoami(port: u16, authorization: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let request = format!(
        "GET /v2/whoami HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: {authorization}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}
