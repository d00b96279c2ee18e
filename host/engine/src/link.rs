//! What a guest may import: the contract's interfaces and a small, closed WASI. What is not linked cannot be called.

use crate::bindings::imports::{files, log, net, records, secrets, types};
use crate::door::sockets;
use crate::guest::Guest;
use sluice_model::manifest::Manifest;
use sluice_policy::imports;
use wasmtime::Engine;
use wasmtime::component::{HasSelf, Linker};
use wasmtime_wasi::cli::{WasiCli, WasiCliView as _};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView as _};
use wasmtime_wasi::p2::bindings::{cli, filesystem, random};
use wasmtime_wasi::random::{WasiRandom, WasiRandomView as _};

/// What every plugin has: its records, its log, and what language runtimes import without using it. WASI comes
/// without variables, arguments or directories; its sockets refuse.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    let l = &mut linker;
    // Streams, clocks, random bytes, standard input and output.
    wasmtime_wasi::p2::add_to_linker_proxy_interfaces_async(l)?;
    random::insecure::add_to_linker::<_, WasiRandom>(l, Guest::random)?;
    random::insecure_seed::add_to_linker::<_, WasiRandom>(l, Guest::random)?;
    cli::exit::add_to_linker::<_, WasiCli>(l, Guest::cli)?;
    cli::environment::add_to_linker::<_, WasiCli>(l, Guest::cli)?;
    cli::terminal_input::add_to_linker::<_, WasiCli>(l, Guest::cli)?;
    cli::terminal_output::add_to_linker::<_, WasiCli>(l, Guest::cli)?;
    cli::terminal_stdin::add_to_linker::<_, WasiCli>(l, Guest::cli)?;
    cli::terminal_stdout::add_to_linker::<_, WasiCli>(l, Guest::cli)?;
    cli::terminal_stderr::add_to_linker::<_, WasiCli>(l, Guest::cli)?;
    filesystem::preopens::add_to_linker::<_, WasiFilesystem>(l, Guest::filesystem)?;
    filesystem::types::add_to_linker::<_, WasiFilesystem>(l, Guest::filesystem)?;
    sockets::add_to_linker(l)?;
    types::add_to_linker::<_, HasSelf<_>>(l, |guest| guest)?;
    log::add_to_linker::<_, HasSelf<_>>(l, |guest| guest)?;
    records::add_to_linker::<_, HasSelf<_>>(l, |guest| guest)?;
    Ok(linker)
}

/// The doors that this manifest asks for, beside what every plugin has. Each call is decided by the stage's grant.
pub(crate) fn with_doors(
    base: &Linker<Guest>,
    manifest: &Manifest,
) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = base.clone();
    if !manifest.dir.is_empty() {
        files::add_to_linker::<_, HasSelf<_>>(&mut linker, |guest| guest)?;
    }
    if !manifest.http.is_empty() {
        wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    }
    if !manifest.tcp.is_empty() {
        net::add_to_linker::<_, HasSelf<_>>(&mut linker, |guest| guest)?;
    }
    if imports::reveals(manifest) {
        secrets::add_to_linker::<_, HasSelf<_>>(&mut linker, |guest| guest)?;
    }
    Ok(linker)
}
