//! A column as the server's catalog has it, as far as it is the same everywhere.

use sluice_sdk::{Field, FieldType};

/// A column of a table.
pub trait Column {
    /// Its name, as it is.
    fn name(&self) -> &str;

    /// What its values are in the pipeline.
    fn field_type(&self) -> FieldType;

    /// Whether a row may have no value there.
    fn is_nullable(&self) -> bool;

    /// Its place in the primary key, from one.
    fn primary(&self) -> Option<u32>;

    /// Its field.
    fn field(&self) -> Field {
        let field = Field::new(self.name(), self.field_type());
        if self.is_nullable() {
            field.nullable()
        } else {
            field
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A column for tests.
    #[derive(Debug, Clone, PartialEq)]
    pub(crate) struct Plain {
        pub(crate) name: &'static str,
        pub(crate) kind: FieldType,
        pub(crate) nullable: bool,
        pub(crate) primary: Option<u32>,
    }

    impl Column for Plain {
        fn name(&self) -> &str {
            self.name
        }

        fn field_type(&self) -> FieldType {
            self.kind
        }

        fn is_nullable(&self) -> bool {
            self.nullable
        }

        fn primary(&self) -> Option<u32> {
            self.primary
        }
    }

    /// A table of orders: `id` is its key.
    pub(crate) fn orders() -> Vec<Plain> {
        let plain = |name, kind, primary: Option<u32>| Plain {
            name,
            kind,
            nullable: primary.is_none(),
            primary,
        };
        vec![
            plain("id", FieldType::Int64, Some(1)),
            plain("at", FieldType::Timestamp, None),
            plain("note", FieldType::Text, None),
        ]
    }

    #[test]
    fn a_column_is_a_field() {
        assert_eq!(orders()[0].field(), Field::new("id", FieldType::Int64));
        let note = Field::new("note", FieldType::Text).nullable();
        assert_eq!(orders()[2].field(), note);
    }
}
