//! The plugin before servers that are not as they should be. What a real one does is in `tests/e2e`.

use sluice_s3::sink::ObjectSink;
use sluice_s3::source::ObjectSource;
use sluice_sdk::http::{Request, Response};
use sluice_sdk::source::Limit;
use sluice_sdk::testing::{self, Table, Writer, read_all, read_split};
use sluice_sdk::{Column, Fault, Field, FieldType, NamedColumn, Source as _, Values};
use std::cell::RefCell;
use std::rc::Rc;

const SOURCE: &str = r#"{"endpoint":"http://s3.test/","region":"r","bucket":"box","prefix":"in/","format":"ndjson"}"#;
const SINK: &str = r#"{"endpoint":"http://s3.test","region":"r","bucket":"box","prefix":"out/","format":"ndjson"}"#;

fn listed(contents: &str, more: &str) -> Response {
    Response::new(
        200,
        format!("<ListBucketResult>{contents}{more}</ListBucketResult>"),
    )
}

fn entry(key: &str, bytes: usize) -> String {
    format!("<Contents><Key>{key}</Key><ETag>&quot;1&quot;</ETag><Size>{bytes}</Size></Contents>")
}

/// The part of `bytes` that was asked for.
fn part(request: &Request, bytes: &[u8]) -> Response {
    let range = request
        .headers
        .iter()
        .find(|(name, _)| name == "range")
        .expect("a range");
    let (from, to) = range.1["bytes=".len()..].split_once('-').expect("a range");
    let from: usize = from.parse().expect("a number");
    let to = bytes.len().min(to.parse::<usize>().expect("a number") + 1);
    if from >= bytes.len() {
        return Response::new(416, "");
    }
    Response::new(206, &bytes[from..to])
        .with_header("etag", "\"1\"")
        .with_header(
            "content-range",
            format!("bytes {from}-{}/{}", to - 1, bytes.len()),
        )
}

/// A bucket of one object whose parts are answered so.
fn one(bytes: &'static [u8], mut answer: impl FnMut(&Request) -> Response + 'static) {
    testing::http(move |request| {
        Ok(if request.url.contains("list-type=2") {
            listed(&entry("in/a.ndjson", bytes.len()), "")
        } else {
            answer(request)
        })
    });
}

fn told() -> String {
    match read_all::<ObjectSource>(SOURCE, None) {
        Ok(read) => panic!("it was read: {read:?}"),
        Err(fault) => fault.to_string(),
    }
}

#[test]
fn an_object_is_read_by_ranges_whatever_the_page() {
    const TEXT: &[u8] = b"{\"a\":1}\n{\"a\":22}\n\n{\"a\":333}";
    for bytes in 1..30 {
        one(TEXT, |request| part(request, TEXT));
        let limit = Limit {
            rows: 2,
            bytes,
            wait_ms: 0,
        };
        let split = sluice_sdk::source::Split::new("in/a.ndjson", "objects").with_detail("\"1\"");
        let read = read_split::<ObjectSource>(SOURCE, split, None, limit).expect("it is read");
        assert_eq!(read.bytes("objects"), TEXT, "{bytes}");
        for document in read.documents("objects") {
            let end = document.offset as usize + document.bytes.len();
            assert!(
                end == TEXT.len() || TEXT[end - 1] == b'\n',
                "{bytes}: cut in a record"
            );
        }
    }
}

#[test]
fn a_listing_is_held_to_what_was_asked_for() {
    let check = |contents: String, more: &'static str, expected: &str| {
        testing::http(move |_| Ok(listed(&contents, more)));
        let told = told();
        assert!(told.contains(expected), "{told}");
    };
    let truncated = "<IsTruncated>true</IsTruncated>";
    check(
        entry("in/a.ndjson", 1),
        truncated,
        "does not say where it goes on",
    );
    let next = "<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>";
    check(String::new(), next, "does not end in 1000 answers");
    check(
        entry("in/a.csv", 1).repeat(1_000),
        next,
        "more than 100000 objects",
    );
    check(entry("elsewhere/a.ndjson", 1), "", "that was not asked for");
    check(entry("in/%FF.ndjson", 1), "", "without a key in UTF-8");
    check(
        entry("in/%0A.ndjson", 1),
        "",
        "is a key that cannot be asked for",
    );
    check(
        entry("in/../a.ndjson", 1),
        "",
        "is a key that cannot be asked for",
    );
    check(
        entry(&"in/%41".repeat(400), 1),
        "",
        "that was not asked for",
    );
    check(
        "<Contents><Key>in/a.ndjson</Key><Size>1</Size></Contents>".to_owned(),
        "",
        "without an ETag",
    );
    check(
        "<Contents><Key>in/a.ndjson</Key><ETag>1</ETag><Size>-1</Size></Contents>".to_owned(),
        "",
        "of no size",
    );
}

#[test]
fn what_is_not_s3_is_told() {
    let check = |answer: Response, expected: &str| {
        testing::http(move |_| Ok(answer.clone()));
        let told = told();
        assert!(told.contains(expected), "{told}");
    };
    let bomb = "<!DOCTYPE l [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]><ListBucketResult>&b;</ListBucketResult>";
    check(
        Response::new(200, bomb),
        "broken: the answer is not the XML",
    );
    check(
        Response::new(200, "<html></html>"),
        "is the endpoint one of S3?",
    );
    let error = |code: &str| format!("<Error><Code>{code}</Code><Message>secret</Message></Error>");
    check(
        Response::new(403, error("AccessDenied")),
        "unauthorized: the server refuses the keys for bucket `box` (`AccessDenied`)",
    );
    for code in [
        "ExpiredToken",
        "InvalidToken",
        "TokenRefreshRequired",
        "RequestExpired",
    ] {
        let expected =
            format!("unauthorized: the server refuses the keys for bucket `box` (`{code}`)");
        check(Response::new(400, error(code)), &expected);
    }
    check(
        Response::new(400, error("InvalidArgument")),
        "broken: the server answered 400 (`InvalidArgument`)",
    );
    for code in ["ThrottlingException", "KMS.ThrottlingException"] {
        let expected = format!("transient: the server answered 400 (`{code}`)");
        check(Response::new(400, error(code)), &expected);
    }
    check(
        Response::new(404, error("NoSuchBucket")),
        "misconfigured: there is no bucket `box`",
    );
    check(
        Response::new(301, error("PermanentRedirect")),
        "is in another region",
    );
    check(Response::new(503, error("SlowDown")), "transient");
    check(
        Response::new(418, error("&lt;b&gt;")),
        "broken: the server answered 418 (`418`)",
    );
}

/// An answer that claims to be this part.
fn range(mut response: Response, range: &str) -> Response {
    response.headers.retain(|(name, _)| name != "content-range");
    response.with_header("content-range", range)
}

#[test]
fn a_part_is_held_to_what_was_asked_for() {
    const TEXT: &[u8] = b"{\"a\":1}\n{\"a\":2}\n";
    let check = |answer: fn(Response) -> Response, expected: &str| {
        one(TEXT, move |request| answer(part(request, TEXT)));
        let told = told();
        assert!(told.contains(expected), "{told}");
    };
    check(
        |response| range(response, "bytes 4-5/16"),
        "sent another part",
    );
    check(
        |response| range(response, "bytes 0-999/1000"),
        "sent another part",
    );
    check(
        |response| range(response, "bytes 0-0/0"),
        "does not say which part",
    );
    check(
        |response| {
            range(
                response,
                "bytes 0-18446744073709551615/18446744073709551615",
            )
        },
        "does not say which part",
    );
    check(
        |response| range(response, "none"),
        "does not say which part",
    );
    check(
        |mut response| {
            response.body.push(b'x');
            response
        },
        "sent another part",
    );
    check(
        |response| Response::new(200, response.body),
        "takes no ranges",
    );
    check(
        |mut response| {
            response.headers.retain(|(name, _)| name != "etag");
            response
        },
        "names no ETag",
    );
    check(
        |_| Response::new(404, "<Error><Code>NoSuchKey</Code></Error>"),
        "transient: `in/a.ndjson` is gone or empty since it was listed",
    );
}

/// A page is of one object: each request names its ETag, and an answer of another is refused.
#[test]
fn an_object_that_changes_in_the_middle_is_told() {
    const TEXT: &[u8] = b"{\"a\":1}\n{\"a\":2}\n";
    let asked: Rc<RefCell<Vec<Option<String>>>> = Rc::default();
    let seen = Rc::clone(&asked);
    one(TEXT, move |request| {
        let matched = request.headers.iter().find(|(name, _)| name == "if-match");
        seen.borrow_mut()
            .push(matched.map(|(_, etag)| etag.clone()));
        let mut answer = part(request, TEXT);
        if seen.borrow().len() > 1 {
            answer.headers.retain(|(name, _)| name != "etag");
            return answer.with_header("etag", "\"2\"");
        }
        answer
    });
    let told = told();
    assert!(
        told.starts_with("cursor lost: `in/a.ndjson` is not the object it was"),
        "{told}"
    );
    assert_eq!(*asked.borrow(), [None, Some("\"1\"".to_owned())]);
    one(TEXT, |request| part(request, TEXT));
    let cursor = serde_json::json!({"etag": "\"0\"", "bytes": 16, "at": {"offset": 8}});
    let fault = read_all::<ObjectSource>(SOURCE, Some(&cursor)).expect_err("another object");
    assert!(matches!(fault, Fault::CursorLost(_)), "{fault}");
    let cursor =
        serde_json::json!({"etag": "\"1\"", "bytes": 16, "at": {"row": {"group": 0, "row": 0}}});
    let fault = read_all::<ObjectSource>(SOURCE, Some(&cursor)).expect_err("another format");
    assert!(
        fault.to_string().contains("one in another format"),
        "{fault}"
    );
}

#[test]
fn a_row_group_that_is_too_large_is_told_before_it_is_asked_for() {
    // One group of one column, from byte 4 on: its length stands at 6 to 10.
    const FOOTER: &[u8] = &[
        0x49, 0x1c, 0x19, 0x1c, 0x3c, 0x76, 0x82, 0x80, 0x80, 0x30, 0x26, 8, 0, 0, 0x26, 2, 0, 0,
        18, 0, 0, 0, b'P', b'A', b'R', b'1',
    ];
    for (length, expected) in [
        (
            [0x82, 0x80, 0x80, 0x30],
            "has a row group of 50331649 bytes",
        ),
        (
            [0x80, 0x80, 0x80, 0x30],
            "its footer names a place behind its end",
        ),
    ] {
        let mut bytes = [&[0; 100][..], FOOTER].concat();
        bytes[106..110].copy_from_slice(&length);
        let bytes: &'static [u8] = bytes.leak();
        testing::http(move |request| {
            Ok(if request.url.contains("list-type=2") {
                listed(&entry("in/a.parquet", bytes.len()), "")
            } else {
                part(request, bytes)
            })
        });
        let config = SOURCE.replace("ndjson", "parquet");
        let fault = read_all::<ObjectSource>(&config, None).expect_err("too large");
        assert!(fault.to_string().contains(expected), "{fault}");
    }
}

#[test]
fn settings_that_cannot_work_are_told() {
    testing::http(|_| Ok(listed("", "")));
    let check = |from: &str, to: &str, expected: &str| {
        let config = sluice_sdk::parse_config(&SOURCE.replace(from, to)).expect("settings");
        let fault = ObjectSource::check(&config).expect_err(to);
        assert!(fault.to_string().contains(expected), "{fault}");
    };
    check(
        "\"ndjson\"",
        "\"csv\",\"delimiter\":\"\\\"\"",
        "is not one ASCII character",
    );
    check(
        "\"ndjson\"",
        "\"csv\",\"stream\":\"x\",\"streams\":{\"y\":\"*\"}",
        "leave out `stream`",
    );
    for prefix in ["/", "a//b", "../x/", "a b/"] {
        let fault = Writer::<ObjectSink>::open(&SINK.replace("out/", prefix), Vec::new())
            .err()
            .expect(prefix);
        assert!(fault.to_string().contains("letters, digits"), "{fault}");
    }
}

fn table() -> Table {
    let field = Field {
        name: "a".to_owned(),
        kind: FieldType::Int64,
        nullable: false,
    };
    let column = Column::new(Values::Int64(vec![1, 2]), None);
    Table::new(2, vec![NamedColumn::new(field, column)])
}

/// What a sink asks of a server whose answer to the end of an upload is this one.
fn publishing(completed: Response, uploads: Response) -> (Result<(), Fault>, Vec<String>) {
    let asked: Rc<RefCell<Vec<String>>> = Rc::default();
    let seen = Rc::clone(&asked);
    let record: RefCell<Vec<u8>> = RefCell::default();
    testing::http(move |request| {
        let line = format!(
            "{} {}",
            request.method,
            request.url.trim_start_matches("http://s3.test/box")
        );
        seen.borrow_mut().push(line.clone());
        let none = || Response::new(404, "<Error><Code>NoSuchKey</Code></Error>");
        Ok(match request.method.as_str() {
            "GET" if line.contains("uploads") => uploads.clone(),
            "GET" if line.contains("list-type") => listed("", ""),
            "GET" if record.borrow().is_empty() => none(),
            "GET" => Response::new(200, record.borrow().clone()).with_header("etag", "\"r\""),
            "HEAD" => Response::new(404, ""),
            "POST" if line.contains("?uploads") => Response::new(
                200,
                "<InitiateMultipartUploadResult><UploadId>u/1</UploadId></InitiateMultipartUploadResult>",
            ),
            "POST" => completed.clone(),
            "PUT" => {
                if line.contains("_sluice") {
                    record.borrow_mut().clone_from(&request.body);
                }
                Response::new(200, "").with_header("etag", "\"p\"")
            }
            _ => Response::new(204, ""),
        })
    });
    let publish = || {
        let mut writer = Writer::<ObjectSink>::open(SINK, Vec::new())?;
        writer.committed()?;
        writer.write(vec![("rows", table())])?;
        writer.publish()
    };
    let outcome = publish();
    (outcome, asked.take())
}

#[test]
fn a_unit_is_uploaded_recorded_and_completed_in_this_order() {
    let done = Response::new(200, "<CompleteMultipartUploadResult/>");
    let uploads = Response::new(200, "<ListMultipartUploadsResult/>");
    let (outcome, asked) = publishing(done, uploads);
    outcome.expect("published");
    let shown: Vec<String> = asked
        .iter()
        .map(|line| {
            line.split('-').next().expect("a part").to_owned()
                + line.split_once('?').map_or("", |(_, query)| query)
        })
        .collect();
    let position = |what: &str| {
        asked
            .iter()
            .position(|line| line.contains(what))
            .unwrap_or_else(|| panic!("no {what}: {shown:#?}"))
    };
    let (begun, sent) = (position("?uploads="), position("PUT /out/rows/"));
    let (recorded, completed) = (
        position("PUT /out/_sluice/commits/"),
        position("ndjson?uploadId=u%2F1"),
    );
    assert!(
        begun < sent && sent < recorded && recorded < completed,
        "{asked:#?}"
    );
}

/// S3 begins to answer before it knows whether it can.
#[test]
fn an_error_behind_a_200_is_an_error() {
    let late = Response::new(
        200,
        "<?xml version=\"1.0\"?>\n<Error><Code>InternalError</Code></Error>",
    );
    let (outcome, _) = publishing(late, Response::new(200, "<ListMultipartUploadsResult/>"));
    assert!(
        matches!(outcome, Err(Fault::Transient { .. })),
        "{outcome:?}"
    );
    let gone = Response::new(404, "<Error><Code>NoSuchUpload</Code></Error>");
    let (outcome, _) = publishing(gone, Response::new(200, "<ListMultipartUploadsResult/>"));
    let fault = outcome.expect_err("nothing is there").to_string();
    assert!(fault.contains("is published and gone"), "{fault}");
}

/// What answers a HEAD has no body: why it was refused is asked with a GET, and no record is blamed for it.
#[test]
fn a_head_that_is_refused_without_a_word_is_asked_again() {
    let check = |answer: Response, expected: &str| {
        testing::http(move |request| {
            let is_range = request.headers.iter().any(|(name, _)| name == "range");
            Ok(match request.method.as_str() {
                "HEAD" => Response::new(400, ""),
                "GET" if is_range => answer.clone(),
                "GET" if request.url.contains("list-type") => listed("", ""),
                "GET" if request.url.contains("uploads") => {
                    Response::new(200, "<ListMultipartUploadsResult/>")
                }
                "GET" => Response::new(404, "<Error><Code>NoSuchKey</Code></Error>"),
                _ => Response::new(500, ""),
            })
        });
        let mut writer = Writer::<ObjectSink>::open(SINK, Vec::new()).expect("open");
        let fault = writer.write(vec![("rows", table())]).expect_err(expected);
        assert!(fault.to_string().starts_with(expected), "{fault}");
    };
    let expired = Response::new(400, "<Error><Code>ExpiredToken</Code></Error>");
    check(expired, "unauthorized");
    // There is none: it begins the upload, which this server fails on.
    check(Response::new(404, ""), "transient");
    let byte = Response::new(206, "a")
        .with_header("etag", "\"1\"")
        .with_header("content-range", "bytes 0-0/9");
    check(byte, "misconfigured: `out/rows/");
}
