//! `sluice/postgres` at work: tables of a real server, read, followed and written, by the real binary.

use sluice_e2e::TestHost;
use sluice_e2e::postgres::Postgres;
use sluice_e2e::service::{self, Service};
use sluice_e2e::sql::{PASSWORD, SECRET};
use std::collections::BTreeSet;

const PIPELINE: &str = "pipelines/copy.toml";

/// A table of a few rows.
const THINGS: &str = "CREATE TABLE here.things (id bigint PRIMARY KEY, name text, price numeric(10,2), at timestamptz);\n\
    INSERT INTO here.things SELECT n, 'thing ' || n, n / 3.0, timestamptz '2026-11-27 08:00:00.123456+00' + n * interval '1 s' \
    FROM generate_series(1, 1000) AS n;\n";

/// A deployment that copies what is here to there, granted this machine's own addresses and trust in the server.
fn copying(server: &Postgres, source: &str, sink: &str) -> TestHost {
    deployment(
        server,
        &format!(
            "[pipeline]\nname = \"copy\"\nschedule = \"continuous\"\n\n[source]\n{}\n[[sink]]\n{}",
            server.stage("here", source),
            server.stage("there", sink)
        ),
    )
}

fn deployment(server: &Postgres, pipeline: &str) -> TestHost {
    let host = service::deployment();
    host.secret(SECRET, PASSWORD);
    host.write(PIPELINE, pipeline);
    host.grant_trusting(PIPELINE, server);
    host
}

fn count(server: &Postgres, table: &str) -> u64 {
    server
        .sql(&format!("SELECT count(*) FROM {table}"))
        .parse()
        .expect("a number")
}

#[test]
fn a_table_is_copied_in_ranges_and_again_only_what_is_new() {
    let server = Postgres::start(THINGS);
    let host = copying(
        &server,
        ", tables = { things = { splits = 3 } }",
        ", create = true",
    );
    drop(host.sluice(&["check", PIPELINE]).done());
    let made = "SELECT count(*) FROM pg_tables WHERE schemaname = 'there'";
    assert_eq!(server.sql(made), "0", "a check makes nothing");
    let report = host.run(PIPELINE);
    assert_eq!(report["written"], 1_000);
    assert_eq!(server.difference("here.things", "there.things"), "");
    assert_eq!(host.run(PIPELINE)["read"], 0);
    server.sql("INSERT INTO here.things VALUES (1001, NULL, NULL, NULL)");
    assert_eq!(host.run(PIPELINE)["written"], 1);
    assert_eq!(server.difference("here.things", "there.things"), "");
    // The place stands beside the rows, and not in a file of the host's alone.
    let places = server
        .sql("SELECT count(DISTINCT split) FROM there.sluice_commits WHERE pipeline = 'copy'");
    assert_eq!(places, "3");
}

#[test]
fn rows_that_are_refused_are_dead_letters_and_the_others_arrive() {
    let server = Postgres::start(&format!(
        "{THINGS}CREATE TABLE there.things (id bigint PRIMARY KEY, name text NOT NULL, price numeric(10,2) CHECK (price < 300), at timestamptz);\n\
         UPDATE here.things SET name = NULL WHERE id % 250 = 0;\n"
    ));
    let host = copying(&server, "", "");
    let report = host.run(PIPELINE);
    let dear = count(
        &server,
        "here.things WHERE NOT price < 300 AND name IS NOT NULL",
    );
    assert_eq!(report["dead_lettered"], 4 + dear, "{report}");
    let letters = host.dead_letters(PIPELINE);
    let of = |code: &str| {
        let is_of = |letter: &&serde_json::Value| letter["rejection"]["code"] == code;
        letters.iter().filter(is_of).count()
    };
    assert_eq!((of("not-null"), of("check") as u64), (4, dear));
    assert!(
        letters.iter().all(|letter| !letter["rejection"]["message"]
            .as_str()
            .expect("text")
            .contains("thing ")),
        "a reason quotes no value"
    );
    assert_eq!(count(&server, "there.things"), 1_000 - 4 - dear);
}

/// What the server would have told in the meantime is in its log.
#[test]
fn a_snapshot_is_followed_by_what_changes() {
    let server = Postgres::start_logical(&format!(
        "{THINGS}CREATE TABLE here.tags (thing bigint, tag text, weights int[], PRIMARY KEY (thing, tag));\n\
         INSERT INTO here.tags SELECT n, 'tag ' || n, ARRAY[n, NULL] FROM generate_series(1, 500) AS n;\n\
         CREATE PUBLICATION all_of_it FOR ALL TABLES WITH (publish = 'insert, update, delete');\n"
    ));
    let host = copying(
        &server,
        ", changes = { publication = \"all_of_it\", slot = \"sluice_copy\" }, tables = { things = { splits = 2 }, tags = {} }",
        ", create = true",
    );
    drop(host.sluice(&["check", PIPELINE]).done());
    assert_eq!(
        server.sql("SELECT count(*) FROM pg_replication_slots"),
        "0",
        "a check makes none"
    );
    let mut service = Service::start(&host);
    let is_equal = |_: &Service<'_>| {
        let is_there = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'there' AND table_name IN ('things', 'tags')";
        server.sql(is_there) == "2"
            && ["things", "tags"].iter().all(|table| {
                server
                    .difference(&format!("here.{table}"), &format!("there.{table}"))
                    .is_empty()
            })
    };
    service.until("the snapshot", is_equal);
    server.sql(
        "BEGIN; UPDATE here.things SET name = 'a \"name\", of two\nlines' WHERE id % 3 = 0; DELETE FROM here.things WHERE id % 7 = 0; \
         INSERT INTO here.things VALUES (-5, '', 'NaN', NULL); COMMIT; \
         UPDATE here.things SET id = id + 5000 WHERE id % 100 = 1; \
         UPDATE here.tags SET weights = weights || ARRAY[[7]] WHERE false; \
         UPDATE here.tags SET weights = NULL WHERE thing < 10; DELETE FROM here.tags WHERE thing > 490",
    );
    // `NaN` is no decimal of the contract.
    server.sql("DELETE FROM here.things WHERE price = 'NaN'");
    service.until("what changed", is_equal);
    drop(service);
    // Away for a while.
    server.sql("DELETE FROM here.things WHERE id < 100; INSERT INTO here.tags VALUES (9000, 'late', '{1,2}')");
    let mut service = Service::start(&host);
    service.until("what changed while nobody looked", is_equal);
    let letters = host.dead_letters(PIPELINE);
    assert_eq!(letters.len(), 1, "{letters:?}");
}

/// A publication, a right or a setting that is not there is told by its name, before anything is made.
#[test]
fn what_the_log_would_not_tell_is_refused() {
    let server = Postgres::start_logical(&format!(
        "{THINGS}CREATE TABLE here.loose (id bigint NOT NULL, name text);\n\
         CREATE PUBLICATION sound FOR TABLE here.things WITH (publish = 'insert, update, delete');\n\
         CREATE PUBLICATION all_but_deletions FOR TABLE here.things WITH (publish = 'insert, update');\n\
         CREATE PUBLICATION truncations FOR TABLE here.things;\n\
         CREATE PUBLICATION dear FOR TABLE here.things WHERE (id > 5) WITH (publish = 'insert, update, delete');\n\
         CREATE PUBLICATION narrow FOR TABLE here.things (id, name) WITH (publish = 'insert, update, delete');\n"
    ));
    server.sql("SELECT pg_create_logical_replication_slot('theirs', 'test_decoding')");
    for (publication, slot, tables, told) in [
        ("none", "s", "things = {}", "there is no publication `none`"),
        (
            "all_but_deletions",
            "s",
            "things = {}",
            "must publish inserts, updates and deletes",
        ),
        ("truncations", "s", "things = {}", "no truncation"),
        ("dear", "s", "things = {}", "only a part of `here.things`"),
        ("narrow", "s", "things = {}", "only a part of `here.things`"),
        (
            "sound",
            "s",
            "loose = { key = [\"id\"] }",
            "would not tell `id` of a row that is deleted",
        ),
        (
            "sound",
            "theirs",
            "things = {}",
            "the slot `theirs` is another's",
        ),
    ] {
        let source = format!(
            ", changes = {{ publication = \"{publication}\", slot = \"{slot}\" }}, tables = {{ {tables} }}"
        );
        let host = copying(&server, &source, ", create = true");
        let answer = host.sluice(&["check", PIPELINE]);
        assert_eq!(answer.code, Some(1), "{publication}, {slot}: {answer:?}");
        assert!(answer.err.contains(told), "{told}: {}", answer.err);
    }
    let server = Postgres::start(THINGS);
    let host = copying(
        &server,
        ", changes = { publication = \"sound\", slot = \"s\" }",
        "",
    );
    let answer = host.sluice(&["check", PIPELINE]);
    assert!(
        answer.err.contains("`wal_level = logical`"),
        "{}",
        answer.err
    );
}

/// Away for longer than the server keeps its log: told, with the way out, and the way out works.
#[test]
fn a_slot_that_is_lost_is_told_and_a_new_snapshot_mends_it() {
    let server = Postgres::start_logical(&format!(
        "{THINGS}CREATE PUBLICATION sound FOR TABLE here.things WITH (publish = 'insert, update, delete');\n"
    ));
    let host = copying(
        &server,
        ", changes = { publication = \"sound\", slot = \"s\" }, tables = { things = {} }",
        ", create = true",
    );
    let is_equal = |_: &Service<'_>| {
        let is_there = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'there' AND table_name = 'things'";
        server.sql(is_there) == "1" && server.difference("here.things", "there.things").is_empty()
    };
    let is_logged = "SELECT count(*) FROM there.sluice_commits WHERE split = 'log/s'";
    let mut service = Service::start(&host);
    service.until("the snapshot", is_equal);
    server.sql("INSERT INTO here.things VALUES (2000)");
    service.until("the log", |_| server.sql(is_logged) == "1");
    service.stops();
    server.sql("SELECT pg_drop_replication_slot('s'); INSERT INTO here.things VALUES (2001)");
    let mut service = Service::start(&host);
    service.until_in("copy", "paused");
    let view = service::view(&host, "copy");
    assert_eq!(view["kind"], "cursor lost", "{view}");
    assert!(
        view["reason"]
            .as_str()
            .expect("a reason")
            .contains("reset the checkpoints"),
        "{view}"
    );
    service.stops();
    server.sql("SELECT pg_drop_replication_slot('s')");
    drop(
        host.sluice(&["checkpoint", "reset", PIPELINE, "--yes"])
            .done(),
    );
    let mut service = Service::start(&host);
    drop(host.sluice(&["resume", "copy"]));
    service.until("a new snapshot", is_equal);
}

/// By its address, under the name that its certificate is for: taken where that is granted too, and for no other.
#[test]
fn a_server_that_is_reached_by_its_address_has_a_name() {
    let server = Postgres::start(THINGS);
    let host = copying(&server, "", ", create = true");
    let (text, grant) = (host.read(PIPELINE), "grants/copy.sluice-postgres.toml");
    let by_address = |name: &str| {
        let here = format!("host = \"127.0.0.1\"{name}");
        host.write(PIPELINE, text.replace("host = \"localhost\"", &here));
        std::fs::remove_file(host.path(grant)).expect("it was granted before");
        host.grant_trusting(PIPELINE, &server);
    };
    by_address("");
    let answer = host.sluice(&["check", PIPELINE]);
    assert_eq!(answer.code, Some(1), "{answer:?}");
    assert!(answer.err.contains("certificate"), "{}", answer.err);
    by_address(", server_name = \"localhost\"");
    drop(host.sluice(&["check", PIPELINE]).done());
    assert_eq!(host.run(PIPELINE)["written"], 1_000);
    // What whoever grants it did not say.
    host.edit(grant, "host = \"localhost\"", "host = \"db.example\"");
    let answer = host.sluice(&["check", PIPELINE]);
    assert_ne!(answer.code, Some(0), "{answer:?}");
    assert!(answer.err.contains("localhost"), "{}", answer.err);
}

/// The manifest asks for no more than is needed: without any one of its capabilities the refusal names it.
#[test]
fn each_capability_is_needed() {
    let server = Postgres::start(&format!(
        "{THINGS}CREATE TABLE there.things (LIKE here.things INCLUDING ALL);\n"
    ));
    let host = copying(&server, "", "");
    drop(host.sluice(&["check", PIPELINE]).done());
    let manifest = sluice_e2e::manifest("postgres");
    for (from, to, named) in [
        ("[[tcp]]", "[[secret]]", "sluice:plugin/net"),
        ("[[secret]]", "# Whole", "password"),
        ("[data]", "[sink]", "data.reads"),
    ] {
        let (before, rest) = manifest.split_once(from).expect(from);
        let (_, after) = rest.split_once(to).expect(to);
        let lesser = lesser(&server, &format!("{before}{to}{after}"));
        let answer = lesser.sluice(&["run", PIPELINE]);
        assert_ne!(answer.code, Some(0), "without {from}");
        assert!(
            answer.err.contains(named) || answer.out.contains(named),
            "without {from}: {answer:?}"
        );
    }
}

/// The same pipeline with a plugin that asks for less.
fn lesser(server: &Postgres, manifest: &str) -> TestHost {
    let host = service::deployment();
    drop(host.pack("postgres", manifest, "lesser.wasm").done());
    host.secret(SECRET, PASSWORD);
    let password = format!("secrets = {{ password = \"{SECRET}\" }}\n");
    let stage = |schema: &str| {
        let stage = server
            .stage(schema, "")
            .replace("sluice/postgres@0.1", "lesser.wasm");
        if manifest.contains("[[secret]]") {
            stage
        } else {
            stage.replace(&password, "")
        }
    };
    host.write(
        PIPELINE,
        format!(
            "[pipeline]\nname = \"copy\"\n\n[source]\n{}\n[[sink]]\n{}",
            stage("here"),
            stage("there")
        ),
    );
    host.grant_trusting(PIPELINE, server);
    host
}

/// Every type there is, its ends and nothing, by a page and by the log: there as it is here, or refused with a reason.
#[test]
fn every_type_arrives_as_it_is_or_is_refused() {
    let server = Postgres::start_logical(KINDS);
    server.sql(VALUES);
    let host = copying(
        &server,
        ", changes = { publication = \"sound\", slot = \"s\" }, tables = { kinds = {} }",
        "",
    );
    let mut service = Service::start(&host);
    let here = |from: &str| -> BTreeSet<String> {
        let rows = server.sql(&format!("SELECT to_jsonb(k) FROM {from}.kinds AS k"));
        rows.lines().map(ToOwned::to_owned).collect()
    };
    let letters = || -> BTreeSet<String> {
        let letters = host.sluice(&["dlq", "export", PIPELINE]);
        let letters = sluice_e2e::lines(&letters.out);
        letters
            .iter()
            .map(|letter| id_in(&letter["rejection"]))
            .collect()
    };
    let settled =
        |count: usize| move |_: &Service<'_>| here("there").len() + letters().len() >= count;
    service.until("the snapshot", settled(9));
    // The same once more, from the log.
    server.sql(
        &VALUES
            .replace("(id) VALUES (1)", "(id) VALUES (101)")
            .replace("VALUES (1", "VALUES (11"),
    );
    service.until("the log", settled(18));
    service.stops();
    let (here, there, refused) = (here("here"), here("there"), letters());
    for row in &here {
        let id = serde_json::from_str::<serde_json::Value>(row).expect("JSON")["id"].to_string();
        assert!(
            there.contains(row) != refused.contains(&id),
            "{row}: {there:#?} {refused:?}"
        );
    }
    let told = host.sluice(&["dlq", "list", PIPELINE]).out;
    assert_eq!(refused.len(), 8, "{refused:?}\n{told}");
}

/// The id of the record of a dead letter, which may be a line of CSV that begins with it.
fn id_in(rejection: &serde_json::Value) -> String {
    let record = rejection["record"].to_string();
    let digits: String = record
        .chars()
        .skip_while(|letter| !letter.is_ascii_digit())
        .take_while(char::is_ascii_digit)
        .collect();
    digits
}

const KINDS: &str = r#"CREATE DOMAIN money2 AS numeric(12,2);
CREATE DOMAIN money3 AS money2 NOT NULL DEFAULT 1;
CREATE DOMAIN tags AS text[];
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE TYPE pair AS (a int, b text);
CREATE TABLE here.kinds (id bigint PRIMARY KEY, b bool, i2 int2, i4 int4, i8 int8, o oid, f4 float4, f8 float8, n numeric, n2 numeric(10,2),
 nn numeric(5,-2), n39 numeric(39,1), d date, ts timestamp, tz timestamptz, ts0 timestamp(0), j json, jb jsonb, by bytea, ia int[], two int[],
 ta tags, p pair, e mood, m3 money3, u uuid, c char(5), v varchar(3), ti time, iv interval, ip inet, r int4range, x xml, mo money, t text,
 g int GENERATED ALWAYS AS (i4 / 2) STORED, "we""ird, name" text, gone int);
ALTER TABLE here.kinds DROP COLUMN gone;
CREATE TABLE there.kinds (LIKE here.kinds INCLUDING ALL);
ALTER TABLE there.kinds ALTER COLUMN ts0 TYPE timestamp;
CREATE PUBLICATION sound FOR TABLE here.kinds WITH (publish = 'insert, update, delete');
"#;

const VALUES: &str = r#"INSERT INTO here.kinds (id) VALUES (1);
INSERT INTO here.kinds (id,b,i2,i4,i8,o,f4,f8,n,n2,nn,n39,d,ts,tz,ts0,j,jb,by,ia,two,ta,p,e,m3,u,c,v,ti,iv,ip,r,x,mo,t,"we""ird, name") VALUES (12,true,-32768,-2147483648,-9223372036854775808,4294967295,1.5,1.7976931348623157e308,12345678901234567890.12345678901234567890,-99999999.99,12300,
 99999999999999999999999999999999999999.9,'0001-01-01','2026-02-28 12:30:15.123456','2026-02-28 12:30:15.5+02','2026-01-01',
 '{"a": 1}','{"k": "v,\"q\""}',decode(repeat('00ff',100),'hex'),'{1,NULL,-3}','{{1,2},{3,4}}','{a,"b c",""}',(1,'x y'),'happy',12.34,
 '00000000-0000-0000-0000-000000000001','ab','xyz','12:00:00.000001','1 year 2 days 03:04:05.6','10.0.0.1/8','[1,5)','<a/>',-12.5,E'tab\t "quote", \\. \n line','');
INSERT INTO here.kinds (id,d) VALUES (13,'9999-12-31');
INSERT INTO here.kinds (id,f8) VALUES (14,5e-324);
INSERT INTO here.kinds (id,t) VALUES (15,'\.');
INSERT INTO here.kinds (id,d) VALUES (16,'infinity');
INSERT INTO here.kinds (id,tz) VALUES (17,'-infinity');
INSERT INTO here.kinds (id,f8) VALUES (18,'NaN');
INSERT INTO here.kinds (id,n2) VALUES (19,'NaN');
"#;
