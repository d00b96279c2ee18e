//! Every access decision, and every report about access. Pure: it decides, others act.

pub mod address;
mod asked;
mod columns;
pub mod effective;
pub mod headers;
pub mod host;
pub mod imports;
pub mod learn;
pub mod path;
mod propose;
mod refuse;
mod rules;
mod settings;
mod start;
mod target;
pub mod used;

pub use effective::Effective;
pub use propose::propose;
pub use refuse::missing_secret;
pub use rules::{Credential, Sending};
pub use start::NotGranted;
pub use target::{Target, TargetError};
