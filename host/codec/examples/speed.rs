//! How fast records are decoded and encoded, beside a hand-written program that does the same with typed `serde_json`:
//! `cargo run --release -p sluice-codec --example speed`. Prints nanoseconds of processor time a record, the best of
//! several rounds, each on one thread, so that other work on the machine counts little. Linux only: it reads the
//! thread's own clock under `/proc`.

#![allow(clippy::print_stdout, reason = "it is a program for people")]

use serde::{Deserialize, Serialize};
use sluice_codec::{
    Document, DocumentFormat, Format, Outcome, Target, decode, encode, encode_rows, row_ids,
};
use sluice_model::batch::Batch;
use sluice_model::contract::Drift;
use sluice_model::ids::StreamName;
use sluice_model::limits;
use sluice_model::schema::{Field, FieldType, Schema};
use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;

const RECORDS: usize = 500_000;
const ROUNDS: usize = 5;
/// What one read of a source hands over.
const DOCUMENT_BYTES: usize = limits::PAGE_BYTES as usize;

#[derive(Serialize, Deserialize)]
#[allow(clippy::struct_field_names, reason = "the names are the file's")]
struct Order {
    order_id: String,
    customer_name: String,
    email: String,
    sku: String,
    qty: i64,
    unit_price: f64,
    currency: String,
    status: String,
    internal_flag: bool,
    created_at: String,
    note: Option<String>,
    address: String,
}

fn orders() -> Vec<u8> {
    let mut text = String::with_capacity(RECORDS * 350);
    for n in 0..RECORDS {
        let seed = n.wrapping_mul(2_654_435_761) % 1_000_003;
        let _ = write!(
            text,
            "{{\"order_id\":\"ORD-{n:010}\",\"customer_name\":\"{} {}\",\"email\":\"customer.{seed}@mail{}.example.com\",\
             \"sku\":\"SKU-{:05}\",\"qty\":{},\"unit_price\":{}.{:02},\"currency\":\"{}\",\"status\":\"{}\",\
             \"internal_flag\":{},\"created_at\":\"2026-{:02}-{:02}T{:02}:{:02}:{:02}Z\",\"note\":{},\
             \"address\":\"{} Long Street, {:05} Springfield, Country {}\"}}",
            ["Anna", "Björn", "Chidi", "Dolores"][seed % 4],
            ["Andersson", "Baker", "Castillo", "Dimitrov"][seed / 4 % 4],
            seed % 7,
            seed % 99_999,
            seed % 40 + 1,
            seed % 900,
            seed % 100,
            ["EUR", "SEK", "USD"][seed % 3],
            ["new", "paid", "shipped", "returned"][seed % 4],
            seed.is_multiple_of(5),
            seed % 12 + 1,
            seed % 28 + 1,
            seed % 24,
            seed % 60,
            seed / 60 % 60,
            if seed.is_multiple_of(10) {
                r#""she said \"leave it at the door\", twice""#
            } else {
                r#""please leave the parcel with the neighbour downstairs""#
            },
            seed % 300,
            seed % 90_000,
            seed % 50,
        );
        text.push('\n');
    }
    text.into_bytes()
}

fn schema() -> Arc<Schema> {
    let kind = |name| match name {
        "qty" => FieldType::Int64,
        "unit_price" => FieldType::Float64,
        "internal_flag" => FieldType::Boolean,
        "created_at" => FieldType::Timestamp,
        _ => FieldType::Text,
    };
    let names = [
        "order_id",
        "customer_name",
        "email",
        "sku",
        "qty",
        "unit_price",
        "currency",
        "status",
        "internal_flag",
        "created_at",
        "note",
        "address",
    ];
    let fields = names
        .iter()
        .map(|name| Field::new(*name, kind(*name), true))
        .collect();
    Arc::new(Schema::new(fields, vec!["order_id".to_owned()]).expect("a schema"))
}

/// Whole lines, about [`DOCUMENT_BYTES`] each.
fn documents(bytes: &[u8]) -> Vec<&[u8]> {
    let mut documents = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let cut = rest.len().min(DOCUMENT_BYTES);
        let end = rest[..cut]
            .iter()
            .rposition(|&byte| byte == b'\n')
            .map_or(rest.len(), |at| at + 1);
        let (document, after) = rest.split_at(end);
        documents.push(document);
        rest = after;
    }
    documents
}

/// What this thread has used so far.
fn processor_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux counts it");
    text.split(' ')
        .next()
        .and_then(|ns| ns.parse().ok())
        .expect("a number")
}

/// Runs a round several times; only those whose name contains the argument, where one is given.
fn best(what: &str, mut round: impl FnMut()) {
    if std::env::args()
        .nth(1)
        .is_some_and(|wanted| !what.contains(&wanted))
    {
        return;
    }
    let best = (0..ROUNDS)
        .map(|_| {
            let start = processor_ns();
            round();
            (processor_ns() - start) as f64 / RECORDS as f64
        })
        .fold(f64::INFINITY, f64::min);
    println!("{what:<44} {best:>7.0} ns a record");
}

/// All rows of a batch, however long they become.
fn whole(schema: &Schema, batch: &Batch, format: Format, out: &mut Vec<u8>) {
    encode(schema, &batch.data, None, &format, usize::MAX, out).expect("encoded");
}

fn main() {
    let bytes = orders();
    let schema = schema();
    let stream: StreamName = "orders".parse().expect("a name");
    let target = Target {
        stream: &stream,
        schema: &schema,
        drift: Drift::DeadLetter,
        batch_rows: limits::BATCH_ROWS_MAX,
    };
    let decoded = |bytes: &[u8], format: &DocumentFormat| match decode(
        &Document {
            format,
            bytes,
            name: "orders",
            first_line: 1,
            changes: None,
        },
        &target,
    ) {
        Outcome::Decoded(decoded) if decoded.rejections.is_empty() => decoded,
        other => panic!("{other:?}"),
    };
    println!(
        "{RECORDS} orders of {} bytes and {} fields",
        bytes.len() / RECORDS,
        schema.fields().len()
    );

    best("decode NDJSON", || {
        for document in documents(&bytes) {
            black_box(decoded(document, &DocumentFormat::Ndjson));
        }
    });
    let batches: Vec<_> = documents(&bytes)
        .into_iter()
        .flat_map(|document| decoded(document, &DocumentFormat::Ndjson).batches)
        .collect();
    best("encode NDJSON", || {
        for batch in &batches {
            let mut out = Vec::new();
            whole(&schema, batch, Format::Ndjson, &mut out);
            black_box(out);
        }
    });
    best("decode and encode NDJSON", || {
        for document in documents(&bytes) {
            let mut out = Vec::new();
            for batch in decoded(document, &DocumentFormat::Ndjson).batches {
                whole(&schema, &batch, Format::Ndjson, &mut out);
            }
            black_box(out);
        }
    });
    best("typed serde_json, in", || {
        for line in bytes
            .split(|&byte| byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            black_box(serde_json::from_slice::<Order>(line).expect("an order"));
        }
    });
    best("typed serde_json, in and out", || {
        for document in documents(&bytes) {
            let mut out = Vec::with_capacity(document.len());
            for line in document
                .split(|&byte| byte == b'\n')
                .filter(|line| !line.is_empty())
            {
                let order: Order = serde_json::from_slice(line).expect("an order");
                serde_json::to_writer(&mut out, &order).expect("written");
                out.push(b'\n');
            }
            black_box(out);
        }
    });
    best("encode rows", || {
        for batch in &batches {
            black_box(encode_rows(&schema, &batch.data, None, usize::MAX).expect("encoded"));
        }
    });
    let mut csv = Vec::new();
    let lines: Vec<Vec<u8>> = batches
        .iter()
        .map(|batch| {
            let mut out = Vec::new();
            whole(&schema, batch, Format::Csv { header: true }, &mut out);
            out
        })
        .collect();
    best("encode CSV", || {
        for batch in &batches {
            csv.clear();
            whole(&schema, batch, Format::Csv { header: true }, &mut csv);
            black_box(&csv);
        }
    });
    let csv_format = DocumentFormat::Csv {
        delimiter: b',',
        header: None,
    };
    best("decode CSV", || {
        for document in &lines {
            black_box(decoded(document, &csv_format));
        }
    });
    best("row ids, by key", || {
        for batch in &batches {
            black_box(row_ids(batch, &[7; 32]));
        }
    });
}
