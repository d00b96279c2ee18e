//! Reading a trail from its first entry: file after file, line after line, each held to what came before it.

use crate::action::Action;
use crate::entry::Entry;
use crate::error::{AuditError, io};
use crate::folder::{Folder, contents};
use crate::note::Note;
use crate::standing::Standing;
use crate::verify::Finding;
use sluice_model::guards::Guard;
use sluice_model::limits::AUDIT_LINE_BYTES_MAX;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};

/// Goes through every entry there is. What follows the last whole line is being written, or was when a crash came.
pub fn each(folder: &Folder, mut seen: impl FnMut(&Entry)) -> Result<(), AuditError> {
    let mut entries = Entries::of(folder)?;
    while let Some(entry) = entries.next()? {
        seen(&entry);
    }
    Ok(())
}

/// A trail being read.
pub struct Entries {
    folder: Folder,
    segments: std::vec::IntoIter<u32>,
    open: Option<Open>,
    standing: Standing,
    line: Vec<u8>,
    torn: bool,
    /// Entries that the trail's own last checkpoint knew of when this began.
    told: u64,
}

struct Open {
    number: u32,
    file: BufReader<File>,
    line: u64,
}

impl Entries {
    /// From the first.
    pub fn of(folder: &Folder) -> Result<Self, AuditError> {
        let told = told(folder)?; // First: a host may be writing, and this is of what the files hold by now.
        let segments = folder.segments()?;
        for (number, due) in segments.iter().zip(1..) {
            if Guard::TrailFiles.bars(*number != due) {
                return Err(Finding::MissingFile { file: due }.into());
            }
        }
        Ok(Self {
            folder: folder.clone(),
            segments: segments.into_iter(),
            open: None,
            standing: Standing::default(),
            line: Vec::new(),
            torn: false,
            told,
        })
    }

    pub(crate) fn standing_mut(&mut self) -> &mut Standing {
        &mut self.standing
    }

    pub(crate) fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Whether it ends in the middle of a line.
    pub(crate) fn torn(&self) -> bool {
        self.torn
    }

    /// There is no more: and there was no more when it was signed last.
    fn ended(&self) -> Result<Option<Entry>, AuditError> {
        let (have, told) = (self.standing.size(), self.told);
        if Guard::TrailTail.bars(have < told) {
            let by = "its signed checkpoint".to_owned();
            return Err(Finding::CutTail { have, told, by }.into());
        }
        Ok(None)
    }

    /// The next entry.
    #[expect(
        clippy::should_implement_trait,
        reason = "it can fail, and then it is over"
    )]
    pub fn next(&mut self) -> Result<Option<Entry>, AuditError> {
        loop {
            let Some(open) = &mut self.open else {
                let Some(number) = self.segments.next() else {
                    return self.ended();
                };
                let path = self.folder.segment(number);
                let file = File::open(&path).map_err(io(&path))?;
                let file = BufReader::with_capacity(256 << 10, file);
                self.open = Some(Open {
                    number,
                    file,
                    line: 0,
                });
                continue;
            };
            self.line.clear();
            let most = Guard::AuditLine.limit(AUDIT_LINE_BYTES_MAX as u64 + 1);
            let read = (&mut open.file)
                .take(most)
                .read_until(b'\n', &mut self.line);
            read.map_err(io(&self.folder.segment(open.number)))?;
            open.line += 1;
            let (file, line, seq) = (open.number, open.line, self.standing.size() + 1);
            let bad = |why: String| Finding::BadEntry {
                file,
                line,
                seq,
                why,
            };
            let last = self.segments.len() == 0;
            match self.line.split_last() {
                None if line == 1 && !last => {
                    return Err(bad("the file is empty".to_owned()).into());
                }
                None => self.open = None,
                // Where a disk lost power in the middle of a write, zeros can stand for what was not written.
                Some(_) if last && self.line.contains(&0) => {
                    self.torn = true;
                    return self.ended();
                }
                Some((b'\n', text)) => {
                    let taken = Entry::parse(text).and_then(|entry| {
                        follows(&mut self.standing, file, line, &entry)?;
                        Ok(entry)
                    });
                    return taken.map(Some).map_err(|why| bad(why).into());
                }
                Some(_)
                    if last && self.line.len() <= Guard::AuditLine.limit(AUDIT_LINE_BYTES_MAX) =>
                {
                    self.torn = true;
                    return self.ended();
                }
                Some(_) => return Err(bad("the line has no end".to_owned()).into()),
            }
        }
    }
}

/// Entries that the trail's own last checkpoint knows of.
fn told(folder: &Folder) -> Result<u64, AuditError> {
    let (notes, _) = Note::parse_all(&contents(&folder.checkpoints())?)
        .map_err(|why| Finding::BadCheckpoint { why })?;
    Ok(notes.last().map_or(0, Note::size))
}

/// Takes an entry that stands on this line of this file.
pub(crate) fn follows(
    standing: &mut Standing,
    file: u32,
    line: u64,
    entry: &Entry,
) -> Result<(), String> {
    let heads_a_file = entry.action == Action::AuditSegment.word();
    if heads_a_file != (line == 1 && file > 1) {
        return Err(
            "a file after the first begins with `audit.segment`, and only there".to_owned(),
        );
    }
    let is_so = !heads_a_file || Standing::before(entry).as_ref() == Some(&*standing);
    if Guard::TrailHeads.bars(!is_so) {
        return Err("what it says of the files before it is not so".to_owned());
    }
    standing.take(entry)
}
