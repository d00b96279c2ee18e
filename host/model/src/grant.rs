//! The grant: what the deployment allows one exact plugin in one pipeline, written by the security team. Shapes
//! only: what it permits together with a manifest is decided in `policy`.

use crate::digest::Digest;
use crate::ids::{PipelineName, PluginName, Role, SecretName};
use crate::manifest::{Data, DirMode, Limits, Scheme, SecretPlace, is_default};
use crate::sizes::{ByteSize, Span};
use crate::tomlfile::{self, FileError};
use ipnet_text::Network;
use serde::{Deserialize, Serialize};

/// A whole grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// Whom it is for.
    pub grant: About,
    /// Requests it may send.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub http: Vec<Http>,
    /// Connections it may open.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tcp: Vec<Tcp>,
    /// Directories it may open.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dir: Vec<Dir>,
    /// Secrets that may be used for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secret: Vec<SecretUse>,
    /// Columns it may see and write.
    #[serde(default, skip_serializing_if = "is_default")]
    pub data: Data,
    /// Ceilings below those of the manifest.
    #[serde(default, skip_serializing_if = "is_default")]
    pub limits: Limits,
}

/// `[grant]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    /// For people; the digest decides.
    pub plugin: PluginName,
    /// For people; the digest decides.
    pub version: semver::Version,
    /// The one component this grant is for.
    pub digest: Digest,
    /// The one pipeline it may do this in.
    pub pipeline: PipelineName,
}

/// `[[http]]`: as in a manifest, with every setting filled in.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// A name, `*.suffix` or an IP address.
    pub host: String,
    /// `https` unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<Scheme>,
    /// The scheme's own unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// None named: none permitted.
    #[serde(default)]
    pub methods: Vec<String>,
    /// None named: none permitted.
    #[serde(default)]
    pub paths: Vec<String>,
    /// Networks outside the public internet that the name may resolve into: `10.1.0.0/16`, `127.0.0.1/32`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<Network>,
    /// A file of certificates (PEM) that vouch for the server, and nobody else: it replaces the public authorities.
    /// A relative path stands beside the deployment's `sluice.toml`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// Requests of one run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_max: Option<u64>,
    /// What one run may send: heads and bodies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_out_max: Option<ByteSize>,
    /// What one run may be sent: heads and bodies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_in_max: Option<ByteSize>,
    /// How fast. Requests wait for their turn, as long as a request waits for an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// Only where the plugin plays this part.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
}

/// `rate = { requests = 100, per = "1m" }`: so many in any such length of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// From 1 to [`crate::limits::HTTP_RATE_REQUESTS_MAX`].
    pub requests: u32,
    /// Not zero.
    pub per: Span,
}

/// `[[tcp]]`: as in a manifest, with every setting filled in. Of several that fit a connection the first counts, and
/// it alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tcp {
    /// A name, `*.suffix` or an IP address.
    pub host: String,
    /// 1 to 65535.
    pub port: u16,
    /// Networks outside the public internet that the name may resolve into: `10.1.0.0/16`, `127.0.0.1/32`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<Network>,
    /// A file of PEM certificates, beside the deployment's `sluice.toml` where it is relative: whom to trust for TLS,
    /// in place of the public authorities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// What may be sent to it in one run, over all its connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_out_max: Option<ByteSize>,
    /// What may be received of it in one run, over all its connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_in_max: Option<ByteSize>,
    /// Only where the plugin plays this part.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
}

/// `[[dir]]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dir {
    /// A path; relative ones stand beside the deployment's `sluice.toml`.
    pub path: String,
    /// What it may do there.
    pub mode: DirMode,
    /// Only where the plugin plays this part.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
}

/// `[[secret]]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretUse {
    /// The plugin's word for it.
    pub name: SecretName,
    /// Where the host may put it; `reveal`: the plugin may see it.
    #[serde(rename = "use")]
    pub place: SecretPlace,
    /// `oauth2`: where the host trades it for tokens. Nobody else chooses: neither the plugin nor the secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_url: Option<String>,
    /// `oauth2`: what a token is asked to be good for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// `oauth2`: as in `[[http]]`, for the host of `token_url`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<Network>,
    /// `oauth2`: as in `[[http]]`, for the host of `token_url`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// `aws-sigv4`: the service that is signed for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// `aws-sigv4`: the region that is signed for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
}

impl SecretUse {
    /// With no more than the name and the place.
    pub fn new(name: SecretName, place: SecretPlace) -> Self {
        Self {
            name,
            place,
            token_url: None,
            scopes: Vec::new(),
            networks: Vec::new(),
            ca: None,
            service: None,
            region: None,
        }
    }
}

impl Grant {
    /// Reads a grant.
    pub fn parse(file: &str, text: &str) -> Result<Self, FileError> {
        tomlfile::parse(file, text)
    }
}

/// A network as text that has been checked; `policy` does the arithmetic.
pub mod ipnet_text {
    use serde::{Deserialize, Serialize};
    use std::net::IpAddr;

    /// `ADDRESS/BITS`.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
    #[serde(try_from = "String", into = "String")]
    pub struct Network {
        /// The address, host bits as written.
        pub address: IpAddr,
        /// How many of its first bits count.
        pub bits: u8,
    }

    /// Not a network.
    #[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
    #[error("`{0}` is not a network: `ADDRESS/BITS`, such as `10.1.0.0/16`")]
    pub struct NetworkError(String);

    impl TryFrom<String> for Network {
        type Error = NetworkError;
        fn try_from(text: String) -> Result<Self, NetworkError> {
            let parsed = text.split_once('/').and_then(|(address, bits)| {
                let address: IpAddr = address.parse().ok()?;
                let bits: u8 = bits.parse().ok()?;
                (bits <= if address.is_ipv4() { 32 } else { 128 })
                    .then_some(Network { address, bits })
            });
            parsed.ok_or(NetworkError(text))
        }
    }

    impl From<Network> for String {
        fn from(network: Network) -> String {
            format!("{}/{}", network.address, network.bits)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"
[grant]
plugin = "acme/crm-source"
version = "1.4.0"
digest = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
pipeline = "crm"

[[http]]
host = "api.acme.example"
methods = ["GET"]
paths = ["/v2/**"]
networks = ["10.1.0.0/16"]
ca = "acme.pem"
requests_max = 1000
bytes_out_max = "10MiB"
bytes_in_max = "1GiB"
rate = { requests = 100, per = "1m" }

[[secret]]
name = "crm-token"
use = "oauth2"
token_url = "https://login.acme.example/token"
scopes = ["contacts.read"]

[[tcp]]
host = "db.acme.example"
port = 5432
networks = ["10.2.0.0/16"]
ca = "ca/acme.pem"
bytes_out_max = "1GiB"
bytes_in_max = "10GiB"
as = "sink"
"#;

    #[test]
    fn read_and_written_back() {
        let grant = Grant::parse("g", WHOLE).expect("a grant");
        let text = toml::to_string(&grant).expect("text");
        assert_eq!(Grant::parse("g", &text), Ok(grant));
    }

    #[test]
    fn mistakes_are_told() {
        for (from, to, expected) in [
            (
                "10.1.0.0/16",
                "10.1.0.0/33",
                "`10.1.0.0/33` is not a network",
            ),
            ("ba7816", "ba781", "is not a digest"),
            ("paths", "path", "did you mean `paths`?"),
            ("ca = \"ca/", "cab = \"ca/", "did you mean `ca`?"),
            ("\"1GiB\"", "\"1GB\"", "`1GB` is not a"),
            ("port = 5432\n", "", "missing field `port`"),
            ("pipeline = \"crm\"", "", "missing field `pipeline`"),
        ] {
            let error = Grant::parse("g", &WHOLE.replacen(from, to, 1))
                .expect_err("a mistake")
                .to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
