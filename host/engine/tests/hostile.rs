//! Every way the hostile plugin misbehaves, and what the host makes of it: a fault that names the plugin and what it
//! did, and a host that goes on working.
#![allow(
    clippy::match_same_arms,
    reason = "one arm for each behaviour, in their order"
)]

mod stage;

use sluice_engine::{Commit, Limit, Plugin};
use sluice_model::checkpoint::Mark;
use sluice_model::fault::{Fault, FaultKind};
use sluice_model::ids::Role;
use sluice_model::ports::LogLevel;
use stage::behaviour::Behaviour;
use stage::{Stage, batch, plugin, schema, stream, without_names};
use std::path::Path;
use std::time::Duration;

/// What comes of a behaviour.
enum Expected {
    /// Nothing worse than what the recorder heard.
    Harmless,
    /// A fault of this kind, whose text holds each of these.
    Fault(FaultKind, &'static [&'static str]),
}

/// Rule: one arm for each behaviour. A new one does not compile before it has its own.
fn expected(behaviour: Behaviour) -> Expected {
    use Behaviour as B;
    use FaultKind::{Broken, Denied, LimitExceeded, Malformed, TimedOut, Trapped};
    let fault = Expected::Fault;
    match behaviour {
        B::Honest => Expected::Harmless,
        B::Loop | B::Sleep => fault(
            TimedOut,
            &[
                "`sluice/hostile` did not return from `check` within 300ms",
                "[limits]\ncall_time = \"300ms\"",
            ],
        ),
        B::Allocate => fault(
            LimitExceeded,
            &[
                "asked for ",
                "its limit is 64MiB",
                "[limits]\nmemory = \"64MiB\"",
            ],
        ),
        B::Recurse => fault(Trapped, &["deep recursion", "in `check`"]),
        B::Panic => fault(
            Trapped,
            &["panicked in `check`", "the number is 42\\u{1b}[2J"],
        ),
        B::PanicAtLength => fault(Trapped, &["panicked in `check`", "xxxx"]),
        B::Exit => fault(Trapped, &["ended its process", "in `check`"]),
        B::StderrFlood | B::LogFlood | B::LogControl => Expected::Harmless,
        B::Random => fault(
            LimitExceeded,
            &["requested len 1073741824 exceeds limit 65536 (in `check`)"],
        ),
        B::LogHuge => fault(
            LimitExceeded,
            &["handed over more than 64MiB in one call (in `check`)"],
        ),
        B::HandleLeak => fault(LimitExceeded, &["holds 256 resource handles"]),
        B::LookAround => fault(Broken, &["0 0 false false false false"]),
        B::DirNotGranted => fault(Denied, &["`/etc`", "[[dir]]"]),
        B::DirNotWritable => fault(Denied, &["mode = \"write\""]),
        B::PathEscape => fault(
            Broken,
            &[
                "refused refused refused refused refused refused refused refused refused | link-in plain sub/deep",
            ],
        ),
        B::WriteEscape => fault(
            Broken,
            &[
                "refused refused refused refused refused refused refused refused refused refused refused",
            ],
        ),
        B::Fifo => fault(Broken, &["`fifo` is not a regular file"]),
        B::HttpNotGranted | B::HttpEager => fault(
            Denied,
            &["`POST evil.example/collect` refused", "has no network"],
        ),
        B::HeaderFlood | B::HeaderHuge => fault(
            LimitExceeded,
            &["set more or larger headers than a request may have"],
        ),
        B::RequestsOpen => fault(Denied, &["has no network"]),
        B::FaultText => fault(Broken, &["\\u{7}no no", "…"]),
        B::StreamTwice => fault(Malformed, &["stream `things` stands twice"]),
        B::StreamName => fault(Malformed, &["a\\u{1b}[2J"]),
        B::StreamsMany => fault(LimitExceeded, &["gave 10001 streams in `streams`"]),
        B::StreamNotUtf8 => fault(Malformed, &["in `streams`", "utf-8"]),
        B::SplitTwice => fault(Malformed, &["split `all` stands twice"]),
        B::SplitsMany => fault(LimitExceeded, &["gave 100001 splits in `splits`"]),
        B::SplitStranger => fault(Malformed, &["stream `other` was not asked for"]),
        B::OffsetsDecrease => fault(
            Malformed,
            &["column `thing`: its offsets decrease at row 1"],
        ),
        B::OffsetsOutside => fault(
            Malformed,
            &["column `thing`: its offsets end at 9, its bytes at 3"],
        ),
        B::OffsetsShort => fault(
            Malformed,
            &["column `thing`: its offsets end at 2, its bytes at 3"],
        ),
        B::OffsetsLate => fault(
            Malformed,
            &["column `thing`: its offsets begin at 1, not at 0"],
        ),
        B::OffsetsNegative => fault(
            Malformed,
            &["column `thing`: its offsets begin at -1, not at 0"],
        ),
        B::OffsetsFew => fault(
            Malformed,
            &["column `thing`: 3 offsets for 3 rows; 4 are needed"],
        ),
        B::ValidityShort => fault(
            Malformed,
            &["column `thing`: validity: 0 bytes of bits for 3 rows"],
        ),
        B::RowsWrong => fault(Malformed, &["column `thing`: 2 values for 3 rows"]),
        B::Utf8Broken => fault(Malformed, &["column `thing`: row 1 is not UTF-8"]),
        B::Utf8Cut => fault(Malformed, &["column `thing`: row 1 is not UTF-8"]),
        B::JsonBroken => fault(Malformed, &["column `thing`: row 0 is not JSON"]),
        B::JsonDeep => fault(
            Malformed,
            &["column `thing`: row 0 is JSON nested more than 64 deep"],
        ),
        B::DecimalLong => fault(Malformed, &["column `thing`: row 0 has more than 5 digits"]),
        B::DecimalType => fault(Malformed, &["column `thing`: there is no decimal(39,2)"]),
        B::NullInRequired => fault(Malformed, &["column `thing`: row 1 has no value"]),
        B::ColumnTwice => fault(Malformed, &["field `thing` stands twice"]),
        B::ColumnNameless => fault(Malformed, &["a name has 1 to 1024 bytes"]),
        B::KindWrong => fault(
            Malformed,
            &["column `thing`: its values are not of its type, `text`"],
        ),
        B::ChangesShort => fault(Malformed, &["1 changes for 3 rows"]),
        B::PageHuge => fault(
            LimitExceeded,
            &["bytes in `read`; at most 16777216 are allowed"],
        ),
        B::PageRows => fault(
            LimitExceeded,
            &["rows in `read`; at most 1048576 are allowed"],
        ),
        B::PageParts => fault(LimitExceeded, &["gave 5000 parts in `read`"]),
        B::PageFuel => fault(
            LimitExceeded,
            &["handed over more than 64MiB in one call (in `read`)"],
        ),
        B::CursorHuge => fault(LimitExceeded, &["gave 65537 bytes of cursor in `read`"]),
        B::StreamStranger => fault(Malformed, &["stream `other` was not asked for"]),
        B::Delimiter => fault(Malformed, &["delimiter `\\u{2192}` is not ASCII"]),
        B::KeepTwice => fault(Malformed, &["`keep` stands twice"]),
        B::KeepShort => fault(Malformed, &["`keep`: 0 bytes of bits for 3 rows"]),
        B::RejectOutside => fault(Malformed, &["it rejects row 3 of part 0"]),
        B::RejectPart => fault(Malformed, &["it rejects row 0 of part 1"]),
        B::OriginOutside => fault(Malformed, &["a row comes from row 3 of a batch of 3 rows"]),
        B::OriginsShort => fault(Malformed, &["1 origins for 3 rows"]),
        B::OriginRejected => fault(
            Malformed,
            &["row 0 is rejected, and yet the origin of a new row"],
        ),
        B::ReplaceBesidePut => fault(Malformed, &["`replace` stands beside another edit"]),
        B::OutputDiffers => fault(
            Malformed,
            &["`output` promised a column `made`, which is not there"],
        ),
        B::OutputKind => fault(
            Malformed,
            &["column `made` is int64; `output` promised text"],
        ),
        B::DropMissing => fault(Malformed, &["drops column `made`, which is not there"]),
        B::RenameOnto => fault(
            Malformed,
            &["renames a column to `id`, which is there already"],
        ),
        B::PutShort => fault(Malformed, &["column `id`: 1 values for 3 rows"]),
        B::ReadUndeclared => Expected::Harmless,
        B::WriteUndeclared | B::DropUndeclared | B::ReplaceUndeclared => {
            fault(Denied, &["`name` refused", "data.writes", "writes = "])
        }
        B::BatchLeak => fault(LimitExceeded, &["holds 256 resource handles (in `write`)"]),
        B::BatchLate => fault(Malformed, &["used a batch after the call it was given in"]),
        B::SinkRejectPart => fault(Malformed, &["rejects a row of part 2; there are 2 parts"]),
        B::SinkRejectRow => fault(Malformed, &["rejects row 3 of part 0, which has 3 rows"]),
        B::CommitStranger => fault(Malformed, &["the commit is of `all` in `other`"]),
        B::CommitCursor => fault(Malformed, &["the cursor is longer than any the host gave"]),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_behaviour_is_contained() {
    let dir = tempfile::tempdir().expect("a directory");
    furnish(dir.path());
    let plugin = plugin().await;
    let mut wrong = Vec::new();
    for behaviour in chosen() {
        let mut stage = Stage::new(*behaviour, dir.path());
        match behaviour {
            Behaviour::Loop | Behaviour::Sleep => stage.time = "300ms",
            Behaviour::LogHuge | Behaviour::PageFuel | Behaviour::PageHuge => {
                stage.memory = "512MiB";
            }
            _ => {}
        }
        let outcome = play(plugin, &stage).await;
        if let Err(what) = judged(*behaviour, &outcome) {
            wrong.push(format!("{behaviour:?}: {what}"));
        }
        heard(&stage);
        works(plugin, dir.path()).await;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(
        !dir.path().join("made").exists(),
        "nothing was written outside"
    );
    assert!(
        dir.path().join("secret").exists(),
        "nothing was removed outside"
    );
}

/// All of them, or those whose words stand in a variable: the mutation check wants one at a time.
fn chosen() -> impl Iterator<Item = &'static Behaviour> {
    let words = std::env::var("SLUICE_BEHAVIOURS");
    Behaviour::ALL.iter().filter(move |behaviour| {
        let named = |words: &String| words.split(',').any(|word| word == behaviour.word());
        words.as_ref().is_ok_and(named) || words.is_err()
    })
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
        (_, outcome) => Err(format!("{outcome:?}")),
    }
}

/// Runs one behaviour where it plays, and calls the instance again where its fault should have ended it.
async fn play(plugin: &Plugin, stage: &Stage) -> Result<(), Fault> {
    match stage.behaviour {
        Behaviour::KeepTwice
        | Behaviour::KeepShort
        | Behaviour::RejectOutside
        | Behaviour::RejectPart
        | Behaviour::OriginOutside
        | Behaviour::OriginsShort
        | Behaviour::OriginRejected
        | Behaviour::ReplaceBesidePut
        | Behaviour::OutputDiffers
        | Behaviour::OutputKind
        | Behaviour::DropMissing
        | Behaviour::RenameOnto
        | Behaviour::PutShort
        | Behaviour::ReadUndeclared
        | Behaviour::WriteUndeclared
        | Behaviour::DropUndeclared
        | Behaviour::ReplaceUndeclared => transform(plugin, stage).await,
        Behaviour::BatchLeak
        | Behaviour::BatchLate
        | Behaviour::SinkRejectPart
        | Behaviour::SinkRejectRow
        | Behaviour::CommitStranger
        | Behaviour::CommitCursor => sink(plugin, stage).await,
        _ => source(plugin, stage).await,
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
        source.read(limit).await.map(drop)
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
        for sequence in 0..1_000 {
            let commit = Commit {
                mark: Mark { epoch: 1, sequence },
                cursor: vec![1].into(),
            };
            sink.write(&[batch(3), batch(2)], &commit).await?;
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
    if !fault.poisons_instance() {
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
        Behaviour::HttpNotGranted | Behaviour::HttpEager | Behaviour::RequestsOpen => {
            assert_eq!(capability, Some("http"));
        }
        Behaviour::ReadUndeclared => assert_eq!(capability, Some("data.reads")),
        Behaviour::WriteUndeclared | Behaviour::DropUndeclared | Behaviour::ReplaceUndeclared => {
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
        _ => assert!(logged.is_empty(), "{logged:?}"),
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
        let fifo = std::process::Command::new("mkfifo")
            .arg(dir.join("fifo"))
            .status()
            .expect("mkfifo");
        assert!(fifo.success());
    }
}
