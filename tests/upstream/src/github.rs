//! GitHub's list of a repository's issues, as GitHub's documentation has it: pages with a `Link` header, `since`,
//! conditional requests, and limits. What its answers and requests look like is held by Prism with GitHub's own document,
//! where a test puts it in front.

use crate::listening::Listening;
use crate::locked;
use axum::Router;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const PER_PAGE: usize = 30;
const PER_PAGE_MAX: usize = 100;
const LIMIT: u64 = 5_000;

/// One request, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// As it stood in the URL.
    pub query: String,
    /// `If-None-Match`.
    pub known: Option<String>,
    /// What it was answered.
    pub status: u16,
}

struct Shared {
    token: String,
    /// Where the public finds it: what links lead to.
    public: Mutex<String>,
    issues: Mutex<Vec<Value>>,
    limit: Mutex<Limit>,
    asked: Mutex<Vec<Asked>>,
}

/// How many requests are left, and until when. Then there are [`LIMIT`] of them again.
struct Limit {
    left: u64,
    reset: SystemTime,
    /// How long the next one lasts, from the request on that uses it up.
    lasts: Option<Duration>,
    /// Seconds that the next request is asked to wait: a secondary limit.
    slow_down: Option<u64>,
}

/// The server. Gone when dropped.
pub struct GitHub {
    shared: Arc<Shared>,
    listening: Listening,
}

impl GitHub {
    /// Starts one that takes this token.
    pub fn start(token: &str) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            token: token.to_owned(),
            public: Mutex::default(),
            issues: Mutex::default(),
            limit: Mutex::new(Limit {
                left: LIMIT,
                reset: SystemTime::now() + Duration::from_hours(1),
                lasts: None,
                slow_down: None,
            }),
            asked: Mutex::default(),
        });
        let own = Arc::clone(&shared);
        let listening = Listening::start(move |_| {
            Router::new()
                .route("/repos/{owner}/{repo}/issues", get(issues))
                .with_state(own)
        })?;
        let server = Self { shared, listening };
        server.stands_at(&server.address());
        Ok(server)
    }

    /// `http://127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("http://{}", self.listening.address)
    }

    /// Its links lead there from now on.
    pub fn stands_at(&self, url: &str) {
        url.clone_into(&mut locked(&self.shared.public));
    }

    /// An issue is opened, or another one is put in the place of that number.
    pub fn put(&self, issue: Value) {
        let mut issues = locked(&self.shared.issues);
        match issues
            .iter_mut()
            .find(|own| own["number"] == issue["number"])
        {
            Some(own) => *own = issue,
            None => issues.push(issue),
        }
    }

    /// So many requests are left, and from the last of them on none for as long as this.
    pub fn limit(&self, left: u64, lasts: Duration) {
        let mut limit = locked(&self.shared.limit);
        (limit.left, limit.lasts) = (left, Some(lasts));
    }

    /// The next request is asked to wait for so many seconds.
    pub fn slow_down(&self, seconds: u64) {
        locked(&self.shared.limit).slow_down = Some(seconds);
    }

    /// The requests since this was last called.
    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut *locked(&self.shared.asked))
    }
}

async fn issues(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<Vec<(String, String)>>,
    request: Request,
) -> Response {
    let uri = request.uri();
    let (path, asked) = (uri.path(), uri.query().unwrap_or_default());
    let known = text(request.headers(), header::IF_NONE_MATCH);
    let response = answer(&shared, path, &query, request.headers());
    locked(&shared.asked).push(Asked {
        query: asked.to_owned(),
        known,
        status: response.status().as_u16(),
    });
    response
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?;
    Some(value.to_owned())
}

fn answer(
    shared: &Shared,
    path: &str,
    query: &[(String, String)],
    headers: &HeaderMap,
) -> Response {
    let says =
        |status, message: &str| (status, axum::Json(json!({ "message": message }))).into_response();
    // Prism names itself where nobody else did.
    let agent = text(headers, header::USER_AGENT).filter(|agent| !agent.starts_with("Prism/"));
    if agent.is_none() {
        return says(
            StatusCode::FORBIDDEN,
            "Request forbidden by administrative rules.",
        );
    }
    let token = text(headers, header::AUTHORIZATION);
    if token != Some(format!("Bearer {}", shared.token)) {
        return says(StatusCode::UNAUTHORIZED, "Bad credentials");
    }
    let mut limit = locked(&shared.limit);
    if let Some(seconds) = limit.slow_down.take() {
        let mut response = says(
            StatusCode::FORBIDDEN,
            "You have exceeded a secondary rate limit.",
        );
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, seconds.into());
        return response;
    }
    if SystemTime::now() >= limit.reset {
        (limit.left, limit.reset) = (LIMIT, SystemTime::now() + Duration::from_hours(1));
    }
    let mut response = match limit.left {
        0 => says(
            StatusCode::FORBIDDEN,
            "API rate limit exceeded for user ID 1.",
        ),
        _ => page(shared, path, query, headers),
    };
    // What has not changed is free.
    if response.status() != StatusCode::NOT_MODIFIED {
        limit.left = limit.left.saturating_sub(1);
    }
    if limit.left == 0
        && let Some(lasts) = limit.lasts.take()
    {
        limit.reset = SystemTime::now() + lasts;
    }
    let reset = limit.reset.duration_since(UNIX_EPOCH).unwrap_or_default();
    // A full second later: it is told in whole ones.
    let told = [
        ("limit", LIMIT),
        ("remaining", limit.left),
        ("reset", reset.as_secs() + 1),
    ];
    for (name, value) in told {
        let name = header::HeaderName::try_from(format!("x-ratelimit-{name}"));
        response
            .headers_mut()
            .insert(name.expect("a name"), value.into());
    }
    response
}

/// The page that the query asks for, with its tag, or that it has not changed.
fn page(shared: &Shared, path: &str, query: &[(String, String)], headers: &HeaderMap) -> Response {
    let asked = |name: &str| {
        query
            .iter()
            .find(|(own, _)| own == name)
            .map(|(_, value)| value.as_str())
    };
    let number = |name: &str| asked(name).and_then(|value| value.parse::<usize>().ok());
    let size = number("per_page")
        .unwrap_or(PER_PAGE)
        .clamp(1, PER_PAGE_MAX);
    let page = number("page").unwrap_or(1).max(1);
    let sort = match asked("sort") {
        Some("updated") => "updated_at",
        _ => "created_at",
    };
    let field = |issue: &Value, name: &str| issue[name].as_str().unwrap_or_default().to_owned();
    let state = asked("state").unwrap_or("open");
    let mut found: Vec<Value> = locked(&shared.issues)
        .iter()
        .filter(|issue| state == "all" || issue["state"] == state)
        .filter(|issue| asked("since").is_none_or(|since| *field(issue, "updated_at") >= *since))
        .cloned()
        .collect();
    found.sort_by_key(|issue| field(issue, sort));
    if asked("direction") != Some("asc") {
        found.reverse();
    }
    let last = found.len().div_ceil(size);
    let body = Value::Array(
        found
            .into_iter()
            .skip((page - 1) * size)
            .take(size)
            .collect(),
    )
    .to_string();

    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    let tag = format!("W/\"{:016x}\"", hasher.finish());
    let same = text(headers, header::IF_NONE_MATCH).as_ref() == Some(&tag);
    let mut response = if same {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let kind = (header::CONTENT_TYPE, "application/json; charset=utf-8");
        ([kind], body).into_response()
    };
    let mut head = |name, value: String| {
        let value = HeaderValue::try_from(value).expect("a header's value");
        response.headers_mut().insert(name, value);
    };
    head(header::ETAG, tag);
    if page < last && !same {
        let to = |page: usize, relation: &str| {
            let rest = query.iter().filter(|(name, _)| name != "page");
            let pairs = rest.map(|(name, value)| format!("{name}={}&", value.replace('+', "%2B")));
            let rest = pairs.collect::<Vec<_>>().concat();
            let public = locked(&shared.public);
            format!("<{public}{path}?{rest}page={page}>; rel=\"{relation}\"")
        };
        head(
            header::LINK,
            format!("{}, {}", to(page + 1, "next"), to(last, "last")),
        );
    }
    response
}
