//! What a column holds: a type of PostgreSQL's as one of the contract's, and the expression that gives its values as
//! the host reads them in CSV.

use crate::base::numeric;
use sluice_sdk::FieldType;

/// Digits that a decimal of the contract has at most.
const DIGITS_MAX: i32 = 38;

/// A type that is no domain, as `pg_type` has it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Base<'a> {
    /// Its name, where it is one of PostgreSQL's own; else nothing.
    pub(super) builtin: &'a str,
    /// `typtype`: `c` is a composite.
    pub(super) form: &'a str,
    /// `typcategory`: `A` is an array.
    pub(super) category: &'a str,
    /// `typmod`: the precision and scale of a numeric; -1 where none is said.
    pub(super) modifier: i32,
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Boolean,
    Integer,
    Float,
    Decimal {
        precision: u8,
        scale: u8,
    },
    Date,
    /// Without a time zone: taken for UTC.
    Moment,
    /// With one.
    ZonedMoment,
    Json,
    /// An array or a composite.
    Structure,
    Binary,
    /// All others, as PostgreSQL writes them.
    Text,
}

impl Kind {
    pub(super) fn of(base: Base<'_>) -> Self {
        match base.builtin {
            "bool" => Self::Boolean,
            "int2" | "int4" | "int8" | "oid" => Self::Integer,
            "float4" | "float8" => Self::Float,
            "numeric" => decimal(base.modifier).unwrap_or(Self::Text),
            "date" => Self::Date,
            "timestamp" => Self::Moment,
            "timestamptz" => Self::ZonedMoment,
            "json" | "jsonb" => Self::Json,
            "bytea" => Self::Binary,
            _ if base.category == "A" || base.form == "c" => Self::Structure,
            _ => Self::Text,
        }
    }

    pub(super) fn field_type(self) -> FieldType {
        match self {
            Self::Boolean => FieldType::Boolean,
            Self::Integer => FieldType::Int64,
            Self::Float => FieldType::Float64,
            Self::Decimal { precision, scale } => FieldType::decimal(precision, scale),
            Self::Date => FieldType::Date,
            Self::Moment | Self::ZonedMoment => FieldType::Timestamp,
            Self::Json | Self::Structure => FieldType::Json,
            Self::Binary => FieldType::Binary,
            Self::Text => FieldType::Text,
        }
    }

    /// Of this column, what the host reads. Where a type's own way to be written is that already, the column itself.
    pub(super) fn expression(self, column: &str) -> String {
        match self {
            Self::Integer
            | Self::Float
            | Self::Decimal { .. }
            | Self::Date
            | Self::Moment
            | Self::Json
            | Self::Text => column.to_owned(),
            Self::Boolean => format!("{column}::text"),
            Self::ZonedMoment => format!("({column} AT TIME ZONE 'UTC')::text"),
            Self::Structure => format!("to_json({column})::text"),
            Self::Binary => format!("translate(encode({column}, 'base64'), E'\\n', '')"),
        }
    }
}

/// A numeric whose modifier is a precision and scale that the contract has.
fn decimal(modifier: i32) -> Option<Kind> {
    let (precision, scale) = numeric(modifier)?;
    if precision > DIGITS_MAX || scale > precision {
        return None;
    }
    Some(Kind::Decimal {
        precision: u8::try_from(precision).ok().filter(|digits| *digits > 0)?,
        scale: u8::try_from(scale).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(builtin: &str, form: &str, category: &str, modifier: i32) -> Kind {
        Kind::of(Base {
            builtin,
            form,
            category,
            modifier,
        })
    }

    #[test]
    fn each_type_has_one_of_the_contract() {
        for (builtin, field_type) in [
            ("bool", FieldType::Boolean),
            ("int2", FieldType::Int64),
            ("int4", FieldType::Int64),
            ("int8", FieldType::Int64),
            ("oid", FieldType::Int64),
            ("float4", FieldType::Float64),
            ("float8", FieldType::Float64),
            ("numeric", FieldType::Text),
            ("date", FieldType::Date),
            ("timestamp", FieldType::Timestamp),
            ("timestamptz", FieldType::Timestamp),
            ("json", FieldType::Json),
            ("jsonb", FieldType::Json),
            ("bytea", FieldType::Binary),
            ("text", FieldType::Text),
            ("bpchar", FieldType::Text),
            ("uuid", FieldType::Text),
            ("interval", FieldType::Text),
            ("timetz", FieldType::Text),
            ("int4range", FieldType::Text),
        ] {
            let given = kind(builtin, "b", "?", -1).field_type();
            assert_eq!(given, field_type, "{builtin}");
        }
        assert_eq!(kind("_int4", "b", "A", -1), Kind::Structure);
        assert_eq!(kind("", "c", "C", -1), Kind::Structure);
        assert_eq!(kind("", "e", "E", -1), Kind::Text);
        assert_eq!(
            kind("", "b", "U", -1),
            Kind::Text,
            "an extension's own `bool` is none"
        );
    }

    #[test]
    fn numerics_are_decimals_where_the_contract_has_them() {
        let modifier = |precision: i32, scale: i32| ((precision << 16) | (scale & 0x7ff)) + 4;
        for (precision, scale, decimal) in [
            (10, 2, Some((10, 2))),
            (38, 38, Some((38, 38))),
            (1, 0, Some((1, 0))),
            (39, 2, None),
            (5, -2, None),
            (2, 4, None),
            (1_000, 1_000, None),
        ] {
            let expected = decimal.map_or(Kind::Text, |(precision, scale)| Kind::Decimal {
                precision,
                scale,
            });
            let given = kind("numeric", "b", "N", modifier(precision, scale));
            assert_eq!(given, expected, "numeric({precision},{scale})");
        }
    }

    #[test]
    fn each_kind_is_written_as_the_host_reads_it() {
        for (kind, expression) in [
            (Kind::Integer, "c"),
            (Kind::Moment, "c"),
            (Kind::Boolean, "c::text"),
            (Kind::Text, "c"),
            (Kind::ZonedMoment, "(c AT TIME ZONE 'UTC')::text"),
            (Kind::Structure, "to_json(c)::text"),
            (Kind::Binary, "translate(encode(c, 'base64'), E'\\n', '')"),
        ] {
            assert_eq!(kind.expression("c"), expression);
        }
    }
}
