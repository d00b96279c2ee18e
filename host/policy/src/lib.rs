//! Every access decision, and every report about access. Pure: it decides, others act.

pub mod effective;

pub use effective::Effective;
