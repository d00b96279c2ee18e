//! Access tokens of one door: fetched when first wanted, kept, renewed before they expire.
//!
//! Invariant: a refresh token that the authorization server has rotated is stored, durably, before the access token
//! that came with it is used (test: `a_rotated_refresh_token_survives_a_kill`). So the trade and the storing run in a
//! task of their own, which no cancelled request takes down with it.

use crate::answer;
use crate::budgets::Budgets;
use crate::document::Client;
use crate::echo::Forms;
use crate::exchange::Line;
use crate::keyring::{Keyring, Mark, mark};
use crate::meter::Meter;
use crate::oauth2::{self, Given, NoToken};
use crate::outgoing::{Head, Outgoing};
use http::Method;
use http_body_util::{BodyExt as _, Limited};
use sluice_model::guards::Guard;
use sluice_model::ids::SecretName;
use sluice_model::limits::OAUTH2_ANSWER_BYTES_MAX;
use sluice_model::ports::{HttpError, Refusal, SecretError};
use sluice_model::secret::Secret;
use sluice_policy::{TokenTerms, missing_secret};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::Mutex as Turn;
use tokio::time::{Instant, sleep_until, timeout};

/// How long before it expires a token is renewed, at most: what a request may take on its way, and clocks that differ.
const MARGIN_MAX: Duration = Duration::from_mins(1);

/// A token that can be attached. Holds secrets, so it has no `Debug`.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) value: Secret,
    /// How it and what it was traded for could stand in an answer.
    pub(crate) forms: Option<Arc<Forms>>,
    /// Of the secret it was traded for: another value is another client.
    of: Mark,
    renew_at: Instant,
}

/// What is known of one secret's tokens.
#[derive(Default)]
struct Slot {
    token: Option<Token>,
    /// A rotated refresh token that could not be stored yet, and the value that it takes the place of.
    unstored: Option<(Secret, Secret)>,
    /// When the last trade began.
    traded_at: Option<Instant>,
    /// What came of it, where it was refused.
    refused: Option<Refused>,
}

/// A token endpoint's refusal, and of which value.
struct Refused {
    of: Mark,
    at: Instant,
    refusal: Refusal,
}

/// See the module.
pub(crate) struct Tokens {
    line: Arc<Line>,
    keyring: Arc<Keyring>,
    budgets: Arc<Budgets>,
    slots: Mutex<HashMap<SecretName, Arc<Turn<Slot>>>>,
}

/// Turns of whoever trades a refresh token, over all doors of this process. Two that traded the same one at once would
/// look like a thief to the authorization server, which would revoke both.
static TURNS: LazyLock<Mutex<HashMap<Mark, Weak<Turn<()>>>>> = LazyLock::new(Mutex::default);

fn turn(client: &Client, terms: &TokenTerms) -> Arc<Turn<()>> {
    let key = mark(&[terms.target.to_string().as_bytes(), client.id.as_bytes()]);
    let mut turns = TURNS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(turn) = turns.get(&key).and_then(Weak::upgrade) {
        return turn;
    }
    turns.retain(|_, turn| turn.strong_count() > 0);
    let turn = Arc::default();
    turns.insert(key, Arc::downgrade(&turn));
    turn
}

impl Tokens {
    pub(crate) fn new(line: Arc<Line>, keyring: Arc<Keyring>, budgets: Arc<Budgets>) -> Self {
        Self {
            line,
            keyring,
            budgets,
            slots: Mutex::default(),
        }
    }

    /// A token that holds. Whoever comes while it is fetched waits for it and fetches none of its own.
    pub(crate) async fn get(
        self: &Arc<Self>,
        name: &SecretName,
        terms: &TokenTerms,
    ) -> Result<Token, HttpError> {
        let value = self.value(name).await?;
        let slot = self.slot(name);
        if let Some(token) = fresh(&*slot.lock().await, &value) {
            return Ok(token);
        }
        let host = terms.target.authority();
        let (this, name, terms) = (Arc::clone(self), name.clone(), terms.clone());
        let renewed = tokio::spawn(async move { this.renew(&name, &terms).await }).await;
        renewed.unwrap_or_else(|_| {
            Err(HttpError::Protocol {
                host,
                reason: "fetching a token broke down in the host".to_owned(),
            })
        })
    }

    /// Forgets a token that a server did not take.
    pub(crate) async fn forget(&self, name: &SecretName, token: &Token) {
        let slot = self.slot(name);
        let mut slot = slot.lock().await;
        if slot
            .token
            .as_ref()
            .is_some_and(|known| known.value.expose() == token.value.expose())
        {
            slot.token = None;
        }
    }

    fn slot(&self, name: &SecretName) -> Arc<Turn<Slot>> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry(name.clone()).or_default())
    }

    async fn value(&self, name: &SecretName) -> Result<Secret, HttpError> {
        let effective = &self.line.effective;
        let found = self.keyring.get(name).await;
        let found = found.map_err(|error| self.line.denied(unusable(name, &error)))?;
        found.ok_or_else(|| {
            self.line
                .denied(missing_secret(&effective.plugin, &effective.pipeline, name))
        })
    }

    async fn client(&self, name: &SecretName) -> Result<(Secret, Client), HttpError> {
        let value = self.value(name).await?;
        let client = Client::read(&value).map_err(|error| {
            self.line.denied(Refusal {
                capability: "secret",
                asked: name.to_string(),
                reason: error.to_string(),
                hint: Some("set the secret's value anew".to_owned()),
            })
        })?;
        Ok((value, client))
    }

    async fn renew(&self, name: &SecretName, terms: &TokenTerms) -> Result<Token, HttpError> {
        let slot = self.slot(name);
        let mut slot = slot.lock().await;
        self.settle(name, &mut slot).await?;
        let (mut value, mut client) = self.client(name).await?;
        if let Some(token) = fresh(&slot, &value) {
            return Ok(token);
        }
        let turn = turn(&client, terms);
        let _turn = if Guard::TokenTurns.bars(client.refresh_token.is_some()) {
            let mine = turn.lock().await;
            // Another door may have rotated it while this one waited.
            (value, client) = self.client(name).await?;
            Some(mine)
        } else {
            None
        };
        self.pace(&mut slot, &value).await?;
        let given = match self.trade(name, &client, terms).await {
            Err(HttpError::Denied(refusal)) => {
                slot.refused = Some(Refused {
                    of: mark(&[value.expose()]),
                    at: Instant::now(),
                    refusal: refusal.clone(),
                });
                return Err(HttpError::Denied(refusal));
            }
            given => given?,
        };
        let mut refresh_token = client.refresh_token.clone();
        if let (Some(old), Some(new)) = (&client.refresh_token, &given.refresh_token)
            && old != new
        {
            let next = client.with_refresh_token(new);
            slot.unstored = Some((value.clone(), next.clone()));
            if Guard::TokenStored.stands() {
                self.settle(name, &mut slot).await?;
            }
            value = next;
            refresh_token.clone_from(&given.refresh_token);
        }
        let mut values = vec![given.access_token.expose()];
        values.extend(client.values());
        values.extend(refresh_token.iter().map(|token| token.as_bytes()));
        let token = Token {
            forms: Forms::of(&values).map(Arc::new),
            of: mark(&[value.expose()]),
            renew_at: Instant::now()
                + given
                    .lifetime
                    .saturating_sub(MARGIN_MAX.min(given.lifetime / 5)),
            value: given.access_token.clone(),
        };
        slot.token = Some(token.clone());
        Ok(token)
    }

    /// Waits until the next trade's turn, and repeats a refusal that is fresh instead of asking for it again.
    async fn pace(&self, slot: &mut Slot, value: &Secret) -> Result<(), HttpError> {
        if let Some(refused) = &slot.refused
            && refused.of == mark(&[value.expose()])
            && Guard::TokenRefusal
                .bars(refused.at.elapsed() < self.line.settings.token_refusal_time)
        {
            return Err(self.line.denied(refused.refusal.clone()));
        }
        slot.refused = None;
        if let Some(at) = slot.traded_at
            && Guard::TokenInterval.stands()
        {
            sleep_until(at + self.line.settings.token_interval_min).await;
        }
        slot.traded_at = Some(Instant::now());
        Ok(())
    }

    /// Stores a rotated refresh token. Where that fails it is held on to, and stored before anything else is done with
    /// this secret: the old one is worth nothing any more. Somebody's new value in between makes it void.
    async fn settle(&self, name: &SecretName, slot: &mut Slot) -> Result<(), HttpError> {
        let Some((old, next)) = slot.unstored.take() else {
            return Ok(());
        };
        let stored = self.keyring.replace(name, old.clone(), next.clone()).await;
        stored.map(drop).map_err(|error| {
            slot.unstored = Some((old, next));
            self.line.denied(Refusal {
                capability: "secret",
                asked: name.to_string(),
                reason: format!(
                    "its refresh token was rotated and cannot be stored: {}",
                    error.reason
                ),
                hint: Some(
                    "keep this secret where the host can write: `sluice secret set`".to_owned(),
                ),
            })
        })
    }

    async fn trade(
        &self,
        name: &SecretName,
        client: &Client,
        terms: &TokenTerms,
    ) -> Result<Given, HttpError> {
        let host = terms.target.authority();
        let within = Guard::TokenTime.limit(self.line.settings.token_time_max);
        let answered = timeout(within, self.ask(client, terms)).await;
        let (status, body) = answered.map_err(|_| HttpError::Timeout {
            host: host.clone(),
            after: within,
        })??;
        oauth2::given(status, &body).map_err(|error| match error {
            NoToken::Failed(reason) => HttpError::Protocol { host, reason },
            NoToken::Refused(code) => self.line.denied(Refusal {
                capability: "secret",
                asked: name.to_string(),
                reason: format!("`{host}` gives no token for it: `{code}`"),
                hint: Some(oauth2::next_step(&code).to_owned()),
            }),
        })
    }

    async fn ask(&self, client: &Client, terms: &TokenTerms) -> Result<(u16, Vec<u8>), HttpError> {
        let permitted = self.line.effective.may_trade(terms);
        let sending = Arc::new(permitted.map_err(|refusal| self.line.denied(refusal))?);
        let (headers, body) = oauth2::ask(client, &terms.scopes);
        let head = Head::new(Method::POST, &sending, &terms.query, headers);
        let Line {
            effective,
            observer,
            settings,
            ..
        } = &*self.line;
        let meter = Meter::new(
            Arc::clone(&self.budgets),
            Arc::clone(&sending),
            Arc::clone(observer),
            effective.stage,
        );
        let speaker = self.line.speaker(&sending, None).await?;
        let exchanged = self.line.exchange(
            &sending,
            &speaker,
            head,
            Outgoing::Whole(body),
            settings.timeouts_max,
            &meter,
        );
        // The connection lives until the answer is read.
        let (response, _connection) = exchanged.await?;
        let (mut response, body) = response.into_parts();
        let failed = |reason: String| HttpError::Protocol {
            host: meter.host(),
            reason,
        };
        answer::check_head(response.status, &mut response.headers)
            .map_err(|reason| failed(reason.to_owned()))?;
        let most = Guard::TokenAnswerBytes.limit(OAUTH2_ANSWER_BYTES_MAX) as usize;
        let body = Limited::new(body, most)
            .collect()
            .await
            .map_err(|_| {
                failed(format!(
                    "its answer broke off, or is larger than {most} bytes"
                ))
            })?
            .to_bytes();
        meter.came(answer::head_bytes(&response.headers) + body.len() as u64)?;
        Ok((response.status.as_u16(), body.to_vec()))
    }
}

fn fresh(slot: &Slot, value: &Secret) -> Option<Token> {
    let of = mark(&[value.expose()]);
    let token = slot.token.as_ref()?;
    (Guard::TokenOwner.holds(token.of == of) && Instant::now() < token.renew_at)
        .then(|| token.clone())
}

/// A secret that its provider cannot give.
pub(crate) fn unusable(name: &SecretName, error: &SecretError) -> Refusal {
    Refusal {
        capability: "secret",
        asked: name.to_string(),
        reason: error.reason.clone(),
        hint: None,
    }
}
