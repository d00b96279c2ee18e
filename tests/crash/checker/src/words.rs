//! What a program said as it ended. Whoever fails says so in a sentence of its own and with an exit code; a panic, an
//! abort or a hang is none.

use std::time::Duration;

/// How a program ended.
#[derive(Debug, Clone, Default)]
pub struct Ended {
    /// Its exit code; none where a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Whether it was waited for in vain.
    pub hung: bool,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
    /// How long it took.
    pub took: Duration,
}

/// The signal that nothing survives, and that the tests send.
pub const SIGKILL: i32 = 9;

/// Where the engine's own code lies.
const ENGINE: &str = "/sled-0.34.7/src/";

/// What a program exits with that did not catch a panic.
const PANICKED: i32 = 101;

/// What no message for people holds.
const NEVER_SAID: [&str; 4] = [
    "panicked at",
    "RUST_BACKTRACE",
    "stack overflow",
    "internal error: entered unreachable",
];

impl Ended {
    /// Whether it was killed.
    pub fn was_killed(&self) -> bool {
        self.signal == Some(SIGKILL) && !self.hung
    }

    /// Whether it did what it was asked to do.
    pub fn is_done(&self) -> bool {
        self.code == Some(0)
    }

    /// Panics of the store's engine that the host has caught: the engine knows no other answer to some errors of a disk.
    /// None where any other part panicked, or where the panic ended the program.
    pub fn engine_panics(&self) -> usize {
        let panics = self.err.lines().filter(|line| line.contains("panicked at"));
        let (engine, other): (Vec<_>, Vec<_>) = panics.partition(|line| line.contains(ENGINE));
        let is_caught = self.signal.is_none() && self.code.is_some_and(|code| code != PANICKED);
        if is_caught && other.is_empty() && !self.out.contains("panicked at") {
            engine.len()
        } else {
            0
        }
    }

    /// What is wrong with how it ended; nothing where it did what was asked, failed with words of its own, or was killed.
    pub fn check(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.hung {
            wrong.push(format!("it hangs: {:?} and no end", self.took));
        } else if let Some(signal) = self.signal.filter(|signal| *signal != SIGKILL) {
            wrong.push(format!("signal {signal} ended it"));
        }
        for text in [&self.out, &self.err] {
            if self.engine_panics() > 0 {
                continue;
            }
            let said = NEVER_SAID.iter().filter(|never| text.contains(**never));
            wrong.extend(said.map(|never| format!("it said `{never}`: {}", shown(text))));
        }
        if self.code.is_some_and(|code| code > 0)
            && self.out.trim().is_empty()
            && self.err.trim().is_empty()
        {
            wrong.push("it failed without a word".to_owned());
        }
        wrong
    }
}

/// The end of a text, for a message.
pub fn shown(text: &str) -> String {
    const CHARACTERS: usize = 600;
    let skipped = text.chars().count().saturating_sub(CHARACTERS);
    text.trim().chars().skip(skipped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_of_its_own_are_an_end() {
        let failed = Ended {
            code: Some(1),
            err: "error: the disk is full".to_owned(),
            ..Ended::default()
        };
        assert_eq!(failed.check(), Vec::<String>::new());
        let killed = Ended {
            signal: Some(SIGKILL),
            ..Ended::default()
        };
        assert!(killed.check().is_empty() && killed.was_killed());
        let engine = "thread 'state-writer' (7) panicked at /registry/sled-0.34.7/src/pagecache/logger.rs:467:41:\n";
        let caught = Ended {
            err: format!("{engine}error: it panicked while opening"),
            ..failed.clone()
        };
        assert!(caught.check().is_empty() && caught.engine_panics() == 1);
        for (ended, says) in [
            (
                Ended {
                    code: Some(101),
                    ..caught.clone()
                },
                "panicked at",
            ),
            (
                Ended {
                    err: format!("{engine}thread 'main' panicked at host/state/src/x.rs"),
                    ..failed.clone()
                },
                "panicked at",
            ),
            (
                Ended {
                    err: "thread 'main' panicked at x".to_owned(),
                    ..failed.clone()
                },
                "panicked at",
            ),
            (
                Ended {
                    err: String::new(),
                    ..failed.clone()
                },
                "without a word",
            ),
            (
                Ended {
                    code: None,
                    signal: Some(6),
                    ..failed.clone()
                },
                "signal 6",
            ),
            (
                Ended {
                    hung: true,
                    ..killed
                },
                "hangs",
            ),
        ] {
            assert!(ended.check().join("; ").contains(says), "{says}");
        }
    }
}
