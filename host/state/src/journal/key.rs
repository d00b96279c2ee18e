//! Keys. Names go in as digests, for keys are not encrypted and names may say too much. So whoever has the directory and
//! not its key can count splits and dead letters, and tell whether a name that they guess is there; no more.

use sha2::{Digest as _, Sha256};
use sluice_model::checkpoint::Mark;
use sluice_model::ids::{PipelineName, SplitId, StreamName};
use sluice_model::ports::Namespace;

/// The first 16 bytes of SHA-256: as good as unique among names that people choose.
const NAME_BYTES: usize = 16;
const SCHEMA: &[u8] = b"schema/";
const IDENTITIES: &[u8] = b"identities/";
const ACCOUNT: &[u8] = b"account/";
const SEEN: &[u8] = b"seen/";
const PAUSE: &[u8] = b"pause/";
/// What in the namespace of metadata belongs to one pipeline.
const OWNED: [&[u8]; 5] = [SCHEMA, IDENTITIES, ACCOUNT, PAUSE, SEEN];

/// A pipeline, as it stands in keys.
pub(crate) type Owner = [u8; NAME_BYTES];

/// See [`Owner`].
pub(crate) fn owner_of(pipeline: &PipelineName) -> Owner {
    name(pipeline.as_str())
}

/// Whose a row is; none where it belongs to no pipeline alone. How far dead letters are numbered belongs to none: a number
/// is never given twice, even after the pipeline's data was shredded.
pub(crate) fn owner(namespace: Namespace, key: &[u8]) -> Option<Owner> {
    let name = match namespace {
        Namespace::Checkpoint | Namespace::DeadLetter => key,
        Namespace::Meta => OWNED.iter().find_map(|start| key.strip_prefix(*start))?,
    };
    name.first_chunk().copied()
}

/// Where a pipeline's checkpoints, dead letters, schemas, key of row identities, account, pause and what was seen stand:
/// the beginnings of their keys.
pub(crate) fn places_of(owner: Owner) -> [(Namespace, Vec<u8>); 7] {
    let meta = |start: &[u8]| (Namespace::Meta, [start, &owner].concat());
    [
        (Namespace::Checkpoint, owner.to_vec()),
        (Namespace::DeadLetter, owner.to_vec()),
        meta(SCHEMA),
        meta(IDENTITIES),
        meta(ACCOUNT),
        meta(PAUSE),
        meta(SEEN),
    ]
}

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
pub(super) fn identities(of: &PipelineName) -> Vec<u8> {
    [IDENTITIES, &name(of.as_str())].concat()
}

/// In the namespace of metadata.
pub(super) fn account(of: &PipelineName) -> Vec<u8> {
    [ACCOUNT, &name(of.as_str())].concat()
}

/// In the namespace of metadata.
pub(super) fn pause(of: &PipelineName) -> Vec<u8> {
    [PAUSE, &name(of.as_str())].concat()
}

/// In the namespace of metadata.
pub(super) fn schemas(of: &PipelineName) -> Vec<u8> {
    [SCHEMA, &name(of.as_str())].concat()
}

pub(super) fn schema(of: &PipelineName, stream: &StreamName) -> Vec<u8> {
    [schemas(of).as_slice(), &name(stream.as_str())].concat()
}

/// In the namespace of metadata.
pub(super) fn all_seen(of: &PipelineName) -> Vec<u8> {
    [SEEN, &name(of.as_str())].concat()
}

/// In the namespace of metadata.
pub(super) fn seen(of: &PipelineName, split: &SplitId, mark: Mark) -> Vec<u8> {
    let (epoch, sequence) = (mark.epoch.to_be_bytes(), mark.sequence.to_be_bytes());
    [&*seen_of(of, split), &epoch, &sequence].concat()
}

/// In the namespace of metadata.
pub(super) fn seen_of(of: &PipelineName, split: &SplitId) -> Vec<u8> {
    [&*all_seen(of), &name(split.as_str())].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_has_its_owner() {
        let of: PipelineName = "orders".parse().expect("a name");
        let split: SplitId = "a.csv".parse().expect("a split");
        let stream: StreamName = "rows".parse().expect("a stream");
        let ours = Some(owner_of(&of));
        for (namespace, key) in [
            (Namespace::Checkpoint, checkpoint(&of, &split)),
            (Namespace::DeadLetter, letter(&of, 7)),
            (Namespace::Meta, schema(&of, &stream)),
            (Namespace::Meta, identities(&of)),
            (Namespace::Meta, account(&of)),
            (Namespace::Meta, pause(&of)),
        ] {
            assert_eq!(owner(namespace, &key), ours);
            let place = places_of(owner_of(&of));
            assert!(
                place
                    .iter()
                    .any(|(space, start)| *space == namespace && key.starts_with(start))
            );
        }
        assert_eq!(owner(Namespace::Meta, &numbering(&of)), None);
        assert_eq!(owner(Namespace::Checkpoint, b"short"), None);
    }
}
