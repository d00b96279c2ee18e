//! What can be wrong with a pipeline before it runs, and how `sluice check` tells it: file, line, cause and hint, all
//! mistakes of a file at once, as text and as data.

use serde_json::Value;
use sluice_e2e::{TestHost, manifest};
use std::fmt::Write as _;

const ORDERS: &str = r#"[pipeline]
name = "orders"

[source]
plugin = "sluice/files@0.1"
config = { dir = "in", format = "ndjson", stream = "orders" }

[[transform]]
plugin = "sluice/map@0.1"
config = { steps = [ { rename = { from = "city", to = "town" } } ] }

[[sink]]
plugin = "sluice/files@0.1"
config = { dir = "out", format = "ndjson" }
"#;

const HTTP: &str = "plugin = \"sluice/http@0.1\"\n\
                    config = { url = \"http://127.0.0.1:9\", path = \"/v1/orders\" }";
const FILES: &str =
    "plugin = \"sluice/files@0.1\"\nconfig = { dir = \"out\", format = \"ndjson\" }";

/// A deployment whose pipeline could run.
fn orders() -> TestHost {
    let host = TestHost::new();
    host.write(
        "in/orders.ndjson",
        "{\"id\": 1, \"city\": \"Lund\", \"amount\": 2.5}\n",
    );
    host.write("orders.toml", ORDERS);
    host.grant("orders.toml");
    host
}

/// What `check` says to people.
fn told(host: &TestHost) -> String {
    let answer = host.sluice(&["check", "orders.toml"]);
    assert_eq!(answer.code, Some(2), "{answer:#?}");
    assert_eq!(answer.out, "");
    host.shown(&answer.err)
}

/// The same as data: every problem of it stands in the text, with its file, line and cause.
fn told_as_data(host: &TestHost, text: &str) -> usize {
    let answer = host.sluice(&["check", "orders.toml", "--json"]);
    assert_eq!(answer.code, Some(2), "{answer:#?}");
    let document: Value = serde_json::from_str(&answer.err).expect("one document");
    assert_eq!(document["error"], "wrong");
    let problems = document["problems"].as_array().expect("a list");
    for problem in problems {
        let word = |name: &str| problem[name].as_str().map(|word| host.shown(word));
        let line = problem["line"].as_u64().expect("a line");
        let place = format!("{}:{line}:", word("file").expect("a file"));
        let message = word("message").expect("a message");
        assert!(
            text.contains(&place) && text.contains(&message),
            "{problem}"
        );
    }
    problems.len()
}

/// A host's answer under a heading.
fn page(cases: impl IntoIterator<Item = (&'static str, String)>) -> String {
    let mut page = String::new();
    for (title, said) in cases {
        write!(page, "# {title}\n{said}\n").expect("memory");
    }
    page
}

/// One change to the pipeline file each.
fn changes<const N: usize>(cases: [(&'static str, &str, &str); N]) -> String {
    page(cases.map(|(title, from, to)| {
        let host = orders();
        host.edit("orders.toml", from, to);
        (title, told(&host))
    }))
}

#[test]
fn a_file_that_is_written_wrongly() {
    insta::assert_snapshot!(changes([
        ("no TOML", "name = \"orders\"", "name = orders"),
        ("an unknown table", "[source]", "[contrakt]\n\n[source]"),
        (
            "an unknown key",
            "config = { dir = \"in\"",
            "streems = [\"orders\"]\nconfig = { dir = \"in\""
        ),
        (
            "an unknown setting",
            "dir = \"out\", format",
            "dir = \"out\", formt"
        ),
        (
            "a setting of the wrong kind",
            "dir = \"in\", format = \"ndjson\"",
            "dir = \"in\", format = \"xml\""
        ),
        (
            "a setting that is missing",
            "dir = \"in\", format",
            "format"
        ),
        ("no sink", "[[sink]]", "[[transform]]"),
    ]));
}

#[test]
fn a_plugin_that_is_not_to_be_had() {
    insta::assert_snapshot!(changes([
        (
            "a name that nothing has",
            "sluice/map@0.1",
            "sluice/mapp@0.1"
        ),
        (
            "a version that does not fit",
            "sluice/map@0.1",
            "sluice/map@0.9"
        ),
        ("no name", "sluice/map@0.1", "map"),
        ("a path to nothing", "sluice/map@0.1", "plugins/map.wasm"),
        (
            "a transform as a sink",
            FILES,
            "plugin = \"sluice/map@0.1\"\nconfig = { steps = [ { drop = [\"town\"] } ] }"
        ),
        (
            "a sink as a transform",
            "plugin = \"sluice/map@0.1\"\nconfig = { steps = [ { rename = { from = \"city\", to = \"town\" } } ] }",
            FILES
        ),
    ]));
}

#[test]
fn stages_that_do_not_fit_each_other() {
    let second = |steps: &str| {
        format!(
            "[[transform]]\nplugin = \"sluice/map@0.1\"\nconfig = {{ steps = [ {steps} ] }}\n\n[[sink]]"
        )
    };
    insta::assert_snapshot!(changes([
        (
            "a stream that the source has not",
            "config = { dir = \"in\"",
            "streams = [\"order\"]\nconfig = { dir = \"in\""
        ),
        (
            "a transform for a stream that there is not",
            "plugin = \"sluice/map@0.1\"",
            "plugin = \"sluice/map@0.1\"\nstreams = [\"customers\"]"
        ),
        (
            "a schema for a stream that there is not",
            "[[sink]]",
            "[schema.customers]\nfields = { id = \"text\" }\n\n[[sink]]"
        ),
        (
            "arithmetic on a text",
            "[[sink]]",
            &second("{ compute = { into = \"n\", op = \"add\", left = \"town\", right = 1 } }")
        ),
        (
            "a column that an earlier stage renamed",
            "[[sink]]",
            &second("{ upper = [\"city\"] }")
        ),
        (
            "a column that an earlier stage dropped",
            "[[sink]]",
            &second("{ drop = [\"town\"] }, { upper = [\"town\"] }")
        ),
        (
            "a declared schema without the column",
            "[[sink]]",
            "[schema.orders]\nfields = { id = \"int64\" }\n\n[[sink]]"
        ),
        (
            "a key that is no field",
            "[[sink]]",
            "[schema.orders]\nkey = [\"id\", \"no\"]\nfields = { id = \"int64\" }\n\n[[sink]]"
        ),
    ]));
}

#[test]
fn columns_that_no_stage_gives() {
    let host = orders();
    host.edit(
        "orders.toml",
        "[[sink]]",
        "[[transform]]\nplugin = \"sluice/mask@0.1\"\nconfig = { redact = [\"city\"], truncate = [ { columns = [\"twon\"], characters = 1 } ] }\n\n[[sink]]",
    );
    host.grant("orders.toml");
    let masked = told(&host);
    let host = orders();
    host.edit(
        "orders.toml",
        FILES,
        &HTTP.replace("/v1/orders", "/v1/{no_such}"),
    );
    host.grant_local("orders.toml");
    let sent = told(&host);
    insta::assert_snapshot!(page([
        ("a mask of a column that is not there", masked),
        ("a path with a field that is not there", sent),
    ]));
}

#[test]
fn a_guarantee_that_cannot_be_held() {
    let host = orders();
    host.edit("orders.toml", FILES, HTTP);
    host.edit(
        "orders.toml",
        "[[sink]]",
        "[delivery]\nguarantee = \"exactly-once\"\n\n[[sink]]",
    );
    host.grant_local("orders.toml");
    let http = told(&host);
    let host = orders();
    host.edit(
        "orders.toml",
        "[[sink]]",
        &format!("[delivery]\nguarantee = \"exactly-once\"\n\n[[sink]]\n{FILES}\n\n[[sink]]"),
    );
    let two = told(&host);
    insta::assert_snapshot!(page([
        ("a sink that keeps no place", http),
        ("two sinks", two)
    ]));
}

#[test]
fn a_plugin_that_is_not_granted() {
    let none = orders();
    std::fs::remove_file(none.path("grants/orders.sluice-map.toml")).expect("a grant");

    let two = orders();
    two.write(
        "grants/again.toml",
        two.read("grants/orders.sluice-map.toml"),
    );

    let narrow = orders();
    let grant = "grants/orders.sluice-files.toml";
    narrow.edit(
        grant,
        "[[dir]]\npath = \"out\"\nmode = \"write\"\nas = \"sink\"\n",
        "",
    );

    let elsewhere = orders();
    elsewhere.edit("orders.toml", "dir = \"in\"", "dir = \"../in\"");

    let column = orders();
    column.edit(
        "grants/orders.sluice-map.toml",
        "reads = [\"*\"]",
        "reads = [\"id\"]",
    );
    column.edit(
        "orders.toml",
        "{ rename = { from = \"city\", to = \"town\" } }",
        "{ upper = [\"city\"] }",
    );

    let broken = orders();
    broken.edit(grant, "mode = \"read\"", "mod = \"read\"");

    let changed = orders();
    let said = manifest("map").replace("as a table of steps", "and more");
    drop(changed.pack("map", &said, "map.wasm").done());
    changed.edit("orders.toml", "sluice/map@0.1", "map.wasm");

    insta::assert_snapshot!(page([
        ("no grant", told(&none)),
        ("two grants", told(&two)),
        ("an entry is missing", told(&narrow)),
        ("another folder than the one granted", told(&elsewhere)),
        ("a grant that is written wrongly", told(&broken)),
        ("the component has changed", told(&changed)),
    ]));
    // Which columns its steps will read is known to the plugin alone: it is refused when it asks for one.
    let answer = column.sluice(&["run", "orders.toml"]);
    assert_eq!(answer.code, Some(1), "{answer:#?}");
    insta::assert_snapshot!("a_column_that_is_not_granted", column.seen(&answer));
}

#[test]
fn a_secret_that_is_not_to_be_had() {
    let with_secret = || {
        let host = orders();
        let said = manifest("http").replacen("optional = true\n", "", 1);
        let said = said.replace("[\"token\", \"client\", \"login\", \"key\"]", "\"token\"");
        drop(host.pack("http", &said, "http.wasm").done());
        host.edit(
            "orders.toml",
            FILES,
            &format!("{HTTP}\nsecrets = {{ token = \"shop\" }}")
                .replace("sluice/http@0.1", "http.wasm"),
        );
        host.secret("shop", "t0p");
        host.grant_local("orders.toml");
        host
    };
    let unnamed = with_secret();
    unnamed.edit("orders.toml", "secrets = { token = \"shop\" }\n", "");

    let unknown = with_secret();
    unknown.edit(
        "orders.toml",
        "{ token = \"shop\" }",
        "{ token = \"shop\", tokn = \"shop\" }",
    );

    let gone = with_secret();
    std::fs::remove_file(gone.path("secrets/shop")).expect("a secret");

    let open = with_secret();
    std::fs::set_permissions(
        open.path("secrets/shop"),
        std::os::unix::fs::PermissionsExt::from_mode(0o644),
    )
    .expect("a mode");

    let outside = with_secret();
    outside.edit(
        "orders.toml",
        "token = \"shop\"",
        "token = \"../in/orders.ndjson\"",
    );

    insta::assert_snapshot!(page([
        ("not named", told(&unnamed)),
        ("not one of the plugin's", told(&unknown)),
        ("not there", told(&gone)),
        ("readable by others", told(&open)),
        ("a path", told(&outside)),
    ]));
}

#[test]
fn every_mistake_is_told_at_once() {
    let host = orders();
    host.edit("orders.toml", "sluice/map@0.1", "sluice/mapp@0.1");
    host.edit(
        "orders.toml",
        FILES,
        &format!("{FILES}\nsecrets = {{ token = \"shop\" }}"),
    );
    host.edit(
        "orders.toml",
        "dir = \"out\", format",
        "dir = \"out\", formt",
    );
    host.edit(
        "orders.toml",
        "[[sink]]",
        "[schema.orders]\nrequired = [\"idd\"]\nfields = { id = \"int64\" }\n\n[[sink]]",
    );
    let text = told(&host);
    assert_eq!(told_as_data(&host, &text), 5, "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn no_deployment() {
    let host = orders();
    std::fs::remove_file(host.path("sluice.toml")).expect("it was there");
    let gone = told(&host);
    host.write("sluice.toml", "");
    let nowhere = host.sluice(&["check", "nothing.toml"]);
    assert_eq!(nowhere.code, Some(2));
    host.write("sluice.toml", "[plugin]\ndir = \"plugins\"\n");
    let wrong = told(&host);
    insta::assert_snapshot!(page([
        ("no `sluice.toml`", gone),
        ("one that is written wrongly", wrong),
        ("no pipeline file", host.shown(&nowhere.err)),
    ]));
}
