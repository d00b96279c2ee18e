//! The words for a plugin that no grant speaks for: there is none, there are two, or it changed since it was granted,
//! and then what it asks beyond that grant.

use crate::grants::{Filed, Missing};
use crate::renew::{self, Asker, Renewal};
use sluice_model::grant::Grant;
use sluice_model::ports::Refusal;

/// What is wrong, and the next step. `compare`: holds an older grant against the plugin as it is.
pub(crate) fn told(
    missing: &Missing,
    grants: &[Filed],
    asker: &Asker<'_>,
    pipeline: &str,
    compare: impl FnOnce(&Grant) -> Result<Renewal, Vec<Refusal>>,
) -> (String, String) {
    let about = &asker.manifest.plugin;
    let (name, command) = (&about.name, format!("sluice grant new {pipeline}"));
    match missing {
        Missing::None => (
            format!("`{name}` is not granted in this pipeline"),
            format!("`{command}` shows what it asks and writes the grant"),
        ),
        Missing::Two(one, other) => (
            format!("`{name}` has two grants in this pipeline, `{one}` and `{other}`"),
            "keep the one that is meant".to_owned(),
        ),
        Missing::Changed { file, .. } => {
            let old = grants.iter().find(|filed| &filed.file == file);
            let old = &old
                .expect("the file was named because it is among them")
                .grant;
            let was = &old.grant;
            let changed = format!(
                "`{name}` {} is not the component that `{file}` grants ({}, {}): it has changed",
                about.version,
                was.version,
                was.digest.short()
            );
            match compare(old) {
                Ok(renewal) if renewal.is_wider() => (
                    format!(
                        "{changed}, and asks for more\n{}",
                        renew::lines(&renewal.upgrade.wider).join("\n")
                    ),
                    format!("`{command}` shows the difference, and `{command} --widen` grants it"),
                ),
                Ok(_) => (
                    format!("{changed}, and asks for nothing more"),
                    format!("`{command}` carries the grant over, as narrow as it is"),
                ),
                Err(refused) => (
                    format!(
                        "{changed}: {}",
                        refused.first().map(ToString::to_string).unwrap_or_default()
                    ),
                    format!("`{command}` shows what it asks"),
                ),
            }
        }
    }
}
