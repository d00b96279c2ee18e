//! Signing a component: the vendor's side. Writes the statement about its bytes, and the signature over it, beside it.

use super::{KeyFile, file_of, now, subject};
use crate::Error;
use crate::deployment::{plain, shown};
use serde::Serialize;
use sluice_engine::Artifact;
use sluice_model::signature::{Signed, Statement, signed_bytes};
use sluice_model::tomlfile::FileError;
use std::path::Path;
use std::time::Duration;

/// What was signed.
#[derive(Debug, Clone, Serialize)]
pub struct Vouched {
    /// The signature's file.
    pub file: String,
    /// What is stated.
    pub statement: Statement,
}

/// Signs a component, from now and for so long.
pub fn sign(
    component: &Path,
    artifact: &Artifact,
    key: &KeyFile,
    valid_for: Duration,
    out: Option<&Path>,
) -> Result<Vouched, Error> {
    let created = now();
    let statement = Statement {
        subject: subject(artifact),
        created,
        not_after: created.after(valid_for),
        key: key.public.id(),
    };
    let payload = statement.to_payload();
    let signed = Signed {
        key: key.public.id(),
        signature: key.sign(&signed_bytes(&payload)),
        payload,
    };
    let out = out.map_or_else(|| file_of(component), Path::to_owned);
    let told = |error: std::io::Error| Error::wrong(FileError::new(shown(&out), plain(&error)));
    // Whole or not at all: a host may be reading the folder.
    let partial = out.with_extension("sig.part");
    std::fs::write(&partial, signed.to_text()).map_err(told)?;
    std::fs::rename(&partial, &out).map_err(told)?;
    Ok(Vouched {
        file: shown(&out),
        statement,
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Standing, Trusting, new_key};
    use super::*;
    use crate::plugins;

    const MANIFEST: &str = "[plugin]\nname = \"acme/thing\"\nversion = \"1.0.0\"\ninterface = \"sluice:plugin@0.1\"\ndescription = \"x\"\n";

    fn component(folder: &Path, manifest: &str) -> std::path::PathBuf {
        let plain = wat::parse_str(
            r#"(component (instance $empty) (export "sluice:plugin/source@0.1.0" (instance $empty)))"#,
        );
        let packed = sluice_engine::pack(&plain.unwrap(), manifest, None).unwrap();
        let file = folder.join("thing.wasm");
        std::fs::write(&file, packed).unwrap();
        file
    }

    #[test]
    fn signed_trusted_changed_and_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = component(folder.path(), MANIFEST);
        let made = new_key(&folder.path().join("acme.key")).unwrap();
        let key = KeyFile::read(&folder.path().join("acme.key")).unwrap();
        let artifact = plugins::open(&file).unwrap();
        sign(&file, &artifact, &key, Duration::from_hours(24), None).unwrap();
        let trust = folder.path().join("trust.toml");
        let text = format!(
            "[signing]\nrequired = true\n[[key]]\nid = \"{}\"\npublic = \"{}\"\nvendor = \"acme/*\"\nexpires = \"9000-01-01\"\n",
            made.id, made.public
        );
        std::fs::write(&trust, text).unwrap();
        let trusting = Trusting::read(&trust).unwrap();
        assert!(trusting.judge(&file, &artifact).unwrap().is_signed());
        let nobody = Trusting::default().judge(&file, &artifact).unwrap();
        assert_eq!(nobody, Standing::Unknown { key: made.id });
        // The same name and version, one word changed: the old signature stands beside it still.
        let changed = component(folder.path(), &MANIFEST.replace("\"x\"", "\"y\""));
        let error = trusting
            .judge(&changed, &plugins::open(&changed).unwrap())
            .unwrap_err();
        assert!(error.message.contains("is for other bytes"), "{error:?}");
        std::fs::remove_file(file_of(&changed)).unwrap();
        let error = trusting
            .judge(&changed, &plugins::open(&changed).unwrap())
            .unwrap_err();
        assert!(error.message.contains("is not signed"), "{error:?}");
    }
}
