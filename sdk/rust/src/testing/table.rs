//! A batch in a test's own memory.

use crate::bindings::source::sluice::plugin::records::ColumnError;
use crate::{Batch, Change, Column, NamedColumn, Record, Schema};
use std::hash::{DefaultHasher, Hash, Hasher};

/// The records of a batch that a test built, or that a plugin made.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    pub(super) schema: Schema,
    pub(super) rows: usize,
    pub(super) columns: Vec<Column>,
    pub(super) changes: Option<Vec<Change>>,
    pub(super) denied: Vec<String>,
}

impl Table {
    /// So many rows of these columns. Panics where a column does not hold `rows` well-formed values.
    pub fn new(rows: usize, columns: Vec<NamedColumn>) -> Self {
        let mut table = Self {
            schema: Schema::new(Vec::new()),
            rows,
            columns: Vec::new(),
            changes: None,
            denied: Vec::new(),
        };
        for named in columns {
            if let Err(problem) = super::shape::check(&named, rows) {
                panic!("{problem}");
            }
            table.schema.fields.push(named.field);
            table.columns.push(named.column);
        }
        table
    }

    /// These records.
    pub fn from_records<R: Record>(records: Vec<R>) -> Self {
        let rows = records.len();
        let mut table = Self::new(rows, R::into_columns(records));
        table.schema.key = R::schema().key;
        table
    }

    /// The same rows, with what each asks for.
    #[must_use]
    pub fn with_changes(mut self, changes: Vec<Change>) -> Self {
        assert_eq!(changes.len(), self.rows, "one change a row");
        self.changes = Some(changes);
        self
    }

    /// The same rows; the plugin is refused this column, as where the grant's `data.reads` does not name it.
    #[must_use]
    pub fn deny(mut self, column: impl Into<String>) -> Self {
        self.denied.push(column.into());
        self
    }

    /// The batch to give to a plugin.
    pub fn into_batch(self) -> Batch<'static> {
        Batch::table(self)
    }

    /// How many rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Every column's name and type.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// What each row asks for.
    pub fn changes(&self) -> Option<&[Change]> {
        self.changes.as_deref()
    }

    pub(crate) fn column(&self, name: &str) -> Result<Column, ColumnError> {
        if self.denied.iter().any(|denied| denied == name) {
            return Err(ColumnError::Denied(format!(
                "add `{name}` to `data.reads` of the grant"
            )));
        }
        let at = self
            .schema
            .index_of(name)
            .ok_or_else(|| ColumnError::Unknown(name.to_owned()))?;
        Ok(self.columns[at].clone())
    }

    /// Made from the key, else from all values; not the host's own, but as stable.
    pub(crate) fn row_ids(&self) -> Vec<u8> {
        let keyed = |name: &String| self.schema.key.is_empty() || self.schema.key.contains(name);
        let fields = || {
            self.schema
                .fields
                .iter()
                .zip(&self.columns)
                .filter(|(field, _)| keyed(&field.name))
        };
        let id = |row: usize| {
            let half = |salt: u8| {
                let mut hasher = DefaultHasher::new();
                salt.hash(&mut hasher);
                for (field, column) in fields() {
                    super::encode::cell(column, field.kind, row, self.rows)
                        .to_string()
                        .hash(&mut hasher);
                }
                hasher.finish().to_le_bytes()
            };
            [half(0), half(1)].concat()
        };
        (0..self.rows).flat_map(id).collect()
    }
}

impl Batch<'static> {
    /// A batch of these columns, for a test. Panics where they are not of one length.
    pub fn from_columns(rows: usize, columns: Vec<NamedColumn>) -> Self {
        Table::new(rows, columns).into_batch()
    }

    /// A batch of these records, for a test.
    pub fn from_records<R: Record>(records: Vec<R>) -> Self {
        Table::from_records(records).into_batch()
    }
}
