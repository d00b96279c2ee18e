//! What `checkpoint` and `dlq` answer: what runs have left.

use super::{MESSAGE_WIDTH, say, say_json, say_lines, time};
use crate::table::{count, lines, plain};
use serde_json::json;
use sluice_model::checkpoint::Totals;
use sluice_model::ids::PipelineName;
use sluice_model::rejection::Record;
use sluice_service::keeping::{CheckpointView, Kept};

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

/// `sluice checkpoint reset`
pub fn forgotten(name: &PipelineName, forgotten: usize, json: bool) {
    if json {
        return say_json(&json!({ "pipeline": name, "forgotten": forgotten }));
    }
    say(&format!(
        "{name}: {forgotten} checkpoints forgotten; the next run begins at the beginning, or where a transactional sink \
         says it is: that one keeps the place with its records"
    ));
}

/// `sluice dlq list`. One more letter than `limit` says that there are more.
pub fn letters(letters: &[Kept], limit: usize, json: bool) {
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
                plain(&rejection.place.to_string(), MESSAGE_WIDTH),
                plain(&rejection.code, 40),
                letter.plugin.to_string(),
                plain(&rejection.message, MESSAGE_WIDTH),
            ]
        })
        .collect();
    say_lines(&lines(
        &[">number", "place", "code", "refused by", "why"],
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
}

/// `sluice dlq export`
pub fn exported(file: &str, written: u64, json: bool) {
    if json {
        return say_json(&json!({ "file": file, "dead_letters": written }));
    }
    say(&format!("{file}: {} dead letters", count(written)));
}
