//! `sluice-bench run --host BINARY --plugins DIR --work DIR [--hostile FILE] [--quick] [NAME…]`: measures what is named,
//! or all. `--hostile` is the component of the hostile plugin, which `beside` and `served` need.
//! `sluice-bench orders N DIR`: only the orders.

#![expect(clippy::print_stdout, reason = "it talks to a person")]

use anyhow::{Context, Result, bail};
use sluice_bench::{
    Host, beside, decision, job, kernels, load, make_orders, memory, requests, served, start,
    tables,
};
use std::path::{Path, PathBuf};
use std::time::Duration;

const USAGE: &str = "usage: sluice-bench run --host BINARY --plugins DIR --work DIR [--hostile FILE] [--quick] \
                     [job|kernels|start|decision|requests|beside|served|tables|memory …] | orders N DIR";
const NAMES: [&str; 9] = [
    "job", "kernels", "start", "decision", "requests", "beside", "served", "tables", "memory",
];

/// How much is measured.
struct Sizes {
    job_records: u64,
    job_rounds: usize,
    kernel_records: u64,
    kernel_rounds: usize,
    starts: usize,
    decision_rounds: usize,
    request_pages: usize,
    request_rounds: usize,
    beside_records: u64,
    beside_rounds: usize,
    served_records: u64,
    served_window: Duration,
    served_rounds: usize,
    table_rows: u64,
    table_rounds: usize,
    /// About 340 bytes each.
    memory_records: u64,
}

const WHOLE: Sizes = Sizes {
    job_records: 500_000,
    job_rounds: 5,
    kernel_records: 100_000,
    kernel_rounds: 15,
    starts: 20,
    decision_rounds: 200,
    request_pages: 5_000,
    request_rounds: 7,
    beside_records: 1_000_000,
    beside_rounds: 5,
    served_records: 2_000_000,
    served_window: Duration::from_secs(15),
    served_rounds: 5,
    table_rows: 1_000_000,
    table_rounds: 3,
    memory_records: 6_000_000,
};
const QUICK: Sizes = Sizes {
    job_records: 100_000,
    job_rounds: 3,
    kernel_records: 30_000,
    kernel_rounds: 5,
    starts: 5,
    decision_rounds: 20,
    request_pages: 1_000,
    request_rounds: 3,
    beside_records: 200_000,
    beside_rounds: 3,
    served_records: 1_000_000,
    served_window: Duration::from_secs(4),
    served_rounds: 1,
    table_rows: 100_000,
    table_rounds: 1,
    memory_records: 1_000_000,
};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["orders", count, folder] => {
            let file = make_orders(count.parse().context("N is a number")?, Path::new(folder))?;
            println!("{}", file.display());
            Ok(())
        }
        ["run", ref options @ ..] => run(options),
        _ => bail!(USAGE),
    }
}

fn run(options: &[&str]) -> Result<()> {
    let (mut binary, mut plugins, mut work, mut hostile) = (None, None, None, None);
    let (mut sizes, mut names) = (WHOLE, Vec::new());
    let mut options = options.iter();
    while let Some(option) = options.next() {
        let mut path = || options.next().map(PathBuf::from).context(USAGE);
        match *option {
            "--host" => binary = Some(path()?),
            "--plugins" => plugins = Some(path()?),
            "--work" => work = Some(path()?),
            "--hostile" => hostile = Some(path()?),
            "--quick" => sizes = QUICK,
            name if NAMES.contains(&name) => names.push(name),
            other => bail!("`{other}` is not a measurement\n{USAGE}"),
        }
    }
    let (Some(binary), Some(plugins), Some(work)) = (binary, plugins, work) else {
        bail!(USAGE);
    };
    let host = Host {
        binary: binary.canonicalize().context("`--host`")?,
        plugins: plugins.canonicalize().context("`--plugins`")?,
    };
    for name in NAMES
        .iter()
        .filter(|name| names.is_empty() || names.contains(name))
    {
        let before = load();
        let text = match *name {
            "job" => job(&host, &work, sizes.job_records, sizes.job_rounds)?,
            "kernels" => kernels(&host, &work, sizes.kernel_records, sizes.kernel_rounds)?,
            "start" => start(&host, &work, sizes.starts)?,
            "decision" => decision(sizes.decision_rounds)?,
            "requests" => requests(&host, &work, sizes.request_pages, sizes.request_rounds)?,
            "beside" | "served" => {
                let hostile = hostile
                    .as_ref()
                    .with_context(|| format!("`{name}` needs `--hostile FILE`"))?;
                if *name == "beside" {
                    let (records, rounds) = (sizes.beside_records, sizes.beside_rounds);
                    beside(&host, hostile, &work, records, rounds)?
                } else {
                    let (records, rounds) = (sizes.served_records, sizes.served_rounds);
                    served(&host, hostile, &work, records, sizes.served_window, rounds)?
                }
            }
            "tables" => tables(&host, &work, sizes.table_rows, sizes.table_rounds)?,
            _ => memory(&host, &work, sizes.memory_records)?,
        };
        println!("\n{text}({before} before, {} after)", load());
    }
    Ok(())
}
