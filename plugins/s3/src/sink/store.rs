//! What the sink asks of a bucket. A trait, so that tests can end the process between any two of these steps.

use crate::bucket::{Bucket, Completed, Upload};
use sluice_sdk::Fault;

/// A bucket that objects are written to.
pub(super) trait Store {
    /// A whole object and its ETag; none where there is none.
    fn get(&self, key: &str) -> Result<Option<(Vec<u8>, String)>, Fault>;
    /// Whether there is an object of this key.
    fn exists(&self, key: &str) -> Result<bool, Fault>;
    /// Atomic, and durable when it returns. Replaces the object of this ETag, or none, and no other; gives its own.
    fn put(&self, key: &str, bytes: Vec<u8>, over: Option<&str>) -> Result<String, Fault>;
    /// Begins an object that nobody sees before it is completed.
    fn begin(&self, key: &str, content_type: &str) -> Result<Upload, Fault>;
    /// Sends one part, counted from 1. Durable when it returns.
    fn part(&self, upload: &Upload, number: usize, bytes: Vec<u8>) -> Result<String, Fault>;
    /// Atomic, and durable when it returns.
    fn complete(&self, upload: &Upload, parts: &[String]) -> Result<Completed, Fault>;
    fn abort(&self, upload: &Upload) -> Result<(), Fault>;
    /// The uploads of keys that begin so. None where the server does not list them.
    fn uploads(&self, prefix: &str) -> Result<Option<Vec<Upload>>, Fault>;
}

impl Store for Bucket {
    fn get(&self, key: &str) -> Result<Option<(Vec<u8>, String)>, Fault> {
        Bucket::get(self, key)
    }

    fn exists(&self, key: &str) -> Result<bool, Fault> {
        Bucket::exists(self, key)
    }

    fn put(&self, key: &str, bytes: Vec<u8>, over: Option<&str>) -> Result<String, Fault> {
        Bucket::put(self, key, bytes, over)
    }

    fn begin(&self, key: &str, content_type: &str) -> Result<Upload, Fault> {
        Bucket::begin(self, key, content_type)
    }

    fn part(&self, upload: &Upload, number: usize, bytes: Vec<u8>) -> Result<String, Fault> {
        Bucket::part(self, upload, number, bytes)
    }

    fn complete(&self, upload: &Upload, parts: &[String]) -> Result<Completed, Fault> {
        Bucket::complete(self, upload, parts)
    }

    fn abort(&self, upload: &Upload) -> Result<(), Fault> {
        Bucket::abort(self, upload)
    }

    fn uploads(&self, prefix: &str) -> Result<Option<Vec<Upload>>, Fault> {
        Bucket::uploads(self, prefix)
    }
}
