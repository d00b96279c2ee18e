//! What a plugin author writes against: a small trait for each kind of plugin and one macro line.
#![doc = include_str!("../README.md")]

// The derive names this crate, also from inside.
extern crate self as sluice_sdk;

#[doc(hidden)]
pub mod bindings;

mod batch;
mod builder;
mod calendar;
mod column;
mod config;
mod fault;
mod mask;
mod schema;

pub mod decimal;
pub mod files;
pub mod framing;
pub mod http;
pub mod log;
pub mod net;
pub mod parquet;
pub mod pattern;
pub mod publish;
pub mod record;
pub mod secret;
pub mod sink;
pub mod source;
pub mod template;
pub mod transform;

#[cfg(not(target_family = "wasm"))]
pub mod testing;

pub use batch::{Batch, RowIds};
pub use builder::{
    BinaryBuilder, BooleanBuilder, DateBuilder, DecimalBuilder, Float64Builder, Int64Builder,
    JsonBuilder, TextBuilder, TimestampBuilder,
};
pub use calendar::NotATime;
pub use column::{
    BinaryView, BooleanView, Column, DecimalView, NamedColumn, Packed, TextView, Values, View,
};
pub use config::parse as parse_config;
pub use fault::{Fault, Rejection};
pub use mask::Mask;
pub use record::{Date, Decimal, Json, Record, Timestamp};
pub use schema::{Change, CsvOutput, DecimalSize, Field, FieldType, Format, Schema, nearest};
pub use sink::Sink;
pub use sluice_derive::Record;
pub use source::{Page, Reader, Source};
pub use transform::{Edits, Transform};
