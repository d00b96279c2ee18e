//! A pipeline file: it is read or refused, and a refusal points into it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice_model::pipeline::Pipeline;

fuzz_target!(|text: &str| match Pipeline::parse("p.toml", text) {
    Ok(pipeline) => {
        for declared in pipeline.schema.values() {
            drop(declared.schema());
        }
    }
    Err(error) => assert!(
        error
            .line
            .is_none_or(|line| line <= text.matches('\n').count() + 1)
    ),
});
