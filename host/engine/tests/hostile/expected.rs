//! What comes of each behaviour.
#![allow(
    clippy::match_same_arms,
    reason = "one arm for each behaviour, in their order"
)]

use crate::stage::behaviour::Behaviour;
use sluice_model::fault::FaultKind;
use std::time::Duration;

/// What comes of a behaviour.
pub(crate) enum Expected {
    /// Nothing worse than what the recorder heard.
    Harmless,
    /// A fault of this kind, whose text holds each of these.
    Fault(FaultKind, &'static [&'static str]),
    /// Ended when its time was over, whether most of that went into computing or into waiting for the host.
    Late,
}

/// Rule: one arm for each behaviour. A new one does not compile before it has its own.
pub(crate) fn expected(behaviour: Behaviour) -> Expected {
    use Behaviour as B;
    use FaultKind::{Broken, Denied, LimitExceeded, Malformed, TimedOut, Transient, Trapped};
    let fault = Expected::Fault;
    match behaviour {
        B::Honest => Expected::Harmless,
        // It computes nothing, and what it waits for may come another time.
        B::Sleep | B::PollForEver => fault(
            Transient { retry_after: None },
            &["`sluice/hostile` waited in `check` for longer than 300ms"],
        ),
        B::Loop => fault(
            TimedOut,
            &[
                "`sluice/hostile` did not return from `check` within 300ms",
                "[limits]\ncall_time = \"300ms\"",
            ],
        ),
        B::Allocate => fault(
            LimitExceeded,
            &[
                "asked for ",
                "its limit is 64MiB",
                "[limits]\nmemory = \"64MiB\"",
            ],
        ),
        B::Recurse => fault(Trapped, &["deep recursion", "in `check`"]),
        B::Panic => fault(
            Trapped,
            &["panicked in `check`", "the number is 42\\u{1b}[2J"],
        ),
        B::PanicAtLength => fault(Trapped, &["panicked in `check`", "xxxx"]),
        B::Exit => fault(Trapped, &["ended its process", "in `check`"]),
        B::StderrFlood | B::LogFlood | B::LogControl => Expected::Harmless,
        B::Random => fault(
            LimitExceeded,
            &["requested len 1073741824 exceeds limit 65536 (in `check`)"],
        ),
        B::LogHuge => fault(
            LimitExceeded,
            &["handed over more than 64MiB in one call (in `check`)"],
        ),
        B::HandleLeak => fault(LimitExceeded, &["holds 256 resource handles"]),
        B::LookAround => fault(Broken, &["0 0 false false false false"]),
        B::Sockets => fault(
            Broken,
            &["access-denied access-denied access-denied access-denied access-denied"],
        ),
        B::DirNotGranted => fault(Denied, &["`/etc`", "[[dir]]"]),
        B::DirNotWritable => fault(Denied, &["mode = \"write\""]),
        B::PathEscape => fault(
            Broken,
            &[
                "refused refused refused refused refused refused refused refused refused | link-in plain sub/deep",
            ],
        ),
        B::WriteEscape => fault(
            Broken,
            &[
                "refused refused refused refused refused refused refused refused refused refused refused",
            ],
        ),
        B::Fifo => fault(Broken, &["`fifo` is not a regular file"]),
        B::HttpNotGranted | B::HttpEager => fault(
            Denied,
            &["`POST evil.example/collect` refused", "has no network"],
        ),
        B::HeaderFlood | B::HeaderHuge => fault(
            LimitExceeded,
            &["set more or larger headers than a request may have"],
        ),
        B::RequestsUnanswered => fault(Denied, &["has no network"]),
        B::FaultText => fault(Broken, &["\\u{7}no no", "…"]),
        B::StreamTwice => fault(Malformed, &["stream `things` stands twice"]),
        B::StreamName => fault(Malformed, &["a\\u{1b}[2J"]),
        B::StreamNotUtf8 => fault(Malformed, &["in `streams`", "utf-8"]),
        B::SplitTwice => fault(Malformed, &["split `all` stands twice"]),
        B::SplitStreamTwice => fault(Malformed, &["split `all` carries stream `things` twice"]),
        // Each is a page that the engine hands on; what it becomes, the run bounds.
        B::DocumentsMany => Expected::Harmless,
        B::SplitStranger => fault(Malformed, &["stream `other` was not asked for"]),
        B::OffsetsDecrease => fault(
            Malformed,
            &["column `thing`: its offsets decrease at row 1"],
        ),
        B::OffsetsOutside => fault(
            Malformed,
            &["column `thing`: its offsets end at 9, its bytes at 3"],
        ),
        B::OffsetsShort => fault(
            Malformed,
            &["column `thing`: its offsets end at 2, its bytes at 3"],
        ),
        B::OffsetsLate => fault(
            Malformed,
            &["column `thing`: its offsets begin at 1, not at 0"],
        ),
        B::OffsetsNegative => fault(
            Malformed,
            &["column `thing`: its offsets begin at -1, not at 0"],
        ),
        B::OffsetsFew => fault(
            Malformed,
            &["column `thing`: 3 offsets for 3 rows; 4 are needed"],
        ),
        B::ValidityShort => fault(
            Malformed,
            &["column `thing`: validity: 0 bytes of bits for 3 rows"],
        ),
        B::RowsWrong => fault(Malformed, &["column `thing`: 2 values for 3 rows"]),
        B::Utf8Broken => fault(Malformed, &["column `thing`: row 1 is not UTF-8"]),
        B::Utf8Cut => fault(Malformed, &["column `thing`: row 1 is not UTF-8"]),
        B::JsonBroken => fault(Malformed, &["column `thing`: row 0 is not JSON"]),
        B::JsonDeep => fault(
            Malformed,
            &["column `thing`: row 0 is JSON nested more than 64 deep"],
        ),
        B::DecimalLong => fault(Malformed, &["column `thing`: row 0 has more than 5 digits"]),
        B::DecimalType => fault(Malformed, &["column `thing`: there is no decimal(39,2)"]),
        B::NullInRequired => fault(Malformed, &["column `thing`: row 1 has no value"]),
        B::ColumnTwice => fault(Malformed, &["field `thing` stands twice"]),
        B::ColumnNameless => fault(Malformed, &["a name has 1 to 1024 bytes"]),
        B::KindWrong => fault(
            Malformed,
            &["column `thing`: its values are not of its type, `text`"],
        ),
        B::ChangesShort => fault(Malformed, &["1 changes for 3 rows"]),
        B::PageHuge => fault(
            LimitExceeded,
            &["bytes in `read`; at most 16777216 are allowed"],
        ),
        B::PageRows => fault(
            LimitExceeded,
            &["rows in `read`; at most 1048576 are allowed"],
        ),
        B::PageParts => fault(LimitExceeded, &["gave 5000 parts in `read`"]),
        B::ParquetHuge => fault(
            LimitExceeded,
            &["gave 51380224 bytes of Parquet in `read`; at most 50331648 are allowed"],
        ),
        B::PageFuel => fault(
            LimitExceeded,
            &["handed over more than 64MiB in one call (in `read`)"],
        ),
        B::CursorHuge => fault(LimitExceeded, &["gave 65537 bytes of cursor in `read`"]),
        B::StreamStranger => fault(Malformed, &["stream `other` was not asked for"]),
        B::Delimiter => fault(Malformed, &["delimiter `\\u{2192}` is not ASCII"]),
        B::ListStorm | B::RequestStorm => Expected::Late,
        B::ClockStorm | B::LogStorm => fault(
            TimedOut,
            &["`sluice/hostile` did not return from `check` within 300ms"],
        ),
        B::PollNothing => fault(Malformed, &["in `check`: empty poll list"]),
        B::PollFlood | B::RequestLeak => fault(LimitExceeded, &["holds 256 resource handles"]),
        B::RequestTexts => fault(Broken, &["Err(()) Err(()) Ok(())"]),
        // Two pieces wait in the host.
        B::RequestBodies => fault(Broken, &["131072 bytes were taken"]),
        B::Stdio => fault(Broken, &["Ok(0) 0"]),
        B::Abort => fault(Trapped, &["panicked or aborted, without a word in `check`"]),
        B::ReadOutside => fault(Trapped, &["reached outside its memory"]),
        B::CallOutside => fault(Trapped, &["trapped: ", "in `check`"]),
        B::LogGibibyte | B::FaultGibibyte => fault(Malformed, &["in `check`", "out of bounds"]),
        B::LogNotUtf8 | B::FaultNotUtf8 | B::DirNotUtf8 => {
            fault(Malformed, &["in `check`", "utf-8"])
        }
        B::LogFields => Expected::Harmless,
        B::RetryLate => fault(
            Transient {
                retry_after: Some(Duration::from_millis(u64::MAX)),
            },
            &["later"],
        ),
        B::PathLong => fault(Broken, &["has more than 1024 bytes"]),
        B::ReadHuge => fault(Broken, &["8388608 0 0"]),
        B::Device => fault(Broken, &["refused refused refused refused"]),
        B::HardLink => fault(Broken, &["refused"]),
        B::HttpLong => fault(Denied, &["`GET evil.example/aaaa", "…` refused"]),
        B::UrlTricks => fault(
            Broken,
            &[
                "broken: 200 200 denied denied denied denied denied denied denied denied denied denied denied \
                 denied denied denied denied denied denied denied denied denied denied denied \
                 untaken untaken untaken untaken untaken untaken 200 untaken denied denied untaken",
            ],
        ),
        B::PathTricks => fault(
            Broken,
            &[
                // What stands behind a `#` is never sent.
                "broken: 200 200 denied denied denied denied denied denied denied denied 200 \
                 untaken untaken untaken untaken untaken untaken denied",
            ],
        ),
        B::MethodTricks => fault(
            Broken,
            &[
                "broken: 200 denied denied denied denied denied denied untaken untaken denied untaken",
            ],
        ),
        B::SchemeTricks => fault(
            Broken,
            &[
                "broken: denied failed(ErrorCode::HttpProtocolError) failed(ErrorCode::HttpProtocolError) \
                 failed(ErrorCode::HttpProtocolError) failed(ErrorCode::HttpProtocolError) untaken untaken \
                 failed(ErrorCode::HttpProtocolError)",
            ],
        ),
        B::HeaderSmuggle => fault(
            Broken,
            &[
                "broken: 200 untaken untaken untaken untaken untaken untaken untaken untaken untaken",
            ],
        ),
        B::HeaderOwned => fault(
            Broken,
            &[
                // A length that is not the body's ends the body.
                "broken: untaken failed(",
                "the request's body broke off: HTTP protocol error) untaken untaken untaken denied denied \
                 untaken untaken denied denied untaken untaken untaken",
            ],
        ),
        B::HeaderSecret => fault(Broken, &["denied"]),
        B::Redirect => fault(Broken, &["302 169.254.169.254 denied"]),
        B::Echo => fault(
            Broken,
            &[
                "broken: scrubbed scrubbed scrubbed scrubbed scrubbed scrubbed scrubbed scrubbed scrubbed scrubbed \
                 scrubbed scrubbed",
            ],
        ),
        B::RequestsOpen => fault(Broken, &["16 failed(ErrorCode::ConnectionLimitReached)"]),
        B::AnswerNever | B::AnswerTrickle => fault(
            Transient { retry_after: None },
            &["waited in `check` for longer than 1s"],
        ),
        B::AnswerEndless => fault(Broken, &["is larger than 67108864 bytes"]),
        B::AnswerHeaders => fault(Broken, &["message head is too large"]),
        B::BodyEndless => fault(
            Broken,
            &["the request's body is larger than 67108864 bytes"],
        ),
        B::StreamsMany => fault(LimitExceeded, &["gave 10001 streams in `streams`"]),
        B::StreamLong => fault(Malformed, &["in `streams`"]),
        B::SchemaMany => fault(Malformed, &["2001 fields; at most 2000 are allowed"]),
        B::SchemaTwice => fault(Malformed, &["field `a\\u{1b}[2J\\u{202e}b` stands twice"]),
        B::SchemaKey => fault(
            Malformed,
            &["in `streams`: key `a\\u{1b}[2J\\u{202e}b", "…"],
        ),
        B::SplitsMany => fault(LimitExceeded, &["gave 100001 splits in `splits`"]),
        B::SplitName => fault(Malformed, &["in `splits`", "\\u{1b}"]),
        B::SplitFuel => fault(
            LimitExceeded,
            &["handed over more than 64MiB in one call (in `splits`)"],
        ),
        B::RowsBoolean => fault(Malformed, &["column `thing`: 0 bytes of bits for 3 rows"]),
        B::BooleanLong => fault(Malformed, &["column `thing`: 2 bytes of bits for 3 rows"]),
        B::RowsFloat64 => fault(Malformed, &["column `thing`: 1 values for 3 rows"]),
        B::RowsDecimal => fault(
            Malformed,
            &["column `thing`: 32 bytes for 3 rows; 16 a row are needed"],
        ),
        B::DecimalTorn => fault(Malformed, &["column `thing`: 47 bytes for 3 rows"]),
        B::RowsBinary => fault(Malformed, &["column `thing`: 2 offsets for 3 rows"]),
        B::RowsDate => fault(Malformed, &["column `thing`: 2 values for 3 rows"]),
        B::RowsTimestamp => fault(Malformed, &["column `thing`: 0 values for 3 rows"]),
        B::RowsJson => fault(Malformed, &["column `thing`: 0 offsets for 3 rows"]),
        B::RowsMany => fault(Malformed, &["column `thing`: 4 values for 3 rows"]),
        B::RowsNone => fault(Malformed, &["column `thing`: 3 values for 0 rows"]),
        B::DecimalZero => fault(Malformed, &["column `thing`: there is no decimal(0,0)"]),
        B::DecimalScale => fault(Malformed, &["column `thing`: there is no decimal(5,6)"]),
        B::DecimalNegative => fault(Malformed, &["column `thing`: there is no decimal(5,-1)"]),
        B::DecimalLeast => fault(
            Malformed,
            &["column `thing`: row 0 has more than 38 digits"],
        ),
        B::ValidityBoolean
        | B::ValidityFloat64
        | B::ValidityDecimal
        | B::ValidityText
        | B::ValidityBinary
        | B::ValidityDate
        | B::ValidityTimestamp
        | B::ValidityJson => fault(
            Malformed,
            &["column `thing`: validity: 0 bytes of bits for 3 rows"],
        ),
        B::ValidityLong => fault(
            Malformed,
            &["column `thing`: validity: 2 bytes of bits for 3 rows"],
        ),
        B::BinaryDecrease | B::JsonDecrease => fault(
            Malformed,
            &["column `thing`: its offsets decrease at row 1"],
        ),
        B::BinaryOutside | B::JsonOutside => fault(
            Malformed,
            &["column `thing`: its offsets end at 9, its bytes at 3"],
        ),
        B::BinaryShort | B::JsonShort => fault(
            Malformed,
            &["column `thing`: its offsets end at 2, its bytes at 3"],
        ),
        B::BinaryLate | B::JsonLate => fault(
            Malformed,
            &["column `thing`: its offsets begin at 1, not at 0"],
        ),
        B::BinaryNegative | B::JsonNegative => fault(
            Malformed,
            &["column `thing`: its offsets begin at -1, not at 0"],
        ),
        B::OffsetsMost => fault(
            Malformed,
            &["column `thing`: its offsets end at 2147483647, its bytes at 3"],
        ),
        B::OffsetsLeast => fault(
            Malformed,
            &["column `thing`: its offsets decrease at row 1"],
        ),
        B::OffsetsGibibyte | B::DocumentGibibyte | B::CursorGibibyte => {
            fault(Malformed, &["in `read`", "out of bounds"])
        }
        B::KindBoolean => fault(Malformed, &["not of its type, `boolean`"]),
        B::KindInt64 => fault(Malformed, &["not of its type, `int64`"]),
        B::KindFloat64 => fault(Malformed, &["not of its type, `float64`"]),
        B::KindDecimal => fault(Malformed, &["not of its type, `decimal(5,2)`"]),
        B::KindBinary => fault(Malformed, &["not of its type, `binary`"]),
        B::KindDate => fault(Malformed, &["not of its type, `date`"]),
        B::KindTimestamp => fault(Malformed, &["not of its type, `timestamp`"]),
        B::KindJson => fault(Malformed, &["not of its type, `json`"]),
        B::Utf8Surrogate | B::Utf8Overlong => {
            fault(Malformed, &["column `thing`: row 0 is not UTF-8"])
        }
        B::Utf8Unseen => Expected::Harmless,
        B::ColumnsMany => fault(Malformed, &["2001 fields; at most 2000 are allowed"]),
        B::ColumnLong => fault(Malformed, &["a name has 1 to 1024 bytes"]),
        B::ColumnNotUtf8 => fault(Malformed, &["in `read`", "utf-8"]),
        B::ColumnTwiceHidden => fault(Malformed, &["field `a\\u{1b}[2J\\u{202e}b` stands twice"]),
        // Its name is shown, never obeyed: by whoever shows it.
        B::ColumnHidden => Expected::Harmless,
        B::ChangesLong => fault(Malformed, &["4 changes for 3 rows"]),
        // The host decodes it: its rejections name it, cut and escaped.
        B::DocumentName | B::DocumentPointer => Expected::Harmless,
        B::CursorFuel => fault(
            LimitExceeded,
            &["handed over more than 64MiB in one call (in `read`)"],
        ),
        // A cursor is the source's own: the host keeps the last it was given, and promises nothing else.
        B::CursorBack => Expected::Harmless,
        B::EchoKept => Expected::Harmless,
        B::DropLoop => fault(TimedOut, &["did not return from `drop` within 300ms"]),
        B::DropPanic => fault(Trapped, &["panicked in `drop`", "let go"]),
        B::KeepTwice => fault(Malformed, &["`keep` stands twice"]),
        B::KeepShort => fault(Malformed, &["`keep`: 0 bytes of bits for 3 rows"]),
        B::RejectOutside => fault(Malformed, &["it rejects row 3 of part 0"]),
        B::RejectPart => fault(Malformed, &["it rejects row 0 of part 1"]),
        B::OriginOutside => fault(Malformed, &["a row comes from row 3 of a batch of 3 rows"]),
        B::OriginsShort => fault(Malformed, &["1 origins for 3 rows"]),
        B::OriginRejected => fault(
            Malformed,
            &["row 0 is rejected, and yet the origin of a new row"],
        ),
        B::ReplaceBesidePut => fault(Malformed, &["`replace` stands beside another edit"]),
        B::OutputDiffers => fault(
            Malformed,
            &["`output` promised a column `made`, which is not there"],
        ),
        B::OutputKind => fault(
            Malformed,
            &["column `made` is int64; `output` promised text"],
        ),
        B::DropMissing => fault(Malformed, &["drops column `made`, which is not there"]),
        B::RenameOnto => fault(
            Malformed,
            &["renames a column to `id`, which is there already"],
        ),
        B::PutShort => fault(Malformed, &["column `id`: 1 values for 3 rows"]),
        B::ReadUndeclared => Expected::Harmless,
        B::WriteUndeclared | B::DropUndeclared | B::ReplaceUndeclared => {
            fault(Denied, &["`name` refused", "data.writes", "writes = "])
        }
        B::ColumnStorm => fault(TimedOut, &["did not return from `apply` within 300ms"]),
        B::KeepLong => fault(Malformed, &["`keep`: 100 bytes of bits for 3 rows"]),
        B::RejectMany | B::RejectText | B::PutMany => Expected::Harmless,
        B::ReplaceRows => fault(Malformed, &["0 origins for 4294967295 rows"]),
        B::PutOffsets => fault(Malformed, &["column `made`: its offsets decrease at row 1"]),
        B::RenameHidden => fault(Denied, &["\\u{1b}", "data.writes"]),
        B::OutputMany => fault(Malformed, &["in `output`: 2001 fields"]),
        B::OutputTwice => fault(
            Malformed,
            &["in `output`: field `a\\u{1b}[2J\\u{202e}b` stands twice"],
        ),
        B::ApplyPanic => fault(
            Trapped,
            &["panicked in `apply`", "in the middle of a batch"],
        ),
        B::Poison => fault(Trapped, &["panicked in `apply`", "record 0 is poison"]),
        B::BatchLeak => fault(LimitExceeded, &["holds 256 resource handles (in `write`)"]),
        B::BatchLate => fault(Malformed, &["used a batch after the call it was given in"]),
        B::SinkRejectPart => fault(Malformed, &["rejects a row of part 2; there are 2 parts"]),
        B::SinkRejectRow => fault(Malformed, &["rejects row 3 of part 0, which has 3 rows"]),
        B::CommitStranger => fault(Malformed, &["the commit is of `all` in `other`"]),
        B::CommitAhead => fault(
            Malformed,
            &[
                "in `committed`: the commit is 18446744073709551615",
                "which no host has counted to",
            ],
        ),
        B::CommitHuge => fault(Malformed, &["the cursor is longer than any the host gave"]),
        B::EncodeUndeclared | B::SinkRejectMany | B::SinkRejectText => Expected::Harmless,
        B::ParquetEmpty => fault(Malformed, &["in `write`", "asked for a file of no batches"]),
        B::ParquetMixed => fault(
            Malformed,
            &["in `write`", "one file of batches whose schemas differ"],
        ),
        B::EncodeStorm => fault(TimedOut, &["did not return from `write` within 300ms"]),
        B::WritePanic => fault(Trapped, &["panicked in `write`", "in the middle of a unit"]),
        B::SinkPoison => fault(Trapped, &["panicked in `write`", "record 0 is poison"]),
    }
}
