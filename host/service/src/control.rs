//! What people ask of a deployment's state, and how it is answered: by the command itself, where no service has the
//! state directory, and through the service's socket, where one does. The same [`Request`], the same [`answer`].

mod client;
mod pauses;

pub(crate) use client::SOCKET;
pub use pauses::Pause;
pub(crate) use pauses::read as pauses;

use crate::audit::{Act, Action, Actor};
use crate::deployment::Deployment;
use crate::holder::{COMMAND, InUse};
use crate::host::Host;
use crate::keeping::LetterFilter;
use crate::redact::Hidden;
use crate::run::Task;
use crate::serve::{Board, Jobs};
use crate::{Error, dlq, serve};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sluice_model::guards::Guard;
use sluice_model::ids::{PipelineName, SplitId};
use sluice_model::tomlfile::FileError;
use std::sync::Arc;

/// What is asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case")]
pub enum Request {
    /// How every pipeline is.
    Status,
    /// Have a pipeline wait.
    Pause {
        /// Which.
        pipeline: PipelineName,
        /// Why, for whoever wonders.
        reason: Option<String>,
    },
    /// Have it go on.
    Resume {
        /// Which.
        pipeline: PipelineName,
    },
    /// Look at the files at once: somebody has changed one.
    Reload,
    /// Where each split is.
    Checkpoints {
        /// Of which pipeline.
        pipeline: PipelineName,
    },
    /// Forget where it is.
    ResetCheckpoints {
        /// Which pipeline.
        pipeline: PipelineName,
        /// Only this split.
        split: Option<SplitId>,
        /// Its inferred schemas too.
        schemas: bool,
    },
    /// Dead letters after this number.
    Letters {
        /// Of which pipeline.
        pipeline: PipelineName,
        /// Which.
        filter: LetterFilter,
        /// The last one that is known.
        after: u64,
        /// At most so many.
        limit: usize,
        /// With what the policy's classes hide: for an export, which is written down on its own.
        reveal: bool,
    },
    /// One dead letter.
    Letter {
        /// Of which pipeline.
        pipeline: PipelineName,
        /// Its number.
        number: u64,
    },
    /// Write down that dead letters are about to be written out.
    LettersExported {
        /// Of which pipeline.
        pipeline: PipelineName,
        /// Where to.
        to: String,
    },
    /// Set a split to another place.
    SetCheckpoint {
        /// Of which pipeline.
        pipeline: PipelineName,
        /// Which split.
        split: SplitId,
        /// Where, in the source's own encoding; none: the beginning.
        place: Option<String>,
        /// Of which version of that.
        version: u32,
        /// Whether no run has read it yet.
        new: bool,
    },
    /// One dead letter, with all that stands in it.
    RevealLetter {
        /// Of which pipeline.
        pipeline: PipelineName,
        /// Its number.
        number: u64,
    },
    /// How many dead letters there are, and what became of all there ever were.
    Account {
        /// Of which pipeline.
        pipeline: PipelineName,
    },
    /// Give dead letters up.
    Discard {
        /// Of which pipeline.
        pipeline: PipelineName,
        /// Which.
        filter: LetterFilter,
        /// Why.
        reason: String,
    },
    /// Have another record sent in the place of a dead letter's.
    Edit {
        /// Of which pipeline.
        pipeline: PipelineName,
        /// Its number.
        number: u64,
        /// A JSON object.
        record: String,
    },
    /// Write down that something is done again: a redrive or a backfill, by the command itself.
    Again {
        /// Of which pipeline.
        pipeline: PipelineName,
        /// What.
        task: Task,
    },
    /// Have it done by the service.
    Start {
        /// Of which pipeline.
        pipeline: PipelineName,
        /// What.
        task: Task,
    },
    /// How that is.
    Job {
        /// Of which pipeline.
        pipeline: PipelineName,
    },
    /// How the state is sealed.
    State,
    /// The number of the last commit.
    Commit,
}

/// Answers a request for somebody. Blocking. Without a board there is no service.
pub fn answer(
    host: &Arc<Host>,
    board: Option<&Arc<Board>>,
    who: &Actor,
    request: Request,
) -> Result<Value, Error> {
    let keeping = host.keeping()?;
    match request {
        Request::Status => said(&serve::status(host, board)?),
        Request::Pause { pipeline, reason } => {
            known(host, board, &pipeline)?;
            let act = Action::PipelinePaused.with("pipeline", &pipeline);
            let act = act.with_some("reason", reason.as_ref());
            host.audit()?.by(who.clone()).act_at(act, &keeping)?;
            let pause = Pause::now(who, reason);
            pauses::write(host.deployment(), &pipeline, Some(&pause))?;
            if let Some(board) = board {
                board.pause(&pipeline, &pause);
            }
            said(&())
        }
        Request::Resume { pipeline } => {
            if keeping.quarantined(&pipeline)?.is_none() {
                known(host, board, &pipeline)?;
            }
            let act = Action::PipelineResumed.with("pipeline", &pipeline);
            host.audit()?.by(who.clone()).act_at(act, &keeping)?;
            keeping.lift(&pipeline)?;
            pauses::write(host.deployment(), &pipeline, None)?;
            if let Some(board) = board {
                board.resume(&pipeline);
            }
            said(&())
        }
        Request::Reload => {
            if let Some(board) = board {
                board.reload();
            }
            said(&())
        }
        Request::Checkpoints { pipeline } => said(&keeping.checkpoints(&pipeline)?),
        Request::ResetCheckpoints {
            pipeline,
            split,
            schemas,
        } => {
            must_rest(board, &pipeline)?;
            let audit = host.audit()?.by(who.clone());
            said(&keeping.reset(&audit, &pipeline, split.as_ref(), schemas)?)
        }
        Request::Letters {
            pipeline,
            filter,
            after,
            limit,
            reveal,
        } => {
            let limit = limit.min(LETTERS_AT_ONCE);
            let hidden = if reveal {
                Hidden::default()
            } else {
                Hidden::of(host.deployment())?
            };
            said(&hidden.letters(&keeping, &pipeline, &filter, after, limit)?)
        }
        Request::Letter { pipeline, number } => {
            let mut letter = keeping.dead_letter(&pipeline, number)?;
            let hidden = Hidden::of(host.deployment())?;
            if let Some(kept) = &mut letter {
                hidden.hide(kept);
            }
            said(&letter)
        }
        Request::LettersExported { pipeline, to } => {
            let act = Action::DlqExported
                .with("pipeline", &pipeline)
                .with("to", to);
            host.audit()?.by(who.clone()).act_at(act, &keeping)?;
            said(&())
        }
        Request::SetCheckpoint {
            pipeline,
            split,
            place,
            version,
            new,
        } => {
            must_rest(board, &pipeline)?;
            let audit = host.audit()?.by(who.clone());
            let to = (place, version);
            said(&keeping.set_place(&audit, &pipeline, &split, to, new)?)
        }
        Request::RevealLetter { pipeline, number } => {
            let act = Action::DlqRevealed.with("pipeline", &pipeline);
            let act = act.with("letter", number);
            host.audit()?.by(who.clone()).act_at(act, &keeping)?;
            said(&keeping.dead_letter(&pipeline, number)?)
        }
        Request::Account { pipeline } => said(&keeping.account(&pipeline)?),
        Request::Discard {
            pipeline,
            filter,
            reason,
        } => {
            let audit = host.audit()?.by(who.clone());
            let hidden = Hidden::of(host.deployment())?;
            said(&keeping.discard(&audit, &hidden, &pipeline, &filter, &reason)?)
        }
        Request::Edit {
            pipeline,
            number,
            record,
        } => {
            let audit = host.audit()?.by(who.clone());
            let edited = keeping.edit(&audit, &pipeline, number, record)?;
            said(&edited.map(|kept| kept.letter.number))
        }
        Request::Again { pipeline, task } => {
            let act = again(&pipeline, &task);
            host.audit()?.by(who.clone()).act_at(act, &keeping)?;
            said(&())
        }
        Request::Start { pipeline, task } => {
            let is_again = !matches!(task, Task::Source);
            let board = board.filter(|_| is_again);
            let served = board.and_then(|board| Some((board, board.file(&pipeline)?)));
            let Some((board, file)) = served else {
                return Err(unserved(&pipeline));
            };
            let act = again(&pipeline, &task);
            host.audit()?.by(who.clone()).act_at(act, &keeping)?;
            said(&Jobs::start(host, board, &pipeline, file, task)?)
        }
        Request::Job { pipeline } => said(&board.and_then(|board| board.jobs().view(&pipeline))),
        Request::State => said(&keeping.state()),
        Request::Commit => said(&keeping.last_commit()),
    }
}

/// Dead letters in one answer: whoever wants more asks again.
pub const LETTERS_AT_ONCE: usize = 512;

fn said(value: &impl Serialize) -> Result<Value, Error> {
    serde_json::to_value(value).map_err(|error| Error::Host(error.to_string()))
}

/// What the trail says of a redrive or a backfill.
fn again(pipeline: &PipelineName, task: &Task) -> Act {
    match task {
        Task::Source => Action::RunStarted.with("pipeline", pipeline),
        Task::Redrive { filter, entry } => Action::DlqRedriven
            .with("pipeline", pipeline)
            .with("which", dlq::which(filter))
            .with("enter", entry),
        Task::Backfill { split, from } => Action::CheckpointBackfill
            .with("pipeline", pipeline)
            .with("split", split)
            .with("from", from),
    }
}

fn unserved(pipeline: &PipelineName) -> Error {
    let message = format!("the service that has the state directory does not serve `{pipeline}`");
    let problem = FileError::new("arguments", message);
    problem
        .hint("put its file into the service's folder of pipelines, or stop the service")
        .into()
}

/// A pipeline that is there to be paused and resumed.
fn known(host: &Host, board: Option<&Arc<Board>>, pipeline: &PipelineName) -> Result<(), Error> {
    let names = match board {
        Some(board) => board.names(),
        None => serve::pipelines_of(host.deployment()),
    };
    if names.iter().any(|name| name == pipeline.as_str()) {
        return Ok(());
    }
    let dir = crate::deployment::shown(&host.deployment().pipelines_dir());
    let known: Vec<&str> = names.iter().map(String::as_str).collect();
    let problem = FileError::new("arguments", format!("`{dir}` has no pipeline `{pipeline}`"));
    Err(
        match sluice_model::tomlfile::nearest(pipeline.as_str(), &known) {
            Some(near) => problem.hint(format!("did you mean `{near}`?")),
            None => problem.hint("`sluice status` shows their names"),
        }
        .into(),
    )
}

/// A place is not taken away from under a run.
fn must_rest(board: Option<&Arc<Board>>, pipeline: &PipelineName) -> Result<(), Error> {
    let works = board.is_some_and(|board| board.jobs().is_under_way(pipeline));
    if Guard::ResetRunning.bars(works) {
        let message = format!("a redrive or backfill of `{pipeline}` is under way");
        let problem = FileError::new("arguments", message);
        return Err(problem.hint("wait until it is over").into());
    }
    let runs = board.is_some_and(|board| board.is_under_way(pipeline));
    if Guard::ResetRunning.bars(runs) {
        let problem = FileError::new("arguments", format!("`{pipeline}` is running"));
        return Err(problem
            .hint(format!(
                "pause it first: `sluice pause {pipeline}`; `sluice resume {pipeline}` lets it begin anew"
            ))
            .into());
    }
    Ok(())
}

/// Asks a deployment: its store where nobody has it, the service that has it otherwise.
pub struct Asking {
    deployment: Deployment,
    way: Way,
}

enum Way {
    /// This process has the store.
    Here(Arc<Host>),
    /// Another has.
    There(InUse),
}

impl Asking {
    /// Of this deployment. Where its store is older than the audit trail, that is told, and nothing shown: rows of it
    /// would be missing, and nothing else says so. Blocking.
    pub fn of(deployment: &Deployment) -> Result<Self, Error> {
        let asking = Self::as_it_is(deployment)?;
        if let Way::Here(host) = &asking.way
            && deployment.audit_dir().is_dir()
        {
            host.audit()?.hold_store(&*host.keeping()?)?;
        }
        Ok(asking)
    }

    /// The same, older or not: for whoever looks into that.
    pub fn as_it_is(deployment: &Deployment) -> Result<Self, Error> {
        let host = Arc::new(Host::new(deployment.clone(), COMMAND));
        let way = match host.keeping_if_there() {
            Ok(Some(_)) => Way::Here(host),
            Ok(None) => {
                let dir = crate::deployment::shown(&deployment.state_dir());
                return Err(FileError::new(dir, "nothing has run here yet").into());
            }
            Err(Error::InUse(in_use)) => Way::There(in_use),
            Err(error) => return Err(error),
        };
        Ok(Self {
            deployment: deployment.clone(),
            way,
        })
    }

    /// Does a redrive or a backfill: the host to do it with, where nobody else has the store; none where the service has
    /// it, and does it by itself. Written down before it is done. Blocking.
    pub fn again(&self, pipeline: &PipelineName, task: &Task) -> Result<Option<Arc<Host>>, Error> {
        let (pipeline, task) = (pipeline.clone(), task.clone());
        match &self.way {
            Way::Here(host) => {
                let () = self.ask(Request::Again { pipeline, task })?;
                Ok(Some(Arc::clone(host)))
            }
            Way::There(_) => {
                let () = self.ask(Request::Start { pipeline, task })?;
                Ok(None)
            }
        }
    }

    /// One request. Blocking.
    pub fn ask<T: DeserializeOwned>(&self, request: Request) -> Result<T, Error> {
        let value = match &self.way {
            Way::Here(host) => answer(host, None, &Actor::of_this_process(), request)?,
            Way::There(in_use) => match client::send(&self.deployment, &request) {
                Ok(reply) => reply?,
                Err(client::Unanswered::Nobody(error)) => {
                    tracing::debug!(%error, "no service answers");
                    return Err(Error::InUse(in_use.clone()));
                }
                Err(client::Unanswered::NoAnswer(error)) => {
                    return Err(Error::Host(format!(
                        "the service gave no answer: {error}\n  hint: it may have been done, or be under way still: look before you ask again"
                    )));
                }
            },
        };
        serde_json::from_value(value)
            .map_err(|error| Error::Host(format!("the service answers in other words: {error}")))
    }
}

/// Asks a deployment one thing. Blocking.
pub fn ask<T: DeserializeOwned>(deployment: &Deployment, request: Request) -> Result<T, Error> {
    Asking::of(deployment)?.ask(request)
}

/// Tells a service, where there is one, that somebody has changed a file. It would see that itself, a little later.
pub fn reload(deployment: &Deployment) {
    drop(client::send(deployment, &Request::Reload));
}

/// Where the store of a running service is.
pub(crate) fn commit(deployment: &Deployment) -> Option<u64> {
    let reply = client::send(deployment, &Request::Commit).ok()?;
    reply.ok()?.as_u64()
}

/// An answer on its way.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Reply {
    /// It is done, and this came of it.
    Done(Value),
    /// What was asked for cannot be.
    Wrong(Vec<FileError>),
    /// The host failed.
    Host(String),
}

impl From<Result<Value, Error>> for Reply {
    fn from(answer: Result<Value, Error>) -> Self {
        match answer {
            Ok(value) => Self::Done(value),
            Err(Error::Wrong(problems)) => Self::Wrong(problems),
            Err(error) => Self::Host(error.to_string()),
        }
    }
}

impl From<Reply> for Result<Value, Error> {
    fn from(reply: Reply) -> Self {
        match reply {
            Reply::Done(value) => Ok(value),
            Reply::Wrong(problems) => Err(Error::Wrong(problems)),
            Reply::Host(message) => Err(Error::Host(message)),
        }
    }
}
