//! nginx as the server: an authority of one's own, and a certificate that it asks for.

use crate::ground::{Ground, Vault, request, send};
use crate::identity::{Authority, file};
use sluice_model::ports::HttpError;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

/// nginx with this authority's certificate. It ends with this value, and where the test is killed, with its standard
/// input.
struct Nginx {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Nginx {
    /// Lets in whom `clients` vouches for, and says so; everybody where there is none.
    fn start(servers: &Authority, clients: Option<&Authority>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let here = folder.path().display();
        // The socket is open before nginx is, and handed to it: no port is guessed, and nothing is waited for.
        let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = socket.local_addr().expect("an address").port();
        let pair = servers.pair("api.acme.example");
        let verify = clients.map_or(
            "",
            |_| "ssl_client_certificate clients.pem; ssl_verify_client on;",
        );
        let config = format!(
            "daemon off; worker_processes 1; pid {here}/pid; error_log {here}/error.log;\n\
             events {{}}\n\
             http {{ access_log off; client_body_temp_path {here}/a; proxy_temp_path {here}/b;\n\
               fastcgi_temp_path {here}/c; uwsgi_temp_path {here}/d; scgi_temp_path {here}/e;\n\
               server {{ listen 127.0.0.1:{port} ssl; ssl_certificate pair.pem; ssl_certificate_key pair.pem; {verify}\n\
                 location / {{ default_type text/plain; return 200 'hello $ssl_client_s_dn'; }} }} }}\n"
        );
        let write = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).expect("a file");
        };
        write("nginx.conf", &config);
        write("pair.pem", &pair);
        write(
            "clients.pem",
            &clients.map_or(String::new(), Authority::pem),
        );
        let mut command = Command::new("sh");
        // nginx takes a listening socket by its number, as it does from itself on an upgrade.
        let script =
            "\"$1\" -e \"$2/error.log\" -p \"$2\" -c nginx.conf & cat >/dev/null; kill $!; wait";
        command
            .args(["-c", script, "sh", &binary()])
            .arg(folder.path())
            .env("NGINX", "1;")
            .stdin(Stdio::piped())
            .stdout(Stdio::from(std::os::fd::OwnedFd::from(socket)));
        Self {
            child: command.spawn().expect("a shell"),
            port,
            _folder: folder,
        }
    }

    async fn get(&self, ground: Ground) -> Result<(u16, String), HttpError> {
        let door = Ground {
            scheme: "https",
            ..ground
        }
        .door_to(self.port);
        let uri = format!("https://api.acme.example:{}/v2/a", self.port);
        let answer = send(&door, request("GET", &uri, &[], "")).await?;
        Ok((answer.status().as_u16(), answer.into_body()))
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

fn binary() -> String {
    std::env::var("SLUICE_NGINX").expect(
        "SLUICE_NGINX is not set: run `cargo x test`, which installs what these tests need, or set it to the path of \
         nginx",
    )
}

#[tokio::test]
async fn nginx_is_trusted_by_the_grants_authority_alone() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let nginx = Nginx::start(&ours, None);
    let (_folder, both) = file(&ours.pem());
    let answer = nginx
        .get(Ground {
            both,
            ..Ground::default()
        })
        .await;
    assert_eq!(answer.expect("an answer"), (200, "hello ".to_owned()));
    let (_folder, both) = file(&other.pem());
    for both in [both, String::new()] {
        let error = nginx
            .get(Ground {
                both,
                ..Ground::default()
            })
            .await
            .expect_err("a stranger");
        assert!(matches!(&error, HttpError::Tls { .. }), "{error}");
    }
}

#[tokio::test]
async fn nginx_lets_in_whoever_shows_the_right_certificate() {
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let nginx = Nginx::start(&servers, Some(&clients));
    let shown = |value: Option<String>| {
        let (folder, both) = file(&servers.pem());
        let ground = Ground {
            both,
            auth: value.as_ref().map(|_| "mtls"),
            vault: value.map(|value| Vault::with(&value)),
            ..Ground::default()
        };
        (folder, ground)
    };
    let (_folder, known) = shown(Some(clients.pair("sluice.acme.example")));
    let answer = nginx.get(known).await.expect("an answer");
    assert_eq!(answer, (200, "hello CN=sluice.acme.example".to_owned()));
    let (_folder, bare) = shown(None);
    let (status, body) = nginx.get(bare).await.expect("an answer");
    assert!(
        status == 400 && body.contains("No required SSL certificate was sent"),
        "{status} {body}"
    );
    let (_folder, stranger) = shown(Some(servers.pair("sluice.acme.example")));
    let (status, body) = nginx.get(stranger).await.expect("an answer");
    assert!(
        status == 400 && body.contains("The SSL certificate error"),
        "{status} {body}"
    );
}
