//! `sluice plugin`: making, signing and looking at plugins.

use crate::arguments::{Plugin, SigningKey};
use crate::show;
use sluice_model::tomlfile::FileError;
use sluice_service::deployment::{Deployment, shown};
use sluice_service::plugins::Artifact;
use sluice_service::signing::{KeyFile, Trusting, new_key, sign};
use sluice_service::{Error, build, inspect, plugins};
use std::path::Path;
use std::process::ExitCode;

/// `sluice plugin`
pub fn plugin(command: &Plugin, json: bool) -> Result<ExitCode, Error> {
    match command {
        Plugin::Build { folder, out } => {
            let (file, artifact) = build::build(folder, out.as_deref())?;
            show::packed(&shown(&file), &artifact, json);
        }
        Plugin::Pack {
            component,
            manifest,
            out,
        } => {
            let artifact = build::pack(component, manifest, out)?;
            show::packed(&shown(out), &artifact, json);
        }
        Plugin::Inspect {
            component,
            sarif,
            html,
            here,
        } => {
            let artifact = open(component)?;
            let made_by = trusting(&here.dir)?.judge(component, &artifact);
            let page = inspect::page(&artifact, made_by);
            if let Some(file) = html {
                inspect::write_html(&page, file)?;
            }
            if *sarif {
                show::sarif(&page, &shown(component));
            } else {
                show::page(&page, json);
            }
        }
        Plugin::Diff { old, new } => {
            let diff = inspect::diff(&open(old)?, &open(new)?);
            show::diff(&diff, json);
            return Ok(ExitCode::from(u8::from(diff.wider)));
        }
        Plugin::Sign {
            component,
            key,
            valid_for,
            out,
        } => {
            let key = KeyFile::read(key)?;
            let artifact = open(component)?;
            let vouched = sign(component, &artifact, &key, valid_for.0, out.as_deref())?;
            show::vouched(&vouched, json);
        }
        Plugin::Verify {
            component,
            trust,
            here,
        } => {
            let artifact = open(component)?;
            let trusting = match trust {
                Some(file) => Trusting::read(file)?,
                None => trusting(&here.dir)?,
            };
            let made_by = trusting.judge(component, &artifact);
            show::standing(&artifact, made_by.as_ref(), trusting.is_there(), json);
            let signed = made_by.is_ok_and(|standing| standing.is_signed());
            return Ok(ExitCode::from(u8::from(!signed)));
        }
        Plugin::Key(SigningKey::New { file }) => show::new_key(&new_key(file)?, json),
    }
    Ok(ExitCode::SUCCESS)
}

fn open(component: &Path) -> Result<Artifact, Error> {
    plugins::open(component).map_err(|missing| {
        let mut problem = FileError::new(shown(component), missing.message);
        problem.hint = missing.hint;
        problem.into()
    })
}

/// Whose word counts in the deployment around this folder. Outside of any, nobody's does.
fn trusting(folder: &Path) -> Result<Trusting, Error> {
    if Deployment::is_around(folder) {
        Ok(Trusting::of(&Deployment::find(folder)?)?)
    } else {
        Ok(Trusting::default())
    }
}
