//! The door against servers on loopback: every check and every limit bites.

mod answers;
mod budgets;
mod credentials;
mod destinations;
mod ground;
mod identity;
mod kept;
mod oauth2;
mod rotation;
mod server;
mod signing;
mod tls;
