//! Keys. Names go in as digests, for keys are not encrypted and names may say too much.

use sha2::{Digest as _, Sha256};
use sluice_model::ids::{PipelineName, SplitId, StreamName};

/// The first 16 bytes of SHA-256: as good as unique among names that people choose.
const NAME_BYTES: usize = 16;

fn name(text: &str) -> [u8; NAME_BYTES] {
    let digest = Sha256::digest(text.as_bytes());
    *digest.first_chunk().expect("a digest has 32 bytes")
}

pub(super) fn pipeline(pipeline: &PipelineName) -> Vec<u8> {
    name(pipeline.as_str()).to_vec()
}

pub(super) fn checkpoint(of: &PipelineName, split: &SplitId) -> Vec<u8> {
    [name(of.as_str()), name(split.as_str())].concat()
}

pub(super) fn letter(of: &PipelineName, number: u64) -> Vec<u8> {
    [name(of.as_str()).as_slice(), &number.to_be_bytes()].concat()
}

/// In the namespace of metadata: how far dead letters' numbers are given out.
pub(super) fn numbering(of: &PipelineName) -> Vec<u8> {
    [b"letters/".as_slice(), &name(of.as_str())].concat()
}

/// In the namespace of metadata.
pub(super) fn schemas(of: &PipelineName) -> Vec<u8> {
    [b"schema/".as_slice(), &name(of.as_str())].concat()
}

pub(super) fn schema(of: &PipelineName, stream: &StreamName) -> Vec<u8> {
    [schemas(of).as_slice(), &name(stream.as_str())].concat()
}
