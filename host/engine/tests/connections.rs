//! Connections and revealed secrets in a guest's hands: what one instance may hold, in which words it is told, and
//! what is left when it is gone.

mod stage;

use async_trait::async_trait;
use sluice_engine::{Artifact, Context, Engine, EngineError, Plugin, Settings, Source, pack};
use sluice_model::fault::{Fault, FaultKind};
use sluice_model::grant::Grant;
use sluice_model::ids::{Role, SecretName, StageId};
use sluice_model::limits::{REVEALS_MAX, TCP_CONNECTIONS_MAX, TCP_READ_TIME_MAX};
use sluice_model::ports::{Refusal, Secrets, Security, TcpConnection, TcpDoor, TcpError};
use sluice_model::secret::Secret;
use sluice_policy::Effective;
use stage::{Recorder, built};
use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::OnceCell;

const MANIFEST: &str = r#"
[plugin]
name = "sluice/dialer"
version = "0.1.0"
interface = "sluice:plugin@0.1"
description = "Dials."

[[tcp]]
host = "db.acme.example"
port = 5432
reason = "x"

[[secret]]
name = "password"
use = "reveal"
reason = "x"

[[secret]]
name = "key"
use = "reveal"
optional = true
reason = "x"
"#;

fn artifact(manifest: &str) -> Artifact {
    static COMPONENT: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    let component = COMPONENT.get_or_init(|| built("sluice-dialer"));
    let packed = pack(component, manifest, None).expect("packed");
    Artifact::read("dialer.wasm", packed).expect("an artifact")
}

async fn plugin() -> &'static Plugin {
    static PLUGIN: OnceCell<Plugin> = OnceCell::const_new();
    PLUGIN
        .get_or_init(|| async {
            let engine = Engine::new(Settings::default()).expect("an engine");
            engine.load(&artifact(MANIFEST)).await.expect("a plugin")
        })
        .await
}

/// Where a guest plays.
#[derive(Default)]
struct Ground {
    door: Option<Arc<Door>>,
    secrets: HashMap<SecretName, Secret>,
    recorder: Arc<Recorder>,
}

impl Ground {
    /// An instance that will do this.
    async fn source(&self, attempt: &str, more: &str) -> Source {
        let artifact = artifact(MANIFEST);
        let named = |name: &SecretName| self.secrets.contains_key(name);
        let manifest = artifact.manifest.without_unnamed(named);
        let grant = format!(
            "[grant]\nplugin = \"sluice/dialer\"\nversion = \"0.1.0\"\ndigest = \"{}\"\npipeline = \"tests\"\n\
             [[tcp]]\nhost = \"db.acme.example\"\nport = 5432\n\
             [[secret]]\nname = \"password\"\nuse = \"reveal\"\n[[secret]]\nname = \"key\"\nuse = \"reveal\"\n",
            artifact.digest
        );
        let effective = Effective::build(
            &manifest,
            &Grant::parse("grant", &grant).expect("a grant"),
            StageId {
                role: Role::Source,
                index: 0,
            },
            &serde_json::json!({}),
            &"tests".parse().expect("a name"),
            Path::new("/"),
        );
        let config =
            format!("{{\"host\":\"db.acme.example\",\"port\":5432,\"try\":\"{attempt}\"{more}}}");
        let secrets: Arc<dyn Secrets> = Arc::new(self.secrets.clone());
        let context = Context {
            effective: Arc::new(effective.expect("all is granted")),
            config,
            http: None,
            tcp: self.door.clone().map(|door| door as _),
            secrets: Some(secrets),
            row_key: [7; 32],
            observer: Arc::clone(&self.recorder) as _,
        };
        plugin().await.source(context).await.expect("an instance")
    }

    async fn fault(&self, attempt: &str, more: &str) -> Fault {
        let mut source = self.source(attempt, more).await;
        source.check().await.expect_err("it says what came of it")
    }

    fn refused(&self) -> Vec<Refusal> {
        self.recorder.refused.lock().expect("no panic").clone()
    }
}

/// Opens what it is asked for, or answers with this error. Its connections say nothing.
#[derive(Default)]
struct Door {
    error: Option<TcpError>,
    open: Arc<AtomicUsize>,
    /// Of each read: how much, how long.
    reads: Arc<Mutex<Vec<(usize, Duration)>>>,
}

struct Silent {
    open: Arc<AtomicUsize>,
    reads: Arc<Mutex<Vec<(usize, Duration)>>>,
}

impl Drop for Silent {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl TcpDoor for Door {
    async fn connect(
        &self,
        host: &str,
        port: u16,
        security: Security,
    ) -> Result<Box<dyn TcpConnection>, TcpError> {
        assert_eq!(
            (host, port, security),
            ("db.acme.example", 5432, Security::Plain)
        );
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        self.open.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(Silent {
            open: Arc::clone(&self.open),
            reads: Arc::clone(&self.reads),
        }))
    }
}

#[async_trait]
impl TcpConnection for Silent {
    async fn read(&mut self, bytes_max: usize, wait: Duration) -> Result<Vec<u8>, TcpError> {
        self.reads.lock().expect("no panic").push((bytes_max, wait));
        Err(TcpError::Timeout {
            to: "db".to_owned(),
            what: "sent nothing",
            after: wait,
        })
    }
    async fn write(&mut self, bytes: &[u8]) -> Result<(), TcpError> {
        if bytes.len() > 1 << 20 {
            return Err(TcpError::Limit("too much".to_owned()));
        }
        Ok(())
    }
    async fn upgrade(&mut self, _: &str) -> Result<(), TcpError> {
        Ok(())
    }
    async fn shutdown(&mut self) -> Result<(), TcpError> {
        Ok(())
    }
    fn server_end_point(&self) -> Option<Vec<u8>> {
        None
    }
}

fn with_door() -> (Ground, Arc<Door>) {
    let door = Arc::new(Door::default());
    let ground = Ground {
        door: Some(Arc::clone(&door)),
        ..Ground::default()
    };
    (ground, door)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_holds_so_many_connections_and_leaves_none_behind() {
    let (ground, door) = with_door();
    let mut hoarder = ground.source("hoard", "").await;
    let fault = hoarder.check().await.expect_err("it is stopped");
    let expected = format!("{TCP_CONNECTIONS_MAX} times, then NetError::Limit");
    assert!(fault.message.contains(&expected), "{fault}");
    assert_eq!(
        door.open.load(Ordering::SeqCst),
        0,
        "the guest let go of them"
    );
    let mut source = ground.source("churn", "").await;
    source
        .check()
        .await
        .expect("one after the other are no flood");
    let mut panicking = ground.source("panic", "").await;
    let fault = panicking.check().await.expect_err("it panics");
    assert_eq!(fault.kind, FaultKind::Trapped);
    assert_eq!(
        door.open.load(Ordering::SeqCst),
        1,
        "nobody ran its destructors"
    );
    drop(panicking);
    assert_eq!(
        door.open.load(Ordering::SeqCst),
        0,
        "it ends with the instance"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_door_says_reaches_the_guest() {
    let (to, reason) = (String::new, || "why".to_owned());
    let refusal = Refusal {
        capability: "tcp",
        asked: "db:5432".to_owned(),
        reason: reason(),
        hint: Some("[[tcp]]".to_owned()),
    };
    let after = Duration::from_secs(1);
    for (error, kind, expected) in [
        (
            TcpError::Denied(refusal),
            FaultKind::Denied,
            "`db:5432` refused: why; hint: [[tcp]]",
        ),
        (
            TcpError::Unreachable {
                to: to(),
                reason: reason(),
            },
            FaultKind::Transient { retry_after: None },
            "cannot reach",
        ),
        (
            TcpError::Timeout {
                to: to(),
                what: "did not answer",
                after,
            },
            FaultKind::Transient { retry_after: None },
            "within 1s",
        ),
        (
            TcpError::Closed {
                to: to(),
                reason: reason(),
            },
            FaultKind::Transient { retry_after: None },
            "is closed: why",
        ),
        (
            TcpError::Tls {
                to: to(),
                reason: reason(),
            },
            FaultKind::Misconfigured,
            "failed: why",
        ),
        (TcpError::Limit(reason()), FaultKind::Broken, "why"),
        (TcpError::Invalid(reason()), FaultKind::Broken, "why"),
    ] {
        let door = Door {
            error: Some(error),
            ..Door::default()
        };
        let ground = Ground {
            door: Some(Arc::new(door)),
            ..Ground::default()
        };
        let fault = ground.fault("connect", "").await;
        assert_eq!(
            std::mem::discriminant(&fault.kind),
            std::mem::discriminant(&kind),
            "{fault}"
        );
        assert!(fault.message.contains(expected), "{fault}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_guest_asks_for_is_bounded() {
    let (ground, door) = with_door();
    ground.fault("wait", "").await;
    ground.fault("read-huge", "").await;
    let reads = door.reads.lock().expect("no panic").clone();
    assert_eq!(reads[0], (1, Duration::from_millis(20)));
    assert_eq!(reads[1].1, TCP_READ_TIME_MAX);
    assert!(
        ground
            .fault("write-huge", "")
            .await
            .message
            .contains("too much")
    );
    assert_eq!(door.open.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_door_every_connection_is_refused_and_told() {
    let ground = Ground::default();
    let fault = ground.fault("connect", "").await;
    assert_eq!(fault.kind, FaultKind::Denied, "{fault}");
    assert_eq!(ground.refused()[0].asked, "db.acme.example:5432");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_is_revealed_where_it_is_granted_and_each_time_is_told() {
    let password = (
        "password".parse().expect("a name"),
        Secret::new(b"made up".to_vec()),
    );
    let ground = Ground {
        secrets: HashMap::from([password]),
        ..Ground::default()
    };
    let fault = ground.fault("reveal", ",\"secret\":\"password\"").await;
    assert_eq!(fault.message, "Some(7)");
    let used = ground.recorder.used.lock().expect("no panic").clone();
    assert_eq!(used, [("secret.reveal", "password".to_owned(), 1)]);
    // Optional, and none is named for it: nothing, and nothing to tell.
    assert_eq!(
        ground.fault("reveal", ",\"secret\":\"key\"").await.message,
        "None"
    );
    assert!(ground.refused().is_empty());
    let fault = ground.fault("reveal", ",\"secret\":\"other\"").await;
    assert_eq!(fault.kind, FaultKind::Denied, "{fault}");
    assert_eq!(
        (ground.refused()[0].capability, &*ground.refused()[0].asked),
        ("secret", "other")
    );
    let fault = ground
        .fault("reveal-often", ",\"secret\":\"password\"")
        .await;
    let expected = format!("{REVEALS_MAX} times, then Broken(\"an instance may have");
    assert!(fault.message.contains(&expected), "{fault}");
    let used = ground.recorder.used.lock().expect("no panic").len();
    assert_eq!(used, 1 + REVEALS_MAX as usize);
    // What cannot be recorded does not happen.
    ground.recorder.is_full.store(true, Ordering::SeqCst);
    let fault = ground.fault("reveal", ",\"secret\":\"password\"").await;
    assert!(
        fault.message.contains("the audit trail cannot be written"),
        "{fault}"
    );
    assert_eq!(ground.recorder.used.lock().expect("no panic").len(), used);
}

#[tokio::test]
async fn what_the_manifest_does_not_ask_for_is_not_linked() {
    let engine = Engine::new(Settings::default()).expect("an engine");
    let head = MANIFEST.split("[[tcp]]").next().expect("a head");
    let tcp = "[[tcp]]\nhost = \"db.acme.example\"\nport = 5432\nreason = \"x\"\n";
    let bearer = "[[secret]]\nname = \"password\"\nuse = \"bearer\"\nreason = \"x\"\n";
    let reveal = bearer.replace("bearer", "reveal");
    for (more, missing, hint) in [
        (reveal, "sluice:plugin/net@0.1.0", "[[tcp]]"),
        (
            format!("{tcp}{bearer}"),
            "sluice:plugin/secrets@0.1.0",
            "use = \"reveal\"",
        ),
    ] {
        match engine.load(&artifact(&format!("{head}{more}"))).await {
            Err(EngineError::Unexplained {
                import, hint: told, ..
            }) => {
                assert_eq!(import, missing);
                assert!(told.contains(hint), "{told}");
            }
            _ => panic!("it imports `{missing}`, and its manifest does not ask for it"),
        }
    }
}
