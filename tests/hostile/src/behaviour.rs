//! Every way the hostile plugin misbehaves, and the role it plays meanwhile. Shared with the engine's tests, which match
//! on it (a behaviour without an expectation there does not compile), and with the end-to-end tests, which run each.
#![allow(dead_code, reason = "each of those who share it uses a part of it")]

/// The part that the plugin plays while it misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plays {
    Source,
    Transform,
    Sink,
}

macro_rules! behaviours {
    ($($role:ident { $($(#[$doc:meta])* $name:ident = $word:literal,)+ })+) => {
        /// One way to misbehave.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Behaviour { $($($(#[$doc])* $name,)+)+ }

        impl Behaviour {
            /// All of them.
            pub const ALL: &[Behaviour] = &[$($(Behaviour::$name,)+)+];

            /// As the settings name it.
            pub fn word(self) -> &'static str {
                match self { $($(Behaviour::$name => $word,)+)+ }
            }

            /// Where it is to be seen.
            pub fn plays(self) -> Plays {
                match self { $($(Behaviour::$name => Plays::$role,)+)+ }
            }
        }
    };
}

behaviours! {
    Source {
        /// None: it reads, computes and writes as it should, for comparison.
        Honest = "honest",
        // In `check` of a source.
        /// Computes for ever.
        Loop = "loop",
        /// Asks for memory for ever.
        Allocate = "allocate",
        /// Calls itself for ever.
        Recurse = "recurse",
        /// Panics with a short message that has control characters in it.
        Panic = "panic",
        /// Panics with a message of a mebibyte.
        PanicAtLength = "panic-at-length",
        /// Ends its process.
        Exit = "exit",
        /// Waits inside the host.
        Sleep = "sleep",
        /// Writes far more to standard error than is kept, and does no other harm.
        StderrFlood = "stderr-flood",
        /// Asks for a gibibyte of random bytes.
        Random = "random",
        /// Logs more lines than are kept.
        LogFlood = "log-flood",
        /// Logs what would move a terminal's cursor, and a line without end.
        LogControl = "log-control",
        /// Hands a log line over that is larger than what one call may copy.
        LogHuge = "log-huge",
        /// Opens directories and never lets go.
        HandleLeak = "handle-leak",
        /// Looks for variables, arguments and directories of the host.
        LookAround = "look-around",
        /// Reaches for sockets of its own and for the addresses of a name, through `wasi:sockets`.
        Sockets = "sockets",
        /// Opens a directory that is not granted.
        DirNotGranted = "dir-not-granted",
        /// Opens a directory for writing that is granted for reading.
        DirNotWritable = "dir-not-writable",
        /// Reads by every path that leads, or seems to lead, out of a granted directory.
        PathEscape = "path-escape",
        /// Writes by every such path.
        WriteEscape = "write-escape",
        /// Reads a FIFO, which would wait for a writer for ever.
        Fifo = "fifo",
        /// Sends a request without a door, with a body.
        HttpNotGranted = "http-not-granted",
        /// The same, and reads the answer before it has written the body.
        HttpEager = "http-eager",
        /// Sets headers without end.
        HeaderFlood = "header-flood",
        /// Sets one header that is larger than all of them may be.
        HeaderHuge = "header-huge",
        /// Sends requests without a door and never waits for an answer.
        RequestsUnanswered = "requests-unanswered",
        /// Says what went wrong in control characters, at length.
        FaultText = "fault-text",
        /// Reads the clock for ever: each turn is a call of the host.
        ClockStorm = "clock-storm",
        /// Logs for ever.
        LogStorm = "log-storm",
        /// Lists a directory for ever: each turn waits for the host.
        ListStorm = "list-storm",
        /// Sends requests for ever, each of them refused, each of them another.
        RequestStorm = "request-storm",
        /// Waits for nothing at all.
        PollNothing = "poll-nothing",
        /// Waits until the end of time.
        PollForEver = "poll-for-ever",
        /// Makes ever more things to wait for.
        PollFlood = "poll-flood",
        /// Makes ever more requests and never sends them.
        RequestLeak = "request-leak",
        /// Makes a request whose host, and one whose method, is a text of a mebibyte.
        RequestTexts = "request-texts",
        /// Fills the body of a request that it never sends.
        RequestBodies = "request-bodies",
        /// Reads standard input, and fills standard output.
        Stdio = "stdio",
        /// Aborts without a word.
        Abort = "abort",
        /// Reads outside its memory.
        ReadOutside = "read-outside",
        /// Calls a function that there is not.
        CallOutside = "call-outside",
        /// Logs a text that says it has a gibibyte, more than its memory holds.
        LogGibibyte = "log-gibibyte",
        /// Logs bytes that are no text.
        LogNotUtf8 = "log-not-utf8",
        /// Logs a line of a hundred thousand fields.
        LogFields = "log-fields",
        /// Says what went wrong in bytes that are no text.
        FaultNotUtf8 = "fault-not-utf8",
        /// Says what went wrong in a text that says it has a gibibyte.
        FaultGibibyte = "fault-gibibyte",
        /// Asks to be called again at the end of time.
        RetryLate = "retry-late",
        /// Opens a directory whose name is no text.
        DirNotUtf8 = "dir-not-utf8",
        /// Reads a path of a mebibyte.
        PathLong = "path-long",
        /// Reads four gibibytes of a file at once.
        ReadHuge = "read-huge",
        /// Reads a device, in a directory of devices that was granted.
        Device = "device",
        /// Writes to a file that stands outside as well, as a hard link.
        HardLink = "hard-link",
        /// Asks for a path of sixty thousand letters without a door.
        HttpLong = "http-long",
        // The same, with a door and a server behind it.
        /// Names other hosts in every spelling there is.
        UrlTricks = "url-tricks",
        /// Leaves the granted paths in every spelling there is.
        PathTricks = "path-tricks",
        /// Sends methods that are not granted, or are none.
        MethodTricks = "method-tricks",
        /// Speaks other schemes.
        SchemeTricks = "scheme-tricks",
        /// Puts a second request into a header.
        HeaderSmuggle = "header-smuggle",
        /// Sets the headers that frame a request.
        HeaderOwned = "header-owned",
        /// Sets the header that is the secret's place.
        HeaderSecret = "header-secret",
        /// Follows a redirect by itself, to where it may not go.
        Redirect = "redirect",
        /// Asks a server that repeats the secret in every spelling, and tells all it hears.
        Echo = "echo",
        /// Opens more requests than may be open.
        RequestsOpen = "requests-open",
        /// Waits for an answer that never comes.
        AnswerNever = "answer-never",
        /// Reads an answer that comes a byte at a time.
        AnswerTrickle = "answer-trickle",
        /// Reads an answer without an end.
        AnswerEndless = "answer-endless",
        /// Reads an answer of a hundred thousand headers.
        AnswerHeaders = "answer-headers",
        /// Sends a body without an end.
        BodyEndless = "body-endless",
        // In `streams` and `splits`.
        /// Names one stream twice.
        StreamTwice = "stream-twice",
        /// Names a stream in control characters.
        StreamName = "stream-name",
        /// Names a stream in bytes that are no text.
        StreamNotUtf8 = "stream-not-utf8",
        /// Names one split twice.
        SplitTwice = "split-twice",
        /// Names one stream in a split a hundred thousand times.
        SplitStreamTwice = "split-stream-twice",
        /// Hands over documents that are small, each for itself, and together more than memory holds.
        DocumentsMany = "documents-many",
        /// Names a split of a stream that was not asked for.
        SplitStranger = "split-stranger",
        /// Names more streams than any source may have.
        StreamsMany = "streams-many",
        /// Names a stream at the length of a mebibyte.
        StreamLong = "stream-long",
        /// Gives a stream more fields than any may have.
        SchemaMany = "schema-many",
        /// Gives a stream a field twice, its name in control characters.
        SchemaTwice = "schema-twice",
        /// Gives a stream a key that is no field, at length and in control characters.
        SchemaKey = "schema-key",
        /// Names more splits than there may be.
        SplitsMany = "splits-many",
        /// Names a split in control characters.
        SplitName = "split-name",
        /// Gives a split details larger than what one call may copy.
        SplitFuel = "split-fuel",
        // In `read` of a source.
        /// Text whose offsets go back.
        OffsetsDecrease = "offsets-decrease",
        /// Text whose offsets point behind its bytes.
        OffsetsOutside = "offsets-outside",
        /// Text whose offsets end before its bytes.
        OffsetsShort = "offsets-short",
        /// Text whose offsets do not begin at zero.
        OffsetsLate = "offsets-late",
        /// Text whose offsets are negative.
        OffsetsNegative = "offsets-negative",
        /// Text with an offset too few.
        OffsetsFew = "offsets-few",
        /// A validity bitmap of too few bytes.
        ValidityShort = "validity-short",
        /// Fewer values than rows.
        RowsWrong = "rows-wrong",
        /// Text that is not UTF-8.
        Utf8Broken = "utf8-broken",
        /// Text that is UTF-8 as a whole, cut inside a character.
        Utf8Cut = "utf8-cut",
        /// JSON that is none.
        JsonBroken = "json-broken",
        /// JSON nested too deep.
        JsonDeep = "json-deep",
        /// A decimal with more digits than its column.
        DecimalLong = "decimal-long",
        /// A decimal type that there is not.
        DecimalType = "decimal-type",
        /// A row without a value in a column that must have one.
        NullInRequired = "null-in-required",
        /// Two columns of one name.
        ColumnTwice = "column-twice",
        /// A column without a name.
        ColumnNameless = "column-nameless",
        /// Integers in a text column.
        KindWrong = "kind-wrong",
        /// Fewer changes than rows.
        ChangesShort = "changes-short",
        /// A page larger than any may be.
        PageHuge = "page-huge",
        /// Hands over a row group larger than any that is taken.
        ParquetHuge = "parquet-huge",
        /// A page of more rows than any may have.
        PageRows = "page-rows",
        /// A page of more parts than any may have.
        PageParts = "page-parts",
        /// A page larger than what one call may copy.
        PageFuel = "page-fuel",
        /// A cursor larger than any may be.
        CursorHuge = "cursor-huge",
        /// Records of a stream that was not asked for.
        StreamStranger = "stream-stranger",
        /// CSV with a delimiter that is not ASCII.
        Delimiter = "delimiter",
        /// Fewer values than rows, as boolean.
        RowsBoolean = "rows-boolean",
        /// Fewer values than rows, as float64.
        RowsFloat64 = "rows-float64",
        /// Fewer values than rows, as decimal.
        RowsDecimal = "rows-decimal",
        /// Fewer values than rows, as binary.
        RowsBinary = "rows-binary",
        /// Fewer values than rows, as date.
        RowsDate = "rows-date",
        /// Fewer values than rows, as timestamp.
        RowsTimestamp = "rows-timestamp",
        /// Fewer values than rows, as json.
        RowsJson = "rows-json",
        /// More values than rows.
        RowsMany = "rows-many",
        /// Values and no rows.
        RowsNone = "rows-none",
        /// More bits than rows.
        BooleanLong = "boolean-long",
        /// A decimal of fifteen bytes.
        DecimalTorn = "decimal-torn",
        /// A decimal type without digits.
        DecimalZero = "decimal-zero",
        /// A decimal type with more digits behind the point than there are.
        DecimalScale = "decimal-scale",
        /// A decimal type with a negative number of digits behind the point.
        DecimalNegative = "decimal-negative",
        /// The least number of all, whose absolute value is none.
        DecimalLeast = "decimal-least",
        /// A validity bitmap of too few bytes, beside boolean.
        ValidityBoolean = "validity-boolean",
        /// A validity bitmap of too few bytes, beside float64.
        ValidityFloat64 = "validity-float64",
        /// A validity bitmap of too few bytes, beside decimal.
        ValidityDecimal = "validity-decimal",
        /// A validity bitmap of too few bytes, beside text.
        ValidityText = "validity-text",
        /// A validity bitmap of too few bytes, beside binary.
        ValidityBinary = "validity-binary",
        /// A validity bitmap of too few bytes, beside date.
        ValidityDate = "validity-date",
        /// A validity bitmap of too few bytes, beside timestamp.
        ValidityTimestamp = "validity-timestamp",
        /// A validity bitmap of too few bytes, beside json.
        ValidityJson = "validity-json",
        /// A validity bitmap of too many bytes.
        ValidityLong = "validity-long",
        /// Binary whose offsets go back.
        BinaryDecrease = "binary-decrease",
        /// Binary whose offsets point behind its bytes.
        BinaryOutside = "binary-outside",
        /// Binary whose offsets end before its bytes.
        BinaryShort = "binary-short",
        /// Binary whose offsets do not begin at zero.
        BinaryLate = "binary-late",
        /// Binary whose offsets are negative.
        BinaryNegative = "binary-negative",
        /// JSON whose offsets go back.
        JsonDecrease = "json-decrease",
        /// JSON whose offsets point behind its bytes.
        JsonOutside = "json-outside",
        /// JSON whose offsets end before its bytes.
        JsonShort = "json-short",
        /// JSON whose offsets do not begin at zero.
        JsonLate = "json-late",
        /// JSON whose offsets are negative.
        JsonNegative = "json-negative",
        /// Text whose last offset is the largest there is.
        OffsetsMost = "offsets-most",
        /// Text with the least offset there is among its offsets.
        OffsetsLeast = "offsets-least",
        /// Text whose offsets say they take a gibibyte.
        OffsetsGibibyte = "offsets-gibibyte",
        /// Values of another type in a column of boolean.
        KindBoolean = "kind-boolean",
        /// Values of another type in a column of int64.
        KindInt64 = "kind-int64",
        /// Values of another type in a column of float64.
        KindFloat64 = "kind-float64",
        /// Values of another type in a column of decimal.
        KindDecimal = "kind-decimal",
        /// Values of another type in a column of binary.
        KindBinary = "kind-binary",
        /// Values of another type in a column of date.
        KindDate = "kind-date",
        /// Values of another type in a column of timestamp.
        KindTimestamp = "kind-timestamp",
        /// Values of another type in a column of json.
        KindJson = "kind-json",
        /// Text with half a pair of surrogates in it.
        Utf8Surrogate = "utf8-surrogate",
        /// Text with a zero byte that is written in two.
        Utf8Overlong = "utf8-overlong",
        /// Bytes that are no text, where a row has no value: the contract allows it.
        Utf8Unseen = "utf8-unseen",
        /// More columns than any page may have.
        ColumnsMany = "columns-many",
        /// A column whose name is a mebibyte.
        ColumnLong = "column-long",
        /// A column whose name is no text.
        ColumnNotUtf8 = "column-not-utf8",
        /// A column twice, its name in control characters.
        ColumnTwiceHidden = "column-twice-hidden",
        /// A column whose name is in control characters, and nothing else wrong with it.
        ColumnHidden = "column-hidden",
        /// More changes than rows.
        ChangesLong = "changes-long",
        /// A document that says it has a gibibyte.
        DocumentGibibyte = "document-gibibyte",
        /// A document whose name is a mebibyte of control characters.
        DocumentName = "document-name",
        /// A document whose pointer is no pointer, at length.
        DocumentPointer = "document-pointer",
        /// A cursor of a hundred megabytes.
        CursorFuel = "cursor-fuel",
        /// A cursor that says it has a gibibyte.
        CursorGibibyte = "cursor-gibibyte",
        /// Cursors that go backwards.
        CursorBack = "cursor-back",
        /// Puts all it heard of a secret into its cursor, its records and its names.
        EchoKept = "echo-kept",
        /// Computes for ever when its reader is dropped.
        DropLoop = "drop-loop",
        /// Panics when its reader is dropped.
        DropPanic = "drop-panic",
    }
    // In `apply` of a transform.
    Transform {
        /// Keeps twice.
        KeepTwice = "keep-twice",
        /// Keeps with too few bits.
        KeepShort = "keep-short",
        /// Rejects a row that does not exist.
        RejectOutside = "reject-outside",
        /// Rejects a row of a part that does not exist.
        RejectPart = "reject-part",
        /// Makes a row from one that does not exist.
        OriginOutside = "origin-outside",
        /// Names fewer origins than rows.
        OriginsShort = "origins-short",
        /// Rejects a row and makes another from it.
        OriginRejected = "origin-rejected",
        /// Replaces and puts.
        ReplaceBesidePut = "replace-beside-put",
        /// Promises one schema and makes another.
        OutputDiffers = "output-differs",
        /// Promises a type and makes another.
        OutputKind = "output-kind",
        /// Drops a column that is not there.
        DropMissing = "drop-missing",
        /// Renames one column to the name of another.
        RenameOnto = "rename-onto",
        /// Puts a column of too few rows.
        PutShort = "put-short",
        /// Reads a column that is not granted, is refused, and goes on.
        ReadUndeclared = "read-undeclared",
        /// Writes a column that is not granted.
        WriteUndeclared = "write-undeclared",
        /// Drops a column that is not granted.
        DropUndeclared = "drop-undeclared",
        /// Replaces a batch by one without a column that it may not drop.
        ReplaceUndeclared = "replace-undeclared",
        /// Asks for a column that is not granted, for ever.
        ColumnStorm = "column-storm",
        /// Keeps with too many bits.
        KeepLong = "keep-long",
        /// Rejects one row a hundred thousand times.
        RejectMany = "reject-many",
        /// Rejects a row in control characters, at length.
        RejectText = "reject-text",
        /// Makes a batch of four thousand million rows from nothing.
        ReplaceRows = "replace-rows",
        /// Puts text whose offsets lie.
        PutOffsets = "put-offsets",
        /// Puts the same column ten thousand times.
        PutMany = "put-many",
        /// Renames a column to control characters.
        RenameHidden = "rename-hidden",
        /// Promises more fields than any schema may have.
        OutputMany = "output-many",
        /// Promises one field twice.
        OutputTwice = "output-twice",
        /// Panics in the middle of a batch.
        ApplyPanic = "apply-panic",
        /// Fails at the records that its settings name, and hands on all others: see `poison`.
        Poison = "poison",
    }
    // In `write` and `committed` of a sink.
    Sink {
        /// Never lets go of a batch.
        BatchLeak = "batch-leak",
        /// Reads a batch after its unit.
        BatchLate = "batch-late",
        /// Rejects a row of a part that does not exist.
        SinkRejectPart = "sink-reject-part",
        /// Rejects a row that does not exist.
        SinkRejectRow = "sink-reject-row",
        /// Says that it holds the commit of another pipeline.
        CommitStranger = "commit-stranger",
        /// Says that it holds a commit from the end of all counting.
        CommitAhead = "commit-ahead",
        /// Says that it holds a commit with a cursor larger than any may be.
        CommitHuge = "commit-huge",
        /// Looks for a column that is not granted in all that the host encodes.
        EncodeUndeclared = "encode-undeclared",
        /// Asks for a Parquet file of no batches.
        ParquetEmpty = "parquet-empty",
        /// Asks for one Parquet file of batches whose schemas differ.
        ParquetMixed = "parquet-mixed",
        /// Has the host encode a batch for ever.
        EncodeStorm = "encode-storm",
        /// Rejects one row a hundred thousand times.
        SinkRejectMany = "sink-reject-many",
        /// Rejects a row in control characters, at length.
        SinkRejectText = "sink-reject-text",
        /// Panics in the middle of a unit.
        WritePanic = "write-panic",
        /// Fails at the records that its settings name, and keeps all others: see `poison`.
        SinkPoison = "sink-poison",
    }
}
