//! The SQL that writes and deletes rows.

use super::table::Shape;
use crate::config::{names, quoted};
use sluice_sql::Mode;

/// A statement over rows: what stands before them, between two of them, and behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement {
    pub(super) head: String,
    pub(super) between: &'static str,
    pub(super) tail: String,
}

impl Statement {
    /// What writes rows, each its values in brackets.
    pub(super) fn write(shape: &Shape, mode: Mode) -> Self {
        let all = names(shape.schema.fields.iter().map(|field| field.name.as_str()));
        let tail = match mode {
            Mode::Append => String::new(),
            Mode::Upsert => format!(" ON DUPLICATE KEY UPDATE {}", set(shape)),
        };
        Self {
            head: format!("INSERT INTO {} ({all}) VALUES ", shape.table),
            between: ", ",
            tail,
        }
    }

    /// What deletes rows, each told by its key: a value, or conditions in brackets. A server reads no index for a list of
    /// rows of several columns, and does for one of conditions.
    pub(super) fn delete(shape: &Shape) -> Self {
        let (between, tail) = match &shape.schema.key[..] {
            [_] => (", ", ")"),
            _ => (" OR ", ""),
        };
        let key = match &shape.schema.key[..] {
            [name] => format!("{} IN (", quoted(name)),
            _ => String::new(),
        };
        Self {
            head: format!("DELETE FROM {} WHERE {key}", shape.table),
            between,
            tail: tail.to_owned(),
        }
    }

    /// All of it, over these rows.
    pub(super) fn over<'r>(&self, rows: impl Iterator<Item = &'r str>) -> String {
        let mut sql = self.head.clone();
        for (at, row) in rows.enumerate() {
            if at > 0 {
                sql.push_str(self.between);
            }
            sql.push_str(row);
        }
        sql.push_str(&self.tail);
        sql
    }

    /// Bytes of it that are no row's.
    pub(super) fn bytes(&self) -> usize {
        self.head.len() + self.tail.len()
    }
}

/// What a row that is there becomes. Where another unique index than the key's could have found it, it is another row: a
/// key without a value is refused, and nothing is written over.
fn set(shape: &Shape) -> String {
    let key = &shape.schema.key;
    let fields = shape.schema.fields.iter().map(|field| field.name.as_str());
    let mut set: Vec<String> = Vec::new();
    if let Some(first) = key.first().filter(|_| shape.has_other_keys) {
        let same = key.iter().map(|name| quoted(name));
        let same: Vec<String> = same
            .map(|name| format!("{name} <=> VALUES({name})"))
            .collect();
        let first = quoted(first);
        set.push(format!(
            "{first} = IF({}, {first}, NULL)",
            same.join(" AND ")
        ));
    }
    let rest = fields.filter(|name| !key.iter().any(|known| known == name));
    set.extend(rest.map(|name| {
        let name = quoted(name);
        format!("{name} = VALUES({name})")
    }));
    if set.is_empty() {
        // A row of nothing but its key stays as it is.
        set.extend(key.first().map(|name| format!("{0} = {0}", quoted(name))));
    }
    set.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_sdk::{Field, FieldType, Schema};

    fn shape(fields: &[&str], key: &[&str], has_other_keys: bool) -> Shape {
        let fields = fields.iter();
        let fields = fields.map(|name| Field::new(*name, FieldType::Int64));
        Shape {
            table: "`t`".to_owned(),
            schema: Schema::new(fields.collect()).with_key(key.iter().copied()),
            has_other_keys,
            look: Vec::new(),
        }
    }

    #[test]
    fn rows_are_replaced_by_key_and_by_no_other_index() {
        let plain = Statement::write(&shape(&["id", "a", "b"], &["id"], false), Mode::Upsert);
        assert_eq!(
            plain.over(["(1, 2, 3)", "(4, 5, 6)"].into_iter()),
            "INSERT INTO `t` (`id`, `a`, `b`) VALUES (1, 2, 3), (4, 5, 6) \
             ON DUPLICATE KEY UPDATE `a` = VALUES(`a`), `b` = VALUES(`b`)"
        );
        let guarded = Statement::write(&shape(&["x", "y", "a"], &["x", "y"], true), Mode::Upsert);
        assert_eq!(
            guarded.tail,
            " ON DUPLICATE KEY UPDATE `x` = IF(`x` <=> VALUES(`x`) AND `y` <=> VALUES(`y`), `x`, NULL), `a` = VALUES(`a`)"
        );
        let bare = Statement::write(&shape(&["id"], &["id"], false), Mode::Upsert);
        assert!(bare.tail.ends_with("UPDATE `id` = `id`"));
        let added = Statement::write(&shape(&["id"], &[], true), Mode::Append);
        assert_eq!(
            added.over(["(1)"].into_iter()),
            "INSERT INTO `t` (`id`) VALUES (1)"
        );
    }

    #[test]
    fn rows_are_deleted_by_key() {
        let one = Statement::delete(&shape(&["id", "a"], &["id"], false));
        assert_eq!(
            one.over(["1", "2"].into_iter()),
            "DELETE FROM `t` WHERE `id` IN (1, 2)"
        );
        let two = Statement::delete(&shape(&["x", "y"], &["x", "y"], false));
        assert_eq!(
            two.over(["(`x` = 1 AND `y` = 2)", "(`x` = 3 AND `y` = 4)"].into_iter()),
            "DELETE FROM `t` WHERE (`x` = 1 AND `y` = 2) OR (`x` = 3 AND `y` = 4)"
        );
        assert_eq!(one.bytes(), "DELETE FROM `t` WHERE `id` IN ()".len());
    }
}
