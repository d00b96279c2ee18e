//! How many requests a guest gets through in a second, one after another, beside a pooled client in native code, against
//! the same server on this machine. Each of the guest's is a call of the `rest` source: `wasi:http`, the decision, the
//! header checks, the pool, the answer's limits, the page copied out and its end looked for. The native client asks for
//! the same pages and reads them whole.

use crate::deployment::Host;
use crate::kernels::Plugins;
use anyhow::{Context as _, Result, bail, ensure};
use axum::Router;
use axum::extract::RawQuery;
use axum::routing::get;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::json;
use sluice_engine::{Limit, Next};
use sluice_model::limits::{PAGE_BYTES, PAGE_ROWS};
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

/// Requests per second of a guest, of those of the native client.
const SHARE_MIN: f64 = 0.5;
/// Records of one page, and the text that each carries: pages of about a kibibyte.
const PAGE_RECORDS: usize = 8;
const NOTE: &str =
    "a note that is as long as notes of a customer are, or were, before there was a limit to them";

/// The median over `rounds` rounds of `pages` requests each, the two in turn.
pub fn requests(host: &Host, work: &Path, pages: usize, rounds: usize) -> Result<String> {
    let server = Server::start(pages)?;
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    runtime.block_on(async {
        let plugins = Plugins::new(host, work)?;
        for round in 0..=rounds {
            let native = native(server.address, pages).await?;
            let guest = guest(&plugins, server.address, pages).await?;
            if round > 0 {
                ours.push(guest);
                theirs.push(native);
            }
        }
        anyhow::Ok(())
    })?;
    let (ours, theirs) = (middle(ours), middle(theirs));
    let share = theirs.as_secs_f64() / ours.as_secs_f64();
    let each = |time: Duration| time.as_secs_f64() * 1e6 / pages as f64;
    let word = if share >= SHARE_MIN {
        "holds"
    } else {
        "MISSED"
    };
    Ok(format!(
        "requests: {pages} pages one after another; {rounds} rounds\n\
         native, pooled               {:>7.0} µs each\n\
         a guest, mediated            {:>7.0} µs each\n\
         requests a second            {share:>7.2} of native; at least {SHARE_MIN}: {word}\n",
        each(theirs),
        each(ours)
    ))
}

fn middle(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// All pages, by one client.
async fn native(address: SocketAddr, pages: usize) -> Result<Duration> {
    let client: Client<HttpConnector, Empty<Bytes>> =
        Client::builder(TokioExecutor::new()).build_http();
    let began = Instant::now();
    let mut page = 1;
    loop {
        let uri = format!("http://{address}/items?page={page}").parse()?;
        let answer = client.get(uri).await?;
        ensure!(answer.status().is_success(), "{}", answer.status());
        let body = answer.into_body().collect().await?.to_bytes();
        if body.len() < NOTE.len() {
            break;
        }
        page += 1;
    }
    ensure!(page == pages + 1, "the client saw {page} pages");
    Ok(began.elapsed())
}

/// All pages, by one instance of `rest`.
async fn guest(plugins: &Plugins, address: SocketAddr, pages: usize) -> Result<Duration> {
    let config = json!({
        "base_url": format!("http://{address}"),
        "repeat": true,
        "streams": [{"name": "items", "path": "/items", "pagination": {"style": "page"}}],
    });
    let mut source = plugins.source("rest", &config).await?;
    let splits = source.splits(&["items".parse()?]).await?;
    source
        .open(splits.first().context("no split")?, None)
        .await?;
    let limit = Limit {
        rows: PAGE_ROWS,
        bytes: PAGE_BYTES,
        wait: Duration::ZERO,
    };
    let began = Instant::now();
    let mut with_records = 0;
    loop {
        let page = source.read(limit).await?;
        with_records += page.parts.len();
        match page.next {
            Next::More => {}
            Next::End => break,
            Next::Wait(time) => bail!("the source wants to wait for {time:?}"),
        }
    }
    let took = began.elapsed();
    ensure!(
        with_records >= pages,
        "the guest saw {with_records} pages of {pages}"
    );
    Ok(took)
}

/// Pages of the same records, on threads of its own. It stops with this process.
struct Server {
    address: SocketAddr,
    _runtime: Runtime,
}

impl Server {
    fn start(pages: usize) -> Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let records: Vec<_> = (0..PAGE_RECORDS)
            .map(|id| json!({"id": id, "note": NOTE}))
            .collect();
        let page = Bytes::from(serde_json::to_vec(&records)?);
        let answer = move |RawQuery(query): RawQuery| {
            let page = page.clone();
            async move {
                let number = query
                    .as_deref()
                    .and_then(|query| query.strip_prefix("page="))
                    .and_then(|number| number.parse::<usize>().ok());
                let body = if number.is_some_and(|number| number <= pages) {
                    page
                } else {
                    Bytes::from_static(b"[]")
                };
                ([("content-type", "application/json")], body)
            }
        };
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?;
        let router = Router::new().route("/items", get(answer));
        runtime.spawn(async move { axum::serve(listener, router).await });
        Ok(Self {
            address,
            _runtime: runtime,
        })
    }
}
