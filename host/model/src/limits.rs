//! Every bound of the house that is not a setting, by name, with the attack it stops. Units last.

use std::time::Duration;

/// Fields of one schema. Stops a source that names a new field in each record from growing every batch for ever.
pub const FIELDS_MAX: usize = 2_000;

/// All names of one schema together. Stops names from being most of each record as JSON, and of each row's identity.
pub const SCHEMA_NAME_BYTES_MAX: usize = 128 << 10;

/// Rows of one batch on its way through the stages. Keeps the columns a stage touches inside the cache.
pub const BATCH_ROWS_MAX: usize = 1_024;

/// What one read is asked for. Large enough that a call's fixed cost is nothing, small enough that pages in flight
/// stay a few megabytes.
pub const PAGE_BYTES: u32 = 1 << 20;
/// Rows one read is asked for.
pub const PAGE_ROWS: u32 = 8_192;
/// What one page may hold whatever was asked: a source that ignores its limit cannot fill the host's memory.
pub const PAGE_BYTES_MAX: usize = 16 << 20;
/// Rows one page may hold whatever was asked.
pub const PAGE_ROWS_MAX: usize = 1 << 20;
/// Parts of one page. Stops a page of a million empty parts.
pub const PAGE_PARTS_MAX: usize = 4_096;

/// One record's bytes in a text document. Stops a file without line ends from becoming one record in memory.
pub const RECORD_BYTES_MAX: usize = 4 << 20;
/// Records refused of one document. Stops a file of a million broken lines from becoming a million dead letters in
/// memory at once.
pub const DOCUMENT_REJECTIONS_MAX: usize = 128 << 10;
/// Rows times columns of one document. Stops a file of a million `{}` from being filled up with nulls in memory.
pub const DOCUMENT_CELLS_MAX: usize = 8 << 20;
/// The end of a Parquet file, its metadata. Stops a footer of a million row groups from being a tree in memory.
pub const PARQUET_FOOTER_BYTES_MAX: usize = 1 << 20;
/// What one page of a source may hold of row groups, packed as they lie in their files: a row group is handed over whole
/// for each page of it. Stops a source that fills the host's memory with what is not unpacked yet.
pub const PARQUET_PACKED_BYTES_MAX: usize = 48 << 20;
/// One page of a Parquet file, unpacked. Stops a page whose header says two gigabytes from being made room for.
pub const PARQUET_PAGE_BYTES_MAX: usize = 16 << 20;
/// What the pages of one row group may become together, unpacked. Stops a decompression bomb.
pub const PARQUET_GROUP_BYTES_MAX: u64 = 256 << 20;
/// What one page may become in memory, refused records included. Stops many small documents, each within its bounds, from
/// becoming more together than the host has.
pub const PAGE_DECODED_BYTES_MAX: u64 = 128 << 20;
/// Rows that a transform may make of one batch, times the columns of the wider of the two. Stops one record from becoming
/// more than memory holds, and its identities more than a call's time.
pub const EDIT_CELLS_MAX: usize = 4 << 20;

/// A cursor. Stops a source from filling the state store through its checkpoints.
pub const CURSOR_BYTES_MAX: usize = 64 << 10;

/// The highest epoch or sequence that a sink may say it holds: a million units a second for 285 years. Stops a sink from
/// claiming the last number there is, after which the host could not count on.
pub const MARK_MAX: u64 = 1 << 53;

/// What a sink may ask to be fed at once, in its manifest: bytes, rows, and how long is waited for more. Stops a manifest
/// from having the host gather records without end.
pub const UNIT_BYTES_MAX: u64 = 64 << 20;
/// See [`UNIT_BYTES_MAX`].
pub const UNIT_ROWS_MAX: u64 = 1 << 20;
/// See [`UNIT_BYTES_MAX`].
pub const UNIT_LINGER_MAX: Duration = Duration::from_mins(10);

/// Splits of one pipeline. Stops a source from opening an instance for each of a million names.
pub const SPLITS_MAX: usize = 100_000;
/// Streams a source may name. Stops a catalogue without end.
pub const STREAMS_MAX: usize = 10_000;

/// A dead letter's record as it is kept. Larger ones are cut and marked.
pub const DEAD_LETTER_RECORD_BYTES_MAX: usize = 256 << 10;
/// A file's header as it is kept with each of its rows that is a dead letter. Stops a long header from being kept, and
/// held in memory, a hundred thousand times; its rows have to be edited before they are sent again.
pub const DEAD_LETTER_HEADER_BYTES_MAX: usize = 16 << 10;
/// What the letters of one answer may take. Stops whoever looks at large ones from filling memory with them.
pub const LETTERS_FOUND_BYTES_MAX: u64 = 8 << 20;
/// A rejection's code and message. Stops a plugin from writing novels into the DLQ.
pub const REJECTION_CODE_BYTES_MAX: usize = 64;
/// See [`REJECTION_CODE_BYTES_MAX`].
pub const REJECTION_MESSAGE_BYTES_MAX: usize = 1_024;
/// What a plugin says of its own fault, and what its trap left behind.
pub const FAULT_BYTES_MAX: usize = 2 << 10;
/// A column's name. Stops a name from being the data.
pub const FIELD_NAME_BYTES_MAX: usize = 1_024;

/// Nesting of a JSON value. Stops `[[[[…` from ending the host's stack.
pub const JSON_DEPTH_MAX: usize = 64;

/// A component file. Stops a download from filling memory before it is even parsed.
pub const COMPONENT_BYTES_MAX: usize = 64 << 20;
/// Components and modules inside one another. Toolchains make three or four. Stops a nest of ten thousand from ending the
/// stack of whoever goes through it.
pub const COMPONENT_DEPTH_MAX: usize = 32;
/// A manifest, and the config schema beside it.
pub const MANIFEST_BYTES_MAX: usize = 256 << 10;
/// The list of crates inside a component, unpacked. Stops a decompression bomb in a section that only people read.
pub const DEPENDENCIES_BYTES_MAX: usize = 2 << 20;
/// Tools, crates and unreadable sections that are listed of one component. Stops a page without end.
pub const ORIGIN_ENTRIES_MAX: usize = 5_000;
/// Paths of one manifest compared with those of another. Stops two long lists from multiplying: what is more is told as
/// wider, uncompared.
pub const COMPARISONS_MAX: usize = 4 << 20;
/// A signature file. Stops a signature from being a parser's burden before anybody vouches for it.
pub const SIGNATURE_BYTES_MAX: usize = 64 << 10;
/// How far a signer's clock may run before ours. A statement from later than that was made to outlive its key.
pub const SIGNATURE_SKEW_MAX: Duration = Duration::from_hours(1);

/// Linear memory of one instance where the manifest names none, and the ceiling of what it may name.
pub const MEMORY_BYTES_DEFAULT: u64 = 64 << 20;
/// See [`MEMORY_BYTES_DEFAULT`].
pub const MEMORY_BYTES_MAX: u64 = 512 << 20;
/// Table entries of one instance. Stops a table bomb; the largest guest seen (Python) uses about 20,000.
pub const TABLE_ENTRIES_MAX: usize = 100_000;
/// Core instances, memories and tables inside one component. JS and Python components have about 20.
pub const CORE_INSTANCES_MAX: usize = 100;
/// Resource handles one instance may hold. Stops a handle leak from filling the host's table.
pub const HANDLES_MAX: usize = 256;
/// What one host call may copy out of a guest. Stops a 1 GiB string from being allocated in the host.
pub const HOSTCALL_BYTES_MAX: usize = 64 << 20;
/// One call of a plugin where the manifest names none, and the ceiling of what it may name. Stops a loop.
pub const CALL_TIME_DEFAULT: Duration = Duration::from_secs(10);
/// See [`CALL_TIME_DEFAULT`].
pub const CALL_TIME_MAX: Duration = Duration::from_mins(5);
/// Log lines a plugin may write in a run before the rest are only counted. Stops a log flood.
pub const LOG_LINES_MAX: u64 = 1_000;
/// One log line, fields included.
pub const LOG_LINE_BYTES_MAX: usize = 4 << 10;
/// What is kept of a guest's standard error: the last of it, where a panic's message stands.
pub const STDERR_BYTES_MAX: usize = 4 << 10;

/// Entries of one directory listing.
pub const DIR_ENTRIES_MAX: usize = 100_000;
/// Directories inside one another, in a listing. Stops a tree without end.
pub const DIR_DEPTH_MAX: usize = 64;
/// A path inside a granted directory.
pub const DIR_PATH_BYTES_MAX: usize = 1_024;
/// What one read of a file may return.
pub const DIR_READ_BYTES_MAX: u32 = 8 << 20;

/// A request's or an answer's headers, together and by number. Stops header floods from either side.
pub const HTTP_HEADERS_MAX: usize = 100;
/// See [`HTTP_HEADERS_MAX`].
pub const HTTP_HEADER_BYTES_MAX: usize = 64 << 10;
/// A request body. Stops a plugin from sending without end.
pub const HTTP_REQUEST_BYTES_MAX: u64 = 64 << 20;
/// An answer's body. Stops a server from sending without end.
pub const HTTP_RESPONSE_BYTES_MAX: u64 = 64 << 20;
/// Requests one instance may have open at once.
pub const HTTP_REQUESTS_IN_FLIGHT_MAX: usize = 16;
/// Looking a name up. Stops a resolver that never answers.
pub const DNS_TIME_MAX: Duration = Duration::from_secs(5);
/// Look-ups of one stage at once, those that nobody waits for any more among them. Stops a plugin that gives up each at
/// once from taking all threads.
pub const DNS_LOOK_UPS_MAX: usize = 8;
/// Addresses a name may have.
pub const DNS_ADDRESSES_MAX: usize = 32;
/// The authority and the method of a request, as a guest sets them: a host name has 253 bytes. Stops requests that are
/// never sent from holding megabytes each in the host.
pub const HTTP_AUTHORITY_BYTES_MAX: usize = 512;
/// See [`HTTP_AUTHORITY_BYTES_MAX`].
pub const HTTP_METHOD_BYTES_MAX: usize = 64;
/// One piece of a request's body on its way from the guest: two of them wait in the host for each request.
pub const HTTP_BODY_CHUNK_BYTES: usize = 64 << 10;
/// Opening a connection, TLS included.
pub const HTTP_CONNECT_TIME_MAX: Duration = Duration::from_secs(10);
/// From the request to the answer's headers.
pub const HTTP_FIRST_BYTE_TIME_MAX: Duration = Duration::from_mins(1);
/// Between two pieces of an answer's body. Stops a slow trickle from holding a connection.
pub const HTTP_BETWEEN_BYTES_TIME_MAX: Duration = Duration::from_secs(30);
/// Waiting for all of an answer's body. Stops a server that sends a byte now and then from holding a connection for
/// ever.
pub const HTTP_ANSWER_TIME_MAX: Duration = Duration::from_mins(10);
/// What `rate` in a grant may say: each of these requests' beginning is remembered. Stops a slip of the pen from
/// filling memory.
pub const HTTP_RATE_REQUESTS_MAX: u32 = 10_000;
/// What a token endpoint may answer. Stops it from being a way to fill the host's memory.
pub const OAUTH2_ANSWER_BYTES_MAX: u64 = 64 << 10;
/// Trading a secret for a token, from the look-up of its host to the last byte of the answer. Stops one token endpoint
/// from holding all requests that wait for it.
pub const OAUTH2_TIME_MAX: Duration = Duration::from_secs(30);
/// From one trade of a secret to its next. Stops an API that takes no token, and a token that ends at once, from having
/// the host ask for tokens as often as a plugin sends requests.
pub const OAUTH2_INTERVAL_MIN: Duration = Duration::from_secs(1);
/// How long the refusal of a token endpoint holds for the same value. Stops a plugin that tries again and again from
/// having the client locked out.
pub const OAUTH2_REFUSAL_TIME: Duration = Duration::from_secs(10);
/// An access token, and a refresh token. Stops what a token endpoint says from growing every request after it.
pub const OAUTH2_TOKEN_BYTES_MAX: usize = 16 << 10;

/// Connections one instance may hold. Stops a plugin from taking every socket of the host.
pub const TCP_CONNECTIONS_MAX: usize = 16;
/// Opening a connection, its TLS included; and one upgrade to TLS. Stops a server that accepts and then is silent.
pub const TCP_CONNECT_TIME_MAX: Duration = Duration::from_secs(10);
/// One read, where nothing comes. Stops a silent server from holding a call; a plugin that waits longer asks again.
pub const TCP_READ_TIME_MAX: Duration = Duration::from_mins(1);
/// One write, or the end of writing. Stops a server that never reads.
pub const TCP_WRITE_TIME_MAX: Duration = Duration::from_secs(30);
/// What one read may return. Stops a plugin from making the host allocate what never comes.
pub const TCP_READ_BYTES_MAX: usize = 256 << 10;
/// What one write may hold. Stops one call from outlasting its time on a slow line.
pub const TCP_WRITE_BYTES_MAX: usize = 1 << 20;
/// What a stage may send, and what it may receive, in one run by one entry of its grant that names no less. Stops a
/// plugin from becoming a pipe without end.
pub const TCP_BYTES_MAX: u64 = 1 << 40;
/// Secrets that one instance may have revealed, repetitions included. Stops a loop from filling the audit trail.
pub const REVEALS_MAX: u32 = 100;

/// One value in the state store. Stops one caller from filling the store's memory: a batch is held in memory whole.
pub const STATE_VALUE_BYTES_MAX: usize = 16 << 20;
/// Keys and values of one batch in the state store. See [`STATE_VALUE_BYTES_MAX`].
pub const STATE_BATCH_BYTES_MAX: usize = 24 << 20;
/// A key in the state store. Keeps the index pages of the engine small.
pub const STATE_KEY_BYTES_MAX: usize = 1 << 10;

/// One secret. Stops a wrong path (a disk image, a log) from being sent as a token.
pub const SECRET_BYTES_MAX: u64 = 64 << 10;
/// A vault of secrets. It is read and written whole.
pub const VAULT_BYTES_MAX: usize = 16 << 20;
/// One value of an audit entry. Stops a plugin from writing novels into the trail.
pub const AUDIT_VALUE_BYTES_MAX: usize = 512;
/// Columns or other names in one audit entry. See [`AUDIT_VALUE_BYTES_MAX`].
pub const AUDIT_NAMES_MAX: usize = 64;
/// One line of the trail. Stops a forged line from filling the memory of whoever reads it.
pub const AUDIT_LINE_BYTES_MAX: usize = 64 << 10;
/// A file of the trail before the next begins: what is read again at each start.
pub const AUDIT_SEGMENT_BYTES: u64 = 4 << 20;
/// Entries that may stand in the trail without a signature over them.
pub const AUDIT_UNSIGNED_ENTRIES_MAX: u64 = 1_000;
/// How long entries may stand in the trail without a signature over them.
pub const AUDIT_UNSIGNED_TIME_MAX: Duration = Duration::from_secs(10);
/// How long refusals and uses are gathered before they are written. Stops a plugin that is refused a million times a
/// second from filling the disk.
pub const AUDIT_WINDOW: Duration = Duration::from_mins(1);
/// Different refusals, or different uses, of one stage that a window tells apart; the rest are counted together. With
/// [`AUDIT_WINDOW`], what a stage can make the trail grow by: about 100 KB a minute.
pub const AUDIT_WINDOW_KINDS_MAX: usize = 32;
/// Different requests, or different names of one capability, that the record of a trial run tells apart. Stops a
/// plugin that asks for ever new things from filling memory.
pub const TRIAL_NAMES_MAX: usize = 1_000;
