//! Which key of the policy leaves less than a grant allows, for a report.

use super::{Bound, Organisation};
use crate::address;
use crate::host::HostPattern;
use crate::rules::HttpRule;
use sluice_model::grant::ipnet_text::Network;

impl Organisation {
    /// Why not all of these requests are left, where they are not.
    pub(crate) fn narrows(
        &self,
        bounds: &[Bound],
        rule: &HttpRule,
        networks: &[Network],
    ) -> Option<String> {
        if let Err(no) = self.may_travel(rule.scheme) {
            return Some(no.told());
        }
        self.narrows_host(bounds, &rule.host, networks)
    }

    /// The same of connections to a host, or of requests whose way is left.
    pub(crate) fn narrows_host(
        &self,
        bounds: &[Bound],
        pattern: &HostPattern,
        networks: &[Network],
    ) -> Option<String> {
        if let Err(no) = self.left(bounds, pattern) {
            return Some(no.told());
        }
        let unlisted = self
            .hosts
            .iter()
            .filter(|hosts| !hosts.says.iter().any(|host| pattern.within(host)))
            .map(|hosts| self.place("`http.hosts`", hosts.line));
        let denied = self
            .deny
            .iter()
            .filter(|deny| deny.says.meets(pattern))
            .map(|deny| self.place("`http.deny`", deny.line));
        let beyond = bounds.iter().filter_map(|bound| {
            let class = &self.classes[bound.class];
            let within = class.hosts.says.iter().any(|host| pattern.within(host));
            let what = format!("class `{}`", class.name);
            (!within).then(|| self.place(&what, class.hosts.line))
        });
        let closed = self
            .networks
            .iter()
            .filter(|_| self.open_networks(networks) != networks)
            .map(|key| self.place("`http.networks`", key.line));
        let mut all = unlisted.chain(denied).chain(beyond).chain(closed);
        all.next()
    }

    /// What it leaves of the networks that a grant opens.
    pub(crate) fn open_networks(&self, networks: &[Network]) -> Vec<Network> {
        let Some(open) = &self.networks else {
            return networks.to_vec();
        };
        let left = |network: &Network| {
            let (network, open) = (*network, open.says.iter());
            open.filter_map(move |open| address::common(network, *open))
        };
        networks.iter().flat_map(left).collect()
    }

    /// Where its ceilings of memory and of a call's time stand.
    pub(crate) fn ceilings(&self) -> [Option<String>; 2] {
        let memory = self.memory_bytes_max.as_ref().map(|key| key.line);
        let call_time = self.call_time_max.as_ref().map(|key| key.line);
        [
            memory.map(|line| self.place("`limits.memory`", line)),
            call_time.map(|line| self.place("`limits.call_time`", line)),
        ]
    }

    fn place(&self, what: &str, line: usize) -> String {
        format!("{what} ({}:{line})", self.file)
    }
}
