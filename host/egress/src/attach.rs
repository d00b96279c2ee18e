//! What the host adds to a request for its secret: a header, a parameter, a token it was traded for, a signature, or
//! the certificate of the connection. Where it goes is the manifest's and the grant's choice.

use crate::credential::{self, Unusable};
use crate::document::AwsKeys;
use crate::echo::Forms;
use crate::exchange::Line;
use crate::identity::Speaker;
use crate::keyring::Keyring;
use crate::outgoing::{GATHERED_BYTES_MAX, Head};
use crate::sigv4::{self, Scope};
use crate::tokens::{Token, Tokens, unusable};
use crate::{hex, signature};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use ring::digest::{SHA256, digest};
use sluice_model::ids::SecretName;
use sluice_model::manifest::{Scheme, SecretPlace};
use sluice_model::ports::{HttpError, Refusal};
use sluice_model::secret::Secret;
use sluice_policy::{Credential, Sending, Terms, headers, missing_secret};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// A request that is complete but for its body.
pub(crate) struct Attached {
    pub(crate) head: Head,
    /// Who is at either end of its connection.
    pub(crate) speaker: Speaker,
    /// What its answer is searched for.
    pub(crate) forms: Option<Arc<Forms>>,
    /// The token it carries.
    pub(crate) token: Option<Token>,
}

/// See the module.
pub(crate) struct Attacher {
    pub(crate) line: Arc<Line>,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) tokens: Arc<Tokens>,
}

impl Attacher {
    /// Completes a head. `body`: all of it, for what is signed; none where it is sent as it comes.
    pub(crate) async fn attach(
        &self,
        sending: &Sending,
        mut head: Head,
        body: Option<Bytes>,
    ) -> Result<Attached, HttpError> {
        let Some(credential) = &sending.auth else {
            let speaker = self.line.speaker(sending, None).await?;
            return Ok(Attached {
                head,
                speaker,
                forms: None,
                token: None,
            });
        };
        let name = &credential.name;
        if let (SecretPlace::OAuth2, Terms::Token(terms)) = (&credential.place, &*credential.terms)
        {
            let token = self.tokens.get(name, terms).await?;
            credential::attach(
                &token.value,
                &SecretPlace::Bearer,
                &mut head.headers,
                &mut head.query,
            )
            .map_err(|Unusable| {
                self.unusable(
                    name,
                    "its token has a character that cannot stand in a header",
                )
            })?;
            let speaker = self.line.speaker(sending, None).await?;
            self.keyring.used(name);
            return Ok(Attached {
                head,
                speaker,
                forms: token.forms.clone(),
                token: Some(token),
            });
        }
        let secret = self.secret(name).await?;
        let forms = self.put(credential, &secret, sending, &mut head, body.as_ref())?;
        let shown = (credential.place == SecretPlace::Mtls).then_some(&secret);
        let speaker = self.line.speaker(sending, shown).await?;
        self.keyring.used(name);
        Ok(Attached {
            head,
            speaker,
            forms,
            token: None,
        })
    }

    async fn secret(&self, name: &SecretName) -> Result<Secret, HttpError> {
        let effective = &self.line.effective;
        let found = self.keyring.get(name).await;
        let found = found.map_err(|error| self.line.denied(unusable(name, &error)))?;
        found.ok_or_else(|| {
            self.line
                .denied(missing_secret(&effective.plugin, &effective.pipeline, name))
        })
    }

    /// Puts it where it goes, and says what the answer is searched for.
    fn put(
        &self,
        credential: &Credential,
        secret: &Secret,
        sending: &Sending,
        head: &mut Head,
        body: Option<&Bytes>,
    ) -> Result<Option<Arc<Forms>>, HttpError> {
        let Credential { name, place, terms } = credential;
        match (place, &**terms) {
            (SecretPlace::Mtls, _) => Ok(None),
            (SecretPlace::HmacSha256(_), _) => {
                let hash = hash(name, body)?;
                for header in headers::injected(place) {
                    let host = sending.target.authority();
                    signature::sign(head, header, &host, &hash, secret, now().timestamp());
                }
                Ok(None)
            }
            (SecretPlace::AwsSigV4, Terms::Aws { service, region }) => {
                let keys = AwsKeys::read(secret)
                    .map_err(|error| self.unusable(name, &error.to_string()))?;
                let scope = Scope {
                    service,
                    region,
                    now: now(),
                };
                let goes_unsigned = service == "s3" && sending.target.scheme == Scheme::Https;
                let hash = match body {
                    None if goes_unsigned => sigv4::UNSIGNED.to_owned(),
                    body => hash(name, body)?,
                };
                sigv4::sign(head, &hash, &keys, scope).map_err(|sigv4::Unusable| {
                    self.unusable(
                        name,
                        "a header of this request cannot be signed: it is not ascii",
                    )
                })?;
                let token = keys.session_token.as_ref().map(|token| token.as_bytes());
                let values: Vec<&[u8]> =
                    [keys.secret.as_bytes()].into_iter().chain(token).collect();
                Ok(self.keyring.forms(name, &values))
            }
            _ => {
                let put = credential::attach(secret, place, &mut head.headers, &mut head.query);
                put.map_err(|Unusable| {
                    self.unusable(
                        name,
                        "its value has a character that cannot stand in a header",
                    )
                })?;
                Ok(self.keyring.forms(name, &[secret.expose()]))
            }
        }
    }

    fn unusable(&self, name: &SecretName, reason: &str) -> HttpError {
        self.line.denied(Refusal {
            capability: "secret",
            asked: name.to_string(),
            reason: reason.to_owned(),
            hint: Some("set the secret's value anew, without line ends".to_owned()),
        })
    }
}

/// The hash of a body that is known whole.
fn hash(name: &SecretName, body: Option<&Bytes>) -> Result<String, HttpError> {
    match body {
        Some(bytes) => Ok(hex::lower(digest(&SHA256, bytes).as_ref())),
        None => Err(HttpError::TooLarge(format!(
            "a request that secret `{name}` signs has a body of {GATHERED_BYTES_MAX} bytes at most"
        ))),
    }
}

/// A clock before 1970 is taken to be there: its signatures are refused, and nothing else happens.
fn now() -> DateTime<Utc> {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    DateTime::from_timestamp(i64::try_from(since.as_secs()).unwrap_or_default(), 0)
        .unwrap_or_default()
}
