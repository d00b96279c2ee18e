//! `#[derive(Record)]` with every type a field may have, there and back.

use sluice_sdk::testing::Table;
use sluice_sdk::{
    Batch, Column, Date, Decimal, Fault, Field, FieldType, Json, NamedColumn, Record, Rejection,
    Timestamp, Values,
};

#[derive(Record, Debug, Clone, PartialEq)]
struct Everything {
    #[record(key)]
    id: i64,
    flag: bool,
    ratio: f64,
    #[record(name = "full name")]
    name: String,
    r#type: Vec<u8>,
    born: Date,
    #[record(key)]
    seen: Timestamp,
    price: Decimal<18, 2>,
    extra: Json,
    nickname: Option<String>,
    age: Option<i64>,
    active: Option<bool>,
}

fn record(id: i64) -> Everything {
    let some = id % 2 == 0;
    Everything {
        id,
        flag: some,
        ratio: 0.5,
        name: format!("Ünal {id}"),
        r#type: vec![0xff, 0],
        born: Date(-1),
        seen: Timestamp(1_500_000),
        price: Decimal(-1_205),
        extra: Json(r#"{"a":[1]}"#.into()),
        nickname: some.then(|| "x".into()),
        age: some.then_some(id),
        active: some.then_some(false),
    }
}

#[test]
fn the_schema_says_what_the_struct_says() {
    let schema = Everything::schema();
    let fields: Vec<String> = schema
        .fields
        .iter()
        .map(|field| {
            format!(
                "{} {}{}",
                field.name,
                field.kind,
                if field.nullable { "?" } else { "" }
            )
        })
        .collect();
    let expected = "id int64|flag boolean|ratio float64|full name text|type binary|born date|seen timestamp|\
                    price decimal(18,2)|extra json|nickname text?|age int64?|active boolean?";
    assert_eq!(fields.join("|"), expected);
    assert_eq!(schema.key, ["id", "seen"]);
}

#[test]
fn records_come_back_as_they_went() {
    for rows in [0, 1, 2, 9, 100] {
        let records: Vec<Everything> = (0..rows).map(record).collect();
        let batch = Batch::from_records(records.clone());
        let back: Result<Vec<_>, _> = batch.records::<Everything>().expect("columns").collect();
        assert_eq!(back, Ok(records));
    }
    let batch = Batch::from_records(vec![record(1)]);
    assert_eq!(
        String::from_utf8_lossy(batch.encode_rows().expect("encoded").row(0)),
        r#"{"id":1,"flag":false,"ratio":0.5,"full name":"Ünal 1","type":"/wA=","born":"1969-12-31","seen":"1970-01-01T00:00:01.500000Z","price":"-12.05","extra":{"a":[1]},"nickname":null,"age":null,"active":null}"#
    );
}

#[derive(Record)]
struct Borrowed<'a> {
    text: &'a str,
    maybe: Option<&'a str>,
}

#[derive(Record, Debug, PartialEq)]
struct Strict {
    maybe: String,
}

#[test]
fn a_missing_value_refuses_its_row_only() {
    let batch = Batch::from_records(vec![
        Borrowed {
            text: "a",
            maybe: Some("b"),
        },
        Borrowed {
            text: "c",
            maybe: None,
        },
    ]);
    let rows: Vec<_> = batch.records::<Strict>().expect("columns").collect();
    assert_eq!(rows[0], Ok(Strict { maybe: "b".into() }));
    assert_eq!(
        rows[1],
        Err(Rejection::new(1, "missing-value", "`maybe` has no value"))
    );
}

#[test]
fn columns_must_be_there_and_fit() {
    #[derive(Record, Debug)]
    struct Price {
        #[record(name = "price")]
        _price: Decimal<10, 2>,
    }
    let decimal = |precision, scale| {
        let field = Field::new("price", FieldType::decimal(precision, scale));
        let column = Column::new(Values::Decimal(7_i128.to_le_bytes().to_vec()), None);
        Table::new(1, vec![NamedColumn::new(field, column)])
    };
    let read = |table: Table| table.into_batch().records::<Price>().map(Iterator::count);
    let misfit = |kind: &str| {
        Err(Fault::misconfigured(format!(
            "column `price` is {kind}, and this plugin reads it as decimal(10,2)"
        )))
    };
    assert_eq!(read(decimal(10, 2)), Ok(1));
    assert_eq!(read(decimal(9, 2)), Ok(1), "a narrower one fits");
    assert_eq!(read(decimal(11, 2)), misfit("decimal(11,2)"));
    assert_eq!(read(decimal(10, 3)), misfit("decimal(10,3)"));
    assert_eq!(
        read(Table::from_records(vec![Strict {
            maybe: String::new()
        }])),
        Err(Fault::misconfigured("there is no column `price`"))
    );
    assert_eq!(
        read(decimal(10, 2).deny("price")),
        Err(Fault::denied("add `price` to `data.reads` of the grant"))
    );
}
