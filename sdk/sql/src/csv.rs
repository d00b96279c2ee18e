//! A field of CSV, as the host reads it.

/// Appends a field of CSV; none is no value, and an empty text is one.
pub fn push_field(out: &mut Vec<u8>, value: Option<&[u8]>) {
    let Some(value) = value else { return };
    let is_plain = !value.is_empty()
        && memchr::memchr3(b'"', b',', b'\n', value).is_none()
        && memchr::memchr(b'\r', value).is_none();
    if is_plain {
        out.extend_from_slice(value);
        return;
    }
    out.push(b'"');
    for (at, piece) in value.split(|letter| *letter == b'"').enumerate() {
        if at > 0 {
            out.extend_from_slice(b"\"\"");
        }
        out.extend_from_slice(piece);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_quoted_where_it_must_be() {
        for (value, expected) in [
            (None, ""),
            (Some(""), "\"\""),
            (Some("plain text"), "plain text"),
            (Some("a,b"), "\"a,b\""),
            (Some("a\nb"), "\"a\nb\""),
            (Some("a\rb"), "\"a\rb\""),
            (Some("say \"a\""), "\"say \"\"a\"\"\""),
        ] {
            let mut out = Vec::new();
            push_field(&mut out, value.map(str::as_bytes));
            assert_eq!(String::from_utf8_lossy(&out), expected);
        }
    }
}
