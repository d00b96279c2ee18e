//! Whose log a place is in. Two servers number their logs alike: a place in the one says nothing of the other. A server
//! that was restored, or took the place of a lost one, goes on in a timeline of its own, which knows where it left the one
//! before.

use super::lsn::Lsn;
use crate::session::Session;
use serde::{Deserialize, Serialize};
use sluice_sdk::Fault;

/// A server's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Server {
    /// The cluster's own number, which its copies share.
    id: String,
    timeline: u32,
}

impl Server {
    /// The one that this session is with.
    pub(super) fn of(session: &mut Session) -> Result<Self, Fault> {
        let rows = session.rows("IDENTIFY_SYSTEM")?;
        let said = rows.first().and_then(|row| match &row[..] {
            [Some(id), Some(timeline), ..] => Some((id.clone(), timeline.parse().ok()?)),
            _ => None,
        });
        let (id, timeline) =
            said.ok_or_else(|| Fault::broken("the server does not say which one it is"))?;
        Ok(Self { id, timeline })
    }

    /// That a place in this log is one in the log of `now`, which the session is with.
    pub(super) fn has(&self, place: Lsn, now: &Self, session: &mut Session) -> Result<(), Fault> {
        if self == now {
            return Ok(());
        }
        // The first timeline left none.
        let history = if self.id == now.id && now.timeline > 1 {
            let rows = session.rows(&format!("TIMELINE_HISTORY {}", now.timeline))?;
            rows.into_iter().flatten().flatten().nth(1)
        } else {
            None
        };
        self.is_followed_by(place, now, &history.unwrap_or_default())
    }

    fn is_followed_by(&self, place: Lsn, now: &Self, history: &str) -> Result<(), Fault> {
        let hint = "hint: where this server is meant, drop the slot, here and where it was before, and reset the checkpoints of this \
                    pipeline: its tables are read again";
        if self.id != now.id {
            return Err(Fault::cursor_lost(format!(
                "the place {place} is one in the log of the server {}, and this is the server {}; {hint}",
                self.id, now.id
            )));
        }
        match left(history, self.timeline) {
            Some(left) if place <= left => Ok(()),
            left => {
                let left =
                    left.map_or_else(String::new, |left| format!(", which it left at {left}"));
                Err(Fault::cursor_lost(format!(
                    "the server was restored, or another took its place: the place {place} is one of timeline {}{left}, and the \
                     server is in timeline {}; {hint}",
                    self.timeline, now.timeline
                )))
            }
        }
    }
}

/// Where a timeline was left, as the history of a later one has it: a line for each, its number, the place, and why.
fn left(history: &str, timeline: u32) -> Option<Lsn> {
    let mut lines = history.lines();
    lines.find_map(|line| {
        let mut words = line.split_whitespace();
        let is_it = words.next()?.parse() == Ok(timeline);
        words.next().filter(|_| is_it)?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(id: &str, timeline: u32) -> Server {
        Server {
            id: id.to_owned(),
            timeline,
        }
    }

    /// As PostgreSQL writes it.
    const HISTORY: &str =
        "1\t0/3000000\tno recovery target specified\n\n2\t0/5000060\tbefore 2026-11-27\n";

    #[test]
    fn a_place_is_one_in_a_later_timeline_up_to_where_that_began() {
        let place = |text: &str| text.parse::<Lsn>().expect("a place");
        for (from, at, now, history, expected) in [
            (("7", 1), "0/3000000", ("7", 3), HISTORY, Ok(())),
            (("7", 2), "0/5000060", ("7", 3), HISTORY, Ok(())),
            (
                ("7", 1),
                "0/3000001",
                ("7", 3),
                HISTORY,
                Err("which it left at 0/3000000"),
            ),
            (
                ("7", 4),
                "0/1",
                ("7", 3),
                HISTORY,
                Err("is one of timeline 4, and"),
            ),
            (
                ("7", 2),
                "0/1",
                ("7", 1),
                "",
                Err("is one of timeline 2, and"),
            ),
            (
                ("7", 1),
                "0/1",
                ("8", 1),
                HISTORY,
                Err("the log of the server 7, and this is the server 8"),
            ),
        ] {
            let now = server(now.0, now.1);
            let found = server(from.0, from.1).is_followed_by(place(at), &now, history);
            match (found, expected) {
                (Ok(()), Ok(())) => {}
                (Err(Fault::CursorLost(message)), Err(told)) if message.contains(told) => {}
                (found, expected) => panic!("{found:?} and not {expected:?}"),
            }
        }
    }
}
