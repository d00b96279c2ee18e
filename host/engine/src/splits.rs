//! The splits that a source names: each a split of its own, and in an order that comes to an end.

use crate::answer;
use crate::bindings::source::wit;
use crate::columns::Lie;
use crate::source::named;
use sluice_model::checkpoint::Cursor;
use sluice_model::guards::Guard;
use sluice_model::ids::{HOST_OWN, SplitId, StreamName};
use sluice_model::limits::CURSOR_BYTES_MAX;
use std::collections::HashMap;

/// A part of the work that is read on its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// Stable: the checkpoint is kept under it.
    pub id: SplitId,
    /// The streams it carries.
    pub streams: Vec<StreamName>,
    /// The plugin's own, handed back when it is opened.
    pub detail: String,
    /// Where to begin, where the host keeps no place of it yet.
    pub start: Option<Cursor>,
    /// Those that are read to their end before it is opened.
    pub after: Vec<SplitId>,
}

/// The splits as the host knows them. `asked`: the streams that they may carry.
pub(crate) fn lift(
    given: Vec<wit::Split>,
    asked: &HashMap<&str, &StreamName>,
) -> Result<Vec<Split>, Lie> {
    let splits = given.into_iter().map(|given| split(given, asked));
    let splits = splits.collect::<Result<Vec<_>, _>>()?;
    let twice = answer::twice(splits.iter().map(|split| split.id.as_str()));
    if let Some(id) = twice.filter(|_| Guard::SplitOnce.stands()) {
        return Err(Lie::new(format!("split `{id}` stands twice")));
    }
    let is_own = |split: &&Split| split.id.as_str().starts_with(HOST_OWN);
    if let Some(own) = splits
        .iter()
        .find(is_own)
        .filter(|_| Guard::SplitReserved.stands())
    {
        let (id, rule) = (&own.id, "ids that begin with `~` are the host's own");
        return Err(Lie::new(format!("split `{id}`: {rule}")));
    }
    if let Some(stuck) = stuck(&splits).filter(|_| Guard::SplitAfter.stands()) {
        let (id, rule) = (
            &stuck.id,
            "the splits that it comes after never end before it",
        );
        return Err(Lie::new(format!("split `{id}`: {rule}")));
    }
    Ok(splits)
}

fn split(given: wit::Split, asked: &HashMap<&str, &StreamName>) -> Result<Split, Lie> {
    let id = answer::name::<SplitId>(&given.id)?;
    let names = given.streams.iter().map(String::as_str);
    if let Some(twice) = answer::twice(names).filter(|_| Guard::SplitStreamOnce.stands()) {
        return Err(Lie::new(format!(
            "split `{id}` carries stream `{}` twice",
            answer::quoted(twice)
        )));
    }
    let streams = given
        .streams
        .iter()
        .map(|name| named(name, asked.get(name.as_str()).copied()))
        .collect::<Result<_, _>>()?;
    let start_bytes = given.start.as_ref().map_or(0, Vec::len);
    if start_bytes > Guard::StartBytes.limit(CURSOR_BYTES_MAX) {
        let most = CURSOR_BYTES_MAX;
        return Err(Lie::new(format!(
            "split `{id}` begins at {start_bytes} bytes; at most {most} are allowed"
        )));
    }
    let after = given.after.iter().map(|id| answer::name(id));
    Ok(Split {
        id,
        streams,
        detail: given.detail,
        start: given.start.map(Cursor::from),
        after: after.collect::<Result<_, _>>()?,
    })
}

/// A split that could never be opened: it comes after itself, by whatever way, or after one that is not there. Looks at
/// each split and each word of `after` a fixed number of times.
fn stuck(splits: &[Split]) -> Option<&Split> {
    let at: HashMap<&SplitId, usize> = splits.iter().map(|split| &split.id).zip(0..).collect();
    let mut before: Vec<usize> = splits.iter().map(|split| split.after.len()).collect();
    let mut next: Vec<Vec<usize>> = vec![Vec::new(); splits.len()];
    for (split, own) in splits.iter().zip(0..) {
        for id in &split.after {
            if let Some(other) = at.get(id) {
                next[*other].push(own);
            }
        }
    }
    let mut ready: Vec<usize> = (0..splits.len()).filter(|own| before[*own] == 0).collect();
    while let Some(done) = ready.pop() {
        for own in &next[done] {
            before[*own] -= 1;
            if before[*own] == 0 {
                ready.push(*own);
            }
        }
    }
    splits
        .iter()
        .zip(before)
        .find(|(_, before)| *before > 0)
        .map(|(split, _)| split)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(splits: &[(&str, &[&str])], expected: Option<&str>) {
        let name = |id: &&str| id.parse().expect("a split id");
        let splits: Vec<Split> = splits
            .iter()
            .map(|(id, after)| Split {
                id: name(id),
                streams: Vec::new(),
                detail: String::new(),
                start: None,
                after: after.iter().map(name).collect(),
            })
            .collect();
        let found = stuck(&splits).map(|split| split.id.as_str());
        assert_eq!(found, expected);
    }

    #[test]
    fn an_order_comes_to_an_end() {
        check(&[], None);
        check(&[("log", &["a", "b"]), ("a", &[]), ("b", &["a"])], None);
        check(&[("a", &["a"])], Some("a"));
        check(&[("a", &[]), ("b", &["c"]), ("c", &["b"])], Some("b"));
        check(&[("a", &["nobody"])], Some("a"));
        check(&[("a", &["b", "b"]), ("b", &[])], None);
    }

    #[test]
    fn splits_that_could_not_be_read_are_refused() {
        let split = |id: &str, start: usize, after: &[&str]| wit::Split {
            id: id.to_owned(),
            streams: Vec::new(),
            detail: String::new(),
            start: (start > 0).then(|| vec![7; start]),
            after: after.iter().map(|id| (*id).to_owned()).collect(),
        };
        let check = |splits: Vec<wit::Split>, says: &str| {
            let told = lift(splits, &HashMap::new())
                .err()
                .map(|lie| lie.to_string());
            let told = told.unwrap_or_default();
            assert!(
                told.contains(says) && told.is_empty() == says.is_empty(),
                "{told}"
            );
        };
        check(
            vec![split("log", CURSOR_BYTES_MAX, &["a"]), split("a", 0, &[])],
            "",
        );
        check(
            vec![split("log", CURSOR_BYTES_MAX + 1, &[])],
            "`log` begins at 65537 bytes",
        );
        check(
            vec![split("log", 0, &["log"])],
            "`log`: the splits that it comes after never end",
        );
        check(vec![split("~redrive", 0, &[])], "the host's own");
        check(
            vec![split("a", 0, &[]), split("a", 0, &[])],
            "`a` stands twice",
        );
    }
}
