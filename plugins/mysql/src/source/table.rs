//! How a table is read: by which columns, and the SQL of a page.

use crate::catalog::{self, Column, Relation};
use crate::config::{Config, quoted};
use crate::session::Session;
use crate::types::Kind;
use sluice_sdk::source::Stream;
use sluice_sdk::{Fault, Field};
use sluice_sql::{Column as _, Conditions, Order, Place, evenly, push_field};
use std::slice;

/// A table, and how it is read.
#[derive(Debug, Clone)]
pub(super) struct Table {
    /// For people.
    pub(super) name: String,
    /// For SQL.
    place: String,
    pub(super) columns: Vec<Column>,
    /// By which of them it is read.
    pub(super) order: Order,
}

impl Table {
    /// The table of a stream.
    pub(super) fn find(
        session: &mut Session,
        config: &Config,
        stream: &str,
    ) -> Result<Self, Fault> {
        let relation = catalog::table(session, config, config.name(stream))?;
        Self::new(relation, config, stream)
    }

    pub(super) fn new(relation: Relation, config: &Config, stream: &str) -> Result<Self, Fault> {
        let Relation {
            name,
            is_view,
            columns,
            ..
        } = relation;
        let place = quoted(&name);
        let name = format!("{}.{name}", config.database);
        let order = Order::of(&columns, &config.table(stream), stream, &name, !is_view)?;
        let wrong = order
            .columns(&columns)
            .into_iter()
            .find(|column| !column.kind.has_order());
        if let Some(column) = wrong {
            return Err(Fault::misconfigured(format!(
                "`{name}`: it cannot be read in the order of `{}`, which is a `{}`; hint: another `tables.{stream}.key` or `cursor`",
                column.name, column.type_name
            )));
        }
        Ok(Self {
            name,
            place,
            columns,
            order,
        })
    }

    /// The stream of its rows.
    pub(super) fn stream(&self, name: &str) -> Stream {
        let fields: Vec<Field> = self.columns.iter().map(Column::field).collect();
        let schema = self.order.schema(&self.columns, fields);
        Stream::new(name).with_schema(schema).incremental()
    }

    /// The line of names of its rows in CSV.
    pub(super) fn header(&self) -> Vec<u8> {
        let mut header = Vec::new();
        for (at, column) in self.columns.iter().enumerate() {
            if at > 0 {
                header.push(b',');
            }
            push_field(&mut header, Some(column.name.as_bytes()));
        }
        header
    }

    /// What reads up to so many rows behind `from`.
    pub(super) fn page(&self, from: &Place, rows: u32) -> String {
        let order = self.order.columns(&self.columns);
        let mut constant = |value: &str, column: &Column| column.kind.literal_of(value);
        let mut wanted = Conditions::new(&order, quoted);
        if let Some(after) = from.after.as_ref().filter(|_| order.len() > 1) {
            // Else it would look at every row before, for each page.
            wanted = wanted.first(">=", after, &mut constant);
        }
        wanted = wanted.behind(from, &mut constant);
        if let Some(up_to) = &from.up_to {
            wanted = wanted.first("<=", slice::from_ref(up_to), &mut constant);
        }
        let is_old = self
            .order
            .cursor(&self.columns)
            .filter(|_| self.order.lag_seconds > 0);
        let wanted = wanted.and(is_old.map(|cursor| {
            let (name, lag) = (quoted(&cursor.name), self.order.lag_seconds);
            format!("t.{name} < UTC_TIMESTAMP(6) - INTERVAL {lag} SECOND")
        }));
        self.select(&wanted.filter(), rows)
    }

    /// What reads no rows, and is refused where a page would be: without the right to a column.
    pub(super) fn probe(&self) -> String {
        self.select("", 0)
    }

    fn select(&self, filter: &str, rows: u32) -> String {
        let values = self.columns.iter();
        let values = values.map(|column| column.kind.expression("t", &column.name));
        let values: Vec<String> = values.collect();
        let order = self.order.columns(&self.columns);
        let order = order
            .iter()
            .map(|column| format!("t.{}", quoted(&column.name)));
        let order: Vec<String> = order.collect();
        format!(
            "SELECT {} FROM {} AS t{filter} ORDER BY {} LIMIT {rows}",
            values.join(", "),
            self.place,
            order.join(", ")
        )
    }

    /// The values between so many ranges of its key's first column; none of a table without rows.
    pub(super) fn bounds(
        &self,
        session: &mut Session,
        stream: &str,
        count: usize,
    ) -> Result<Vec<String>, Fault> {
        let first = self.order.columns(&self.columns)[0];
        if first.kind != Kind::Integer {
            return Err(Fault::misconfigured(format!(
                "`tables.{stream}.splits`: the key of `{}` begins with `{}`, which is no whole number that a range could be \
                 cut from; hint: leave `splits` out",
                self.name, first.name
            )));
        }
        let name = quoted(&first.name);
        let sql = format!(
            "SELECT MIN(t.{name}), MAX(t.{name}) FROM {} AS t",
            self.place
        );
        let rows = session.query(&sql)?;
        let values: Vec<i64> = rows
            .iter()
            .flatten()
            .flatten()
            .filter_map(|value| value.parse().ok())
            .collect();
        Ok(match values[..] {
            [least, greatest] => evenly(least, greatest, count),
            _ => Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::tests::orders;

    fn table(settings: &str) -> Result<Table, Fault> {
        let config = format!(
            r#"{{"host":"h","database":"shop","user":"u","tables":{{"orders":{settings}}}}}"#
        );
        let config: Config = sluice_sdk::parse_config(&config)?;
        Table::new(orders(), &config, "orders")
    }

    fn place(json: &str) -> Place {
        serde_json::from_str(json).expect(json)
    }

    #[test]
    fn a_page_is_one_statement() {
        let table = table("{}").expect("a table");
        assert_eq!(
            table.page(&Place::default(), 1_000),
            "SELECT t.`id`, t.`at`, t.`na``me`, t.`mood` FROM `orders` AS t ORDER BY t.`id` LIMIT 1000"
        );
        let range = place(r#"{"above":"10","up_to":"20"}"#);
        assert!(
            table
                .page(&range, 5)
                .contains(" WHERE t.`id` > 10 AND t.`id` <= 20 ORDER BY")
        );
        assert_eq!(table.header(), b"id,at,na`me,mood");
        assert!(table.probe().ends_with("LIMIT 0"));
    }

    #[test]
    fn a_page_of_a_table_with_a_cursor() {
        let from = place(r#"{"after":["2026-11-22 21:00:00","17"]}"#);
        let table = |settings| table(settings).expect("a table");
        let sql = table(r#"{"cursor":"at"}"#).page(&from, 50);
        let (_, wanted) = sql.split_once(" WHERE ").expect("a condition");
        assert_eq!(
            wanted,
            "t.`at` IS NOT NULL AND t.`at` >= '2026-11-22 21:00:00' AND \
             (t.`at`, t.`id`) > ('2026-11-22 21:00:00', 17) AND \
             t.`at` < UTC_TIMESTAMP(6) - INTERVAL 5 SECOND ORDER BY t.`at`, t.`id` LIMIT 50"
        );
        let at_once = table(r#"{"cursor":"at","lag_seconds":0}"#).page(&from, 50);
        assert!(!at_once.contains("UTC_TIMESTAMP"), "{at_once}");
    }

    #[test]
    fn what_has_no_order_that_a_comparison_knows_is_refused() {
        let fault = table(r#"{"key":["mood"]}"#).expect_err("an enum");
        assert!(fault.message().contains("which is a `enum`"), "{fault}");
    }
}
