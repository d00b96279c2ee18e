//! How `sluice serve` ends, and how the next goes on: told to stop, cut off, killed; and that there is one at a time.

use serde_json::{Value, json};
use sluice_e2e::checker::letter_id;
use sluice_e2e::service::{Service, add, copy, copying, deployment, held, ids, push, rows, view};
use sluice_e2e::{TestHost, lines};
use sluice_upstream::{Options, Upstream};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

#[test]
fn told_to_stop_it_drains_and_the_next_goes_on() {
    const MANY: usize = 60_000;
    let server = Upstream::start(Options::default()).expect("a server");
    let host = held(&server, MANY);
    add(&host, "copy", copy("copy", "once", "in", "out"));
    let mut service = Service::start(&host);
    service.until("a request", |_| server.requests() > 0);
    service.until_in("copy", "done");
    service.signal("-TERM");
    service.until("it drains", |service| {
        let (code, body) = service.get("/readyz");
        code == 503 && body.contains("draining")
    });
    server.release();
    assert_eq!(service.ends(), Some(0), "{}", host.read("serve.log"));
    let view = view(&host, "push");
    let count = |name: &str| view[name].as_u64().expect("a count");
    let first = count("read");
    assert!(first > 0 && first < MANY as u64, "{view}");
    assert_eq!(
        first,
        count("written") + count("filtered") + count("dead_lettered")
    );
    assert_eq!(server.collection("rows").len() as u64, first);
    drop(service);

    let mut service = Service::start(&host);
    service.until_in("push", "done");
    service.stops();
    assert_eq!(server.collection("rows").len(), MANY);
    assert_eq!(server.counts().repeated, 0);
}

#[test]
fn nothing_begins_while_it_ends() {
    let server = Upstream::start(Options::default()).expect("a server");
    let host = held(&server, 10);
    let mut service = Service::start(&host);
    service.until("a request", |_| server.requests() > 0);
    service.signal("-TERM");
    service.until("it drains", |service| service.get("/readyz").0 == 503);
    let redrive = host.sluice(&["dlq", "redrive", "pipelines/push.toml"]);
    assert_eq!(redrive.code, Some(2), "{redrive:#?}");
    assert!(
        redrive.err.contains("the service is ending"),
        "{redrive:#?}"
    );
    server.release();
    assert_eq!(service.ends(), Some(0));
}

#[test]
fn what_cannot_drain_in_time_is_cut_off_and_goes_on_later() {
    const MANY: usize = 5_000;
    let server = Upstream::start(Options::default()).expect("a server");
    let host = held(&server, MANY);
    host.edit("sluice.toml", "drain = \"20s\"", "drain = \"1s\"");
    let mut service = Service::start(&host);
    service.until("a request", |_| server.requests() > 0);
    service.signal("-TERM");
    assert_eq!(service.ends(), Some(1), "{}", host.read("serve.log"));
    server.release();
    drop(service);
    let mut service = Service::start(&host);
    service.until_in("push", "done");
    service.stops();
    let rows = server.collection("rows");
    let once: BTreeSet<u64> = rows.iter().filter_map(|row| row["id"].as_u64()).collect();
    assert_eq!(once, (1..=MANY as u64).collect());
    let ended = lines(
        &host
            .sluice(&["audit", "export", "--action", "run.ended"])
            .done()
            .out,
    );
    assert_eq!(ended[0]["fields"]["ending"], "failed", "{ended:?}");
}

/// By chance, and the same in each run of the tests.
fn moment(kill: u64) -> Duration {
    let mixed = (kill + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    Duration::from_millis((mixed ^ (mixed >> 31)) % 300)
}

/// What the deployment says it has done, of records that were settled.
fn settled(host: &TestHost, pipeline: &str) -> u64 {
    let answer = host.sluice(&["status", "--json"]);
    if answer.code != Some(0) {
        assert!(answer.err.contains("nothing has run here"), "{answer:?}");
        return 0;
    }
    let view = view(host, pipeline);
    if view.is_null() {
        return 0; // Others have run.
    }
    let count = |name: &str| view[name].as_u64().expect("a count");
    let all = count("written") + count("filtered") + count("dead_lettered");
    assert_eq!(count("read"), all + count("in_flight"), "{view}");
    all
}

/// Every second kill wherever the service is by then, its opening too; the others once it gets on. There is always more
/// to read.
#[test]
fn killed_twenty_times_it_resumes_and_nothing_is_lost_or_doubled() {
    const EACH: usize = 30_000;
    const KILLS: usize = 20;
    let refuse = |record: &Value| {
        let id = record["id"].as_u64()?;
        id.is_multiple_of(500).then(|| "taken".to_owned())
    };
    let server = Upstream::start(Options {
        refuse: Some(Arc::new(refuse)),
        ..Options::default()
    })
    .expect("a server");
    let host = deployment();
    let files = ["one", "two", "three"];
    for name in files {
        let into = format!("out-{name}");
        add(&host, name, copy(name, "every 1s", "in", &into));
    }
    add(&host, "push", push("push", "every 1s", &server.address()));
    let mut under_load = 0;
    for kill in 0..KILLS {
        let name = format!("in/{kill:02}.ndjson");
        host.write(&name, rows(1 + kill * EACH, EACH));
        let before = settled(&host, "push");
        let mut service = if kill % 2 == 0 {
            let mut service = Service::start(&host);
            service.until("it gets on", |_| settled(&host, "push") > before);
            service
        } else {
            Service::spawn(&host)
        };
        std::thread::sleep(moment(kill as u64));
        service.signal("-KILL");
        assert_eq!(service.ends(), None, "kill {kill}");
        let all = ((kill + 1) * EACH) as u64;
        under_load += usize::from(settled(&host, "push") < all);
        for name in files {
            assert!(settled(&host, name) <= all);
        }
    }
    assert!(
        under_load * 4 >= KILLS * 3,
        "only {under_load} of {KILLS} kills found it at work"
    );
    let all = (KILLS * EACH) as u64;
    let mut service = Service::start(&host);
    for name in files.into_iter().chain(["push"]) {
        service.until("all is settled", |_| settled(&host, name) == all);
    }
    service.stops();
    for name in files {
        let mut ids = ids(&host, &format!("out-{name}"));
        ids.sort_unstable();
        assert!(
            ids.iter().copied().eq(1..=all),
            "{name}: {} records",
            ids.len()
        );
    }
    let refused = |id: &u64| id.is_multiple_of(500);
    let taken: BTreeSet<u64> = server
        .collection("rows")
        .iter()
        .filter_map(|row| row["id"].as_u64())
        .collect();
    assert!(
        taken
            .iter()
            .copied()
            .eq((1..=all).filter(|id| !refused(id)))
    );
    let letters = host.dead_letters("pipelines/push.toml");
    let mut refusals: Vec<u64> = letters.iter().filter_map(letter_id).collect();
    refusals.sort_unstable();
    assert!(
        refusals.iter().copied().eq((1..=all).filter(refused)),
        "{} dead letters",
        letters.len()
    );
    drop(host.sluice(&["audit", "verify"]).done());
}

#[test]
fn one_state_directory_has_one_host() {
    let host = copying("once");
    let mut service = Service::start(&host);
    let pid = service.pid();
    for command in [
        &["serve"][..],
        &["run", "pipelines/orders.toml"],
        &["check", "pipelines/orders.toml"],
    ] {
        let second = host.sluice(command);
        assert_eq!(second.code, Some(3), "{second:#?}");
        let told = format!("is in use by `sluice serve` (pid {pid}) since 2");
        assert!(second.err.contains(&told), "{second:#?}");
    }
    service.stops();
    assert_eq!(host.run("pipelines/orders.toml")["ending"], "done");
}

#[test]
fn a_pause_outlives_the_service_and_is_its_owners_to_end() {
    let host = copying("every 1s");
    let mut service = Service::start(&host);
    service.until("it delivers", |_| ids(&host, "out").len() == 10);
    drop(
        host.sluice(&["pause", "orders", "--reason", "the warehouse moves"])
            .done(),
    );
    service.until_in("orders", "paused");
    service.signal("-KILL");
    let _ = service.ends();
    let told = view(&host, "orders");
    assert_eq!(
        (&told["state"], &told["kind"]),
        (&json!("paused"), &json!("told"))
    );
    host.write("in/b.ndjson", rows(11, 10));
    let mut service = Service::start(&host);
    service.until_in("orders", "paused");
    let told = view(&host, "orders");
    let reason = told["reason"].as_str().expect("a reason");
    assert!(reason.ends_with("the warehouse moves"), "{told}");
    // No change of a file ends it.
    let text = host.read("pipelines/orders.toml");
    host.write("pipelines/orders.toml", text + "\n# a comment\n");
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(view(&host, "orders")["state"], "paused");
    assert_eq!(ids(&host, "out").len(), 10);
    drop(host.sluice(&["resume", "orders"]).done());
    service.until("it goes on", |_| ids(&host, "out").len() == 20);
    service.stops();
    for action in ["pipeline.paused", "pipeline.resumed"] {
        let entries = lines(
            &host
                .sluice(&["audit", "export", "--action", action])
                .done()
                .out,
        );
        assert_eq!(entries.len(), 1, "{action}");
        assert_eq!(entries[0]["fields"]["pipeline"], "orders");
        assert_ne!(entries[0]["actor"], "host");
    }
}
