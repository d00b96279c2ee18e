//! The page as one HTML file: no network, no script, light and dark, fit for A4. `maud` escapes every word that is put
//! into it; characters that hide or reorder text are made visible before.

use super::{Asks, Import, ImportKind, Level, MadeBy, Page};
use crate::signing::Standing;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sluice_model::digest::Digest;
use sluice_model::visible::visible;

/// A word of a plugin, as it is shown.
const SHOWN_CHARS_MAX: usize = 500;
/// Ours, whole; the policy in the page names its digest, so that no other style has any effect.
const STYLE: &str = include_str!("page.css");

/// The document.
pub fn html(page: &Page) -> String {
    let about = &page.manifest.plugin;
    let title = format!("{} {}", about.name, about.version);
    let style = BASE64.encode(Digest::of(STYLE.as_bytes()).as_bytes());
    // Nothing may be loaded, run or sent, whatever a plugin's words would do.
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'"
    );
    let roles: Vec<String> = page.roles.iter().map(ToString::to_string).collect();
    let document = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="referrer" content="no-referrer";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " – what this plugin may ask for" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    p.kind { "Sluice plugin · " (roles.join(" and ")) }
                    h1 { (about.name) " " span.version { (about.version) } }
                    p.lead { (visible(&about.description, SHOWN_CHARS_MAX)) }
                    (made_by(&page.made_by))
                    (summary(page))
                }
                main {
                    (capabilities(page))
                    (imports(&page.imports))
                    (settings(page))
                    (origin(page))
                }
                footer {
                    dl {
                        dt { "SHA-256" } dd { code { (page.digest.hex()) } }
                        dt { "Size" } dd { (page.bytes) " bytes" }
                        dt { "Contract" } dd { code { (visible(&about.interface, SHOWN_CHARS_MAX)) } }
                    }
                    p { "Read off the component by " code { "sluice plugin inspect" } " " (env!("CARGO_PKG_VERSION")) "; nothing of it was run. What it asks for is not what it is granted: " code { "sluice grant show" } " says that." }
                }
            }
        }
    };
    document.into_string()
}

fn class(level: Level) -> &'static str {
    match level {
        Level::High => "high",
        Level::Medium => "medium",
        Level::Low => "low",
    }
}

fn pill(level: Level) -> Markup {
    html! { span class={ "pill " (class(level)) } { (class(level)) } }
}

fn made_by(made_by: &MadeBy) -> Markup {
    let (class, heading) = match made_by {
        MadeBy::Known(Standing::Signed { .. }) => ("good", "Signed"),
        MadeBy::Known(Standing::Unsigned) => ("bad", "Unsigned"),
        MadeBy::Known(Standing::Unknown { .. }) => {
            ("bad", "Signed by a key that is not trusted here")
        }
        MadeBy::Refused { .. } => ("bad", "Refused: it does not start"),
    };
    html! {
        section class={ "made-by " (class) } {
            strong { (heading) }
            @match made_by {
                MadeBy::Known(Standing::Signed { key, vendor, created, not_after }) => dl {
                    dt { "Key" } dd { code { (key) } ", trusted for " code { (vendor) } }
                    dt { "Signed on" } dd { (created) }
                    dt { "Good until" } dd { (not_after) }
                },
                MadeBy::Known(Standing::Unsigned) => p { "Nobody vouches for this component; only its digest says that it is the one that was meant." },
                MadeBy::Known(Standing::Unknown { key }) => p { code { (key) } " is not in this deployment's trust file: no better than unsigned." },
                MadeBy::Refused { message, hint, .. } => {
                    p { (visible(message, SHOWN_CHARS_MAX)) }
                    @if let Some(hint) = hint { p.hint { (visible(hint, SHOWN_CHARS_MAX)) } }
                },
            }
        }
    }
}

fn summary(page: &Page) -> Markup {
    html! {
        ul.summary aria-label="Findings by risk" {
            @for (level, count) in page.counts() {
                li class=(class(level)) { strong { (count) } " " (class(level)) }
            }
        }
    }
}

fn capabilities(page: &Page) -> Markup {
    html! {
        section {
            h2 { "What it asks for" }
            @for asks in &page.asks { (one(asks)) }
        }
    }
}

fn one(asks: &Asks) -> Markup {
    let kind = match asks.capability {
        "http" => "Requests",
        "tcp" => "Connections",
        "dir" => "Directory",
        "secret" => "Secret",
        "data.reads" => "Reads columns",
        "data.writes" => "Writes columns",
        "limits" => "Limits",
        other => other,
    };
    html! {
        article class={ "ask " (asks.level.map_or("", class)) } {
            div.what {
                h3 { (kind) }
                code { (asks.what) }
                @if let Some(level) = asks.level { (pill(level)) }
            }
            @if !asks.reason.is_empty() { p.reason { q { (asks.reason) } " " span.by { "– its vendor" } } }
            @if !asks.findings.is_empty() {
                ul.findings {
                    @for finding in &asks.findings {
                        li { (pill(finding.rule.level)) " " strong { (finding.rule.title) } " – " (finding.rule.why) " " span.rule { (finding.rule.id) } }
                    }
                }
            }
        }
    }
}

fn imports(imports: &[Import]) -> Markup {
    let (empty, others): (Vec<&Import>, Vec<&Import>) = imports
        .iter()
        .partition(|import| import.kind == ImportKind::Empty);
    let words = |kind: &ImportKind| match kind {
        ImportKind::Granted { by } => ("granted", by.clone()),
        ImportKind::Empty => ("empty", String::new()),
        ImportKind::Refusing => ("refusing", "there, and every call is refused".to_owned()),
        ImportKind::Unexplained { hint } => ("UNEXPLAINED", hint.clone()),
    };
    let name = |import: &Import| visible(&import.name, SHOWN_CHARS_MAX);
    html! {
        section {
            h2 { "What it imports" }
            table {
                thead { tr { th { "Interface" } th { "Linked" } th { "By" } } }
                tbody {
                    @for import in others {
                        @let (linked, why) = words(&import.kind);
                        tr class=[(linked == "UNEXPLAINED").then_some("high")] {
                            td { code { (name(import)) } }
                            td.word { (linked) }
                            td { (visible(&why, SHOWN_CHARS_MAX)) }
                        }
                    }
                }
            }
            @if !empty.is_empty() {
                p.empty {
                    "Linked for language runtimes, which import these unasked; nothing of the machine is in them but its clocks and random numbers: "
                    @for (at, import) in empty.into_iter().enumerate() {
                        @if at > 0 { ", " }
                        code { (name(import)) }
                    }
                }
            }
        }
    }
}

fn settings(page: &Page) -> Markup {
    html! {
        @if !page.settings.is_empty() {
            section {
                h2 { "Its settings" }
                table {
                    thead { tr { th { "Setting" } th { "Takes" } th { "What for" } } }
                    tbody {
                        @for setting in &page.settings {
                            tr {
                                td { code { (setting.name) } @if setting.required { " " span.required { "required" } } }
                                td { (setting.takes) }
                                td { (setting.description) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn origin(page: &Page) -> Markup {
    let shown = |text: &str| visible(text, SHOWN_CHARS_MAX);
    html! {
        section {
            h2 { "What it says it was made of" }
            @if page.origin.producers.is_empty() && page.origin.dependencies.is_none() {
                p { "It does not say." }
            }
            @if !page.origin.producers.is_empty() {
                table {
                    thead { tr { th { "Part" } th { "Tool" } th { "Version" } } }
                    tbody {
                        @for producer in &page.origin.producers {
                            tr { td { (shown(&producer.field)) } td { (shown(&producer.name)) } td { (shown(&producer.version)) } }
                        }
                    }
                }
            }
            @match &page.origin.dependencies {
                None => p { "It does not list its dependencies (" code { "cargo auditable" } " would)." },
                Some(dependencies) => {
                    h3 { (dependencies.len()) " crates" }
                    ul.crates {
                        @for dependency in dependencies {
                            li { (shown(&dependency.name)) " " span.version { (shown(&dependency.version)) }
                                @if dependency.source != "crates.io" { " " span.by { (shown(&dependency.source)) } }
                                @if dependency.kind == "build" { " " span.by { "build" } }
                            }
                        }
                    }
                }
            }
            @for reason in &page.origin.unreadable { p.hint { "Not readable: " (shown(reason)) } }
        }
    }
}
