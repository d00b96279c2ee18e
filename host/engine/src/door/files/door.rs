//! The contract's `files`: decides who may open what, and keeps slow work off the async threads.

use super::read::{self, Hidden};
use super::{Readable, Writable, Writing, told, write};
use crate::bindings::imports::files::{self as wit, Entry, FileError};
use crate::guest::Guest;
use crate::place::resolved;
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use sluice_model::manifest::DirMode;
use sluice_model::ports::Used;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use wasmtime::component::Resource;

type Answer<T> = wasmtime::Result<Result<T, FileError>>;

impl Guest {
    /// The one place where a path of the whole machine is opened: it comes from the policy, not from the guest.
    fn open_dir(&self, dir: &str, mode: DirMode) -> Result<Arc<Dir>, FileError> {
        let path = self
            .effective
            .may_open(dir, mode)
            .map_err(|refusal| FileError::Denied(self.refused(&refusal)))?;
        let mut place = self.apart(dir, &path)?;
        if mode == DirMode::Write {
            // A grant to write there is a grant to begin: the first run finds no folder.
            Dir::create_ambient_dir_all(&place, ambient_authority())
                .map_err(|error| told(dir, &error))?;
            place = self.apart(dir, &place)?;
        }
        let opened = Dir::open_ambient_dir(place, ambient_authority());
        let opened = opened.map(Arc::new).map_err(|error| told(dir, &error))?;
        let name = format!("{mode} {dir}");
        let used = Used {
            capability: "dir",
            name: &name,
            times: 1,
            bytes_out: 0,
            bytes_in: 0,
        };
        self.observer.used(self.stage(), &used);
        Ok(opened)
    }

    /// Where a directory is without links. Refused where that is, holds or lies in what is the host's own: a link may
    /// have been put there since the run was planned.
    fn apart(&self, dir: &str, path: &Path) -> Result<PathBuf, FileError> {
        let place = resolved(path).map_err(|error| told(dir, &error))?;
        let apart = self.effective.may_have(dir, &place);
        apart.map_err(|refusal| FileError::Denied(self.refused(&refusal)))?;
        Ok(place)
    }
}

/// Off the async threads: a disk may take its time.
async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FileError> + Send + 'static,
) -> Answer<T> {
    Ok(tokio::task::spawn_blocking(work).await?)
}

impl wit::Host for Guest {}

impl wit::HostReadable for Guest {
    fn open(&mut self, dir: String) -> Answer<Resource<Readable>> {
        match self.open_dir(&dir, DirMode::Read) {
            Ok(dir) => Ok(Ok(self.table.push(Readable(dir))?)),
            Err(error) => Ok(Err(error)),
        }
    }

    async fn list(&mut self, dir: Resource<Readable>) -> Answer<Vec<Entry>> {
        let dir = Arc::clone(&self.table.get(&dir)?.0);
        off_thread(move || read::list(&dir, Hidden::LeftOut)).await
    }

    fn read(
        &mut self,
        dir: Resource<Readable>,
        path: String,
        offset: u64,
        max: u32,
    ) -> Answer<Vec<u8>> {
        Ok(read::read(&self.table.get(&dir)?.0, &path, offset, max))
    }

    fn drop(&mut self, dir: Resource<Readable>) -> wasmtime::Result<()> {
        self.table.delete(dir)?;
        Ok(())
    }
}

impl wit::HostWritable for Guest {
    fn open(&mut self, dir: String) -> Answer<Resource<Writable>> {
        match self.open_dir(&dir, DirMode::Write) {
            Ok(dir) => Ok(Ok(self.table.push(Writable(dir))?)),
            Err(error) => Ok(Err(error)),
        }
    }

    async fn list(&mut self, dir: Resource<Writable>) -> Answer<Vec<Entry>> {
        let dir = Arc::clone(&self.table.get(&dir)?.0);
        off_thread(move || read::list(&dir, Hidden::Shown)).await
    }

    fn read(
        &mut self,
        dir: Resource<Writable>,
        path: String,
        offset: u64,
        max: u32,
    ) -> Answer<Vec<u8>> {
        Ok(read::read(&self.table.get(&dir)?.0, &path, offset, max))
    }

    async fn create(&mut self, dir: Resource<Writable>, path: String) -> Answer<Resource<Writing>> {
        let (dir, named) = (Arc::clone(&self.table.get(&dir)?.0), path.clone());
        match off_thread(move || write::create(&dir, &named)).await? {
            Ok(file) => Ok(Ok(self.table.push(Writing::new(path, file))?)),
            Err(error) => Ok(Err(error)),
        }
    }

    async fn rename(&mut self, dir: Resource<Writable>, old: String, new: String) -> Answer<()> {
        let dir = Arc::clone(&self.table.get(&dir)?.0);
        off_thread(move || write::rename(&dir, &old, &new)).await
    }

    fn remove(&mut self, dir: Resource<Writable>, path: String) -> Answer<()> {
        Ok(write::remove(&self.table.get(&dir)?.0, &path))
    }

    fn drop(&mut self, dir: Resource<Writable>) -> wasmtime::Result<()> {
        self.table.delete(dir)?;
        Ok(())
    }
}

impl wit::HostFile for Guest {
    fn write(&mut self, file: Resource<Writing>, bytes: Vec<u8>) -> Answer<()> {
        Ok(self.table.get_mut(&file)?.write(&bytes))
    }

    async fn finish(&mut self, file: Resource<Writing>) -> Answer<()> {
        let writing = self.table.get_mut(&file)?;
        let file = match writing.open() {
            Ok(file) => Arc::clone(file),
            Err(error) => return Ok(Err(error)),
        };
        writing.file = None;
        let path = writing.path.clone();
        off_thread(move || file.sync_all().map_err(|error| told(&path, &error))).await
    }

    fn drop(&mut self, file: Resource<Writing>) -> wasmtime::Result<()> {
        self.table.delete(file)?;
        Ok(())
    }
}
