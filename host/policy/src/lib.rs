//! Every access decision, and every report about access. Pure: it decides, others act.

pub mod address;
mod asked;
pub mod asks;
mod budget;
mod columns;
pub mod diff;
pub mod effective;
pub mod headers;
pub mod host;
pub mod imports;
pub mod learn;
mod organisation;
pub mod path;
mod propose;
mod reach;
mod refuse;
pub mod risk;
mod rules;
mod settings;
mod start;
mod target;
mod terms;
pub mod trust;
mod upgrade;
pub mod used;

pub use budget::{Budget, Spent, Turns};
pub use effective::{Effective, Explained, Sought, SoughtError};
pub use organisation::{Forbidden, Organisation};
pub use propose::propose;
pub use refuse::missing_secret;
pub use rules::{Credential, Sending};
pub use start::NotGranted;
pub use target::{Target, TargetError};
pub use terms::{Terms, TokenTerms};
pub use upgrade::{Asking, Upgrade, upgrade};
