//! What PostgreSQL says of its tables, and how the settings have them read.

use super::types::{Base, Kind};
use crate::base::made_of;
use crate::config::{Config, quoted};
use crate::session::{Row, Session};
use sluice_sdk::source::Stream;
use sluice_sdk::{Fault, Field, FieldType, nearest};
use sluice_sql::{Column as _, Order, Place};

/// A row for each column: a domain as what it is made of, and the place in the primary key.
const COLUMNS: &str = concat!(
    "\
SELECT c.relname, c.relkind, a.attname, a.attnotnull, \
 CASE WHEN t.typnamespace = 'pg_catalog'::regnamespace THEN t.typname ELSE '' END, \
 t.typtype, t.typcategory, b.modifier, format_type(b.type, b.modifier), k.place, \
 a.attgenerated <> '', c.relreplident = 'f', EXISTS (\
SELECT FROM pg_catalog.pg_index AS r WHERE r.indrelid = c.oid AND a.attnum = ANY (r.indkey) \
AND CASE c.relreplident WHEN 'd' THEN r.indisprimary WHEN 'i' THEN r.indisreplident ELSE false END) \
FROM pg_catalog.pg_class AS c \
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
",
    made_of!(),
    "\
LEFT JOIN pg_catalog.pg_index AS i ON i.indrelid = c.oid AND i.indisprimary \
LEFT JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k (attnum, place) \
ON k.attnum = a.attnum AND k.place <= i.indnkeyatts \
WHERE n.nspname = $1 AND "
);

/// The same of types alone.
const KINDS: &str = concat!(
    "\
SELECT CASE WHEN t.typnamespace = 'pg_catalog'::regnamespace THEN t.typname ELSE '' END, \
 t.typtype, t.typcategory, b.modifier, format_type(b.type, b.modifier) \
FROM unnest($1::text::oid[], $2::text::int4[]) WITH ORDINALITY AS a (atttypid, atttypmod, place) \
",
    made_of!(),
    "ORDER BY a.place"
);

/// One that is named: whatever can be read from.
const NAMED: &str = "c.relname = $2 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')";

/// All that are read where none is named; the parts of a partitioned table come with it.
const ALL: &str = "i.indexrelid IS NOT NULL AND c.relkind IN ('r', 'p') AND NOT c.relispartition";

const ORDER: &str = " ORDER BY c.relname, a.attnum";

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
    /// Its type as SQL has it; of a domain, what that is made of.
    pub(super) sql_type: String,
    pub(super) nullable: bool,
    /// Its place in the primary key, from one.
    primary: Option<u32>,
    /// Whether the server makes its value of others: the log does not tell it.
    generated: bool,
    /// Whether the log tells its value of a row that was deleted.
    identifies: bool,
}

/// A table as the catalog has it.
struct Relation {
    name: String,
    /// `relkind`: `r` is a table, `p` a partitioned one, `v` a view …
    form: String,
    columns: Vec<Column>,
    /// Whether the log tells all of a row that was deleted.
    is_whole: bool,
}

/// A table, and how it is read.
#[derive(Debug, Clone)]
pub(super) struct Table {
    /// For people.
    pub(super) name: String,
    /// For SQL.
    pub(super) place: String,
    pub(super) columns: Vec<Column>,
    /// By which of them it is read.
    pub(super) order: Order,
    /// Whether it has pages of its own, of which some can be looked at for all.
    pub(super) is_stored: bool,
    /// Whether the log has of a row that was deleted no more than its key.
    deletes_are_bare: bool,
}

/// The table of one stream.
pub(super) fn table(session: &mut Session, config: &Config, stream: &str) -> Result<Table, Fault> {
    let settings = config.table(stream);
    let name = settings.name.as_deref().unwrap_or(stream);
    let sql = format!("{COLUMNS}{NAMED}{ORDER}");
    let rows = session.query(&sql, &[Some(&config.schema), Some(name)])?;
    match relations(rows)?.pop() {
        Some(relation) => Table::new(relation, config, stream),
        None => Err(missing(session, config, name)?),
    }
}

/// The tables of all streams: those of the settings, or every one with a primary key.
pub(super) fn tables(
    session: &mut Session,
    config: &Config,
) -> Result<Vec<(String, Table)>, Fault> {
    if config.tables.is_empty() {
        let sql = format!("{COLUMNS}{ALL}{ORDER}");
        let found = relations(session.query(&sql, &[Some(&config.schema)])?)?;
        let named = |relation: Relation| {
            let stream = relation.name.clone();
            Ok((stream.clone(), Table::new(relation, config, &stream)?))
        };
        return found.into_iter().map(named).collect();
    }
    let streams = config.tables.keys();
    streams
        .map(|stream| Ok((stream.clone(), table(session, config, stream)?)))
        .collect()
}

/// What columns of these types hold, each a type's number and its modifier; and the type as SQL has it.
pub(super) fn kinds(
    session: &mut Session,
    types: &[(u32, i32)],
) -> Result<Vec<(Kind, String)>, Fault> {
    let list = |texts: Vec<String>| format!("{{{}}}", texts.join(","));
    let numbers = list(types.iter().map(|(number, _)| number.to_string()).collect());
    let modifiers = list(
        types
            .iter()
            .map(|(_, modifier)| modifier.to_string())
            .collect(),
    );
    let rows = session.query(KINDS, &[Some(&numbers), Some(&modifiers)])?;
    let kinds = rows.iter().map(|row| {
        let [builtin, form, category, modifier, sql_type] = &row[..] else {
            return Err(unexpected());
        };
        let kind = kind([builtin, form, category, modifier])?;
        Ok((kind, sql_type.clone().ok_or_else(unexpected)?))
    });
    let kinds = kinds.collect::<Result<Vec<_>, Fault>>()?;
    // One was dropped meanwhile.
    let is_whole = kinds.len() == types.len();
    is_whole.then_some(kinds).ok_or_else(|| {
        let hint = "hint: reset the checkpoints of this pipeline";
        Fault::cursor_lost(format!("a type that the log tells of was dropped; {hint}"))
    })
}

fn kind([builtin, form, category, modifier]: [&Option<String>; 4]) -> Result<Kind, Fault> {
    let modifier = modifier
        .as_deref()
        .and_then(|modifier| modifier.parse().ok());
    Ok(Kind::of(Base {
        builtin: builtin.as_deref().unwrap_or_default(),
        form: form.as_deref().unwrap_or_default(),
        category: category.as_deref().unwrap_or_default(),
        modifier: modifier.ok_or_else(unexpected)?,
    }))
}

/// That there is such a schema.
pub(super) fn check_schema(session: &mut Session, config: &Config) -> Result<(), Fault> {
    let sql = "SELECT nspname FROM pg_catalog.pg_namespace WHERE nspname = $1";
    if session.query(sql, &[Some(&config.schema)])?.is_empty() {
        return Err(Fault::misconfigured(format!(
            "there is no schema `{}` in `{}`",
            config.schema, config.database
        )));
    }
    Ok(())
}

fn missing(session: &mut Session, config: &Config, name: &str) -> Result<Fault, Fault> {
    check_schema(session, config)?;
    let sql = "SELECT c.relname FROM pg_catalog.pg_class AS c \
               JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
               WHERE n.nspname = $1 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')";
    let names = session.query(sql, &[Some(&config.schema)])?;
    let names = names.iter().flatten().flatten().map(String::as_str);
    let mut message = format!(
        "there is no table `{name}` in the schema `{}`",
        config.schema
    );
    if let Some(near) = nearest(name, names) {
        message = format!("{message}; did you mean `{near}`?");
    }
    Ok(Fault::misconfigured(message))
}

/// The rows of [`COLUMNS`], table by table.
fn relations(rows: Vec<Row>) -> Result<Vec<Relation>, Fault> {
    let mut relations: Vec<Relation> = Vec::new();
    for row in rows {
        let [
            name,
            form,
            attribute,
            required,
            builtin,
            of,
            category,
            modifier,
            sql_type,
            place,
            generated,
            whole,
            identifies,
        ] = &row[..]
        else {
            return Err(unexpected());
        };
        let text = |value: &Option<String>| value.clone().ok_or_else(unexpected);
        let kind = kind([builtin, of, category, modifier])?;
        let column = Column {
            name: text(attribute)?,
            kind,
            sql_type: text(sql_type)?,
            nullable: required.as_deref() != Some("t"),
            primary: place.as_deref().and_then(|place| place.parse().ok()),
            generated: generated.as_deref() == Some("t"),
            identifies: identifies.as_deref() == Some("t"),
        };
        let name = text(name)?;
        match relations
            .last_mut()
            .filter(|relation| relation.name == name)
        {
            Some(relation) => relation.columns.push(column),
            None => relations.push(Relation {
                name,
                form: text(form)?,
                columns: vec![column],
                is_whole: whole.as_deref() == Some("t"),
            }),
        }
    }
    Ok(relations)
}

fn unexpected() -> Fault {
    Fault::broken("the server's catalog is not the one that this plugin knows")
}

impl Table {
    fn new(relation: Relation, config: &Config, stream: &str) -> Result<Self, Fault> {
        let Relation {
            name,
            form,
            mut columns,
            is_whole,
        } = relation;
        if config.changes.is_some() {
            columns.retain(|column| !column.generated);
        }
        let settings = config.table(stream);
        let name = format!("{}.{name}", config.schema);
        // Only a table can promise that there is a value: a view's columns are all said to be without.
        let is_table = matches!(&*form, "r" | "p");
        let order = Order::of(&columns, &settings, stream, &name, is_table)?;
        Ok(Self {
            place: config.place(stream),
            name,
            columns,
            order,
            is_stored: matches!(&*form, "r" | "p" | "m"),
            deletes_are_bare: config.changes.is_some() && !is_whole,
        })
    }

    /// The stream of its rows.
    pub(super) fn stream(&self, name: &str) -> Stream {
        let mut fields: Vec<Field> = self.columns.iter().map(Column::field).collect();
        for field in fields.iter_mut().filter(|_| self.deletes_are_bare) {
            field.nullable = true;
        }
        let schema = self.order.schema(&self.columns, fields);
        Stream::new(name).with_schema(schema).incremental()
    }

    /// That the log tells the key of a row that is deleted.
    pub(super) fn told_by_log(&self, stream: &str) -> Result<(), Fault> {
        match self
            .key()
            .find(|column| !column.identifies && self.deletes_are_bare)
        {
            None => Ok(()),
            Some(column) => Err(Fault::misconfigured(format!(
                "`{}`: the log would not tell `{}` of a row that is deleted; hint: `ALTER TABLE … REPLICA IDENTITY FULL`, an \
                 index that has it, or another `tables.{stream}.key`",
                self.name, column.name
            ))),
        }
    }

    /// The columns that identify a row.
    pub(super) fn key(&self) -> impl Iterator<Item = &Column> {
        self.order.key(&self.columns)
    }

    pub(super) fn cursor(&self) -> Option<&Column> {
        self.order.cursor(&self.columns)
    }

    /// The columns by which it is read.
    pub(super) fn order(&self) -> Vec<&Column> {
        self.order.columns(&self.columns)
    }

    /// That this is a place in it.
    pub(super) fn fits(&self, place: &Place) -> Result<(), Fault> {
        place.fits(&self.name, &self.order, &self.columns)
    }

    /// The line of names of its rows in CSV, which quotes as SQL does.
    pub(super) fn header(&self) -> Vec<u8> {
        let names: Vec<String> = self
            .columns
            .iter()
            .map(|column| quoted(&column.name))
            .collect();
        names.join(",").into_bytes()
    }
}

impl sluice_sql::Column for Column {
    fn name(&self) -> &str {
        &self.name
    }

    fn field_type(&self) -> FieldType {
        self.kind.field_type()
    }

    fn is_nullable(&self) -> bool {
        self.nullable
    }

    fn primary(&self) -> Option<u32> {
        self.primary
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use sluice_sdk::Schema;

    /// A row of [`COLUMNS`].
    fn row(table: &str, column: &str, required: &str, of: [&str; 4], place: &str) -> Row {
        let [builtin, category, modifier, sql_type] = of;
        let primary = (!place.is_empty()).then(|| place.to_owned());
        let texts = [
            table, "r", column, required, builtin, "b", category, modifier, sql_type,
        ];
        let texts = texts.into_iter().map(|text| Some(text.to_owned()));
        let identifies = if place.is_empty() { "f" } else { "t" };
        let flags = ["f", "f", identifies].map(|flag| Some(flag.to_owned()));
        texts.chain([primary]).chain(flags).collect()
    }

    fn made(stream: &str, settings: &str, rows: Vec<Row>) -> Result<Table, Fault> {
        let config = format!(
            r#"{{"host":"h","database":"d","user":"u","tables":{{"{stream}":{settings}}}}}"#
        );
        let config: Config = sluice_sdk::parse_config(&config)?;
        let mut relations = relations(rows)?;
        Table::new(relations.pop().expect("a table"), &config, stream)
    }

    fn orders_with(settings: &str) -> Result<Table, Fault> {
        let zoned = ["timestamptz", "D", "-1", "timestamp with time zone"];
        let rows = vec![
            row("orders", "id", "t", ["int8", "N", "-1", "bigint"], "1"),
            row("orders", "at", "f", zoned, ""),
            row("orders", "na\"me", "f", ["text", "S", "-1", "text"], ""),
        ];
        made("orders", settings, rows)
    }

    /// A table with a key of one column.
    pub(in crate::source) fn orders(settings: &str) -> Table {
        orders_with(settings).expect("a table")
    }

    /// A table with a key of two, the second of which stands first in the key's index.
    pub(in crate::source) fn lines() -> Table {
        let rows = vec![
            row("lines", "doc", "t", ["text", "S", "-1", "text"], "1"),
            row("lines", "line", "t", ["int4", "N", "-1", "integer"], "2"),
        ];
        made("lines", "{}", rows).expect("a table")
    }

    #[test]
    fn its_stream_has_its_columns() {
        let table = orders("{}");
        let stream = table.stream("orders");
        let schema = stream.schema.expect("a schema");
        let expected = vec![
            Field::new("id", FieldType::Int64),
            Field::new("at", FieldType::Timestamp).nullable(),
            Field::new("na\"me", FieldType::Text).nullable(),
        ];
        assert_eq!(schema, Schema::new(expected).with_key(["id"]));
        assert!(stream.incremental);
        assert_eq!(table.header(), b"\"id\",\"at\",\"na\"\"me\"");
    }
}
