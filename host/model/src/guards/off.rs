//! Which guard is switched off in this process. Debug builds alone have this file: it reads the environment, which
//! nothing else in this crate does.

use super::Guard;
use std::sync::OnceLock;

/// The variable that names a guard.
const VARIABLE: &str = "SLUICE_GUARD_OFF";

/// Read once.
///
/// # Panics
/// Where it names no guard: a check that switched nothing off would have seen nothing.
pub(super) fn named() -> Option<Guard> {
    static NAMED: OnceLock<Option<Guard>> = OnceLock::new();
    *NAMED.get_or_init(|| {
        let word = std::env::var(VARIABLE).ok()?;
        let found = Guard::ALL.iter().find(|guard| guard.word() == word);
        Some(*found.unwrap_or_else(|| panic!("`{VARIABLE}={word}` names no guard")))
    })
}
