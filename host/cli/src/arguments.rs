//! What can be typed. What it means is in `commands`.

mod sealed;
mod state;

pub use sealed::{Key, Secret, State, Value};
pub use state::{Again, Checkpoint, Dlq, Enter, Filter};

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
        /// Write what its plugins did of what they are granted to this file, for `sluice grant new --learn`.
        #[arg(long, value_name = "FILE")]
        record: Option<PathBuf>,
    },
    /// Run every pipeline of the deployment as a service, each by its schedule, until SIGTERM.
    Serve {
        #[command(flatten)]
        here: Here,
    },
    /// Show how every pipeline is: by the service's word, or from what runs have left.
    Status {
        #[command(flatten)]
        here: Here,
    },
    /// Have a pipeline of the service wait, its place held, until `sluice resume`; a restart changes nothing of that.
    Pause {
        /// Its name.
        pipeline: String,
        /// Why, for whoever wonders.
        #[arg(long)]
        reason: Option<String>,
        #[command(flatten)]
        here: Here,
    },
    /// Have a pipeline of the service go on at once: one that somebody paused, or one that waits for somebody.
    Resume {
        /// Its name.
        pipeline: String,
        #[command(flatten)]
        here: Here,
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
    /// See where pipelines are, move them, and read again what they have read.
    #[command(subcommand)]
    Checkpoint(Checkpoint),
    /// See the records that could not be delivered, mend them, send them again or give them up.
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
    /// Read the audit trail, and hold it against what it should be.
    #[command(subcommand)]
    Audit(Audit),
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
    /// Show on one page what a plugin is, who vouches for it, what it asks for and how far that goes.
    Inspect {
        /// The packed component.
        component: PathBuf,
        /// Print it as SARIF 2.1.0, which code scanners read: one result for each risk.
        #[arg(long)]
        sarif: bool,
        /// Write it as one HTML file too, fit to attach to a ticket.
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
        #[command(flatten)]
        here: Here,
    },
    /// Show what a newer plugin asks that an older did not, and the other way. Exit code 1 where it asks for more.
    Diff {
        /// The older component.
        old: PathBuf,
        /// The newer component.
        new: PathBuf,
    },
    /// Sign a component: writes COMPONENT.sig beside it.
    Sign {
        /// The packed component.
        component: PathBuf,
        /// The private key, as `sluice plugin key new` made it.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// How long the signature is good for, such as 365d.
        #[arg(long, value_name = "TIME", default_value = "365d", value_parser = span)]
        valid_for: sluice_model::sizes::Span,
        /// The file to write.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Say who vouches for a component. Exit code 1 where nobody does whom the deployment trusts.
    Verify {
        /// The packed component, with its signature beside it.
        component: PathBuf,
        /// The trust file, in place of the deployment's.
        #[arg(long, value_name = "FILE")]
        trust: Option<PathBuf>,
        #[command(flatten)]
        here: Here,
    },
    /// Make keys that plugins are signed with.
    #[command(subcommand)]
    Key(SigningKey),
}

/// `sluice plugin key`
#[derive(Debug, Subcommand)]
pub enum SigningKey {
    /// Make a key pair: the private half goes to a file that only you can read, the public half is printed.
    New {
        /// The file to write.
        file: PathBuf,
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
        /// Grant too what a newer plugin asks beyond its older grant.
        #[arg(long)]
        widen: bool,
        /// Show, and write nothing.
        #[arg(long)]
        dry_run: bool,
        /// Show the tightest grants and manifests that a recorded run (`sluice run --record`) would have needed.
        #[arg(long, value_name = "RECORD", conflicts_with_all = ["networks", "dry_run"])]
        learn: Option<PathBuf>,
        /// Put them in the place of the grants there are, which permit all that they do.
        #[arg(long, requires = "learn")]
        replace: bool,
    },
    /// List the grants of the deployment, or who can reach something.
    List {
        /// Only who can reach this: host:NAME, secret:NAME or column:NAME.
        #[arg(long, value_name = "KIND:NAME")]
        reach: Option<String>,
        #[command(flatten)]
        here: Here,
    },
    /// Show what is granted beside what was used: how often, when last, and what was not used in 30 days.
    Usage {
        /// Only of this plugin: its name (vendor/name), the start of its digest, or a grant's file.
        plugin: Option<String>,
        #[command(flatten)]
        here: Here,
    },
    /// End grants: remove their files, and say so in the audit trail.
    Revoke {
        /// A grant's file, a plugin's name (vendor/name), or the start of its digest.
        which: String,
        /// Why, for whoever reads the trail.
        #[arg(long)]
        reason: Option<String>,
        /// End all that it names, where that is several.
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        here: Here,
    },
    /// Show the grants of a plugin.
    Show {
        /// Its name (vendor/name), or the start of its digest.
        plugin: String,
        /// What they come to: what the manifest asks, the grant allows and the policy leaves.
        #[arg(long)]
        effective: bool,
        #[command(flatten)]
        here: Here,
    },
}

/// `sluice audit`
#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Show entries: who did what, what was refused, what was used.
    Log {
        #[command(flatten)]
        select: Select,
        /// At most so many, the last of them; 0 for all.
        #[arg(long, default_value_t = 100)]
        limit: usize,
        #[command(flatten)]
        here: Here,
    },
    /// Go through the whole trail, and hold it against its signatures, its copy and the state store.
    Verify {
        /// A checkpoint that was kept elsewhere. Repeatable.
        #[arg(long = "checkpoint", value_name = "FILE")]
        checkpoints: Vec<PathBuf>,
        /// The key that must sign it, as `sluice audit key` showed it once; the one beside the trail otherwise.
        #[arg(long)]
        key: Option<String>,
        #[command(flatten)]
        here: Here,
    },
    /// Write entries as one JSON object a line.
    Export {
        #[command(flatten)]
        select: Select,
        /// The file to write; standard output otherwise.
        #[arg(long)]
        out: Option<PathBuf>,
        #[command(flatten)]
        here: Here,
    },
    /// Sign the trail as it is, and print the checkpoint: keep it where this machine cannot change it.
    Checkpoint {
        #[command(flatten)]
        here: Here,
    },
    /// Show the public key that the trail is signed with.
    Key {
        /// Sign with a new one from here on.
        #[arg(long)]
        rotate: bool,
        #[command(flatten)]
        here: Here,
    },
    /// Say that the state store was put back to an older one on purpose, so that pipelines run again.
    Restored {
        /// Why, for whoever reads the trail.
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        here: Here,
    },
}

/// Which entries.
#[derive(Debug, Args)]
pub struct Select {
    /// Only since then: `2026-08-01`, `2026-08-01T06:00:00Z`, or `7d`, `12h`, `30m` ago.
    #[arg(long)]
    pub since: Option<String>,
    /// Only of this pipeline.
    #[arg(long)]
    pub pipeline: Option<String>,
    /// Only of this plugin: its name, with or without the version.
    #[arg(long)]
    pub plugin: Option<String>,
    /// Only this action, or all that begin so: `grant` is `grant.written`, `grant.revoked` and `grant.changed`.
    #[arg(long)]
    pub action: Option<String>,
    /// Only by this actor.
    #[arg(long)]
    pub actor: Option<String>,
    /// Only with this text.
    pub text: Option<String>,
}

/// Which deployment.
#[derive(Debug, Args)]
pub struct Here {
    /// A folder of the deployment.
    #[arg(long, default_value = ".")]
    pub dir: PathBuf,
}

fn span(text: &str) -> Result<sluice_model::sizes::Span, sluice_model::sizes::SizeError> {
    text.parse()
}

fn network(text: &str) -> Result<sluice_model::grant::ipnet_text::Network, String> {
    text.to_owned()
        .try_into()
        .map_err(|error: sluice_model::grant::ipnet_text::NetworkError| error.to_string())
}
