//! By which columns a table is read: its key, or a column that rises with each change of a row and then its key.

use crate::{Column, Table};
use sluice_sdk::{Fault, Field, FieldType, Schema};
use std::collections::BTreeSet;

/// How long a row with a time is left alone, where nothing is said: it may be of a transaction that is still to commit.
const LAG_SECONDS: u32 = 5;

/// By which columns a table is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Where the columns stand that identify a row.
    key: Vec<usize>,
    /// Where the column stands that rises with each change.
    cursor: Option<usize>,
    /// Rows whose cursor is younger are not read yet.
    pub lag_seconds: u32,
}

impl Order {
    /// As the settings of `stream` have it. `name` is the table's, for people; `keeps_nulls_out` says whether the server
    /// knows of this relation's columns that they have a value in every row, which it does of a table and not of a view.
    /// What cannot be is [`Fault::Misconfigured`].
    pub fn of<C: Column>(
        columns: &[C],
        settings: &Table,
        stream: &str,
        name: &str,
        keeps_nulls_out: bool,
    ) -> Result<Self, Fault> {
        let wrong = |what: String| Fault::misconfigured(format!("`{name}`: {what}"));
        let fields = Schema::new(columns.iter().map(Column::field).collect());
        let find = |column: &String| {
            let field = fields.expect(column);
            field.map_err(|fault| fault.context(format!("`{name}`")))?;
            let at = fields.index_of(column);
            at.ok_or_else(|| wrong(format!("there is no column `{column}`")))
        };
        let key = if settings.key.is_empty() {
            primary(columns)
        } else {
            settings.key.iter().map(find).collect::<Result<_, _>>()?
        };
        if key.is_empty() {
            return Err(wrong(format!(
                "it has no primary key; hint: name the columns that identify a row: `tables.{stream}.key`"
            )));
        }
        if key.iter().collect::<BTreeSet<_>>().len() < key.len() {
            return Err(wrong(format!("`tables.{stream}.key` names a column twice")));
        }
        let mut of_key = key.iter().map(|at| &columns[*at]);
        if let Some(column) = of_key.find(|column| column.is_nullable() && keeps_nulls_out) {
            return Err(wrong(format!(
                "`{}` may be null, and so identifies no row; hint: make it `NOT NULL`, or read by another key",
                column.name()
            )));
        }
        let cursor = settings.cursor.as_ref().map(find).transpose()?;
        let rises_in_time =
            cursor.is_some_and(|at| columns[at].field_type() == FieldType::Timestamp);
        let lag_seconds = match settings.lag_seconds {
            Some(1..) if !rises_in_time => {
                return Err(wrong(
                    "`lag_seconds` needs a `cursor` that is a timestamp".to_owned(),
                ));
            }
            Some(seconds) => seconds,
            None if rises_in_time => LAG_SECONDS,
            None => 0,
        };
        Ok(Self {
            key,
            cursor,
            lag_seconds,
        })
    }

    /// The columns that identify a row.
    pub fn key<'c, C>(&self, columns: &'c [C]) -> impl Iterator<Item = &'c C> {
        self.key.iter().map(|at| &columns[*at])
    }

    /// The column that rises with each change.
    pub fn cursor<'c, C>(&self, columns: &'c [C]) -> Option<&'c C> {
        self.cursor.map(|at| &columns[at])
    }

    /// Where the columns stand by which it is read: never none, and no two rows alike in them.
    pub fn places(&self) -> impl Iterator<Item = usize> {
        let of_key = self.key.iter().filter(|at| Some(**at) != self.cursor);
        self.cursor.iter().chain(of_key).copied()
    }

    /// Those columns.
    pub fn columns<'c, C>(&self, columns: &'c [C]) -> Vec<&'c C> {
        self.places().map(|at| &columns[at]).collect()
    }

    /// Their names.
    pub fn names<C: Column>(&self, columns: &[C]) -> Vec<String> {
        let of_order = self.places().map(|at| columns[at].name().to_owned());
        of_order.collect()
    }

    /// The schema of the rows: a row without a key is not read.
    pub fn schema<C: Column>(&self, columns: &[C], mut fields: Vec<Field>) -> Schema {
        for at in &self.key {
            fields[*at].nullable = false;
        }
        let key = self.key(columns).map(Column::name);
        Schema::new(fields).with_key(key)
    }
}

fn primary<C: Column>(columns: &[C]) -> Vec<usize> {
    let mut key: Vec<usize> = (0..columns.len())
        .filter(|at| columns[*at].primary().is_some())
        .collect();
    key.sort_by_key(|at| columns[*at].primary());
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::column::tests::orders;

    fn order(settings: &str) -> Result<Order, Fault> {
        let settings: Table = serde_json::from_str(settings).expect("settings");
        Order::of(&orders(), &settings, "orders", "shop.orders", true)
    }

    #[test]
    fn a_table_is_read_by_its_key_or_by_its_cursor() {
        for (settings, by, lag_seconds) in [
            ("{}", &["id"][..], 0),
            (r#"{"cursor":"at"}"#, &["at", "id"], LAG_SECONDS),
            (r#"{"cursor":"at","lag_seconds":0}"#, &["at", "id"], 0),
            (r#"{"cursor":"id"}"#, &["id"], 0),
        ] {
            let order = order(settings).expect(settings);
            assert_eq!(order.names(&orders()), by, "{settings}");
            assert_eq!(order.lag_seconds, lag_seconds, "{settings}");
        }
        let mut turned = orders();
        (turned[0].primary, turned[1].primary) = (Some(2), Some(1));
        turned[1].nullable = false;
        let order = Order::of(&turned, &Table::default(), "t", "t", true).expect("an order");
        assert_eq!(order.names(&turned), ["at", "id"]);
    }

    #[test]
    fn a_key_has_values() {
        let schema = order("{}").expect("an order");
        let fields = orders()
            .iter()
            .map(|column| column.field().nullable())
            .collect();
        let schema = schema.schema(&orders(), fields);
        assert_eq!(schema.key, ["id"]);
        let nullable: Vec<bool> = schema.fields.iter().map(|field| field.nullable).collect();
        assert_eq!(nullable, [false, true, true]);
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        for (settings, told) in [
            (r#"{"key":["idd"]}"#, "did you mean `id`?"),
            (r#"{"key":["at"]}"#, "`at` may be null"),
            (r#"{"key":["id","id"]}"#, "names a column twice"),
            (r#"{"cursor":"when"}"#, "there is no column `when`"),
            (r#"{"cursor":"id","lag_seconds":5}"#, "that is a timestamp"),
        ] {
            let fault = order(settings).expect_err(settings);
            assert!(matches!(fault, Fault::Misconfigured(_)), "{fault}");
            assert!(fault.message().contains("`shop.orders`"), "{fault}");
            assert!(fault.message().contains(told), "{fault}");
        }
        let fault = Order::of(&orders()[1..], &Table::default(), "t", "t", true);
        let fault = fault.expect_err("no key");
        assert!(fault.message().contains("`tables.t.key`"), "{fault}");
    }

    #[test]
    fn of_a_view_nobody_knows_what_is_never_null() {
        let settings = Table {
            key: vec!["at".to_owned()],
            ..Table::default()
        };
        let order = Order::of(&orders(), &settings, "v", "v", false).expect("an order");
        assert_eq!(order.names(&orders()), ["at"]);
    }
}
