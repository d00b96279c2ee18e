//! Where a table is cut into several ranges of its key's first column.

use super::catalog::Table;
use super::types::Kind;
use crate::config::quoted;
use crate::session::{Row, Session};
use sluice_sdk::Fault;
use sluice_sdk::source::Split;
use sluice_sql::evenly;

/// Bytes of a table that are looked at for bounds, spread over it. The host asks for splits at each start and once a
/// minute: a table is not sorted for that.
const SAMPLE_BYTES: f64 = (16 << 20) as f64;

/// The splits of a table in so many ranges.
pub(super) fn splits(
    session: &mut Session,
    table: &Table,
    stream: &str,
    count: usize,
) -> Result<Vec<Split>, Fault> {
    sluice_sql::splits(&bounds(session, table, count)?, stream, count)
}

/// The values between the ranges, one fewer than there are; none of a table without rows.
fn bounds(session: &mut Session, table: &Table, count: usize) -> Result<Vec<String>, Fault> {
    let rows = if is_whole(table) {
        session.query(&ends(table), &[])?
    } else {
        let percent = percent(session, table)?;
        session.query(&quantiles(table, count, percent), &[])?
    };
    let values: Vec<String> = rows.into_iter().flatten().flatten().collect();
    Ok(match &values[..] {
        [least, greatest] if is_whole(table) => evenly(number(least)?, number(greatest)?, count),
        // Fewer than were asked for would give ranges whose rows are nobody's.
        bounds if !is_whole(table) && bounds.len() + 1 == count => values,
        _ => Vec::new(),
    })
}

fn is_whole(table: &Table) -> bool {
    table.order()[0].kind == Kind::Integer
}

fn number(text: &str) -> Result<i64, Fault> {
    text.parse()
        .map_err(|_| Fault::broken("the server gives a whole number that is none"))
}

/// How much of the table is looked at, in percent; none where that is all of it.
fn percent(session: &mut Session, table: &Table) -> Result<Option<f64>, Fault> {
    if !table.is_stored {
        return Ok(None);
    }
    let rows = session.query(SIZE, &[Some(&table.place)])?;
    let bytes = rows
        .first()
        .and_then(|row: &Row| row.first()?.as_ref()?.parse::<f64>().ok());
    let part = SAMPLE_BYTES / bytes.unwrap_or_default();
    Ok((part < 1.0).then_some(part * 100.0))
}

/// Bytes of a table's rows; a partitioned one has them in its parts.
const SIZE: &str = "\
SELECT coalesce(\
(SELECT sum(pg_relation_size(p.relid)) FROM pg_partition_tree(t.place) AS p WHERE p.isleaf), \
pg_relation_size(t.place)) FROM (SELECT $1::text::regclass AS place) AS t";

/// What finds the least and the greatest, which an index tells.
fn ends(table: &Table) -> String {
    let first = quoted(&table.order()[0].name);
    format!(
        "SELECT min(t.{first}), max(t.{first}) FROM {} AS t",
        table.place
    )
}

/// What finds the values that cut the rows into as many parts of one size, by a sample of them where that is said.
fn quantiles(table: &Table, count: usize, percent: Option<f64>) -> String {
    let first = quoted(&table.order()[0].name);
    let fractions: Vec<String> = (1..count)
        .map(|at| format!("{:.6}", at as f64 / count as f64))
        .collect();
    let sample = percent.map(|percent| format!(" TABLESAMPLE SYSTEM ({percent:.6})"));
    format!(
        "SELECT b.bound::text FROM (SELECT percentile_disc(ARRAY[{}]::float8[]) \
         WITHIN GROUP (ORDER BY t.{first}) AS bounds FROM {} AS t{}) AS q, \
         unnest(q.bounds) WITH ORDINALITY AS b (bound, place) ORDER BY b.place",
        fractions.join(", "),
        table.place,
        sample.unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::catalog::tests::{lines, orders};

    #[test]
    fn bounds_are_found_by_an_index_or_a_sample() {
        assert_eq!(
            ends(&orders("{}")),
            "SELECT min(t.\"id\"), max(t.\"id\") FROM \"public\".\"orders\" AS t"
        );
        assert_eq!(
            quantiles(&lines(), 4, Some(0.25)),
            "SELECT b.bound::text FROM (SELECT percentile_disc(ARRAY[0.250000, 0.500000, 0.750000]::float8[]) \
             WITHIN GROUP (ORDER BY t.\"doc\") AS bounds FROM \"public\".\"lines\" AS t \
             TABLESAMPLE SYSTEM (0.250000)) AS q, unnest(q.bounds) WITH ORDINALITY AS b (bound, place) \
             ORDER BY b.place"
        );
        assert!(!quantiles(&lines(), 2, None).contains("TABLESAMPLE"));
    }
}
