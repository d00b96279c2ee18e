//! The thread that ticks lives as long as an engine or a plugin does, and no longer. Alone in its process: it counts
//! threads.

mod stage;

use sluice_engine::{Engine, Settings};
use std::time::{Duration, Instant};

/// For what should happen: a loaded machine is slow.
const LONG: Duration = Duration::from_secs(10);

fn ticking() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("threads");
    let name = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm"));
    tasks
        .filter_map(|task| name(task.ok()?).ok())
        .filter(|name| name.trim() == "sluice-tick")
        .count()
}

fn becomes(count: usize, within: Duration) -> bool {
    let start = Instant::now();
    while start.elapsed() < within {
        if ticking() == count {
            return true;
        }
        std::thread::yield_now();
    }
    false
}

#[tokio::test]
async fn the_clock_ends_with_the_last_that_needs_it() {
    let engine = Engine::new(Settings::default()).expect("an engine");
    assert!(becomes(1, LONG));
    let plugin = engine
        .load(&stage::artifact("64MiB", "10s"))
        .await
        .expect("a plugin");
    drop(engine);
    assert!(
        !becomes(0, Duration::from_millis(100)),
        "the plugin still needs it"
    );
    drop(plugin);
    assert!(becomes(0, LONG));
}
