//! Whether a component is believed to be its vendor's: one decision over the bytes' digest, the signature beside them,
//! and the deployment's trust file. Whoever loads a plugin asks here first; the clock is passed in.
//!
//! Invariant: a component that any rule here refuses is not compiled and not run (test in `tests/e2e`:
//! `what_is_not_trusted_does_not_start`).

use ring::signature::{ED25519, UnparsedPublicKey};
use serde::Serialize;
use sluice_model::digest::Digest;
use sluice_model::guards::Guard;
use sluice_model::ids::PluginName;
use sluice_model::limits::SIGNATURE_SKEW_MAX;
use sluice_model::moment::Moment;
use sluice_model::signature::{KeyId, Signed, SignedError, Statement, Subject, signed_bytes};
use sluice_model::trust::{Key, NamePattern, Trust};

/// What is known of who made a component that may run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "standing", rename_all = "kebab-case")]
pub enum Standing {
    /// Nobody vouches for it; only its digest, which a grant names, says that it is the one that was meant.
    Unsigned,
    /// It is signed, by a key that this deployment does not know: no better than unsigned.
    Unknown {
        /// The key it names.
        key: KeyId,
    },
    /// A key that this deployment trusts vouches for these bytes.
    Signed {
        /// Which key.
        key: KeyId,
        /// The plugins that key may sign.
        vendor: NamePattern,
        /// When, by the signer's clock.
        created: Moment,
        /// Until when.
        not_after: Moment,
    },
}

impl Standing {
    /// The key of whoever vouches for it.
    pub fn signer(&self) -> Option<&KeyId> {
        match self {
            Self::Signed { key, .. } => Some(key),
            Self::Unsigned | Self::Unknown { .. } => None,
        }
    }

    /// Whether somebody whom the deployment trusts vouches for it.
    pub fn is_signed(&self) -> bool {
        self.signer().is_some()
    }
}

/// Why a component is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// This deployment wants a signature.
    #[error("`{0}` is not signed, and this deployment requires it")]
    Unsigned(PluginName),
    /// The signature's file is none.
    #[error("the signature of `{plugin}` cannot be read: {reason}")]
    Malformed {
        /// Whose.
        plugin: PluginName,
        /// Why.
        reason: SignedError,
    },
    /// By a key that is not in the trust file.
    #[error("`{plugin}` is signed by `{key}`, which this deployment does not trust")]
    UnknownKey {
        /// Whose.
        plugin: PluginName,
        /// Which.
        key: KeyId,
    },
    /// The signature does not hold under the key that it names.
    #[error(
        "the signature of `{plugin}` is not by `{key}`, which it names: it is forged, or its file was changed"
    )]
    Forged {
        /// Whose.
        plugin: PluginName,
        /// Which.
        key: KeyId,
    },
    /// The key is in the list of what is revoked.
    #[error("`{plugin}` is signed by `{key}`, which is revoked{}", because(.reason))]
    RevokedKey {
        /// Whose.
        plugin: PluginName,
        /// Which.
        key: KeyId,
        /// Why.
        reason: String,
    },
    /// These bytes are in the list of what is revoked.
    #[error("this component of `{plugin}` ({}) is revoked{}", .digest.short(), because(.reason))]
    RevokedDigest {
        /// Whose.
        plugin: PluginName,
        /// Which bytes.
        digest: Digest,
        /// Why.
        reason: String,
    },
    /// The key is past its end.
    #[error("`{plugin}` is signed by `{key}`, which expired at {expires}")]
    ExpiredKey {
        /// Whose.
        plugin: PluginName,
        /// Which.
        key: KeyId,
        /// When.
        expires: Moment,
    },
    /// The statement is past its end.
    #[error("the signature of `{plugin}` was good until {not_after}")]
    ExpiredSignature {
        /// Whose.
        plugin: PluginName,
        /// When.
        not_after: Moment,
    },
    /// The statement is from later than now.
    #[error("the signature of `{plugin}` is from {created}, which is yet to come")]
    FromTheFuture {
        /// Whose.
        plugin: PluginName,
        /// When.
        created: Moment,
    },
    /// The key speaks for other plugins only.
    #[error("`{plugin}` is signed by `{key}`, which may sign `{vendor}` only")]
    NotTheirs {
        /// Whose.
        plugin: PluginName,
        /// Which.
        key: KeyId,
        /// What it may sign.
        vendor: NamePattern,
    },
    /// The signature is for other bytes: these changed after they were signed, or another file's signature was put
    /// beside them.
    #[error("the signature of `{plugin}` is for other bytes ({}, these are {})", .signed.short(), .found.short())]
    OtherBytes {
        /// Whose.
        plugin: PluginName,
        /// What was signed.
        signed: Digest,
        /// What is there.
        found: Digest,
    },
    /// The bytes are right, and what is said of them is not: whoever signed did not see what is inside.
    #[error("the signature of `{plugin}` says another {what} than its manifest")]
    OtherClaim {
        /// Whose.
        plugin: PluginName,
        /// `name`, `version` …
        what: &'static str,
    },
    /// Older than what this deployment goes back to.
    #[error("`{plugin}` {version} is below the floor of {floor}")]
    BelowFloor {
        /// Whose.
        plugin: PluginName,
        /// Its version.
        version: semver::Version,
        /// The lowest that may run.
        floor: semver::Version,
    },
}

fn because(reason: &str) -> String {
    match reason {
        "" => String::new(),
        reason => format!(": {reason}"),
    }
}

impl Distrust {
    /// The next step, for whoever can take it.
    pub fn hint(&self) -> String {
        match self {
            Self::Unsigned(plugin) => format!(
                "put the vendor's signature beside it (`….wasm.sig`), or let it be in the trust file:\n[signing]\nunsigned = [\"{plugin}\"]"
            ),
            Self::Malformed { .. }
            | Self::Forged { .. }
            | Self::OtherBytes { .. }
            | Self::OtherClaim { .. } => {
                "do not run it; ask its vendor for the component and its signature again".to_owned()
            }
            Self::UnknownKey { plugin, key } => format!(
                "ask the vendor, by a way that you trust, whether the key is theirs; then add to the trust file:\n[[key]]\nid = \"{key}\"\npublic = \"…\"\nvendor = \"{}/*\"\nexpires = \"…\"",
                plugin.as_str().split('/').next().unwrap_or_default()
            ),
            Self::RevokedKey { .. } | Self::RevokedDigest { .. } => {
                "take a newer release from its vendor".to_owned()
            }
            Self::ExpiredKey { .. } | Self::ExpiredSignature { .. } => {
                "ask its vendor for a signature by their present key".to_owned()
            }
            Self::FromTheFuture { .. } => "see that this machine's clock is right".to_owned(),
            Self::NotTheirs { .. } => {
                "where that vendor may sign it, widen `vendor` of its `[[key]]` in the trust file"
                    .to_owned()
            }
            Self::BelowFloor { plugin, floor, .. } => {
                format!("take `{plugin}` {floor} or newer; `[[floor]]` in the trust file says so")
            }
        }
    }
}

/// Decides. `signature` is the content of the file beside the component, where there is one. Without a trust file no
/// key is known and nothing is required; a signature that is plainly for something else is refused even then.
pub fn judge(
    trust: Option<&Trust>,
    subject: &Subject,
    signature: Option<&[u8]>,
    now: Moment,
) -> Result<Standing, Distrust> {
    let nothing = Trust::default();
    let trust = trust.unwrap_or(&nothing);
    whoever_made_it(trust, subject)?;
    let plugin = || subject.name.clone();
    let Some(file) = signature else {
        return without(
            trust,
            subject,
            Standing::Unsigned,
            Distrust::Unsigned(plugin()),
        );
    };
    let malformed = |reason| Distrust::Malformed {
        plugin: plugin(),
        reason,
    };
    let signed = Signed::parse(file).map_err(malformed)?;
    let key = signed.key.clone();
    if let Some(revoked) = trust
        .revoked
        .iter()
        .find(|revoked| Guard::KeyRevoked.bars(revoked.key.as_ref() == Some(&key)))
    {
        let reason = revoked.reason.clone();
        return Err(Distrust::RevokedKey {
            plugin: plugin(),
            key,
            reason,
        });
    }
    let Some(known) = trust.key.iter().find(|known| known.id == key) else {
        // Nobody's word, and still a sign of a mix-up where it speaks of other bytes.
        speaks_of(subject, &signed.statement().map_err(malformed)?)?;
        let standing = Standing::Unknown { key: key.clone() };
        return without(
            trust,
            subject,
            standing,
            Distrust::UnknownKey {
                plugin: plugin(),
                key,
            },
        );
    };
    // Only what a known key signed is looked into.
    let verified = UnparsedPublicKey::new(&ED25519, known.public.0)
        .verify(&signed_bytes(&signed.payload), &signed.signature);
    if Guard::SignatureVerified.bars(verified.is_err()) {
        return Err(Distrust::Forged {
            plugin: plugin(),
            key,
        });
    }
    let statement = signed.statement().map_err(malformed)?;
    by(known, subject, &statement, now)?;
    Ok(Standing::Signed {
        key,
        vendor: known.vendor.clone(),
        created: statement.created,
        not_after: statement.not_after,
    })
}

/// What holds for signed and unsigned alike.
fn whoever_made_it(trust: &Trust, subject: &Subject) -> Result<(), Distrust> {
    let revoked = trust
        .revoked
        .iter()
        .find(|revoked| Guard::ComponentRevoked.bars(revoked.digest == Some(subject.component)));
    if let Some(revoked) = revoked {
        return Err(Distrust::RevokedDigest {
            plugin: subject.name.clone(),
            digest: subject.component,
            reason: revoked.reason.clone(),
        });
    }
    let floor = trust
        .floor
        .iter()
        .find(|floor| floor.plugin == subject.name);
    match floor {
        Some(floor) if Guard::VersionFloor.bars(subject.version < floor.version) => {
            Err(Distrust::BelowFloor {
                plugin: subject.name.clone(),
                version: subject.version.clone(),
                floor: floor.version.clone(),
            })
        }
        _ => Ok(()),
    }
}

/// Nobody who is trusted vouches for it: that will do, or it will not.
fn without(
    trust: &Trust,
    subject: &Subject,
    standing: Standing,
    refusal: Distrust,
) -> Result<Standing, Distrust> {
    let signing = &trust.signing;
    let excepted = signing
        .unsigned
        .iter()
        .any(|names| names.matches(&subject.name));
    if Guard::SignatureRequired.bars(signing.required && !excepted) {
        Err(refusal)
    } else {
        Ok(standing)
    }
}

/// What a key that signed it may not do, or no more.
fn by(key: &Key, subject: &Subject, statement: &Statement, now: Moment) -> Result<(), Distrust> {
    let plugin = subject.name.clone();
    if Guard::KeyExpiry.bars(now >= key.expires) {
        return Err(Distrust::ExpiredKey {
            plugin,
            key: key.id.clone(),
            expires: key.expires,
        });
    }
    if Guard::KeyVendor.bars(!key.vendor.matches(&subject.name)) {
        let vendor = key.vendor.clone();
        return Err(Distrust::NotTheirs {
            plugin,
            key: key.id.clone(),
            vendor,
        });
    }
    speaks_of(subject, statement)?;
    if Guard::StatementKey.bars(statement.key != key.id) {
        return Err(Distrust::OtherClaim {
            plugin,
            what: "key",
        });
    }
    if Guard::SignatureExpiry.bars(now >= statement.not_after) {
        return Err(Distrust::ExpiredSignature {
            plugin,
            not_after: statement.not_after,
        });
    }
    if Guard::SignatureFuture.bars(statement.created > now.after(SIGNATURE_SKEW_MAX)) {
        return Err(Distrust::FromTheFuture {
            plugin,
            created: statement.created,
        });
    }
    Ok(())
}

/// Whether a statement is about this component. The bytes come first: where they differ, so may all else.
fn speaks_of(subject: &Subject, statement: &Statement) -> Result<(), Distrust> {
    let (signed, plugin) = (&statement.subject, subject.name.clone());
    if Guard::SignedBytes.bars(signed.component != subject.component) {
        return Err(Distrust::OtherBytes {
            plugin,
            signed: signed.component,
            found: subject.component,
        });
    }
    let claims = [
        ("manifest", signed.manifest == subject.manifest),
        ("name", signed.name == subject.name),
        ("version", signed.version == subject.version),
        ("interface", signed.interface == subject.interface),
        (
            "set of capabilities",
            signed.capabilities == subject.capabilities,
        ),
    ];
    match claims
        .into_iter()
        .find(|(_, holds)| Guard::SignedClaims.bars(!holds))
    {
        Some((what, _)) => Err(Distrust::OtherClaim { plugin, what }),
        None => Ok(()),
    }
}
