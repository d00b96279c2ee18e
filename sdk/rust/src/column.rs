//! One column of a batch: its values as the vectors that crossed the boundary, and typed views over them that copy
//! nothing. Deliberately no arithmetic: see the `map` plugin for whole-column work.

use crate::bindings::source::sluice::plugin::records;
use crate::{Fault, Field, Mask};
use std::fmt;

pub use records::{Packed, Values};

/// One column: a value or nothing for each row.
#[derive(Clone)]
pub struct Column {
    /// In a row without a value: anything.
    pub values: Values,
    /// Set where there is a value; none where every row has one.
    pub validity: Option<Mask>,
    /// For messages; known where the column came from a batch.
    name: Option<Box<str>>,
    /// Known where the column came from a batch or a builder.
    rows: Option<usize>,
}

/// A column with its name and type, as it is handed to the host.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedColumn {
    /// What the column is.
    pub field: Field,
    /// What it holds.
    pub column: Column,
}

impl Column {
    /// A column of these values, all valid where `validity` is none.
    pub fn new(values: Values, validity: Option<Mask>) -> Self {
        Self {
            values,
            validity,
            name: None,
            rows: None,
        }
    }

    /// The same column, and it is known to have so many rows: bits alone tell only a multiple of eight.
    pub(crate) fn of_rows(mut self, rows: usize) -> Self {
        self.rows = Some(rows);
        self
    }

    pub(crate) fn from_wire(name: &str, rows: usize, column: records::Column) -> Self {
        let validity = column.validity.map(|bytes| Mask::from_bytes(bytes, rows));
        Self {
            values: column.values,
            validity,
            name: Some(name.into()),
            rows: Some(rows),
        }
    }

    /// Whether the row has no value.
    #[inline]
    pub fn is_null(&self, row: usize) -> bool {
        self.validity
            .as_ref()
            .is_some_and(|validity| !validity.get(row))
    }

    /// Booleans, else [`Fault::Broken`] that names both types. So do the other views.
    pub fn boolean(&self) -> Result<BooleanView<'_>, Fault> {
        match &self.values {
            Values::Boolean(bits) => Ok(BooleanView { column: self, bits }),
            _ => Err(self.wrong_type("boolean")),
        }
    }

    /// 64-bit integers.
    pub fn int64(&self) -> Result<View<'_, i64>, Fault> {
        match &self.values {
            Values::Int64(values) => Ok(View {
                column: self,
                values,
            }),
            _ => Err(self.wrong_type("int64")),
        }
    }

    /// 64-bit floating point numbers.
    pub fn float64(&self) -> Result<View<'_, f64>, Fault> {
        match &self.values {
            Values::Float64(values) => Ok(View {
                column: self,
                values,
            }),
            _ => Err(self.wrong_type("float64")),
        }
    }

    /// Days since 1970-01-01.
    pub fn date(&self) -> Result<View<'_, i32>, Fault> {
        match &self.values {
            Values::Date(values) => Ok(View {
                column: self,
                values,
            }),
            _ => Err(self.wrong_type("date")),
        }
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    pub fn timestamp(&self) -> Result<View<'_, i64>, Fault> {
        match &self.values {
            Values::Timestamp(values) => Ok(View {
                column: self,
                values,
            }),
            _ => Err(self.wrong_type("timestamp")),
        }
    }

    /// Decimals, unscaled.
    pub fn decimal(&self) -> Result<DecimalView<'_>, Fault> {
        match &self.values {
            Values::Decimal(bytes) => Ok(DecimalView {
                column: self,
                bytes,
            }),
            _ => Err(self.wrong_type("decimal")),
        }
    }

    /// Texts.
    pub fn text(&self) -> Result<TextView<'_>, Fault> {
        match &self.values {
            Values::Text(packed) => Ok(TextView {
                column: self,
                packed,
            }),
            _ => Err(self.wrong_type("text")),
        }
    }

    /// One JSON text a row.
    pub fn json(&self) -> Result<TextView<'_>, Fault> {
        match &self.values {
            Values::Json(packed) => Ok(TextView {
                column: self,
                packed,
            }),
            _ => Err(self.wrong_type("json")),
        }
    }

    /// Bytes.
    pub fn binary(&self) -> Result<BinaryView<'_>, Fault> {
        match &self.values {
            Values::Binary(packed) => Ok(BinaryView {
                column: self,
                packed,
            }),
            _ => Err(self.wrong_type("binary")),
        }
    }

    /// How many rows there are. For booleans that [`Column::new`] was given as bits without a validity: the bits there
    /// are.
    pub fn rows(&self) -> usize {
        if let Some(rows) = self.rows {
            return rows;
        }
        match (&self.validity, &self.values) {
            (Some(validity), _) => validity.rows(),
            (None, Values::Boolean(bits)) => bits.len() * 8,
            (None, Values::Int64(values) | Values::Timestamp(values)) => values.len(),
            (None, Values::Float64(values)) => values.len(),
            (None, Values::Date(values)) => values.len(),
            (None, Values::Decimal(bytes)) => bytes.len() / 16,
            (None, Values::Text(packed) | Values::Binary(packed) | Values::Json(packed)) => {
                packed.rows()
            }
        }
    }

    fn wrong_type(&self, wanted: &str) -> Fault {
        let is = type_word(&self.values);
        match &self.name {
            Some(name) => Fault::broken(format!("column `{name}` is {is}, not {wanted}")),
            None => Fault::broken(format!("the column is {is}, not {wanted}")),
        }
    }
}

/// Whatever they were made from, columns are equal that hold the same.
impl PartialEq for Column {
    fn eq(&self, other: &Self) -> bool {
        self.values == other.values && self.validity == other.validity
    }
}

impl fmt::Debug for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            values, validity, ..
        } = self;
        f.debug_struct("Column")
            .field("values", values)
            .field("validity", validity)
            .finish()
    }
}

impl From<Column> for records::Column {
    fn from(column: Column) -> Self {
        Self {
            values: column.values,
            validity: column.validity.map(Mask::into_bytes),
        }
    }
}

impl NamedColumn {
    /// A column of this name and type.
    pub fn new(field: Field, column: Column) -> Self {
        Self { field, column }
    }
}

impl From<NamedColumn> for records::NamedColumn {
    fn from(named: NamedColumn) -> Self {
        Self {
            field: named.field,
            column: named.column.into(),
        }
    }
}

pub(crate) fn type_word(values: &Values) -> &'static str {
    match values {
        Values::Boolean(_) => "boolean",
        Values::Int64(_) => "int64",
        Values::Float64(_) => "float64",
        Values::Decimal(_) => "decimal",
        Values::Text(_) => "text",
        Values::Binary(_) => "binary",
        Values::Date(_) => "date",
        Values::Timestamp(_) => "timestamp",
        Values::Json(_) => "json",
    }
}

impl Packed {
    /// How many rows.
    pub fn rows(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// The bytes of one row.
    #[inline]
    pub fn row(&self, row: usize) -> &[u8] {
        &self.bytes[place(self.offsets[row])..place(self.offsets[row + 1])]
    }

    /// The bytes of each row, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.offsets
            .windows(2)
            .map(|pair| &self.bytes[place(pair[0])..place(pair[1])])
    }
}

/// Invariant: an offset is not below zero. The host sends none that is; a plugin's own that is indexes nothing.
#[expect(
    clippy::cast_sign_loss,
    reason = "a negative offset becomes one beyond every buffer, which panics"
)]
#[inline]
fn place(offset: i32) -> usize {
    offset as usize
}

/// A column of numbers.
#[derive(Clone, Copy)]
pub struct View<'a, T> {
    column: &'a Column,
    values: &'a [T],
}

impl<'a, T: Copy> View<'a, T> {
    /// The values themselves, whatever stands in rows without one.
    pub fn values(&self) -> &'a [T] {
        self.values
    }

    /// The value of one row.
    #[inline]
    pub fn get(&self, row: usize) -> Option<T> {
        (!self.column.is_null(row)).then(|| self.values[row])
    }

    /// Each row's value.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Option<T>> + use<'a, T> {
        let view = *self;
        (0..view.values.len()).map(move |row| view.get(row))
    }
}

/// A column of booleans.
#[derive(Clone, Copy)]
pub struct BooleanView<'a> {
    column: &'a Column,
    bits: &'a [u8],
}

impl<'a> BooleanView<'a> {
    /// The bits themselves, least significant first, whatever stands in rows without a value.
    pub fn bits(&self) -> &'a [u8] {
        self.bits
    }

    /// Each row's value.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Option<bool>> + use<'a> {
        let view = *self;
        (0..view.column.rows()).map(move |row| view.get(row))
    }

    /// The value of one row.
    #[inline]
    pub fn get(&self, row: usize) -> Option<bool> {
        (!self.column.is_null(row)).then(|| self.bits[row >> 3] >> (row & 7) & 1 == 1)
    }
}

/// A column of decimals, unscaled: `12.34` with scale 2 is `1234`.
#[derive(Clone, Copy)]
pub struct DecimalView<'a> {
    column: &'a Column,
    bytes: &'a [u8],
}

impl<'a> DecimalView<'a> {
    /// The value of one row.
    pub fn get(&self, row: usize) -> Option<i128> {
        let bytes = self.bytes[row * 16..row * 16 + 16]
            .try_into()
            .expect("the slice is 16 bytes long");
        (!self.column.is_null(row)).then(|| i128::from_le_bytes(bytes))
    }

    /// Each row's value.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Option<i128>> + use<'a> {
        let view = *self;
        (0..view.bytes.len() / 16).map(move |row| view.get(row))
    }
}

/// A column of texts.
#[derive(Clone, Copy)]
pub struct TextView<'a> {
    column: &'a Column,
    packed: &'a Packed,
}

impl<'a> TextView<'a> {
    /// All texts end to end, and where each begins.
    pub fn packed(&self) -> &'a Packed {
        self.packed
    }

    /// The value of one row. The host hands over UTF-8 only; were it not, the text is empty.
    #[inline]
    pub fn get(&self, row: usize) -> Option<&'a str> {
        (!self.column.is_null(row))
            .then(|| std::str::from_utf8(self.packed.row(row)).unwrap_or_default())
    }

    /// Each row's value.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Option<&'a str>> + use<'a> {
        let view = *self;
        (0..view.packed.rows()).map(move |row| view.get(row))
    }
}

/// A column of byte strings.
#[derive(Clone, Copy)]
pub struct BinaryView<'a> {
    column: &'a Column,
    packed: &'a Packed,
}

impl<'a> BinaryView<'a> {
    /// All values end to end, and where each begins.
    pub fn packed(&self) -> &'a Packed {
        self.packed
    }

    /// The value of one row.
    #[inline]
    pub fn get(&self, row: usize) -> Option<&'a [u8]> {
        (!self.column.is_null(row)).then(|| self.packed.row(row))
    }

    /// Each row's value.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Option<&'a [u8]>> + use<'a> {
        let view = *self;
        (0..view.packed.rows()).map(move |row| view.get(row))
    }
}

impl fmt::Debug for TextView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
