//! What a grant fixes about the use of a secret beyond its place: where it is traded for tokens and for what, or what
//! it signs for. Neither the plugin nor whoever writes the secret's value chooses any of it.

use crate::asked::Asked;
use crate::refuse::{self, File, Lines};
use crate::rules::{Credential, Sending};
use crate::settings::expand;
use crate::start::NotGranted;
use crate::target::Target;
use http::Method;
use serde_json::Value;
use sluice_model::grant::ipnet_text::Network;
use sluice_model::grant::{self, Grant};
use sluice_model::guards::Guard;
use sluice_model::ids::SecretName;
use sluice_model::manifest::{self, Manifest, SecretPlace};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// What the grant says of one secret.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Terms {
    /// Its place says it all.
    #[default]
    Plain,
    /// `oauth2`
    Token(TokenTerms),
    /// `aws-sigv4`
    Aws {
        /// What is signed for.
        service: String,
        /// Where.
        region: String,
    },
}

/// How the host comes by an access token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenTerms {
    /// The token endpoint.
    pub target: Target,
    /// The query of its URL; commonly empty.
    pub query: String,
    /// What a token is asked to be good for; where empty, the authorization server decides.
    pub scopes: Vec<String>,
    /// Networks outside the public internet that its host may resolve into.
    pub networks: Vec<Network>,
    /// Who vouches for it, in place of the public authorities.
    pub ca: Option<Arc<Path>>,
}

impl TokenTerms {
    /// The request for a token, as the door's way takes it. Nothing is attached to it but what it says itself.
    pub(crate) fn sending(&self) -> Sending {
        Sending {
            method: Method::POST,
            target: self.target.clone(),
            networks: self.networks.clone(),
            ca: self.ca.clone(),
            auth: None,
            budgets: Vec::new(),
            table: "[[secret]]",
        }
    }
}

/// The entry that a grant needs for a secret, with what the manifest knows of it.
pub(crate) fn entry(
    asked: &manifest::SecretUse,
    config: &Value,
) -> Result<grant::SecretUse, String> {
    let mut entry = grant::SecretUse::new(asked.name.clone(), asked.place.clone());
    let one = |key: &str, template: &Option<String>| -> Result<Option<String>, String> {
        let Some(template) = template else {
            return Ok(None);
        };
        let mut values = expand(template, config).map_err(|error| error.to_string())?;
        match values.len() {
            0 | 1 => Ok(values.pop()),
            _ => Err(format!(
                "`{key} = \"{template}\"` gives more than one value"
            )),
        }
    };
    entry.token_url = one("token_url", &asked.token_url)?;
    entry.service = one("service", &asked.service)?;
    entry.region = one("region", &asked.region)?;
    entry.scopes.clone_from(&asked.scopes);
    Ok(entry)
}

/// The terms of every secret of a stage that the grant has an entry for, and what is wrong with the others. A secret
/// without an entry is reported elsewhere.
pub(crate) fn all(
    manifest: &Manifest,
    grant: &Grant,
    asked: &Asked,
    config: &Value,
    base: &Path,
    file: File<'_>,
) -> (HashMap<SecretName, Arc<Terms>>, Vec<NotGranted>) {
    let (mut all, mut wrong) = (HashMap::new(), Vec::new());
    for Credential { name, place, .. } in &asked.secrets {
        let mut entries = grant
            .secret
            .iter()
            .filter(|entry| &entry.name == name && &entry.place == place);
        let wish = manifest.secret.iter().find(|secret| &secret.name == name);
        let (Some(granted), Some(wish)) = (entries.next(), wish) else {
            continue;
        };
        let found = match entries.next() {
            Some(_) if Guard::SecretOnce.stands() => {
                Err((format!("the grant has secret `{name}` twice"), None))
            }
            _ => entry(wish, config)
                .map_err(|reason| (reason, None))
                .and_then(|wish| terms(&wish, granted, base)),
        };
        match found {
            Ok(terms) => {
                all.insert(name.clone(), Arc::new(terms));
            }
            Err((reason, lines)) => wrong.push(told(file, name, reason, lines)),
        }
    }
    (all, wrong)
}

/// Why not, and the entry that would do.
type Lack = (String, Option<Box<grant::SecretUse>>);

fn told(
    file: File<'_>,
    name: &SecretName,
    reason: String,
    wanted: Option<Box<grant::SecretUse>>,
) -> NotGranted {
    match wanted {
        Some(entry) => {
            let lines = Lines {
                secret: vec![*entry],
                ..Lines::default()
            };
            NotGranted::lacking(file, "secret", name.as_str(), reason, &lines)
        }
        None => NotGranted::malformed(refuse::malformed("secret", name.as_str(), reason)),
    }
}

fn terms(wish: &grant::SecretUse, granted: &grant::SecretUse, base: &Path) -> Result<Terms, Lack> {
    let place = &granted.place;
    if Guard::SecretStray.stands()
        && let Some((key, only)) = stray(granted)
    {
        return Err((
            format!(
                "the grant gives it `{key}`, which is for `use = \"{only}\"`, not for `{place}`"
            ),
            None,
        ));
    }
    match place {
        SecretPlace::OAuth2 => token(wish, granted, base).map(Terms::Token),
        SecretPlace::AwsSigV4 => Ok(Terms::Aws {
            service: fixed("service", wish, granted, |entry| &mut entry.service)?,
            region: fixed("region", wish, granted, |entry| &mut entry.region)?,
        }),
        _ => Ok(Terms::Plain),
    }
}

/// A key that says something of another use.
fn stray(entry: &grant::SecretUse) -> Option<(&'static str, &'static str)> {
    let oauth2 = entry.place == SecretPlace::OAuth2;
    let aws = entry.place == SecretPlace::AwsSigV4;
    let given = [
        ("token_url", "oauth2", entry.token_url.is_some() && !oauth2),
        ("scopes", "oauth2", !entry.scopes.is_empty() && !oauth2),
        ("networks", "oauth2", !entry.networks.is_empty() && !oauth2),
        ("ca", "oauth2", entry.ca.is_some() && !oauth2),
        ("service", "aws-sigv4", entry.service.is_some() && !aws),
        ("region", "aws-sigv4", entry.region.is_some() && !aws),
    ];
    let stray = given.into_iter().find(|(_, _, stray)| *stray);
    stray.map(|(key, only, _)| (key, only))
}

fn token(
    wish: &grant::SecretUse,
    granted: &grant::SecretUse,
    base: &Path,
) -> Result<TokenTerms, Lack> {
    let lacks = |reason: String| {
        let url = wish
            .token_url
            .clone()
            .unwrap_or_else(|| "https://…".to_owned());
        let entry = grant::SecretUse {
            token_url: Some(url),
            scopes: wish.scopes.clone(),
            ..granted.clone()
        };
        (reason, Some(Box::new(entry)))
    };
    let Some(url) = &granted.token_url else {
        return Err(lacks(
            "the grant does not say where it is traded for tokens".to_owned(),
        ));
    };
    let other = wish.token_url.as_ref().filter(|wish| *wish != url);
    if let Some(wish) = other.filter(|_| Guard::TokenUrl.stands()) {
        return Err(lacks(format!(
            "the grant has `token_url = \"{url}\"`, the manifest asks for `{wish}`"
        )));
    }
    for scope in &granted.scopes {
        // RFC 6749, section 3.3.
        let is_token = !scope.is_empty()
            && scope
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\');
        if Guard::ScopeShape.bars(!is_token) {
            return Err((format!("`{}` is not a scope", refuse::bounded(scope)), None));
        }
        if Guard::TokenScopes.bars(!wish.scopes.is_empty() && !wish.scopes.contains(scope)) {
            return Err(lacks(format!(
                "the manifest does not ask for scope `{scope}`"
            )));
        }
    }
    let malformed = |reason: String| {
        (
            format!("`token_url = \"{}\"`: {reason}", refuse::bounded(url)),
            None,
        )
    };
    if url.contains('#') {
        return Err(malformed("a fragment is never sent".to_owned()));
    }
    let uri: http::Uri = url
        .parse()
        .map_err(|_| malformed("it is not a url".to_owned()))?;
    let target = Target::parse(&uri).map_err(|error| malformed(error.to_string()))?;
    Ok(TokenTerms {
        target,
        query: uri.query().unwrap_or_default().to_owned(),
        scopes: granted.scopes.clone(),
        networks: granted.networks.clone(),
        ca: granted.ca.as_ref().map(|file| base.join(file).into()),
    })
}

/// A word that the grant must say, and the manifest may.
fn fixed(
    key: &str,
    wish: &grant::SecretUse,
    granted: &grant::SecretUse,
    of: impl Fn(&mut grant::SecretUse) -> &mut Option<String>,
) -> Result<String, Lack> {
    let (mut wished, mut wanted) = (wish.clone(), granted.clone());
    let wished = of(&mut wished).take();
    let lacks = |reason: String, mut wanted: grant::SecretUse| {
        *of(&mut wanted) = Some(wished.clone().unwrap_or_else(|| "…".to_owned()));
        (reason, Some(Box::new(wanted)))
    };
    let Some(word) = of(&mut wanted).take() else {
        return Err(lacks(
            format!("the grant does not say which {key} it signs for"),
            wanted,
        ));
    };
    // It stands in a header, between slashes.
    let is_word = !word.is_empty()
        && word
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if Guard::SigningShape.bars(!is_word) {
        let reason = format!(
            "`{key} = \"{}\"` is not small letters, digits and `-`",
            refuse::bounded(&word)
        );
        return Err((reason, None));
    }
    match &wished {
        Some(wish) if Guard::SigningTerms.bars(*wish != word) => Err(lacks(
            format!("the grant has `{key} = \"{word}\"`, the manifest asks for `{wish}`"),
            wanted,
        )),
        _ => Ok(word),
    }
}
