//! Lines of JSON objects.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice_codec::DocumentFormat;

fuzz_target!(|bytes: &[u8]| sluice_fuzz::document(&DocumentFormat::Ndjson, bytes));
