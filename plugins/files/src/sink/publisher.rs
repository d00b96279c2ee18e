//! The protocol that makes files and their place visible together, over a crash at any moment.
//!
//! A unit is written under temporary names. Publishing it is one rename: that of the record which names the unit's
//! place and its files. What comes after only carries out what the record says, and whoever opens the split next does
//! it again. Temporary names come in two sets used in turn, so that no file of a unit being written can be taken for
//! one of the unit last published, and left-overs are found without listing the folder.
//!
//! Invariant: a file under a final name is whole, and is named by a record that was published (test: `crashes`).
//! Invariant: left-over temporary files of one stream and set are numbered from zero without a gap: they are made in
//! that order and removed in the other.

use super::folder::Folder;
use super::names::{Names, Side};
use super::record::{Files, Moved, Record};
use sluice_sdk::Fault;
use sluice_sdk::files::FileError;
use sluice_sdk::publish::{Begun, RECORD_BYTES_MAX, not_written};
use sluice_sdk::sink::{Commit, Context};

/// What one read of a record asks for.
const READ_BYTES: u32 = 1 << 20;

/// Publishes the units of one split.
pub(super) struct Publisher<F: Folder> {
    folder: F,
    context: Context,
    names: Names,
    /// The streams whose left-overs are looked for.
    streams: Vec<String>,
    /// What stands on the disk; none until it was looked at, and after a step whose outcome is unknown.
    known: Option<Known>,
    unit: Option<Unit>,
}

/// The record on the disk, whose files are all in their places.
struct Known {
    record: Option<Record>,
}

/// The unit being written, or ready to be published.
struct Unit {
    mark: (u64, u64),
    sequence: u64,
    side: Side,
    files: Vec<Moved>,
    /// Whose each file is.
    streams: Vec<String>,
    ready: bool,
}

impl<F: Folder> Publisher<F> {
    pub(super) fn new(folder: F, context: Context, names: Names, streams: Vec<String>) -> Self {
        Self {
            folder,
            context,
            names,
            streams,
            known: None,
            unit: None,
        }
    }

    pub(super) fn folder(&self) -> &F {
        &self.folder
    }

    /// The last commit published; whatever its publication left undone is done.
    pub(super) fn committed(&mut self) -> Result<Option<Commit>, Fault> {
        self.known = None;
        let commit = self.known()?.record.as_ref().map(Record::commit);
        let side = self.side_to_write()?;
        self.clear(side)?;
        Ok(commit)
    }

    /// Gets ready to take a unit's files.
    pub(super) fn begin(&mut self, commit: &Commit) -> Result<Begun, Fault> {
        self.unit = None;
        let mark = (commit.epoch, commit.sequence);
        if Record::begins(self.known()?.record.as_ref(), mark)? == Begun::Published {
            return Ok(Begun::Published);
        }
        let side = self.side_to_write()?;
        self.clear(side)?;
        self.unit = Some(Unit {
            mark,
            sequence: commit.sequence,
            side,
            files: Vec::new(),
            streams: Vec::new(),
            ready: false,
        });
        Ok(Begun::Fresh)
    }

    /// The next file of the unit.
    pub(super) fn create(&mut self, stream: &str) -> Result<F::File, Fault> {
        let unit = self
            .unit
            .as_mut()
            .ok_or_else(|| Fault::broken("a file of no unit"))?;
        let nth = unit.streams.iter().filter(|other| *other == stream).count();
        let moved = Moved {
            from: self.names.temp(stream, unit.side, nth),
            to: self.names.published(stream, unit.sequence, nth),
        };
        if self.folder.exists(&moved.to).map_err(storage)? {
            return Err(Fault::misconfigured(format!(
                "`{}` exists and no record in `.sluice` names it; hint: use an empty folder, or another `prefix`",
                moved.to
            )));
        }
        let file = self.folder.create(&moved.from).map_err(storage)?;
        unit.files.push(moved);
        unit.streams.push(stream.to_owned());
        Ok(file)
    }

    /// All files of the unit are finished.
    pub(super) fn written(&mut self, commit: &Commit) {
        if let Some(unit) = &mut self.unit {
            unit.ready = unit.mark == (commit.epoch, commit.sequence);
        }
    }

    /// Makes the unit visible: the rename of the record is the moment.
    pub(super) fn publish(&mut self, commit: &Commit) -> Result<(), Fault> {
        let mark = (commit.epoch, commit.sequence);
        if self.known()?.record.as_ref().map(Record::mark) == Some(mark) {
            self.unit = None;
            return Ok(());
        }
        let Some(unit) = self.unit.take_if(|unit| unit.ready && unit.mark == mark) else {
            return Err(not_written(mark));
        };
        let (side, files) = (unit.side, unit.files.clone());
        let record = Record::new(commit, Files { side, files });
        let draft = self.draft(&record);
        if draft.is_ok() {
            // From here to the end of this block the disk may say either.
            self.known = None;
        }
        match draft.and_then(|()| {
            self.folder
                .rename(&self.names.record_draft(), &self.names.record())
                .map_err(storage)
        }) {
            Ok(()) => self.known().map(|_| ()),
            Err(fault) => {
                self.unit = Some(unit);
                Err(fault)
            }
        }
    }

    fn draft(&self, record: &Record) -> Result<(), Fault> {
        let bytes = record.to_bytes()?;
        let mut file = self
            .folder
            .create(&self.names.record_draft())
            .map_err(storage)?;
        self.folder.append(&mut file, &bytes).map_err(storage)?;
        self.folder.finish(file).map_err(storage)
    }

    /// What stands on the disk, looked at where it is not known, with every file of the record in its place.
    fn known(&mut self) -> Result<&Known, Fault> {
        if self.known.is_none() {
            let record = self.load()?;
            for file in record.iter().flat_map(|record| &record.unit.files) {
                if self.folder.exists(&file.from).map_err(storage)? {
                    self.folder.rename(&file.from, &file.to).map_err(storage)?;
                }
            }
            self.known = Some(Known { record });
        }
        self.known
            .as_ref()
            .ok_or_else(|| Fault::broken("the record was read above"))
    }

    fn load(&self) -> Result<Option<Record>, Fault> {
        let path = self.names.record();
        let mut bytes = Vec::new();
        while bytes.len() <= RECORD_BYTES_MAX {
            match self.folder.read(&path, bytes.len() as u64, READ_BYTES) {
                Err(FileError::NotFound(_)) if bytes.is_empty() => return Ok(None),
                Err(error) => return Err(storage(error)),
                Ok(more) if more.is_empty() => break,
                Ok(more) => bytes.extend_from_slice(&more),
            }
        }
        Record::from_bytes(&path, &bytes, &self.context).map(Some)
    }

    /// The set of temporary names that the last published unit did not use.
    fn side_to_write(&mut self) -> Result<Side, Fault> {
        Ok(self
            .known()?
            .record
            .as_ref()
            .map_or(Side::A, |record| record.unit.side.other()))
    }

    /// Removes what an earlier attempt left under these names.
    fn clear(&self, side: Side) -> Result<(), Fault> {
        for stream in &self.streams {
            let mut count = 0;
            while self
                .folder
                .exists(&self.names.temp(stream, side, count))
                .map_err(storage)?
            {
                count += 1;
            }
            for nth in (0..count).rev() {
                self.folder
                    .remove(&self.names.temp(stream, side, nth))
                    .map_err(storage)?;
            }
        }
        Ok(())
    }
}

/// Nothing is wrong with the records where a disk fails: a full one is emptied, a lost one comes back.
pub(super) fn storage(error: FileError) -> Fault {
    match error {
        FileError::Other(text) => Fault::transient(text),
        other => other.into(),
    }
}
