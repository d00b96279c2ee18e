//! `sluice secret`, `sluice key`, `sluice state`.

use super::named;
use super::state::{must_be_confirmed, wrong_name};
use crate::arguments::{Key, Secret, State, Value};
use crate::show;
use sluice_model::ids::{PipelineName, SecretName};
use sluice_model::limits::SECRET_BYTES_MAX;
use sluice_model::secret;
use sluice_model::tomlfile::FileError;
use sluice_service::audit::{Action, Audit};
use sluice_service::control::{Asking, Request};
use sluice_service::deployment::{Deployment, plain, shown};
use sluice_service::keeping::{Keeping, StateView};
use sluice_service::secrets::{open_vault, without_line_end};
use sluice_service::{Error, key};
use std::io::{IsTerminal as _, Read};
use std::path::Path;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};
use zeroize::Zeroizing;

/// `sluice secret`
pub fn secret(command: &Secret, json: bool) -> Result<ExitCode, Error> {
    match command {
        Secret::Set { name, value, here } => {
            let (name, deployment) = (parsed(name)?, Deployment::find(&here.dir)?);
            let vault = open_vault(&deployment)?;
            let given = read(value, &name)?;
            if vault.look(&name)?.is_none() {
                Audit::open(&deployment)?.act(Action::SecretSet.with("secret", &name))?;
            }
            vault.set(&name, given, expires_ms(value))?;
            show::secret_stored(&vault.list()?, &name, json);
        }
        Secret::List { here } => {
            show::secrets(&open_vault(&Deployment::find(&here.dir)?)?.list()?, json);
        }
        Secret::Rotate {
            name,
            value,
            keep,
            undo,
            here,
        } => {
            let (name, deployment) = (parsed(name)?, Deployment::find(&here.dir)?);
            let vault = open_vault(&deployment)?;
            // Before anything is asked for.
            vault.look(&name)?.ok_or_else(|| none(&name))?;
            let rotated = Action::SecretRotated.with("secret", &name);
            if *undo {
                Audit::open(&deployment)?.act(rotated.with("what", "taken back"))?;
                vault.take_back(&name)?;
            } else {
                let given = read(value, &name)?;
                Audit::open(&deployment)?.act(rotated)?;
                vault.rotate(&name, given, expires_ms(value), keep.0)?;
            }
            show::secret_stored(&vault.list()?, &name, json);
        }
        Secret::Remove { name, yes, here } => {
            let (name, deployment) = (parsed(name)?, Deployment::find(&here.dir)?);
            let vault = open_vault(&deployment)?;
            let question = format!("remove secret `{name}` with all its versions?");
            must_be_confirmed(*yes, &question, name.as_str())?;
            Audit::open(&deployment)?.act(Action::SecretRemoved.with("secret", &name))?;
            vault.remove(&name)?;
            show::secret_removed(&name, json);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn none(name: &SecretName) -> Error {
    let problem = FileError::new("vault", format!("the vault has no secret `{name}`"));
    problem.hint(format!("`sluice secret set {name}`")).into()
}

fn parsed(name: &str) -> Result<SecretName, Error> {
    name.parse().map_err(|error| wrong_name(&error))
}

fn expires_ms(value: &Value) -> Option<u64> {
    let expires = value.expires?;
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from((now + expires.0).as_millis()).ok()
}

/// Reads a value: from a file, from a pipe, or from somebody who types it and does not see it.
fn read(value: &Value, name: &SecretName) -> Result<secret::Secret, Error> {
    let (bytes, place) = match &value.file {
        Some(file) => {
            let place = shown(file);
            let opened = std::fs::File::open(file);
            let opened = opened.map_err(|error| FileError::new(&place, plain(&error)))?;
            (all(opened, &place)?, place)
        }
        None if std::io::stdin().is_terminal() => {
            let typed = rpassword::prompt_password(format!("value of secret `{name}`: "));
            let typed = typed.map_err(|error| Error::Host(error.to_string()))?;
            (
                Zeroizing::new(typed.into_bytes()),
                "standard input".to_owned(),
            )
        }
        None => (
            all(std::io::stdin().lock(), "standard input")?,
            "standard input".to_owned(),
        ),
    };
    let bytes = without_line_end(&bytes);
    if bytes.is_empty() {
        return Err(FileError::new(place, "there is no value").into());
    }
    Ok(secret::Secret::new(bytes.to_vec()))
}

fn all(from: impl Read, place: &str) -> Result<Zeroizing<Vec<u8>>, Error> {
    // A line end, and a byte that says that it is too much.
    let most = SECRET_BYTES_MAX + 3;
    // With room for all of it: a vector that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(most as usize));
    from.take(most)
        .read_to_end(&mut bytes)
        .map_err(|error| FileError::new(place, plain(&error)))?;
    Ok(bytes)
}

/// `sluice key`
pub fn key(command: &Key, json: bool) -> Result<ExitCode, Error> {
    match command {
        Key::New { file } => {
            key::new(file)?;
            show::key_made(&shown(file), json);
        }
        Key::Rotate { to, here } => {
            let deployment = Deployment::find(&here.dir)?;
            Audit::open(&deployment)?.act(Action::StateKey.with("what", "rotated"))?;
            let rotated = key::rotate(&deployment, to.as_deref())?;
            show::key_rotated(&rotated, json);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// `sluice state`
pub fn state(command: &State, json: bool) -> Result<ExitCode, Error> {
    match command {
        State::Show { here } => {
            let state: StateView =
                Asking::as_it_is(&Deployment::find(&here.dir)?)?.ask(Request::State)?;
            show::state(&state, json);
        }
        State::Shred {
            pipeline,
            yes,
            here,
        } => {
            let (deployment, name) = of_pipeline(pipeline, &here.dir)?;
            let keeping = Keeping::open_existing(&deployment)?;
            let question = format!(
                "shred all that is kept for `{name}`? its checkpoints and dead letters can never be read again, and the \
                 next run delivers everything again"
            );
            must_be_confirmed(*yes, &question, name.as_str())?;
            Audit::open(&deployment)?.act(Action::StateShredded.with("pipeline", &name))?;
            show::shredded(&name, keeping.shred(&name)?, json);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A pipeline by its file; by its name, where the file is gone.
fn of_pipeline(pipeline: &Path, dir: &Path) -> Result<(Deployment, PipelineName), Error> {
    let name = pipeline.to_str().and_then(|text| text.parse().ok());
    match name {
        Some(name) if !pipeline.exists() => Ok((Deployment::find(dir)?, name)),
        _ => named(pipeline),
    }
}
