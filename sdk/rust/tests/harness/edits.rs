//! What a transform says of its records: each edit is applied in its turn, and an unsound one is refused.

use crate::{id, rows, word};
use sluice_sdk::testing;
use sluice_sdk::transform::Replacement;
use sluice_sdk::{
    Batch, Change, Column, Edits, Fault, Field, FieldType, Mask, NamedColumn, Packed, Rejection,
    Schema, Transform, Values,
};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Gives back whatever the test put on the shelf.
struct Shelf;

thread_local! {
    static SHELF: std::cell::RefCell<(Edits, Vec<Field>)> = const { std::cell::RefCell::new((Edits::new(), Vec::new())) };
}

impl Transform for Shelf {
    type Config = ();
    fn open((): (), _: &Schema) -> Result<Self, Fault> {
        Ok(Self)
    }
    fn output(&self) -> Schema {
        Schema::new(SHELF.with(|shelf| shelf.borrow().1.clone()))
    }
    fn apply(&mut self, _: &Batch) -> Result<Edits, Fault> {
        Ok(SHELF.with(|shelf| shelf.borrow().0.clone()))
    }
}

fn apply(edits: &Edits, output: &[Field]) -> Result<testing::Applied, String> {
    SHELF.with(|shelf| *shelf.borrow_mut() = (edits.clone(), output.to_vec()));
    let run = || testing::apply::<Shelf>("null", &rows().into_batch()).expect("no fault");
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic
            .downcast::<&str>()
            .map_or_else(|_| "?".into(), |text| (*text).to_owned()),
    })
}

#[test]
fn edits_are_applied_in_order() {
    let mut edits = Edits::new();
    edits
        .put(
            Field::new("flag", FieldType::Boolean),
            Column::new(Values::Boolean(vec![0b101]), None),
        )
        .rename("word", "text")
        .drop("id")
        .keep(Mask::from_fn(3, |row| row != 1))
        .reject(vec![Rejection::new(0, "no", "because")])
        .reject(vec![]);
    let output = [
        Field::new("text", FieldType::Text).nullable(),
        Field::new("flag", FieldType::Boolean),
    ];
    let applied = apply(&edits, &output).expect("sound");
    assert_eq!(
        applied.batch.objects(),
        [serde_json::json!({"text": "say \"c\"", "flag": true})]
    );
    assert_eq!((applied.filtered, applied.rejections.len()), (1, 1));

    let mut edits = Edits::new();
    let columns = vec![NamedColumn::new(
        id(),
        Column::new(Values::Int64(vec![7, 8]), None),
    )];
    let changes = Some(vec![Change::Upsert, Change::Delete]);
    edits.replace(Replacement {
        rows: 2,
        columns,
        changes,
        origins: vec![0, 0],
    });
    let applied = apply(&edits, &[id()]).expect("sound");
    assert_eq!(
        (applied.batch.rows(), applied.filtered),
        (2, 2),
        "rows 1 and 2 went nowhere"
    );
    assert_eq!(
        applied.batch.changes(),
        Some(&[Change::Upsert, Change::Delete][..])
    );
}

#[test]
fn unsound_edits_are_refused() {
    let text = |offsets: Vec<i32>, bytes: &[u8]| {
        Values::Text(Packed {
            offsets,
            bytes: bytes.to_vec(),
        })
    };
    let put = |field: Field, values: Values, validity: Option<Mask>| {
        let mut edits = Edits::new();
        edits.put(field, Column::new(values, validity));
        edits
    };
    let edits = |make: &dyn Fn(&mut Edits)| {
        let mut edits = Edits::new();
        make(&mut edits);
        edits
    };
    let both = [id(), word()];
    for (edits, problem) in [
        (
            put(word(), text(vec![0, 1, 1], b"a"), None),
            "has 3 offsets for 3 rows",
        ),
        (
            put(word(), text(vec![1, 1, 1, 1], b"a"), None),
            "offsets that do not begin with 0",
        ),
        (
            put(word(), text(vec![0, 2, 1, 1], b"a"), None),
            "offsets that do not begin with 0",
        ),
        (
            put(word(), text(vec![0, 0, 0, 2], b"a"), None),
            "offsets that do not begin with 0",
        ),
        (
            put(word(), text(vec![0, 1, 2, 2], "ö".as_bytes()), None),
            "row 0 is not UTF-8",
        ),
        (
            put(id(), Values::Int64(vec![1]), None),
            "has 1 values for 3 rows",
        ),
        (
            put(id(), Values::Float64(vec![1.0; 3]), None),
            "is said to be int64 and holds float64",
        ),
        (
            put(id(), Values::Int64(vec![1; 3]), Some(Mask::none(3))),
            "lacks values and is not nullable",
        ),
        (
            put(id(), Values::Int64(vec![1; 3]), Some(Mask::all(2))),
            "has 2 validity bits for 3 rows",
        ),
        (
            put(
                Field::new("b", FieldType::Boolean),
                Values::Boolean(vec![0, 0]),
                None,
            ),
            "2 bytes of bits for 3 rows",
        ),
        (
            put(
                Field::new("j", FieldType::Json),
                Values::Json(Packed {
                    offsets: vec![0, 1, 2, 3],
                    bytes: b"11{".to_vec(),
                }),
                None,
            ),
            "row 2 is not JSON",
        ),
        (
            put(
                Field::new("d", FieldType::decimal(1, 0)),
                Values::Decimal(
                    [9_i128, -9, 10]
                        .iter()
                        .flat_map(|n| n.to_le_bytes())
                        .collect(),
                ),
                None,
            ),
            "row 2 does not fit decimal(1,0)",
        ),
        (
            put(
                Field::new("new", FieldType::Int64),
                Values::Int64(vec![1; 3]),
                None,
            ),
            "`output` promised",
        ),
        (
            edits(&|edits| {
                edits.drop("nothing");
            }),
            "names `nothing`, which is not there",
        ),
        (
            edits(&|edits| {
                edits.rename("id", "word");
            }),
            "`word` exists already",
        ),
        (
            edits(&|edits| {
                edits.keep(Mask::all(3)).keep(Mask::all(3));
            }),
            "`keep` stands twice",
        ),
        (
            edits(&|edits| {
                edits.keep(Mask::all(2));
            }),
            "one bit a row",
        ),
        (
            edits(&|edits| {
                edits.reject(vec![Rejection::new(3, "x", "y")]);
            }),
            "a row that does not exist",
        ),
        (
            edits(&|edits| {
                edits
                    .replace(Replacement {
                        rows: 0,
                        columns: vec![],
                        changes: None,
                        origins: vec![],
                    })
                    .drop("id");
            }),
            "stands alone",
        ),
        (
            edits(&|edits| {
                edits.replace(Replacement {
                    rows: 1,
                    columns: vec![],
                    changes: None,
                    origins: vec![3],
                });
            }),
            "an origin that does not exist",
        ),
        (
            edits(&|edits| {
                edits.drop("id").replace(Replacement {
                    rows: 0,
                    columns: vec![],
                    changes: None,
                    origins: vec![],
                });
            }),
            "stands alone",
        ),
        (
            edits(&|edits| {
                edits
                    .reject(vec![Rejection::new(0, "x", "y")])
                    .replace(Replacement {
                        rows: 1,
                        columns: vec![
                            NamedColumn::new(id(), Column::new(Values::Int64(vec![1]), None)),
                            NamedColumn::new(word(), Column::new(text(vec![0, 0], b""), None)),
                        ],
                        changes: None,
                        origins: vec![0],
                    });
            }),
            "is refused, and yet the origin of a new row",
        ),
    ] {
        let refused = apply(&edits, &both).expect_err(problem);
        assert!(refused.contains(problem), "{refused} / {problem}");
    }
}
