//! The replication slot: the server keeps its log for whoever has one, from the place that was confirmed last.

use super::lsn::Lsn;
use crate::config::{Changes, Config};
use crate::session::{Row, Session};
use sluice_sdk::{Fault, log};

/// Which part of what the server keeps for a slot must be left; less is told.
const KEPT_LEFT_MIN: u64 = 4;

const STANDING: &str = "\
SELECT s.plugin, s.database = current_database(), s.confirmed_flush_lsn, s.wal_status, s.safe_wal_size, \
 pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END, \
 s.confirmed_flush_lsn)::bigint, \
 (SELECT setting::bigint * 1048576 FROM pg_settings WHERE name = 'max_slot_wal_keep_size' AND setting <> '-1') \
FROM pg_catalog.pg_replication_slots AS s WHERE s.slot_name = $1";

/// A slot as the server has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slot {
    /// What comes behind this is kept.
    pub(super) confirmed: Lsn,
    /// `reserved`, `extended`, `unreserved` or `lost`.
    status: String,
    /// Bytes that the log may grow by before the server gives the slot up; none where it never does.
    left: Option<u64>,
    /// Bytes of the log that nobody has confirmed.
    pub(super) behind: u64,
    /// Bytes that the server keeps for one at most; none where that has no end.
    kept_max: Option<u64>,
}

/// The slot; none where the server has none of this name.
pub(super) fn find(session: &mut Session, changes: &Changes) -> Result<Option<Slot>, Fault> {
    let rows = session.query(STANDING, &[Some(&changes.slot)])?;
    rows.first().map(|row| Slot::of(row, changes)).transpose()
}

/// Makes the slot. Waits for the transactions that are under way.
pub(super) fn make(session: &mut Session, changes: &Changes) -> Result<(), Fault> {
    session.query(
        "SELECT lsn FROM pg_catalog.pg_create_logical_replication_slot($1, 'pgoutput')",
        &[Some(&changes.slot)],
    )?;
    log::info("a replication slot was made", &[("slot", &changes.slot)]);
    Ok(())
}

impl Slot {
    fn of(row: &Row, changes: &Changes) -> Result<Self, Fault> {
        let [plugin, here, confirmed, status, left, behind, kept_max] = &row[..] else {
            return Err(Fault::broken(
                "the server tells something else of its slots",
            ));
        };
        if plugin.as_deref() != Some("pgoutput") || here.as_deref() != Some("t") {
            return Err(Fault::misconfigured(format!(
                "the slot `{}` is another's: not of this database, or not of `pgoutput`; hint: choose another name",
                changes.slot
            )));
        }
        let number =
            |value: &Option<String>| value.as_deref().and_then(|value| value.parse::<i64>().ok());
        let bytes = |value| number(value).map(|bytes| u64::try_from(bytes).unwrap_or_default());
        let confirmed = confirmed.as_deref().and_then(|place| place.parse().ok());
        Ok(Self {
            confirmed: confirmed.unwrap_or_default(),
            status: status.clone().unwrap_or_default(),
            left: bytes(left),
            behind: bytes(behind).unwrap_or_default(),
            kept_max: bytes(kept_max),
        })
    }

    /// Whether the log from this place on is still there.
    pub(super) fn has(&self, place: Lsn, changes: &Changes) -> Result<(), Fault> {
        let hint = "hint: drop the slot, and reset the checkpoints of this pipeline: its tables are read again";
        if self.status == "lost" {
            return Err(Fault::cursor_lost(format!(
                "the server gave up the slot `{}`, for more than `max_slot_wal_keep_size` was to be kept; {hint}",
                changes.slot
            )));
        }
        if place < self.confirmed {
            return Err(Fault::cursor_lost(format!(
                "the slot `{}` begins at {}, behind the place {place}: what lies between is not told any more; {hint}",
                changes.slot, self.confirmed
            )));
        }
        Ok(())
    }

    /// Tells an operator how far behind it is, and warns before the server gives it up.
    pub(super) fn tell(&self, changes: &Changes) {
        let behind = self.behind.to_string();
        let left = self
            .left
            .map_or_else(|| "no end".to_owned(), |left| left.to_string());
        let fields = [
            ("slot", &*changes.slot),
            ("behind_bytes", &behind),
            ("left_bytes", &left),
        ];
        if self.is_short() {
            log::warn(
                "the server will soon give up the replication slot: what is behind would be lost",
                &fields,
            );
        } else {
            log::info("the replication slot", &fields);
        }
    }

    fn is_short(&self) -> bool {
        let is_little = |left| {
            self.kept_max
                .is_some_and(|most| left < most / KEPT_LEFT_MIN)
        };
        self.status == "unreserved" || self.left.is_some_and(is_little)
    }
}

/// That this user may read the log, and that the publication has these tables, whole, with all that happens to their
/// rows.
pub(super) fn check<'a>(
    session: &mut Session,
    config: &Config,
    changes: &Changes,
    tables: impl IntoIterator<Item = &'a str>,
) -> Result<(), Fault> {
    let wrong = |what: String| Err(Fault::misconfigured(what));
    let found = session.query(
        "SELECT current_setting('wal_level'), (SELECT rolreplication OR rolsuper FROM pg_catalog.pg_roles \
         WHERE rolname = current_user)",
        &[],
    )?;
    let found: Vec<Option<String>> = found.into_iter().flatten().collect();
    let found: Vec<Option<&str>> = found.iter().map(Option::as_deref).collect();
    match found[..] {
        [Some("logical"), Some("t")] => {}
        [Some("logical"), _] => {
            return wrong(format!(
                "the user `{}` may not read the server's log; hint: `ALTER ROLE … REPLICATION`",
                config.user
            ));
        }
        _ => {
            return wrong(
                "the server's log does not tell of rows; hint: `wal_level = logical` in its `postgresql.conf`"
                    .to_owned(),
            );
        }
    }
    let name = &changes.publication;
    let published = session.query(
        "SELECT pubinsert AND pubupdate AND pubdelete, pubtruncate FROM pg_catalog.pg_publication WHERE pubname = $1",
        &[Some(name)],
    )?;
    let published: Vec<Option<String>> = published.into_iter().flatten().collect();
    match published.iter().map(Option::as_deref).collect::<Vec<_>>()[..] {
        [Some("t"), Some("f")] => {}
        [] => {
            return wrong(format!(
                "there is no publication `{name}`; hint: `CREATE PUBLICATION {name} FOR TABLE … WITH (publish = 'insert, update, delete')`"
            ));
        }
        _ => {
            return wrong(format!(
                "the publication `{name}` must publish inserts, updates and deletes, and no truncation, which no record can say; \
                 hint: `ALTER PUBLICATION {name} SET (publish = 'insert, update, delete')`"
            ));
        }
    }
    // Before version 15 there were no filters.
    let parts = session.query(
        "SELECT p.tablename, to_jsonb(p) ->> 'rowfilter' IS NULL AND NOT EXISTS (SELECT FROM pg_catalog.pg_attribute AS a \
         WHERE a.attrelid = format('%I.%I', p.schemaname, p.tablename)::regclass AND a.attnum > 0 AND NOT a.attisdropped \
         AND a.attgenerated = '' AND NOT (to_jsonb(p) -> 'attnames') ? a.attname::text) \
         FROM pg_catalog.pg_publication_tables AS p WHERE p.pubname = $1 AND p.schemaname = $2",
        &[Some(name), Some(&config.schema)],
    )?;
    for table in tables {
        let part = parts.iter().find(|part| part[0].as_deref() == Some(table));
        match part.map(|part| part[1].as_deref() == Some("t")) {
            Some(true) => {}
            Some(false) => {
                return wrong(format!(
                    "the publication `{name}` has only a part of `{}.{table}`: some of its rows or columns",
                    config.schema
                ));
            }
            None => {
                return wrong(format!(
                    "the publication `{name}` does not have `{}.{table}`; hint: `ALTER PUBLICATION {name} ADD TABLE …`, of a \
                     partitioned table with `publish_via_partition_root`",
                    config.schema
                ));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes() -> Changes {
        Changes {
            publication: "p".to_owned(),
            slot: "s".to_owned(),
        }
    }

    fn slot(status: &str, left: Option<u64>, kept_max: Option<u64>) -> Slot {
        Slot {
            confirmed: Lsn(100),
            status: status.to_owned(),
            left,
            behind: 7,
            kept_max,
        }
    }

    #[test]
    fn what_is_gone_is_told_and_what_soon_goes_is_warned_of() {
        let sound = slot("reserved", None, None);
        assert_eq!(sound.has(Lsn(100), &changes()), Ok(()));
        for (slot, place) in [(&sound, 99), (&slot("lost", None, Some(1)), 100)] {
            let fault = slot.has(Lsn(place), &changes()).expect_err("gone");
            assert!(matches!(fault, Fault::CursorLost(_)), "{fault}");
        }
        for (status, left, kept_max, is_short) in [
            ("reserved", None, None, false),
            ("reserved", Some(400), Some(1_000), false),
            ("extended", Some(249), Some(1_000), true),
            ("unreserved", Some(0), Some(1_000), true),
        ] {
            assert_eq!(
                slot(status, left, kept_max).is_short(),
                is_short,
                "{status}"
            );
        }
    }

    #[test]
    fn anothers_slot_is_not_read() {
        let row = |plugin: &str, here: &str| -> Row {
            let row = [plugin, here, "0/10", "reserved", "", "16", ""];
            row.iter()
                .map(|value| (!value.is_empty()).then(|| (*value).to_owned()))
                .collect()
        };
        let found = Slot::of(&row("pgoutput", "t"), &changes()).expect("a slot");
        assert_eq!(
            (found.confirmed, found.behind, found.left),
            (Lsn(16), 16, None)
        );
        for (plugin, here) in [("test_decoding", "t"), ("pgoutput", "f"), ("", "")] {
            assert!(
                Slot::of(&row(plugin, here), &changes()).is_err(),
                "{plugin}"
            );
        }
    }
}
