//! The routes: HTTP in, HTTP out. What is kept is `collections`' business, what is cut `pages`', what fails `script`'s.

use crate::collections::Outcome;
use crate::script::Turn;
use crate::{Seen, Sent, Shared, locked, pages};
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, put};
use axum::{Json, Router};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A request's body. A plugin under test that sends without end must not take the test machine's memory.
const BODY_BYTES_MAX: usize = 64 << 20;

type Pairs = Vec<(String, String)>;

#[derive(Clone)]
struct Server {
    shared: Arc<Shared>,
    address: SocketAddr,
}

pub(crate) fn router(shared: Arc<Shared>, address: SocketAddr) -> Router {
    let server = Server { shared, address };
    let api = Router::new()
        .route("/v1/{collection}", get(list).post(post))
        .route("/v1/{collection}/{id}", put(replace).delete(remove))
        .layer(from_fn_with_state(server.clone(), authorized))
        .layer(from_fn_with_state(server.clone(), scripted));
    Router::new()
        .merge(api)
        .route("/counts", get(counts))
        .route("/echo", any(echo))
        .route("/echo/{*path}", any(echo))
        .layer(from_fn_with_state(server.clone(), noted))
        .layer(axum::extract::DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(server)
}

fn seen(request: &Request) -> Seen {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    Seen {
        method: request.method().to_string(),
        path: request.uri().path().to_owned(),
        query: request.uri().query().unwrap_or_default().to_owned(),
        headers: request
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), text(value)))
            .collect(),
    }
}

async fn noted(State(server): State<Server>, request: Request, next: Next) -> Response {
    server.shared.note(seen(&request));
    next.run(request).await
}

/// Plays the next turn of the script, before anything else looks at the request.
async fn scripted(State(server): State<Server>, request: Request, next: Next) -> Response {
    let (turn, mut round) = {
        let mut script = locked(&server.shared.script);
        (script.next(), server.shared.held.subscribe())
    };
    match turn {
        None => next.run(request).await,
        Some(Turn::Fail { status, headers }) => answer(status, &headers),
        Some(Turn::Lose { status }) => {
            next.run(request).await;
            answer(status, &[])
        }
        Some(Turn::Delay(delay)) => {
            tokio::time::sleep(delay).await;
            next.run(request).await
        }
        Some(Turn::Hold) => {
            // The sender lives as long as the server, so an error means that nobody waits for this answer.
            let _ = round.changed().await;
            next.run(request).await
        }
    }
}

fn answer(status: u16, headers: &[(String, String)]) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, Json(json!({ "error": "scripted" }))).into_response();
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>()) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

async fn authorized(State(server): State<Server>, request: Request, next: Next) -> Response {
    let auth = &server.shared.options.auth;
    let query = Query::<Pairs>::try_from_uri(request.uri())
        .map(|Query(pairs)| pairs)
        .unwrap_or_default();
    if auth.admits(request.headers(), &query) {
        return next.run(request).await;
    }
    let mut response = error(StatusCode::UNAUTHORIZED, "no valid credential");
    if let Some((name, value)) = auth.challenge() {
        response.headers_mut().insert(name, value);
    }
    response
}

fn error(status: StatusCode, reason: &str) -> Response {
    (status, Json(json!({ "error": reason }))).into_response()
}

async fn counts(State(server): State<Server>) -> Response {
    Json(server.shared.counts()).into_response()
}

async fn echo(request: Request) -> Response {
    let request_as_seen = seen(&request);
    let Ok(body) = to_bytes(request.into_body(), BODY_BYTES_MAX).await else {
        return error(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large");
    };
    let mut answer = serde_json::to_value(request_as_seen).expect("strings become json");
    answer["body"] = Value::String(String::from_utf8_lossy(&body).into_owned());
    Json(answer).into_response()
}

async fn list(
    State(server): State<Server>,
    Path(name): Path<String>,
    Query(query): Query<Pairs>,
) -> Response {
    let records = {
        let all = locked(&server.shared.collections);
        if !all.has(&name) {
            return error(StatusCode::NOT_FOUND, "no such collection");
        }
        all.values(&name)
    };
    let options = &server.shared.options;
    match pages::page(records, &query, &options.updated_field, options.page_max) {
        Err(reason) => error(StatusCode::BAD_REQUEST, &reason),
        Ok(page) => {
            let number = server.shared.pages.fetch_add(1, Ordering::SeqCst);
            let body = match &options.rewrite {
                Some(rewrite) => rewrite(number, &query, page.body),
                None => page.body,
            };
            let mut response = Json(body).into_response();
            if let Some(next) = page.next {
                let link = format!("<http://{}/v1/{name}?{next}>; rel=\"next\"", server.address);
                response.headers_mut().extend(
                    HeaderValue::try_from(link)
                        .ok()
                        .map(|link| (header::LINK, link)),
                );
            }
            response
        }
    }
}

fn refusal(server: &Server, record: &Value) -> Option<String> {
    if !record.is_object() {
        return Some("not an object".to_owned());
    }
    server
        .shared
        .options
        .refuse
        .as_ref()
        .and_then(|refuse| refuse(record))
}

fn told(outcome: Outcome) -> (StatusCode, Value) {
    match outcome {
        Outcome::Created(id) => (StatusCode::CREATED, json!({ "id": id })),
        Outcome::Replaced(id) | Outcome::Repeated(id) => (StatusCode::OK, json!({ "id": id })),
        Outcome::Refused(reason) => (StatusCode::UNPROCESSABLE_ENTITY, json!({ "error": reason })),
    }
}

async fn post(
    State(server): State<Server>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let records = match serde_json::from_slice(&body) {
        Err(_) => return error(StatusCode::BAD_REQUEST, "the body is not json"),
        Ok(Value::Array(records)) => Ok(records),
        Ok(record) => Err(record),
    };
    let keys: Vec<String> = headers
        .get_all("idempotency-key")
        .iter()
        .flat_map(|value| {
            String::from_utf8_lossy(value.as_bytes())
                .split(',')
                .map(|key| key.trim().to_owned())
                .collect::<Vec<_>>()
        })
        .collect();
    let count = records.as_ref().map_or(1, Vec::len);
    if !keys.is_empty() && keys.len() != count {
        let reason = format!("{} idempotency keys for {count} records", keys.len());
        return error(StatusCode::BAD_REQUEST, &reason);
    }
    let post_one = |at: usize, record: Value| {
        let key = match &server.shared.options.key_field {
            Some(field) => record[field].as_str().map(str::to_owned),
            None => keys.get(at).cloned(),
        };
        take(&server, &name, key, record)
    };
    match records {
        Err(record) => {
            let (status, body) = post_one(0, record);
            (status, Json(body)).into_response()
        }
        Ok(records) => {
            let one = |(at, record)| {
                let (status, mut told) = post_one(at, record);
                told["status"] = json!(status.as_u16());
                told
            };
            Json(records.into_iter().enumerate().map(one).collect::<Vec<_>>()).into_response()
        }
    }
}

/// One record with its key.
fn take(server: &Server, name: &str, key: Option<String>, record: Value) -> (StatusCode, Value) {
    let options = &server.shared.options;
    let falters = options.falter.as_ref().and_then(|falter| falter(&record));
    let kept = options.journal.then(|| record.clone());
    let falters = falters.and_then(|status| StatusCode::from_u16(status).ok());
    let (status, body) = if let Some(status) = falters {
        (status, json!({ "error": "not now" }))
    } else {
        let refusal = refusal(server, &record);
        let mut all = locked(&server.shared.collections);
        told(all.post(name, key.as_deref(), record, refusal))
    };
    if let Some(record) = kept {
        locked(&server.shared.journal).push(Sent {
            at: server.shared.began.elapsed(),
            key,
            record,
            status: status.as_u16(),
        });
    }
    (status, body)
}

async fn replace(
    State(server): State<Server>,
    Path((name, id)): Path<(String, String)>,
    Json(record): Json<Value>,
) -> Response {
    let refusal = refusal(&server, &record);
    let (status, body) = told(locked(&server.shared.collections).put(&name, &id, record, refusal));
    (status, Json(body)).into_response()
}

async fn remove(
    State(server): State<Server>,
    Path((name, id)): Path<(String, String)>,
) -> Response {
    if locked(&server.shared.collections).delete(&name, &id) {
        return (StatusCode::NO_CONTENT, Body::empty()).into_response();
    }
    error(StatusCode::NOT_FOUND, "no such record")
}
