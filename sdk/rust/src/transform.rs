//! A transform: batches in, edits out. Write [`Transform`] for your type and end the file with
//! [`transform!`](crate::transform!).

use crate::bindings::transform::exports::sluice::plugin::transform as wire;
use crate::{Batch, Change, Column, Fault, Field, Mask, NamedColumn, Rejection, Schema, config};
use serde::de::DeserializeOwned;
use std::cell::RefCell;
use std::marker::PhantomData;

/// A plugin that changes records on their way. One is opened for each stream and schema, and called for each batch.
pub trait Transform: Sized + 'static {
    /// The plugin's settings; use `#[serde(deny_unknown_fields)]`.
    type Config: DeserializeOwned;

    /// Checks the settings against the columns there are. What cannot work is [`Fault::Misconfigured`] here, never a
    /// surprise at the first batch.
    fn open(config: Self::Config, input: &Schema) -> Result<Self, Fault>;

    /// The schema that `apply` gives. The host holds every batch to it.
    fn output(&self) -> Schema;

    /// What to change. Columns that no edit names pass through untouched and never enter the sandbox.
    fn apply(&mut self, batch: &Batch) -> Result<Edits, Fault>;
}

/// What a transform changes in a batch, in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Edits(pub(crate) Vec<Edit>);

/// One change.
#[derive(Debug, Clone, PartialEq)]
pub enum Edit {
    /// Adds a column, or replaces it in place.
    Put(NamedColumn),
    /// Removes a column.
    Drop(String),
    /// Gives a column another name.
    Rename {
        /// As it is.
        old: String,
        /// As it shall be.
        new: String,
    },
    /// The rows of the batch as given that stay; the others count as filtered. At most once.
    Keep(Mask),
    /// Rows of the batch as given that go to the dead letters.
    Reject(Vec<Rejection>),
    /// Other rows than those given.
    Replace(Replacement),
}

/// A batch with other rows than the one given.
#[derive(Debug, Clone, PartialEq)]
pub struct Replacement {
    /// How many.
    pub rows: usize,
    /// All columns of the output.
    pub columns: Vec<NamedColumn>,
    /// What each row asks for; none where every row is an upsert.
    pub changes: Option<Vec<Change>>,
    /// For each new row, the row it came from.
    pub origins: Vec<u32>,
}

impl Edits {
    /// Nothing changes.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a column, or replaces it in place. Moves the values: nothing is copied here.
    pub fn put(&mut self, field: Field, column: Column) -> &mut Self {
        self.push(Edit::Put(NamedColumn::new(field, column)))
    }

    /// Removes a column.
    pub fn drop(&mut self, name: impl Into<String>) -> &mut Self {
        self.push(Edit::Drop(name.into()))
    }

    /// Gives a column another name.
    pub fn rename(&mut self, old: impl Into<String>, new: impl Into<String>) -> &mut Self {
        self.push(Edit::Rename {
            old: old.into(),
            new: new.into(),
        })
    }

    /// Filters: the rows whose bit is not set are gone, and counted. At most once.
    pub fn keep(&mut self, rows: Mask) -> &mut Self {
        self.push(Edit::Keep(rows))
    }

    /// Sends rows to the dead letters, with the record as it entered. An empty list changes nothing.
    pub fn reject(&mut self, rejections: Vec<Rejection>) -> &mut Self {
        if rejections.is_empty() {
            self
        } else {
            self.push(Edit::Reject(rejections))
        }
    }

    /// Other rows than those given. Beside it only `reject` may stand.
    pub fn replace(&mut self, replacement: Replacement) -> &mut Self {
        self.push(Edit::Replace(replacement))
    }

    /// Adds one change.
    pub fn push(&mut self, edit: Edit) -> &mut Self {
        self.0.push(edit);
        self
    }

    /// The changes so far, in order.
    pub fn as_slice(&self) -> &[Edit] {
        &self.0
    }
}

impl From<Edit> for wire::Edit {
    fn from(edit: Edit) -> Self {
        match edit {
            Edit::Put(named) => Self::Put(named.into()),
            Edit::Drop(name) => Self::Drop(name),
            Edit::Rename { old, new } => Self::Rename(wire::Rename { old, new }),
            Edit::Keep(mask) => Self::Keep(mask.into_bytes()),
            Edit::Reject(rejections) => Self::Reject(rejections),
            Edit::Replace(new) => Self::Replace(wire::Replacement {
                rows: u32::try_from(new.rows).unwrap_or(u32::MAX),
                columns: new.columns.into_iter().map(Into::into).collect(),
                changes: new.changes,
                origins: new.origins,
            }),
        }
    }
}

/// Carries the contract's calls to a [`Transform`].
#[doc(hidden)]
pub struct Shim<T>(PhantomData<T>);

/// One opened transform.
#[doc(hidden)]
pub struct Opened<T>(RefCell<T>);

impl<T: Transform> wire::Guest for Shim<T> {
    type Transformer = Opened<T>;
}

impl<T: Transform> wire::GuestTransformer for Opened<T> {
    fn open(config: String, input: Schema) -> Result<wire::Transformer, wire::Fault> {
        let transform = T::open(config::parse(&config)?, &input)?;
        Ok(wire::Transformer::new(Self(RefCell::new(transform))))
    }

    fn output(&self) -> Schema {
        self.0.borrow().output()
    }

    fn apply(&self, input: &wire::Batch) -> Result<Vec<wire::Edit>, wire::Fault> {
        let edits = self.0.borrow_mut().apply(&Batch::borrowed(input))?;
        Ok(edits.0.into_iter().map(Into::into).collect())
    }
}

/// Makes a component of a type that is a [`Transform`](trait@crate::Transform).
#[macro_export]
macro_rules! transform {
    ($transform:ty) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            type Shim = $crate::transform::Shim<$transform>;
            $crate::bindings::transform::__export_transform!(Shim with_types_in $crate::bindings::transform);
        };
    };
}
