//! The tables that are written to: what they have, and what they are made with where the settings allow that.

use crate::base::{made_of, numeric};
use crate::config::{Config, quoted};
use crate::session::{Error, Session};
use sluice_sdk::{Fault, Field, FieldType, Schema};
use sluice_sql::Mode;
use std::collections::BTreeMap;

/// Where the place of each split stands, beside the data: both become visible in one transaction.
const COMMITS: &str = "sluice_commits";

/// A row for each column of a table, a domain as what it is made of.
const COLUMNS: &str = concat!(
    "\
SELECT a.attname, CASE WHEN t.typnamespace = 'pg_catalog'::regnamespace THEN t.typname END, b.modifier, \
 CASE WHEN t.typcategory = 'A' OR t.typtype = 'c' THEN format_type(a.atttypid, a.atttypmod) END \
FROM pg_catalog.pg_attribute AS a ",
    made_of!(),
    "WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped"
);

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

/// Fields of JSON whose columns are arrays or composites, and those types as SQL has them.
pub(super) type Structures = BTreeMap<String, String>;

/// A column as the table has it.
struct Held {
    name: String,
    /// Its type's name, where it is one of PostgreSQL's own; of a domain, what that is made of.
    builtin: String,
    /// The type's modifier: its precision and scale; -1 where none is said.
    modifier: i32,
    /// The type as SQL has it, of an array or a composite.
    structure: Option<String>,
}

/// Sees to it that a stream's table has every field, and changes no value of it: makes it, or the columns that it lacks,
/// or says what is missing. Gives the fields whose columns are arrays or composites; none where something is to be made and
/// `makes` says not yet.
pub(super) fn ensure(
    session: &mut Session,
    config: &Config,
    stream: &str,
    schema: &Schema,
    makes: bool,
) -> Result<Option<Structures>, Fault> {
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
        if makes {
            made(session, &create(&table, schema), &table)?;
        }
        return Ok(makes.then(Structures::new));
    }
    let find = |field: &Field| has.iter().find(|held| held.name == field.name);
    let found = schema
        .fields
        .iter()
        .filter_map(|field| Some((field, find(field)?)));
    let changes = |(field, held): &(&Field, &Held)| held.changes(field.kind);
    if let Some((field, _)) = found.clone().find(changes) {
        return Err(Fault::misconfigured(format!(
            "table {table}: the column `{}` would change values of the field, which is {}; hint: a column that holds all of \
             it, `{}`",
            field.name,
            field.kind,
            type_of(field.kind)
        )));
    }
    let structures = found.filter(|(field, _)| field.kind == FieldType::Json);
    let structures =
        structures.filter_map(|(field, held)| Some((field.name.clone(), held.structure.clone()?)));
    let structures: Structures = structures.collect();
    let missing = schema.fields.iter().filter(|field| find(field).is_none());
    let missing: Vec<&Field> = missing.collect();
    if missing.is_empty() {
        return Ok(Some(structures));
    }
    if !config.create {
        let names: Vec<_> = missing.iter().map(|field| field.name.as_str()).collect();
        return Err(Fault::misconfigured(format!(
            "table {table} has no column `{}`; hint: add it, leave the field out before the sink, or `create = true`",
            names.join("`, `")
        )));
    }
    if !makes {
        return Ok(None);
    }
    // Older rows have no value there, whatever the schema says of new ones.
    let added = missing.iter().map(|field| {
        let kind = type_of(field.kind);
        format!("ADD COLUMN IF NOT EXISTS {} {kind}", quoted(&field.name))
    });
    let added: Vec<String> = added.collect();
    let alter = format!("ALTER TABLE {table} {}", added.join(", "));
    made(session, &alter, &table)?;
    Ok(Some(structures))
}

impl Held {
    /// Whether it takes values of this type and keeps something else: the server rounds, and says nothing.
    fn changes(&self, kind: FieldType) -> bool {
        let digits = self.modifier;
        match (kind, &*self.builtin) {
            (FieldType::Timestamp, "date" | "time" | "timetz")
            | (FieldType::Int64 | FieldType::Decimal(_), "float4" | "float8") => true,
            (FieldType::Timestamp, "timestamp" | "timestamptz") => (0..6).contains(&digits),
            (FieldType::Float64, "numeric") => digits >= 0,
            (FieldType::Int64, "numeric") => numeric(digits).is_some_and(|(_, scale)| scale < 0),
            (FieldType::Decimal(size), "numeric") => {
                numeric(digits).is_some_and(|(_, scale)| scale < i32::from(size.scale))
            }
            _ => false,
        }
    }
}

fn made(session: &mut Session, sql: &str, table: &str) -> Result<(), Fault> {
    match session.run(sql) {
        // Another split made it at the same time, which PostgreSQL tells in one of these ways: it is there now.
        Err(Error::Refused(refusal))
            if matches!(&*refusal.code, "42P07" | "42710" | "23505" | "42701")
                && is_there(session, table)? =>
        {
            Ok(())
        }
        Err(Error::Refused(refusal)) => {
            Err(refusal.fault().context(format!("changing table {table}")))
        }
        done => Ok(done.map(drop)?),
    }
}

fn columns(session: &mut Session, table: &str) -> Result<Vec<Held>, Fault> {
    let rows = session.query(COLUMNS, &[Some(table)])?;
    let held = rows.into_iter().map(|row| {
        let [Some(name), builtin, Some(modifier), structure] = &row[..] else {
            return None;
        };
        Some(Held {
            name: name.clone(),
            builtin: builtin.clone().unwrap_or_default(),
            modifier: modifier.parse().ok()?,
            structure: structure.clone(),
        })
    });
    let held: Option<Vec<Held>> = held.collect();
    held.ok_or_else(|| Fault::broken("the server's catalog is not the one that this plugin knows"))
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
    use crate::fake;

    /// A refusal by one of these codes may as well be of something else of that name.
    #[test]
    fn a_table_that_another_split_makes_at_the_same_time_is_looked_for() {
        for code in ["42P07", "42710", "23505", "42701"] {
            for is_there in [true, false] {
                let answer = if is_there { "t" } else { "f" };
                drop(fake::server(move |asked| {
                    if asked.contains("CREATE TABLE") {
                        fake::refusal(code)
                    } else {
                        fake::row(&[Some(answer)])
                    }
                }));
                let mut session = Session::open(&fake::config()).expect("a session");
                let made = made(&mut session, "CREATE TABLE t ()", "t");
                assert_eq!(made.is_ok(), is_there, "{code}: {made:?}");
            }
        }
    }

    #[test]
    fn a_column_that_would_round_is_told_from_one_that_refuses() {
        let held = |builtin: &str, modifier| Held {
            name: "a".to_owned(),
            builtin: builtin.to_owned(),
            modifier,
            structure: None,
        };
        let cents = (10 << 16 | 2) + 4;
        for (kind, builtin, modifier, changes) in [
            (FieldType::decimal(20, 2), "numeric", cents, false),
            (FieldType::decimal(20, 4), "numeric", cents, true),
            (FieldType::decimal(20, 4), "numeric", -1, false),
            (FieldType::decimal(20, 4), "float8", -1, true),
            (FieldType::Float64, "float8", -1, false),
            (FieldType::Float64, "float4", -1, false),
            (FieldType::Float64, "numeric", -1, false),
            (FieldType::Float64, "numeric", cents, true),
            (FieldType::Int64, "float8", -1, true),
            (FieldType::Int64, "int2", -1, false),
            (FieldType::Timestamp, "timestamptz", -1, false),
            (FieldType::Timestamp, "timestamptz", 0, true),
            (FieldType::Timestamp, "timestamp", 6, false),
            (FieldType::Timestamp, "date", -1, true),
            (FieldType::Text, "numeric", cents, false),
        ] {
            assert_eq!(
                held(builtin, modifier).changes(kind),
                changes,
                "{kind} in {builtin} {modifier}"
            );
        }
    }

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
