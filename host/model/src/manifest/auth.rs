//! `auth` of an `[[http]]`: one secret, or several of which a deployment names one.

use super::{Http, Manifest};
use crate::ids::SecretName;
use crate::manifest::SecretPlace;
use crate::tomlfile::FileError;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserializer, Serializer};
use std::fmt;

pub(super) fn serialize<S: Serializer>(
    names: &[SecretName],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match names {
        [one] => serializer.serialize_str(one.as_str()),
        several => serializer.collect_seq(several.iter().map(SecretName::as_str)),
    }
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<SecretName>, D::Error> {
    deserializer.deserialize_any(Names)
}

struct Names;

impl<'de> Visitor<'de> for Names {
    type Value = Vec<SecretName>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a secret's name, or a list of them")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        text.parse().map(|name| vec![name]).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut names = Vec::new();
        while let Some(name) = items.next_element()? {
            names.push(name);
        }
        Ok(names)
    }
}

/// That each name is a secret's which the host can attach; and that of several none must be there, for a request
/// carries one.
pub(super) fn check(
    manifest: &Manifest,
    http: &Http,
    file: &str,
    text: &str,
) -> Result<(), FileError> {
    for auth in &http.auth {
        let quoted = format!("\"{auth}\"");
        let wrong = |message: String| {
            let near = format!("auth = {quoted}");
            Err(FileError::new(file, message).near(text, &[&near, "auth = [", &quoted]))
        };
        let Some(secret) = manifest.secret.iter().find(|secret| &secret.name == auth) else {
            return wrong(format!("`auth = {quoted}` names no `[[secret]]`")).map_err(|error| {
                error.hint(format!(
                    "[[secret]]\nname = {quoted}\nuse = \"bearer\"\nreason = \"…\""
                ))
            });
        };
        if secret.place == SecretPlace::Reveal {
            return wrong(format!(
                "`auth = {quoted}` names a secret with `use = \"reveal\"`, which the host attaches nowhere"
            ));
        }
        if http.auth.len() > 1 && !secret.optional {
            return wrong(format!(
                "`auth` names several secrets, of which a pipeline uses one: {quoted} is not `optional`"
            ))
            .map_err(|error| error.hint("optional = true".to_owned()));
        }
    }
    Ok(())
}
