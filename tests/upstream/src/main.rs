//! The server as a process of its own, for the demo and for trying things by hand. It says where it listens, obeys
//! lines on its standard input, and ends when that ends: it cannot outlive whoever started it.
//!
//! `fail COUNT STATUS [SECONDS]` scripts failures, `counts` tells what arrived, as one line of JSON.

use anyhow::{Context, bail};
use clap::Parser;
use serde_json::Value;
use sluice_upstream::{Auth, Options, Upstream};
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An HTTP API over records in memory, on 127.0.0.1 and a free port.
#[derive(Parser)]
struct Arguments {
    /// Ask every request for `Authorization: Bearer TOKEN`.
    #[arg(long)]
    token: Option<String>,
    /// Fill a collection with the records of an NDJSON file; may be given again.
    #[arg(long, value_name = "COLLECTION=FILE")]
    seed: Vec<String>,
    /// Refuse records where this field holds this text, with 422; may be given again.
    #[arg(long, value_name = "FIELD=VALUE")]
    refuse: Vec<String>,
    /// Take each record's idempotency key from this field rather than from the header.
    #[arg(long, value_name = "FIELD")]
    key_field: Option<String>,
    /// Write each collection to DIR/COLLECTION.ndjson at the end.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let upstream = Upstream::start(options(&arguments)?)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "listening on {}", upstream.address())?;
    out.flush()?;
    for line in std::io::stdin().lock().lines() {
        let said = obey(&upstream, &line?).unwrap_or_else(|error| format!("error: {error}"));
        writeln!(out, "{said}")?;
        out.flush()?;
    }
    if let Some(dir) = &arguments.out {
        write_collections(&upstream, dir)?;
    }
    writeln!(out, "{}", serde_json::to_string(&upstream.counts())?)?;
    Ok(())
}

fn obey(upstream: &Upstream, line: &str) -> anyhow::Result<String> {
    match line.split_whitespace().collect::<Vec<_>>()[..] {
        ["fail", count, status] => upstream.fail_next(count.parse()?, status.parse()?, &[]),
        ["fail", count, status, seconds] => {
            upstream.fail_next(count.parse()?, status.parse()?, &[("retry-after", seconds)]);
        }
        ["counts"] => return Ok(serde_json::to_string(&upstream.counts())?),
        _ => bail!("`{line}` is not a command: fail COUNT STATUS [SECONDS], or counts"),
    }
    Ok("ok".to_owned())
}

fn options(arguments: &Arguments) -> anyhow::Result<Options> {
    let rules = arguments
        .refuse
        .iter()
        .map(|text| pair(text))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let refuse = move |record: &Value| {
        let broken = rules
            .iter()
            .find(|(field, value)| as_text(&record[field]) == *value)?;
        Some(format!("`{}` may not be `{}`", broken.0, broken.1))
    };
    Ok(Options {
        auth: arguments.token.clone().map_or(Auth::None, Auth::Bearer),
        seed: arguments
            .seed
            .iter()
            .map(|text| seed(text))
            .collect::<anyhow::Result<_>>()?,
        refuse: Some(Arc::new(refuse)),
        key_field: arguments.key_field.clone(),
        ..Options::default()
    })
}

fn as_text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn pair(text: &str) -> anyhow::Result<(String, String)> {
    let (name, value) = text
        .split_once('=')
        .with_context(|| format!("`{text}` is not NAME=VALUE"))?;
    Ok((name.to_owned(), value.to_owned()))
}

fn seed(text: &str) -> anyhow::Result<(String, Vec<Value>)> {
    let (name, file) = pair(text)?;
    let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read `{file}`"))?;
    let records = text
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>();
    Ok((
        name,
        records.with_context(|| format!("`{file}` is not ndjson"))?,
    ))
}

fn write_collections(upstream: &Upstream, dir: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(dir)?;
    for name in upstream.counts().collections.keys() {
        let mut file =
            std::io::BufWriter::new(std::fs::File::create(dir.join(format!("{name}.ndjson")))?);
        for record in upstream.collection(name) {
            serde_json::to_writer(&mut file, &record)?;
            file.write_all(b"\n")?;
        }
        file.flush()?;
    }
    Ok(())
}
