//! The page about a plugin that wants to deceive whoever reads it: as HTML it is inert, as SARIF it is valid, whatever
//! its vendor wrote.

use sluice_service::inspect::{Page, html, page, sarif};
use sluice_service::plugins::{Artifact, NotFound};
use sluice_service::signing::Standing;

/// What a vendor can put into every text there is.
const HOSTILE: &str = "</style></title><script>alert(1)</script><img src=x onerror=alert(2)>\" onclick='x' javascript:x {{ }} &lt;b&gt; <!-- \u{1b}[2J\u{202e}tset\u{2066}\u{200b}\r";
/// The same places in another plugin.
const HARMLESS: &str = "Reads contacts";

fn artifact(word: &str) -> Artifact {
    let text = serde_json::to_string(word).expect("a string");
    let manifest = format!(
        r#"
[plugin]
name = "acme/thing"
version = "1.0.0"
interface = "sluice:plugin@0.1"
description = {text}

[[http]]
host = {text}
methods = [{text}]
paths = [{text}]
auth = "token"
reason = {text}

[[http]]
host = "*.acme.example"
methods = ["GET", "POST"]
paths = ["/**"]
reason = "List contacts."

[[secret]]
name = "token"
use = "bearer"
reason = {text}

[[dir]]
path = {text}
mode = "write"
reason = {text}

[data]
reads = [{text}, "b"]
writes = ["*"]

[config]
schema = {text}
"#
    );
    let schema = serde_json::json!({
        "type": "object",
        "properties": { word: { "type": "string", "description": word }, "mode": { "enum": [word, 1] } },
        "required": ["mode"],
    });
    // What WebAssembly lets be any text is the vendor's too.
    let component = wat::parse_str(
        r#"(component
            (import "evil:door/open@1.0.0" (instance))
            (core module (@producers (language "<script>" "\u{202e}1")))
            (instance $empty)
            (export "sluice:plugin/transform@0.1.0" (instance $empty)))"#,
    )
    .expect("a component");
    let packed =
        sluice_engine::pack(&component, &manifest, Some(&schema.to_string())).expect("packed");
    Artifact::read("thing.wasm", packed).expect("a plugin")
}

fn refused(word: &str) -> NotFound {
    NotFound {
        message: word.to_owned(),
        hint: Some(word.to_owned()),
    }
}

/// Each tag, with its attributes, in order.
fn tags(html: &str) -> Vec<&str> {
    let after = html.split('<').skip(1);
    after
        .map(|rest| rest.split('>').next().expect("split gives one at least"))
        .collect()
}

#[test]
fn a_hostile_page_has_the_tags_of_a_harmless_one() {
    for judged in [
        |_: &str| Ok(Standing::Unsigned),
        |word: &str| Err(refused(word)),
    ] {
        let hostile = html(&page(&artifact(HOSTILE), judged(HOSTILE)));
        let harmless = html(&page(&artifact(HARMLESS), judged(HARMLESS)));
        assert_eq!(tags(&hostile), tags(&harmless));
        let hidden = |c: &char| *c != '\n' && sluice_model::visible::is_hidden(*c);
        assert_eq!(hostile.chars().find(hidden), None);
        assert!(
            hostile.contains("\\u{202e}tset"),
            "what would turn text around is shown"
        );
        assert!(
            hostile.contains("&lt;script&gt;alert(1)"),
            "the words are there, as words"
        );
    }
}

#[test]
fn the_page_loads_runs_and_sends_nothing() {
    let text = html(&page(&artifact(HARMLESS), Ok(Standing::Unsigned)));
    let policy = tags(&text)
        .into_iter()
        .find(|tag| tag.contains("Content-Security-Policy"))
        .expect("a policy");
    assert!(
        policy.contains("default-src 'none'; style-src 'sha256-"),
        "{policy}"
    );
    let style =
        &text[text.find("<style>").expect("a style")..text.find("</style>").expect("its end")];
    for banned in ["url(", "@import", "expression("] {
        assert!(!style.contains(banned), "{banned}");
    }
    for tag in tags(&text) {
        let name = tag.split_whitespace().next().unwrap_or_default();
        assert!(
            !matches!(
                name,
                "script" | "link" | "iframe" | "img" | "form" | "a" | "base"
            ),
            "{tag}"
        );
        // Every second piece between quotes is a value.
        let names: String = tag.split('"').step_by(2).collect();
        for name in names
            .split_whitespace()
            .filter_map(|word| word.strip_suffix('='))
        {
            let ours = [
                "lang",
                "charset",
                "http-equiv",
                "content",
                "name",
                "class",
                "aria-label",
            ];
            assert!(ours.contains(&name), "{tag}");
        }
    }
    assert!(text.contains("Unsigned"));
}

#[test]
fn the_report_for_scanners_is_valid_sarif() {
    // As it is published, but for a bracket that closes nothing, in the patterns of a language.
    let schema = include_str!("../../../tests/data/sarif-2.1.0-rtm.5.json");
    let schema = schema.replace("[a-zA-Z]{2}]?$", "[a-zA-Z]{2}?$");
    let schema = serde_json::from_str(&schema).expect("json");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    for word in [HARMLESS, HOSTILE] {
        let page: Page = page(&artifact(word), Err(refused(word)));
        let report = sarif(&page, "plugins/a thing%\u{e5}.wasm");
        let wrong: Vec<String> = validator
            .iter_errors(&report)
            .map(|error| error.to_string())
            .collect();
        assert_eq!(wrong, Vec::<String>::new());
        let results = report["runs"][0]["results"].as_array().expect("results");
        assert_eq!(results.len(), page.findings.len());
        assert!(results.len() > 8, "{report:#}");
        assert_eq!(results[0]["level"], "error");
        let uri = &results[0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"];
        assert_eq!(uri, "plugins/a%20thing%25%C3%A5.wasm");
        for result in results {
            let text = result["message"]["text"].as_str().expect("text");
            assert!(
                !text.chars().any(sluice_model::visible::is_hidden),
                "{text:?}"
            );
        }
        let mut broken = report.clone();
        broken["runs"][0]["results"][0]["level"] = "fatal".into();
        assert!(!validator.is_valid(&broken), "the schema does bite");
    }
}
