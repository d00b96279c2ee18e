//! A batch of records as a plugin sees it: a handle to what lives in the host. Each call crosses the boundary once,
//! so ask for a column once and keep it.

use crate::bindings::source::sluice::plugin::records;
use crate::{Change, Column, Fault, Format, Packed, Schema};
use std::cell::OnceCell;

#[cfg(not(target_family = "wasm"))]
use crate::testing::Table;

/// A batch of records, which lives in the host. What is not asked for never enters the plugin.
pub struct Batch<'a> {
    inner: Inner<'a>,
    /// Asked for once: each column needs it.
    rows: OnceCell<usize>,
}

enum Inner<'a> {
    Borrowed(&'a records::Batch),
    Owned(records::Batch),
    #[cfg(not(target_family = "wasm"))]
    Table(std::rc::Rc<Table>),
}

impl<'a> Batch<'a> {
    fn new(inner: Inner<'a>) -> Self {
        Self {
            inner,
            rows: OnceCell::new(),
        }
    }

    pub(crate) fn borrowed(batch: &'a records::Batch) -> Self {
        Self::new(Inner::Borrowed(batch))
    }

    pub(crate) fn owned(batch: records::Batch) -> Self {
        Self::new(Inner::Owned(batch))
    }

    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn table(table: Table) -> Self {
        Self::new(Inner::Table(std::rc::Rc::new(table)))
    }

    /// The table behind a batch that a test built.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn as_table(&self) -> Option<&Table> {
        match &self.inner {
            Inner::Table(table) => Some(table),
            _ => None,
        }
    }

    fn host(&self) -> &records::Batch {
        match &self.inner {
            Inner::Borrowed(batch) => batch,
            Inner::Owned(batch) => batch,
            #[cfg(not(target_family = "wasm"))]
            Inner::Table(_) => unreachable!("every method asks for the table first"),
        }
    }

    /// How many records. Cheap.
    pub fn rows(&self) -> usize {
        *self.rows.get_or_init(|| {
            #[cfg(not(target_family = "wasm"))]
            if let Some(table) = self.as_table() {
                return table.rows();
            }
            self.host().rows() as usize
        })
    }

    /// Every column's name and type, granted or not.
    pub fn schema(&self) -> Schema {
        #[cfg(not(target_family = "wasm"))]
        if let Some(table) = self.as_table() {
            return table.schema().clone();
        }
        self.host().schema()
    }

    /// Copies one column in: a few nanoseconds a row. A column the batch does not have is [`Fault::Broken`], one
    /// that is not granted [`Fault::Denied`].
    pub fn column(&self, name: &str) -> Result<Column, Fault> {
        #[cfg(not(target_family = "wasm"))]
        if let Some(table) = self.as_table() {
            return Ok(Column::from_wire(
                name,
                table.rows(),
                table.column(name)?.into(),
            ));
        }
        Ok(Column::from_wire(
            name,
            self.rows(),
            self.host().column(name)?,
        ))
    }

    /// What each row asks for; none where every row is an upsert.
    pub fn changes(&self) -> Option<Vec<Change>> {
        #[cfg(not(target_family = "wasm"))]
        if let Some(table) = self.as_table() {
            return table.changes().map(<[Change]>::to_vec);
        }
        self.host().changes()
    }

    /// A stable identity for each row, the same every time the same record is delivered: what an idempotent sink
    /// sends as its idempotency key.
    pub fn row_ids(&self) -> RowIds {
        #[cfg(not(target_family = "wasm"))]
        if let Some(table) = self.as_table() {
            return RowIds(table.row_ids());
        }
        RowIds(self.host().row_ids())
    }

    /// The granted columns, encoded natively by the host: far cheaper than building text here.
    pub fn encode(&self, format: Format) -> Result<Vec<u8>, Fault> {
        #[cfg(not(target_family = "wasm"))]
        if let Some(table) = self.as_table() {
            return Ok(table.encode(format));
        }
        Ok(self.host().encode(format)?)
    }

    /// One whole Parquet file of batches of one schema, in their order, encoded natively by the host: the granted columns,
    /// without the records that ask to be deleted. One batch at least.
    pub fn encode_parquet(batches: Vec<Batch<'static>>) -> Result<Vec<u8>, Fault> {
        #[cfg(not(target_family = "wasm"))]
        if batches.iter().all(|batch| batch.as_table().is_some()) {
            return Ok(crate::testing::parquet(&batches));
        }
        let handles = batches.into_iter().filter_map(|batch| {
            let Inner::Owned(handle) = batch.inner else {
                return None;
            };
            Some(handle)
        });
        Ok(records::encode_parquet(handles.collect())?)
    }

    /// The same, one JSON object a row: for sinks that send one record in each request.
    pub fn encode_rows(&self) -> Result<Packed, Fault> {
        #[cfg(not(target_family = "wasm"))]
        if let Some(table) = self.as_table() {
            return table.encode_rows();
        }
        Ok(self.host().encode_rows()?)
    }
}

impl std::fmt::Debug for Batch<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batch")
            .field("rows", &self.rows())
            .field("schema", &self.schema())
            .finish()
    }
}

/// The identity of each row of a batch, 16 bytes each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowIds(Vec<u8>);

impl RowIds {
    /// One row's identity.
    pub fn get(&self, row: usize) -> &[u8] {
        &self.0[row * 16..row * 16 + 16]
    }

    /// One row's identity as 32 hexadecimal digits.
    pub fn hex(&self, row: usize) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        self.get(row)
            .iter()
            .flat_map(|byte| {
                [
                    DIGITS[usize::from(byte >> 4)],
                    DIGITS[usize::from(byte & 15)],
                ]
            })
            .map(char::from)
            .collect()
    }

    /// All of them, end to end.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}
