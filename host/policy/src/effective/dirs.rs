//! Directories: which of them it may open, and that none of them is the host's own.

use super::{Effective, plain};
use crate::own::Own;
use crate::refuse;
use sluice_model::guards::Guard;
use sluice_model::manifest::DirMode;
use sluice_model::ports::Refusal;
use std::path::{Path, PathBuf};
use std::sync::Arc;

impl Effective {
    /// Keeps it out of what is the host's own.
    #[must_use]
    pub fn apart_from(mut self, own: Arc<Own>) -> Self {
        self.own = own;
        self
    }

    /// The directories that it asks for and is granted, as the deployment has them.
    pub fn open_dirs(&self) -> impl Iterator<Item = &Path> {
        let granted = |(path, mode): &&(PathBuf, DirMode)| covers(&self.granted_dirs, path, *mode);
        let asked = self.asked_dirs.iter().filter(granted);
        asked.map(|(path, _)| path.as_path())
    }

    /// May it open this directory so? The directory as the deployment has it, below `base` where it is relative.
    /// Where writing is permitted, reading is.
    pub fn may_open(&self, dir: &str, mode: DirMode) -> Result<PathBuf, Refusal> {
        let path = plain(&self.base, dir);
        let nameless = dir.is_empty() || dir.chars().any(char::is_control);
        if Guard::DirName.bars(nameless)
            || Guard::DirAsked.bars(!covers(&self.asked_dirs, &path, mode))
        {
            return Err(refuse::dir(self.manifest(), dir, mode));
        }
        if Guard::DirGranted.bars(!covers(&self.granted_dirs, &path, mode)) {
            return Err(refuse::dir(self.grant(), dir, mode));
        }
        let ruled = self.policy.may_open(&self.base, &path);
        ruled.map_err(|no| no.refusal("dir", refuse::bounded(dir)))?;
        Ok(path)
    }

    /// May it have the directory that it asked for as `dir`, which is at `path` once every link is followed? For
    /// whoever opens it: [`Self::may_open`] knows names only.
    pub fn may_have(&self, dir: &str, path: &Path) -> Result<(), Refusal> {
        self.own.may_open(dir, path)
    }
}

pub(super) fn covers(dirs: &[(PathBuf, DirMode)], path: &Path, mode: DirMode) -> bool {
    dirs.iter().any(|(ours, has)| {
        ours == path && Guard::DirMode.holds(*has == mode || *has == DirMode::Write)
    })
}
