//! The rules of this house, held against this repository. How a breach is found is tested in `src/`.

use sluice_walls::{
    Graph, forbidden_words, has_no_opening, hold, named, overlong, readme_commands, rust_files,
    stale_rows,
};
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// Cargo is asked once for all of the tests.
fn graph() -> &'static Graph {
    static GRAPH: LazyLock<Result<Graph, String>> = LazyLock::new(Graph::of_this_workspace);
    GRAPH.as_ref().unwrap_or_else(|error| panic!("{error}"))
}

/// They know no clock, no disk, no network, no engine.
const PURE: [&str; 4] = [
    "sluice-model",
    "sluice-policy",
    "sluice-delivery",
    "sluice-codec",
];

/// What a pure crate must not bring, through whatever. (`getrandom` comes with Arrow's hash seeds and is let in.)
const IMPURE: [&str; 17] = [
    "tokio",
    "tokio-*",
    "async-std",
    "smol",
    "async-executor",
    "async-io",
    "wasmtime*",
    "sled",
    "hyper*",
    "rustls",
    "reqwest",
    "ureq",
    "cap-std",
    "cap-primitives",
    "socket2",
    "mio",
    "axum*",
];

#[test]
fn pure_crates_bring_no_world_with_them() {
    let hint = "act through a port of `sluice-model`, or turn the feature off that brings it";
    hold(
        &PURE
            .iter()
            .flat_map(|name| graph().must_not_reach(name, &IMPURE, hint))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn pure_crates_name_no_world() {
    let words = [
        "std::fs",
        "std::env",
        "std::process",
        "std::thread",
        "Instant::now",
        "SystemTime::now",
        "TcpStream",
        "TcpListener",
        "UdpSocket",
        "UnixStream",
        "UnixListener",
        "ToSocketAddrs",
    ];
    let hint = "pass the value in: the caller owns the clock, the disk and the environment";
    let folders = PURE.map(|name| name.replace("sluice-", "host/"));
    let files = folders
        .iter()
        .flat_map(|folder| rust_files(&format!("{folder}/src")));
    // Which guard a debug build switches off is read from the environment there; see `guards.rs`.
    let files = files.filter(|(file, _)| file != "host/model/src/guards/off.rs");
    hold(
        &files
            .flat_map(|(file, text)| forbidden_words(&file, &text, &words, hint))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn each_door_has_one_owner() {
    let doors: [(&str, &[&str], &str); 7] = [
        (
            "wasmtime*",
            &["sluice-engine"],
            "only `sluice-engine` names wasmtime",
        ),
        (
            "sled",
            &["sluice-state"],
            "only `sluice-state` names sled: use `model::ports::StateStore`",
        ),
        (
            "hyper*",
            // And the client that the benchmark holds guests against.
            &["sluice-egress", "sluice-bench"],
            "only `sluice-egress` opens sockets for plugins: use `model::ports::HttpDoor`",
        ),
        (
            "rustls",
            // And the native program that the benchmark of tables holds the host against, and what the tests have in the
            // host's place where a plugin runs natively.
            &["sluice-egress", "sluice-bench", "sluice-e2e"],
            "only `sluice-egress` speaks TLS",
        ),
        (
            "tokio-rustls",
            &["sluice-egress"],
            "only `sluice-egress` speaks TLS",
        ),
        (
            "reqwest",
            &[],
            "only `sluice-egress` opens sockets, and it does so with hyper",
        ),
        (
            "socket2",
            &["sluice-egress"],
            "only `sluice-egress` opens sockets for plugins",
        ),
    ];
    let broken = doors
        .iter()
        .flat_map(|(dependency, owners, hint)| graph().only_named_by(dependency, owners, hint));
    hold(&broken.collect::<Vec<_>>());
}

#[test]
fn arrows_are_as_the_design_draws_them() {
    let arrows: [(&str, &[&str]); 11] = [
        ("sluice-model", &[]),
        ("sluice-policy", &["sluice-model"]),
        ("sluice-delivery", &["sluice-model"]),
        ("sluice-codec", &["sluice-model"]),
        (
            "sluice-engine",
            &["sluice-codec", "sluice-policy", "sluice-model"],
        ),
        ("sluice-egress", &["sluice-policy", "sluice-model"]),
        ("sluice-state", &["sluice-model"]),
        ("sluice-audit", &["sluice-model"]),
        (
            "sluice-service",
            &[
                "sluice-model",
                "sluice-policy",
                "sluice-delivery",
                "sluice-codec",
                "sluice-engine",
                "sluice-egress",
                "sluice-state",
                "sluice-audit",
            ],
        ),
        ("sluice-cli", &["sluice-service", "sluice-model"]),
        ("sluice-sdk", &["sluice-derive"]),
    ];
    let drawn: BTreeSet<&str> = arrows.iter().map(|(name, _)| *name).collect();
    let undrawn: Vec<_> = graph()
        .own_in("host")
        .into_iter()
        .filter(|name| !drawn.contains(name))
        .collect();
    assert!(
        undrawn.is_empty(),
        "{undrawn:?} stand in `host/`; hint: draw their arrows here"
    );
    hold(
        &arrows
            .iter()
            .flat_map(|(name, allowed)| graph().own_arrows(name, allowed))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn plugins_know_the_sdk_and_nothing_of_the_host() {
    let plugins = graph().own_in("plugins");
    assert!(!plugins.is_empty(), "no plugin was seen");
    let mut broken: Vec<_> = plugins
        .iter()
        .flat_map(|name| graph().own_arrows(name, &["sluice-sdk", "sluice-sql"]))
        .collect();
    for name in plugins.iter().chain(&graph().own_in("sdk")) {
        let host = graph().own_in("host");
        broken.extend(graph().must_not_reach(
            name,
            &host,
            "a plugin knows the contract in `wit/` and the SDK only",
        ));
    }
    hold(&broken);
}

/// It must not make the mistakes of what it checks.
#[test]
fn the_independent_check_shares_no_code_with_the_host() {
    let hint = "`tests/audit-verify` is written from `docs/auditing.md` alone";
    hold(&graph().must_not_reach("sluice-audit-verify", &["sluice-*"], hint));
}

/// It judges what the host kept, and must not read it with the host's eyes.
#[test]
fn the_judge_of_crashes_shares_no_code_with_the_host() {
    let hint = "`tests/crash/checker` judges from words and files alone";
    let host = graph().own_in("host");
    hold(&graph().must_not_reach("sluice-crash-checker", &host, hint));
}

#[test]
fn the_task_runner_stays_small() {
    let hint = "`cargo x` compiles before anything else: start what is heavy as a process";
    hold(&graph().must_not_reach(
        "sluice-x",
        &["sluice-*", "tokio", "wasmtime*", "axum"],
        hint,
    ));
}

fn every_file() -> Vec<(String, String)> {
    ["host", "sdk", "plugins", "tests"]
        .iter()
        .flat_map(|folder| rust_files(folder))
        .collect()
}

#[test]
fn every_file_says_what_it_is() {
    hold(
        &every_file()
            .iter()
            .filter_map(|(file, text)| has_no_opening(file, text))
            .collect::<Vec<_>>(),
    );
}

/// A crate's own `tests/` folder holds tests and nothing else, which may be long.
fn is_test(file: &str) -> bool {
    file.split('/').nth(2) == Some("tests")
}

#[test]
fn no_file_is_too_long() {
    assert!(is_test("tests/upstream/tests/api.rs") && !is_test("tests/upstream/src/lib.rs"));
    let files = every_file().into_iter().filter(|(file, _)| !is_test(file));
    hold(
        &files
            .filter_map(|(file, text)| overlong(&file, &text, 500))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn the_readme_has_its_two_commands() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");
    let readme = std::fs::read_to_string(path).unwrap_or_default();
    if let Err(breach) = readme_commands(&readme) {
        hold(&[breach]);
    }
}

/// What a plugin takes is no guess.
#[test]
fn the_guide_counts_the_lines_of_every_plugin() {
    let guide = include_str!("../../../sdk/rust/README.md");
    let plugins = graph().own_in("plugins");
    let names: Vec<&str> = plugins
        .iter()
        .map(|name| name.trim_start_matches("sluice-"))
        .collect();
    hold(&stale_rows(guide, &names));
}

/// A connector says what it promises, and which test holds that.
#[test]
fn every_connector_names_the_tests_of_its_promises() {
    for plugin in ["mysql", "nats", "postgres", "rest", "s3"] {
        let file = format!(
            "{}/../../plugins/{plugin}/README.md",
            env!("CARGO_MANIFEST_DIR")
        );
        let readme = std::fs::read_to_string(file).unwrap_or_default();
        let (_, section) = readme.split_once("\n## Tests\n").expect(plugin);
        let tests = named::tests(section);
        assert!(tests.len() > 5, "{plugin}: {}", tests.len());
        let missing: Vec<&str> = tests
            .into_iter()
            .filter(|name| !named::is_test(name))
            .collect();
        assert!(missing.is_empty(), "{plugin}: no such test: {missing:#?}");
    }
}
