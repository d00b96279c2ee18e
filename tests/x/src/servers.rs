//! The servers that tests speak to and we do not build: nginx, PostgreSQL, MariaDB, NATS, of npm's an authorization server
//! and Prism, of pip's `localstripe` and one of S3; and strace, which the crash tests need. Installed here, started by the
//! tests themselves.

use crate::project::Project;
use crate::steps::Steps;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Steps that [`prepare`] takes.
pub(crate) const STEPS: usize = 10;

/// The oldest that npm's servers run on.
const NODE_MAJOR_MIN: u32 = 20;

/// Servers of npm's and pip's: a folder of `tests`, with what is in it. Each is installed beside the build output, and
/// the tests are told where by [`tell`].
const BY_NPM: [&str; 2] = ["authorization-server", "prism"];
const NPM_FILES: [&str; 3] = ["package-lock.json", "package.json", "server.mjs"];
/// With what is to be had as source only.
const BY_PIP: [(&str, Option<&str>); 2] = [
    ("localstripe", Some("localstripe")),
    ("object-storage", None),
];
const PIP_FILES: [&str; 2] = ["requirements.txt", "server.py"];

/// Where nginx lies on systems whose users do not have it on their path.
const NGINX_ELSEWHERE: [&str; 3] = [
    "/usr/sbin/nginx",
    "/usr/local/sbin/nginx",
    "/usr/local/nginx/sbin/nginx",
];

/// Where Debian keeps NATS, which is not on every user's path.
const NATS_ELSEWHERE: &str = "/usr/sbin/nats-server";

/// Where Debian keeps PostgreSQL, a folder for each version.
const POSTGRES_VERSIONS: &str = "/usr/lib/postgresql";

/// Where Debian keeps MariaDB, which is not on every user's path.
const MARIADB: &str = "/usr/sbin/mariadbd";
/// What makes its folder, and what speaks to it.
const MARIADB_PROGRAMS: [&str; 2] = ["mariadb-install-db", "mariadb"];

/// Installs what is missing, and returns where nginx is.
pub(crate) fn prepare(project: &Project, steps: &mut Steps) -> Result<PathBuf> {
    let mut found = None;
    steps.act("look for nginx", || {
        let path = nginx(project)?;
        let said = path.display().to_string();
        found = Some(path);
        Ok(said)
    })?;
    steps.act("look for PostgreSQL", || postgres(project))?;
    steps.act("look for MariaDB", || mariadb(project))?;
    steps.act("look for NATS", || nats(project))?;
    steps.act("look for strace", || strace(project))?;
    steps.act("look for node", || node(project))?;
    for name in BY_NPM {
        steps.act(&format!("install {name}"), || by_npm(project, name))?;
    }
    for (name, source) in BY_PIP {
        steps.act(&format!("install {name}"), || by_pip(project, name, source))?;
    }
    found.context("nginx was found")
}

/// The tests run its programs by themselves; a server of the system's own is not touched.
fn mariadb(project: &Project) -> Result<String> {
    let server = || {
        on_path("mariadbd").or_else(|| Some(PathBuf::from(MARIADB)).filter(|path| path.is_file()))
    };
    let is_whole =
        || server().filter(|_| MARIADB_PROGRAMS.iter().all(|name| on_path(name).is_some()));
    if is_whole().is_none() {
        debian(project, "mariadb-server-core mariadb-client-core")?;
    }
    let found = is_whole().context("MariaDB was installed and is not there")?;
    Ok(found.display().to_string())
}

/// The tests run it by themselves, with folders and ports of their own.
fn nats(project: &Project) -> Result<String> {
    let known = || {
        on_path("nats-server")
            .or_else(|| Some(PathBuf::from(NATS_ELSEWHERE)).filter(|path| path.is_file()))
    };
    if known().is_none() {
        debian(project, "nats-server")?;
    }
    let found = known().context("NATS was installed and is not there")?;
    Ok(found.display().to_string())
}

/// What the crash tests look at system calls with.
pub(crate) fn strace(project: &Project) -> Result<String> {
    if on_path("strace").is_none() {
        debian(project, "strace")?;
    }
    let found = on_path("strace").context("strace was installed and is not there")?;
    Ok(found.display().to_string())
}

/// Tells a test where the servers of npm's and pip's are.
pub(crate) fn tell(project: &Project, tests: &mut Command) {
    for name in BY_NPM.into_iter().chain(BY_PIP.map(|(name, _)| name)) {
        let variable = format!("SLUICE_{}", name.to_ascii_uppercase().replace('-', "_"));
        tests.env(variable, project.target.join(name));
    }
}

fn nginx(project: &Project) -> Result<PathBuf> {
    if let Some(found) = on_path("nginx").or_else(elsewhere) {
        return Ok(found);
    }
    debian(project, "nginx-light")?;
    on_path("nginx")
        .or_else(elsewhere)
        .context("nginx was installed and is not there")
}

fn elsewhere() -> Option<PathBuf> {
    let known = NGINX_ELSEWHERE.iter().map(Path::new);
    known
        .filter(|path| path.is_file())
        .map(Path::to_owned)
        .next()
}

/// The tests run its programs by themselves; a cluster of the system's own is not touched.
fn postgres(project: &Project) -> Result<String> {
    let found = || initdb(Path::new(POSTGRES_VERSIONS)).or_else(|| on_path("initdb"));
    if found().is_none() {
        debian(project, "postgresql")?;
    }
    let found = found().context("PostgreSQL was installed and is not there")?;
    Ok(found.display().to_string())
}

/// Of one of the versions in this folder.
fn initdb(versions: &Path) -> Option<PathBuf> {
    let entries = versions.read_dir().into_iter().flatten();
    entries
        .filter_map(|entry| Some(entry.ok()?.path().join("bin/initdb")))
        .find(|file| file.is_file())
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// On a Debian, as root. Elsewhere whoever runs this installs it by hand.
fn debian(project: &Project, package: &str) -> Result<()> {
    let next = format!(
        "next: install it: `apt-get install {package}` as root, or what your system calls it"
    );
    // A package that starts a server on installation must not: the tests start their own.
    let script = format!(
        "printf '#!/bin/sh\\nexit 101\\n' > /tmp/sluice-no-start && chmod +x /tmp/sluice-no-start && \
         [ -e /usr/sbin/policy-rc.d ] || {{ cp /tmp/sluice-no-start /usr/sbin/policy-rc.d; made=1; }}; \
         apt-get update -qq && apt-get install -y -qq --no-install-recommends {package}; code=$?; \
         [ -z \"$made\" ] || rm -f /usr/sbin/policy-rc.d; rm -f /tmp/sluice-no-start; exit $code"
    );
    println!("  $ apt-get install {package}");
    let installed = project
        .command("sh")
        .args(["-c", &script])
        .env("DEBIAN_FRONTEND", "noninteractive")
        .status();
    match installed {
        Ok(status) if status.success() => Ok(()),
        _ => bail!("`{package}` is not installed, and could not be\n  {next}"),
    }
}

fn node(project: &Project) -> Result<String> {
    let next = format!("next: install Node.js {NODE_MAJOR_MIN} or later, with npm");
    if on_path("node").is_none() || on_path("npm").is_none() {
        debian(project, "nodejs npm").context(next.clone())?;
    }
    let said = output(project.command("node").arg("--version")).context(next.clone())?;
    let major = said.trim_start_matches('v').split('.').next();
    match major.and_then(|major| major.parse::<u32>().ok()) {
        Some(major) if major >= NODE_MAJOR_MIN => Ok(format!("node {said}")),
        _ => bail!("node {said} is too old\n  {next}"),
    }
}

/// As its lock file has it. Nothing of it is run on installation.
fn by_npm(project: &Project, name: &str) -> Result<String> {
    install(project, name, &NPM_FILES, |folder| {
        let mut npm = project.command("npm");
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
            .current_dir(folder);
        vec![npm]
    })
    .context("next: look at what npm says; it needs its registry")
}

/// As its requirements have it, in an environment of its own: nothing whose hash does not stand there. Built packages
/// only, but for `source`.
fn by_pip(project: &Project, name: &str, source: Option<&str>) -> Result<String> {
    let has_venv = |mut python: Command| output(python.args(["-c", "import ensurepip"]));
    if has_venv(project.command("python3")).is_err() {
        debian(project, "python3-venv")?;
    }
    install(project, name, &PIP_FILES, |folder| {
        let mut make = project.command("python3");
        make.args(["-m", "venv", "--clear", "venv"])
            .current_dir(folder);
        let mut pip = project.command(folder.join("venv/bin/pip"));
        pip.args(["install", "--quiet", "--only-binary", ":all:"])
            .args(
                source
                    .map(|name| ["--no-binary", name])
                    .into_iter()
                    .flatten(),
            )
            .args(["--require-hashes", "--requirement", PIP_FILES[0]])
            .current_dir(folder);
        vec![make, pip]
    })
    .context("next: look at what pip says; it needs Python 3.11 and the index of packages")
}

/// Copies its files, the first of which says what is to be installed, and installs it where that changed.
fn install(
    project: &Project,
    name: &str,
    files: &[&str],
    commands: impl Fn(&Path) -> Vec<Command>,
) -> Result<String> {
    let (from, to) = (
        project.root.join("tests").join(name),
        project.target.join(name),
    );
    std::fs::create_dir_all(&to).context("cannot make its folder")?;
    for file in files {
        std::fs::copy(from.join(file), to.join(file)).with_context(|| format!("`{file}`"))?;
    }
    let lock = std::fs::read(from.join(files[0])).context("its lock file")?;
    let installed = to.join("installed");
    if std::fs::read(&installed).is_ok_and(|had| had == lock) {
        return Ok("installed already".to_owned());
    }
    for mut command in commands(&to) {
        println!("  $ {}", crate::steps::line(&command));
        output(&mut command)?;
    }
    // Last, so that what broke off is done again.
    std::fs::write(&installed, lock).context("cannot write its mark")?;
    Ok("installed".to_owned())
}

fn output(command: &mut Command) -> Result<String> {
    let line = crate::steps::line(command);
    let output = command
        .output()
        .with_context(|| format!("cannot start `{line}`"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        bail!("`{line}` failed\n{}", text(&output.stderr))
    }
}
