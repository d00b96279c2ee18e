//! A security team's first hour, as `docs/auditing.md` has it: every command of it, as it is written, in the folder that
//! the demo lays out; and what the page says they print.

use sluice_e2e::TestHost;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const PAGE: &str = include_str!("../../../docs/auditing.md");
/// A place that this machine cannot change; in the test it is another folder.
const ELSEWHERE: &str = "/elsewhere";

fn tree(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(file)
}

/// The demo's first pipeline, granted and run.
fn demo() -> TestHost {
    let host = TestHost::new();
    let pipeline = "pipelines/1-movies.toml";
    for (from, to) in [
        ("tests/x/demo/pipelines/1-movies.toml", pipeline),
        ("tests/data/movies.ndjson", "in/movies.ndjson"),
    ] {
        host.write(to, std::fs::read(tree(from)).expect("a file of the tree"));
    }
    host.grant(pipeline);
    assert!(host.run(pipeline)["written"].as_u64() > Some(1_000));
    host
}

/// Commands, each with the lines that stand below it.
fn commands() -> Vec<(&'static str, Vec<&'static str>)> {
    let (_, section) = PAGE
        .split_once("\n## The first hour\n")
        .expect("the section");
    let section = section.split("\n## ").next().unwrap_or_default();
    let mut commands: Vec<(&str, Vec<&str>)> = Vec::new();
    for block in section.split("```console\n").skip(1) {
        for line in block.split("```").next().unwrap_or_default().lines() {
            match (line.strip_prefix("$ "), commands.last_mut()) {
                (Some(command), _) => commands.push((command, Vec::new())),
                (None, Some((_, below))) => below.push(line),
                (None, None) => panic!("`{line}` is below no command"),
            }
        }
    }
    commands
}

/// Whether a line is the one on the page, whose `…` stands for whatever differs.
fn fits(line: &str, shown: &str) -> bool {
    let mut rest = line;
    let pieces: Vec<&str> = shown.split('…').collect();
    for (at, piece) in pieces.iter().enumerate() {
        match rest.find(piece) {
            Some(found) if at > 0 || found == 0 => rest = &rest[found + piece.len()..],
            _ => return false,
        }
    }
    rest.is_empty() || shown.ends_with('…')
}

#[test]
fn every_command_of_the_page_does_what_it_says() {
    let host = demo();
    let elsewhere = tempfile::tempdir().expect("a folder");
    let binary = PathBuf::from(std::env::var_os("SLUICE_BIN").expect("`cargo x test` sets it"));
    let path = format!(
        "{}:{}",
        binary.parent().expect("a folder").display(),
        std::env::var("PATH").expect("a path")
    );
    let commands = commands();
    assert!(commands.len() >= 15, "{commands:#?}");
    for (command, shown) in commands {
        let command = command.replace(ELSEWHERE, &elsewhere.path().display().to_string());
        let output = Command::new("sh")
            .args(["-c", &command])
            .current_dir(host.path(""))
            .env("PATH", &path)
            .env_remove("SLUICE_LOG")
            .stdin(Stdio::null())
            .output()
            .expect("a shell");
        let said = String::from_utf8(output.stdout).expect("text");
        let wrong = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command}\n{said}{wrong}");
        let lines: Vec<&str> = said.lines().collect();
        let is_as_shown = shown.is_empty()
            || shown.len() == lines.len()
                && shown
                    .iter()
                    .zip(&lines)
                    .all(|(shown, line)| fits(line, shown));
        assert!(
            is_as_shown,
            "{command}\nthe page: {shown:#?}\nthe binary: {lines:#?}"
        );
        if command.contains("--learn") && command.ends_with("--replace") {
            // What was learnt is enough for what was done.
            assert_eq!(host.run("pipelines/1-movies.toml")["ending"], "done");
        }
    }
    // The last of them ended a grant.
    let answer = host.sluice(&["run", "pipelines/1-movies.toml"]);
    assert_eq!(answer.code, Some(2), "{answer:#?}");
}
