//! The files that a service's pipelines are made of: which there are, and which have changed. Looked at by their size
//! and time; what a change means is asked of the plan.

use super::board::Board;
use super::seat::Seat;
use super::standing::{Event, MISCONFIGURED, Reason};
use crate::Error;
use crate::deployment::{Deployment, read, shown};
use crate::host::Host;
use crate::plan::{self, Plan};
use sluice_model::deployment::FILE;
use sluice_model::digest::Digest;
use sluice_model::guards::Guard;
use sluice_model::pipeline::Pipeline;
use sluice_model::tomlfile::FileError;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

/// Pipelines of one service. Stops a folder of a million files from becoming a million tasks.
const PIPELINES_MAX: usize = 1_000;

/// What the files were when they were last looked at.
#[derive(Debug, Default)]
pub struct Files {
    all: BTreeMap<PathBuf, Known>,
    /// Files that are too many.
    left_out: usize,
    /// A folder could not be listed when it was last looked at.
    unlisted: bool,
}

#[derive(Debug)]
struct Known {
    stamp: String,
    /// Components that it names by their paths.
    components: Vec<PathBuf>,
}

impl Files {
    /// Looks, and tells each pipeline what concerns it. Those that are new. Blocking.
    pub fn look(&mut self, deployment: &Deployment, board: &Board) -> Vec<Arc<Seat>> {
        // A folder that cannot be listed for a moment is not an empty one: what was there stays.
        let (shared, there) = match (shared(deployment), self.listed(deployment)) {
            (Ok(shared), Ok(there)) => {
                self.unlisted = false;
                (shared, there)
            }
            (Err(error), _) | (_, Err(error)) if std::mem::replace(&mut self.unlisted, true) => {
                tracing::debug!(%error, "still not listed");
                return Vec::new();
            }
            (Err(error), _) | (_, Err(error)) => {
                tracing::warn!(%error, "a folder of the deployment cannot be listed: its pipelines stay as they are");
                return Vec::new();
            }
        };
        let gone: Vec<PathBuf> = self
            .all
            .keys()
            .filter(|file| !there.contains(file))
            .cloned()
            .collect();
        for file in gone {
            tracing::info!(file = %shown(&file), "a pipeline's file is gone");
            self.all.remove(&file);
            board.part(&file);
            // It may have stood before another of its name.
            self.all.values_mut().for_each(|known| known.stamp.clear());
        }
        let mut new = Vec::new();
        for file in there {
            let stamp = |components: &[PathBuf]| {
                let mut text = shared.clone();
                stamp(&mut text, &file);
                for component in components {
                    stamp_with_signature(&mut text, component);
                }
                text
            };
            let known = self.all.get(&file);
            let is_same = known.is_some_and(|known| stamp(&known.components) == known.stamp);
            if is_same && board.seat(&file).is_some() {
                continue;
            }
            // Before it is read: what changes after that is another change.
            let before = stamp(&[]);
            let parsed = read(&file).and_then(|text| Pipeline::parse(&shown(&file), &text));
            let components = parsed
                .as_ref()
                .map_or(Vec::new(), |pipeline| components(deployment, pipeline));
            let after = stamp(&[]);
            let known = Known {
                stamp: if before == after {
                    stamp(&components)
                } else {
                    before
                },
                components,
            };
            self.all.insert(file.clone(), known);
            new.extend(changed(&file, parsed, board));
        }
        new
    }

    /// The pipelines that there are. That there are too many is told once.
    fn listed(&mut self, deployment: &Deployment) -> io::Result<Vec<PathBuf>> {
        let (files, left_out) = pipeline_files(deployment)?;
        if self.left_out != left_out && left_out > 0 {
            tracing::error!(
                left_out,
                most = PIPELINES_MAX,
                "more pipelines than one service runs: the rest is left out"
            );
        }
        self.left_out = left_out;
        Ok(files)
    }
}

/// A file that is new or has changed. Its seat, where that is new.
fn changed(file: &Path, parsed: Result<Pipeline, FileError>, board: &Board) -> Option<Arc<Seat>> {
    let name = parsed.as_ref().ok().map(|pipeline| &pipeline.pipeline.name);
    let old = board
        .seat(file)
        .filter(|seat| name.is_none() || seat.name.as_ref() == name);
    let is_new = old.is_none();
    let seat = old.unwrap_or_else(|| {
        board.part(file);
        Arc::new(Seat::new(file, name.cloned()))
    });
    let told = match parsed {
        Err(problem) => Some(Event::Wrong(wrong(&[problem]))),
        Ok(pipeline) => {
            seat.scheduled(&pipeline.pipeline.schedule);
            match must_be_first(board, &seat) {
                Err(problem) => Some(Event::Wrong(wrong(&[problem]))),
                // One that is to run now finds out by itself.
                Ok(()) if is_new && seat.is_due() => None,
                Ok(()) => Some(planned(&seat)),
            }
        }
    };
    if is_new {
        board.join(&seat);
    }
    if let Some(event) = told {
        seat.on(event);
    }
    is_new.then_some(seat)
}

/// Of two files with one name, the first in their order is the pipeline's.
pub fn must_be_first(board: &Board, seat: &Seat) -> Result<(), FileError> {
    let elder = board.elder_of(seat);
    match elder {
        Some(elder) if Guard::ServedOnce.stands() => {
            let message = format!("`{}` has its name: one pipeline, one file", shown(&elder));
            Err(FileError::new(shown(&seat.file), message)
                .hint("give one of them another name, or take one away"))
        }
        _ => Ok(()),
    }
}

/// What the plan makes of a change.
fn planned(seat: &Seat) -> Event {
    match plan::make(&seat.file) {
        Err(problems) => Event::Wrong(wrong(&problems)),
        Ok(_) if seat.identity().is_none() && !seat.is_under_way() => {
            Event::Changed { plan: false }
        }
        Ok(plan) => Event::Changed {
            plan: seat.identity() != Some(identity(&plan)),
        },
    }
}

/// Why a file cannot be run as it is, in the words of the mistakes in it.
pub fn wrong(problems: &[FileError]) -> Reason {
    let told = problems.iter().map(|problem| {
        let bare = FileError {
            hint: None,
            ..problem.clone()
        };
        bare.to_string()
    });
    let reason = Reason::new(MISCONFIGURED, told.collect::<Vec<_>>().join("\n"));
    match problems.iter().find_map(|problem| problem.hint.clone()) {
        Some(hint) => reason.mend(hint),
        None => reason.mend("`sluice check` tells all that is wrong"),
    }
}

/// What a plan is made of: another identity is another plan.
pub fn identity(plan: &Plan) -> Digest {
    let mut text = plan.text.clone();
    let stages = plan.stages();
    for stage in stages {
        let signer = stage.standing.signer().map(ToString::to_string);
        let (digest, grant) = (stage.artifact.digest, stage.grant_digest);
        let _ = write!(text, "\n{digest} {grant} {signer:?}"); // Memory.
    }
    let deployment = &plan.deployment;
    for file in [
        deployment.base.join(FILE),
        deployment.policy_file(),
        deployment.trust_file(),
    ] {
        let bytes = std::fs::read(file).unwrap_or_default();
        let _ = write!(text, "\n{}", Digest::of(&bytes)); // Memory.
    }
    Digest::of(text.as_bytes())
}

/// A service goes on with the state directory and the audit trail that it began with.
pub fn must_be_of(host: &Host, plan: &Plan) -> Result<(), Error> {
    let (ours, theirs) = (host.deployment(), &plan.deployment);
    let differs = ours.base != theirs.base
        || ours.settings.state != theirs.settings.state
        || ours.settings.audit != theirs.settings.audit;
    if Guard::ServedState.bars(differs) {
        let file = shown(&theirs.base.join(FILE));
        let message = "`[state]` or `[audit]` is not what the service began with";
        return Err(FileError::new(file, message)
            .hint("put it back, or start the service anew")
            .into());
    }
    Ok(())
}

/// The names of a deployment's pipelines; a file's own, where it does not say one.
pub(crate) fn pipelines_of(deployment: &Deployment) -> Vec<String> {
    let named = |file: &PathBuf| {
        let pipeline = read(file).and_then(|text| Pipeline::parse(&shown(file), &text));
        pipeline.map_or_else(
            |_| {
                file.file_stem()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned()
            },
            |pipeline| pipeline.pipeline.name.to_string(),
        )
    };
    let files = pipeline_files(deployment).map_or(Vec::new(), |(files, _)| files);
    files.iter().map(named).collect()
}

/// The pipeline files, sorted, and how many more there are. Hidden ones are none: an editor may leave them.
pub(super) fn pipeline_files(deployment: &Deployment) -> io::Result<(Vec<PathBuf>, usize)> {
    let mut files = listed(&deployment.pipelines_dir(), &["toml"])?;
    let most = Guard::ServedPipelines.limit(PIPELINES_MAX);
    let left_out = files.len().saturating_sub(most);
    files.truncate(most);
    Ok((files, left_out))
}

/// The files of a folder; none of one that is not there. What is no file, as a pipe that nobody writes to, is left out.
fn listed(dir: &Path, extensions: &[&str]) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let entries = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut files = entries.collect::<io::Result<Vec<PathBuf>>>()?;
    files.retain(|file| {
        let is_hidden = file
            .file_name()
            .is_none_or(|name| name.to_string_lossy().starts_with('.'));
        let extension = file.extension().and_then(|extension| extension.to_str());
        let is_named = extension.is_some_and(|extension| extensions.contains(&extension));
        !is_hidden && is_named && file.metadata().map_or(true, |seen| seen.is_file())
    });
    files.sort();
    Ok(files)
}

/// The components that a pipeline names by their paths.
fn components(deployment: &Deployment, pipeline: &Pipeline) -> Vec<PathBuf> {
    let named = plan::written(pipeline);
    let paths = named.iter().filter(|stage| {
        let path = Path::new(stage.plugin);
        path.extension()
            .is_some_and(|extension| extension == "wasm")
    });
    paths
        .map(|stage| deployment.base.join(stage.plugin))
        .collect()
}

/// Stamps of the files that every pipeline depends on.
fn shared(deployment: &Deployment) -> io::Result<String> {
    let mut text = String::new();
    stamp(&mut text, &deployment.base.join(FILE));
    stamp(&mut text, &deployment.policy_file());
    stamp(&mut text, &deployment.trust_file());
    for file in listed(&deployment.grants_dir(), &["toml"])? {
        stamp(&mut text, &file);
    }
    for file in listed(&deployment.plugins_dir(), &["wasm", "sig"])? {
        stamp(&mut text, &file);
    }
    Ok(text)
}

/// A file's path, size and time. One that is not there has a stamp too.
fn stamp(text: &mut String, file: &Path) {
    let seen = std::fs::metadata(file).ok();
    let seen = seen.map(|seen| {
        let modified = seen.modified().ok();
        let modified = modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        (seen.len(), modified)
    });
    let _ = writeln!(text, "{} {seen:?}", file.display()); // Memory.
}

fn stamp_with_signature(text: &mut String, component: &Path) {
    stamp(text, component);
    let mut signature = component.as_os_str().to_owned();
    signature.push(".sig");
    stamp(text, Path::new(&signature));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_files_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let deployment = Deployment {
            base: folder.path().to_owned(),
            settings: sluice_model::deployment::Deployment::default(),
        };
        let dir = deployment.pipelines_dir();
        std::fs::create_dir(&dir).unwrap();
        for name in [".hidden.toml", "notes.md", "a.toml~"] {
            std::fs::write(dir.join(name), "").unwrap();
        }
        std::fs::create_dir(dir.join("folder.toml")).unwrap();
        assert_eq!(pipeline_files(&deployment).unwrap(), (Vec::new(), 0));
        for at in 0..=PIPELINES_MAX {
            std::fs::write(dir.join(format!("{at:04}.toml")), "").unwrap();
        }
        let (files, left_out) = pipeline_files(&deployment).unwrap();
        assert_eq!((files.len(), left_out), (PIPELINES_MAX, 1));
        assert!(files[0].ends_with("0000.toml"));
    }
}
