//! A sink: units of records in. Write [`Sink`] for your type and end the file with [`sink!`](crate::sink!).

use crate::bindings::sink::exports::sluice::plugin::sink as wire;
use crate::{Batch, Fault, Rejection, config};
use serde::de::DeserializeOwned;
use std::cell::RefCell;
use std::marker::PhantomData;

pub use wire::{Commit, Target};

/// A plugin that writes to a system. One is opened for each split of a pipeline.
pub trait Sink: Sized + 'static {
    /// The plugin's settings; use `#[serde(deny_unknown_fields)]`.
    type Config: DeserializeOwned;

    /// Can these settings reach the system? May connect, must not change anything.
    fn check(config: &Self::Config) -> Result<(), Fault>;

    /// Gets ready to take the units of one split.
    fn open(config: Self::Config, context: Context, targets: Vec<Target>) -> Result<Self, Fault>;

    /// The last commit published, for a sink that stores it with its data: the host resumes from it, which makes
    /// delivery exactly-once. Called once, after `open`.
    fn committed(&mut self) -> Result<Option<Commit>, Fault> {
        Ok(None)
    }

    /// One unit. When it returns, every row that is not among the rejections is durable at the destination; or, where
    /// the manifest says `transactional = true`, ready for `publish`, and forgotten without it.
    ///
    /// After [`Fault::Transient`] the unit is written again. Where the manifest says `transactional = true`, by another sink
    /// that is opened for it: a session that broke need not be mended. Else by this one, which may know what it has sent
    /// already, and connects anew by itself.
    fn write(&mut self, parts: Vec<Part>, commit: &Commit) -> Result<Vec<Rejection>, Fault>;

    /// Makes the unit last written visible together with its commit, atomically. Only called where the manifest says
    /// `transactional = true`.
    fn publish(&mut self, commit: &Commit) -> Result<(), Fault> {
        let _ = commit;
        Ok(())
    }
}

/// Whose units a sink is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// The pipeline's name.
    pub pipeline: String,
    /// The split's id.
    pub split: String,
}

/// Records of one stream. Its index in the list is what [`Rejection::in_part`] takes.
#[derive(Debug)]
pub struct Part {
    /// Whose.
    pub stream: String,
    /// The records.
    pub batch: Batch<'static>,
}

/// Carries the contract's calls to a [`Sink`].
#[doc(hidden)]
pub struct Shim<S>(PhantomData<S>);

/// One opened sink.
#[doc(hidden)]
pub struct Opened<S>(RefCell<S>);

impl<S: Sink> wire::Guest for Shim<S> {
    type Writer = Opened<S>;

    fn check(config: String) -> Result<(), wire::Fault> {
        Ok(S::check(&config::parse(&config)?)?)
    }
}

impl<S: Sink> wire::GuestWriter for Opened<S> {
    fn open(
        config: String,
        pipeline: String,
        split: String,
        targets: Vec<Target>,
    ) -> Result<wire::Writer, wire::Fault> {
        let sink = S::open(
            config::parse(&config)?,
            Context { pipeline, split },
            targets,
        )?;
        Ok(wire::Writer::new(Self(RefCell::new(sink))))
    }

    fn committed(&self) -> Result<Option<Commit>, wire::Fault> {
        Ok(self.0.borrow_mut().committed()?)
    }

    fn write(&self, parts: Vec<wire::Part>, commit: Commit) -> Result<Vec<Rejection>, wire::Fault> {
        let parts = parts
            .into_iter()
            .map(|part| Part {
                stream: part.stream,
                batch: Batch::owned(part.batch),
            })
            .collect();
        Ok(self.0.borrow_mut().write(parts, &commit)?)
    }

    fn publish(&self, commit: Commit) -> Result<(), wire::Fault> {
        Ok(self.0.borrow_mut().publish(&commit)?)
    }
}

/// Makes a component of a type that is a [`Sink`](trait@crate::Sink). May stand beside [`source!`](crate::source!).
#[macro_export]
macro_rules! sink {
    ($sink:ty) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            type Shim = $crate::sink::Shim<$sink>;
    $crate::bindings::sink::__export_sink!(Shim with_types_in $crate::bindings::sink);
        };
    };
}
