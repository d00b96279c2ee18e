//! What `/metrics` says, in Prometheus' text format, under the field's names: what a component received, sent and
//! discarded. Made anew for each scrape from the counts there are. Labels are names of pipelines and fixed words;
//! nothing of a record, a plugin's words or a tenant is in one.

use super::seat::Figures;
use super::standing::State;
use prometheus_client::encoding::{EncodeLabelSet, prometheus_text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use sluice_model::ports::StateStats;
use std::sync::atomic::AtomicU64;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    pipeline: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Discarded {
    pipeline: String,
    intentional: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct In {
    pipeline: String,
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    pipeline: String,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Letters {
    pipeline: String,
    standing: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Counted {
    pipeline: String,
    unit: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Build {
    version: &'static str,
}

type Whole = Gauge<u64, AtomicU64>;
/// Seconds since 1970.
type Moment = Gauge<f64, AtomicU64>;

#[derive(Default)]
struct Families {
    received: Family<Of, Counter>,
    sent: Family<Of, Counter>,
    discarded: Family<Discarded, Counter>,
    in_flight: Family<Of, Whole>,
    abandoned: Family<Of, Counter>,
    state: Family<In, Whole>,
    alerts: Family<In, Counter>,
    runs: Family<Ended, Counter>,
    success: Family<Of, Moment>,
    settled: Family<Of, Moment>,
    retries: Family<Of, Counter>,
    lag: Family<Counted, Whole>,
    lag_left: Family<Counted, Whole>,
    letters: Family<Letters, Whole>,
    letter_bytes: Family<Of, Whole>,
    jobs_under_way: Family<Of, Whole>,
    jobs: Family<Ended, Counter>,
    job_events: Family<Of, Counter>,
}

fn count_ended(
    family: &Family<Ended, Counter>,
    figures: &Figures,
    results: &[(&'static str, u64)],
) {
    for (result, count) in results.iter().copied() {
        let labels = Ended {
            pipeline: figures.pipeline.clone(),
            result,
        };
        family.get_or_create(&labels).inc_by(count);
    }
}

impl Families {
    fn add(&self, figures: &Figures) {
        let pipeline = || figures.pipeline.clone();
        let of = || Of {
            pipeline: pipeline(),
        };
        let totals = figures.totals;
        self.received.get_or_create(&of()).inc_by(totals.read);
        self.sent.get_or_create(&of()).inc_by(totals.written);
        for (intentional, records) in [("true", totals.filtered), ("false", totals.dead_lettered)] {
            let labels = Discarded {
                pipeline: pipeline(),
                intentional,
            };
            self.discarded.get_or_create(&labels).inc_by(records);
        }
        self.in_flight.get_or_create(&of()).set(figures.in_flight);
        self.abandoned
            .get_or_create(&of())
            .inc_by(figures.abandoned);
        for state in State::ALL {
            let labels = In {
                pipeline: pipeline(),
                state: state.word(),
            };
            let is_in = u64::from(state == figures.state);
            self.state.get_or_create(&labels).set(is_in);
            if state.is_bad() {
                let entered = figures.alerts.get(state.word()).copied();
                let alerts = self.alerts.get_or_create(&labels);
                alerts.inc_by(entered.unwrap_or_default());
            }
        }
        let runs = figures.runs;
        let results = [
            ("done", runs.done),
            ("drained", runs.drained),
            ("failed", runs.failed),
        ];
        count_ended(&self.runs, figures, &results);
        for (moments, at_ms) in [
            (&self.success, figures.success_ms),
            (&self.settled, figures.settled_ms),
        ] {
            if let Some(at_ms) = at_ms {
                moments.get_or_create(&of()).set(at_ms as f64 / 1e3);
            }
        }
        self.retries.get_or_create(&of()).inc_by(figures.retries);
        self.add_lag(figures);
        self.add_letters(figures);
        self.add_jobs(figures);
    }

    fn add_lag(&self, figures: &Figures) {
        for lag in &figures.lag {
            let labels = Counted {
                pipeline: figures.pipeline.clone(),
                unit: lag.unit.word(),
            };
            self.lag.get_or_create(&labels).set(lag.behind);
            if let Some(left) = lag.left {
                self.lag_left.get_or_create(&labels).set(left);
            }
        }
    }

    fn add_letters(&self, figures: &Figures) {
        let Some(account) = figures.letters else {
            return;
        };
        let pipeline = || figures.pipeline.clone();
        for (standing, letters) in [
            ("waiting", account.waiting),
            ("delivered", account.delivered),
            ("filtered", account.filtered),
            ("discarded", account.discarded),
            ("expired", account.expired),
        ] {
            let labels = Letters {
                pipeline: pipeline(),
                standing,
            };
            self.letters.get_or_create(&labels).set(letters);
        }
        let of = Of {
            pipeline: pipeline(),
        };
        self.letter_bytes.get_or_create(&of).set(account.bytes);
    }

    fn add_jobs(&self, figures: &Figures) {
        let jobs = figures.jobs;
        let of = || Of {
            pipeline: figures.pipeline.clone(),
        };
        self.jobs_under_way.get_or_create(&of()).set(jobs.under_way);
        let results = [("done", jobs.done), ("failed", jobs.failed)];
        count_ended(&self.jobs, figures, &results);
        self.job_events.get_or_create(&of()).inc_by(jobs.settled);
    }

    fn register(self, registry: &mut Registry) {
        registry.register(
            "sluice_component_received_events",
            "Records read since the service began",
            self.received,
        );
        registry.register(
            "sluice_component_sent_events",
            "Records written since the service began",
            self.sent,
        );
        registry.register(
            "sluice_component_discarded_events",
            "Records filtered (intentional) or dead-lettered since the service began",
            self.discarded,
        );
        registry.register(
            "sluice_buffer_events",
            "Records read and not settled",
            self.in_flight,
        );
        registry.register(
            "sluice_component_abandoned_events",
            "Records read by runs that stopped before they were settled, since the service began: they are read again",
            self.abandoned,
        );
        registry.register(
            "sluice_pipeline_state",
            "1 for the state the pipeline is in",
            self.state,
        );
        registry.register(
            "sluice_pipeline_alerts",
            "Times the pipeline entered a state that somebody should look at",
            self.alerts,
        );
        registry.register(
            "sluice_pipeline_runs",
            "Runs that are over since the service began",
            self.runs,
        );
        registry.register(
            "sluice_pipeline_last_success_timestamp_seconds",
            "When a run last came to its source's end, since the service began",
            self.success,
        );
        registry.register(
            "sluice_pipeline_last_settled_timestamp_seconds",
            "When a record was last written, filtered or dead-lettered, since the service began",
            self.settled,
        );
        registry.register(
            "sluice_component_retries",
            "Times that something was tried again since the service began",
            self.retries,
        );
        registry.register(
            "sluice_source_lag",
            "What the source has that is not delivered, as it last said",
            self.lag,
        );
        registry.register(
            "sluice_source_lag_left",
            "How much that may grow before the source forgets what is not read",
            self.lag_left,
        );
        registry.register(
            "sluice_dead_letters",
            "Dead letters that the pipeline ever had, by what became of them",
            self.letters,
        );
        registry.register(
            "sluice_dead_letters_bytes",
            "What those that are there take in the store",
            self.letter_bytes,
        );
        registry.register(
            "sluice_pipeline_jobs_running",
            "Redrives and backfills under way",
            self.jobs_under_way,
        );
        registry.register(
            "sluice_pipeline_jobs",
            "Redrives and backfills that are over since the service began",
            self.jobs,
        );
        registry.register(
            "sluice_pipeline_job_events",
            "Records that redrives and backfills settled since the service began",
            self.job_events,
        );
    }
}

/// All of it.
pub fn text(
    figures: &[Figures],
    store: Option<&StateStats>,
    began_ms: u64,
) -> Result<String, std::fmt::Error> {
    let mut registry = Registry::default();
    let families = Families::default();
    for one in figures {
        families.add(one);
    }
    families.register(&mut registry);
    let gauge = |value: u64| {
        let gauge = Whole::default();
        gauge.set(value);
        gauge
    };
    registry.register("sluice_up", "1 while the service runs", gauge(1));
    registry.register(
        "sluice_start_time_seconds",
        "When the service began",
        gauge(began_ms / 1_000),
    );
    let build = Family::<Build, Whole>::default();
    let version = env!("CARGO_PKG_VERSION");
    build.get_or_create(&Build { version }).set(1);
    registry.register("sluice_build_info", "Its version", build);
    if let Some(store) = store {
        registry.register(
            "sluice_state_bytes",
            "What the state store takes on disk",
            gauge(store.bytes),
        );
        registry.register(
            "sluice_state_last_commit",
            "The number of the state store's last durable commit",
            gauge(store.last_commit.0),
        );
    }
    let mut text = String::new();
    prometheus_text::encode(&mut text, &registry)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dlq::Account;
    use crate::serve::jobs::JobFigures;
    use crate::serve::seat::Runs;
    use sluice_model::checkpoint::Totals;
    use sluice_model::lag::{Lag, LagUnit};
    use sluice_model::ports::CommitNumber;
    use std::collections::{BTreeMap, BTreeSet};

    fn sample() -> String {
        let figures = Figures {
            pipeline: "orders".to_owned(),
            state: State::Stalled,
            totals: Totals {
                read: 10,
                written: 6,
                filtered: 3,
                dead_lettered: 1,
            },
            abandoned: 0,
            in_flight: 2,
            runs: Runs {
                done: 4,
                drained: 0,
                failed: 1,
            },
            alerts: BTreeMap::from([("stalled", 5)]),
            success_ms: Some(1_700_000_000_500),
            retries: 7,
            settled_ms: Some(1_700_000_000_250),
            lag: vec![Lag {
                unit: LagUnit::Bytes,
                behind: 900,
                left: Some(100),
            }],
            jobs: JobFigures {
                under_way: 1,
                done: 2,
                failed: 3,
                settled: 40,
            },
            letters: Some(Account {
                waiting: 8,
                discarded: 9,
                bytes: 512,
                ..Account::default()
            }),
        };
        let stats = StateStats {
            bytes: 4_096,
            last_commit: CommitNumber(17),
            poisoned: false,
        };
        text(&[figures], Some(&stats), 1_700_000_000_000).unwrap()
    }

    #[test]
    fn every_figure_is_told() {
        let text = sample();
        for line in [
            "# TYPE sluice_component_received_events_total counter",
            "sluice_component_received_events_total{pipeline=\"orders\"} 10",
            "sluice_component_sent_events_total{pipeline=\"orders\"} 6",
            "sluice_component_discarded_events_total{pipeline=\"orders\",intentional=\"true\"} 3",
            "sluice_component_discarded_events_total{pipeline=\"orders\",intentional=\"false\"} 1",
            "sluice_buffer_events{pipeline=\"orders\"} 2",
            "sluice_pipeline_state{pipeline=\"orders\",state=\"stalled\"} 1",
            "sluice_pipeline_state{pipeline=\"orders\",state=\"running\"} 0",
            "sluice_pipeline_alerts_total{pipeline=\"orders\",state=\"stalled\"} 5",
            "sluice_pipeline_runs_total{pipeline=\"orders\",result=\"failed\"} 1",
            "sluice_pipeline_last_success_timestamp_seconds{pipeline=\"orders\"} 1700000000.5",
            "sluice_pipeline_last_settled_timestamp_seconds{pipeline=\"orders\"} 1700000000.25",
            "sluice_component_retries_total{pipeline=\"orders\"} 7",
            "sluice_source_lag{pipeline=\"orders\",unit=\"bytes\"} 900",
            "sluice_source_lag_left{pipeline=\"orders\",unit=\"bytes\"} 100",
            "sluice_dead_letters{pipeline=\"orders\",standing=\"waiting\"} 8",
            "sluice_dead_letters{pipeline=\"orders\",standing=\"discarded\"} 9",
            "sluice_dead_letters_bytes{pipeline=\"orders\"} 512",
            "sluice_pipeline_jobs_running{pipeline=\"orders\"} 1",
            "sluice_pipeline_jobs_total{pipeline=\"orders\",result=\"failed\"} 3",
            "sluice_pipeline_job_events_total{pipeline=\"orders\"} 40",
            "sluice_state_bytes 4096",
            "sluice_state_last_commit 17",
            "sluice_up 1",
        ] {
            assert!(text.lines().any(|told| told == line), "{line} in:\n{text}");
        }
    }

    /// The list that people read is this one.
    #[test]
    fn every_metric_is_documented() {
        let docs = include_str!("../../../../docs/operating.md");
        let text = sample();
        let names = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let names: BTreeSet<&str> = names.filter_map(|line| line.split(' ').next()).collect();
        assert!(names.len() > 10, "{names:?}");
        let named = docs.split('`').filter(|word| word.starts_with("sluice_"));
        let documented: BTreeSet<&str> = named.filter_map(|word| word.split('{').next()).collect();
        assert_eq!(names, documented);
    }
}
