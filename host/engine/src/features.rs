//! Which of WebAssembly a plugin may use: a list of what is allowed, so that what wasmtime learns next year is
//! refused until somebody allows it here. Held twice, by the validator that reads an artifact and by the compiler.

use sluice_model::guards::Guard;
use wasmparser::WasmFeatures;

/// What language toolchains emit today, and nothing else. Left out on purpose: threads and shared-everything (races
/// with the host's reads), memory64 and multi-memory (bounds checks that cost, bugs that escaped), GC, function
/// references, exceptions and stack switching (young, large), relaxed SIMD (results differ by machine), custom page
/// sizes, and the component model's async, threading, GC, map and error-context extras.
///
/// Invariant: nothing else validates (test: `refused_features`).
pub(crate) const ALLOWED: WasmFeatures = WasmFeatures::MUTABLE_GLOBAL
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::REFERENCE_TYPES)
    .union(WasmFeatures::MULTI_VALUE)
    .union(WasmFeatures::BULK_MEMORY)
    .union(WasmFeatures::SIMD)
    .union(WasmFeatures::TAIL_CALL)
    .union(WasmFeatures::FLOATS)
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::COMPONENT_MODEL);

/// [`ALLOWED`], and without this guard one feature more that wasmtime has.
pub(crate) fn allowed(guard: Guard) -> WasmFeatures {
    if guard.stands() {
        ALLOWED
    } else {
        ALLOWED.union(WasmFeatures::MULTI_MEMORY)
    }
}
