//! One bad record in ten thousand: every good one arrives, each bad one is a dead letter with its file, line, code and
//! reason.

use sluice_e2e::TestHost;
use std::fmt::Write as _;

const RECORDS: usize = 40_000;
const BAD_EVERY: usize = 10_000;

/// NDJSON in which every ten-thousandth line is bad, each in its own way, and the lines that are.
fn ndjson() -> (Vec<u8>, Vec<(usize, &'static str)>) {
    let kinds: [(&[u8], &str); 4] = [
        (b"{\"id\": \"seven\", \"name\": \"x\"}", "wrong-type"),
        (b"{\"id\": 7, \"name\": \"\xff\xfe\"}", "invalid-utf8"),
        (b"{\"id\": 7, \"name\": \"cut of", "invalid-json"),
        (b"{\"id\": 7, \"nam\": \"x\"}", "unknown-field"),
    ];
    let (mut text, mut bad) = (Vec::new(), Vec::new());
    for line in 1..=RECORDS {
        if line % BAD_EVERY == 0 {
            let (bytes, code) = kinds[line / BAD_EVERY - 1];
            text.extend_from_slice(bytes);
            bad.push((line, code));
        } else {
            text.extend_from_slice(format!("{{\"id\": {line}, \"name\": \"n{line}\"}}").as_bytes());
        }
        text.push(b'\n');
    }
    (text, bad)
}

fn pipeline(format: &str) -> String {
    format!(
        "[pipeline]\nname = \"faults\"\n\
         [source]\nplugin = \"sluice/files@0.1\"\nconfig = {{ dir = \"in\", format = \"{format}\", stream = \"rows\" }}\n\
         [schema.rows]\nrequired = [\"id\"]\nfields = {{ id = \"int64\", name = \"text\" }}\n\
         [[sink]]\nplugin = \"sluice/files@0.1\"\nconfig = {{ dir = \"out\", format = \"ndjson\" }}\n"
    )
}

fn check(name: &str, format: &str, text: &[u8], bad: &[(usize, &str)]) {
    let host = TestHost::new();
    host.write(&format!("in/{name}"), text);
    host.write("faults.toml", pipeline(format));
    host.grant("faults.toml");
    let report = host.run("faults.toml");
    assert_eq!(report["read"], RECORDS);
    assert_eq!(report["dead_lettered"], bad.len());
    assert_eq!(report["guarantee"], "exactly-once");
    let ids: Vec<usize> = host
        .records("out")
        .iter()
        .map(|record| record["id"].as_u64().expect("an id") as usize)
        .collect();
    let good: Vec<usize> = (1..=RECORDS).filter(|line| line % BAD_EVERY != 0).collect();
    assert_eq!(ids, good);
    let header = usize::from(format == "csv");
    let letters = host.dead_letters("faults.toml");
    assert_eq!(letters.len(), bad.len());
    for (letter, (line, code)) in letters.iter().zip(bad) {
        let rejection = &letter["rejection"];
        assert_eq!(rejection["code"], *code, "{letter}");
        assert_eq!(rejection["place"]["document"], name, "{letter}");
        assert_eq!(rejection["place"]["line"], line + header, "{letter}");
        let shown = host
            .sluice(&["dlq", "show", "faults.toml", &letter["number"].to_string()])
            .done()
            .out;
        assert!(
            shown.contains(code) && shown.contains(&format!("{name}:{}", line + header)),
            "{shown}"
        );
    }
}

#[test]
fn in_ndjson() {
    let (text, bad) = ndjson();
    check("rows.ndjson", "ndjson", &text, &bad);
}

#[test]
fn in_csv() {
    let mut text = String::from("id,name\r\n");
    let mut bad = Vec::new();
    for line in 1..=RECORDS {
        if line % BAD_EVERY == 0 {
            let (row, code) = if bad.len() % 2 == 0 {
                ("7", "ragged-row")
            } else {
                ("seven,x", "wrong-type")
            };
            write!(text, "{row}\r\n").expect("memory");
            bad.push((line, code));
        } else {
            write!(text, "{line},\"n \"\"{line}\"\"\"\r\n").expect("memory");
        }
    }
    check("rows.csv", "csv", text.as_bytes(), &bad);
}

#[test]
fn a_second_run_does_nothing_and_what_is_appended_is_found() {
    let host = TestHost::new();
    host.write("in/rows.ndjson", "{\"id\": 1, \"name\": \"a\"}\n");
    host.write("faults.toml", pipeline("ndjson"));
    host.grant("faults.toml");
    assert_eq!(host.run("faults.toml")["written"], 1);
    let again = host.run("faults.toml");
    assert_eq!(
        (again["read"].as_u64(), again["ending"].as_str()),
        (Some(0), Some("done"))
    );
    host.write(
        "in/rows.ndjson",
        "{\"id\": 1, \"name\": \"a\"}\n{\"id\": 2, \"name\": \"b\"}\n{\"id\": true}\n",
    );
    let more = host.run("faults.toml");
    assert_eq!(
        (more["written"].as_u64(), more["dead_lettered"].as_u64()),
        (Some(1), Some(1))
    );
    assert_eq!(
        host.dead_letters("faults.toml")[0]["rejection"]["place"]["line"],
        3
    );
    assert_eq!(host.records("out").len(), 2);
}
