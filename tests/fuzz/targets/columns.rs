//! Columns, as a guest hands them over: refused, or sound by Arrow's own account.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    sluice_engine::fuzzing::columns(bytes);
});
