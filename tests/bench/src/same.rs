//! Whether the host's output is the native rival's, record by record.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

/// Compares the parts, in their order, with one file. Gives the number of records; the first difference is an error.
pub fn same(native: &Path, parts: &[PathBuf]) -> Result<u64> {
    let mut expected = lines(native)?;
    let mut number = 0;
    for part in parts {
        let mut given = lines(part)?;
        while let Some(given) = given()? {
            number += 1;
            let Some(expected) = expected()? else {
                bail!(
                    "`{}` has record {number}, which the native output has not",
                    part.display()
                );
            };
            if given != expected && value(&given)? != value(&expected)? {
                bail!(
                    "record {number}:\n  {}\n  {}",
                    given.trim_end(),
                    expected.trim_end()
                );
            }
        }
    }
    if expected()?.is_some() {
        bail!("the native output has more than these {number} records");
    }
    Ok(number)
}

fn value(line: &str) -> Result<Value> {
    serde_json::from_str(line).with_context(|| format!("not JSON: {line}"))
}

fn lines(path: &Path) -> Result<impl FnMut() -> Result<Option<String>>> {
    let file = File::open(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let mut reader = BufReader::with_capacity(1 << 20, file);
    Ok(move || {
        let mut line = String::new();
        Ok((reader.read_line(&mut line)? > 0).then_some(line))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(native: &str, parts: &[&str], expected: Result<u64, &str>) {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("a file");
            path
        };
        let native = write("native", native);
        let parts: Vec<PathBuf> = parts
            .iter()
            .enumerate()
            .map(|(at, text)| write(&at.to_string(), text))
            .collect();
        match (same(&native, &parts), expected) {
            (Ok(given), Ok(expected)) => assert_eq!(given, expected),
            (Err(error), Err(expected)) => {
                assert!(error.to_string().contains(expected), "{error}");
            }
            (given, expected) => panic!("{given:?}, not {expected:?}"),
        }
    }

    #[test]
    fn records_are_compared_one_by_one() {
        let two = "{\"a\":1,\"b\":2.0}\n{\"a\":2}\n";
        check(two, &["{\"b\":2.0,\"a\":1}\n", "{\"a\":2}\n"], Ok(2));
        check(
            two,
            &["{\"a\":1,\"b\":2.0}\n"],
            Err("has more than these 1"),
        );
        check(two, &[two, "{\"a\":3}\n"], Err("record 3"));
        check(two, &["{\"a\":1,\"b\":2.0}\n{\"a\":9}\n"], Err("record 2"));
    }
}
