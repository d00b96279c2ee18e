//! What `secret`, `key` and `state` answer. Never a value, never a key.

use super::{say, say_json, say_lines};
use crate::table::{count, lines};
use serde_json::json;
use sluice_model::ids::{PipelineName, SecretName};
use sluice_service::keeping::{Shred, StateView};
use sluice_service::key::Rotated;
use sluice_service::secrets::{SecretView, moment};

/// `sluice secret list`
pub fn secrets(secrets: &[SecretView], json: bool) {
    if json {
        return say_json(&secrets);
    }
    if secrets.is_empty() {
        return say("no secrets; `sluice secret set NAME` adds one");
    }
    let rows: Vec<Vec<String>> = secrets
        .iter()
        .map(|secret| {
            vec![
                secret.name.to_string(),
                secret.version.to_string(),
                moment(secret.created_ms),
                secret.expires_ms.map_or("never".to_owned(), moment),
                secret.last_used_ms.map_or("never".to_owned(), moment),
                secret.earlier.to_string(),
            ]
        })
        .collect();
    let headings = [
        "name",
        ">version",
        "set",
        "expires",
        "last used",
        ">earlier",
    ];
    say_lines(&lines(&headings, &rows));
}

/// `sluice secret set`, `sluice secret rotate`
pub fn secret_stored(secrets: &[SecretView], name: &SecretName, json: bool) {
    let Some(secret) = secrets.iter().find(|secret| secret.name == *name) else {
        return; // Removed by somebody else just now.
    };
    if json {
        return say_json(secret);
    }
    let expires = secret
        .expires_ms
        .map_or("does not expire".to_owned(), |at_ms| {
            format!("expires at {}", moment(at_ms))
        });
    say(&format!("{name}: version {}, {expires}", secret.version));
}

/// `sluice secret remove`
pub fn secret_removed(name: &SecretName, json: bool) {
    if json {
        return say_json(&json!({ "removed": name }));
    }
    say(&format!("{name}: removed"));
}

/// `sluice key new`
pub fn key_made(file: &str, json: bool) {
    if json {
        return say_json(&json!({ "file": file }));
    }
    say(&format!(
        "{file}: a new key; keep a copy where the state is not: without it, what it seals is lost"
    ));
}

/// `sluice key rotate`
pub fn key_rotated(rotated: &Rotated, json: bool) {
    if json {
        return say_json(rotated);
    }
    say(&format!(
        "the key is now {}; keep a copy of it",
        rotated.key
    ));
    if let Some(file) = &rotated.kept_file {
        say(&format!(
            "the one before is kept in {}: copies of the state from before need it",
            file.display()
        ));
    }
    if let Some(file) = &rotated.name_file {
        say(&format!(
            "nothing opens before `[state.key]` gives the key in {}",
            file.display()
        ));
    }
}

/// `sluice state show`
pub fn state(state: &StateView, json: bool) {
    if json {
        return say_json(state);
    }
    say(&format!("key       {}", state.key));
    say(&format!("size      {} bytes on disk", count(state.bytes)));
    say(&format!("commits   {}", count(state.last_commit)));
    let rows: Vec<Vec<String>> = state
        .keys
        .iter()
        .map(|key| {
            vec![
                key.id.to_string(),
                word(&key.class),
                word(&key.status),
                moment(key.created_ms),
                count(key.seals),
            ]
        })
        .collect();
    let headings = ["data key", "seals", "state", "made", ">seals set aside"];
    say_lines(&lines(&headings, &rows));
}

fn word(value: &impl serde::Serialize) -> String {
    let word = serde_json::to_value(value).ok();
    let word = word.and_then(|word| word.as_str().map(ToOwned::to_owned));
    word.unwrap_or_default()
}

/// `sluice state shred`
pub fn shredded(name: &PipelineName, shred: Shred, json: bool) {
    if json {
        return say_json(&json!({ "pipeline": name, "shredded": shred }));
    }
    if shred == Shred::default() {
        return say(&format!(
            "{name}: nothing is kept under that name, and nothing was destroyed"
        ));
    }
    say(&format!(
        "{name}: {} keys destroyed; {} checkpoints, {} dead letters and {} schemas are gone for good",
        shred.keys, shred.checkpoints, shred.dead_letters, shred.schemas
    ));
    say(
        "what others have is theirs to remove: destinations, exports, and backups, which open with the keys that lie in them",
    );
}
