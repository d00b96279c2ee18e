//! What `wit-bindgen` makes of the contract, one module a world; the types of `types`, `records`, `log` and `files`
//! are made once and shared. Deliberately nothing written by hand: the rest of the crate wraps it.
#![allow(missing_docs, clippy::all, clippy::pedantic, unused_qualifications)]

/// The world of a source, and the home of what all worlds share.
pub mod source {
    wit_bindgen::generate!({
        path: "../../wit/0.1.0",
        world: "source-plugin",
        pub_export_macro: true,
        export_macro_name: "__export_source",
        default_bindings_module: "sluice_sdk::bindings::source",
        additional_derives: [Clone, PartialEq],
        generate_unused_types: true,
    });
}

/// What only a manifest's `[[tcp]]` and `use = "reveal"` open.
pub mod capabilities {
    wit_bindgen::generate!({
        path: "../../wit/0.1.0",
        world: "capabilities",
        default_bindings_module: "sluice_sdk::bindings::capabilities",
        additional_derives: [Clone, PartialEq],
    });
}

/// The world of a transform.
pub mod transform {
    wit_bindgen::generate!({
        path: "../../wit/0.1.0",
        world: "transform-plugin",
        pub_export_macro: true,
        export_macro_name: "__export_transform",
        default_bindings_module: "sluice_sdk::bindings::transform",
        additional_derives: [Clone, PartialEq],
        with: {
            "sluice:plugin/types@0.1.0": crate::bindings::source::sluice::plugin::types,
            "sluice:plugin/records@0.1.0": crate::bindings::source::sluice::plugin::records,
            "sluice:plugin/log@0.1.0": crate::bindings::source::sluice::plugin::log,
        },
    });
}

/// The world of a sink.
pub mod sink {
    wit_bindgen::generate!({
        path: "../../wit/0.1.0",
        world: "sink-plugin",
        pub_export_macro: true,
        export_macro_name: "__export_sink",
        default_bindings_module: "sluice_sdk::bindings::sink",
        additional_derives: [PartialEq],
        additional_derives_ignore: ["part"],
        with: {
            "sluice:plugin/types@0.1.0": crate::bindings::source::sluice::plugin::types,
            "sluice:plugin/records@0.1.0": crate::bindings::source::sluice::plugin::records,
            "sluice:plugin/log@0.1.0": crate::bindings::source::sluice::plugin::log,
            "sluice:plugin/files@0.1.0": crate::bindings::source::sluice::plugin::files,
        },
    });
}
