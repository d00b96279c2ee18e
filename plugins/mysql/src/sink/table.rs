//! The tables that are written to: what they have, and what they are made with where the settings allow that.

use crate::catalog::{self, Column, Relation};
use crate::config::{Config, literal, names, quoted};
use crate::session::{Error, Row, Session};
use sluice_sdk::{Fault, Field, FieldType, Schema};
use sluice_sql::{Column as _, Mode};
use std::collections::{BTreeMap, BTreeSet};

/// Digits of a second that a timestamp of the contract has.
const SECOND_DIGITS: u64 = 6;

/// What [`look`] calls a column of a unique index.
const UNIQUE: &str = "unique";

/// What a stream's table takes.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    /// As SQL.
    pub(super) table: String,
    pub(super) schema: Schema,
    /// Whether another unique index than that of the key could have a row be taken for the key's.
    pub(super) has_other_keys: bool,
    /// What it was made of: see [`look`].
    pub(super) look: Vec<Row>,
}

/// Sees to it that a stream's table has every field, and changes no value of it: makes it, or the columns that it lacks,
/// or says what is missing. None where something is to be made and `makes` says not yet.
pub(super) fn ensure(
    session: &mut Session,
    config: &Config,
    stream: &str,
    schema: &Schema,
    makes: bool,
) -> Result<Option<Shape>, Fault> {
    if config.mode == Mode::Upsert && schema.key.is_empty() {
        return Err(Fault::misconfigured(format!(
            "stream `{stream}` has no key to find its rows by; hint: `[schema.{stream}] key = […]` in the pipeline, or `mode = \"append\"`"
        )));
    }
    let name = config.name(stream);
    let look = look(session, name)?;
    let Some(relation) = catalog::find(session, name)? else {
        if !config.create {
            return Err(Fault::misconfigured(format!(
                "there is no table `{name}`; hint: make it, or `create = true`"
            )));
        }
        if !makes {
            return Ok(None);
        }
        let sql = create(name, schema, session.is_mariadb);
        made(session, &sql, name)?;
        // What stands there now, whoever made it.
        return ensure_is(session, config, name, schema);
    };
    fits(&relation, schema)?;
    let missing = lacks(&relation, schema);
    if !missing.is_empty() {
        if !config.create {
            let names: Vec<_> = missing.iter().map(|field| field.name.as_str()).collect();
            return Err(Fault::misconfigured(format!(
                "table `{name}` has no column `{}`; hint: add it, leave the field out before the sink, or `create = true`",
                names.join("`, `")
            )));
        }
        if !makes {
            return Ok(None);
        }
        // Older rows have no value there, whatever the schema says of new ones.
        let added = missing
            .iter()
            .map(|field| format!("ADD COLUMN {}", column(field, false, session.is_mariadb)));
        let added: Vec<String> = added.collect();
        let alter = format!("ALTER TABLE {} {}", quoted(name), added.join(", "));
        made(session, &alter, name)?;
        return ensure_is(session, config, name, schema);
    }
    shape(look, config, name, schema).map(Some)
}

/// The table after something of it was made: by us, or by another split at the same time.
fn ensure_is(
    session: &mut Session,
    config: &Config,
    name: &str,
    schema: &Schema,
) -> Result<Option<Shape>, Fault> {
    let look = look(session, name)?;
    let relation = catalog::find(session, name)?;
    let relation = relation.filter(|relation| lacks(relation, schema).is_empty());
    let Some(relation) = relation else {
        return Ok(None);
    };
    fits(&relation, schema)?;
    shape(look, config, name, schema).map(Some)
}

/// All of a table that a [`Shape`] depends on, from lookups of this table alone: the catalog's own question reads the whole
/// database, which is too much before each unit.
pub(super) fn look(session: &mut Session, name: &str) -> Result<Vec<Row>, Fault> {
    let of = format!(
        "WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = {}",
        literal(name)
    );
    let sql = format!(
        "SELECT 'table', ENGINE, TABLE_TYPE, NULL FROM information_schema.TABLES {of} \
         UNION ALL SELECT 'column', COLUMN_NAME, COLUMN_TYPE, EXTRA FROM information_schema.COLUMNS {of} \
         UNION ALL SELECT '{UNIQUE}', INDEX_NAME, COLUMN_NAME, SUB_PART FROM information_schema.STATISTICS {of} \
         AND NON_UNIQUE = 0"
    );
    Ok(session.query(&sql)?)
}

fn lacks<'s>(relation: &Relation, schema: &'s Schema) -> Vec<&'s Field> {
    let has = |field: &&Field| {
        let mut names = relation.columns.iter().map(Column::name);
        names.any(|name| name == field.name)
    };
    schema.fields.iter().filter(|field| !has(field)).collect()
}

/// That the table can be written to in a transaction, and keeps the values as they are.
fn fits(relation: &Relation, schema: &Schema) -> Result<(), Fault> {
    let name = &relation.name;
    if relation.is_view {
        let message = format!("`{name}` is a view; hint: name the table behind it");
        return Err(Fault::misconfigured(message));
    }
    if !relation.is_transactional {
        return Err(Fault::misconfigured(format!(
            "the engine of table `{name}` has no transactions, and a unit that breaks off would stay; hint: `ALTER TABLE {} ENGINE = InnoDB`",
            quoted(name)
        )));
    }
    for held in &relation.columns {
        let Some(field) = schema.field(&held.name) else {
            continue;
        };
        if held.is_generated {
            return Err(Fault::misconfigured(format!(
                "table `{name}`: the column `{}` is generated: the server makes its values; hint: leave the field out before \
                 the sink",
                field.name
            )));
        }
        if changes(held, field.kind) {
            return Err(Fault::misconfigured(format!(
                "table `{name}`: the column `{}` would change values of the field, which is {}; hint: a column that holds all \
                 of it, `{}`",
                field.name,
                field.kind,
                type_of(field.kind)
            )));
        }
        let is_key = schema.key.contains(&field.name);
        if is_key && is_number(field.kind) && !held.kind.is_number() {
            return Err(Fault::misconfigured(format!(
                "table `{name}`: the column `{}` is a `{}` and is looked up by the number that its field is: the server takes \
                 `7` and `07x` for one; hint: a column of numbers, `{}`",
                field.name,
                held.type_name,
                type_of(field.kind)
            )));
        }
    }
    Ok(())
}

fn is_number(kind: FieldType) -> bool {
    matches!(
        kind,
        FieldType::Boolean | FieldType::Int64 | FieldType::Float64 | FieldType::Decimal(_)
    )
}

/// Whether a column takes values of this type and keeps something else: the server rounds, and says nothing.
fn changes(held: &Column, kind: FieldType) -> bool {
    let scale = held.scale.unwrap_or_default();
    let is_whole = held.type_name.ends_with("int") || held.type_name == "year";
    let is_number = is_whole || matches!(&*held.type_name, "decimal" | "bit");
    match (kind, &*held.type_name) {
        (FieldType::Timestamp, "datetime" | "timestamp") => scale < SECOND_DIGITS,
        (FieldType::Timestamp, "date" | "time" | "year")
        | (FieldType::Date, "time" | "year")
        | (FieldType::Int64 | FieldType::Decimal(_), "float" | "double") => true,
        (FieldType::Decimal(size), _) if is_number => {
            u64::try_from(size.scale).is_ok_and(|digits| digits > scale)
        }
        (FieldType::Float64, _) => is_number,
        _ => false,
    }
}

/// What is known of the table's keys: one must be that of the stream, for `upsert`.
fn shape(look: Vec<Row>, config: &Config, name: &str, schema: &Schema) -> Result<Shape, Fault> {
    let keys = keys(&look);
    let key: BTreeSet<&str> = schema.key.iter().map(String::as_str).collect();
    let is_it =
        |columns: &BTreeSet<String>| columns.iter().map(String::as_str).eq(key.iter().copied());
    if config.mode == Mode::Upsert && !keys.iter().any(is_it) {
        return Err(Fault::misconfigured(format!(
            "table `{name}` has no unique index on the key of the stream, `{}`; hint: `ALTER TABLE {} ADD PRIMARY KEY ({})`",
            schema.key.join("`, `"),
            quoted(name),
            names(schema.key.iter().map(String::as_str))
        )));
    }
    Ok(Shape {
        table: quoted(name),
        schema: schema.clone(),
        has_other_keys: !keys.iter().all(is_it),
        look,
    })
}

/// The columns of each unique index.
fn keys(look: &[Row]) -> Vec<BTreeSet<String>> {
    let mut keys: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for row in look {
        let [Some(kind), Some(index), column, part] = &row[..] else {
            continue;
        };
        if kind != UNIQUE {
            continue;
        }
        // An index over an expression, or over the beginning of a value, is on no column that a stream has.
        keys.entry(index).or_default().insert(match (column, part) {
            (Some(column), None) => column.clone(),
            _ => String::new(),
        });
    }
    keys.into_values().collect()
}

fn made(session: &mut Session, sql: &str, table: &str) -> Result<(), Fault> {
    match session.run(sql) {
        // Another split made it at the same time: the next look says whether it is as it must be.
        Err(Error::Refused(refusal)) if matches!(refusal.code, 1050 | 1060) => Ok(()),
        Err(Error::Refused(refusal)) => {
            let what = format!("changing table `{table}`");
            Err(refusal.fault().context(what))
        }
        done => Ok(done.map(drop)?),
    }
}

fn create(name: &str, schema: &Schema, is_mariadb: bool) -> String {
    let columns = schema.fields.iter().map(|field| {
        let is_key = schema.key.contains(&field.name);
        let must = if field.nullable { "" } else { " NOT NULL" };
        format!("{}{must}", column(field, is_key, is_mariadb))
    });
    let mut columns: Vec<String> = columns.collect();
    if !schema.key.is_empty() {
        let key = names(schema.key.iter().map(String::as_str));
        columns.push(format!("PRIMARY KEY ({key})"));
    }
    format!(
        "CREATE TABLE IF NOT EXISTS {} ({}) ENGINE = InnoDB",
        quoted(name),
        columns.join(", ")
    )
}

/// A column of a field. Texts are as they are: two that differ in a letter's case, or in a space at their end, are two.
fn column(field: &Field, is_key: bool, is_mariadb: bool) -> String {
    let kind = match field.kind {
        FieldType::Text if is_key => "varchar(255)".to_owned(),
        FieldType::Binary if is_key => "varbinary(255)".to_owned(),
        kind => type_of(kind),
    };
    let collation = match field.kind {
        FieldType::Text if is_mariadb => " CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin",
        FieldType::Text => " CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin",
        _ => "",
    };
    format!("{} {kind}{collation}", quoted(&field.name))
}

fn type_of(kind: FieldType) -> String {
    match kind {
        FieldType::Boolean => "tinyint(1)",
        FieldType::Int64 => "bigint",
        FieldType::Float64 => "double",
        FieldType::Decimal(size) => return format!("decimal({},{})", size.precision, size.scale),
        FieldType::Text => "longtext",
        FieldType::Binary => "longblob",
        FieldType::Date => "date",
        FieldType::Timestamp => "datetime(6)",
        FieldType::Json => "json",
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::tests::orders;

    #[test]
    fn a_column_that_would_round_is_told_from_one_that_refuses() {
        let held = |type_name: &str, scale| Column {
            type_name: type_name.to_owned(),
            scale,
            ..orders().columns[0].clone()
        };
        for (kind, type_name, scale, expected) in [
            (FieldType::decimal(20, 2), "decimal", Some(2), false),
            (FieldType::decimal(20, 4), "decimal", Some(2), true),
            (FieldType::decimal(20, 2), "bigint", Some(0), true),
            (FieldType::decimal(20, 0), "bigint", Some(0), false),
            (FieldType::decimal(20, 0), "bit", None, false),
            (FieldType::decimal(20, 4), "double", None, true),
            (FieldType::Float64, "double", None, false),
            (FieldType::Float64, "float", None, false),
            (FieldType::Float64, "decimal", Some(30), true),
            (FieldType::Float64, "int", Some(0), true),
            (FieldType::Int64, "double", None, true),
            (FieldType::Int64, "tinyint", Some(0), false),
            (FieldType::Timestamp, "datetime", Some(6), false),
            (FieldType::Timestamp, "datetime", Some(0), true),
            (FieldType::Timestamp, "timestamp", Some(3), true),
            (FieldType::Timestamp, "date", None, true),
            (FieldType::Date, "datetime", Some(0), false),
            (FieldType::Date, "time", Some(0), true),
            (FieldType::Text, "decimal", Some(2), false),
        ] {
            let found = changes(&held(type_name, scale), kind);
            assert_eq!(found, expected, "{kind} in {type_name} {scale:?}");
        }
    }

    #[test]
    fn a_table_is_made_as_its_stream_is() {
        let schema = Schema {
            fields: vec![
                Field::new("id", FieldType::Text),
                Field::new("a `b`", FieldType::decimal(10, 2)).nullable(),
                Field::new("note", FieldType::Text).nullable(),
                Field::new("at", FieldType::Timestamp),
            ],
            key: vec!["id".to_owned()],
        };
        assert_eq!(
            create("t", &schema, true),
            "CREATE TABLE IF NOT EXISTS `t` (`id` varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, \
             `a ``b``` decimal(10,2), `note` longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin, \
             `at` datetime(6) NOT NULL, PRIMARY KEY (`id`)) ENGINE = InnoDB"
        );
        assert!(create("t", &schema, false).contains("utf8mb4_0900_bin"));
    }

    #[test]
    fn what_a_table_lacks_is_found_by_name() {
        let schema = Schema::new(vec![
            Field::new("id", FieldType::Int64),
            Field::new("more", FieldType::Text),
        ]);
        let lacks: Vec<&str> = lacks(&orders(), &schema)
            .iter()
            .map(|field| field.name.as_str())
            .collect();
        assert_eq!(lacks, ["more"]);
        assert!(fits(&orders(), &schema).is_ok());
        let by_text = Schema::new(vec![Field::new("na`me", FieldType::Int64)]);
        assert!(fits(&orders(), &by_text).is_ok());
        let fault = fits(&orders(), &by_text.with_key(["na`me"])).expect_err("a text by a number");
        assert!(fault.message().contains("a column of numbers"), "{fault}");
        let bare = Relation {
            is_transactional: false,
            ..orders()
        };
        let fault = fits(&bare, &schema).expect_err("no transactions");
        assert!(fault.message().contains("ENGINE = InnoDB"), "{fault}");
        let mut generated = orders();
        generated.columns[0].is_generated = true;
        let fault = fits(&generated, &schema).expect_err("it is the server's");
        assert!(fault.message().contains("`id` is generated"), "{fault}");
        let view = Relation {
            is_view: true,
            ..orders()
        };
        assert!(fits(&view, &schema).is_err());
    }
}
