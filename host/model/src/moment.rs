//! A point in time as people write it: RFC 3339, to the second, in UTC. Knows no clock: whoever has one passes it in.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Seconds since 1970, written `2027-01-31T12:00:00Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Moment(i64);

/// Not a point in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a time: `2027-01-31T12:00:00Z`, or `2027-01-31` for the end of that day")]
pub struct MomentError(String);

impl Moment {
    /// From seconds since 1970; what no calendar holds is its end.
    pub fn from_unix(seconds: i64) -> Self {
        Self(seconds.clamp(Timestamp::MIN.as_second(), Timestamp::MAX.as_second()))
    }

    /// Seconds since 1970.
    pub fn unix(self) -> i64 {
        self.0
    }

    /// So much later.
    #[must_use]
    pub fn after(self, span: std::time::Duration) -> Self {
        let seconds = i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
        Self::from_unix(self.0.saturating_add(seconds))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = Timestamp::from_second(self.0).map_err(|_| fmt::Error)?;
        write!(f, "{told}")
    }
}

impl FromStr for Moment {
    type Err = MomentError;
    fn from_str(text: &str) -> Result<Self, MomentError> {
        let bad = || MomentError(text.chars().take(64).collect());
        if text.contains('T') {
            let moment: Timestamp = text.parse().map_err(|_| bad())?;
            return Ok(Self(moment.as_second()));
        }
        // A day alone means all of it: what expires on it is good until midnight.
        let day: Date = text.parse().map_err(|_| bad())?;
        let next = day.tomorrow().map_err(|_| bad())?;
        let midnight = next.to_zoned(TimeZone::UTC).map_err(|_| bad())?;
        Ok(Self(midnight.timestamp().as_second()))
    }
}

impl TryFrom<String> for Moment {
    type Error = MomentError;
    fn try_from(text: String) -> Result<Self, MomentError> {
        text.parse()
    }
}

impl From<Moment> for String {
    fn from(moment: Moment) -> String {
        moment.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2026-11-26T09:10:33Z", 1_795_684_233),
            ("2026-11-26T10:10:33+01:00", 1_795_684_233),
            ("1970-01-01", 86_400),
        ] {
            assert_eq!(text.parse::<Moment>(), Ok(Moment(seconds)), "{text}");
        }
        assert_eq!(Moment(0).to_string(), "1970-01-01T00:00:00Z");
        for bad in [
            "",
            "T",
            "2026",
            "2026-13-01",
            "2026-11-26T09:10:33",
            "tomorrow",
            "9999-12-31",
        ] {
            assert!(bad.parse::<Moment>().is_err(), "{bad}");
        }
        assert_eq!(
            Moment::from_unix(i64::MAX).after(std::time::Duration::MAX),
            Moment::from_unix(i64::MAX)
        );
        Moment::from_unix(i64::MAX).to_string();
    }
}
