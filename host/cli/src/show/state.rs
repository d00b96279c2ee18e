//! What `checkpoint` and `dlq` answer: what runs have left.

use super::{MESSAGE_WIDTH, say, say_json, say_lines, time};
use crate::table::{count, lines, plain};
use serde_json::json;
use sluice_model::checkpoint::Totals;
use sluice_model::ids::PipelineName;
use sluice_model::rejection::Record;
use sluice_service::dlq::{Account, Standing};
use sluice_service::keeping::{CheckpointView, Kept};
use sluice_service::serve::JobView;

/// `sluice checkpoint list`
pub fn checkpoints(checkpoints: &[CheckpointView], json: bool) {
    if json {
        return say_json(&checkpoints);
    }
    let rows: Vec<Vec<String>> = checkpoints
        .iter()
        .map(|view| {
            let Totals {
                read,
                written,
                filtered,
                dead_lettered,
            } = view.totals;
            let mut row = vec![plain(view.split.as_str(), MESSAGE_WIDTH)];
            row.extend([read, written, filtered, dead_lettered, view.sequence].map(count));
            row.push(
                if view.ended {
                    "at its end"
                } else {
                    "under way"
                }
                .to_owned(),
            );
            row.push(time(view.updated_ms));
            row
        })
        .collect();
    let headings = [
        "split",
        ">read",
        ">written",
        ">filtered",
        ">dead-lettered",
        ">units",
        "state",
        "stored",
    ];
    say_lines(&lines(&headings, &rows));
}

/// `sluice checkpoint show`
pub fn checkpoint(view: &CheckpointView, json: bool) {
    if json {
        return say_json(view);
    }
    let Totals {
        read,
        written,
        filtered,
        dead_lettered,
    } = view.totals;
    say(&format!("split     {}", plain(view.split.as_str(), 512)));
    say(&format!(
        "place     {}",
        view.place
            .as_ref()
            .map_or("the beginning".to_owned(), |place| plain(
                &place.to_string(),
                512
            ))
    ));
    say(&format!(
        "document  {}",
        view.document
            .as_ref()
            .map_or("–".to_owned(), |document| plain(document, 512))
    ));
    say(&format!(
        "records   {read} read, {written} written, {filtered} filtered, {dead_lettered} dead-lettered"
    ));
    say(&format!(
        "units     {} over {} runs",
        view.sequence, view.epoch
    ));
    say(&format!(
        "state     {}",
        if view.ended {
            "at its end"
        } else {
            "under way"
        }
    ));
    if view.unsettled {
        say(
            "unsettled a unit was under way when the last run ended; the next run finds out whether it was delivered",
        );
    }
    say(&format!("stored    {}", time(view.updated_ms)));
}

/// `sluice checkpoint set` and `sluice checkpoint reset`
pub fn moved(name: &PipelineName, splits: usize, json: bool) {
    if json {
        return say_json(&json!({ "pipeline": name, "moved": splits }));
    }
    if splits == 0 {
        return say(&format!(
            "{name}: there is no checkpoint that could be moved; a sink that keeps a place of its own goes on from it, \
             and the next run makes a checkpoint of that"
        ));
    }
    say(&format!(
        "{name}: {splits} checkpoints moved; the next run goes on from there, wherever its sinks are"
    ));
}

/// `sluice dlq list`. One more letter than `limit` says that there are more.
pub fn letters(letters: &[Kept], limit: usize, account: &Account, json: bool) {
    let shown = &letters[..letters.len().min(limit)];
    if json {
        return say_json(&shown);
    }
    let rows: Vec<Vec<String>> = shown
        .iter()
        .map(|kept| {
            let (letter, rejection) = (&kept.letter, &kept.letter.rejection);
            vec![
                letter.number.to_string(),
                letter.standing.kind().to_string(),
                plain(&rejection.place.to_string(), MESSAGE_WIDTH),
                plain(&rejection.code, 40),
                letter.plugin.to_string(),
                plain(&rejection.message, MESSAGE_WIDTH),
            ]
        })
        .collect();
    say_lines(&lines(
        &[">number", "standing", "place", "code", "refused by", "why"],
        &rows,
    ));
    if letters.len() > shown.len()
        && let Some(last) = shown.last()
    {
        say(&format!(
            "there are more: `--after {}`, or `sluice dlq export`",
            last.letter.number
        ));
    }
    let Account {
        pending,
        waiting,
        delivered,
        filtered,
        discarded,
        expired,
        bytes,
    } = *account;
    let counts = [
        (waiting, "waiting"),
        (delivered, "delivered since"),
        (filtered, "filtered since"),
        (discarded, "discarded"),
        (expired, "expired"),
        (pending, "not settled yet"),
    ];
    let counts = counts
        .into_iter()
        .filter(|(letters, word)| *letters > 0 || *word == "waiting");
    let counts: Vec<String> = counts
        .map(|(letters, word)| format!("{} {word}", count(letters)))
        .collect();
    say(&format!(
        "{}; they take {} bytes",
        counts.join(", "),
        count(bytes)
    ));
}

/// `sluice dlq show`
pub fn letter(kept: &Kept, json: bool) {
    if json {
        return say_json(kept);
    }
    let (letter, rejection) = (&kept.letter, &kept.letter.rejection);
    say(&format!(
        "number    {}{}",
        letter.number,
        if kept.pending {
            " (its unit is not settled yet)"
        } else {
            ""
        }
    ));
    say(&format!(
        "place     {}",
        plain(&rejection.place.to_string(), 512)
    ));
    say(&format!("stream    {}", rejection.stream));
    say(&format!("standing  {}", standing(kept)));
    say(&format!("code      {}", plain(&rejection.code, 80)));
    say(&format!("why       {}", plain(&rejection.message, 1_100)));
    say(&format!(
        "refused   by {} ({}), {}",
        letter.plugin,
        rejection.stage,
        time(letter.at_ms)
    ));
    say(&format!(
        "unit      {} of split {}, run {}",
        letter.mark,
        plain(letter.split.as_str(), 512),
        letter.run
    ));
    let (kind, text) = match &rejection.record {
        Record::Raw(bytes) => (
            "as the source sent it",
            String::from_utf8_lossy(bytes).into_owned(),
        ),
        Record::Json(text) => ("as it entered", text.clone()),
    };
    let cut = if rejection.truncated {
        ", cut to fit"
    } else {
        ""
    };
    say(&format!(
        "record    {kind}{cut}:\n{}",
        plain(&text, usize::MAX)
    ));
    if let Some(given) = &rejection.given {
        say(&format!(
            "          as it was refused:\n{}",
            plain(given, usize::MAX)
        ));
    }
    if let Some(edit) = &letter.edited
        && let Record::Json(text) = &edit.record
    {
        say(&format!(
            "          as {} edited it, {}: this is sent\n{}",
            plain(&edit.by, 80),
            time(edit.at_ms),
            plain(text, usize::MAX)
        ));
    }
}

/// What became of a letter, in words.
fn standing(kept: &Kept) -> String {
    let attempts = match kept.letter.attempts {
        0 => String::new(),
        1 => ", sent again once, and refused".to_owned(),
        times => format!(", sent again {times} times, and refused"),
    };
    let under_way = if kept.redriving {
        ", being sent again"
    } else {
        ""
    };
    match &kept.letter.standing {
        Standing::Waiting => format!("waiting{attempts}{under_way}"),
        Standing::Delivered { at_ms, run } => format!("delivered {}, run {run}", time(*at_ms)),
        Standing::Filtered { at_ms, run } => format!("filtered {}, run {run}", time(*at_ms)),
        Standing::Discarded { at_ms, by, reason } => format!(
            "discarded {} by {}: {}",
            time(*at_ms),
            plain(by, 80),
            plain(reason, 512)
        ),
    }
}

/// `sluice dlq edit`
pub fn edited(name: &PipelineName, number: u64, json: bool) {
    if json {
        return say_json(&json!({ "pipeline": name, "edited": number }));
    }
    say(&format!(
        "{name}: dead letter {number} is edited; `sluice dlq redrive --number {number}` sends it"
    ));
}

/// `sluice dlq discard`
pub fn discarded(name: &PipelineName, letters: u64, json: bool) {
    if json {
        return say_json(&json!({ "pipeline": name, "discarded": letters }));
    }
    say(&format!(
        "{name}: {} dead letters are given up",
        count(letters)
    ));
}

/// `sluice dlq redrive` and `sluice checkpoint backfill`
pub fn again(name: &PipelineName, view: &JobView, json: bool) {
    if json {
        return say_json(&json!({ "pipeline": name, "job": view }));
    }
    let Totals {
        read,
        written,
        filtered,
        dead_lettered,
    } = view.totals;
    say(&format!(
        "{name}: {} records again: {} delivered, {} filtered, {} refused",
        count(read),
        count(written),
        count(filtered),
        count(dead_lettered)
    ));
    match &view.fault {
        Some(fault) => say(&format!("it stopped: {fault}")),
        None if !view.done => say("it was stopped; run it again for the rest"),
        None => {}
    }
}

/// `sluice dlq export`
pub fn exported(file: &str, written: u64, json: bool) {
    if json {
        return say_json(&json!({ "file": file, "dead_letters": written }));
    }
    say(&format!("{file}: {} dead letters", count(written)));
}
