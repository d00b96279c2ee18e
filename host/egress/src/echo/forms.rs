//! How software spells a value when it repeats it: as it is, in base64, in hexadecimal digits, percent-encoded, as a
//! JSON string, in HTML. Each family has dialects, and those that the common libraries write are all here; for a value
//! of letters, digits, `-` and `_` most of them are one.

use crate::hex;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use std::fmt::Write as _;

/// Adds every form of `value`. Some may be equal.
pub(super) fn add(value: &[u8], forms: &mut Vec<Vec<u8>>) {
    forms.push(value.to_vec());
    base64(value, forms);
    let hex = hex::lower(value);
    forms.push(hex.to_ascii_uppercase().into_bytes());
    forms.push(hex.into_bytes());
    percent(value, forms);
    // The others speak of characters.
    if let Ok(text) = std::str::from_utf8(value) {
        json(text, forms);
        html(text, forms);
    }
}

fn base64(value: &[u8], forms: &mut Vec<Vec<u8>>) {
    for alphabet in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
        // Where it begins within a group of three decides how it is spelled; what its neighbours spell with it is
        // left out.
        for before in 0..3 {
            let text = alphabet.encode([&[0; 3][..before], value].concat());
            let (begin, end) = ((8 * before).div_ceil(6), 8 * (before + value.len()) / 6);
            forms.push(text.as_bytes()[begin..end].to_vec());
        }
    }
}

/// Characters besides letters and digits that an encoder leaves as they are: of forms, of RFC 3986, of JavaScript's
/// `encodeURIComponent` and `encodeURI`, of Python's `quote`, and of whoever leaves none.
const PERCENT_PLAIN: [&[u8]; 6] = [
    b"*-._",
    b"-._~",
    b"-_.!~*'()",
    b"-_.!~*'();/?:@&=+$,#",
    b"-._~/",
    b"",
];

fn percent(value: &[u8], forms: &mut Vec<Vec<u8>>) {
    let encode = |plain: &[u8], is_upper: bool, space: &str, all: bool| {
        let mut text = String::new();
        for byte in value {
            let stays = byte.is_ascii_alphanumeric() || plain.contains(byte);
            let _ = match byte {
                b' ' if !all => write!(text, "{space}"),
                byte if stays && !all => write!(text, "{}", char::from(*byte)),
                byte if is_upper => write!(text, "%{byte:02X}"),
                byte => write!(text, "%{byte:02x}"),
            };
        }
        text.into_bytes()
    };
    for is_upper in [true, false] {
        for plain in PERCENT_PLAIN {
            forms.push(encode(plain, is_upper, "%20", false));
            forms.push(encode(plain, is_upper, "+", false));
        }
        forms.push(encode(b"", is_upper, "%20", true));
    }
}

/// Whether an encoder writes a character as `\u` and four digits, though it need not.
type Escapes = fn(char) -> bool;

/// Of `serde_json` and JavaScript, Python and PHP, Go, .NET, and of whoever escapes all.
const JSON_ESCAPED: [Escapes; 5] = [
    |_| false,
    |c| !c.is_ascii(),
    |c| matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}'),
    |c| !c.is_ascii() || matches!(c, '<' | '>' | '&' | '\'' | '"' | '+' | '`' | '\u{7f}'),
    |_| true,
];

fn json(text: &str, forms: &mut Vec<Vec<u8>>) {
    for escapes in JSON_ESCAPED {
        for is_upper in [false, true] {
            for slash in ["/", "\\/"] {
                let string = json_string(text, escapes, is_upper, slash);
                // A JSON string in a JSON string: a server that puts the body it was sent in its answer.
                let twice = json_string(&string, |_| false, is_upper, "/");
                forms.extend([string.into_bytes(), twice.into_bytes()]);
            }
        }
    }
}

fn json_string(text: &str, escapes: Escapes, is_upper: bool, slash: &str) -> String {
    let mut string = String::new();
    for c in text.chars() {
        let short = match c {
            _ if escapes(c) => None,
            '"' => Some("\\\""),
            '\\' => Some("\\\\"),
            '\n' => Some("\\n"),
            '\r' => Some("\\r"),
            '\t' => Some("\\t"),
            '\u{8}' => Some("\\b"),
            '\u{c}' => Some("\\f"),
            '/' => Some(slash),
            _ => None,
        };
        match short {
            Some(short) => string.push_str(short),
            None if escapes(c) || c < ' ' => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = if is_upper {
                        write!(string, "\\u{unit:04X}")
                    } else {
                        write!(string, "\\u{unit:04x}")
                    };
                }
            }
            None => string.push(c),
        }
    }
    string
}

/// How the common escapers of HTML write `'`, `"`, `+`, `/` and `=`; `&`, `<` and `>` they write alike. Of Python and
/// Rust, Go, PHP, Java and .NET, JavaScript's, and Ruby's.
const HTML_SPELLED: [[&str; 5]; 6] = [
    ["&#x27;", "&quot;", "+", "/", "="],
    ["&#39;", "&#34;", "+", "/", "="],
    ["&#039;", "&quot;", "+", "/", "="],
    ["&#39;", "&quot;", "+", "/", "="],
    ["&#x27;", "&quot;", "&#x2B;", "&#x2F;", "&#x3D;"],
    ["&apos;", "&quot;", "&#43;", "&#47;", "&#61;"],
];

fn html(text: &str, forms: &mut Vec<Vec<u8>>) {
    for [apostrophe, quote, plus, slash, equals] in HTML_SPELLED {
        let mut spelled = String::new();
        for c in text.chars() {
            match c {
                '&' => spelled.push_str("&amp;"),
                '<' => spelled.push_str("&lt;"),
                '>' => spelled.push_str("&gt;"),
                '\'' => spelled.push_str(apostrophe),
                '"' => spelled.push_str(quote),
                '+' => spelled.push_str(plus),
                '/' => spelled.push_str(slash),
                '=' => spelled.push_str(equals),
                _ => spelled.push(c),
            }
        }
        forms.push(spelled.into_bytes());
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};
    use url::form_urlencoded;

    /// One character of every kind that some encoder treats in its own way.
    pub(crate) const VALUE: &str = "k/9+\"s3cret-v~l'e ü&<=>0123456789";

    /// What servers might make of it, each by its name: written out by other hands than those above, where there are
    /// such hands.
    pub(crate) fn echoes() -> Vec<(&'static str, String)> {
        let lower = VALUE
            .bytes()
            .map(|byte| format!("{byte:02x}"))
            .collect::<Vec<_>>()
            .concat();
        let python = "k/9+\\\"s3cret-v~l'e \\u00fc&<=>0123456789";
        let go = "k/9+\\\"s3cret-v~l'e ü\\u0026\\u003c=\\u003e0123456789";
        let php = "k\\/9+\\\"s3cret-v~l'e \\u00fc&<=>0123456789";
        let dotnet = "k/9\\u002B\\u0022s3cret-v~l\\u0027e \\u00FC\\u0026\\u003C=\\u003E0123456789";
        let serde = serde_json::json!({ "authorization": format!("Bearer {VALUE}") }).to_string();
        let all = |prefix: &str| {
            let bytes = VALUE.bytes();
            bytes
                .map(|byte| format!("{prefix}{byte:02x}"))
                .collect::<Vec<_>>()
                .concat()
        };
        let units = VALUE
            .encode_utf16()
            .map(|unit| format!("\\u{unit:04x}"))
            .collect::<Vec<_>>()
            .concat();
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("key", VALUE)
            .finish();
        let component = "k%2F9%2B%22s3cret-v~l'e%20%C3%BC%26%3C%3D%3E0123456789";
        let mut echoes = vec![
            ("raw", VALUE.to_owned()),
            ("raw after its user", format!("user:{VALUE}")),
            ("hexadecimal, small", lower.clone()),
            ("hexadecimal, capital", lower.to_uppercase()),
            ("percent, as a form", form.clone()),
            (
                "percent, as a form in small digits",
                form.replace("%2F", "%2f")
                    .replace("%2B", "%2b")
                    .replace("%7E", "%7e")
                    .replace("%C3%BC", "%c3%bc")
                    .replace("%3C", "%3c")
                    .replace("%3D", "%3d")
                    .replace("%3E", "%3e"),
            ),
            ("percent, as JavaScript does", component.to_owned()),
            ("percent, as rfc 3986 says", component.replace('\'', "%27")),
            (
                "percent, as Python does",
                component.replace('\'', "%27").replace("%2F", "/"),
            ),
            ("percent, every byte", all("%")),
            ("JSON, as serde_json writes it", serde.clone()),
            ("JSON in JSON", serde_json::to_string(&serde).expect("json")),
            ("JSON, as Python writes it", python.to_owned()),
            ("JSON, as Go writes it", go.to_owned()),
            ("JSON, as PHP writes it", php.to_owned()),
            ("JSON, as .NET writes it", dotnet.to_owned()),
            ("JSON, every unit", units),
            (
                "HTML, as Python writes it",
                "k/9+&quot;s3cret-v~l&#x27;e ü&amp;&lt;=&gt;0123456789".to_owned(),
            ),
            (
                "HTML, as Go writes it",
                "k/9+&#34;s3cret-v~l&#39;e ü&amp;&lt;=&gt;0123456789".to_owned(),
            ),
            (
                "HTML, as PHP writes it",
                "k/9+&quot;s3cret-v~l&#039;e ü&amp;&lt;=&gt;0123456789".to_owned(),
            ),
        ];
        for before in ["", "u", "us", "use", "user:", "Bearer "] {
            for after in ["", "x", "xy", "xyz"] {
                let text = format!("{before}{VALUE}{after}");
                echoes.push(("base64", STANDARD.encode(&text)));
                echoes.push(("base64, as it stands in URLs", URL_SAFE.encode(&text)));
            }
        }
        echoes
    }

    #[test]
    fn a_plain_value_has_few_forms() {
        let mut forms = Vec::new();
        add(b"sk_live_0123456789abcdefABCDEF", &mut forms);
        forms.sort_unstable();
        forms.dedup();
        // Raw, base64 in three places, hexadecimal and percent twice, all of it in `\u`, and that in a string; `_` as
        // some encode it.
        assert!(forms.len() <= 15, "{}", forms.len());
    }
}
