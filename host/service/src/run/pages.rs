//! The pages of a split that are in flight: what the reader decoded, and what the transforms made of it. The tasks of
//! a split hand each other page numbers and find the records here.

use crate::ledger::Letter;
use arrow_array::BooleanArray;
use sluice_delivery::{PageNo, Tally};
use sluice_model::batch::{Batch, Provenance};
use sluice_model::fault::{Fault, FaultKind};
use sluice_model::rejection::Rejection;
use sluice_state::journal::Digest;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A page's records and those of its records that were refused so far.
#[derive(Debug, Default, Clone)]
pub struct Page {
    /// In the order they were read.
    pub batches: Vec<Batch>,
    /// Refused while decoding, or by a transform.
    pub refused: Vec<Refused>,
    /// The dead letters that are redriven with it, where it is made of such.
    pub letters: Vec<Letter>,
    /// Of its records, where the pipeline leaves out what comes again.
    pub digests: Vec<Digest>,
    /// The first transform that it goes through.
    pub from: usize,
    /// What all of that takes in memory, about.
    pub bytes: u64,
    /// Records read, refused ones included.
    pub read: u64,
    /// What became of them; known once the page is ready.
    pub tally: Tally,
}

/// A record refused, and the dead letter that it was before, where it is redriven.
#[derive(Debug, Clone)]
pub struct Refused {
    /// Its number.
    pub letter: Option<u64>,
    /// Why, and by whom.
    pub rejection: Rejection,
}

/// Pages by number. Cheap to clone: all clones are the same pages.
#[derive(Debug, Default, Clone)]
pub struct Pages(Arc<Mutex<BTreeMap<PageNo, Page>>>);

/// A batch without the rows that do not stay.
pub fn kept(batch: &Batch, stays: Vec<bool>) -> Result<Batch, Fault> {
    if !stays.contains(&false) {
        return Ok(batch.clone());
    }
    let stays = BooleanArray::from(stays);
    let data = arrow_select::filter::filter_record_batch(&batch.data, &stays);
    let data = data.map_err(|error| Fault::new(FaultKind::Host, error.to_string()))?;
    let changes = batch.changes.as_ref().map(|changes| {
        let kept = stays.values().set_indices().map(|row| changes[row]);
        Arc::new(kept.collect())
    });
    Ok(Batch {
        stream: batch.stream.clone(),
        schema: Arc::clone(&batch.schema),
        data,
        changes,
        origin: Provenance {
            entered: Arc::clone(&batch.origin.entered),
            rows: batch.origin.rows.kept(stays.values()),
        },
    })
}

impl Pages {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<PageNo, Page>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a page, over what stood there.
    pub fn put(&self, no: PageNo, page: Page) {
        self.lock().insert(no, page);
    }

    /// A page as it stands; batches are shared, not copied.
    pub fn get(&self, no: PageNo) -> Page {
        self.lock().get(&no).cloned().unwrap_or_default()
    }

    /// The batches of these pages, those without rows left out.
    pub fn batches(&self, range: &Range<PageNo>) -> Vec<Batch> {
        let pages = self.lock();
        let batches = pages
            .range(range.clone())
            .flat_map(|(_, page)| &page.batches);
        batches.filter(|batch| batch.rows() > 0).cloned().collect()
    }

    /// What was refused in these pages before any sink saw them.
    pub fn refused(&self, range: &Range<PageNo>) -> Vec<Refused> {
        let pages = self.lock();
        let pages = pages.range(range.clone());
        pages.flat_map(|(_, page)| page.refused.clone()).collect()
    }

    /// Records of these pages.
    pub fn read(&self, range: &Range<PageNo>) -> u64 {
        let pages = self.lock();
        pages.range(range.clone()).map(|(_, page)| page.read).sum()
    }

    /// The digests of these pages' records.
    pub fn digests(&self, range: &Range<PageNo>) -> Vec<Digest> {
        let pages = self.lock();
        let pages = pages.range(range.clone());
        pages.flat_map(|(_, page)| &page.digests).copied().collect()
    }

    /// The dead letters that are redriven with these pages.
    pub fn letters(&self, range: &Range<PageNo>) -> Vec<Letter> {
        let pages = self.lock();
        let pages = pages.range(range.clone());
        pages.flat_map(|(_, page)| &page.letters).copied().collect()
    }

    /// Forgets these pages.
    pub fn release(&self, range: &Range<PageNo>) {
        self.lock().retain(|no, _| !range.contains(no));
    }
}
