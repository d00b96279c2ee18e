//! Parquet: a row group at a time, and of it as many rows as a page takes. The host decodes them.

use super::cursor::At;
use super::reader::Object;
use sluice_sdk::Fault;
use sluice_sdk::parquet::{self, GROUP_BYTES_MAX, RowGroup};
use sluice_sdk::source::{Document, Limit, ParquetInput};

/// What is asked for of an object's end at first: most footers are shorter.
const TAIL_BYTES: u64 = 64 << 10;
/// What one request asks for. The answer to it and the group are in memory together.
const RANGE_BYTES: u64 = 8 << 20;

/// The row groups of an object, and the bytes of one.
pub(super) struct Groups {
    footer: Vec<u8>,
    found: Vec<RowGroup>,
    held: Option<(u32, Vec<u8>)>,
}

impl Groups {
    pub(super) fn open(object: &mut Object) -> Result<Self, Fault> {
        let bytes = object.bytes()?;
        let mut tail = object.range(bytes.saturating_sub(TAIL_BYTES), TAIL_BYTES)?;
        let footer =
            parquet::footer_bytes(&tail).map_err(|fault| no_parquet(fault, &object.key))?;
        if footer > tail.len() {
            let from = bytes.checked_sub(footer as u64);
            let from = from.ok_or_else(|| {
                no_parquet(
                    Fault::broken("its footer is longer than it is"),
                    &object.key,
                )
            })?;
            tail = object.range(from, footer as u64)?;
        }
        let footer = tail.split_off(tail.len() - footer);
        let found = parquet::row_groups(&footer).map_err(|fault| no_parquet(fault, &object.key))?;
        Ok(Self {
            footer,
            found,
            held: None,
        })
    }

    pub(super) fn read(
        &mut self,
        object: &mut Object,
        group: u32,
        row: u64,
        limit: Limit,
    ) -> Result<(Option<Document>, At, bool), Fault> {
        let last = self.found.len();
        let Some(found) = self.found.get(group as usize).copied() else {
            return Ok((None, At::Row { group, row }, true));
        };
        let next_group = At::Row {
            group: group + 1,
            row: 0,
        };
        if row >= found.rows {
            return Ok((None, next_group, group as usize + 1 >= last));
        }
        let rows = rows_of_page(&found, limit);
        let bytes = self.bytes(object, group, &found)?;
        let input = ParquetInput {
            footer: self.footer.clone(),
            row_group: group,
            first_row: row,
            rows,
        };
        let document = Document::parquet(object.key.as_str(), found.start, input, bytes);
        let next = row + u64::from(rows);
        if next < found.rows {
            return Ok((Some(document), At::Row { group, row: next }, false));
        }
        self.held = None;
        Ok((Some(document), next_group, group as usize + 1 >= last))
    }

    fn bytes(
        &mut self,
        object: &mut Object,
        group: u32,
        found: &RowGroup,
    ) -> Result<Vec<u8>, Fault> {
        if let Some((held, bytes)) = &self.held
            && *held == group
        {
            return Ok(bytes.clone());
        }
        let bytes = found.end - found.start;
        if bytes > GROUP_BYTES_MAX {
            return Err(Fault::misconfigured(format!(
                "`{}` has a row group of {bytes} bytes; at most {GROUP_BYTES_MAX} are read; hint: have it written in smaller row groups",
                object.key.escape_debug()
            )));
        }
        if found.end > object.bytes()? {
            return Err(no_parquet(
                Fault::broken("its footer names a place behind its end"),
                &object.key,
            ));
        }
        self.held = None;
        let mut held = Vec::with_capacity(usize::try_from(bytes).unwrap_or_default());
        for from in (found.start..found.end).step_by(RANGE_BYTES as usize) {
            held.extend(object.range(from, RANGE_BYTES.min(found.end - from))?);
        }
        let (_, held) = self.held.insert((group, held));
        Ok(held.clone())
    }
}

fn no_parquet(fault: Fault, key: &str) -> Fault {
    match fault {
        Fault::Broken(what) => {
            Fault::broken(format!("`{}` is no Parquet: {what}", key.escape_debug()))
        }
        other => other,
    }
}

/// As many rows as the page takes, by their number and by what they take on average.
fn rows_of_page(group: &RowGroup, limit: Limit) -> u32 {
    let by_bytes = u64::from(limit.bytes).saturating_mul(group.rows) / group.unpacked_bytes.max(1);
    let rows = by_bytes.clamp(1, u64::from(limit.rows.max(1)));
    u32::try_from(rows).unwrap_or(u32::MAX)
}
