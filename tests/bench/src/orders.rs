//! Orders as a shop would export them, of about 340 bytes, the same for ever for the same count.

use anyhow::Context;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// The generator's seed: another one gives other records of the same shape.
const SEED: u64 = 0x5148_1ce0_0000_0001;

const NAMES: [&str; 8] = [
    "Anna Lindqvist",
    "José García",
    "Maria Rossi",
    "Wei Zhang",
    "Olu Adeyemi",
    "Kim O'Neil",
    "Ivan Petrov",
    "Zoë Müller",
];
const CURRENCIES: [&str; 4] = ["eur", "usd", "sek", "gbp"];
/// One in ten is cancelled.
const STATUSES: [&str; 10] = [
    "paid",
    "paid",
    "paid",
    "shipped",
    "shipped",
    "shipped",
    "delivered",
    "delivered",
    "open",
    "cancelled",
];
const WORDS: [&str; 12] = [
    "please",
    "leave",
    "the",
    "parcel",
    "behind",
    "gate",
    "ring",
    "twice",
    "gift",
    "wrapped",
    "\\\"fragile\\\"",
    "thanks",
];
/// Of each note; chosen for records of about 340 bytes.
const NOTE_WORDS: usize = 9;
const STREETS: [&str; 5] = [
    "Storgatan",
    "Main Street",
    "Via Roma",
    "Königsallee",
    "Rue de la Paix",
];

/// xorshift64*: small, and good enough to choose words.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }
    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len() as u64) as usize]
    }
}

/// The file of so many orders in this folder; made where it is not there. Written beside and then renamed: a run that
/// was stopped leaves no half of a file.
pub fn make_orders(count: u64, folder: &Path) -> anyhow::Result<PathBuf> {
    let file = folder.join(format!("orders-{count}.ndjson"));
    if file.exists() {
        return Ok(file);
    }
    std::fs::create_dir_all(folder)?;
    let part = file.with_extension("part");
    let mut writer = BufWriter::new(
        File::create(&part).with_context(|| format!("cannot write `{}`", part.display()))?,
    );
    write_orders(count, &mut writer)?;
    writer.flush()?;
    std::fs::rename(&part, &file)?;
    Ok(file)
}

/// Writes `count` orders as NDJSON; returns the bytes written.
pub fn write_orders(count: u64, to: &mut impl Write) -> io::Result<u64> {
    let mut random = Random(SEED);
    let mut bytes = 0;
    let mut line = Vec::with_capacity(512);
    for number in 1..=count {
        line.clear();
        write_order(number, &mut random, &mut line)?;
        to.write_all(&line)?;
        bytes += line.len() as u64;
    }
    Ok(bytes)
}

fn write_order(number: u64, random: &mut Random, line: &mut Vec<u8>) -> io::Result<()> {
    let (name, quantity, cents) = (
        random.pick(&NAMES),
        1 + random.below(12),
        99 + random.below(49_900),
    );
    let (currency, status, internal) = (
        random.pick(&CURRENCIES),
        random.pick(&STATUSES),
        random.below(20) == 0,
    );
    write!(
        line,
        "{{\"order_id\":\"ord-{number:010}\",\"customer_name\":\"{name}\",\"email\":\"customer{}@example.com\",\
         \"sku\":\"SKU-{:06}\",\"qty\":{quantity},\"unit_price\":{}.{:02},\"currency\":\"{currency}\",\
         \"status\":\"{status}\",\"internal_flag\":{internal},\
         \"created_at\":\"2026-{:02}-{:02}T{:02}:{:02}:{:02}Z\",\"note\":\"",
        random.below(100_000),
        random.below(1_000_000),
        cents / 100,
        cents % 100,
        1 + random.below(12),
        1 + random.below(28),
        random.below(24),
        random.below(60),
        random.below(60),
    )?;
    for at in 0..NOTE_WORDS {
        if at > 0 {
            line.push(b' ');
        }
        line.extend_from_slice(random.pick(&WORDS).as_bytes());
    }
    let (house, street, code) = (
        1 + random.below(200),
        random.pick(&STREETS),
        random.below(90_000) + 10_000,
    );
    writeln!(line, "\",\"address\":\"{house} {street}, {code}\"}}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn orders(count: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        let written = write_orders(count, &mut bytes).expect("written");
        assert_eq!(written, bytes.len() as u64);
        bytes
    }

    #[test]
    fn the_same_count_gives_the_same_records() {
        assert_eq!(orders(100), orders(100));
        assert!(orders(200).starts_with(&orders(100)));
    }

    #[test]
    fn records_are_of_the_shape_that_is_promised() {
        let bytes = orders(5_000);
        let mean = bytes.len() / 5_000;
        assert!((330..=350).contains(&mean), "{mean} bytes a record");
        let records: Vec<Value> = bytes
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).expect("json"))
            .collect();
        let cancelled = records
            .iter()
            .filter(|record| record["status"] == "cancelled")
            .count();
        assert!(
            (400..=600).contains(&cancelled),
            "{cancelled} of 5000 are cancelled"
        );
        for record in &records {
            assert_eq!(record.as_object().map(serde_json::Map::len), Some(12));
            assert!(
                record["qty"].is_i64()
                    && record["unit_price"].is_f64()
                    && record["internal_flag"].is_boolean()
            );
            let currency = record["currency"].as_str().expect("text");
            assert_eq!(currency, currency.to_lowercase());
        }
    }
}
