//! Damaged files: a bit, a page, the end, all of it, of any file that a deployment keeps. Every command that is asked
//! then says what was there before, or says what is wrong; none leaves anything out in silence.

use sluice_crash::chance::Chance;
use sluice_crash::damage;
use sluice_crash::deployment::{Deployment, PIPELINE};
use sluice_crash::scratch::{Scratch, copy, files};
use sluice_crash::shards::{Trial, over, scaled};
use sluice_crash_checker::Tally;
use sluice_crash_checker::delivery::{Sink, check_complete};
use sluice_crash_checker::words::{Ended, shown};
use std::path::{Path, PathBuf};

/// Damaged files of a run of CI.
const FILES: u64 = 300;
const RECORDS: u64 = 200;
/// The engine's files: where silence would come from.
const LOG: &str = ".sluice/state/sealed/db";

/// What is asked after the damage, in the order in which somebody would: what the first says may go on in more, what the
/// next two say is the same each time.
const ASKED: [&[&str]; 5] = [
    &["audit", "export"],
    &["checkpoint", "list", PIPELINE, "--json"],
    &["dlq", "export", PIPELINE],
    &["audit", "verify"],
    &["run", PIPELINE],
];

struct Case {
    file: PathBuf,
    damage: damage::Damage,
    seed: u64,
}

/// Each file in turn, and every second time the store's own.
fn cases(base: &Path, wanted: u64, seed: u64) -> Vec<Case> {
    let kept = |file: &PathBuf| {
        let name = file.to_string_lossy();
        name.starts_with(".sluice/") && !name.ends_with("lock") && !name.ends_with(".gitignore")
    };
    let all: Vec<PathBuf> = files(base).into_iter().filter(kept).collect();
    assert!(
        all.len() > 8 && all.iter().any(|file| file == Path::new(LOG)),
        "{all:?}"
    );
    let case = |number: u64| {
        let at = (number / 2) as usize;
        let is_any = number.is_multiple_of(2);
        Case {
            file: if is_any {
                all[at % all.len()].clone()
            } else {
                LOG.into()
            },
            damage: damage::ALL[if is_any { at / all.len() } else { at % 3 } % damage::ALL.len()],
            seed: seed + number,
        }
    };
    (0..wanted).map(case).collect()
}

/// What became of one command.
fn told(ended: &Ended, arguments: &[&str], wrong: &mut Vec<String>) -> bool {
    wrong.extend(
        ended
            .check()
            .into_iter()
            .map(|told| format!("`sluice {}`: {told}", arguments.join(" "))),
    );
    ended.is_done()
}

fn try_case(
    deployment: &Deployment,
    base: &Path,
    said: &[String],
    case: &Case,
    scratch: &Scratch,
    tally: &mut Tally,
) {
    deployment.restore(base);
    let file = deployment.folder.join(&case.file);
    let Some(how) = case.damage.spoil(&file, &mut Chance::new(case.seed)) else {
        return;
    };
    tally.count("damaged files");
    tally.count(format!("{:?}", case.damage));
    let (mut wrong, mut refused) = (Vec::new(), Vec::new());
    let mut ran = false;
    for (at, (arguments, before)) in ASKED.iter().zip(said).enumerate() {
        let ended = deployment.sluice(arguments);
        ran = told(&ended, arguments, &mut wrong);
        let same = match at {
            0 => ended.out.starts_with(before.as_str()),
            1 | 2 => ended.out == *before,
            _ => true,
        };
        if !ran {
            refused.push(
                shown(&ended.err)
                    .lines()
                    .last()
                    .unwrap_or_default()
                    .to_owned(),
            );
        } else if !same {
            wrong.push(format!(
                "`sluice {}` says something else, and nothing of it",
                arguments.join(" ")
            ));
        }
    }
    match (ran, deployment.facts()) {
        // It ran to its end: then all is there, whatever was said before.
        (true, Ok(facts)) => {
            tally.count("ran to its end");
            wrong.extend(check_complete(&facts));
        }
        (_, Err(ended)) if refused.is_empty() => {
            wrong.push(format!("it says nothing afterwards: {}", shown(&ended.err)));
        }
        _ => {}
    }
    tally.count(if refused.is_empty() {
        "unaffected"
    } else {
        "told"
    });
    if refused.iter().any(|why| why.contains("rolled back")) {
        tally.count("told as rolled back");
    }
    if !wrong.is_empty() {
        let place = format!(
            "`{}` {how}, {}",
            case.file.display(),
            scratch.keep(&deployment.folder)
        );
        tally.violation(place, format!("{}; refused: {refused:?}", wrong.join("; ")));
    }
}

#[test]
fn no_damage_is_silent() {
    let wanted = scaled(FILES);
    let (trial, scratch) = (Trial::begin("damaged files"), Scratch::new("damage"));
    let first = Deployment::new(&scratch.path("first"), Sink::Transactional, RECORDS);
    let ran = first.sluice(&["run", PIPELINE]);
    assert!(ran.is_done(), "{ran:?}");
    let base = scratch.path("base");
    copy(&first.folder, &base);
    let said: Vec<String> = ASKED
        .iter()
        .map(|asked| {
            let ended = first.sluice(asked);
            assert!(ended.is_done(), "{ended:?}");
            ended.out
        })
        .collect();
    let cases = cases(&base, wanted + wanted / 10, trial.seed);
    let make = |thread: usize| {
        Deployment::new(
            &scratch.path(&thread.to_string()),
            Sink::Transactional,
            RECORDS,
        )
    };
    let tally = over(&cases, make, |deployment, case, tally| {
        try_case(deployment, &base, &said, case, &scratch, tally);
    });
    let kinds = damage::ALL.map(|damage| format!("{damage:?}"));
    // The last kind comes once each file had the others: not in a run that is shorter than CI's.
    let each = if wanted < FILES { 0 } else { wanted / 20 };
    let kinds = kinds.iter().map(|kind| (kind.as_str(), each));
    let least: Vec<_> = [
        ("damaged files", wanted),
        ("told", wanted / 4),
        ("ran to its end", wanted / 20),
    ]
    .into_iter()
    .chain(kinds)
    .collect();
    trial.end(&tally, &least);
}
