//! The network door: DNS, address rules, HTTP, TCP, TLS, credentials. The only crate that opens sockets for plugins.
//! What may be sent is decided in `policy`; this crate sees to it that nothing else is.

mod answer;
mod attach;
mod budgets;
mod connect;
mod credential;
mod document;
mod door;
mod echo;
mod exchange;
mod hex;
mod identity;
mod keyring;
mod meter;
mod oauth2;
mod outgoing;
mod pool;
mod resolve;
mod settings;
mod signature;
mod sigv4;
mod tcp;
mod tokens;

pub use door::Door;
pub use identity::read_authority;
pub use resolve::{Resolver, SystemResolver};
pub use settings::{DoorSettings, public_roots};
pub use tcp::{NetDoor, TcpSettings};
