//! One sealed value: `version (1) ‖ algorithm (1) ‖ key id (8) ‖ nonce (12) ‖ ciphertext ‖ tag (16)`.
//!
//! Invariant: it opens only under the key it was sealed with, in the store and at the key in the store it was sealed for
//! (test: `seals`). That an *older* value of the same place opens is not for this file to see.

use crate::keys::{KeyBytes, KeyId, NoRandom, aad, random};
use ring::aead::{Aad, LessSafeKey, NONCE_LEN, Nonce};
use sluice_model::guards::Guard;

/// What a seal adds to a value.
pub(crate) const SEAL_BYTES: usize = HEAD_BYTES + NONCE_LEN + TAG_BYTES;

const VERSION: u8 = 1;
const AES_256_GCM: u8 = 1;
const HEAD_BYTES: usize = 2 + 8;
const TAG_BYTES: usize = 16;

/// The number of one store, so that values of another do not open in it.
pub(crate) type StoreId = [u8; 16];

/// A key that seals data.
pub(crate) struct Dek {
    pub id: KeyId,
    key: LessSafeKey,
}

impl Dek {
    pub fn new(id: KeyId, bytes: &KeyBytes) -> Self {
        Self {
            id,
            key: crate::keys::aead_key(bytes),
        }
    }
}

/// Where a value belongs: what it is bound to.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub store: &'a StoreId,
    /// The namespace.
    pub space: u8,
    pub key: &'a [u8],
}

impl Place<'_> {
    fn bound(&self, id: KeyId) -> Vec<u8> {
        if !Guard::SealPlace.stands() {
            return aad(&[&[VERSION], &[AES_256_GCM], &id.0]);
        }
        aad(&[
            &[VERSION],
            &[AES_256_GCM],
            &id.0,
            self.store,
            &[self.space],
            self.key,
        ])
    }
}

/// Why a value does not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unsealed {
    #[error("it is not sealed")]
    NoSeal,
    #[error("it is not sealed in a way that this version of sluice knows ({0}, {1})")]
    Unknown(u8, u8),
    #[error("it was changed, or belongs elsewhere")]
    Changed,
}

pub(crate) fn seal(dek: &Dek, place: Place<'_>, value: &[u8]) -> Result<Vec<u8>, NoRandom> {
    let nonce = random::<NONCE_LEN>()?;
    let mut sealed = Vec::with_capacity(value.len() + SEAL_BYTES);
    sealed.extend([VERSION, AES_256_GCM]);
    sealed.extend(dek.id.0);
    sealed.extend(nonce);
    sealed.extend(value);
    let tag = dek.key.seal_in_place_separate_tag(
        Nonce::assume_unique_for_key(nonce),
        Aad::from(place.bound(dek.id)),
        &mut sealed[HEAD_BYTES + NONCE_LEN..],
    );
    sealed.extend(
        tag.expect("a value is far below the cipher's 64 GiB")
            .as_ref(),
    );
    Ok(sealed)
}

/// The key that a value says it is sealed with. Not to be believed before it opens.
pub(crate) fn key_id(sealed: &[u8]) -> Result<KeyId, Unsealed> {
    let (head, rest) = sealed
        .split_first_chunk::<HEAD_BYTES>()
        .ok_or(Unsealed::NoSeal)?;
    let (version, algorithm) = (head[0], head[1]);
    if (version, algorithm) != (VERSION, AES_256_GCM) {
        return Err(Unsealed::Unknown(version, algorithm));
    }
    if rest.len() < NONCE_LEN + TAG_BYTES {
        return Err(Unsealed::NoSeal);
    }
    let id = head[2..].first_chunk().ok_or(Unsealed::NoSeal)?;
    Ok(KeyId(*id))
}

/// The value, where `dek` is the key it was sealed with.
pub(crate) fn open(dek: &Dek, place: Place<'_>, mut sealed: Vec<u8>) -> Result<Vec<u8>, Unsealed> {
    if key_id(&sealed)? != dek.id {
        return Err(Unsealed::Changed);
    }
    let nonce = sealed[HEAD_BYTES..]
        .first_chunk::<NONCE_LEN>()
        .ok_or(Unsealed::NoSeal)?;
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let bound = Aad::from(place.bound(dek.id));
    let opened = dek
        .key
        .open_within(nonce, bound, &mut sealed, HEAD_BYTES + NONCE_LEN..);
    let length = opened.map_err(|_| Unsealed::Changed)?.len();
    sealed.truncate(length);
    Ok(sealed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use zeroize::Zeroizing;

    const HERE: Place<'_> = Place {
        store: &[9; 16],
        space: 1,
        key: b"key",
    };

    fn dek(id: u8, byte: u8) -> Dek {
        Dek::new(KeyId([id; 8]), &Zeroizing::new([byte; 32]))
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn every_value_comes_back(value in prop::collection::vec(any::<u8>(), 0..2_000)) {
            let sealed = seal(&dek(1, 1), HERE, &value).expect("seals");
            prop_assert_eq!(sealed.len(), value.len() + SEAL_BYTES);
            prop_assert_eq!(key_id(&sealed), Ok(KeyId([1; 8])));
            prop_assert_eq!(open(&dek(1, 1), HERE, sealed), Ok(value));
        }

        #[test]
        fn anything_else_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(open(&dek(1, 1), HERE, bytes).is_err());
        }
    }

    #[test]
    fn every_bit_counts() {
        let sealed = seal(&dek(1, 1), HERE, b"a record").expect("seals");
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&dek(1, 1), HERE, flipped).is_err(), "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert!(open(&dek(1, 1), HERE, sealed[..length].to_vec()).is_err());
        }
    }

    #[test]
    fn a_value_opens_in_its_place_only() {
        let sealed = seal(&dek(1, 1), HERE, b"a record").expect("seals");
        let opens = |dek: &Dek, place| open(dek, place, sealed.clone());
        assert_eq!(opens(&dek(1, 1), HERE), Ok(b"a record".to_vec()));
        for elsewhere in [
            Place {
                store: &[8; 16],
                ..HERE
            },
            Place { space: 2, ..HERE },
            Place {
                key: b"keys",
                ..HERE
            },
            Place { key: b"", ..HERE },
        ] {
            assert_eq!(opens(&dek(1, 1), elsewhere), Err(Unsealed::Changed));
        }
        assert_eq!(opens(&dek(1, 2), HERE), Err(Unsealed::Changed));
        assert_eq!(opens(&dek(2, 1), HERE), Err(Unsealed::Changed));
    }

    #[test]
    fn the_same_value_is_sealed_differently_each_time() {
        let one = seal(&dek(1, 1), HERE, b"v").expect("seals");
        assert_ne!(one, seal(&dek(1, 1), HERE, b"v").expect("seals"));
    }
}
