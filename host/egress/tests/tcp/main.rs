//! The door for connections against servers on loopback: every check and every limit bites.

mod bounds;
mod destinations;
mod ground;
mod server;
mod tls;
