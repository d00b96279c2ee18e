//! Data that stops fitting what was promised: a new field and a misfit far behind what the schema was inferred from,
//! under each contract.

use serde_json::{Value, json};
use sluice_e2e::{TestHost, balanced};
use std::fmt::Write as _;

/// More than the sample that a schema is inferred from.
const BEFORE: usize = 1_500;

/// Rows of two fields, then one with a third, one with a misfit, and a good one.
fn rows() -> String {
    let mut text = String::new();
    for id in 1..=BEFORE {
        writeln!(text, "{{\"id\": {id}, \"name\": \"n{id}\"}}").expect("memory");
    }
    text + "{\"id\": 1501, \"name\": \"new\", \"colour\": \"red\"}\n\
            {\"id\": \"x\", \"name\": \"misfit\"}\n\
            {\"id\": 1503, \"name\": \"good\"}\n"
}

fn deployment(drift: &str) -> TestHost {
    let host = TestHost::new();
    host.write("in/rows.ndjson", rows());
    host.write(
        "rows.toml",
        format!(
            "[pipeline]\nname = \"rows\"\n\n\
             [source]\nplugin = \"sluice/files@0.1\"\nconfig = {{ dir = \"in\", format = \"ndjson\", stream = \"rows\" }}\n\n\
             [[sink]]\nplugin = \"sluice/files@0.1\"\nconfig = {{ dir = \"out\", format = \"ndjson\" }}\n\n\
             [contract]\ndrift = \"{drift}\"\n"
        ),
    );
    host.grant("rows.toml");
    host
}

/// What the operator can see of a run: its counts, what arrived at the end, and what is a dead letter.
fn outcome(host: &TestHost, code: i32) -> Value {
    let answer = host.sluice(&["run", "rows.toml", "--json"]);
    assert_eq!(answer.code, Some(code), "{answer:#?}");
    let report = answer.json();
    balanced(&report);
    let arrived = host.records("out");
    let letters: Vec<Value> = host
        .dead_letters("rows.toml")
        .iter()
        .map(|letter| {
            let rejection = &letter["rejection"];
            json!([
                rejection["place"]["line"],
                rejection["code"],
                rejection["message"]
            ])
        })
        .collect();
    let fields: Vec<&Value> = report["streams"][0]["entering"]["fields"]
        .as_array()
        .expect("fields")
        .iter()
        .map(|field| &field["name"])
        .collect();
    json!({
        "ending": report["ending"],
        "read": report["read"],
        "written": report["written"],
        "dead_lettered": report["dead_lettered"],
        "discarded_values": report["discarded_values"],
        "why": report["dead_letters"],
        "schema": report["streams"][0]["known"],
        "fields": fields,
        "fault": report["splits"][0]["fault"],
        "arrived": arrived.len(),
        "last": &arrived[arrived.len().saturating_sub(2)..],
        "letters": letters,
    })
}

#[test]
fn a_misfit_is_a_dead_letter() {
    insta::assert_json_snapshot!(outcome(&deployment("dead-letter"), 0));
}

#[test]
fn values_that_do_not_fit_are_discarded() {
    insta::assert_json_snapshot!(outcome(&deployment("discard-value"), 0));
}

#[test]
fn the_schema_grows_and_stays_grown() {
    let host = deployment("evolve");
    insta::assert_json_snapshot!("evolve_first", outcome(&host, 0));
    // The new field has the type it came with: what does not fit it is a misfit like any other.
    let more = "{\"id\": 1504, \"name\": \"later\", \"colour\": 7}\n{\"id\": 1505, \"name\": \"last\", \"colour\": \"blue\"}\n";
    host.write("in/rows.ndjson", rows() + more);
    let checked = host.sluice(&["check", "rows.toml"]).done();
    insta::assert_snapshot!("evolve_check", host.shown(&checked.out));
    insta::assert_json_snapshot!("evolve_next", outcome(&host, 0));
}

#[test]
fn a_frozen_schema_stops_the_run_and_holds_the_place() {
    let host = deployment("freeze");
    let stopped = outcome(&host, 1);
    insta::assert_json_snapshot!("freeze", stopped);
    // What an operator decides then: the rest goes on from the place that was held, and nothing comes twice.
    host.edit("rows.toml", "drift = \"freeze\"", "drift = \"dead-letter\"");
    let rest = outcome(&host, 0);
    assert_eq!(rest["arrived"], BEFORE + 1, "{rest}");
    let count = |outcome: &Value| outcome["written"].as_u64().expect("a count");
    assert_eq!(count(&stopped) + count(&rest), BEFORE as u64 + 1);
}
