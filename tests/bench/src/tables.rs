//! A table through the host into another, beside the program that does nothing else: the same `COPY` and the same upsert,
//! against one server. What the server itself costs is not counted; the time on the wall has it in it.

use crate::cost::measure;
use crate::deployment::{Host, STEPS};
use crate::job::tell;
use crate::rounds::{Outcome, Subject, interleave, table};
use anyhow::{Result, ensure};
use sluice_e2e::postgres::Postgres;
use sluice_e2e::sql::{PASSWORD, SECRET, USER};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

const PIPELINE: &str = "orders.toml";

/// What four times the rows may need of memory, of what they need. The fewer fill every buffer on the way: units are of 8 MiB.
const GROWTH_MAX: f64 = 1.3;

/// Rows of orders, and a table with a quarter of them.
fn schemas(rows: u64) -> String {
    format!(
        "CREATE SCHEMA native;
         CREATE TABLE here.orders (order_id bigint PRIMARY KEY, customer_name text NOT NULL, sku text NOT NULL, \
           qty bigint NOT NULL, unit_price double precision NOT NULL, currency text NOT NULL, status text NOT NULL, \
           internal_flag boolean, created_at timestamptz NOT NULL, note text);
         INSERT INTO here.orders SELECT n, 'Customer ' || n % 9973, 'SKU-' || n % 4999, 1 + n % 9, (n % 10007) / 100.0, \
           (ARRAY['eur', 'usd', 'gbp'])[1 + n % 3], (ARRAY['paid', 'open', 'sent', 'cancelled'])[1 + n % 4], n % 2 = 0, \
           timestamptz '2026-01-01+00' + n * interval '1 s', CASE WHEN n % 5 > 0 THEN 'left at the door, ' || md5(n::text) END \
           FROM generate_series(1, {rows}) AS n;
         CREATE TABLE here.few AS SELECT * FROM here.orders WHERE order_id <= {rows} / 4;
         ALTER TABLE here.few ADD PRIMARY KEY (order_id);
         CREATE TABLE native.orders (order_id bigint PRIMARY KEY, customer text, sku text, qty bigint, \
           unit_price double precision, currency text, status text, created_at timestamptz, note text, total double precision);
         CREATE TABLE native.places (name text PRIMARY KEY, place bigint NOT NULL);
         VACUUM ANALYZE"
    )
}

/// What stands in the one and not in the other.
const DIFFERENCE: &str = "SELECT count(*) FROM ((SELECT to_jsonb(t) FROM native.orders AS t EXCEPT ALL SELECT to_jsonb(t) FROM there.orders AS t) \
     UNION ALL (SELECT to_jsonb(t) FROM there.orders AS t EXCEPT ALL SELECT to_jsonb(t) FROM native.orders AS t)) AS d";

/// Measures both, after the host's table was found to be the native program's, and what memory four times the rows need.
pub fn tables(host: &Host, work: &Path, rows: u64, rounds: usize) -> Result<String> {
    let server = Postgres::start("");
    for statement in schemas(rows).split(';') {
        server.sql(statement);
    }
    let folder = work.join("tables");
    deploy(host, &server, &folder)?;
    let authority = folder.join("ca.pem");
    let server = std::rc::Rc::new(server);
    let mut subjects = vec![
        native(server.clone(), authority)?,
        sluice(host, server.clone(), &folder, "orders"),
    ];
    interleave(&mut subjects, 0, |_, _| {})?;
    let (differ, written) = (
        server.sql(DIFFERENCE),
        server.sql("SELECT count(*) FROM there.orders"),
    );
    ensure!(
        differ == "0",
        "{differ} rows are not what the native program wrote"
    );
    let outcomes = interleave(&mut subjects, rounds, |round, name| {
        tell(round, rounds, name);
    })?;
    let mut few = sluice(host, server, &folder, "few");
    tell(1, 1, "sluice, a quarter of the rows");
    let few = measure((few.command)()?)?;
    let mut text = format!(
        "tables: {rows} rows, PostgreSQL → map → PostgreSQL; the {written} rows written are the same\n"
    );
    text.push_str(&table(&outcomes, rows));
    text.push_str(&told(&outcomes, rows, few.peak_rss_bytes));
    Ok(text)
}

fn told(outcomes: &[Outcome], rows: u64, few_bytes: u64) -> String {
    let [native, sluice] = outcomes else {
        return String::new();
    };
    let mut text = String::new();
    let per_second = |outcome: &Outcome| rows as f64 / outcome.median.cpu().as_secs_f64();
    let (by_hand, ours) = (per_second(native), per_second(sluice));
    let wall = sluice.median.wall.as_secs_f64() / native.median.wall.as_secs_f64();
    let _ = writeln!(
        text,
        "rows a CPU-second: {ours:.0}, {:.2} of the native program's {by_hand:.0}; wall time: {wall:.2} of native",
        ours / by_hand
    );
    let peak = sluice.median.peak_rss_bytes;
    let growth = peak as f64 / few_bytes.max(1) as f64;
    let word = if growth <= GROWTH_MAX {
        "holds"
    } else {
        "MISSED"
    };
    let _ = writeln!(
        text,
        "four times the rows: {growth:.2} times the memory, {:.0} MB; at most {GROWTH_MAX}: {word}",
        peak as f64 / 1e6
    );
    text
}

/// A pipeline for each of the two tables, granted what it asks for, trusting the server's authority.
fn deploy(host: &Host, server: &Postgres, folder: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    let secret = folder.join("secrets").join(SECRET);
    std::fs::create_dir_all(folder.join("secrets"))?;
    std::fs::write(&secret, PASSWORD)?;
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600))?;
    std::fs::write(folder.join("ca.pem"), &server.authority)?;
    let plugins = host.plugins.display();
    std::fs::write(
        folder.join("sluice.toml"),
        format!("[plugins]\ndir = '{plugins}'\n"),
    )?;
    for name in ["orders", "few"] {
        let tables = format!(", tables = {{ orders = {{ table = \"{name}\" }} }}");
        let pipeline = format!(
            "[pipeline]\nname = \"{name}\"\n\n[source]\n{}\n[[transform]]\nplugin = \"sluice/map@0.1\"\n\n\
             [transform.config]\nsteps = {}\n\n[[sink]]\n{}",
            server.stage("here", &tables),
            STEPS.replace("\"email\", ", ""),
            server.stage("there", ", create = true")
        );
        let file = format!("{name}.toml");
        std::fs::write(folder.join(&file), pipeline)?;
        let networks = ["--network", "127.0.0.0/8", "--network", "::1/128"];
        host.done(folder, &[&["grant", "new", &file], &networks[..]].concat())?;
    }
    let port = format!("port = {}\n", server.port);
    for entry in std::fs::read_dir(folder.join("grants"))? {
        let path = entry?.path();
        if path.is_file() {
            let grant = std::fs::read_to_string(&path)?;
            std::fs::write(
                &path,
                grant.replace(&port, &format!("{port}ca = \"ca.pem\"\n")),
            )?;
        }
    }
    Ok(())
}

/// From the beginning each time, into a table that is not there.
fn sluice(host: &Host, server: std::rc::Rc<Postgres>, folder: &Path, name: &str) -> Subject {
    let (host, folder): (Host, PathBuf) = (host.clone(), folder.to_owned());
    let file = PIPELINE.replace("orders", name);
    let command = move || {
        for left in [".sluice/state", ".sluice/audit"] {
            let path = folder.join(left);
            if path.exists() {
                std::fs::remove_dir_all(path)?;
            }
        }
        server.sql("DROP TABLE IF EXISTS there.orders, there.sluice_commits");
        Ok(host.command(&folder, &["run", &file, "--json"]))
    };
    Subject {
        name: "sluice".to_owned(),
        command: Box::new(command),
    }
}

fn native(server: std::rc::Rc<Postgres>, authority: PathBuf) -> Result<Subject> {
    let program = std::env::current_exe()?
        .with_file_name(format!("native-tables{}", std::env::consts::EXE_SUFFIX));
    ensure!(
        program.exists(),
        "`{}` is not there\nhint: cargo x bench",
        program.display()
    );
    let command = move || {
        server.sql("TRUNCATE native.orders, native.places");
        let mut command = Command::new(&program);
        command.arg(server.port.to_string()).arg(&authority);
        command.env("PGUSER", USER).env("PGPASSWORD", PASSWORD);
        Ok(command)
    };
    Ok(Subject {
        name: "native, by hand".to_owned(),
        command: Box::new(command),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::Cost;
    use std::time::Duration;

    #[test]
    fn what_it_costs_is_told_and_judged() {
        let outcome = |cpu: u64, wall: u64, peak: u64| Outcome {
            name: String::new(),
            median: Cost {
                cpu_user: Duration::from_secs(cpu),
                cpu_sys: Duration::ZERO,
                wall: Duration::from_secs(wall),
                peak_rss_bytes: peak,
            },
            cpu_range: <(Duration, Duration)>::default(),
        };
        let text = told(&[outcome(1, 4, 1), outcome(2, 6, 150)], 100, 100);
        assert!(
            text.contains("50, 0.50 of the native program's 100"),
            "{text}"
        );
        assert!(text.contains("wall time: 1.50 of native"), "{text}");
        assert!(
            text.contains("1.50 times the memory") && text.contains("MISSED"),
            "{text}"
        );
    }
}
