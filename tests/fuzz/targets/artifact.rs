//! A component's file: it is read or refused, and what is packed again is read the same.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| sluice_engine::fuzzing::artifact(bytes));
