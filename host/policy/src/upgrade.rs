//! From the grant of an older component to that of a newer one: what was granted stays as narrow as a person made it,
//! what is asked no more is dropped, and what is asked anew is added only where that is said.
//!
//! Invariant: without `widen`, the new grant allows nothing that the old one did not (test:
//! `an_upgrade_never_widens_by_itself`).

use crate::diff::{Change, Direction, limits};
use crate::reach::{Reach, Requests, Use};
use serde::Serialize;
use sluice_model::grant::Grant;
use sluice_model::guards::Guard;
use sluice_model::manifest::{Data, Limits, Manifest};

/// The way from one grant to the next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Upgrade {
    /// The new grant. Where something is wider and that was not allowed, it holds the old one's part only.
    #[serde(skip)]
    pub grant: Grant,
    /// What the new component asks that neither the old grant allows nor the old component asked for.
    pub wider: Vec<Change>,
    /// What both components ask for and the grant does not allow: somebody narrowed it, and so it stays.
    pub held: Vec<Change>,
    /// What the old grant allows and the new component does not ask for.
    pub dropped: Vec<Change>,
}

/// One component's asking: its manifest, and the grant that would give it all of that.
#[derive(Debug, Clone, Copy)]
pub struct Asking<'a> {
    /// What it asks for.
    pub manifest: &'a Manifest,
    /// The same with a pipeline's settings; see [`crate::propose()`].
    pub whole: &'a Grant,
}

/// Carries a grant over. `before` is the component that `old` was written for, where it is still to be had: without it
/// nobody can tell what was narrowed by hand from what is asked anew, and all of it counts as wider.
pub fn upgrade(old: &Grant, before: Option<Asking<'_>>, now: Asking<'_>, widen: bool) -> Upgrade {
    let (granted, asked) = (Reach::of_grant(old), Reach::of_grant(now.whole));
    let known = before.map_or_else(
        || granted.clone(),
        |before| granted.and(&Reach::of_grant(before.whole)),
    );
    let (lacking, anew) = (asked.beyond(&granted), asked.beyond(&known));
    let mut wider = told(Direction::Wider, &anew);
    wider.extend(beyond_grants(before, now));
    let mut grant = kept(old, &granted, &asked);
    grant.grant = now.whole.grant.clone();
    let dropped = told(
        Direction::Narrower,
        &granted.beyond(&Reach::of_grant(&grant)),
    );
    if Guard::UpgradeWidens.holds(widen) {
        add(&mut grant, now.whole, &anew);
    }
    Upgrade {
        held: told(Direction::Other, &lacking.beyond(&anew)),
        grant,
        wider,
        dropped,
    }
}

/// What a grant does not say, and so is compared by what the components ask. Where the older one is not to be had:
/// every request that a secret goes with, and what is above the defaults.
fn beyond_grants(before: Option<Asking<'_>>, now: Asking<'_>) -> Vec<Change> {
    let asks = Reach::of_manifest(now.manifest);
    let mut changes = if let Some(before) = before {
        let moved = asks.newly_with_secret(&Reach::of_manifest(before.manifest));
        let mut changes = told(Direction::Wider, &moved);
        changes.extend(limits(&before.manifest.limits, &now.manifest.limits));
        changes
    } else {
        let with_secret = asks
            .http
            .iter()
            .filter(|requests| requests.bare().is_some());
        let told = |requests: &Requests| Change {
            direction: Direction::Wider,
            capability: "http",
            what: requests.to_string(),
        };
        let mut changes: Vec<Change> = with_secret.map(told).collect();
        changes.extend(limits(&Limits::default(), &now.manifest.limits));
        changes
    };
    changes.retain(|change| change.direction == Direction::Wider);
    changes
}

fn told(direction: Direction, reach: &Reach) -> Vec<Change> {
    let words = reach.words().into_iter();
    words
        .map(|(capability, what)| Change {
            direction,
            capability,
            what,
        })
        .collect()
}

/// The old grant's entries that the new component still asks for, each as it was written.
fn kept(old: &Grant, granted: &Reach, asked: &Reach) -> Grant {
    let mut grant = old.clone();
    let mut at = 0..;
    grant.http.retain(|_| {
        at.next()
            .is_some_and(|at| asked.http.iter().any(|ask| ask.meets(&granted.http[at])))
    });
    let mut at = 0..;
    grant.tcp.retain(|_| {
        at.next()
            .is_some_and(|at| asked.tcp.iter().any(|ask| ask.meets(&granted.tcp[at])))
    });
    let mut at = 0..;
    grant.dir.retain(|_| {
        let ours = |at: usize| &granted.dirs[at];
        at.next().is_some_and(|at| {
            asked
                .dirs
                .iter()
                .any(|ask| ours(at).includes(ask) || ask.includes(ours(at)))
        })
    });
    grant.secret.retain(|entry| {
        asked
            .secrets
            .iter()
            .any(|ask| ask.name == entry.name && ask.place == entry.place)
    });
    let columns = |names: &[String], asked: &crate::columns::Columns| -> Vec<String> {
        if names.iter().any(|name| name == "*") {
            return asked.names();
        }
        names
            .iter()
            .filter(|name| asked.has(name))
            .cloned()
            .collect()
    };
    grant.data = Data {
        reads: columns(&old.data.reads, &asked.reads),
        writes: columns(&old.data.writes, &asked.writes),
    };
    grant
}

/// Puts in what is asked anew, in the words of the grant that would give all of it.
fn add(grant: &mut Grant, whole: &Grant, anew: &Reach) {
    let requests = anew.http.iter().filter_map(Requests::entry);
    grant.http.extend(requests);
    let Reach { tcp, dirs, .. } = Reach::of_grant(whole);
    let wanted = whole.tcp.iter().zip(&tcp);
    let wanted = wanted.filter(|(_, tcp)| anew.tcp.contains(tcp));
    grant.tcp.extend(wanted.map(|(entry, _)| entry.clone()));
    let wanted = whole
        .dir
        .iter()
        .zip(&dirs)
        .filter(|(_, dir)| anew.dirs.contains(dir));
    grant.dir.extend(wanted.map(|(entry, _)| entry.clone()));
    let wanted = whole.secret.iter().filter(|entry| {
        let same = |used: &Use| used.name == entry.name && used.place == entry.place;
        anew.secrets.iter().any(same)
    });
    grant.secret.extend(wanted.cloned());
    grant.data.reads.extend(anew.reads.names());
    grant.data.writes.extend(anew.writes.names());
}
