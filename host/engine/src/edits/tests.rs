//! What becomes of rows and columns under any list of edits.
#![allow(clippy::cast_possible_wrap, reason = "a test has few rows")]

mod lies;

use super::*;
use crate::bindings::imports::records as wit;
use crate::bindings::transform::wit::Rename;
use arrow_array::cast::AsArray as _;
use arrow_array::types::Int64Type;
use arrow_array::{Int64Array, StringArray};
use proptest::prelude::*;
use sluice_model::batch::{Places, Rows};
use sluice_model::grant::Grant;
use sluice_model::ids::{Role, StageId};
use sluice_model::manifest::Manifest;
use sluice_model::schema::FieldType;
use std::collections::BTreeSet;
use std::path::Path;

pub(crate) fn effective(writes: &str) -> Effective {
    let data = format!("[data]\nreads = [\"*\"]\nwrites = {writes}\n");
    let manifest = format!(
        "[plugin]\nname = \"a/b\"\nversion = \"1.0.0\"\ninterface = \"sluice:plugin@0.1\"\ndescription = \"b\"\n{data}"
    );
    let digest = "0".repeat(64);
    let grant = format!(
        "[grant]\nplugin = \"a/b\"\nversion = \"1.0.0\"\ndigest = \"sha256:{digest}\"\npipeline = \"p\"\n{data}"
    );
    let manifest = Manifest::parse("m", &manifest).expect("a manifest");
    let grant = Grant::parse("g", &grant).expect("a grant");
    let stage = StageId {
        role: Role::Transform,
        index: 0,
    };
    let pipeline = "p".parse().expect("a name");
    Effective::build(
        &manifest,
        &grant,
        stage,
        &serde_json::json!({}),
        &pipeline,
        Path::new("/"),
    )
    .expect("granted")
}

/// `id` counts from zero; `name` is text. The rows came from every second row of what entered.
fn batch(rows: usize, changes: bool) -> Batch {
    let fields = vec![
        Field::new("id", FieldType::Int64, false),
        Field::new("name", FieldType::Text, true),
    ];
    let schema = Arc::new(Schema::new(fields, vec!["id".to_owned()]).expect("a schema"));
    let columns = |rows: usize, step: i64| -> RecordBatch {
        let ids: ArrayRef = Arc::new((0..rows as i64).map(|id| id * step).collect::<Int64Array>());
        let names: ArrayRef = Arc::new(
            (0..rows)
                .map(|row| Some(format!("n{row}")))
                .collect::<StringArray>(),
        );
        RecordBatch::try_new(Arc::clone(schema.arrow()), vec![ids, names]).expect("a batch")
    };
    let change = |row: usize| {
        if row.is_multiple_of(3) {
            Change::Delete
        } else {
            Change::Upsert
        }
    };
    let stream = "s".parse().expect("a name");
    let entered = Batch::entering(
        stream,
        Arc::clone(&schema),
        columns(rows * 2, 1),
        None,
        Places::none(),
    );
    let mut batch = Batch {
        data: columns(rows, 2),
        ..entered
    };
    batch.origin.rows = Rows::Picked(Arc::new((0..rows as u32).map(|row| row * 2).collect()));
    batch.changes = changes.then(|| Arc::new((0..rows).map(change).collect()));
    batch
}

fn int_column(name: &str, values: Vec<i64>) -> wit::NamedColumn {
    wit::NamedColumn {
        field: wit::Field {
            name: name.to_owned(),
            kind: wit::FieldType::Int64,
            nullable: false,
        },
        column: wit::Column {
            values: wit::Values::Int64(values),
            validity: None,
        },
    }
}

fn reject(rows: &[u32]) -> Edit {
    let rejection = |row: &u32| Rejection {
        part: 0,
        row: *row,
        code: "no".to_owned(),
        message: row.to_string(),
    };
    Edit::Reject(rows.iter().map(rejection).collect())
}

fn schema(fields: &[(&str, FieldType, bool)]) -> Arc<Schema> {
    let fields = fields
        .iter()
        .map(|(name, kind, nullable)| Field::new(*name, *kind, *nullable))
        .collect();
    Arc::new(Schema::new(fields, vec![]).expect("a schema"))
}

fn ids(batch: &Batch) -> Vec<i64> {
    let index = batch.schema.index_of("id").expect("the column");
    batch
        .data
        .column(index)
        .as_primitive::<Int64Type>()
        .values()
        .to_vec()
}

proptest! {
    #[test]
    fn every_row_has_one_fate(
        rows in 0..40_usize,
        keep in prop::option::of(prop::collection::vec(any::<bool>(), 40)),
        rejects in prop::collection::vec(0..40_u32, 0..8),
        changes in any::<bool>(),
        rejects_first in any::<bool>(),
    ) {
        let batch = batch(rows, changes);
        let rejects: Vec<u32> = rejects.into_iter().filter(|row| (*row as usize) < rows).collect();
        let keep = keep.map(|keep| keep[..rows].to_vec());
        let mut edits = vec![reject(&rejects)];
        if let Some(keep) = &keep {
            let bits = keep.iter().copied().collect::<BooleanBuffer>();
            let bits = bits.sliced().as_slice()[..rows.div_ceil(8)].to_vec();
            edits.insert(usize::from(rejects_first), Edit::Keep(bits));
        }
        let applied = apply(&batch, edits, &batch.schema.clone(), &effective("[]")).expect("sound edits");
        let rejected: BTreeSet<usize> = rejects.iter().map(|row| *row as usize).collect();
        let kept: Vec<usize> = (0..rows)
            .filter(|row| keep.as_ref().is_none_or(|keep| keep[*row]) && !rejected.contains(row))
            .collect();
        let told: Vec<usize> = applied.rejected.iter().map(|rejection| rejection.row).collect();
        prop_assert_eq!(told, rejected.iter().copied().collect::<Vec<_>>());
        prop_assert_eq!(applied.filtered as usize, rows - kept.len() - rejected.len());
        prop_assert_eq!(ids(&applied.batch), kept.iter().map(|row| *row as i64 * 2).collect::<Vec<_>>());
        for (row, from) in kept.iter().enumerate() {
            prop_assert_eq!(applied.batch.entered_row(row), from * 2);
            prop_assert_eq!(
                applied.batch.changes.as_ref().map(|changes| changes[row]),
                batch.changes.as_ref().map(|changes| changes[*from])
            );
        }
    }

    #[test]
    fn replaced_rows_remember_where_they_came_from(
        rows in 1..20_usize,
        origins in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
    ) {
        let batch = batch(rows, false);
        let origins: Vec<u32> = origins.iter().map(|index| index.index(rows) as u32).collect();
        let unused = (0..rows as u32).find(|row| !origins.contains(row));
        let replacement = Replacement {
            rows: origins.len() as u32,
            columns: vec![int_column("id", origins.iter().map(|origin| i64::from(*origin)).collect())],
            changes: None,
            origins: origins.clone(),
        };
        let edits = vec![Edit::Replace(replacement), reject(&unused.into_iter().collect::<Vec<_>>())];
        let output = schema(&[("id", FieldType::Int64, false)]);
        let applied = apply(&batch, edits, &output, &effective("[\"*\"]")).expect("sound edits");
        let used: BTreeSet<u32> = origins.iter().copied().collect();
        prop_assert_eq!(rows, used.len() + applied.rejected.len() + applied.filtered as usize);
        for (row, origin) in origins.iter().enumerate() {
            prop_assert_eq!(applied.batch.entered_row(row), *origin as usize * 2);
        }
    }
}

#[test]
fn untouched_columns_are_not_copied() {
    let batch = batch(5, false);
    let edits = vec![Edit::Put(int_column("twice", vec![0, 2, 4, 6, 8]))];
    let output = schema(&[
        ("id", FieldType::Int64, false),
        ("name", FieldType::Text, true),
        ("twice", FieldType::Int64, false),
    ]);
    let applied = apply(&batch, edits, &output, &effective("[\"twice\"]")).expect("sound edits");
    assert!(Arc::ptr_eq(
        applied.batch.data.column(1),
        batch.data.column(1)
    ));
    let same = apply(&batch, vec![], &batch.schema, &effective("[]")).expect("no edits");
    assert!(Arc::ptr_eq(same.batch.data.column(0), batch.data.column(0)));
    assert_eq!((same.filtered, same.rejected.len()), (0, 0));
}

#[test]
fn columns_come_out_in_the_promised_order_and_names() {
    let batch = batch(2, false);
    let edits = vec![
        Edit::Rename(Rename {
            old: "name".to_owned(),
            new: "label".to_owned(),
        }),
        Edit::Put(int_column("name", vec![7, 8])),
        Edit::Drop("id".to_owned()),
    ];
    let output = schema(&[
        ("name", FieldType::Int64, false),
        ("label", FieldType::Text, true),
    ]);
    let applied = apply(&batch, edits, &output, &effective("[\"*\"]")).expect("sound edits");
    assert_eq!(applied.batch.data.schema(), *output.arrow());
    assert_eq!(
        applied
            .batch
            .data
            .column(0)
            .as_primitive::<Int64Type>()
            .values()
            .to_vec(),
        [7, 8]
    );
    assert_eq!(
        applied.batch.data.column(1).as_string::<i32>().value(1),
        "n1"
    );
}

#[test]
fn the_first_reason_for_a_row_counts() {
    let batch = batch(3, false);
    let mut again = reject(&[1]);
    if let Edit::Reject(rejections) = &mut again {
        rejections[0].message = "later".to_owned();
    }
    let edits = vec![reject(&[1, 1]), again];
    let applied =
        apply(&batch, edits, &batch.schema.clone(), &effective("[]")).expect("sound edits");
    assert_eq!(applied.rejected.len(), 1);
    assert_eq!(applied.rejected[0].message, "1");
}
