//! `sluice/mysql` at work: tables of a real MariaDB, read, followed and written, by the real binary.

use serde_json::Value;
use sluice_e2e::mysql::Mariadb;
use sluice_e2e::postgres::Postgres;
use sluice_e2e::service;
use sluice_e2e::sql::{PASSWORD, SECRET, USER};
use sluice_e2e::{Answer, TestHost};

const PIPELINE: &str = "pipelines/copy.toml";

/// A table of a few rows.
const THINGS: &str = "CREATE TABLE here.things (id bigint PRIMARY KEY, name varchar(40), price decimal(10,2), at datetime(6));\n\
    INSERT INTO here.things SELECT seq, CONCAT('thing ', seq), seq / 3.0, '2026-11-27 08:00:00.123456' + INTERVAL seq SECOND \
    FROM here.seq_1_to_1000;\n";
fn filled(more: &str) -> Mariadb {
    Mariadb::start(&format!("{THINGS}{more}"))
}

/// A deployment that copies what is here to there, granted this machine's own addresses and trust in the server.
fn copying(server: &Mariadb, source: &str, sink: &str) -> TestHost {
    let source = server.stage("here", source);
    let sink = server.stage("there", sink);
    deployment(server, &format!("[source]\n{source}\n[[sink]]\n{sink}"))
}

fn deployment(server: &Mariadb, stages: &str) -> TestHost {
    let host = service::deployment();
    host.secret(SECRET, PASSWORD);
    host.write(
        PIPELINE,
        format!("[pipeline]\nname = \"copy\"\nschedule = \"continuous\"\n\n{stages}"),
    );
    host.grant_trusting(PIPELINE, server);
    host
}

const THING: &str = ", tables = { things = {} }";
const CREATE: &str = ", create = true";

fn difference(server: &Mariadb) -> String {
    server.difference("here.things", "there.things")
}

fn count(server: &Mariadb, table: &str) -> u64 {
    let said = server.sql(&format!("SELECT COUNT(*) FROM {table}"));
    said.parse().expect("a number")
}

/// What is said of a pipeline that cannot be run: this, in words for a person, and never the password.
fn refused(answer: Answer, told: &[&str]) {
    assert!(matches!(answer.code, Some(1 | 2)), "{told:?}: {answer:?}");
    let said = answer.err + &answer.out;
    for told in told {
        assert!(said.contains(told), "{told}: {said}");
    }
    assert!(!said.contains(PASSWORD), "{said}");
}

#[test]
fn a_table_is_copied_in_ranges_and_again_only_what_is_new() {
    let server = filled("");
    let host = copying(
        &server,
        ", tables = { things = { splits = 3 } }",
        ", create = true",
    );
    drop(host.sluice(&["check", PIPELINE]).done());
    let made = "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = 'there'";
    assert_eq!(server.sql(made), "0", "a check makes nothing");
    assert_eq!(host.run(PIPELINE)["written"], 1_000);
    assert_eq!(difference(&server), "");
    assert_eq!(host.run(PIPELINE)["read"], 0);
    server.sql("INSERT INTO here.things VALUES (1001, NULL, NULL, NULL)");
    assert_eq!(host.run(PIPELINE)["written"], 1);
    assert_eq!(difference(&server), "");
    // The place stands beside the rows, and not in a file of the host's alone.
    let places = server
        .sql("SELECT COUNT(DISTINCT split) FROM there.sluice_commits WHERE pipeline = 'copy'");
    assert_eq!(places, "3");
}

/// Without `tables`: every table that has a primary key.
#[test]
fn tables_are_found_and_made_as_they_are_needed() {
    let server = filled(
        "CREATE TABLE here.tags (thing bigint, tag varchar(20), v json, PRIMARY KEY (thing, tag)); \
         INSERT INTO here.tags SELECT seq, CONCAT('tag ', seq % 7), CONCAT('[', seq, ',null]') FROM here.seq_1_to_1000; \
         CREATE TABLE here.loose (a int); INSERT INTO here.loose VALUES (1); \
         CREATE TABLE here.`odd ``name``` (`select` int PRIMARY KEY, `it's ``odd``` int); INSERT INTO here.`odd ``name``` VALUES (1, 2);",
    );
    let host = copying(&server, "", CREATE);
    assert_eq!(host.run(PIPELINE)["written"], 2_001);
    for table in ["things", "tags"] {
        let there = format!("there.{table}");
        let difference = server.difference(&format!("here.{table}"), &there);
        assert_eq!(difference, "", "{table}");
    }
    assert_eq!(
        server.sql("SELECT `select`, `it's ``odd``` FROM there.`odd ``name```"),
        "1|2"
    );
    let loose = "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = 'there' AND table_name = 'loose'";
    assert_eq!(server.sql(loose), "0", "it has no key");
}

/// What is changed since is read again, over ties; what is younger than its lag waits.
#[test]
fn a_rising_column_is_followed() {
    let server = filled(
        "ALTER TABLE here.things ADD COLUMN changed datetime(6) NOT NULL DEFAULT '2026-01-01 00:00:00', ADD KEY (changed, id);",
    );
    let host = copying(
        &server,
        ", tables = { things = { cursor = \"changed\", lag_seconds = 3 } }",
        CREATE,
    );
    assert_eq!(host.run(PIPELINE)["written"], 1_000);
    assert_eq!(host.run(PIPELINE)["read"], 0);
    server.sql("UPDATE here.things SET name = 'new', changed = UTC_TIMESTAMP(6) - INTERVAL 1 MINUTE WHERE id IN (7, 9, 1000)");
    server.sql("UPDATE here.things SET changed = UTC_TIMESTAMP(6) + INTERVAL 1 DAY WHERE id = 8");
    assert_eq!(host.run(PIPELINE)["written"], 3);
    server
        .sql("UPDATE here.things SET changed = UTC_TIMESTAMP(6) - INTERVAL 30 SECOND WHERE id = 8");
    assert_eq!(host.run(PIPELINE)["written"], 1);
    assert_eq!(difference(&server), "");
}

/// A row that is refused is a dead letter, with the column and the constraint and never a value, and no other row is
/// touched by it.
#[test]
fn rows_that_are_refused_are_dead_letters_and_the_others_arrive() {
    let server = filled(
        "CREATE TABLE there.owners (id bigint PRIMARY KEY); INSERT INTO there.owners SELECT seq FROM here.seq_1_to_899; \
         CREATE TABLE there.things (id bigint PRIMARY KEY, name varchar(12) NOT NULL UNIQUE, price decimal(10,2) CHECK (price <> 100), \
           at datetime(6), small tinyint, owner bigint, CONSTRAINT owned FOREIGN KEY (owner) REFERENCES there.owners (id)); \
         INSERT INTO there.things VALUES (-1, 'thing 7', 1, NULL, 1, 1); \
         ALTER TABLE here.things ADD small bigint, ADD owner bigint; \
         UPDATE here.things SET name = NULL WHERE id = 17; UPDATE here.things SET name = 'secret much too long' WHERE id = 27; \
         UPDATE here.things SET small = 4711 WHERE id = 37; UPDATE here.things SET owner = 4711 WHERE id = 47; \
         UPDATE here.things SET owner = id WHERE id BETWEEN 50 AND 60;",
    );
    let host = copying(&server, THING, "");
    let report = host.run(PIPELINE);
    let mut letters: Vec<(u64, String, String)> = host
        .dead_letters(PIPELINE)
        .iter()
        .map(|letter| {
            let text = |name: &str| {
                let text = letter["rejection"][name].as_str();
                text.unwrap_or_else(|| panic!("{letter}")).to_owned()
            };
            (id_of(letter), text("code"), text("message"))
        })
        .collect();
    letters.sort();
    let expected = [
        (7, "unique", "unique index"),
        (17, "not-null", "`name`"),
        (27, "too-long", "`name`"),
        (37, "out-of-range", "`small`"),
        (47, "foreign-key", "owned"),
        (300, "check", "price"),
    ];
    let codes: Vec<(u64, &str)> = letters.iter().map(|(id, code, _)| (*id, &**code)).collect();
    assert_eq!(
        codes,
        expected.map(|(id, code, _)| (id, code)),
        "{letters:#?}"
    );
    for ((id, _, message), (_, _, named)) in letters.iter().zip(expected) {
        assert!(message.contains(named), "{id}: {message}");
        for value in ["secret", "4711", "thing ", "100.00"] {
            assert!(!message.contains(value), "{id}: {message}");
        }
    }
    assert_eq!(report["dead_lettered"], 6, "{report}");
    assert_eq!(count(&server, "there.things"), 1_000 - 6 + 1);
    assert_eq!(
        server.sql("SELECT id, price FROM there.things WHERE name = 'thing 7'"),
        "-1|1.00",
        "another row's own"
    );
}

/// The id of the record of a dead letter, which may be a line of another format that begins with it.
fn id_of(letter: &Value) -> u64 {
    let record = letter["rejection"]["record"].to_string();
    let digits = record
        .chars()
        .skip_while(|letter| !letter.is_ascii_digit())
        .take_while(char::is_ascii_digit);
    digits.collect::<String>().parse().expect("an id")
}

#[test]
fn what_cannot_work_is_told_before_a_record_moves() {
    let server = filled("CREATE TABLE here.loose (a int, b int NOT NULL);");
    for (source, sink, told) in [
        (
            ", tables = { thing = {} }",
            CREATE,
            &["`thing`", "did you mean `things`?"][..],
        ),
        (
            ", tables = { things = { cursor = \"prise\" } }",
            CREATE,
            &["`prise`", "did you mean `price`?"],
        ),
        (
            ", tables = { things = { key = [\"ids\"] } }",
            CREATE,
            &["`ids`", "did you mean `id`?"],
        ),
        (", tables = { loose = {} }", CREATE, &["no primary key"]),
        (
            ", tables = { loose = { key = [\"a\"] } }",
            CREATE,
            &["`a` may be null"],
        ),
        (THING, "", &["things", "create"]),
    ] {
        let host = copying(&server, source, sink);
        refused(host.sluice(&["check", PIPELINE]), told);
    }
    let host = copying(&server, THING, CREATE);
    host.edit(PIPELINE, "database = \"here\"", "database = \"hear\"");
    refused(host.sluice(&["check", PIPELINE]), &["hear"]);
    let host = copying(&server, THING, CREATE);
    host.secret(SECRET, "something else");
    refused(host.sluice(&["check", PIPELINE]), &["unauthorized"]);
    let host = copying(&server, THING, CREATE);
    host.write("ca.pem", sluice_e2e::tls::Tls::new().authority);
    refused(host.sluice(&["check", PIPELINE]), &["certificate"]);
    assert_eq!(
        server.sql("SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = 'there'"),
        "0"
    );
}

/// A table whose rows cannot be taken back, or be written over by their key, takes no unit.
#[test]
fn a_table_that_cannot_hold_the_promise_is_refused() {
    for (table, told) in [
        (
            "CREATE TABLE there.things LIKE here.things; ALTER TABLE there.things ENGINE = MyISAM;",
            &["has no transactions", "InnoDB"][..],
        ),
        (
            "CREATE TABLE there.things LIKE here.things; ALTER TABLE there.things ENGINE = Aria;",
            &["has no transactions", "InnoDB"],
        ),
        (
            "CREATE TABLE there.things (id bigint, name text, price decimal(10,2), at datetime(6));",
            &["no unique index", "`id`"],
        ),
        (
            "CREATE TABLE there.things (id bigint PRIMARY KEY, nam text, price decimal(10,2), at datetime(6));",
            &["no column `name`"],
        ),
        (
            "CREATE TABLE there.things (id bigint PRIMARY KEY, name text, price decimal(10,1), at datetime(6));",
            &["`price`"],
        ),
        (
            "CREATE TABLE there.things (id bigint PRIMARY KEY, name text, price decimal(10,2), at datetime);",
            &["`at`"],
        ),
    ] {
        let server = filled(table);
        let host = copying(&server, THING, "");
        refused(host.sluice(&["run", PIPELINE]), told);
        assert_eq!(count(&server, "there.things"), 0, "{table}");
    }
}

/// What the server makes of other columns is read, and is not written over what the destination makes of them.
#[test]
fn a_column_that_the_server_computes_is_read_and_never_written() {
    let computed = "CREATE TABLE here.sums (id int PRIMARY KEY, a int, b int AS (a + 1) STORED, c int AS (a + 2) VIRTUAL); \
         INSERT INTO here.sums (id, a) SELECT seq, seq * 10 FROM here.seq_1_to_100;";
    let server = filled(computed);
    let sums = ", tables = { sums = {} }";
    let host = copying(&server, sums, CREATE);
    assert_eq!(host.run(PIPELINE)["written"], 100);
    assert_eq!(server.difference("here.sums", "there.sums"), "");
    let server = filled(&format!(
        "{computed}CREATE TABLE there.sums LIKE here.sums;"
    ));
    let host = copying(&server, sums, CREATE);
    refused(
        host.sluice(&["run", PIPELINE]),
        &["`b` is generated", "leave the field out"],
    );
}

/// A user who may do less than is needed is told what is missing.
#[test]
fn a_right_that_is_missing_is_told() {
    let server = filled(
        "CREATE USER poor@'%' IDENTIFIED VIA mysql_native_password USING PASSWORD('correct-horse-battery-staple-7'); \
         GRANT SELECT (id, name) ON here.things TO poor@'%'; GRANT SELECT ON there.* TO poor@'%';",
    );
    let host = copying(&server, THING, CREATE);
    let poor = host.read(PIPELINE).replace(USER, "poor");
    host.write(PIPELINE, poor);
    let seen = host.sluice(&["check", PIPELINE]).done().out;
    assert!(!seen.contains("price"), "only what it may read: {seen}");
    server.sql("GRANT SELECT ON here.* TO poor@'%'");
    drop(host.sluice(&["check", PIPELINE]).done());
    refused(host.sluice(&["run", PIPELINE]), &["sluice_commits"]);
    server.sql("GRANT CREATE ON there.* TO poor@'%'");
    refused(host.sluice(&["run", PIPELINE]), &["grant it to the user"]);
    server.sql("GRANT INSERT, UPDATE, DELETE ON there.* TO poor@'%'");
    assert_eq!(host.run(PIPELINE)["written"], 1_000);
}

/// Nothing is said to a server that takes it in the clear.
#[test]
fn a_server_without_tls_is_refused() {
    let without = ["--skip-ssl", "--require-secure-transport=OFF"];
    let server = Mariadb::start_with("", &without);
    let host = copying(&server, THING, CREATE);
    refused(host.sluice(&["check", PIPELINE]), &["TLS"]);
}

/// The manifest asks for no more than is needed: without any one of its capabilities the refusal names it.
#[test]
fn each_capability_is_needed() {
    let server = filled("CREATE TABLE there.things LIKE here.things;");
    let host = copying(&server, THING, "");
    drop(host.sluice(&["check", PIPELINE]).done());
    let manifest = sluice_e2e::manifest("mysql");
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
fn lesser(server: &Mariadb, manifest: &str) -> TestHost {
    let host = service::deployment();
    drop(host.pack("mysql", manifest, "lesser.wasm").done());
    host.secret(SECRET, PASSWORD);
    let password = format!("secrets = {{ password = \"{SECRET}\" }}\n");
    let stage = |database: &str, more: &str| {
        let stage = server.stage(database, more);
        let stage = stage.replace("sluice/mysql@0.1", "lesser.wasm");
        if manifest.contains("[[secret]]") {
            stage
        } else {
            stage.replace(&password, "")
        }
    };
    let (source, sink) = (stage("here", THING), stage("there", ""));
    host.write(
        PIPELINE,
        format!("[pipeline]\nname = \"copy\"\n\n[source]\n{source}\n[[sink]]\n{sink}"),
    );
    host.grant_trusting(PIPELINE, server);
    host
}

/// The README's pipeline, as it stands there but for where the servers are and who logs in.
#[test]
fn the_example_of_the_readme_runs() {
    let server = Mariadb::start(
        "CREATE DATABASE shop; CREATE DATABASE warehouse; \
         CREATE TABLE shop.orders (id bigint PRIMARY KEY, total decimal(10,2), updated_at timestamp(6) NOT NULL, KEY (updated_at, id)); \
         INSERT INTO shop.orders VALUES (1, 12.50, '2026-01-01'), (2, NULL, '2026-01-02');",
    );
    let readme = include_str!("../../../plugins/mysql/README.md");
    let example = readme.split("```toml\n").last();
    let example = example.and_then(|rest| rest.split("```").next());
    let mut pipeline = example.expect("it has one").to_owned();
    let place = format!("\"localhost\"\nport = {}", server.port);
    for (from, to) in [
        ("\"shop.db.example\"", &*place),
        ("\"warehouse.db.example\"", &place),
        ("user = \"reader\"", &format!("user = \"{USER}\"")),
        ("user = \"writer\"", &format!("user = \"{USER}\"")),
    ] {
        assert_eq!(pipeline.matches(from).count(), 1, "{from}");
        pipeline = pipeline.replace(from, to);
    }
    let host = service::deployment();
    host.secret("shop-reader", PASSWORD);
    host.secret("warehouse-writer", PASSWORD);
    host.write(PIPELINE, pipeline);
    host.grant_trusting(PIPELINE, &server);
    drop(host.sluice(&["check", PIPELINE]).done());
    assert_eq!(host.run(PIPELINE)["written"], 2);
    server.sql("UPDATE shop.orders SET total = 3, updated_at = '2026-01-03' WHERE id = 1");
    assert_eq!(host.run(PIPELINE)["written"], 1);
    assert_eq!(server.difference("shop.orders", "warehouse.orders"), "");
}

#[test]
fn a_table_of_postgres_arrives_in_mariadb_and_comes_back() {
    let postgres = Postgres::start(
        "CREATE TABLE here.things (id bigint PRIMARY KEY, name text, price numeric(10,2), at timestamptz, yes boolean, raw bytea, doc jsonb, f double precision, d date); \
         INSERT INTO here.things SELECT n, E'thing \\\\ \\' \" \\n\\t ' || n, n / 3.0, timestamptz '2026-11-27 08:00:00.123456+00' + n * interval '1 s', n % 2 = 0, \
           decode(md5(n::text), 'hex'), jsonb_build_object('n', n, 't', E'\\U0001F600 \"'), n / 7.0, date '2026-01-01' + n::int FROM generate_series(1, 1000) AS n; \
         INSERT INTO here.things (id, name) VALUES (0, ''), (-1, NULL);",
    );
    let server = Mariadb::start("");
    let copy = |source: &str, sink: &str| {
        let host = deployment(&server, &format!("[source]\n{source}\n[[sink]]\n{sink}"));
        trust_also(&host, &postgres);
        assert_eq!(host.run(PIPELINE)["written"], 1_002);
    };
    copy(
        &postgres.stage("here", THING),
        &server.stage("there", CREATE),
    );
    assert_eq!(
        server.sql("SELECT GROUP_CONCAT(column_name, ' ', column_type ORDER BY ordinal_position SEPARATOR ', ') \
                    FROM information_schema.columns WHERE table_schema = 'there' AND table_name = 'things'"),
        "id bigint(20), name longtext, price decimal(10,2), at datetime(6), yes tinyint(1), raw longblob, doc longtext, f double, d date"
    );
    copy(
        &server.stage("there", THING),
        &postgres.stage("there", CREATE),
    );
    assert_eq!(
        postgres.sql(
            "(SELECT * FROM here.things EXCEPT SELECT * FROM there.things) UNION ALL \
             (SELECT * FROM there.things EXCEPT SELECT * FROM here.things) LIMIT 5"
        ),
        ""
    );
}

/// Trust in the second server's authority as well.
fn trust_also(host: &TestHost, postgres: &Postgres) {
    host.write("ca-postgres.pem", &postgres.authority);
    let port = format!("port = {}\n", postgres.port);
    let grant = "grants/copy.sluice-postgres.toml";
    host.edit(grant, &port, &format!("{port}ca = \"ca-postgres.pem\"\n"));
}
