//! The door against servers on loopback: every check and every limit bites. Most are scripted, so that they can
//! misbehave; nginx and an authorization server are real, and `cargo x test` says where they are.

mod answers;
mod authorization;
mod bounds;
mod budgets;
mod credentials;
mod destinations;
mod ground;
mod hostile;
mod identity;
mod kept;
mod nginx;
mod oauth2;
mod rotation;
mod server;
mod signing;
mod tls;
