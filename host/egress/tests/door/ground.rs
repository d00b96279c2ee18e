//! A door onto a loopback server: a manifest, a grant, names that resolve as the test says, an observer that
//! remembers.

use crate::server::Server;
use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use sluice_egress::{Door, DoorSettings, Resolver};
use sluice_model::grant::Grant;
use sluice_model::ids::{Role, SecretName, StageId};
use sluice_model::manifest::Manifest;
use sluice_model::ports::{
    Body, HttpDoor as _, HttpError, HttpTimeouts, LogLine, Observer, Refusal, SecretError, Secrets,
    Used,
};
use sluice_model::secret::Secret;
use sluice_policy::Effective;
use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub const SECRET: &str = "user:s3cret-value-0123456789";

/// Answers in turn; the last one stays.
pub struct Names {
    answers: Vec<Vec<IpAddr>>,
    asked: AtomicUsize,
}

impl Names {
    pub fn new(answers: &[&[&str]]) -> Arc<Self> {
        let address = |text: &&str| text.parse().expect("an address");
        let answers = answers
            .iter()
            .map(|answer| answer.iter().map(address).collect())
            .collect();
        Arc::new(Self {
            answers,
            asked: AtomicUsize::new(0),
        })
    }

    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Resolver for Names {
    async fn resolve(&self, _: &str) -> Result<Vec<IpAddr>, String> {
        let turn = self.asked.fetch_add(1, Ordering::SeqCst);
        let answer = self.answers.get(turn).or(self.answers.last());
        answer.cloned().ok_or_else(|| "no such name".to_owned())
    }
}

/// Remembers refusals and uses.
#[derive(Default)]
pub struct Watch {
    refusals: Mutex<Vec<Refusal>>,
    /// `capability name`, how often, bytes out, bytes in.
    uses: Mutex<Vec<(String, u64, u64, u64)>>,
}

impl Watch {
    pub fn refusals(&self) -> Vec<Refusal> {
        self.refusals.lock().expect("no panic").clone()
    }

    pub fn uses(&self) -> Vec<(String, u64, u64, u64)> {
        self.uses.lock().expect("no panic").clone()
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
        let what = format!("{} {}", used.capability, used.name);
        let use_ = (what, used.times, used.bytes_out, used.bytes_in);
        self.uses.lock().expect("no panic").push(use_);
    }
}

/// One secret, `token`, that changes while the door is open.
#[derive(Default)]
pub struct Vault {
    value: Mutex<Option<String>>,
    /// Whether it cannot be written to.
    pub is_full: std::sync::atomic::AtomicBool,
}

impl Vault {
    pub fn with(value: &str) -> Arc<Self> {
        let vault = Self::default();
        vault.set(value);
        Arc::new(vault)
    }

    pub fn set(&self, value: &str) {
        *self.value.lock().expect("no panic") = Some(value.to_owned());
    }

    pub fn value(&self) -> String {
        self.value
            .lock()
            .expect("no panic")
            .clone()
            .expect("a value")
    }
}

impl Secrets for Vault {
    fn get(&self, _: &SecretName) -> Result<Option<Secret>, SecretError> {
        let value = self.value.lock().expect("no panic").clone();
        Ok(value.map(|value| Secret::new(value.into_bytes())))
    }

    fn replace(&self, name: &SecretName, old: &Secret, value: Secret) -> Result<bool, SecretError> {
        if self.is_full.load(Ordering::SeqCst) {
            return Err(SecretError {
                name: name.clone(),
                reason: "no space left".to_owned(),
            });
        }
        let mut current = self.value.lock().expect("no panic");
        if current.as_deref().map(str::as_bytes) != Some(old.expose()) {
            return Ok(false);
        }
        let value = std::str::from_utf8(value.expose()).expect("text");
        *current = Some(value.to_owned());
        Ok(true)
    }
}

/// What a test may change about the ground.
pub struct Ground {
    pub scheme: &'static str,
    pub host: &'static str,
    pub networks: &'static str,
    /// `use` of the one secret, where there is one.
    pub auth: Option<&'static str>,
    /// Whether it has a value.
    pub secrets: bool,
    /// Who knows its value, where it is not [`SECRET`].
    pub vault: Option<Arc<Vault>>,
    /// The same, of another kind.
    pub provider: Option<Arc<dyn Secrets>>,
    /// More lines of the grant: of both `[[http]]`, of the first, of the `[[secret]]`.
    pub both: String,
    pub first: String,
    pub terms: String,
    pub names: Arc<Names>,
    pub settings: DoorSettings,
}

impl Default for Ground {
    fn default() -> Self {
        Self {
            scheme: "http",
            host: "api.acme.example",
            networks: "\"127.0.0.1/32\"",
            auth: None,
            secrets: true,
            vault: None,
            provider: None,
            both: String::new(),
            first: String::new(),
            terms: String::new(),
            names: Names::new(&[&["127.0.0.1"]]),
            settings: DoorSettings::default(),
        }
    }
}

impl Ground {
    /// The door, and who watches it.
    pub fn door(self, server: &Server) -> (Door, Arc<Watch>) {
        let names: Arc<dyn Resolver> = Arc::<Names>::clone(&self.names);
        self.door_with(server, names)
    }

    pub fn door_with(self, server: &Server, names: Arc<dyn Resolver>) -> (Door, Arc<Watch>) {
        self.door_at(server.port(), names)
    }

    /// The door onto whatever listens there.
    pub fn door_to(self, port: u16) -> Door {
        let names: Arc<dyn Resolver> = Arc::<Names>::clone(&self.names);
        self.door_at(port, names).0
    }

    fn door_at(self, port: u16, names: Arc<dyn Resolver>) -> (Door, Arc<Watch>) {
        let (manifest, grant) = self.files(port);
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
        let secret = (name("token"), Secret::new(SECRET.as_bytes().to_vec()));
        let fixed: HashMap<SecretName, Secret> =
            self.secrets.then_some(secret).into_iter().collect();
        let secrets: Arc<dyn Secrets> = match (self.provider, self.vault) {
            (Some(provider), _) => provider,
            (None, Some(vault)) => vault,
            (None, None) => Arc::new(fixed),
        };
        let watch = Arc::new(Watch::default());
        let observer: Arc<dyn Observer> = Arc::<Watch>::clone(&watch);
        let effective = Arc::new(effective.expect("a grant that covers it"));
        (
            Door::new(effective, secrets, names, observer, self.settings),
            watch,
        )
    }

    fn files(&self, port: u16) -> (String, String) {
        let Self {
            scheme,
            host,
            networks,
            both,
            first,
            terms,
            ..
        } = self;
        let auth = self.auth.map_or("", |_| "auth = \"token\"\n");
        let secret = self.auth.map_or(String::new(), |place| {
            format!("[[secret]]\nname = \"token\"\nuse = \"{place}\"\n")
        });
        let reason = if secret.is_empty() {
            ""
        } else {
            "reason = \"x\"\n"
        };
        let to = format!("[[http]]\nhost = \"{host}\"\nscheme = \"{scheme}\"\nport = {port}\n");
        let manifest = format!(
            "[plugin]\nname = \"acme/crm\"\nversion = \"1.0.0\"\ninterface = \"sluice:plugin@0.1\"\ndescription = \"x\"\n\
             {to}methods = [\"GET\", \"POST\"]\npaths = [\"/v2/**\"]\nreason = \"x\"\n{auth}\
             {to}methods = [\"GET\"]\npaths = [\"/open\"]\nreason = \"x\"\n{secret}{reason}"
        );
        let grant = format!(
            "[grant]\nplugin = \"acme/crm\"\nversion = \"1.0.0\"\npipeline = \"crm\"\n\
             digest = \"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"\n\
             {to}methods = [\"GET\", \"POST\"]\npaths = [\"/v2/**\"]\nnetworks = [{networks}]\n{both}{first}\
             {to}methods = [\"GET\"]\npaths = [\"/open\"]\n{both}{secret}{terms}"
        );
        (manifest, grant)
    }
}

fn name(text: &str) -> SecretName {
    text.parse().expect("a name")
}

pub const PATIENT: HttpTimeouts = HttpTimeouts {
    connect: Duration::from_secs(30),
    first_byte: Duration::from_secs(30),
    between_bytes: Duration::from_secs(30),
};

pub fn request(method: &str, uri: &str, headers: &[(&str, &str)], body: &str) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request
        .body(whole(Bytes::copy_from_slice(body.as_bytes())))
        .expect("a request")
}

pub fn whole(bytes: Bytes) -> Body {
    Full::new(bytes)
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// Sends and reads the whole answer.
pub async fn send(door: &Door, request: Request<Body>) -> Result<Response<String>, HttpError> {
    let (head, body) = door.send(request, PATIENT).await?.into_parts();
    // A door that forgot its own limit fails here, and does not fill the machine.
    let body = Limited::new(body, 64 << 20)
        .collect()
        .await
        .map_err(|error| *error.downcast::<HttpError>().expect("our error"))?;
    Ok(Response::from_parts(
        head,
        String::from_utf8_lossy(&body.to_bytes()).into_owned(),
    ))
}

pub async fn get(door: &Door, server: &Server, path: &str) -> Result<Response<String>, HttpError> {
    let uri = format!("http://api.acme.example:{}{path}", server.port());
    send(door, request("GET", &uri, &[], "")).await
}
