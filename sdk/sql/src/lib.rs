//! What plugins for tables of SQL share, whatever their server speaks: how a table is read, page by page in the order of
//! its key or of a column that rises with each change; and how a unit is written, in pieces that are halved down to the
//! row that is refused. Deliberately no protocol, no types and no statement of any server's own.

mod column;
mod conditions;
mod csv;
mod hex;
mod order;
mod page;
mod pieces;
mod place;
mod ranges;
mod settings;
mod unit;

pub use column::Column;
pub use conditions::Conditions;
pub use csv::push_field;
pub use hex::{hex, push_hex, unhex};
pub use order::Order;
pub use page::{PAGE_BYTES_MAX, PageSize};
pub use pieces::Pieces;
pub use place::Place;
pub use ranges::{evenly, splits};
pub use settings::{Mode, Table, check_tables};
pub use unit::Unit;
