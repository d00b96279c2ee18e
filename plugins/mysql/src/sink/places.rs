//! Where the place of each split stands, beside the data: both become visible in one transaction.

use crate::config::literal;
use crate::session::{Error, Session};
use sluice_sdk::Fault;
use sluice_sdk::sink::{Commit, Context};
use sluice_sql::{hex, unhex};

/// Its own name for a lookup, and as SQL.
const NAME: &str = "sluice_commits";

/// Names are compared byte by byte: two pipelines may differ in one letter's case.
const CREATE: &str = "CREATE TABLE IF NOT EXISTS `sluice_commits` (\
     `pipeline` varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, \
     `split` varchar(512) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, \
     `epoch` bigint unsigned NOT NULL, `sequence` bigint unsigned NOT NULL, `cursor` longblob NOT NULL, \
     `written_at` timestamp(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6), \
     PRIMARY KEY (`pipeline`, `split`)) ENGINE = InnoDB";

/// Whether there is such a table.
pub(super) fn are_there(session: &mut Session) -> Result<bool, Fault> {
    let sql = format!(
        "SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = {}",
        literal(NAME)
    );
    Ok(!session.query(&sql)?.is_empty())
}

/// Makes the table where it is not there. Two splits may do it at once.
pub(super) fn ensure(session: &mut Session) -> Result<(), Fault> {
    if are_there(session)? {
        return Ok(());
    }
    match session.run(CREATE) {
        Err(Error::Refused(refusal)) => Err(refusal.fault().context(format!(
            "the sink keeps the place of each split in `{NAME}`, and cannot make it"
        ))),
        made => Ok(made.map(drop)?),
    }
}

fn filter(context: &Context) -> String {
    format!(
        "`pipeline` = {} AND `split` = {}",
        literal(&context.pipeline),
        literal(&context.split)
    )
}

/// The place of a split, once whoever writes it now has ended.
pub(super) fn find(session: &mut Session, context: &Context) -> Result<Option<Commit>, Fault> {
    let sql = format!(
        "SELECT `epoch`, `sequence`, HEX(`cursor`) FROM `{NAME}` WHERE {} FOR UPDATE",
        filter(context)
    );
    let Some(row) = session.query(&sql)?.pop() else {
        return Ok(None);
    };
    let commit = match &row[..] {
        [Some(epoch), Some(sequence), Some(cursor)] => epoch
            .parse()
            .ok()
            .zip(sequence.parse().ok())
            .zip(unhex(cursor.as_bytes())),
        _ => None,
    };
    let ((epoch, sequence), cursor) = commit.ok_or_else(|| {
        Fault::misconfigured(format!(
            "the place in `{NAME}` cannot be read: it was changed by hand"
        ))
    })?;
    Ok(Some(Commit {
        pipeline: context.pipeline.clone(),
        split: context.split.clone(),
        cursor,
        epoch,
        sequence,
    }))
}

/// In a transaction: puts the unit's place beside its data; false where that unit is there already. Whoever comes with an
/// older place writes a split that another run owns.
pub(super) fn claim(
    session: &mut Session,
    context: &Context,
    commit: &Commit,
) -> Result<bool, Fault> {
    let there = find(session, context)?;
    let mark = (commit.epoch, commit.sequence);
    match there.as_ref().map(|there| (there.epoch, there.sequence)) {
        Some(there) if there == mark => return Ok(false),
        Some(there) if there > mark => {
            return Err(Fault::misconfigured(format!(
                "unit {}.{} comes before what `{NAME}` says is written: another run writes this split",
                mark.0, mark.1
            )));
        }
        _ => {}
    }
    let (epoch, sequence, cursor) = (commit.epoch, commit.sequence, hex(&commit.cursor));
    let sql = if there.is_some() {
        format!(
            "UPDATE `{NAME}` SET `epoch` = {epoch}, `sequence` = {sequence}, `cursor` = x'{cursor}', \
             `written_at` = CURRENT_TIMESTAMP(6) WHERE {}",
            filter(context)
        )
    } else {
        format!(
            "INSERT INTO `{NAME}` (`pipeline`, `split`, `epoch`, `sequence`, `cursor`) \
             VALUES ({}, {}, {epoch}, {sequence}, x'{cursor}')",
            literal(&context.pipeline),
            literal(&context.split)
        )
    };
    match session.run(&sql) {
        // Another run put the first place of this split there, between the look and this.
        Err(Error::Refused(refusal)) if refusal.code == 1062 => Err(Fault::transient(
            "another run writes the first unit of this split",
        )),
        done => Ok(done.map(|_| true)?),
    }
}
