//! What an honest pipeline keeps of its throughput while a hostile plugin runs beside it, in another process of another
//! deployment. The neighbour begins with each run, and begins anew as soon as a supervisor would begin it. Rounds
//! interleave, so that what the machine does besides befalls all alike.

use crate::deployment::{Deployment, Host};
use crate::job::tell;
use crate::neighbour::{deploy, sluice};
use crate::orders::make_orders;
use anyhow::{Result, bail};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What is kept of the throughput alone, at least.
const KEPT_MIN: f64 = 0.8;
/// Until a run that ended is begun anew: what systemd waits where it is told nothing.
const RESTART: Duration = Duration::from_millis(100);
/// How often the neighbour is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// A plugin's own way of misbehaving, and what the table calls it.
const NEIGHBOURS: [(&str, &str); 4] = [
    ("loop", "beside a loop"),
    ("allocate", "beside one that allocates"),
    ("log-storm", "beside a flood of log lines"),
    ("clock-storm", "beside a storm of host calls"),
];

/// The median throughput alone and beside each neighbour, over `rounds` rounds after one that compiles.
pub fn beside(
    host: &Host,
    hostile: &Path,
    work: &Path,
    records: u64,
    rounds: usize,
) -> Result<String> {
    let input = make_orders(records, work)?;
    let honest = Deployment::new(host, &work.join("beside"), &input)?;
    let street = neighbourhood(host, hostile, &work.join("neighbour"))?;
    let mut alone = Vec::new();
    let mut kept: Vec<Vec<(Duration, f64)>> = NEIGHBOURS.iter().map(|_| Vec::new()).collect();
    for round in 0..=rounds.max(1) {
        tell(round, rounds, "alone");
        let wall = run(&honest)?;
        if round > 0 {
            alone.push(wall);
        }
        for ((behaviour, name), kept) in NEIGHBOURS.iter().zip(&mut kept) {
            tell(round, rounds, name);
            let neighbour = Neighbour::begin(host, &street, behaviour)?;
            let wall = run(&honest)?;
            let cores = neighbour.end()?;
            if round > 0 {
                kept.push((wall, cores));
            }
        }
    }
    Ok(table(records, rounds, alone, kept))
}

fn table(
    records: u64,
    rounds: usize,
    mut alone: Vec<Duration>,
    kept: Vec<Vec<(Duration, f64)>>,
) -> String {
    alone.sort();
    let alone = alone[(alone.len() - 1) / 2];
    let rate = |wall: Duration| records as f64 / wall.as_secs_f64();
    let mut text = format!(
        "beside: {records} orders, a hostile plugin in another process; {rounds} rounds, medians\n\
         {:<30} {:>9} {:>10} {:>12} {:>6}\n{:<30} {:>9.3} {:>10.0}\n",
        "",
        "wall s",
        "records/s",
        "its cores",
        "kept",
        "alone",
        alone.as_secs_f64(),
        rate(alone)
    );
    for ((_, name), mut runs) in NEIGHBOURS.iter().zip(kept) {
        runs.sort_by_key(|(wall, _)| *wall);
        let (wall, cores) = runs[(runs.len() - 1) / 2];
        let ratio = rate(wall) / rate(alone);
        let word = if ratio >= KEPT_MIN { "holds" } else { "MISSED" };
        let _ = writeln!(
            text,
            "{name:<30} {:>9.3} {:>10.0} {cores:>12.2} {ratio:>6.2}  at least {KEPT_MIN}: {word}",
            wall.as_secs_f64(),
            rate(wall)
        );
    }
    text
}

/// The time of one honest run.
fn run(honest: &Deployment) -> Result<Duration> {
    let mut command = honest.run()?;
    let began = Instant::now();
    let output = command.stdin(Stdio::null()).output()?;
    let wall = began.elapsed();
    if !output.status.success() {
        bail!(
            "the honest run failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(wall)
}

/// A deployment with the hostile plugin, and a pipeline for each of its ways.
fn neighbourhood(host: &Host, hostile: &Path, folder: &Path) -> Result<PathBuf> {
    deploy(host, hostile, folder)?;
    for (behaviour, _) in NEIGHBOURS {
        let pipeline = format!(
            "[pipeline]\nname = \"{behaviour}\"\n\n\
             [source]\nplugin = \"hostile.wasm\"\nconfig = {{ try = \"{behaviour}\", dir = \"in\" }}\n\n\
             [[sink]]\nplugin = \"sluice/files@0.1\"\nconfig = {{ dir = \"out\", format = \"ndjson\" }}\n"
        );
        std::fs::write(folder.join(format!("{behaviour}.toml")), pipeline)?;
        host.done(folder, &["grant", "new", &format!("{behaviour}.toml")])?;
    }
    Ok(folder.to_owned())
}

/// What a process has computed so far, to a look's precision: by the kernel's account, in hundredths of a second.
fn cpu_of(process: u32) -> Option<Duration> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(Duration::from_millis(10 * (next()? + next()?)))
}

/// A hostile run, begun anew whenever it ends.
struct Neighbour {
    leaves: Arc<AtomicBool>,
    began: Instant,
    thread: JoinHandle<Result<Duration>>,
}

impl Neighbour {
    fn begin(host: &Host, folder: &Path, behaviour: &str) -> Result<Self> {
        let leaves = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&leaves);
        let (host, folder) = (host.clone(), folder.to_owned());
        let arguments = ["run".to_owned(), format!("{behaviour}.toml")];
        let thread = std::thread::Builder::new().spawn(move || {
            let arguments = arguments.each_ref().map(String::as_str);
            let mut cpu = Duration::ZERO;
            while !told.load(Ordering::SeqCst) {
                let mut child = sluice(&host, &folder, &arguments).spawn()?;
                let mut used = Duration::ZERO;
                loop {
                    used = cpu_of(child.id()).unwrap_or(used);
                    if told.load(Ordering::SeqCst) {
                        // Where it has ended meanwhile, there is nothing to end.
                        let _ = child.kill();
                        child.wait()?;
                        break;
                    }
                    if child.try_wait()?.is_some() {
                        std::thread::sleep(RESTART);
                        break;
                    }
                    std::thread::sleep(LOOK_EVERY);
                }
                cpu += used;
            }
            Ok(cpu)
        })?;
        Ok(Self {
            leaves,
            began: Instant::now(),
            thread,
        })
    }

    /// How many cores it kept busy.
    fn end(self) -> Result<f64> {
        let lasted = self.began.elapsed();
        self.leaves.store(true, Ordering::SeqCst);
        let cpu = self
            .thread
            .join()
            .map_err(|_| anyhow::anyhow!("the neighbour's thread panicked"))??;
        Ok(cpu.as_secs_f64() / lasted.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn what_is_kept_is_told_and_judged() {
        let second = Duration::from_secs(1);
        let kept = vec![
            vec![(second, 0.2), (second * 3, 0.9), (second, 0.2)],
            vec![(second * 2, 1.0)],
            vec![(second, 0.0)],
            vec![(second, 0.0)],
        ];
        let text = table(1_000, 3, vec![second * 9, second, second], kept);
        let words: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(words[2], ["alone", "1.000", "1000"]);
        assert!(
            words[3].ends_with(&["1000", "0.20", "1.00", "at", "least", "0.8:", "holds"]),
            "{text}"
        );
        assert!(
            words[4].ends_with(&["500", "1.00", "0.50", "at", "least", "0.8:", "MISSED"]),
            "{text}"
        );
    }

    #[test]
    fn a_process_that_computes_is_seen_to() {
        let mut child = Command::new("sh")
            .args(["-c", "while :; do :; done"])
            .spawn()
            .expect("a shell");
        let began = Instant::now();
        while cpu_of(child.id()).is_none_or(|cpu| cpu < Duration::from_millis(50)) {
            assert!(
                began.elapsed() < Duration::from_mins(1),
                "it was never seen"
            );
            std::thread::sleep(LOOK_EVERY);
        }
        child.kill().expect("it runs");
        child.wait().expect("it ended");
        assert_eq!(cpu_of(u32::MAX), None);
    }
}
