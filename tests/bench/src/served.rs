//! What honest pipelines keep of their throughput in one service, side by side with some that are not: one whose plugin
//! traps, one whose plugin computes for ever, one whose every record becomes a dead letter. What was read is taken from
//! the service's own metrics, over a while in which all of them are at work. Rounds interleave, and each has two windows
//! without the bad ones, one before and one after: what those two differ by is what chance does.

use crate::deployment::{FIELDS, Host, STEPS};
use crate::job::tell;
use crate::neighbour::sluice;
use crate::orders::make_orders;
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// What each is to keep of its throughput, at least.
const KEPT_MIN: f64 = 0.8;
const HONEST: usize = 17;
const BAD: [&str; 3] = ["traps", "hangs", "floods"];
/// Longer than a service takes to begin with all of them.
const PATIENCE: Duration = Duration::from_mins(1);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Records received so far, by pipeline.
type Received = BTreeMap<String, u64>;

/// Records a second of each honest pipeline, alone and beside the bad ones: medians over `rounds`.
pub fn served(
    host: &Host,
    hostile: &Path,
    work: &Path,
    records: u64,
    window: Duration,
    rounds: usize,
) -> Result<String> {
    let input = make_orders(records, work)?;
    let folder = work.join("served");
    deploy(host, hostile, &folder, &input)?;
    let mut windows = Windows::default();
    // A round that is not counted compiles the plugins.
    for round in 0..=rounds {
        tell(round, rounds, "17 honest pipelines");
        let before = window_of(host, &folder, &[], window)?;
        tell(
            round,
            rounds,
            "beside one that traps, one that hangs, one that floods",
        );
        let beside = window_of(host, &folder, &BAD, window)?;
        tell(round, rounds, "17 honest pipelines, again");
        let after = window_of(host, &folder, &[], window)?;
        if round > 0 {
            windows.before.push(before);
            windows.beside.push(beside);
            windows.after.push(after);
        }
    }
    Ok(table(window, &windows))
}

/// A window of each kind for each round.
#[derive(Default)]
struct Windows {
    before: Vec<Received>,
    beside: Vec<Received>,
    after: Vec<Received>,
}

fn table(window: Duration, windows: &Windows) -> String {
    let Windows {
        before,
        beside,
        after,
    } = windows;
    let alone: Vec<Received> = before.iter().chain(after).cloned().collect();
    let seconds = window.as_secs_f64();
    let sum =
        |rounds: &[Received]| median(rounds.iter().map(|round| round.values().sum()).collect());
    let of = |rounds: &[Received], name: &str| {
        median(
            rounds
                .iter()
                .map(|round| round.get(name).copied().unwrap_or_default())
                .collect(),
        )
    };
    let least = |some: &[Received], others: &[Received]| {
        let names = others.first().into_iter().flat_map(|round| round.keys());
        let kept = names.map(|name| of(some, name) as f64 / (of(others, name) as f64).max(1.0));
        kept.fold(f64::INFINITY, f64::min)
    };
    let (worst, chance) = (least(beside, &alone), least(after, before));
    let (alone, beside) = (sum(&alone), sum(beside));
    let together = beside as f64 / (alone as f64).max(1.0);
    let mut text = format!(
        "served: {HONEST} honest pipelines in one service, windows of {seconds} s; medians\n{:<42} {:>11} {:>6}\n{:<42} {:>11.0}\n",
        "",
        "records/s",
        "kept",
        "alone",
        alone as f64 / seconds
    );
    let told = |ratio: f64| if ratio >= KEPT_MIN { "holds" } else { "MISSED" };
    let name = "beside one that traps, hangs, floods";
    let rate = beside as f64 / seconds;
    let word = told(together);
    let _ = writeln!(
        text,
        "{name:<42} {rate:>11.0} {together:>6.2}  at least {KEPT_MIN}: {word}"
    );
    let (name, word) = ("the one of them that keeps least", told(worst));
    let _ = writeln!(
        text,
        "{name:<42} {:>11} {worst:>6.2}  at least {KEPT_MIN}: {word}",
        ""
    );
    let name = "the same of two windows without the bad ones";
    let _ = writeln!(text, "{name:<42} {:>11} {chance:>6.2}", "");
    text
}

fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values
        .get(values.len().saturating_sub(1) / 2)
        .copied()
        .unwrap_or_default()
}

fn honest() -> impl Iterator<Item = String> {
    (0..HONEST).map(|number| format!("honest-{number:02}"))
}

/// A deployment with all of them, each granted what it asks for.
fn deploy(host: &Host, hostile: &Path, folder: &Path, input: &Path) -> Result<()> {
    crate::neighbour::deploy(host, hostile, folder)?;
    std::fs::create_dir_all(folder.join("all"))?;
    std::fs::hard_link(input, folder.join("in/orders.ndjson"))?;
    let plugins = host.plugins.display();
    std::fs::write(
        folder.join("sluice.toml"),
        format!(
            "[plugins]\ndir = '{plugins}'\n\n[service]\nlisten = \"127.0.0.1:0\"\npipelines = \"pipelines\"\n"
        ),
    )?;
    for name in honest() {
        write(host, folder, &name, orders(&name, FIELDS.iter().copied()))?;
    }
    let no_number = FIELDS.map(|(name, kind)| {
        if name == "note" {
            (name, "int64")
        } else {
            (name, kind)
        }
    });
    let floods = orders("floods", no_number.into_iter());
    let floods = floods
        + "\n[dlq]\nlimit = \"10GiB\"\n\n[delivery]\nstop_when = { dead_letters = \"100% of 1\" }\n";
    write(host, folder, "floods", floods)?;
    for (name, behaviour) in [("traps", "panic"), ("hangs", "loop")] {
        let bad = format!(
            "[pipeline]\nname = \"{name}\"\n\n[source]\nplugin = \"hostile.wasm\"\nconfig = {{ try = \"{behaviour}\", dir = \"in\" }}\n\n{}",
            sink(name)
        );
        write(host, folder, name, bad)?;
    }
    Ok(())
}

fn write(host: &Host, folder: &Path, name: &str, text: String) -> Result<()> {
    let file = format!("all/{name}.toml");
    std::fs::write(folder.join(&file), text)?;
    host.done(folder, &["grant", "new", &file])
}

fn orders<'a>(name: &str, fields: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let fields: Vec<String> = fields
        .map(|(name, kind)| format!("{name} = \"{kind}\""))
        .collect();
    format!(
        "[pipeline]\nname = \"{name}\"\n\n\
         [source]\nplugin = \"sluice/files@0.1\"\n\
         config = {{ dir = \"in\", format = \"ndjson\", stream = \"orders\" }}\n\n\
         [schema.orders]\nfields = {{ {} }}\n\n\
         [[transform]]\nplugin = \"sluice/map@0.1\"\n\n[transform.config]\nsteps = {STEPS}\n\n{}",
        fields.join(", "),
        sink(name)
    )
}

fn sink(name: &str) -> String {
    format!(
        "[[sink]]\nplugin = \"sluice/files@0.1\"\nconfig = {{ dir = \"out/{name}\", format = \"ndjson\" }}\n"
    )
}

/// A service with the honest pipelines and these, from nothing: what each honest one read within a window that begins
/// once all are at work.
fn window_of(host: &Host, folder: &Path, bad: &[&str], window: Duration) -> Result<Received> {
    for left in ["out", "pipelines", ".sluice/state", ".sluice/audit"] {
        let path = folder.join(left);
        if path.exists() {
            std::fs::remove_dir_all(path)?;
        }
    }
    std::fs::create_dir(folder.join("pipelines"))?;
    let names: Vec<String> = honest().collect();
    for name in names.iter().map(String::as_str).chain(bad.iter().copied()) {
        let file = format!("{name}.toml");
        std::fs::copy(
            folder.join("all").join(&file),
            folder.join("pipelines").join(&file),
        )?;
    }
    let mut service = Service::start(host, folder)?;
    let first = service.until_all_read(&names)?;
    let began = Instant::now();
    std::thread::sleep(window);
    let (last, took) = (service.received()?, began.elapsed());
    service.must_run(&names, bad)?;
    let grown = |name: &String| {
        let records = last.get(name)?.checked_sub(*first.get(name)?)?;
        // As if the window had been as long as it was to be.
        let records = u128::from(records) * window.as_millis() / took.as_millis().max(1);
        Some((name.clone(), u64::try_from(records).ok()?))
    };
    names
        .iter()
        .map(|name| grown(name).context("a pipeline without a count"))
        .collect()
}

/// Ended when it is dropped.
struct Service<'a> {
    host: &'a Host,
    folder: &'a Path,
    child: Child,
    listen: Option<SocketAddr>,
}

impl Drop for Service<'_> {
    fn drop(&mut self) {
        // One that has ended is not there to be ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl<'a> Service<'a> {
    fn start(host: &'a Host, folder: &'a Path) -> Result<Self> {
        let child = sluice(host, folder, &["serve"]).spawn()?;
        Ok(Self {
            host,
            folder,
            child,
            listen: None,
        })
    }

    fn status(&self) -> Result<serde_json::Value> {
        let output = sluice(self.host, self.folder, &["status", "--json"])
            .stdout(Stdio::piped())
            .output()?;
        serde_json::from_slice(&output.stdout).context("no status")
    }

    /// The first page on which all of these have read something.
    fn until_all_read(&mut self, names: &[String]) -> Result<Received> {
        let began = Instant::now();
        loop {
            ensure!(self.child.try_wait()?.is_none(), "the service ended");
            ensure!(began.elapsed() < PATIENCE, "not all pipelines began");
            if self.listen.is_none() {
                let status = self.status().unwrap_or_default();
                let listen = status["service"]["listen"].as_str();
                self.listen = listen.and_then(|listen| listen.parse().ok());
            } else if let Ok(page) = self.received()
                && names
                    .iter()
                    .all(|name| page.get(name).is_some_and(|records| *records > 0))
            {
                return Ok(page);
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    fn received(&self) -> Result<Received> {
        let address = self.listen.context("it does not listen")?;
        let mut stream = TcpStream::connect(address)?;
        write!(stream, "GET /metrics HTTP/1.0\r\nhost: {address}\r\n\r\n")?;
        let mut page = String::new();
        stream.read_to_string(&mut page)?;
        Ok(page.lines().filter_map(received_of).collect())
    }

    /// None of the honest has come to its end, and the bad ones are as bad as they are to be.
    fn must_run(&self, honest: &[String], bad: &[&str]) -> Result<()> {
        let status = self.status()?;
        let all = status["pipelines"].as_array().cloned().unwrap_or_default();
        let view = |name: &str| {
            all.iter()
                .find(|view| view["pipeline"] == name)
                .cloned()
                .unwrap_or_default()
        };
        for name in honest {
            ensure!(
                view(name)["state"] == "running",
                "too few records, or not well: {}",
                view(name)
            );
        }
        for name in bad {
            let view = view(name);
            let is_so = match *name {
                "traps" => view["kind"] == "trapped",
                "hangs" => view["state"] == "running",
                _ => view["dead_lettered"].as_u64() > Some(1_000),
            };
            if !is_so {
                bail!("not what was to be measured: {view}");
            }
        }
        Ok(())
    }
}

/// `sluice_component_received_events_total{pipeline="NAME"} N`.
fn received_of(line: &str) -> Option<(String, u64)> {
    let rest = line.strip_prefix("sluice_component_received_events_total{pipeline=\"")?;
    let (name, records) = rest.split_once("\"} ")?;
    Some((name.to_owned(), records.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_told_and_judged() {
        let round =
            |one: u64, two: u64| Received::from([("a".to_owned(), one), ("b".to_owned(), two)]);
        let windows = Windows {
            before: vec![round(100, 100); 3],
            beside: vec![round(95, 75), round(95, 75), round(1, 1)],
            after: vec![round(100, 90), round(110, 90), round(110, 100)],
        };
        let text = table(Duration::from_secs(2), &windows);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[2].ends_with("100"), "{text}");
        assert!(
            lines[3].contains("0.85") && lines[3].ends_with("holds"),
            "{text}"
        );
        assert!(
            lines[4].contains("0.75") && lines[4].ends_with("MISSED"),
            "{text}"
        );
        assert!(lines[5].ends_with("0.90"), "{text}");
    }

    #[test]
    fn a_line_of_metrics_is_read() {
        let line = "sluice_component_received_events_total{pipeline=\"honest-01\"} 120";
        assert_eq!(received_of(line), Some(("honest-01".to_owned(), 120)));
        assert_eq!(received_of("sluice_up 1"), None);
    }
}
