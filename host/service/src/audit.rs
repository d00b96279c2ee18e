//! The audit trail of a deployment: opened for whoever acts, and read for whoever asks. What plugins do in a run is
//! gathered in `auditing`.

use crate::Error;
use crate::deployment::{Deployment, shown};
use crate::keeping::Keeping;
use serde::Serialize;
pub use sluice_audit::{Act, Action, Actor, Entry, Finding, Verdict};
use sluice_audit::{AuditError, Folder, Options, Trail, Trust};
use sluice_model::guards::Guard;
use sluice_model::tomlfile::FileError;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The trail of a deployment, and who acts. What is not written here does not happen: call [`Audit::act`] before what
/// it tells of, and give its error up.
#[derive(Clone)]
pub struct Audit {
    shared: Arc<Shared>,
    actor: Actor,
}

struct Shared {
    trail: Trail,
    /// Held from where the number of the store's last commit is read to where it is written: commits that other runs of
    /// this process make meanwhile must not be told in another order.
    order: Mutex<()>,
}

impl From<AuditError> for Error {
    fn from(error: AuditError) -> Self {
        Error::Host(error.to_string())
    }
}

fn options(deployment: &Deployment) -> Options {
    Options {
        copy: copy_dir(deployment),
        ..Options::default()
    }
}

fn copy_dir(deployment: &Deployment) -> Option<PathBuf> {
    let copy = deployment.settings.audit.copy.as_ref();
    copy.map(|dir| deployment.base.join(dir))
}

impl Audit {
    /// Opens the trail, or begins it, for the person whose command this process is.
    pub fn open(deployment: &Deployment) -> Result<Self, Error> {
        let trail = Trail::open(&deployment.audit_dir(), options(deployment))?;
        Ok(Self {
            shared: Arc::new(Shared {
                trail,
                order: Mutex::default(),
            }),
            actor: Actor::of_this_process(),
        })
    }

    /// Who acts, in words.
    pub fn actor(&self) -> String {
        self.actor.to_string()
    }

    /// The same trail, for somebody else.
    #[must_use]
    pub fn by(&self, actor: Actor) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            actor,
        }
    }

    /// Whether it can be written to: a write that failed closes it.
    pub(crate) fn is_open(&self) -> bool {
        self.trail().size().is_ok()
    }

    fn trail(&self) -> &Trail {
        &self.shared.trail
    }

    /// Writes down what is about to be done. Durable when this returns; where it fails, it must not be done.
    pub fn act(&self, act: impl Into<Act>) -> Result<(), Error> {
        let written = self.trail().act(&self.actor, act).map(drop);
        if Guard::ActWritten.stands() {
            written?;
        }
        Ok(())
    }

    /// Several at once, for the price of one; the number of the first.
    pub fn acts(&self, acts: &[Act]) -> Result<u64, Error> {
        Ok(self.trail().acts(&self.actor, acts)?)
    }

    /// [`Audit::act`], with the number of this store's last commit.
    pub fn act_at(&self, act: impl Into<Act>, keeping: &Keeping) -> Result<(), Error> {
        let order = &self.shared.order;
        let _order = order.lock().unwrap_or_else(PoisonError::into_inner);
        self.act(act.into().at(keeping.last_commit()))
    }

    /// [`Audit::acts`], with the number of this store's last commit.
    pub fn acts_at(&self, acts: Vec<Act>, keeping: Option<&Keeping>) -> Result<u64, Error> {
        let order = &self.shared.order;
        let _order = order.lock().unwrap_or_else(PoisonError::into_inner);
        let commit = keeping.map(Keeping::last_commit);
        let told = |act: Act| match commit {
            Some(commit) => act.at(commit),
            None => act,
        };
        let acts: Vec<Act> = acts.into_iter().map(told).collect();
        self.acts(&acts)
    }

    /// Signs all there is.
    pub(crate) fn sign(&self) -> Result<(), Error> {
        Ok(self.trail().sign()?)
    }

    /// What is said when a host begins: of one that did not say that it ended, too. The state store is this process's
    /// alone, so a host that is still said to work here cannot be.
    pub(crate) fn host_begins(&self) -> Result<Vec<Act>, Error> {
        let lost = self.trail().host()?;
        let mut acts = Vec::new();
        acts.extend(lost.map(|entry| Action::HostLost.with("entry", entry).by_the_host()));
        let started = Action::HostStarted.with("version", env!("CARGO_PKG_VERSION"));
        acts.push(started.with("pid", std::process::id()).by_the_host());
        Ok(acts)
    }

    /// A store that is older than the trail was rolled back.
    pub(crate) fn hold_store(&self, keeping: &Keeping) -> Result<(), Error> {
        let order = &self.shared.order;
        let _order = order.lock().unwrap_or_else(PoisonError::into_inner);
        self.hold_commit(keeping.last_commit())
    }

    fn hold_commit(&self, commit: u64) -> Result<(), Error> {
        match self.trail().commit()? {
            Some(seen) if Guard::StoreRollback.bars(commit < seen) => Err(Error::Host(format!(
                "the state store is at commit {commit}, and the audit trail has seen {seen}: the store was rolled back\n  \
                 hint: put the newer one back; where an older one is meant, `sluice audit restored --reason \"…\"`"
            ))),
            _ => Ok(()),
        }
    }
}

/// Whether there is a trail.
fn folder(deployment: &Deployment) -> Result<Folder, Error> {
    let dir = deployment.audit_dir();
    if dir.is_dir() {
        Ok(Folder::new(dir))
    } else {
        let problem = FileError::new(shown(&dir), "nothing was audited here yet");
        Err(problem
            .hint("the first command that changes something begins the trail")
            .into())
    }
}

/// Which entries to show.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Not older, in milliseconds since 1970.
    pub since_ms: u64,
    /// Of this pipeline.
    pub pipeline: Option<String>,
    /// Of this plugin: its name, or its name and version.
    pub plugin: Option<String>,
    /// This action, or all that begin so: `grant` is `grant.written` and `grant.revoked`.
    pub action: Option<String>,
    /// By this actor: a name, or a name with its number.
    pub actor: Option<String>,
    /// With this text in any value.
    pub text: Option<String>,
}

impl Filter {
    /// Whether it lets this entry through.
    pub fn passes(&self, entry: &Entry) -> bool {
        let field = |key: &str, wanted: &Option<String>| {
            wanted.as_ref().is_none_or(|wanted| {
                entry
                    .fields
                    .get(key)
                    .is_some_and(|has| starts(has, wanted, ' '))
            })
        };
        let whole = |has: &str, wanted: &Option<String>, end| {
            wanted
                .as_ref()
                .is_none_or(|wanted| starts(has, wanted, end))
        };
        entry.time >= self.since_ms
            && field("pipeline", &self.pipeline)
            && field("plugin", &self.plugin)
            && whole(&entry.action, &self.action, '.')
            && whole(&entry.actor, &self.actor, ' ')
            && self.text.as_ref().is_none_or(|text| {
                let mut values = entry.fields.values().chain([&entry.actor, &entry.action]);
                values.any(|value| value.contains(text.as_str()))
            })
    }
}

/// Whether `has` is `wanted`, or begins with it up to an `end`.
fn starts(has: &str, wanted: &str, end: char) -> bool {
    has.strip_prefix(wanted)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(end))
}

/// Goes through the entries that a filter lets through, in order. Each was held to what came before it; where one is
/// not what was written, that is the error, after all before it were seen.
pub fn each(
    deployment: &Deployment,
    filter: &Filter,
    mut seen: impl FnMut(&Entry) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut entries = sluice_audit::Entries::of(&folder(deployment)?)?;
    while let Some(entry) = entries.next()? {
        if filter.passes(&entry) {
            seen(&entry)?;
        }
    }
    Ok(())
}

/// What the trail was held against, and what came of it.
#[derive(Debug, Clone, Serialize)]
pub struct Verified {
    /// What is wrong; nothing where it holds.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// The second place.
    pub copy: Option<String>,
    /// Checkpoints that were given.
    pub checkpoints: Vec<String>,
    /// Where the state store is; none where there is none, or a run has it. A service that has it says so itself.
    pub store_commit: Option<u64>,
    /// Whether a run or a service has it.
    pub store_in_use: bool,
}

/// Whether it holds.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub enum Outcome {
    /// It is what hosts wrote, as far as all of these know.
    Holds(Verdict),
    /// It is not.
    Broken(Finding),
}

/// Goes through all of the trail, and holds it against the key, its copy, the state store, and checkpoints that were
/// kept elsewhere.
pub fn verify(
    deployment: &Deployment,
    checkpoints: &[PathBuf],
    key: Option<String>,
) -> Result<Verified, Error> {
    let folder = folder(deployment)?;
    let (store_commit, store_in_use) = match Keeping::open_if_there(deployment) {
        Ok(keeping) => (keeping.map(|keeping| keeping.last_commit()), false),
        // A service says where its store is; a run does not.
        Err(Error::InUse(_)) => (crate::control::commit(deployment), true),
        Err(error) => return Err(error),
    };
    let copy = copy_dir(deployment);
    let read = |file: &PathBuf| -> Result<(String, Vec<u8>), Error> {
        let bytes = std::fs::read(file)
            .map_err(|error| FileError::new(shown(file), crate::deployment::plain(&error)))?;
        Ok((format!("`{}`", shown(file)), bytes))
    };
    let mut trust = Trust {
        key,
        checkpoints: checkpoints.iter().map(read).collect::<Result<_, _>>()?,
        copy: copy.clone(),
        store_commit,
    };
    let mut verified = sluice_audit::verify(&folder, &trust);
    if store_in_use && matches!(verified, Err(AuditError::Broken(_))) {
        // Entries of commits may have come while the trail was read. Asked for after them, the store is behind none.
        trust.store_commit = crate::control::commit(deployment);
        verified = sluice_audit::verify(&folder, &trust);
    }
    let outcome = match verified {
        Ok(verdict) => Outcome::Holds(verdict),
        Err(AuditError::Broken(finding)) => Outcome::Broken(finding),
        Err(error) => return Err(error.into()),
    };
    Ok(Verified {
        outcome,
        copy: copy.map(|dir| shown(&dir)),
        checkpoints: checkpoints.iter().map(|file| shown(file)).collect(),
        store_commit: trust.store_commit,
        store_in_use,
    })
}

/// The public half of the key that signs, as text; with `rotate`, of another from here on.
pub fn key(deployment: &Deployment, rotate: bool) -> Result<String, Error> {
    drop(folder(deployment)?);
    let audit = Audit::open(deployment)?;
    if rotate {
        audit.trail().rotate_key(&audit.actor)?;
    }
    Ok(audit.trail().key()?)
}

/// Signs all there is, and gives the checkpoint: text to be kept where this machine cannot change it.
pub fn checkpoint(deployment: &Deployment) -> Result<String, Error> {
    drop(folder(deployment)?);
    let audit = Audit::open(deployment)?;
    audit.sign()?;
    let note = audit.trail().checkpoint()?;
    Ok(note.map(|note| note.to_string()).unwrap_or_default())
}

/// Writes down that the state store was put back to an older one on purpose: from here on, that is what it is held to.
pub fn restored(deployment: &Deployment, reason: &str) -> Result<u64, Error> {
    let keeping = Keeping::open_as_it_is(deployment)?;
    let audit = Audit::open(deployment)?;
    let commit = keeping.last_commit();
    audit.act_at(Action::StateRestored.with("reason", reason), &keeping)?;
    Ok(commit)
}

/// A file as the trail names it: from the deployment's folder.
pub fn named(deployment: &Deployment, file: &Path) -> String {
    let below = file.strip_prefix(&deployment.base);
    below.unwrap_or(file).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_went_back_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let deployment = Deployment {
            base: folder.path().to_owned(),
            settings: sluice_model::deployment::Deployment::default(),
        };
        let audit = Audit::open(&deployment).unwrap();
        audit.act(Act::from(Action::SecretSet).at(7)).unwrap();
        audit.hold_commit(7).unwrap();
        let told = audit.hold_commit(6).unwrap_err().to_string();
        assert!(told.contains("the store was rolled back"), "{told}");
    }

    #[test]
    fn an_act_that_cannot_be_written_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let deployment = Deployment {
            base: folder.path().to_owned(),
            settings: sluice_model::deployment::Deployment::default(),
        };
        let audit = Audit::open(&deployment).unwrap();
        audit.act(Action::SecretSet).unwrap();
        std::fs::remove_file(deployment.audit_dir().join("00000001.log")).unwrap();
        assert!(audit.act(Action::SecretSet).is_err());
    }

    #[test]
    fn filters_are_by_whole_words() {
        for (has, wanted, end, expected) in [
            ("grant.written", "grant", '.', true),
            ("grant.written", "grant.written", '.', true),
            ("grant.written", "gran", '.', false),
            ("alice (1000)", "alice", ' ', true),
            ("alice (1000)", "al", ' ', false),
            ("acme/x 1.0.0", "acme/x", ' ', true),
            ("acme/x-y 1.0.0", "acme/x", ' ', false),
        ] {
            assert_eq!(starts(has, wanted, end), expected, "{has} {wanted}");
        }
    }
}
