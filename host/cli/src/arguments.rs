//! What can be typed. What it means is in `commands`.

mod sealed;

pub use sealed::{Key, Secret, State, Value};

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Runs sandboxed connector plugins: records leave one system, pass through transforms, arrive in another, and none
/// is lost on the way.
///
/// Exit codes: 0 done; 1 the pipeline, plugin or input failed; 2 wrong use or configuration; 3 the host itself failed.
#[derive(Debug, Parser)]
#[command(name = "sluice", version, max_term_width = 100)]
pub struct Arguments {
    /// Print one JSON document instead of text.
    #[arg(long, global = true)]
    pub json: bool,
    /// Log more: -v what happens, -vv each step, -vvv everything. `SLUICE_LOG` takes a filter instead.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a pipeline once, to the end of its source.
    Run {
        /// The pipeline file.
        pipeline: PathBuf,
    },
    /// Find everything that can be wrong with a pipeline, before it runs. Connects to its systems, and changes nothing.
    Check {
        /// The pipeline file.
        pipeline: PathBuf,
    },
    /// Make and look at plugins.
    #[command(subcommand)]
    Plugin(Plugin),
    /// Say what plugins may do.
    #[command(subcommand)]
    Grant(Grant),
    /// See and forget where pipelines are.
    #[command(subcommand)]
    Checkpoint(Checkpoint),
    /// See the records that could not be delivered.
    #[command(subcommand)]
    Dlq(Dlq),
    /// Keep secrets in the deployment's vault.
    #[command(subcommand)]
    Secret(Secret),
    /// Make and change the key that the state and the vault are sealed with.
    #[command(subcommand)]
    Key(Key),
    /// See how the state is sealed, and shred a pipeline's part of it.
    #[command(subcommand)]
    State(State),
}

/// `sluice plugin`
#[derive(Debug, Subcommand)]
pub enum Plugin {
    /// Build the Rust plugin in a folder with cargo, and pack it.
    Build {
        /// The folder, with Cargo.toml and manifest.toml.
        #[arg(default_value = ".")]
        folder: PathBuf,
        /// The file to write; by default VENDOR-NAME-VERSION.wasm in the folder.
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Embed a manifest, and the config schema it names, into a component, whatever it was built with.
    Pack {
        /// The component.
        component: PathBuf,
        /// The manifest.
        #[arg(long)]
        manifest: PathBuf,
        /// The file to write.
        #[arg(long)]
        out: PathBuf,
    },
    /// Show on one page what a plugin is, asks for and imports.
    Inspect {
        /// The packed component.
        component: PathBuf,
    },
}

/// `sluice grant`
#[derive(Debug, Subcommand)]
pub enum Grant {
    /// Show what the plugins of a pipeline ask for and are not granted, and write those grants.
    New {
        /// The pipeline file.
        pipeline: PathBuf,
        /// A network outside the public internet that the hosts asked for may be in, such as 10.1.0.0/16. Repeatable.
        #[arg(long = "network", value_name = "ADDRESS/BITS", value_parser = network)]
        networks: Vec<sluice_model::grant::ipnet_text::Network>,
        /// Show, and write nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// List the grants of the deployment.
    List {
        #[command(flatten)]
        here: Here,
    },
    /// Show the grants of a plugin.
    Show {
        /// Its name (vendor/name), or the start of its digest.
        plugin: String,
        #[command(flatten)]
        here: Here,
    },
}

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
    /// Forget where a pipeline is, so that the next run delivers everything again.
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
        /// At most so many.
        #[arg(long, default_value_t = 50)]
        limit: usize,
        /// Only those after this number.
        #[arg(long, default_value_t = 0)]
        after: u64,
    },
    /// Show one dead letter, with its record as it entered.
    Show {
        /// The pipeline file.
        pipeline: PathBuf,
        /// Its number, as `dlq list` shows it.
        number: u64,
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

/// Which dead letters.
#[derive(Debug, Args)]
pub struct Filter {
    /// Only with this code.
    #[arg(long)]
    pub code: Option<String>,
    /// Only of this stream.
    #[arg(long)]
    pub stream: Option<String>,
    /// Only of this split.
    #[arg(long)]
    pub split: Option<String>,
}

/// Which deployment.
#[derive(Debug, Args)]
pub struct Here {
    /// A folder of the deployment.
    #[arg(long, default_value = ".")]
    pub dir: PathBuf,
}

fn network(text: &str) -> Result<sluice_model::grant::ipnet_text::Network, String> {
    text.to_owned()
        .try_into()
        .map_err(|error: sluice_model::grant::ipnet_text::NetworkError| error.to_string())
}
