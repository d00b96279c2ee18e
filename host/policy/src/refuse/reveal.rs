//! The words of a secret that is not revealed.

use super::{File, bounded};
use sluice_model::ports::Refusal;

/// A secret that this file does not let the plugin see.
pub(crate) fn reveal(file: File<'_>, name: &str) -> Refusal {
    let name = bounded(name);
    let quoted = toml::Value::String(name.clone());
    Refusal {
        capability: "secret",
        reason: format!(
            "{} no secret of this name with `use = \"reveal\"`",
            file.asks()
        ),
        hint: Some(format!(
            "{}:\n[[secret]]\nname = {quoted}\nuse = \"reveal\"{}",
            file.place(),
            file.reason()
        )),
        asked: name,
    }
}
