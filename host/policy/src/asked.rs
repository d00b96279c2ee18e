//! What a manifest asks for in one role, with the settings filled in: the left side of manifest ∩ grant. Reads
//! both files' rules into comparable types; decides nothing.

use crate::budget::Budget;
use crate::columns::Columns;
use crate::headers;
use crate::host::HostPattern;
use crate::path::PathPattern;
use crate::refuse::malformed;
use crate::rules::{Allowance, Ask, Credential, HttpRule};
use crate::settings::{expand, is_template};
use crate::target::{self, TargetError};
use crate::tcp::{self, TcpAllowance, TcpAsk};
use crate::terms::Terms;
use serde_json::Value;
use sluice_model::grant::{self, Dir};
use sluice_model::guards::Guard;
use sluice_model::ids::{Role, SecretName};
use sluice_model::manifest::{Http, Manifest, Scheme, SecretPlace};
use sluice_model::ports::Refusal;
use std::path::Path;
use std::sync::Arc;

/// Everything one stage asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) http: Vec<Ask>,
    pub(crate) tcp: Vec<TcpAsk>,
    /// As the settings spell them.
    pub(crate) dirs: Vec<Dir>,
    /// Those that some request of this role uses, and those to be revealed.
    pub(crate) secrets: Vec<Credential>,
    pub(crate) reads: Columns,
    pub(crate) writes: Columns,
}

impl Asked {
    /// Reads it out of a manifest, or says all that is wrong with the manifest or the settings.
    pub(crate) fn of(
        manifest: &Manifest,
        role: Role,
        config: &Value,
    ) -> Result<Self, Vec<Refusal>> {
        let mut wrong = Vec::new();
        let mut http = Vec::new();
        for entry in manifest
            .http
            .iter()
            .filter(|entry| entry.role.is_none_or(|only| only == role))
        {
            match asks(manifest, entry, config) {
                Ok(asks) => http.extend(asks),
                Err(reason) => wrong.push(malformed("http", &entry.host, reason)),
            }
        }
        let mut tcp = Vec::new();
        for entry in manifest
            .tcp
            .iter()
            .filter(|entry| entry.role.is_none_or(|only| only == role))
        {
            match tcp::asks(entry, config) {
                Ok(asks) => tcp.extend(asks),
                Err(reason) => wrong.push(malformed("tcp", &entry.host, reason)),
            }
        }
        let mut dirs = Vec::new();
        for entry in manifest
            .dir
            .iter()
            .filter(|entry| entry.role.is_none_or(|only| only == role))
        {
            match expand(&entry.path, config) {
                Ok(paths) => dirs.extend(paths.into_iter().map(|path| Dir {
                    path,
                    mode: entry.mode,
                    role: entry.role,
                })),
                Err(error) => wrong.push(malformed("dir", &entry.path, error.to_string())),
            }
        }
        let mut columns = |capability, templates: &[String], applies: bool| {
            let mut names = Vec::new();
            for template in templates.iter().filter(|_| applies) {
                match expand(template, config) {
                    Ok(found) => names.extend(found),
                    Err(error) => wrong.push(malformed(capability, template, error.to_string())),
                }
            }
            Columns::of(names)
        };
        let reads = columns("data.reads", &manifest.data.reads, role != Role::Source);
        let writes = columns(
            "data.writes",
            &manifest.data.writes,
            role == Role::Transform,
        );
        let mut secrets: Vec<Credential> = Vec::new();
        for credential in http.iter().filter_map(|ask| ask.auth.as_ref()) {
            if !secrets.contains(credential) {
                secrets.push(credential.clone());
            }
        }
        let revealed = manifest
            .secret
            .iter()
            .filter(|secret| secret.place == SecretPlace::Reveal);
        secrets.extend(revealed.map(|secret| Credential {
            name: secret.name.clone(),
            place: SecretPlace::Reveal,
            terms: Arc::default(),
        }));
        if wrong.is_empty() {
            Ok(Self {
                http,
                tcp,
                dirs,
                secrets,
                reads,
                writes,
            })
        } else {
            Err(wrong)
        }
    }
}

fn asks(manifest: &Manifest, entry: &Http, config: &Value) -> Result<Vec<Ask>, String> {
    let (methods, paths) = (methods(&entry.methods)?, paths(&entry.paths)?);
    let auth = match entry.auth.as_slice() {
        [] => None,
        [one] => Some(credential(manifest, one)?),
        [first, ..] if !Guard::OneSecret.stands() => Some(credential(manifest, first)?),
        several => {
            let names: Vec<String> = several.iter().map(|name| format!("`{name}`")).collect();
            return Err(format!(
                "the pipeline names a value for each of {}: a request carries one of them",
                names.join(", ")
            ));
        }
    };
    let mut asks = Vec::new();
    for value in expand(&entry.host, config).map_err(|error| error.to_string())? {
        let (host, scheme, port) = destination(entry, &value)?;
        let is_shown = auth
            .as_ref()
            .is_some_and(|auth| auth.place == SecretPlace::Mtls);
        if Guard::CertificateEncrypted.bars(is_shown && scheme != Scheme::Https) {
            return Err("`use = \"mtls\"` is for `https`".to_owned());
        }
        let (methods, paths) = (methods.clone(), paths.clone());
        let rule = HttpRule {
            host,
            scheme,
            port,
            methods,
            paths,
        };
        asks.push(Ask {
            rule,
            auth: auth.clone(),
            role: entry.role,
        });
    }
    Ok(asks)
}

/// What one entry permits with these settings; nothing where they do not fit.
pub(crate) fn rules(manifest: &Manifest, entry: &Http, config: &Value) -> Vec<HttpRule> {
    // Whatever secret goes along, and though it is not settled which.
    let bare = Http {
        auth: Vec::new(),
        ..entry.clone()
    };
    let asks = asks(manifest, &bare, config).unwrap_or_default();
    asks.into_iter().map(|ask| ask.rule).collect()
}

fn credential(manifest: &Manifest, name: &SecretName) -> Result<Credential, String> {
    let secret = manifest.secret.iter().find(|secret| &secret.name == name);
    let secret = secret.ok_or_else(|| format!("`auth = \"{name}\"` names no `[[secret]]`"))?;
    let injected = headers::injected(&secret.place);
    if Guard::SecretFraming.bars(injected.iter().any(headers::forbidden)) {
        return Err(format!(
            "`use = \"{}\"`: the host sets that header itself",
            secret.place
        ));
    }
    Ok(Credential {
        name: name.clone(),
        place: secret.place.clone(),
        terms: Arc::new(Terms::Plain),
    })
}

/// Where an entry leads with this value of its host. Only a setting may be a URL or carry a port; what the
/// manifest says besides holds for it too.
fn destination(entry: &Http, value: &str) -> Result<(HostPattern, Scheme, u16), String> {
    let found = if is_template(&entry.host) {
        setting(entry, value)?
    } else {
        None
    };
    let (host, scheme, port) = match found {
        Some(found) => found,
        None => (
            HostPattern::parse(value).map_err(|error| error.to_string())?,
            None,
            None,
        ),
    };
    let differs = |what: &str, setting: &str, manifest: &str| {
        Err(format!(
            "the setting gives {what} `{setting}`, the manifest asks for `{manifest}` only"
        ))
    };
    if let (Some(setting), Some(manifest)) = (scheme, entry.scheme)
        && Guard::SettingScheme.bars(setting != manifest)
    {
        return differs("the scheme", &setting.to_string(), &manifest.to_string());
    }
    let scheme = scheme.or(entry.scheme).unwrap_or(Scheme::Https);
    if let (Some(setting), Some(manifest)) = (port, entry.port)
        && Guard::SettingPort.bars(setting != manifest)
    {
        return differs("the port", &setting.to_string(), &manifest.to_string());
    }
    let port = port.or(entry.port).unwrap_or(scheme.default_port());
    if port == 0 {
        Err(TargetError::Port.to_string())
    } else {
        Ok((host, scheme, port))
    }
}

type Found = (HostPattern, Option<Scheme>, Option<u16>);

/// A setting's URL or `host:port`; none where it is a host alone.
fn setting(entry: &Http, value: &str) -> Result<Option<Found>, String> {
    let widens = value.matches('*').count() > entry.host.matches('*').count();
    if Guard::SettingWildcard.bars(widens) {
        return Err("a setting cannot hold a `*`".to_owned());
    }
    let (scheme, rest) = match value.split_once("://") {
        None if HostPattern::parse(value).is_ok() => return Ok(None),
        None => (None, value),
        Some(("http", rest)) => (Some(Scheme::Http), rest),
        Some(("https", rest)) => (Some(Scheme::Https), rest),
        Some(_) => return Err(TargetError::Scheme.to_string()),
    };
    let authority = match scheme {
        Some(_) => rest.split(['/', '?', '#']).next().unwrap_or_default(),
        None => rest,
    };
    let (host, port) = target::parse_authority(authority).map_err(|error| error.to_string())?;
    // A URL without a port means its scheme's own.
    let port = port.or(scheme.map(Scheme::default_port));
    Ok(Some((HostPattern::Only(host), scheme, port)))
}

/// The `[[http]]` entries of a grant for one role. `base` is the folder that relative files stand in.
pub(crate) fn allowances(
    grant: &grant::Grant,
    role: Role,
    base: &Path,
) -> Result<Vec<Allowance>, Vec<Refusal>> {
    let (mut allowances, mut wrong) = (Vec::<Allowance>::new(), Vec::new());
    for entry in grant
        .http
        .iter()
        .filter(|entry| entry.role.is_none_or(|only| only == role))
    {
        let one_authority = |new: &Allowance| {
            let differs = |one: &&Allowance| one.rule.meets(&new.rule) && one.ca != new.ca;
            allowances.iter().find(differs).is_none()
        };
        match allowance(entry, base) {
            Ok(allowance) if Guard::OneAuthority.bars(!one_authority(&allowance)) => {
                wrong.push(malformed(
                    "http",
                    &entry.host,
                    "in the grant: two entries for this host differ in `ca`".to_owned(),
                ));
            }
            Ok(allowance) => allowances.push(allowance),
            Err(reason) => wrong.push(malformed(
                "http",
                &entry.host,
                format!("in the grant: {reason}"),
            )),
        }
    }
    if wrong.is_empty() {
        Ok(allowances)
    } else {
        Err(wrong)
    }
}

fn allowance(entry: &grant::Http, base: &Path) -> Result<Allowance, String> {
    let host = HostPattern::parse(&entry.host).map_err(|error| error.to_string())?;
    let scheme = entry.scheme.unwrap_or(Scheme::Https);
    let port = entry.port.unwrap_or(scheme.default_port());
    let (methods, paths) = (methods(&entry.methods)?, paths(&entry.paths)?);
    if Guard::AuthorityEncrypted.bars(entry.ca.is_some() && scheme != Scheme::Https) {
        return Err("`ca` is for `https`".to_owned());
    }
    let rule = HttpRule {
        host,
        scheme,
        port,
        methods,
        paths,
    };
    Ok(Allowance {
        rule,
        networks: entry.networks.clone(),
        ca: entry.ca.as_ref().map(|file| base.join(file).into()),
        budget: Budget::of(entry)?,
    })
}

/// The `[[tcp]]` entries of a grant for one role.
pub(crate) fn tcp_allowances(
    grant: &grant::Grant,
    role: Role,
    base: &Path,
) -> Result<Vec<TcpAllowance>, Vec<Refusal>> {
    let (allowances, wrong) = tcp::allowances(grant, role, base);
    let told = |(host, reason): (String, String)| {
        malformed("tcp", &host, format!("in the grant: {reason}"))
    };
    if wrong.is_empty() {
        Ok(allowances)
    } else {
        Err(wrong.into_iter().map(told).collect())
    }
}

fn paths(texts: &[String]) -> Result<Vec<PathPattern>, String> {
    let parse =
        |text: &String| PathPattern::parse(text).map_err(|error| format!("path `{text}`: {error}"));
    texts.iter().map(parse).collect()
}

/// Methods are compared as they are written. `CONNECT` would turn a granted host into a proxy, and `TRACE` an
/// injected secret into an answer.
fn methods(texts: &[String]) -> Result<Vec<String>, String> {
    let check = |text: &String| {
        let upper = !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte == b'-');
        match text.as_str() {
            "CONNECT" | "TRACE" if Guard::MethodsNever.stands() => {
                Err(format!("method `{text}` cannot be granted"))
            }
            _ if upper => Ok(text.clone()),
            _ => Err(format!(
                "method `{text}` is not in capital letters, such as `GET`"
            )),
        }
    };
    texts.iter().map(check).collect()
}
