//! How long a command takes to its first record, and to its end, where there is one record only and the plugins were
//! compiled by an earlier start.

use crate::deployment::{Deployment, Host};
use crate::orders::make_orders;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// The first record, from the command on.
const FIRST_RECORD_MAX: Duration = Duration::from_millis(100);
/// What the host logs when the first record was read and decoded.
const EVENT: &str = "first record";

/// The median and the least over `rounds` runs, after one that compiles.
pub fn start(host: &Host, work: &Path, rounds: usize) -> Result<String> {
    let input = make_orders(1, work)?;
    let deployment = Deployment::new(host, &work.join("start"), &input)?;
    one(&deployment)?;
    let mut firsts = Vec::new();
    let mut wholes = Vec::new();
    for _ in 0..rounds.max(1) {
        let (first, whole) = one(&deployment)?;
        firsts.push(first);
        wholes.push(whole);
    }
    firsts.sort();
    wholes.sort();
    let middle = firsts.len() / 2;
    let word = if firsts[middle] <= FIRST_RECORD_MAX {
        "holds"
    } else {
        "MISSED"
    };
    Ok(format!(
        "start: one record, compiled before; {rounds} runs\n\
         first record read            {:>7.1} ms median, {:.1} ms least; at most {} ms: {word}\n\
         whole command                {:>7.1} ms median, {:.1} ms least\n",
        ms(firsts[middle]),
        ms(firsts[0]),
        FIRST_RECORD_MAX.as_millis(),
        ms(wholes[middle]),
        ms(wholes[0])
    ))
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Time to the first record, as the host counts from its own start, and to the end, as it is seen from outside.
fn one(deployment: &Deployment) -> Result<(Duration, Duration)> {
    let mut command = deployment.run()?;
    command.env("SLUICE_LOG", "sluice_service=info");
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let began = Instant::now();
    let output = command.stderr(Stdio::piped()).output()?;
    let whole = began.elapsed();
    let log = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("the run failed: {log}");
    }
    let event = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find(|event| event["fields"]["message"] == EVENT)
        .with_context(|| format!("the log has no `{EVENT}`: {log}"))?;
    let since = event["fields"]["since_start_ms"]
        .as_f64()
        .context("`since_start_ms` is no number")?;
    Ok((Duration::from_secs_f64(since / 1e3), whole))
}
