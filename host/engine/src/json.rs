//! Is it one JSON text, and not too deep? Nothing is kept of it.

use serde::de::IgnoredAny;
use sluice_model::guards::Guard;
use sluice_model::limits::JSON_DEPTH_MAX;

/// The error says what is wrong, to stand behind `row 3 `.
pub(crate) fn check(text: &str) -> Result<(), String> {
    if depth(text.as_bytes()) > Guard::ColumnJsonDepth.limit(JSON_DEPTH_MAX) {
        return Err(format!("is JSON nested more than {JSON_DEPTH_MAX} deep"));
    }
    serde_json::from_str::<IgnoredAny>(text)
        .map(drop)
        .map_err(|_| "is not JSON".to_owned())
}

/// Of brackets outside strings.
fn depth(text: &[u8]) -> usize {
    let (mut depth, mut deepest, mut quoted, mut escaped) = (0_usize, 0, false, false);
    for byte in text {
        match (quoted, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => quoted = !quoted,
            (false, b'[' | b'{') => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            (false, b']' | b'}') => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_checked() {
        for good in [
            "1",
            "null",
            r#""a""#,
            r#"{"a":[1,{"b":"]]]"}]}"#,
            " [] ",
            r#""\"[[[""#,
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in ["", "{", "{'a':1}", "1 2", "nul", "\"\u{1}\"", "[1,]"] {
            assert_eq!(check(bad), Err("is not JSON".to_owned()), "{bad}");
        }
        let deep = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(check(&deep(JSON_DEPTH_MAX)), Ok(()));
        assert_eq!(
            check(&deep(JSON_DEPTH_MAX + 1)),
            Err("is JSON nested more than 64 deep".to_owned())
        );
        assert!(check(&"[".repeat(1 << 20)).is_err());
    }
}
