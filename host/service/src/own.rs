//! Where the host's own files are, so that no plugin is let near them.

use crate::deployment::Deployment;
use crate::key;
use sluice_engine::resolved;
use sluice_model::deployment::{FILE, Secrets};
use sluice_model::ports::Refusal;
use sluice_policy::{Effective, Own};
use std::path::{Path, PathBuf};

/// Everything that says what plugins may do, or that only the host may read. Each place by its own name and by where
/// that leads: a link in the place of one of these could be replaced too.
pub(crate) fn own(deployment: &Deployment) -> Own {
    let settings = &deployment.settings;
    let mut places = vec![
        deployment.base.join(FILE),
        deployment.base.join(&settings.state.dir),
        deployment.state_dir(),
        deployment.vault_file(),
        deployment.cache_dir(),
        deployment.audit_dir(),
        deployment.grants_dir(),
        deployment.plugins_dir(),
        deployment.policy_file(),
        deployment.trust_file(),
    ];
    places.extend(key::key_file(deployment));
    if let Secrets::Dir { dir } = &settings.secrets {
        places.push(deployment.base.join(dir));
    }
    let copy = settings.audit.copy.as_ref();
    places.extend(copy.map(|dir| deployment.base.join(dir)));
    let base = resolved(&deployment.base).unwrap_or_else(|_| deployment.base.clone());
    let mut own = Own::default();
    for place in places {
        let name = crate::audit::named(deployment, &place);
        for path in [by_name(&place), resolved(&place).ok()]
            .into_iter()
            .flatten()
        {
            // A folder that the whole deployment stands in, such as `[plugins] dir = "."`, is the host's for the files
            // in it, and not for all that lies below.
            let is_deep = !base.starts_with(&path);
            own.add(name.clone(), path, is_deep);
        }
    }
    own
}

fn by_name(place: &Path) -> Option<PathBuf> {
    let above = resolved(place.parent()?).ok()?;
    Some(above.join(place.file_name()?))
}

/// The directories that a plugin asks for, is granted, and cannot have.
pub(crate) fn touched(effective: &Effective, base: &Path) -> Vec<Refusal> {
    let refused = effective.open_dirs().filter_map(|dir| {
        // What cannot be looked at is told when it is opened.
        let place = resolved(dir).ok()?;
        let shown = dir.strip_prefix(base).unwrap_or(dir).display().to_string();
        let shown = if shown.is_empty() { "." } else { &shown };
        effective.may_have(shown, &place).err()
    });
    refused.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_places_are_found_through_links() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().canonicalize().unwrap();
        let text = "[plugins]\ndir = \".\"\n[state]\ndir = \"state\"\n[audit]\ncopy = \"second\"\n";
        let deployment = Deployment {
            base: base.clone(),
            settings: sluice_model::deployment::Deployment::parse(FILE, text).unwrap(),
        };
        std::fs::create_dir(base.join("elsewhere")).unwrap();
        std::os::unix::fs::symlink(base.join("elsewhere"), base.join("state")).unwrap();
        let own = own(&deployment);
        for (dir, is_free) in [
            ("in", true),
            ("data/out", true),
            (".", false),
            ("..", false),
            ("state", false),
            ("elsewhere", false),
            ("elsewhere/compiled", false),
            ("grants", false),
            ("secrets/x", false),
            ("second", false),
        ] {
            let place = resolved(&base.join(dir)).unwrap();
            assert_eq!(own.may_open(dir, &place).is_ok(), is_free, "{dir}");
        }
    }
}
