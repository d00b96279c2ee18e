//! Whatever a file or a server holds, reading it neither panics nor loses a byte.

use proptest::prelude::*;
use sluice_sdk::framing::{Text, end_of_records};
use sluice_sdk::http::Response;
use sluice_sdk::{Date, Fault, Timestamp, decimal};

fn end(bytes: &[u8], text: Text) -> Option<usize> {
    end_of_records(bytes, text, b',', usize::MAX)
}

/// Sends pieces out as a source does, and gives what went out and what is held.
fn cut(pieces: &[Vec<u8>]) -> (Vec<u8>, Vec<u8>) {
    let (mut held, mut out) = (Vec::new(), Vec::new());
    for piece in pieces {
        held.extend_from_slice(piece);
        if let Some(end) = end(&held, Text::Csv) {
            out.extend(held.drain(..end));
        }
    }
    (out, held)
}

proptest! {
    /// However a file is cut, the same records go out, and nothing is lost.
    #[test]
    fn csv_is_cut_the_same_way(pieces in proptest::collection::vec("[a,\"\n\r]{0,7}", 0..12)) {
        let pieces: Vec<Vec<u8>> = pieces.into_iter().map(String::into_bytes).collect();
        let whole = pieces.concat();
        let (out, held) = cut(&pieces);
        prop_assert_eq!([out.as_slice(), held.as_slice()].concat(), whole.clone());
        let at_once = end(&whole, Text::Csv).unwrap_or(0);
        prop_assert_eq!(out.len(), at_once);
        prop_assert!(out.is_empty() || out.ends_with(b"\n"));
    }

    #[test]
    fn lines_end_with_a_line_end(bytes: Vec<u8>) {
        match end(&bytes, Text::Ndjson) {
            Some(end) => prop_assert!(bytes[end - 1] == b'\n' && !bytes[end..].contains(&b'\n')),
            None => prop_assert!(!bytes.contains(&b'\n')),
        }
    }

    #[test]
    fn dates_come_back(days in -719_162..2_932_896_i32, micros in -62_135_596_800_000_000..253_402_300_799_999_999_i64) {
        prop_assert_eq!(Date(days).to_string().parse(), Ok(Date(days)));
        prop_assert_eq!(Timestamp(micros).to_string().parse(), Ok(Timestamp(micros)));
    }

    #[test]
    fn decimals_come_back(value: i128, scale in 0..=38_u8) {
        let text = decimal::format(value, scale);
        prop_assert_eq!(decimal::parse(&text, scale), decimal::fits(value, 38).then_some(value), "{}", text);
    }

    #[test]
    fn no_text_panics(text: String, scale: u8, number in "[-+]?[0-9.]{0,45}") {
        let _ = (text.parse::<Date>(), text.parse::<Timestamp>(), decimal::parse(&text, scale));
        let _ = decimal::parse(&number, scale);
        let response = Response::new(429, "").with_header("retry-after", &text).with_header("date", &text);
        let transient = matches!(response.fault(), Fault::Transient { .. });
        prop_assert!(transient);
    }
}
