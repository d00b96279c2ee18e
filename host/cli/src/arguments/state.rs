//! What can be typed of checkpoints and dead letters.

use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

/// `sluice checkpoint`
#[derive(Debug, Subcommand)]
pub enum Checkpoint {
    /// List where each split of a pipeline is.
    List {
        /// The pipeline file.
        pipeline: PathBuf,
    },
    /// Show one split's checkpoint, with the source's own place.
    Show {
        /// The pipeline file.
        pipeline: PathBuf,
        /// The split.
        split: String,
    },
    /// Set a split to another place. Only while its pipeline does not run.
    Set {
        /// The pipeline file.
        pipeline: PathBuf,
        /// The split.
        split: String,
        /// The source's own place, as `checkpoint show --json` prints it.
        #[arg(long, value_name = "JSON")]
        place: String,
        /// A split that no run has read yet: it begins there. Its name is not held against anything.
        #[arg(long)]
        new: bool,
        /// Do it without asking.
        #[arg(long)]
        yes: bool,
    },
    /// Have a pipeline begin again, so that the next run delivers everything once more. Only while it does not run.
    Reset {
        /// The pipeline file.
        pipeline: PathBuf,
        /// Only this split.
        #[arg(long)]
        split: Option<String>,
        /// Forget the schemas that were inferred too.
        #[arg(long)]
        schemas: bool,
        /// Do it without asking.
        #[arg(long)]
        yes: bool,
    },
    /// Read a split again, beside its pipeline: the pipeline goes on where it is, and the source is told nothing.
    Backfill {
        /// The pipeline file.
        pipeline: PathBuf,
        /// The split.
        split: String,
        #[command(flatten)]
        from: Again,
    },
}

/// Where a backfill begins; where the last one was cut off, if nothing is said.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub struct Again {
    /// At the beginning.
    #[arg(long)]
    pub from_start: bool,
    /// At this place: the source's own, as `checkpoint show --json` prints it.
    #[arg(long, value_name = "JSON")]
    pub place: Option<String>,
}

/// `sluice dlq`
#[derive(Debug, Subcommand)]
pub enum Dlq {
    /// List the dead letters of a pipeline.
    List {
        /// The pipeline file.
        pipeline: PathBuf,
        #[command(flatten)]
        filter: Filter,
        /// Those that are so by now: waiting, delivered, filtered or discarded; all of them where nothing is said.
        #[arg(long, value_name = "STANDING")]
        standing: Option<String>,
        /// At most so many.
        #[arg(long, default_value_t = 50)]
        limit: usize,
        /// Only those after this number.
        #[arg(long, default_value_t = 0)]
        after: u64,
    },
    /// Show one dead letter: its record as it entered, and as it was refused where that is something else.
    Show {
        /// The pipeline file.
        pipeline: PathBuf,
        /// Its number, as `dlq list` shows it.
        number: u64,
        /// Show the columns that the policy's classes hide, too. The audit trail keeps that you did.
        #[arg(long)]
        reveal: bool,
    },
    /// Have another record sent in the place of a dead letter's. The one that entered is kept beside it.
    Edit {
        /// The pipeline file.
        pipeline: PathBuf,
        /// Its number.
        number: u64,
        /// The record, as one JSON object.
        #[arg(
            long,
            value_name = "JSON",
            conflicts_with = "file",
            required_unless_present = "file"
        )]
        record: Option<String>,
        /// A file with it.
        #[arg(long)]
        file: Option<PathBuf>,
    },
    /// Send dead letters again: those that wait and that the filter lets through; all that wait, where it says nothing.
    Redrive {
        /// The pipeline file.
        pipeline: PathBuf,
        #[command(flatten)]
        filter: Filter,
        /// Where they enter.
        #[arg(long, value_enum, default_value_t = Enter::Start)]
        enter: Enter,
    },
    /// Give dead letters up: those that wait and that the filter lets through. Their records go.
    Discard {
        /// The pipeline file.
        pipeline: PathBuf,
        #[command(flatten)]
        filter: Filter,
        /// Why, for whoever looks for them later.
        #[arg(long)]
        reason: String,
        /// Do it without asking.
        #[arg(long)]
        yes: bool,
    },
    /// Write dead letters as one JSON object a line.
    Export {
        /// The pipeline file.
        pipeline: PathBuf,
        #[command(flatten)]
        filter: Filter,
        /// The file to write; standard output otherwise.
        #[arg(long)]
        out: Option<PathBuf>,
    },
}

/// Where redriven records enter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Enter {
    /// Before the first transform, as they entered or were edited.
    Start,
    /// At the stage that refused them, as it was given them; an edited one at the start all the same.
    Stage,
}

/// Which dead letters.
#[derive(Debug, Args)]
pub struct Filter {
    /// Only this number, or from one to another: `17`, `17-90`.
    #[arg(long, value_name = "NUMBERS")]
    pub number: Option<String>,
    /// Only with this code.
    #[arg(long)]
    pub code: Option<String>,
    /// Only refused by this plugin (vendor/name).
    #[arg(long)]
    pub plugin: Option<String>,
    /// Only of this stream.
    #[arg(long)]
    pub stream: Option<String>,
    /// Only of this split.
    #[arg(long)]
    pub split: Option<String>,
    /// Only those that came since then: `2026-08-01`, `2026-08-01T06:00:00Z`, or `7d`, `12h`, `30m` ago.
    #[arg(long)]
    pub since: Option<String>,
    /// Only those that came before then.
    #[arg(long)]
    pub until: Option<String>,
    /// Only with this text in their code, message, place or record.
    #[arg(long)]
    pub text: Option<String>,
}
