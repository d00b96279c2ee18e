//! `native-tables PORT AUTHORITY`: the job of the pipeline of tables, as one would write it by hand for this one table. One
//! thread, two connections under TLS: pages of `here.orders` by `COPY`, changed line by line, by `COPY` into a stage and from
//! there by upsert into `native.orders`, with the place in the same transaction. `PGUSER` and `PGPASSWORD` log in. It stops
//! at the first row that does not fit; it keeps no dead letters, and asks nobody for leave.

use anyhow::{Context, Result, bail};
use bytes::{Bytes, BytesMut};
use futures::{SinkExt as _, StreamExt as _};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use std::io::Write as _;
use std::pin::pin;
use std::sync::Arc;
use tokio_postgres::{Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Rows of one transaction: about as many bytes as a unit of the plugin's.
const PAGE_ROWS: u64 = 80_000;
/// What is handed to a connection at once.
const CHUNK_BYTES: usize = 64 << 10;

const STAGE: &str =
    "CREATE TEMPORARY TABLE IF NOT EXISTS stage (LIKE native.orders) ON COMMIT DELETE ROWS";
const UPSERT: &str = "INSERT INTO native.orders SELECT * FROM stage ON CONFLICT (order_id) DO UPDATE SET \
     customer = excluded.customer, sku = excluded.sku, qty = excluded.qty, unit_price = excluded.unit_price, \
     currency = excluded.currency, status = excluded.status, created_at = excluded.created_at, note = excluded.note, \
     total = excluded.total";
const PLACE: &str = "INSERT INTO native.places VALUES ('orders', $1) ON CONFLICT (name) DO UPDATE SET place = excluded.place";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(port), Some(authority)) = (arguments.next(), arguments.next()) else {
        bail!("usage: native-tables PORT AUTHORITY");
    };
    let port = port.parse().context("PORT is a number")?;
    let authority = CertificateDer::from_pem_file(authority).context("the authority")?;
    let from = connect(port, authority.clone()).await?;
    let mut to = connect(port, authority).await?;
    let mut place = 0;
    while let Some(next) = page(&from, &mut to, place).await? {
        place = next;
    }
    Ok(())
}

async fn connect(port: u16, authority: CertificateDer<'static>) -> Result<Client> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let (client, connection) = Config::new()
        .host("localhost")
        .port(port)
        .dbname("postgres")
        .user(std::env::var("PGUSER").context("PGUSER")?)
        .password(std::env::var("PGPASSWORD").context("PGPASSWORD")?)
        .ssl_mode(tokio_postgres::config::SslMode::Require)
        .connect(MakeRustlsConnect::new(tls))
        .await?;
    tokio::spawn(connection);
    Ok(client)
}

/// One transaction: the rows behind this place. Where it ends, or none where there were no rows.
async fn page(from: &Client, to: &mut Client, place: i64) -> Result<Option<i64>> {
    let rows = from
        .copy_out(&format!(
            "COPY (SELECT order_id, customer_name, sku, qty, unit_price, currency, status, internal_flag, created_at, note \
             FROM here.orders WHERE order_id > {place} ORDER BY order_id LIMIT {PAGE_ROWS}) TO STDOUT"
        ))
        .await?;
    let transaction = to.transaction().await?;
    transaction.batch_execute(STAGE).await?;
    let mut sink = pin!(
        transaction
            .copy_in::<_, Bytes>("COPY stage FROM STDIN")
            .await?
    );
    let mut rows = pin!(rows);
    let (mut last, mut out) = (None, BytesMut::with_capacity(2 * CHUNK_BYTES));
    // The server sends each row in a message of its own.
    while let Some(row) = rows.next().await {
        last = Some(ship(&row?, &mut out)?);
        if out.len() > CHUNK_BYTES {
            sink.feed(out.split().freeze()).await?;
            out.reserve(2 * CHUNK_BYTES);
        }
    }
    sink.feed(out.freeze()).await?;
    sink.as_mut().finish().await?;
    let Some(last) = last else {
        return Ok(None);
    };
    transaction.execute(UPSERT, &[]).await?;
    transaction.execute(PLACE, &[&last]).await?;
    transaction.commit().await?;
    Ok(Some(last))
}

/// Puts what becomes of a row of the text format behind `out`; its key. Values that pass are never unescaped.
fn ship(row: &[u8], out: &mut BytesMut) -> Result<i64> {
    let row = row.strip_suffix(b"\n").context("a line without its end")?;
    let mut fields = row.split(|byte| *byte == b'\t');
    let mut field = || fields.next().context("a row with too few fields");
    let (id, customer, sku, qty, price) = (field()?, field()?, field()?, field()?, field()?);
    let (currency, status, _flag, at, note) = (field()?, field()?, field()?, field()?, field()?);
    let key = number(id)?;
    if status == b"cancelled" {
        return Ok(key);
    }
    let (count, each): (i64, f64) = (number(qty)?, number(price)?);
    let total = (count as f64 * each * 100.0).round() / 100.0;
    if currency.contains(&b'\\') {
        bail!("a currency that is escaped");
    }
    for value in [id, customer, sku, qty, price] {
        out.extend_from_slice(value);
        out.extend_from_slice(b"\t");
    }
    out.extend(currency.iter().map(u8::to_ascii_uppercase));
    for value in [status, at, note] {
        out.extend_from_slice(b"\t");
        out.extend_from_slice(value);
    }
    let mut text = [0u8; 32];
    let mut rest = &mut text[..];
    writeln!(rest, "\t{total}")?;
    let left = rest.len();
    out.extend_from_slice(&text[..text.len() - left]);
    Ok(key)
}

fn number<T: std::str::FromStr>(digits: &[u8]) -> Result<T> {
    let digits = std::str::from_utf8(digits)?;
    let number = digits.parse();
    number
        .ok()
        .with_context(|| format!("`{digits}` is not a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_stripped_and_totalled() {
        let mut out = BytesMut::new();
        let row = b"7\tA \\t B\tsku-1\t3\t1.115\teur\tpaid\tt\t2026-01-01 00:00:00+00\t\\N\n";
        assert_eq!(ship(row, &mut out).expect("a row"), 7);
        let expected =
            "7\tA \\t B\tsku-1\t3\t1.115\tEUR\tpaid\t2026-01-01 00:00:00+00\t\\N\t3.35\n";
        assert_eq!(std::str::from_utf8(&out), Ok(expected));
    }

    #[test]
    fn a_cancelled_row_is_left_out_and_its_key_is_not() {
        let mut out = BytesMut::new();
        let row = b"8\tA\ts\t3\t1\teur\tcancelled\tt\tnow\tn\n";
        assert_eq!(ship(row, &mut out).expect("a row"), 8);
        assert!(out.is_empty());
        assert!(ship(b"9\n", &mut out).is_err());
    }
}
