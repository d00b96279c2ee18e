//! Bounds that no other test reaches: a handshake that never ends, and a file that is no certificate's.

use crate::ground::{Ground, PATIENT, request, send};
use crate::identity::file;
use crate::server::{Reply, Server};
use sluice_egress::DoorSettings;
use sluice_model::ports::{HttpError, HttpTimeouts};
use std::time::Duration;

#[tokio::test]
async fn a_server_that_never_shakes_hands_is_given_up() {
    const QUICK: Duration = Duration::from_millis(30);
    // It waits for the end of a request's head, which the beginning of TLS never has.
    let server = Server::start(|_| Reply::Hang(Vec::new())).await;
    let settings = DoorSettings {
        timeouts_max: HttpTimeouts {
            connect: QUICK,
            ..PATIENT
        },
        ..DoorSettings::default()
    };
    let ground = Ground {
        scheme: "https",
        settings,
        ..Ground::default()
    };
    let (door, _) = ground.door(&server);
    let uri = format!("https://api.acme.example:{}/v2/a", server.port());
    let error = send(&door, request("GET", &uri, &[], ""))
        .await
        .expect_err("no handshake");
    assert!(
        matches!(error, HttpError::Timeout { after: QUICK, .. }),
        "{error}"
    );
}

#[test]
fn a_file_too_large_for_certificates_is_not_read() {
    let (folder, _) = file(&"a".repeat((1 << 20) + 1));
    let told = sluice_egress::read_authority(&folder.path().join("ca.pem")).expect_err("too large");
    assert!(
        told.ends_with("not a file of at most 1048576 bytes"),
        "{told}"
    );
}
