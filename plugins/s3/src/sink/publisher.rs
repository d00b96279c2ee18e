//! The protocol that makes objects and their place visible together, over a crash at any moment.
//!
//! A unit is uploaded in parts, which nobody sees. Publishing it is one put: that of the record which names the unit's
//! place and its uploads. What comes after only completes what the record names, and whoever opens the split next does
//! it again. Uploads that no record names are given up.
//!
//! Invariant: an object is whole, and is named by a record that was published (test: `crashes`).

use super::names::Names;
use super::record::{Objects, Pending, Record};
use super::store::Store;
use crate::bucket::{Completed, Upload};
use sluice_sdk::publish::{Begun, not_written};
use sluice_sdk::sink::{Commit, Context};
use sluice_sdk::{Fault, log};

/// A part. S3 wants 5 MiB at least in each but the last; the host signs 8 MiB at most.
const PART_BYTES: usize = 6 << 20;

/// Publishes the units of one split.
pub(super) struct Publisher<S: Store> {
    store: S,
    context: Context,
    names: Names,
    /// The streams whose left-overs are looked for.
    streams: Vec<String>,
    /// What stands in the bucket; none until it was looked at, and after a step whose outcome is unknown.
    known: Option<Known>,
    /// Whether there may be uploads that no record names.
    left_over: bool,
    unit: Option<Unit>,
}

/// The record in the bucket, whose objects are all there.
struct Known {
    record: Option<Record>,
    /// Of the record's object.
    etag: Option<String>,
}

/// The unit being written, or ready to be published.
struct Unit {
    mark: (u64, u64),
    objects: Vec<Pending>,
    /// Whose each object is.
    streams: Vec<String>,
    /// Of the last object, not yet sent.
    held: Vec<u8>,
    ready: bool,
}

impl<S: Store> Publisher<S> {
    pub(super) fn new(store: S, context: Context, names: Names, streams: Vec<String>) -> Self {
        Self {
            store,
            context,
            names,
            streams,
            known: None,
            left_over: true,
            unit: None,
        }
    }

    /// The last commit published; whatever its publication left undone is done.
    pub(super) fn committed(&mut self) -> Result<Option<Commit>, Fault> {
        self.known = None;
        let commit = self.known()?.record.as_ref().map(Record::commit);
        self.give_up()?;
        Ok(commit)
    }

    /// Gets ready to take a unit's objects.
    pub(super) fn begin(&mut self, commit: &Commit) -> Result<Begun, Fault> {
        self.unit = None;
        let mark = (commit.epoch, commit.sequence);
        if Record::begins(self.known()?.record.as_ref(), mark)? == Begun::Published {
            return Ok(Begun::Published);
        }
        self.give_up()?;
        self.left_over = true;
        self.unit = Some(Unit {
            mark,
            objects: Vec::new(),
            streams: Vec::new(),
            held: Vec::new(),
            ready: false,
        });
        Ok(Begun::Fresh)
    }

    /// The next object of the unit.
    pub(super) fn create(&mut self, stream: &str) -> Result<(), Fault> {
        let unit = self.unit.as_mut().ok_or_else(no_unit)?;
        let nth = unit.streams.iter().filter(|other| *other == stream).count();
        let key = self.names.object(stream, unit.mark.1, nth);
        if self.store.exists(&key)? {
            return Err(Fault::misconfigured(format!(
                "`{key}` exists and no record in `_sluice` names it; hint: use an empty `prefix`"
            )));
        }
        let upload = self.store.begin(&key, self.names.content_type())?;
        unit.objects.push(Pending {
            key,
            upload: upload.id,
            parts: Vec::new(),
        });
        unit.streams.push(stream.to_owned());
        Ok(())
    }

    /// More bytes of the last object.
    pub(super) fn append(&mut self, bytes: Vec<u8>) -> Result<(), Fault> {
        let unit = self.unit.as_mut().ok_or_else(no_unit)?;
        if unit.held.is_empty() {
            unit.held = bytes;
        } else {
            unit.held.extend_from_slice(&bytes);
        }
        while unit.held.len() > PART_BYTES {
            let rest = unit.held.split_off(PART_BYTES);
            let part = std::mem::replace(&mut unit.held, rest);
            send(&self.store, unit, part)?;
        }
        Ok(())
    }

    /// The last object has all its bytes.
    pub(super) fn finish(&mut self) -> Result<(), Fault> {
        let unit = self.unit.as_mut().ok_or_else(no_unit)?;
        let part = std::mem::take(&mut unit.held);
        send(&self.store, unit, part)
    }

    /// All objects of the unit are finished.
    pub(super) fn written(&mut self, commit: &Commit) -> Result<(), Fault> {
        let unit = self.unit.as_mut().ok_or_else(no_unit)?;
        unit.ready = unit.mark == (commit.epoch, commit.sequence);
        Ok(())
    }

    /// Makes the unit visible: the put of the record is the moment.
    pub(super) fn publish(&mut self, commit: &Commit) -> Result<(), Fault> {
        let mark = (commit.epoch, commit.sequence);
        if self.known()?.record.as_ref().map(Record::mark) == Some(mark) {
            self.unit = None;
            return Ok(());
        }
        let Some(unit) = self.unit.take_if(|unit| unit.ready && unit.mark == mark) else {
            return Err(not_written(mark));
        };
        let objects = unit.objects.clone();
        let completed = false;
        let record = Record::new(commit, Objects { objects, completed });
        // From here on the bucket may say either.
        let over = self.known.take().and_then(|known| known.etag);
        match self.put(&record, over.as_deref()) {
            Ok(_) => {
                self.known()?;
                self.left_over = false;
                Ok(())
            }
            Err(fault) => {
                self.unit = Some(unit);
                Err(fault)
            }
        }
    }

    fn put(&self, record: &Record, over: Option<&str>) -> Result<String, Fault> {
        self.store
            .put(&self.names.record(), record.to_bytes()?, over)
    }

    /// What stands in the bucket, looked at where it is not known, with every object of the record completed.
    fn known(&mut self) -> Result<&Known, Fault> {
        if self.known.is_none() {
            let mut found = self.load()?;
            if let Some((record, etag)) = &mut found
                && !record.unit.completed
            {
                let mut objects = record.unit.objects.iter();
                objects.try_for_each(|object| self.complete(object))?;
                record.unit.completed = true;
                *etag = self.put(record, Some(etag))?;
            }
            let (record, etag) = found.unzip();
            self.known = Some(Known { record, etag });
        }
        self.known
            .as_ref()
            .ok_or_else(|| Fault::broken("the record was read above"))
    }

    fn complete(&self, object: &Pending) -> Result<(), Fault> {
        if self.store.exists(&object.key)? {
            return Ok(());
        }
        let upload = Upload {
            key: object.key.clone(),
            id: object.upload.clone(),
        };
        if self.store.complete(&upload, &object.parts)? == Completed::Yes
            || self.store.exists(&object.key)?
        {
            return Ok(());
        }
        Err(Fault::misconfigured(format!(
            "the upload of `{}` is published and gone: a rule of the bucket ended it before it was completed, or the object \
             was removed at once; hint: give such rules more days than the pipeline may stand still, reset the checkpoint of \
             the split to read its records again, and remove `{}`",
            object.key,
            self.names.record()
        )))
    }

    fn load(&self) -> Result<Option<(Record, String)>, Fault> {
        let key = self.names.record();
        let Some((bytes, etag)) = self.store.get(&key)? else {
            return Ok(None);
        };
        let record = Record::from_bytes(&key, &bytes, &self.context)?;
        Ok(Some((record, etag)))
    }

    /// Gives up what an earlier attempt uploaded and did not publish. Called once the record's own are completed.
    fn give_up(&mut self) -> Result<(), Fault> {
        if !self.left_over {
            return Ok(());
        }
        for stream in &self.streams {
            let Some(uploads) = self.store.uploads(&self.names.beginning(stream))? else {
                log::warn(
                    "the server does not list uploads: what is left over stays until a rule of the bucket ends it",
                    &[],
                );
                break;
            };
            for upload in &uploads {
                self.store.abort(upload)?;
            }
        }
        self.left_over = false;
        Ok(())
    }
}

fn send<S: Store>(store: &S, unit: &mut Unit, bytes: Vec<u8>) -> Result<(), Fault> {
    let object = unit.objects.last_mut().ok_or_else(no_unit)?;
    let upload = Upload {
        key: object.key.clone(),
        id: object.upload.clone(),
    };
    let etag = store.part(&upload, object.parts.len() + 1, bytes)?;
    object.parts.push(etag);
    Ok(())
}

fn no_unit() -> Fault {
    Fault::broken("an object of no unit")
}
