//! Every way the hostile plugin misbehaves, and what the host makes of it: a fault that names the plugin and what it
//! did, and a host that goes on working.

mod expected;
#[path = "../stage/mod.rs"]
mod stage;

use expected::{Expected, expected};
use sluice_engine::{Commit, Limit, Next, Plugin};
use sluice_model::checkpoint::Mark;
use sluice_model::fault::{Fault, FaultKind};
use sluice_model::ids::Role;
use sluice_model::ports::LogLevel;
use stage::behaviour::{Behaviour, Plays};
use stage::server::{Hostile, hidings};
use stage::{
    SECRET, Stage, batch, in_its_place, long_texts, plugin, schema, stream, without_names,
};
use std::path::Path;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_behaviour_is_contained() {
    let dir = tempfile::tempdir().expect("a directory");
    furnish(dir.path());
    let plugin = plugin().await;
    let server = Hostile::start();
    let mut wrong = Vec::new();
    for behaviour in chosen() {
        let mut stage = Stage::new(*behaviour, dir.path());
        match behaviour {
            Behaviour::Loop
            | Behaviour::Sleep
            | Behaviour::ClockStorm
            | Behaviour::LogStorm
            | Behaviour::ListStorm
            | Behaviour::RequestStorm
            | Behaviour::PollForEver
            | Behaviour::DropLoop
            | Behaviour::ColumnStorm
            | Behaviour::EncodeStorm => stage.time = "300ms",
            Behaviour::LogHuge
            | Behaviour::PageFuel
            | Behaviour::PageHuge
            | Behaviour::ParquetHuge
            | Behaviour::SplitFuel
            | Behaviour::CursorFuel => stage.memory = "512MiB",
            Behaviour::Device => stage.dir = "/dev".into(),
            Behaviour::AnswerNever | Behaviour::AnswerTrickle => stage.time = "1s",
            _ => {}
        }
        if through_the_door(*behaviour) {
            stage.port = Some(server.port);
        }
        let outcome = play(plugin, &stage).await;
        if let Err(what) = judged(*behaviour, &outcome) {
            wrong.push(format!("{behaviour:?}: {what}"));
        }
        heard(&stage);
        works(plugin, dir.path()).await;
    }
    // Whatever it tried, the server saw what is granted and nothing else.
    for head in server.heads() {
        let line = head.lines().next().unwrap_or_default();
        let granted = ["GET /v1/", "POST /v1/"]
            .iter()
            .any(|begin| line.starts_with(begin));
        let hosts: Vec<&str> = head
            .lines()
            .filter(|line| line.starts_with("host:"))
            .collect();
        let host = format!("host: api.example:{}", server.port);
        if !granted || hosts != [host] || head.contains("x-smuggled: ") || line.contains("..") {
            wrong.push(format!("the server was sent {head:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(
        !dir.path().join("made").exists(),
        "nothing was written outside"
    );
    let secret = std::fs::read_to_string(dir.path().join("secret"));
    assert_eq!(secret.expect("nothing was removed outside"), "secret");
}

/// What a sink has the host encode for it could not be given to it anyway.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_encoded_fits_into_its_memory() {
    let dir = tempfile::tempdir().expect("a directory");
    let stage = Stage::new(Behaviour::EncodeStorm, dir.path());
    let sink = plugin().await.sink(stage.context(Role::Sink)).await;
    let mut sink = sink.expect("an instance");
    let batch = long_texts();
    let (pipeline, split) = (
        "tests".parse().expect("a name"),
        "all".parse().expect("a name"),
    );
    let targets = [(stream(), std::sync::Arc::clone(&batch.schema))];
    let commit = Commit {
        mark: Mark {
            epoch: 1,
            sequence: 1,
        },
        cursor: vec![1].into(),
    };
    let opened = sink.open(&pipeline, &split, &targets).await;
    opened.expect("it opens");
    let fault = sink.write(&[batch], &commit).await.expect_err("too much");
    assert_eq!(fault.kind, FaultKind::LimitExceeded);
    let told = "asked for records that take more than 64MiB once they are encoded";
    assert!(fault.message.contains(told), "{fault}");
}

/// A kept instance is called for as long as its pipeline runs: no call is charged for those before it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_call_has_all_of_its_time() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut stage = Stage::new(Behaviour::Honest, dir.path());
    stage.time = "300ms";
    let source = plugin().await.source(stage.context(Role::Source)).await;
    let mut source = source.expect("an instance");
    for _ in 0..3 {
        source.check().await.expect("long before its time is over");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn through_the_door(behaviour: Behaviour) -> bool {
    matches!(
        behaviour,
        Behaviour::UrlTricks
            | Behaviour::PathTricks
            | Behaviour::MethodTricks
            | Behaviour::SchemeTricks
            | Behaviour::HeaderSmuggle
            | Behaviour::HeaderOwned
            | Behaviour::HeaderSecret
            | Behaviour::Redirect
            | Behaviour::Echo
            | Behaviour::EchoKept
            | Behaviour::RequestsOpen
            | Behaviour::AnswerNever
            | Behaviour::AnswerTrickle
            | Behaviour::AnswerEndless
            | Behaviour::AnswerHeaders
            | Behaviour::BodyEndless
    )
}

/// All of them, or those whose words stand in a variable: the mutation check wants one at a time.
fn chosen() -> impl Iterator<Item = &'static Behaviour> {
    let words = std::env::var("SLUICE_BEHAVIOURS");
    Behaviour::ALL.iter().filter(move |behaviour| {
        let named = |words: &String| words.split(',').any(|word| word == behaviour.word());
        words.as_ref().is_ok_and(named) || words.is_err()
    })
}

/// Granted or not: a link that was put there after the run was planned leads nowhere either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_with_the_hosts_own_files_is_not_opened() {
    let dir = tempfile::tempdir().expect("a directory");
    furnish(dir.path());
    let mut stage = Stage::new(Behaviour::PathEscape, dir.path());
    let apart = dir.path().join("apart");
    std::fs::rename(&stage.dir, &apart).expect("moves");
    std::os::unix::fs::symlink(&apart, &stage.dir).expect("a link");
    let place = apart.canonicalize().expect("a path").join("grants");
    stage.own.add("grants", place, true);
    let fault = play(plugin().await, &stage).await.expect_err("refused");
    assert_eq!(fault.kind, FaultKind::Denied, "{fault}");
    assert!(fault.to_string().contains("it holds `grants`"), "{fault}");
}

fn judged(behaviour: Behaviour, outcome: &Result<(), Fault>) -> Result<(), String> {
    match (expected(behaviour), outcome) {
        (Expected::Harmless, Ok(())) => Ok(()),
        (Expected::Fault(kind, texts), Err(fault)) => {
            let shown = fault.to_string();
            let missing = texts
                .iter()
                .find(|text| !shown.replace("\n  hint: ", "\n").contains(**text));
            if fault.kind != kind || missing.is_some() {
                return Err(format!("{shown:?} ({:?}) lacks {missing:?}", fault.kind));
            }
            if fault.message.len() > 4096 || fault.message.chars().any(char::is_control) {
                return Err(format!("not fit to be shown: {shown:?}"));
            }
            Ok(())
        }
        (Expected::Late, Err(fault)) => {
            let told = match fault.kind {
                FaultKind::TimedOut => "`sluice/hostile` did not return from `check` within 300ms",
                FaultKind::Transient { retry_after: None } => {
                    "`sluice/hostile` waited in `check` for longer than 300ms"
                }
                _ => return Err(format!("{fault:?}")),
            };
            if fault.message.contains(told) {
                return Ok(());
            }
            Err(format!("{fault:?}"))
        }
        (_, outcome) => Err(format!("{outcome:?}")),
    }
}

/// Runs one behaviour where it plays, and calls the instance again where its fault should have ended it.
async fn play(plugin: &Plugin, stage: &Stage) -> Result<(), Fault> {
    match stage.behaviour.plays() {
        Plays::Source => source(plugin, stage).await,
        Plays::Transform => transform(plugin, stage).await,
        Plays::Sink => sink(plugin, stage).await,
    }
}

async fn source(plugin: &Plugin, stage: &Stage) -> Result<(), Fault> {
    let mut source = plugin.source(stage.context(Role::Source)).await?;
    let mut all = async || {
        source.check().await?;
        source.streams().await?;
        let splits = source.splits(&[stream()]).await?;
        source.open(&splits[0], None).await?;
        let limit = Limit {
            rows: 10,
            bytes: 1 << 20,
            wait: Duration::ZERO,
        };
        while source.read(limit).await?.next != Next::End {}
        // In place of the first, which is let go.
        source.open(&splits[0], None).await
    };
    let outcome = all().await;
    if let Err(fault) = &outcome {
        thrown_away(fault, source.check().await);
    }
    outcome
}

async fn transform(plugin: &Plugin, stage: &Stage) -> Result<(), Fault> {
    let mut transform = plugin.transform(stage.context(Role::Transform)).await?;
    let batch = match stage.behaviour {
        // A replacement may leave no column out that it may not drop.
        Behaviour::OriginRejected => without_names(&batch(3)),
        _ => batch(3),
    };
    transform.open(&batch.schema).await?;
    let outcome = transform.apply(&batch).await.map(drop);
    if let Err(fault) = &outcome {
        thrown_away(fault, transform.open(&batch.schema).await.map(drop));
    }
    outcome
}

async fn sink(plugin: &Plugin, stage: &Stage) -> Result<(), Fault> {
    let mut sink = plugin.sink(stage.context(Role::Sink)).await?;
    sink.check().await?;
    let (pipeline, split) = (
        "tests".parse().expect("a name"),
        "all".parse().expect("a name"),
    );
    sink.open(&pipeline, &split, &[(stream(), schema())])
        .await?;
    let mut all = async || {
        sink.committed().await?;
        // A leak shows after many units only.
        let units = match stage.behaviour {
            Behaviour::BatchLeak | Behaviour::BatchLate => 1_000,
            _ => 2,
        };
        for sequence in 0..units {
            let commit = Commit {
                mark: Mark { epoch: 1, sequence },
                cursor: vec![1].into(),
            };
            let last = match stage.behaviour {
                Behaviour::ParquetMixed => in_its_place(2),
                _ => batch(2),
            };
            sink.write(&[batch(3), last], &commit).await?;
        }
        Ok(())
    };
    let outcome = all().await;
    if let Err(fault) = &outcome {
        thrown_away(fault, sink.check().await);
    }
    outcome
}

/// A poisoned instance says so, in the same kind, for ever; another one can be called again.
fn thrown_away(fault: &Fault, again: Result<(), Fault>) {
    // One that waited too long is gone as well: it was cut off in the middle.
    if !fault.poisons_instance() && !fault.message.contains("waited in `") {
        return;
    }
    let again = again.expect_err("a poisoned instance");
    assert_eq!(again.kind, fault.kind);
    assert!(again.message.contains("was thrown away"), "{again}");
}

/// What the observer heard of it.
fn heard(stage: &Stage) {
    let refused = stage.recorder.refused.lock().expect("no panic");
    let logged = stage.recorder.logged.lock().expect("no panic");
    let capability = refused.first().map(|refusal| refusal.capability);
    match stage.behaviour {
        Behaviour::DirNotGranted | Behaviour::DirNotWritable => assert_eq!(capability, Some("dir")),
        Behaviour::HttpNotGranted
        | Behaviour::HttpEager
        | Behaviour::HttpLong
        | Behaviour::RequestsUnanswered => {
            assert_eq!(capability, Some("http"));
        }
        Behaviour::RequestStorm => {
            assert_eq!(capability, Some("http"));
            assert!(refused.len() > 100, "{}", refused.len());
        }
        behaviour if through_the_door(behaviour) => {
            for refusal in &*refused {
                assert!(
                    matches!(refusal.capability, "http" | "secret"),
                    "{refusal:?}"
                );
                assert!(!refusal.asked.chars().any(char::is_control), "{refusal:?}");
            }
        }
        Behaviour::LookAround | Behaviour::Sockets => {
            let asked: Vec<&str> = refused.iter().map(|refusal| &*refusal.asked).collect();
            let expected = match stage.behaviour {
                Behaviour::LookAround => vec!["create-tcp-socket", "resolve-addresses localhost"],
                _ => vec![
                    "create-tcp-socket",
                    "create-tcp-socket",
                    "create-udp-socket",
                    "create-udp-socket",
                    "resolve-addresses localhost",
                ],
            };
            // Once as it plays, and once more when it is called again.
            assert_eq!(asked, [expected.clone(), expected].concat());
            assert!(
                refused
                    .iter()
                    .all(|refusal| refusal.capability == "wasi:sockets")
            );
        }
        Behaviour::ReadUndeclared | Behaviour::ColumnStorm => {
            assert_eq!(capability, Some("data.reads"));
        }
        Behaviour::WriteUndeclared
        | Behaviour::DropUndeclared
        | Behaviour::ReplaceUndeclared
        | Behaviour::RenameHidden => {
            assert_eq!(capability, Some("data.writes"));
        }
        _ => assert!(refused.is_empty(), "{refused:?}"),
    }
    match stage.behaviour {
        Behaviour::LogFlood => {
            assert_eq!(logged.len(), 1_001);
            assert_eq!(
                logged[1_000].text,
                "4000 more log lines were not kept: an instance may write 1000"
            );
        }
        Behaviour::LogControl => {
            assert_eq!(
                logged[0].text,
                "cleared \\u{1b}[2J user=\\u{202e}gnp.exe\\u{d}\\u{a}"
            );
            assert_eq!(logged[0].level, LogLevel::Error);
            assert!(logged[1].text.len() <= 4096 && logged[1].text.ends_with('…'));
        }
        Behaviour::LogStorm => {
            assert_eq!(logged.len(), 1_001);
            let last = &logged[1_000].text;
            assert!(
                last.ends_with("more log lines were not kept: an instance may write 1000"),
                "{last}"
            );
        }
        Behaviour::LogFields => {
            assert!(logged[0].text.len() <= 4096 && logged[0].text.ends_with('…'));
        }
        Behaviour::Echo => assert!(!logged.is_empty()),
        _ => assert!(logged.is_empty(), "{logged:?}"),
    }
    for line in &*logged {
        assert!(line.text.len() <= 4096 && !line.text.chars().any(char::is_control));
        let found = hidings(SECRET).into_iter().find(|(_, form)| {
            line.text
                .as_bytes()
                .windows(form.len())
                .any(|window| window == form.as_slice())
        });
        assert!(found.is_none(), "{found:?}");
    }
}

/// Another instance, unharmed.
async fn works(plugin: &Plugin, dir: &Path) {
    let stage = Stage::new(Behaviour::Honest, dir);
    let mut source = plugin
        .source(stage.context(Role::Source))
        .await
        .expect("an instance");
    source.check().await.expect("a healthy instance");
}

/// A granted directory beside a secret, with every kind of way out.
fn furnish(root: &Path) {
    use std::os::unix::fs::symlink;
    std::fs::write(root.join("secret"), "secret").expect("a file");
    for dir in ["in", "out"] {
        let dir = root.join(dir);
        std::fs::create_dir_all(dir.join("sub")).expect("a directory");
        std::fs::write(dir.join("plain"), "plain").expect("a file");
        std::fs::write(dir.join(".hidden"), "hidden").expect("a file");
        std::fs::write(dir.join("sub/deep"), "deep").expect("a file");
        symlink("../secret", dir.join("link-out")).expect("a link");
        symlink("..", dir.join("link-dir")).expect("a link");
        symlink("plain", dir.join("link-in")).expect("a link");
        let sparse = std::fs::File::create(dir.join(".sparse")).expect("a file");
        sparse.set_len(1 << 40).expect("a hole");
        let fifo = std::process::Command::new("mkfifo")
            .arg(dir.join("fifo"))
            .status()
            .expect("mkfifo");
        assert!(fifo.success());
    }
    std::fs::hard_link(root.join("secret"), root.join("out/hard-link")).expect("a link");
}
