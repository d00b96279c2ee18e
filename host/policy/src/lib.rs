//! Every access decision, and every report about access. Pure: it decides, others act.

pub mod address;
mod asked;
mod columns;
pub mod effective;
pub mod headers;
pub mod host;
pub mod imports;
mod organisation;
pub mod path;
mod propose;
mod refuse;
mod rules;
mod settings;
mod start;
mod target;

pub use effective::{Effective, Explained, Sought, SoughtError};
pub use organisation::{Forbidden, Organisation};
pub use propose::propose;
pub use refuse::missing_secret;
pub use rules::{Credential, Sending};
pub use start::NotGranted;
pub use target::{Target, TargetError};
