//! Opening the engine so that it can be trusted. Each step answers a way in which sled 0.34.7 lost data or would not
//! open in crash tests; none is optional.

use super::layout::{COMMIT_KEY, LAYOUT_KEY, LAYOUT_VERSION};
use sluice_model::guards::Guard;
use sluice_model::ports::StoreError;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

/// Fixed when a store is created. A page larger than a quarter of it would be put in a file that sled never syncs.
const SEGMENT_BYTES: usize = 8 << 20;
/// How often a flush that does not come back is looked after.
const ROUSE_EVERY: Duration = Duration::from_millis(500);
/// What the name of a snapshot ends with while sled writes it.
const UNFINISHED: &str = ".generating";
const LOCK_FILE: &str = "lock";
const FORMAT_FILE: &str = "format";
/// There while a store is made for the first time: what stands beside it was never whole.
const CREATING_FILE: &str = "creating";

/// Which of the two stores of a directory. A directory has one of them; the format file says which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Values as they are: what stores were before they were sealed, and are in tests.
    Plain,
    /// Sealed values.
    Sealed,
}

impl Place {
    fn format(self) -> &'static str {
        match self {
            Place::Plain => "sluice state 1\n",
            Place::Sealed => "sluice state 2\n",
        }
    }

    /// A folder of its own for each: one is whole before the other is removed.
    fn folder(self) -> &'static str {
        match self {
            Place::Plain => "store",
            Place::Sealed => "sealed",
        }
    }

    pub(super) fn store(self, dir: &Path) -> PathBuf {
        dir.join(self.folder())
    }
}

/// Sled, open, and what is needed beside it to make a commit durable.
#[derive(Debug, Clone)]
pub(super) struct Engine {
    pub db: sled::Db,
    /// What it was opened with: knows whether a write failed.
    config: sled::Config,
    /// Sled syncs ranges of its log, which does not make the file's growth durable.
    log: std::sync::Arc<File>,
    blobs: PathBuf,
    log_path: PathBuf,
}

impl Engine {
    /// Makes all that was applied durable.
    pub fn sync(&self) -> Result<(), StoreError> {
        let failed = |error: &dyn std::fmt::Display| StoreError::Failed(error.to_string());
        if Guard::StoreFlush.stands() {
            self.flush().map_err(|error| failed(&error))?;
        }
        if Guard::StoreSync.stands() {
            self.log.sync_all().map_err(|error| failed(&error))?;
        }
        self.check_blobs()
    }

    /// Has sled write what it holds, beside a thread that sees to it that this ends. Where sled has begun a write before it
    /// was told to, and that fails, it notes the error and tells nobody who waits (sled 0.34.7, `pagecache/logger.rs`).
    /// Another flush finds the error, ends with it at once, and tells them.
    fn flush(&self) -> sled::Result<usize> {
        let (over, is_over) = sync_channel::<()>(0);
        let (db, config) = (&self.db, &self.config);
        let rouse = move || {
            while is_over
                .recv_timeout(ROUSE_EVERY)
                .is_err_and(|over| over == RecvTimeoutError::Timeout)
            {
                if config.global_error().is_err() {
                    let _ = db.flush(); // Whoever waits is told what it says.
                }
            }
        };
        std::thread::scope(|scope| {
            let rousing = std::thread::Builder::new().name("state-rouser".to_owned());
            let _ = rousing.spawn_scoped(scope, rouse); // Where there is no thread to be had, it is a flush as any.
            let flushed = db.flush();
            drop(over);
            flushed
        })
    }

    /// A file here was never synced by sled.
    fn check_blobs(&self) -> Result<(), StoreError> {
        let mut files =
            fs::read_dir(&self.blobs).map_err(|error| StoreError::Failed(error.to_string()))?;
        if Guard::StoreLog.bars(files.next().is_some()) {
            return Err(StoreError::Failed("a value left the log".to_owned()));
        }
        Ok(())
    }

    /// What it takes on disk, in bytes.
    pub fn bytes(&self) -> u64 {
        fs::metadata(&self.log_path).map_or(0, |metadata| allocated(&metadata))
    }

    /// The number of the last commit.
    pub fn last_commit(&self) -> Result<u64, StoreError> {
        let bytes = self
            .db
            .get(COMMIT_KEY)
            .map_err(|error| StoreError::Failed(error.to_string()))?;
        let bytes = bytes
            .as_deref()
            .and_then(|bytes| <[u8; 8]>::try_from(bytes).ok());
        bytes
            .map(u64::from_be_bytes)
            .ok_or_else(|| StoreError::Failed("the number of its last commit is missing".into()))
    }
}

#[cfg(unix)]
fn allocated(metadata: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::blocks(metadata) * 512
}

#[cfg(not(unix))]
fn allocated(metadata: &fs::Metadata) -> u64 {
    metadata.len()
}

/// Takes the directory for this process, for as long as the file is kept.
pub(crate) fn lock(dir: &Path) -> Result<File, StoreError> {
    crate::durable::private_folder(dir).map_err(|error| unopenable(dir, &error))?;
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(dir.join(LOCK_FILE));
    let file = file.map_err(|error| unopenable(dir, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(StoreError::Locked(dir.display().to_string())),
        Err(fs::TryLockError::Error(error)) => Err(unopenable(dir, &error)),
    }
}

/// Opens what is there, or creates it where nothing ever was. The lock is held.
pub(super) fn open(dir: &Path, place: Place, cache_bytes: u64) -> Result<Engine, StoreError> {
    let store = place.store(dir);
    let found = found(dir)?;
    if let Some(other) = found.filter(|found| *found != place) {
        return Err(StoreError::Unopenable(format!(
            "`{}` says `{}`, and `{}` was expected",
            dir.join(FORMAT_FILE).display(),
            other.format().trim_end(),
            place.format().trim_end()
        )));
    }
    let is_there = store.join("db").exists() && !is_half_made(dir)?;
    if Guard::StoreThere.bars(found.is_some() && !is_there) {
        return Err(StoreError::Unopenable(format!(
            "`{}` has a `{FORMAT_FILE}` file but no `{}`: the data was removed; restore it, or remove the whole directory \
             to begin with nothing",
            dir.display(),
            place.folder()
        )));
    }
    let engine = if is_there {
        settle_snapshots(&store).map_err(|error| unopenable(dir, &error))?;
        start(&store, cache_bytes)?
    } else {
        create(dir, &store, cache_bytes)?
    };
    verify(&engine).map_err(|error| StoreError::Unopenable(error.to_string()))?;
    if written_format(dir)?.is_none() {
        write_format(dir, place).map_err(|error| unopenable(dir, &error))?;
    }
    Ok(engine)
}

/// Makes a store that is whole and durable before it is called one: until then a file says that it is being made, and
/// what a crash leaves beside that file is thrown away.
fn create(dir: &Path, store: &Path, cache_bytes: u64) -> Result<Engine, StoreError> {
    make_room(dir, store).map_err(|error| unopenable(dir, &error))?;
    create_engine(store, cache_bytes, 0)
}

/// A new store whose commits go on from this number.
pub(super) fn create_engine(
    store: &Path,
    cache_bytes: u64,
    last_commit: u64,
) -> Result<Engine, StoreError> {
    let engine = start(store, cache_bytes)?;
    let mut first = sled::Batch::default();
    first.insert(COMMIT_KEY, &last_commit.to_be_bytes());
    first.insert(LAYOUT_KEY, LAYOUT_VERSION);
    engine
        .db
        .apply_batch(first)
        .map_err(|error| StoreError::Unopenable(error.to_string()))?;
    engine.sync()?;
    for part in ["conf", "blobs", ""] {
        sync(&store.join(part)).map_err(|error| unopenable(store, &error))?;
    }
    Ok(engine)
}

fn make_room(dir: &Path, store: &Path) -> io::Result<()> {
    File::create(dir.join(CREATING_FILE))?;
    sync(dir)?;
    // The directory itself may be new.
    if let Some(parent) = dir.canonicalize()?.parent() {
        sync(parent)?;
    }
    remove(store)
}

pub(super) fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Sled's threads let go of its file a moment after it is closed, and a busy machine makes that moment long. Nobody
/// else can hold it, for the directory is locked: so it is waited for.
const RELEASE_WAIT: Duration = Duration::from_millis(20);
/// See [`RELEASE_WAIT`].
const RELEASE_WAITS_MAX: u32 = 500;

pub(super) fn start(store: &Path, cache_bytes: u64) -> Result<Engine, StoreError> {
    let config = sled::Config::new()
        .path(store)
        .flush_every_ms(None)
        .mode(sled::Mode::LowSpace)
        .segment_size(SEGMENT_BYTES)
        .cache_capacity(cache_bytes);
    let mut waits = 0;
    let db = loop {
        match config.open() {
            Err(sled::Error::Io(error)) if is_held(&error) && waits < RELEASE_WAITS_MAX => {
                waits += 1;
                std::thread::sleep(RELEASE_WAIT);
            }
            opened => break opened.map_err(|error| StoreError::Unopenable(error.to_string()))?,
        }
    };
    let log_path = store.join("db");
    let log = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&log_path)
        .map_err(|error| unopenable(store, &error))?;
    Ok(Engine {
        db,
        config,
        log: std::sync::Arc::new(log),
        blobs: store.join("blobs"),
        log_path,
    })
}

/// Sled tells it in words alone, which stay as they are while its version does (test: `a_file_let_go_late_is_waited_for`).
fn is_held(error: &io::Error) -> bool {
    error.to_string().contains("could not acquire lock")
}

pub(super) fn verify(engine: &Engine) -> Result<(), StoreError> {
    engine.check_blobs()?;
    engine.last_commit()?;
    match engine.db.get(LAYOUT_KEY) {
        Ok(Some(version)) if version == LAYOUT_VERSION => Ok(()),
        Ok(Some(version)) => Err(StoreError::Failed(format!(
            "its layout is `{}`, and this version of sluice knows `{}`",
            String::from_utf8_lossy(&version),
            String::from_utf8_lossy(LAYOUT_VERSION)
        ))),
        Ok(None) => Err(StoreError::Failed(
            "the version of its layout is missing".to_owned(),
        )),
        Err(error) => Err(StoreError::Failed(error.to_string())),
    }
}

/// Sled takes a snapshot that it was interrupted in writing for a whole one, and then never opens again: it goes. One
/// that is whole is given its name, which a power cut can take away: by then sled has overwritten what the snapshot
/// before it, which comes back, speaks of.
pub(super) fn settle_snapshots(store: &Path) -> io::Result<()> {
    for entry in fs::read_dir(store)? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        let finished = name.strip_suffix(UNFINISHED);
        let Some(finished) = finished.filter(|name| name.starts_with("snap.")) else {
            continue;
        };
        if Guard::SnapshotWhole.stands() && is_whole(&fs::read(&path)?) {
            fs::rename(&path, store.join(finished))?;
            sync(store)?;
        } else {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// A snapshot ends with its length, 8 bytes, and its CRC-32, 4 (sled 0.34.7, `pagecache/snapshot.rs`).
fn is_whole(snapshot: &[u8]) -> bool {
    let Some((rest, sum)) = snapshot.split_last_chunk::<4>() else {
        return false;
    };
    let Some((bytes, length)) = rest.split_last_chunk::<8>() else {
        return false;
    };
    let is_long_enough = u64::from_le_bytes(*length) == bytes.len() as u64 && !bytes.is_empty();
    is_long_enough && crc32fast::hash(bytes) == u32::from_le_bytes(*sum)
}

/// The store that is whole in this directory; none where none ever was.
pub(crate) fn found(dir: &Path) -> Result<Option<Place>, StoreError> {
    if let Some(place) = written_format(dir)? {
        return Ok(Some(place));
    }
    if is_half_made(dir)? {
        return Ok(None);
    }
    let is_there = |place: &Place| place.store(dir).join("db").exists();
    let there: Vec<Place> = [Place::Plain, Place::Sealed]
        .into_iter()
        .filter(is_there)
        .collect();
    match there[..] {
        [] => Ok(None),
        [place] => Ok(Some(place)),
        _ => Err(StoreError::Unopenable(format!(
            "`{}` is missing, and there are two stores beside it",
            dir.join(FORMAT_FILE).display()
        ))),
    }
}

/// Whether what is there was being made for the first time.
fn is_half_made(dir: &Path) -> Result<bool, StoreError> {
    Ok(written_format(dir)?.is_none() && dir.join(CREATING_FILE).exists())
}

fn written_format(dir: &Path) -> Result<Option<Place>, StoreError> {
    let (plain, sealed) = (Place::Plain, Place::Sealed);
    match fs::read_to_string(dir.join(FORMAT_FILE)) {
        Ok(text) if text == sealed.format() => Ok(Some(sealed)),
        Ok(text) if text == plain.format() => Ok(Some(plain)),
        // Cut short when it was written, which was once done in place: the store was whole by then.
        Ok(text) if plain.format().starts_with(&text) => {
            Ok(Some(plain).filter(|plain| plain.store(dir).exists()))
        }
        Ok(text) => Err(StoreError::Unopenable(format!(
            "`{}` says `{}`, and this version of sluice knows `{}` and `{}`",
            dir.join(FORMAT_FILE).display(),
            text.trim_end(),
            plain.format().trim_end(),
            sealed.format().trim_end()
        ))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unopenable(dir, &error)),
    }
}

/// From here on the store is whole, and the only one.
pub(super) fn write_format(dir: &Path, place: Place) -> io::Result<()> {
    crate::durable::replace(&dir.join(FORMAT_FILE), place.format().as_bytes())?;
    match fs::remove_file(dir.join(CREATING_FILE)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

pub(super) fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

pub(super) fn unopenable(dir: &Path, error: &io::Error) -> StoreError {
    StoreError::Unopenable(format!("`{}`: {error}", dir.display()))
}
