//! A manifest: what is read can be written, and reads the same again; and a stage of it is built or refused.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice_model::digest::Digest;
use sluice_model::ids::{Role, StageId};
use sluice_model::manifest::Manifest;
use sluice_policy::{Effective, propose};
use std::path::Path;

fuzz_target!(|text: &str| {
    let Ok(manifest) = Manifest::parse("manifest.toml", text) else {
        return;
    };
    let written = toml::to_string(&manifest).expect("a manifest is plain data");
    assert_eq!(
        Manifest::parse("manifest.toml", &written).as_ref(),
        Ok(&manifest)
    );
    let config = serde_json::json!({ "url": "https://api.acme.example", "dir": "in", "columns": ["a", "b"], "port": 1 });
    let pipeline = "p".parse().expect("a name");
    for role in [Role::Source, Role::Transform, Role::Sink] {
        let proposed = propose(
            &manifest,
            &[(role, &config)],
            Digest::of(b""),
            &pipeline,
            &[],
        );
        let Ok(grant) = proposed else { continue };
        let stage = StageId { role, index: 0 };
        // What is proposed covers what is asked for, and can be explained.
        let effective = Effective::build(
            &manifest,
            &grant,
            stage,
            &config,
            &pipeline,
            Path::new("/srv"),
        );
        let effective = effective.expect("what is proposed is enough");
        effective.explained();
    }
});
