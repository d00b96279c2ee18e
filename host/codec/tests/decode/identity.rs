//! Who a record is: of its key, or of all its values.

use super::{NDJSON, run, schema};
use sluice_codec::{Outcome, row_ids};
use sluice_model::contract::Drift;
use sluice_model::schema::Schema;
use std::sync::Arc;

/// The identities of the rows of a document under a schema with this key.
fn ids(text: &str, fields: &str, key: &[&str]) -> Vec<Vec<u8>> {
    ids_by(&[7; 32], text, fields, key)
}

fn ids_by(row_key: &[u8; 32], text: &str, fields: &str, key: &[&str]) -> Vec<Vec<u8>> {
    let key = key.iter().map(|&name| name.to_owned()).collect();
    let schema = Schema::new(schema(fields).fields().to_vec(), key).expect("a schema");
    match run(
        &NDJSON,
        text.as_bytes(),
        &Arc::new(schema),
        Drift::DeadLetter,
    ) {
        Outcome::Decoded(decoded) => decoded
            .batches
            .iter()
            .flat_map(|batch| {
                row_ids(batch, row_key)
                    .chunks(16)
                    .map(<[u8]>::to_vec)
                    .collect::<Vec<_>>()
            })
            .collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn identities_are_of_the_key_or_of_all_values() {
    let text = concat!(
        "{\"k\":\"a\",\"v\":1}\n{\"k\":\"a\",\"v\":2}\n{\"v\":1}\n{\"v\":2}\n",
        "{\"k\":\"a\",\"v\":1}\n",
    );
    let keyed = ids(text, "k text, v int64", &["k"]);
    assert!(
        keyed[0] == keyed[1] && keyed[0] == keyed[4],
        "the key decides"
    );
    assert!(
        keyed[2] != keyed[3] && keyed[2] != keyed[0],
        "without a key's value, all values do"
    );
    let all = ids(text, "k text, v int64", &[]);
    assert!(all[0] != all[1] && all[0] == all[4] && all[0] != keyed[0]);
    assert_eq!(
        ids(text, "new text, v int64, k text", &[]),
        all,
        "neither order nor new fields count"
    );
    let text = concat!(
        "{\"a\":\"x\",\"b\":\"yz\"}\n{\"a\":\"xy\",\"b\":\"z\"}\n",
        "{\"a\":\"\"}\n{\"b\":\"\"}\n{}\n",
    );
    let apart: std::collections::HashSet<_> =
        ids(text, "a text, b text", &[]).into_iter().collect();
    assert_eq!(apart.len(), 5);
    assert_ne!(
        ids("{\"a\":1}", "a int64", &[]),
        ids("{\"a\":\"1\"}", "a text", &[])
    );
}

#[test]
fn another_pipelines_identities_are_others() {
    let text = "{\"email\": \"a@b.example\"}\n";
    let by = |row_key: [u8; 32]| ids_by(&row_key, text, "email text", &["email"]);
    assert_eq!(by([1; 32]), by([1; 32]));
    assert_ne!(by([1; 32]), by([2; 32]));
}
