//! What `run` and `check` answer.

use super::{say, say_json, say_lines, told};
use crate::table::{count, lines};
use sluice_model::checkpoint::Totals;
use sluice_service::check::{Checked, Known, StreamShape};
use sluice_service::report::{Ending, RunReport};

/// `sluice run`
pub fn report(report: &RunReport, json: bool) {
    if json {
        return say_json(report);
    }
    say(&format!(
        "{}: {}, {}",
        report.pipeline,
        ending(report.ending),
        report.guarantee
    ));
    for shape in report
        .streams
        .iter()
        .filter(|shape| shape.known == Known::Inferred)
    {
        say(&format!(
            "  schema of `{}`, inferred from a sample and fixed now: {}",
            shape.stream,
            fields(shape)
        ));
    }
    say("");
    let Totals {
        read,
        written,
        filtered,
        dead_lettered,
    } = report.totals;
    let cells = [read, written, filtered, dead_lettered, report.in_flight].map(count);
    let mut row = cells.to_vec();
    row.extend([format!("{:.2} s", report.seconds), count(report.rate())]);
    let headings = [
        ">read",
        ">written",
        ">filtered",
        ">dead-lettered",
        ">in flight",
        ">time",
        ">records/s",
    ];
    say_lines(&lines(&headings, &[row]));
    let equals = if report.balances() {
        "="
    } else {
        "≠ (a defect of sluice; please report it)"
    };
    say(&format!(
        "\n{read} read {equals} {written} written + {filtered} filtered + {dead_lettered} dead-lettered + {} in flight",
        report.in_flight
    ));
    if report.discarded_values > 0 {
        say(&format!(
            "{} values were left out or made null, as the contract says",
            count(report.discarded_values)
        ));
    }
    why(report);
}

fn why(report: &RunReport) {
    if !report.dead_letters.is_empty() {
        say("\ndead letters by code (`sluice dlq list` shows them):");
        let rows: Vec<Vec<String>> = report
            .dead_letters
            .iter()
            .map(|code| vec![count(code.records), code.code.clone()])
            .collect();
        say_lines(&lines(&[">records", "code"], &rows));
    }
    if !report.refused.is_empty() {
        say("\nrefused, for it is not granted:");
        for refused in &report.refused {
            let times = match refused.times {
                1 => String::new(),
                times => format!(", {} times", count(times)),
            };
            say(&format!("  {}{times}: {}", refused.stage, refused.refusal));
        }
    }
    for split in &report.splits {
        if let Some(fault) = &split.fault {
            say(&format!(
                "\nsplit `{}` stopped, and its place is held\n  {}",
                split.split,
                told(fault)
            ));
        }
    }
}

fn ending(ending: Ending) -> &'static str {
    match ending {
        Ending::Done => "done",
        Ending::Drained => "stopped as told, what was read is delivered",
        Ending::Stopped => "stopped",
    }
}

fn fields(shape: &StreamShape) -> String {
    let fields = shape
        .entering
        .fields()
        .iter()
        .map(|field| format!("{} {}", field.name, field.kind));
    fields.collect::<Vec<_>>().join(", ")
}

/// `sluice check`
pub fn checked(checked: &Checked, json: bool) {
    if json {
        return say_json(checked);
    }
    say(&format!(
        "{}: ready to run, {}",
        checked.pipeline, checked.guarantee
    ));
    say(&format!("  {}", checked.stages.join(" → ")));
    if !checked.unsigned.is_empty() {
        say(&format!(
            "  UNSIGNED, nobody vouches for them: {}",
            checked.unsigned.join(", ")
        ));
    }
    for stream in &checked.streams {
        let known = match stream.known {
            Known::Declared => "declared",
            Known::Source => "given by the source",
            Known::Fixed => "fixed by an earlier run",
            Known::Inferred => "inferred from a sample; the first run fixes it",
        };
        say(&format!("\nstream `{}`, schema {known}:", stream.stream));
        let rows: Vec<Vec<String>> = stream
            .leaving
            .fields()
            .iter()
            .map(|field| {
                let entering = stream
                    .entering
                    .field(&field.name)
                    .map_or_else(|| "–".to_owned(), |field| field.kind.to_string());
                let nullable = if field.nullable { "" } else { "always there" };
                vec![
                    format!("  {}", field.name),
                    entering,
                    field.kind.to_string(),
                    nullable.to_owned(),
                ]
            })
            .collect();
        say_lines(&lines(&["  field", "entering", "leaving", ""], &rows));
    }
    say(&format!(
        "\nread in {} {}",
        count(checked.splits as u64),
        if checked.splits == 1 {
            "split"
        } else {
            "splits"
        }
    ));
}
