//! A grant: what is read can be written, and reads the same again; and the most that it could come to can be told.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice_model::grant::Grant;
use sluice_model::ids::Role;
use sluice_policy::Effective;
use std::path::Path;

fuzz_target!(|text: &str| {
    let Ok(grant) = Grant::parse("grant.toml", text) else {
        return;
    };
    let written = toml::to_string(&grant).expect("a grant is plain data");
    assert_eq!(Grant::parse("grant.toml", &written).as_ref(), Ok(&grant));
    for role in [Role::Source, Role::Transform, Role::Sink] {
        if let Ok(effective) = Effective::of_grant_alone(&grant, role, Path::new("/srv")) {
            effective.explained();
        }
    }
});
