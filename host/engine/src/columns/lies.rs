//! Every lie that a column can tell, each alone: it is told by its own words, and nothing after it has to notice.

use super::lift;
use crate::bindings::imports::records as wit;
use sluice_model::limits;

fn field(name: &str, kind: wit::FieldType, nullable: bool) -> wit::Field {
    wit::Field {
        name: name.to_owned(),
        kind,
        nullable,
    }
}

/// What is told of a column of three rows.
fn told(field: wit::Field, values: wit::Values, validity: Option<Vec<u8>>) -> String {
    let column = wit::Column { values, validity };
    match lift::named_column(wit::NamedColumn { field, column }, 3) {
        Ok(_) => "believed".to_owned(),
        Err(lie) => lie.to_string(),
    }
}

fn of(kind: wit::FieldType, values: wit::Values) -> String {
    told(field("c", kind, true), values, None)
}

fn packed(offsets: &[i32], bytes: &[u8]) -> wit::Packed {
    wit::Packed {
        offsets: offsets.to_vec(),
        bytes: bytes.to_vec(),
    }
}

fn text(offsets: &[i32], bytes: &[u8]) -> String {
    let values = wit::Values::Text(packed(offsets, bytes));
    of(wit::FieldType::Text, values)
}

fn json(value: &str) -> String {
    let end = i32::try_from(value.len()).expect("short");
    let values = packed(&[0, 0, 0, end], value.as_bytes());
    // Rows without a value: only the last is looked at.
    let field = field("c", wit::FieldType::Json, true);
    told(field, wit::Values::Json(values), Some(vec![0b100]))
}

#[test]
fn every_lie_about_a_column_is_told() {
    let check =
        |told: String, expected: &str| assert!(told.contains(expected), "{told} is not {expected}");
    let ints = |count: usize| wit::Values::Int64(vec![7; count]);
    let int = wit::FieldType::Int64;
    check(of(int, ints(3)), "believed");
    check(of(int, ints(2)), "2 values for 3 rows");
    check(
        told(field("", int, true), ints(3), None),
        "a name has 1 to 1024 bytes",
    );
    let long = "n".repeat(limits::FIELD_NAME_BYTES_MAX + 1);
    check(
        told(field(&long, int, true), ints(3), None),
        "a name has 1 to 1024 bytes",
    );
    check(
        told(field("c", int, true), ints(3), Some(vec![])),
        "validity: 0 bytes of bits for 3 rows",
    );
    check(
        told(field("c", int, false), ints(3), Some(vec![0b101])),
        "row 1 has no value",
    );
    check(text(&[0, 1, 2, 3], b"abc"), "believed");
    check(text(&[0, 1, 3], b"abc"), "3 offsets for 3 rows");
    check(
        text(&[1, 1, 2, 3], b"abc"),
        "its offsets begin at 1, not at 0",
    );
    check(text(&[0, 2, 1, 3], b"abc"), "its offsets decrease at row 1");
    check(
        text(&[0, 1, 2, 2], b"abc"),
        "its offsets end at 2, its bytes at 3",
    );
    check(text(&[0, 1, 2, 3], b"a\xffc"), "row 1 is not UTF-8");
    check(json("[[1]]"), "believed");
    check(json("[[1]"), "row 2 is not JSON");
    let depth = limits::JSON_DEPTH_MAX + 1;
    check(
        json(&format!("{}{}", "[".repeat(depth), "]".repeat(depth))),
        "row 2 is JSON nested more than 64 deep",
    );
    let decimal = |precision, scale| wit::FieldType::Decimal(wit::DecimalSize { precision, scale });
    let number = |value: i128| value.to_le_bytes().repeat(3);
    check(
        of(decimal(5, 2), wit::Values::Decimal(number(99_999))),
        "believed",
    );
    check(
        of(decimal(5, 2), wit::Values::Decimal(number(100_000))),
        "row 0 has more than 5 digits",
    );
    let one_more = [number(1), vec![0]].concat();
    check(
        of(decimal(5, 2), wit::Values::Decimal(one_more)),
        "49 bytes for 3 rows",
    );
    check(
        of(decimal(39, 2), wit::Values::Decimal(number(1))),
        "there is no decimal(39,2)",
    );
    let changes = lift::changes(&[wit::Change::Delete], 3);
    check(
        changes.map_or_else(|lie| lie.to_string(), |_| "believed".to_owned()),
        "1 changes for 3 rows",
    );
    let schema = wit::Schema {
        fields: vec![field("a", int, true), field("a", int, true)],
        key: Vec::new(),
    };
    check(
        lift::schema(schema).map_or_else(|lie| lie.to_string(), |_| "believed".to_owned()),
        "field `a` stands twice",
    );
}
