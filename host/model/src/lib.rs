//! The words of the house as types: ids, schemas, batches, faults, limits, the files people write, and the
//! ports that other crates implement. Pure: no clock, no disk, no network, no wasmtime, no tokio.

pub mod batch;
pub mod checkpoint;
pub mod contract;
pub mod deployment;
pub mod digest;
pub mod fault;
pub mod grant;
pub mod guards;
pub mod ids;
pub mod lag;
pub mod limits;
pub mod manifest;
pub mod moment;
pub mod pipeline;
pub mod policy;
pub mod ports;
pub mod rejection;
pub mod schedule;
pub mod schema;
pub mod secret;
pub mod signature;
pub mod sizes;
pub mod text;
pub mod tomlfile;
pub mod trust;
pub mod visible;
