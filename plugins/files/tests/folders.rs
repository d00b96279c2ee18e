//! Both halves on real folders, as the host drives them.

use serde_json::{Value, json};
use sluice_files::sink::FileSink;
use sluice_files::source::FileSource;
use sluice_sdk::sink::Target;
use sluice_sdk::source::{DocumentFormat, Limit, Split};
use sluice_sdk::testing::{self, Read, Table, Writer};
use sluice_sdk::{Change, Fault, Field, FieldType, NamedColumn, Record, TextBuilder};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use tempfile::TempDir;

fn folder(name: &str) -> TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    testing::dir(name, dir.path());
    dir
}

fn source(format: &str) -> String {
    json!({ "dir": "in", "format": format, "pattern": "*" }).to_string()
}

fn read(config: &str, cursor: Option<&Value>, bytes: u32) -> Result<Read, Fault> {
    let limit = Limit {
        rows: 5,
        bytes,
        wait_ms: 0,
    };
    testing::read_split::<FileSource>(config, Split::new("a", "files"), cursor, limit)
}

#[test]
fn pieces_are_whole_records_end_to_end() {
    let dir = folder("in");
    let mut text = String::new();
    for id in 0..500 {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{{\"id\":{id},\"pad\":\"{}\"}}", "x".repeat(id % 90));
    }
    text.push_str("{\"id\":500}");
    std::fs::write(dir.path().join("a"), &text).expect("written");
    let read = read(&source("ndjson"), None, 4_096).expect("read");
    assert_eq!(String::from_utf8(read.bytes("files")).expect("text"), text);
    let mut offset = 0;
    for document in read.documents("files") {
        assert_eq!((document.name.as_str(), document.offset), ("a", offset));
        offset += document.bytes.len() as u64;
        let lines = document
            .bytes
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty());
        let lines: Vec<&[u8]> = lines.collect();
        assert!(lines.len() <= 5, "no more than the limit");
        assert!(
            lines
                .iter()
                .all(|line| serde_json::from_slice::<Value>(line).is_ok()),
            "none is cut"
        );
    }
}

#[test]
fn it_goes_on_in_the_middle_and_finds_what_is_new() {
    let dir = folder("in");
    let path = dir.path().join("a");
    std::fs::write(&path, "\u{feff}id,\"na\nme\"\n1,\"a\nb\"\n2,c\n3,d\n").expect("written");
    let config = source("csv");
    let whole = read(&config, None, 4_096).expect("read");
    assert_eq!(whole.documents("files").len(), 1);
    let end = whole.cursor.clone().expect("a place");

    let settled = read(&config, Some(&end), 4_096).expect("nothing new");
    assert_eq!(
        (settled.parts.len(), settled.cursor.clone()),
        (0, Some(end.clone()))
    );

    let mut longer = std::fs::read(&path).expect("the file");
    longer.extend_from_slice(b"4,e\n5,f");
    std::fs::write(&path, &longer).expect("grown");
    let more = read(&config, Some(&end), 4_096).expect("more");
    let documents = more.documents("files");
    assert_eq!(more.bytes("files"), b"4,e\n5,f");
    let DocumentFormat::Csv(input) = &documents[0].format else {
        panic!("csv")
    };
    assert_eq!(
        input.header.as_deref(),
        Some(&b"id,\"na\nme\"\n"[..]),
        "a piece from the middle has the names"
    );

    for (what, bytes) in [
        ("replaced", &b"id,name\n9,z\n9,z\n9,z\n9,z\n9,z\n9,z\n"[..]),
        ("cut", &longer[..20]),
        ("empty", b""),
    ] {
        std::fs::write(&path, bytes).expect("written");
        let fault = read(&config, Some(&end), 4_096).expect_err(what);
        assert!(matches!(fault, Fault::CursorLost(_)), "{what}: {fault}");
    }
    std::fs::remove_file(&path).expect("gone");
    assert!(matches!(
        read(&config, Some(&end), 4_096),
        Err(Fault::CursorLost(_))
    ));
}

#[test]
fn empty_files_are_read_and_known_again() {
    let dir = folder("in");
    std::fs::write(dir.path().join("a"), "").expect("written");
    for format in ["ndjson", "csv"] {
        let read = read(&source(format), None, 4_096).expect("read");
        assert_eq!(read.parts.len(), 0);
        std::fs::write(dir.path().join("a"), "x\n").expect("written");
        let later = self::read(&source(format), read.cursor.as_ref(), 4_096).expect("later");
        assert_eq!(later.bytes("files"), b"x\n");
        std::fs::write(dir.path().join("a"), "").expect("written");
    }
}

#[test]
fn a_record_without_end_is_cut_and_passed_over() {
    const CUT: usize = (4 << 20) + 1;
    let dir = folder("in");
    for (format, before, long, after) in [
        ("ndjson", "{}\n", "y".repeat(20 << 20) + "\n", "{}\n{}"),
        (
            "csv",
            "a\n1\n",
            format!("\"{}\"\"{}\"\n", "y\n".repeat(5 << 20), "z".repeat(1 << 20)),
            "2\n3\n",
        ),
    ] {
        std::fs::write(dir.path().join("a"), format!("{before}{long}{after}")).expect("written");
        let read = read(&source(format), None, 1 << 20).expect("read");
        let pieces: Vec<usize> = read
            .documents("files")
            .iter()
            .map(|document| document.bytes.len())
            .collect();
        assert_eq!(pieces[..2], [before.len(), CUT], "{format}");
        let rest: Vec<u8> = read.documents("files")[2..]
            .iter()
            .flat_map(|document| document.bytes.clone())
            .collect();
        assert_eq!(String::from_utf8(rest).expect("text"), after, "{format}");
    }
}

#[derive(Record, Clone)]
struct Movie {
    #[record(key)]
    id: i64,
    title: String,
}

fn movies(ids: &[i64]) -> Table {
    Table::from_records(
        ids.iter()
            .map(|id| Movie {
                id: *id,
                title: format!("a,\"{id}\"\n"),
            })
            .collect(),
    )
}

fn targets() -> Vec<Target> {
    vec![Target {
        stream: "movies".to_owned(),
        schema: Movie::schema(),
    }]
}

/// Every file that a reader of the folder would see.
fn visible(dir: &Path) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for stream in std::fs::read_dir(dir)
        .expect("a folder")
        .map(|entry| entry.expect("an entry"))
    {
        let name = stream.file_name().into_string().expect("utf-8");
        if name.starts_with('.') {
            continue;
        }
        for file in std::fs::read_dir(stream.path())
            .expect("a folder")
            .map(|entry| entry.expect("an entry"))
        {
            let file_name = file.file_name().into_string().expect("utf-8");
            if !file_name.starts_with('.') {
                let (_, sequence) = file_name.split_once('-').expect("a key and a number");
                files.insert(
                    format!("{name}/{sequence}"),
                    std::fs::read_to_string(file.path()).expect("text"),
                );
            }
        }
    }
    files
}

fn pairs(files: &BTreeMap<String, String>) -> Vec<(&str, &str)> {
    files
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect()
}

#[test]
fn a_unit_is_seen_when_it_is_published() {
    let dir = folder("out");
    let config = json!({ "dir": "out", "format": "ndjson" }).to_string();
    let mut writer: Writer<FileSink> = Writer::open(&config, targets()).expect("open");
    assert!(writer.committed().expect("nothing yet").is_none());
    writer
        .write(vec![("movies", movies(&[1])), ("movies", movies(&[2]))])
        .expect("written");
    assert_eq!(pairs(&visible(dir.path())), []);
    writer.publish().expect("published");
    writer.write(Vec::new()).expect("a unit without records");
    writer.publish().expect("published");
    let lines =
        "{\"id\":1,\"title\":\"a,\\\"1\\\"\\n\"}\n{\"id\":2,\"title\":\"a,\\\"2\\\"\\n\"}\n";
    assert_eq!(
        pairs(&visible(dir.path())),
        [("movies/000000000001.ndjson", lines)]
    );

    let mut again: Writer<FileSink> = Writer::open(&config, targets()).expect("open");
    let commit = again.committed().expect("read").expect("a commit");
    assert_eq!(
        (commit.epoch, commit.sequence, commit.cursor.as_slice()),
        (1, 2, &b"cursor-2"[..])
    );
}

#[test]
fn csv_files_begin_with_their_names() {
    let dir = folder("out");
    let config = json!({ "dir": "out", "format": "csv", "prefix": "eu" }).to_string();
    let mut writer: Writer<FileSink> = Writer::open(&config, targets()).expect("open");
    let mut year = TextBuilder::default();
    year.push("1998");
    let other = Table::new(
        1,
        vec![NamedColumn::new(
            Field::new("year", FieldType::Text),
            year.finish(),
        )],
    );
    let parts = vec![
        ("movies", movies(&[1])),
        ("movies", movies(&[2])),
        ("movies", other),
    ];
    assert_eq!(writer.write(parts).expect("written"), []);
    writer.publish().expect("published");
    assert_eq!(
        visible(dir.path()).into_values().collect::<Vec<_>>(),
        [
            "id,title\n1,\"a,\"\"1\"\"\n\"\n2,\"a,\"\"2\"\"\n\"\n",
            "year\n1998\n"
        ],
        "other columns make another file"
    );
}

#[test]
fn deletions_are_rejected_and_the_others_written() {
    let dir = folder("out");
    for (format, expected) in [
        ("ndjson", "{\"id\":2,\"title\":\"a,\\\"2\\\"\\n\"}\n"),
        ("csv", "id,title\n2,\"a,\"\"2\"\"\n\"\n"),
    ] {
        let config = json!({ "dir": "out", "format": format, "prefix": format }).to_string();
        let mut writer: Writer<FileSink> = Writer::open(&config, targets()).expect("open");
        let mixed =
            movies(&[1, 2, 3]).with_changes(vec![Change::Delete, Change::Upsert, Change::Delete]);
        let none = movies(&[4]).with_changes(vec![Change::Delete]);
        let rejections = writer
            .write(vec![("movies", none), ("movies", mixed)])
            .expect("written");
        let places: Vec<_> = rejections
            .iter()
            .map(|one| (one.part, one.row, one.code.as_str()))
            .collect();
        let code = "delete-not-supported";
        assert_eq!(places, [(0, 0, code), (1, 0, code), (1, 2, code)]);
        writer.publish().expect("published");
        let files = visible(dir.path());
        assert!(files.values().any(|text| text == expected), "{files:?}");
    }
}

#[test]
fn settings_that_cannot_work_are_told() {
    let _dir = folder("out");
    for (config, expected) in [
        (
            json!({ "dir": "out", "format": "csv", "prefix": "../x" }),
            "`prefix = \"../x\"`",
        ),
        (
            json!({ "dir": "out", "format": "csv", "prefix": ".x" }),
            "`prefix = \".x\"`",
        ),
        (
            json!({ "dir": "out", "format": "csv", "pattern": "*" }),
            "unknown field `pattern`",
        ),
        (json!({ "dir": "elsewhere", "format": "csv" }), "denied"),
    ] {
        let opened: Result<Writer<FileSink>, Fault> = Writer::open(&config.to_string(), targets());
        let text = opened.map(|_| ()).expect_err(expected).to_string();
        assert!(text.contains(expected), "{text}");
    }
}
