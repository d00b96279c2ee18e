//! What a service says of a run while it goes: pages of metrics in the text format of Prometheus. Samples, to be held
//! against the equation of every run.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// One look at a run, in records.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sample {
    /// Read so far.
    pub read: u64,
    /// Of those, written.
    pub written: u64,
    /// Of those, filtered.
    pub filtered: u64,
    /// Of those, dead letters.
    pub dead_lettered: u64,
    /// Of those, neither.
    pub in_flight: u64,
    /// Of those, read by a run that stopped before they were settled: they are read again.
    pub abandoned: u64,
    /// Whether the pipeline waits for another system.
    pub is_degraded: bool,
}

impl Sample {
    /// `read = written + filtered + dead-lettered + in flight + abandoned`.
    pub fn balances(&self) -> bool {
        let settled = self.written + self.filtered + self.dead_lettered;
        self.read == settled + self.in_flight + self.abandoned
    }
}

/// How often a state was entered over some samples, and whether the last of them has left it.
pub fn entered(samples: impl IntoIterator<Item = bool>) -> (usize, bool) {
    let (mut times, mut before) = (0, false);
    for is_in in samples {
        times += usize::from(is_in && !before);
        before = is_in;
    }
    (times, !before)
}

/// A page of metrics.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Page(Vec<(String, BTreeMap<String, String>, f64)>);

impl Page {
    /// Asks for it, at `http://127.0.0.1:PORT/PATH`.
    pub fn fetch(url: &str) -> io::Result<Self> {
        let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let rest = url.strip_prefix("http://").ok_or(wrong("no http"))?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let mut stream = TcpStream::connect(authority)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        write!(
            stream,
            "GET /{path} HTTP/1.0\r\nhost: {authority}\r\naccept: text/plain\r\n\r\n"
        )?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let (head, body) = text.split_once("\r\n\r\n").ok_or(wrong("no head"))?;
        if head.split(' ').nth(1) != Some("200") {
            return Err(wrong(head));
        }
        Self::parse(body).map_err(|line| wrong(&format!("no metric: {line}")))
    }

    /// Reads one; the first line that is none is the error.
    pub fn parse(text: &str) -> Result<Self, String> {
        let lines = text.lines().map(str::trim);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines
            .map(|line| metric(line).ok_or(line.to_owned()))
            .collect::<Result<_, _>>()
            .map(Page)
    }

    /// The sum of all metrics of this name whose labels are these, whatever others they have; none where there is none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let metrics = self.0.iter().filter(|(own, all, _)| {
            let has =
                |(label, value): &(&str, &str)| all.get(*label).map(String::as_str) == Some(*value);
            own == name && labels.iter().all(has)
        });
        let values: Vec<f64> = metrics.map(|(_, _, value)| *value).collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }

    /// The same, of what is counted: whole, and not below zero.
    pub fn count(&self, name: &str, labels: &[(&str, &str)]) -> Option<u64> {
        self.sum(name, labels)?.to_string().parse().ok()
    }

    /// What it says of one pipeline; none where it says nothing.
    pub fn sample(&self, pipeline: &str) -> Option<Sample> {
        let of = |name: &str, more: &[(&str, &str)]| {
            let labels: Vec<_> = [("pipeline", pipeline)]
                .into_iter()
                .chain(more.iter().copied())
                .collect();
            self.count(name, &labels)
        };
        let discarded = |intentional| {
            let labels = [("intentional", intentional)];
            of("sluice_component_discarded_events_total", &labels)
        };
        let degraded = of("sluice_pipeline_state", &[("state", "degraded")])?;
        Some(Sample {
            read: of("sluice_component_received_events_total", &[])?,
            written: of("sluice_component_sent_events_total", &[])?,
            filtered: discarded("true")?,
            dead_lettered: discarded("false")?,
            in_flight: of("sluice_buffer_events", &[])?,
            abandoned: of("sluice_component_abandoned_events_total", &[])?,
            is_degraded: degraded == 1,
        })
    }
}

/// `name{label="value",…} number`, with a time behind it or none.
fn metric(line: &str) -> Option<(String, BTreeMap<String, String>, f64)> {
    let (name, mut rest) = line.split_at(line.find(['{', ' '])?);
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while let Some(after) = rest
            .strip_prefix(',')
            .or(Some(rest))
            .filter(|rest| !rest.starts_with('}'))
        {
            let (label, quoted) = after.split_once("=\"")?;
            let (value, after) = unquoted(quoted)?;
            labels.insert(label.trim().to_owned(), value);
            rest = after;
        }
        rest = rest.strip_prefix(',').unwrap_or(rest).strip_prefix('}')?;
    }
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some((name.to_owned(), labels, value))
}

/// Up to the quotation mark that ends it, and what is behind that.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let (mut value, mut letters) = (String::new(), text.char_indices());
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match letters.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_entered_and_left() {
        assert_eq!(entered([false, true, true, false]), (1, true));
        assert_eq!(entered([true, false, true]), (2, false));
        assert_eq!(entered([]), (0, true));
    }

    #[test]
    fn a_page_is_read() {
        let text = "# HELP x y\n# TYPE x counter\nx{pipeline=\"a\",split=\"1\"} 2\nx{pipeline=\"a\",split=\"2\"} 3 1700\n\
                    x{pipeline=\"b \\\"}\",} 4\ny 1.5e3\n\n";
        let page = Page::parse(text).expect("a page");
        assert_eq!(page.sum("x", &[("pipeline", "a")]), Some(5.0));
        assert_eq!(page.sum("x", &[("pipeline", "b \"}")]), Some(4.0));
        assert_eq!(page.sum("x", &[]), Some(9.0));
        assert_eq!(page.sum("y", &[]), Some(1500.0));
        assert_eq!(page.sum("z", &[]), None);
        assert!(Page::parse("x{a=1} 2").is_err() && Page::parse("x").is_err());
    }
}
