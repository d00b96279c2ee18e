//! Signatures on disk: a vendor's key and what it signs, and the deployment's trust file and what it says of a
//! component. What is believed is decided in `policy::trust`; nothing here decides.

mod key;
mod vouch;

pub use key::{KeyFile, NewKey, new_key};
pub use vouch::{Vouched, sign};

use crate::deployment::{Deployment, plain, read, shown};
use crate::plugins::NotFound;
use sluice_engine::Artifact;
use sluice_model::guards::Guard;
use sluice_model::limits::SIGNATURE_BYTES_MAX;
use sluice_model::moment::Moment;
use sluice_model::signature::{EXTENSION, Subject};
use sluice_model::tomlfile::FileError;
use sluice_model::trust::Trust;
pub use sluice_policy::trust::Standing;
use sluice_policy::trust::{Distrust, judge};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Whose word counts in a deployment, read once for a command.
#[derive(Debug, Clone, Default)]
pub struct Trusting(Option<Trust>);

impl Trusting {
    /// The deployment's trust file. None is there and none is named: nobody's word counts, and nobody's is needed.
    pub fn of(deployment: &Deployment) -> Result<Self, FileError> {
        let file = deployment.trust_file();
        if Guard::TrustThere.holds(deployment.settings.trust.file.is_none()) && !file.exists() {
            return Ok(Self(None));
        }
        Self::read(&file)
    }

    /// This trust file.
    pub fn read(file: &Path) -> Result<Self, FileError> {
        let text = read(file)?;
        Trust::parse(&shown(file), &text).map(|trust| Self(Some(trust)))
    }

    /// Whether there is a trust file at all.
    pub fn is_there(&self) -> bool {
        self.0.is_some()
    }

    /// What is known of who made this component. It speaks of `artifact.digest`, which was taken over the bytes in
    /// memory that are compiled later: the file is not read again.
    pub fn judge(&self, file: &Path, artifact: &Artifact) -> Result<Standing, NotFound> {
        let signature = beside(file)?;
        let subject = subject(artifact);
        judge(self.0.as_ref(), &subject, signature.as_deref(), now())
            .map_err(|refused| told(&refused))
    }
}

fn told(refused: &Distrust) -> NotFound {
    NotFound {
        message: refused.to_string(),
        hint: Some(refused.hint()),
    }
}

/// What these bytes are, by their own account.
pub(crate) fn subject(artifact: &Artifact) -> Subject {
    Subject::of(artifact.digest, &artifact.manifest_text, &artifact.manifest)
}

/// Where a component's signature is: `x.wasm.sig` beside `x.wasm`.
pub fn file_of(component: &Path) -> PathBuf {
    let mut name = component.as_os_str().to_owned();
    name.push(".");
    name.push(EXTENSION);
    name.into()
}

/// The content of the signature file beside a component; no more of it than a signature can have.
fn beside(component: &Path) -> Result<Option<Vec<u8>>, NotFound> {
    let file = file_of(component);
    let told = |error: &std::io::Error| NotFound {
        message: format!("`{}`: {}", shown(&file), plain(error)),
        hint: None,
    };
    let open = match std::fs::File::open(&file) {
        Ok(open) => open,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(told(&error)),
    };
    let mut bytes = Vec::new();
    open.take(SIGNATURE_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| told(&error))?;
    Ok(Some(bytes))
}

/// This machine's clock.
pub(crate) fn now() -> Moment {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Moment::from_unix(since.map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    }))
}
