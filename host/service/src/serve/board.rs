//! What everybody in a service looks at: its pipelines, in what phase it is, whether it is alive.

use super::jobs::Jobs;
use super::seat::Seat;
use super::standing::Event;
use crate::control::Pause;
use sluice_model::ids::PipelineName;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};

/// A beat that is older means that the service's threads no longer take turns.
pub(super) const BEAT_AGE_MAX: Duration = Duration::from_secs(10);

/// What a service does as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Looks at its files for the first time.
    Opening,
    /// Runs its pipelines.
    Serving,
    /// Ends.
    Draining,
}

/// A service's pipelines, and how it is.
pub struct Board {
    seats: Mutex<BTreeMap<PathBuf, Arc<Seat>>>,
    /// Pipelines that somebody has wait, from before this service began.
    pauses: Mutex<BTreeMap<PipelineName, Pause>>,
    /// One run of a pipeline at a time, whatever files are its.
    turns: Mutex<BTreeMap<PipelineName, Arc<tokio::sync::Mutex<()>>>>,
    phase: watch::Sender<Phase>,
    reload: Notify,
    began: Instant,
    began_ms: u64,
    beat_ms: AtomicU64,
    cut_off: AtomicBool,
    listen: OnceLock<SocketAddr>,
    /// What the host itself last failed at, in whose run.
    trouble: Mutex<BTreeMap<PathBuf, String>>,
    jobs: Jobs,
}

impl Board {
    pub(super) fn new(pauses: BTreeMap<PipelineName, Pause>, runtime: Handle) -> Self {
        Self {
            seats: Mutex::default(),
            pauses: Mutex::new(pauses),
            turns: Mutex::default(),
            phase: watch::Sender::new(Phase::Opening),
            reload: Notify::new(),
            began: Instant::now(),
            began_ms: super::now_ms(),
            beat_ms: AtomicU64::new(0),
            cut_off: AtomicBool::new(false),
            listen: OnceLock::new(),
            trouble: Mutex::default(),
            jobs: Jobs::new(runtime),
        }
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Arc<Seat>>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All pipelines, by their files.
    pub(super) fn seats(&self) -> Vec<Arc<Seat>> {
        self.held().values().cloned().collect()
    }

    pub(super) fn seat(&self, file: &Path) -> Option<Arc<Seat>> {
        self.held().get(file).cloned()
    }

    /// A pipeline joins. One that somebody had wait before waits still.
    pub(super) fn join(&self, seat: &Arc<Seat>) {
        let pauses = self.pauses.lock().unwrap_or_else(PoisonError::into_inner);
        let pause = seat.name.as_ref().and_then(|name| pauses.get(name));
        if let Some(pause) = pause {
            seat.pause(pause);
        }
        self.held().insert(seat.file.clone(), Arc::clone(seat));
    }

    /// A pipeline's file is gone, or is another pipeline's by now.
    pub(super) fn part(&self, file: &Path) {
        if let Some(seat) = self.held().remove(file) {
            seat.leave();
            self.troubled(&seat, None);
        }
    }

    fn named(&self, name: &PipelineName) -> Vec<Arc<Seat>> {
        let seats = self.seats();
        seats
            .into_iter()
            .filter(|seat| seat.name.as_ref() == Some(name))
            .collect()
    }

    /// Held while a run of this pipeline is under way.
    pub(super) fn turn(&self, name: &PipelineName) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(turns.entry(name.clone()).or_default())
    }

    /// What people have it do beside its schedules.
    pub fn jobs(&self) -> &Jobs {
        &self.jobs
    }

    /// The file of a pipeline.
    pub fn file(&self, name: &PipelineName) -> Option<PathBuf> {
        self.named(name).first().map(|seat| seat.file.clone())
    }

    /// Another file of this pipeline, that stands before its own.
    pub(super) fn elder_of(&self, seat: &Seat) -> Option<PathBuf> {
        let name = seat.name.as_ref()?;
        let named = self.named(name);
        let elder = named.iter().map(|other| &other.file).min()?;
        (*elder < seat.file).then(|| elder.clone())
    }

    /// What the pipelines are called.
    pub fn names(&self) -> Vec<String> {
        self.seats().iter().map(|seat| seat.label.clone()).collect()
    }

    /// Whether a run of this pipeline is under way.
    pub fn is_under_way(&self, name: &PipelineName) -> bool {
        self.named(name).iter().any(|seat| seat.is_under_way())
    }

    /// Has a pipeline wait.
    pub fn pause(&self, name: &PipelineName, pause: &Pause) {
        let mut pauses = self.pauses.lock().unwrap_or_else(PoisonError::into_inner);
        pauses.insert(name.clone(), pause.clone());
        for seat in self.named(name) {
            seat.pause(pause);
        }
    }

    /// Has it go on.
    pub fn resume(&self, name: &PipelineName) {
        let mut pauses = self.pauses.lock().unwrap_or_else(PoisonError::into_inner);
        pauses.remove(name);
        for seat in self.named(name) {
            seat.on(Event::Resume);
        }
    }

    /// Has the files looked at, at once.
    pub fn reload(&self) {
        self.reload.notify_one();
    }

    pub(super) async fn reloads(&self) {
        self.reload.notified().await;
    }

    /// What the service does as a whole, from here on.
    pub(super) fn enter(&self, phase: Phase) {
        self.phase.send_if_modified(|now| {
            let changed = *now != phase;
            *now = phase;
            changed
        });
    }

    pub(super) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    pub(super) fn phases(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    pub(super) fn beat(&self) {
        let age = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.beat_ms.store(age, Ordering::Relaxed);
    }

    /// Whether the service's threads take turns.
    pub(super) fn is_alive(&self) -> bool {
        let beat = Duration::from_millis(self.beat_ms.load(Ordering::Relaxed));
        self.began.elapsed().saturating_sub(beat) < BEAT_AGE_MAX
    }

    pub(super) fn cut_off(&self) {
        self.cut_off.store(true, Ordering::Relaxed);
    }

    pub(super) fn was_cut_off(&self) -> bool {
        self.cut_off.load(Ordering::Relaxed)
    }

    pub(super) fn began_ms(&self) -> u64 {
        self.began_ms
    }

    pub(super) fn listens(&self, address: SocketAddr) {
        let _ = self.listen.set(address); // A service opens it once.
    }

    pub(super) fn listen(&self) -> Option<SocketAddr> {
        self.listen.get().copied()
    }

    /// What the host itself failed at in a pipeline's last run; none where that went well.
    pub(super) fn troubled(&self, seat: &Seat, told: Option<String>) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        match told {
            Some(told) if !seat.is_gone() => drop(trouble.insert(seat.file.clone(), told)),
            _ => drop(trouble.remove(&seat.file)),
        }
    }

    /// What the host itself failed at in the last run of any pipeline.
    pub(super) fn trouble(&self) -> Option<String> {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.values().next().cloned()
    }
}
