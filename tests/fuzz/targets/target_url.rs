//! The URL of a request, as a plugin gives it: where we say it goes is where a second parser says it goes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice_policy::Target;

fuzz_target!(|text: &str| {
    let Ok(uri) = text.parse::<http::Uri>() else {
        return;
    };
    let Ok(target) = Target::parse(&uri) else {
        return;
    };
    let again: http::Uri = target.to_string().parse().expect("a target is a uri");
    assert_eq!(Target::parse(&again).as_ref(), Ok(&target));
    // The WHATWG's reading of what the plugin wrote, and of what is sent.
    let theirs = url::Url::parse(text).expect("what we read, a browser reads");
    let ours = url::Url::parse(&target.to_string()).expect("a target is a url");
    let host = |url: &url::Url| {
        let host = url.host_str().unwrap_or_default();
        host.strip_suffix('.').unwrap_or(host).to_owned()
    };
    assert_eq!(ours.host_str(), Some(target.host.to_string().as_str()));
    // A v4-mapped address is dialled as its IPv4 address.
    if !host(&theirs).starts_with("[::ffff:") {
        assert_eq!(host(&theirs), host(&ours), "{text}");
    }
    assert_eq!(theirs.port_or_known_default(), Some(target.port));
    assert_eq!(theirs.path(), target.path);
    assert!(theirs.username().is_empty() && theirs.password().is_none());
});
