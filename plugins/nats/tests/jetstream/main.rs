//! Both halves of the plugin against as much of JetStream as they speak to, in the test's own memory.

mod fake;
mod publishing;
mod reading;
