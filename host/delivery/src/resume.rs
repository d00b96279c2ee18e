//! Where a run begins: what the store holds, held against what the sinks have committed.

use crate::settings::SinkMode;
use sluice_model::checkpoint::{Checkpoint, Commit, Mark};
use sluice_model::fault::{Fault, FaultKind};

/// What a sink says when it is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// How it makes data durable. A plain sink's word about commits is not asked for.
    pub mode: SinkMode,
    /// The last commit it published.
    pub committed: Option<Commit>,
}

/// Where to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resume {
    /// To be stored before anything else, if the store still holds what was read from it: it carries the new epoch,
    /// and with it an older owner is fenced.
    pub checkpoint: Checkpoint,
    /// Why there.
    pub start: Start,
}

/// Why a run begins where it does. All but the first three are worth telling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Nothing is stored.
    Beginning,
    /// At the stored place.
    Checkpoint,
    /// The sink had published the intended unit: its dead letters are real.
    Promoted,
    /// The sink had not published the intended unit: its dead letters are deleted, and it is read again.
    Discarded,
    /// The sink is ahead of the store, which was lost or set back. Dead letters and counts of what lies between are
    /// lost; records are not.
    SinkAhead {
        /// The sink that is least far ahead.
        sink: usize,
        /// What the store held.
        stored: Option<Mark>,
        /// What the sink holds.
        committed: Mark,
    },
}

/// Decides where a run of a split begins. With one sink, a transactional one, no record is delivered twice; with
/// several, the one that is least far decides, and the others may see records again.
///
/// Fails where a transactional sink lacks what the store says it has: going on would lose records.
pub fn resume(stored: Option<&Checkpoint>, sinks: &[Standing]) -> Result<Resume, Fault> {
    let held = stored.cloned().unwrap_or_default();
    let epoch = epochs(&held, sinks).max().unwrap_or(0) + 1;
    let sequence = sequences(&held, sinks).max().unwrap_or(0);
    let (checkpoint, start) = place(stored.is_some(), held, sinks)?;
    Ok(Resume {
        checkpoint: Checkpoint {
            epoch,
            sequence,
            intent: None,
            ..checkpoint
        },
        start,
    })
}

fn place(
    is_stored: bool,
    held: Checkpoint,
    sinks: &[Standing],
) -> Result<(Checkpoint, Start), Fault> {
    let intended = held.intent.as_ref().map(|intent| intent.mark);
    let Some((sink, commit)) = least(sinks) else {
        let start = if is_stored {
            Start::Checkpoint
        } else {
            Start::Beginning
        };
        return Ok((
            held,
            if intended.is_some() {
                Start::Discarded
            } else {
                start
            },
        ));
    };
    let committed = commit.map(|commit| commit.mark);
    if committed.is_some() && committed == intended {
        return Ok((held.promoted(), Start::Promoted));
    }
    if committed < held.mark {
        return Err(behind(sink, committed, held.mark));
    }
    if let Some(commit) = commit.filter(|_| committed > held.mark) {
        return Ok(ahead(held, sink, commit));
    }
    let start = match (is_stored, intended) {
        (_, Some(_)) => Start::Discarded,
        (true, None) => Start::Checkpoint,
        (false, None) => Start::Beginning,
    };
    Ok((held, start))
}

/// The transactional sink that is least far, and its commit.
fn least(sinks: &[Standing]) -> Option<(usize, Option<&Commit>)> {
    let transactional = sinks
        .iter()
        .enumerate()
        .filter(|(_, sink)| sink.mode == SinkMode::Transactional);
    transactional
        .map(|(at, sink)| (at, sink.committed.as_ref()))
        .min_by_key(|(_, commit)| commit.map(|commit| commit.mark))
}

fn ahead(held: Checkpoint, sink: usize, commit: &Commit) -> (Checkpoint, Start) {
    let stored = held.mark;
    let passed = held
        .intent
        .as_ref()
        .is_some_and(|intent| intent.mark < commit.mark);
    // A sink that went past the intent published it on its way, so its dead letters are real.
    let held = if passed { held.promoted() } else { held };
    let place = Some(commit.cursor.clone());
    let checkpoint = Checkpoint {
        mark: Some(commit.mark),
        place,
        ended: false,
        ..held
    };
    (
        checkpoint,
        Start::SinkAhead {
            sink,
            stored,
            committed: commit.mark,
        },
    )
}

fn behind(sink: usize, committed: Option<Mark>, stored: Option<Mark>) -> Fault {
    let shown =
        |mark: Option<Mark>| mark.map_or("no commit".to_owned(), |mark| format!("commit {mark}"));
    Fault::new(
        FaultKind::CursorLost,
        format!(
            "sink {} holds {}, but {} was delivered to it: its destination was emptied, restored or replaced, and \
             reading on would leave a gap",
            sink + 1,
            shown(committed),
            shown(stored)
        ),
    )
    .hint("bring the destination back, or run `sluice checkpoint reset` for this pipeline to deliver all of it again")
}

fn marks<'a>(held: &'a Checkpoint, sinks: &'a [Standing]) -> impl Iterator<Item = Mark> + 'a {
    let intent = held.intent.as_ref().map(|intent| intent.mark);
    let commits = sinks
        .iter()
        .filter_map(|sink| sink.committed.as_ref().map(|commit| commit.mark));
    held.mark.into_iter().chain(intent).chain(commits)
}

fn epochs<'a>(held: &'a Checkpoint, sinks: &'a [Standing]) -> impl Iterator<Item = u64> + 'a {
    marks(held, sinks)
        .map(|mark| mark.epoch)
        .chain([held.epoch])
}

fn sequences<'a>(held: &'a Checkpoint, sinks: &'a [Standing]) -> impl Iterator<Item = u64> + 'a {
    marks(held, sinks)
        .map(|mark| mark.sequence)
        .chain([held.sequence])
}
