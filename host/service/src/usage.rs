//! Declared against used: what each grant permits, and what of it the trail says was used, how often and when last.

use crate::Error;
use crate::deployment::Deployment;
use crate::grants::Filed;
use serde::Serialize;
use sluice_audit::{Entries, Folder, Use, Uses};
use sluice_policy::used::{Item, items};
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What was not used for so long is to be asked about.
pub const IDLE_DAYS: u64 = 30;

/// One grant.
#[derive(Debug, Clone, Serialize)]
pub struct Usage {
    /// Its file.
    pub file: String,
    /// The pipeline.
    pub pipeline: String,
    /// The plugin and its version.
    pub plugin: String,
    /// Everything it permits.
    pub items: Vec<ItemUsage>,
}

/// One thing that a grant permits.
#[derive(Debug, Clone, Serialize)]
pub struct ItemUsage {
    /// What.
    #[serde(flatten)]
    pub item: Item,
    /// How it was used.
    #[serde(flatten)]
    pub used: Use,
    /// Names that were used, where the item stands for several: the columns of `*`, the hosts of a wildcard.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// What to think of it.
    pub remark: Remark,
}

/// What to think of something that is granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Remark {
    /// It is used.
    Used,
    /// It was, and no more.
    Idle,
    /// Not that anybody knows.
    Never,
}

/// How these grants were used.
pub fn of(deployment: &Deployment, grants: &[Filed]) -> Result<Vec<Usage>, Error> {
    let mut uses = Uses::default();
    let dir = deployment.audit_dir();
    if dir.is_dir() {
        let mut entries = Entries::of(&Folder::new(dir))?;
        while let Some(entry) = entries.next()? {
            uses.add(&entry);
        }
    }
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Ok(grants
        .iter()
        .map(|filed| usage(filed, &uses, now))
        .collect())
}

fn usage(filed: &Filed, uses: &Uses, now: Duration) -> Usage {
    let about = &filed.grant.grant;
    let (pipeline, plugin) = (
        about.pipeline.to_string(),
        format!("{} {}", about.plugin, about.version),
    );
    let none = BTreeMap::new();
    let used = uses
        .0
        .get(&(pipeline.clone(), plugin.clone()))
        .unwrap_or(&none);
    let items = items(&filed.grant)
        .into_iter()
        .map(|item| item_usage(item, used, now));
    Usage {
        file: filed.file.clone(),
        items: items.collect(),
        pipeline,
        plugin,
    }
}

fn item_usage(item: Item, used: &BTreeMap<(String, String), Use>, now: Duration) -> ItemUsage {
    let (mut sum, mut names) = (Use::default(), Vec::new());
    for ((_, name), one) in used
        .iter()
        .filter(|((capability, name), _)| item.covers(capability, name))
    {
        sum.times = sum.times.saturating_add(one.times);
        sum.bytes_out = sum.bytes_out.saturating_add(one.bytes_out);
        sum.bytes_in = sum.bytes_in.saturating_add(one.bytes_in);
        sum.last_ms = sum.last_ms.max(one.last_ms);
        names.push(name.clone());
    }
    if !item.name.contains('*') {
        names.clear();
    }
    let idle = Duration::from_secs(IDLE_DAYS * 24 * 60 * 60);
    let remark = match Duration::from_millis(sum.last_ms) {
        _ if sum.times == 0 => Remark::Never,
        last if last + idle < now => Remark::Idle,
        _ => Remark::Used,
    };
    ItemUsage {
        item,
        used: sum,
        names,
        remark,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_idle_is_told() {
        let day = 24 * 60 * 60 * 1_000;
        let one = |times, last_ms| Use {
            times,
            last_ms,
            ..Use::default()
        };
        let key = |name: &str| ("data.reads".to_owned(), name.to_owned());
        let used = BTreeMap::from([
            (key("email"), one(3, 10 * day)),
            (key("name"), one(2, 45 * day)),
        ]);
        let now = Duration::from_millis(50 * day);
        let of = |name: &str| {
            let item = Item {
                capability: "data.reads",
                name: name.to_owned(),
            };
            let usage = item_usage(item, &used, now);
            (usage.used.times, usage.remark, usage.names.len())
        };
        assert_eq!(of("email"), (3, Remark::Idle, 0));
        assert_eq!(of("name"), (2, Remark::Used, 0));
        assert_eq!(of("phone"), (0, Remark::Never, 0));
        assert_eq!(of("*"), (5, Remark::Used, 2));
    }
}
