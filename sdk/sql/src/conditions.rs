//! Which rows a page has, as SQL. Every column is named by its table: in ORDER BY a bare name would mean the column of the
//! result, which may be text, and text has another order.

use crate::{Column, Place};
use std::slice;

/// The conditions of a page of a table whose rows are `t`.
#[derive(Debug)]
pub struct Conditions<'t, C> {
    order: &'t [&'t C],
    quoted: fn(&str) -> String,
    wanted: Vec<String>,
}

impl<'t, C: Column> Conditions<'t, C> {
    /// The columns by which the table is read, and how the server has a name quoted. That there is a value by which a row
    /// is found again is the first of them.
    pub fn new(order: &'t [&'t C], quoted: fn(&str) -> String) -> Self {
        let nullable = order.iter().filter(|column| column.is_nullable());
        let present = |column: &&C| of("t", column.name(), quoted) + " IS NOT NULL";
        Self {
            order,
            quoted,
            wanted: nullable.map(present).collect(),
        }
    }

    /// Behind the last row; before there was one, behind the lower bound. `value` writes a value of a column.
    #[must_use]
    pub fn behind<'p>(
        mut self,
        place: &'p Place,
        value: &mut impl FnMut(&'p str, &C) -> String,
    ) -> Self {
        let behind = match (&place.after, &place.above) {
            (Some(after), _) => Some(self.compared(self.order, ">", after, value)),
            (None, Some(above)) => {
                let first = &self.order[..1];
                Some(self.compared(first, ">", slice::from_ref(above), value))
            }
            (None, None) => None,
        };
        self.wanted.extend(behind);
        self
    }

    /// The first column compared with the first of these values. Of several columns that follows from the rest, and is said
    /// for the planner: it sees a narrow range in a plain comparison, and in one of whole rows none.
    #[must_use]
    pub fn first<'p>(
        mut self,
        operator: &str,
        values: &'p [String],
        value: &mut impl FnMut(&'p str, &C) -> String,
    ) -> Self {
        let first = self.compared(&self.order[..1], operator, &values[..1], value);
        self.wanted.push(first);
        self
    }

    /// All columns compared with these values, as whole rows.
    #[must_use]
    pub fn whole<'p>(
        mut self,
        operator: &str,
        values: &'p [String],
        value: &mut impl FnMut(&'p str, &C) -> String,
    ) -> Self {
        let whole = self.compared(self.order, operator, values, value);
        self.wanted.push(whole);
        self
    }

    /// One more.
    #[must_use]
    pub fn and(mut self, wanted: Option<String>) -> Self {
        self.wanted.extend(wanted);
        self
    }

    /// All of them as what stands behind a table's name: nothing where there are none.
    pub fn filter(self) -> String {
        if self.wanted.is_empty() {
            String::new()
        } else {
            format!(" WHERE {}", self.wanted.join(" AND "))
        }
    }

    fn compared<'p>(
        &self,
        columns: &[&C],
        operator: &str,
        values: &'p [String],
        value: &mut impl FnMut(&'p str, &C) -> String,
    ) -> String {
        let names = columns
            .iter()
            .map(|column| of("t", column.name(), self.quoted));
        let names: Vec<String> = names.collect();
        let values = columns.iter().zip(values);
        let values: Vec<String> = values.map(|(column, text)| value(text, column)).collect();
        let (names, values) = (names.join(", "), values.join(", "));
        if columns.len() == 1 {
            format!("{names} {operator} {values}")
        } else {
            format!("({names}) {operator} ({values})")
        }
    }
}

fn of(table: &str, name: &str, quoted: fn(&str) -> String) -> String {
    format!("{table}.{}", quoted(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::column::tests::{Plain, orders};

    fn plain(name: &str) -> String {
        format!("[{name}]")
    }

    fn text(value: &str, _: &Plain) -> String {
        format!("'{value}'")
    }

    #[test]
    fn a_page_begins_behind_a_row_or_a_bound() {
        let (orders, row) = (orders(), ["x".to_owned(), "7".to_owned()]);
        let order = [&orders[1], &orders[0]];
        let place = |json: &str| serde_json::from_str::<Place>(json).expect(json);
        for (json, expected) in [
            ("{}", " WHERE t.[at] IS NOT NULL"),
            (
                r#"{"above":"a"}"#,
                " WHERE t.[at] IS NOT NULL AND t.[at] > 'a'",
            ),
            (
                r#"{"above":"a","after":["b","3"]}"#,
                " WHERE t.[at] IS NOT NULL AND (t.[at], t.[id]) > ('b', '3')",
            ),
        ] {
            let place = place(json);
            let conditions = Conditions::new(&order, plain).behind(&place, &mut text);
            assert_eq!(conditions.filter(), expected);
        }
        let conditions = Conditions::new(&order[1..], plain)
            .and(None)
            .first(">=", &row[1..], &mut text)
            .and(Some("true".to_owned()));
        assert_eq!(conditions.filter(), " WHERE t.[id] >= '7' AND true");
        let whole = Conditions::new(&order, plain).whole("<=", &row, &mut text);
        assert!(whole.filter().ends_with("(t.[at], t.[id]) <= ('x', '7')"));
        assert_eq!(Conditions::new(&order[1..], plain).filter(), "");
    }
}
