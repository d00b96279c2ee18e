//! A plugin that fails on one record after the other, with nothing in between that works, is not told about the records:
//! it is broken. It is quarantined: not run again until somebody says so, or until it is another one.

use crate::Error;
use crate::keeping::{Keeping, now_ms};
use crate::plan::Plan;
use crate::report::RunReport;
use sluice_delivery::{Halving, HalvingSettings};
use sluice_model::fault::{Fault, FaultKind};
use sluice_model::guards::Guard;
use sluice_state::journal::{Pause, PauseKind};
use std::time::Duration;

const REPORT: &str = "report it to the plugin's vendor; another version of it, or other settings, are tried at once; the same ones after `sluice resume`";

/// A plugin that takes too long to fail, on how many records, nobody waits to see; but for records that are sent again.
pub fn too_slow(
    plan: &Plan,
    settings: HalvingSettings,
    spent: Duration,
    fault: &Fault,
) -> Result<(), Fault> {
    let budget = plan.pipeline.delivery.retry.budget.0;
    if settings == HalvingSettings::UNBOUNDED || spent <= budget {
        return Ok(());
    }
    let message = format!(
        "the records that it fails on were not found within {budget:?}, which `delivery.retry` allows: {}",
        fault.message
    );
    Err(Fault::new(FaultKind::Quarantined, message).hint(REPORT))
}

/// That a plugin is sick: what it said last, and of how many records that stood alone.
pub fn sick(fault: &Fault, search: &Halving) -> Fault {
    let (culprits, alone) = (search.culprits().len(), search.alone());
    let message = format!(
        "it fails on record after record: {culprits} of one batch, {alone} in a row by now: {}",
        fault.message
    );
    Fault::new(FaultKind::Quarantined, message).hint(REPORT)
}

/// The plugins of a plan and what they are told to do: with another one of them, or told otherwise, it may be another
/// story.
fn plugins(plan: &Plan) -> String {
    let stages = plan.stages();
    let told = stages.map(|stage| {
        let (digest, grant) = (stage.artifact.digest, stage.grant_digest);
        format!("{digest} {grant} {}", stage.config)
    });
    let told: Vec<String> = told.collect();
    sluice_model::digest::Digest::of(told.join("\n").as_bytes()).to_string()
}

/// Refuses a run of plugins that an earlier one has quarantined.
pub fn check(keeping: &Keeping, plan: &Plan) -> Result<(), Error> {
    let pause = keeping.quarantined(plan.name())?;
    match pause.filter(|pause| pause.plugin == Some(plugins(plan))) {
        Some(pause) if Guard::QuarantineKept.stands() => {
            let fault = Fault::new(FaultKind::Quarantined, pause.reason);
            let hint = format!(
                "another version of the plugin, or other settings, are tried at once; the same ones after `sluice resume {}`",
                plan.name()
            );
            Err(Error::failed("run", fault.hint(hint)))
        }
        _ => Ok(()),
    }
}

/// Remembers that a run ended in quarantine.
pub fn keep(keeping: &Keeping, plan: &Plan, report: &RunReport) -> Result<(), Error> {
    let faults = report
        .splits
        .iter()
        .filter_map(|split| split.fault.as_ref());
    let Some(fault) = faults
        .into_iter()
        .find(|fault| fault.kind == FaultKind::Quarantined)
    else {
        return Ok(());
    };
    keeping.quarantine(
        plan.name(),
        &Pause {
            why: PauseKind::Quarantined,
            reason: fault.message.clone(),
            mend: fault.hint.clone(),
            by: "host".to_owned(),
            since_ms: now_ms(),
            plugin: Some(plugins(plan)),
        },
    )
}
