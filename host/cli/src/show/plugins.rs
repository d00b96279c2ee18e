//! What `plugin` and `grant` answer: what plugins ask for, and what they are granted.

use super::{MESSAGE_WIDTH, say, say_json, say_lines};
use crate::table::{count, lines, plain};
use serde_json::json;
use sluice_model::manifest::{Manifest, SecretPlace};
use sluice_service::Error;
use sluice_service::grants::{Filed, Proposed};
use sluice_service::inspect::{Import, ImportKind, Page};
use sluice_service::plugins::Artifact;

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

/// `sluice plugin inspect`
pub fn page(page: &Page, json: bool) {
    if json {
        return say_json(page);
    }
    let about = &page.manifest.plugin;
    let roles: Vec<String> = page.roles.iter().map(ToString::to_string).collect();
    say(&format!(
        "{} {} · {}",
        about.name,
        about.version,
        roles.join(" and ")
    ));
    say(&about.description);
    say(&format!(
        "{} · {} bytes · speaks {}",
        page.digest,
        count(page.bytes as u64),
        about.interface
    ));
    say("\nasks for");
    asks(&page.manifest);
    let limits = page.manifest.limits;
    let memory = limits
        .memory
        .map_or("64MiB (default)".to_owned(), |size| size.to_string());
    let time = limits
        .call_time
        .map_or("10s (default)".to_owned(), |span| span.to_string());
    say(&format!("  limits    {memory} of memory, {time} a call"));
    say("\nimports");
    imports(&page.imports);
    if !page.settings.is_empty() {
        say("\nsettings");
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
        say_lines(&lines(&["  name", "", "what for"], &rows));
    }
}

fn asks(manifest: &Manifest) {
    let only = |role: &Option<sluice_model::ids::Role>| {
        role.map_or(String::new(), |role| format!(", as {role}"))
    };
    for http in &manifest.http {
        let scheme = http
            .scheme
            .map_or(String::new(), |scheme| format!("{scheme}://"));
        let port = http.port.map_or(String::new(), |port| format!(":{port}"));
        let auth = http
            .auth
            .as_ref()
            .map_or(String::new(), |auth| format!(", with secret `{auth}`"));
        say(&format!(
            "  http      {} {scheme}{}{port} {}{auth}{}",
            http.methods.join(","),
            http.host,
            http.paths.join(" "),
            only(&http.role)
        ));
        say(&format!("            {}", plain(&http.reason, 200)));
    }
    for tcp in &manifest.tcp {
        let port = tcp
            .port
            .as_ref()
            .map_or(String::new(), |port| format!(":{port}"));
        say(&format!(
            "  tcp       {}{port}{}",
            tcp.host,
            only(&tcp.role)
        ));
        say(&format!("            {}", plain(&tcp.reason, 200)));
    }
    for dir in &manifest.dir {
        say(&format!(
            "  dir       {} {}{}",
            dir.mode,
            dir.path,
            only(&dir.role)
        ));
        say(&format!("            {}", plain(&dir.reason, 200)));
    }
    for secret in &manifest.secret {
        let optional = if secret.optional { ", optional" } else { "" };
        let place = match &secret.place {
            SecretPlace::Reveal => "REVEALED: THE PLUGIN SEES IT".to_owned(),
            place => format!("as {place}"),
        };
        say(&format!("  secret    {} {place}{optional}", secret.name));
        say(&format!("            {}", plain(&secret.reason, 200)));
    }
    let columns = |names: &[String]| match names {
        [] => "none".to_owned(),
        [all] if all == "*" => "EVERY COLUMN".to_owned(),
        names => names.join(", "),
    };
    say(&format!(
        "  columns   reads {}; writes {}",
        columns(&manifest.data.reads),
        columns(&manifest.data.writes)
    ));
}

fn imports(imports: &[Import]) {
    let rows: Vec<Vec<String>> = imports
        .iter()
        .map(|import| {
            let (linked, why) = match &import.kind {
                ImportKind::Granted { by } => ("granted", by.clone()),
                ImportKind::Empty => ("empty", String::new()),
                ImportKind::Refusing => ("refusing", "each call fails, and is recorded".to_owned()),
                ImportKind::Unexplained { hint } => ("UNEXPLAINED", hint.clone()),
            };
            vec![
                format!("  {}", import.name),
                linked.to_owned(),
                plain(&why, MESSAGE_WIDTH),
            ]
        })
        .collect();
    say_lines(&lines(&["  import", "linked", "by"], &rows));
}

/// `sluice grant new`
pub fn proposed(proposed: &[Proposed], json: bool) {
    if json {
        return say_json(&proposed);
    }
    if proposed.is_empty() {
        return say("every plugin of this pipeline is granted");
    }
    for grant in proposed {
        say(&format!(
            "# {}{}",
            grant.file,
            if grant.written { "" } else { " (not written)" }
        ));
        say(&grant.text);
    }
    if proposed.iter().any(|grant| grant.written) {
        say("written; read them, and narrow what is wider than it need be");
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
        say(&sluice_service::deployment::read(std::path::Path::new(
            &filed.file,
        ))?);
    }
    Ok(())
}
