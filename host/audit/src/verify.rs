//! Whether a trail is what hosts wrote, and all of it: entry by entry, checkpoint by checkpoint, and against what was
//! kept elsewhere. The first thing that is wrong is named.

use crate::copy::differs;
use crate::error::AuditError;
use crate::folder::{Folder, contents};
use crate::hash::Hash;
use crate::key::PublicKey;
use crate::note::Note;
use crate::read::Entries;
use crate::standing::Standing;
use serde::Serialize;
use sluice_model::guards::Guard;
use std::path::PathBuf;

/// What is wrong with a trail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "finding", rename_all = "kebab-case")]
pub enum Finding {
    /// A file of the trail is not there.
    #[error("`{file:08}.log` is not there")]
    MissingFile {
        /// Its number.
        file: u32,
    },
    /// An entry was changed, put in, taken out or moved.
    #[error("entry {seq} (`{file:08}.log`, line {line}) is not what was written: {why}")]
    BadEntry {
        /// Its file.
        file: u32,
        /// Its line there.
        line: u64,
        /// The number it should have.
        seq: u64,
        /// What is wrong with it.
        why: String,
    },
    /// A checkpoint was changed, or what it covers was.
    #[error("{why}")]
    BadCheckpoint {
        /// What is wrong.
        why: String,
    },
    /// Entries are missing at the end.
    #[error("it ends after entry {have}, and {by} knows of {told}: its end was cut off")]
    CutTail {
        /// Entries there are.
        have: u64,
        /// Entries there were.
        told: u64,
        /// Who knows.
        by: String,
    },
    /// No checkpoint covers what one must.
    #[error("no signed checkpoint covers it: checkpoints were taken away")]
    Unsigned,
    /// It is signed, but not by the key that is trusted.
    #[error("its key is `{found}`, and `{wanted}` is the one to trust")]
    WrongKey {
        /// The key that was to sign.
        wanted: String,
        /// The key that does.
        found: String,
    },
    /// A checkpoint that was kept elsewhere is of another history.
    #[error("it is not what {by} was taken of: its first {size} entries are others")]
    Forked {
        /// Entries the checkpoint covers.
        size: u64,
        /// Which checkpoint.
        by: String,
    },
    /// The copy says something else.
    #[error("`{file:08}.log`, line {line}: the copy says something else")]
    CopyDiffers {
        /// The file.
        file: u32,
        /// The first line that differs.
        line: u64,
    },
    /// The copy has more.
    #[error("`{file:08}.log` is longer in the copy: its end was cut off")]
    CutFile {
        /// The file.
        file: u32,
    },
    /// The second place holds nothing.
    #[error("the copy `{dir}` is not there, or is empty")]
    MissingCopy {
        /// Where it should be.
        dir: String,
    },
    /// The state store is older than the trail.
    #[error(
        "the state store is at commit {store}, and the trail has seen {trail}: the store was rolled back"
    )]
    RolledBack {
        /// Where the store is.
        store: u64,
        /// Where it was.
        trail: u64,
    },
}

/// What a trail is held against.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    /// The key that must sign its end, as text; what stands beside the trail where none is given.
    pub key: Option<String>,
    /// Texts of checkpoints that were kept elsewhere, each with its name.
    pub checkpoints: Vec<(String, Vec<u8>)>,
    /// The second place.
    pub copy: Option<PathBuf>,
    /// Where the state store is.
    pub store_commit: Option<u64>,
}

/// A trail that holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Entries.
    pub entries: u64,
    /// Files they stand in.
    pub files: usize,
    /// Signed checkpoints.
    pub checkpoints: usize,
    /// Entries at the end that none covers yet.
    pub unsigned: u64,
    /// What all entries hash to.
    pub root: Hash,
    /// The key that signs.
    pub key: String,
    /// The last commit of the state store that an entry tells of.
    pub commit: Option<u64>,
    /// Whether it ends in the middle of a line, as a crash leaves it.
    pub torn: bool,
}

/// A checkpoint, and who knows of it.
struct Known {
    note: Note,
    by: Option<String>,
}

/// Goes through all of a trail.
pub fn verify(folder: &Folder, trust: &Trust) -> Result<Verdict, AuditError> {
    // What grows last is read first: a host may be writing.
    let copied = match &trust.copy {
        Some(dir) => copies(&Folder::new(dir))?,
        None => Vec::new(),
    };
    let wanted = wanted_key(folder, trust)?;
    let known = known(folder, trust)?;
    let checkpoints = known.iter().filter(|known| known.by.is_none()).count();
    let mut due = known.iter().peekable();
    let mut entries = Entries::of(folder)?;
    let mut signed = 0;
    loop {
        while let Some(known) = due.next_if(|known| known.note.size() <= entries.standing().size())
        {
            signed = known.note.size();
            hold(entries.standing_mut(), known)?;
        }
        if entries.next()?.is_none() {
            break;
        }
    }
    let standing = entries.standing();
    if let Some(known) = due.next().filter(|_| Guard::TrailTail.stands()) {
        return Err(Finding::CutTail {
            have: standing.size(),
            told: known.note.size(),
            by: known
                .by
                .clone()
                .unwrap_or_else(|| "its signed checkpoint".to_owned()),
        }
        .into());
    }
    if Guard::TrailSigned.bars(checkpoints == 0) {
        return Err(Finding::Unsigned.into());
    }
    let key = standing.key().map(PublicKey::text).unwrap_or_default();
    if Guard::TrailKey.bars(key != wanted) {
        return Err(Finding::WrongKey { wanted, found: key }.into());
    }
    for (number, theirs) in copied {
        let ours = contents(&folder.segment(number))?;
        if Guard::CopyDiffers.bars(!ours.starts_with(&theirs)) {
            return Err(differs(number, &ours, &theirs).into());
        }
    }
    match (trust.store_commit, standing.commit) {
        (Some(store), Some(trail)) if Guard::StoreRollback.bars(store < trail) => {
            return Err(Finding::RolledBack { store, trail }.into());
        }
        _ => {}
    }
    Ok(Verdict {
        entries: standing.size(),
        files: folder.segments()?.len(),
        checkpoints,
        unsigned: standing.size() - signed,
        root: standing.tree.root(),
        key,
        commit: standing.commit,
        torn: entries.torn(),
    })
}

fn hold(standing: &mut Standing, known: &Known) -> Result<(), Finding> {
    let held = standing.holds(&known.note);
    match &known.by {
        None => held.map_err(|why| Finding::BadCheckpoint { why }),
        Some(by) => held.map_err(|_| Finding::Forked {
            size: known.note.size(),
            by: by.clone(),
        }),
    }
}

fn wanted_key(folder: &Folder, trust: &Trust) -> Result<String, AuditError> {
    let text = match &trust.key {
        Some(key) => key.clone(),
        None => String::from_utf8_lossy(&contents(&folder.public_key())?).into_owned(),
    };
    let key = PublicKey::parse(&text).ok_or_else(|| AuditError::Key {
        file: folder.public_key().display().to_string(),
        reason: "there is no public key to hold the trail against".to_owned(),
    })?;
    Ok(key.text())
}

/// Its own checkpoints, those of its copy, and those that were given, the smallest first.
fn known(folder: &Folder, trust: &Trust) -> Result<Vec<Known>, AuditError> {
    let bad = |why: String| Finding::BadCheckpoint { why };
    let (own, _) = Note::parse_all(&contents(&folder.checkpoints())?).map_err(bad)?;
    if own.is_sorted_by(|one, next| one.size() < next.size()) {
        let mut given = trust.checkpoints.clone();
        if let Some(dir) = &trust.copy {
            given.push((
                "the copy's checkpoint".to_owned(),
                contents(&Folder::new(dir).checkpoints())?,
            ));
        }
        let mut known: Vec<Known> = own
            .into_iter()
            .map(|note| Known { note, by: None })
            .collect();
        for (name, text) in given {
            let (notes, _) = Note::parse_all(&text).map_err(|why| bad(format!("{name}: {why}")))?;
            known.extend(notes.into_iter().map(|note| Known {
                note,
                by: Some(name.clone()),
            }));
        }
        known.sort_by_key(|known| known.note.size());
        Ok(known)
    } else {
        Err(bad("checkpoints are not in order".to_owned()).into())
    }
}

fn copies(copy: &Folder) -> Result<Vec<(u32, Vec<u8>)>, AuditError> {
    let numbers = copy.segments()?;
    if Guard::CopyGone.bars(numbers.is_empty()) {
        let dir = copy.path().display().to_string();
        return Err(Finding::MissingCopy { dir }.into());
    }
    numbers
        .into_iter()
        .map(|number| Ok((number, contents(&copy.segment(number))?)))
        .collect()
}
