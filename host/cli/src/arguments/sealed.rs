//! What can be typed about what is sealed: secrets, the key, the state.

use super::Here;
use clap::{Args, Subcommand};
use sluice_model::sizes::Span;
use std::path::PathBuf;

/// `sluice secret`
#[derive(Debug, Subcommand)]
pub enum Secret {
    /// Add a secret to the vault. Its value is read from standard input, or from a file: never from an argument.
    Set {
        /// Its name, as pipelines name it.
        name: String,
        #[command(flatten)]
        value: Value,
        #[command(flatten)]
        here: Here,
    },
    /// List the secrets of the vault: versions, when they expire, when they were last used. Never their values.
    List {
        #[command(flatten)]
        here: Here,
    },
    /// Give a secret a new value. A pipeline that is running uses it with its next request.
    Rotate {
        /// Its name.
        name: String,
        #[command(flatten)]
        value: Value,
        /// How long the value before can be taken back.
        #[arg(long, value_name = "TIME", default_value = "7d")]
        keep: Span,
        /// Take the value before back: no new one is read.
        #[arg(long, conflicts_with_all = ["file", "expires", "keep"])]
        undo: bool,
        #[command(flatten)]
        here: Here,
    },
    /// Remove a secret with all its versions.
    Remove {
        /// Its name.
        name: String,
        /// Do it without asking.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        here: Here,
    },
}

/// Where a value comes from, and until when it is good.
#[derive(Debug, Args)]
pub struct Value {
    /// Read the value from this file, without its last line end.
    #[arg(long)]
    pub file: Option<PathBuf>,
    /// Refuse the value after this time, such as 90d; warned of two weeks before. A rotation that does not say it keeps the
    /// span of the value before.
    #[arg(long, value_name = "TIME")]
    pub expires: Option<Span>,
}

/// `sluice key`
#[derive(Debug, Subcommand)]
pub enum Key {
    /// Make a key in a new file that only its owner can read.
    New {
        /// The file, which must not be there yet.
        file: PathBuf,
    },
    /// Put another key in the place of the deployment's. Data is not written again, only the keys that sealed it. No run may
    /// be under way.
    Rotate {
        /// The key in this file, which `[state.key]` must name from then on. Otherwise a new one in the same file.
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
        #[command(flatten)]
        here: Here,
    },
}

/// `sluice state`
#[derive(Debug, Subcommand)]
pub enum State {
    /// Show which key the state is sealed with, and which keys seal its data.
    Show {
        #[command(flatten)]
        here: Here,
    },
    /// Make all that is kept for a pipeline unreadable, for good: its keys are destroyed, its checkpoints, dead letters and
    /// inferred schemas removed.
    Shred {
        /// The pipeline file, or, where that is gone, the pipeline's name.
        pipeline: PathBuf,
        /// Do it without asking.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        here: Here,
    },
}
