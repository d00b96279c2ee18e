//! What the server says of its tables.

use crate::config::{Config, literal};
use crate::session::{Row, Session};
use crate::types::{Base, Kind};
use sluice_sdk::{Fault, FieldType, nearest};

/// A row for each column of the tables that `wanted` says, with its place in the primary key.
fn columns(wanted: &str, is_mariadb: bool) -> String {
    // MariaDB has no type of JSON: a text that is checked to be some, by the words that its own `json` makes.
    let is_json = if is_mariadb {
        "EXISTS (SELECT 1 FROM information_schema.CHECK_CONSTRAINTS AS j WHERE j.CONSTRAINT_SCHEMA = c.TABLE_SCHEMA \
         AND j.TABLE_NAME = c.TABLE_NAME AND j.CHECK_CLAUSE = CONCAT('json_valid(`', c.COLUMN_NAME, '`)'))"
    } else {
        "0"
    };
    format!(
        "SELECT t.TABLE_NAME, t.TABLE_TYPE, COALESCE(e.TRANSACTIONS, ''), c.COLUMN_NAME, c.IS_NULLABLE, c.DATA_TYPE, \
         c.COLUMN_TYPE, c.NUMERIC_PRECISION, c.NUMERIC_SCALE, c.DATETIME_PRECISION, k.SEQ_IN_INDEX, {is_json}, \
         c.EXTRA LIKE '%STORED GENERATED%' OR c.EXTRA LIKE '%VIRTUAL GENERATED%' \
         FROM information_schema.TABLES AS t \
         JOIN information_schema.COLUMNS AS c ON c.TABLE_SCHEMA = t.TABLE_SCHEMA AND c.TABLE_NAME = t.TABLE_NAME \
         LEFT JOIN information_schema.ENGINES AS e ON e.ENGINE = t.ENGINE \
         LEFT JOIN information_schema.STATISTICS AS k ON k.TABLE_SCHEMA = c.TABLE_SCHEMA AND k.TABLE_NAME = c.TABLE_NAME \
         AND k.COLUMN_NAME = c.COLUMN_NAME AND k.INDEX_NAME = 'PRIMARY' \
         WHERE t.TABLE_SCHEMA = DATABASE() AND {wanted} ORDER BY t.TABLE_NAME, c.ORDINAL_POSITION"
    )
}

/// All that are read where none is named.
const ALL: &str = "t.TABLE_TYPE = 'BASE TABLE' AND EXISTS (SELECT 1 FROM information_schema.STATISTICS AS p \
     WHERE p.TABLE_SCHEMA = t.TABLE_SCHEMA AND p.TABLE_NAME = t.TABLE_NAME AND p.INDEX_NAME = 'PRIMARY')";

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// The name of its type: `bigint`.
    pub(crate) type_name: String,
    /// Digits behind the point: of a number, and of the seconds of a time.
    pub(crate) scale: Option<u64>,
    pub(crate) nullable: bool,
    /// Its place in the primary key, from one.
    pub(crate) primary: Option<u32>,
    /// Whether the server makes its values of others.
    pub(crate) is_generated: bool,
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

/// A table, or a view, as the catalog has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Relation {
    pub(crate) name: String,
    pub(crate) is_view: bool,
    /// Whether its engine has transactions.
    pub(crate) is_transactional: bool,
    pub(crate) columns: Vec<Column>,
}

/// The table of this name; none where there is none.
pub(crate) fn find(session: &mut Session, name: &str) -> Result<Option<Relation>, Fault> {
    let wanted = format!("t.TABLE_NAME = {}", literal(name));
    let sql = columns(&wanted, session.is_mariadb);
    Ok(relations(session.query(&sql)?)?.pop())
}

/// The table of this name, which must be there.
pub(crate) fn table(session: &mut Session, config: &Config, name: &str) -> Result<Relation, Fault> {
    match find(session, name)? {
        Some(relation) => Ok(relation),
        None => Err(missing(session, config, name)?),
    }
}

/// Every table that has a primary key.
pub(crate) fn tables(session: &mut Session) -> Result<Vec<Relation>, Fault> {
    let sql = columns(ALL, session.is_mariadb);
    relations(session.query(&sql)?)
}

fn missing(session: &mut Session, config: &Config, name: &str) -> Result<Fault, Fault> {
    let sql = "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()";
    let names = session.query(sql)?;
    let names = names.iter().flatten().flatten().map(String::as_str);
    let mut message = format!("there is no table `{name}` in `{}`", config.database);
    if let Some(near) = nearest(name, names) {
        message = format!("{message}; did you mean `{near}`?");
    }
    Ok(Fault::misconfigured(message))
}

/// The rows of [`columns`], table by table.
fn relations(rows: Vec<Row>) -> Result<Vec<Relation>, Fault> {
    let mut relations: Vec<Relation> = Vec::new();
    for row in rows {
        let [
            Some(table),
            Some(form),
            Some(transactions),
            Some(name),
            Some(nullable),
            Some(type_name),
            Some(whole),
            precision,
            scale,
            of_seconds,
            place,
            is_json,
            is_generated,
        ] = &row[..]
        else {
            return Err(unexpected());
        };
        let number = |text: &Option<String>| text.as_deref()?.parse::<u64>().ok();
        let type_name = type_name.to_ascii_lowercase();
        let kind = Kind::of(Base {
            name: &type_name,
            whole: &whole.to_ascii_lowercase(),
            precision: number(precision),
            scale: number(scale),
            is_json: is_json.as_deref() == Some("1"),
        });
        let column = Column {
            name: name.clone(),
            kind,
            type_name,
            scale: number(scale).or(number(of_seconds)),
            nullable: nullable != "NO",
            primary: number(place).and_then(|place| place.try_into().ok()),
            is_generated: is_generated.as_deref() == Some("1"),
        };
        match relations
            .last_mut()
            .filter(|relation| relation.name == *table)
        {
            Some(relation) => relation.columns.push(column),
            None => relations.push(Relation {
                name: table.clone(),
                is_view: form != "BASE TABLE",
                is_transactional: transactions == "YES",
                columns: vec![column],
            }),
        }
    }
    Ok(relations)
}

fn unexpected() -> Fault {
    Fault::broken("the server's catalog is not the one that this plugin knows")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A row of [`columns`].
    fn row(table: &str, column: &str, nullable: &str, of: [&str; 4], place: Option<&str>) -> Row {
        let [type_name, whole, precision, scale] = of;
        let texts = [
            table,
            "BASE TABLE",
            "YES",
            column,
            nullable,
            type_name,
            whole,
        ];
        let texts = texts.into_iter().map(|text| Some(text.to_owned()));
        let numbers = [precision, scale].map(|text| Some(text.to_owned()));
        let no = || Some("0".to_owned());
        let rest = [None, place.map(ToOwned::to_owned), no(), no()];
        texts.chain(numbers).chain(rest).collect()
    }

    /// A table of orders, with a key of one column.
    pub(crate) fn orders() -> Relation {
        let rows = vec![
            row(
                "orders",
                "id",
                "NO",
                ["bigint", "bigint(20)", "19", "0"],
                Some("1"),
            ),
            row(
                "orders",
                "at",
                "YES",
                ["datetime", "datetime(6)", "", ""],
                None,
            ),
            row(
                "orders",
                "na`me",
                "YES",
                ["varchar", "varchar(9)", "", ""],
                None,
            ),
            row(
                "orders",
                "mood",
                "NO",
                ["enum", "enum('a','b')", "", ""],
                None,
            ),
        ];
        relations(rows).expect("rows").pop().expect("a table")
    }

    #[test]
    fn rows_of_the_catalog_are_tables() {
        let orders = orders();
        assert!(orders.is_transactional && !orders.is_view);
        let kinds: Vec<Kind> = orders.columns.iter().map(|column| column.kind).collect();
        assert_eq!(
            kinds,
            [Kind::Integer, Kind::Moment, Kind::Text, Kind::Chosen]
        );
        assert_eq!(orders.columns[0].primary, Some(1));
        let cut = vec![vec![Some("orders".to_owned())]];
        assert!(relations(cut).is_err());
    }

    #[test]
    fn only_mariadb_is_asked_for_checks_of_json() {
        assert!(columns("1", true).contains("json_valid"));
        assert!(!columns("1", false).contains("CHECK_CONSTRAINTS"));
    }
}
