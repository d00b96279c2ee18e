//! The network door: DNS, address rules, HTTP, TCP, TLS, credentials. The only crate that opens sockets for plugins.
//! What may be sent is decided in `policy`; this crate sees to it that nothing else is.

mod answer;
mod connect;
mod credential;
mod door;
mod echo;
mod outgoing;
mod pool;
mod resolve;
mod settings;
mod tcp;

pub use door::Door;
pub use resolve::{Resolver, SystemResolver};
pub use settings::{DoorSettings, public_roots};
pub use tcp::{NetDoor, TcpSettings};
