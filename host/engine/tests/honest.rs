//! A plugin that does what it should: what comes in and goes out of it.
#![allow(clippy::cast_possible_wrap, reason = "a test has few rows")]

mod stage;

use arrow_array::cast::AsArray as _;
use arrow_array::types::Int64Type;
use sluice_engine::{Commit, Content, Limit, Next, Plugin, Sink, Source, TransformStage};
use sluice_model::checkpoint::{Cursor, Mark};
use sluice_model::ids::Role;
use sluice_model::schema::{Field, FieldType, Schema};
use stage::behaviour::Behaviour;
use stage::{Stage, batch, plugin, schema, stream};
use std::sync::Arc;
use std::time::Duration;

#[tokio::test]
async fn a_source_is_read_and_acknowledged() {
    let dir = tempfile::tempdir().expect("a directory");
    let stage = Stage::new(Behaviour::Honest, dir.path());
    let mut source = plugin()
        .await
        .source(stage.context(Role::Source))
        .await
        .expect("an instance");
    let streams = source.streams().await.expect("streams");
    assert_eq!(
        (streams[0].name.as_str(), streams[0].incremental),
        ("things", false)
    );
    let splits = source.splits(&[stream()]).await.expect("splits");
    for _ in 0..2 {
        source
            .open(&splits[0], Some(&Cursor::from(vec![7])))
            .await
            .expect("open, and again");
        let limit = Limit {
            rows: 10,
            bytes: 1 << 20,
            wait: Duration::ZERO,
        };
        let page = source.read(limit).await.expect("a page");
        assert_eq!((page.cursor.as_bytes(), page.next), (&[0][..], Next::End));
        let Content::Columns {
            schema,
            data,
            changes,
        } = &page.parts[0].content
        else {
            panic!("columns")
        };
        assert_eq!(
            schema.fields(),
            [Field::new("thing", FieldType::Int64, true)]
        );
        assert_eq!(
            data.column(0).as_primitive::<Int64Type>().values().to_vec(),
            [1, 2, 3]
        );
        assert!(changes.is_none());
        source
            .acknowledge(&page.cursor)
            .await
            .expect("acknowledged");
    }
    assert!(source.memory_bytes() > 1 << 20);
}

#[tokio::test]
async fn a_transform_computes_and_keeps() {
    let dir = tempfile::tempdir().expect("a directory");
    let stage = Stage::new(Behaviour::Honest, dir.path());
    let mut transform = plugin()
        .await
        .transform(stage.context(Role::Transform))
        .await
        .expect("an instance");
    let output = transform.open(&schema()).await.expect("a schema");
    let names: Vec<_> = output
        .fields()
        .iter()
        .map(|field| field.name.as_str())
        .collect();
    assert_eq!(names, ["id", "name", "made"]);
    for rows in [0, 1, 5, 1_024] {
        let applied = transform.apply(&batch(rows)).await.expect("a batch");
        assert_eq!(applied.filtered as usize, rows / 2);
        assert_eq!(applied.batch.rows(), rows.div_ceil(2));
        let made = applied
            .batch
            .data
            .column(2)
            .as_primitive::<Int64Type>()
            .values()
            .to_vec();
        assert_eq!(
            made,
            (0..rows as i64)
                .step_by(2)
                .map(|id| id * 2)
                .collect::<Vec<_>>()
        );
        assert_eq!(
            (0..applied.batch.rows())
                .map(|row| applied.batch.entered_row(row))
                .sum::<usize>(),
            { (0..rows).step_by(2).sum::<usize>() }
        );
    }
    let other = Arc::new(
        Schema::new(vec![Field::new("id", FieldType::Int64, true)], vec![]).expect("a schema"),
    );
    transform
        .open(&other)
        .await
        .expect("opened again for a schema that changed");
    transform
        .apply(&batch(1))
        .await
        .expect_err("not opened for this schema any more");
}

#[tokio::test]
async fn a_sink_sees_what_is_granted_and_rejects() {
    let dir = tempfile::tempdir().expect("a directory");
    let stage = Stage::new(Behaviour::Honest, dir.path());
    let mut sink = plugin()
        .await
        .sink(stage.context(Role::Sink))
        .await
        .expect("an instance");
    let (pipeline, split) = (
        "tests".parse().expect("a name"),
        "all".parse().expect("a name"),
    );
    sink.open(&pipeline, &split, &[(stream(), schema())])
        .await
        .expect("open");
    assert_eq!(sink.committed().await.expect("no fault"), None);
    // More parts than handles an instance may hold of its own: a unit is never too many.
    let parts: Vec<_> = (0..300).map(|_| batch(2)).collect();
    for sequence in 0..3 {
        let commit = Commit {
            mark: Mark { epoch: 1, sequence },
            cursor: vec![1].into(),
        };
        let rejected = sink.write(&parts, &commit).await.expect("written");
        assert_eq!(rejected.len(), 300);
        assert_eq!(
            (
                rejected[299].part,
                rejected[299].row,
                rejected[299].code.as_str()
            ),
            (299, 1, "last")
        );
        sink.publish(&commit).await.expect("published");
    }
    let logged = stage.recorder.logged.lock().expect("no panic");
    assert_eq!(
        logged[0].text,
        r#"things {"id":0}\u{a}{"id":1}\u{a} 32 [0, 8, 16]"#
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_run_side_by_side() {
    let dir = tempfile::tempdir().expect("a directory");
    let tasks = (0..8).map(|_| {
        let context = Stage::new(Behaviour::Honest, dir.path()).context(Role::Transform);
        tokio::spawn(async move {
            let mut transform = plugin()
                .await
                .transform(context)
                .await
                .expect("an instance");
            transform.open(&schema()).await.expect("a schema");
            transform
                .apply(&batch(100))
                .await
                .expect("a batch")
                .filtered
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        assert_eq!(task.await.expect("no panic"), 50);
    }
}

#[test]
fn all_may_cross_threads() {
    fn crosses<T: Send>() {}
    fn is_shared<T: Send + Sync + Clone>() {}
    crosses::<Source>();
    crosses::<TransformStage>();
    crosses::<Sink>();
    is_shared::<Plugin>();
    is_shared::<sluice_engine::Engine>();
}
