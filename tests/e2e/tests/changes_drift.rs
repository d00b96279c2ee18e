//! Tables that change their columns while the log is read: what each contract of a pipeline makes of it, live.

use serde_json::Value;
use sluice_e2e::TestHost;
use sluice_e2e::postgres::Postgres;
use sluice_e2e::service::{self, Service};
use sluice_e2e::sql::{PASSWORD, SECRET};

const PIPELINE: &str = "pipelines/copy.toml";

const THINGS: &str = "CREATE TABLE here.things (id int PRIMARY KEY, name text, count int, note text); \
    INSERT INTO here.things VALUES (1, 'one', 1, 'from before'); \
    CREATE PUBLICATION sound FOR TABLE here.things WITH (publish = 'insert, update, delete')";

/// A pipeline with this contract, that has read the table and follows the log.
fn following<'a>(server: &Postgres, host: &'a TestHost, drift: &str) -> Service<'a> {
    host.secret(SECRET, PASSWORD);
    host.write(
        PIPELINE,
        format!(
            "[pipeline]\nname = \"copy\"\nschedule = \"continuous\"\n\n[source]\n{}\n[[sink]]\n{}\n[contract]\ndrift = \"{drift}\"\n",
            server.stage(
                "here",
                ", changes = { publication = \"sound\", slot = \"s\" }, tables = { things = {} }"
            ),
            server.stage("there", ", create = true")
        ),
    );
    host.grant_trusting(PIPELINE, server);
    let mut service = Service::start(host);
    arrives(&mut service, server, 1, "one|1|from before");
    server.sql("INSERT INTO here.things VALUES (2, 'two', 2, 'from the log')");
    arrives(&mut service, server, 2, "two|2|from the log");
    service
}

/// Waits until a row is there, with these values behind its id.
fn arrives(service: &mut Service<'_>, server: &Postgres, id: u32, values: &str) {
    let client = server.client();
    let sql = format!("SELECT * FROM there.things WHERE id = {id}");
    let expected = format!("{id}|{values}");
    service.until(&expected, |_| client.sql(&sql).as_deref() == Ok(&expected));
}

/// Waits for so many dead letters; each with its code and what was wrong with it.
fn letters(service: &mut Service<'_>, count: usize) -> Vec<(String, String)> {
    let host = service.host;
    service.until("dead letters", |_| {
        host.sluice(&["dlq", "export", PIPELINE])
            .out
            .lines()
            .count()
            == count
    });
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let letters = host.dead_letters(PIPELINE);
    let letters = letters.iter().map(|letter| &letter["rejection"]);
    letters
        .map(|rejection| (text(&rejection["code"]), text(&rejection["message"])))
        .collect()
}

/// A column that comes, one that goes, and one whose type changes, in a stream that may grow.
#[test]
fn a_contract_that_evolves_takes_them_as_they_come() {
    let server = Postgres::start_logical(THINGS);
    let host = service::deployment();
    let mut service = following(&server, &host, "evolve");
    // In the middle of a transaction, and after it.
    server.sql(
        "BEGIN; INSERT INTO here.things VALUES (3, 'three', 3, 'as before'); \
         ALTER TABLE here.things ADD COLUMN colour text; \
         INSERT INTO here.things VALUES (4, 'four', 4, 'wider', 'red'); COMMIT; \
         UPDATE here.things SET colour = 'blue' WHERE id = 1",
    );
    arrives(&mut service, &server, 3, "three|3|as before|");
    arrives(&mut service, &server, 4, "four|4|wider|red");
    arrives(&mut service, &server, 1, "one|1|from before|blue");
    server.sql(
        "ALTER TABLE here.things DROP COLUMN note; INSERT INTO here.things VALUES (5, 'five', 5, 'green')",
    );
    arrives(&mut service, &server, 5, "five|5||green");
    // Of the same kind, and of another: what fits goes on.
    server.sql(
        "ALTER TABLE here.things ALTER COLUMN count TYPE bigint; INSERT INTO here.things VALUES (6, 'six', 6000000000, '')",
    );
    arrives(&mut service, &server, 6, "six|6000000000||");
    server.sql(
        "ALTER TABLE here.things ALTER COLUMN count TYPE text; \
         INSERT INTO here.things VALUES (7, 'seven', '7', ''), (8, 'eight', 'VIII', '')",
    );
    arrives(&mut service, &server, 7, "seven|7||");
    let letters = letters(&mut service, 1);
    assert_eq!(letters[0].0, "wrong-type", "{letters:?}");
    assert!(letters[0].1.contains("`count`"), "{letters:?}");
    assert!(!letters[0].1.contains("VIII"), "{letters:?}");
    service.stops();
}

/// The contract where nothing is said: what it does not know is kept, and can be sent again.
#[test]
fn a_contract_that_says_nothing_keeps_what_it_does_not_know() {
    let server = Postgres::start_logical(THINGS);
    let host = service::deployment();
    let mut service = following(&server, &host, "dead-letter");
    server.sql(
        "ALTER TABLE here.things DROP COLUMN note; INSERT INTO here.things VALUES (3, 'three', 3)",
    );
    arrives(&mut service, &server, 3, "three|3|");
    server.sql(
        "ALTER TABLE here.things ALTER COLUMN count TYPE text; INSERT INTO here.things VALUES (4, 'four', 'IV'), (5, 'five', '5')",
    );
    arrives(&mut service, &server, 5, "five|5|");
    server.sql(
        "ALTER TABLE here.things ADD COLUMN colour text; INSERT INTO here.things VALUES (6, 'six', '6', 'red')",
    );
    let letters = letters(&mut service, 2);
    let of = |column: &str| letters.iter().filter(|one| one.1.contains(column)).count();
    assert_eq!((of("`count`"), of("`colour`")), (1, 1), "{letters:?}");
    service.stops();
}

/// What it does not know is left out, and what does not fit is nothing.
#[test]
fn a_contract_that_discards_leaves_out_what_it_does_not_know() {
    let server = Postgres::start_logical(THINGS);
    let host = service::deployment();
    let mut service = following(&server, &host, "discard-value");
    server.sql(
        "ALTER TABLE here.things ADD COLUMN colour text; ALTER TABLE here.things ALTER COLUMN count TYPE text; \
         INSERT INTO here.things VALUES (3, 'three', 'III', 'kept', 'red')",
    );
    arrives(&mut service, &server, 3, "three||kept");
    service.stops();
    assert_eq!(host.dead_letters(PIPELINE), Vec::<Value>::new());
}

/// Waits until it stands still for what does not fit, and says what that is.
fn paused_for(service: &mut Service<'_>, what: &str) {
    service.until_in("copy", "paused");
    let view = service::view(service.host, "copy");
    assert_eq!(view["kind"], "schema drift", "{view}");
    let reason = view["reason"].as_str().unwrap_or_default();
    assert!(reason.contains(what), "{view}");
}

/// Nothing goes on, nothing is lost: the place is held before the first row of the new shape.
#[test]
fn a_contract_that_is_frozen_stops_and_goes_on_once_it_is_another() {
    let server = Postgres::start_logical(THINGS);
    let host = service::deployment();
    let mut service = following(&server, &host, "freeze");
    server.sql(
        "ALTER TABLE here.things ADD COLUMN colour text; INSERT INTO here.things VALUES (3, 'three', 3, 'new', 'red')",
    );
    paused_for(&mut service, "`colour`");
    host.edit(PIPELINE, "drift = \"freeze\"", "drift = \"evolve\"");
    arrives(&mut service, &server, 3, "three|3|new|red");
    service.stops();
    assert_eq!(host.dead_letters(PIPELINE), Vec::<Value>::new());
}

/// What fits of a column with another type goes on; what does not stops all that comes behind it.
#[test]
fn a_type_that_changes_stops_a_frozen_contract_at_the_first_value_that_does_not_fit() {
    let server = Postgres::start_logical(THINGS);
    let host = service::deployment();
    let mut service = following(&server, &host, "freeze");
    server.sql(
        "ALTER TABLE here.things ALTER COLUMN count TYPE text; INSERT INTO here.things VALUES (3, 'three', '3', 'fits')",
    );
    arrives(&mut service, &server, 3, "three|3|fits");
    server.sql("INSERT INTO here.things VALUES (4, 'four', 'IV', ''); INSERT INTO here.things VALUES (5, 'five', '5', '')");
    paused_for(&mut service, "`count`");
    host.edit(PIPELINE, "drift = \"freeze\"", "drift = \"dead-letter\"");
    arrives(&mut service, &server, 5, "five|5|");
    let letters = letters(&mut service, 1);
    assert_eq!(letters[0].0, "wrong-type", "{letters:?}");
    service.stops();
}
