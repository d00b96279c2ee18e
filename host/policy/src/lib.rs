//! Every access decision, and every report about access. Pure: it decides, others act.

pub mod address;
mod asked;
mod budget;
mod columns;
pub mod effective;
pub mod headers;
pub mod host;
pub mod imports;
pub mod path;
mod propose;
mod refuse;
mod rules;
mod settings;
mod start;
mod target;
mod terms;

pub use budget::{Budget, Spent, Turns};
pub use effective::Effective;
pub use propose::propose;
pub use refuse::missing_secret;
pub use rules::{Credential, Sending};
pub use start::NotGranted;
pub use target::{Target, TargetError};
pub use terms::{Terms, TokenTerms};
