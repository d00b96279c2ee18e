//! The log: bounded in lines and bytes, control characters escaped.

use crate::bindings::imports::log as wit;
use crate::guest::Guest;
use sluice_model::guards::Guard;
use sluice_model::limits::{LOG_LINE_BYTES_MAX, LOG_LINES_MAX};
use sluice_model::ports::{LogLevel, LogLine};
use sluice_model::text::shown;

/// Lines an instance has written.
#[derive(Debug, Default)]
pub(crate) struct LogMeter {
    lines: u64,
}

impl wit::Host for Guest {
    fn write(
        &mut self,
        level: wit::Level,
        message: String,
        fields: Vec<(String, String)>,
    ) -> wasmtime::Result<()> {
        self.log.lines += 1;
        if self.log.lines > Guard::LogLines.limit(LOG_LINES_MAX) {
            return Ok(());
        }
        let level = match level {
            wit::Level::Trace => LogLevel::Trace,
            wit::Level::Debug => LogLevel::Debug,
            wit::Level::Info => LogLevel::Info,
            wit::Level::Warn => LogLevel::Warn,
            wit::Level::Error => LogLevel::Error,
        };
        self.say(level, line(message, fields));
        Ok(())
    }
}

impl Guest {
    fn say(&self, level: LogLevel, text: String) {
        self.observer.logged(LogLine {
            stage: self.stage(),
            level,
            text,
        });
    }
}

/// The message, and its fields as `name=value`.
fn line(mut message: String, fields: Vec<(String, String)>) -> String {
    let most = Guard::LogLineBytes.limit(LOG_LINE_BYTES_MAX);
    for (name, value) in fields {
        if message.len() > most {
            break;
        }
        message.push(' ');
        message.push_str(&name);
        message.push('=');
        message.push_str(&value);
    }
    shown(&message, most)
}

/// How many lines were not kept, and which columns were used, told when the instance ends.
impl Drop for Guest {
    fn drop(&mut self) {
        self.tally.tell(&*self.observer, self.effective.stage);
        let lost = self.log.lines.saturating_sub(LOG_LINES_MAX);
        if lost > 0 {
            let text = format!(
                "{lost} more log lines were not kept: an instance may write {LOG_LINES_MAX}"
            );
            self.say(LogLevel::Warn, text);
        }
    }
}
