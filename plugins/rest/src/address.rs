//! Addresses: the one server that this plugin speaks to, and what a reference found in an answer means on it. Only what
//! is needed of RFC 3986; anything unusual is refused rather than guessed.

use sluice_sdk::Fault;
use std::fmt::Write as _;

/// A reference that an answer gives. Stops a server from filling the cursor.
const TARGET_BYTES_MAX: usize = 8 << 10;

/// A server, and the path that all others stand behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Base {
    /// `https://api.acme.example`: in lower case, without the scheme's own port.
    origin: String,
    /// Without a `/` at its end.
    path: String,
}

impl Base {
    pub(crate) fn parse(url: &str) -> Result<Self, Fault> {
        let wrong = |what: &str| {
            // What stands before an `@` is a password.
            let shown = url.rsplit('@').next().unwrap_or_default();
            Fault::misconfigured(format!("`base_url` … `{shown}` {what}"))
        };
        let (origin, path) =
            split(url).ok_or_else(|| wrong("is not an absolute http or https URL"))?;
        if path.contains(['?', '#']) {
            return Err(wrong("has a query or a fragment; hint: use `query`"));
        }
        Ok(Self {
            origin,
            path: path.trim_end_matches('/').to_owned(),
        })
    }

    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    /// The path of an endpoint.
    pub(crate) fn path(&self, path: &str) -> String {
        format!("{}{path}", self.path)
    }

    /// What `reference` means in the answer to `current`: a path and query on this server, or why it cannot be followed.
    pub(crate) fn resolve(&self, current: &str, reference: &str) -> Result<String, String> {
        let reference = reference.split('#').next().unwrap_or_default();
        if reference.len() > TARGET_BYTES_MAX {
            return Err(format!("is longer than {TARGET_BYTES_MAX} bytes"));
        }
        if reference.is_empty()
            || !reference
                .bytes()
                .all(|byte| (0x21..=0x7e).contains(&byte) && byte != b'\\')
        {
            return Err("is not a URL".to_owned());
        }
        let path = current.split('?').next().unwrap_or_default();
        let target = if reference.starts_with("//") {
            let scheme = self.origin.split("//").next().unwrap_or_default();
            self.own(&format!("{scheme}{reference}"))?
        } else if reference.starts_with('/') {
            reference.to_owned()
        } else if reference.starts_with('?') {
            format!("{path}{reference}")
        } else if reference
            .split(['/', '?'])
            .next()
            .is_some_and(|first| first.contains(':'))
        {
            self.own(reference)?
        } else {
            format!(
                "{}{reference}",
                &path[..path.rfind('/').map_or(0, |at| at + 1)]
            )
        };
        let dots = |segment: &str| matches!(segment, "." | "..");
        if target
            .split('?')
            .next()
            .unwrap_or_default()
            .split('/')
            .any(dots)
        {
            return Err("has `.` or `..` in its path".to_owned());
        }
        Ok(target)
    }

    fn own(&self, url: &str) -> Result<String, String> {
        match split(url) {
            Some((origin, path)) if origin == self.origin => Ok(path),
            Some((origin, _)) => Err(format!("leads to `{origin}`, not to `{}`", self.origin)),
            None => Err("is not an http or https URL".to_owned()),
        }
    }
}

/// The origin, and all from the path on, which begins with `/`.
fn split(url: &str) -> Option<(String, String)> {
    let (scheme, rest) = url.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let own_port = match scheme.as_str() {
        "http" => ":80",
        "https" => ":443",
        _ => return None,
    };
    let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let authority = authority.to_ascii_lowercase();
    let authority = authority.strip_suffix(own_port).unwrap_or(&authority);
    let plain =
        |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'@' | b'\\' | b'"' | b'<' | b'>');
    if authority.is_empty() || !authority.bytes().all(plain) || rest.contains(char::is_whitespace) {
        return None;
    }
    let slash = if rest.starts_with('/') { "" } else { "/" };
    Some((format!("{scheme}://{authority}"), format!("{slash}{rest}")))
}

/// The host that a URL names, for people; nothing where it names none.
pub(crate) fn host_of(url: &str) -> Option<String> {
    split(url).map(|(origin, _)| origin)
}

/// Puts parameters behind a path.
pub(crate) fn with_query<'q>(
    path: &str,
    query: impl IntoIterator<Item = (&'q str, &'q str)>,
) -> String {
    let mut target = path.to_owned();
    for (at, (name, value)) in query.into_iter().enumerate() {
        target.push(if at == 0 { '?' } else { '&' });
        escape(name, &mut target);
        target.push('=');
        escape(value, &mut target);
    }
    target
}

/// RFC 3986: everything but the unreserved characters.
fn escape(text: &str, out: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => {
                // Writing to a string cannot fail.
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_base_is_an_origin_and_a_path() {
        for (url, origin, path) in [
            ("https://api.acme.example", "https://api.acme.example", "/x"),
            (
                "HTTPS://API.acme.example:443/v2/",
                "https://api.acme.example",
                "/v2/x",
            ),
            ("http://127.0.0.1:8080/v1", "http://127.0.0.1:8080", "/v1/x"),
            ("http://[::1]:80", "http://[::1]", "/x"),
        ] {
            let base = Base::parse(url).expect(url);
            assert_eq!(
                (base.origin(), base.path("/x").as_str()),
                (origin, path),
                "{url}"
            );
        }
        for url in [
            "",
            "api.acme.example",
            "ftp://a",
            "https://",
            "https:///x",
            "https://a b",
            "https://a/?q=1",
            "https://a/#f",
        ] {
            assert!(Base::parse(url).is_err(), "{url}");
        }
        let fault = Base::parse("https://user:hunter2@a")
            .expect_err("a password")
            .to_string();
        assert!(!fault.contains("hunter2"), "{fault}");
    }

    #[test]
    fn references_stay_on_the_server() {
        let base = Base::parse("https://api.acme.example/v2").expect("a base");
        let check = |reference: &str, expected: Result<&str, &str>| {
            let found = base.resolve("/v2/items?page=1", reference);
            assert_eq!(
                found.as_deref().map_err(String::as_str),
                expected,
                "{reference}"
            );
        };
        check(
            "https://api.acme.example/v2/items?page=2",
            Ok("/v2/items?page=2"),
        );
        check(
            "https://API.acme.example:443/v2/items?page=2#top",
            Ok("/v2/items?page=2"),
        );
        check("https://api.acme.example?page=2", Ok("/?page=2"));
        check("//api.acme.example/x", Ok("/x"));
        check("/other?page=2", Ok("/other?page=2"));
        check("?page=2", Ok("/v2/items?page=2"));
        check("more?page=2", Ok("/v2/more?page=2"));
        check(
            "?next=http://elsewhere.example/",
            Ok("/v2/items?next=http://elsewhere.example/"),
        );
        check(
            "http://api.acme.example/x",
            Err("leads to `http://api.acme.example`, not to `https://api.acme.example`"),
        );
        check(
            "https://api.acme.example.evil.example/x",
            Err(
                "leads to `https://api.acme.example.evil.example`, not to `https://api.acme.example`",
            ),
        );
        check(
            "https://api.acme.example@evil.example/x",
            Err("is not an http or https URL"),
        );
        check(
            "//evil.example/x",
            Err("leads to `https://evil.example`, not to `https://api.acme.example`"),
        );
        check("\\\\evil.example/x", Err("is not a URL"));
        check("javascript:alert(1)", Err("is not an http or https URL"));
        check("", Err("is not a URL"));
        check("/a b", Err("is not a URL"));
        check("/a/../../etc", Err("has `.` or `..` in its path"));
        check(&"x".repeat(9000), Err("is longer than 8192 bytes"));
    }

    #[test]
    fn parameters_are_escaped() {
        assert_eq!(with_query("/x", []), "/x");
        assert_eq!(
            with_query("/x", [("a b", "1&2=3"), ("c", "é/?")]),
            "/x?a%20b=1%262%3D3&c=%C3%A9%2F%3F"
        );
    }

    proptest! {
        /// Whatever an answer says, the target is a path on this server or a refusal.
        #[test]
        fn no_reference_leaves(reference in ".{0,60}", mixed in "(https?:)?[/\\\\]{0,3}[a-z.@:?#%]{0,20}") {
            let base = Base::parse("https://api.acme.example/v2").expect("a base");
            for reference in [reference, mixed] {
                if let Ok(target) = base.resolve("/v2/items", &reference) {
                    prop_assert!(target.starts_with('/'), "{}", target);
                    prop_assert!(target.bytes().all(|byte| byte.is_ascii_graphic()), "{}", target);
                }
            }
        }
    }
}
