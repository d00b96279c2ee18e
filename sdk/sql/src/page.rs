//! How many rows a page asks for, by the bytes of those before.

use sluice_sdk::source::Limit;

/// Bytes of one page, below the host's 16 MiB. Keeps a page of rows that are suddenly long out of the plugin's memory.
pub const PAGE_BYTES_MAX: usize = 12 << 20;

/// Rows of the first page.
const ROWS_FIRST: u32 = 1_000;

/// How many times as many rows a page may have as the one before.
const GROWTH_MAX: u32 = 2;

/// How many rows a page asks for.
#[derive(Debug)]
pub struct PageSize {
    rows: u32,
}

impl Default for PageSize {
    fn default() -> Self {
        Self { rows: ROWS_FIRST }
    }
}

impl PageSize {
    /// So many, and never none.
    pub fn rows(&self, limit: Limit) -> u32 {
        self.rows.min(limit.rows).max(1)
    }

    /// So many rows were so many bytes.
    pub fn learn(&mut self, rows: u32, bytes: usize, limit: Limit) {
        let of_a_row = (bytes as u64).div_ceil(u64::from(rows.max(1))).max(1);
        let fit = u32::try_from(u64::from(limit.bytes) / of_a_row).unwrap_or(u32::MAX);
        self.rows = fit.clamp(1, rows.max(1).saturating_mul(GROWTH_MAX));
    }

    /// So many rows were too many; whether fewer are possible.
    pub fn halve(&mut self, asked: u32) -> bool {
        self.rows = (asked / 2).max(1);
        asked > 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Limit = Limit {
        rows: 8_192,
        bytes: 1 << 20,
        wait_ms: 0,
    };

    #[test]
    fn pages_grow_to_what_the_host_asks_for() {
        let mut size = PageSize::default();
        let mut asked = Vec::new();
        for _ in 0..5 {
            let rows = size.rows(LIMIT);
            asked.push(rows);
            size.learn(rows, rows as usize * 100, LIMIT);
        }
        assert_eq!(asked, [1_000, 2_000, 4_000, 8_000, 8_192]);
    }

    #[test]
    fn long_rows_make_short_pages() {
        let mut size = PageSize::default();
        size.learn(1_000, 10 << 20, LIMIT);
        assert_eq!(size.rows(LIMIT), 99);
        size.learn(99, 99 * (2 << 20), LIMIT);
        assert_eq!(size.rows(LIMIT), 1, "a row is never cut");
        size.learn(1, 0, LIMIT);
        assert_eq!(size.rows(LIMIT), GROWTH_MAX);
        let none = Limit { rows: 0, ..LIMIT };
        assert_eq!(size.rows(none), 1);
    }

    #[test]
    fn what_is_too_much_is_halved_down_to_one() {
        let mut size = PageSize::default();
        let mut asked = vec![size.rows(LIMIT)];
        while size.halve(size.rows(LIMIT)) {
            asked.push(size.rows(LIMIT));
        }
        assert_eq!(asked, [1_000, 500, 250, 125, 62, 31, 15, 7, 3, 1]);
    }
}
