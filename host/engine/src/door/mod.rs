//! What a guest may call: each door decides through the policy, bounds what is asked, acts, and answers with types.

pub mod files;
pub mod http;
pub mod log;
pub mod net;
pub mod records;
pub mod secrets;
pub mod sockets;
