//! Every way the hostile plugin misbehaves. Shared with the engine's tests, which match on it: a behaviour without an
//! expectation there does not compile.

macro_rules! behaviours {
    ($($(#[$doc:meta])* $name:ident = $word:literal),+ $(,)?) => {
        /// One way to misbehave.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Behaviour { $($(#[$doc])* $name),+ }

        impl Behaviour {
            /// All of them.
            pub const ALL: &[Behaviour] = &[$(Behaviour::$name),+];

            /// As the settings name it.
            pub fn word(self) -> &'static str {
                match self { $(Behaviour::$name => $word),+ }
            }
        }
    };
}

behaviours! {
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
    /// Sends requests and never waits for an answer.
    RequestsOpen = "requests-open",
    /// Says what went wrong in control characters, at length.
    FaultText = "fault-text",
    // In `streams` and `splits`.
    /// Names one stream twice.
    StreamTwice = "stream-twice",
    /// Names a stream in control characters.
    StreamName = "stream-name",
    /// Names a stream in bytes that are no text.
    StreamNotUtf8 = "stream-not-utf8",
    /// Names more streams than a catalogue may have.
    StreamsMany = "streams-many",
    /// Names one split twice.
    SplitTwice = "split-twice",
    /// Names a split of a stream that was not asked for.
    SplitStranger = "split-stranger",
    /// Names more splits than a pipeline may have.
    SplitsMany = "splits-many",
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
    // In `apply` of a transform.
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
    // In `write` and `committed` of a sink.
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
    /// Says that it holds a commit with a longer cursor than any the host gave.
    CommitCursor = "commit-cursor",
}
