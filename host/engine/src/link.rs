//! What a guest may import: the contract's interfaces and a small, closed WASI. What is not linked cannot be called.

use crate::bindings::imports::{files, log, records, types};
use crate::guest::Guest;
use wasmtime::Engine;
use wasmtime::component::{HasSelf, Linker};

/// One linker for every plugin: what it links decides at each call what the stage may do. WASI comes without
/// variables, arguments, directories or addresses; `wasi:http` sends through the stage's door or not at all.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    types::add_to_linker::<_, HasSelf<_>>(&mut linker, |guest| guest)?;
    log::add_to_linker::<_, HasSelf<_>>(&mut linker, |guest| guest)?;
    records::add_to_linker::<_, HasSelf<_>>(&mut linker, |guest| guest)?;
    files::add_to_linker::<_, HasSelf<_>>(&mut linker, |guest| guest)?;
    Ok(linker)
}
