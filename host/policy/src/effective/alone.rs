//! A grant by itself, where neither manifest nor settings are to be had: the most that it could come to.

use super::Effective;
use crate::start::NotGranted;
use serde_json::Value;
use sluice_model::grant::Grant;
use sluice_model::ids::{Role, SecretName, StageId};
use sluice_model::manifest::{self, Manifest, Port, Scheme, SecretPlace};
use std::path::Path;

impl Effective {
    /// What this grant could come to in this role with a plugin that asks for all of it: each of its secrets may go
    /// with each of its requests.
    pub fn of_grant_alone(grant: &Grant, role: Role, base: &Path) -> Result<Self, Vec<NotGranted>> {
        let stage = StageId { role, index: 0 };
        let pipeline = &grant.grant.pipeline;
        Self::build(
            &greediest(grant),
            grant,
            stage,
            &Value::Null,
            pipeline,
            base,
        )
    }
}

/// The manifest that asks for all that the grant allows.
fn greediest(grant: &Grant) -> Manifest {
    let about = &grant.grant;
    let text = format!(
        "[plugin]\nname = \"{}\"\nversion = \"{}\"\ninterface = \"{}\"\ndescription = \"\"\n",
        about.plugin,
        about.version,
        manifest::INTERFACE
    );
    let mut manifest =
        Manifest::parse("a grant", &text).expect("names and versions are plain in toml");
    for entry in &grant.http {
        let attached = grant.secret.iter();
        // A certificate goes with nothing that is sent in the clear.
        let in_the_clear = entry.scheme == Some(Scheme::Http);
        let attached = attached.filter(|secret| match secret.place {
            SecretPlace::Reveal => false,
            SecretPlace::Mtls => !in_the_clear,
            _ => true,
        });
        let mut auths: Vec<Vec<SecretName>> =
            attached.map(|secret| vec![secret.name.clone()]).collect();
        if auths.is_empty() {
            auths.push(Vec::new());
        }
        manifest
            .http
            .extend(auths.into_iter().map(|auth| manifest::Http {
                host: entry.host.clone(),
                scheme: entry.scheme,
                port: entry.port,
                methods: entry.methods.clone(),
                paths: entry.paths.clone(),
                auth,
                role: entry.role,
                reason: String::new(),
            }));
    }
    manifest.tcp = grant
        .tcp
        .iter()
        .map(|entry| manifest::Tcp {
            host: entry.host.clone(),
            port: Some(Port::Number(entry.port)),
            role: entry.role,
            reason: String::new(),
        })
        .collect();
    manifest.secret = grant
        .secret
        .iter()
        .map(|secret| manifest::SecretUse {
            name: secret.name.clone(),
            place: secret.place.clone(),
            token_url: secret.token_url.clone(),
            scopes: secret.scopes.clone(),
            service: secret.service.clone(),
            region: secret.region.clone(),
            optional: false,
            reason: String::new(),
        })
        .collect();
    manifest.dir = grant
        .dir
        .iter()
        .map(|dir| manifest::Dir {
            path: dir.path.clone(),
            mode: dir.mode,
            role: dir.role,
            reason: String::new(),
        })
        .collect();
    manifest.data = grant.data.clone();
    manifest.limits = grant.limits;
    manifest
}
