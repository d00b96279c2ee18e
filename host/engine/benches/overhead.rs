//! What the sandbox costs: a load, an instance, a call, a row. `cargo bench -p sluice-engine`; figures, no verdict.
#![allow(clippy::print_stdout, reason = "figures for people")]

#[path = "../tests/stage/mod.rs"]
mod stage;

use sluice_engine::{Engine, Settings};
use sluice_model::ids::Role;
use stage::behaviour::Behaviour;
use stage::{Stage, artifact, batch};
use std::time::{Duration, Instant};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let dir = tempfile::tempdir().expect("a directory");
    let settings = || Settings {
        cache_dir: Some(dir.path().join("cache")),
    };
    let artifact = artifact("64MiB", "10s");
    println!("component: {} bytes", artifact.bytes.len());
    let mut plugins = Vec::new();
    for what in ["compiled", "from the cache"] {
        let start = Instant::now();
        let engine = Engine::new(settings()).expect("an engine");
        let ready = start.elapsed();
        plugins.push(engine.load(&artifact).await.expect("a plugin"));
        println!(
            "load, {what}: {:?} (engine {ready:?})",
            start.elapsed().saturating_sub(ready)
        );
    }
    let plugin = plugins.remove(1);
    let context = Stage::new(Behaviour::Honest, dir.path()).context(Role::Transform);
    let made = fastest(200, async || {
        plugin
            .transform(context.clone())
            .await
            .expect("an instance");
    });
    println!("an instance: {:?}", made.await);

    let mut transform = plugin.transform(context).await.expect("an instance");
    for rows in [0, 1, 256, 1_024, 8_192] {
        let batch = batch(rows);
        transform.open(&batch.schema).await.expect("open");
        let each = fastest(500, async || {
            transform.apply(&batch).await.expect("a batch");
        });
        let each = each.await;
        println!(
            "apply, {rows} rows: {each:?}, {:.1} ns a row",
            each.as_nanos() as f64 / rows.max(1) as f64
        );
    }
}

/// The fastest of many: what it costs where nothing else runs.
async fn fastest(times: usize, mut work: impl AsyncFnMut()) -> Duration {
    let mut fastest = Duration::MAX;
    for _ in 0..times {
        let start = Instant::now();
        work().await;
        fastest = fastest.min(start.elapsed());
    }
    fastest
}
