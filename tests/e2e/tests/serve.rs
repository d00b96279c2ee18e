//! `sluice serve`, as an operator lives with it: many pipelines of which some are bad, schedules, commands
//! beside it, and what it answers to machines. How it ends is in `serve_ends`.

use serde_json::{Value, json};
use sluice_e2e::service::{
    Service, add, copy, copying, deployment, held, ids, push, rows, status, view,
};
use sluice_e2e::{HOSTILE, lines};
use sluice_upstream::{Options, Upstream};
use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

fn hostile(name: &str, behaviour: &str) -> String {
    format!(
        "[pipeline]\nname = \"{name}\"\nschedule = \"every 1s\"\n\n\
         [source]\nplugin = \"hostile.wasm\"\nconfig = {{ try = \"{behaviour}\", dir = \"in\" }}\n\n\
         [[sink]]\nplugin = \"sluice/files@0.1\"\nconfig = {{ dir = \"out-{name}\", format = \"ndjson\" }}\n"
    )
}

#[test]
fn bad_pipelines_harm_no_other() {
    const GOOD: usize = 5;
    let host = deployment();
    drop(host.pack("hostile", HOSTILE, "hostile.wasm").done());
    host.write("in/a.ndjson", rows(1, 1_000));
    for at in 0..GOOD {
        let name = format!("good-{at}");
        add(
            &host,
            &name,
            copy(&name, "every 1s", "in", &format!("out-{at}")),
        );
    }
    add(&host, "traps", hostile("traps", "panic"));
    // It computes for ever, until its time is over: meanwhile the others deliver.
    add(&host, "hangs", hostile("hangs", "loop"));
    host.write(
        "pipelines/typo.toml",
        "[pipeline]\nname = \"typo\"\n\n[sorce]\n",
    );
    host.write(
        "pipelines/ungranted.toml",
        copy("ungranted", "once", "elsewhere", "out-elsewhere"),
    );
    let mut service = Service::start(&host);
    for at in 0..GOOD {
        service.until("a good one delivers", |_| {
            ids(&host, &format!("out-{at}")).len() == 1_000
        });
    }
    for (pipeline, kind) in [
        ("traps", "trapped"),
        ("hangs", "timed out"),
        ("typo", "misconfigured"),
        ("ungranted", "misconfigured"),
    ] {
        service.until_in(pipeline, "paused");
        let view = view(&host, pipeline);
        assert_eq!(view["kind"], kind, "{view}");
        assert!(view["mend"].is_string(), "{view}");
    }
    // The next file is picked up, beside the bad ones.
    host.write("in/b.ndjson", rows(1_001, 500));
    for at in 0..GOOD {
        service.until("the next file", |_| {
            ids(&host, &format!("out-{at}")).len() == 1_500
        });
    }
    // Each bad state is told once, however often it is looked at.
    let log = host.read("serve.log");
    for pipeline in ["traps", "hangs", "typo", "ungranted"] {
        let told = log.lines().filter(|line| {
            line.contains("WARN")
                && line.contains(&format!("pipeline=\"{pipeline}\""))
                && line.contains("state=\"paused\"")
        });
        assert_eq!(told.count(), 1, "{pipeline}: {log}");
    }
    service.stops();
    for at in 0..GOOD {
        let once: BTreeSet<u64> = ids(&host, &format!("out-{at}")).into_iter().collect();
        assert_eq!(once, (1..=1_500).collect());
    }
}

#[test]
fn machines_are_told_how_it_is() {
    let host = deployment();
    host.write("in/a.ndjson", rows(1, 100) + "{\"id\": \"no number\"}\n");
    add(&host, "orders", copy("orders", "once", "in", "out"));
    host.write(
        "pipelines/typo.toml",
        "[pipeline]\nname = \"typo\"\n\n[sorce]\n",
    );
    let mut service = Service::start(&host);
    service.until_in("orders", "done");
    service.until_in("typo", "paused");
    assert_eq!(service.get("/healthz"), (200, "ok\n".to_owned()));
    let (code, body) = service.get("/readyz");
    let ready: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(
        (code, &ready["ready"]),
        (200, &json!(true)),
        "a bad pipeline makes no host unready"
    );
    let checks = ready["checks"].as_array().expect("checks");
    let named = |name: &str| {
        let found = checks
            .iter()
            .find(|check| check["check"] == name || check["pipeline"] == name);
        found.unwrap_or_else(|| panic!("{name} in {ready}")).clone()
    };
    for check in ["service", "state store", "audit trail", "host"] {
        assert_eq!(named(check), json!({ "check": check, "ok": true }));
    }
    assert_eq!(
        named("typo"),
        json!({ "check": "pipeline", "pipeline": "typo", "ok": false, "state": "paused", "reason": "misconfigured" })
    );
    let (code, text) = service.get("/metrics");
    assert_eq!(code, 200);
    for line in [
        "sluice_component_received_events_total{pipeline=\"orders\"} 101",
        "sluice_component_sent_events_total{pipeline=\"orders\"} 100",
        "sluice_component_discarded_events_total{pipeline=\"orders\",intentional=\"false\"} 1",
        "sluice_pipeline_state{pipeline=\"orders\",state=\"done\"} 1",
        "sluice_pipeline_state{pipeline=\"typo\",state=\"paused\"} 1",
        "sluice_pipeline_runs_total{pipeline=\"orders\",result=\"done\"} 1",
        "sluice_up 1",
    ] {
        assert!(text.lines().any(|told| told == line), "{line} in:\n{text}");
    }
    assert!(!text.contains("no number"), "a record's content");
    assert_eq!(service.get("/").0, 404);
    let posted = service.visit(
        "POST /metrics HTTP/1.1\r\nhost: here\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
    );
    assert_eq!(posted.0, 405, "it is there to be read");
    service.stops();
}

#[test]
fn a_service_listens_to_this_machine_alone() {
    let host = deployment();
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:9464"] {
        host.edit("sluice.toml", "127.0.0.1:0", address);
        let began = Instant::now();
        let mut child = host
            .command(&["serve"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let code = loop {
            if let Some(status) = child.try_wait().expect("a child") {
                break status.code();
            }
            if began.elapsed() > Duration::from_secs(10) {
                drop(child.kill());
                drop(child.wait());
                panic!("it serves {address}");
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let mut err = String::new();
        let mut stderr = child.stderr.take().expect("piped");
        stderr.read_to_string(&mut err).expect("text");
        assert_eq!(code, Some(2), "{err}");
        assert!(
            err.contains("is not an address of this machine alone"),
            "{err}"
        );
        host.edit("sluice.toml", address, "127.0.0.1:0");
    }
}

#[test]
fn the_control_socket_is_its_owners() {
    let host = deployment();
    host.write("in/a.ndjson", rows(1, 1));
    add(&host, "orders", copy("orders", "once", "in", "out"));
    let mut service = Service::start(&host);
    let socket = host.path(".sluice/state/control.sock");
    let mode = |path: &std::path::Path| {
        std::fs::metadata(path).expect("there").permissions().mode() & 0o777
    };
    assert_eq!(mode(&socket), 0o600);
    assert_eq!(mode(&host.path(".sluice/state")), 0o700);
    // A request that is no request, and one without end.
    let ask = |body: &str| {
        let mut stream = UnixStream::connect(&socket).expect("it answers");
        let head = format!(
            "POST /v1/ask HTTP/1.1\r\nhost: here\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).expect("sent");
        // It may hang up in the middle.
        let _ = stream.write_all(body.as_bytes());
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer.split(' ').nth(1).unwrap_or_default().to_owned()
    };
    assert_eq!(ask("{\"ask\": \"status\"}"), "200");
    assert_eq!(ask("{\"ask\": \"everything\"}"), "422");
    let long = format!(
        "{{\"ask\": \"resume\", \"pipeline\": \"{}\"}}",
        "x".repeat(1 << 20)
    );
    assert_eq!(ask(&long), "413");
    service.stops();
    assert!(!socket.exists(), "it is taken away");
}

#[test]
fn commands_work_beside_it() {
    let host = deployment();
    host.write(
        "in/a.ndjson",
        rows(1, 10) + "{\"id\": \"seven\"}\n{\"id\": \"eight\"}\n",
    );
    add(&host, "orders", copy("orders", "every 1s", "in", "out"));
    let mut service = Service::start(&host);
    service.until("it delivers", |_| view(&host, "orders")["written"] == 10);
    let file = "pipelines/orders.toml";
    let checkpoints = host
        .sluice(&["checkpoint", "list", file, "--json"])
        .done()
        .json();
    assert_eq!(checkpoints[0]["written"], 10, "{checkpoints}");
    let split = checkpoints[0]["split"]
        .as_str()
        .expect("a split")
        .to_owned();
    let one = host
        .sluice(&["checkpoint", "show", file, &split, "--json"])
        .done()
        .json();
    assert_eq!(one["split"], split.as_str());
    let letters = host
        .sluice(&["dlq", "list", file, "--limit", "1", "--json"])
        .done()
        .json();
    let number = letters[0]["number"].to_string();
    let letter = host
        .sluice(&["dlq", "show", file, &number, "--json"])
        .done()
        .json();
    assert_eq!(letter, letters[0]);
    let more = host.sluice(&["dlq", "list", file, "--limit", "1"]).done();
    assert!(more.out.contains("there are more"), "{more:#?}");
    assert_eq!(host.dead_letters(file).len(), 2);
    let state = host.sluice(&["state", "show", "--json"]).done().json();
    assert!(state["last_commit"].as_u64() > Some(0), "{state}");
    let verified = host.sluice(&["audit", "verify", "--json"]).done().json();
    assert!(verified["store_commit"].is_u64(), "{verified}");
    let nobody = host.sluice(&["pause", "ordres"]);
    assert_eq!(nobody.code, Some(2), "{nobody:#?}");
    assert!(nobody.err.contains("did you mean `orders`?"), "{nobody:#?}");

    // A grant that is taken away ends its pipeline's runs, and one that is given lets it go on.
    let plugin = "sluice/files";
    drop(host.sluice(&["grant", "revoke", plugin, "--all"]).done());
    service.until_in("orders", "paused");
    host.write("in/b.ndjson", rows(11, 5));
    drop(host.sluice(&["grant", "new", file]).done());
    service.until("it goes on", |_| view(&host, "orders")["written"] == 15);
    // Whoever asked is who did it.
    let exported = lines(
        &host
            .sluice(&["audit", "export", "--action", "dlq.exported"])
            .done()
            .out,
    );
    let written = lines(
        &host
            .sluice(&["audit", "export", "--action", "grant.written"])
            .done()
            .out,
    );
    assert_eq!(exported[0]["actor"], written[0]["actor"], "{exported:?}");
    service.stops();
}

#[test]
fn a_place_is_not_taken_from_under_a_run() {
    let server = Upstream::start(Options::default()).expect("a server");
    let host = held(&server, 100);
    let mut service = Service::start(&host);
    service.until("a request", |_| server.requests() > 0);
    let reset = ["checkpoint", "reset", "pipelines/push.toml", "--yes"];
    let refused = host.sluice(&reset);
    assert_eq!(refused.code, Some(2), "{refused:#?}");
    assert!(
        refused.err.contains("pause it first: `sluice pause push`"),
        "{refused:#?}"
    );
    drop(
        host.sluice(&["pause", "push", "--reason", "to begin anew"])
            .done(),
    );
    server.release();
    service.until_in("push", "paused");
    drop(host.sluice(&reset).done());
    drop(host.sluice(&["resume", "push"]).done());
    service.until_in("push", "done");
    // What was delivered before stays counted.
    assert_eq!(view(&host, "push")["written"], 200);
    assert!(server.counts().repeated > 0, "it began anew");
    service.stops();
}

#[test]
fn files_come_change_and_go() {
    let host = deployment();
    host.write("in/a.ndjson", rows(1, 10));
    let mut service = Service::start(&host);
    add(&host, "orders", copy("orders", "once", "in", "out"));
    service.until("a new file's pipeline delivers", |_| {
        ids(&host, "out").len() == 10
    });
    service.until_in("orders", "done");
    host.write("in/b.ndjson", rows(11, 10));
    // Another plan of the same name has another run, and goes on where the older one was.
    host.edit(
        "pipelines/orders.toml",
        "schedule = \"once\"",
        "schedule = \"once\"\ndescription = \"Orders.\"",
    );
    service.until("the changed one delivers", |_| {
        ids(&host, "out").len() == 20
    });
    std::fs::remove_file(host.path("pipelines/orders.toml")).expect("removed");
    service.until("it is gone", |_| view(&host, "orders").is_null());
    assert!(status(&host).is_some());
    service.stops();
}

#[test]
fn two_files_of_one_name_are_one_pipeline() {
    let host = deployment();
    host.write("in/a.ndjson", rows(1, 10));
    add(&host, "a", copy("orders", "once", "in", "out"));
    add(&host, "b", copy("orders", "once", "in", "out-b"));
    let mut service = Service::start(&host);
    service.until("the first is done", |_| {
        let status = status(&host).unwrap_or_default();
        status["pipelines"][0]["state"] == "done"
    });
    let status = status(&host).expect("a status");
    let second = &status["pipelines"][1];
    assert_eq!(
        (&second["state"], &second["kind"]),
        (&json!("paused"), &json!("misconfigured")),
        "{status}"
    );
    assert!(
        second["reason"]
            .as_str()
            .is_some_and(|told| told.contains("has its name")),
        "{second}"
    );
    service.stops();
}

#[test]
fn a_service_keeps_the_state_it_began_with() {
    let host = copying("every 1s");
    let mut service = Service::start(&host);
    service.until("it delivers", |_| ids(&host, "out").len() == 10);
    let text = host.read("sluice.toml");
    host.write(
        "sluice.toml",
        format!("{text}\n[audit]\ncopy = \"second\"\n"),
    );
    service.until("it stops at that", |_| {
        host.read("serve.log")
            .contains("is not what the service began with")
    });
    host.write("sluice.toml", text);
    host.write("in/b.ndjson", rows(11, 10));
    service.until("it goes on", |_| ids(&host, "out").len() == 20);
    service.stops();
}

#[test]
fn a_schedule_that_cannot_be_kept_is_told() {
    let host = deployment();
    host.write("in/a.ndjson", rows(1, 1));
    for (schedule, told) in [
        ("hourly", "`hourly` is not a schedule"),
        ("cron \\\"61 * * * *\\\"", "is not a cron expression"),
        (
            "cron \\\"0 6 * * *\\\" in \\\"Mars/Olympus\\\"",
            "is not a time zone",
        ),
    ] {
        host.write(
            "pipelines/orders.toml",
            copy("orders", schedule, "in", "out"),
        );
        let checked = host.sluice(&["check", "pipelines/orders.toml"]);
        assert_eq!(checked.code, Some(2), "{checked:#?}");
        assert!(checked.err.contains(told), "{checked:#?}");
        assert!(
            checked.err.contains("orders.toml:3"),
            "its line: {checked:#?}"
        );
    }
}

/// Through the service, beside its runs; and a place is not moved under it either.
#[test]
fn one_redrive_at_a_time() {
    let server = Upstream::start(Options::default()).expect("a server");
    let host = deployment();
    host.write("in/rows.ndjson", rows(1, 10));
    let mended = push("push", "once", &server.address());
    let refusing = "[delivery]\nstop_when = { dead_letters = \"100% of 1\" }\n\n\
         [[transform]]\nplugin = \"sluice/map@0.1\"\n[transform.config]\n\
         steps = [{ reject = { when = { column = \"id\", less = 100 }, code = \"no\", message = \"no\" } }]\n\n[[sink]]";
    add(&host, "push", mended.replace("[[sink]]", refusing));
    let mut service = Service::start(&host);
    service.until_in("push", "done");
    assert_eq!(view(&host, "push")["dead_lettered"], 10);
    host.write("pipelines/push.toml", mended);
    server.hold_next(1);
    let redrive = ["dlq", "redrive", "pipelines/push.toml"];
    let mut first = host.start(&redrive);
    service.until("a request", |_| server.requests() > 0);
    let reset = ["checkpoint", "reset", "pipelines/push.toml", "--yes"];
    for command in [&redrive[..], &reset] {
        let refused = host.sluice(command);
        let told = refused
            .err
            .contains("a redrive or backfill of `push` is under way");
        assert!(refused.code == Some(2) && told, "{refused:#?}");
    }
    server.release();
    assert!(first.wait().expect("an end").success());
    let again = host
        .sluice(&["dlq", "redrive", "pipelines/push.toml", "--json"])
        .done();
    assert_eq!(again.json()["job"]["totals"]["read"], 0);
    let list = host
        .sluice(&["dlq", "list", "pipelines/push.toml"])
        .done()
        .out;
    assert!(list.contains("0 waiting, 10 delivered since"), "{list}");
    service.stops();
}
