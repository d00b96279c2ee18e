//! What a guest may call: each door decides through the policy, bounds what is asked, acts, and answers with types.

pub mod files;
pub mod http;
pub mod log;
pub mod records;
