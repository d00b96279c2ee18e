//! Loads, links, runs and limits a plugin. The only crate that names wasmtime.
