//! The tables that are written to: what they have, and what they are made with where the settings allow that.

use crate::config::{Config, Mode, quoted};
use crate::session::{Error, Session};
use sluice_sdk::{Fault, FieldType, Schema};
use std::collections::BTreeSet;

/// Where the place of each split stands, beside the data: both become visible in one transaction.
const COMMITS: &str = "sluice_commits";

/// The table of places, as SQL.
pub(super) fn commits(config: &Config) -> String {
    format!("{}.{}", quoted(&config.schema), quoted(COMMITS))
}

/// Makes the table of places where it is not there. Two splits may do it at once.
pub(super) fn ensure_commits(session: &mut Session, config: &Config) -> Result<(), Fault> {
    let table = commits(config);
    if is_there(session, &table)? {
        return Ok(());
    }
    let made = session.run(&format!(
        "CREATE TABLE IF NOT EXISTS {table} (pipeline text, split text, epoch bigint NOT NULL, sequence bigint NOT NULL, \
         cursor bytea NOT NULL, written_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (pipeline, split))"
    ));
    match made {
        Err(Error::Refused(_)) if is_there(session, &table)? => Ok(()),
        Err(Error::Refused(refusal)) => Err(refusal.fault().context(format!(
            "the sink keeps the place of each split in {table}, and cannot make it"
        ))),
        made => Ok(made.map(drop)?),
    }
}

pub(super) fn is_there(session: &mut Session, table: &str) -> Result<bool, Fault> {
    let found = session.query("SELECT to_regclass($1) IS NOT NULL", &[Some(table)])?;
    Ok(first(&found).is_some_and(|is_there| is_there == "t"))
}

fn first(rows: &[Vec<Option<String>>]) -> Option<&str> {
    rows.first()?.first()?.as_deref()
}

/// Sees to it that a stream's table has every field: makes it, or the columns that it lacks, or says what is missing.
pub(super) fn ensure(
    session: &mut Session,
    config: &Config,
    stream: &str,
    schema: &Schema,
) -> Result<(), Fault> {
    if config.mode == Mode::Upsert && schema.key.is_empty() {
        return Err(Fault::misconfigured(format!(
            "stream `{stream}` has no key to find its rows by; hint: `[schema.{stream}] key = […]` in the pipeline, or `mode = \"append\"`"
        )));
    }
    let table = config.place(stream);
    let has = columns(session, &table)?;
    if has.is_empty() {
        if !config.create {
            return Err(Fault::misconfigured(format!(
                "there is no table {table}; hint: make it, or `create = true`"
            )));
        }
        return made(session, &create(&table, schema), &table);
    }
    let missing: Vec<_> = schema
        .fields
        .iter()
        .filter(|field| !has.contains(&field.name))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !config.create {
        let names: Vec<_> = missing.iter().map(|field| field.name.as_str()).collect();
        return Err(Fault::misconfigured(format!(
            "table {table} has no column `{}`; hint: add it, leave the field out before the sink, or `create = true`",
            names.join("`, `")
        )));
    }
    // Older rows have no value there, whatever the schema says of new ones.
    let added = missing.iter().map(|field| {
        let kind = type_of(field.kind);
        format!("ADD COLUMN IF NOT EXISTS {} {kind}", quoted(&field.name))
    });
    let added: Vec<String> = added.collect();
    made(
        session,
        &format!("ALTER TABLE {table} {}", added.join(", ")),
        &table,
    )
}

fn made(session: &mut Session, sql: &str, table: &str) -> Result<(), Fault> {
    match session.run(sql) {
        // Another split made it at the same time: it is made now, or the next look says what is wrong.
        Err(Error::Refused(refusal)) if matches!(&*refusal.code, "42P07" | "23505" | "42701") => {
            Ok(())
        }
        Err(Error::Refused(refusal)) => {
            Err(refusal.fault().context(format!("changing table {table}")))
        }
        done => Ok(done.map(drop)?),
    }
}

fn columns(session: &mut Session, table: &str) -> Result<BTreeSet<String>, Fault> {
    let rows = session.query(
        "SELECT attname FROM pg_catalog.pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped",
        &[Some(table)],
    )?;
    Ok(rows.into_iter().flatten().flatten().collect())
}

fn create(table: &str, schema: &Schema) -> String {
    let columns = schema.fields.iter().map(|field| {
        let must = if field.nullable { "" } else { " NOT NULL" };
        format!("{} {}{must}", quoted(&field.name), type_of(field.kind))
    });
    let mut columns: Vec<String> = columns.collect();
    if !schema.key.is_empty() {
        columns.push(format!("PRIMARY KEY ({})", names(&schema.key)));
    }
    format!(
        "CREATE TABLE IF NOT EXISTS {table} ({})",
        columns.join(", ")
    )
}

/// Names as a list of SQL.
pub(super) fn names(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| quoted(name)).collect();
    names.join(", ")
}

fn type_of(kind: FieldType) -> String {
    match kind {
        FieldType::Boolean => "boolean",
        FieldType::Int64 => "bigint",
        FieldType::Float64 => "double precision",
        FieldType::Decimal(size) => return format!("numeric({},{})", size.precision, size.scale),
        FieldType::Text => "text",
        FieldType::Binary => "bytea",
        FieldType::Date => "date",
        FieldType::Timestamp => "timestamptz",
        FieldType::Json => "jsonb",
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_sdk::Field;

    #[test]
    fn a_table_is_made_as_its_stream_is() {
        let schema = Schema {
            fields: vec![
                Field::new("id", FieldType::Int64),
                Field::new("a \"b\"", FieldType::decimal(10, 2)).nullable(),
                Field::new("at", FieldType::Timestamp),
            ],
            key: vec!["id".to_owned()],
        };
        assert_eq!(
            create("\"public\".\"t\"", &schema),
            "CREATE TABLE IF NOT EXISTS \"public\".\"t\" (\"id\" bigint NOT NULL, \"a \"\"b\"\"\" numeric(10,2), \
             \"at\" timestamptz NOT NULL, PRIMARY KEY (\"id\"))"
        );
    }
}
