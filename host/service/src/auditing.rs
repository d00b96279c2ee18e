//! The audit of one run: what it began with, what its plugins did, how it ended. The [`Observer`] of a run's doors,
//! which hands everything on to its [`Watch`] too.
//!
//! Invariant: no plugin is entered before the trail says which one it is (test: `nothing_runs_that_cannot_be_audited`).
//! Invariant: nothing here waits for a disk on the data path; a window that cannot be written ends the run (test:
//! `a_window_that_cannot_be_written_is_the_end`).
//! Invariant: no secret is revealed that the trail does not tell of (test: `what_cannot_be_audited_is_not_revealed`).

use crate::Error;
use crate::audit::{Act, Action, Audit, named};
use crate::keeping::Keeping;
use crate::plan::{Plan, Stage};
use crate::report::RunReport;
use crate::trial::Recorder;
use crate::watch::Watch;
use serde::{Deserialize, Serialize};
use sluice_audit::{Party, Window};
use sluice_model::deployment::FILE;
use sluice_model::digest::Digest;
use sluice_model::guards::Guard;
use sluice_model::ids::{SecretName, StageId};
use sluice_model::ports::{HttpDoor, LogLine, Observer, Refusal, Used};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// Where what runs last saw is kept, beside the trail. Losing it loses no entry: every load names its grant's digest.
const SEEN: &str = "seen.json";

/// What a run does with its plugins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Moves records, in a process of its own.
    Run,
    /// Moves records, beside others in a host that says itself when it begins and ends.
    Served,
    /// Asks whether it could.
    Check,
}

/// The audit of a run.
pub struct Auditor {
    watch: Arc<Watch>,
    recorder: Option<Arc<Recorder>>,
    window: Mutex<Window>,
    begun: OnceLock<Begun>,
}

struct Begun {
    audit: Arc<Audit>,
    party: Party,
    keeping: Option<Arc<Keeping>>,
    purpose: Purpose,
}

impl Auditor {
    /// Of a run that this watch shows, and this recorder records.
    pub fn new(watch: Arc<Watch>, recorder: Option<Arc<Recorder>>) -> Self {
        Self {
            watch,
            recorder,
            window: Mutex::default(),
            begun: OnceLock::new(),
        }
    }

    /// Writes down what is about to run. Before any plugin is entered. Blocking.
    pub fn begin(
        &self,
        plan: &Plan,
        audit: Arc<Audit>,
        keeping: Option<Arc<Keeping>>,
        purpose: Purpose,
    ) -> Result<(), Error> {
        if let Some(keeping) = &keeping {
            audit.hold_store(keeping)?;
        }
        tell_of_changes(plan, &audit)?;
        let mut acts = Vec::new();
        if purpose == Purpose::Run {
            acts.extend(audit.host_begins()?);
        }
        let before = acts.len() as u64;
        acts.extend(loads(plan, purpose));
        let run = audit.acts_at(acts, keeping.as_deref())? + before;
        let party = Party {
            run,
            pipeline: plan.name().to_string(),
            plugins: plan
                .stages()
                .map(|stage| (stage.id, called(stage)))
                .collect(),
        };
        let begun = Begun {
            audit,
            party,
            keeping,
            purpose,
        };
        assert!(self.begun.set(begun).is_ok(), "a run begins once");
        Ok(())
    }

    /// The door of a stage, as it is recorded.
    pub fn door(&self, stage: StageId, door: Arc<dyn HttpDoor>) -> Arc<dyn HttpDoor> {
        match &self.recorder {
            Some(recorder) => recorder.door(stage, door),
            None => door,
        }
    }

    fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes down what was gathered. Blocking.
    pub fn flush(&self) -> Result<(), Error> {
        let Some(begun) = self.begun.get() else {
            return Ok(());
        };
        let acts = self.gathered(begun);
        if !acts.is_empty() {
            let _ = begun.acts(acts)?;
        }
        Ok(())
    }

    fn gathered(&self, begun: &Begun) -> Vec<Act> {
        let acts = self.window().empty(&begun.party);
        acts.into_iter().map(Act::by_the_host).collect()
    }

    /// Writes down what was gathered, again and again. Ends when that fails, with the reason.
    pub async fn keep_writing(self: Arc<Self>, every: Duration) -> Error {
        loop {
            tokio::time::sleep(every).await;
            let this = Arc::clone(&self);
            match tokio::task::spawn_blocking(move || this.flush()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) if !Guard::WindowWritten.stands() => {}
                Ok(Err(error)) => return error,
                Err(_) => return Error::Host("the audit panicked".to_owned()),
            }
        }
    }

    /// Writes down how it ended, and signs. Blocking.
    pub fn end(&self, outcome: Result<Option<&RunReport>, &Error>) -> Result<(), Error> {
        let Some(begun) = self.begun.get() else {
            return Ok(()); // It never began.
        };
        let mut acts = self.gathered(begun);
        let act = Action::RunEnded
            .with("run", begun.party.run)
            .with("pipeline", &begun.party.pipeline);
        let act = match outcome {
            Ok(Some(report)) => act
                .with("ending", format!("{:?}", report.ending).to_lowercase())
                .with("read", report.totals.read)
                .with("written", report.totals.written)
                .with("filtered", report.totals.filtered)
                .with("dead-lettered", report.totals.dead_lettered),
            Ok(None) => act.with("ending", "done"),
            // Its words may be a plugin's.
            Err(error) => act
                .with("ending", "failed")
                .with("exit-code", error.exit_code()),
        };
        acts.push(act.by_the_host());
        if begun.purpose == Purpose::Run {
            acts.push(Act::from(Action::HostStopped).by_the_host());
        }
        let _ = begun.acts(acts)?;
        begun.audit.sign()
    }
}

impl Begun {
    fn acts(&self, acts: Vec<Act>) -> Result<u64, Error> {
        self.audit.acts_at(acts, self.keeping.as_deref())
    }
}

impl Observer for Auditor {
    fn refused(&self, stage: StageId, refusal: &Refusal) {
        self.watch.refused(stage, refusal);
        self.window().refused(stage, refusal);
    }

    fn logged(&self, line: LogLine) {
        self.window().logged(line.stage);
        self.watch.logged(line);
    }

    fn used(&self, stage: StageId, used: &Used<'_>) {
        self.watch.used(stage, used);
        if let Some(recorder) = &self.recorder {
            recorder.used(stage, used);
        }
        self.window().used(stage, used);
    }

    /// On the disk before it returns: each one, not a sum. Blocking.
    fn reveals(&self, stage: StageId, secret: &SecretName) -> Result<(), String> {
        let begun = self.begun.get();
        let begun = begun.ok_or_else(|| "the audit of this run has not begun".to_owned())?;
        let party = &begun.party;
        let act = Action::SecretRevealed
            .with("run", party.run)
            .with("pipeline", &party.pipeline)
            .with("stage", stage)
            .with_some("plugin", party.plugins.get(&stage))
            .with("secret", secret)
            .by_the_host();
        let written = begun.acts(vec![act]);
        written.map(drop).map_err(|error| error.to_string())
    }
}

/// `acme/crm-source 1.4.0`
fn called(stage: &Stage) -> String {
    let about = &stage.artifact.manifest.plugin;
    format!("{} {}", about.name, about.version)
}

/// Of a file's bytes; none where there is no such file.
fn digest(file: &Path) -> Result<Option<Digest>, Error> {
    match std::fs::read(file) {
        Ok(bytes) => Ok(Some(Digest::of(&bytes))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::Host(format!(
            "`{}`: {}",
            crate::deployment::shown(file),
            crate::deployment::plain(&error)
        ))),
    }
}

/// The run, and each plugin with the grant it is let in by.
fn loads(plan: &Plan, purpose: Purpose) -> Vec<Act> {
    let purpose = match purpose {
        Purpose::Run | Purpose::Served => "run",
        Purpose::Check => "check",
    };
    let run = Action::RunStarted
        .with("pipeline", plan.name())
        .with("purpose", purpose)
        .with("file", &plan.file)
        .with("file-digest", Digest::of(plan.text.as_bytes()));
    let mut acts = vec![run];
    for stage in plan.stages() {
        let act = Action::PluginLoaded
            .with("pipeline", plan.name())
            .with("stage", stage.id)
            .with("plugin", called(stage))
            .with("digest", stage.artifact.digest)
            .with("grant", named(&plan.deployment, &stage.grant))
            .with("grant-digest", stage.grant_digest)
            .with_some("signer", stage.standing.signer());
        acts.push(act);
    }
    acts
}

/// Digests of the files that say what may be done, as a run last saw them; none of one that was not there.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Seen(BTreeMap<String, Option<Digest>>);

/// Files that decide what plugins may do and are not as a run last saw them: somebody edited them by hand, removed them,
/// or put them there.
fn tell_of_changes(plan: &Plan, audit: &Audit) -> Result<(), Error> {
    let deployment = &plan.deployment;
    let mut files: Vec<(Action, PathBuf, Option<Digest>)> = plan
        .stages()
        .map(|stage| {
            let now = Some(stage.grant_digest);
            (Action::GrantChanged, stage.grant.clone(), now)
        })
        .collect();
    for (action, file) in [
        (Action::DeploymentChanged, deployment.base.join(FILE)),
        (Action::PolicyChanged, deployment.policy_file()),
        (Action::TrustChanged, deployment.trust_file()),
    ] {
        let now = digest(&file)?;
        files.push((action, file, now));
    }
    let file = deployment.audit_dir().join(SEEN);
    let kept: Option<Seen> = std::fs::read(&file)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let is_first = kept.is_none();
    let mut seen = kept.unwrap_or_default();
    let named = |(action, path, now): (Action, PathBuf, _)| (action, named(deployment, &path), now);
    let (acts, grew) = changed(&mut seen, is_first, files.into_iter().map(named));
    if grew || !acts.is_empty() {
        // The entry comes first: where this write is lost, the change is told again.
        if !acts.is_empty() {
            let told = |act: Act| act.with("pipeline", plan.name()).by_the_host();
            let acts: Vec<Act> = acts.into_iter().map(told).collect();
            let _ = audit.acts(&acts)?;
        }
        let text = serde_json::to_vec(&seen).expect("names and digests are plain data");
        crate::durable::replace(&file, &text)
            .map_err(|error| Error::Host(format!("`{}`: {error}", file.display())))?;
    }
    Ok(())
}

/// What is told of these files, and whether there is anything new to keep. A grant that no run saw before is told by its
/// load, and a deployment's first files by nothing; a policy or a trust file that appears later is a change.
fn changed(
    seen: &mut Seen,
    is_first: bool,
    files: impl IntoIterator<Item = (Action, String, Option<Digest>)>,
) -> (Vec<Act>, bool) {
    let (mut acts, mut grew) = (Vec::new(), false);
    for (action, name, now) in files {
        let known = seen.0.insert(name.clone(), now);
        grew |= known.is_none();
        let is_rule = matches!(action, Action::PolicyChanged | Action::TrustChanged);
        let before = match known {
            Some(before) => before,
            None if is_rule && !is_first => None,
            None => now,
        };
        if before != now {
            let act = action.with("file", name);
            let act = act.with_some("digest", now);
            acts.push(act.with_some("before", before));
        }
    }
    (acts, grew)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deployment::Deployment;
    use sluice_model::ids::Role;

    fn begun(folder: &Path) -> (Deployment, Arc<Auditor>) {
        let deployment = Deployment {
            base: folder.to_owned(),
            settings: sluice_model::deployment::Deployment::default(),
        };
        let auditor = Auditor::new(Arc::default(), None);
        let begun = Begun {
            audit: Arc::new(Audit::open(&deployment).unwrap()),
            party: Party::default(),
            keeping: None,
            purpose: Purpose::Run,
        };
        assert!(auditor.begun.set(begun).is_ok());
        (deployment, Arc::new(auditor))
    }

    fn refuse(auditor: &Auditor) {
        let stage = StageId {
            role: Role::Sink,
            index: 0,
        };
        let refusal = Refusal {
            capability: "http",
            asked: "GET https://evil.test/".to_owned(),
            reason: "not granted".to_owned(),
            hint: None,
        };
        auditor.refused(stage, &refusal);
    }

    #[test]
    fn what_cannot_be_audited_is_not_revealed() {
        let folder = tempfile::tempdir().unwrap();
        let stage = StageId {
            role: Role::Sink,
            index: 0,
        };
        let secret: SecretName = "password".parse().unwrap();
        let early = Auditor::new(Arc::default(), None);
        assert!(early.reveals(stage, &secret).is_err(), "it has not begun");
        let (deployment, auditor) = begun(folder.path());
        for _ in 0..2 {
            auditor.reveals(stage, &secret).unwrap();
        }
        let mut told = Vec::new();
        let tell = |entry: &crate::audit::Entry| {
            if entry.action == "secret.revealed" {
                told.push((entry.actor.clone(), entry.fields["secret"].clone()));
            }
            Ok(())
        };
        crate::audit::each(&deployment, &crate::audit::Filter::default(), tell).unwrap();
        let one = ("host".to_owned(), "password".to_owned());
        assert_eq!(told, [one.clone(), one], "each is an entry of its own");
        std::fs::remove_file(deployment.audit_dir().join("00000001.log")).unwrap();
        assert!(auditor.reveals(stage, &secret).is_err());
    }

    #[tokio::test]
    async fn a_window_that_cannot_be_written_is_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let (deployment, auditor) = begun(folder.path());
        refuse(&auditor);
        auditor.flush().unwrap();
        let mut refused = 0;
        let count = |entry: &crate::audit::Entry| {
            refused += u32::from(entry.action == "refused");
            Ok(())
        };
        crate::audit::each(&deployment, &crate::audit::Filter::default(), count).unwrap();
        assert_eq!(refused, 1);
        std::fs::remove_file(deployment.audit_dir().join("00000001.log")).unwrap();
        refuse(&auditor);
        let error = auditor.keep_writing(Duration::from_millis(1)).await;
        assert_eq!(error.exit_code(), 3, "{error}");
    }

    #[test]
    fn files_that_change_vanish_or_appear_are_told() {
        use Action::{DeploymentChanged, GrantChanged, PolicyChanged, TrustChanged};
        let mut seen = Seen::default();
        let mut told = |is_first, files: &[(Action, &str, &str)]| -> Vec<String> {
            let files = files.iter().map(|(action, name, text)| {
                let now = (!text.is_empty()).then(|| Digest::of(text.as_bytes()));
                (*action, (*name).to_owned(), now)
            });
            let (acts, _) = changed(&mut seen, is_first, files);
            acts.iter().map(|act| format!("{act:?}")).collect()
        };
        let check = |told: Vec<String>, expected: &[(&str, &str, bool, bool)]| {
            assert_eq!(told.len(), expected.len(), "{told:?}");
            for (told, (action, file, is_there, was_there)) in told.iter().zip(expected) {
                assert!(
                    told.contains(action) && told.contains(&format!("{file:?}")),
                    "{told}"
                );
                assert_eq!(told.contains("\"digest\""), *is_there, "{told}");
                assert_eq!(told.contains("\"before\""), *was_there, "{told}");
            }
        };
        let first = [
            (GrantChanged, "g", "1"),
            (DeploymentChanged, "sluice.toml", "1"),
            (PolicyChanged, "policy.toml", "1"),
            (TrustChanged, "trust.toml", ""),
        ];
        check(told(true, &first), &[]);
        check(told(false, &first), &[]);
        let next = [
            (GrantChanged, "new", "1"),
            (DeploymentChanged, "sluice.toml", "2"),
            (PolicyChanged, "policy.toml", ""),
            (TrustChanged, "trust.toml", "1"),
        ];
        let expected = [
            ("DeploymentChanged", "sluice.toml", true, true),
            ("PolicyChanged", "policy.toml", false, true),
            ("TrustChanged", "trust.toml", true, false),
        ];
        check(told(false, &next), &expected);
        check(told(false, &next), &[]);
        let pointed = [(PolicyChanged, "other.toml", "1")];
        check(
            told(false, &pointed),
            &[("PolicyChanged", "other.toml", true, false)],
        );
    }
}
