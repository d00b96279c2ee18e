//! A component's file: it is read or refused, and what is packed again is read the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice_engine::{Artifact, pack};

fuzz_target!(|bytes: &[u8]| {
    let Ok(artifact) = Artifact::read("x.wasm", bytes.to_vec()) else {
        return;
    };
    let schema = artifact.config_schema.as_ref().map(ToString::to_string);
    let packed = pack(bytes, &artifact.manifest_text, schema.as_deref())
        .expect("what was read can be packed");
    let again = Artifact::read("x.wasm", packed).expect("what was packed can be read");
    assert_eq!(again.manifest, artifact.manifest);
    assert_eq!(
        (again.imports, again.roles),
        (artifact.imports, artifact.roles)
    );
});
