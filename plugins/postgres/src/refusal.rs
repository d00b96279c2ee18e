//! What the server says when it refuses something, and whose matter that is. Its words may quote a record's values: they
//! reach a dead letter as a code, a column and a constraint alone.

use fallible_iterator::FallibleIterator as _;
use postgres_protocol::message::backend::ErrorResponseBody;
use sluice_sdk::Fault;

/// An error of the server, in its own terms.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Refusal {
    /// `SQLSTATE`, five characters.
    pub(crate) code: String,
    message: String,
    severity: String,
    /// Where in a COPY: `COPY stage, line 3, column amount: "x"`.
    context: String,
    column: Option<String>,
    constraint: Option<String>,
}

impl Refusal {
    pub(crate) fn of(error: &ErrorResponseBody) -> Self {
        let mut refusal = Self::default();
        let mut fields = error.fields();
        while let Ok(Some(field)) = fields.next() {
            let value = String::from_utf8_lossy(field.value_bytes()).into_owned();
            match field.type_() {
                b'C' => refusal.code = value,
                b'M' => refusal.message = value,
                b'V' => refusal.severity = value,
                b'W' => refusal.context = value,
                b'c' => refusal.column = Some(value),
                b'n' => refusal.constraint = Some(value),
                _ => {}
            }
        }
        refusal
    }

    pub(crate) fn ends_the_session(&self) -> bool {
        matches!(&*self.severity, "FATAL" | "PANIC")
    }

    /// Whether a record is to blame: a value that its column does not take, a constraint that it breaks.
    pub(crate) fn is_of_a_record(&self) -> bool {
        self.code.starts_with("22") || self.code.starts_with("23")
    }

    /// The line of a COPY that was refused, from one.
    pub(crate) fn line(&self) -> Option<usize> {
        let (_, rest) = self.context.split_once(", line ")?;
        let digits = rest.split(|letter: char| !letter.is_ascii_digit()).next()?;
        digits.parse().ok().filter(|line| *line > 0)
    }

    fn column(&self) -> Option<&str> {
        let of_copy = || {
            let (_, rest) = self.context.split_once(", column ")?;
            Some(rest.split_once(':').map_or(rest, |(column, _)| column))
        };
        self.column.as_deref().or_else(of_copy)
    }

    /// A word and a sentence for a dead letter, which quote nothing of the record.
    pub(crate) fn of_record(&self) -> (&'static str, String) {
        let (word, what) = match &*self.code {
            "23502" => ("not-null", "has no value and must have one"),
            "23503" => ("foreign-key", "names a row that is not there"),
            "23505" => ("unique", "is there already, in another row"),
            "23514" => ("check", "is not what the table allows"),
            "23P01" => ("exclusion", "collides with another row"),
            "22001" => ("too-long", "is too long"),
            "22003" => ("out-of-range", "is out of its type's range"),
            "22007" | "22008" => ("bad-time", "is no date or time that the type takes"),
            "22021" => (
                "bad-text",
                "holds a character that the server does not take",
            ),
            "22P02" | "22P03" => ("wrong-type", "is no value of its type"),
            _ => ("refused", "is refused by the server"),
        };
        let mut message = match self.column() {
            Some(column) => format!("column `{column}` {what}"),
            None if word == "not-null" => "a value is missing that must be there".to_owned(),
            None => format!("a value {what}"),
        };
        if let Some(constraint) = &self.constraint {
            message = format!("{message} (constraint `{constraint}`)");
        }
        (word, format!("{message}: SQLSTATE {}", self.code))
    }

    /// What it means where no record is to blame.
    pub(crate) fn fault(&self) -> Fault {
        let text = format!("PostgreSQL: {} (SQLSTATE {})", self.message, self.code);
        match &*self.code {
            "28000" | "28P01" => Fault::unauthorized(text),
            "42501" => Fault::misconfigured(format!("{text}; hint: grant it to the user")),
            // A standby: whoever is behind the name now takes no writes, or will soon be another. And 25P03, 25P04: a
            // transaction that was idle, or open, for longer than the server lets it, which ends the session and no more.
            "25006" | "25P03" | "25P04" | "40001" | "40P01" | "55P03" | "55006" | "57014" => {
                Fault::transient(text)
            }
            code => match code.get(..2) {
                Some("08" | "53" | "57" | "58" | "XX") => Fault::transient(text),
                Some("0A" | "3D" | "3F" | "42") => Fault::misconfigured(text),
                // The value stands in the message.
                Some("22" | "23") => Fault::broken(self.of_record().1),
                _ => Fault::broken(text),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(code: &str, context: &str) -> Refusal {
        Refusal {
            code: code.to_owned(),
            message: "invalid input syntax for type integer: \"secret\"".to_owned(),
            context: context.to_owned(),
            ..Refusal::default()
        }
    }

    #[test]
    fn a_record_is_told_by_its_line_and_column_and_not_by_its_value() {
        let at = refusal(
            "22P02",
            "COPY sluice_stage_1, line 17, column amount: \"secret\"",
        );
        assert_eq!(at.line(), Some(17));
        assert!(at.is_of_a_record());
        let (word, message) = at.of_record();
        assert_eq!(word, "wrong-type");
        assert_eq!(
            message,
            "column `amount` is no value of its type: SQLSTATE 22P02"
        );
        assert!(!at.fault().message().contains("secret"));
        assert_eq!(refusal("23505", "").line(), None);
    }

    #[test]
    fn each_code_has_its_owner() {
        let kind = |code: &str| {
            let told = refusal(code, "").fault().to_string();
            told.split(':').next().unwrap_or_default().to_owned()
        };
        for (code, wanted) in [
            ("28P01", "unauthorized"),
            ("3D000", "misconfigured"),
            ("42P01", "misconfigured"),
            ("42501", "misconfigured"),
            ("57P01", "transient"),
            ("40P01", "transient"),
            ("53300", "transient"),
            ("25006", "transient"),
            ("25P03", "transient"),
            ("25P04", "transient"),
            ("57014", "transient"),
            ("22003", "broken"),
            ("P0001", "broken"),
        ] {
            assert_eq!(kind(code), wanted, "{code}");
        }
    }
}
