//! Checks an audit trail, written from the words of `docs/auditing.md` and nothing else: it shares no code with the
//! host, so that a mistake of the host's own checks is not made again here. Reads all of it into memory; not fast.

mod entry;
mod note;
mod tree;

use entry::Entry;
use note::{Key, Note};
use std::fs;
use std::path::{Path, PathBuf};
use tree::Tree;

/// What the trail is held against, besides itself.
#[derive(Debug, Clone, Default)]
pub struct Against {
    /// The key that must sign its end; `key.pub` beside it where none is given.
    pub key: Option<String>,
    /// Files of checkpoints that were kept elsewhere.
    pub checkpoints: Vec<PathBuf>,
    /// The second place.
    pub copy: Option<PathBuf>,
    /// The state store's last commit.
    pub store_commit: Option<u64>,
}

/// A trail that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holds {
    /// Entries.
    pub entries: u64,
    /// Entries that a signed checkpoint covers.
    pub signed: u64,
    /// Whether it ends in half a line, as a crash leaves it.
    pub torn: bool,
}

/// Goes through the trail in this folder. The error says what is wrong, and where.
pub fn check(dir: &Path, against: &Against) -> Result<Holds, String> {
    let mut notes = note::read_all(&read(&dir.join("checkpoints"))?)
        .map_err(|why| format!("checkpoints: {why}"))?;
    if notes.is_empty() {
        return Err("no checkpoint".to_owned());
    }
    if notes.windows(2).any(|pair| pair[0].size >= pair[1].size) {
        return Err("checkpoints are not in order".to_owned());
    }
    for file in &against.checkpoints {
        notes.extend(
            note::read_all(&read(file)?).map_err(|why| format!("{}: {why}", file.display()))?,
        );
    }
    if let Some(copy) = &against.copy {
        notes.extend(
            note::read_all(&read(&copy.join("checkpoints"))?)
                .map_err(|why| format!("copy: {why}"))?,
        );
    }
    notes.sort_by_key(|note| note.size);
    let mut walk = Walk::default();
    let files = files(dir)?;
    for (at, file) in files.iter().enumerate() {
        walk.file(&read(file)?, at == 0, at + 1 == files.len(), &notes)
            .map_err(|why| format!("{}: {why}", file.display()))?;
    }
    let signed = notes.last().map_or(0, |note| note.size);
    if signed > walk.tree.size() {
        return Err(format!(
            "cut: {} entries, and a checkpoint of {signed}",
            walk.tree.size()
        ));
    }
    let key = match &against.key {
        Some(key) => key.clone(),
        None => String::from_utf8_lossy(&read(&dir.join("key.pub"))?).into_owned(),
    };
    if walk.keys.last().map(|(_, key)| key.text.as_str()) != Some(key.trim()) {
        return Err("signed by another key than the one to trust".to_owned());
    }
    if let Some(copy) = &against.copy {
        compare(dir, copy)?;
    }
    match (against.store_commit, walk.commit) {
        (Some(store), Some(trail)) if store < trail => Err(format!(
            "the store is at commit {store}, the trail has seen {trail}: rolled back"
        )),
        _ => Ok(Holds {
            entries: walk.tree.size(),
            signed,
            torn: walk.torn,
        }),
    }
}

/// `00000001.log` and so on, without a gap.
fn files(dir: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut files: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|end| end == "log"))
        .collect();
    files.sort();
    for (at, file) in files.iter().enumerate() {
        let due = format!("{:08}.log", at + 1);
        if file.file_name().is_none_or(|name| name != due.as_str()) {
            return Err(format!("`{due}` is not there"));
        }
    }
    Ok(files)
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    fs::read(file).map_err(|error| format!("{}: {error}", file.display()))
}

/// The copy is the trail as it once was.
fn compare(dir: &Path, copy: &Path) -> Result<(), String> {
    for file in files(copy)? {
        let name = file.file_name().unwrap_or_default();
        if !read(&dir.join(name))?.starts_with(&read(&file)?) {
            return Err(format!(
                "{}: the copy says something else, or more",
                Path::new(name).display()
            ));
        }
    }
    Ok(())
}

/// The trail as far as it was read.
#[derive(Default)]
struct Walk {
    tree: Tree,
    head: [u8; 32],
    commit: Option<u64>,
    /// Each key, with the entry that named it.
    keys: Vec<(u64, Key)>,
    /// The last entry of these whose own checkpoint was there.
    vouched: u64,
    /// The next checkpoint.
    next: usize,
    torn: bool,
}

impl Walk {
    fn file(
        &mut self,
        bytes: &[u8],
        first: bool,
        last: bool,
        notes: &[Note],
    ) -> Result<(), String> {
        let mut rest = bytes;
        let mut begins = true;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line = &rest[..end];
            if last && line.contains(&0) {
                break;
            }
            let seq = self.tree.size() + 1;
            let taken = Entry::read(line).and_then(|entry| self.entry(&entry, begins && !first));
            taken.map_err(|why| format!("entry {seq}: {why}"))?;
            self.notes(notes)?;
            begins = false;
            rest = &rest[end + 1..];
        }
        self.torn = !rest.is_empty();
        match (self.torn, begins) {
            (true, _) if !last => Err("a line has no end".to_owned()),
            (_, true) if !last => Err("it is empty".to_owned()),
            _ => Ok(()),
        }
    }

    fn entry(&mut self, entry: &Entry, heads_a_file: bool) -> Result<(), String> {
        let seq = self.tree.size() + 1;
        if entry.seq != seq || entry.prev != self.head {
            return Err("it does not follow".to_owned());
        }
        if entry.digest() != entry.hash {
            return Err("its hash is of something else".to_owned());
        }
        if (entry.action == "audit.begun") != (seq == 1) {
            return Err("`audit.begun` is the first entry".to_owned());
        }
        if (entry.action == "audit.segment") != heads_a_file {
            return Err("`audit.segment` begins each further file".to_owned());
        }
        if heads_a_file && entry.fields.get("peaks") != Some(&self.tree.peaks_hex()) {
            return Err("`peaks` are not those of the entries before".to_owned());
        }
        if matches!(entry.action.as_str(), "audit.begun" | "audit.key") {
            let text = entry.fields.get("key").cloned().unwrap_or_default();
            self.keys.push((seq, Key::read(&text)?));
        }
        if let Some(commit) = entry.commit {
            if self.commit.is_some_and(|before| commit < before) && entry.action != "state.restored"
            {
                return Err("the store was rolled back".to_owned());
            }
            self.commit = Some(commit);
        }
        self.tree.push(entry.hash);
        self.head = entry.hash;
        Ok(())
    }

    /// The checkpoints of this size: a key signs what comes after the entry that names it, the first entry besides.
    fn notes(&mut self, notes: &[Note]) -> Result<(), String> {
        while let Some(note) = notes
            .get(self.next)
            .filter(|note| note.size == self.tree.size())
        {
            let size = note.size;
            if note.root != self.tree.root() {
                return Err(format!(
                    "the checkpoint of {size} entries is of other entries"
                ));
            }
            let named_before = self.keys.iter().rev().find(|(seq, _)| *seq < size);
            let (_, key) = named_before.unwrap_or(&self.keys[0]);
            key.check(note)
                .map_err(|why| format!("the checkpoint of {size} entries: {why}"))?;
            // A key is vouched for by the one before it, with a checkpoint of the entry that names it.
            match self.keys.last() {
                Some((seq, _)) if *seq == size => self.vouched = size,
                Some((seq, _)) if self.keys.len() > 1 && *seq > self.vouched => {
                    return Err(format!(
                        "the checkpoint of {size} entries: entry {seq} names its key, and nothing vouches for that"
                    ));
                }
                _ => {}
            }
            self.next += 1;
        }
        Ok(())
    }
}
