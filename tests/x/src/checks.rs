//! What can be said of the code without running it.

use crate::project::{GUEST_TARGET, Project};
use crate::steps::Steps;
use crate::suite::GUESTS;
use anyhow::Result;

const LINT_STEPS: usize = 4;
const DOCS_STEPS: usize = 1;

pub(crate) fn lint(project: &Project) -> Result<()> {
    let mut steps = Steps::new("lint", LINT_STEPS);
    lint_steps(project, &mut steps)?;
    steps.finish("Nothing to mend");
    Ok(())
}

pub(crate) fn docs(project: &Project) -> Result<()> {
    let mut steps = Steps::new("docs", DOCS_STEPS);
    docs_steps(project, &mut steps)?;
    steps.finish(&format!(
        "Open {}",
        project.short(&project.target.join("doc/sluice_model/index.html"))
    ));
    Ok(())
}

pub(crate) fn ci(project: &Project) -> Result<()> {
    let mut steps = Steps::new("ci", LINT_STEPS + DOCS_STEPS);
    lint_steps(project, &mut steps)?;
    docs_steps(project, &mut steps)?;
    steps.finish("Nothing to mend");
    Ok(())
}

fn lint_steps(project: &Project, steps: &mut Steps) -> Result<()> {
    steps.run(
        "formatting",
        project.cargo(&["fmt", "--all", "--check"]),
        "cargo fmt --all",
    )?;
    let native = project.cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]);
    steps.run(
        "clippy, natively",
        native,
        "mend what it names; an exception is an `expect` with its reason",
    )?;
    let mut guests = project.cargo(&["clippy", "--target", GUEST_TARGET]);
    for name in project.plugins()? {
        guests.arg("-p").arg(format!("sluice-{name}"));
    }
    for name in GUESTS {
        guests.args(["-p", name]);
    }
    guests.args(["--", "-D", "warnings"]);
    steps.run(
        "clippy, for the guests",
        guests,
        "mend what it names: this is how plugins are really compiled",
    )?;
    let deny = project.cargo(&["deny", "--locked", "check", "licenses", "bans", "sources"]);
    let next =
        "cargo install cargo-deny --locked where it is missing; else see the reason in deny.toml";
    steps.run("licences, bans and sources of dependencies", deny, next)
}

fn docs_steps(project: &Project, steps: &mut Steps) -> Result<()> {
    let mut docs = project.cargo(&[
        "doc",
        "--workspace",
        "--no-deps",
        "--document-private-items",
    ]);
    docs.env(
        "RUSTDOCFLAGS",
        "-D warnings -A rustdoc::private_intra_doc_links",
    );
    steps.run(
        "the API documentation",
        docs,
        "mend the link or the example it names",
    )
}
