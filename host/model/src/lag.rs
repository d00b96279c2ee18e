//! How far a pipeline is behind its source, as the source says it. Numbers alone: no words of a plugin's.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Which part of what a source keeps must be left; less is told.
const LEFT_MIN: u64 = 4;

/// What a lag is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LagUnit {
    /// Of the source's own log.
    Bytes,
    /// Records.
    Records,
}

impl LagUnit {
    /// In one word.
    pub fn word(self) -> &'static str {
        match self {
            LagUnit::Bytes => "bytes",
            LagUnit::Records => "records",
        }
    }
}

impl fmt::Display for LagUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// How much a source has that is not delivered, when it last said so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lag {
    /// What it is counted in.
    pub unit: LagUnit,
    /// So much.
    pub behind: u64,
    /// So much more, and the source forgets what is not read; none where it keeps all of it.
    pub left: Option<u64>,
}

impl Lag {
    /// That of several splits: all that is not delivered, and the first that is forgotten. Of another unit it is another.
    pub fn all(lags: impl IntoIterator<Item = Self>) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        for lag in lags {
            match all.iter_mut().find(|sum| sum.unit == lag.unit) {
                Some(sum) => {
                    sum.behind = sum.behind.saturating_add(lag.behind);
                    sum.left = sum.left.into_iter().chain(lag.left).min();
                }
                None => all.push(lag),
            }
        }
        all.sort_by_key(|lag| lag.unit);
        all
    }

    /// Whether the source will soon forget what is not read.
    pub fn is_short(&self) -> bool {
        self.left
            .is_some_and(|left| left < self.behind.saturating_add(left) / LEFT_MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lag(unit: LagUnit, behind: u64, left: Option<u64>) -> Lag {
        Lag { unit, behind, left }
    }

    #[test]
    fn splits_are_behind_together_and_the_first_that_is_forgotten_counts() {
        use LagUnit::{Bytes, Records};
        let lags = [
            lag(Records, 3, None),
            lag(Bytes, 10, None),
            lag(Bytes, u64::MAX, Some(7)),
            lag(Bytes, 0, Some(5)),
        ];
        let expected = vec![lag(Bytes, u64::MAX, Some(5)), lag(Records, 3, None)];
        assert_eq!(Lag::all(lags), expected);
        assert_eq!(Lag::all([]), []);
    }

    #[test]
    fn less_than_a_quarter_is_short() {
        for (behind, left, is_short) in [
            (75, Some(25), false),
            (76, Some(24), true),
            (u64::MAX, Some(1), true),
            (0, Some(0), false),
            (1_000, None, false),
        ] {
            assert_eq!(
                lag(LagUnit::Bytes, behind, left).is_short(),
                is_short,
                "{behind}"
            );
        }
    }
}
