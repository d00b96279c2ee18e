//! The second place: the same files, on another disk or another machine's mount, brought up to the trail at each
//! checkpoint. It is what a cut or rewritten trail is found by, so nothing in it is ever changed here.

use crate::error::{AuditError, io};
use crate::folder::{Folder, contents};
use crate::verify::Finding;
use sluice_model::guards::Guard;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// The copy of a trail.
pub(crate) struct Copy {
    folder: Folder,
    /// Whether the trail's folder says that there is one.
    is_marked: bool,
}

impl Copy {
    /// Opens it, or makes it. The last file of the copy must be the beginning of the trail's; a copy that was there and
    /// holds nothing now is not mounted, or was taken away.
    pub(crate) fn open(copy: Folder, trail: &Folder) -> Result<Self, AuditError> {
        let is_marked = contents(&trail.copied())? == mark(&copy);
        if Guard::CopyGone.bars(is_marked && copy.segments()?.is_empty()) {
            return Err(AuditError::Copy {
                dir: copy.path().display().to_string(),
                reason: format!(
                    "it was there, and now it is not, or is empty\n  hint: mount it again; where it is lost for good, remove \
                     `{}`, and it is made anew",
                    trail.copied().display()
                ),
            });
        }
        copy.create()?;
        if let Some(last) = copy.segments()?.last() {
            let (ours, theirs) = (
                contents(&trail.segment(*last))?,
                contents(&copy.segment(*last))?,
            );
            if Guard::CopyDiffers.bars(!ours.starts_with(&theirs)) {
                return Err(differs(*last, &ours, &theirs).into());
            }
        }
        Ok(Self {
            folder: copy,
            is_marked,
        })
    }

    /// Copies what it has not: up to this many bytes of this file and of the checkpoints, and the public key.
    pub(crate) fn follow(
        &mut self,
        trail: &Folder,
        last: u32,
        bytes: u64,
        notes_bytes: u64,
    ) -> Result<(), AuditError> {
        let begun = self.folder.segments()?.last().copied().unwrap_or(1);
        for number in begun..=last {
            let most = if number == last { bytes } else { u64::MAX };
            self.append(&trail.segment(number), &self.folder.segment(number), most)?;
        }
        let notes = self.folder.checkpoints();
        self.append(&trail.checkpoints(), &notes, notes_bytes)?;
        let (key, path) = (contents(&trail.public_key())?, self.folder.public_key());
        if contents(&path)? != key {
            std::fs::write(&path, key).map_err(io(&path))?;
        }
        self.folder.sync()?;
        if !self.is_marked {
            let path = trail.copied();
            let written = File::create(&path).and_then(|mut file| {
                file.write_all(&mark(&self.folder))?;
                file.sync_all()
            });
            written.map_err(io(&path))?;
            trail.sync()?;
            self.is_marked = true;
        }
        Ok(())
    }

    fn append(&self, from: &Path, to: &Path, most: u64) -> Result<(), AuditError> {
        let mut options = OpenOptions::new();
        let opened = options.append(true).create(true).mode(0o600).open(to);
        let mut copied: File = opened.map_err(io(to))?;
        let have = copied.metadata().map_err(io(to))?.len();
        let mut source = File::open(from).map_err(io(from))?;
        let there = source.metadata().map_err(io(from))?.len().min(most);
        if have > there {
            return Err(AuditError::Copy {
                dir: self.folder.path().display().to_string(),
                reason: format!(
                    "`{}` is longer than the trail's: the trail was cut",
                    to.display()
                ),
            });
        }
        if have == there {
            return Ok(());
        }
        let mut bytes = Vec::new();
        let read = source
            .seek(SeekFrom::Start(have))
            .and_then(|_| source.take(there - have).read_to_end(&mut bytes));
        read.map_err(io(from))?;
        let written = copied.write_all(&bytes).and_then(|()| copied.sync_data());
        written.map_err(io(to))
    }
}

/// What the trail's folder keeps of its copy: where it is.
fn mark(copy: &Folder) -> Vec<u8> {
    copy.path().as_os_str().as_bytes().to_vec()
}

/// What two files that should begin alike do not have in common.
pub(crate) fn differs(file: u32, ours: &[u8], theirs: &[u8]) -> Finding {
    if theirs.starts_with(ours) {
        return Finding::CutFile { file };
    }
    let same = ours
        .iter()
        .zip(theirs)
        .take_while(|(ours, theirs)| ours == theirs)
        .count();
    let line = ours[..same].split(|byte| *byte == b'\n').count() as u64;
    Finding::CopyDiffers { file, line }
}
