//! A real authorization server, and an API that takes its tokens: see `tests/authorization-server`.

use crate::ground::{Ground, Vault, request, send};
use sluice_egress::Door;
use sluice_model::ids::SecretName;
use sluice_model::ports::{HttpError, SecretError, Secrets};
use sluice_model::secret::Secret;
use sluice_upstream::Authorization;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

fn client(id: &str, rest: &str) -> String {
    format!("client_id = \"{id}\"\nclient_secret = \"made-up-client-secret-0123\"\n{rest}")
}

fn door(port: u16, provider: Arc<dyn Secrets>, scopes: &str) -> Door {
    Ground {
        auth: Some("oauth2"),
        provider: Some(provider),
        terms: format!(
            "token_url = \"http://login.acme.example:{port}/token\"\nscopes = [{scopes}]\nnetworks = [\"127.0.0.1/32\"]\n"
        ),
        ..Ground::default()
    }
    .door_to(port)
}

async fn who(door: &Door, port: u16) -> Result<String, HttpError> {
    let uri = format!("http://api.acme.example:{port}/v2/whoami");
    let answer = send(door, request("GET", &uri, &[], "")).await?;
    Ok(format!(
        "{} {}",
        answer.status().as_u16(),
        answer.into_body()
    ))
}

#[tokio::test]
async fn client_credentials_are_traded_and_a_revoked_token_is_renewed() {
    let mut server = Authorization::start();
    let vault = Vault::with(&client("machine", ""));
    let door = door(server.port, vault, "\"contacts.read\"");
    let expected = r#"200 {"client":"machine","scope":"contacts.read"}"#;
    assert_eq!(who(&door, server.port).await.expect("an answer"), expected);
    server.forget();
    assert_eq!(who(&door, server.port).await.expect("an answer"), expected);
}

#[tokio::test]
async fn what_it_refuses_is_told() {
    let server = Authorization::start();
    for (value, expected) in [
        (
            client("machine", "").replace("0123", "4567"),
            "`invalid_client`",
        ),
        (
            client("refreshing", "refresh_token = \"never-given\""),
            "`invalid_grant`",
        ),
    ] {
        let door = door(server.port, Vault::with(&value), "");
        let error = who(&door, server.port)
            .await
            .expect_err(expected)
            .to_string();
        assert!(
            error.contains(expected) && !error.contains("made-up"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_refresh_token_rotates_at_each_trade() {
    let mut server = Authorization::start();
    let vault = Vault::with(&client(
        "refreshing",
        &format!("refresh_token = \"{}\"", server.refresh_token),
    ));
    let door = door(server.port, Arc::<Vault>::clone(&vault), "");
    let mut values = vec![vault.value()];
    for _ in 0..3 {
        let answer = who(&door, server.port).await.expect("an answer");
        assert_eq!(
            answer,
            r#"200 {"client":"refreshing","scope":"offline_access"}"#
        );
        assert!(!values.contains(&vault.value()), "each trade gives another");
        values.push(vault.value());
        server.forget();
    }
}

/// A secret in a file, durable once it is replaced. What `hold` says, it says and waits for ever.
struct OnDisk {
    file: PathBuf,
    hold: bool,
}

impl Secrets for OnDisk {
    fn get(&self, _: &SecretName) -> Result<Option<Secret>, SecretError> {
        Ok(Some(Secret::new(
            std::fs::read(&self.file).expect("a file"),
        )))
    }

    fn replace(&self, _: &SecretName, _: &Secret, value: Secret) -> Result<bool, SecretError> {
        let new = self.file.with_extension("new");
        let mut file = std::fs::File::create(&new).expect("a file");
        file.write_all(value.expose())
            .and_then(|()| file.sync_all())
            .expect("written");
        std::fs::rename(&new, &self.file).expect("in its place");
        let folder = std::fs::File::open(self.file.parent().expect("a folder")).expect("a folder");
        folder.sync_all().expect("durable");
        if self.hold {
            say("stored");
            loop {
                std::thread::park();
            }
        }
        Ok(true)
    }
}

fn say(what: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{what}")
        .and_then(|()| out.flush())
        .expect("the parent reads");
}

const VICTIM: &str = "SLUICE_TEST_TOKEN_VICTIM";

/// The test binary runs itself as the host that is killed: one request, with the secret in this file.
#[tokio::test]
async fn victim() {
    let Ok(said) = std::env::var(VICTIM) else {
        return;
    };
    let [port, hold, file] = said.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{said}")
    };
    let port = port.parse().expect("a port");
    let provider = OnDisk {
        file: file.into(),
        hold: hold == "hold",
    };
    let door = door(port, Arc::new(provider), "");
    match who(&door, port).await {
        Ok(answer) => say(&format!("answer {answer}")),
        Err(error) => say(&format!("error {error}")),
    }
}

/// Starts the host, and gives what it says last; it is killed where it says `stored`.
fn host(port: u16, hold: &str, file: &Path) -> String {
    let mut command = Command::new(std::env::current_exe().expect("this binary"));
    command
        .args(["--exact", "authorization::victim", "--nocapture"])
        .env(VICTIM, format!("{port} {hold} {}", file.display()))
        .stdout(Stdio::piped());
    let mut child = command.spawn().expect("starts");
    let mut last = String::new();
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    for line in lines.map_while(Result::ok) {
        if line == "stored" {
            child.kill().expect("kills"); // SIGKILL.
        }
        if ["stored", "answer ", "error "]
            .iter()
            .any(|word| line.starts_with(word))
        {
            last = line;
        }
    }
    child.wait().expect("ends");
    last
}

#[tokio::test]
async fn a_rotated_refresh_token_survives_a_kill() {
    let server = Authorization::start();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("token");
    let value = |token: &str| client("refreshing", &format!("refresh_token = \"{token}\"\n"));
    std::fs::write(&file, value(&server.refresh_token)).expect("a file");
    let (file_then, port) = (file.clone(), server.port);
    let said = tokio::task::spawn_blocking(move || {
        // Killed when the new refresh token is stored and nothing was done with the access token; twice.
        [
            host(port, "hold", &file_then),
            host(port, "hold", &file_then),
            host(port, "go", &file_then),
        ]
    });
    let said = said.await.expect("three hosts");
    let expected = r#"answer 200 {"client":"refreshing","scope":"offline_access"}"#;
    assert_eq!(said, ["stored", "stored", expected]);
    // It was worth storing: the one before is spent, and would have stopped the pipeline.
    let door = door(server.port, Vault::with(&value(&server.refresh_token)), "");
    let error = who(&door, server.port)
        .await
        .expect_err("spent")
        .to_string();
    assert!(error.contains("`invalid_grant`"), "{error}");
}
