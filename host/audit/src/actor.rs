//! Who did it: the host itself, or the person whose command it was.

use std::fmt;

/// Where names of users stand.
const PASSWD: &str = "/etc/passwd";
/// Names longer than this are cut. Stops an environment variable from filling the trail.
const NAME_BYTES_MAX: usize = 64;

/// Who did something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor(String);

impl Actor {
    /// The host itself.
    pub fn host() -> Self {
        Self("host".to_owned())
    }

    /// Whoever started this process: `alice (1000)`. The number is the kernel's word for them, and the name is what the
    /// machine's own list says of that number; `USER` only where that says nothing. What `sudo` says of who stands
    /// behind it follows.
    pub fn of_this_process() -> Self {
        let uid = rustix::process::getuid().as_raw();
        let passwd = std::fs::read_to_string(PASSWD).unwrap_or_default();
        let name = named(&passwd, uid).map(ToOwned::to_owned);
        let name = name.or_else(|| std::env::var("USER").ok());
        let behind = std::env::var("SUDO_USER").ok();
        Self(said(name.as_deref(), uid, behind.as_deref()))
    }

    /// The user of this number: whoever is at the other end of a socket, by the kernel's word.
    pub fn of_user(uid: u32) -> Self {
        let passwd = std::fs::read_to_string(PASSWD).unwrap_or_default();
        Self(said(named(&passwd, uid), uid, None))
    }

    /// As it stands in an entry.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn named(passwd: &str, uid: u32) -> Option<&str> {
    let mut lines = passwd.lines().map(|line| line.split(':'));
    lines.find_map(|mut parts| {
        let name = parts.next()?;
        (parts.nth(1)?.parse() == Ok(uid)).then_some(name)
    })
}

fn said(name: Option<&str>, uid: u32, behind: Option<&str>) -> String {
    let plain = |name: &str| sluice_model::text::shown(name, NAME_BYTES_MAX);
    let name = name.map_or_else(|| "?".to_owned(), plain);
    match behind {
        Some(behind) => format!("{name} ({uid}) for {}", plain(behind)),
        None => format!("{name} ({uid})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_machine() {
        let passwd =
            "root:x:0:0:root:/root:/bin/sh\nbroken\nalice:x:1000:1000::/home/alice:/bin/sh\n";
        assert_eq!(named(passwd, 1000), Some("alice"));
        assert_eq!(named(passwd, 1), None);
        assert_eq!(
            said(Some("root"), 0, Some("al\nice")),
            "root (0) for al\\u{a}ice"
        );
        assert_eq!(said(None, 7, None), "? (7)");
        assert!(Actor::of_this_process().as_str().contains('('));
    }
}
