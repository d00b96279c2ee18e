//! A sink's protocol ended at every step it takes, in every way a step can end, and taken up again as the host does it.

use crate::Fault;
use crate::sink::Commit;
use std::cell::{Cell, RefCell, RefMut};
use std::rc::Rc;

/// How the chosen step ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The process dies before the step is done.
    DiesBefore,
    /// The process dies when the step is done.
    DiesBehind,
    /// The machine loses power before the step is done: see [`Destination::power_lost`].
    PowerLost,
    /// The step fails and nothing is done; the process lives on.
    FailsBefore,
    /// The step is done, and fails all the same; the process lives on.
    FailsBehind,
}

const ENDINGS: [Ending; 5] = [
    Ending::DiesBefore,
    Ending::DiesBehind,
    Ending::PowerLost,
    Ending::FailsBefore,
    Ending::FailsBehind,
];

/// What a destination holds, in memory.
pub trait Destination: Default {
    /// What was not durable is lost.
    fn power_lost(&mut self) {}
}

/// A destination that outlives the process: one that is cloned is the same.
#[derive(Debug, Default)]
pub struct Mortal<D> {
    held: Rc<RefCell<D>>,
    steps: Rc<Cell<usize>>,
    fatal: Rc<Cell<Option<(usize, Ending)>>>,
    dead: Rc<Cell<bool>>,
}

impl<D> Clone for Mortal<D> {
    fn clone(&self) -> Self {
        Self {
            held: self.held.clone(),
            steps: self.steps.clone(),
            fatal: self.fatal.clone(),
            dead: self.dead.clone(),
        }
    }
}

impl<D: Destination> Mortal<D> {
    /// Does one step, unless it is the chosen one or the process is dead: then it ends with `gone`.
    pub fn step<T, E>(
        &self,
        gone: impl Fn() -> E,
        done: impl FnOnce(&mut D) -> Result<T, E>,
    ) -> Result<T, E> {
        if self.dead.get() {
            return Err(gone());
        }
        let step = self.steps.replace(self.steps.get() + 1);
        let chosen = self.fatal.get().filter(|(fatal, _)| *fatal == step);
        let Some((_, ending)) = chosen else {
            return done(&mut self.held());
        };
        let lives = matches!(ending, Ending::FailsBefore | Ending::FailsBehind);
        self.dead.set(!lives);
        match ending {
            Ending::DiesBefore | Ending::FailsBefore => {}
            Ending::DiesBehind | Ending::FailsBehind => drop(done(&mut self.held())?),
            Ending::PowerLost => self.held().power_lost(),
        }
        Err(gone())
    }

    /// What it holds.
    pub fn held(&self) -> RefMut<'_, D> {
        self.held.borrow_mut()
    }

    /// The step after so many more ends so.
    pub fn end_after(&self, steps: usize, ending: Ending) {
        self.fatal.set(Some((self.steps.get() + steps, ending)));
    }

    /// The process is started anew, and nothing happens to it.
    pub fn revive(&self) {
        self.dead.set(false);
        self.fatal.set(None);
    }
}

/// One split of a sink, as far as a crash can hurt it.
pub trait Protocol {
    /// As [`Sink::committed`](crate::Sink::committed).
    fn committed(&mut self) -> Result<Option<Commit>, Fault>;
    /// As [`Sink::write`](crate::Sink::write): the unit of the commit's sequence, counted from one.
    fn write(&mut self, commit: &Commit) -> Result<(), Fault>;
    /// As [`Sink::publish`](crate::Sink::publish).
    fn publish(&mut self, commit: &Commit) -> Result<(), Fault>;
}

/// The commit of a unit.
pub fn commit(epoch: u64, sequence: u64) -> Commit {
    Commit {
        pipeline: "p".to_owned(),
        split: "s".to_owned(),
        cursor: sequence.to_string().into_bytes(),
        epoch,
        sequence,
    }
}

/// One run of the host: it asks for the place, and goes on behind it to the last of so many units. A step that fails is
/// tried once more, with the same arguments; the run ends where the process is dead.
pub fn run(mut split: impl Protocol, epoch: u64, units: u64) -> Result<(), Fault> {
    let twice = |step: &mut dyn FnMut() -> Result<(), Fault>| step().or_else(|_| step());
    let mut done = 0;
    twice(&mut || {
        done = split.committed()?.map_or(0, |commit| commit.sequence);
        Ok(())
    })?;
    for sequence in done + 1..=units {
        let commit = commit(epoch, sequence);
        twice(&mut || split.write(&commit))?;
        twice(&mut || split.publish(&commit))?;
    }
    Ok(())
}

/// Runs ended at every step, and at every two. `broken` is held against what stands there when a run was ended, `whole`
/// when another has come to its end.
///
/// # Panics
/// Where a run fails that nothing ended, or one of these does.
pub fn at_every_step<D: Destination, P: Protocol>(
    open: impl Fn(&Mortal<D>) -> P,
    units: u64,
    broken: impl Fn(&Mortal<D>, &str),
    whole: impl Fn(&Mortal<D>, &str),
) {
    let calm = Mortal::default();
    run(open(&calm), 1, units).expect("nothing fails");
    whole(&calm, "nothing fails");
    let steps = calm.steps.get();
    assert!(steps > 40, "{steps} steps are too few to mean anything");
    for ending in ENDINGS {
        for step in 0..steps {
            let what = format!("{ending:?} at step {step}");
            let held = Mortal::default();
            held.end_after(step, ending);
            let first = run(open(&held), 1, units);
            assert_eq!(first.is_err(), held.dead.get(), "{what}: {first:?}");
            broken(&held, &what);
            held.revive();
            run(open(&held), 2, units).expect(&what);
            whole(&held, &what);
        }
    }
    // The second run dies as well, while it takes up what the first one left.
    for first in 0..steps {
        for second in 0..25 {
            for ending in [Ending::DiesBefore, Ending::DiesBehind, Ending::PowerLost] {
                let what = format!("{ending:?} at steps {first} and {second}");
                let held = Mortal::default();
                held.end_after(first, Ending::DiesBehind);
                let _ = run(open(&held), 1, units);
                held.revive();
                held.end_after(second, ending);
                let _ = run(open(&held), 2, units);
                held.revive();
                run(open(&held), 3, units).expect(&what);
                whole(&held, &what);
            }
        }
    }
}
