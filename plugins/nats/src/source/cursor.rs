//! Where a stream is: behind which message. As JSON, so that an operator reads it, and sets one by hand.

use crate::config::StreamSettings;
use crate::jetstream::StreamInfo;
use serde::{Deserialize, Serialize};
use sluice_sdk::Fault;

/// Where a stream is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Behind the message of this number.
    pub(super) sequence: u64,
    /// When the stream was made, in which that is a number; none where it was set by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) created: Option<String>,
}

impl Place {
    /// Whether it is a place in this stream, and what is behind it is still there.
    pub(super) fn fits(&self, settings: &StreamSettings, found: &StreamInfo) -> Result<(), Fault> {
        let name = &settings.stream;
        let hint = "hint: reset the checkpoints of this pipeline, or set its place";
        if self
            .created
            .as_ref()
            .is_some_and(|created| *created != found.created)
        {
            return Err(Fault::cursor_lost(format!(
                "the stream `{name}` is another than the one that was read up to {}: it was made anew; {hint}",
                self.sequence
            )));
        }
        if self.sequence > found.state.last_seq {
            return Err(Fault::cursor_lost(format!(
                "the stream `{name}` ends at {}, before the place {}: it is another, or was restored; {hint}",
                found.state.last_seq, self.sequence
            )));
        }
        let first = found.state.first_seq;
        if first > self.sequence.saturating_add(1) && is_told(settings, found) {
            return Err(Fault::cursor_lost(format!(
                "the stream `{name}` begins at {first}, and was read up to {}: what lies between was removed before it was \
                 read; {hint}",
                self.sequence
            )));
        }
        Ok(())
    }
}

/// Whether the first message there is tells that others were removed before their time. It does not where what is left out
/// here is removed once its own readers have it, nor where each message of a subject replaces an older one.
fn is_told(settings: &StreamSettings, found: &StreamInfo) -> bool {
    let is_whole = settings.subject.is_none() || found.config.retention == "limits";
    is_whole && found.config.max_msgs_per_subject <= 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(place: &str, subject: &str, config: &str, first: u64, last: u64) -> Result<(), Fault> {
        let place: Place = serde_json::from_str(place).expect(place);
        let settings = format!(r#"{{"stream": "S", "consumer": "c"{subject}}}"#);
        let found = format!(
            r#"{{"created": "then", "config": {config}, "state": {{"first_seq": {first}, "last_seq": {last}}}}}"#
        );
        place.fits(
            &serde_json::from_str(&settings).expect("settings"),
            &serde_json::from_str(&found).expect("a stream"),
        )
    }

    #[test]
    fn what_is_gone_is_told() {
        const ALL: &str = r#"{"retention": "limits", "max_msgs_per_subject": -1}"#;
        const QUEUE: &str = r#"{"retention": "workqueue", "max_msgs_per_subject": -1}"#;
        const LAST: &str = r#"{"retention": "limits", "max_msgs_per_subject": 1}"#;
        const FILTER: &str = r#", "subject": "a.>""#;
        const HERE: &str = r#"{"sequence": 5, "created": "then"}"#;
        for (place, subject, config, first, last, told) in [
            (HERE, "", ALL, 1, 9, None),
            (HERE, "", ALL, 6, 9, None),
            (HERE, "", ALL, 6, 5, None),
            (HERE, "", ALL, 7, 9, Some("removed before")),
            (HERE, FILTER, ALL, 7, 9, Some("removed before")),
            (HERE, "", QUEUE, 7, 9, Some("removed before")),
            (HERE, FILTER, QUEUE, 7, 9, None),
            (HERE, "", LAST, 7, 9, None),
            (HERE, "", ALL, 1, 4, Some("ends at 4")),
            (
                r#"{"sequence": 5, "created": "later"}"#,
                "",
                ALL,
                1,
                9,
                Some("made anew"),
            ),
            (r#"{"sequence": 5}"#, "", ALL, 1, 9, None),
            (r#"{"sequence": 0}"#, "", ALL, 0, 0, None),
        ] {
            match (fits(place, subject, config, first, last), told) {
                (Ok(()), None) => {}
                (Err(Fault::CursorLost(text)), Some(told)) if text.contains(told) => {}
                (found, told) => {
                    panic!("{place} {subject} {config} {first} {last}: {found:?}, not {told:?}")
                }
            }
        }
    }

    #[test]
    fn a_place_is_what_a_person_reads() {
        let place = Place {
            sequence: 7,
            created: Some("then".to_owned()),
        };
        let json = serde_json::to_string(&place).expect("JSON");
        assert_eq!(json, r#"{"sequence":7,"created":"then"}"#);
        assert!(serde_json::from_str::<Place>(r#"{"sequence":7,"at":1}"#).is_err());
    }
}
