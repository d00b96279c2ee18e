//! What `status`, `pause` and `resume` answer.

use super::{MESSAGE_WIDTH, say, say_json, say_lines, time};
use crate::table::{count, lines, plain};
use serde_json::json;
use sluice_model::checkpoint::Totals;
use sluice_model::ids::PipelineName;
use sluice_service::serve::{PipelineView, StatusView};

/// `sluice status`
pub fn status(status: &StatusView, json: bool) {
    if json {
        return say_json(status);
    }
    match &status.service {
        Some(service) => {
            let listen = service
                .listen
                .map(|address| format!(", answers on {address}"));
            let ends = if service.draining { ", draining" } else { "" };
            say(&format!(
                "service {} (pid {}) since {}{}{ends}",
                service.version,
                service.pid,
                time(service.since_ms),
                listen.unwrap_or_default()
            ));
            if let Some(trouble) = &service.trouble {
                say(&format!("the host itself failed: {}", plain(trouble, 512)));
            }
        }
        None => say("no service runs here"),
    }
    say("");
    let at = |ms: Option<u64>| ms.map_or_else(|| "–".to_owned(), time);
    let rows: Vec<Vec<String>> = status
        .pipelines
        .iter()
        .map(|view| {
            let Totals {
                read,
                written,
                dead_lettered,
                ..
            } = view.totals;
            let mut row = vec![
                plain(&view.pipeline, 64),
                view.state.map_or("–", |state| state.word()).to_owned(),
                at(view.since_ms),
                at(view.last_run_ms),
                at(view.next_run_ms),
            ];
            row.extend([read, written, dead_lettered].map(count));
            row
        })
        .collect();
    let headings = [
        "pipeline",
        "state",
        "since",
        "last run",
        "next run",
        ">read",
        ">written",
        ">dead-lettered",
    ];
    say_lines(&lines(&headings, &rows));
    let behind = status.pipelines.iter().filter(|view| !view.lag.is_empty());
    behind.for_each(lag);
    for view in status.pipelines.iter().filter(|view| view.reason.is_some()) {
        why(view);
    }
}

/// How far behind its source a pipeline is.
fn lag(view: &PipelineView) {
    for lag in &view.lag {
        let left = lag.left.map_or_else(String::new, |left| {
            let soon = if lag.is_short() { "SOON: " } else { "" };
            let left = count(left);
            format!("; {soon}{left} more, and the source forgets what is not read")
        });
        say(&format!(
            "\n{}: {} {} behind its source{left}",
            plain(&view.pipeline, 64),
            count(lag.behind),
            lag.unit
        ));
    }
}

/// Why a pipeline is as it is, and what to do about it.
fn why(view: &PipelineView) {
    let kind = view.kind.as_deref().unwrap_or_default();
    let reason = view.reason.as_deref().unwrap_or_default();
    say(&format!("\n{} ({kind}):", plain(&view.pipeline, 64)));
    for line in reason.lines() {
        say(&format!("  {}", plain(line, 4 * MESSAGE_WIDTH)));
    }
    for line in view.mend.as_deref().unwrap_or_default().lines() {
        say(&format!("    hint: {}", plain(line, 4 * MESSAGE_WIDTH)));
    }
}

/// `sluice pause` and `sluice resume`
pub fn told_to(pipeline: &PipelineName, what: &str, json: bool) {
    if json {
        return say_json(&json!({ "pipeline": pipeline, "told": what }));
    }
    say(&format!("{pipeline}: {what}"));
}
