//! The door against servers on loopback: every check and every limit bites.

mod answers;
mod credentials;
mod destinations;
mod ground;
mod kept;
mod server;
mod tls;
