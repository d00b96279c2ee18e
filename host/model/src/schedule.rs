//! When a pipeline runs under `sluice serve`, as its file says it: `once`, `continuous`, `every 15m`,
//! `cron "0 6 * * 1-5" in "Europe/Stockholm"`. When that is next is worked out in `service`.

use crate::sizes::Span;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The shortest `every`. Stops a schedule from opening a source's connections without end: `continuous` paces itself.
const EVERY_MIN: Duration = Duration::from_secs(1);

/// The zone of a `cron` that names none.
pub const UTC: &str = "UTC";

/// When a pipeline runs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Schedule {
    /// When the service starts, to the end of the source; again when its file changes or somebody resumes it.
    #[default]
    Once,
    /// Again and again: a run that is over is followed by the next.
    Continuous,
    /// So long after the last run began; at once where that run took longer. The first is at the service's start.
    Every(Span),
    /// At the times of a cron expression of five fields, in a time zone.
    Cron {
        /// `minute hour day-of-month month day-of-week`.
        expression: String,
        /// A name of the IANA time zone database.
        zone: String,
    },
}

/// Not a schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// None of the words.
    #[error(
        "`{0}` is not a schedule (`once`, `continuous`, `every 15m`, `cron \"0 6 * * 1-5\" in \"Europe/Stockholm\"`)"
    )]
    Word(String),
    /// An `every` without a length of time.
    #[error("`every {0}` is not a schedule: `every 30s`, `every 15m`, `every 6h`")]
    Every(String),
    /// An `every` that is hardly a pause.
    #[error("`every {0}` is too often; `continuous` runs again and again")]
    TooOften(Span),
}

impl FromStr for Schedule {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        let wrong = || ScheduleError::Word(text.to_owned());
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        match (word, rest.trim()) {
            ("once", "") => Ok(Self::Once),
            ("continuous", "") => Ok(Self::Continuous),
            ("every", span) => {
                let every: Span = span
                    .parse()
                    .map_err(|_| ScheduleError::Every(span.to_owned()))?;
                if every.0 < EVERY_MIN {
                    return Err(ScheduleError::TooOften(every));
                }
                Ok(Self::Every(every))
            }
            ("cron", rest) => {
                let (expression, rest) = quoted(rest).ok_or_else(wrong)?;
                let zone = match rest {
                    "" => UTC.to_owned(),
                    rest => {
                        let zone = rest
                            .strip_prefix("in ")
                            .and_then(|rest| quoted(rest.trim()));
                        let (zone, rest) = zone.ok_or_else(wrong)?;
                        if !rest.is_empty() {
                            return Err(wrong());
                        }
                        zone.to_owned()
                    }
                };
                Ok(Self::Cron {
                    expression: expression.to_owned(),
                    zone,
                })
            }
            _ => Err(wrong()),
        }
    }
}

/// What stands between quotes, and what comes after.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let (inner, rest) = text.strip_prefix('"')?.split_once('"')?;
    (!inner.is_empty()).then_some((inner, rest.trim()))
}

impl TryFrom<String> for Schedule {
    type Error = ScheduleError;
    fn try_from(text: String) -> Result<Self, ScheduleError> {
        text.parse()
    }
}

impl From<Schedule> for String {
    fn from(schedule: Schedule) -> String {
        schedule.to_string()
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Schedule::Once => f.write_str("once"),
            Schedule::Continuous => f.write_str("continuous"),
            Schedule::Every(span) => write!(f, "every {span}"),
            Schedule::Cron { expression, zone } => write!(f, "cron \"{expression}\" in \"{zone}\""),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_are_read_and_written() {
        let cron = |expression: &str, zone: &str| Schedule::Cron {
            expression: expression.to_owned(),
            zone: zone.to_owned(),
        };
        let every = |seconds| Schedule::Every(Span(Duration::from_secs(seconds)));
        for (text, expected, written) in [
            ("once", Schedule::Once, "once"),
            ("continuous", Schedule::Continuous, "continuous"),
            ("every 15m", every(900), "every 15m"),
            ("every  90s", every(90), "every 90s"),
            (
                "cron \"0 6 * * 1-5\" in \"Europe/Stockholm\"",
                cron("0 6 * * 1-5", "Europe/Stockholm"),
                "cron \"0 6 * * 1-5\" in \"Europe/Stockholm\"",
            ),
            (
                "cron \"0 6 * * *\"",
                cron("0 6 * * *", UTC),
                "cron \"0 6 * * *\" in \"UTC\"",
            ),
        ] {
            let schedule: Schedule = text.parse().expect(text);
            assert_eq!(
                (&schedule, schedule.to_string().as_str()),
                (&expected, written)
            );
            assert_eq!(written.parse(), Ok(expected));
        }
    }

    #[test]
    fn what_is_no_schedule_is_told() {
        for (text, told) in [
            ("", "is not a schedule"),
            ("hourly", "`hourly` is not a schedule (`once`"),
            ("once more", "is not a schedule"),
            ("every", "`every ` is not a schedule: `every 30s`"),
            ("every day", "`every day` is not a schedule"),
            ("every 10ms", "`every 10ms` is too often"),
            ("every 0s", "is too often"),
            ("cron 0 6 * * *", "is not a schedule"),
            ("cron \"\"", "is not a schedule"),
            ("cron \"0 6 * * *\" at \"UTC\"", "is not a schedule"),
            (
                "cron \"0 6 * * *\" in \"UTC\" or later",
                "is not a schedule",
            ),
        ] {
            let error = text.parse::<Schedule>().expect_err(text).to_string();
            assert!(error.contains(told), "{text}: {error}");
        }
    }
}
