//! The grant that would permit all a manifest asks for: what `sluice grant new` writes for a person to read and
//! narrow. It never names a network of its own accord.

use crate::asked::Asked;
use crate::refuse::http_entry;
use crate::rules::Ask;
use crate::tcp::{self, TcpAsk};
use crate::{refuse, terms};
use serde_json::Value;
use sluice_model::digest::Digest;
use sluice_model::grant::ipnet_text::Network;
use sluice_model::grant::{About, Grant, Http, Tcp};
use sluice_model::ids::{PipelineName, Role};
use sluice_model::manifest::{Data, Limits, Manifest, SecretPlace};
use sluice_model::ports::Refusal;

/// All that `manifest` asks for in each of these roles with its settings, as one grant. `networks` is added to
/// every request and connection: leave it empty unless whoever asks named them. Errors: what is wrong with the manifest
/// or the settings.
pub fn propose(
    manifest: &Manifest,
    uses: &[(Role, &Value)],
    digest: Digest,
    pipeline: &PipelineName,
    networks: &[Network],
) -> Result<Grant, Vec<Refusal>> {
    let mut grant = Grant {
        grant: About {
            plugin: manifest.plugin.name.clone(),
            version: manifest.plugin.version.clone(),
            digest,
            pipeline: pipeline.clone(),
        },
        http: Vec::new(),
        tcp: Vec::new(),
        dir: Vec::new(),
        secret: Vec::new(),
        data: Data::default(),
        limits: Limits::default(),
    };
    for (role, config) in uses {
        let asked = Asked::of(manifest, *role, config)?;
        for Ask { rule, role, .. } in asked.http {
            let networks = networks.to_vec();
            add(
                &mut grant.http,
                Http {
                    networks,
                    role,
                    ..http_entry(&rule)
                },
            );
        }
        for TcpAsk { rule, role } in asked.tcp {
            let networks = networks.to_vec();
            add(
                &mut grant.tcp,
                Tcp {
                    networks,
                    role,
                    ..tcp::entry(&rule)
                },
            );
        }
        for dir in asked.dirs {
            add(&mut grant.dir, dir);
        }
        for secret in asked.secrets {
            let wish = manifest.secret.iter().find(|wish| wish.name == secret.name);
            let mut entry = terms::entry(wish.expect("a credential is of the manifest"), config)
                .map_err(|reason| {
                    vec![refuse::malformed("secret", secret.name.as_str(), reason)]
                })?;
            if entry.place == SecretPlace::OAuth2 {
                entry.networks = networks.to_vec();
            }
            add(&mut grant.secret, entry);
        }
        for name in asked.reads.names() {
            add(&mut grant.data.reads, name);
        }
        for name in asked.writes.names() {
            add(&mut grant.data.writes, name);
        }
    }
    Ok(grant)
}

fn add<T: PartialEq>(list: &mut Vec<T>, value: T) {
    if !list.contains(&value) {
        list.push(value);
    }
}
