//! Every access decision, and every report about access. Pure: it decides, others act.

pub mod address;
mod asked;
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
mod tcp;

pub use effective::Effective;
pub use propose::propose;
pub use refuse::{missing_secret, no_sockets};
pub use rules::{Credential, Sending};
pub use start::NotGranted;
pub use target::{Target, TargetError};
pub use tcp::{Carried, Connecting, Endpoint, TcpTerms};
