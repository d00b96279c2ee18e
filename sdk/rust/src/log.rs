//! Structured log lines. The host bounds their length and rate and labels them with the plugin's name; what goes
//! beyond the limits is counted, not kept. No record's content belongs here.

use crate::bindings::source::sluice::plugin::log;

pub use log::Level;

/// Writes one line: a constant message, and what varies as fields.
pub fn write(level: Level, message: &str, fields: &[(&str, &str)]) {
    let fields: Vec<(String, String)> = fields
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    #[cfg(target_family = "wasm")]
    log::write(level, message, &fields);
    #[cfg(not(target_family = "wasm"))]
    crate::testing::logged(level, message, fields);
}

/// Steps, for the plugin's author.
pub fn debug(message: &str, fields: &[(&str, &str)]) {
    write(Level::Debug, message, fields);
}

/// What an operator may want to know.
pub fn info(message: &str, fields: &[(&str, &str)]) {
    write(Level::Info, message, fields);
}

/// What an operator should look at.
pub fn warn(message: &str, fields: &[(&str, &str)]) {
    write(Level::Warn, message, fields);
}

/// What went wrong. A fault says it too: log it only where there is more to say.
pub fn error(message: &str, fields: &[(&str, &str)]) {
    write(Level::Error, message, fields);
}
