//! Whoever writes: where the trail stands, the file that grows, the key. Everything here happens while the lock is
//! held, and begins by reading what others wrote since.
//!
//! Invariant: what was answered with `Ok` is on the disk (test: `what_is_written_is_there_after_a_crash`).

use crate::action::{Act, Action};
use crate::actor::Actor;
use crate::copy::Copy;
use crate::entry::Entry;
use crate::error::{AuditError, io};
use crate::folder::{Folder, contents, opened};
use crate::key::{Key, PublicKey};
use crate::keyring::{made, public_key, publish, remove};
use crate::note::Note;
use crate::read::follows;
use crate::standing::Standing;
use crate::trail::Options;
use crate::verify::Finding;
use sluice_model::guards::Guard;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// What of the checkpoints is read at a start: the last of them stand there.
const NOTES_BYTES: u64 = 8 << 10;

pub(crate) struct Desk {
    folder: Folder,
    options: Options,
    /// The file that grows, and how much of it was taken into `standing`.
    number: u32,
    file: File,
    bytes: u64,
    line: u64,
    standing: Standing,
    key: Key,
    /// The last checkpoint, how far their file was read, and when this process last signed.
    note: Option<Note>,
    notes_bytes: u64,
    /// Whether the empty line after the last of them is missing, as a crash leaves it.
    notes_gap: bool,
    signed_at: Instant,
    /// Checkpoints of entries that were not taken yet.
    ahead: VecDeque<Note>,
    /// Bytes that a crash has left at the end. They are taken off by the next entry, once it is known that no checkpoint
    /// covers them: whoever only looks at what does not hold changes nothing of it.
    repaired: Option<u64>,
    copy: Option<Copy>,
}

impl Desk {
    /// Opens a trail, or begins one where none ever was.
    pub(crate) fn open(folder: Folder, options: Options) -> Result<Self, AuditError> {
        let segments = folder.segments()?;
        for (number, due) in segments.iter().zip(1..) {
            if Guard::TrailFiles.bars(*number != due) {
                return Err(Finding::MissingFile { file: due }.into());
            }
        }
        let number = segments.last().copied().unwrap_or(1);
        if Guard::TrailFiles.stands()
            && segments.is_empty()
            && (folder.key().exists() || !contents(&folder.checkpoints())?.is_empty())
        {
            return Err(Finding::MissingFile { file: 1 }.into());
        }
        let file = opened(&folder.segment(number))?;
        if segments.is_empty() {
            folder.sync()?;
        }
        // The key is put in place last: without it, nothing was ever written.
        let is_new = !folder.key().exists() && folder.is_blank()?;
        let public = if is_new { None } else { public_key(&folder)? };
        let key = match &public {
            Some(public) => Key::read(&folder.key(), public.origin())?,
            None => made(&folder)?,
        };
        let mut desk = Self {
            file,
            standing: Standing::default(),
            note: None,
            notes_bytes: 0,
            notes_gap: false,
            signed_at: Instant::now(),
            ahead: VecDeque::new(),
            repaired: None,
            copy: None,
            bytes: 0,
            line: 0,
            folder,
            options,
            number,
            key,
        };
        let length =
            std::fs::metadata(desk.folder.checkpoints()).map_or(0, |metadata| metadata.len());
        desk.notes_bytes = length.saturating_sub(NOTES_BYTES);
        desk.read_notes(desk.notes_bytes > 0)?;
        desk.begin_in_the_last_file()?;
        desk.catch_up()?;
        desk.begin()?;
        let in_force = desk.standing.key() == Some(desk.key.public());
        if in_force && public.is_some_and(|public| &public != desk.key.public()) {
            // A crash between the new key's rename and this.
            publish(&desk.folder, desk.key.public())?;
        }
        if Guard::TrailSigned.bars(desk.note.is_none() && desk.standing.size() > 1) {
            return Err(Finding::Unsigned.into());
        }
        if let Some(dir) = &desk.options.copy {
            desk.copy = Some(Copy::open(Folder::new(dir), &desk.folder)?);
        }
        if desk.note.is_none() {
            desk.sign()?;
        }
        Ok(desk)
    }

    pub(crate) fn standing(&self) -> &Standing {
        &self.standing
    }

    pub(crate) fn key(&self) -> &PublicKey {
        self.key.public()
    }

    pub(crate) fn note(&self) -> Option<&Note> {
        self.note.as_ref()
    }

    /// Takes over what the first entry of the last file says of those before it. The checkpoint that was signed before
    /// this file began, or one after it, proves or disproves it.
    fn begin_in_the_last_file(&mut self) -> Result<(), AuditError> {
        if self.number == 1 {
            return Ok(());
        }
        let bytes = contents(&self.folder.segment(self.number))?;
        let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
            // Its first line never was whole: begin in the one before it, and come back here.
            self.number -= 1;
            self.file = opened(&self.folder.segment(self.number))?;
            return self.begin_in_the_last_file();
        };
        let before = Entry::parse(&bytes[..end]).map(|header| Standing::before(&header));
        let bad = |why: &str| Finding::BadEntry {
            file: self.number,
            line: 1,
            seq: 0,
            why: why.to_owned(),
        };
        self.standing = match before {
            Ok(Some(standing)) => standing,
            Ok(None) => return Err(bad("it does not say what comes before it").into()),
            Err(why) => return Err(bad(&why).into()),
        };
        let size = self.standing.size();
        self.ahead.retain(|note| note.size() >= size);
        if Guard::TrailSigned.bars(self.ahead.is_empty()) {
            return Err(Finding::Unsigned.into());
        }
        self.check_notes()
    }

    /// Checkpoints that others signed, from where reading them ended. `amid`: the first may be cut.
    fn read_notes(&mut self, amid: bool) -> Result<(), AuditError> {
        let path = self.folder.checkpoints();
        let bad = |why: String| AuditError::from(Finding::BadCheckpoint { why });
        let mut bytes = Vec::new();
        match File::open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(io(&path)(error)),
            Ok(mut file) => {
                let read = file
                    .seek(SeekFrom::Start(self.notes_bytes))
                    .and_then(|_| file.read_to_end(&mut bytes));
                read.map_err(io(&path))?;
            }
        }
        let skipped = if amid {
            Note::start(&bytes).ok_or_else(|| bad("their file holds none".to_owned()))?
        } else {
            usize::from(self.notes_gap && bytes.starts_with(b"\n"))
        };
        // What follows, a crash left. It was never answered for; the next checkpoint takes its place.
        let (notes, whole) = Note::parse_all(&bytes[skipped..]).map_err(bad)?;
        let read = &bytes[..skipped + whole];
        if !read.is_empty() {
            self.notes_gap = whole > 0 && !read.ends_with(b"\n\n");
        }
        self.notes_bytes += read.len() as u64;
        self.ahead.extend(notes);
        Ok(())
    }

    /// Holds the checkpoints of this size against where the trail stands.
    fn check_notes(&mut self) -> Result<(), AuditError> {
        while let Some(note) = self
            .ahead
            .pop_front_if(|note| note.size() <= self.standing.size())
        {
            let told = if note.size() == self.standing.size() {
                self.standing.holds(&note)
            } else {
                Err("checkpoints are not in order".to_owned())
            };
            told.map_err(|why| Finding::BadCheckpoint { why })?;
            self.note = Some(note);
        }
        Ok(())
    }

    /// Reads what others wrote since. What a crash left is counted, and stays.
    fn catch_up(&mut self) -> Result<(), AuditError> {
        self.read_notes(false)?;
        // Others may have signed what this process has read already, and written nothing since.
        self.check_notes()?;
        loop {
            let path = self.folder.segment(self.number);
            let open = self.file.metadata().map_err(io(&path))?;
            let there = std::fs::metadata(&path).map_err(io(&path))?;
            let length = open.len();
            // Another file in its place is as good as a cut one: what is written here would stand nowhere.
            let is_same = (open.dev(), open.ino()) == (there.dev(), there.ino());
            if Guard::TrailTail.bars(length < self.bytes || !is_same) {
                return Err(self.cut());
            }
            self.repaired = None;
            if length > self.bytes {
                self.take(&path)?;
            }
            if !self.folder.segment(self.number + 1).exists() {
                break;
            }
            if self.repaired.is_some() {
                return Err(self.bad("the line has no end".to_owned()));
            }
            self.number += 1;
            self.file = opened(&self.folder.segment(self.number))?;
            (self.bytes, self.line) = (0, 0);
        }
        match self.ahead.front() {
            Some(note) if Guard::TrailTail.stands() => Err(Finding::CutTail {
                have: self.standing.size(),
                told: note.size(),
                by: "its signed checkpoint".to_owned(),
            }
            .into()),
            _ => Ok(()),
        }
    }

    fn take(&mut self, path: &Path) -> Result<(), AuditError> {
        let mut bytes = Vec::new();
        let read = self
            .file
            .seek(SeekFrom::Start(self.bytes))
            .and_then(|_| self.file.read_to_end(&mut bytes));
        read.map_err(io(path))?;
        let mut rest = bytes.as_slice();
        self.check_notes()?;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line = &rest[..end];
            // Where a disk lost power in the middle of a write, zeros can stand for what was not written.
            if line.contains(&0) {
                break;
            }
            let taken = Entry::parse(line)
                .and_then(|entry| follows(&mut self.standing, self.number, self.line + 1, &entry));
            taken.map_err(|why| self.bad(why))?;
            self.line += 1;
            self.bytes += end as u64 + 1;
            rest = &rest[end + 1..];
            self.check_notes()?;
        }
        self.repaired = (!rest.is_empty()).then_some(rest.len() as u64);
        Ok(())
    }

    /// Takes off what a crash left: what is written goes to the end of the file.
    fn take_off(&self) -> Result<(), AuditError> {
        match self.repaired {
            Some(_) => {
                let cut = self.file.set_len(self.bytes);
                cut.map_err(io(&self.folder.segment(self.number)))
            }
            None => Ok(()),
        }
    }

    fn bad(&self, why: String) -> AuditError {
        let (file, line, seq) = (self.number, self.line + 1, self.standing.size() + 1);
        Finding::BadEntry {
            file,
            line,
            seq,
            why,
        }
        .into()
    }

    fn cut(&self) -> AuditError {
        Finding::CutTail {
            have: 0,
            told: self.standing.size(),
            by: "this process, which had read further".to_owned(),
        }
        .into()
    }

    /// The first entry of all, where there is none yet.
    fn begin(&mut self) -> Result<(), AuditError> {
        if self.standing.size() > 0 {
            return Ok(());
        }
        self.take_off()?;
        self.repaired = None;
        let act = Act::from(Action::AuditBegun)
            .own("origin", self.key.public().origin().to_owned())
            .own("key", self.key.public().text())
            .with("version", env!("CARGO_PKG_VERSION"));
        self.write(&Actor::host(), &[act])
    }

    /// Takes over a key that another process put in place, or ends what a crash interrupted.
    fn settle_key(&mut self) -> Result<(), AuditError> {
        let named = self.standing.key().cloned();
        let Some(named) = named.filter(|named| named != self.key.public()) else {
            return Ok(());
        };
        let current = Key::read(&self.folder.key(), named.origin())?;
        if current.public() == &named {
            // Whoever put it in place may have been killed before this.
            publish(&self.folder, &named)?;
            self.key = current;
            return Ok(());
        }
        let next = self.folder.next_key();
        match Key::read(&next, named.origin()) {
            Ok(key) if key.public() == &named => {
                self.key = current;
                self.sign()?;
                self.put_in_place(key)
            }
            _ if Guard::TrailKey.stands() => Err(Finding::WrongKey {
                wanted: named.text(),
                found: current.public().text(),
            }
            .into()),
            _ => Ok(()),
        }
    }

    fn put_in_place(&mut self, key: Key) -> Result<(), AuditError> {
        let renamed = std::fs::rename(self.folder.next_key(), self.folder.key());
        renamed.map_err(io(&self.folder.key()))?;
        publish(&self.folder, key.public())?;
        self.key = key;
        Ok(())
    }

    /// Appends these acts, and gives the number of the first. All of them are on the disk when this returns, or it is an
    /// error.
    pub(crate) fn append(&mut self, actor: &Actor, acts: &[Act]) -> Result<u64, AuditError> {
        self.catch_up()?;
        self.settle_key()?;
        self.begin()?;
        self.take_off()?;
        if self.bytes >= self.options.segment_bytes {
            self.sign()?;
            let next = self.folder.segment(self.number + 1);
            self.file = opened(&next)?;
            self.folder.sync()?;
            self.number += 1;
            (self.bytes, self.line) = (0, 0);
        }
        if self.bytes == 0 {
            let header = self.standing.header();
            self.write(&Actor::host(), &[header])?;
        }
        if let Some(bytes) = self.repaired {
            self.write(
                &Actor::host(),
                &[Action::AuditRepaired.with("bytes", bytes)],
            )?;
            self.repaired = None;
        }
        let first = self.standing.size() + 1;
        self.write(actor, acts)?;
        let signed = self.note.as_ref().map_or(0, Note::size);
        let unsigned = self.standing.size() - signed;
        if Guard::TrailUnsigned.bars(unsigned >= self.options.unsigned_entries_max)
            || self.signed_at.elapsed() >= self.options.unsigned_time_max
        {
            self.sign()?;
        }
        Ok(first)
    }

    fn write(&mut self, actor: &Actor, acts: &[Act]) -> Result<(), AuditError> {
        let mut standing = self.standing.clone();
        let mut text = Vec::new();
        let (time, host) = (now_ms(), Actor::host());
        for act in acts {
            let actor = if act.by_host { &host } else { actor };
            let entry = Entry::new(standing.size() + 1, time, actor, act, standing.head());
            standing.take(&entry).map_err(|why| self.bad(why))?;
            text.extend(entry.line().into_bytes());
            text.push(b'\n');
        }
        let written = self.file.write_all(&text).and_then(|()| {
            if Guard::TrailSync.stands() {
                self.file.sync_data()
            } else {
                Ok(())
            }
        });
        if let Err(error) = written {
            // Not to be there is better than to be there in part; what stays is repaired by whoever comes next.
            let _ = self.file.set_len(self.bytes);
            return Err(io(&self.folder.segment(self.number))(error));
        }
        self.standing = standing;
        self.bytes += text.len() as u64;
        self.line += acts.len() as u64;
        Ok(())
    }

    /// Signs how long the trail is, unless that is signed already, and brings the copy up to it.
    pub(crate) fn sign(&mut self) -> Result<(), AuditError> {
        let Some(body) = self.standing.body() else {
            return Ok(());
        };
        if self
            .note
            .as_ref()
            .is_none_or(|note| note.size() < body.size)
        {
            let note = self.key.sign(body);
            self.standing
                .holds(&note)
                .map_err(|why| Finding::BadCheckpoint { why })?;
            let gap = if self.notes_gap { "\n" } else { "" };
            let text = format!("{gap}{note}\n");
            let path = self.folder.checkpoints();
            let mut file = opened(&path)?;
            let new = self.notes_bytes == 0;
            file.set_len(self.notes_bytes)
                .and_then(|()| file.write_all(text.as_bytes()))
                .and_then(|()| file.sync_data())
                .map_err(io(&path))?;
            if new {
                self.folder.sync()?;
            }
            self.notes_bytes += text.len() as u64;
            self.notes_gap = false;
            self.note = Some(note);
        }
        self.signed_at = Instant::now();
        match &mut self.copy {
            Some(copy) => copy.follow(&self.folder, self.number, self.bytes, self.notes_bytes),
            None => Ok(()),
        }
    }

    /// What others wrote since is read, and all of it signed.
    pub(crate) fn sign_all(&mut self) -> Result<(), AuditError> {
        self.catch_up()?;
        self.settle_key()?;
        self.sign()
    }

    /// Another key from here on, vouched for by this one.
    pub(crate) fn rotate_key(&mut self, actor: &Actor) -> Result<(), AuditError> {
        self.catch_up()?;
        self.settle_key()?;
        let next = self.folder.next_key();
        // One that a crash left before it was named.
        remove(&next)?;
        let key = Key::create(&next, self.key.public().origin())?;
        self.folder.sync()?;
        let act = Act::from(Action::AuditKey).own("key", key.public().text());
        let _ = self.append(actor, &[act])?;
        self.sign()?;
        self.put_in_place(key)
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
