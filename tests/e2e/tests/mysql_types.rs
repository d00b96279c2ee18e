//! Values of every type of MariaDB, through `sluice/mysql` into another table: there as they are here, byte for byte by
//! the server's own comparison, or refused with a reason. Ends and oddities by name, and others by chance.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use serde_json::Value;
use sluice_e2e::TestHost;
use sluice_e2e::mysql::Mariadb;
use sluice_e2e::service;
use sluice_e2e::sql::{PASSWORD, SECRET};
use std::fmt::Write as _;

const PIPELINE: &str = "pipelines/copy.toml";
/// Rows by chance.
const ROWS: usize = 400;
/// The seed of a failure, to look at it again.
const SEED: &str = "SLUICE_SEED";

fn copying(server: &Mariadb, sink: &str) -> TestHost {
    let host = service::deployment();
    host.secret(SECRET, PASSWORD);
    let source = server.stage("here", ", tables = { kinds = {} }");
    let sink = server.stage("there", sink);
    host.write(
        PIPELINE,
        format!("[pipeline]\nname = \"copy\"\n\n[source]\n{source}\n[[sink]]\n{sink}"),
    );
    host.grant_trusting(PIPELINE, server);
    host
}

/// Every type, each value may be none.
const KINDS: &str = "CREATE TABLE here.kinds (id bigint PRIMARY KEY, \
     t1 tinyint(1), i1 tinyint, i1u tinyint unsigned, i2 smallint, i2u smallint unsigned, i3 mediumint, i3u mediumint unsigned, \
     i4 int, i4u int unsigned, i8 bigint, i8u bigint unsigned, z int(8) zerofill, y year, \
     n0 decimal(10,0), n2 decimal(38,10), n65 decimal(65,30), nu decimal(12,4) unsigned, f4 float, f8 double, \
     b1 bit(1), b8 bit(8), b63 bit(63), b64 bit(64), \
     d date, dt datetime, dt6 datetime(6), ts timestamp(6) NULL, ti time, ti6 time(6), \
     c char(10), v varchar(200), l1 varchar(200) CHARACTER SET latin1, cb char(10) COLLATE utf8mb4_bin, bi binary(4), vb varbinary(200), \
     tt tinytext, te text, mt mediumtext, lt longtext, tb tinyblob, bl blob, mb mediumblob, lb longblob, \
     e enum('one', 'two, ''three''', ''), s set('a', 'b', 'c d'), j json, u uuid, ip6 inet6, ip4 inet4, g geometry, p point, \
     `we``ird, \"name\"` int);\n\
     CREATE TABLE there.kinds LIKE here.kinds; ALTER TABLE there.kinds MODIFY dt datetime(6);\n";

/// Columns, and a value that is an end or an oddity of them.
const VALUES: &[(&str, &str)] = &[
    ("id", "9223372036854775807"),
    ("id", "-9223372036854775808"),
    ("t1", "0"),
    ("t1", "1"),
    (
        "i1, i2, i3, i4, i8",
        "-128, -32768, -8388608, -2147483648, -9223372036854775808",
    ),
    (
        "i1, i2, i3, i4, i8",
        "127, 32767, 8388607, 2147483647, 9223372036854775807",
    ),
    (
        "i1u, i2u, i3u, i4u, i8u",
        "255, 65535, 16777215, 4294967295, 18446744073709551615",
    ),
    ("i1u, i2u, i3u, i4u, i8u", "0, 0, 0, 0, 0"),
    ("z", "42"),
    ("y", "1901"),
    ("y", "2155"),
    ("y", "0000"),
    ("n0", "-9999999999"),
    ("n2", "9999999999999999999999999999.9999999999"),
    ("n2", "-9999999999999999999999999999.9999999999"),
    (
        "n65",
        "-99999999999999999999999999999999999.999999999999999999999999999999",
    ),
    ("n65", "0.000000000000000000000000000001"),
    ("nu", "99999999.9999"),
    ("f4", "3.402823466e38"),
    ("f4", "-1.17549435e-38"),
    ("f4", "16777217"),
    ("f8", "1.7976931348623157e308"),
    ("f8", "-2.2250738585072014e-308"),
    ("f8", "5e-324"),
    ("f8", "0.1"),
    ("f8", "-0e0"),
    ("f8", "123456789012345678"),
    ("b1", "b'0'"),
    ("b1", "b'1'"),
    ("b8", "x'ff'"),
    ("b63", "x'7fffffffffffffff'"),
    ("b64", "x'ffffffffffffffff'"),
    ("d", "'0001-01-01'"),
    ("d", "'9999-12-31'"),
    (
        "dt, dt6",
        "'1000-01-01 00:00:00', '0001-01-01 00:00:00.000001'",
    ),
    (
        "dt, dt6",
        "'9999-12-31 23:59:59', '9999-12-31 23:59:59.999999'",
    ),
    ("dt6", "'1969-12-31 23:59:59.999999'"),
    ("ts", "'1970-01-01 00:00:01'"),
    ("ts", "'2038-01-19 03:14:07.999999'"),
    ("ti, ti6", "'-838:59:59', '-838:59:59.999999'"),
    ("ti, ti6", "'838:59:59', '838:59:59.999999'"),
    ("ti6", "'-00:00:00.000001'"),
    ("c, v, te", "'', '', ''"),
    ("c", "'a  '"),
    ("v", "'NULL'"),
    ("v", "'\\\\N'"),
    ("v", "'it''s \\\"quoted\\\", \\\\ and\\r\\n\\tmore'"),
    ("v", "CONCAT('a', CHAR(0), 'b', CHAR(26), CHAR(1))"),
    ("v", "'\u{1f600} \u{fffd}\u{feff}e\u{301} \u{10ffff}'"),
    ("l1", "'gr\u{fc}n \u{20ac} \u{df}'"),
    ("bi", "x'00ff0a27'"),
    ("vb", "''"),
    ("vb", "x'00ff5c2722'"),
    (
        "tt, te, mt, lt",
        "REPEAT('x', 255), REPEAT('\u{e9}', 32767), REPEAT('m', 100000), REPEAT('l', 3000000)",
    ),
    (
        "tb, bl, mb, lb",
        "REPEAT(x'ff', 255), REPEAT(x'00', 65535), REPEAT(x'27', 100000), REPEAT(x'5c', 2000000)",
    ),
    ("tt, te, mt, lt", "'', '', '', ''"),
    ("tb, bl, mb, lb", "'', '', '', ''"),
    ("e", "'two, ''three'''"),
    ("e", "''"),
    ("s", "'a,c d'"),
    ("s", "''"),
    (
        "j",
        r#"'{"k":[1,null,"v \\" \\u00e9"],"n":12345678901234567890.5}'"#,
    ),
    ("u", "'00112233-4455-6677-8899-aabbccddeeff'"),
    ("ip6, ip4", "'::ffff:192.0.2.1', '255.255.255.255'"),
    ("g", "ST_GeomFromText('POLYGON((0 0, 0 1, 1 1, 0 0))')"),
    ("g", "ST_GeomFromText('GEOMETRYCOLLECTION EMPTY', 4326)"),
    ("p", "POINT(-0.1, 1e300)"),
    ("`we``ird, \"name\"`", "1"),
];

/// What stands there that is no value of the pipeline, and its code.
const NONE: [(&str, &str, &str); 6] = [
    ("t1", "2", "wrong-type"),
    ("d", "'0000-00-00'", "wrong-type"),
    ("dt", "'0000-00-00 00:00:00'", "wrong-type"),
    ("ts", "'0000-00-00 00:00:00'", "wrong-type"),
    ("d", "'2026-00-10'", "wrong-type"),
    ("dt6", "'2026-02-31 00:00:00'", "wrong-type"),
];

const ANY_DATE: &str = "SET sql_mode = 'ALLOW_INVALID_DATES'; ";

fn inserts<'a>(first: usize, values: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let rows = (first..).zip(values);
    rows.fold(String::new(), |mut sql, (id, (columns, values))| {
        let id = if columns == "id" {
            String::new()
        } else {
            format!("{id}, ")
        };
        let key = if columns == "id" { "" } else { "id, " };
        writeln!(
            sql,
            "INSERT INTO here.kinds ({key}{columns}) VALUES ({id}{values});"
        )
        .expect("memory");
        sql
    })
}

/// Both tables are; else which columns are not.
fn equal(server: &Mariadb) {
    if server.difference("here.kinds", "there.kinds").is_empty() {
        return;
    }
    let columns = server.sql(
        "SELECT CONCAT('`', REPLACE(column_name, '`', '``'), '`') FROM information_schema.columns WHERE table_schema = 'here' AND table_name = 'kinds'",
    );
    let differ = columns.lines().map(|column| {
        let some = format!(
            "SELECT h.id, HEX(CAST(h.{column} AS BINARY)), HEX(CAST(t.{column} AS BINARY)) FROM here.kinds AS h JOIN there.kinds AS t USING (id) \
             WHERE NOT (CAST(h.{column} AS BINARY) <=> CAST(t.{column} AS BINARY)) LIMIT 3"
        );
        format!("{column}: {}", server.sql(&some))
    });
    panic!("{:#?}", differ.collect::<Vec<_>>());
}

/// The codes and reasons of dead letters.
fn told(letters: &[Value]) -> Vec<String> {
    let told = letters.iter().map(|letter| {
        let rejection = &letter["rejection"];
        format!("{}: {}", rejection["code"], rejection["message"])
    });
    told.collect()
}

#[test]
fn every_type_arrives_as_it_is_or_is_refused() {
    let server = Mariadb::start(KINDS);
    server.sql(&inserts(1, VALUES.iter().copied()));
    server.sql("INSERT INTO here.kinds (id) VALUES (0)");
    let zeros = NONE.map(|(column, value, _)| (column, value));
    server.sql(&format!("{ANY_DATE}{}", inserts(1_000, zeros)));
    let host = copying(&server, "");
    let report = host.run(PIPELINE);
    let letters = host.dead_letters(PIPELINE);
    let codes: Vec<&str> = letters
        .iter()
        .map(|letter| letter["rejection"]["code"].as_str().expect("a code"))
        .collect();
    assert_eq!(
        codes,
        NONE.map(|(_, _, code)| code),
        "{:#?}",
        told(&letters)
    );
    assert_eq!(report["written"], VALUES.len() + 1, "{report}");
    server.sql("DELETE FROM here.kinds WHERE id >= 1000 AND id < 2000");
    equal(&server);
}

/// A table that is made has columns of other types, and holds the same.
#[test]
fn a_table_that_is_made_holds_every_type() {
    let server = Mariadb::start(KINDS);
    server.sql(&inserts(1, VALUES.iter().copied()));
    server.sql("DROP TABLE there.kinds");
    let host = copying(&server, ", create = true");
    let report = host.run(PIPELINE);
    let letters = told(&host.dead_letters(PIPELINE));
    assert_eq!(report["written"], VALUES.len(), "{letters:#?}");
    // Numbers and times as such; bytes as they are, and all else as the server writes it.
    let same = server.sql(
        "SELECT GROUP_CONCAT(CASE WHEN type IN ('datetime', 'timestamp') THEN CONCAT('h.', n, ' <=> t.', n) \
           WHEN type = 'float' THEN CONCAT('1e0 * h.', n, ' <=> t.', n) \
           WHEN type REGEXP '^([a-z]*int|double|bit|year)$' AND type <> 'point' THEN CONCAT('h.', n, ' + 0 <=> t.', n) \
           WHEN type REGEXP 'blob|binary|geometry|point' THEN CONCAT('CAST(h.', n, ' AS BINARY) <=> t.', n) \
           ELSE CONCAT('CAST(CONVERT(h.', n, ' USING utf8mb4) AS BINARY) <=> CAST(t.', n, ' AS BINARY)') END SEPARATOR ' AND ') \
         FROM (SELECT data_type AS type, CONCAT('`', REPLACE(column_name, '`', '``'), '`') AS n \
           FROM information_schema.columns WHERE table_schema = 'here' AND table_name = 'kinds') AS c",
    );
    let differ = server.sql(&format!(
        "SELECT h.id FROM here.kinds AS h LEFT JOIN there.kinds AS t ON h.id = t.id WHERE NOT ({same})"
    ));
    assert_eq!(differ, "");
}

#[test]
fn rows_by_chance_arrive_as_they_are() {
    let said = std::env::var(SEED).ok();
    let seed = said.map_or_else(rand_seed, |said| said.parse().expect("a number"));
    println!("{SEED}={seed}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&u64::to_le_bytes(seed));
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(ProptestConfig::default(), rng);
    let columns = columns();
    let mut sql = KINDS.to_owned();
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let mut row = |id: usize| {
        let values = columns.iter().map(|(_, strategy)| {
            let tree = strategy.new_tree(&mut runner).expect("a value");
            tree.current().unwrap_or("NULL".to_owned())
        });
        let values: Vec<String> = values.collect();
        format!("({id}, {})", values.join(", "))
    };
    for page in 0..ROWS / 50 {
        let rows: Vec<String> = (0..50).map(|row_of| row(page * 50 + row_of)).collect();
        writeln!(
            sql,
            "INSERT INTO here.kinds (id, {}) VALUES {};",
            names.join(", "),
            rows.join(", ")
        )
        .expect("memory");
    }
    let server = Mariadb::start(&sql);
    let host = copying(&server, "");
    let report = host.run(PIPELINE);
    assert_eq!(told(&host.dead_letters(PIPELINE)), Vec::<String>::new());
    assert_eq!(report["written"], ROWS);
    equal(&server);
    // Once more over what is there: nothing changes.
    drop(
        host.sluice(&["checkpoint", "reset", PIPELINE, "--yes"])
            .done(),
    );
    assert_eq!(host.run(PIPELINE)["written"], ROWS);
    equal(&server);
}

fn rand_seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    u64::from(now.expect("a clock").subsec_nanos())
}

type Literal = BoxedStrategy<Option<String>>;

/// A literal of SQL for each column, or none.
fn columns() -> Vec<(&'static str, Literal)> {
    let some = |strategy: BoxedStrategy<String>| proptest::option::weighted(0.8, strategy).boxed();
    let mut columns: Vec<(&str, Literal)> = Vec::new();
    let mut add = |names: &[&'static str], strategy: BoxedStrategy<String>| {
        columns.extend(names.iter().map(|name| (*name, some(strategy.clone()))));
    };
    let whole = |low: i128, high: i128| (low..=high).prop_map(|number| number.to_string()).boxed();
    for (name, low, high) in [
        ("t1", 0, 1),
        ("i1", -128, 127),
        ("i1u", 0, 255),
        ("i2", -32_768, 32_767),
        ("i2u", 0, 65_535),
        ("i3", -8_388_608, 8_388_607),
        ("i3u", 0, 16_777_215),
        ("i4", i32::MIN.into(), i32::MAX.into()),
        ("i4u", 0, u32::MAX.into()),
        ("i8", i64::MIN.into(), i64::MAX.into()),
        ("i8u", 0, u64::MAX.into()),
        ("z", 0, u32::MAX.into()),
        ("y", 1_901, 2_155),
        ("n0", -9_999_999_999, 9_999_999_999),
        ("b1", 0, 1),
        ("b8", 0, 255),
        ("b63", 0, i64::MAX.into()),
        ("b64", 0, u64::MAX.into()),
    ] {
        add(&[name], whole(low, high));
    }
    add(&["n2"], decimal(28, 10));
    add(&["n65"], decimal(35, 30));
    add(
        &["nu"],
        (0_u64..1_000_000_000_000)
            .prop_map(|number| format!("{}.{:04}", number / 10_000, number % 10_000))
            .boxed(),
    );
    let finite = any::<f64>().prop_filter("none that is infinite", |number| number.is_finite());
    add(
        &["f8"],
        finite.prop_map(|number| format!("{number:e}")).boxed(),
    );
    let finite = any::<f32>().prop_filter("none that is infinite", |number| number.is_finite());
    add(
        &["f4"],
        finite.prop_map(|number| format!("{number:e}")).boxed(),
    );
    let day = (0..3_287_181_u32).prop_map(|days| format!("DATE'1000-01-01' + INTERVAL {days} DAY"));
    add(&["d"], day.boxed());
    let second = 3_287_182_i64 * 86_400;
    let time = (0..second)
        .prop_map(|seconds| format!("TIMESTAMP'1000-01-01 00:00:00' + INTERVAL {seconds} SECOND"));
    add(&["dt"], time.boxed());
    let time = (0..second * 1_000_000).prop_map(|micros| {
        format!("TIMESTAMP'1000-01-01 00:00:00' + INTERVAL {micros} MICROSECOND")
    });
    add(&["dt6"], time.boxed());
    let stamp = (1_000_000..2_147_483_647_000_000_i64).prop_map(|micros| {
        format!("TIMESTAMP'1970-01-01 00:00:00' + INTERVAL {micros} MICROSECOND")
    });
    add(&["ts"], stamp.boxed());
    let clock = (
        any::<bool>(),
        0..=838_u32,
        0..60_u32,
        0..60_u32,
        0..1_000_000_u32,
    );
    let clock = clock.prop_map(|(below, hours, minutes, seconds, micros)| {
        let sign = if below { "-" } else { "" };
        (
            format!("'{sign}{hours}:{minutes:02}:{seconds:02}'"),
            format!("'{sign}{hours}:{minutes:02}:{seconds:02}.{micros:06}'"),
        )
    });
    let clock = clock.prop_filter("as far as its type goes", |(_, long)| {
        !long.contains("838:59:59")
    });
    add(&["ti"], clock.clone().prop_map(|(short, _)| short).boxed());
    add(&["ti6"], clock.prop_map(|(_, long)| long).boxed());
    add(
        &["v", "tt", "te", "mt", "lt"],
        text(60)
            .prop_map(|text| literal("_utf8mb4", text.as_bytes()))
            .boxed(),
    );
    add(
        &["c", "cb"],
        text(10)
            .prop_map(|text| literal("_utf8mb4", text.as_bytes()))
            .boxed(),
    );
    add(
        &["l1"],
        vec(any::<u8>(), 0..200)
            .prop_map(|bytes| literal("_latin1", &bytes))
            .boxed(),
    );
    add(
        &["vb", "tb", "bl", "mb", "lb"],
        vec(any::<u8>(), 0..200)
            .prop_map(|bytes| literal("", &bytes))
            .boxed(),
    );
    add(
        &["bi"],
        vec(any::<u8>(), 0..=4)
            .prop_map(|bytes| literal("", &bytes))
            .boxed(),
    );
    add(&["e"], whole(1, 3));
    add(&["s"], whole(0, 7));
    let document = (vec(text(10), 0..3), any::<i64>(), any::<bool>());
    let document = document.prop_map(|(texts, number, yes)| {
        serde_json::json!({ "texts": texts, "number": number, "yes": yes, "none": null })
            .to_string()
    });
    add(
        &["j"],
        document
            .prop_map(|text| literal("_utf8mb4", text.as_bytes()))
            .boxed(),
    );
    let uuid = any::<u128>().prop_map(|number| {
        let part = |at: u32, bits: u32| number >> at & ((1 << bits) - 1);
        format!(
            "'{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}'",
            part(96, 32),
            part(80, 16),
            part(64, 12),
            part(48, 12),
            part(0, 48)
        )
    });
    add(&["u"], uuid.boxed());
    add(
        &["ip6"],
        any::<u128>()
            .prop_map(|number| format!("'{}'", std::net::Ipv6Addr::from(number)))
            .boxed(),
    );
    add(
        &["ip4"],
        any::<u32>()
            .prop_map(|number| format!("'{}'", std::net::Ipv4Addr::from(number)))
            .boxed(),
    );
    add(
        &["g", "p"],
        (-1e9..1e9_f64, -1e-9..1e-9_f64)
            .prop_map(|(x, y)| format!("POINT({x:e}, {y:e})"))
            .boxed(),
    );
    columns
}

/// Letters of every kind, and those that end something.
fn text(most: usize) -> BoxedStrategy<String> {
    let odd = prop::sample::select(vec![
        '\0',
        '\\',
        '\'',
        '"',
        '\n',
        '\r',
        '\t',
        ',',
        ' ',
        '\u{1a}',
        '%',
        '`',
        '\u{1f600}',
    ]);
    let letter = prop_oneof![1 => any::<char>(), 1 => odd, 1 => prop::char::range('a', 'z')];
    vec(letter, 0..=most).prop_map(String::from_iter).boxed()
}

/// With so many digits before the point, and behind it.
fn decimal(before: usize, behind: usize) -> BoxedStrategy<String> {
    let digits = |most| vec(prop::char::range('0', '9'), 1..=most).prop_map(String::from_iter);
    (any::<bool>(), digits(before), digits(behind))
        .prop_map(|(below, before, behind): (bool, String, String)| {
            format!("{}{before}.{behind}", if below { "-" } else { "" })
        })
        .boxed()
}

fn literal(charset: &str, bytes: &[u8]) -> String {
    let digits = bytes.iter().fold(String::new(), |mut digits, byte| {
        write!(digits, "{byte:02x}").expect("memory");
        digits
    });
    format!("{charset} x'{digits}'")
}
