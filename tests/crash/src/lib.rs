//! What the crash tests are made of. Two subjects: the real store, in a worker of its own (`bin/worker.rs`), and the
//! real `sluice`. What is done to them: [`strace`] kills them at a chosen system call, or has the call fail; [`trace`]
//! reads the record of all their calls, from which [`disk`] makes what a disk may hold after a power cut; [`damage`]
//! spoils files. What comes of it, `sluice-crash-checker` judges, which shares no code with the host.
//!
//! `SLUICE_CRASH_TIMES` makes every test so many times as long: `cargo x crash --long`.

pub mod chance;
pub mod damage;
pub mod deployment;
pub mod disk;
pub mod program;
pub mod scratch;
pub mod server;
pub mod shards;
pub mod store;
pub mod strace;
pub mod trace;
pub mod words;
