//! The two edges: a file read through the `files` source and decoded, a unit encoded and written through its sink.

use super::stage::{PIPELINE, Plugins};
use super::{Row, cpu, decoded};
use anyhow::{Context, Result, bail};
use serde_json::json;
use sluice_codec::{Format, encode};
use sluice_engine::{Commit, Content, Limit, Next};
use sluice_model::batch::Batch;
use sluice_model::checkpoint::{Cursor, Mark};
use sluice_model::limits::{PAGE_BYTES, PAGE_ROWS};
use sluice_model::schema::Schema;
use std::fs::File;
use std::hint::black_box;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Reads the whole file, page by page, and decodes it.
pub(super) async fn read(
    plugins: &Plugins,
    folder: &Path,
    schema: &Arc<Schema>,
    rounds: usize,
) -> Result<Row> {
    let config = json!({"dir": "in", "format": "ndjson", "stream": "orders"});
    let mut source = plugins.source("files", &config).await?;
    let splits = source.splits(&["orders".parse()?]).await?;
    let split = splits.first().context("the folder has no file")?;
    let mut row = Row::new("files source: read and decode");
    let limit = Limit {
        rows: PAGE_ROWS,
        bytes: PAGE_BYTES,
        wait: Duration::ZERO,
    };
    for _ in 0..rounds {
        let began = cpu();
        native_read(&folder.join("in/orders.ndjson"), schema)?;
        row.native = row.native.min(cpu().saturating_sub(began));
        source.open(split, None).await?;
        let began = cpu();
        loop {
            let page = source.read(limit).await?;
            for part in page.parts {
                let Content::Document { bytes, .. } = part.content else {
                    bail!("`files` gives documents");
                };
                black_box(decoded(&bytes, schema)?);
            }
            if !matches!(page.next, Next::More) {
                break;
            }
        }
        row.sandbox = row.sandbox.min(cpu().saturating_sub(began));
    }
    Ok(row)
}

/// The same, by hand: a page from the last line's end on, cut behind its last line.
fn native_read(path: &Path, schema: &Arc<Schema>) -> Result<()> {
    let mut file = File::open(path)?;
    let (mut page, mut at) = (vec![0; PAGE_BYTES as usize], 0);
    loop {
        file.seek(SeekFrom::Start(at))?;
        let read = file.read(&mut page)?;
        let Some(last) = page[..read].iter().rposition(|byte| *byte == b'\n') else {
            return Ok(());
        };
        black_box(decoded(&page[..=last], schema)?);
        at += last as u64 + 1;
    }
}

/// Writes all batches as one unit, and publishes it.
pub(super) async fn write(
    plugins: &Plugins,
    folder: &Path,
    batches: &[Batch],
    rounds: usize,
) -> Result<Row> {
    let config = json!({"dir": "out", "format": "ndjson"});
    let mut sink = plugins.sink("files", &config).await?;
    let first = batches.first().context("there are no records")?;
    let targets = [(first.stream.clone(), Arc::clone(&first.schema))];
    sink.open(&PIPELINE.parse()?, &"orders".parse()?, &targets)
        .await?;
    sink.committed().await?;
    let mut row = Row::new("files sink: encode, write, publish");
    for round in 0..rounds {
        let began = cpu();
        native_write(&folder.join("native.ndjson"), batches)?;
        row.native = row.native.min(cpu().saturating_sub(began));
        let commit = Commit {
            mark: Mark {
                epoch: 1,
                sequence: round as u64 + 1,
            },
            cursor: Cursor::from(b"place".to_vec()),
        };
        let began = cpu();
        sink.write(batches, &commit).await?;
        sink.publish(&commit).await?;
        row.sandbox = row.sandbox.min(cpu().saturating_sub(began));
    }
    Ok(row)
}

/// The same, by hand, and as durable.
fn native_write(path: &Path, batches: &[Batch]) -> Result<()> {
    let part = path.with_extension("part");
    let mut file = File::create(&part)?;
    for batch in batches {
        let mut out = Vec::new();
        encode(
            &batch.schema,
            &batch.data,
            None,
            &Format::Ndjson,
            usize::MAX,
            &mut out,
        )?;
        file.write_all(&out)?;
    }
    file.sync_all()?;
    std::fs::rename(&part, path)?;
    Ok(())
}
