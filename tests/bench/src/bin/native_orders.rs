//! `native-orders IN OUT`: the job that the pipeline does, as one would write it by hand for this one file. One thread,
//! typed records that borrow from the line, buffered files. It stops at the first record that does not fit; it keeps
//! no place, no dead letters, and asks nobody for leave.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};

/// Both files' buffers. Larger ones gain nothing measurable.
const BUFFER_BYTES: usize = 256 << 10;

#[derive(Deserialize)]
#[expect(clippy::struct_field_names, reason = "the names are the file's")]
struct Order<'a> {
    #[serde(borrow)]
    order_id: Cow<'a, str>,
    #[serde(borrow)]
    customer_name: Cow<'a, str>,
    #[serde(borrow)]
    sku: Cow<'a, str>,
    qty: i64,
    unit_price: f64,
    #[serde(borrow)]
    currency: Cow<'a, str>,
    #[serde(borrow)]
    status: Cow<'a, str>,
    #[serde(borrow)]
    created_at: Cow<'a, str>,
    #[serde(borrow)]
    note: Cow<'a, str>,
    #[serde(borrow)]
    address: Cow<'a, str>,
}

#[derive(Serialize)]
struct Shipped<'a> {
    order_id: &'a str,
    customer: &'a str,
    sku: &'a str,
    qty: i64,
    unit_price: f64,
    currency: &'a str,
    status: &'a str,
    created_at: &'a str,
    note: &'a str,
    address: &'a str,
    total: f64,
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(from), Some(to)) = (arguments.next(), arguments.next()) else {
        anyhow::bail!("usage: native-orders IN OUT");
    };
    let mut input = BufReader::with_capacity(
        BUFFER_BYTES,
        File::open(&from).with_context(|| format!("cannot read `{from}`"))?,
    );
    let mut output = BufWriter::with_capacity(
        BUFFER_BYTES,
        File::create(&to).with_context(|| format!("cannot write `{to}`"))?,
    );
    let (mut line, mut number) = (Vec::with_capacity(1 << 10), 0u64);
    while input.read_until(b'\n', &mut line)? > 0 {
        number += 1;
        ship(&line, &mut output).with_context(|| format!("`{from}`, line {number}"))?;
        line.clear();
    }
    output.flush()?;
    Ok(())
}

fn ship(line: &[u8], output: &mut impl Write) -> Result<()> {
    let mut order: Order = serde_json::from_slice(line)?;
    if order.status == "cancelled" {
        return Ok(());
    }
    if order.currency.bytes().any(|byte| byte.is_ascii_lowercase()) {
        order.currency.to_mut().make_ascii_uppercase();
    }
    let shipped = Shipped {
        order_id: &order.order_id,
        customer: &order.customer_name,
        sku: &order.sku,
        qty: order.qty,
        unit_price: order.unit_price,
        currency: &order.currency,
        status: &order.status,
        created_at: &order.created_at,
        note: &order.note,
        address: &order.address,
        total: (order.qty as f64 * order.unit_price * 100.0).round() / 100.0,
    };
    serde_json::to_writer(&mut *output, &shipped)?;
    output.write_all(b"\n")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shipped(line: &str) -> String {
        let mut out = Vec::new();
        ship(line.as_bytes(), &mut out).expect("an order");
        String::from_utf8(out).expect("utf-8")
    }

    fn order(status: &str) -> String {
        format!(
            r#"{{"order_id":"o","customer_name":"A \"B\"","email":"e","sku":"s","qty":3,"unit_price":1.115,"currency":"eur",
            "status":"{status}","internal_flag":true,"created_at":"t","note":"","address":"a"}}"#
        )
    }

    #[test]
    fn an_order_is_renamed_stripped_and_totalled() {
        let expected = concat!(
            r#"{"order_id":"o","customer":"A \"B\"","sku":"s","qty":3,"unit_price":1.115,"currency":"EUR","#,
            r#""status":"paid","created_at":"t","note":"","address":"a","total":3.35}"#,
            "\n"
        );
        assert_eq!(shipped(&order("paid")), expected);
    }

    #[test]
    fn a_cancelled_order_is_left_out() {
        assert_eq!(shipped(&order("cancelled")), "");
        assert!(ship(b"{}", &mut Vec::new()).is_err());
    }
}
