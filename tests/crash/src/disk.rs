//! What a disk may hold after a power cut, as ext4 keeps it: of data that was not synced, each page of 4 KiB survives up
//! to a write of its own; names, and the ends of files, are durable in the order in which they were changed, up to the
//! last sync at least; data written back within a file's durable end is durable, and what is beyond it with the next
//! sync of anything. A sector is written whole. Other file systems, and disks that lie of their cache, are not modelled.

use crate::chance::Chance;
use crate::trace::{Event, Kind, Sync};
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, Permissions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

const PAGE_BYTES: u64 = 4096;

/// A disk, and what was done to it.
#[derive(Debug, Clone)]
pub struct Disk {
    /// Above it nothing is modelled.
    root: String,
    inodes: Vec<Inode>,
    /// What each name stands for.
    names: BTreeMap<String, usize>,
    /// Changes of names, and of the ends of files, in their order.
    journal: Vec<Change>,
    /// So many of them are durable.
    durable: usize,
    syncs: HashMap<u32, Begun>,
    said: Vec<u8>,
}

#[derive(Debug, Clone)]
struct Inode {
    kind: Kind,
    bytes: Vec<u8>,
    pending: Vec<Pending>,
    /// Where its end is for whoever reads it now, and where it was when it was last synced.
    end: u64,
    synced_end: u64,
}

#[derive(Debug, Clone)]
enum Pending {
    Write {
        offset: u64,
        data: Vec<u8>,
        is_written_back: bool,
    },
    /// With its place in the journal.
    Resize(u64, usize),
    Reserve(u64, usize),
}

#[derive(Debug, Clone)]
enum Change {
    Name(String, usize),
    Rename(String, String),
    Remove(String),
    /// The end of a file, which its inode knows.
    End,
}

/// What a sync covers: what was there when it began.
#[derive(Debug, Clone, Copy)]
struct Begun {
    inode: usize,
    pending: usize,
    journal: usize,
}

impl Disk {
    /// An empty one, with this folder on it.
    pub fn new(root: &str) -> Self {
        Self {
            root: root.to_owned(),
            inodes: Vec::new(),
            names: BTreeMap::new(),
            journal: Vec::new(),
            durable: 0,
            syncs: HashMap::new(),
            said: Vec::new(),
        }
    }

    /// All that was said until now.
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&self.said).into_owned()
    }

    /// Does what a subject did.
    pub fn take(&mut self, event: &Event) {
        match event {
            Event::Said(text) => self.said.extend(text),
            Event::Create(name, kind) => self.create(name, *kind),
            Event::Write(name, offset, data) => self.write(name, *offset, data),
            Event::Resize(name, end) => self.end(name, *end, Pending::Resize),
            Event::Reserve(name, end) => self.end(name, *end, Pending::Reserve),
            Event::WriteBack(name, offset, bytes) => self.write_back(name, *offset, *bytes),
            Event::SyncBegins(name, thread) => {
                let begun = self.inode(name).map(|inode| Begun {
                    inode,
                    pending: self.inodes[inode].pending.len(),
                    journal: self.journal.len(),
                });
                if let Some(begun) = begun {
                    self.syncs.insert(*thread, begun);
                }
            }
            Event::SyncEnds(_, thread, sync) => {
                if let Some(begun) = self.syncs.remove(thread) {
                    self.sync(begun, *sync);
                }
            }
            Event::Rename(from, to) if self.is_below(to) => {
                if let Some(inode) = self.names.remove(from) {
                    self.names.insert(to.clone(), inode);
                    self.journal.push(Change::Rename(from.clone(), to.clone()));
                }
            }
            Event::Link(from, to) if self.is_below(to) => {
                if let Some(inode) = self.inode(from) {
                    self.names.insert(to.clone(), inode);
                    self.journal.push(Change::Name(to.clone(), inode));
                }
            }
            Event::Remove(name) => {
                if self.names.remove(name).is_some() {
                    self.journal.push(Change::Remove(name.clone()));
                }
            }
            Event::Rename(..) | Event::Link(..) => {}
        }
    }

    fn is_below(&self, name: &str) -> bool {
        name.strip_prefix(&self.root)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    fn inode(&self, name: &str) -> Option<usize> {
        self.names.get(name).copied()
    }

    fn create(&mut self, name: &str, kind: Kind) {
        if !self.is_below(name) {
            return;
        }
        let inode = self.inodes.len();
        self.inodes.push(Inode {
            kind,
            bytes: Vec::new(),
            pending: Vec::new(),
            end: 0,
            synced_end: u64::MAX,
        });
        self.names.insert(name.to_owned(), inode);
        self.journal.push(Change::Name(name.to_owned(), inode));
    }

    fn write(&mut self, name: &str, offset: Option<u64>, data: &[u8]) {
        let Some(inode) = self.inode(name) else {
            return;
        };
        let inode = &mut self.inodes[inode];
        let offset = offset.unwrap_or(inode.end);
        inode.end = inode.end.max(offset + data.len() as u64);
        inode.pending.push(Pending::Write {
            offset,
            data: data.to_vec(),
            is_written_back: false,
        });
    }

    fn end(&mut self, name: &str, end: u64, pending: fn(u64, usize) -> Pending) {
        let Some(inode) = self.inode(name) else {
            return;
        };
        let inode = &mut self.inodes[inode];
        let pending = pending(end, self.journal.len());
        inode.end = match pending {
            Pending::Reserve(..) => inode.end.max(end),
            _ => end,
        };
        inode.pending.push(pending);
        self.journal.push(Change::End);
    }

    fn write_back(&mut self, name: &str, from: u64, count: u64) {
        let Some(inode) = self.inode(name) else {
            return;
        };
        let Inode { bytes, pending, .. } = &mut self.inodes[inode];
        let to = if count == 0 { u64::MAX } else { from + count };
        let durable_end = bytes.len() as u64;
        for one in std::mem::take(pending) {
            match one {
                Pending::Write { offset, data, .. }
                    if offset >= from && offset + data.len() as u64 <= to =>
                {
                    if offset + data.len() as u64 <= durable_end {
                        put(bytes, offset, &data);
                    } else {
                        pending.push(Pending::Write {
                            offset,
                            data,
                            is_written_back: true,
                        });
                    }
                }
                other => pending.push(other),
            }
        }
    }

    fn sync(&mut self, begun: Begun, sync: Sync) {
        let inode = &mut self.inodes[begun.inode];
        // A range that was written back meanwhile is gone from the list: never more than is left.
        let count = begun.pending.min(inode.pending.len());
        for one in inode.pending.drain(..count).collect::<Vec<_>>() {
            match one {
                Pending::Write { offset, data, .. } => put(&mut inode.bytes, offset, &data),
                Pending::Resize(end, _) => inode.bytes.resize(end as usize, 0),
                Pending::Reserve(end, _) => grow(&mut inode.bytes, end),
            }
        }
        let has_grown = inode.synced_end != inode.end;
        inode.synced_end = inode.end;
        if sync == Sync::Data && !has_grown {
            return;
        }
        self.durable = self.durable.max(begun.journal);
        for inode in &mut self.inodes {
            let Inode { bytes, pending, .. } = inode;
            pending.retain(|one| match one {
                Pending::Write {
                    offset,
                    data,
                    is_written_back: true,
                } => {
                    put(bytes, *offset, data);
                    false
                }
                _ => true,
            });
        }
    }

    /// Writes one of the images that a power cut at this moment may leave.
    pub fn image(&self, chance: &mut Chance, to: &Path) {
        let journal = if chance.percent(50) {
            self.durable
        } else {
            self.durable + chance.below((self.journal.len() - self.durable) as u64 + 1) as usize
        };
        let mut names: BTreeMap<&str, usize> = BTreeMap::new();
        for change in &self.journal[..journal] {
            match change {
                Change::Name(name, inode) => drop(names.insert(name, *inode)),
                Change::Rename(from, to) => {
                    if let Some(inode) = names.remove(from.as_str()) {
                        names.insert(to, inode);
                    }
                }
                Change::Remove(name) => drop(names.remove(name.as_str())),
                Change::End => {}
            }
        }
        let survives = match chance.below(100) {
            0..40 => Survives::Nothing,
            40..55 => Survives::All,
            _ => Survives::Pages([20, 50, 80][chance.below(3) as usize]),
        };
        for (name, inode) in names {
            let path = to.join(name[self.root.len()..].trim_start_matches('/'));
            let inode = &self.inodes[inode];
            if inode.kind == Kind::Folder {
                fs::create_dir_all(&path).expect("a folder of an image");
                fs::set_permissions(&path, Permissions::from_mode(0o700)).expect("its owner's");
            } else {
                written(&path, &inode.after(journal, survives, chance));
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Survives {
    Nothing,
    All,
    /// Of each page so many hundredths are as they were last written.
    Pages(u64),
}

impl Inode {
    fn after(&self, journal: usize, survives: Survives, chance: &mut Chance) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        let mut left = self.left(survives, chance);
        for one in &self.pending {
            match one {
                Pending::Resize(end, at) if *at < journal => bytes.resize(*end as usize, 0),
                Pending::Reserve(end, at) if *at < journal => grow(&mut bytes, *end),
                Pending::Resize(..) | Pending::Reserve(..) => {}
                Pending::Write { offset, data, .. } => {
                    for (page, from, part) in pages(*offset, data) {
                        let left = left.entry(page).or_default();
                        if *left > 0 {
                            *left -= 1;
                            put(&mut bytes, from, part);
                        }
                    }
                }
            }
        }
        bytes
    }

    /// Of each page, how many of the writes that touched it are on the disk.
    fn left(&self, survives: Survives, chance: &mut Chance) -> BTreeMap<u64, u64> {
        let mut touched: BTreeMap<u64, u64> = BTreeMap::new();
        for one in &self.pending {
            if let Pending::Write { offset, data, .. } = one {
                for (page, ..) in pages(*offset, data) {
                    *touched.entry(page).or_default() += 1;
                }
            }
        }
        for writes in touched.values_mut() {
            *writes = match survives {
                Survives::All => *writes,
                Survives::Pages(all) if chance.percent(all) => *writes,
                Survives::Pages(_) if chance.percent(50) => chance.below(*writes + 1),
                Survives::Nothing | Survives::Pages(_) => 0,
            };
        }
        touched
    }
}

/// A write in the parts that fall on one page each: the page, where the part goes, the part.
fn pages(offset: u64, data: &[u8]) -> impl Iterator<Item = (u64, u64, &[u8])> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let from = offset + at as u64;
        let page = from / PAGE_BYTES;
        let end = data.len().min(((page + 1) * PAGE_BYTES - offset) as usize);
        let part = data.get(at..end).filter(|part| !part.is_empty())?;
        at = end;
        Some((page, from, part))
    })
}

fn put(bytes: &mut Vec<u8>, offset: u64, data: &[u8]) {
    grow(bytes, offset + data.len() as u64);
    bytes[offset as usize..][..data.len()].copy_from_slice(data);
}

fn grow(bytes: &mut Vec<u8>, end: u64) {
    if bytes.len() < end as usize {
        bytes.resize(end as usize, 0);
    }
}

/// With a hole where there are only zeros.
fn written(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().expect("below the root")).expect("a folder of an image");
    let mut file = File::create(path).expect("a file of an image");
    for (at, page) in bytes.chunks(PAGE_BYTES as usize).enumerate() {
        if page.iter().any(|byte| *byte != 0) {
            file.seek(SeekFrom::Start(at as u64 * PAGE_BYTES))
                .expect("seeks");
            file.write_all(page).expect("writes");
        }
    }
    file.set_len(bytes.len() as u64).expect("its length");
    file.set_permissions(Permissions::from_mode(0o600))
        .expect("its owner's");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(file: &str) -> String {
        format!("/r/{file}")
    }

    fn disk(events: &[Event]) -> Disk {
        let mut disk = Disk::new("/r");
        for event in events {
            disk.take(event);
        }
        disk
    }

    fn wrote(file: &str, data: &[u8]) -> [Event; 2] {
        [
            Event::Create(name(file), Kind::File),
            Event::Write(name(file), Some(0), data.to_vec()),
        ]
    }

    fn synced(file: &str, sync: Sync) -> [Event; 2] {
        [
            Event::SyncBegins(name(file), 1),
            Event::SyncEnds(name(file), 1, sync),
        ]
    }

    /// Every content this file has in a hundred images; none where it is not there.
    fn contents(disk: &Disk, file: &str) -> std::collections::BTreeSet<Option<Vec<u8>>> {
        let folder = tempfile::tempdir().unwrap();
        let mut chance = Chance::new(7);
        (0..100)
            .map(|number| {
                let to = folder.path().join(number.to_string());
                disk.image(&mut chance, &to);
                fs::read(to.join(file)).ok()
            })
            .collect()
    }

    #[test]
    fn what_was_synced_is_there_and_what_was_not_may_be() {
        let written = disk(&wrote("a", b"one"));
        assert_eq!(
            contents(&written, "a"),
            [None, Some(vec![]), Some(b"one".to_vec())].into()
        );
        let events = [wrote("a", b"one").as_slice(), &synced("a", Sync::All)].concat();
        assert_eq!(
            contents(&disk(&events), "a"),
            [Some(b"one".to_vec())].into()
        );
        let over = Event::Write(name("a"), Some(0), b"two".to_vec());
        let events = [events.as_slice(), &[over]].concat();
        assert_eq!(
            contents(&disk(&events), "a"),
            [Some(b"one".to_vec()), Some(b"two".to_vec())].into()
        );
    }

    #[test]
    fn a_renamed_file_that_was_not_synced_may_be_empty() {
        let renamed = Event::Rename(name("a"), name("b"));
        let events = [
            wrote("a", b"one").as_slice(),
            std::slice::from_ref(&renamed),
            &wrote("c", b""),
            &synced("c", Sync::All),
        ]
        .concat();
        assert_eq!(
            contents(&disk(&events), "b"),
            [Some(vec![]), Some(b"one".to_vec())].into()
        );
        let events = [
            wrote("a", b"one").as_slice(),
            &synced("a", Sync::All),
            &[renamed],
            &synced("b", Sync::All),
        ]
        .concat();
        assert_eq!(
            contents(&disk(&events), "b"),
            [Some(b"one".to_vec())].into()
        );
        assert_eq!(contents(&disk(&events), "a"), [None].into());
    }

    #[test]
    fn a_sync_covers_what_was_written_before_it_began() {
        let [begins, ends] = synced("a", Sync::All);
        let over = Event::Write(name("a"), Some(0), b"two".to_vec());
        let events = [wrote("a", b"one").as_slice(), &[begins, over, ends]].concat();
        assert_eq!(
            contents(&disk(&events), "a"),
            [Some(b"one".to_vec()), Some(b"two".to_vec())].into()
        );
    }

    #[test]
    fn a_write_back_does_not_make_a_file_longer() {
        let back = Event::WriteBack(name("a"), 0, 0);
        let made = [wrote("a", b"").as_slice(), &synced("a", Sync::All)].concat();
        let grown = Event::Write(name("a"), Some(0), b"one".to_vec());
        let events = [made.as_slice(), &[grown.clone(), back.clone()]].concat();
        assert!(contents(&disk(&events), "a").contains(&Some(vec![])));
        let other = [wrote("b", b"").as_slice(), &synced("b", Sync::All)].concat();
        let events = [events.as_slice(), &other].concat();
        assert_eq!(
            contents(&disk(&events), "a"),
            [Some(b"one".to_vec())].into()
        );
    }

    #[test]
    fn a_sync_of_data_alone_makes_no_name_durable_where_nothing_grew() {
        let made = [
            wrote("a", b"one").as_slice(),
            &synced("a", Sync::All),
            &wrote("b", b""),
        ]
        .concat();
        let over = Event::Write(name("a"), Some(0), b"two".to_vec());
        let events = [made.as_slice(), &[over], &synced("a", Sync::Data)].concat();
        assert_eq!(
            contents(&disk(&events), "a"),
            [Some(b"two".to_vec())].into()
        );
        assert!(contents(&disk(&events), "b").contains(&None));
        let longer = Event::Write(name("a"), Some(2), b"wo".to_vec());
        let events = [made.as_slice(), &[longer], &synced("a", Sync::Data)].concat();
        assert!(!contents(&disk(&events), "b").contains(&None));
    }

    #[test]
    fn pages_survive_each_for_itself() {
        let long = vec![7; 3 * PAGE_BYTES as usize];
        let made = [
            wrote("a", &vec![1; long.len()]).as_slice(),
            &synced("a", Sync::All),
        ]
        .concat();
        let over = Event::Write(name("a"), Some(0), long);
        let all = contents(&disk(&[made.as_slice(), &[over]].concat()), "a");
        let torn = all
            .iter()
            .flatten()
            .filter(|bytes| bytes[0] != bytes[bytes.len() - 1]);
        assert!(torn.count() > 0);
        let whole = |bytes: &Vec<u8>| {
            bytes
                .chunks(PAGE_BYTES as usize)
                .all(|page| page.iter().all(|byte| *byte == page[0]))
        };
        assert!(all.iter().flatten().all(whole));
    }
}
