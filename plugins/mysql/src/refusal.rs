//! What the server says when it refuses something, and whose matter that is. Its words may quote a record's values: they
//! reach a dead letter as a code, a column and a constraint alone.

use mysql_common::packets::ServerError;
use sluice_sdk::{Fault, Schema};

/// An error of the server, in its own terms.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Refusal {
    /// Its number.
    pub(crate) code: u16,
    /// `SQLSTATE`, five characters.
    state: String,
    message: String,
}

impl Refusal {
    pub(crate) fn of(error: &ServerError<'_>) -> Self {
        let state = error.sql_state_ref().map(|state| state.as_str());
        Self {
            code: error.error_code(),
            state: state.unwrap_or_default().into_owned(),
            message: error.message_str().into_owned(),
        }
    }

    /// Whether a record is to blame: a value that its column does not take, a constraint that it breaks, a trigger that
    /// does not let it in.
    pub(crate) fn is_of_a_record(&self) -> bool {
        self.word().is_some()
    }

    fn word(&self) -> Option<(&'static str, &'static str)> {
        Some(match self.code {
            1048 | 1364 => ("not-null", "has no value and must have one"),
            1216 | 1217 | 1451 | 1452 => (
                "foreign-key",
                "names a row that is not there, or is named by one",
            ),
            1062 | 1586 => ("unique", "is there already, in another row"),
            3819 | 4025 => ("check", "is not what the table allows"),
            1406 => ("too-long", "is too long"),
            1264 | 1690 => ("out-of-range", "is out of its type's range"),
            1292 | 1411 => ("bad-time", "is no value of its type"),
            1265 | 1366 | 1367 | 1416 | 3140 => ("wrong-type", "is no value of its type"),
            1300 | 1977 | 3854 => (
                "bad-text",
                "holds a character that the server does not take",
            ),
            _ if matches!(self.state.get(..2), Some("22" | "23" | "45")) => {
                ("refused", "is refused by the server")
            }
            _ => return None,
        })
    }

    /// The row of the statement that was refused, from one: the words end with it.
    pub(crate) fn row(&self) -> Option<usize> {
        let (_, row) = self.message.rsplit_once(" at row ")?;
        row.parse().ok().filter(|row| *row > 0)
    }

    /// The column that the server names, where it is one of these: a value may stand in the words, too.
    fn column<'s>(&self, schema: &'s Schema) -> Option<&'s str> {
        let names = schema.fields.iter().map(|field| field.name.as_str());
        let rest = ["olumn '", "olumn `", "Field '"]
            .iter()
            .filter_map(|before| Some(self.message.rsplit_once(before)?.1))
            .min_by_key(|rest| rest.len())?;
        // `Incorrect integer value: 'x' for column `db`.`table`.`name` at row 1`.
        let quoted = rest
            .split_once(" at row ")
            .map_or(rest, |(quoted, _)| quoted);
        let last = quoted.rsplit("`.`").next().unwrap_or_default();
        let name = last.split(['\'', '`']).next().unwrap_or_default();
        names.into_iter().find(|known| *known == name)
    }

    /// The key or constraint that the server names, behind all that a value could be.
    fn constraint(&self) -> Option<&str> {
        let name = match self.code {
            1062 | 1586 => self
                .message
                .rsplit_once(" for key '")?
                .1
                .trim_end_matches('\''),
            1216 | 1217 | 1451 | 1452 | 4025 => {
                let (_, rest) = self.message.split_once("CONSTRAINT `")?;
                rest.split('`').next()?
            }
            3819 => self.message.split('\'').nth(1)?,
            _ => return None,
        };
        Some(name).filter(|name| !name.is_empty() && name.chars().count() <= 64)
    }

    /// A word and a sentence for a dead letter, which quote nothing of the record.
    pub(crate) fn of_record(&self, schema: &Schema) -> (&'static str, String) {
        let (word, what) = self
            .word()
            .unwrap_or(("refused", "is refused by the server"));
        let mut message = match self.column(schema) {
            Some(column) => format!("column `{column}` {what}"),
            None if word == "not-null" => "a value is missing that must be there".to_owned(),
            None => format!("a value {what}"),
        };
        if let Some(constraint) = self.constraint() {
            message = format!("{message} (constraint `{constraint}`)");
        }
        (word, format!("{message}: error {}", self.code))
    }

    /// What it means where no record is to blame.
    pub(crate) fn fault(&self) -> Fault {
        if self.is_of_a_record() {
            // The value stands in the words.
            return Fault::broken(self.of_record(&Schema::new(Vec::new())).1);
        }
        let text = format!("the server: {} (error {})", self.message, self.code);
        match self.code {
            // No such login, a password that is over, an account that is locked.
            1045 | 1698 | 1820 | 1862 | 3118 | 4151 => Fault::unauthorized(text),
            1044 | 1142 | 1143 | 1227 | 1370 => {
                Fault::misconfigured(format!("{text}; hint: grant it to the user"))
            }
            // Too many connections, or too much asked for by this user.
            1040 | 1203 | 1226
            // A host that failed too often, and no thread for one more.
            | 1129 | 1135
            // A lock, a deadlock, or a statement that took too long.
            | 1205 | 1206 | 1213 | 1317 | 1969 | 3024
            // What the transaction began with has changed; what hangs on its end did not let it through.
            | 1020 | 1180 | 1412 | 3100
            // No room, no file.
            | 1021 | 1026 | 1030 | 1114
            // It goes down, is offline, or the session was ended.
            | 1053 | 1077 | 1927 | 3032 | 4031
            // A proxy that reaches no server, or lost the one it had: in a client's own numbers, or in ProxySQL's.
            | 2002 | 2003 | 2006 | 2013 | 9001
            // A standby: whoever is behind the name now takes no writes, or will soon be another.
            | 1290 | 1792 | 1836 => Fault::transient(text),
            1049 | 1130 | 1251 | 1665 => Fault::misconfigured(text),
            _ => match self.state.get(..2) {
                Some("08" | "40" | "70") => Fault::transient(text),
                Some("28" | "42" | "3D" | "0A") => Fault::misconfigured(text),
                _ => Fault::broken(text),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_sdk::{Field, FieldType};

    fn refusal(code: u16, state: &str, message: &str) -> Refusal {
        Refusal {
            code,
            state: state.to_owned(),
            message: message.to_owned(),
        }
    }

    fn schema() -> Schema {
        Schema::new(vec![
            Field::new("amount", FieldType::Int64),
            Field::new("it's", FieldType::Text),
        ])
    }

    #[test]
    fn a_record_is_told_by_its_row_and_column_and_not_by_its_value() {
        for (code, message, row, expected) in [
            (
                1366,
                "Incorrect integer value: 'secret' for column `shop`.`orders`.`amount` at row 3",
                Some(3),
                "column `amount` is no value of its type: error 1366",
            ),
            (
                1366,
                "Incorrect integer value: 'secret' for column 'amount' at row 17",
                Some(17),
                "column `amount` is no value of its type: error 1366",
            ),
            (
                1406,
                "Data too long for column 'amount' at row 1",
                Some(1),
                "column `amount` is too long: error 1406",
            ),
            (
                1048,
                "Column 'amount' cannot be null",
                None,
                "column `amount` has no value and must have one: error 1048",
            ),
            (
                1364,
                "Field 'elsewhere' doesn't have a default value",
                None,
                "a value is missing that must be there: error 1364",
            ),
            (
                1062,
                "Duplicate entry 'secret for key 'x' at row 9' for key 'by_email'",
                None,
                "a value is there already, in another row (constraint `by_email`): error 1062",
            ),
            (
                1452,
                "Cannot add or update a child row: a foreign key constraint fails (`d`.`t`, CONSTRAINT `of_shop` FOREIGN KEY (`s`) REFERENCES `shops` (`id`))",
                None,
                "a value names a row that is not there, or is named by one (constraint `of_shop`): error 1452",
            ),
            (
                4025,
                "CONSTRAINT `positive` failed for `d`.`t`",
                None,
                "a value is not what the table allows (constraint `positive`): error 4025",
            ),
            (
                1366,
                "Incorrect string value: 'Column 'secret' of' for column 'other' at row 1",
                Some(1),
                "a value is no value of its type: error 1366",
            ),
        ] {
            let refusal = refusal(code, "HY000", message);
            assert!(refusal.is_of_a_record(), "{message}");
            assert_eq!(refusal.row(), row, "{message}");
            assert_eq!(refusal.of_record(&schema()).1, expected);
            assert!(!refusal.fault().message().contains("secret"));
        }
        let of_a_trigger = refusal(1644, "45000", "secret is not welcome");
        assert_eq!(
            of_a_trigger.of_record(&schema()),
            (
                "refused",
                "a value is refused by the server: error 1644".to_owned()
            )
        );
    }

    #[test]
    fn each_code_has_its_owner() {
        for (code, state, wanted) in [
            (1045, "28000", "unauthorized"),
            (1049, "42000", "misconfigured"),
            (1146, "42S02", "misconfigured"),
            (1142, "42000", "misconfigured"),
            (1040, "08004", "transient"),
            (1205, "HY000", "transient"),
            (1213, "40001", "transient"),
            (1290, "HY000", "transient"),
            (1927, "70100", "transient"),
            (1820, "HY000", "unauthorized"),
            (1862, "HY000", "unauthorized"),
            (3118, "HY000", "unauthorized"),
            (4151, "HY000", "unauthorized"),
            (1020, "HY000", "transient"),
            (1026, "HY000", "transient"),
            (1129, "HY000", "transient"),
            (1135, "HY000", "transient"),
            (1180, "HY000", "transient"),
            (1206, "HY000", "transient"),
            (1412, "HY000", "transient"),
            (1969, "70100", "transient"),
            (3024, "HY000", "transient"),
            (3032, "HY000", "transient"),
            (3100, "HY000", "transient"),
            (2002, "HY000", "transient"),
            (2003, "HY000", "transient"),
            (2006, "HY000", "transient"),
            (2013, "HY000", "transient"),
            (9001, "HY000", "transient"),
            (1105, "HY000", "broken"),
        ] {
            let told = refusal(code, state, "no").fault().to_string();
            assert!(told.starts_with(wanted), "{code}: {told}");
        }
    }
}
