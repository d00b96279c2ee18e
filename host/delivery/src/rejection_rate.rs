//! When so many records are refused that a person should look before more are: the share of refused records among the
//! last ones. Pure: it is told of each unit that was delivered.

use sluice_model::guards::Guard;
use std::collections::VecDeque;
use std::fmt;

/// Units that are told apart at most; beyond that neighbours are counted as one. Stops a window of a billion records,
/// each its own unit, from filling memory.
const UNITS_MAX: usize = 1_024;
/// More than any unit holds, and so few that no sum of a window overflows.
const RECORDS_MAX: u64 = 1 << 40;
const MILLION: u128 = 1_000_000;

/// The most that may be refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateSettings {
    /// The share, in parts of a million: 10,000 is one percent. So much is still right; more is too much. From
    /// 1,000,000 it is never too much.
    pub parts_per_million: u32,
    /// Among how many records; at least 1. Fewer than these say nothing.
    pub of: u64,
}

impl Default for RateSettings {
    /// Half of a thousand.
    fn default() -> Self {
        Self {
            parts_per_million: 500_000,
            of: 1_000,
        }
    }
}

/// So many of so many, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Share {
    /// Records refused.
    pub refused: u64,
    /// Records read, the refused ones included.
    pub read: u64,
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} records", self.refused, self.read)
    }
}

impl Share {
    fn plus(self, more: Self) -> Self {
        Self {
            refused: self.refused + more.refused,
            read: self.read + more.read,
        }
    }

    fn is_more_than(self, parts_per_million: u32) -> bool {
        u128::from(self.refused) * MILLION > u128::from(parts_per_million) * u128::from(self.read)
    }
}

/// The rate among the last units that together hold enough records: as few of them as do.
#[derive(Debug)]
pub struct RejectionRate {
    settings: RateSettings,
    /// The oldest first; none without records.
    units: VecDeque<Share>,
    sum: Share,
}

impl RejectionRate {
    /// One that has seen nothing.
    pub fn new(settings: RateSettings) -> Self {
        let of = settings.of.clamp(1, RECORDS_MAX);
        Self {
            settings: RateSettings { of, ..settings },
            units: VecDeque::new(),
            sum: Share::default(),
        }
    }

    /// A unit was delivered: so many records, so many of them refused. Whether too many are refused now.
    pub fn delivered(&mut self, read: u64, refused: u64) -> bool {
        if read > 0 {
            let read = read.min(RECORDS_MAX);
            let refused = refused.min(read);
            let unit = Share { refused, read };
            self.units.push_back(unit);
            self.sum = self.sum.plus(unit);
            self.forget();
            self.merge();
        }
        let is_enough = self.sum.read >= self.settings.of;
        Guard::RejectionsSeen.holds(is_enough)
            && Guard::RejectionShare.bars(self.sum.is_more_than(self.settings.parts_per_million))
    }

    /// What was refused among the last records.
    pub fn share(&self) -> Share {
        self.sum
    }

    /// The oldest units go where the others are enough.
    fn forget(&mut self) {
        while let Some(oldest) = self.units.front()
            && self.sum.read - oldest.read >= self.settings.of
        {
            self.sum.read -= oldest.read;
            self.sum.refused -= oldest.refused;
            self.units.pop_front();
        }
    }

    fn merge(&mut self) {
        if self.units.len() > UNITS_MAX {
            let units: Vec<Share> = self.units.drain(..).collect();
            let pair = |pair: &[Share]| {
                pair.iter()
                    .fold(Share::default(), |sum, unit| sum.plus(*unit))
            };
            self.units = units.chunks(2).map(pair).collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rate(parts_per_million: u32, of: u64) -> RejectionRate {
        RejectionRate::new(RateSettings {
            parts_per_million,
            of,
        })
    }

    /// Units as read and refused, and after each whether it is too much.
    fn check(mut rate: RejectionRate, units: &[(u64, u64, bool)]) {
        for (at, (read, refused, tripped)) in units.iter().enumerate() {
            let share = rate.delivered(*read, *refused);
            assert_eq!(share, *tripped, "unit {at}: {}", rate.share());
        }
    }

    #[test]
    fn exactly_the_share_does_not_trip() {
        check(rate(10_000, 1_000), &[(1_000, 10, false)]);
        check(rate(10_000, 1_000), &[(1_000, 11, true)]);
        // A third of a million, to the record.
        check(rate(333_333, 3), &[(1_000_000, 333_333, false)]);
        check(rate(333_333, 3), &[(1_000_000, 333_334, true)]);
        check(rate(0, 10), &[(10, 0, false), (10, 1, true)]);
        check(rate(1_000_000, 1), &[(1_000_000, 1_000_000, false)]);
    }

    #[test]
    fn it_never_trips_before_enough_was_seen() {
        check(
            rate(10_000, 1_000),
            &[(1, 1, false), (998, 998, false), (1, 1, true)],
        );
        check(rate(500_000, 1_000), &[(0, 0, false), (999, 999, false)]);
    }

    /// The default does what its name says.
    #[test]
    fn the_default_is_half_of_a_thousand() {
        let new = || RejectionRate::new(RateSettings::default());
        check(new(), &[(1_000, 500, false)]);
        check(new(), &[(1_000, 501, true)]);
        check(new(), &[(999, 999, false), (1, 0, true)]);
        check(new(), &[(1_000_000, 1_000_000, true)]);
    }

    #[test]
    fn what_is_long_ago_does_not_count() {
        // A bad start, and then a thousand good records.
        check(
            rate(10_000, 1_000),
            &[(500, 400, false), (500, 0, true), (500, 0, false)],
        );
        // A large unit stays while what follows it is not enough by itself.
        check(
            rate(10_000, 1_000),
            &[(1_000_000, 500_000, true), (999, 0, true), (1, 0, false)],
        );
    }

    #[test]
    fn counts_that_cannot_be_are_no_panic() {
        check(
            rate(500_000, 0),
            &[(0, 5, false), (1, 7, true), (u64::MAX, 0, false)],
        );
        check(
            rate(500_000, u64::MAX),
            &[(u64::MAX, 0, false), (u64::MAX, 0, false)],
        );
    }

    #[test]
    fn its_memory_is_bounded() {
        let mut rate = rate(500_000, u64::MAX);
        for at in 0..10_000 {
            rate.delivered(1, at % 2);
        }
        assert!(rate.units.len() <= UNITS_MAX);
        assert_eq!(
            rate.share(),
            Share {
                refused: 5_000,
                read: 10_000
            }
        );
    }

    proptest! {
        /// As the words say it: the shortest end of the list of units that holds enough records.
        #[test]
        fn it_is_the_shortest_window_of_whole_units(
            of in 1_u64..60,
            parts_per_million in 0_u32..=1_000_000,
            units in prop::collection::vec((0_u64..40, 0_u64..40), 0..60),
        ) {
            let mut rate = rate(parts_per_million, of);
            let units: Vec<(u64, u64)> =
                units.into_iter().map(|(read, refused)| (read, refused.min(read))).collect();
            for upto in 1..=units.len() {
                let tripped = rate.delivered(units[upto - 1].0, units[upto - 1].1);
                let (mut read, mut refused) = (0, 0);
                for (more, bad) in units[..upto].iter().rev() {
                    if read < of {
                        read += more;
                        refused += bad;
                    }
                }
                prop_assert_eq!(rate.share(), Share { refused, read });
                let is_more = refused * 1_000_000 > u64::from(parts_per_million) * read;
                prop_assert_eq!(tripped, read >= of && is_more);
            }
        }
    }
}
