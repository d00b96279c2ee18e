//! Loads, links, runs and limits a plugin. The only crate that names wasmtime.
//!
//! ```text
//! artifact ─ Engine::load ─ Plugin ─┬─ source    ─ Source          one instance each: a store of its own,
//!              (cache)              ├─ transform ─ TransformStage  under the limits of its stage
//!                                   └─ sink      ─ Sink
//! ```
//!
//! A call into a guest: `Instance::begin` arms the clock, the call runs, `Instance::end` tells what became of it, and
//! throws the instance away where it must. A call out of a guest goes through one of the doors: decide, bound, act.

mod answer;
pub mod artifact;
mod bindings;
mod bounds;
mod cache;
mod columns;
mod door;
mod edits;
mod engine;
mod features;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod guest;
mod instance;
mod json;
mod link;
mod origin;
mod pace;
mod place;
mod plugin;
mod sink;
mod source;
mod splits;
mod stderr;
mod stop;
mod tally;
mod transform;

pub use artifact::{Artifact, ArtifactError, pack};
pub use engine::{Engine, EngineError, Settings};
pub use origin::{Dependency, Origin, Producer, origin};
pub use place::resolved;
pub use plugin::{Context, Plugin};
pub use sink::{Sink, SinkRejection};
pub use sluice_model::checkpoint::Commit;
pub use source::{Content, Limit, Next, Page, PagePart, Source, StreamInfo};
pub use splits::Split;
pub use transform::{Applied, RowRejection, TransformStage};
