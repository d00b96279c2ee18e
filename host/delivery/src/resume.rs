//! Where a run begins: what the store holds, held against what the sinks have committed.

use crate::settings::SinkMode;
use sluice_model::checkpoint::{Checkpoint, Commit, Mark};
use sluice_model::fault::{Fault, FaultKind};
use sluice_model::guards::Guard;

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
    /// A person moved the place, and no run has begun since. Told once.
    Moved,
    /// The sinks are ahead of the store, which was lost or set back. Dead letters and counts of what lies between are
    /// lost; records are not.
    SinkAhead {
        /// The first of them.
        sink: usize,
        /// What the store held.
        stored: Option<Mark>,
        /// What the sink holds.
        committed: Mark,
    },
}

/// Decides where a run of a split begins. With one sink, a transactional one, no record is delivered twice; with
/// several, those that are further than the others may see records again.
///
/// Where a person moved the place ([`Checkpoint::moved_to`]), what sinks committed up to that epoch says nothing: it
/// neither pulls the place ahead nor counts as behind, until a unit of a later run is delivered. A commit of a later
/// epoch than the move does pull it ahead, even in the first run after it: either the store was set back to just after
/// the move, or it had been lost before it, and then moving the place again works.
///
/// Fails where a transactional sink lacks what the store says it has: going on would lose records.
pub fn resume(stored: Option<&Checkpoint>, sinks: &[Standing]) -> Result<Resume, Fault> {
    let held = stored.cloned().unwrap_or_default();
    let last = epochs(&held, sinks).max().unwrap_or(0);
    let epoch = if Guard::EpochRises.stands() {
        last + 1
    } else {
        last.max(1)
    };
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
    let transactional = || {
        sinks
            .iter()
            .enumerate()
            .filter(|(_, sink)| sink.mode == SinkMode::Transactional)
    };
    let delivered = held.delivered();
    for (at, sink) in transactional() {
        let committed = sink.committed.as_ref().map(|commit| commit.mark);
        if committed < delivered {
            return Err(behind(at, committed, delivered));
        }
    }
    let intended = held.intent.as_ref().map(|intent| intent.mark);
    let counts = |commit: &Commit| !held.is_before_the_move(commit.mark);
    // Sinks that differ say nothing about a common place: a unit that was read again may have ended elsewhere. The
    // stored place is safe for all of them.
    if let Some((sink, commit)) = common(transactional()).filter(|(_, commit)| counts(commit)) {
        if Some(commit.mark) == intended {
            return Ok((held.promoted(), Start::Promoted));
        }
        if Some(commit.mark) > delivered {
            return Ok(ahead(held, sink, commit));
        }
    }
    let is_moved = held.moved != 0 && held.moved == held.epoch;
    let start = match (is_stored, intended) {
        _ if is_moved => Start::Moved,
        (_, Some(_)) => Start::Discarded,
        (true, None) => Start::Checkpoint,
        (false, None) => Start::Beginning,
    };
    Ok((held, start))
}

/// The commit that all these sinks have published last, if it is the same one; and the first of them.
fn common<'a>(
    mut sinks: impl Iterator<Item = (usize, &'a Standing)>,
) -> Option<(usize, &'a Commit)> {
    let (at, first) = sinks.next()?;
    let commit = first.committed.as_ref()?;
    let is_same = |sink: &Standing| {
        sink.committed
            .as_ref()
            .is_some_and(|other| other.mark == commit.mark)
    };
    sinks.all(|(_, sink)| is_same(sink)).then_some((at, commit))
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
    .hint(
        "bring the destination back, or run `sluice checkpoint reset` for this pipeline to deliver all of it again; where \
         the destination is a new one, `sluice checkpoint set` goes on from a place that you name",
    )
}

fn marks<'a>(held: &'a Checkpoint, sinks: &'a [Standing]) -> impl Iterator<Item = Mark> + 'a {
    let intent = held.intent.as_ref().map(|intent| intent.mark);
    // The word of others is not asked for: a plain sink could claim the last number there is.
    let commits = sinks
        .iter()
        .filter(|sink| sink.mode == SinkMode::Transactional)
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

#[cfg(test)]
mod tests {
    use super::*;
    use SinkMode::{Plain, Transactional};
    use sluice_model::checkpoint::{Cursor, Intent, Totals};

    fn mark(epoch: u64, sequence: u64) -> Mark {
        Mark { epoch, sequence }
    }

    /// The place after a unit, as its mark in bytes.
    fn cursor(mark: Mark) -> Cursor {
        Cursor::from(vec![mark.epoch as u8, mark.sequence as u8])
    }

    fn totals(read: u64) -> Totals {
        Totals {
            read,
            written: read,
            ..Totals::default()
        }
    }

    fn delivered(last: Mark) -> Checkpoint {
        let (epoch, sequence) = (last.epoch, last.sequence);
        let place = Some(cursor(last));
        Checkpoint {
            epoch,
            sequence,
            mark: Some(last),
            place,
            ended: true,
            totals: totals(5),
            intent: None,
            moved: 0,
            start: None,
        }
    }

    fn intending(last: Option<Mark>, next: Mark) -> Checkpoint {
        let held = last.map(delivered).unwrap_or_default();
        let intent = Intent {
            mark: next,
            place: cursor(next),
            ended: false,
            totals: totals(9),
            dead_letters: None,
            redriven: None,
        };
        Checkpoint {
            epoch: next.epoch,
            sequence: next.sequence,
            intent: Some(intent),
            ..held
        }
    }

    fn sink(mode: SinkMode, committed: Option<Mark>) -> Standing {
        Standing {
            mode,
            committed: committed.map(|mark| Commit {
                mark,
                cursor: cursor(mark),
            }),
        }
    }

    /// What is stored and what the sinks say; where and why the run begins, and its epoch and sequence.
    fn check(
        stored: Option<&Checkpoint>,
        sinks: &[Standing],
        start: Start,
        at: Option<Mark>,
        new: (u64, u64),
    ) {
        let resume = resume(stored, sinks).expect("resumes");
        let Checkpoint {
            epoch,
            sequence,
            mark,
            place,
            intent,
            ..
        } = resume.checkpoint;
        assert_eq!(
            (resume.start, mark, place, intent),
            (start, at, at.map(cursor), None)
        );
        assert_eq!((epoch, sequence), new);
    }

    #[test]
    fn plain_sinks_resume_from_the_store() {
        check(None, &[sink(Plain, None)], Start::Beginning, None, (1, 0));
        let held = delivered(mark(1, 4));
        check(
            Some(&held),
            &[sink(Plain, None)],
            Start::Checkpoint,
            Some(mark(1, 4)),
            (2, 4),
        );
        // What a plain sink says of commits is no promise.
        check(
            Some(&held),
            &[sink(Plain, Some(mark(1, 3)))],
            Start::Checkpoint,
            Some(mark(1, 4)),
            (2, 4),
        );
        // The pipeline had a transactional sink once.
        let held = intending(Some(mark(1, 4)), mark(1, 5));
        check(
            Some(&held),
            &[sink(Plain, None)],
            Start::Discarded,
            Some(mark(1, 4)),
            (2, 5),
        );
    }

    #[test]
    fn one_transactional_sink_has_the_last_word() {
        let only = |committed| [sink(Transactional, committed)];
        check(None, &only(None), Start::Beginning, None, (1, 0));
        let taken = Checkpoint {
            epoch: 3,
            ..Checkpoint::default()
        };
        check(Some(&taken), &only(None), Start::Checkpoint, None, (4, 0));
        let (last, next) = (mark(1, 4), mark(2, 5));
        check(
            Some(&delivered(last)),
            &only(Some(last)),
            Start::Checkpoint,
            Some(last),
            (2, 4),
        );
        let held = intending(Some(last), next);
        check(
            Some(&held),
            &only(Some(next)),
            Start::Promoted,
            Some(next),
            (3, 5),
        );
        check(
            Some(&held),
            &only(Some(last)),
            Start::Discarded,
            Some(last),
            (3, 5),
        );
        check(
            Some(&intending(None, next)),
            &only(None),
            Start::Discarded,
            None,
            (3, 5),
        );
        check(
            Some(&intending(None, next)),
            &only(Some(next)),
            Start::Promoted,
            Some(next),
            (3, 5),
        );
    }

    #[test]
    fn a_sink_ahead_of_the_store_is_believed() {
        let only = |committed| [sink(Transactional, Some(committed))];
        let (last, next, far) = (mark(1, 4), mark(2, 5), mark(4, 9));
        let ahead = |stored| Start::SinkAhead {
            sink: 0,
            stored,
            committed: far,
        };
        check(None, &only(far), ahead(None), Some(far), (5, 9));
        check(
            Some(&delivered(last)),
            &only(far),
            ahead(Some(last)),
            Some(far),
            (5, 9),
        );
        check(
            Some(&intending(Some(last), next)),
            &only(far),
            ahead(Some(last)),
            Some(far),
            (5, 9),
        );
        // It went past the intent, so that one counts; it did not reach this one.
        let totals = |stored: &Checkpoint| {
            resume(Some(stored), &only(far))
                .expect("resumes")
                .checkpoint
                .totals
                .read
        };
        assert_eq!(totals(&intending(Some(last), next)), 9);
        assert_eq!(totals(&intending(Some(last), mark(5, 12))), 5);
        assert!(!resume(None, &only(far)).expect("resumes").checkpoint.ended);
    }

    #[test]
    fn a_sink_behind_the_store_stops_the_run() {
        let check = |stored: &Checkpoint, sinks: &[Standing], says: &str| {
            let fault = resume(Some(stored), sinks).expect_err("stops");
            assert_eq!(fault.kind, FaultKind::CursorLost);
            assert!(
                fault.message.contains(says) && fault.hint.is_some(),
                "{fault}"
            );
        };
        let (older, last, next) = (mark(1, 3), mark(1, 4), mark(2, 5));
        check(
            &delivered(last),
            &[sink(Transactional, None)],
            "sink 1 holds no commit, but commit 1.4",
        );
        check(
            &delivered(last),
            &[sink(Transactional, Some(older))],
            "holds commit 1.3",
        );
        check(
            &intending(Some(last), next),
            &[sink(Transactional, Some(older))],
            "holds commit 1.3",
        );
        let two = [
            sink(Transactional, Some(next)),
            sink(Transactional, Some(older)),
        ];
        check(&intending(Some(last), next), &two, "sink 2");
        check(
            &delivered(last),
            &[sink(Plain, None), sink(Transactional, None)],
            "sink 2",
        );
    }

    #[test]
    fn several_sinks_resume_where_none_of_them_misses_a_record() {
        let (last, next, far) = (mark(1, 4), mark(2, 5), mark(4, 9));
        let two = |one, other| [sink(Transactional, one), sink(Transactional, other)];
        let held = intending(Some(last), next);
        check(
            Some(&held),
            &two(Some(next), Some(next)),
            Start::Promoted,
            Some(next),
            (3, 5),
        );
        check(
            Some(&held),
            &two(Some(next), Some(last)),
            Start::Discarded,
            Some(last),
            (3, 5),
        );
        check(
            Some(&held),
            &two(Some(next), Some(far)),
            Start::Discarded,
            Some(last),
            (5, 9),
        );
        let ahead = Start::SinkAhead {
            sink: 0,
            stored: Some(last),
            committed: far,
        };
        check(
            Some(&held),
            &two(Some(far), Some(far)),
            ahead,
            Some(far),
            (5, 9),
        );
        check(
            None,
            &two(Some(far), Some(next)),
            Start::Beginning,
            None,
            (5, 9),
        );
        check(None, &two(Some(far), None), Start::Beginning, None, (5, 9));
        let mixed = |committed| [sink(Plain, None), sink(Transactional, committed)];
        check(
            Some(&held),
            &mixed(Some(next)),
            Start::Promoted,
            Some(next),
            (3, 5),
        );
        check(
            Some(&held),
            &mixed(Some(last)),
            Start::Discarded,
            Some(last),
            (3, 5),
        );
    }

    /// It holds no commit that anybody asked it for: neither the epoch nor the sequence of others is its to set.
    #[test]
    fn a_plain_sink_sets_nobodys_count() {
        let stored = delivered(mark(2, 5));
        let sinks = [sink(Plain, Some(mark(1 << 53, 1 << 53)))];
        let resume = resume(Some(&stored), &sinks).expect("it goes on");
        let checkpoint = resume.checkpoint;
        assert_eq!((checkpoint.epoch, checkpoint.sequence), (3, 5));
    }

    fn moved(held: Checkpoint, place: Option<Mark>) -> Checkpoint {
        held.moved_to(place.map(cursor))
    }

    #[test]
    fn after_a_move_what_sinks_hold_of_before_says_nothing() {
        let (last, next) = (mark(1, 4), mark(2, 5));
        let back = moved(delivered(last), Some(mark(1, 1)));
        assert_eq!((back.epoch, back.moved), (2, 2));
        let check = |stored: &Checkpoint, sinks: &[Standing], start, new: (u64, u64)| {
            let resume = resume(Some(stored), sinks).expect("resumes");
            let checkpoint = &resume.checkpoint;
            assert_eq!((resume.start, &checkpoint.place), (start, &stored.place));
            assert_eq!((checkpoint.epoch, checkpoint.sequence), new);
            assert_eq!((checkpoint.moved, checkpoint.ended), (stored.moved, false));
            resume.checkpoint
        };
        // As far as it was, further, behind, emptied, or two that differ: none of it counts.
        let only = |committed| [sink(Transactional, committed)];
        check(&back, &only(Some(last)), Start::Moved, (3, 4));
        check(&back, &only(Some(mark(2, 9))), Start::Moved, (3, 9));
        check(&back, &only(Some(mark(1, 2))), Start::Moved, (3, 4));
        check(&back, &only(None), Start::Moved, (3, 4));
        let two = [sink(Transactional, Some(last)), sink(Transactional, None)];
        check(&back, &two, Start::Moved, (3, 4));
        check(&back, &[sink(Plain, None)], Start::Moved, (3, 4));
        check(
            &moved(delivered(last), None),
            &only(Some(last)),
            Start::Moved,
            (3, 4),
        );
        // A unit that was under way is neither promoted nor in the way.
        let held = moved(intending(Some(last), next), Some(mark(1, 1)));
        check(&held, &only(Some(next)), Start::Moved, (4, 5));
        check(&held, &only(Some(last)), Start::Moved, (4, 5));
        // The second run, before anything is delivered: the same, and it is not told again.
        let first = check(&back, &only(Some(last)), Start::Moved, (3, 4));
        let second = check(&first, &only(Some(last)), Start::Checkpoint, (4, 4));
        check(&second, &only(None), Start::Checkpoint, (5, 4));
    }

    #[test]
    fn after_a_unit_since_the_move_all_is_as_usual() {
        let (old, new, next) = (mark(1, 4), mark(3, 5), mark(4, 6));
        let after = |held: Checkpoint| Checkpoint { moved: 2, ..held };
        let only = |committed| [sink(Transactional, committed)];
        let held = after(delivered(new));
        check(
            Some(&held),
            &only(Some(new)),
            Start::Checkpoint,
            Some(new),
            (4, 5),
        );
        let fault = resume(Some(&held), &only(Some(old))).expect_err("behind");
        assert_eq!(fault.kind, FaultKind::CursorLost);
        let held = after(intending(None, new));
        check(
            Some(&held),
            &only(Some(new)),
            Start::Promoted,
            Some(new),
            (4, 5),
        );
        check(
            Some(&held),
            &only(Some(old)),
            Start::Discarded,
            None,
            (4, 5),
        );
        let ahead = Start::SinkAhead {
            sink: 0,
            stored: Some(new),
            committed: next,
        };
        check(
            Some(&after(delivered(new))),
            &only(Some(next)),
            ahead,
            Some(next),
            (5, 6),
        );
        // The store was set back to just after the move.
        let back = delivered(old).moved_to(None);
        let resume = resume(Some(&back), &only(Some(next))).expect("resumes");
        assert!(
            matches!(resume.start, Start::SinkAhead { .. }),
            "{resume:?}"
        );
    }
}
