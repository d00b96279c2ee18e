//! The source against servers in every style of paging, to the end and on from where it stopped.

use serde_json::{Value, json};
use sluice_rest::RestSource;
use sluice_sdk::http::Response;
use sluice_sdk::source::{DocumentFormat, Limit, Next, Split};
use sluice_sdk::testing::{self, Read};
use sluice_sdk::{Fault, Reader as _};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

type Log = Rc<RefCell<Vec<String>>>;

/// Answers by path and query; what is not there is 404.
fn serve(answers: &[(&str, Value)]) -> Log {
    let answers: HashMap<String, String> = answers
        .iter()
        .map(|(target, answer)| ((*target).to_owned(), answer.to_string()))
        .collect();
    let log = Log::default();
    let own = Rc::clone(&log);
    testing::http(move |request| {
        let target = request
            .url
            .strip_prefix("http://a")
            .expect("this server only")
            .to_owned();
        let answer = answers.get(&target).map_or_else(
            || Response::new(404, "{}"),
            |body| Response::new(200, body.as_str()),
        );
        own.borrow_mut().push(target);
        Ok(answer)
    });
    log
}

fn config(stream: Value) -> Value {
    let mut stream = stream;
    stream["name"] = json!("s");
    json!({ "base_url": "http://a", "streams": [stream] })
}

fn read(config: &Value, cursor: Option<&Value>) -> Result<Read, Fault> {
    let limit = Limit {
        rows: 10,
        bytes: 1 << 20,
        wait_ms: 0,
    };
    testing::read_split::<RestSource>(&config.to_string(), Split::new("s", "s"), cursor, limit)
}

/// The records as the host finds them in the documents.
fn ids(read: &Read) -> Vec<i64> {
    let mut ids = Vec::new();
    for document in read.documents("s") {
        let DocumentFormat::Json(pointer) = &document.format else {
            panic!("not json: {:?}", document.format)
        };
        let answer: Value = serde_json::from_slice(&document.bytes).expect("json");
        let records = answer
            .pointer(pointer)
            .expect("records")
            .as_array()
            .expect("an array")
            .clone();
        ids.extend(
            records
                .iter()
                .map(|record| record["id"].as_i64().expect("an id")),
        );
    }
    ids
}

fn rows(ids: &[i64]) -> Value {
    ids.iter().map(|id| json!({ "id": id })).collect()
}

#[test]
fn every_style_reads_to_the_end() {
    let check = |stream: Value, answers: &[(&str, Value)]| {
        let log = serve(answers);
        let read = read(&config(stream), None).expect("read");
        assert_eq!(ids(&read), [1, 2, 3], "{:?}", log.borrow());
        let asked: Vec<String> = answers
            .iter()
            .map(|(target, _)| (*target).to_owned())
            .collect();
        assert_eq!(*log.borrow(), asked);
        let targets = log.borrow().len();
        let again =
            self::read(&config(json!({ "path": "/x" })), read.cursor.as_ref()).expect("again");
        assert_eq!(
            (again.parts.len(), log.borrow().len()),
            (0, targets),
            "what is read is left alone"
        );
    };
    check(
        json!({ "path": "/x", "query": { "q": "a b", "n": 1, "f": true } }),
        &[("/x?f=true&n=1&q=a%20b", rows(&[1, 2, 3]))],
    );
    check(
        json!({ "path": "/x", "records": "/data", "pagination": { "style": "page", "size_param": "per", "size": 2 } }),
        &[
            ("/x?per=2&page=1", json!({ "data": rows(&[1, 2]) })),
            ("/x?per=2&page=2", json!({ "data": rows(&[3]) })),
            ("/x?per=2&page=3", json!({ "data": [] })),
        ],
    );
    check(
        json!({ "path": "/x", "pagination":
            { "style": "page", "first_page": 0, "page_param": "p", "size_param": "n", "size": 2, "short_page_ends": true } }),
        &[("/x?n=2&p=0", rows(&[1, 2])), ("/x?n=2&p=1", rows(&[3]))],
    );
    check(
        json!({ "path": "/x", "pagination": { "style": "offset", "size": 9 } }),
        &[
            ("/x?limit=9&offset=0", rows(&[1, 2])),
            ("/x?limit=9&offset=2", rows(&[3])),
            ("/x?limit=9&offset=3", rows(&[])),
        ],
    );
    check(
        json!({ "path": "/x", "records": "/data", "pagination": { "style": "cursor", "cursor_pointer": "/meta/next" } }),
        &[
            (
                "/x",
                json!({ "data": rows(&[1]), "meta": { "next": "a&b" } }),
            ),
            (
                "/x?cursor=a%26b",
                json!({ "data": rows(&[2]), "meta": { "next": 7 } }),
            ),
            (
                "/x?cursor=7",
                json!({ "data": rows(&[3]), "meta": { "next": null } }),
            ),
        ],
    );
}

#[test]
fn the_last_record_asks_for_the_next_page() {
    let check = |pagination: Value, answers: &[(&str, Value)]| {
        let log = serve(answers);
        let mut pagination = pagination;
        pagination["style"] = json!("cursor");
        pagination["cursor_param"] = json!("starting_after");
        let stream = json!({ "path": "/x", "records": "/data", "pagination": pagination });
        let read = read(&config(stream), None);
        assert_eq!(log.borrow().len(), answers.len());
        read
    };
    let page = |ids: &[i64], more: bool| json!({ "data": rows(ids), "has_more": more });
    let told = json!({ "cursor_field": "id", "more_pointer": "/has_more" });
    let two = [
        ("/x", page(&[1, 2], true)),
        ("/x?starting_after=2", page(&[3], false)),
    ];
    assert_eq!(ids(&check(told.clone(), &two).expect("read")), [1, 2, 3]);
    let empty = [("/x", page(&[], true))];
    assert_eq!(ids(&check(told.clone(), &empty).expect("read")), [0; 0]);
    // Where nothing says that there is no more, a page without records does.
    let untold = json!({ "cursor_field": "/id" });
    let three = [&two[..], &[("/x?starting_after=3", page(&[], false))]].concat();
    assert_eq!(ids(&check(untold, &three).expect("read")), [1, 2, 3]);

    let same = [
        ("/x", page(&[1], true)),
        ("/x?starting_after=1", page(&[1], true)),
    ];
    let fault = check(told.clone(), &same).expect_err("a loop").to_string();
    assert!(fault.ends_with("names itself as the next page"), "{fault}");
    let nameless = [("/x", json!({ "data": [{}], "has_more": true }))];
    let fault = check(told, &nameless).expect_err("no id").to_string();
    assert!(fault.ends_with("has no `id` in its last record"), "{fault}");
}

#[test]
fn a_link_may_stand_in_the_body() {
    let stream = json!({ "path": "/x", "records": "/records",
        "pagination": { "style": "link", "link_pointer": "/nextRecordsUrl" } });
    serve(&[
        (
            "/x",
            json!({ "records": rows(&[1, 2]), "nextRecordsUrl": "/x/01g-2" }),
        ),
        ("/x/01g-2", json!({ "records": rows(&[3]), "done": true })),
    ]);
    assert_eq!(
        ids(&read(&config(stream.clone()), None).expect("read")),
        [1, 2, 3]
    );
    serve(&[(
        "/x",
        json!({ "records": [], "nextRecordsUrl": "https://evil/x" }),
    )]);
    let fault = read(&config(stream), None)
        .expect_err("elsewhere")
        .to_string();
    assert!(fault.contains("leads to `https://evil`"), "{fault}");
}

#[test]
fn what_is_new_may_be_asked_for_in_a_text() {
    let incremental =
        json!({ "param": "q", "field": "at", "start": 0, "template": "at >= {since} order by at" });
    let settings = config(json!({ "path": "/x", "incremental": incremental }));
    serve(&[(
        "/x?q=at%20%3E%3D%200%20order%20by%20at",
        json!([{ "id": 1, "at": 7 }]),
    )]);
    let first = read(&settings, None).expect("read");
    serve(&[(
        "/x?q=at%20%3E%3D%207%20order%20by%20at",
        json!([{ "id": 1, "at": 7 }, { "id": 2, "at": 7 }]),
    )]);
    let second = read(&settings, first.cursor.as_ref()).expect("read");
    assert_eq!((ids(&first), ids(&second)), (vec![1], vec![2]));
}

type Tagged = Rc<RefCell<Vec<(String, Option<String>)>>>;

/// Serves `/x` in pages of one record, each with its tag, and keeps what was asked: the target and its `If-None-Match`.
fn serve_tagged(pages: usize) -> Tagged {
    let log = Rc::new(RefCell::new(Vec::new()));
    let own = Rc::clone(&log);
    testing::http(move |request| {
        let target = request.url.strip_prefix("http://a").expect("it").to_owned();
        let known = request
            .headers
            .iter()
            .find(|(name, _)| name == "if-none-match");
        let known = known.map(|(_, value)| value.clone());
        own.borrow_mut().push((target.clone(), known.clone()));
        let etag = format!("W/\"{target}\"");
        if known.as_ref() == Some(&etag) {
            return Ok(Response::new(304, ""));
        }
        let page = target.rsplit('=').next().and_then(|page| page.parse().ok());
        let page = page.unwrap_or(1);
        let response = Response::new(200, rows(&[1]).to_string()).with_header("etag", etag);
        let next = (page < pages).then(|| format!("</x?page={}>; rel=next", page + 1));
        Ok(next
            .map(|link| response.clone().with_header("link", link))
            .unwrap_or(response))
    });
    log
}

#[test]
fn a_reading_of_one_request_is_asked_for_conditionally() {
    let mut settings =
        config(json!({ "path": "/x", "conditional": true, "pagination": { "style": "link" } }));
    settings["repeat"] = json!(true);
    let log = serve_tagged(1);
    let mut cursor = None;
    let mut given = Vec::new();
    for _ in 0..3 {
        let read = read(&settings, cursor.as_ref()).expect("read");
        given.push(ids(&read).len());
        cursor = read.cursor;
    }
    assert_eq!(given, [1, 0, 0]);
    let known: Vec<bool> = log
        .borrow()
        .iter()
        .map(|(_, known)| known.is_some())
        .collect();
    assert_eq!(known, [false, true, true]);
    // What else is asked for is another answer.
    let mut other = settings.clone();
    other["streams"][0]["query"] = json!({ "q": 1 });
    assert_eq!(ids(&read(&other, cursor.as_ref()).expect("read")), [1]);
    // And so is it where the setting went.
    settings["streams"][0]["conditional"] = json!(false);
    assert_eq!(ids(&read(&settings, cursor.as_ref()).expect("read")), [1]);
    assert!(log.borrow()[3..].iter().all(|(_, known)| known.is_none()));
}

/// The first page may be the same while a later one is not.
#[test]
fn a_reading_of_several_requests_is_asked_for_whole() {
    let mut settings =
        config(json!({ "path": "/x", "conditional": true, "pagination": { "style": "link" } }));
    settings["repeat"] = json!(true);
    let log = serve_tagged(2);
    let first = read(&settings, None).expect("read");
    let second = read(&settings, first.cursor.as_ref()).expect("read");
    assert_eq!((ids(&first).len(), ids(&second).len()), (2, 2));
    assert!(log.borrow().iter().all(|(_, known)| known.is_none()));
}

#[test]
fn links_are_followed_on_the_same_server_only() {
    let answer = |link: &'static str| {
        testing::http(move |request| {
            let (body, link) = match request.url.as_str() {
                "http://a/x" => (rows(&[1]), Some(link)),
                "http://a/x?page=2" => (rows(&[2, 3]), None),
                other => panic!("{other}"),
            };
            let response = Response::new(200, body.to_string());
            Ok(link.map_or(response.clone(), |link| response.with_header("Link", link)))
        });
        read(
            &config(json!({ "path": "/x", "pagination": { "style": "link" } })),
            None,
        )
    };
    assert_eq!(
        ids(&answer("<http://a/x?page=2>; rel=\"next\"").expect("read")),
        [1, 2, 3]
    );
    assert_eq!(
        ids(&answer("</x?page=1>; rel=prev, <?page=2>; rel=next").expect("read")),
        [1, 2, 3]
    );
    for (link, expected) in [
        (
            "<http://evil/x>; rel=next",
            "broken: GET http://a/x: the answer has a link to the next page that leads to `http://evil`",
        ),
        (
            "<//evil/x>; rel=next",
            "broken: GET http://a/x: the answer has a link to the next page that leads to `http://evil`",
        ),
        (
            "</x>; rel=next",
            "broken: GET http://a/x: the answer names itself as the next page",
        ),
    ] {
        let fault = answer(link).expect_err(link).to_string();
        assert!(fault.starts_with(expected), "{fault}");
    }
}

#[test]
fn it_goes_on_from_any_page() {
    let stream = json!({ "path": "/x", "pagination": { "style": "page" } });
    serve(&[
        ("/x?page=1", rows(&[1])),
        ("/x?page=2", rows(&[2])),
        ("/x?page=3", rows(&[])),
    ]);
    let from = |cursor: Value| read(&config(stream.clone()), Some(&cursor));
    assert_eq!(
        ids(&from(json!({ "place": { "page": 2 }, "pages": 1 })).expect("read")),
        [2]
    );
    let lost = from(json!({ "place": { "offset": 2 }, "pages": 1 })).expect_err("another style");
    assert!(matches!(lost, Fault::CursorLost(_)), "{lost}");
}

#[test]
fn a_later_run_reads_what_is_new_and_nothing_twice() {
    let row = |id: i64, at: &str| json!({ "id": id, "at": at });
    let config = |first: Option<&str>| {
        let mut incremental = json!({ "param": "since", "field": "at" });
        if let Some(first) = first {
            incremental["start"] = json!(first);
        }
        config(json!({ "path": "/x", "incremental": incremental }))
    };
    serve(&[("/x", json!([row(1, "a"), row(2, "c"), row(3, "b")]))]);
    let first = read(&config(None), None).expect("read");
    assert_eq!(ids(&first), [1, 2, 3]);

    let log = serve(&[("/x?since=c", json!([row(2, "c")]))]);
    let second = read(&config(None), first.cursor.as_ref()).expect("read");
    assert_eq!(
        (second.parts.len(), log.borrow().len()),
        (0, 1),
        "the latest record is known again"
    );
    assert_eq!(second.cursor, first.cursor, "nothing new moves nothing");

    serve(&[("/x?since=c", json!([row(2, "c"), row(4, "c"), row(5, "d")]))]);
    let third = read(&config(None), second.cursor.as_ref()).expect("read");
    assert_eq!(ids(&third), [4, 5]);
    serve(&[("/x?since=d", json!([row(5, "d")]))]);
    let fourth = read(&config(None), third.cursor.as_ref()).expect("read");
    assert_eq!(fourth.parts.len(), 0);
    serve(&[(
        "/x?since=d",
        json!([{ "id": 5, "at": "d", "changed": true }]),
    )]);
    assert_eq!(
        ids(&read(&config(None), third.cursor.as_ref()).expect("read")),
        [5],
        "a changed record is new"
    );

    serve(&[("/x?since=2020", json!([row(1, "2026")]))]);
    assert_eq!(ids(&read(&config(Some("2020")), None).expect("read")), [1]);
}

#[test]
fn a_whole_stream_is_read_again_where_that_is_wanted() {
    serve(&[("/x", rows(&[1]))]);
    let mut config = config(json!({ "path": "/x" }));
    config["repeat"] = json!(true);
    let first = read(&config, None).expect("read");
    assert_eq!(
        ids(&read(&config, first.cursor.as_ref()).expect("again")),
        [1]
    );
}

#[test]
fn the_host_waits_between_pages() {
    serve(&[("/x?page=1", rows(&[1])), ("/x?page=2", rows(&[]))]);
    let mut config = config(json!({ "path": "/x", "pagination": { "style": "page" } }));
    config["requests_per_second"] = json!(3);
    let config = sluice_sdk::parse_config(&config.to_string()).expect("settings");
    let mut reader =
        <RestSource as sluice_sdk::Source>::open(config, Split::new("s", "s"), None).expect("open");
    let limit = Limit {
        rows: 10,
        bytes: 1 << 20,
        wait_ms: 0,
    };
    let next = |page: sluice_sdk::Page<_>| page.next;
    assert_eq!(next(reader.read(limit).expect("a page")), Next::WaitMs(334));
    assert_eq!(next(reader.read(limit).expect("a page")), Next::End);
}

#[test]
fn answers_become_faults() {
    let check = |response: Response, expected: &str| {
        let stream = json!({ "path": "/x", "query": { "secret": "hunter2" }, "records": "/data" });
        testing::http(move |_| Ok(response.clone()));
        let text = read(&config(stream), None).expect_err(expected).to_string();
        assert!(
            text.starts_with(expected) && !text.contains("hunter2"),
            "{text}"
        );
    };
    check(
        Response::new(401, ""),
        "unauthorized: GET http://a/x: the server answered 401",
    );
    check(Response::new(403, ""), "unauthorized: ");
    check(
        Response::new(403, "").with_header("retry-after", "1"),
        "transient: ",
    );
    check(
        Response::new(403, "").with_header("x-ratelimit-remaining", "0"),
        "transient: ",
    );
    check(Response::new(429, ""), "transient: ");
    check(Response::new(304, ""), "misconfigured: ");
    check(Response::new(500, ""), "transient: ");
    check(Response::new(404, ""), "misconfigured: ");
    check(Response::new(400, ""), "misconfigured: ");
    check(
        Response::new(301, "").with_header("location", "https://b.example/y?z"),
        "misconfigured: GET http://a/x: the server answered 301: it has moved, and redirects are not followed; hint: base_url = \"https://b.example\"",
    );
    check(
        Response::new(200, "<html>"),
        "broken: GET http://a/x: the answer is not the JSON that was expected",
    );
    check(
        Response::new(200, vec![0xff]),
        "broken: GET http://a/x: the answer is not UTF-8",
    );
    check(Response::new(200, r#"{"data":7}"#), "broken: ");
    check(
        Response::new(200, r#"{"items":[],"total":0}"#),
        "misconfigured: GET http://a/x: the answer has nothing at `/data`; it has `items`, `total`",
    );
}

#[test]
fn check_asks_once_and_gives_nothing_on() {
    let log = serve(&[("/x?page=1", rows(&[1]))]);
    let settings = config(json!({ "path": "/x", "pagination": { "style": "page" } }));
    let settings = sluice_sdk::parse_config(&settings.to_string()).expect("settings");
    <RestSource as sluice_sdk::Source>::check(&settings).expect("it is there");
    assert_eq!(*log.borrow(), ["/x?page=1"]);
    let streams = <RestSource as sluice_sdk::Source>::streams(&settings).expect("streams");
    assert_eq!(
        (streams[0].name.as_str(), streams[0].incremental),
        ("s", false)
    );
}
