//! What one stage may do: manifest ∩ grant ∩ policy, with the pipeline's settings filled in.
//!
//! Invariant: what is permitted here, the manifest asks for, the grant allows and the policy leaves, each on its own
//! (tests: `nothing_outside_any_file_is_permitted`, `nothing_outside_any_file_is_connected_to`).

mod alone;
mod dirs;
mod report;
mod reveal;
mod tcp;

use dirs::covers;
pub use report::{Explained, Sought, SoughtError};

use crate::address;
use crate::asked::{self, Asked};
use crate::budget::{self, Budget, Spent};
use crate::columns::Columns;
use crate::headers;
use crate::organisation::{Bound, Forbidden, Organisation};
use crate::own::Own;
use crate::refuse::{self, File};
use crate::rules::{Allowance, Ask, Credential, HttpRule, Sending};
use crate::start::{self, NotGranted};
use crate::target::Target;
use crate::tcp::{TcpAllowance, TcpAsk};
use crate::terms::{self, Terms, TokenTerms};
use http::{HeaderName, Method, Uri};
use serde_json::Value;
use sluice_model::grant::{Dir, Grant};
use sluice_model::guards::Guard;
use sluice_model::ids::{PipelineName, PluginName, SecretName, StageId};
use sluice_model::limits::{
    CALL_TIME_DEFAULT, CALL_TIME_MAX, MEMORY_BYTES_DEFAULT, MEMORY_BYTES_MAX,
};
use sluice_model::manifest::{DirMode, Manifest, SecretPlace, Unit};
use sluice_model::ports::Refusal;
use std::collections::HashMap;
use std::net::IpAddr;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// What one stage of one pipeline may do. Made once, before the plugin is instantiated; every guest call that
/// reaches for something is decided here.
#[derive(Debug, Clone)]
pub struct Effective {
    /// Whose.
    pub plugin: PluginName,
    /// Where.
    pub pipeline: PipelineName,
    /// As what.
    pub stage: StageId,
    /// Linear memory of one instance.
    pub memory_bytes_max: u64,
    /// One call.
    pub call_time_max: Duration,
    /// How a sink wants to be fed.
    pub unit: Unit,
    asks: Vec<Ask>,
    allowances: Vec<Allowance>,
    tcp_asks: Vec<TcpAsk>,
    tcp_allowances: Vec<TcpAllowance>,
    asked_reveals: Vec<SecretName>,
    granted_reveals: Vec<SecretName>,
    /// Optional, and the pipeline names none for them.
    unnamed_reveals: Vec<SecretName>,
    asked_dirs: Vec<(PathBuf, DirMode)>,
    granted_dirs: Vec<(PathBuf, DirMode)>,
    asked_data: Reach,
    granted_data: Reach,
    base: PathBuf,
    policy: Arc<Organisation>,
    /// What no directory may touch.
    own: Arc<Own>,
    /// The policy's classes that it may see a column of.
    bounds: Vec<Bound>,
    wished: Wished,
}

/// Limits as the manifest wishes for them and the grant lowers them, for reports.
#[derive(Debug, Clone, Copy)]
struct Wished {
    memory_bytes: u64,
    granted_memory_bytes: Option<u64>,
    call_time: Duration,
    granted_call_time: Option<Duration>,
}

#[derive(Debug, Clone)]
struct Reach {
    reads: Columns,
    writes: Columns,
}

impl Wished {
    fn of(manifest: &Manifest, grant: &Grant) -> Self {
        let (asked, granted) = (manifest.limits, grant.limits);
        Self {
            memory_bytes: asked.memory.map_or(MEMORY_BYTES_DEFAULT, |size| size.0),
            granted_memory_bytes: granted.memory.map(|size| size.0),
            call_time: asked.call_time.map_or(CALL_TIME_DEFAULT, |span| span.0),
            granted_call_time: granted.call_time.map(|span| span.0),
        }
    }
}

impl Effective {
    /// Puts a manifest and a grant together. A grant may be narrower than the manifest: that is enforced when it
    /// is used. What it does not touch at all keeps the stage from starting.
    ///
    /// `base` is the folder that relative directories stand in. Errors: everything missing, not only the first.
    pub fn build(
        manifest: &Manifest,
        grant: &Grant,
        stage: StageId,
        config: &Value,
        pipeline: &PipelineName,
        base: &Path,
    ) -> Result<Self, Vec<NotGranted>> {
        let malformed = |refusals: Vec<Refusal>| -> Vec<NotGranted> {
            refusals.into_iter().map(NotGranted::malformed).collect()
        };
        let asked = Asked::of(manifest, stage.role, config).map_err(malformed)?;
        let allowances = asked::allowances(grant, stage.role, base).map_err(malformed)?;
        let file = File::Grant(&manifest.plugin.name, pipeline);
        let (terms, wrong) = terms::all(manifest, grant, &asked, config, base, file);
        let tcp_allowances = asked::tcp_allowances(grant, stage.role, base).map_err(malformed)?;
        let is_revealed = |place: &SecretPlace| *place == SecretPlace::Reveal;
        let asked_reveals = asked
            .secrets
            .iter()
            .filter(|secret| is_revealed(&secret.place));
        let granted_reveals = grant
            .secret
            .iter()
            .filter(|secret| is_revealed(&secret.place));
        let dirs = grant
            .dir
            .iter()
            .filter(|dir| dir.role.is_none_or(|only| only == stage.role));
        let memory = [manifest.limits.memory, grant.limits.memory];
        let call_time = [manifest.limits.call_time, grant.limits.call_time];
        let effective = Self {
            plugin: manifest.plugin.name.clone(),
            pipeline: pipeline.clone(),
            stage,
            memory_bytes_max: lowest(
                memory.map(|size| size.map(|size| size.0)),
                MEMORY_BYTES_DEFAULT,
            )
            .min(Guard::MemoryCeiling.limit(MEMORY_BYTES_MAX)),
            call_time_max: lowest(
                call_time.map(|span| span.map(|span| span.0)),
                CALL_TIME_DEFAULT,
            )
            .min(Guard::CallTimeCeiling.limit(CALL_TIME_MAX)),
            unit: manifest.sink.map(|sink| sink.unit).unwrap_or_default(),
            asked_dirs: asked
                .dirs
                .iter()
                .map(|dir| (plain(base, &dir.path), dir.mode))
                .collect(),
            granted_dirs: dirs.map(|dir| (plain(base, &dir.path), dir.mode)).collect(),
            asked_data: Reach {
                reads: asked.reads.clone(),
                writes: asked.writes.clone(),
            },
            granted_data: Reach {
                reads: Columns::of(grant.data.reads.iter().cloned()),
                writes: Columns::of(grant.data.writes.iter().cloned()),
            },
            asks: asked.http.iter().map(|ask| with(ask, &terms)).collect(),
            tcp_asks: asked.tcp.clone(),
            tcp_allowances,
            asked_reveals: asked_reveals.map(|secret| secret.name.clone()).collect(),
            granted_reveals: granted_reveals.map(|secret| secret.name.clone()).collect(),
            unnamed_reveals: manifest.unnamed.clone(),
            allowances,
            base: base.to_owned(),
            policy: Arc::default(),
            own: Arc::default(),
            bounds: Vec::new(),
            wished: Wished::of(manifest, grant),
        };
        let mut missing = start::missing(&effective, &asked, grant);
        missing.extend(wrong);
        if missing.is_empty() {
            Ok(effective)
        } else {
            Err(missing)
        }
    }

    /// Puts it under the organisation's policy. A policy may leave less than the grant: that is enforced when it is
    /// used. Errors: all that the grant names and the policy forbids altogether.
    pub fn under(mut self, policy: Arc<Organisation>) -> Result<Self, Vec<Forbidden>> {
        let reads = self.asked_data.reads.common(&self.granted_data.reads);
        self.bounds = policy.bounds(&reads);
        (self.memory_bytes_max, self.call_time_max) =
            policy.lowered(self.memory_bytes_max, self.call_time_max);
        let requests = self.allowances.iter().flat_map(|allowance| {
            let is_asked = self.asks.iter().any(|ask| ask.rule.meets(&allowance.rule));
            policy.forbids_requests(allowance, &self.bounds, is_asked)
        });
        let mut forbidden: Vec<Forbidden> = requests.collect();
        forbidden.extend(self.tcp_allowances.iter().flat_map(|allowance| {
            let asks = &mut self.tcp_asks.iter();
            let is_asked = asks.any(|ask| ask.rule.meets(&allowance.rule));
            policy.forbids_connections(allowance, &self.bounds, is_asked)
        }));
        forbidden.extend(self.tokens().flat_map(|terms| policy.forbids_tokens(terms)));
        forbidden.extend(policy.forbids_reveals(&self.plugin, &self.granted_reveals));
        let dirs = self.granted_dirs.iter().map(|(path, _)| path);
        forbidden.extend(policy.forbids_dirs(&self.base, dirs));
        if forbidden.is_empty() {
            self.policy = policy;
            Ok(self)
        } else {
            Err(forbidden)
        }
    }

    /// The columns the manifest asks to read, with its settings filled in; `*` is every one. What of them is granted
    /// is [`Self::may_read`]'s to say.
    pub fn reads(&self) -> Vec<String> {
        self.asked_data.reads.names()
    }

    /// May it copy in this column?
    pub fn may_read(&self, column: &str) -> Result<(), Refusal> {
        self.may(
            "data.reads",
            &self.asked_data.reads,
            &self.granted_data.reads,
            column,
        )
    }

    /// May it put, rename or drop this column?
    pub fn may_write(&self, column: &str) -> Result<(), Refusal> {
        self.may(
            "data.writes",
            &self.asked_data.writes,
            &self.granted_data.writes,
            column,
        )
    }

    fn may(
        &self,
        capability: &'static str,
        asked: &Columns,
        granted: &Columns,
        column: &str,
    ) -> Result<(), Refusal> {
        if Guard::ColumnAsked.bars(!asked.has(column)) {
            return Err(refuse::column(self.manifest(), capability, asked, column));
        }
        if Guard::ColumnGranted.bars(!granted.has(column)) {
            return Err(refuse::column(self.grant(), capability, granted, column));
        }
        Ok(())
    }

    /// May it send this request? Where several entries of the manifest fit, the first one's secret is attached.
    pub fn may_send(&self, method: &Method, uri: &Uri) -> Result<Sending, Refusal> {
        let (sent, method) = (method, method.as_str());
        let target =
            Target::parse(uri).map_err(|error| refuse::target(method, uri, error.to_string()))?;
        let ask = self
            .asks
            .iter()
            .find(|ask| ask.rule.permits(method, &target));
        if Guard::RequestAsked.bars(ask.is_none()) {
            let rules: Vec<&HttpRule> = self.asks.iter().map(|ask| &ask.rule).collect();
            return Err(refuse::http(self.manifest(), &rules, method, &target));
        }
        let fits = |(_, allowance): &(usize, &Allowance)| allowance.rule.permits(method, &target);
        let granted: Vec<(usize, &Allowance)> =
            self.allowances.iter().enumerate().filter(fits).collect();
        if Guard::RequestGranted.bars(granted.is_empty()) {
            let rules: Vec<&HttpRule> = self
                .allowances
                .iter()
                .map(|allowance| &allowance.rule)
                .collect();
            return Err(refuse::http(self.grant(), &rules, method, &target));
        }
        let ruled = self
            .policy
            .may_travel(target.scheme)
            .and_then(|()| self.policy.may_reach(&self.bounds, &target.host));
        ruled.map_err(|no| no.refusal("http", refuse::request(method, &target)))?;
        Ok(Sending {
            method: sent.clone(),
            networks: granted
                .iter()
                .flat_map(|(_, allowance)| allowance.networks.iter().copied())
                .collect(),
            // All that fit say the same of it.
            ca: granted.first().and_then(|(_, first)| first.ca.clone()),
            auth: ask.and_then(|ask| ask.auth.clone()),
            budgets: granted
                .iter()
                .filter(|(_, allowance)| allowance.budget.is_bound())
                .map(|(at, _)| *at)
                .collect(),
            table: "[[http]]",
            target,
        })
    }

    /// May these addresses, all that the request's host resolved to, be dialled? One bad one refuses them all:
    /// a name that leads to both is an attack or a mistake.
    pub fn may_dial(&self, sending: &Sending, addresses: &[IpAddr]) -> Result<(), Refusal> {
        let checked = match addresses {
            [first, ..] if !Guard::EveryAddress.stands() => std::slice::from_ref(first),
            all => all,
        };
        checked
            .iter()
            .try_for_each(|address| address::check(*address, &sending.networks))
            .map_err(|barred| refuse::address(self.grant(), sending, &barred))?;
        let ruled = self.policy.may_dial(addresses);
        ruled.map_err(|no| no.refusal("http", sending.asked()))
    }

    /// May the host trade a secret for a token, as the grant says? Which columns the plugin sees is no matter here: it
    /// has no word in that request.
    pub fn may_trade(&self, terms: &TokenTerms) -> Result<Sending, Refusal> {
        let sending = terms.sending();
        let ruled = self.policy.may_trade(terms);
        ruled.map_err(|no| no.refusal("http", sending.asked()))?;
        Ok(sending)
    }

    /// Where its secrets are traded for tokens, each once.
    fn tokens(&self) -> impl Iterator<Item = &TokenTerms> {
        let mut found: Vec<&TokenTerms> = Vec::new();
        for auth in self.asks.iter().filter_map(|ask| ask.auth.as_ref()) {
            if let Terms::Token(terms) = &*auth.terms
                && !found.contains(&terms)
            {
                found.push(terms);
            }
        }
        found.into_iter()
    }

    /// What each `[[http]]` of the grant lets it spend in one run, in the order that [`Sending::budgets`] counts them.
    pub fn budgets(&self) -> impl Iterator<Item = &Budget> {
        self.allowances.iter().map(|allowance| &allowance.budget)
    }

    /// May so much be spent, this request included, of the budget at this place?
    pub fn may_spend(&self, sending: &Sending, at: usize, spent: &Spent) -> Result<(), Refusal> {
        budget::check(self.grant(), sending, &self.allowances[at], spent)
    }

    /// The refusal of a request whose turn, by the rate of the budget at this place, comes only after such a wait.
    pub fn too_fast(&self, sending: &Sending, at: usize, wait: Duration) -> Refusal {
        budget::too_fast(self.grant(), sending, &self.allowances[at], wait)
    }

    /// May the plugin set this header on this request?
    pub fn may_set_header(&self, sending: &Sending, name: &HeaderName) -> Result<(), Refusal> {
        if headers::forbidden(name) {
            return Err(refuse::owned(
                sending,
                "header",
                name.as_str(),
                "the host's to set",
            ));
        }
        let Some(Credential {
            name: secret,
            place,
            ..
        }) = &sending.auth
        else {
            return Ok(());
        };
        let why = if Guard::SecretHeader.bars(headers::injected(place).contains(name)) {
            format!("where the host puts secret `{secret}`")
        } else if Guard::EncodingAsked
            .bars(name == http::header::ACCEPT_ENCODING && headers::is_sent(place))
        {
            format!("the host's to set: it looks for secret `{secret}` in the answer")
        } else if headers::acts_beyond(place, name) {
            format!(
                "one that acts beyond this request's path, with the rights of secret `{secret}`"
            )
        } else {
            return Ok(());
        };
        Err(refuse::owned(sending, "header", name.as_str(), &why))
    }

    /// May the plugin send this query? It may not have the parameter that the host puts a secret in.
    pub fn may_set_query(&self, sending: &Sending, query: &str) -> Result<(), Refusal> {
        let Some(Credential {
            name: secret,
            place,
            ..
        }) = &sending.auth
        else {
            return Ok(());
        };
        match headers::owned_parameter(place, query) {
            Some(name) if Guard::SecretParameter.stands() => Err(refuse::owned(
                sending,
                "query parameter",
                &name,
                &format!("where the host puts secret `{secret}`"),
            )),
            _ => Ok(()),
        }
    }

    /// Whether the grant allows any request that this might be.
    pub(crate) fn touches(&self, ask: &Ask) -> bool {
        self.allowances
            .iter()
            .any(|allowance| allowance.rule.meets(&ask.rule))
    }

    /// Whether the grant allows this directory so.
    pub(crate) fn covers(&self, asked: &Dir) -> bool {
        covers(
            &self.granted_dirs,
            &plain(&self.base, &asked.path),
            asked.mode,
        )
    }

    fn manifest(&self) -> File<'_> {
        File::Manifest(&self.plugin)
    }

    pub(crate) fn grant(&self) -> File<'_> {
        File::Grant(&self.plugin, &self.pipeline)
    }
}

/// A wish, with what the grant fixes about its secret.
fn with(ask: &Ask, terms: &HashMap<SecretName, Arc<Terms>>) -> Ask {
    let mut ask = ask.clone();
    if let Some(auth) = &mut ask.auth
        && let Some(terms) = terms.get(&auth.name)
    {
        auth.terms = Arc::clone(terms);
    }
    ask
}

/// The manifest's wish or what goes without saying, under the grant's ceiling.
fn lowest<T: Ord>([manifest, grant]: [Option<T>; 2], default: T) -> T {
    let wish = manifest.unwrap_or(default);
    match grant {
        Some(ceiling) if Guard::GrantLowers.stands() => wish.min(ceiling),
        _ => wish,
    }
}

/// A directory as it is compared and opened: below `base`, without `.` and doubled slashes. `..` stays as it is
/// written, for what it means depends on links.
pub(crate) fn plain(base: &Path, dir: &str) -> PathBuf {
    let joined = base.join(dir);
    let bytes = joined.as_os_str().as_encoded_bytes();
    let pair = |odd: &[u8]| bytes.windows(odd.len()).any(|pair| pair == odd);
    let is_plain =
        !bytes.starts_with(b".") && !pair(b"//") && !pair(b"/.") && !bytes.ends_with(b"/");
    if is_plain {
        return joined;
    }
    joined
        .components()
        .filter(|part| *part != Component::CurDir)
        .collect()
}
