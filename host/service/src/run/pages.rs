//! The pages of a split that are in flight: what the reader decoded, and what the transforms made of it. The tasks of
//! a split hand each other page numbers and find the records here.

use sluice_delivery::{PageNo, Tally};
use sluice_model::batch::Batch;
use sluice_model::rejection::Rejection;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A page's records and those of its records that were refused so far.
#[derive(Debug, Default, Clone)]
pub struct Page {
    /// In the order they were read.
    pub batches: Vec<Batch>,
    /// Refused while decoding, or by a transform.
    pub rejections: Vec<Rejection>,
    /// What all of that takes in memory, about.
    pub bytes: u64,
    /// Records read, refused ones included.
    pub read: u64,
    /// What became of them; known once the page is ready.
    pub tally: Tally,
}

/// Pages by number. Cheap to clone: all clones are the same pages.
#[derive(Debug, Default, Clone)]
pub struct Pages(Arc<Mutex<BTreeMap<PageNo, Page>>>);

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
    pub fn rejections(&self, range: &Range<PageNo>) -> Vec<Rejection> {
        let pages = self.lock();
        pages
            .range(range.clone())
            .flat_map(|(_, page)| page.rejections.clone())
            .collect()
    }

    /// Forgets these pages.
    pub fn release(&self, range: &Range<PageNo>) {
        self.lock().retain(|no, _| !range.contains(no));
    }
}
