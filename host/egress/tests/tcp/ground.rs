//! A door onto loopback servers: a manifest, a grant, names that resolve as the test says, an observer that remembers.

use async_trait::async_trait;
use sluice_egress::{NetDoor, Resolver, TcpSettings};
use sluice_model::grant::Grant;
use sluice_model::ids::{Role, StageId};
use sluice_model::manifest::Manifest;
use sluice_model::ports::{
    LogLine, Observer, Refusal, Security, TcpConnection, TcpDoor as _, TcpError, Used,
};
use sluice_policy::{Effective, Organisation};
use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Longer than any test takes.
pub const PATIENT: Duration = Duration::from_mins(1);

/// Remembers all it hears.
#[derive(Default)]
pub struct Watch {
    refusals: Mutex<Vec<Refusal>>,
    used: Mutex<Vec<(String, u64, u64, u64)>>,
}

impl Watch {
    pub fn refusals(&self) -> Vec<Refusal> {
        self.refusals.lock().expect("no panic").clone()
    }

    /// Connections and bytes, out and in, all in all; each of them of this name.
    pub fn used(&self, name: &str) -> (u64, u64, u64) {
        let used = self.used.lock().expect("no panic");
        used.iter().fold((0, 0, 0), |sum, (of, times, out, into)| {
            assert_eq!(of, name);
            (sum.0 + times, sum.1 + out, sum.2 + into)
        })
    }
}

impl Observer for Watch {
    fn refused(&self, _: StageId, refusal: &Refusal) {
        self.refusals
            .lock()
            .expect("no panic")
            .push(refusal.clone());
    }
    fn logged(&self, _: LogLine) {}
    fn used(&self, _: StageId, used: &Used<'_>) {
        assert_eq!(used.capability, "tcp");
        let told = (
            used.name.to_owned(),
            used.times,
            used.bytes_out,
            used.bytes_in,
        );
        self.used.lock().expect("no panic").push(told);
    }
}

/// `*.acme.example` lead to loopback, but those that say otherwise in their name.
struct Names;

#[async_trait]
impl Resolver for Names {
    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, String> {
        let addresses: &[&str] = match name {
            "private.acme.example" => &["10.0.0.7"],
            "metadata.acme.example" => &["169.254.169.254"],
            "mapped.acme.example" => &["::ffff:127.0.0.2"],
            "mixed.acme.example" => &["127.0.0.1", "10.0.0.7"],
            "many.acme.example" => &["127.0.0.1"; 33],
            "none.acme.example" => &[],
            "second.acme.example" => &["127.0.0.9", "127.0.0.1"],
            "nowhere.acme.example" => return Err("no such name".to_owned()),
            "silent.acme.example" => std::future::pending().await,
            _ => &["127.0.0.1"],
        };
        Ok(addresses
            .iter()
            .map(|text| text.parse().expect("an address"))
            .collect())
    }
}

/// What a test may change about the ground.
pub struct Ground {
    /// What the manifest asks for, beside the port.
    pub asks: Vec<&'static str>,
    /// What the grant allows, beside the port.
    pub allows: Vec<&'static str>,
    pub networks: &'static str,
    /// More lines of each entry of the grant.
    pub terms: String,
    /// The organisation's.
    pub policy: &'static str,
    pub settings: TcpSettings,
}

impl Default for Ground {
    fn default() -> Self {
        Self {
            asks: vec!["*.acme.example", "127.0.0.1"],
            allows: vec!["*.acme.example", "127.0.0.1"],
            networks: "\"127.0.0.1/32\"",
            terms: String::new(),
            policy: "",
            settings: TcpSettings::default(),
        }
    }
}

impl Ground {
    /// The door, and who watches it.
    pub fn door(self, port: u16) -> (NetDoor, Arc<Watch>) {
        let mut manifest = "[plugin]\nname = \"acme/db\"\nversion = \"1.0.0\"\ninterface = \"sluice:plugin@0.1\"\n\
            description = \"x\"\n"
            .to_owned();
        let mut grant = "[grant]\nplugin = \"acme/db\"\nversion = \"1.0.0\"\npipeline = \"crm\"\n\
            digest = \"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"\n"
            .to_owned();
        for host in &self.asks {
            write!(
                manifest,
                "[[tcp]]\nhost = \"{host}\"\nport = {port}\nreason = \"x\"\n"
            )
            .expect("memory");
        }
        for host in &self.allows {
            let Self {
                networks, terms, ..
            } = &self;
            write!(
                grant,
                "[[tcp]]\nhost = \"{host}\"\nport = {port}\nnetworks = [{networks}]\n{terms}\n"
            )
            .expect("memory");
        }
        let stage = StageId {
            role: Role::Source,
            index: 0,
        };
        let effective = Effective::build(
            &Manifest::parse("manifest.toml", &manifest).expect("a manifest"),
            &Grant::parse("grant.toml", &grant).expect("a grant"),
            stage,
            &serde_json::json!({}),
            &"crm".parse().expect("a name"),
            Path::new("/"),
        );
        let effective = effective.expect("a grant that covers it");
        let policy = Organisation::read("policy.toml", self.policy).expect("a policy");
        let effective = effective.under(Arc::new(policy));
        let effective = Arc::new(effective.expect("a policy that leaves some of it"));
        let watch = Arc::new(Watch::default());
        let observer: Arc<dyn Observer> = Arc::<Watch>::clone(&watch);
        let door = NetDoor::new(effective, Arc::new(Names), observer, self.settings);
        (door, watch)
    }
}

/// A folder with this file in it.
pub fn file(name: &str, content: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(name);
    std::fs::write(&path, content).expect("a file");
    (folder, path)
}

pub async fn plain(
    door: &NetDoor,
    host: &str,
    port: u16,
) -> Result<Box<dyn TcpConnection>, TcpError> {
    door.connect(host, port, Security::Plain).await
}

pub async fn tls(
    door: &NetDoor,
    host: &str,
    port: u16,
) -> Result<Box<dyn TcpConnection>, TcpError> {
    door.connect(host, port, Security::Tls).await
}

/// Reads until there are so many bytes.
pub async fn read(connection: &mut dyn TcpConnection, bytes: usize) -> Vec<u8> {
    let mut got = Vec::new();
    while got.len() < bytes {
        let more = connection
            .read(bytes - got.len(), PATIENT)
            .await
            .expect("bytes");
        assert!(!more.is_empty(), "it ended after {got:?}");
        got.extend(more);
    }
    got
}

/// Its kind and its text.
pub fn told<T>(outcome: Result<T, TcpError>) -> (&'static str, String) {
    let error = outcome.map(|_| ()).expect_err("it fails");
    let kind = match error {
        TcpError::Denied(_) => "denied",
        TcpError::Unreachable { .. } => "unreachable",
        TcpError::Timeout { .. } => "timeout",
        TcpError::Closed { .. } => "closed",
        TcpError::Tls { .. } => "tls",
        TcpError::Limit(_) => "limit",
        TcpError::Invalid(_) => "invalid",
    };
    (kind, error.to_string())
}
