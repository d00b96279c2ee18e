//! What a guest may import: the contract's interfaces and a small, closed WASI. What is not linked cannot be called.

use crate::bindings::imports::{files, log, net, records, secrets, types};
use crate::door::sockets;
use crate::guest::Guest;
use sluice_model::guards::Guard;
use sluice_model::limits::{HTTP_AUTHORITY_BYTES_MAX, HTTP_METHOD_BYTES_MAX};
use sluice_model::manifest::Manifest;
use sluice_policy::imports;
use wasmtime::component::{HasSelf, Linker, Resource};
use wasmtime::{Engine, StoreContextMut};
use wasmtime_wasi::cli::{WasiCli, WasiCliView as _};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView as _};
use wasmtime_wasi::p2::bindings::{cli, filesystem, random};
use wasmtime_wasi::random::{WasiRandom, WasiRandomView as _};
use wasmtime_wasi_http::WasiHttpView as _;
use wasmtime_wasi_http::p2::bindings::http::types::{HostOutgoingRequest as _, Method};
use wasmtime_wasi_http::p2::types::HostOutgoingRequest as OutgoingRequest;

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

/// Two setters of a request, with an end to what they keep: wasmtime's take texts of any length, which then stand beside
/// the instance's memory for as long as it holds the request.
fn with_short_texts(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut types = linker.instance("wasi:http/types@0.2.12")?;
    types.func_wrap(
        "[method]outgoing-request.set-authority",
        |mut guest: StoreContextMut<'_, Guest>,
         (request, text): (Resource<OutgoingRequest>, Option<String>)| {
            let length = text.as_ref().map_or(0, String::len);
            let is_long = length > Guard::RequestAuthority.limit(HTTP_AUTHORITY_BYTES_MAX);
            Ok((if is_long {
                Err(())
            } else {
                guest.data_mut().http().set_authority(request, text)?
            },))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-request.set-method",
        |mut guest: StoreContextMut<'_, Guest>,
         (request, method): (Resource<OutgoingRequest>, Method)| {
            let length = match &method {
                Method::Other(text) => text.len(),
                _ => 0,
            };
            let is_long = length > Guard::RequestMethod.limit(HTTP_METHOD_BYTES_MAX);
            Ok((if is_long {
                Err(())
            } else {
                guest.data_mut().http().set_method(request, method)?
            },))
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
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
        with_short_texts(&mut linker)?;
    }
    if !manifest.tcp.is_empty() {
        net::add_to_linker::<_, HasSelf<_>>(&mut linker, |guest| guest)?;
    }
    if imports::reveals(manifest) {
        secrets::add_to_linker::<_, HasSelf<_>>(&mut linker, |guest| guest)?;
    }
    Ok(linker)
}
