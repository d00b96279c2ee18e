//! What `plugin inspect`, `diff`, `sign`, `verify` and `key` answer: a plugin, looked at and vouched for.

use super::{MESSAGE_WIDTH, hinted, say, say_json, say_lines};
use crate::table::{count, lines, plain};
use serde_json::json;
use sluice_service::inspect::{self, Asks, Diff, Import, ImportKind, Level, MadeBy, Page};
use sluice_service::plugins::{Artifact, NotFound};
use sluice_service::renew;
use sluice_service::signing::{NewKey, Standing, Vouched};

/// A sentence of a plugin's, on a line of its own.
const SENTENCE_WIDTH: usize = 200;
/// Crates on one line.
const CRATES_A_LINE: usize = 4;

/// `sluice plugin inspect`
pub fn page(page: &Page, json: bool) {
    if json {
        return say_json(page);
    }
    say_lines(&text(page));
}

/// `sluice plugin inspect --sarif`
pub fn sarif(page: &Page, file: &str) {
    say_json(&inspect::sarif(page, file));
}

/// The page as lines.
fn text(page: &Page) -> Vec<String> {
    let about = &page.manifest.plugin;
    let roles: Vec<String> = page.roles.iter().map(ToString::to_string).collect();
    let mut out = vec![
        format!("{} {} · {}", about.name, about.version, roles.join(" and ")),
        plain(&about.description, SENTENCE_WIDTH),
        format!(
            "{} · {} bytes · speaks {}",
            page.digest,
            count(page.bytes as u64),
            plain(&about.interface, MESSAGE_WIDTH)
        ),
        made_by(&page.made_by),
        String::new(),
        format!("asks for: {}", counts(page)),
    ];
    out.extend(page.asks.iter().flat_map(asks));
    let elsewhere = page
        .findings
        .iter()
        .filter(|finding| matches!(finding.capability, "plugin" | "imports"));
    out.extend([String::new(), "besides".to_owned()]);
    out.extend(elsewhere.map(|finding| {
        format!(
            "  {:<9} {}: {}",
            word(finding.rule.level),
            finding.rule.title,
            finding.subject
        )
    }));
    out.extend([String::new(), "imports".to_owned()]);
    out.extend(imports(&page.imports));
    if !page.settings.is_empty() {
        out.extend([String::new(), "settings".to_owned()]);
        out.extend(settings(page));
    }
    out.extend([String::new(), "made of, it says".to_owned()]);
    out.extend(origin(page));
    out
}

fn made_by(made_by: &MadeBy) -> String {
    match made_by {
        MadeBy::Refused { message, hint, .. } => hinted(
            &format!("REFUSED: {}", plain(message, SENTENCE_WIDTH)),
            hint.as_deref(),
        ),
        known @ MadeBy::Known(_) => known.words(),
    }
}

/// `2 high, 1 medium, 3 low risks`
fn counts(page: &Page) -> String {
    let counts = page
        .counts()
        .map(|(level, count)| format!("{count} {}", word(level)));
    format!("{} risk", counts.join(", "))
}

/// Colour is not needed to see which is which.
fn word(level: Level) -> &'static str {
    match level {
        Level::High => "HIGH",
        Level::Medium => "medium",
        Level::Low => "low",
    }
}

fn asks(asks: &Asks) -> Vec<String> {
    let capability = asks
        .capability
        .strip_prefix("data.")
        .unwrap_or(asks.capability);
    let mut out = vec![format!("  {capability:<9} {}", asks.what)];
    if !asks.reason.is_empty() {
        out.push(format!(
            "            {}",
            plain(&asks.reason, SENTENCE_WIDTH)
        ));
    }
    out.extend(asks.findings.iter().map(|finding| {
        format!(
            "            {}: {} ({})",
            word(finding.rule.level),
            finding.rule.title,
            finding.rule.id
        )
    }));
    out
}

fn imports(imports: &[Import]) -> Vec<String> {
    let rows: Vec<Vec<String>> = imports
        .iter()
        .map(|import| {
            let (linked, why) = match &import.kind {
                ImportKind::Granted { by } => ("granted", by.clone()),
                ImportKind::Empty => ("empty", String::new()),
                ImportKind::Refusing => {
                    ("refusing", "every call is refused, and recorded".to_owned())
                }
                ImportKind::Unexplained { hint } => ("UNEXPLAINED", hint.clone()),
            };
            vec![
                format!("  {}", plain(&import.name, MESSAGE_WIDTH)),
                linked.to_owned(),
                plain(&why, MESSAGE_WIDTH),
            ]
        })
        .collect();
    lines(&["  import", "linked", "by"], &rows)
}

fn settings(page: &Page) -> Vec<String> {
    let rows: Vec<Vec<String>> = page
        .settings
        .iter()
        .map(|setting| {
            let required = if setting.required { "required" } else { "" };
            vec![
                format!("  {}", setting.name),
                required.to_owned(),
                plain(&setting.description, MESSAGE_WIDTH),
            ]
        })
        .collect();
    lines(&["  name", "", "what for"], &rows)
}

fn origin(page: &Page) -> Vec<String> {
    let shown = |text: &str| plain(text, MESSAGE_WIDTH);
    let mut out: Vec<String> = page
        .origin
        .producers
        .iter()
        .map(|tool| {
            format!(
                "  {}: {} {}",
                shown(&tool.field),
                shown(&tool.name),
                shown(&tool.version)
            )
        })
        .collect();
    match &page.origin.dependencies {
        None => out.push("  which crates: it does not say".to_owned()),
        Some(crates) => {
            out.push(format!("  {} crates", count(crates.len() as u64)));
            let names: Vec<String> = crates
                .iter()
                .map(|one| format!("{} {}", shown(&one.name), shown(&one.version)))
                .collect();
            out.extend(
                names
                    .chunks(CRATES_A_LINE)
                    .map(|names| format!("    {}", names.join(", "))),
            );
        }
    }
    out.extend(
        page.origin
            .unreadable
            .iter()
            .map(|reason| format!("  not readable: {}", shown(reason))),
    );
    out
}

/// `sluice plugin diff`
pub fn diff(diff: &Diff, json: bool) {
    if json {
        return say_json(diff);
    }
    let side = |side: &inspect::Compared| {
        format!("{} {} ({})", side.name, side.version, side.digest.short())
    };
    say(&format!("{} → {}", side(&diff.old), side(&diff.new)));
    if diff.changes.is_empty() {
        return say("asks for the same");
    }
    say_lines(&renew::lines(&diff.changes));
    say(if diff.wider {
        "WIDER: + is what the newer may ask and the older might not"
    } else {
        "not wider: it asks for nothing that the older did not"
    });
}

/// `sluice plugin sign`
pub fn vouched(vouched: &Vouched, json: bool) {
    if json {
        return say_json(vouched);
    }
    let statement = &vouched.statement;
    say(&format!(
        "{}: {} {} ({}) signed by {}, good until {}",
        vouched.file,
        statement.subject.name,
        statement.subject.version,
        statement.subject.component.short(),
        statement.key,
        statement.not_after
    ));
}

/// `sluice plugin verify`
pub fn standing(
    artifact: &Artifact,
    judged: Result<&Standing, &NotFound>,
    is_trusting: bool,
    json: bool,
) {
    let about = &artifact.manifest.plugin;
    let made_by = MadeBy::of(judged.cloned().map_err(Clone::clone));
    if json {
        return say_json(&json!({
            "name": about.name, "version": about.version, "digest": artifact.digest,
            "made_by": made_by, "trust_file": is_trusting,
        }));
    }
    say(&format!(
        "{} {} ({})",
        about.name,
        about.version,
        artifact.digest.short()
    ));
    say(&self::made_by(&made_by));
    if !is_trusting {
        say("there is no trust file here: no key is known (`--trust FILE` names one)");
    }
}

/// `sluice plugin key new`
pub fn new_key(key: &NewKey, json: bool) {
    if json {
        return say_json(key);
    }
    say(&format!(
        "{}: a private key; keep it where your builds can use it and nobody can read it",
        key.file
    ));
    say("\nfor the trust file of whoever runs your plugins:\n");
    say(&format!(
        "[[key]]\nid = \"{}\"\npublic = \"{}\"\nvendor = \"YOUR-NAME/*\"\nexpires = \"YEAR-MONTH-DAY\"",
        key.id, key.public
    ));
}
