//! The record of a subject's calls, read back: which file was written, where, with what, and when that was synced. A
//! call counts once it has returned; what a sync covers is what had returned when it began.

use std::collections::{BTreeMap, HashMap};

/// One thing that happened to the disk, or that was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A file or a folder came to be under this name.
    Create(String, Kind),
    /// Bytes were written to a file, at an offset; none where they went to its end.
    Write(String, Option<u64>, Vec<u8>),
    /// A file was made this long.
    Resize(String, u64),
    /// A file was made at least this long.
    Reserve(String, u64),
    /// A sync of this file or folder began.
    SyncBegins(String, u32),
    /// It returned.
    SyncEnds(String, u32, Sync),
    /// A range of a file was written back: not what the file needs to be found again.
    WriteBack(String, u64, u64),
    /// A name was given to what another stood for.
    Rename(String, String),
    /// A second name.
    Link(String, String),
    /// A name was taken away.
    Remove(String),
    /// Something was said to whoever listens.
    Said(Vec<u8>),
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    File,
    /// A folder.
    Folder,
}

/// How a file was synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// With all there is to say of it.
    All,
    /// Its data, and what is needed to find them.
    Data,
}

/// Reads a log of `strace -f -y -xx`. `knows` says which names were there before.
///
/// # Panics
/// Where a line is none of `strace`'s.
pub fn read(log: &str, knows: impl Fn(&str) -> bool) -> Vec<Event> {
    let mut reader = Reader {
        events: Vec::new(),
        files: HashMap::new(),
        names: BTreeMap::new(),
        halves: HashMap::new(),
        knows,
    };
    for line in log.lines() {
        reader.line(line);
    }
    reader.events
}

struct Reader<K> {
    events: Vec<Event>,
    /// Open files: where they are written next; none where that is their end.
    files: HashMap<u32, Option<u64>>,
    /// What was made, and what was taken away again.
    names: BTreeMap<String, bool>,
    /// The first half of a call that another thread's came into.
    halves: HashMap<u32, String>,
    knows: K,
}

/// A call: its name, its arguments, what it returned.
struct Call<'a> {
    name: &'a str,
    arguments: Vec<&'a str>,
    returned: i64,
}

impl<K: Fn(&str) -> bool> Reader<K> {
    fn line(&mut self, line: &str) {
        let Some((thread, said)) = line.split_once(' ') else {
            return;
        };
        let thread: u32 = thread
            .parse()
            .unwrap_or_else(|_| panic!("`{line}` names no thread"));
        let said = said.trim_start();
        if let Some(half) = said.strip_suffix("<unfinished ...>") {
            self.begins(thread, half);
            self.halves.insert(thread, half.to_owned());
        } else if said.starts_with("<... ") {
            let rest = said.split_once("resumed>").map_or("", |(_, rest)| rest);
            let Some(half) = self.halves.remove(&thread) else {
                return;
            };
            self.returned(thread, &format!("{}{rest}", half.trim_end()));
        } else if !said.starts_with("+++") && !said.starts_with("---") {
            self.begins(thread, said);
            self.returned(thread, said);
        }
    }

    /// A sync covers what had returned by now.
    fn begins(&mut self, thread: u32, said: &str) {
        if (said.starts_with("fsync(") || said.starts_with("fdatasync("))
            && let Some((_, file)) = described(said.split_once('(').map_or("", |(_, rest)| rest))
        {
            self.events.push(Event::SyncBegins(file, thread));
        }
    }

    fn returned(&mut self, thread: u32, said: &str) {
        let Some(call) = call(said).filter(|call| call.returned >= 0) else {
            return;
        };
        let returned = call.returned.unsigned_abs();
        let file = || {
            call.arguments
                .first()
                .and_then(|argument| described(argument))
        };
        let number = |at: usize| {
            let argument = call.arguments.get(at).copied().unwrap_or_default();
            argument
                .trim()
                .parse::<u64>()
                .unwrap_or_else(|_| panic!("`{argument}` is no number"))
        };
        match call.name {
            "openat" => self.opened(&call, 1),
            "open" | "creat" => self.opened(&call, 0),
            "lseek" => {
                if let Some((descriptor, _)) = file()
                    && let Some(Some(place)) = self.files.get_mut(&descriptor)
                {
                    *place = returned;
                }
            }
            "write" => self.written(file(), &bytes(call.arguments.get(1)), returned),
            "pwrite64" => {
                if let Some((_, name)) = file() {
                    let mut data = bytes(call.arguments.get(1));
                    data.truncate(returned as usize);
                    self.events.push(Event::Write(name, Some(number(3)), data));
                }
            }
            "writev" | "pwritev" | "pwritev2" => {
                assert!(
                    file()
                        .is_none_or(|(descriptor, _)| descriptor <= 2
                            || !self.files.contains_key(&descriptor)),
                    "a file is written in parts, which is not read yet: {said}"
                );
            }
            "fsync" => self.synced(file(), thread, Sync::All),
            "fdatasync" => self.synced(file(), thread, Sync::Data),
            "sync_file_range" => {
                if let Some((_, name)) = file() {
                    self.events
                        .push(Event::WriteBack(name, number(1), number(2)));
                }
            }
            "ftruncate" => {
                if let Some((_, name)) = file() {
                    self.events.push(Event::Resize(name, number(1)));
                }
            }
            "fallocate" => {
                if let Some((_, name)) = file() {
                    self.events
                        .push(Event::Reserve(name, number(2) + number(3)));
                }
            }
            _ => self.named(&call),
        }
    }

    fn opened(&mut self, call: &Call, at: usize) {
        let flags = call
            .arguments
            .get(at + 1)
            .copied()
            .unwrap_or("O_CREAT|O_TRUNC");
        let (Some((descriptor, _)), Some(name)) = (returned_file(call), path(call, at)) else {
            return;
        };
        let is_appended = flags.contains("O_APPEND");
        self.files.insert(descriptor, (!is_appended).then_some(0));
        if flags.contains("O_CREAT") && !self.is_there(&name) {
            self.make(&name, Kind::File);
        } else if flags.contains("O_TRUNC") {
            self.events.push(Event::Resize(name, 0));
        }
    }

    fn written(&mut self, file: Option<(u32, String)>, data: &[u8], returned: u64) {
        let Some((descriptor, name)) = file else {
            return;
        };
        let data = data[..data.len().min(returned as usize)].to_vec();
        if descriptor == 1 {
            self.events.push(Event::Said(data));
            return;
        }
        let Some(place) = self.files.get_mut(&descriptor) else {
            return;
        };
        let offset = *place;
        if let Some(place) = place {
            *place += returned;
        }
        self.events.push(Event::Write(name, offset, data));
    }

    fn synced(&mut self, file: Option<(u32, String)>, thread: u32, sync: Sync) {
        if let Some((_, name)) = file {
            self.events.push(Event::SyncEnds(name, thread, sync));
        }
    }

    /// Calls that change names.
    fn named(&mut self, call: &Call) {
        let (from, to) = match call.name {
            "rename" | "link" => (path(call, 0), path(call, 1)),
            "renameat" | "renameat2" | "linkat" => (path(call, 1), path(call, 3)),
            "unlink" | "rmdir" | "mkdir" => (path(call, 0), None),
            "unlinkat" | "mkdirat" => (path(call, 1), None),
            _ => return,
        };
        let Some(from) = from else { return };
        match (call.name, to) {
            ("mkdir" | "mkdirat", _) => self.make(&from, Kind::Folder),
            ("link" | "linkat", Some(to)) => {
                self.names.insert(to.clone(), true);
                self.events.push(Event::Link(from, to));
            }
            (_, Some(to)) => {
                self.names.insert(from.clone(), false);
                self.names.insert(to.clone(), true);
                self.events.push(Event::Rename(from, to));
            }
            (_, None) => {
                self.names.insert(from.clone(), false);
                self.events.push(Event::Remove(from));
            }
        }
    }

    fn is_there(&self, name: &str) -> bool {
        self.names
            .get(name)
            .copied()
            .unwrap_or_else(|| (self.knows)(name))
    }

    fn make(&mut self, name: &str, kind: Kind) {
        self.names.insert(name.to_owned(), true);
        self.events.push(Event::Create(name.to_owned(), kind));
    }
}

/// The path in this argument: from its folder, where it does not begin at the root.
fn path(call: &Call, at: usize) -> Option<String> {
    let path = String::from_utf8(bytes(call.arguments.get(at))).ok()?;
    if path.starts_with('/') {
        return Some(path);
    }
    let (_, folder) = described(call.arguments.get(at.checked_sub(1)?)?)?;
    Some(format!("{folder}/{path}"))
}

/// Where one argument ends and the next begins: no comma stands in what `-xx` prints.
fn call(said: &str) -> Option<Call<'_>> {
    let (name, rest) = said.split_once('(')?;
    let (arguments, returned) = rest.rsplit_once(" = ")?;
    let arguments = arguments.trim_end().strip_suffix(')')?;
    let number = returned.split([' ', '<']).next()?;
    Some(Call {
        name,
        arguments: arguments.split(", ").chain([returned]).collect(),
        returned: number.parse().ok()?,
    })
}

/// What a call that opens gives back stands last.
fn returned_file(call: &Call) -> Option<(u32, String)> {
    described(call.arguments.last()?)
}

/// `7<\x2f\x74>`: a descriptor and what it is of. `AT_FDCWD<…>` has no number.
fn described(argument: &str) -> Option<(u32, String)> {
    let (number, rest) = argument.trim().split_once('<')?;
    let (name, _) = rest.split_once('>')?;
    let name = String::from_utf8(unescaped(name)).ok()?;
    let number = number.parse().unwrap_or(u32::MAX);
    Some((number, name))
}

fn bytes(argument: Option<&&str>) -> Vec<u8> {
    let quoted = argument.and_then(|argument| {
        let (_, rest) = argument.split_once('"')?;
        rest.rsplit_once('"')
    });
    let (quoted, after) = quoted.unwrap_or_default();
    assert!(
        !after.starts_with("..."),
        "a write is longer than what is recorded of it"
    );
    unescaped(quoted)
}

/// `\x41` is `A`; what is not so written stands for itself.
fn unescaped(text: &str) -> Vec<u8> {
    let nibble = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
    let (all, mut found) = (text.as_bytes(), Vec::with_capacity(text.len() / 4));
    let mut at = 0;
    while at < all.len() {
        let pair = all.get(at..at + 4).filter(|four| four.starts_with(b"\\x"));
        let byte = pair.and_then(|four| Some(nibble(four[2])? << 4 | nibble(four[3])?));
        found.push(byte.unwrap_or(all[at]));
        at += if byte.is_some() { 4 } else { 1 };
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_of_threads_are_put_together() {
        let log = concat!(
            "7 mkdirat(AT_FDCWD<\\x2f>, \"\\x2f\\x61\", 0700) = 0\n",
            "7 openat(AT_FDCWD<\\x2f>, \"\\x2f\\x61\\x2f\\x62\", O_WRONLY|O_CREAT|O_CLOEXEC, 0666) = 3<\\x2f\\x61\\x2f\\x62>\n",
            "7 write(3<\\x2f\\x61\\x2f\\x62>, \"\\x41\\x42\", 2) = 2\n",
            "8 fsync(3<\\x2f\\x61\\x2f\\x62> <unfinished ...>\n",
            "7 write(3<\\x2f\\x61\\x2f\\x62>, \"\\x43\", 1) = 1\n",
            "8 <... fsync resumed>) = 0\n",
            "7 pwrite64(3<\\x2f\\x61\\x2f\\x62>, \"\\x44\", 1, 9) = 1\n",
            "7 write(1<pipe:[5]>, \"\\x6f\\x0a\", 2) = 2\n",
            "7 rename(\"\\x2f\\x61\\x2f\\x62\", \"\\x2f\\x61\\x2f\\x63\") = 0\n",
            "7 unlink(\"\\x2f\\x6e\") = -1 ENOENT (No such file or directory)\n",
            "7 ftruncate(3<\\x2f\\x61\\x2f\\x63>, 4096) = 0\n",
            "7 +++ exited with 0 +++\n",
        );
        let b = || "/a/b".to_owned();
        assert_eq!(
            read(log, |_| false),
            [
                Event::Create("/a".to_owned(), Kind::Folder),
                Event::Create(b(), Kind::File),
                Event::Write(b(), Some(0), b"AB".to_vec()),
                Event::SyncBegins(b(), 8),
                Event::Write(b(), Some(2), b"C".to_vec()),
                Event::SyncEnds(b(), 8, Sync::All),
                Event::Write(b(), Some(9), b"D".to_vec()),
                Event::Said(b"o\n".to_vec()),
                Event::Rename(b(), "/a/c".to_owned()),
                Event::Resize("/a/c".to_owned(), 4096),
            ]
        );
    }
}
