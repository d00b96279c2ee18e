//! Doors that open, and doors that refuse: what reaches the guest.

mod stage;

use async_trait::async_trait;
use sluice_engine::{Engine, EngineError, Settings};
use sluice_model::fault::FaultKind;
use sluice_model::ids::Role;
use sluice_model::ports::{Body, HttpDoor, HttpError, HttpTimeouts, Refusal};
use stage::behaviour::Behaviour;
use stage::{Stage, artifact, plugin};
use std::sync::Arc;
use std::time::Duration;

/// Answers every request with this error, without a look at its body.
struct Refusing(fn() -> HttpError);

#[async_trait]
impl HttpDoor for Refusing {
    async fn send(
        &self,
        _: http::Request<Body>,
        timeouts: HttpTimeouts,
    ) -> Result<http::Response<Body>, HttpError> {
        assert!(timeouts.connect <= Duration::from_secs(10));
        Err((self.0)())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_door_says_reaches_the_guest() {
    let dir = tempfile::tempdir().expect("a directory");
    let check = async |error: fn() -> HttpError, kind: FaultKind, expected: &str| {
        for behaviour in [Behaviour::HttpNotGranted, Behaviour::HttpEager] {
            let mut stage = Stage::new(behaviour, dir.path());
            stage.http = Some(Arc::new(Refusing(error)));
            let source = plugin().await.source(stage.context(Role::Source)).await;
            let fault = source
                .expect("an instance")
                .check()
                .await
                .expect_err("no answer");
            assert_eq!(fault.kind, kind, "{fault}");
            assert!(fault.message.contains(expected), "{fault}");
        }
    };
    let refusal = || {
        HttpError::Denied(Refusal {
            capability: "http",
            asked: "POST evil.example".to_owned(),
            reason: "not granted".to_owned(),
            hint: Some("[[http]]".to_owned()),
        })
    };
    let told = "`POST evil.example` refused: not granted; hint: [[http]]";
    check(refusal, FaultKind::Denied, told).await;
    let large = || HttpError::TooLarge("too large".to_owned());
    check(large, FaultKind::Broken, "too large").await;
    let dns = || HttpError::Dns {
        host: "x".to_owned(),
        reason: "nxdomain".to_owned(),
    };
    check(dns, FaultKind::Broken, "nxdomain").await;
    let timeout = || HttpError::Timeout {
        host: "x".to_owned(),
        after: Duration::from_secs(1),
    };
    check(timeout, FaultKind::Broken, "ConnectionTimeout").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_call_ends_the_instance() {
    let dir = tempfile::tempdir().expect("a directory");
    let stage = Stage::new(Behaviour::Sleep, dir.path());
    let mut source = plugin()
        .await
        .source(stage.context(Role::Source))
        .await
        .expect("an instance");
    let cancelled = tokio::time::timeout(Duration::from_millis(50), source.check()).await;
    assert!(cancelled.is_err(), "the guest sleeps");
    for _ in 0..2 {
        let fault = source.check().await.expect_err("a thrown-away instance");
        assert_eq!(fault.kind, FaultKind::TimedOut);
        assert!(
            fault.message.contains("its last call was cancelled"),
            "{fault}"
        );
    }
}

#[tokio::test]
async fn a_component_that_reaches_for_more_than_its_manifest_says_is_not_loaded() {
    let mut artifact = artifact("64MiB", "10s");
    artifact.manifest.http.clear();
    let engine = Engine::new(Settings::default()).expect("an engine");
    match engine.load(&artifact).await {
        Err(EngineError::Unexplained { import, hint, .. }) => {
            assert!(
                import.starts_with("wasi:http/") && hint.contains("[[http]]"),
                "{import}: {hint}"
            );
        }
        _ => panic!("it imports `wasi:http`, and its manifest has no [[http]]"),
    }
}

/// Never answers.
struct Silent;

#[async_trait]
impl HttpDoor for Silent {
    async fn send(
        &self,
        _: http::Request<Body>,
        _: HttpTimeouts,
    ) -> Result<http::Response<Body>, HttpError> {
        std::future::pending().await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_has_so_many_requests_open() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut stage = Stage::new(Behaviour::RequestsUnanswered, dir.path());
    stage.http = Some(Arc::new(Silent));
    stage.time = "2s";
    let source = plugin().await.source(stage.context(Role::Source)).await;
    let fault = source
        .expect("an instance")
        .check()
        .await
        .expect_err("one more than may be open");
    assert!(fault.message.contains("ConnectionLimitReached"), "{fault}");
}
