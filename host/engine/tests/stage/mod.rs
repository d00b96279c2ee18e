//! A stage for the hostile plugin: built once, with a manifest that asks for little and a grant that allows it.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::cast_possible_wrap, reason = "a test has few rows")]

#[path = "../../../../tests/hostile/src/behaviour.rs"]
pub mod behaviour;
#[path = "../../../../tests/hostile/server.rs"]
pub mod server;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use behaviour::Behaviour;
use sluice_egress::{Door, DoorSettings, Resolver};
use sluice_engine::{Artifact, Context, Engine, Plugin, Settings, pack};
use sluice_model::batch::{Batch, Places};
use sluice_model::grant::Grant;
use sluice_model::ids::{PipelineName, Role, SecretName, StageId, StreamName};
use sluice_model::manifest::Manifest;
use sluice_model::ports::{HttpDoor, LogLine, Observer, Refusal, Used};
use sluice_model::schema::{Field, FieldType, Schema};
use sluice_model::secret::Secret;
use sluice_policy::{Effective, Own};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
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
    COMPONENT.get_or_init(|| built("sluice-hostile"))
}

/// A guest of the tests: as `cargo x test` has built it, or else as cargo builds it now.
pub fn built(package: &str) -> Vec<u8> {
    let name = format!("{}.wasm", package.replace('-', "_"));
    if let Some(folder) = std::env::var_os("SLUICE_GUESTS") {
        return std::fs::read(Path::new(&folder).join(name)).expect("the component");
    }
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guests");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--package", package])
        .args(["--target", "wasm32-wasip2"])
        .args(["--profile", "plugin", "--target-dir"])
        .arg(&target)
        .status()
        .expect("cargo runs");
    assert!(built.success(), "{package} builds");
    let folder = target.join("wasm32-wasip2/plugin");
    std::fs::read(folder.join(name)).expect("the component")
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

/// The component with its manifest. Each pair of limits is packed once.
pub fn artifact(memory: &'static str, time: &'static str) -> Artifact {
    type Packed = Mutex<HashMap<(&'static str, &'static str), Artifact>>;
    static PACKED: OnceLock<Packed> = OnceLock::new();
    let mut packed = PACKED
        .get_or_init(Packed::default)
        .lock()
        .expect("no panic");
    let artifact = packed.entry((memory, time)).or_insert_with(|| {
        let packed = pack(component(), &manifest(memory, time), None).expect("packed");
        Artifact::read("hostile.wasm", packed).expect("an artifact")
    });
    artifact.clone()
}

/// Hears everything.
#[derive(Default)]
pub struct Recorder {
    pub refused: Mutex<Vec<Refusal>>,
    pub logged: Mutex<Vec<LogLine>>,
    /// Capability, name and times.
    pub used: Mutex<Vec<(&'static str, String, u64)>>,
    /// Whether what should be recorded cannot be.
    pub is_full: AtomicBool,
}

impl Observer for Recorder {
    fn refused(&self, _: StageId, refusal: &Refusal) {
        self.refused.lock().expect("no panic").push(refusal.clone());
    }
    fn logged(&self, line: LogLine) {
        self.logged.lock().expect("no panic").push(line);
    }
    fn used(&self, _: StageId, used: &Used<'_>) {
        let used = (used.capability, used.name.to_owned(), used.times);
        self.used.lock().expect("no panic").push(used);
    }
    fn reveals(&self, _: StageId, _: &SecretName) -> Result<(), String> {
        if self.is_full.load(Ordering::SeqCst) {
            return Err("the audit trail cannot be written".to_owned());
        }
        Ok(())
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
    /// Where a real door leads: to this port of this machine, which `api.example` is then the name of.
    pub port: Option<u16>,
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
            port: None,
            recorder: Arc::default(),
            own: Own::default(),
        }
    }

    pub fn context(&self, role: Role) -> Context {
        let word = self.behaviour.word();
        let writes = matches!(self.behaviour, Behaviour::WriteEscape | Behaviour::HardLink);
        let dir = if writes { &self.out } else { &self.dir };
        let api = self
            .port
            .map_or(String::new(), |port| format!("api.example:{port}"));
        let config = serde_json::json!({"try": word, "dir": self.dir, "out": self.out});
        let text = format!(
            "{{\"try\":\"{word}\",\"dir\":\"{}\",\"api\":\"{api}\"}}",
            dir.display()
        );
        let pipeline: PipelineName = "tests".parse().expect("a name");
        let mut artifact = artifact(self.memory, self.time);
        let (asked, granted) = self.port.map_or((String::new(), String::new()), doorway);
        if self.port.is_some() {
            let text = manifest(self.memory, self.time) + &asked;
            artifact.manifest = Manifest::parse("manifest", &text).expect("a manifest");
        }
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
            {granted}
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
        let effective = effective.expect("all is granted");
        let effective = Arc::new(effective.apart_from(Arc::new(self.own.clone())));
        let http = self.port.map(|_| self.door(&effective));
        Context {
            effective,
            config: text,
            http: http.or_else(|| self.http.clone()),
            tcp: None,
            secrets: None,
            row_key: [7; 32],
            observer: Arc::clone(&self.recorder) as _,
        }
    }
}

/// The lines that open a door to this port, with a secret: of the manifest, and of the grant.
fn doorway(port: u16) -> (String, String) {
    let to = format!(
        "[[http]]\nhost = \"api.example\"\nscheme = \"http\"\nport = {port}\nmethods = [\"GET\", \"POST\"]\npaths = [\"/v1/**\"]\n"
    );
    let secret = "[[secret]]\nname = \"token\"\nuse = \"bearer\"\n";
    (
        format!("\n{to}auth = \"token\"\nreason = \"x\"\n{secret}reason = \"x\"\n"),
        format!("\n{to}networks = [\"127.0.0.1/32\"]\n{secret}"),
    )
}

/// Made up. Every character is there that some spelling treats in its own way.
pub const SECRET: &str = "k/9+\"mAde-uP_s3cret~Zq7&vT=4hX'wN8rB";

/// Every name is this machine.
struct Here;

#[async_trait::async_trait]
impl Resolver for Here {
    async fn resolve(&self, _: &str) -> Result<Vec<IpAddr>, String> {
        Ok(vec![Ipv4Addr::LOCALHOST.into()])
    }
}

impl Stage {
    /// The real door, as a deployment has it.
    fn door(&self, effective: &Arc<Effective>) -> Arc<dyn HttpDoor> {
        let name: SecretName = "token".parse().expect("a name");
        let secrets = HashMap::from([(name, Secret::new(SECRET.as_bytes().to_vec()))]);
        Arc::new(Door::new(
            Arc::clone(effective),
            Arc::new(secrets),
            Arc::new(Here),
            Arc::clone(&self.recorder) as _,
            DoorSettings::default(),
        ))
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

/// Rows of a column that is not granted, where `id` stands in others.
pub fn in_its_place(rows: usize) -> Batch {
    let fields = vec![Field::new("name", FieldType::Int64, true)];
    let schema = Arc::new(Schema::new(fields, vec![]).expect("a schema"));
    let values: ArrayRef = Arc::new((0..rows as i64).collect::<Int64Array>());
    let data = RecordBatch::try_new(Arc::clone(schema.arrow()), vec![values]).expect("a batch");
    Batch::entering(stream(), schema, data, None, Places::none())
}

/// An `id` of text that is six times as long in JSON: 12 MiB, and 72.
pub fn long_texts() -> Batch {
    let fields = vec![Field::new("id", FieldType::Text, true)];
    let schema = Arc::new(Schema::new(fields, vec![]).expect("a schema"));
    let text = "\u{1}".repeat(12 << 10);
    let ids: ArrayRef = Arc::new((0..1_024).map(|_| Some(&text)).collect::<StringArray>());
    let data = RecordBatch::try_new(Arc::clone(schema.arrow()), vec![ids]).expect("a batch");
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
