//! Whether memory stays the same however long the input is.

use crate::cost::measure;
use crate::deployment::{Deployment, Host};
use crate::job::tell;
use crate::orders::make_orders;
use anyhow::Result;
use std::fmt::Write as _;
use std::path::Path;

/// The most that may be resident, in MB.
const RESIDENT_MB_MAX: f64 = 200.0;

/// One run over each of two inputs, one ten times the other.
pub fn memory(host: &Host, work: &Path, records: u64) -> Result<String> {
    let mut peaks = Vec::new();
    let mut text = String::from("memory: the most that was resident\n");
    for records in [records / 10, records] {
        let input = make_orders(records, work)?;
        let megabytes = input.metadata()?.len() as f64 / 1e6;
        let deployment = Deployment::new(host, &work.join("memory"), &input)?;
        let name = format!("sluice, {megabytes:.0} MB");
        tell(1, 1, &name);
        let cost = measure(deployment.run()?)?;
        let peak = cost.peak_rss_bytes as f64 / 1e6;
        let _ = writeln!(
            text,
            "{name:<28} {peak:>7.1} MB, {:.1} s CPU, {:.1} s wall",
            cost.cpu().as_secs_f64(),
            cost.wall.as_secs_f64()
        );
        peaks.push(peak);
        std::fs::remove_dir_all(work.join("memory"))?;
    }
    let (small, large) = (peaks[0], peaks[1]);
    let word = if large <= RESIDENT_MB_MAX {
        "holds"
    } else {
        "MISSED"
    };
    let _ = writeln!(
        text,
        "ten times the input: {:.2} times the memory; {large:.0} MB, at most {RESIDENT_MB_MAX:.0}: {word}",
        large / small
    );
    Ok(text)
}
