//! Making a plan of a pipeline file, to be looked at or to be run.

use super::{Maker, Plan};
use crate::audit::{Act, Audit};
use crate::deployment::{Deployment, read, shown};
use crate::plugins::Shelf;
use crate::signing::Trusting;
use crate::{grants, own, policy};
use sluice_model::pipeline::Pipeline;
use sluice_model::tomlfile::FileError;
use std::path::Path;
use std::sync::Arc;

/// Reads and checks a pipeline file. All mistakes at once.
pub fn make(file: &Path) -> Result<Plan, Vec<FileError>> {
    made(file).map_err(|unmade| unmade.problems)
}

/// The same, to be run: a plugin that is not let in is an entry of the audit trail.
pub fn make_to_run(file: &Path) -> Result<Plan, crate::Error> {
    made(file).map_err(|unmade| {
        if let Some((deployment, acts)) = unmade.refused.as_deref()
            && let Err(error) = Audit::open(deployment).and_then(|audit| audit.acts(acts))
        {
            tracing::error!(%error, "a plugin is refused, and the audit trail cannot say so");
        }
        crate::Error::Wrong(unmade.problems)
    })
}

/// Why there is no plan, and whose plugins were not let in.
pub(super) struct Unmade {
    pub problems: Vec<FileError>,
    pub refused: Option<Box<(Deployment, Vec<Act>)>>,
}

impl From<Vec<FileError>> for Unmade {
    fn from(problems: Vec<FileError>) -> Self {
        Self {
            problems,
            refused: None,
        }
    }
}

fn made(file: &Path) -> Result<Plan, Unmade> {
    let deployment =
        Deployment::find(file.parent().unwrap_or(Path::new("."))).map_err(|error| match error {
            crate::Error::Wrong(problems) => problems,
            other => vec![FileError::new(shown(file), other.to_string())],
        })?;
    let text = read(file).map_err(|problem| vec![problem])?;
    let shown = shown(file);
    let pipeline = Pipeline::parse(&shown, &text).map_err(|problem| vec![problem])?;
    let grants = grants::all(&deployment).map_err(|problem| vec![problem])?;
    let policy = policy::read(&deployment)?;
    let trusting = Trusting::of(&deployment).map_err(|problem| vec![problem])?;
    let own = Arc::new(own::own(&deployment));
    Maker {
        deployment,
        policy,
        own,
        trusting,
        shelf: Shelf::default(),
        file: shown,
        text,
        grants,
        provider: None,
        problems: Vec::new(),
        refused: Vec::new(),
    }
    .make(pipeline)
}
