//! Columns made a value at a time, without an allocation a row.

use crate::{Column, Mask, Packed, Values};

/// The validity of a column that is being made: nothing is kept until the first row without a value.
#[derive(Debug, Clone, Default)]
struct Validity {
    mask: Option<Mask>,
}

impl Validity {
    fn push(&mut self, rows_before: usize, valid: bool) {
        match &mut self.mask {
            Some(mask) => mask.push(valid),
            None if valid => {}
            None => {
                let mut mask = Mask::all(rows_before);
                mask.push(false);
                self.mask = Some(mask);
            }
        }
    }
}

macro_rules! number_builder {
    ($(#[$doc:meta])* $name:ident, $type:ty, $variant:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default)]
        pub struct $name {
            values: Vec<$type>,
            validity: Validity,
        }

        impl $name {
            /// With room for so many rows.
            pub fn with_capacity(rows: usize) -> Self {
                Self { values: Vec::with_capacity(rows), validity: Validity::default() }
            }

            /// Adds a row, with a value or without.
            #[inline]
            pub fn push(&mut self, value: impl Into<Option<$type>>) {
                let value = value.into();
                self.validity.push(self.values.len(), value.is_some());
                self.values.push(value.unwrap_or_default());
            }

            /// The column.
            pub fn finish(self) -> Column {
                Column::new(Values::$variant(self.values), self.validity.mask)
            }
        }
    };
}

number_builder!(
    /// 64-bit integers.
    Int64Builder, i64, Int64
);
number_builder!(
    /// 64-bit floating point numbers.
    Float64Builder, f64, Float64
);
number_builder!(
    /// Days since 1970-01-01.
    DateBuilder, i32, Date
);
number_builder!(
    /// Microseconds since 1970-01-01T00:00:00Z.
    TimestampBuilder, i64, Timestamp
);

macro_rules! packed_builder {
    ($(#[$doc:meta])* $name:ident, $type:ty, $variant:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub struct $name {
            packed: Packed,
            validity: Validity,
        }

        impl Default for $name {
            fn default() -> Self {
                Self::with_capacity(0, 0)
            }
        }

        impl $name {
            /// With room for so many rows, and so many bytes in all of them together.
            pub fn with_capacity(rows: usize, bytes: usize) -> Self {
                let mut offsets = Vec::with_capacity(rows + 1);
                offsets.push(0);
                Self { packed: Packed { offsets, bytes: Vec::with_capacity(bytes) }, validity: Validity::default() }
            }

            /// Adds a row, with a value or without. All rows together hold less than 2 GiB, or this panics.
            #[inline]
            pub fn push<'a>(&mut self, value: impl Into<Option<&'a $type>>) {
                let value: Option<&$type> = value.into();
                self.validity.push(self.packed.rows(), value.is_some());
                if let Some(value) = value {
                    self.packed.bytes.extend_from_slice(value.as_ref());
                }
                self.packed.offsets.push(i32::try_from(self.packed.bytes.len()).expect("a column is below 2 GiB"));
            }

            /// The column.
            pub fn finish(self) -> Column {
                Column::new(Values::$variant(self.packed), self.validity.mask)
            }
        }
    };
}

packed_builder!(
    /// Texts.
    TextBuilder, str, Text
);
packed_builder!(
    /// One JSON text a row.
    JsonBuilder, str, Json
);
packed_builder!(
    /// Bytes.
    BinaryBuilder, [u8], Binary
);

/// Booleans.
#[derive(Debug, Clone)]
pub struct BooleanBuilder {
    values: Mask,
    validity: Validity,
}

impl Default for BooleanBuilder {
    fn default() -> Self {
        Self {
            values: Mask::none(0),
            validity: Validity::default(),
        }
    }
}

impl BooleanBuilder {
    /// Adds a row, with a value or without.
    pub fn push(&mut self, value: impl Into<Option<bool>>) {
        let value = value.into();
        self.validity.push(self.values.rows(), value.is_some());
        self.values.push(value.unwrap_or_default());
    }

    /// The column.
    pub fn finish(self) -> Column {
        let rows = self.values.rows();
        Column::new(
            Values::Boolean(self.values.into_bytes()),
            self.validity.mask,
        )
        .of_rows(rows)
    }
}

/// Decimals, unscaled: `12.34` with scale 2 is `1234`.
#[derive(Debug, Clone, Default)]
pub struct DecimalBuilder {
    bytes: Vec<u8>,
    validity: Validity,
}

impl DecimalBuilder {
    /// With room for so many rows.
    pub fn with_capacity(rows: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(rows * 16),
            validity: Validity::default(),
        }
    }

    /// Adds a row, with a value or without.
    pub fn push(&mut self, value: impl Into<Option<i128>>) {
        let value = value.into();
        self.validity.push(self.bytes.len() / 16, value.is_some());
        self.bytes
            .extend_from_slice(&value.unwrap_or_default().to_le_bytes());
    }

    /// The column.
    pub fn finish(self) -> Column {
        Column::new(Values::Decimal(self.bytes), self.validity.mask)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn validity_is_kept_only_where_a_value_is_missing() {
        let mut full = Int64Builder::with_capacity(2);
        full.push(1);
        full.push(Some(2));
        assert_eq!(full.finish(), Column::new(Values::Int64(vec![1, 2]), None));

        let mut texts = TextBuilder::with_capacity(3, 8);
        for value in [Some("a"), None, Some("ö")] {
            texts.push(value);
        }
        texts.push("plain");
        let column = texts.finish();
        let view = column.text().expect("text");
        assert_eq!(
            view.iter().collect::<Vec<_>>(),
            [Some("a"), None, Some("ö"), Some("plain")]
        );
        assert_eq!(
            column.int64().map(|_| ()),
            Err(crate::Fault::broken("the column is text, not int64"))
        );

        let mut flags = BooleanBuilder::default();
        (0..9).for_each(|row| flags.push((row != 4).then_some(row % 2 == 0)));
        let column = flags.finish();
        let view = column.boolean().expect("boolean");
        assert_eq!(
            (view.get(4), view.get(7), view.get(8)),
            (None, Some(false), Some(true))
        );

        let mut decimals = DecimalBuilder::default();
        decimals.push(-1_234);
        decimals.push(None);
        assert_eq!(
            decimals
                .finish()
                .decimal()
                .expect("decimal")
                .iter()
                .collect::<Vec<_>>(),
            [Some(-1_234), None]
        );
    }
}
