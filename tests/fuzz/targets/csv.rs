//! A table; its first byte is the delimiter.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice_codec::DocumentFormat;

fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else {
        return;
    };
    let delimiter = match first {
        b';' | b'\t' | b'|' => *first,
        _ => b',',
    };
    sluice_fuzz::document(
        &DocumentFormat::Csv {
            delimiter,
            header: None,
        },
        rest,
    );
    sluice_fuzz::document(
        &DocumentFormat::Csv {
            delimiter,
            header: Some(b"b,i,f,e,s,x,d,t,j".to_vec()),
        },
        rest,
    );
});
