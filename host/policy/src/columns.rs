//! A set of columns: some by name, or every one. Not who may use it for what: that is `effective`.

use std::collections::BTreeSet;

/// What stands for every column.
const EVERY: &str = "*";

/// Columns by name, or every one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Columns {
    Every,
    Named(BTreeSet<String>),
}

impl Columns {
    pub(crate) fn of(names: impl IntoIterator<Item = String>) -> Self {
        let names: BTreeSet<String> = names.into_iter().collect();
        if names.contains(EVERY) {
            Self::Every
        } else {
            Self::Named(names)
        }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        match self {
            Self::Every => true,
            Self::Named(names) => names.contains(name),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::Named(names) if names.is_empty())
    }

    /// Whether any column is in both.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Named(ours), Self::Named(theirs)) => !ours.is_disjoint(theirs),
            _ => !self.is_empty() && !other.is_empty(),
        }
    }

    /// The columns in both.
    pub(crate) fn common(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::Every, both) | (both, Self::Every) => both.clone(),
            (Self::Named(ours), Self::Named(theirs)) => {
                Self::Named(ours.intersection(theirs).cloned().collect())
            }
        }
    }

    /// As a file lists them.
    pub(crate) fn names(&self) -> Vec<String> {
        match self {
            Self::Every => vec![EVERY.to_owned()],
            Self::Named(names) => names.iter().cloned().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(names: &[&str]) -> Columns {
        Columns::of(names.iter().map(|name| (*name).to_owned()))
    }

    #[test]
    fn sets_meet_where_they_share_a_column() {
        let check = |ours: &[&str], theirs: &[&str], expected: bool| {
            assert_eq!(
                columns(ours).meets(&columns(theirs)),
                expected,
                "{ours:?} {theirs:?}"
            );
            assert_eq!(
                columns(theirs).meets(&columns(ours)),
                expected,
                "{theirs:?} {ours:?}"
            );
        };
        check(&["a"], &["a", "b"], true);
        check(&["a"], &["b"], false);
        check(&["*"], &["b"], true);
        check(&["*"], &["*"], true);
        check(&["*"], &[], false);
        check(&[], &[], false);
    }

    #[test]
    fn names_are_exact() {
        assert!(columns(&["email"]).has("email"));
        for other in ["Email", "email ", "e", "", "*"] {
            assert!(!columns(&["email"]).has(other), "{other}");
        }
        assert!(columns(&["a", "*"]).has("anything"));
        assert!(!columns(&[]).has(""));
    }
}
