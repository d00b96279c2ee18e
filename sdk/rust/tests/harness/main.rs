//! The native harness holds plugins to the host's rules: each refusal is seen to bite.

mod edits;

use sluice_sdk::files::{FileError, Readable, Writable};
use sluice_sdk::sink::{Commit, Context, Part, Target};
use sluice_sdk::source::{Columns, Limit, Split, Stream};
use sluice_sdk::testing::{self, Table};
use sluice_sdk::{
    Column, CsvOutput, Fault, Field, FieldType, Format, NamedColumn, Page, Reader, Record,
    Rejection, Sink, Source, Values, log,
};
use std::panic::{AssertUnwindSafe, catch_unwind};

#[derive(Record)]
struct Row {
    #[record(key)]
    id: i64,
    word: Option<String>,
}

fn rows() -> Table {
    let row = |id, word: Option<&str>| Row {
        id,
        word: word.map(Into::into),
    };
    Table::from_records(vec![
        row(1, Some("a,b")),
        row(2, None),
        row(3, Some("say \"c\"")),
    ])
}

fn id() -> Field {
    Field::new("id", FieldType::Int64)
}

fn word() -> Field {
    Field::new("word", FieldType::Text).nullable()
}

#[test]
fn tables_encode_as_the_host_does() {
    let batch = rows().into_batch();
    let text = |format| String::from_utf8(batch.encode(format).expect("encoded")).expect("text");
    assert_eq!(
        text(Format::Ndjson),
        "{\"id\":1,\"word\":\"a,b\"}\n{\"id\":2,\"word\":null}\n{\"id\":3,\"word\":\"say \\\"c\\\"\"}\n"
    );
    assert_eq!(
        text(Format::Csv(CsvOutput { header: true })),
        "id,word\n1,\"a,b\"\n2,\n3,\"say \"\"c\"\"\"\n"
    );
    assert!(
        text(Format::JsonArray).starts_with("[{\"id\":1,")
            && text(Format::JsonArray).ends_with("}]")
    );
    let packed = batch.encode_rows().expect("encoded");
    assert_eq!(packed.row(1), b"{\"id\":2,\"word\":null}");
    let ids = batch.row_ids();
    assert_eq!(
        ids,
        rows().into_batch().row_ids(),
        "the same record has the same identity"
    );
    assert_ne!(ids.hex(0), ids.hex(1));
    assert_eq!(ids.hex(2).len(), 32);
    let denied = rows().deny("word").into_batch();
    assert_eq!(
        denied.encode(Format::Csv(CsvOutput { header: false })),
        Ok(b"1\n2\n3\n".to_vec())
    );
    assert!(matches!(denied.column("word"), Err(Fault::Denied(_))));
    assert!(matches!(denied.column("none"), Err(Fault::Broken(_))));
}

/// Counts to the limit in its settings, a page a number, and remembers what was acknowledged.
struct Counter;

struct Count {
    next: i64,
    end: i64,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct To {
    to: i64,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct At {
    next: i64,
}

impl Source for Counter {
    type Config = To;
    type Cursor = At;
    type Reader = Count;
    fn check(config: &To) -> Result<(), Fault> {
        if config.to < 0 {
            Err(Fault::misconfigured("`to` is below zero"))
        } else {
            Ok(())
        }
    }
    fn streams(_: &To) -> Result<Vec<Stream>, Fault> {
        Ok(vec![Stream::new("numbers")])
    }
    fn open(config: To, _: Split, cursor: Option<At>) -> Result<Count, Fault> {
        Ok(Count {
            next: cursor.map_or(0, |at| at.next),
            end: config.to,
        })
    }
}

impl Reader for Count {
    type Cursor = At;
    fn read(&mut self, _: Limit) -> Result<Page<At>, Fault> {
        if self.next == self.end {
            return Ok(Page::end(At { next: self.end }));
        }
        let row = Row {
            id: self.next,
            word: None,
        };
        self.next += 1;
        Ok(Page::more(At { next: self.next }).records("numbers", vec![row]))
    }
    fn acknowledge(&mut self, cursor: At) -> Result<(), Fault> {
        log::info("acknowledged", &[("next", &cursor.next.to_string())]);
        Ok(())
    }
}

#[test]
fn a_source_is_read_to_its_end_and_resumes() {
    let ids = |read: &testing::Read| -> Vec<i64> {
        read.objects("numbers")
            .iter()
            .filter_map(|row| row["id"].as_i64())
            .collect()
    };
    let read = testing::read_all::<Counter>(r#"{"to": 2}"#, None).expect("read");
    assert_eq!((ids(&read[0]), read[0].pages), (vec![0, 1], 3));
    assert_eq!(
        testing::logs(),
        [
            "info acknowledged next=1",
            "info acknowledged next=2",
            "info acknowledged next=2"
        ]
    );
    let cursor = read[0].cursor.clone().expect("a cursor");
    let more = testing::read_all::<Counter>(r#"{"to": 3}"#, Some(&cursor)).expect("read");
    assert_eq!(ids(&more[0]), [2]);
    let lost = testing::read_all::<Counter>(r#"{"to": 3}"#, Some(&"nonsense".into()));
    assert!(matches!(lost, Err(Fault::CursorLost(_))), "{lost:?}");
    for (config, problem) in [
        (r#"{"to": -1}"#, "below zero"),
        (r#"{"two": 1}"#, "config `two`"),
    ] {
        let fault = testing::read_all::<Counter>(config, None).expect_err("misconfigured");
        assert!(
            matches!(&fault, Fault::Misconfigured(text) if text.contains(problem)),
            "{fault}"
        );
    }
}

#[test]
fn a_page_of_unsound_columns_is_refused() {
    struct Bad;
    impl Reader for Bad {
        type Cursor = u8;
        fn read(&mut self, _: Limit) -> Result<Page<u8>, Fault> {
            let columns = vec![NamedColumn::new(
                id(),
                Column::new(Values::Int64(vec![1, 2]), None),
            )];
            Ok(Page::end(0).columns(
                "x",
                Columns {
                    rows: 1,
                    columns,
                    changes: None,
                },
            ))
        }
    }
    impl Source for Bad {
        type Config = ();
        type Cursor = u8;
        type Reader = Bad;
        fn check((): &()) -> Result<(), Fault> {
            Ok(())
        }
        fn streams((): &()) -> Result<Vec<Stream>, Fault> {
            Ok(vec![Stream::new("x")])
        }
        fn open((): (), _: Split, _: Option<u8>) -> Result<Bad, Fault> {
            Ok(Bad)
        }
    }
    assert!(catch_unwind(|| testing::read_all::<Bad>("null", None)).is_err());
}

/// Writes each unit as a file named by its sequence, and stores the commit with it.
struct Units {
    dir: Writable,
    last: Option<Commit>,
}

#[derive(serde::Deserialize)]
struct Dir {
    dir: String,
}

impl Sink for Units {
    type Config = Dir;
    fn check(config: &Dir) -> Result<(), Fault> {
        Ok(Writable::open(&config.dir).map(|_| ())?)
    }
    fn open(config: Dir, _: Context, _: Vec<Target>) -> Result<Self, Fault> {
        Ok(Self {
            dir: Writable::open(&config.dir)?,
            last: None,
        })
    }
    fn committed(&mut self) -> Result<Option<Commit>, Fault> {
        Ok(self.last.clone())
    }
    fn write(&mut self, parts: Vec<Part>, commit: &Commit) -> Result<Vec<Rejection>, Fault> {
        let mut file = self.dir.create(&format!("new/.{}", commit.sequence))?;
        for part in &parts {
            file.write(&part.batch.encode(Format::Ndjson)?)?;
        }
        file.finish()?;
        Ok(vec![
            Rejection::new(1, "odd", "as the test wants it").in_part(parts.len() - 1),
        ])
    }
    fn publish(&mut self, commit: &Commit) -> Result<(), Fault> {
        self.dir.rename(
            &format!("new/.{}", commit.sequence),
            &format!("{}.ndjson", commit.sequence),
        )?;
        self.last = Some(commit.clone());
        Ok(())
    }
}

#[test]
fn a_sink_writes_into_a_granted_directory() {
    let real = tempfile::tempdir().expect("a directory");
    testing::dir("out", real.path());
    assert!(matches!(
        testing::Writer::<Units>::open(r#"{"dir": "elsewhere"}"#, vec![]),
        Err(Fault::Denied(_))
    ));
    let mut writer = testing::Writer::<Units>::open(r#"{"dir": "out"}"#, vec![]).expect("opened");
    assert_eq!(writer.committed(), Ok(None));
    let rejections = writer
        .write(vec![("a", rows()), ("b", rows())])
        .expect("written");
    assert_eq!((rejections[0].part, rejections[0].row), (1, 1));
    let dir = Readable::open("out").expect("granted");
    assert_eq!(
        dir.list(),
        Ok(vec![]),
        "not to be seen before it is published"
    );
    writer.publish().expect("published");
    assert_eq!(
        writer
            .committed()
            .map(|commit| commit.map(|commit| commit.sequence)),
        Ok(Some(1))
    );

    let listed = dir.list().expect("listed");
    assert_eq!(
        listed
            .iter()
            .map(|entry| entry.path.as_str())
            .collect::<Vec<_>>(),
        ["1.ndjson"]
    );
    assert_eq!(dir.read("1.ndjson", 1, 4), Ok(b"\"id\"".to_vec()));
    assert_eq!(dir.read("1.ndjson", listed[0].bytes, 4), Ok(vec![]));
    assert!(matches!(
        dir.read("2.ndjson", 0, 4),
        Err(FileError::NotFound(_))
    ));
    for path in ["", "..", "a/../b", "/etc/passwd", "a//b"] {
        assert!(
            matches!(dir.read(path, 0, 4), Err(FileError::Invalid(_))),
            "{path}"
        );
    }
    let lost = || {
        writer.write(vec![(
            "a",
            Table::from_records(vec![Row { id: 1, word: None }]),
        )])
    };
    assert!(
        catch_unwind(AssertUnwindSafe(lost)).is_err(),
        "row 1 of one row"
    );
}
