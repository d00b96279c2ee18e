//! A grant whose plugin changed: what the newer component asks beyond the grant, and the grant for it, written into the
//! same file with the comments and the narrowing that people put there. What may be carried over `policy` decides.

use crate::deployment::{Deployment, plain, shown};
use crate::grants::Filed;
use crate::plugins::Shelf;
use serde::Serialize;
use serde_json::Value;
use sluice_engine::Artifact;
use sluice_model::digest::Digest;
use sluice_model::grant::Grant;
use sluice_model::grant::ipnet_text::Network;
use sluice_model::ids::{Role, SecretName};
use sluice_model::manifest::{Data, Limits, Manifest};
use sluice_model::ports::Refusal;
use sluice_model::tomlfile::{FileError, locate};
use sluice_policy::diff::Change;
use sluice_policy::{Asking, Upgrade, propose, upgrade};
use std::collections::HashMap;
use std::path::PathBuf;

/// How a grant is carried over to another component of the same name.
#[derive(Debug, Clone, Serialize)]
pub struct Renewal {
    /// The version that was granted.
    pub version: semver::Version,
    /// The component that was granted.
    pub digest: Digest,
    /// Whether what that component asked for is known: it is still in the plugin folder, or was kept when it was granted.
    pub compared: bool,
    /// What changes.
    #[serde(flatten)]
    pub upgrade: Upgrade,
}

impl Renewal {
    /// Whether more is asked than was granted or asked before.
    pub fn is_wider(&self) -> bool {
        !self.upgrade.wider.is_empty()
    }
}

/// Who asks, and in which parts with which settings.
pub struct Asker<'a> {
    /// The component that is there now, its manifest without the secrets that nobody names.
    pub artifact: &'a Artifact,
    /// That manifest.
    pub manifest: &'a Manifest,
    /// Each use of it in the pipeline.
    pub uses: &'a [(Role, &'a Value)],
    /// Networks that were named with the question.
    pub networks: &'a [Network],
    /// The plugin's own words for the secrets that the pipeline names.
    pub named: &'a dyn Fn(&SecretName) -> bool,
}

/// Compares. Errors: what is wrong with the manifest or the settings.
pub fn renewal(
    deployment: &Deployment,
    shelf: &Shelf,
    old: &Grant,
    asker: &Asker<'_>,
    widen: bool,
) -> Result<Renewal, Vec<Refusal>> {
    let about = &old.grant;
    let whole = |manifest: &Manifest, digest, networks| {
        propose(manifest, asker.uses, digest, &about.pipeline, networks)
    };
    let now = whole(asker.manifest, asker.artifact.digest, asker.networks)?;
    let before = shelf
        .by_digest(deployment, about.digest)
        .map(|artifact| artifact.manifest)
        .or_else(|| asked(deployment, about.digest))
        .map(|manifest| manifest.without_unnamed(asker.named));
    // Settings that the older one cannot be asked with say nothing of what it asked.
    let before =
        before.and_then(|manifest| Some((whole(&manifest, about.digest, &[]).ok()?, manifest)));
    let before = before
        .as_ref()
        .map(|(whole, manifest)| Asking { manifest, whole });
    Ok(Renewal {
        version: about.version.clone(),
        digest: about.digest,
        compared: before.is_some(),
        upgrade: upgrade(
            old,
            before,
            Asking {
                manifest: asker.manifest,
                whole: &now,
            },
            widen,
        ),
    })
}

/// Where what a component asked for is kept, from the day it was granted: beside the grants, so that a change of it is
/// seen where changes of grants are.
fn asked_file(deployment: &Deployment, digest: Digest) -> PathBuf {
    let name = format!("{}.toml", digest.hex());
    deployment.grants_dir().join("asked").join(name)
}

/// What a component asked for when it was granted. Whoever can write it can write grants.
fn asked(deployment: &Deployment, digest: Digest) -> Option<Manifest> {
    let file = asked_file(deployment, digest);
    let text = std::fs::read_to_string(&file).ok()?;
    Manifest::parse(&shown(&file), &text).ok()
}

/// Keeps what a component asks for, beside the grant that was just written for it.
pub(crate) fn keep_asked(deployment: &Deployment, artifact: &Artifact) -> Result<(), FileError> {
    let file = asked_file(deployment, artifact.digest);
    let folder = file.parent().expect("it stands in a folder");
    std::fs::create_dir_all(folder)
        .and_then(|()| crate::durable::replace(&file, artifact.manifest_text.as_bytes()))
        .map_err(|error| FileError::new(shown(&file), plain(&error)))
}

/// Changes as lines, each with `+`, `-` or `~` before it.
pub fn lines(changes: &[Change]) -> Vec<String> {
    changes
        .iter()
        .map(|change| {
            let sign = match change.direction {
                sluice_policy::diff::Direction::Wider => '+',
                sluice_policy::diff::Direction::Narrower => '-',
                sluice_policy::diff::Direction::Other => '~',
            };
            format!("{sign} {:<12} {}", change.capability, change.what)
        })
        .collect()
}

/// The text of a grant's file with the new grant in it: what people wrote around the entries that stay is kept. Where
/// the file is written in a way that cannot be changed so, it is written anew.
pub fn rewritten(text: &str, old: &Filed, new: &Grant) -> String {
    let whole = || toml::to_string(new).expect("a grant is plain data, which TOML holds");
    edited(text, &old.grant, new)
        .filter(|text| Grant::parse(&old.file, text).as_ref() == Ok(new))
        .unwrap_or_else(whole)
}

/// Edits line by line. Whoever calls reads the result again and compares, so that a line which was misread costs its
/// comments and nothing else.
fn edited(text: &str, old: &Grant, new: &Grant) -> Option<String> {
    let (was, is) = (&old.grant, &new.grant);
    let text = set(
        text,
        "version",
        &was.version.to_string(),
        &is.version.to_string(),
    )?;
    let text = set(
        &text,
        "digest",
        &was.digest.to_string(),
        &is.digest.to_string(),
    )?;
    let (http, more_http) = staying(&old.http, &new.http);
    let (tcp, more_tcp) = staying(&old.tcp, &new.tcp);
    let (dir, more_dir) = staying(&old.dir, &new.dir);
    let (secret, more_secret) = staying(&old.secret, &new.secret);
    let data = [old.data == new.data];
    let mut kept = String::new();
    let mut seen: HashMap<&str, usize> = HashMap::new();
    for block in blocks(&text) {
        let stays: &[bool] = match block.table {
            "[[http]]" => &http,
            "[[tcp]]" => &tcp,
            "[[dir]]" => &dir,
            "[[secret]]" => &secret,
            "[data]" => &data,
            _ => &[],
        };
        let at = seen.entry(block.table).or_default();
        if stays.get(*at).copied().unwrap_or(true) {
            kept.push_str(block.text);
        }
        *at += 1;
    }
    let added = Grant {
        http: more_http,
        tcp: more_tcp,
        dir: more_dir,
        secret: more_secret,
        data: if data[0] {
            Data::default()
        } else {
            new.data.clone()
        },
        limits: Limits::default(),
        ..new.clone()
    };
    let added = toml::to_string(&added).ok()?;
    // Behind `[grant]`, which stands in the file already.
    if let Some((_, entries)) = added.split_once("\n\n") {
        kept.truncate(kept.trim_end().len());
        kept.push_str("\n\n");
        kept.push_str(entries);
    }
    Some(kept)
}

/// Which of the older entries are still there, in order, and what stands behind them.
fn staying<T: PartialEq + Clone>(old: &[T], new: &[T]) -> (Vec<bool>, Vec<T>) {
    let mut at = 0;
    let stays = old
        .iter()
        .map(|entry| {
            let stays = new.get(at) == Some(entry);
            at += usize::from(stays);
            stays
        })
        .collect();
    (stays, new[at..].to_vec())
}

/// Puts another value in the place of that of a key of `[grant]`; what stands behind it on its line stays.
fn set(text: &str, key: &str, from: &str, to: &str) -> Option<String> {
    let start = locate(text, &format!("/grant/{key}"))?;
    let line = text[start..].lines().next()?;
    line.contains(from).then(|| {
        let end = start + line.len();
        format!(
            "{}{}{}",
            &text[..start],
            line.replacen(from, to, 1),
            &text[end..]
        )
    })
}

/// A table's lines, with the comments right above it.
struct Block<'a> {
    table: &'a str,
    text: &'a str,
}

fn blocks(text: &str) -> Vec<Block<'_>> {
    let (mut starts, mut place, mut comments) = (vec![(0, "")], 0, None);
    for line in text.split_inclusive('\n') {
        let bare = line.trim();
        if bare.starts_with('[') && !bare.starts_with("[\"") {
            let table = bare.split('#').next().unwrap_or_default().trim_end();
            starts.push((comments.unwrap_or(place), table));
        }
        comments = if bare.starts_with('#') {
            comments.or(Some(place))
        } else {
            None
        };
        place += line.len();
    }
    let ends = starts
        .iter()
        .skip(1)
        .map(|(start, _)| *start)
        .chain([text.len()]);
    starts
        .iter()
        .zip(ends)
        .map(|((start, table), end)| Block {
            table,
            text: &text[*start..end],
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = r#"# asked for by the sales team
[grant]
plugin = "acme/crm"
version = "1.0.0" # reviewed on a Monday
digest = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
pipeline = "p"

# only contacts
[[http]]
host = "api.acme.example"
methods = ["GET"]
paths = ["/v2/contacts"]

[[http]]
host = "old.acme.example"
methods = ["GET"]
paths = ["/**"]

[data]
reads = ["a", "b"] # not the names
"#;

    #[test]
    fn what_people_wrote_stays() {
        let old = Filed {
            path: PathBuf::new(),
            digest: Digest::of(b""),
            file: "g.toml".to_owned(),
            grant: Grant::parse("g", OLD).unwrap(),
        };
        let mut new = old.grant.clone();
        new.grant.version = "1.1.0".parse().unwrap();
        new.grant.digest = Digest::of(b"new");
        new.http.remove(1);
        new.http.push(sluice_model::grant::Http {
            host: "new.acme.example".to_owned(),
            ..new.http[0].clone()
        });
        let text = rewritten(OLD, &old, &new);
        assert_eq!(Grant::parse("g", &text).as_ref(), Ok(&new));
        for kept in [
            "# asked for by the sales team",
            "# reviewed on a Monday",
            "# only contacts",
            "# not the names",
        ] {
            assert!(text.contains(kept), "{kept} in {text}");
        }
        assert!(!text.contains("old.acme.example"), "{text}");
        new.data.reads.pop();
        assert_eq!(
            Grant::parse("g", &rewritten(OLD, &old, &new)).as_ref(),
            Ok(&new)
        );
        new.data = Data::default();
        new.http.clear();
        assert_eq!(
            Grant::parse("g", &rewritten(OLD, &old, &new)).as_ref(),
            Ok(&new)
        );
    }

    #[test]
    fn a_file_that_cannot_be_changed_in_place_is_written_anew() {
        let text = "http = [{ host = \"a.example\", methods = [\"GET\"], paths = [\"/\"] }]\n"
            .to_owned()
            + &OLD[..OLD.find("# only").unwrap()];
        let old = Filed {
            path: PathBuf::new(),
            digest: Digest::of(b""),
            file: "g.toml".to_owned(),
            grant: Grant::parse("g", &text).unwrap(),
        };
        let mut new = old.grant.clone();
        new.http.push(sluice_model::grant::Http {
            host: "b.example".to_owned(),
            ..new.http[0].clone()
        });
        assert_eq!(
            Grant::parse("g", &rewritten(&text, &old, &new)).as_ref(),
            Ok(&new)
        );
    }
}
