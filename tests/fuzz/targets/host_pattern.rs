//! Hosts and patterns for hosts, one a line: whatever is read means one thing, and says so again when it is written.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice_policy::host::{Host, HostPattern};

fuzz_target!(|text: &str| {
    let read = |line: &str| HostPattern::parse(line).ok();
    let patterns: Vec<HostPattern> = text.lines().take(8).filter_map(read).collect();
    let hosts: Vec<Host> = text
        .lines()
        .take(8)
        .filter_map(|line| Host::parse(line).ok())
        .collect();
    for pattern in &patterns {
        assert_eq!(
            HostPattern::parse(&pattern.to_string()).as_ref(),
            Ok(pattern)
        );
        assert!(pattern.within(pattern) && pattern.meets(pattern));
    }
    for host in &hosts {
        assert_eq!(Host::parse(&host.to_string()).as_ref(), Ok(host));
        // No other parser may read another host in it: this is what a browser reads.
        let url = url::Url::parse(&format!("https://{host}/")).expect("a host stands in a url");
        assert_eq!(url.host_str(), Some(host.to_string().as_str()));
    }
    for (ours, theirs) in patterns
        .iter()
        .flat_map(|ours| patterns.iter().map(move |theirs| (ours, theirs)))
    {
        let common = ours.common(theirs);
        assert_eq!(common.is_some(), ours.meets(theirs));
        for host in &hosts {
            let both = ours.matches(host) && theirs.matches(host);
            assert_eq!(
                common.as_ref().is_some_and(|common| common.matches(host)),
                both
            );
            assert!(!ours.within(theirs) || !ours.matches(host) || theirs.matches(host));
        }
    }
});
