//! `sluice/s3` at work: objects of a real server, read and written by the real binary.

use serde_json::{Value, json};
use sluice_e2e::storage::Storage;
use sluice_e2e::{TestHost, lines, numbered};
use std::collections::HashSet;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const S3: &str = "sluice/s3@0.1";

/// Every type there is: values, an end of its range, and nothing.
const KINDS: [&str; 4] = [
    r#"{"id":1,"b":true,"f":1.5,"d":12345678901234567890.12345678,"t":"a, \"b\"\nc","x":"AAEC/w==","day":"2026-11-27","at":"2026-11-27T08:00:00.123456Z","j":{"k":[1,"v"]}}"#,
    r#"{"id":-9223372036854775808,"b":false,"f":-0.0,"d":-0.00000001,"t":"Åäö","x":"AA==","day":"1969-12-31","at":"1969-12-31T23:59:59.999999Z","j":"text"}"#,
    r#"{"id":9223372036854775807,"b":true,"f":1.7976931348623157e308,"d":99999999999999999999.99999999,"t":" ","x":"/w==","day":"9999-12-31","at":"0001-01-01T00:00:00Z","j":[]}"#,
    r#"{"id":4,"b":null,"f":null,"d":null,"t":null,"x":null,"day":null,"at":null,"j":null}"#,
];

const KINDS_SCHEMA: &str = "key = [\"id\"]\nfields = { id = \"int64\", b = \"boolean\", f = \"float64\", \
    d = \"decimal(28,8)\", t = \"text\", x = \"binary\", day = \"date\", at = \"timestamp\", j = \"json\" }\n";

/// A deployment with the server's keys.
fn deployment(storage: &Storage) -> TestHost {
    let host = TestHost::new();
    host.secret("storage", &storage.keys);
    host
}

/// A pipeline of two stages, granted this machine's own address.
fn pipeline(host: &TestHost, name: &str, source: &str, schema: &str, sink: &str) -> String {
    let file = format!("{name}.toml");
    host.write(
        &file,
        format!("[pipeline]\nname = \"{name}\"\n\n[source]\n{source}\n{schema}\n[[sink]]\n{sink}"),
    );
    host.grant_local(&file);
    file
}

fn files(dir: &str) -> String {
    format!(
        "plugin = \"sluice/files@0.1\"\nconfig = {{ dir = \"{dir}\", format = \"ndjson\", stream = \"rows\" }}\n"
    )
}

fn folder(dir: &str) -> String {
    format!("plugin = \"sluice/files@0.1\"\nconfig = {{ dir = \"{dir}\", format = \"ndjson\" }}\n")
}

/// From files into objects and from objects into files: what comes back is what went, in each format.
#[test]
fn every_type_goes_there_and_back_in_each_format() {
    let storage = Storage::start();
    let host = deployment(&storage);
    host.write("in/kinds.ndjson", KINDS.join("\n"));
    let schema = format!("[schema.rows]\n{KINDS_SCHEMA}");
    for format in ["ndjson", "csv", "parquet"] {
        let prefix = format!(", prefix = \"{format}/\"");
        let there = pipeline(
            &host,
            &format!("to-{format}"),
            &files("in"),
            &schema,
            &storage.stage(S3, format, &prefix),
        );
        assert_eq!(host.run(&there)["written"], 4, "{format}");
        let keys = storage.data(&format!("{format}/rows/"));
        assert_eq!(keys.len(), 1, "{keys:?}");
        let prefix = format!("{prefix}, stream = \"rows\"");
        let out = folder(&format!("out-{format}"));
        let back = pipeline(
            &host,
            &format!("from-{format}"),
            &storage.stage(S3, format, &prefix),
            &schema,
            &out,
        );
        drop(host.sluice(&["check", &back]).done());
        assert_eq!(host.run(&back)["written"], 4, "{format}");
        let expected = lines(&KINDS.join("\n"));
        let given: Vec<Value> = host.records(&format!("out-{format}"));
        assert_eq!(given, expected, "{format}");
        assert_eq!(host.run(&back)["read"], 0, "{format}: again");
    }
    // By a reader that is not ours.
    let read = storage.parquet(&storage.data("parquet/rows/")[0]);
    assert_eq!(read["rows"][0]["d"], "12345678901234567890.12345678");
    assert_eq!(read["rows"][0]["x"], "AAEC/w==");
    assert_eq!(read["rows"][0]["at"], "2026-11-27 08:00:00.123456+00:00");
    assert_eq!(read["rows"][0]["j"], r#"{"k":[1,"v"]}"#);
    assert_eq!(read["rows"][1]["id"], "-9223372036854775808");
    assert_eq!(read["rows"][2]["day"], "9999-12-31");
    let nothing = read["rows"][3].as_object().expect("a row").iter();
    assert!(
        nothing
            .filter(|(name, _)| *name != "id")
            .all(|(_, value)| value.is_null())
    );
    for (name, expected) in [
        ("id", "INT64 None"),
        ("b", "BOOLEAN None"),
        ("d", "FIXED_LEN_BYTE_ARRAY Decimal(precision=28, scale=8)"),
        ("t", "BYTE_ARRAY String"),
        ("x", "BYTE_ARRAY None"),
        ("day", "INT32 Date"),
        ("j", "BYTE_ARRAY JSON"),
    ] {
        assert_eq!(read["types"][name], expected, "{name}");
    }
    assert_eq!(storage.uploads(), Vec::<String>::new());
}

/// Row groups and pages of a file that another program wrote; then one more object, and one that changed.
#[test]
fn what_is_new_is_read_and_what_changed_is_told() {
    let storage = Storage::start();
    let host = deployment(&storage);
    storage.write_parquet("in/a.parquet", 30_000, 11_000);
    let source = storage.stage(S3, "parquet", ", prefix = \"in/\", stream = \"rows\"");
    let copy = pipeline(&host, "copy", &source, "", &folder("out"));
    assert_eq!(host.run(&copy)["written"], 30_000);
    let ids = |host: &TestHost| -> Vec<u64> {
        let records = host.records("out").into_iter();
        records
            .map(|record| record["id"].as_u64().expect("an id"))
            .collect()
    };
    let first = ids(&host);
    assert_eq!(first.iter().collect::<HashSet<_>>().len(), 30_000);
    storage.write_parquet("in/b.parquet", 10, 10);
    assert_eq!(host.run(&copy)["written"], 10);
    storage.write_parquet("in/a.parquet", 20, 20);
    let answer = host.sluice(&["run", &copy]);
    assert_eq!(answer.code, Some(1));
    assert!(
        answer
            .err
            .contains("`in/a.parquet` is not the object it was"),
        "{}",
        answer.err
    );
    assert_eq!(ids(&host).len(), 30_010);
}

/// A row group as large as one may be, nearly; and one that is larger.
#[test]
fn large_row_groups_are_read() {
    let storage = Storage::start();
    let host = deployment(&storage);
    let bytes = storage.write_large_parquet("in/a.parquet", 180_000, 240);
    assert!((40 << 20..48 << 20).contains(&bytes), "{bytes}");
    let source = storage.stage(S3, "parquet", ", prefix = \"in/\", stream = \"rows\"");
    let copy = pipeline(&host, "copy", &source, "", &folder("out"));
    assert_eq!(host.run(&copy)["written"], 180_000);
    let mut ids = HashSet::new();
    for record in host.records("out") {
        assert_eq!(record["name"].as_str().map(str::len), Some(240), "{record}");
        ids.insert(record["id"].as_u64());
    }
    assert_eq!(ids.len(), 180_000);
    storage.write_large_parquet("in/b.parquet", 220_000, 240);
    let answer = host.sluice(&["run", &copy]);
    assert_ne!(answer.code, Some(0));
    let said = format!("{}{}", answer.out, answer.err);
    let told = "`in/b.parquet` has a row group of";
    assert!(
        said.contains(told) && said.contains("smaller row groups"),
        "{said}"
    );
}

/// Lines of many ranges, a record that is too long among them, and quotes around line ends.
#[test]
fn text_is_read_by_ranges() {
    let storage = Storage::start();
    let host = deployment(&storage);
    let long = format!("{{\"id\": 1, \"name\": \"{}\"}}\n", "y".repeat(5 << 20));
    storage.put(
        "t/a b.ndjson",
        &(numbered(0..20_000, 200) + &long + &numbered(20_000..30_000, 200)),
    );
    let rows = (0..50_000).fold(String::new(), |rows, id| {
        rows + &format!("{id},\"a \"\"line\"\"\nand another\"\r\n")
    });
    storage.put("t/c.csv", &format!("id,name\r\n{rows}"));
    storage.put("t/empty.csv", "");
    let source = |format: &str| storage.stage(S3, format, ", prefix = \"t/\", stream = \"rows\"");
    let schema = "[schema.rows]\nfields = { id = \"int64\", name = \"text\" }\n";
    let text = pipeline(
        &host,
        "text",
        &source("ndjson"),
        schema,
        &folder("out-lines"),
    );
    let report = host.run(&text);
    assert_eq!(
        (report["written"].as_u64(), report["dead_lettered"].as_u64()),
        (Some(30_000), Some(1))
    );
    let csv = pipeline(&host, "csv", &source("csv"), schema, &folder("out-csv"));
    assert_eq!(host.run(&csv)["written"], 50_000);
    let last = host.records("out-csv").pop().expect("a record");
    assert_eq!(
        last,
        json!({"id": 49_999, "name": "a \"line\"\nand another"})
    );
}

const RECORDS: u64 = 60_000;
const KILLS: u64 = 6;

/// `kill -9` while parts are uploaded and units published: an object is whole or is not there, and each record is in one.
#[test]
fn kills_leave_whole_objects_and_each_record_once() {
    let storage = Storage::start();
    let host = deployment(&storage);
    host.write("in/rows.ndjson", numbered(0..RECORDS, 400));
    let sink = |name: &str| storage.stage(S3, "parquet", &format!(", prefix = \"{name}/\""));
    let trial = pipeline(&host, "trial", &files("in"), "", &sink("trial"));
    let began = Instant::now();
    assert_eq!(host.run(&trial)["written"], RECORDS);
    let whole_ms = began.elapsed().as_millis() as u64;
    let killed = pipeline(&host, "killed", &files("in"), "", &sink("killed"));
    let mut under_way = 0;
    for kill in 0..KILLS {
        let mut child = host.start(&["run", &killed]);
        // Later and later, so that what is interrupted differs.
        std::thread::sleep(Duration::from_millis(whole_ms * (kill + 2) / (KILLS + 3)));
        child.kill().expect("our own child"); // SIGKILL
        under_way += u64::from(!child.wait().expect("it ends").success());
        // Whatever is there is whole: a reader of it finds its footer.
        for key in storage.data("killed/") {
            assert!(storage.parquet(&key)["rows"].is_array(), "{key}");
        }
    }
    assert!(
        under_way > 0,
        "no run was killed in its middle: the test shows nothing"
    );
    host.run(&killed);
    let mut seen = HashSet::new();
    for key in storage.data("killed/") {
        for row in storage.parquet(&key)["rows"].as_array().expect("rows") {
            let id = row["id"].as_str().expect("an id").to_owned();
            assert!(seen.insert(id), "{row} stands twice");
        }
    }
    assert_eq!(seen.len() as u64, RECORDS);
    assert_eq!(storage.uploads(), Vec::<String>::new(), "given up");
}

#[test]
fn each_thing_that_is_wrong_is_told() {
    let storage = Storage::start();
    let host = deployment(&storage);
    storage.put("in/a.ndjson", &numbered(0..3, 5));
    storage.put("in/b.parquet", "no parquet at all");
    let told = |name: &str, stage: &str, secret: Option<&str>| {
        let copy = pipeline(&host, name, stage, "", &folder("out"));
        if let Some(secret) = secret {
            host.secret("storage", secret);
        }
        let answer = host.sluice(&["run", &copy]);
        host.secret("storage", &storage.keys);
        assert_ne!(answer.code, Some(0), "{name}");
        answer.err
    };
    let stage = |format: &str| storage.stage(S3, format, ", prefix = \"in/\"");
    let wrong = "access_key_id = \"AKIAMADEUP0000000000\"\nsecret_access_key = \"made-up-0123456789-0123456789\"\n";
    let keys = told("keys", &stage("ndjson"), Some(wrong));
    assert!(
        keys.contains("the server refuses the keys for bucket `exports`"),
        "{keys}"
    );
    assert!(!keys.contains("made-up-0123456789"), "{keys}");
    let id = storage.keys.lines().next().expect("an id");
    let unsigned = told(
        "secret",
        &stage("ndjson"),
        Some(&format!(
            "{id}\nsecret_access_key = \"made-up-0123456789-0123456789\"\n"
        )),
    );
    assert!(unsigned.contains("(`SignatureDoesNotMatch`)"), "{unsigned}");
    let bucket = told(
        "bucket",
        &stage("ndjson").replace("\"exports\"", "\"nothere\""),
        None,
    );
    assert!(bucket.contains("there is no bucket `nothere`"), "{bucket}");
    let parquet = told("parquet", &stage("parquet"), None);
    assert!(
        parquet.contains("`in/b.parquet` is no Parquet: it does not end as Parquet does"),
        "{parquet}"
    );
}

/// Where its keys are not granted, not named, or not to be had, it ends before a request: none goes out unsigned.
#[test]
fn without_its_keys_it_asks_nothing_of_the_server() {
    let storage = Storage::start();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let dialled = Arc::<AtomicUsize>::default();
    let (count, port) = (
        Arc::clone(&dialled),
        listener.local_addr().expect("bound").port(),
    );
    std::thread::spawn(move || {
        for _ in listener.incoming() {
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    let stage = storage.stage(S3, "ndjson", "");
    let stage = stage.replace(&format!(":{}\"", storage.port), &format!(":{port}\""));
    for (name, source, sink) in [
        ("source", stage.clone(), folder("out")),
        ("sink", files("in"), stage.clone()),
    ] {
        let host = deployment(&storage);
        host.write("in/a.ndjson", "{\"id\":1}\n");
        let file = pipeline(&host, name, &source, "", &sink);
        let refused = |what: &str, expected: &str| {
            let answer = host.sluice(&["run", &file]);
            let said = format!("{}{}", answer.out, answer.err);
            assert_ne!(answer.code, Some(0), "{name}, {what}: {said}");
            assert!(said.contains(expected), "{name}, {what}: {said}");
        };
        let grant = format!("grants/{name}.sluice-s3.toml");
        let text = host.read(&grant);
        let begin = text.find("[[secret]]").expect("a secret");
        let end = text[begin..].find("\n\n").map(|end| begin + end);
        let without = [&text[..begin], end.map_or("", |end| &text[end..])];
        host.write(&grant, without.concat());
        refused("not granted", "name = \"keys\"");
        host.write(&grant, &text);
        host.edit(&file, "keys = \"storage\"", "keys = \"nothere\"");
        refused("not to be had", "secret file `secrets/nothere`");
        host.edit(&file, "secrets = { keys = \"nothere\" }\n", "");
        refused("not named", "keys");
    }
    assert_eq!(dialled.load(Ordering::SeqCst), 0);
}

/// Without any one of its capabilities the plugin does not do its work, and what is missing is named.
#[test]
fn its_manifest_asks_for_the_least_that_works() {
    let storage = Storage::start();
    let manifest = sluice_e2e::manifest("s3");
    let lesser = |manifest: &str| {
        let host = deployment(&storage);
        let packed = host.pack("s3", manifest, "lesser.wasm");
        if packed.code != Some(0) {
            return packed;
        }
        host.write("in/a.ndjson", numbered(0..3, 5));
        storage.put("in/a.ndjson", &numbered(0..3, 5));
        let stage = |more: &str| storage.stage("lesser.wasm", "ndjson", more);
        let out = format!(
            "out-{}/",
            host.path("x").display().to_string().replace(['/', '.'], "")
        );
        let sink = stage(&format!(", prefix = \"{out}\""));
        let copy = pipeline(&host, "copy", &stage(", prefix = \"in/\""), "", &sink);
        let answer = host.sluice(&["run", &copy]);
        if manifest.contains("\"DELETE\"") || answer.code != Some(0) {
            return answer;
        }
        // An upload that an earlier run left behind, of a split that goes on: the object beside it says which.
        let more = pipeline(&host, "more", &files("in"), "", &sink);
        host.run(&more);
        let beside = storage
            .data(&format!("{out}rows/"))
            .pop()
            .expect("an object");
        storage.begin(&format!(
            "{}-x",
            beside.rsplit_once('-').expect("a number").0
        ));
        host.write("in/a.ndjson", numbered(0..4, 5));
        host.sluice(&["run", &more])
    };
    drop(lesser(&manifest).done());
    let without = |from: &str, to: &str| {
        let (before, rest) = manifest.split_once(from).expect(from);
        let (_, after) = rest.split_once(to).expect(to);
        format!("{before}{to}{after}")
    };
    let source = "[[http]]\nhost = \"{config.endpoint}\"\nmethods = [\"GET\"]";
    let sink = "[[http]]\nhost = \"{config.endpoint}\"\nmethods = [\"GET\", \"HEAD\"";
    let cut = |word: &str, method: &str| (manifest.replacen(word, "", 1), method.to_owned());
    let mut cases = vec![
        (without(source, "[[http]]\nhost"), "GET".to_owned()),
        (without(sink, "[[secret]]"), "GET".to_owned()),
        (without("[data]", "[sink]"), "data.reads".to_owned()),
        cut(", \"HEAD\"", "HEAD"),
        cut(", \"PUT\"", "PUT"),
        cut(", \"POST\"", "POST"),
        cut(", \"DELETE\"", "DELETE"),
    ];
    // Not even packed: the requests are signed with it.
    cases.push((without("[[secret]]", "# A sink writes"), "keys".to_owned()));
    for (manifest, named) in cases {
        let answer = lesser(&manifest);
        assert_ne!(answer.code, Some(0), "without {named}");
        assert!(
            answer.err.contains(&named) || answer.out.contains(&named),
            "without {named}: {answer:?}"
        );
    }
}
