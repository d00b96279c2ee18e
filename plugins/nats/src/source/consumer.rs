//! The durable consumer: what remembers at the server which messages were delivered. Made where there is none; what is
//! there stays as it is, and is refused where its settings would have it skip, lose or end something.

use crate::config::{Start, StreamSettings};
use crate::jetstream::{self, ConsumerConfig};
use crate::session::Session;
use sluice_sdk::Fault;

/// As it is made, and must be.
fn wanted(settings: &StreamSettings, opt_start_seq: Option<u64>) -> ConsumerConfig {
    let deliver_policy = if settings.start == Start::New {
        "by_start_sequence"
    } else {
        "all"
    };
    ConsumerConfig {
        durable_name: settings.consumer.clone(),
        description: "sluice".to_owned(),
        deliver_policy: deliver_policy.to_owned(),
        opt_start_seq,
        ack_policy: "explicit".to_owned(),
        ack_wait: u64::try_from(settings.ack_wait().as_nanos()).unwrap_or(u64::MAX),
        max_deliver: -1,
        filter_subject: settings.subject.clone().unwrap_or_default(),
        replay_policy: "instant".to_owned(),
        max_ack_pending: settings.max_ack_pending.into(),
        ..ConsumerConfig::default()
    }
}

/// Makes it where there is none.
pub(super) fn prepare(session: &mut Session, settings: &StreamSettings) -> Result<(), Fault> {
    if let Some(found) = jetstream::consumer(session, &settings.stream, &settings.consumer)? {
        return check(settings, &found.config);
    }
    let start = match settings.start {
        Start::All => None,
        // By its number, and not by "new": so a split that is reset begins there again.
        Start::New => Some(
            jetstream::stream(session, &settings.stream)?
                .state
                .last_seq
                .saturating_add(1),
        ),
    };
    jetstream::make_consumer(session, &settings.stream, &wanted(settings, start))
}

/// That one which is there is as it would have been made.
pub(super) fn check(settings: &StreamSettings, found: &ConsumerConfig) -> Result<(), Fault> {
    let differing = differences(settings, found);
    if differing.is_empty() {
        return Ok(());
    }
    Err(Fault::misconfigured(format!(
        "the consumer `{}` of the stream `{}` is there with other settings: {}; hint: name another `consumer`, or remove that one",
        settings.consumer,
        settings.stream,
        differing.join(", ")
    )))
}

fn differences(settings: &StreamSettings, found: &ConsumerConfig) -> Vec<String> {
    let wanted = wanted(settings, None);
    let text = |name: &str, found: &str, wanted: &str| {
        let shown = |value: &str| {
            if value.is_empty() {
                "nothing".to_owned()
            } else {
                format!("`{}`", crate::wire::text(value.as_bytes(), 100))
            }
        };
        (found != wanted)
            .then(|| format!("`{name}` is {} and must be {}", shown(found), shown(wanted)))
    };
    let number =
        |name: &str, found: i128, wanted: i128| text(name, &found.to_string(), &wanted.to_string());
    [
        text(
            "deliver_policy",
            &found.deliver_policy,
            &wanted.deliver_policy,
        ),
        text("ack_policy", &found.ack_policy, &wanted.ack_policy),
        text(
            "filter_subject",
            &found.filter_subject,
            &wanted.filter_subject,
        ),
        text("replay_policy", &found.replay_policy, &wanted.replay_policy),
        text("deliver_subject", &found.deliver_subject, ""),
        number("ack_wait", found.ack_wait.into(), wanted.ack_wait.into()),
        number(
            "max_deliver",
            found.max_deliver.into(),
            wanted.max_deliver.into(),
        ),
        number(
            "max_ack_pending",
            found.max_ack_pending.into(),
            wanted.max_ack_pending.into(),
        ),
        number("max_batch", found.max_batch.into(), 0),
        number("max_expires", found.max_expires.into(), 0),
        number("max_bytes", found.max_bytes.into(), 0),
        number("inactive_threshold", found.inactive_threshold.into(), 0),
        text("headers_only", &found.headers_only.to_string(), "false"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting_that_differs_is_named() {
        let settings: StreamSettings =
            serde_json::from_str(r#"{"stream": "S", "consumer": "c", "subject": "a.>"}"#)
                .expect("settings");
        let made = serde_json::to_value(wanted(&settings, None)).expect("JSON");
        let told = |name: &str, value: serde_json::Value| {
            let mut found = made.clone();
            found[name] = value;
            let found: ConsumerConfig = serde_json::from_value(found).expect("a consumer");
            check(&settings, &found)
        };
        assert_eq!(told("description", "somebody's".into()), Ok(()));
        for (name, value) in [
            ("deliver_policy", "last".into()),
            ("ack_policy", "none".into()),
            ("ack_policy", "all".into()),
            ("ack_wait", 1_000.into()),
            ("max_deliver", 3.into()),
            ("filter_subject", "b.>".into()),
            ("filter_subject", "".into()),
            ("replay_policy", "original".into()),
            ("max_ack_pending", 5.into()),
            ("deliver_subject", "there".into()),
            ("headers_only", true.into()),
            ("max_batch", 1.into()),
            ("max_expires", 1.into()),
            ("max_bytes", 1.into()),
            ("inactive_threshold", 1.into()),
        ] {
            let fault = told(name, value).expect_err(name);
            assert!(matches!(fault, Fault::Misconfigured(_)), "{fault}");
            assert!(
                fault.message().contains(&format!("`{name}` is ")),
                "{fault}"
            );
        }
    }
}
