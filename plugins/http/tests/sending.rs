//! The sink against a server that behaves as servers do: it takes, refuses, forgets to answer, and is asked again.

use serde_json::{Value, json};
use sluice_http::HttpSink;
use sluice_sdk::http::{Request, Response};
use sluice_sdk::sink::Target;
use sluice_sdk::testing::{self, Table, Writer};
use sluice_sdk::{Change, Fault, Record, Rejection};
use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;

#[derive(Record, Clone)]
struct Movie {
    #[record(key)]
    id: i64,
    title: String,
}

fn movies(ids: std::ops::Range<i64>) -> Table {
    Table::from_records(
        ids.map(|id| Movie {
            id,
            title: format!("t{id}"),
        })
        .collect(),
    )
}

fn target() -> Vec<Target> {
    vec![Target {
        stream: "movies".to_owned(),
        schema: Movie::schema(),
    }]
}

fn writer(config: &Value) -> Result<Writer<HttpSink>, Fault> {
    Writer::open(&config.to_string(), target())
}

/// What a server saw and took.
#[derive(Default)]
struct Server {
    requests: Vec<Request>,
    records: Vec<Value>,
    keys: HashSet<String>,
}

type Shared = Rc<RefCell<Server>>;

/// Takes each key once; `first` may answer in its place.
fn server(first: impl Fn(usize, &Request) -> Option<Response> + 'static) -> Shared {
    let shared = Shared::default();
    let own = Rc::clone(&shared);
    testing::http(move |request| {
        let mut server = own.borrow_mut();
        server.requests.push(request.clone());
        if let Some(response) = first(server.requests.len(), request) {
            return Ok(response);
        }
        let keys = request
            .headers
            .iter()
            .find(|(name, _)| name == "idempotency-key");
        let keys: Vec<String> = keys.map_or_else(Vec::new, |(_, keys)| {
            keys.split(',').map(str::to_owned).collect()
        });
        let body: Value = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
        let batch = body.is_array();
        let records = match body {
            Value::Array(records) => records,
            Value::Null => Vec::new(),
            one => vec![one],
        };
        if records.iter().any(|record| record["id"] == json!(3)) {
            return Ok(Response::new(422, r#"{"error":"not three"}"#));
        }
        for (at, record) in records.into_iter().enumerate() {
            if keys
                .get(at)
                .is_none_or(|key| server.keys.insert(key.clone()))
            {
                server.records.push(record);
            }
        }
        Ok(Response::new(if batch { 200 } else { 201 }, "{}"))
    });
    shared
}

fn ids(server: &Shared) -> Vec<i64> {
    server
        .borrow()
        .records
        .iter()
        .filter_map(|record| record["id"].as_i64())
        .collect()
}

fn lines(server: &Shared) -> Vec<String> {
    server
        .borrow()
        .requests
        .iter()
        .map(|request| format!("{} {}", request.method, request.url))
        .collect()
}

fn brief(rejections: &[Rejection]) -> Vec<(u32, u32, &str)> {
    rejections
        .iter()
        .map(|one| (one.part, one.row, one.code.as_str()))
        .collect()
}

#[test]
fn each_record_has_a_request_and_a_key() {
    let server = server(|_, _| None);
    let config = json!({ "url": "http://a/", "path": "/v1/{@stream}", "error": "/error", "headers": { "X-Run": "7" } });
    let mut writer = writer(&config).expect("open");
    let rejections = writer
        .write(vec![("movies", movies(1..3)), ("movies", movies(3..5))])
        .expect("written");
    assert_eq!(brief(&rejections), [(1, 0, "http-422")]);
    assert_eq!(rejections[0].message, "the server answered 422: not three");
    assert_eq!(ids(&server), [1, 2, 4]);
    assert_eq!(lines(&server), ["POST http://a/v1/movies"; 4]);
    let seen = server.borrow();
    let request = &seen.requests[0];
    assert_eq!(request.body, br#"{"id":1,"title":"t1"}"#);
    let header = |name: &str| {
        request
            .headers
            .iter()
            .find(|(other, _)| other == name)
            .map(|(_, value)| value.as_str())
    };
    assert_eq!(
        (header("x-run"), header("content-type")),
        (Some("7"), Some("application/json"))
    );
    assert_eq!(header("idempotency-key").map(str::len), Some(32));
}

#[test]
fn a_unit_that_failed_in_its_middle_goes_on_there() {
    let server = server(|request, _| {
        (request == 4).then(|| Response::new(503, "").with_header("retry-after", "2"))
    });
    let config = json!({ "url": "http://a", "path": "/v1/movies" });
    let mut writer = writer(&config).expect("open");
    let fault = writer
        .write(vec![("movies", movies(1..7))])
        .expect_err("503");
    assert!(
        matches!(
            fault,
            Fault::Transient {
                retry_after_ms: Some(2_000),
                ..
            }
        ),
        "{fault}"
    );
    assert_eq!(
        fault.message(),
        "http://a/v1/movies: the server answered 503"
    );
    // The host calls again with the same unit and the same commit.
    let commit = writer.commit();
    let part = sluice_sdk::sink::Part {
        stream: "movies".to_owned(),
        batch: movies(1..7).into_batch(),
    };
    let rejections = sluice_sdk::Sink::write(writer.sink(), vec![part], &commit).expect("written");
    assert_eq!(
        brief(&rejections),
        [(0, 2, "http-422")],
        "a refusal before the failure is not forgotten"
    );
    assert_eq!(ids(&server), [1, 2, 4, 5, 6]);
    assert_eq!(server.borrow().requests.len(), 4 + 3);
}

#[test]
fn a_lost_acknowledgement_doubles_nothing() {
    let config = json!({ "url": "http://a", "path": "/v1/movies" });
    let server = server(|_, _| None);
    for _ in 0..2 {
        // A new instance knows nothing of the last: the keys alone make it harmless.
        writer(&config)
            .expect("open")
            .write(vec![("movies", movies(1..3))])
            .expect("written");
    }
    assert_eq!(server.borrow().requests.len(), 4);
    assert_eq!(ids(&server), [1, 2]);
    let changed = Table::from_records(vec![Movie {
        id: 1,
        title: "a later version".to_owned(),
    }]);
    writer(&config)
        .expect("open")
        .write(vec![("movies", changed)])
        .expect("written");
    assert_eq!(
        ids(&server),
        [1, 2, 1],
        "a later version is another record to the server"
    );
}

#[test]
fn a_refused_batch_is_halved_to_the_record() {
    let server = server(|_, _| None);
    let config =
        json!({ "url": "http://a", "path": "/v1/movies", "mode": "batch", "batch_size": 8 });
    let mut writer = writer(&config).expect("open");
    let rejections = writer
        .write(vec![("movies", movies(0..12))])
        .expect("written");
    assert_eq!(brief(&rejections), [(0, 3, "http-422")]);
    assert_eq!(ids(&server), [0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 11]);
    let sizes: Vec<usize> = server
        .borrow()
        .requests
        .iter()
        .filter_map(|request| serde_json::from_slice::<Vec<Value>>(&request.body).ok())
        .map(|records| records.len())
        .collect();
    assert_eq!(sizes, [8, 4, 2, 2, 1, 1, 4, 4]);
}

#[test]
fn results_are_told_record_by_record() {
    let answers = |request: usize| match request {
        1 => r#"[{"status":201},{"status":422,"error":"no"},{"status":503}]"#,
        _ => r#"[{"status":201}]"#,
    };
    let server = server(move |request, _| Some(Response::new(200, answers(request))));
    let config = json!({ "url": "http://a", "path": "/v1/movies", "mode": "batch", "results": "", "error": "/error" });
    let mut writer = writer(&config).expect("open");
    let fault = writer
        .write(vec![("movies", movies(0..3))])
        .expect_err("one is to be sent again");
    assert!(matches!(fault, Fault::Transient { .. }), "{fault}");
    let commit = writer.commit();
    let part = sluice_sdk::sink::Part {
        stream: "movies".to_owned(),
        batch: movies(0..3).into_batch(),
    };
    let rejections = sluice_sdk::Sink::write(writer.sink(), vec![part], &commit).expect("written");
    assert_eq!(brief(&rejections), [(0, 1, "http-422")]);
    assert_eq!(
        server.borrow().requests[1].body,
        br#"[{"id":2,"title":"t2"}]"#,
        "and that one alone"
    );
}

#[test]
fn deletions_are_sent_or_refused() {
    let server = server(|_, request| (request.method == "DELETE").then(|| Response::new(404, "")));
    let parts = || {
        let changes = vec![Change::Upsert, Change::Delete];
        vec![("movies", movies(1..3).with_changes(changes))]
    };
    let put = json!({ "url": "http://a", "path": "/v1/movies/{id}", "method": "PUT" });
    let rejections = writer(&put).expect("open").write(parts()).expect("written");
    assert_eq!(brief(&rejections), [(0, 1, "delete-not-supported")]);
    let mut both = put;
    both["delete_path"] = json!("/v1/movies/{id}");
    assert_eq!(
        writer(&both)
            .expect("open")
            .write(parts())
            .expect("written"),
        []
    );
    assert_eq!(
        lines(&server),
        [
            "PUT http://a/v1/movies/1",
            "PUT http://a/v1/movies/1",
            "DELETE http://a/v1/movies/2"
        ]
    );
    let seen = server.borrow();
    assert!(seen.requests.iter().all(|request| {
        request
            .headers
            .iter()
            .all(|(name, _)| name != "idempotency-key")
    }));
}

#[test]
fn what_cannot_work_stops_the_pipeline() {
    let check = |status: u16, config: &Value, expected: &str| {
        testing::http(move |_| Ok(Response::new(status, "").with_header("location", "http://b/")));
        let fault =
            writer(config).and_then(|mut writer| writer.write(vec![("movies", movies(1..2))]));
        let text = fault.expect_err(expected).to_string();
        assert!(text.starts_with(expected), "{status}: {text}");
    };
    let plain = json!({ "url": "http://a", "path": "/v1/movies" });
    check(401, &plain, "unauthorized: http://a/v1/movies");
    check(404, &plain, "misconfigured: http://a/v1/movies");
    check(302, &plain, "misconfigured: http://a/v1/movies");
    check(500, &plain, "transient: http://a/v1/movies");
    check(
        201,
        &json!({ "url": "http://a", "path": "/{nmae}" }),
        "misconfigured: stream `movies`: there is no column",
    );
    check(
        201,
        &json!({ "url": "http://a", "path": "/", "key_field": "id" }),
        "misconfigured: stream `movies` has a column `id`",
    );
}
