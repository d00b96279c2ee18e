//! Patterns for paths on the first two lines, paths on the others.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice_policy::path::{PathPattern, check};

fuzz_target!(|text: &str| {
    let mut lines = text.lines();
    let mut pattern = || lines.next().and_then(|line| PathPattern::parse(line).ok());
    let (Some(ours), Some(theirs)) = (pattern(), pattern()) else {
        return;
    };
    for pattern in [&ours, &theirs] {
        assert_eq!(
            PathPattern::parse(&pattern.to_string()).as_ref(),
            Ok(pattern)
        );
    }
    let common = ours.common(&theirs);
    for path in lines.take(8).filter(|path| check(path).is_ok()) {
        let both = ours.matches(path) && theirs.matches(path);
        assert_eq!(
            common.as_ref().is_some_and(|common| common.matches(path)),
            both
        );
    }
});
