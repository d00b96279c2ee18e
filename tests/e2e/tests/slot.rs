//! A replication slot and the server behind it: the host unplugged for a while under writes, a server that gives its log
//! up, another server under the old name, one that goes on in a timeline of its own.

use serde_json::Value;
use sluice_e2e::TestHost;
use sluice_e2e::postgres::{Client, Postgres};
use sluice_e2e::service::{self, Service};
use sluice_e2e::sql::{PASSWORD, SECRET};

/// What the server keeps of its log for a slot, in MiB: two of its files.
const KEPT_MIB: u64 = 32;
const MIB: u64 = 1 << 20;

const LEDGER: &str = "CREATE SCHEMA elsewhere; \
    CREATE TABLE here.ledger (id bigint PRIMARY KEY, note text NOT NULL); \
    INSERT INTO here.ledger SELECT n, 'from before' FROM generate_series(1, 500) AS n; \
    CREATE PUBLICATION sound FOR TABLE here.ledger WITH (publish = 'insert, update, delete')";

fn file(name: &str) -> String {
    format!("pipelines/{name}.toml")
}

/// A pipeline from the ledger, its slot called like it.
fn write(host: &TestHost, name: &str, from: &Postgres, sink: &str) {
    let changes = format!(
        ", changes = {{ publication = \"sound\", slot = \"{name}\" }}, tables = {{ ledger = {{}} }}"
    );
    let source = from.stage("here", &changes);
    host.write(
        &file(name),
        format!(
            "[pipeline]\nname = \"{name}\"\nschedule = \"continuous\"\n\n[source]\n{source}\n[[sink]]\n{sink}"
        ),
    );
}

/// A deployment with one such pipeline, from the one server into a schema of the other.
fn deployment(from: &Postgres, to: &Postgres, name: &str, schema: &str, more: &str) -> TestHost {
    let host = service::deployment();
    host.secret(SECRET, PASSWORD);
    let sink = to.stage(schema, &format!(", create = true{more}"));
    write(&host, name, from, &sink);
    grant(&host, name, &[from, to]);
    host
}

/// Grants a pipeline all it asks for, with trust in these servers.
fn grant(host: &TestHost, name: &str, servers: &[&Postgres]) {
    let authorities: String = servers.iter().map(|server| &*server.authority).collect();
    // What was granted before would stay as narrow as it is.
    let grant = host.path(&format!("grants/{name}.sluice-postgres.toml"));
    let _ = std::fs::remove_file(grant);
    host.grant_at(&file(name), servers[0].port, &authorities);
    for server in servers {
        host.trust(server.port);
    }
}

/// Whether a schema's ledger has the rows of the one here, each as often.
fn is_equal(client: &Client, schema: &str) -> bool {
    let differing = format!(
        "(SELECT * FROM here.ledger EXCEPT ALL SELECT * FROM {schema}.ledger) UNION ALL \
         (SELECT * FROM {schema}.ledger EXCEPT ALL SELECT * FROM here.ledger) LIMIT 1"
    );
    client.sql(&differing).as_deref() == Ok("")
}

/// The tables are read, and so is the log.
fn follows(client: &Client, schema: &str, slot: &str) -> bool {
    let logged = format!("SELECT count(*) FROM {schema}.sluice_commits WHERE split = 'log/{slot}'");
    is_equal(client, schema) && client.sql(&logged).as_deref() == Ok("1")
}

/// What the server says of a slot: its state, and how many bytes it may still fall behind.
fn slot(client: &Client, name: &str) -> (String, i64) {
    let sql = format!(
        "SELECT wal_status, coalesce(safe_wal_size, 0) FROM pg_replication_slots WHERE slot_name = '{name}'"
    );
    let said = client.sql(&sql).expect("a slot");
    let (status, left) = said.split_once('|').expect("two values");
    (status.to_owned(), left.parse().expect("a number"))
}

/// Rows of a KiB each, so many MiB of the log in all: in transactions of their own.
fn write_rows(client: &Client, mib: u64) {
    for _ in 0..mib {
        let sql = "INSERT INTO here.ledger SELECT (SELECT max(id) FROM here.ledger) + n, repeat(md5(random()::text), 30) \
                   FROM generate_series(1, 900) AS n";
        client.sql(sql).expect("rows");
    }
}

fn reason(host: &TestHost, pipeline: &str) -> String {
    let view = service::view(host, pipeline);
    assert_eq!(view["kind"], "cursor lost", "{view}");
    view["reason"].as_str().expect("a reason").to_owned()
}

/// Unplugged for a while under writes: nothing is lost or doubled, the lag is seen, and it is warned before the server
/// gives up what is behind. Unplugged for longer: told, nothing is passed over in silence, and the way out works.
#[test]
fn a_host_that_was_away_is_warned_in_time_and_told_when_it_is_late() {
    let keep = format!("max_slot_wal_keep_size={KEPT_MIB}MB");
    let settings = ["wal_level=logical", "max_wal_senders=8", &keep];
    let server = Postgres::start_with(LEDGER, &settings);
    let client = server.client();
    // Added, not replaced: what came twice would be refused, or stand there twice.
    let soon = deployment(&server, &server, "soon", "there", ", mode = \"append\"");
    let late = deployment(&server, &server, "late", "elsewhere", "");
    for (host, name, schema) in [(&soon, "soon", "there"), (&late, "late", "elsewhere")] {
        let mut service = Service::start(host);
        service.until("the table", |_| is_equal(&client, schema));
        client
            .sql("INSERT INTO here.ledger SELECT max(id) + 1, 'from the log' FROM here.ledger")
            .expect("a row");
        service.until("the log", |_| follows(&client, schema, name));
        service.stops();
    }
    // Away, until less than a quarter of what the server keeps is left.
    let less = i64::try_from((KEPT_MIB / 4 - 1) * MIB).expect("a number");
    while slot(&client, "soon").1 >= less {
        write_rows(&client, 1);
    }
    let (status, left) = slot(&client, "soon");
    assert!(status != "lost" && left > 0, "{status}, {left}");
    let mut service = Service::start(&soon);
    service.until("the lag is seen", |service| {
        service.lag("soon", "bytes").is_some_and(|(behind, left)| {
            behind > KEPT_MIB / 2 * MIB && left.is_some_and(|left| left < KEPT_MIB * MIB / 4)
        })
    });
    let shown = soon.sluice(&["status"]).done().out;
    assert!(shown.contains("bytes behind its source; SOON: "), "{shown}");
    let warning = "the server will soon give up the replication slot";
    service.until("a warning", |_| soon.read("serve.log").contains(warning));
    assert_ne!(slot(&client, "soon").0, "lost");
    service.until("all of it", |_| is_equal(&client, "there"));
    // Looked at every ten seconds.
    service.until("no lag", |service| {
        let lag = service.lag("soon", "bytes");
        lag.is_some_and(|(behind, _)| behind < MIB)
    });
    service.stops();
    assert_eq!(soon.dead_letters(&file("soon")), Vec::<Value>::new());
    client
        .sql("SELECT pg_drop_replication_slot('soon')")
        .expect("a slot");

    // The other has been away all the time, and is for longer.
    let before = client.sql("SELECT count(*) FROM elsewhere.ledger");
    while slot(&client, "late").0 != "lost" {
        write_rows(&client, 1);
        client.sql("CHECKPOINT").expect("a checkpoint");
    }
    let mut service = Service::start(&late);
    service.until_in("late", "paused");
    let told = reason(&late, "late");
    assert!(
        told.contains("gave up the slot `late`")
            && told.contains("drop the slot, and reset the checkpoints"),
        "{told}"
    );
    assert_eq!(client.sql("SELECT count(*) FROM elsewhere.ledger"), before);
    assert_eq!(late.dead_letters(&file("late")), Vec::<Value>::new());
    // It stays so, whatever is tried.
    drop(late.sluice(&["resume", "late"]).done());
    service.until_in("late", "paused");
    service.stops();
    client
        .sql("SELECT pg_drop_replication_slot('late')")
        .expect("a slot");
    drop(
        late.sluice(&["checkpoint", "reset", &file("late"), "--yes"])
            .done(),
    );
    let mut service = Service::start(&late);
    drop(late.sluice(&["resume", "late"]));
    service.until("all rows again", |_| is_equal(&client, "elsewhere"));
    client
        .sql("UPDATE here.ledger SET note = 'after all' WHERE id % 100 = 0")
        .expect("changes");
    service.until("and what changes", |_| is_equal(&client, "elsewhere"));
    service.stops();
}

/// Rows of a ledger, to be held against those of another server's.
fn rows(client: &Client, schema: &str) -> Option<String> {
    let said = client.sql(&format!("SELECT * FROM {schema}.ledger ORDER BY id"));
    said.ok().filter(|rows| !rows.is_empty())
}

/// Until what is in the one is in the other, and was read from the log.
fn until_equal(service: &mut Service<'_>, from: &Client, to: &Client, what: &str) {
    service.until(what, |_| rows(from, "here") == rows(to, "there"));
    let logged = "SELECT count(*) FROM there.sluice_commits WHERE split LIKE 'log/%'";
    service.until(what, |_| to.sql(logged).as_deref() == Ok("1"));
}

/// Has a server's log go on until it is behind this place.
fn overtake(client: &Client, place: &str) {
    let is_behind = format!("SELECT pg_current_wal_lsn() > '{place}'");
    while client.sql(&is_behind).as_deref() != Ok("t") {
        let message = "SELECT pg_logical_emit_message(false, 'nobody', repeat('x', 1000000))";
        client.sql(message).expect("a message");
    }
}

fn end(client: &Client) -> String {
    client.sql("SELECT pg_current_wal_lsn()").expect("a place")
}

/// The same tables and a slot of the same name, on a server whose log goes further: not the same log.
#[test]
fn another_server_is_not_taken_for_the_old_one() {
    let (server, other, warehouse) = (
        Postgres::start_logical(LEDGER),
        Postgres::start_logical(LEDGER),
        Postgres::start(""),
    );
    let (client, to) = (server.client(), warehouse.client());
    other.sql("SELECT pg_create_logical_replication_slot('s', 'pgoutput')");
    let host = deployment(&server, &warehouse, "s", "there", "");
    let mut service = Service::start(&host);
    service.until("the table", |_| rows(&client, "here") == rows(&to, "there"));
    client
        .sql("DELETE FROM here.ledger WHERE id < 10")
        .expect("changes");
    // What is deleted is told by the log alone.
    until_equal(&mut service, &client, &to, "the log");
    service.stops();
    overtake(&other.client(), &end(&client));
    let sink = warehouse.stage("there", ", create = true");
    write(&host, "s", &other, &sink);
    grant(&host, "s", &[&other, &warehouse]);
    let before = rows(&to, "there");
    let mut service = Service::start(&host);
    service.until_in("s", "paused");
    let told = reason(&host, "s");
    assert!(told.contains("is one in the log of the server"), "{told}");
    service.stops();
    assert_eq!(rows(&to, "there"), before);
    // Led back, it goes on.
    write(&host, "s", &server, &sink);
    grant(&host, "s", &[&server, &warehouse]);
    client
        .sql("DELETE FROM here.ledger WHERE id < 20")
        .expect("changes");
    let mut service = Service::start(&host);
    until_equal(&mut service, &client, &to, "what changed");
    service.stops();
}

/// A server that was put back to where the pipeline is goes on; one that was put back further has lost what was read,
/// however far its log is by now.
#[test]
fn a_server_that_was_restored_is_read_on_from_a_place_that_it_has() {
    let (mut server, warehouse) = (Postgres::start_logical(LEDGER), Postgres::start(""));
    let (client, to) = (server.client(), warehouse.client());
    let host = deployment(&server, &warehouse, "s", "there", "");
    let mut service = Service::start(&host);
    service.until("the table", |_| rows(&client, "here") == rows(&to, "there"));
    client
        .sql("DELETE FROM here.ledger WHERE id < 10")
        .expect("changes");
    until_equal(&mut service, &client, &to, "the log");
    service.stops();
    server.back_up();
    server.restore();
    let timeline = "SELECT left(pg_walfile_name(pg_current_wal_lsn()), 8)";
    assert_eq!(client.sql(timeline).as_deref(), Ok("00000002"));
    client
        .sql("DELETE FROM here.ledger WHERE id < 20")
        .expect("changes");
    let mut service = Service::start(&host);
    until_equal(&mut service, &client, &to, "what changed");
    service.stops();
    server.back_up();
    client
        .sql("DELETE FROM here.ledger WHERE id < 30")
        .expect("changes");
    let mut service = Service::start(&host);
    until_equal(&mut service, &client, &to, "what will not have been");
    service.stops();
    let place = end(&client);
    server.restore();
    overtake(&client, &place);
    let mut service = Service::start(&host);
    service.until_in("s", "paused");
    let told = reason(&host, "s");
    assert!(
        told.contains("the server was restored") && told.contains("which it left at"),
        "{told}"
    );
    service.stops();
}
