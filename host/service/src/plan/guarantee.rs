//! What a pair of source and sinks promises.

use super::{Plan, Stage};
use sluice_model::pipeline::Guarantee;
use sluice_model::tomlfile::FileError;

/// Exactly once where the one sink stores the place with the records; effectively once where every sink drops what
/// it has; at least once otherwise.
pub(super) fn guarantee(sinks: &[Stage]) -> Guarantee {
    let shape = |sink: &Stage| sink.artifact.manifest.sink;
    let is = |sink: &Stage, what: fn(&sluice_model::manifest::SinkShape) -> bool| {
        shape(sink).as_ref().is_some_and(what)
    };
    match sinks {
        [only] if is(only, |sink| sink.transactional) => Guarantee::ExactlyOnce,
        all if all.iter().all(|sink| is(sink, |sink| sink.idempotent)) => {
            Guarantee::EffectivelyOnce
        }
        _ => Guarantee::AtLeastOnce,
    }
}

/// A guarantee that is wanted and cannot be held, at its line of the pipeline file.
pub(super) fn too_much(plan: &Plan, wanted: Guarantee) -> FileError {
    let sinks: Vec<String> = plan
        .sinks
        .iter()
        .map(|sink| sink.artifact.manifest.plugin.name.to_string())
        .collect();
    plan.problem(
        "/delivery/guarantee",
        format!(
            "`{wanted}` cannot be held here: {} to {} is {}",
            plan.source.artifact.manifest.plugin.name,
            sinks.join(" and "),
            plan.guarantee
        ),
    )
    .hint(match wanted {
        Guarantee::ExactlyOnce => "one sink alone, whose manifest says `transactional = true`",
        _ => "sinks whose manifests say `idempotent = true`",
    })
}
