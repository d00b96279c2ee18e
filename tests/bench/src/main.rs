//! `sluice-bench run --work DIR [--records N] [--rounds N]`: makes the orders once and measures the rivals on them.
//! `sluice-bench orders N FILE`: only the orders.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it talks to a person"
)]

use anyhow::{Context, Result, bail};
use sluice_bench::{Subject, interleave, table, write_orders};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

const RECORDS: u64 = 1_000_000;
const ROUNDS: usize = 5;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["orders", count, file] => {
            make_orders(count.parse().context("N is a number")?, Path::new(file))
        }
        ["run", ref options @ ..] => run(options),
        _ => bail!("usage: sluice-bench run --work DIR [--records N] [--rounds N] | orders N FILE"),
    }
}

fn option<'a>(options: &[&'a str], name: &str) -> Option<&'a str> {
    options
        .chunks_exact(2)
        .find(|pair| pair[0] == name)
        .map(|pair| pair[1])
}

fn run(options: &[&str]) -> Result<()> {
    let work = PathBuf::from(option(options, "--work").context("`--work DIR` is missing")?);
    let records = option(options, "--records")
        .map_or(Ok(RECORDS), str::parse)
        .context("`--records` takes a number")?;
    let rounds = option(options, "--rounds")
        .map_or(Ok(ROUNDS), str::parse)
        .context("`--rounds` takes a number")?;
    let input = work.join(format!("orders-{records}.ndjson"));
    if !input.exists() {
        eprintln!("making {records} orders in {}", input.display());
        make_orders(records, &input)?;
    }
    let bytes = input.metadata()?.len();
    let mut subjects = [native(&input, &work.join("native.ndjson"))?];
    let outcomes = interleave(&mut subjects, rounds, |round, name| {
        let what = if round == 0 {
            "warm-up".to_owned()
        } else {
            format!("round {round} of {rounds}")
        };
        eprintln!("{what}: {name}");
    })?;
    println!(
        "{records} orders, {:.0} MB; medians of {rounds} rounds; × is to the first row\n",
        bytes as f64 / 1e6
    );
    print!("{}", table(&outcomes, records));
    Ok(())
}

/// Written beside and then renamed: a run that was stopped leaves no half of a file.
fn make_orders(count: u64, file: &Path) -> Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let part = file.with_extension("part");
    let mut writer = BufWriter::new(
        File::create(&part).with_context(|| format!("cannot write `{}`", part.display()))?,
    );
    write_orders(count, &mut writer)?;
    writer.flush()?;
    std::fs::rename(&part, file)?;
    Ok(())
}

fn native(input: &Path, output: &Path) -> Result<Subject> {
    let program = std::env::current_exe()?
        .with_file_name(format!("native-orders{}", std::env::consts::EXE_SUFFIX));
    if !program.exists() {
        bail!(
            "`{}` is not there\nhint: cargo build --release -p sluice-bench",
            program.display()
        );
    }
    let (input, output) = (input.to_owned(), output.to_owned());
    let command = move || {
        let mut command = Command::new(&program);
        command.arg(&input).arg(&output);
        Ok(command)
    };
    Ok(Subject {
        name: "native, by hand".to_owned(),
        command: Box::new(command),
    })
}
