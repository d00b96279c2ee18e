//! Days and microseconds rounded down to what a person would call less precise, in the proleptic Gregorian calendar
//! and UTC. After Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".

/// Microseconds of one day.
const DAY_US: i64 = 86_400_000_000;
/// Microseconds of one hour.
const HOUR_US: i64 = 3_600_000_000;

/// How coarse a moment becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grain {
    Year,
    Month,
    Day,
    Hour,
}

/// Year, month (1 to 12) and day (1 to 31) of so many days since 1970-01-01.
fn civil(days: i64) -> (i64, i64, i64) {
    // Years of this calendar begin in March, so that a leap day is the last of its year.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// Days from 1970-01-01 to the first of January of a year.
fn year_start(year: i64) -> i64 {
    let before = year - 1;
    365 * (year - 1970) + (before.div_euclid(4) - 492) - (before.div_euclid(100) - 19)
        + (before.div_euclid(400) - 4)
}

/// The first day of the year or month that `days` since 1970-01-01 lies in; itself for finer grains.
pub(crate) fn floor_days(days: i64, grain: Grain) -> i64 {
    let (year, _, day) = civil(days);
    match grain {
        Grain::Day | Grain::Hour => days,
        Grain::Month => days - (day - 1),
        Grain::Year => year_start(year),
    }
}

/// The beginning of the year, month, day or hour that these microseconds since 1970-01-01T00:00:00Z lie in.
pub(crate) fn floor_us(us: i64, grain: Grain) -> i64 {
    match grain {
        Grain::Hour => us.div_euclid(HOUR_US).saturating_mul(HOUR_US),
        grain => floor_days(us.div_euclid(DAY_US), grain).saturating_mul(DAY_US),
    }
}

/// `YYYY-MM-DD` of `days` since 1970-01-01, as ISO 8601 has it; years beyond four digits have a sign.
pub(crate) fn iso_date(days: i64) -> String {
    let (year, month, day) = civil(days);
    if (0..=9_999).contains(&year) {
        format!("{year:04}-{month:02}-{day:02}")
    } else {
        format!("{year:+05}-{month:02}-{day:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn moments_are_rounded_down() {
        for (days, text, month, year) in [
            (0, "1970-01-01", 0, 0),
            (-1, "1969-12-31", -31, -365),
            (59, "1970-03-01", 59, 0),
            (789, "1972-02-29", 761, 730),
            (11_016, "2000-02-29", 10_988, 10_957),
            (20_779, "2026-11-22", 20_758, 20_454),
            (-719_528, "0000-01-01", -719_528, -719_528),
            (-719_529, "-0001-12-31", -719_559, -719_893),
        ] {
            assert_eq!(iso_date(days), text);
            assert_eq!(floor_days(days, Grain::Month), month, "{text}");
            assert_eq!(floor_days(days, Grain::Year), year, "{text}");
        }
        let us = 20_779 * DAY_US + 13 * HOUR_US + 7;
        assert_eq!(floor_us(us, Grain::Hour), 20_779 * DAY_US + 13 * HOUR_US);
        assert_eq!(floor_us(us, Grain::Day), 20_779 * DAY_US);
        assert_eq!(floor_us(-1, Grain::Day), -DAY_US);
        assert_eq!(floor_us(-1, Grain::Hour), -HOUR_US);
    }

    proptest! {
        #[test]
        fn rounding_is_idempotent_and_never_up(days in -1_000_000_000_i64..1_000_000_000) {
            for grain in [Grain::Year, Grain::Month, Grain::Day] {
                let floor = floor_days(days, grain);
                prop_assert!(floor <= days && days - floor < 366);
                prop_assert_eq!(floor_days(floor, grain), floor);
            }
            let text = iso_date(floor_days(days, Grain::Year));
            prop_assert!(text.ends_with("-01-01"), "{}", text);
            let next = iso_date(days + 1);
            prop_assert_ne!(iso_date(days), next);
        }

        #[test]
        fn no_moment_overflows(us in any::<i64>()) {
            for grain in [Grain::Year, Grain::Month, Grain::Day, Grain::Hour] {
                prop_assert!(floor_us(us, grain) <= us || us < i64::MIN + 366 * DAY_US);
            }
        }
    }
}
