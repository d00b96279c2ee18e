//! A table in several ranges of its key's first column. The bounds are found once: they travel in the cursor where each
//! split begins, and the host keeps those of the first time.

use crate::Place;
use sluice_sdk::Fault;
use sluice_sdk::source::Split;

/// The splits of a table in so many ranges, between which `bounds` stand: one fewer, or none of a table without rows.
pub fn splits(bounds: &[String], stream: &str, count: usize) -> Result<Vec<Split>, Fault> {
    let splits = starts(bounds, count).into_iter().zip(1..);
    splits
        .map(|(start, number)| Split::new(id(stream, number, count), stream).starting_at(&start))
        .collect()
}

/// Whole numbers that cut what lies between these into so many ranges of one width.
pub fn evenly(least: i64, greatest: i64, count: usize) -> Vec<String> {
    let (least, width) = (i128::from(least), i128::from(greatest) - i128::from(least));
    let count = count as i128;
    (1..count)
        .map(|at| (least + width * at / count).to_string())
        .collect()
}

fn id(stream: &str, number: usize, count: usize) -> String {
    format!("{stream}/{number}of{count}")
}

/// Where each range begins. The first and the last are open to what comes; without bounds the last has all.
fn starts(bounds: &[String], count: usize) -> Vec<Place> {
    let start = |at: usize| Place {
        above: at
            .checked_sub(1)
            .and_then(|before| bounds.get(before))
            .cloned(),
        up_to: bounds.get(at).cloned(),
        nothing: bounds.is_empty() && at + 1 < count,
        ..Place::default()
    };
    (0..count).map(start).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(numbers: &[i64]) -> Vec<String> {
        numbers.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn whole_numbers_are_cut_evenly() {
        assert_eq!(evenly(1, 101, 4), texts(&[26, 51, 76]));
        assert_eq!(evenly(5, 5, 3), texts(&[5, 5]));
        let all = evenly(i64::MIN, i64::MAX, 2);
        assert_eq!(all, texts(&[-1]));
    }

    #[test]
    fn ranges_meet_and_the_last_is_open() {
        let starts = starts(&texts(&[10, 20]), 3);
        let bounds: Vec<_> = starts
            .iter()
            .map(|start| {
                (
                    start.above.as_deref(),
                    start.up_to.as_deref(),
                    start.nothing,
                )
            })
            .collect();
        assert_eq!(
            bounds,
            [
                (None, Some("10"), false),
                (Some("10"), Some("20"), false),
                (Some("20"), None, false)
            ]
        );
        assert_eq!(id("orders", 2, 4), "orders/2of4");
    }

    #[test]
    fn without_bounds_the_last_has_all() {
        let nothing: Vec<bool> = starts(&[], 3).iter().map(|start| start.nothing).collect();
        assert_eq!(nothing, [true, true, false]);
        assert_eq!(starts(&[], 3).pop(), Some(Place::default()));
    }
}
