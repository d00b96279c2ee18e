//! Fields that records have and their schema does not: what was seen of each, and the wider schema that has them.
//! Only where the contract is `evolve`.

use crate::infer::Kind;
use sluice_model::guards::Guard;
use sluice_model::limits;
use sluice_model::schema::{Field, FieldType, Schema, SchemaError};
use std::collections::HashMap;
use std::sync::Arc;

/// New fields of one document, in the order they were first seen.
#[derive(Debug)]
pub struct Sightings {
    kinds: Vec<(String, Kind)>,
    places: HashMap<String, usize>,
    /// Those of the record being read: kept only if the record is good.
    pending: Vec<(String, Kind)>,
    /// How many fields the schema can still take.
    room: usize,
}

impl Sightings {
    /// Nothing seen yet beyond this schema.
    pub fn new(schema: &Schema) -> Self {
        Self {
            kinds: Vec::new(),
            places: HashMap::new(),
            pending: Vec::new(),
            room: limits::FIELDS_MAX.saturating_sub(schema.fields().len()),
        }
    }

    /// Notes a new field of the record being read, or says why it cannot join the schema. A field that is null joins
    /// once it has a value.
    pub fn see(&mut self, name: &str, kind: Kind) -> Result<(), &'static str> {
        if Guard::WidenFields.bars(self.room == 0) {
            return Err("is not in the schema, which has as many fields as it may");
        }
        if name.len() > Guard::WidenName.limit(limits::FIELD_NAME_BYTES_MAX) {
            return Err("is not in the schema, and its name is too long to join it");
        }
        if kind != Kind::Null {
            self.pending.push((name.to_owned(), kind));
        }
        Ok(())
    }

    /// The record was good: its fields count.
    #[inline]
    pub fn keep(&mut self) {
        if !self.pending.is_empty() {
            self.merge();
        }
    }

    fn merge(&mut self) {
        for (name, kind) in self.pending.drain(..) {
            match self.places.get(&name) {
                Some(&place) => self.kinds[place].1 = self.kinds[place].1.or(kind),
                None if self.kinds.len() < self.room => {
                    self.places.insert(name.clone(), self.kinds.len());
                    self.kinds.push((name, kind));
                }
                None => {}
            }
        }
    }

    /// The record was refused: its fields do not count.
    pub fn forget(&mut self) {
        self.pending.clear();
    }

    /// The schema with the new fields appended, or none where none were seen. `kept_as` says what type keeps a kind in
    /// the document's format.
    pub fn widened(
        &self,
        schema: &Schema,
        kept_as: impl Fn(Kind) -> FieldType,
    ) -> Option<Result<Arc<Schema>, SchemaError>> {
        if self.kinds.is_empty() {
            return None;
        }
        let mut fields = schema.fields().to_vec();
        fields.extend(
            self.kinds
                .iter()
                .map(|(name, kind)| Field::new(name, kept_as(*kind), true)),
        );
        Some(Schema::new(fields, schema.key().to_vec()).map(Arc::new))
    }
}
