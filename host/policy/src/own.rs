//! What the host keeps for itself: its state, its grants, its rules, its plugins, its secrets. A plugin that could write
//! there would grant itself what it likes, or have its own code taken for a compiled plugin; one that could read there
//! would have the keys. So no directory that a plugin opens may be one of these, hold one, or lie in one, whatever the
//! manifest, the grant and the policy say.
//!
//! It compares and looks nowhere: whoever knows the disk hands over paths without links in them.

use crate::refuse;
use sluice_model::guards::Guard;
use sluice_model::ports::Refusal;
use std::path::{Path, PathBuf};

/// The host's own places.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Own(Vec<Place>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    /// As the operator knows it.
    name: String,
    /// Without links.
    path: PathBuf,
    /// Whether what lies below is the host's too.
    is_deep: bool,
}

impl Own {
    /// One more place: as its operator knows it, where it is without links, and whether all that lies below is the
    /// host's too.
    pub fn add(&mut self, name: impl Into<String>, path: PathBuf, is_deep: bool) {
        let place = Place {
            name: name.into(),
            path,
            is_deep,
        };
        if !self.0.contains(&place) {
            self.0.push(place);
        }
    }

    /// May a plugin that asks for `dir` have the directory at this path, which is without links?
    pub fn may_open(&self, dir: &str, path: &Path) -> Result<(), Refusal> {
        for place in self.0.iter().filter(|_| Guard::OwnFiles.stands()) {
            let how = if place.path == path {
                "it is"
            } else if place.path.starts_with(path) {
                "it holds"
            } else if place.is_deep && path.starts_with(&place.path) {
                "it lies in"
            } else {
                continue;
            };
            return Err(Refusal {
                capability: "dir",
                asked: refuse::bounded(dir),
                reason: format!(
                    "`{}` is the host's own, whatever is granted: {how} `{}`",
                    refuse::bounded(dir),
                    place.name
                ),
                hint: Some(
                    "name a directory that holds the plugin's data and nothing else, such as `data`"
                        .to_owned(),
                ),
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_hosts_is_not_a_plugins() {
        let mut own = Own::default();
        own.add(".sluice", "/d/.sluice".into(), true);
        own.add("plugins", "/d".into(), false);
        own.add("sluice.toml", "/d/sluice.toml".into(), false);
        for (path, expected) in [
            ("/d/in", None),
            ("/d/.sluice-not", None),
            ("/e", None),
            ("/d/sluice.toml.d", None),
            ("/d/.sluice", Some("it is `.sluice`")),
            ("/d/.sluice/compiled", Some("it lies in `.sluice`")),
            ("/d", Some("it holds `.sluice`")),
            ("/", Some("it holds `.sluice`")),
        ] {
            let told = own.may_open("x", Path::new(path)).err();
            match (told, expected) {
                (None, None) => {}
                (Some(refusal), Some(words)) => {
                    assert!(refusal.reason.ends_with(words), "{path}: {refusal}");
                }
                (told, _) => panic!("{path}: {told:?}"),
            }
        }
    }
}
