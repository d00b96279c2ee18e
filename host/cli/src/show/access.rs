//! What grants come to: each capability as manifest, grant and policy say it, and who can reach what.

use super::{say, say_json, say_lines};
use crate::table::{lines, plain};
use sluice_model::ids::StageId;
use sluice_service::access::{Access, Explained, Reaching};

/// The widest a line of a capability is shown.
const LINE_WIDTH: usize = 400;

/// `sluice grant show --effective`
pub fn accesses(accesses: &[Access], json: bool) {
    if json {
        return say_json(&accesses);
    }
    for (at, access) in accesses.iter().enumerate() {
        if at > 0 {
            say("");
        }
        say(&format!(
            "{} {} in pipeline {}, as {} · {}",
            access.plugin,
            access.version,
            access.pipeline,
            part(access.stage),
            access.file
        ));
        for line in &access.stopped {
            say(&format!("  does not start: {}", plain(line, LINE_WIDTH)));
        }
        access.capabilities.iter().for_each(capability);
    }
}

fn part(stage: Option<StageId>) -> String {
    stage.map_or_else(
        || "any part: no pipeline here uses it, so this is the grant alone".to_owned(),
        |stage| stage.to_string(),
    )
}

fn capability(line: &Explained) {
    say(&format!("  {}", line.capability));
    for (who, what) in [
        ("manifest asks", &line.asked),
        ("grant allows", &line.granted),
        ("policy leaves", &line.left),
    ] {
        let what: Vec<String> = what.iter().map(|what| plain(what, LINE_WIDTH)).collect();
        let (first, more) = match what.split_first() {
            Some((first, more)) => (first.as_str(), more),
            None => ("–", &[][..]),
        };
        // Names stand on one line, requests each on their own.
        if line.capability.starts_with("data.") && !more.is_empty() {
            say(&format!("    {who:<13}  {}", what.join(", ")));
            continue;
        }
        say(&format!("    {who:<13}  {first}"));
        for one in more {
            say(&format!("    {:<13}  {one}", ""));
        }
    }
    if !line.narrowed_by.is_empty() {
        let why = line
            .policy
            .as_deref()
            .map_or(String::new(), |why| format!(": {why}"));
        say(&format!(
            "    narrowed by    {}{why}",
            line.narrowed_by.join(" and ")
        ));
    }
}

/// `sluice grant list --reach`
pub fn reaching(reaching: &[Reaching], sought: &str, json: bool) {
    if json {
        return say_json(&reaching);
    }
    if reaching.is_empty() {
        return say(&format!("nobody can reach {}", plain(sought, LINE_WIDTH)));
    }
    let rows: Vec<Vec<String>> = reaching
        .iter()
        .flat_map(|one| {
            one.how.iter().map(|how| {
                vec![
                    one.pipeline.to_string(),
                    format!("{} {}", one.plugin, one.version),
                    one.stage
                        .map_or("(grant alone)".to_owned(), |stage| stage.to_string()),
                    one.file.clone(),
                    plain(how, LINE_WIDTH),
                ]
            })
        })
        .collect();
    say_lines(&lines(&["pipeline", "plugin", "as", "grant", "how"], &rows));
}
