//! JSON: the scanner and what is read with it.

pub mod items;
pub mod number;
pub mod object;
pub mod scan;
pub mod value;
