//! What the driver does at the store: one commit for a checkpoint and the dead letters of its unit.

use crate::chance::Struck;
use crate::driver::Driver;
use crate::world::{Fate, pipeline, split};
use sluice_delivery::{Event, PageNo, UnitNo};
use sluice_model::checkpoint::{Checkpoint, Mark};
use sluice_model::ids::{Role, StageId};
use sluice_model::ports::{StateStore, StoreError};
use sluice_model::rejection::{Place, Record, Rejection};
use sluice_state::journal::{DeadLetter, Standing, Step as Stored};
use std::collections::BTreeSet;
use std::ops::Range;

impl Driver<'_> {
    pub fn store(
        &mut self,
        unit: Option<UnitNo>,
        pages: &Range<PageNo>,
        checkpoint: Checkpoint,
        struck: Option<&Struck>,
    ) -> Event {
        let letters = unit.map_or(Vec::new(), |unit| {
            self.letters(unit, pages, checkpoint.epoch)
        });
        let failed = |what: &str| Event::StoreFailed {
            fault: StoreError::Failed(what.to_owned()).into(),
        };
        if struck.is_some_and(|struck| !struck.after) {
            self.count("fault before effect: store");
            return failed("disk full");
        }
        let mut step = Stored::to(checkpoint, 0);
        step.letters = &letters;
        let steps = self.held.steps(&self.world.store, &self.desk, &step);
        let (batch, held) = steps.expect("reads").next().expect("a batch");
        self.world.store.commit(batch).expect("nobody else writes");
        self.world.check_never_ahead();
        if struck.is_some() {
            self.count("fault after effect: store");
            return failed("no answer");
        }
        self.held = held;
        Event::Stored
    }

    fn letters(&self, unit: UnitNo, pages: &Range<PageNo>, epoch: u64) -> Vec<DeadLetter> {
        let mut dead = self.refused_of(unit);
        let records = self.records(pages).into_iter();
        let is_refused =
            |record: &u64| self.world.fates[*record as usize] == Fate::RejectedOnTheWay;
        dead.extend(records.filter(is_refused));
        let of_pages = (pages.start.0..pages.end.0).filter_map(|no| self.culprits.get(&PageNo(no)));
        dead.extend(of_pages.flatten());
        numbered(self, &dead, unit, epoch)
    }
}

fn numbered(
    driver: &Driver<'_>,
    dead: &BTreeSet<u64>,
    unit: UnitNo,
    epoch: u64,
) -> Vec<DeadLetter> {
    if dead.is_empty() {
        return Vec::new();
    }
    let numbers = driver
        .desk
        .reserve(&driver.world.store, &pipeline(), dead.len() as u64)
        .expect("reserves");
    let mark = Mark {
        epoch,
        sequence: unit.0,
    };
    dead.iter()
        .zip(numbers.first..)
        .map(|(record, number)| letter(number, mark, *record))
        .collect()
}

fn letter(number: u64, mark: Mark, record: u64) -> DeadLetter {
    let rejection = Rejection {
        stage: StageId {
            role: Role::Sink,
            index: 0,
        },
        stream: "stream".parse().expect("a name"),
        code: "refused".to_owned(),
        message: String::new(),
        place: Place {
            document: None,
            line: Some(record),
            item: None,
        },
        record: Record::Raw(Vec::new()),
        csv: None,
        truncated: false,
        removal: false,
        given: None,
        also: Vec::new(),
        identity: None,
    };
    DeadLetter {
        number,
        pipeline: pipeline(),
        split: split(),
        run: "run".to_owned(),
        mark,
        plugin: "simulated/sink".parse().expect("a name"),
        at_ms: 0,
        rejection,
        standing: Standing::Waiting,
        attempts: 0,
        attempt: None,
        edits: 0,
        edited: None,
    }
}
