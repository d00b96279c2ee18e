//! The SQL of a page. Every column is named by its table: in ORDER BY a bare name would mean the column of the result,
//! which is text, and text has another order.

use super::catalog::{Column, Table};
use crate::config::{literal, quoted};
use sluice_sql::{Conditions, Place};
use std::slice;

/// Begins the transaction of a page: both of its statements see the same rows, and the same time.
pub(super) const BEGIN: &str = "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// Its end, where there is no page.
pub(super) const END: &str = "COMMIT";

/// What finds the last of up to so many rows behind `from`, and how many they are; with its parameters.
pub(super) fn last_row<'a>(table: &Table, from: &'a Place, rows: u32) -> (String, Vec<&'a str>) {
    let order = table.order();
    let mut parameters = Vec::new();
    let mut parameter = |value: &'a str, column: &Column| {
        parameters.push(value);
        format!("${}::text::{}", parameters.len(), column.sql_type)
    };
    let mut wanted = Conditions::new(&order, quoted).behind(from, &mut parameter);
    if let Some(up_to) = &from.up_to {
        wanted = wanted.first("<=", slice::from_ref(up_to), &mut parameter);
    }
    let is_old = table.cursor().filter(|_| table.order.lag_seconds > 0);
    let wanted = wanted.and(is_old.map(|cursor| {
        let lag = table.order.lag_seconds;
        format!("{} < now() - make_interval(secs => {lag})", of("t", cursor))
    }));
    let sql = format!(
        "SELECT {}, count(*) OVER () FROM (SELECT {} FROM {} AS t{} ORDER BY {} LIMIT {rows}) AS s ORDER BY {} LIMIT 1",
        list(&order, |column| of("s", column) + "::text"),
        list(&order, |column| of("t", column)),
        table.place,
        wanted.filter(),
        list(&order, |column| of("t", column)),
        list(&order, |column| of("s", column) + " DESC"),
    );
    (sql, parameters)
}

/// What copies the rows behind `from` and up to `last`, and ends the transaction. COPY takes no parameters.
pub(super) fn copy(table: &Table, from: &Place, last: &[String]) -> String {
    let order = table.order();
    let mut constant =
        |value: &str, column: &Column| format!("{}::{}", literal(value), column.sql_type);
    let mut wanted = Conditions::new(&order, quoted);
    if order.len() > 1 {
        // Else it would sort a quarter of the table for each page.
        if let Some(after) = &from.after {
            wanted = wanted.first(">=", after, &mut constant);
        }
        wanted = wanted.first("<=", last, &mut constant);
    }
    let wanted = wanted
        .behind(from, &mut constant)
        .whole("<=", last, &mut constant);
    format!(
        "COPY (SELECT {} FROM {} AS t{} ORDER BY {}) TO STDOUT (FORMAT csv); {END}",
        values(table),
        table.place,
        wanted.filter(),
        list(&order, |column| of("t", column)),
    )
}

/// What reads no rows, and is refused where a page would be: without the right to a column, by a key without an order.
pub(super) fn probe(table: &Table) -> String {
    format!(
        "SELECT {} FROM {} AS t ORDER BY {} LIMIT 0",
        values(table),
        table.place,
        list(&table.order(), |column| of("t", column)),
    )
}

fn values(table: &Table) -> String {
    let all: Vec<&Column> = table.columns.iter().collect();
    list(&all, |column| column.kind.expression(&of("t", column)))
}

fn of(table: &str, column: &Column) -> String {
    format!("{table}.{}", quoted(&column.name))
}

fn list(columns: &[&Column], text: impl Fn(&Column) -> String) -> String {
    let texts: Vec<String> = columns.iter().map(|column| text(column)).collect();
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::catalog::tests::{lines, orders};

    fn behind_row(after: &[&str]) -> Place {
        Place {
            after: Some(after.iter().map(|value| (*value).to_owned()).collect()),
            ..Place::default()
        }
    }

    #[test]
    fn the_first_page_of_a_table() {
        let from = Place::default();
        let (sql, parameters) = last_row(&orders("{}"), &from, 1_000);
        assert_eq!(
            sql,
            "SELECT s.\"id\"::text, count(*) OVER () FROM (SELECT t.\"id\" FROM \"public\".\"orders\" AS t \
             ORDER BY t.\"id\" LIMIT 1000) AS s ORDER BY s.\"id\" DESC LIMIT 1"
        );
        assert!(parameters.is_empty());
        assert_eq!(
            copy(&orders("{}"), &from, &["17".to_owned()]),
            "COPY (SELECT t.\"id\", (t.\"at\" AT TIME ZONE 'UTC')::text, t.\"na\"\"me\" \
             FROM \"public\".\"orders\" AS t WHERE t.\"id\" <= E'17'::bigint ORDER BY t.\"id\") \
             TO STDOUT (FORMAT csv); COMMIT"
        );
    }

    #[test]
    fn a_page_of_a_table_with_a_cursor() {
        let table = orders(r#"{"cursor":"at"}"#);
        let from = behind_row(&["2026-11-22 21:00:00+00", "17"]);
        let (sql, parameters) = last_row(&table, &from, 50);
        assert_eq!(
            sql,
            "SELECT s.\"at\"::text, s.\"id\"::text, count(*) OVER () FROM (SELECT t.\"at\", t.\"id\" \
             FROM \"public\".\"orders\" AS t WHERE t.\"at\" IS NOT NULL AND \
             (t.\"at\", t.\"id\") > ($1::text::timestamp with time zone, $2::text::bigint) AND \
             t.\"at\" < now() - make_interval(secs => 5) ORDER BY t.\"at\", t.\"id\" LIMIT 50) AS s \
             ORDER BY s.\"at\" DESC, s.\"id\" DESC LIMIT 1"
        );
        assert_eq!(parameters, ["2026-11-22 21:00:00+00", "17"]);
        let last = ["2026-11-23 00:00:00+00".to_owned(), "3".to_owned()];
        let sql = copy(&table, &from, &last);
        let (_, wanted) = sql.split_once(" WHERE ").expect("a condition");
        assert_eq!(
            wanted,
            "t.\"at\" IS NOT NULL AND \
             t.\"at\" >= E'2026-11-22 21:00:00+00'::timestamp with time zone AND \
             t.\"at\" <= E'2026-11-23 00:00:00+00'::timestamp with time zone AND \
             (t.\"at\", t.\"id\") > (E'2026-11-22 21:00:00+00'::timestamp with time zone, E'17'::bigint) AND \
             (t.\"at\", t.\"id\") <= (E'2026-11-23 00:00:00+00'::timestamp with time zone, E'3'::bigint) \
             ORDER BY t.\"at\", t.\"id\") TO STDOUT (FORMAT csv); COMMIT"
        );
        let (sql, _) = last_row(&orders(r#"{"cursor":"at","lag_seconds":0}"#), &from, 50);
        assert!(!sql.contains("now()"), "{sql}");
    }

    #[test]
    fn a_page_of_a_range() {
        let range = |after: Option<&[&str]>| Place {
            above: Some("b".to_owned()),
            up_to: Some("it's".to_owned()),
            ..after.map(behind_row).unwrap_or_default()
        };
        let wanted = |sql: String| {
            let (_, rest) = sql.split_once(" WHERE ").expect("a condition");
            rest.split(" ORDER BY ")
                .next()
                .unwrap_or_default()
                .to_owned()
        };
        let from = range(None);
        let (sql, parameters) = last_row(&lines(), &from, 50);
        assert_eq!(
            wanted(sql),
            "t.\"doc\" > $1::text::text AND t.\"doc\" <= $2::text::text"
        );
        assert_eq!(parameters, ["b", "it's"]);
        let from = range(Some(&["c", "4"]));
        let (sql, parameters) = last_row(&lines(), &from, 50);
        assert_eq!(
            wanted(sql),
            "(t.\"doc\", t.\"line\") > ($1::text::text, $2::text::integer) AND t.\"doc\" <= $3::text::text"
        );
        assert_eq!(parameters, ["c", "4", "it's"]);
        assert_eq!(
            wanted(copy(&lines(), &from, &["it's".to_owned(), "9".to_owned()])),
            "t.\"doc\" >= E'c'::text AND t.\"doc\" <= E'it''s'::text AND \
             (t.\"doc\", t.\"line\") > (E'c'::text, E'4'::integer) AND \
             (t.\"doc\", t.\"line\") <= (E'it''s'::text, E'9'::integer)"
        );
    }

    #[test]
    fn a_probe_reads_no_rows() {
        assert_eq!(
            probe(&lines()),
            "SELECT t.\"doc\", t.\"line\" FROM \"public\".\"lines\" AS t \
             ORDER BY t.\"doc\", t.\"line\" LIMIT 0"
        );
    }
}
