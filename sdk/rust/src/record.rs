//! Records as an author's own struct: `#[derive(Record)]`, the types its fields may have, and the way to columns and
//! back. Rows are pleasant, columns are fast: a transform that touches two of forty columns wants columns.

mod value;

pub use value::{Date, Decimal, FromValue, Json, Timestamp, Value};
#[doc(hidden)]
pub use value::{bind, column, field, get};

use crate::{Batch, Fault, NamedColumn, Rejection, Schema};

/// A struct that stands for one record; derive it.
///
/// ```
/// use sluice_sdk::{Date, Decimal, FieldType, Record};
///
/// #[derive(Record)]
/// struct Order {
///     #[record(key)]
///     id: i64,
///     #[record(name = "customer_name")]
///     customer: Option<String>,
///     total: Decimal<18, 2>,
///     placed: Date,
/// }
///
/// let schema = Order::schema();
/// assert_eq!(schema.key, ["id"]);
/// assert_eq!(schema.fields[1].name, "customer_name");
/// assert!(schema.fields[1].nullable);
/// assert_eq!(schema.fields[2].kind, FieldType::decimal(18, 2));
/// ```
pub trait Record: Sized {
    /// The fields, in the order they stand in.
    fn schema() -> Schema;

    /// The same records as columns.
    fn into_columns(records: Vec<Self>) -> Vec<NamedColumn>;
}

/// A [`Record`] that owns its values, so that it can be read from a batch: see [`Batch::records`]. Derived with it.
pub trait FromBatch: Record {
    /// The columns that are read, opened.
    #[doc(hidden)]
    type Columns;

    /// Reads the columns of this struct out of a batch.
    #[doc(hidden)]
    fn bind(batch: &Batch) -> Result<Self::Columns, Fault>;

    /// One row. A row without a value where the struct needs one is a rejection.
    #[doc(hidden)]
    fn row(columns: &Self::Columns, row: usize) -> Result<Self, Rejection>;
}

impl Batch<'_> {
    /// The rows, each a record or the rejection of one that has no value where `R` needs one. Reads each column of
    /// `R` once. A column that is missing or of another type is [`Fault::Misconfigured`], one that is not granted
    /// [`Fault::Denied`].
    pub fn records<R: FromBatch>(&self) -> Result<Rows<R>, Fault> {
        Ok(Rows {
            columns: R::bind(self)?,
            next: 0,
            end: self.rows(),
        })
    }
}

/// The rows of a batch: see [`Batch::records`].
pub struct Rows<R: FromBatch> {
    columns: R::Columns,
    next: usize,
    end: usize,
}

impl<R: FromBatch> Iterator for Rows<R> {
    type Item = Result<R, Rejection>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = self.next;
        (row < self.end).then(|| {
            self.next += 1;
            R::row(&self.columns, row)
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.end - self.next;
        (left, Some(left))
    }
}

impl<R: FromBatch> ExactSizeIterator for Rows<R> {}
