//! Bytes to record batches and back: NDJSON, JSON, CSV. Pure.
