//! A transform on one batch, as the host runs it: the edits are checked and applied.

use super::{Table, shape};
use crate::transform::{Edit, Replacement};
use crate::{
    Batch, Column, Edits, Fault, Mask, Packed, Rejection, Schema, Transform, Values, config,
};

/// What a transform made of a batch.
#[derive(Debug, Clone)]
pub struct Applied {
    /// The records that go on.
    pub batch: Table,
    /// The records it refused, by their row in the batch as given.
    pub rejections: Vec<Rejection>,
    /// How many it filtered out.
    pub filtered: usize,
    /// The edits themselves.
    pub edits: Edits,
}

/// The schema that a transform promises with these settings.
pub fn output<T: Transform>(config: &str, input: &Schema) -> Result<Schema, Fault> {
    Ok(T::open(config::parse(config)?, input)?.output())
}

/// Opens a transform for the schema of `batch`, applies it once, and applies its edits as the host would. `config` is
/// JSON. Panics where the host would call the plugin broken: a column that is not what it says, a row that does not
/// exist, an output that is not what was promised.
pub fn apply<T: Transform>(config: &str, batch: &Batch) -> Result<Applied, Fault> {
    let input = batch.as_table().expect("natively every batch is a table");
    let mut transform = T::open(config::parse(config)?, input.schema())?;
    let edits = transform.apply(batch)?;
    let mut state = State {
        table: input.clone(),
        keep: None,
        rejections: Vec::new(),
        origins: None,
        edited: false,
    };
    for edit in edits.0.iter().cloned() {
        state.edit(edit, input.rows());
    }
    state.table = shape::ordered(state.table, &transform.output())
        .unwrap_or_else(|problem| panic!("{problem}"));
    Ok(state.finish(input.rows(), edits))
}

struct State {
    table: Table,
    keep: Option<Mask>,
    rejections: Vec<Rejection>,
    origins: Option<Vec<u32>>,
    edited: bool,
}

impl State {
    fn edit(&mut self, edit: Edit, rows: usize) {
        let stands_beside = match &edit {
            Edit::Reject(_) => false,
            Edit::Replace(_) => self.edited,
            _ => self.origins.is_some(),
        };
        assert!(!stands_beside, "`replace` stands alone: {edit:?}");
        self.edited |= !matches!(edit, Edit::Reject(_));
        match edit {
            Edit::Put(named) => self.put(named),
            Edit::Drop(name) => {
                let at = self.place(&name);
                self.table.schema.fields.remove(at);
                self.table.columns.remove(at);
            }
            Edit::Rename { old, new } => {
                let at = self.place(&old);
                assert!(
                    old == new || self.table.schema.index_of(&new).is_none(),
                    "`{new}` exists already"
                );
                self.table.schema.fields[at].name = new;
            }
            Edit::Keep(mask) => {
                assert!(self.keep.is_none(), "`keep` stands twice");
                assert_eq!(mask.rows(), rows, "`keep` has one bit a row");
                self.keep = Some(mask);
            }
            Edit::Reject(rejections) => {
                let lost = rejections
                    .iter()
                    .find(|rejection| rejection.row as usize >= rows || rejection.part != 0);
                assert!(
                    lost.is_none(),
                    "a rejection of a row that does not exist: {lost:?}"
                );
                self.rejections.extend(rejections);
            }
            Edit::Replace(replacement) => self.replace(replacement, rows),
        }
    }

    fn put(&mut self, named: crate::NamedColumn) {
        if let Err(problem) = shape::check(&named, self.table.rows) {
            panic!("{problem}");
        }
        if let Some(at) = self.table.schema.index_of(&named.field.name) {
            self.table.schema.fields[at] = named.field;
            self.table.columns[at] = named.column;
        } else {
            self.table.schema.fields.push(named.field);
            self.table.columns.push(named.column);
        }
    }

    fn replace(&mut self, new: Replacement, rows: usize) {
        assert_eq!(new.origins.len(), new.rows, "one origin a row");
        assert!(
            new.origins.iter().all(|origin| (*origin as usize) < rows),
            "an origin that does not exist"
        );
        self.origins = Some(new.origins);
        self.table = Table {
            changes: new.changes,
            ..Table::new(new.rows, new.columns)
        };
    }

    fn place(&self, name: &str) -> usize {
        self.table
            .schema
            .index_of(name)
            .unwrap_or_else(|| panic!("an edit names `{name}`, which is not there"))
    }

    /// Invariant: each row given goes on, is refused or is filtered, and never two of these.
    fn finish(self, rows: usize, edits: Edits) -> Applied {
        let Self {
            table,
            keep,
            rejections,
            origins,
            ..
        } = self;
        let mut refused = Mask::none(rows);
        for rejection in &rejections {
            refused.set(rejection.row as usize, true);
        }
        let (batch, stays) = if let Some(origins) = origins {
            let lost = origins.iter().find(|origin| refused.get(**origin as usize));
            assert!(
                lost.is_none(),
                "row {lost:?} is refused, and yet the origin of a new row"
            );
            let mut used = Mask::none(rows);
            for origin in &origins {
                used.set(*origin as usize, true);
            }
            (table, used)
        } else {
            let mut stays = keep.unwrap_or_else(|| Mask::all(rows));
            stays.and(&refused.clone().inverted());
            (select(&table, &stays), stays)
        };
        Applied {
            batch,
            rejections,
            filtered: rows - stays.count() - refused.count(),
            edits,
        }
    }
}

fn select(table: &Table, rows: &Mask) -> Table {
    let kept: Vec<usize> = rows.ones().collect();
    Table {
        rows: kept.len(),
        columns: table
            .columns
            .iter()
            .map(|column| take(column, &kept))
            .collect(),
        changes: table
            .changes
            .as_ref()
            .map(|changes| kept.iter().map(|row| changes[*row]).collect()),
        ..table.clone()
    }
}

fn take(column: &Column, rows: &[usize]) -> Column {
    fn pick<T: Copy>(values: &[T], rows: &[usize]) -> Vec<T> {
        rows.iter().map(|row| values[*row]).collect()
    }
    let packed = |from: &Packed| {
        let mut packed = Packed {
            offsets: vec![0],
            bytes: Vec::new(),
        };
        for row in rows {
            packed.bytes.extend_from_slice(from.row(*row));
            packed
                .offsets
                .push(i32::try_from(packed.bytes.len()).expect("it shrinks"));
        }
        packed
    };
    let values = match &column.values {
        Values::Boolean(bits) => Values::Boolean(
            Mask::from_fn(rows.len(), |at| {
                bits[rows[at] >> 3] >> (rows[at] & 7) & 1 == 1
            })
            .into_bytes(),
        ),
        Values::Int64(values) => Values::Int64(pick(values, rows)),
        Values::Float64(values) => Values::Float64(pick(values, rows)),
        Values::Decimal(bytes) => Values::Decimal(
            rows.iter()
                .flat_map(|row| &bytes[row * 16..row * 16 + 16])
                .copied()
                .collect(),
        ),
        Values::Text(from) => Values::Text(packed(from)),
        Values::Binary(from) => Values::Binary(packed(from)),
        Values::Date(values) => Values::Date(pick(values, rows)),
        Values::Timestamp(values) => Values::Timestamp(pick(values, rows)),
        Values::Json(from) => Values::Json(packed(from)),
    };
    Column::new(
        values,
        column
            .validity
            .as_ref()
            .map(|mask| Mask::from_fn(rows.len(), |at| mask.get(rows[at]))),
    )
}
