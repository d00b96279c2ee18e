//! The manifest: what a plugin asks for, written by its vendor and embedded in the component. Shapes only: what
//! it permits together with a grant is decided in `policy`.

mod auth;
mod sink;
mod source;
mod tcp;

pub use sink::{SinkShape, Unit};
pub use source::SourceShape;
pub use tcp::{Port, Tcp};

use crate::guards::Guard;
use crate::ids::{PluginName, Role, SecretName};
use crate::sizes::{ByteSize, Span};
use crate::tomlfile::{self, FileError};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The interface this host speaks, as a manifest names it.
pub const INTERFACE: &str = "sluice:plugin@0.1";

/// A whole manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Who it is.
    pub plugin: About,
    /// Requests it may send.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub http: Vec<Http>,
    /// Connections it may open.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tcp: Vec<Tcp>,
    /// Directories it may open.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dir: Vec<Dir>,
    /// Secrets that are used for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secret: Vec<SecretUse>,
    /// Columns it may see and write.
    #[serde(default, skip_serializing_if = "is_default")]
    pub data: Data,
    /// What a source says of the places it gives.
    #[serde(default, skip_serializing_if = "is_default")]
    pub source: SourceShape,
    /// How a sink wants to be fed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sink: Option<SinkShape>,
    /// What it needs to run.
    #[serde(default, skip_serializing_if = "is_default")]
    pub limits: Limits,
    /// Its settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<Config>,
    /// Optional secrets to be revealed that nobody names a value for: see [`Manifest::without_unnamed`].
    #[serde(skip)]
    pub unnamed: Vec<SecretName>,
}

/// What says nothing is not written.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    value == &T::default()
}

/// `[plugin]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    /// `vendor/name`.
    pub name: PluginName,
    /// Semantic version.
    pub version: semver::Version,
    /// The contract it was built against: `sluice:plugin@0.1`.
    pub interface: String,
    /// One sentence, for whoever grants it.
    pub description: String,
}

/// `[[http]]`: requests it may send.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// A name, `*.suffix` (one label or more before it, never the suffix itself), an IP address, or
    /// `{config.KEY}`: where that setting is a URL, its scheme, host and port are taken together.
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
    /// `/v2/items`, `/v2/*` (one segment), `/v2/**` (any below). None named: none permitted.
    #[serde(default)]
    pub paths: Vec<String>,
    /// The secret the host attaches to each such request. Of several, all optional, a pipeline names one.
    #[serde(default, with = "auth", skip_serializing_if = "Vec::is_empty")]
    pub auth: Vec<SecretName>,
    /// Only where the plugin plays this part.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Why, for whoever grants it.
    pub reason: String,
}

/// How a request travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// In the clear.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// 80 or 443.
    pub fn default_port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        })
    }
}

/// `[[dir]]`: a directory it may open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dir {
    /// A path, or `{config.KEY}`. Relative ones stand beside the deployment's `sluice.toml`.
    pub path: String,
    /// What it does there.
    pub mode: DirMode,
    /// Only where the plugin plays this part.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Why, for whoever grants it.
    pub reason: String,
}

/// What a plugin does with a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DirMode {
    /// Lists and reads.
    Read,
    /// Lists, reads, creates, renames and removes.
    Write,
}

impl fmt::Display for DirMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DirMode::Read => "read",
            DirMode::Write => "write",
        })
    }
}

/// `[[secret]]`: a secret that is used for it, or revealed to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretUse {
    /// The plugin's own word for it; the pipeline says which of the deployment's secrets it is.
    pub name: SecretName,
    /// Where the host puts it.
    #[serde(rename = "use")]
    pub place: SecretPlace,
    /// `oauth2`: where tokens come from, where the vendor knows it; may hold `{config.KEY}`. The grant decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_url: Option<String>,
    /// `oauth2`: the most it asks a token to be good for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// `aws-sigv4`: the service that is signed for, `s3`; may hold `{config.KEY}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// `aws-sigv4`: the region, `eu-north-1`; may hold `{config.KEY}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Whether it works without: a pipeline that names no secret for it sends its requests bare, and reveals none.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
    /// Why, for whoever grants it.
    pub reason: String,
}

impl SecretUse {
    /// A key that says something of another use.
    fn stray(&self) -> Option<(&'static str, &'static str)> {
        let oauth2 = self.place == SecretPlace::OAuth2;
        let aws = self.place == SecretPlace::AwsSigV4;
        let given = [
            ("token_url", "oauth2", self.token_url.is_some() && !oauth2),
            ("scopes", "oauth2", !self.scopes.is_empty() && !oauth2),
            ("service", "aws-sigv4", self.service.is_some() && !aws),
            ("region", "aws-sigv4", self.region.is_some() && !aws),
        ];
        let stray = given.into_iter().find(|(_, _, stray)| *stray);
        stray.map(|(key, only, _)| (key, only))
    }
}

/// What the host does with a secret. Written `bearer`, `basic`, `header:NAME`, `query:NAME`, `oauth2`, `aws-sigv4`,
/// `hmac-sha256:NAME`, `mtls`; or `reveal`, where the plugin itself is given the value.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum SecretPlace {
    /// `Authorization: Bearer VALUE`.
    Bearer,
    /// `Authorization: Basic` of the value, which is `user:password`.
    Basic,
    /// A header of this name.
    Header(String),
    /// A query parameter of this name.
    Query(String),
    /// It is traded for an access token (RFC 6749), which goes as `Authorization: Bearer`.
    OAuth2,
    /// It signs the request (AWS Signature Version 4).
    AwsSigV4,
    /// It signs the request; the signature goes in a header of this name.
    HmacSha256(String),
    /// It is the certificate and key that the host shows of itself in the TLS handshake.
    Mtls,
    /// Nowhere: the plugin asks for the value, and sees it.
    Reveal,
}

impl fmt::Display for SecretPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretPlace::Bearer => f.write_str("bearer"),
            SecretPlace::Basic => f.write_str("basic"),
            SecretPlace::Header(name) => write!(f, "header:{name}"),
            SecretPlace::Query(name) => write!(f, "query:{name}"),
            SecretPlace::OAuth2 => f.write_str("oauth2"),
            SecretPlace::AwsSigV4 => f.write_str("aws-sigv4"),
            SecretPlace::HmacSha256(name) => write!(f, "hmac-sha256:{name}"),
            SecretPlace::Mtls => f.write_str("mtls"),
            SecretPlace::Reveal => f.write_str("reveal"),
        }
    }
}

/// Not a place for a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a use of a secret: `bearer`, `basic`, `header:NAME`, `query:NAME`, `oauth2`, `aws-sigv4`, \
     `hmac-sha256:NAME`, `mtls` or `reveal`"
)]
pub struct SecretPlaceError(String);

impl FromStr for SecretPlace {
    type Err = SecretPlaceError;
    fn from_str(text: &str) -> Result<Self, SecretPlaceError> {
        let bad = || SecretPlaceError(text.to_owned());
        let header = |name: &str| match http::HeaderName::from_str(name) {
            Ok(name) => Ok(name.as_str().to_owned()),
            Err(_) => Err(bad()),
        };
        match text.split_once(':') {
            None if text == "bearer" => Ok(SecretPlace::Bearer),
            None if text == "basic" => Ok(SecretPlace::Basic),
            None if text == "oauth2" => Ok(SecretPlace::OAuth2),
            None if text == "aws-sigv4" => Ok(SecretPlace::AwsSigV4),
            None if text == "mtls" => Ok(SecretPlace::Mtls),
            None if text == "reveal" => Ok(SecretPlace::Reveal),
            Some(("header", name)) => header(name).map(SecretPlace::Header),
            Some(("hmac-sha256", name)) => header(name).map(SecretPlace::HmacSha256),
            Some(("query", name)) if !name.is_empty() && !name.chars().any(char::is_control) => {
                Ok(SecretPlace::Query(name.to_owned()))
            }
            _ => Err(bad()),
        }
    }
}

impl TryFrom<String> for SecretPlace {
    type Error = SecretPlaceError;
    fn try_from(text: String) -> Result<Self, SecretPlaceError> {
        text.parse()
    }
}

impl From<SecretPlace> for String {
    fn from(place: SecretPlace) -> String {
        place.to_string()
    }
}

/// `[data]`: columns it may see and write. `["*"]` is every column.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// Columns a transform or sink may copy in. Names, `*`, or `{config.KEY}` for a setting that is a name or a
    /// list of names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reads: Vec<String>,
    /// Columns a transform may put, rename or drop.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub writes: Vec<String>,
}

/// `[limits]`: what it needs to run, under the ceilings of `limits`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Linear memory of one instance: 64MiB unless said, 512MiB at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<ByteSize>,
    /// One call, the waiting for files and answers included: 10s unless said, 300s at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_time: Option<Span>,
}

/// `[config]`: its settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The JSON Schema of its settings, a file beside the manifest; embedded with it.
    pub schema: String,
}

impl Manifest {
    /// Reads a manifest and checks what needs no grant: the interface, names that must exist, limits.
    pub fn parse(file: &str, text: &str) -> Result<Self, FileError> {
        let manifest: Self = tomlfile::parse(file, text)?;
        manifest.check(file, text)?;
        Ok(manifest)
    }

    /// Without the optional secrets that nobody names a value for: their requests go bare, and asked to be revealed
    /// they are none.
    #[must_use]
    pub fn without_unnamed(mut self, is_named: impl Fn(&SecretName) -> bool) -> Self {
        let unnamed = |secret: &SecretUse| secret.optional && !is_named(&secret.name);
        let revealed = self
            .secret
            .iter()
            .filter(|secret| secret.place == SecretPlace::Reveal);
        self.unnamed = revealed
            .filter(|secret| unnamed(secret))
            .map(|secret| secret.name.clone())
            .collect();
        self.secret.retain(|secret| !unnamed(secret));
        for http in &mut self.http {
            http.auth
                .retain(|auth| self.secret.iter().any(|secret| &secret.name == auth));
        }
        self
    }

    fn check(&self, file: &str, text: &str) -> Result<(), FileError> {
        let wrong = |message: String, needles: &[&str]| {
            Err(FileError::new(file, message).near(text, needles))
        };
        if self.plugin.interface != INTERFACE {
            return wrong(
                format!(
                    "this host speaks `{INTERFACE}`, not `{}`",
                    self.plugin.interface
                ),
                &["interface"],
            );
        }
        for http in &self.http {
            auth::check(self, http, file, text)?;
        }
        for tcp in &self.tcp {
            if tcp.port.is_none() && !tcp.host.contains("{config.") {
                let message = format!("`[[tcp]]` with `host = \"{}\"` has no `port`", tcp.host);
                let near = format!("host = \"{}\"", tcp.host);
                return Err(FileError::new(file, message)
                    .near(text, &[&near])
                    .hint("port = 5432"));
            }
        }
        for (at, secret) in self.secret.iter().enumerate() {
            if let Some((key, only)) = secret.stray() {
                return wrong(
                    format!(
                        "`{key}` is for `use = \"{only}\"`, not for `{}`",
                        secret.place
                    ),
                    &[key],
                );
            }
            if self.secret[..at]
                .iter()
                .any(|other| other.name == secret.name)
            {
                return wrong(
                    format!("secret `{}` stands twice", secret.name),
                    &["[[secret]]"],
                );
            }
        }
        if let Some(memory) = self.limits.memory.filter(|memory| {
            memory.0 > Guard::ManifestMemory.limit(crate::limits::MEMORY_BYTES_MAX)
        }) {
            return wrong(
                format!(
                    "`memory = \"{memory}\"` is above the ceiling of {}",
                    ByteSize(crate::limits::MEMORY_BYTES_MAX)
                ),
                &["memory"],
            );
        }
        if let Some(time) = self
            .limits
            .call_time
            .filter(|time| time.0 > Guard::ManifestCallTime.limit(crate::limits::CALL_TIME_MAX))
        {
            return wrong(
                format!(
                    "`call_time = \"{time}\"` is above the ceiling of {}",
                    Span(crate::limits::CALL_TIME_MAX)
                ),
                &["call_time"],
            );
        }
        match self.sink.and_then(|sink| sink.unit.beyond()) {
            Some((key, told)) => wrong(told, &["unit", key]),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"
[plugin]
name = "acme/crm-source"
version = "1.4.0"
interface = "sluice:plugin@0.1"
description = "Reads contacts."

[[http]]
host = "api.acme.example"
methods = ["GET"]
paths = ["/v2/**"]
auth = "crm-token"
reason = "List contacts."

[[secret]]
name = "crm-token"
use = "bearer"
reason = "API token."

[[dir]]
path = "{config.dir}"
mode = "read"
as = "source"
reason = "Where the exports land."

[data]
reads = ["email"]

[sink]
unit = { bytes = "8MiB", linger = "5s" }

[limits]
memory = "64MiB"
call_time = "10s"
"#;

    #[test]
    fn a_whole_manifest_is_read() {
        let manifest = Manifest::parse("manifest.toml", WHOLE).expect("a manifest");
        assert_eq!(
            manifest.http[0].auth,
            ["crm-token".parse().expect("a name")]
        );
        assert_eq!(manifest.dir[0].role, Some(Role::Source));
        assert_eq!(manifest.sink.map(|sink| sink.unit.bytes.0), Some(8 << 20));
    }

    #[test]
    fn an_optional_secret_that_nobody_names_is_not_asked_for() {
        let auths = |text: &str, is_named: bool| {
            let manifest = Manifest::parse("m", text).expect("a manifest");
            let manifest = manifest.without_unnamed(|_| is_named);
            (manifest.secret.len(), !manifest.http[0].auth.is_empty())
        };
        let optional = WHOLE.replacen("use = \"bearer\"", "use = \"bearer\"\noptional = true", 1);
        assert_eq!(auths(&optional, true), (1, true));
        assert_eq!(auths(&optional, false), (0, false));
        assert_eq!(auths(WHOLE, false), (1, true));
        let several = optional.replacen("\"crm-token\"", "[\"crm-token\", \"client\"]", 1)
            + "[[secret]]\nname = \"client\"\nuse = \"oauth2\"\noptional = true\nreason = \"x\"\n";
        let manifest = Manifest::parse("m", &several).expect("a manifest");
        let written = toml::to_string(&manifest).expect("plain data");
        assert_eq!(Manifest::parse("m", &written).as_ref(), Ok(&manifest));
        let one = manifest.without_unnamed(|name| name.as_str() == "client");
        assert_eq!(one.http[0].auth, ["client".parse().expect("a name")]);
        let revealed =
            "[[secret]]\nname = \"password\"\nuse = \"reveal\"\noptional = true\nreason = \"x\"\n";
        let manifest = Manifest::parse("m", &format!("{WHOLE}{revealed}")).expect("a manifest");
        let named = manifest.clone().without_unnamed(|_| true);
        assert_eq!((named.secret.len(), named.unnamed.len()), (2, 0));
        let unnamed = manifest.without_unnamed(|_| false);
        assert_eq!((unnamed.secret.len(), unnamed.unnamed.len()), (1, 1));
    }

    #[test]
    fn mistakes_are_told() {
        let check = |from: &str, to: &str, expected: &str| {
            let text = WHOLE.replacen(from, to, 1);
            assert_ne!(text, WHOLE, "the test must change something");
            let error = Manifest::parse("m", &text)
                .expect_err("a mistake")
                .to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(
            "methods",
            "method",
            "m:10:1: unknown key `method`\n  hint: did you mean `methods`?",
        );
        check(
            "[limits]",
            "[limit]",
            "m:32:2: unknown key `limit`\n  hint: did you mean `limits`?",
        );
        check(
            "plugin@0.1",
            "plugin@0.9",
            "m:5:1: this host speaks `sluice:plugin@0.1`",
        );
        check(
            "auth = \"crm-token\"",
            "auth = \"other\"",
            "m:12:1: `auth = \"other\"` names no `[[secret]]`",
        );
        check(
            "auth = \"crm-token\"",
            "auth = [\"crm-token\", \"other\"]",
            "m:12:1: `auth` names several secrets, of which a pipeline uses one: \"crm-token\" is not `optional`",
        );
        check(
            "auth = \"crm-token\"",
            "auth = 7",
            "a secret's name, or a list of them",
        );
        check(
            "bytes = \"8MiB\"",
            "bytes = \"8GiB\"",
            "m:30:1: `unit` with `bytes = \"8GiB\"` is above the ceiling of 64MiB",
        );
        check(
            "bytes = \"8MiB\"",
            "rows = 9000000000",
            "`rows = 9000000000` is above the ceiling of 1048576",
        );
        check(
            "linger = \"5s\"",
            "linger = \"20m\"",
            "is above the ceiling of 10m",
        );
        check("\"64MiB\"", "\"64GiB\"", "above the ceiling of 512MiB");
        check("\"10s\"", "\"10h\"", "above the ceiling of 5m");
        check(
            "\"bearer\"",
            "\"cookie\"",
            "`cookie` is not a use of a secret",
        );
        check("reason = \"API token.\"", "", "missing field `reason`");
        for key in [
            "token_url = \"x\"",
            "scopes = [\"x\"]",
            "service = \"x\"",
            "region = \"x\"",
        ] {
            let to = format!("use = \"bearer\"\n{key}");
            check("use = \"bearer\"", &to, "not for `bearer`");
        }
        check(
            "use = \"bearer\"",
            "use = \"reveal\"",
            "m:12:1: `auth = \"crm-token\"` names a secret with `use = \"reveal\"`",
        );
        check(
            "[data]",
            "[[tcp]]\nhost = \"db\"\nreason = \"x\"\n\n[data]",
            "`[[tcp]]` with `host = \"db\"` has no `port`\n  hint: port = 5432",
        );
        check(
            "[data]",
            "[[tcp]]\nhost = \"db\"\nport = 0\nreason = \"x\"\n\n[data]",
            "`0` is not a port",
        );
    }
}
