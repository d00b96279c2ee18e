//! A guest's answers in the house's words: faults, rejections and names, bounded and fit to be shown.

use crate::bindings::imports::types as wit;
use crate::columns::Lie;
use crate::guest::Guest;
use sluice_model::fault::{Fault, FaultKind};
use sluice_model::guards::Guard;
use sluice_model::limits;
use sluice_model::text::shown;
use std::collections::HashSet;
use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

/// The interface has types and no functions.
impl wit::Host for Guest {}

/// Why the plugin could not do its work, by its own word.
pub(crate) fn fault(given: &wit::Fault) -> Fault {
    let (kind, message) = match given {
        wit::Fault::Transient(transient) => {
            let retry_after = transient.retry_after_ms.map(Duration::from_millis);
            (FaultKind::Transient { retry_after }, &transient.message)
        }
        wit::Fault::Unauthorized(message) => (FaultKind::Unauthorized, message),
        wit::Fault::Misconfigured(message) => (FaultKind::Misconfigured, message),
        wit::Fault::Denied(message) => (FaultKind::Denied, message),
        wit::Fault::CursorLost(message) => (FaultKind::CursorLost, message),
        wit::Fault::Broken(message) => (FaultKind::Broken, message),
    };
    let most = Guard::FaultBytes.limit(limits::FAULT_BYTES_MAX);
    Fault::new(kind, shown(message, most))
}

/// A rejection's code and message.
pub(crate) fn rejection(given: &wit::Rejection) -> (String, String) {
    let code_max = Guard::RejectionCode.limit(limits::REJECTION_CODE_BYTES_MAX);
    let message_max = Guard::RejectionMessage.limit(limits::REJECTION_MESSAGE_BYTES_MAX);
    (
        shown(&given.code, code_max),
        shown(&given.message, message_max),
    )
}

/// A name the guest chose.
pub(crate) fn name<T: FromStr<Err: Display>>(given: &str) -> Result<T, Lie> {
    given
        .parse()
        .map_err(|error: T::Err| Lie::new(shown(&error.to_string(), limits::FAULT_BYTES_MAX)))
}

/// A guest's text inside a message of ours.
pub(crate) fn quoted(text: &str) -> String {
    shown(text, limits::FIELD_NAME_BYTES_MAX)
}

/// The first name that stands twice.
pub(crate) fn twice<'a>(names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut seen = HashSet::new();
    names.into_iter().find(|name| !seen.insert(*name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rejections_words_are_bounded() {
        let (code, message) = rejection(&wit::Rejection {
            part: 0,
            row: 0,
            code: "no".repeat(1_000),
            message: "no ".repeat(1_000),
        });
        assert_eq!(code.len(), limits::REJECTION_CODE_BYTES_MAX);
        assert_eq!(message.len(), limits::REJECTION_MESSAGE_BYTES_MAX);
    }
}
