//! The replication slot: the server keeps its log for whoever has one, from the place that was confirmed last.

use super::lsn::Lsn;
use crate::config::{Changes, Config};
use crate::session::{Row, Session};
use sluice_sdk::source::{Lag, LagUnit};
use sluice_sdk::{Fault, log};

/// Which part of what the server keeps for a slot must be left; less is told.
const KEPT_LEFT_MIN: u64 = 4;

/// How often it is looked for the end of a transaction, and how the server waits in between: half a minute or more where a
/// slot is made, as for any lock, and a second and a half where the log is read.
const LOOKS_MAKING: usize = 1_000;
const LOOKS_READING: usize = 50;
const PAUSE: &str = "SELECT pg_sleep(0.03)";

const STANDING: &str = "\
SELECT s.plugin, s.database = current_database(), s.confirmed_flush_lsn, s.wal_status, s.safe_wal_size, pg_current_wal_lsn(), \
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
    /// Where the server's log ends.
    end: Lsn,
    /// Bytes that the server keeps for one at most; none where that has no end.
    kept_max: Option<u64>,
}

/// The slot; none where the server has none of this name.
pub(super) fn find(session: &mut Session, changes: &Changes) -> Result<Option<Slot>, Fault> {
    let rows = session.query(STANDING, &[Some(&changes.slot)])?;
    rows.first().map(|row| Slot::of(row, changes)).transpose()
}

/// That whoever is behind the name is no standby. What one says of slots and of its log is no verdict: soon it is the
/// server itself, or another is behind the name.
pub(super) fn leads(session: &mut Session) -> Result<(), Fault> {
    let rows = session.rows("SELECT pg_is_in_recovery()")?;
    match rows.into_iter().flatten().flatten().next().as_deref() {
        Some("f") => Ok(()),
        _ => Err(Fault::transient(
            "the server is a standby: what changes is read from the server that it follows, or from this one once it is promoted",
        )),
    }
}

/// Makes the slot. Waits for the transactions that are under way: one that was committed before the slot's place must be
/// seen by whoever reads the tables next.
///
/// Invariant: a slot of this name was waited for. It is first one that ends with the session, and gets its name by a copy:
/// wherever this fails, no slot is left that the next try would take for sound. Test:
/// `a_slot_has_its_name_once_it_was_waited_for`.
pub(super) fn make(session: &mut Session, changes: &Changes) -> Result<(), Fault> {
    let made = session.query(
        "SELECT slot_name FROM pg_catalog.pg_create_logical_replication_slot('sluice_' || pg_backend_pid(), 'pgoutput', true)",
        &[],
    );
    let made = made.map_err(|error| {
        Fault::from(error).context(format!(
            "making the replication slot `{}`, which waits for the transactions that are under way",
            changes.slot
        ))
    })?;
    let made = made.into_iter().flatten().flatten().next();
    let xmax = session.query("SELECT pg_snapshot_xmax(pg_current_snapshot())", &[])?;
    let xmax = xmax.into_iter().flatten().flatten().next();
    let is_settled = until(
        session,
        "SELECT pg_snapshot_xmin(pg_current_snapshot()) >= $1::text::xid8",
        &xmax.unwrap_or_default(),
        LOOKS_MAKING,
    )?;
    if !is_settled {
        return Err(Fault::transient(
            "transactions that were under way when the replication slot was made are not over; hint: `pg_stat_activity` \
             shows those that are long open",
        ));
    }
    session.query(
        "SELECT FROM pg_catalog.pg_copy_logical_replication_slot($1::text::name, $2::text::name, false)",
        &[made.as_deref(), Some(&changes.slot)],
    )?;
    log::info("a replication slot was made", &[("slot", &changes.slot)]);
    Ok(())
}

/// Waits, a second and a half at most, until none of these transactions is under way: a server tells of a commit in its
/// log before others see it. Each number is the last 32 bits of its own, as a text of an array.
pub(super) fn settled(session: &mut Session, transactions: &str) -> Result<(), Fault> {
    let is_settled = until(
        session,
        "SELECT NOT EXISTS (SELECT FROM pg_catalog.pg_locks AS l WHERE l.locktype = 'transactionid' AND l.granted \
         AND l.mode = 'ExclusiveLock' AND l.transactionid = ANY ($1::text::xid[]))",
        transactions,
        LOOKS_READING,
    )?;
    if is_settled {
        return Ok(());
    }
    Err(Fault::transient(
        "a transaction that was committed is not to be seen yet: it may wait for a standby",
    ))
}

/// Whether it came to be so, in so many looks.
fn until(session: &mut Session, sql: &str, parameter: &str, looks: usize) -> Result<bool, Fault> {
    for _ in 0..looks {
        let answer = session.query(sql, &[Some(parameter)])?;
        if answer.into_iter().flatten().flatten().next().as_deref() == Some("t") {
            return Ok(true);
        }
        session.run(PAUSE)?;
    }
    Ok(false)
}

impl Slot {
    fn of(row: &Row, changes: &Changes) -> Result<Self, Fault> {
        let [plugin, here, confirmed, status, left, end, kept_max] = &row[..] else {
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
        if confirmed.is_none() {
            return Err(Fault::transient(format!(
                "the slot `{}` is being made: the server waits for the transactions that are under way",
                changes.slot
            )));
        }
        let number =
            |value: &Option<String>| value.as_deref().and_then(|value| value.parse::<i64>().ok());
        let bytes = |value| number(value).map(|bytes| u64::try_from(bytes).unwrap_or_default());
        let place = |value: &Option<String>| {
            let place = value.as_deref().and_then(|place| place.parse().ok());
            place.unwrap_or_default()
        };
        Ok(Self {
            confirmed: place(confirmed),
            status: status.clone().unwrap_or_default(),
            left: bytes(left),
            end: place(end),
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
        if place > self.end {
            return Err(Fault::cursor_lost(format!(
                "the server's log ends at {}, before the place {place}: it is another server's, or was restored; {hint}",
                self.end
            )));
        }
        Ok(())
    }

    /// How far behind it is.
    pub(super) fn lag(&self) -> Lag {
        Lag {
            unit: LagUnit::Bytes,
            behind: self.end.0.saturating_sub(self.confirmed.0),
            left: self.left,
        }
    }

    /// Writes that down, and warns before the server gives it up.
    pub(super) fn tell(&self, changes: &Changes) {
        let behind = self.lag().behind.to_string();
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
        let part = parts.iter().find_map(|part| match &part[..] {
            [Some(name), is_whole] if name == table => Some(is_whole.as_deref() == Some("t")),
            _ => None,
        });
        match part {
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
    use crate::fake;

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
            end: Lsn(107),
            kept_max,
        }
    }

    #[test]
    fn what_is_gone_is_told_and_what_soon_goes_is_warned_of() {
        let sound = slot("reserved", None, None);
        assert_eq!(sound.has(Lsn(100), &changes()), Ok(()));
        assert_eq!(sound.has(Lsn(107), &changes()), Ok(()));
        let lost = slot("lost", None, Some(1));
        for (slot, place) in [(&sound, 99), (&sound, 108), (&lost, 100)] {
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
    fn a_slot_has_its_name_once_it_was_waited_for() {
        for is_settled in [true, false] {
            let said = fake::server(move |asked| match asked {
                _ if asked.contains("pg_create_logical") => fake::row(&[Some("sluice_7")]),
                _ if asked.contains("SELECT pg_snapshot_xmin") => {
                    fake::row(&[Some(if is_settled { "t" } else { "f" })])
                }
                _ => fake::row(&[Some("8")]),
            });
            let mut session = Session::open(&fake::config()).expect("a session");
            let made = make(&mut session, &changes());
            assert_eq!(made.is_ok(), is_settled, "{made:?}");
            let said = said.borrow().concat();
            assert!(said.contains("'sluice_' || pg_backend_pid(), 'pgoutput', true"));
            let copies = said.contains("pg_copy_logical_replication_slot");
            assert_eq!(copies, is_settled);
        }
    }

    #[test]
    fn a_slot_without_a_place_is_being_made() {
        let row = ["pgoutput", "t", "", "reserved", "", "0/20", ""];
        let row = row.map(|value| (!value.is_empty()).then(|| value.to_owned()));
        let fault = Slot::of(&row.to_vec(), &changes()).expect_err("no place");
        assert!(matches!(fault, Fault::Transient { .. }), "{fault}");
    }

    #[test]
    fn anothers_slot_is_not_read() {
        let row = |plugin: &str, here: &str| -> Row {
            let row = [plugin, here, "0/10", "reserved", "", "0/20", ""];
            row.iter()
                .map(|value| (!value.is_empty()).then(|| (*value).to_owned()))
                .collect()
        };
        let found = Slot::of(&row("pgoutput", "t"), &changes()).expect("a slot");
        assert_eq!(
            (found.confirmed, found.end, found.left),
            (Lsn(16), Lsn(32), None)
        );
        for (plugin, here) in [("test_decoding", "t"), ("pgoutput", "f"), ("", "")] {
            assert!(
                Slot::of(&row(plugin, here), &changes()).is_err(),
                "{plugin}"
            );
        }
    }
}
