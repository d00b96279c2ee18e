//! The vault: what one process sets another uses with its next look, nothing of it opens but whole and with its key, and
//! what was acknowledged is there after a `kill -9`.

use sluice_model::ids::SecretName;
use sluice_model::limits::SECRET_BYTES_MAX;
use sluice_model::secret::Secret;
use sluice_state::keys::{KeyFile, KeySource as _, make_key_file};
use sluice_state::vault::{Vault, VaultError};
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const VICTIM: &str = "SLUICE_TEST_VAULT_VICTIM";
const WEEK: Duration = Duration::from_hours(7 * 24);

fn ground() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    make_key_file(&dir.path().join("key")).expect("a key");
    dir
}

fn try_open(dir: &Path, key: &str) -> Result<Vault, VaultError> {
    Vault::open(
        &file(dir),
        &KeyFile {
            path: dir.join(key),
        },
    )
}

fn open(dir: &Path) -> Vault {
    try_open(dir, "key").unwrap_or_else(|error| panic!("{error}"))
}

fn file(dir: &Path) -> PathBuf {
    dir.join("vault")
}

fn name(text: &str) -> SecretName {
    text.parse().expect("a name")
}

fn secret(text: &str) -> Secret {
    Secret::new(text.as_bytes().to_vec())
}

fn used(vault: &Vault, of: &str) -> Option<String> {
    let found = vault.take(&name(of)).expect("a vault that opens");
    found.map(|found| String::from_utf8(found.value.expose().to_vec()).expect("text"))
}

#[test]
fn what_another_process_rotates_is_used_at_once() {
    let dir = ground();
    let (host, operator) = (open(dir.path()), open(dir.path()));
    assert_eq!(used(&host, "token"), None);
    operator
        .set(&name("token"), secret("one"), None)
        .expect("sets");
    assert_eq!(used(&host, "token").as_deref(), Some("one"));
    for round in 0..40 {
        let value = format!("value {round}");
        operator
            .rotate(&name("token"), secret(&value), None, WEEK)
            .expect("rotates");
        assert_eq!(used(&host, "token"), Some(value));
    }
    operator.take_back(&name("token")).expect("takes back");
    assert_eq!(used(&host, "token").as_deref(), Some("value 38"));
    host.rotate(&name("token"), secret("the host's"), None, Duration::ZERO)
        .expect("rotates");
    assert_eq!(used(&operator, "token").as_deref(), Some("the host's"));
    operator.remove(&name("token")).expect("removes");
    assert_eq!(used(&host, "token"), None);
}

/// An operator's value, set while an authorization server answered the host, stays.
#[test]
fn a_renewal_replaces_only_what_it_was_made_of() {
    let dir = ground();
    let (host, operator) = (open(dir.path()), open(dir.path()));
    let token = name("token");
    operator
        .set(&token, secret("one"), Some(u64::MAX))
        .expect("sets");
    assert_eq!(host.renew(&token, &secret("one"), secret("two")), Ok(true));
    let found = operator.look(&token).expect("looks").expect("is there");
    assert_eq!(found.expires_ms, Some(u64::MAX));
    operator
        .rotate(&token, secret("theirs"), None, WEEK)
        .expect("rotates");
    assert_eq!(
        host.renew(&token, &secret("two"), secret("three")),
        Ok(false)
    );
    assert_eq!(used(&host, "token").as_deref(), Some("theirs"));
}

#[test]
fn of_many_who_write_nobody_is_lost() {
    let dir = ground();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let path = dir.path();
            scope.spawn(move || {
                let vault = open(path);
                for number in 0..10 {
                    let of = name(&format!("secret-{writer}-{number}"));
                    vault.set(&of, secret("v"), None).expect("sets");
                }
            });
        }
    });
    assert_eq!(open(dir.path()).list().expect("lists").len(), 40);
}

#[test]
fn what_cannot_be_is_said() {
    let dir = ground();
    let vault = open(dir.path());
    let token = name("token");
    let none = VaultError::None(token.clone());
    assert_eq!(
        vault.rotate(&token, secret("v"), None, WEEK),
        Err(none.clone())
    );
    assert_eq!(vault.remove(&token), Err(none));
    vault.set(&token, secret("v"), None).expect("sets");
    let there = VaultError::There(token.clone());
    assert_eq!(vault.set(&token, secret("w"), None), Err(there));
    assert_eq!(
        vault.take_back(&token),
        Err(VaultError::NoEarlier(token.clone()))
    );
    for size in [0, SECRET_BYTES_MAX as usize + 1] {
        let value = Secret::new(vec![b'x'; size]);
        assert_eq!(
            vault.rotate(&token, value, None, WEEK),
            Err(VaultError::Size)
        );
    }
    assert_eq!(used(&vault, "token").as_deref(), Some("v"));
}

static NOW_MS: AtomicU64 = AtomicU64::new(1_000_000);

#[test]
fn a_secret_is_listed_with_its_dates_and_never_its_value() {
    let dir = ground();
    let vault = open(dir.path()).with_clock(|| NOW_MS.load(Ordering::Relaxed));
    let token = name("token");
    vault
        .set(&token, secret("hunter2"), Some(9_000_000))
        .expect("sets");
    let view = |vault: &Vault| vault.list().expect("lists").remove(0);
    assert_eq!((view(&vault).version, view(&vault).last_used_ms), (1, None));
    NOW_MS.fetch_add(5, Ordering::Relaxed);
    assert_eq!(used(&vault, "token").as_deref(), Some("hunter2"));
    assert_eq!(view(&open(dir.path())).last_used_ms, Some(1_000_005));
    // Known to the hour: a use within it writes nothing.
    let before = fs::metadata(file(dir.path()))
        .expect("there")
        .modified()
        .expect("a time");
    NOW_MS.fetch_add(60_000, Ordering::Relaxed);
    used(&vault, "token");
    let after = fs::metadata(file(dir.path()))
        .expect("there")
        .modified()
        .expect("a time");
    assert_eq!(before, after);
    NOW_MS.fetch_add(3_600_000, Ordering::Relaxed);
    used(&vault, "token");
    assert_eq!(view(&vault).last_used_ms, Some(4_660_005));
    vault
        .rotate(&token, secret("hunter3"), None, WEEK)
        .expect("rotates");
    let now = view(&vault);
    assert_eq!((now.version, now.earlier), (2, 1));
    assert_eq!(
        now.expires_ms,
        Some(4_660_005 + 8_000_000),
        "as long as before"
    );
    let text = format!("{now:?}");
    assert!(!text.contains("hunter"), "{text}");
    // One that is over is found, with its date, and is not noted as used.
    NOW_MS.fetch_add(20_000_000, Ordering::Relaxed);
    assert!(
        vault
            .take(&token)
            .expect("opens")
            .expect("there")
            .expires_ms
            .is_some()
    );
    assert_eq!(view(&vault).last_used_ms, Some(4_660_005));
}

#[test]
fn no_part_of_it_can_be_changed() {
    let dir = ground();
    open(dir.path())
        .set(&name("token"), secret("one"), None)
        .expect("sets");
    let whole = fs::read(file(dir.path())).expect("reads");
    for at in 0..whole.len() {
        for bit in [0, 7] {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << bit;
            fs::write(file(dir.path()), flipped).expect("writes");
            let error = try_open(dir.path(), "key")
                .err()
                .expect("refused")
                .to_string();
            assert!(error.contains("vault"), "byte {at}: {error}");
        }
    }
    for length in 0..whole.len() {
        fs::write(file(dir.path()), &whole[..length]).expect("writes");
        assert!(try_open(dir.path(), "key").is_err(), "{length} bytes");
    }
    fs::write(file(dir.path()), whole).expect("writes");
    assert_eq!(used(&open(dir.path()), "token").as_deref(), Some("one"));
}

#[test]
fn an_older_one_is_refused_by_whoever_saw_the_newer() {
    let dir = ground();
    let vault = open(dir.path());
    vault
        .set(&name("token"), secret("one"), None)
        .expect("sets");
    used(&vault, "token");
    let older = fs::read(file(dir.path())).expect("reads");
    vault
        .rotate(&name("token"), secret("two"), None, WEEK)
        .expect("rotates");
    fs::write(file(dir.path()), older).expect("writes");
    let error = vault
        .take(&name("token"))
        .err()
        .expect("refused")
        .to_string();
    assert!(error.contains("older vault"), "{error}");
    let error = vault
        .set(&name("other"), secret("v"), None)
        .expect_err("refused");
    assert!(error.to_string().contains("older vault"), "{error}");
    fs::remove_file(file(dir.path())).expect("removes");
    let error = vault
        .take(&name("token"))
        .err()
        .expect("refused")
        .to_string();
    assert!(error.contains("removed"), "{error}");
}

#[test]
fn its_key_opens_it_and_may_be_changed() {
    let dir = ground();
    open(dir.path())
        .set(&name("token"), secret("one"), None)
        .expect("sets");
    let next = dir.path().join("next");
    make_key_file(&next).expect("a key");
    let error = try_open(dir.path(), "next")
        .err()
        .expect("another key")
        .to_string();
    assert!(error.contains("the vault is sealed with key"), "{error}");
    let (from, to) = (
        KeyFile {
            path: dir.path().join("key"),
        },
        KeyFile { path: next },
    );
    let to = to
        .keys()
        .unwrap_or_else(|error| panic!("{error}"))
        .remove(0);
    for is_first in [true, false] {
        let done = Vault::rewrap(&file(dir.path()), &from, &to);
        assert_eq!(done, Ok(is_first));
    }
    assert!(try_open(dir.path(), "key").is_err());
    let vault = try_open(dir.path(), "next").unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(used(&vault, "token").as_deref(), Some("one"));
    vault
        .rotate(&name("token"), secret("two"), None, WEEK)
        .expect("rotates");
    assert!(try_open(dir.path(), "key").is_err());
}

#[test]
fn victim() {
    let Ok(dir) = std::env::var(VICTIM) else {
        return;
    };
    let vault = open(Path::new(&dir));
    let token = name("token");
    let mut number = used(&vault, "token").map_or(0, |text| text.parse().expect("a number"));
    loop {
        number += 1u64;
        let value = secret(&number.to_string());
        match number {
            1 => vault.set(&token, value, None).expect("sets"),
            _ => vault.rotate(&token, value, None, WEEK).expect("rotates"),
        }
        let mut out = std::io::stdout().lock();
        writeln!(out, "\nack {number}")
            .and_then(|()| out.flush())
            .expect("the parent reads");
    }
}

#[test]
fn a_kill_loses_no_value_that_was_set() {
    let dir = ground();
    let mut acked = 0u64;
    for round in 0..15 {
        let mut command = Command::new(std::env::current_exe().expect("this binary"));
        command
            .args(["--exact", "victim", "--nocapture"])
            .env(VICTIM, dir.path())
            .stdout(Stdio::piped());
        let mut victim = command.spawn().expect("starts");
        let lines = BufReader::new(victim.stdout.take().expect("piped")).lines();
        let mut seen = 0;
        for line in lines.map_while(Result::ok) {
            if let Some(number) = line.strip_prefix("ack ") {
                acked = number.parse().expect("a number");
                seen += 1;
                if seen == 1 + round % 7 {
                    victim.kill().expect("kills");
                }
            }
        }
        victim.wait().expect("ends");
        let value = used(&open(dir.path()), "token").expect("a value");
        assert!(
            value.parse::<u64>().expect("a number") >= acked,
            "{value} after {acked}"
        );
    }
    assert!(acked > 30, "only {acked} rotations: this proved nothing");
}
