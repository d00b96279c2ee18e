//! A stage for the hostile plugin: built once, with a manifest that asks for little and a grant that allows it.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::cast_possible_wrap, reason = "a test has few rows")]

#[path = "../../../../tests/hostile/src/behaviour.rs"]
pub mod behaviour;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use behaviour::Behaviour;
use sluice_engine::{Artifact, Context, Engine, Plugin, Settings, pack};
use sluice_model::batch::{Batch, Places};
use sluice_model::grant::Grant;
use sluice_model::ids::{PipelineName, Role, StageId, StreamName};
use sluice_model::ports::{HttpDoor, LogLine, Observer, Refusal};
use sluice_model::schema::{Field, FieldType, Schema};
use sluice_policy::{Effective, Own};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock};
use tokio::sync::OnceCell;

pub const MANIFEST: &str = r#"
[plugin]
name = "sluice/hostile"
version = "0.1.0"
interface = "sluice:plugin@0.1"
description = "Misbehaves."

[[http]]
host = "api.example"
methods = ["GET"]
paths = ["/**"]
reason = "To have something to go beyond."

[[dir]]
path = "{config.dir}"
mode = "read"
as = "source"
reason = "To have something to break out of."

[[dir]]
path = "{config.out}"
mode = "write"
reason = "To have something to break out of."

[data]
reads = ["id"]
writes = ["id", "made"]

[limits]
memory = "MEMORY"
call_time = "TIME"
"#;

/// The hostile component, as cargo built it.
pub fn component() -> &'static [u8] {
    static COMPONENT: OnceLock<Vec<u8>> = OnceLock::new();
    COMPONENT.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guests");
        let built = Command::new(env!("CARGO"))
            .args([
                "build",
                "--quiet",
                "--package",
                "sluice-hostile",
                "--target",
                "wasm32-wasip2",
            ])
            .args(["--profile", "plugin", "--target-dir"])
            .arg(&target)
            .status()
            .expect("cargo runs");
        assert!(built.success(), "the hostile plugin builds");
        std::fs::read(target.join("wasm32-wasip2/plugin/sluice_hostile.wasm"))
            .expect("the component")
    })
}

/// The manifest with these limits.
pub fn manifest(memory: &str, time: &str) -> String {
    MANIFEST.replace("MEMORY", memory).replace("TIME", time)
}

/// The plugin, loaded once.
pub async fn plugin() -> &'static Plugin {
    static PLUGIN: OnceCell<Plugin> = OnceCell::const_new();
    PLUGIN
        .get_or_init(|| async {
            let engine = Engine::new(Settings::default()).expect("an engine");
            engine
                .load(&artifact("64MiB", "10s"))
                .await
                .expect("a plugin")
        })
        .await
}

/// The component with its manifest.
pub fn artifact(memory: &str, time: &str) -> Artifact {
    let packed = pack(component(), &manifest(memory, time), None).expect("packed");
    Artifact::read("hostile.wasm", packed).expect("an artifact")
}

/// Hears everything.
#[derive(Default)]
pub struct Recorder {
    pub refused: Mutex<Vec<Refusal>>,
    pub logged: Mutex<Vec<LogLine>>,
}

impl Observer for Recorder {
    fn refused(&self, _: StageId, refusal: &Refusal) {
        self.refused.lock().expect("no panic").push(refusal.clone());
    }
    fn logged(&self, line: LogLine) {
        self.logged.lock().expect("no panic").push(line);
    }
}

/// Where one behaviour plays.
pub struct Stage {
    pub behaviour: Behaviour,
    pub memory: &'static str,
    pub time: &'static str,
    pub dir: PathBuf,
    pub out: PathBuf,
    pub http: Option<Arc<dyn HttpDoor>>,
    pub recorder: Arc<Recorder>,
    /// What the host keeps for itself.
    pub own: Own,
}

impl Stage {
    pub fn new(behaviour: Behaviour, dir: &Path) -> Self {
        Self {
            behaviour,
            memory: "64MiB",
            time: "10s",
            dir: dir.join("in"),
            out: dir.join("out"),
            http: None,
            recorder: Arc::default(),
            own: Own::default(),
        }
    }

    pub fn context(&self, role: Role) -> Context {
        let word = self.behaviour.word();
        let dir = if self.behaviour == Behaviour::WriteEscape {
            &self.out
        } else {
            &self.dir
        };
        let config = serde_json::json!({"try": word, "dir": self.dir, "out": self.out});
        let text = format!("{{\"try\":\"{word}\",\"dir\":\"{}\"}}", dir.display());
        let pipeline: PipelineName = "tests".parse().expect("a name");
        let artifact = artifact(self.memory, self.time);
        let grant = format!(
            r#"
            [grant]
            plugin = "sluice/hostile"
            version = "0.1.0"
            digest = "{}"
            pipeline = "tests"

            [[http]]
            host = "api.example"
            methods = ["GET"]
            paths = ["/**"]

            [[dir]]
            path = "{}"
            mode = "read"

            [[dir]]
            path = "{}"
            mode = "write"

            [data]
            reads = ["id"]
            writes = ["id", "made"]
            "#,
            artifact.digest,
            self.dir.display(),
            self.out.display()
        );
        let grant = Grant::parse("grant", &grant).expect("a grant");
        let stage = StageId { role, index: 0 };
        let effective = Effective::build(
            &artifact.manifest,
            &grant,
            stage,
            &config,
            &pipeline,
            &self.dir,
        );
        Context {
            effective: Arc::new(
                effective
                    .expect("all is granted")
                    .apart_from(Arc::new(self.own.clone())),
            ),
            config: text,
            http: self.http.clone(),
            observer: Arc::clone(&self.recorder) as _,
        }
    }
}

pub fn stream() -> StreamName {
    "things".parse().expect("a name")
}

pub fn schema() -> Arc<Schema> {
    let fields = vec![
        Field::new("id", FieldType::Int64, true),
        Field::new("name", FieldType::Text, true),
    ];
    Arc::new(Schema::new(fields, vec!["id".to_owned()]).expect("a schema"))
}

/// Rows of `id` and `name`.
pub fn batch(rows: usize) -> Batch {
    let schema = schema();
    let ids: ArrayRef = Arc::new((0..rows as i64).collect::<Int64Array>());
    let names: ArrayRef = Arc::new(
        (0..rows)
            .map(|row| Some(format!("name {row}")))
            .collect::<StringArray>(),
    );
    let data = RecordBatch::try_new(Arc::clone(schema.arrow()), vec![ids, names]).expect("a batch");
    Batch::entering(stream(), schema, data, None, Places::none())
}

/// The same rows with `id` alone.
pub fn without_names(batch: &Batch) -> Batch {
    let fields = vec![Field::new("id", FieldType::Int64, true)];
    let schema = Arc::new(Schema::new(fields, vec![]).expect("a schema"));
    let data = batch.data.project(&[0]).expect("its first column");
    let data = data
        .with_schema(Arc::clone(schema.arrow()))
        .expect("the same shape");
    Batch::entering(stream(), schema, data, None, Places::none())
}
