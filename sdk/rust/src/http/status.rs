//! What a status that nobody expected means, and how long the other side asked to be left alone.

use super::Response;
use crate::Fault;
use crate::calendar::days;

pub(super) fn fault(response: &Response) -> Fault {
    let message = format!("the server answered {}", response.status);
    let transient = || {
        let fault = Fault::transient(&message);
        match retry_after_ms(response).or_else(|| reset_ms(response)) {
            Some(wait_ms) => fault.retry_after_ms(wait_ms),
            None => fault,
        }
    };
    match response.status {
        403 if is_limit(response) => transient(),
        401 | 403 | 407 => Fault::unauthorized(message),
        408 | 425 | 429 | 500..=599 => transient(),
        300..=399 => Fault::misconfigured(match response.header("location") {
            Some(_) => format!("{message}: it has moved, and redirects are not followed"),
            None => message,
        }),
        404 | 405 | 410 => Fault::misconfigured(message),
        _ => Fault::broken(message),
    }
}

/// `Retry-After` in seconds, or as a date where the answer carries its own `Date` to measure from: a plugin has no
/// clock.
fn retry_after_ms(response: &Response) -> Option<u64> {
    let value = response.header("retry-after")?.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return seconds.checked_mul(1_000);
    }
    let (until, now) = (seconds(value)?, seconds(response.header("date")?.trim())?);
    u64::try_from(until - now).ok()?.checked_mul(1_000)
}

/// Beyond it, a reset is not in so many seconds but at them, since 1970.
const RESET_SECONDS_MAX: i64 = 1_000_000_000;

/// Whether a 403 says "not so many" rather than "not you": some APIs do.
fn is_limit(response: &Response) -> bool {
    response.header("retry-after").is_some() || limit(response, "remaining") == Some("0")
}

/// Until the next requests are let through, where none is left: seconds, or an instant that is measured from the
/// answer's own `Date`.
fn reset_ms(response: &Response) -> Option<u64> {
    limit(response, "remaining").filter(|left| *left == "0")?;
    let reset: i64 = limit(response, "reset")?.parse().ok()?;
    let wait = if reset > RESET_SECONDS_MAX {
        reset - seconds(response.header("date")?.trim())?
    } else {
        reset
    };
    u64::try_from(wait).ok()?.checked_mul(1_000)
}

/// `X-RateLimit-Remaining` and its kin, with the `X-` or without.
fn limit<'r>(response: &'r Response, what: &str) -> Option<&'r str> {
    let named = |prefix: &str| response.header(&format!("{prefix}ratelimit-{what}"));
    named("x-").or_else(|| named("")).map(str::trim)
}

/// Seconds since 1970 of an IMF-fixdate (RFC 9110, 5.6.7): `Sun, 06 Nov 1994 08:49:37 GMT`.
fn seconds(date: &str) -> Option<i64> {
    let (_, rest) = date.split_once(", ")?;
    let mut words = rest.split(' ');
    let (day, month, year) = (
        number(words.next()?)?,
        words.next()?,
        number(words.next()?)?,
    );
    let mut clock = words.next()?.split(':');
    let (hour, minute, second) = (
        number(clock.next()?)?,
        number(clock.next()?)?,
        number(clock.next()?)?,
    );
    let month = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]
    .iter()
    .position(|name| *name == month)?;
    (words.next() == Some("GMT") && clock.next().is_none()).then(|| {
        days(year, i64::try_from(month).unwrap_or(0) + 1, day) * 86_400
            + hour * 3_600
            + minute * 60
            + second
    })
}

/// A number of at most four digits.
fn number(digits: &str) -> Option<i64> {
    (digits.len() <= 4 && digits.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_become_faults() {
        let answer = |status| Response::new(status, "");
        for (response, expected) in [
            (answer(401), "unauthorized: the server answered 401"),
            (answer(404), "misconfigured: the server answered 404"),
            (
                answer(302).with_header("Location", "/x"),
                "misconfigured: the server answered 302: it has moved, and redirects are not followed",
            ),
            (answer(422), "broken: the server answered 422"),
            (answer(503), "transient: the server answered 503"),
        ] {
            assert_eq!(response.fault().to_string(), expected);
        }
        assert!(answer(204).success().is_ok());
        assert!(answer(304).success().is_err());
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let wait = |value: &str, date: &str| {
            let response = Response::new(429, "")
                .with_header("retry-after", value)
                .with_header("date", date);
            match response.fault() {
                Fault::Transient { retry_after_ms, .. } => retry_after_ms,
                other => panic!("{other}"),
            }
        };
        let now = "Sun, 06 Nov 1994 08:49:37 GMT";
        for (value, expected) in [
            ("120", Some(120_000)),
            (" 0 ", Some(0)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60_000)),
            ("Sun, 06 Nov 1994 08:48:37 GMT", None),
            ("Wed, 01 Mar 2000 00:00:00 GMT", Some(167_757_023_000)),
            ("soon", None),
            ("-1", None),
            ("18446744073709551615", None),
            ("Sun, 06 Nov 1994 99999:49:37 GMT", None),
        ] {
            assert_eq!(wait(value, now), expected, "{value}");
        }
        assert_eq!(wait("Sun, 06 Nov 1994 08:50:37 GMT", "yesterday"), None);
    }

    #[test]
    fn a_limit_that_is_used_up_says_until_when() {
        let check = |status: u16, headers: &[(&str, &str)], expected: Option<Option<u64>>| {
            let response = headers.iter().fold(
                Response::new(status, "").with_header("date", "Thu, 01 Jan 2026 00:00:00 GMT"),
                |response, (name, value)| response.with_header(name, *value),
            );
            let found = match response.fault() {
                Fault::Transient { retry_after_ms, .. } => Some(retry_after_ms),
                Fault::Unauthorized(_) => None,
                other => panic!("{other}"),
            };
            assert_eq!(found, expected, "{status} {headers:?}");
        };
        let (left, reset) = ("x-ratelimit-remaining", "x-ratelimit-reset");
        check(403, &[], None);
        check(403, &[(left, "7"), (reset, "1767225630")], None);
        check(403, &[("retry-after", "2")], Some(Some(2_000)));
        check(403, &[(left, "0"), (reset, "60")], Some(Some(60_000)));
        check(403, &[(left, "0"), (reset, "soon")], Some(None));
        check(403, &[(left, "0"), (reset, "-1")], Some(None));
        check(
            403,
            &[(left, "0"), (reset, "1767225630")],
            Some(Some(30_000)),
        );
        check(403, &[(left, "0"), (reset, "1767225599")], Some(None));
        check(
            429,
            &[("ratelimit-remaining", "0"), ("ratelimit-reset", "3")],
            Some(Some(3_000)),
        );
        check(429, &[(left, "1"), (reset, "3")], Some(None));
        check(
            429,
            &[(left, "0"), (reset, "3"), ("retry-after", "1")],
            Some(Some(1_000)),
        );
    }
}
