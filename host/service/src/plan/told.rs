//! The words for what keeps a pipeline from running.

use sluice_model::ids::PluginName;
use sluice_model::tomlfile::FileError;
use sluice_policy::Forbidden;
use std::fmt::Display;

/// What the policy forbids of a grant, at the line of the policy that does.
pub(crate) fn told_by_policy(
    forbidden: &Forbidden,
    plugin: &PluginName,
    stage: &impl Display,
) -> FileError {
    let Forbidden {
        refusal,
        file,
        line,
    } = forbidden;
    let message = format!(
        "{plugin} (as {stage}) is granted `{}`: {}",
        refusal.asked, refusal.reason
    );
    FileError {
        file: file.clone(),
        line: Some(*line),
        column: None,
        message,
        hint: refusal.hint.clone(),
    }
}

/// Why the place that secrets come from is not to be had.
pub(super) fn cannot_be_asked(error: crate::Error) -> (String, Option<String>) {
    match error {
        crate::Error::Wrong(problems) => {
            let hint = problems.first().and_then(|problem| problem.hint.clone());
            let told = problems.into_iter().map(|problem| {
                let bare = FileError {
                    hint: None,
                    ..problem
                };
                bare.to_string()
            });
            (told.collect::<Vec<_>>().join("; "), hint)
        }
        other => (other.to_string(), None),
    }
}

pub(super) fn indented(lines: &str) -> String {
    lines
        .lines()
        .map(|line| format!("    {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}
