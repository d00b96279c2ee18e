//! The contract, as Rust: generated from `wit/`. Imports are bound once and shared by the three worlds.
#![allow(missing_docs, reason = "generated; the contract documents it")]
#![allow(clippy::pedantic, reason = "generated")]

/// What plugins import, and the types all worlds share.
pub mod imports {
    wasmtime::component::bindgen!({
        path: "../../wit/0.1.0",
        inline: "
            package sluice:engine;
            world imports {
                import sluice:plugin/types@0.1.0;
                import sluice:plugin/log@0.1.0;
                import sluice:plugin/records@0.1.0;
                import sluice:plugin/files@0.1.0;
                import sluice:plugin/net@0.1.0;
                import sluice:plugin/secrets@0.1.0;
            }
        ",
        imports: {
            "sluice:plugin/files.[method]readable.list": async | trappable,
            "sluice:plugin/files.[method]writable.list": async | trappable,
            "sluice:plugin/files.[method]writable.create": async | trappable,
            "sluice:plugin/files.[method]writable.rename": async | trappable,
            "sluice:plugin/files.[method]file.finish": async | trappable,
            "sluice:plugin/net.[static]connection.connect": async | trappable,
            "sluice:plugin/net.[method]connection.read": async | trappable,
            "sluice:plugin/net.[method]connection.write": async | trappable,
            "sluice:plugin/net.[method]connection.upgrade": async | trappable,
            "sluice:plugin/net.[method]connection.shutdown": async | trappable,
            "sluice:plugin/secrets.reveal": async | trappable,
            default: trappable,
        },
        with: {
            "sluice:plugin/records.batch": crate::door::records::Handle,
            "sluice:plugin/files.readable": crate::door::files::Readable,
            "sluice:plugin/files.writable": crate::door::files::Writable,
            "sluice:plugin/files.file": crate::door::files::Writing,
            "sluice:plugin/net.connection": crate::door::net::Handle,
        },
    });
    pub use sluice::plugin::{files, log, net, records, secrets, types};
}

macro_rules! world {
    ($name:ident, $inline:literal) => {
        pub mod $name {
            wasmtime::component::bindgen!({
                path: "../../wit/0.1.0",
                inline: $inline,
                exports: { default: async },
                with: {
                    "sluice:plugin/types": crate::bindings::imports::types,
                    "sluice:plugin/records": crate::bindings::imports::records,
                },
            });
            pub use exports::sluice::plugin::$name as wit;
        }
    };
}

world!(
    source,
    "package sluice:engine; world plugin { export sluice:plugin/source@0.1.0; }"
);
world!(
    transform,
    "package sluice:engine; world plugin { export sluice:plugin/transform@0.1.0; }"
);
world!(
    sink,
    "package sluice:engine; world plugin { export sluice:plugin/sink@0.1.0; }"
);
