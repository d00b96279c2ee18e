//! Who runs a database of the tests' own: such servers refuse to be run by root, and read keys that are theirs alone.

use crate::tls::Tls;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// Somebody who is not root.
pub struct Account(Option<(u32, u32)>);

impl Account {
    pub(crate) fn find() -> Self {
        let number = |arguments: &[&str]| -> Option<u32> {
            let output = Command::new("id").args(arguments).output().ok()?;
            String::from_utf8(output.stdout).ok()?.trim().parse().ok()
        };
        if number(&["-u"]) != Some(0) {
            return Self(None);
        }
        let of = |name| Some((number(&["-u", name])?, number(&["-g", name])?));
        Self(Some(
            of("postgres")
                .or_else(|| of("nobody"))
                .expect("an account that is not root's"),
        ))
    }

    pub(crate) fn own(&self, path: &Path) {
        if let Self(Some((user, group))) = self {
            chown(path, Some(*user), Some(*group)).expect("root may give files away");
        }
    }

    pub(crate) fn command(&self, program: &Path, folder: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(folder)
            .env_clear()
            .env("TZ", "UTC")
            .stdin(Stdio::null());
        if let Self(Some((user, group))) = self {
            command.uid(*user).gid(*group);
        }
        command
    }

    /// Writes a certificate for `localhost` into this folder, and its key, signed by an authority of its own: the PEM of
    /// that.
    pub(crate) fn certify(&self, folder: &Path) -> String {
        let tls = Tls::new();
        for (name, text) in [("server.crt", tls.certificate), ("server.key", tls.key)] {
            let file = folder.join(name);
            std::fs::write(&file, text).expect("a file");
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600))
                .expect("a mode");
            self.own(&file);
        }
        tls.authority
    }
}

/// Runs a program that must do what it is for.
pub(crate) fn finish(command: &mut Command) {
    let output = command.output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}
