//! `sluice/nats` at work: streams of a real server, read and published to, by the real binary. `SLUICE_ROWS` says how many
//! messages go through the kills.

use serde_json::{Value, json};
use sluice_e2e::TestHost;
use sluice_e2e::nats::{Client, Nats, PASSWORD, USER};
use sluice_e2e::service::{self, Service};
use std::time::Duration;

const PIPELINE: &str = "pipelines/copy.toml";
const KILLS: u64 = 10;

fn messages() -> u64 {
    let said = std::env::var("SLUICE_ROWS").ok();
    said.map_or(20_000, |said| {
        said.parse().expect("`SLUICE_ROWS` is a number")
    })
}

/// What is waited for takes as much longer as there are more messages.
fn patient(mut service: Service<'_>) -> Service<'_> {
    let times = messages().div_ceil(200_000).max(1);
    service.patience *= u32::try_from(times).expect("not so many messages");
    service
}

/// How a server is reached, with more settings behind a comma.
fn stage(server: &Nats, more: &str) -> String {
    format!(
        "plugin = \"sluice/nats@0.1\"\nsecrets = {{ password = \"nats\" }}\n\
         config = {{ host = \"localhost\", port = {}, user = \"{USER}\"{more} }}\n",
        server.port
    )
}

/// The stream `HERE` as the stream of records `things`.
fn here(more: &str) -> String {
    format!(", streams = {{ things = {{ stream = \"HERE\", consumer = \"copy\"{more} }} }}")
}

const THERE: &str = ", subject = \"there.{@stream}\"";

const FIELDS: &str = "[schema.things]\nfields = { id = \"int64\", note = \"text\" }\n";

/// A deployment with one pipeline, granted this machine's own addresses and trust in the server.
fn deployment(server: &Nats, schedule: &str, rest: &str) -> TestHost {
    let host = service::deployment();
    host.secret("nats", PASSWORD);
    host.write(
        PIPELINE,
        format!("[pipeline]\nname = \"copy\"\nschedule = \"{schedule}\"\n\n{rest}"),
    );
    host.grant_at(PIPELINE, server.port, &server.authority);
    host
}

/// From `HERE` to `THERE`, once: as far as there is something.
fn copying(server: &Nats, source: &str, sink: &str) -> TestHost {
    let source = stage(server, &format!(", follow = false{}", here(source)));
    let sink = stage(server, sink);
    deployment(
        server,
        "once",
        &format!("[source]\n{source}\n{FIELDS}\n[[sink]]\n{sink}"),
    )
}

/// From `HERE` into files, once.
fn filing(server: &Nats, source: &str, fields: &str) -> TestHost {
    let source = stage(server, &format!(", follow = false{}", here(source)));
    deployment(
        server,
        "once",
        &format!(
            "[source]\n{source}\n{fields}\n[[sink]]\nplugin = \"sluice/files@0.1\"\nconfig = {{ dir = \"out\", format = \"ndjson\" }}\n"
        ),
    )
}

fn thing(id: u64) -> String {
    json!({ "id": id, "note": format!("thing {id}") }).to_string()
}

fn ids(client: &mut Client, stream: &str) -> Vec<u64> {
    let messages = client.messages(stream);
    let id = |(_, _, body): &(String, String, Vec<u8>)| {
        serde_json::from_slice::<Value>(body).expect("JSON")["id"]
            .as_u64()
            .expect("an id")
    };
    messages.iter().map(id).collect()
}

/// A server with both streams, and so many messages in the first.
fn filled(count: u64) -> (Nats, Client) {
    let server = Nats::start();
    let mut client = server.client();
    client.stream("HERE", &json!({}));
    client.stream("THERE", &json!({}));
    client.publish("here.things", (1..=count).map(thing));
    (server, client)
}

/// Where the host is; none before it is anywhere.
fn place(host: &TestHost) -> Option<u64> {
    let shown = host.sluice(&["checkpoint", "show", PIPELINE, "things", "--json"]);
    (shown.code == Some(0)).then(|| find(&shown.json()))?
}

/// The first field `sequence` that a place of the plugin's has, however deep; a place is a JSON text of its own.
fn find(value: &Value) -> Option<u64> {
    match value {
        Value::Object(fields) if fields.contains_key("created") => fields["sequence"].as_u64(),
        Value::Object(fields) => fields.values().find_map(find),
        Value::Array(items) => items.iter().find_map(find),
        Value::String(text) => {
            let inner: Option<Value> = serde_json::from_str(text).ok();
            find(inner.filter(Value::is_object).as_ref()?)
        }
        _ => None,
    }
}

/// A queue loses what is acknowledged: nothing behind the place of the host is gone. Asked in this order: the host only ever
/// gets on.
fn judged(client: &mut Client, host: &TestHost) -> bool {
    let state = &client.done("STREAM.INFO.HERE", &json!({ "deleted_details": true }))["state"];
    let first = state["first_seq"].as_u64().expect("a number");
    let deleted = state["deleted"]
        .as_array()
        .and_then(|deleted| deleted.last()?.as_u64());
    let gone = first.saturating_sub(1).max(deleted.unwrap_or_default());
    let Some(place) = place(host) else {
        return false;
    };
    assert!(
        gone <= place,
        "acknowledged up to {gone}, and the host is at {place}"
    );
    gone > 0
}

#[test]
fn each_message_arrives_once_whatever_is_killed() {
    let count = messages();
    let mut server = Nats::start();
    let mut client = server.client();
    client.stream("HERE", &json!({ "retention": "workqueue" }));
    client.stream("THERE", &json!({}));
    client.publish("here.things", (1..=count / 2).map(thing));
    let source = stage(&server, &here(", ack_wait_seconds = 3"));
    let sink = stage(&server, THERE);
    let map = "plugin = \"sluice/map@0.1\"\nconfig = { steps = [{ upper = [\"note\"] }] }\n";
    let host = deployment(
        &server,
        "continuous",
        &format!(
            "[source]\n{source}\n[[transform]]\n{map}\n[[sink]]\n{sink}\n{FIELDS}\n\
             [delivery]\nguarantee = \"effectively-once\"\nretry = {{ for = \"2m\", max_delay = \"500ms\" }}\n"
        ),
    );
    let (judgements, mut before, mut published) = (std::cell::Cell::new(0), 0, count / 2);
    for kill in 0..KILLS {
        let next = count / 2 + (count - count / 2) * (kill + 1) / KILLS;
        client.publish("here.things", (published + 1..=next).map(thing));
        published = next;
        let mut service = patient(Service::spawn(&host));
        if kill == 3 || kill == 7 {
            server.restart();
            client = server.client();
        }
        let judgements_before = judgements.get();
        {
            let shared = std::cell::RefCell::new(&mut client);
            service.until("something arrives", |_| {
                let mut client = shared.borrow_mut();
                judgements.set(judgements.get() + u64::from(judged(&mut client, &host)));
                let is_told = kill % 2 == 0 || judgements.get() > judgements_before;
                client.count("THERE") > before && is_told
            });
        }
        // Anywhere in what comes next.
        std::thread::sleep(Duration::from_millis(67 * kill % 500));
        before = client.count("THERE").min(count - count / KILLS);
        service.kill();
    }
    let mut service = patient(Service::start(&host));
    let shared = std::cell::RefCell::new(&mut client);
    service.until("every message, and its acknowledgement", |_| {
        let mut client = shared.borrow_mut();
        judgements.set(judgements.get() + u64::from(judged(&mut client, &host)));
        // A server that was killed may have the messages again, and still know that they are acknowledged.
        let consumer = client.consumer("HERE", "copy");
        client.count("THERE") >= count && consumer["ack_floor"]["stream_seq"] == count
    });
    service.until("no lag", |service| {
        service.lag("copy", "records") == Some((0, None))
    });
    service.stops();
    assert_eq!(host.dead_letters(PIPELINE), Vec::<Value>::new());
    let found = ids(&mut client, "THERE");
    assert_eq!(
        found.len() as u64,
        count,
        "none is lost, none is there twice"
    );
    assert!(
        found.iter().copied().eq(1..=count),
        "and each is in its place"
    );
    let judgements = judgements.get();
    assert!(
        judgements >= KILLS / 2,
        "the queue was compared {judgements} times"
    );
    println!(
        "{count} messages once each and in order after {KILLS} kills and 2 restarts of the server; the queue was \
         compared {judgements} times, and never ahead"
    );
}

#[test]
fn a_check_makes_nothing_and_a_run_reads_on_where_it_was() {
    let (server, mut client) = filled(1_000);
    let host = copying(&server, "", THERE);
    drop(host.sluice(&["check", PIPELINE]).done());
    assert_eq!(client.info("HERE")["state"]["consumer_count"], 0);
    assert_eq!(host.run(PIPELINE)["written"], 1_000);
    assert_eq!(client.consumer("HERE", "copy")["num_ack_pending"], 0);
    client.publish("here.things", (1_001..=1_010).map(thing));
    assert_eq!(host.run(PIPELINE)["read"], 10);
    assert_eq!(host.run(PIPELINE)["read"], 0);
    assert!(ids(&mut client, "THERE").into_iter().eq(1..=1_010));
    // Without a schema that is declared one is inferred, and nothing is taken from the consumer for it.
    let host = filing(&server, "", "");
    host.edit(PIPELINE, "consumer = \"copy\"", "consumer = \"filed\"");
    drop(host.sluice(&["check", PIPELINE]).done());
    assert_eq!(client.info("HERE")["state"]["consumer_count"], 1);
    assert_eq!(host.run(PIPELINE)["written"], 1_010);
    assert_eq!(
        host.records("out")[1_009],
        json!({ "id": 1_010, "note": "thing 1010" })
    );
}

#[test]
fn what_is_new_is_read_from_where_that_was() {
    let (server, mut client) = filled(100);
    let host = filing(
        &server,
        ", start = \"new\", subject = \"here.things\"",
        FIELDS,
    );
    assert_eq!(host.run(PIPELINE)["read"], 0);
    client.publish("here.things", (101..=490).map(thing));
    client.publish("here.others", (1..=10).map(thing));
    assert_eq!(host.run(PIPELINE)["read"], 390);
    assert_eq!(place(&host), Some(500), "behind what is not read, too");
    drop(
        host.sluice(&["checkpoint", "reset", PIPELINE, "--yes"])
            .done(),
    );
    assert_eq!(
        host.run(PIPELINE)["read"],
        390,
        "a reset begins there again"
    );
}

#[test]
fn a_consumer_with_other_settings_is_refused_and_named() {
    let (server, mut client) = filled(10);
    let host = copying(&server, "", THERE);
    for (config, told) in [
        (
            json!({ "ack_policy": "all" }),
            "`ack_policy` is `all` and must be `explicit`",
        ),
        (
            json!({ "ack_policy": "explicit", "max_deliver": 3 }),
            "`max_deliver` is `3` and must be `-1`",
        ),
        (
            json!({ "ack_policy": "explicit", "filter_subject": "here.x" }),
            "`filter_subject` is `here.x` and must be nothing",
        ),
        (
            json!({ "ack_policy": "explicit", "deliver_policy": "last" }),
            "`deliver_policy` is `last` and must be `all`",
        ),
    ] {
        let mut config = config;
        config["durable_name"] = "copy".into();
        drop(client.done(
            "CONSUMER.DURABLE.CREATE.HERE.copy",
            &json!({ "stream_name": "HERE", "config": config }),
        ));
        for command in ["check", "run"] {
            let answer = host.sluice(&[command, PIPELINE]);
            assert_eq!(answer.code, Some(1), "{answer:?}");
            assert!(answer.err.contains(told), "{told}: {}", answer.err);
        }
        drop(client.done("CONSUMER.DELETE.HERE.copy", &json!({})));
    }
    assert_eq!(host.run(PIPELINE)["written"], 10);
}

/// What was removed before it was read is told, and never passed over.
#[test]
fn a_stream_that_was_drained_or_made_anew_is_told() {
    let (server, mut client) = filled(100);
    let host = copying(&server, "", THERE);
    assert_eq!(host.run(PIPELINE)["written"], 100);
    let lost = |told: &str| {
        let answer = host.sluice(&["run", PIPELINE]);
        assert_eq!(answer.code, Some(1), "{answer:?}");
        let said = answer.err + &answer.out;
        assert!(
            said.contains("cursor lost") && said.contains(told),
            "{said}"
        );
    };
    drop(client.done("STREAM.PURGE.HERE", &json!({})));
    assert_eq!(host.run(PIPELINE)["read"], 0, "all of that was read");
    client.publish("here.things", (101..=150).map(thing));
    drop(client.done("STREAM.PURGE.HERE", &json!({ "seq": 121 })));
    lost("begins at 121, and was read up to 100");
    drop(
        host.sluice(&[
            "checkpoint",
            "set",
            PIPELINE,
            "things",
            "--place",
            "{\"sequence\": 120}",
            "--yes",
        ])
        .done(),
    );
    assert_eq!(host.run(PIPELINE)["written"], 30);
    drop(client.done("STREAM.DELETE.HERE", &json!({})));
    client.stream("HERE", &json!({}));
    client.publish("here.things", (1..=200).map(thing));
    lost("made anew");
    drop(
        host.sluice(&["checkpoint", "reset", PIPELINE, "--yes"])
            .done(),
    );
    assert_eq!(host.run(PIPELINE)["read"], 200);
}

/// Removed while it is used: the pipeline stops with its place, and what mends it is to start it again.
#[test]
fn a_consumer_that_is_removed_is_told_and_made_again() {
    let (server, mut client) = filled(10);
    let source = stage(&server, &here(""));
    let sink = stage(&server, THERE);
    let host = deployment(
        &server,
        "continuous",
        &format!("[source]\n{source}\n{FIELDS}\n[[sink]]\n{sink}"),
    );
    let mut service = Service::start(&host);
    {
        let shared = std::cell::RefCell::new(&mut client);
        service.until("what is there", |_| {
            shared.borrow_mut().consumer("HERE", "copy")["ack_floor"]["stream_seq"] == 10
        });
    }
    drop(client.done("CONSUMER.DELETE.HERE.copy", &json!({})));
    service.until_in("copy", "paused");
    let view = service::view(&host, "copy");
    assert!(
        view["reason"]
            .as_str()
            .expect("a reason")
            .contains("start the pipeline again"),
        "{view}"
    );
    client.publish("here.things", (11..=20).map(thing));
    drop(host.sluice(&["resume", "copy"]).done());
    let shared = std::cell::RefCell::new(&mut client);
    service.until("what came meanwhile", |_| {
        shared.borrow_mut().count("THERE") == 20
    });
    service.stops();
    assert!(ids(&mut client, "THERE").into_iter().eq(1..=20));
}

/// A queue loses what is acknowledged, and holds what is not; bodies that are no JSON have fields beside them.
#[test]
fn a_queue_is_emptied_into_files() {
    let server = Nats::start();
    let mut client = server.client();
    client.stream("HERE", &json!({ "retention": "workqueue" }));
    client.publish("here.a", (1..=300).map(|id| format!("text {id}")));
    client.publish(
        "here.b",
        ["\u{1f600} \"quoted\"\nand more".to_owned(), String::new()],
    );
    let host = filing(&server, ", format = \"text\"", "");
    assert_eq!(host.run(PIPELINE)["written"], 302);
    assert_eq!(client.count("HERE"), 0, "it is acknowledged");
    let records = host.records("out");
    assert_eq!(records.len(), 302);
    for (at, subject, body) in [
        (0, "here.a", "text 1"),
        (300, "here.b", "\u{1f600} \"quoted\"\nand more"),
        (301, "here.b", ""),
    ] {
        let record = &records[at];
        assert_eq!(
            (&record["subject"], &record["body"]),
            (&json!(subject), &json!(body)),
            "{record}"
        );
        assert_eq!(record["sequence"], at + 1);
        assert!(
            record["timestamp"].as_str().expect("a time").ends_with('Z'),
            "{record}"
        );
    }
}

#[test]
fn a_record_that_is_refused_is_a_dead_letter_and_the_others_arrive() {
    let server = Nats::start();
    let mut client = server.client();
    client.stream("HERE", &json!({}));
    client.stream("THERE", &json!({ "max_msg_size": 2_000 }));
    let named = |id: u64, name: &str, note: &str| {
        json!({ "id": id, "name": name, "note": note }).to_string()
    };
    client.publish(
        "here.things",
        [
            named(1, "a", "x"),
            "{\"id\": 2,\n \"note\": \"two\nlines\"}".to_owned(),
            "{\"id\": 3,\n \"name\":\r\n \"three\"}\n".to_owned(),
            String::new(),
            named(5, "no.name", "x"),
            named(6, "b", &"x".repeat(5_000)),
            "not JSON".to_owned(),
            named(8, "c", "x"),
        ],
    );
    let host = copying(&server, "", ", subject = \"there.{name}\"");
    host.edit(
        PIPELINE,
        "note = \"text\"",
        "note = \"text\", name = \"text\"",
    );
    let report = host.run(PIPELINE);
    assert_eq!(
        (&report["read"], &report["written"]),
        (&json!(8), &json!(3)),
        "{report}"
    );
    let letters = host.dead_letters(PIPELINE);
    let code = |letter: &Value| {
        letter["rejection"]["code"]
            .as_str()
            .expect("a code")
            .to_owned()
    };
    let codes: Vec<String> = letters.iter().map(code).collect();
    assert_eq!(
        codes,
        [
            "invalid-json",
            "not-an-object",
            "invalid-json",
            "subject-value",
            "too-large"
        ]
    );
    let subjects: Vec<String> = client
        .messages("THERE")
        .into_iter()
        .map(|(subject, _, _)| subject)
        .collect();
    assert_eq!(subjects, ["there.a", "there.three", "there.c"]);
    let listed = host.sluice(&["dlq", "list", PIPELINE]).done().out;
    assert!(listed.contains("HERE@1:2"), "{listed}");
}

/// Fields for what is known of a message tell two apart that are equal in all else.
#[test]
fn equal_messages_are_told_apart_by_their_number() {
    let (server, mut client) = filled(0);
    client.publish("here.things", (0..50).map(|_| thing(7)));
    let host = copying(
        &server,
        ", add = { sequence = \"number\", subject = \"from\", timestamp = \"at\" }",
        THERE,
    );
    host.edit(
        PIPELINE,
        "note = \"text\" }",
        "note = \"text\", number = \"int64\", from = \"text\", at = \"timestamp\" }",
    );
    assert_eq!(host.run(PIPELINE)["written"], 50);
    let messages = client.messages("THERE");
    assert_eq!(messages.len(), 50);
    let record: Value = serde_json::from_slice(&messages[49].2).expect("JSON");
    assert_eq!(
        (&record["id"], &record["number"], &record["from"]),
        (&json!(7), &json!(50), &json!("here.things"))
    );
}

#[test]
fn what_cannot_work_is_told_before_a_record_moves() {
    let (server, mut client) = filled(10);
    let check = |host: &TestHost, told: &str| {
        let answer = host.sluice(&["check", PIPELINE]);
        assert!(matches!(answer.code, Some(1 | 2)), "{told}: {answer:?}");
        assert!(answer.err.contains(told), "{told}: {}", answer.err);
        assert!(!answer.err.contains(PASSWORD) && !answer.out.contains(PASSWORD));
    };
    check(
        &copying(&server, "", ", subject = \"nowhere.{@stream}\""),
        "no stream takes what is published to `nowhere.*`",
    );
    check(
        &copying(&server, "", ", subject = \"there.{nothing}\""),
        "nothing",
    );
    let host = copying(&server, "", THERE);
    host.edit(PIPELINE, "stream = \"HERE\"", "stream = \"GONE\"");
    check(&host, "there is no stream `GONE`");
    let host = copying(&server, "", THERE);
    host.secret("nats", "something else");
    check(&host, "the server refused the login");
    let host = copying(&server, "", THERE);
    host.write("ca.pem", &sluice_e2e::tls::Tls::new().authority);
    let answer = host.sluice(&["check", PIPELINE]);
    assert_eq!(answer.code, Some(1), "{answer:?}");
    assert!(answer.err.contains("certificate"), "{}", answer.err);
    // A user who may do less.
    client.stream("CLOSED", &json!({}));
    let host = copying(&server, "", ", subject = \"closed.{@stream}\"");
    let answer = host.sluice(&["run", PIPELINE]);
    assert_eq!(answer.code, Some(1), "{answer:?}");
    let said = answer.err + &answer.out;
    assert!(said.contains("may not publish"), "{said}");
}

/// The manifest asks for no more than is needed: without any one of its capabilities the refusal names it.
#[test]
fn each_capability_is_needed() {
    let (server, _) = filled(10);
    let manifest = sluice_e2e::manifest("nats");
    for (from, to, named) in [
        ("[[tcp]]", "# A pipeline", "sluice:plugin/net"),
        (
            "[[secret]]\nname = \"password\"",
            "[[secret]]\nname = \"token\"",
            "password",
        ),
        ("[data]", "[source]", "data.reads"),
    ] {
        let (before, rest) = manifest.split_once(from).expect(from);
        let (_, after) = rest.split_once(to).expect(to);
        let host = service::deployment();
        drop(
            host.pack("nats", &format!("{before}{to}{after}"), "lesser.wasm")
                .done(),
        );
        host.secret("nats", PASSWORD);
        let with_password = named != "password";
        let lesser = |more: &str| {
            let stage = stage(&server, more).replace("sluice/nats@0.1", "lesser.wasm");
            if with_password {
                stage
            } else {
                stage.replace("secrets = { password = \"nats\" }\n", "")
            }
        };
        let source = lesser(&format!(", follow = false{}", here("")));
        let sink = lesser(THERE);
        host.write(
            PIPELINE,
            format!(
                "[pipeline]\nname = \"copy\"\n\n[source]\n{source}\n{FIELDS}\n[[sink]]\n{sink}"
            ),
        );
        host.grant_at(PIPELINE, server.port, &server.authority);
        let answer = host.sluice(&["run", PIPELINE]);
        assert_ne!(answer.code, Some(0), "without {from}");
        assert!(
            answer.err.contains(named) || answer.out.contains(named),
            "without {from}: {answer:?}"
        );
    }
}

/// The README's pipeline, as it stands there but for where the server is and who logs in.
#[test]
fn the_example_of_the_readme_runs() {
    let server = Nats::start();
    let mut client = server.client();
    client.stream("ORDERS", &json!({}));
    client.stream("WAREHOUSE", &json!({}));
    let order =
        |id: u64| json!({ "id": format!("o-{id}"), "country": "se", "total": 12.5 }).to_string();
    client.publish("orders.web.eu", (1..=40).map(order));
    client.publish("orders.web.us", (41..=50).map(order));
    let readme = include_str!("../../../plugins/nats/README.md");
    let example = readme
        .split("```toml\n")
        .last()
        .and_then(|rest| rest.split("```").next());
    let mut example = example.expect("it has one").to_owned();
    for (from, to) in [
        (
            "\"nats.shop.example\"",
            format!("\"localhost\"\nport = {}", server.port),
        ),
        (
            "\"nats.warehouse.example\"",
            format!("\"localhost\"\nport = {}", server.port),
        ),
        ("user = \"reader\"", format!("user = \"{USER}\"")),
        ("user = \"writer\"", format!("user = \"{USER}\"")),
    ] {
        assert_eq!(example.matches(from).count(), 1, "{from}");
        example = example.replace(from, &to);
    }
    let host = service::deployment();
    host.secret("nats-reader", PASSWORD);
    host.secret("nats-writer", PASSWORD);
    host.write(PIPELINE, example);
    host.grant_at(PIPELINE, server.port, &server.authority);
    drop(host.sluice(&["check", PIPELINE]).done());
    let mut service = Service::start(&host);
    let shared = std::cell::RefCell::new(&mut client);
    service.until("every order of the one market", |_| {
        shared.borrow_mut().count("WAREHOUSE") == 40
    });
    service.stops();
    let (subject, _, body) = client.messages("WAREHOUSE").remove(0);
    let record: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(subject, "warehouse.orders.SE");
    assert_eq!(
        record,
        json!({ "number": 1, "id": "o-1", "country": "SE", "total": 12.5 })
    );
}
