//! A JSON document with its records behind a pointer: the first line, where it begins with `/`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice_codec::DocumentFormat;

fuzz_target!(|bytes: &[u8]| {
    let mut pointer = String::new();
    let mut rest = bytes;
    if let Some(end) = bytes.iter().position(|byte| *byte == b'\n')
        && bytes.starts_with(b"/")
        && let Ok(line) = std::str::from_utf8(&bytes[..end])
    {
        (pointer, rest) = (line.to_owned(), &bytes[end + 1..]);
    }
    sluice_fuzz::document(&DocumentFormat::Json { pointer }, rest);
});
