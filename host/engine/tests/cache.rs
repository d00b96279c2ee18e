//! Compiled plugins on disk: used again, not trusted when damaged, and for one user alone.

mod stage;

use sluice_engine::{Engine, EngineError, Settings};
use sluice_model::ids::Role;
use stage::behaviour::Behaviour;
use stage::{Stage, artifact};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Places of a file at which it is damaged.
const DAMAGES: usize = 8;

fn engine(dir: &Path) -> Engine {
    Engine::new(Settings {
        cache_dir: Some(dir.join("cache")),
    })
    .expect("an engine")
}

/// The compiled files: those without an extension.
fn compiled(dir: &Path) -> Vec<PathBuf> {
    let below = |dir: PathBuf| {
        fs::read_dir(dir)
            .expect("a directory")
            .map(|entry| entry.expect("an entry").path())
    };
    below(dir.join("cache/compiled/modules"))
        .flat_map(below)
        .filter(|file| file.extension().is_none())
        .collect()
}

async fn load_and_run(dir: &Path) {
    let plugin = engine(dir)
        .load(&artifact("64MiB", "10s"))
        .await
        .expect("a plugin");
    let stage = Stage::new(Behaviour::Honest, dir);
    plugin
        .source(stage.context(Role::Source))
        .await
        .expect("an instance")
        .check()
        .await
        .expect("a healthy one");
}

#[tokio::test]
async fn a_damaged_file_is_compiled_again() {
    let dir = tempfile::tempdir().expect("a directory");
    load_and_run(dir.path()).await;
    let [file] = &compiled(dir.path())[..] else {
        panic!("one compiled file")
    };
    let sound = fs::read(file).expect("bytes");

    // A file that is compiled again is a new one.
    let number = || fs::metadata(file).expect("metadata").ino();
    let first = number();
    for _ in 0..5 {
        load_and_run(dir.path()).await;
        assert_eq!(number(), first, "used as it is");
    }

    // All over the file: it is packed, and where that breaks no sum is needed to see it.
    for part in 1..=DAMAGES {
        let mut damaged = sound.clone();
        damaged[sound.len() * part / (DAMAGES + 1)] ^= 1;
        fs::write(file, &damaged).expect("written");
        load_and_run(dir.path()).await;
        assert!(
            fs::read(file).expect("bytes") == sound,
            "damage {part}: removed and compiled again"
        );
    }
}

#[tokio::test]
async fn a_file_nobody_vouches_for_is_removed() {
    let dir = tempfile::tempdir().expect("a directory");
    load_and_run(dir.path()).await;
    let [file] = &compiled(dir.path())[..] else {
        panic!("one compiled file")
    };
    let sound = fs::read(file).expect("bytes");
    for entry in fs::read_dir(dir.path().join("cache")).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "sum") {
            fs::remove_file(path).expect("removed");
        }
    }
    fs::write(file, b"not what was compiled").expect("written");
    load_and_run(dir.path()).await;
    assert_eq!(fs::read(file).expect("bytes"), sound);
}

#[tokio::test]
async fn the_directory_is_for_one_user_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    load_and_run(dir.path()).await;
    let mode = fs::metadata(dir.path().join("cache"))
        .expect("metadata")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);

    fs::set_permissions(dir.path().join("cache"), fs::Permissions::from_mode(0o777))
        .expect("permissions");
    let refused = Engine::new(Settings {
        cache_dir: Some(dir.path().join("cache")),
    });
    match refused {
        Err(EngineError::Cache(text)) => assert!(text.contains("others may write it"), "{text}"),
        _ => panic!("a directory that others may write is refused"),
    }
}
