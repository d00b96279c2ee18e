//! Requests that are signed: the signature arrives, the key does not.

use crate::ground::{Ground, Vault, get, request, send};
use crate::server::{Server, ok};
use ring::hmac;
use sluice_model::ports::HttpError;

const KEY: &str = "made-up-signing-key-0123";

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<Vec<_>>()
        .concat()
}

#[tokio::test]
async fn a_server_can_verify_what_was_signed() {
    let server = Server::start(|_| ok("")).await;
    let (door, watch) = Ground {
        auth: Some("hmac-sha256:X-Signature"),
        vault: Some(Vault::with(KEY)),
        ..Ground::default()
    }
    .door(&server);
    let uri = format!("http://api.acme.example:{}/v2/a%20b?page=2", server.port());
    send(&door, request("POST", &uri, &[], "hello"))
        .await
        .expect("an answer");
    let sent = server.requests().remove(0);
    let line = sent
        .lines()
        .find_map(|line| line.strip_prefix("x-signature: "))
        .expect("a signature");
    let (time, signature) = line
        .strip_prefix("t=")
        .and_then(|rest| rest.split_once(",v1="))
        .expect("its form");
    let body = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    let text = format!(
        "POST\napi.acme.example:{}\n/v2/a%20b\npage=2\n{time}\n{body}",
        server.port()
    );
    let key = hmac::Key::new(hmac::HMAC_SHA256, KEY.as_bytes());
    assert_eq!(hex(hmac::sign(&key, text.as_bytes()).as_ref()), signature);
    assert!(!sent.contains(KEY));
    assert_eq!(watch.uses()[0].0, "secret token");
}

#[tokio::test]
async fn a_signature_may_be_repeated_and_a_compressed_answer_passed_on() {
    let server = Server::start(ok).await;
    let (door, _) = Ground {
        auth: Some("hmac-sha256:X-Signature"),
        vault: Some(Vault::with(KEY)),
        ..Ground::default()
    }
    .door(&server);
    let answer = get(&door, &server, "/v2/a")
        .await
        .expect("an echo of no secret");
    assert!(answer.body().contains(",v1="));
    let uri = format!("http://api.acme.example:{}/v2/a", server.port());
    let zipped = request("GET", &uri, &[("accept-encoding", "gzip")], "");
    send(&door, zipped).await.expect("an answer");
    let own = request("GET", &uri, &[("x-signature", "mine")], "");
    let error = send(&door, own).await.expect_err("the host's to set");
    assert!(matches!(error, HttpError::Denied(_)), "{error}");
}

fn aws(vault: &str) -> Ground {
    Ground {
        auth: Some("aws-sigv4"),
        vault: Some(Vault::with(vault)),
        terms: "service = \"s3\"\nregion = \"eu-north-1\"\n".to_owned(),
        ..Ground::default()
    }
}

#[tokio::test]
async fn an_aws_request_is_signed_for_what_the_grant_says() {
    let server = Server::start(|_| ok("")).await;
    let keys = "access_key_id = \"AKIDMADEUP\"\nsecret_access_key = \"made-up-secret-key-0123\"\nsession_token = \"made-up-session-token-0123\"\n";
    let (door, watch) = aws(keys).door(&server);
    get(&door, &server, "/v2/a?b=1+2&a")
        .await
        .expect("an answer");
    let sent = server.requests().remove(0);
    assert!(
        sent.starts_with("GET /v2/a?a=&b=1%202 HTTP/1.1\r\n"),
        "{sent}"
    );
    let day = sent.split("x-amz-date: ").nth(1).expect("a date")[..8].to_owned();
    let expected = format!(
        "authorization: AWS4-HMAC-SHA256 Credential=AKIDMADEUP/{day}/eu-north-1/s3/aws4_request, \
         SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token, Signature="
    );
    assert!(sent.contains(&expected), "{sent}");
    assert!(sent.contains("x-amz-security-token: made-up-session-token-0123\r\n"));
    assert!(!sent.contains("made-up-secret-key"));
    assert_eq!(watch.uses()[0].0, "secret token");
    for (name, query) in [
        ("authorization", ""),
        ("x-amz-date", ""),
        ("x-note", "?X-Amz-Signature=1"),
    ] {
        let uri = format!("http://api.acme.example:{}/v2/a{query}", server.port());
        let error = send(&door, request("GET", &uri, &[(name, "mine")], ""))
            .await
            .expect_err(name);
        assert!(matches!(error, HttpError::Denied(_)), "{error}");
    }
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_session_token_is_not_handed_back() {
    let keys = "{\"access_key_id\": \"AKIDMADEUP\", \"secret_access_key\": \"made-up-secret-key-0123\", \"session_token\": \"made-up-session-token-0123\"}";
    for (echo, is_refused) in [
        ("made-up-session-token-0123", true),
        ("made-up-secret-key-0123", true),
        ("AKIDMADEUP", false),
    ] {
        let server = Server::start(move |_| ok(echo)).await;
        let (door, _) = aws(keys).door(&server);
        assert_eq!(
            get(&door, &server, "/v2/a").await.is_err(),
            is_refused,
            "{echo}"
        );
    }
}

#[tokio::test]
async fn a_value_that_is_no_document_is_told_without_a_word_of_it() {
    let server = Server::start(|_| ok("")).await;
    for value in [
        "AKIDMADEUP:hunter2",
        "access_key_id = \"AKIDMADEUP\"\nhunter2 = 1",
    ] {
        let (door, watch) = aws(value).door(&server);
        let error = get(&door, &server, "/v2/a")
            .await
            .expect_err("no keys")
            .to_string();
        assert!(
            error.contains("`secret_access_key`") && !error.contains("hunter2"),
            "{error}"
        );
        assert_eq!((server.connections(), watch.refusals().len()), (0, 1));
    }
}
