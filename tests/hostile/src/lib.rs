//! A plugin that misbehaves: source, transform and sink in one component, with one behaviour at a time. Built on the
//! bare bindings, so that it can lie where the SDK would not let it.
//!
//! Settings: `{"try": "loop", "dir": "…"}`, read in the simplest way that works.
#![cfg(target_family = "wasm")]
#![allow(missing_docs, reason = "a test's guest")]

mod behaviour;
mod check;
mod columns;
mod lies;
mod poison;
mod read;
mod sink;
mod snapshot;
mod transform;
mod web;

use behaviour::Behaviour;

#[allow(
    unsafe_code,
    clippy::all,
    clippy::pedantic,
    unused_qualifications,
    reason = "generated"
)]
mod bindings {
    wit_bindgen::generate!({
        path: "../../wit/0.1.0",
        inline: "
            package sluice:hostile;
            world hostile {
                import sluice:plugin/log@0.1.0;
                import sluice:plugin/files@0.1.0;
                export sluice:plugin/source@0.1.0;
                export sluice:plugin/transform@0.1.0;
                export sluice:plugin/sink@0.1.0;
            }
        ",
        generate_all,
    });
    use super::Hostile;
    export!(Hostile);
}

struct Hostile;

/// The behaviour that the settings name.
fn behaviour(config: &str) -> Behaviour {
    let word = setting(config, "try");
    let found = Behaviour::ALL
        .iter()
        .find(|behaviour| behaviour.word() == word);
    *found.unwrap_or_else(|| panic!("there is no behaviour `{word}`"))
}

/// A text among the settings; empty where there is none.
fn setting(config: &str, name: &str) -> String {
    let key = format!("\"{name}\":\"");
    let found = config
        .split_once(&key)
        .and_then(|(_, rest)| rest.split_once('"'));
    found.map(|(value, _)| value.to_owned()).unwrap_or_default()
}
