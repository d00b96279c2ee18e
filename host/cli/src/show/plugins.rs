//! What `plugin` and `grant` answer: what plugins ask for, and what they are granted.

use super::{problem_lines, say, say_json, say_lines};
use crate::table::{count, lines};
use serde_json::json;
use sluice_model::manifest::SecretPlace;
use sluice_model::visible::visible_lines;
use sluice_service::Error;
use sluice_service::deployment::shown;
use sluice_service::grants::{Filed, Proposed};
use sluice_service::inspect::MadeBy;
use sluice_service::plugins::Artifact;
use sluice_service::renew::{self, Renewal};
use std::path::Path;

/// `sluice plugin pack` and `build`
pub fn packed(file: &str, artifact: &Artifact, json: bool) {
    let about = &artifact.manifest.plugin;
    if json {
        return say_json(&json!({
            "file": file, "name": about.name, "version": about.version,
            "digest": artifact.digest, "bytes": artifact.bytes.len(),
        }));
    }
    say(&format!(
        "{file}: {} {}, {} bytes, {}",
        about.name,
        about.version,
        count(artifact.bytes.len() as u64),
        artifact.digest
    ));
}

/// `sluice grant new`
pub fn proposed(proposed: &[Proposed], pipeline: &Path, json: bool) {
    if json {
        return say_json(&proposed);
    }
    if proposed.is_empty() {
        return say("every plugin of this pipeline is granted");
    }
    for grant in proposed {
        let not_written = if grant.written { "" } else { " (not written)" };
        say(&format!("# {}{not_written}", grant.file));
        say(&format!(
            "# {} {}: {}",
            grant.grant.grant.plugin,
            grant.grant.grant.version,
            MadeBy::Known(grant.made_by.clone()).words()
        ));
        if let Some(renewal) = &grant.renews {
            renewed(renewal, grant.is_held_back());
        }
        if !grant.is_held_back() {
            say(&visible_lines(&grant.text));
        }
        for problem in &grant.forbidden {
            say(&format!("forbidden: {}", problem_lines(problem)));
        }
    }
    if proposed.iter().any(|grant| grant.written) {
        say("written; read them, and narrow what is wider than it need be");
    }
    if proposed.iter().any(Proposed::is_held_back) {
        say(&format!(
            "\nwhat asks for more than it was granted is not granted by itself; to grant it too:\n  sluice grant new {} --widen",
            shown(pipeline)
        ));
    }
}

/// What becomes of an older component's grant.
fn renewed(renewal: &Renewal, held_back: bool) {
    let unknown = if renewal.compared {
        ""
    } else {
        "; what that component asked for is not known, so what was narrowed by hand counts as new"
    };
    say(&format!(
        "# in place of the grant of {} ({}){unknown}",
        renewal.version,
        renewal.digest.short()
    ));
    let upgrade = &renewal.upgrade;
    let wider = if held_back {
        "asks for more than it was granted:"
    } else {
        "asks for more than it was granted, and is given it:"
    };
    for (heading, changes) in [
        (wider, &upgrade.wider),
        (
            "asks for, and did before, what somebody left out of its grant; that stays out:",
            &upgrade.held,
        ),
        (
            "no longer asks for, and so is no longer granted:",
            &upgrade.dropped,
        ),
    ] {
        if !changes.is_empty() {
            say(&format!("# {heading}"));
            for line in renew::lines(changes) {
                say(&format!("#   {line}"));
            }
        }
    }
}

/// `sluice grant list`
pub fn grants(grants: &[Filed], json: bool) {
    if json {
        return say_json(&grants);
    }
    let rows: Vec<Vec<String>> = grants
        .iter()
        .map(|filed| {
            let about = &filed.grant.grant;
            let http = filed.grant.http.iter().map(|http| http.host.clone());
            let tcp = filed.grant.tcp.iter();
            let tcp = tcp.map(|tcp| format!("tcp {}:{}", tcp.host, tcp.port));
            let hosts: Vec<String> = http.chain(tcp).collect();
            let dirs: Vec<String> = filed
                .grant
                .dir
                .iter()
                .map(|dir| format!("{} {}", dir.mode, dir.path))
                .collect();
            let secrets = filed.grant.secret.iter().map(|secret| match secret.place {
                SecretPlace::Reveal => format!("{} (REVEALED)", secret.name),
                _ => secret.name.to_string(),
            });
            let secrets: Vec<String> = secrets.collect();
            vec![
                about.pipeline.to_string(),
                format!("{} {}", about.plugin, about.version),
                about.digest.short(),
                or_dash(&hosts.join(", ")),
                or_dash(&dirs.join(", ")),
                or_dash(&secrets.join(", ")),
                filed.file.clone(),
            ]
        })
        .collect();
    say_lines(&lines(
        &[
            "pipeline",
            "plugin",
            "digest",
            "hosts",
            "directories",
            "secrets",
            "file",
        ],
        &rows,
    ));
}

fn or_dash(text: &str) -> String {
    if text.is_empty() {
        "–".to_owned()
    } else {
        text.to_owned()
    }
}

/// `sluice grant show`
pub fn grant_files(grants: &[Filed], json: bool) -> Result<(), Error> {
    if json {
        say_json(&grants);
        return Ok(());
    }
    for filed in grants {
        say(&format!("# {}", filed.file));
        say(&sluice_service::deployment::read(Path::new(&filed.file))?);
    }
    Ok(())
}
