//! The one transaction of a sink that keeps the place of its split beside the rows.

use sluice_sdk::Fault;
use sluice_sdk::publish::not_written;
use sluice_sdk::sink::Commit;

/// The transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unit {
    /// There is none.
    #[default]
    None,
    /// It is open, and not whole.
    Open,
    /// It holds this unit, whole.
    Staged(u64, u64),
    /// This unit was committed before.
    Published(u64, u64),
}

impl Unit {
    /// It holds this unit, whole.
    pub fn staged(commit: &Commit) -> Self {
        Self::Staged(commit.epoch, commit.sequence)
    }

    /// This unit was committed before.
    pub fn published(commit: &Commit) -> Self {
        Self::Published(commit.epoch, commit.sequence)
    }

    /// Whether `commit` is to be committed now, or was before; a wrong order of calls is [`Fault::Broken`]. Whatever the
    /// answer is, there is no transaction that may go on.
    pub fn publish(&mut self, commit: &Commit) -> Result<bool, Fault> {
        let is_staged = match std::mem::take(self) {
            unit if unit == Self::staged(commit) => true,
            unit if unit == Self::published(commit) => false,
            _ => {
                return Err(not_written((commit.epoch, commit.sequence)));
            }
        };
        Ok(is_staged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_written_whole_is_published() {
        let commit = |sequence| Commit {
            pipeline: "p".to_owned(),
            split: "s".to_owned(),
            cursor: Vec::new(),
            epoch: 3,
            sequence,
        };
        let mut unit = Unit::staged(&commit(7));
        assert_eq!(unit.publish(&commit(7)), Ok(true));
        assert!(unit.publish(&commit(7)).is_err(), "once");
        unit = Unit::published(&commit(7));
        assert_eq!(unit.publish(&commit(7)), Ok(false));
        for wrong in [
            Unit::None,
            Unit::Open,
            Unit::Staged(3, 6),
            Unit::Published(2, 7),
        ] {
            unit = wrong;
            assert!(unit.publish(&commit(7)).is_err(), "{wrong:?}");
            assert_eq!(unit, Unit::None);
        }
    }
}
