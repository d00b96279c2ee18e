//! Columns of text, padded to line up. Numbers to the right.

/// Lines of cells under headings. A heading that begins with `>` is of a column of numbers.
pub fn lines(headings: &[&str], rows: &[Vec<String>]) -> Vec<String> {
    let right: Vec<bool> = headings
        .iter()
        .map(|heading| heading.starts_with('>'))
        .collect();
    let headings: Vec<String> = headings
        .iter()
        .map(|heading| heading.trim_start_matches('>').to_owned())
        .collect();
    let all = || std::iter::once(&headings).chain(rows);
    let widths: Vec<usize> = (0..headings.len())
        .map(|column| {
            all()
                .map(|row| row.get(column).map_or(0, |cell| cell.chars().count()))
                .max()
                .unwrap_or(0)
        })
        .collect();
    all().map(|row| line(row, &widths, &right)).collect()
}

fn line(row: &[String], widths: &[usize], right: &[bool]) -> String {
    let cells = row
        .iter()
        .zip(widths)
        .zip(right)
        .map(|((cell, width), right)| {
            if *right {
                format!("{cell:>width$}")
            } else {
                format!("{cell:<width$}")
            }
        });
    cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
}

/// 1234567 as `1,234,567`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// One line of text from who knows where: hidden characters shown, not obeyed, and cut at `width`.
pub fn plain(text: &str, width: usize) -> String {
    sluice_model::visible::visible(text, width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [
            vec!["a".to_owned(), "1,000".to_owned()],
            vec!["long".to_owned(), "7".to_owned()],
        ];
        assert_eq!(
            lines(&["name", ">records"], &rows),
            ["name  records", "a       1,000", "long        7"]
        );
    }

    #[test]
    fn numbers_and_hostile_text() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(count(number), text);
        }
        assert_eq!(plain("a\u{1b}[2Jb\n", 80), "a\\u{1b}[2Jb\\n");
        assert_eq!(plain("abcdef", 3), "abc…");
    }
}
