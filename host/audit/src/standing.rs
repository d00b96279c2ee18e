//! Where a trail stands: all that the next entry, the next checkpoint and the next file need to know of what came
//! before. Takes entries one by one, and takes none that does not follow.

use crate::action::{Act, Action};
use crate::entry::Entry;
use crate::hash::Hash;
use crate::key::PublicKey;
use crate::note::{Body, Note};
use crate::tree::Tree;
use sluice_model::guards::Guard;

/// After so many entries.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Standing {
    pub(crate) tree: Tree,
    head: Option<Hash>,
    /// The last commit of the state store that was told.
    pub(crate) commit: Option<u64>,
    /// The host that is at work, by its first entry.
    pub(crate) host: Option<u64>,
    /// The key that signs what comes after, and the entry that said so.
    keys: Option<Keys>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Keys {
    now: PublicKey,
    since: u64,
    /// The one before, which signs the entry that names its successor.
    before: Option<PublicKey>,
    /// Whether it did, or there was none before.
    vouched: bool,
}

impl Standing {
    pub(crate) fn size(&self) -> u64 {
        self.tree.size()
    }

    pub(crate) fn head(&self) -> Hash {
        self.head.unwrap_or(Hash::NONE)
    }

    /// The key that signs what comes after.
    pub(crate) fn key(&self) -> Option<&PublicKey> {
        self.keys.as_ref().map(|keys| &keys.now)
    }

    /// The key that must sign a checkpoint taken here: a key is vouched for by the one before it.
    pub(crate) fn signer(&self) -> Option<&PublicKey> {
        let keys = self.keys.as_ref()?;
        match &keys.before {
            Some(before) if keys.since == self.size() => Some(before),
            _ => Some(&keys.now),
        }
    }

    /// What a checkpoint taken here says.
    pub(crate) fn body(&self) -> Option<Body> {
        Some(Body {
            origin: self.key()?.origin().to_owned(),
            size: self.size(),
            root: self.tree.root(),
        })
    }

    /// Whether a checkpoint of this size says what it should, and is signed by whom it should be.
    pub(crate) fn holds(&mut self, note: &Note) -> Result<(), String> {
        if Guard::CheckpointBody.bars(Some(&note.body) != self.body().as_ref()) {
            return Err(format!(
                "the checkpoint of {} entries says they hash to {}, and they hash to {}",
                note.size(),
                note.root(),
                self.tree.root()
            ));
        }
        let is_signed = self.signer().is_some_and(|signer| signer.signed(note));
        if Guard::CheckpointSigned.bars(!is_signed) {
            return Err(format!(
                "the checkpoint of {} entries is not signed by the key that was in force then",
                note.size()
            ));
        }
        let size = self.size();
        match &mut self.keys {
            Some(keys) if keys.since == size => keys.vouched = true,
            Some(keys) if Guard::KeyVouched.bars(!keys.vouched) => {
                return Err(format!(
                    "the checkpoint of {size} entries is signed by a key for which the one before it never vouched: \
                     entry {} names it",
                    keys.since
                ));
            }
            _ => {}
        }
        Ok(())
    }

    /// What the first entry of a file says of all files before it.
    pub(crate) fn header(&self) -> Act {
        let peaks: String = self.tree.peaks().iter().map(Hash::to_string).collect();
        let keys = self.keys.as_ref();
        let text = |key: Option<&PublicKey>| key.map(PublicKey::text).unwrap_or_default();
        Act::from(Action::AuditSegment)
            .own("entries", self.size().to_string())
            .own("peaks", peaks)
            .own(
                "commit",
                self.commit
                    .map(|commit| commit.to_string())
                    .unwrap_or_default(),
            )
            .own(
                "host",
                self.host.map(|host| host.to_string()).unwrap_or_default(),
            )
            .own("key", text(keys.map(|keys| &keys.now)))
            .own(
                "key-since",
                keys.map(|keys| keys.since.to_string()).unwrap_or_default(),
            )
            .own(
                "key-before",
                text(keys.and_then(|keys| keys.before.as_ref())),
            )
    }

    /// Where the trail stood before this first entry of a file, by its own word; only a checkpoint proves it.
    pub(crate) fn before(header: &Entry) -> Option<Self> {
        let number = |key: &str| match header.field(key)? {
            "" => Some(None),
            digits => digits.parse::<u64>().ok().map(Some),
        };
        let key = |key: &str| match header.field(key)? {
            "" => Some(None),
            text => PublicKey::parse(text).map(Some),
        };
        let peaks = header.field("peaks")?.as_bytes().chunks(64).map(|hex| {
            let hex = str::from_utf8(hex).ok()?;
            Hash::try_from(hex.to_owned()).ok()
        });
        let peaks: Vec<Hash> = peaks.collect::<Option<_>>()?;
        let standing = Self {
            tree: Tree::of(number("entries")??, peaks)?,
            head: Some(header.prev),
            commit: number("commit")?,
            host: number("host")?,
            keys: Some(Keys {
                now: key("key")??,
                since: number("key-since")??,
                before: key("key-before")?,
                // A file begins behind a checkpoint, and that is held against all files by whoever reads them.
                vouched: true,
            }),
        };
        let whole: Entry = Entry {
            fields: standing
                .header()
                .fields
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect(),
            ..header.clone()
        };
        (whole.fields == header.fields).then_some(standing)
    }

    /// The next entry, if it is one.
    pub(crate) fn take(&mut self, entry: &Entry) -> Result<(), String> {
        if Guard::TrailNumbers.bars(entry.seq != self.size() + 1) {
            return Err(format!(
                "it has number {}, and {} was due",
                entry.seq,
                self.size() + 1
            ));
        }
        if Guard::TrailChain.bars(entry.prev != self.head()) {
            return Err("it does not follow the entry before it".to_owned());
        }
        if Guard::TrailHashes.bars(entry.hashed() != entry.hash) {
            return Err("what it says is not what its hash was taken of".to_owned());
        }
        self.learn(entry)?;
        self.tree.push(entry.hash);
        self.head = Some(entry.hash);
        Ok(())
    }

    /// What entries of some kinds change.
    fn learn(&mut self, entry: &Entry) -> Result<(), String> {
        let action = |action: Action| entry.action == action.word();
        if (entry.seq == 1) != action(Action::AuditBegun) {
            return Err("a trail begins with `audit.begun`, and only there".to_owned());
        }
        if action(Action::AuditBegun) || action(Action::AuditKey) {
            let named = entry.field("key").and_then(PublicKey::parse);
            let now = named.ok_or_else(|| "it names no key".to_owned())?;
            let before = self.keys.take().map(|keys| keys.now);
            if before
                .as_ref()
                .is_some_and(|before| before.origin() != now.origin())
            {
                return Err("it names a key of another trail".to_owned());
            }
            self.keys = Some(Keys {
                now,
                since: entry.seq,
                vouched: before.is_none(),
                before,
            });
        }
        if action(Action::HostStarted) {
            self.host = Some(entry.seq);
        } else if action(Action::HostStopped) || action(Action::HostLost) {
            self.host = None;
        }
        match (entry.commit, self.commit) {
            (Some(now), Some(before))
                if Guard::TrailCommits.bars(now < before && !action(Action::StateRestored)) =>
            {
                Err(format!(
                    "the state store was at commit {now}, after it had been at {before}: it was rolled back"
                ))
            }
            (Some(now), _) => {
                self.commit = Some(now);
                Ok(())
            }
            (None, _) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::follows;
    use crate::{Actor, Folder, Options, Trail, each};

    /// A trail of several files: each entry with its file and line.
    fn honest() -> Vec<(u32, u64, Entry)> {
        let dir = tempfile::tempdir().unwrap();
        let options = Options {
            segment_bytes: 1_000,
            ..Options::default()
        };
        let trail = Trail::open(dir.path(), options).unwrap();
        for _ in 0..10 {
            let _ = trail.act(&Actor::host(), Action::SecretSet).unwrap();
        }
        let (mut file, mut line, mut found) = (1, 0, Vec::new());
        each(&Folder::new(dir.path()), |entry| {
            if entry.action == Action::AuditSegment.word() {
                (file, line) = (file + 1, 0);
            }
            line += 1;
            found.push((file, line, entry.clone()));
        })
        .unwrap();
        found
    }

    /// What is told of this entry, forged and with a hash that is right, after those before it.
    fn told(at: usize, forge: impl FnOnce(&mut Entry)) -> String {
        let mut entries = honest();
        let mut standing = Standing::default();
        for (file, line, entry) in &entries[..at] {
            follows(&mut standing, *file, *line, entry).unwrap();
        }
        let (file, line, entry) = &mut entries[at];
        forge(entry);
        entry.hash = entry.hashed();
        follows(&mut standing, *file, *line, entry).map_or_else(|told| told, |()| "taken".into())
    }

    #[test]
    fn each_link_of_the_chain_holds_by_itself() {
        let entries = honest();
        let head = entries.iter().position(|(file, ..)| *file == 2).unwrap();
        assert_eq!(told(3, |_| ()), "taken");
        assert!(told(3, |entry| entry.seq = 9).contains("it has number 9"));
        assert!(told(3, |entry| entry.prev = Hash::NONE).contains("does not follow"));
        assert_eq!(told(head, |_| ()), "taken");
        let other = |entry: &mut Entry| {
            let _ = entry.fields.insert("commit".into(), "7".into());
        };
        assert!(told(head, other).contains("of the files before it is not so"));
    }
}
