//! A deployment that does the native rival's job with our own plugins: files in, `map`, files out.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The steps of `map` that the native rival does by hand.
pub const STEPS: &str = r#"[
  { rename = { from = "customer_name", to = "customer" } },
  { drop = ["email", "internal_flag"] },
  { upper = ["currency"] },
  { compute = { into = "total", op = "multiply", left = "qty", right = "unit_price", round = 2 } },
  { keep = { column = "status", is_not = "cancelled" } },
]"#;

/// The stream's columns, as the native rival's struct has them: an instant is a text to both.
pub const FIELDS: [(&str, &str); 12] = [
    ("order_id", "text"),
    ("customer_name", "text"),
    ("email", "text"),
    ("sku", "text"),
    ("qty", "int64"),
    ("unit_price", "float64"),
    ("currency", "text"),
    ("status", "text"),
    ("internal_flag", "boolean"),
    ("created_at", "text"),
    ("note", "text"),
    ("address", "text"),
];

/// The pipeline's file and name.
const PIPELINE: &str = "orders";

/// The host as it is shipped, and its packed plugins.
#[derive(Debug, Clone)]
pub struct Host {
    /// The `sluice` binary.
    pub binary: PathBuf,
    /// The folder of packed plugins.
    pub plugins: PathBuf,
}

impl Host {
    /// The binary in a deployment's folder.
    pub fn command(&self, folder: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .args(arguments)
            .current_dir(folder)
            .env_remove("SLUICE_LOG");
        command
    }

    /// Runs it, and it must have done what was asked.
    pub fn done(&self, folder: &Path, arguments: &[&str]) -> Result<()> {
        let output = self
            .command(folder, arguments)
            .output()
            .with_context(|| format!("cannot start `{}`", self.binary.display()))?;
        if !output.status.success() {
            bail!(
                "`sluice {}`: {}",
                arguments.join(" "),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(())
    }
}

/// A deployment in a folder of its own.
#[derive(Debug, Clone)]
pub struct Deployment {
    host: Host,
    folder: PathBuf,
}

impl Deployment {
    /// A deployment whose one pipeline reads this file, made anew and granted what it asks for.
    pub fn new(host: &Host, folder: &Path, input: &Path) -> Result<Self> {
        if folder.exists() {
            std::fs::remove_dir_all(folder)?;
        }
        std::fs::create_dir_all(folder.join("in"))?;
        std::fs::hard_link(input, folder.join("in/orders.ndjson"))
            .with_context(|| format!("cannot link `{}`", input.display()))?;
        let plugins = host.plugins.canonicalize().with_context(|| {
            format!(
                "`{}` is not there: `cargo x plugins`",
                host.plugins.display()
            )
        })?;
        std::fs::write(
            folder.join("sluice.toml"),
            format!("[plugins]\ndir = '{}'\n", plugins.display()),
        )?;
        std::fs::write(folder.join("orders.toml"), pipeline())?;
        let made = Self {
            host: host.clone(),
            folder: folder.to_owned(),
        };
        host.done(folder, &["grant", "new", "orders.toml"])?;
        Ok(made)
    }

    /// The command of one run, from the beginning of the file: what the last run left is removed first, but for the
    /// compiled plugins.
    pub fn run(&self) -> Result<Command> {
        for left in ["out", ".sluice/state", ".sluice/audit"] {
            let path = self.folder.join(left);
            if path.exists() {
                std::fs::remove_dir_all(path)?;
            }
        }
        Ok(self.command(&["run", "orders.toml", "--json"]))
    }

    /// The binary in the deployment's folder.
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.host.command(&self.folder, arguments)
    }

    /// Every byte that the last run published, part after part.
    pub fn published(&self) -> Result<Vec<PathBuf>> {
        let folder = self.folder.join("out").join(PIPELINE);
        let entries = std::fs::read_dir(&folder)
            .with_context(|| format!("cannot list `{}`", folder.display()))?;
        let mut parts: Vec<PathBuf> = entries
            .map(|entry| Ok(entry?.path()))
            .collect::<Result<_>>()?;
        parts.sort();
        Ok(parts)
    }
}

fn pipeline() -> String {
    let fields = FIELDS.map(|(name, kind)| format!("{name} = \"{kind}\""));
    let schema = fields.join(", ");
    format!(
        "[pipeline]\nname = \"{PIPELINE}\"\n\n\
         [source]\nplugin = \"sluice/files@0.1\"\n\
         config = {{ dir = \"in\", format = \"ndjson\", stream = \"{PIPELINE}\" }}\n\n\
         [schema.{PIPELINE}]\nfields = {{ {schema} }}\n\n\
         [[transform]]\nplugin = \"sluice/map@0.1\"\n\n[transform.config]\nsteps = {STEPS}\n\n\
         [[sink]]\nplugin = \"sluice/files@0.1\"\nconfig = {{ dir = \"out\", format = \"ndjson\" }}\n"
    )
}
