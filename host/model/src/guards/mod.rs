//! Every guard by name, so that each can be switched off alone and a test seen to go red: the mutation check,
//! `cargo x guards`. What a guard decides stands where it always stood; here is only whether it does.
//!
//! A release holds no switch: [`Guard::stands`] is `true` there, and what asks it is compiled away. A debug build reads
//! one environment variable, once (`off`).
//!
//! Invariant: every guard is used, and has a test that goes red without it (test: `every_guard_has_its_test` in
//! `tests/walls`; `cargo x guards` sees that it does).

mod list;
#[cfg(debug_assertions)]
mod off;

pub use list::Guard;

use std::time::Duration;

impl Guard {
    /// Whether it does its work. Always, in a release.
    #[inline]
    pub fn stands(self) -> bool {
        off() != Some(self)
    }

    /// What this guard is there to stop: yes, where it stands and this is so.
    #[inline]
    pub fn bars(self, is_so: bool) -> bool {
        self.stands() && is_so
    }

    /// What this guard insists on: yes, where this is so or the guard is switched off.
    #[inline]
    pub fn holds(self, is_so: bool) -> bool {
        is_so || !self.stands()
    }

    /// A limit; without the guard there is none.
    #[inline]
    pub fn limit<T: Limit>(self, limit: T) -> T {
        if self.stands() { limit } else { T::NONE }
    }

    /// As the check and the documentation call it: `host-named` for [`Guard::HostNamed`].
    pub fn word(self) -> String {
        let mut word = String::new();
        for c in format!("{self:?}").chars() {
            if c.is_ascii_uppercase() && !word.is_empty() {
                word.push('-');
            }
            word.push(c.to_ascii_lowercase());
        }
        word
    }
}

/// The guard that is switched off in this process; none in a release.
#[inline]
pub fn off() -> Option<Guard> {
    #[cfg(debug_assertions)]
    return off::named();
    #[cfg(not(debug_assertions))]
    None
}

/// What a limit is written in.
pub trait Limit {
    /// No limit.
    const NONE: Self;
}

impl Limit for usize {
    const NONE: Self = Self::MAX;
}

impl Limit for u64 {
    const NONE: Self = Self::MAX;
}

impl Limit for u32 {
    const NONE: Self = Self::MAX;
}

impl Limit for Duration {
    /// Longer than any test waits, and no sum with a clock's time overflows.
    const NONE: Self = Duration::from_hours(1_000);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn each_guard_has_a_word_of_its_own() {
        let words: HashSet<String> = Guard::ALL.iter().map(|guard| guard.word()).collect();
        assert_eq!(words.len(), Guard::ALL.len());
        assert_eq!(Guard::HostNamed.word(), "host-named");
    }

    #[test]
    fn what_stands_decides() {
        // The check itself switches others off, never this one.
        let guard = Guard::HostNamed;
        if off() == Some(guard) {
            return;
        }
        assert!(guard.stands());
        assert!(guard.bars(true) && !guard.bars(false));
        assert!(guard.holds(true) && !guard.holds(false));
        assert_eq!(guard.limit(7_usize), 7);
    }
}
