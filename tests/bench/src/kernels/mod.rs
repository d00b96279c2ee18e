//! What crossing into a plugin costs: each kernel in the sandbox, with every check and limit on, beside the same
//! kernel run natively on the same batches. CPU time of this process, its other threads and the kernel included.

mod edge;
mod native;
mod stage;

use crate::deployment::{FIELDS, Host, STEPS};
use crate::orders::make_orders;
use anyhow::{Context, Result, bail, ensure};
use arrow_array::RecordBatch;
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use sluice_codec::{Document, DocumentFormat, Outcome, Target};
use sluice_model::batch::Batch;
use sluice_model::contract::Drift;
use sluice_model::limits::{BATCH_ROWS_MAX, PAGE_BYTES};
use sluice_model::schema::{Field, Schema};
pub(crate) use stage::Plugins;
use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// What the `map` plugin may cost, of the native kernel.
const MAP_MAX: f64 = 1.3;
/// Its row.
const MAP: &str = "map: rename, drop, upper, compute, keep";

/// One kernel: the least that all records cost here and there, of several rounds.
struct Row {
    name: &'static str,
    sandbox: Duration,
    native: Duration,
}

impl Row {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            sandbox: Duration::MAX,
            native: Duration::MAX,
        }
    }
}

/// A kernel on one batch.
type Kernel = fn(&RecordBatch) -> Result<RecordBatch>;

/// Measures all of them; `host` says where the packed plugins are.
pub fn kernels(host: &Host, work: &Path, records: u64, rounds: usize) -> Result<String> {
    let input = make_orders(records, work)?;
    let folder = work.join("kernels");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(folder.join("in"))?;
    std::fs::copy(&input, folder.join("in/orders.ndjson"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let rows = runtime.block_on(all(host, &folder, &std::fs::read(&input)?, rounds))?;
    Ok(shown(&rows, records))
}

async fn all(host: &Host, folder: &Path, bytes: &[u8], rounds: usize) -> Result<Vec<Row>> {
    let plugins = Plugins::new(host, folder)?;
    let schema = schema()?;
    let mut batches = Vec::new();
    for page in pages(bytes) {
        batches.extend(decoded(page, &schema)?);
    }
    // A name for a name: no column crosses.
    let nothing = json!({"steps": [{"rename": {"from": "note", "to": "remark"}}]});
    let kernels: [(&'static str, &str, Value, Kernel); 4] = [
        (
            "one rename: no column crosses",
            "map",
            nothing,
            native::identity,
        ),
        (MAP, "map", steps()?, native::map),
        (
            "mask: cut, bucket, redact",
            "mask",
            native::cut_config(),
            native::cut,
        ),
        (
            "mask: HMAC-SHA-256 of one column",
            "mask",
            native::hash_config(),
            native::hash,
        ),
    ];
    let mut rows = Vec::new();
    for (name, plugin, config, kernel) in kernels {
        rows.push(transform(&plugins, name, plugin, &config, kernel, &batches, rounds).await?);
    }
    rows.push(edge::read(&plugins, folder, &schema, rounds).await?);
    rows.push(edge::write(&plugins, folder, &batches, rounds).await?);
    Ok(rows)
}

async fn transform(
    plugins: &Plugins,
    name: &'static str,
    plugin: &str,
    config: &Value,
    kernel: Kernel,
    batches: &[Batch],
    rounds: usize,
) -> Result<Row> {
    let mut stage = plugins.transform(plugin, config).await?;
    let first = batches.first().context("there are no records")?;
    stage.open(&first.schema).await?;
    let (ours, theirs) = (stage.apply(first).await?.batch, kernel(&first.data)?);
    ensure!(
        plugin != "map" || name != MAP || ours.data.columns() == theirs.columns(),
        "`{name}` gives something else than its native kernel"
    );
    let mut row = Row::new(name);
    for _ in 0..rounds {
        let began = cpu();
        for batch in batches {
            black_box(kernel(&batch.data)?);
        }
        row.native = row.native.min(cpu().saturating_sub(began));
        let began = cpu();
        for batch in batches {
            black_box(stage.apply(batch).await?);
        }
        row.sandbox = row.sandbox.min(cpu().saturating_sub(began));
    }
    Ok(row)
}

/// Time on a CPU of this process so far.
fn cpu() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(now).unwrap_or_default()
}

fn schema() -> Result<Arc<Schema>> {
    let fields = FIELDS
        .iter()
        .map(|(name, kind)| Ok(Field::new(*name, kind.parse()?, true)));
    let fields = fields.collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(Schema::new(fields, Vec::new())?))
}

fn steps() -> Result<Value> {
    let table: toml::Table = toml::from_str(&format!("steps = {STEPS}"))?;
    Ok(serde_json::to_value(table)?)
}

/// Whole lines, as many as one read of a source is asked for.
fn pages(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let most = rest.len().min(PAGE_BYTES as usize);
        let end = rest[..most].iter().rposition(|byte| *byte == b'\n')? + 1;
        let (page, after) = rest.split_at(end);
        rest = after;
        Some(page)
    })
}

/// A page's records, none refused.
fn decoded(bytes: &[u8], schema: &Arc<Schema>) -> Result<Vec<Batch>> {
    let stream = "orders".parse()?;
    let document = Document {
        format: &DocumentFormat::Ndjson,
        bytes,
        name: "orders.ndjson",
        first_line: 1,
        changes: None,
    };
    let target = Target {
        stream: &stream,
        schema,
        drift: Drift::DeadLetter,
        batch_rows: BATCH_ROWS_MAX,
    };
    match sluice_codec::decode(&document, &target) {
        Outcome::Decoded(decoded) if decoded.rejections.is_empty() => Ok(decoded.batches),
        other => bail!("the orders cannot be decoded: {other:?}"),
    }
}

fn shown(rows: &[Row], records: u64) -> String {
    let ns = |time: Duration| time.as_secs_f64() * 1e9 / records.max(1) as f64;
    let mut text = format!(
        "kernels: {records} orders in batches of at most {BATCH_ROWS_MAX} rows; ns a record, the least of the rounds\n\
         {:<42} {:>9} {:>9} {:>7}\n",
        "kernel", "sandbox", "native", "×"
    );
    for Row {
        name,
        sandbox,
        native,
    } in rows
    {
        let ratio = sandbox.as_secs_f64() / native.as_secs_f64();
        let verdict = match (*name == MAP, ratio <= MAP_MAX) {
            (false, _) => String::new(),
            (true, true) => format!("  at most {MAP_MAX}: holds"),
            (true, false) => format!("  at most {MAP_MAX}: MISSED"),
        };
        let _ = writeln!(
            text,
            "{name:<42} {:>9.1} {:>9.1} {ratio:>7.2}{verdict}",
            ns(*sandbox),
            ns(*native)
        );
    }
    text
}
