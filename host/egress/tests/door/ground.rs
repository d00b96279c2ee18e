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
    Body, HttpDoor as _, HttpError, HttpTimeouts, LogLine, Observer, Refusal,
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

/// Remembers refusals.
#[derive(Default)]
pub struct Watch(Mutex<Vec<Refusal>>);

impl Watch {
    pub fn refusals(&self) -> Vec<Refusal> {
        self.0.lock().expect("no panic").clone()
    }
}

impl Observer for Watch {
    fn refused(&self, _: StageId, refusal: &Refusal) {
        self.0.lock().expect("no panic").push(refusal.clone());
    }
    fn logged(&self, _: LogLine) {}
}

/// What a test may change about the ground.
pub struct Ground {
    pub scheme: &'static str,
    pub host: &'static str,
    pub networks: &'static str,
    /// `use` of the one secret, where there is one.
    pub auth: Option<&'static str>,
    pub secrets: bool,
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
        let (manifest, grant) = self.files(server.port());
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
        let secrets: HashMap<SecretName, Secret> =
            self.secrets.then_some(secret).into_iter().collect();
        let watch = Arc::new(Watch::default());
        let observer: Arc<dyn Observer> = Arc::<Watch>::clone(&watch);
        let effective = Arc::new(effective.expect("a grant that covers it"));
        (
            Door::new(effective, Arc::new(secrets), names, observer, self.settings),
            watch,
        )
    }

    fn files(&self, port: u16) -> (String, String) {
        let Self {
            scheme,
            host,
            networks,
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
             {to}methods = [\"GET\", \"POST\"]\npaths = [\"/v2/**\"]\nnetworks = [{networks}]\n\
             {to}methods = [\"GET\"]\npaths = [\"/open\"]\n{secret}"
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
