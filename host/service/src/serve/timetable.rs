//! When a schedule's next run is. Pure: the time comes with the question, in milliseconds since 1970.
//!
//! A cron expression goes by the wall clock of its zone. Where that skips an hour, what was due in it runs once, at the
//! first moment after; where it repeats one, a fixed time runs once, the first time (test: `the_clock_is_changed`).

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use sluice_model::schedule::Schedule;

/// A schedule that can be asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Timetable(Kind);

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    Once,
    Continuous,
    Every(u64),
    Cron(Box<Cron>, TimeZone),
}

impl Timetable {
    /// Of this schedule; in words where it cannot be kept.
    pub fn of(schedule: &Schedule) -> Result<Self, String> {
        Ok(Self(match schedule {
            Schedule::Once => Kind::Once,
            Schedule::Continuous => Kind::Continuous,
            Schedule::Every(span) => {
                Kind::Every(u64::try_from(span.0.as_millis()).unwrap_or(u64::MAX))
            }
            Schedule::Cron { expression, zone } => {
                let parser = CronParser::builder()
                    .seconds(Seconds::Disallowed)
                    .year(Year::Disallowed)
                    .build();
                let cron = parser.parse(expression).map_err(|error| {
                    let told = error.to_string().to_lowercase();
                    format!("`{expression}` is not a cron expression: {told}")
                })?;
                let zone = TimeZone::get(zone).map_err(|_| {
                    format!("`{zone}` is not a time zone, such as Europe/Stockholm")
                })?;
                if next(&cron, &zone, 0).is_none() {
                    return Err(format!("`{expression}` is never due"));
                }
                Kind::Cron(Box::new(cron), zone)
            }
        }))
    }

    /// The first run of a service that begins now.
    pub fn first(&self, now_ms: u64) -> Option<u64> {
        match &self.0 {
            Kind::Once | Kind::Continuous | Kind::Every(_) => Some(now_ms),
            Kind::Cron(cron, zone) => next(cron, zone, now_ms),
        }
    }

    /// The run after one that began then and is over now; a continuous one after this pause.
    pub fn next(&self, began_ms: u64, now_ms: u64, pause_ms: u64) -> Option<u64> {
        match &self.0 {
            Kind::Once => None,
            Kind::Continuous => Some(now_ms.saturating_add(pause_ms)),
            Kind::Every(every_ms) => Some(began_ms.saturating_add(*every_ms).max(now_ms)),
            Kind::Cron(cron, zone) => next(cron, zone, now_ms),
        }
    }
}

/// Strictly after this time.
fn next(cron: &Cron, zone: &TimeZone, after_ms: u64) -> Option<u64> {
    let after = Timestamp::from_millisecond(i64::try_from(after_ms).ok()?).ok()?;
    let next = cron
        .find_next_occurrence(&after.to_zoned(zone.clone()), false)
        .ok()?;
    u64::try_from(next.timestamp().as_millisecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cron(expression: &str, zone: &str) -> Result<Timetable, String> {
        Timetable::of(&Schedule::Cron {
            expression: expression.to_owned(),
            zone: zone.to_owned(),
        })
    }

    fn ms(text: &str) -> u64 {
        let time: Timestamp = text.parse().unwrap();
        time.as_millisecond().cast_unsigned()
    }

    fn due(expression: &str, from: &str, times: usize) -> Vec<String> {
        let timetable = cron(expression, "Europe/Stockholm").unwrap();
        let mut now = ms(from);
        (0..times)
            .map(|_| {
                now = timetable.first(now).unwrap();
                Timestamp::from_millisecond(now.cast_signed())
                    .unwrap()
                    .to_string()
            })
            .collect()
    }

    #[test]
    fn working_days_at_six() {
        assert_eq!(
            due("0 6 * * 1-5", "2026-10-22T12:00:00Z", 3),
            [
                "2026-10-23T04:00:00Z", // Friday, summer time
                "2026-10-26T05:00:00Z", // Monday, after the clocks went back
                "2026-10-27T05:00:00Z",
            ]
        );
    }

    #[test]
    fn the_clock_is_changed() {
        // On 2026-03-29 it goes from 02:00 to 03:00: half past two is not there.
        assert_eq!(
            due("30 2 * * *", "2026-03-28T12:00:00Z", 2),
            ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]
        );
        // On 2026-10-25 it goes from 03:00 back to 02:00: half past two is there twice.
        assert_eq!(
            due("30 2 * * *", "2026-10-24T12:00:00Z", 2),
            ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]
        );
    }

    #[test]
    fn what_cannot_be_kept_is_told() {
        for (expression, zone, told) in [
            ("60 * * * *", "UTC", "is not a cron expression"),
            ("0 6 * *", "UTC", "is not a cron expression"),
            ("* * * * * *", "UTC", "is not a cron expression"),
            ("0 6 30 2 *", "UTC", "is never due"),
            (
                "0 6 * * *",
                "Mars/Olympus",
                "`Mars/Olympus` is not a time zone",
            ),
        ] {
            let error = cron(expression, zone).unwrap_err();
            assert!(error.contains(told), "{expression}: {error}");
        }
    }
}
