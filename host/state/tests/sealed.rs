//! What sealing does beyond the trait: which key opens what, what is refused and by name, how rows come under new keys,
//! what shredding leaves, and that nothing readable reaches the disk.

use sluice_model::checkpoint::{Checkpoint, Cursor, Mark};
use sluice_model::ids::{PipelineName, Role, SecretName, StageId};
use sluice_model::ports::{
    CommitNumber, Namespace, Pairs, StateBatch, StateStats, StateStore, StateWrite, StoreError,
};
use sluice_model::rejection::{Place, Record, Rejection};
use sluice_model::schema::{Field, FieldType, Schema};
use sluice_model::secret::Secret;
use sluice_state::journal::{self, DeadLetter, Desk, Filter, Pause, PauseKind, Standing, Step};
use sluice_state::keys::{KeyFile, KeySource as _, make_key_file};
use sluice_state::sealed::{self, OpenError, SealedStore, Sealing, Status, Wear};
use sluice_state::vault::Vault;
use sluice_state::{MemStore, Options, SledStore};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const CANARY: &str = "canary-made-up-4111111111111111";

/// Keys stay good for ever, and nothing happens by itself.
const STILL: Sealing = Sealing {
    wear: Wear {
        seals_max: 1 << 24,
        age_ms_max: u64::MAX,
    },
    clock: || 0,
    in_background: false,
};

/// A store in memory whose rows can be tampered with, beneath its seal.
struct Ground {
    dir: tempfile::TempDir,
    below: Arc<MemStore>,
}

impl Ground {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        make_key_file(&dir.path().join("key")).expect("a key");
        Self {
            dir,
            below: Arc::new(MemStore::beneath_a_seal()),
        }
    }

    fn key(&self) -> KeyFile {
        KeyFile {
            path: self.dir.path().join("key"),
        }
    }

    fn sealed(&self, sealing: Sealing) -> SealedStore<Arc<MemStore>> {
        let keyring = self.dir.path().join("keys");
        let store = sealed::above(Arc::clone(&self.below), &keyring, sealing, &self.key());
        store.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Puts these bytes under a row, as whoever has the disk could.
    fn tamper(&self, namespace: Namespace, key: &[u8], bytes: Vec<u8>) {
        let put = StateWrite::Put(namespace, key.to_vec(), bytes);
        self.below.commit(writing(vec![put])).expect("commits");
    }

    fn stored(&self, namespace: Namespace, key: &[u8]) -> Vec<u8> {
        let stored = self.below.get(namespace, key).expect("gets");
        stored.expect("it is there")
    }
}

fn writing(writes: Vec<StateWrite>) -> StateBatch {
    StateBatch {
        expect: vec![],
        writes,
    }
}

fn put(namespace: Namespace, key: &[u8], value: &[u8]) -> StateBatch {
    writing(vec![StateWrite::Put(
        namespace,
        key.to_vec(),
        value.to_vec(),
    )])
}

fn unreadable<T: std::fmt::Debug>(outcome: Result<T, StoreError>, says: &[&str]) {
    let Err(StoreError::Unreadable(told)) = outcome else {
        panic!("{outcome:?}");
    };
    for words in says {
        assert!(told.contains(words), "{told}");
    }
}

#[test]
fn a_row_that_was_changed_moved_or_swapped_is_named() {
    let (ground, here, there) = (Ground::new(), [7; 20], [8; 20]);
    let store = ground.sealed(STILL);
    let (letter, checkpoint) = (Namespace::DeadLetter, Namespace::Checkpoint);
    store
        .commit(put(letter, &here, b"a record"))
        .expect("commits");
    store
        .commit(put(letter, &there, b"another"))
        .expect("commits");
    let (whole, other) = (ground.stored(letter, &here), ground.stored(letter, &there));
    let named = format!("dead letter `{}`", "07".repeat(20));

    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        ground.tamper(letter, &here, flipped);
        unreadable(store.get(letter, &here), &[&named]);
    }
    for (bytes, says) in [
        (other, "belongs elsewhere"),
        (b"a record".to_vec(), "not sealed"),
        (Vec::new(), "not sealed"),
        (whole[..whole.len() - 1].to_vec(), "changed"),
    ] {
        ground.tamper(letter, &here, bytes);
        unreadable(store.get(letter, &here), &[&named, says]);
        unreadable(store.scan(letter, b"", b"", 10), &[&named, says]);
        // Nor is it written over where somebody relies on what it was.
        let mut step = put(letter, &here, b"next");
        step.expect = vec![(letter, here.to_vec(), Some(b"a record".to_vec()))];
        unreadable(store.commit(step), &[&named, says]);
    }
    ground.tamper(checkpoint, &here, whole.clone());
    unreadable(store.get(checkpoint, &here), &["checkpoint", "elsewhere"]);
    ground.tamper(letter, &here, whole);
    assert_eq!(store.get(letter, &here), Ok(Some(b"a record".to_vec())));
}

#[test]
fn an_older_copy_opens_and_fences_whoever_holds_the_row() {
    let (ground, key) = (Ground::new(), [7; 32]);
    let (store, space) = (ground.sealed(STILL), Namespace::Checkpoint);
    store
        .commit(put(space, &key, b"sequence 1"))
        .expect("commits");
    let older = ground.stored(space, &key);
    let step = |from: &[u8], to: &[u8]| {
        let mut step = put(space, &key, to);
        step.expect = vec![(space, key.to_vec(), Some(from.to_vec()))];
        store.commit(step)
    };
    step(b"sequence 1", b"sequence 2").expect("its own step");
    ground.tamper(space, &key, older);
    assert_eq!(store.get(space, &key), Ok(Some(b"sequence 1".to_vec())));
    assert_eq!(step(b"sequence 2", b"sequence 3"), Err(StoreError::Fenced));
}

#[test]
fn the_key_opens_it_and_no_other() {
    let ground = Ground::new();
    ground
        .sealed(STILL)
        .commit(put(Namespace::Meta, b"k", b"v"))
        .expect("commits");
    let other = ground.dir.path().join("other");
    make_key_file(&other).expect("a key");
    let keyring = ground.dir.path().join("keys");
    let open = |path: &Path| {
        let source = KeyFile {
            path: path.to_owned(),
        };
        sealed::above(Arc::clone(&ground.below), &keyring, STILL, &source).map(drop)
    };
    let before = fs::read(&keyring).expect("reads");
    let Err(OpenError::Key(wrong)) = open(&other) else {
        panic!("another key was taken");
    };
    let ids = [ground.key(), KeyFile { path: other }].map(|source| {
        let keys = source.keys().unwrap_or_else(|error| panic!("{error}"));
        keys[0].id().to_string()
    });
    assert!(
        ids.iter().all(|id| wrong.to_string().contains(id)),
        "{wrong}"
    );
    let Err(OpenError::Key(missing)) = open(Path::new("/nowhere/key")) else {
        panic!("no key was taken");
    };
    assert!(missing.is_missing && missing.to_string().contains("no such file"));
    assert_eq!(fs::read(&keyring).expect("reads"), before, "it was changed");
    assert_eq!(
        ground.sealed(STILL).get(Namespace::Meta, b"k"),
        Ok(Some(b"v".to_vec()))
    );
}

#[test]
fn a_store_without_its_keyring_is_not_opened_and_not_begun_anew() {
    let dir = tempfile::tempdir().expect("a directory");
    on_disk(dir.path())
        .commit(put(Namespace::Meta, b"k", b"v"))
        .expect("commits");
    let (keyring, away) = (dir.path().join("state/keys"), dir.path().join("away"));
    fs::rename(&keyring, &away).expect("moves");
    let Err(OpenError::Store(StoreError::Unopenable(told))) = try_open(dir.path()) else {
        panic!("opened without its keys");
    };
    assert!(told.contains("keys") && told.contains("backup"), "{told}");
    assert!(!keyring.exists());
    fs::rename(&away, &keyring).expect("moves");
    let found = on_disk(dir.path()).get(Namespace::Meta, b"k");
    assert_eq!(found, Ok(Some(b"v".to_vec())));
}

fn try_open(dir: &Path) -> Result<SealedStore<SledStore>, OpenError> {
    let path = dir.join("key");
    if !path.exists() {
        make_key_file(&path).expect("a key");
    }
    let options = Options::default();
    sealed::open(&dir.join("state"), options, STILL, &KeyFile { path })
}

fn on_disk(dir: &Path) -> SealedStore<SledStore> {
    try_open(dir).unwrap_or_else(|error| panic!("{error}"))
}

fn worn(seals_max: u64) -> Sealing {
    Sealing {
        wear: Wear {
            seals_max,
            age_ms_max: u64::MAX,
        },
        ..STILL
    }
}

#[test]
fn rows_come_under_new_keys_and_the_old_ones_are_destroyed() {
    let ground = Ground::new();
    let store = ground.sealed(worn(2_000));
    let row = |number: u64| [[9; 16].as_slice(), &number.to_be_bytes()].concat();
    for number in 0..5_000 {
        store
            .commit(put(
                Namespace::DeadLetter,
                &row(number),
                &number.to_be_bytes(),
            ))
            .expect("commits");
    }
    let retired = |store: &SealedStore<Arc<MemStore>>| {
        let keys = store.keys();
        keys.iter()
            .filter(|key| key.status == Status::DecryptOnly)
            .count()
    };
    assert!(retired(&store) >= 2, "{:?}", store.keys());
    let before = ground.stored(Namespace::DeadLetter, &row(0));
    let done = store.reseal().expect("seals anew");
    assert_eq!((done.unreadable, done.keys >= 2), (0, true), "{done:?}");
    assert!(done.rows >= 2_000);
    for number in [0, 1, 2_500, 4_999] {
        let value = store
            .get(Namespace::DeadLetter, &row(number))
            .expect("gets");
        assert_eq!(value, Some(number.to_be_bytes().to_vec()));
    }
    // A row from before opens no more, whoever kept a copy of it.
    ground.tamper(Namespace::DeadLetter, &row(0), before);
    unreadable(
        store.get(Namespace::DeadLetter, &row(0)),
        &["which this store does not have"],
    );
}

#[test]
fn a_damaged_row_keeps_its_key_and_holds_up_no_other() {
    let ground = Ground::new();
    let store = ground.sealed(worn(1_100));
    let row = |number: u64| [[9; 16].as_slice(), &number.to_be_bytes()].concat();
    for number in 0..1_200 {
        store
            .commit(put(Namespace::DeadLetter, &row(number), b"v"))
            .expect("commits");
    }
    let mut damaged = ground.stored(Namespace::DeadLetter, &row(5));
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    ground.tamper(Namespace::DeadLetter, &row(5), damaged);
    let done = store.reseal().expect("seals anew");
    assert_eq!((done.unreadable, done.keys), (1, 0));
    assert!(done.rows > 1_000);
}

static NOW_MS: AtomicU64 = AtomicU64::new(0);

#[test]
fn in_the_background_old_keys_go_while_guards_hold() {
    let ground = Ground::new();
    let sealing = Sealing {
        wear: Wear {
            seals_max: 1_500,
            age_ms_max: 1_000,
        },
        clock: || NOW_MS.load(Ordering::Relaxed),
        in_background: true,
    };
    let store = ground.sealed(sealing);
    let (space, key) = (Namespace::Checkpoint, [3; 32]);
    let mut held = None;
    for step in 0..8_000u64 {
        NOW_MS.fetch_add(1, Ordering::Relaxed);
        let value = step.to_be_bytes().to_vec();
        let mut batch = put(space, &key, &value);
        batch.expect = vec![(space, key.to_vec(), held.clone())];
        let letter = [[3; 16].as_slice(), &(step % 200).to_be_bytes()].concat();
        batch.writes.push(StateWrite::Put(
            Namespace::DeadLetter,
            letter,
            value.clone(),
        ));
        store.commit(batch).expect("sealing anew fences nobody");
        held = Some(value);
    }
    drop(store);
    let store = ground.sealed(sealing);
    assert_eq!(store.get(space, &key), Ok(held));
    let letters = store.scan(Namespace::DeadLetter, b"", b"", 1_000);
    assert_eq!(letters.expect("every one opens").len(), 200);
    // In the background, so on a busy machine some time after.
    let began = std::time::Instant::now();
    while store.keys().len() >= 16 {
        assert!(
            began.elapsed().as_secs() < 30,
            "old keys were never destroyed: {:?}",
            store.keys()
        );
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn what_is_shredded_is_gone_and_what_is_beside_it_is_not() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = on_disk(dir.path());
    let (ours, theirs) = (fill(&store, "ours"), fill(&store, "theirs"));
    let shred = store.shred(&ours).expect("shreds");
    assert_eq!(
        (shred.checkpoints, shred.dead_letters, shred.schemas),
        (1, 3, 1)
    );
    assert_eq!(shred.keys, 3);
    assert_eq!(left(&store, &ours), (0, 0, 0));
    assert_eq!(left(&store, &theirs), (1, 3, 1));
    drop(store);
    // And it may begin anew, with numbers that were never given out.
    let store = on_disk(dir.path());
    assert_eq!(left(&store, &ours), (0, 0, 0));
    assert!(number(&store, &ours) > 3);
    fill(&store, "ours");
    assert_eq!(left(&store, &ours), (1, 3, 1));
}

#[test]
fn a_shredded_row_that_is_put_back_is_told_as_such() {
    let ground = Ground::new();
    let store = ground.sealed(STILL);
    let ours = fill(&store, "ours");
    let rows = ground
        .below
        .scan(Namespace::DeadLetter, b"", b"", 10)
        .expect("scans");
    store.shred(&ours).expect("shreds");
    for (key, bytes) in rows {
        ground.tamper(Namespace::DeadLetter, &key, bytes);
        unreadable(store.get(Namespace::DeadLetter, &key), &["it was shredded"]);
    }
    assert_eq!(store.shred(&ours).expect("once more").dead_letters, 3);
}

/// A store whose disk fails from a moment on.
struct Failing {
    below: Arc<MemStore>,
    fails: AtomicBool,
}

impl StateStore for Failing {
    fn commit(&self, batch: StateBatch) -> Result<CommitNumber, StoreError> {
        if self.fails.load(Ordering::Relaxed) {
            return Err(StoreError::Failed("as the test wants it".to_owned()));
        }
        self.below.commit(batch)
    }
    fn get(&self, namespace: Namespace, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.below.get(namespace, key)
    }
    fn scan(
        &self,
        namespace: Namespace,
        prefix: &[u8],
        after: &[u8],
        limit: usize,
    ) -> Result<Pairs, StoreError> {
        self.below.scan(namespace, prefix, after, limit)
    }
    fn stats(&self) -> StateStats {
        self.below.stats()
    }
}

#[test]
fn a_crash_between_keys_and_rows_is_mended_when_the_store_is_opened() {
    let ground = Ground::new();
    let failing = Arc::new(Failing {
        below: Arc::clone(&ground.below),
        fails: AtomicBool::new(false),
    });
    let keyring = ground.dir.path().join("keys");
    let store = sealed::above(Arc::clone(&failing), &keyring, STILL, &ground.key());
    let store = store.unwrap_or_else(|error| panic!("{error}"));
    let ours = fill(&store, "ours");
    failing.fails.store(true, Ordering::Relaxed);
    store.shred(&ours).expect_err("its rows cannot be removed");
    let letters = journal::dead_letters(&store, &ours, &Filter::default(), 0, 10);
    let told = letters.expect_err("its keys are destroyed").to_string();
    assert!(told.contains("it was shredded"), "{told}");
    drop(store);
    let rows = ground.below.scan(Namespace::DeadLetter, b"", b"", 10);
    assert_eq!(rows.expect("scans").len(), 3, "nothing was left to mend");
    let store = ground.sealed(STILL);
    assert_eq!(left(&store, &ours), (0, 0, 0));
    assert!(number(&store, &ours) > 3);
}

fn name<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("a name")
}

fn letter(pipeline: &PipelineName, number: u64) -> DeadLetter {
    let stage = StageId {
        role: Role::Source,
        index: 0,
    };
    DeadLetter {
        number,
        pipeline: pipeline.clone(),
        split: name("split"),
        run: "1".to_owned(),
        mark: Mark {
            epoch: 1,
            sequence: 1,
        },
        plugin: name("sluice/files"),
        at_ms: 0,
        rejection: Rejection {
            stage,
            stream: name("rows"),
            code: "wrong-type".to_owned(),
            message: CANARY.to_owned(),
            place: Place::default(),
            record: Record::Raw(CANARY.as_bytes().to_vec()),
            csv: None,
            truncated: false,
            removal: false,
            given: None,
            also: Vec::new(),
            identity: None,
        },
        standing: Standing::Waiting,
        attempts: 0,
        attempt: None,
        edits: 0,
        edited: None,
    }
}

/// The next number that a dead letter of this pipeline gets.
fn number(store: &dyn StateStore, pipeline: &PipelineName) -> u64 {
    let numbers = Desk::default().reserve(store, pipeline, 1);
    numbers.expect("numbers").first
}

/// A pipeline with a checkpoint, three dead letters and a schema.
fn fill(store: &dyn StateStore, pipeline: &str) -> PipelineName {
    let pipeline: PipelineName = name(pipeline);
    let numbers = Desk::default().reserve(store, &pipeline, 3);
    let numbers = numbers.expect("numbers");
    let letters: Vec<DeadLetter> = (numbers.first..=numbers.last)
        .map(|number| letter(&pipeline, number))
        .collect();
    let held = journal::hold(store, &pipeline, &name("split")).expect("holds");
    let next = Checkpoint {
        epoch: 1,
        place: Some(Cursor::from(CANARY.as_bytes().to_vec())),
        ..Checkpoint::default()
    };
    let mut step = Step::to(next, 0);
    step.letters = &letters;
    let desk = Desk::default();
    let mut steps = held.steps(store, &desk, &step).expect("reads");
    let (mut batch, _) = steps.next().expect("a batch");
    let field = Field::new(CANARY, FieldType::Text, true);
    let schema = Schema::new(vec![field], vec![]).expect("a schema");
    let record = journal::SchemaRecord {
        pipeline: pipeline.clone(),
        stream: name("rows"),
        schema,
        updated_ms: 0,
    };
    journal::put_schema(&mut batch, &record);
    let pause = Pause {
        why: PauseKind::Quarantined,
        reason: CANARY.to_owned(),
        mend: None,
        by: "a person".to_owned(),
        since_ms: 0,
        plugin: None,
    };
    journal::put_pause(&mut batch, &pipeline, &pause);
    store.commit(batch).expect("commits");
    pipeline
}

/// Checkpoints, dead letters and schemas of a pipeline. Its account and its pause are there as long as they are.
fn left(store: &dyn StateStore, pipeline: &PipelineName) -> (usize, usize, usize) {
    let account = journal::account(store, pipeline).expect("reads");
    let is_paused = journal::pause(store, pipeline).expect("reads").is_some();
    let (checkpoints, _) = journal::checkpoints(store, pipeline, None, 10).expect("reads");
    let letters = journal::dead_letters(store, pipeline, &Filter::default(), 0, 10);
    let schemas = journal::schemas(store, pipeline).expect("reads");
    let letters = letters.expect("reads").len();
    assert_eq!(account.waiting, letters as u64);
    assert_eq!(is_paused, letters > 0);
    (checkpoints.len(), letters, schemas.len())
}

/// Every file below a folder, with what it holds.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("lists") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push((path.clone(), fs::read(&path).expect("reads")));
            }
        }
    }
    found
}

/// Files in which any of these stands.
fn standing_in(folder: &Path, needles: &[&[u8]]) -> Vec<PathBuf> {
    let holds =
        |bytes: &[u8], needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    let mut found = files(folder);
    found.retain(|(_, bytes)| needles.iter().any(|needle| holds(bytes, needle)));
    found.into_iter().map(|(path, _)| path).collect()
}

#[test]
fn nothing_readable_reaches_the_disk() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("key");
    let store = on_disk(dir.path());
    fill(&store, "pipeline-made-up");
    let vault = Vault::open(&dir.path().join("vault"), &KeyFile { path });
    let vault = vault.unwrap_or_else(|error| panic!("{error}"));
    let secret: SecretName = name("secret-made-up");
    let value = |text: &str| Secret::new(text.as_bytes().to_vec());
    vault.set(&secret, value(CANARY), None).expect("sets");
    let week = std::time::Duration::from_hours(7 * 24);
    vault
        .rotate(&secret, value(CANARY), None, week)
        .expect("rotates");
    drop(store);
    let encoded = "Y2FuYXJ5LW1hZGUtdX"; // The canary in base64, as far as all its alignments agree.
    let needles = [
        CANARY,
        encoded,
        "secret-made-up",
        "pipeline-made-up",
        "wrong-type",
    ];
    let needles = needles.map(str::as_bytes);
    assert_eq!(standing_in(dir.path(), &needles), Vec::<PathBuf>::new());
    assert!(files(dir.path()).len() > 4, "nothing was looked through");
    // The same bytes are found where they are not sealed: the scan is not blind.
    let plain = tempfile::tempdir().expect("a directory");
    let store = SledStore::open(plain.path(), Options::default()).expect("opens");
    fill(&store, "pipeline-made-up");
    drop(store);
    assert_eq!(standing_in(plain.path(), &needles).len(), 1);
}

#[test]
fn a_plain_store_is_sealed_whole_and_leaves_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let state = dir.path().join("state");
    let store = SledStore::open(&state, Options::default()).expect("opens");
    let pipeline = fill(&store, "ours");
    let large = vec![b'x'; 300_000];
    for number in 0..500u64 {
        let mut key = vec![1; 16];
        key.extend(number.to_be_bytes());
        let value = if number % 100 == 0 {
            &large[..]
        } else {
            CANARY.as_bytes()
        };
        store
            .commit(put(Namespace::DeadLetter, &key, value))
            .expect("commits");
    }
    let everything = |store: &dyn StateStore| {
        [
            Namespace::Checkpoint,
            Namespace::DeadLetter,
            Namespace::Meta,
        ]
        .map(|space| store.scan(space, b"", b"", 10_000).expect("scans"))
    };
    let (before, number) = (everything(&store), store.stats().last_commit);
    drop(store);
    let store = on_disk(dir.path());
    assert!(everything(&store) == before, "something is lost");
    assert!(
        store.stats().last_commit >= number,
        "the store seems rolled back"
    );
    assert_eq!(left(&store, &pipeline), (1, 3, 1));
    drop(store);
    assert!(!state.join("store").exists());
    assert_eq!(
        standing_in(dir.path(), &[CANARY.as_bytes()]),
        Vec::<PathBuf>::new()
    );
    let again = SledStore::open(&state, Options::default());
    assert!(
        matches!(again, Err(StoreError::Unopenable(_))),
        "opened without its key"
    );
    assert!(everything(&on_disk(dir.path())) == before);
}

#[test]
fn what_a_crash_left_of_sealing_a_store_is_begun_anew_or_finished() {
    let dir = tempfile::tempdir().expect("a directory");
    let state = dir.path().join("state");
    let store = SledStore::open(&state, Options::default()).expect("opens");
    let pipeline = fill(&store, "ours");
    drop(store);
    // Before the rename: half a store, which was never the one.
    fs::create_dir_all(state.join("sealed")).expect("a folder");
    fs::write(state.join("sealed/db"), b"half").expect("writes");
    let plain = tempfile::tempdir().expect("a directory");
    for (path, bytes) in files(&state.join("store")) {
        let to = plain.path().join(path.strip_prefix(&state).expect("below"));
        fs::create_dir_all(to.parent().expect("a folder")).expect("folders");
        fs::write(to, bytes).expect("writes");
    }
    assert_eq!(left(&on_disk(dir.path()), &pipeline), (1, 3, 1));
    // After it: the old store, not removed yet.
    fs::rename(plain.path().join("store"), state.join("store")).expect("moves");
    assert!(!standing_in(dir.path(), &[CANARY.as_bytes()]).is_empty());
    assert_eq!(left(&on_disk(dir.path()), &pipeline), (1, 3, 1));
    assert_eq!(
        standing_in(dir.path(), &[CANARY.as_bytes()]),
        Vec::<PathBuf>::new()
    );
}

/// Whoever can write to the directory and has no key: a store of his own, and the one line that says which store counts.
#[test]
fn a_plain_store_in_the_place_of_a_sealed_one_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let state = dir.path().join("state");
    on_disk(dir.path())
        .commit(put(Namespace::Meta, b"k", b"ours"))
        .expect("commits");
    let theirs = dir.path().join("theirs");
    let forged = SledStore::open(&theirs, Options::default()).expect("opens");
    forged
        .commit(put(Namespace::Meta, b"k", b"forged"))
        .expect("commits");
    drop(forged);
    fs::rename(theirs.join("store"), state.join("store")).expect("moves");
    let sealed = fs::read(state.join("format")).expect("reads");
    let with_format = |format: Option<&[u8]>| {
        match format {
            Some(format) => fs::write(state.join("format"), format).expect("writes"),
            None => fs::remove_file(state.join("format")).expect("removes"),
        }
        let Err(OpenError::Store(StoreError::Unopenable(told))) = try_open(dir.path()) else {
            panic!("a plain store was taken for the sealed one");
        };
        told
    };
    let told = with_format(Some(b"sluice state 1\n"));
    assert!(told.contains("not encrypted"), "{told}");
    fs::rename(state.join("sealed"), dir.path().join("away")).expect("moves");
    with_format(None);
    fs::rename(dir.path().join("away"), state.join("sealed")).expect("moves");
    fs::write(state.join("format"), sealed).expect("writes");
    let found = on_disk(dir.path()).get(Namespace::Meta, b"k");
    assert_eq!(found, Ok(Some(b"ours".to_vec())), "nothing was removed");
}
