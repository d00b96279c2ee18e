//! Where a pipeline of the service stands, as one pure machine: what it does, why, what mends it, and when it is next
//! to run. Knows no clock: every event comes with its time, in milliseconds since 1970.
//!
//! ```text
//!          due                 over: done
//!  idle ────────▶ running ────────────────▶ idle, or done where it is not to run again
//!                 │  ▲  │ over: transient
//!          retries│  │  └─────────────────▶ stalled ── due ──▶ running
//!                 ▼  │
//!               degraded      over: a person must act; or told so
//!                       └─────────────────▶ paused ── resumed, or its plan changed ──▶ idle
//! ```

use super::timetable::Timetable;
use serde::{Deserialize, Serialize};
use sluice_model::fault::{Fault, FaultKind, Mender};

/// The first wait after a run that was stopped by what may pass, and the longest.
const STALL_FIRST_MS: u64 = 30_000;
const STALL_MOST_MS: u64 = 15 * 60_000;
/// The wait between two runs of a continuous pipeline, and the longest where nothing is read.
const AGAIN_FIRST_MS: u64 = 1_000;
const AGAIN_MOST_MS: u64 = 30_000;

/// What a pipeline does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Waits for its time.
    Idle,
    /// Runs.
    Running,
    /// Runs, and something is tried again.
    Degraded,
    /// What stopped it may pass: it is tried again, with a growing pause. Its place is held.
    Stalled,
    /// A person must act. Its place is held.
    Paused,
    /// Has nothing more to do.
    Done,
}

impl State {
    /// Every one.
    pub const ALL: [Self; 6] = [
        Self::Idle,
        Self::Running,
        Self::Degraded,
        Self::Stalled,
        Self::Paused,
        Self::Done,
    ];

    /// In one word.
    pub fn word(self) -> &'static str {
        match self {
            State::Idle => "idle",
            State::Running => "running",
            State::Degraded => "degraded",
            State::Stalled => "stalled",
            State::Paused => "paused",
            State::Done => "done",
        }
    }

    /// Whether somebody should look.
    pub fn is_bad(self) -> bool {
        matches!(self, State::Degraded | State::Stalled | State::Paused)
    }

    /// Whether a run is under way.
    pub fn is_under_way(self) -> bool {
        matches!(self, State::Running | State::Degraded)
    }
}

/// Why it stands there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// In a word, which is no plugin's: `transient`, `unauthorized`, `told`.
    pub kind: String,
    /// In a sentence.
    pub message: String,
    /// What mends it.
    pub mend: Option<String>,
}

impl Reason {
    /// With nothing to do about it.
    pub fn new(kind: &str, message: impl Into<String>) -> Self {
        Self {
            kind: kind.to_owned(),
            message: message.into(),
            mend: None,
        }
    }

    /// With the next step.
    #[must_use]
    pub fn mend(mut self, mend: impl Into<String>) -> Self {
        self.mend = Some(mend.into());
        self
    }
}

impl From<&Fault> for Reason {
    fn from(fault: &Fault) -> Self {
        let by = match (&fault.kind, fault.mender()) {
            (FaultKind::CursorLost, _) => {
                "`sluice checkpoint set` goes on elsewhere, `sluice checkpoint reset` begins again"
            }
            (FaultKind::Drift, _) => "change `[schema]` or `[contract]`, or what the source gives",
            (_, Mender::Operator) => "change what it says",
            (_, Mender::Upstream) => "whoever runs the other system can mend it",
            (_, Mender::Plugin) => "the plugin's vendor can mend it",
            (_, Mender::Host) => "whoever runs this host can mend it",
        };
        let mend = fault.hint.clone().unwrap_or_else(|| by.to_owned());
        Self::new(fault.word(), &fault.message).mend(mend)
    }
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// At its source's end, with so many records read.
    Done {
        /// In this run.
        read: u64,
    },
    /// Told to stop, and what was read is delivered.
    Drained,
    /// It could not go on.
    Failed {
        /// What stopped it.
        reason: Reason,
        /// Whether it may pass with nothing changed here.
        may_pass: bool,
        /// Whether it delivered anything first.
        progressed: bool,
    },
}

impl Outcome {
    /// Of this fault.
    pub fn of(fault: &Fault, progressed: bool) -> Self {
        Self::Failed {
            reason: fault.into(),
            may_pass: matches!(fault.kind, FaultKind::Transient { .. }),
            progressed,
        }
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A run began.
    Began,
    /// What the run under way is waiting for; none where all goes on.
    Waits(Option<String>),
    /// The run under way has delivered something, and waits for nothing.
    GetsOn,
    /// The run under way is over.
    Over(Outcome),
    /// Somebody wants it to wait.
    Pause(Reason),
    /// Somebody wants it to go on.
    Resume,
    /// A file that it depends on changed; whether that changes what it is.
    Changed {
        /// Its plan is another one.
        plan: bool,
    },
    /// Its file cannot be run as it is.
    Wrong(Reason),
}

/// It entered a bad state, or left one. One that is tried again has left nothing before it has come to something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// What was last told.
    pub from: State,
    /// Where it is.
    pub to: State,
    /// Why.
    pub reason: Option<Reason>,
}

/// One pipeline's machine.
#[derive(Debug, Clone)]
pub struct Standing {
    state: State,
    reason: Option<Reason>,
    since_ms: u64,
    due_ms: Option<u64>,
    timetable: Timetable,
    began_ms: u64,
    stalls: u32,
    idle_runs: u32,
    /// What the run under way is to become when it is over.
    wanted: Option<Wanted>,
    /// The state that was told last; one that is no bad one, where none was or it was left.
    alerted: State,
    /// Whether the run under way has delivered something.
    got_on: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Wanted {
    Pause(Reason),
    Restart,
}

impl Standing {
    /// Of a pipeline that the service has just found.
    pub fn new(timetable: Timetable, now_ms: u64) -> Self {
        Self {
            state: State::Idle,
            reason: None,
            since_ms: now_ms,
            due_ms: timetable.first(now_ms),
            timetable,
            began_ms: now_ms,
            stalls: 0,
            idle_runs: 0,
            wanted: None,
            alerted: State::Idle,
            got_on: false,
        }
    }

    /// What it does.
    pub fn state(&self) -> State {
        self.state
    }

    /// Why.
    pub fn reason(&self) -> Option<&Reason> {
        self.reason.as_ref()
    }

    /// Since when.
    pub fn since_ms(&self) -> u64 {
        self.since_ms
    }

    /// When it is next to run; none where that takes somebody.
    pub fn due_ms(&self) -> Option<u64> {
        self.due_ms
    }

    /// Whether it is to run now.
    pub fn is_due(&self, now_ms: u64) -> bool {
        !self.state.is_under_way() && self.due_ms.is_some_and(|due| due <= now_ms)
    }

    /// Whether the run under way is to end.
    pub fn wants_drain(&self) -> bool {
        self.state.is_under_way() && self.wanted.is_some()
    }

    /// When it runs, from here on.
    pub fn scheduled(&mut self, timetable: Timetable, now_ms: u64) {
        if self.timetable != timetable {
            self.timetable = timetable;
            if matches!(self.state, State::Idle | State::Done) {
                self.due_ms = self.timetable.first(now_ms);
                self.enter(now_ms, State::Idle, None);
            }
        }
    }

    /// What becomes of it.
    pub fn on(&mut self, now_ms: u64, event: Event) -> Option<Alert> {
        let from = self.state;
        match event {
            Event::Began => {
                self.began_ms = now_ms;
                self.due_ms = None;
                self.wanted = None;
                self.got_on = false;
                // What stalled it has not passed before something is delivered, but it is tried.
                self.enter(now_ms, State::Running, None);
            }
            Event::Waits(what) => self.waits(now_ms, what),
            Event::GetsOn => self.got_on = from.is_under_way(),
            Event::Over(outcome) => self.over(now_ms, outcome),
            // What somebody paused stays theirs to resume, whatever is wrong with it besides.
            Event::Wrong(_) if self.is_told() => {}
            Event::Pause(reason) | Event::Wrong(reason) => {
                if from.is_under_way() {
                    self.wanted = Some(Wanted::Pause(reason));
                } else {
                    self.pause(now_ms, reason);
                }
            }
            Event::Resume => match (&self.wanted, from) {
                (Some(Wanted::Pause(_)), _) => self.wanted = Some(Wanted::Restart),
                (_, State::Paused | State::Stalled | State::Done | State::Idle) => {
                    self.stalls = 0;
                    self.due_ms = Some(now_ms);
                    self.enter(now_ms, State::Idle, None);
                }
                _ => {}
            },
            Event::Changed { plan } => self.changed(now_ms, plan),
        }
        self.alert()
    }

    /// What there is to tell. A run that is tried again tells nothing before it has come to something: an end, or a
    /// record delivered.
    fn alert(&mut self) -> Option<Alert> {
        let (from, to) = (self.alerted, self.state);
        let tries = from == State::Stalled && to.is_under_way() && !self.got_on;
        if from == to || tries || !(from.is_bad() || to.is_bad()) {
            return None;
        }
        self.alerted = to;
        Some(Alert {
            from,
            to,
            reason: self.reason.clone(),
        })
    }

    /// Whether a person has it wait, or has asked for that.
    fn is_told(&self) -> bool {
        let asked = match &self.wanted {
            Some(Wanted::Pause(reason)) => Some(reason),
            _ => None,
        };
        let stands = self.reason.as_ref();
        let stands = stands.filter(|_| self.state == State::Paused);
        asked.or(stands).is_some_and(|reason| reason.kind == TOLD)
    }

    fn is_misconfigured(&self) -> bool {
        let reason = self.reason.as_ref();
        reason.is_some_and(|reason| reason.kind == MISCONFIGURED)
    }

    fn enter(&mut self, now_ms: u64, state: State, reason: Option<Reason>) {
        if self.state != state {
            self.since_ms = now_ms;
        }
        self.state = state;
        self.reason = reason;
    }

    fn pause(&mut self, now_ms: u64, reason: Reason) {
        self.due_ms = None;
        self.enter(now_ms, State::Paused, Some(reason));
    }

    fn waits(&mut self, now_ms: u64, what: Option<String>) {
        match (self.state, what) {
            (State::Running | State::Degraded, Some(what)) => {
                self.enter(now_ms, State::Degraded, Some(Reason::new("retrying", what)));
            }
            (State::Degraded, None) => self.enter(now_ms, State::Running, None),
            _ => {}
        }
    }

    fn over(&mut self, now_ms: u64, outcome: Outcome) {
        let wanted = self.wanted.take();
        match (outcome, wanted) {
            (_, Some(Wanted::Restart)) => self.again(now_ms, Some(now_ms)),
            (Outcome::Done { read }, None) => {
                self.stalls = 0;
                self.idle_runs = if read == 0 { self.idle_runs + 1 } else { 0 };
                let again_ms = doubled(AGAIN_FIRST_MS, self.idle_runs, AGAIN_MOST_MS);
                let next = self.timetable.next(self.began_ms, now_ms, again_ms);
                self.again(now_ms, next);
            }
            // The service stops: it goes on where it is with the next.
            (Outcome::Drained, None) => self.again(now_ms, None),
            (
                Outcome::Failed {
                    reason,
                    may_pass: true,
                    progressed,
                },
                None,
            ) => {
                if progressed {
                    self.stalls = 0;
                }
                self.due_ms = Some(now_ms + doubled(STALL_FIRST_MS, self.stalls, STALL_MOST_MS));
                self.stalls += 1;
                self.enter(now_ms, State::Stalled, Some(reason));
            }
            (_, Some(Wanted::Pause(reason))) | (Outcome::Failed { reason, .. }, None) => {
                self.pause(now_ms, reason);
            }
        }
    }

    fn again(&mut self, now_ms: u64, due_ms: Option<u64>) {
        self.due_ms = due_ms;
        let state = if due_ms.is_some() {
            State::Idle
        } else {
            State::Done
        };
        self.enter(now_ms, state, None);
    }

    fn changed(&mut self, now_ms: u64, plan: bool) {
        match self.state {
            State::Running | State::Degraded => match &self.wanted {
                // What was wrong with it is mended; a pause that somebody asked for stays one.
                Some(Wanted::Pause(reason)) if reason.kind != TOLD => {
                    self.wanted = Some(Wanted::Restart);
                }
                None if plan => self.wanted = Some(Wanted::Restart),
                _ => {}
            },
            State::Stalled | State::Done if plan => self.again(now_ms, Some(now_ms)),
            // Another's file says nothing of what stopped this one's run.
            State::Paused if !self.is_told() && (plan || self.is_misconfigured()) => {
                self.again(now_ms, Some(now_ms));
            }
            _ => {}
        }
    }
}

/// The kind of a pause that a person asked for.
pub const TOLD: &str = "told";
/// The kind of a pause for a mistake in a file.
pub const MISCONFIGURED: &str = "misconfigured";

fn doubled(first_ms: u64, times: u32, most_ms: u64) -> u64 {
    first_ms.saturating_mul(1 << times.min(16)).min(most_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_model::schedule::Schedule;

    fn standing(schedule: &str) -> Standing {
        let schedule: Schedule = schedule.parse().unwrap();
        Standing::new(Timetable::of(&schedule).unwrap(), 0)
    }

    fn failed(may_pass: bool, progressed: bool) -> Event {
        Event::Over(Outcome::Failed {
            reason: Reason::new("transient", "the server is away"),
            may_pass,
            progressed,
        })
    }

    fn done(read: u64) -> Event {
        Event::Over(Outcome::Done { read })
    }

    fn told() -> Event {
        Event::Pause(Reason::new(TOLD, "maintenance"))
    }

    #[test]
    fn whoever_can_do_something_is_told_what() {
        for (kind, told) in [
            (FaultKind::CursorLost, "sluice checkpoint set"),
            (FaultKind::Drift, "[contract]"),
            (FaultKind::Broken, "vendor"),
        ] {
            let reason = Reason::from(&Fault::new(kind, "no"));
            let mend = reason.mend.expect("it says it");
            assert!(mend.contains(told), "{mend}");
        }
    }

    #[test]
    fn each_schedule_has_its_next_run() {
        for (schedule, first, next) in [
            ("once", Some(0), None),
            ("continuous", Some(0), Some(6_000)),
            ("every 1m", Some(0), Some(60_000)),
            ("every 2s", Some(0), Some(5_000)),
            ("cron \"* * * * *\"", Some(60_000), Some(120_000)),
        ] {
            let mut standing = standing(schedule);
            assert_eq!(standing.due_ms(), first, "{schedule}");
            let now = first.unwrap();
            assert!(standing.is_due(now));
            standing.on(now, Event::Began);
            assert_eq!(
                (standing.state(), standing.due_ms()),
                (State::Running, None)
            );
            standing.on(now + 5_000, done(1));
            assert_eq!(standing.due_ms(), next, "{schedule}");
            let expected = if next.is_some() {
                State::Idle
            } else {
                State::Done
            };
            assert_eq!(standing.state(), expected, "{schedule}");
        }
    }

    #[test]
    fn a_continuous_pipeline_that_reads_nothing_waits_longer() {
        let mut standing = standing("continuous");
        let mut waits = Vec::new();
        for read in [5, 0, 0, 0, 0, 0, 0, 7, 0] {
            standing.on(0, Event::Began);
            standing.on(0, done(read));
            waits.push(standing.due_ms().unwrap());
        }
        assert_eq!(
            waits,
            [
                1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 1_000, 2_000
            ]
        );
    }

    #[test]
    fn what_may_pass_is_tried_again_ever_later() {
        let mut standing = standing("once");
        let mut waits = Vec::new();
        for progressed in [false, false, false, false, false, false, false, true] {
            standing.on(0, Event::Began);
            let alert = standing.on(0, failed(true, progressed));
            assert_eq!(alert.is_some(), waits.is_empty(), "it is told once");
            assert_eq!(standing.state(), State::Stalled);
            waits.push(standing.due_ms().unwrap() / 1_000);
        }
        assert_eq!(waits, [30, 60, 120, 240, 480, 900, 900, 30]);
        standing.on(0, Event::Began);
        let alert = standing.on(0, done(1)).unwrap();
        assert_eq!((alert.from, alert.to), (State::Stalled, State::Done));
    }

    /// One that never comes to an end is well again once it delivers.
    #[test]
    fn what_gets_on_after_a_stall_is_well_again() {
        let mut standing = standing("continuous");
        standing.on(0, Event::Began);
        assert!(standing.on(0, failed(true, false)).is_some());
        standing.on(30_000, Event::Began);
        let waits = |what: Option<&str>| Event::Waits(what.map(ToOwned::to_owned));
        assert!(
            standing.on(30_001, waits(Some("a"))).is_none(),
            "it is the same trouble"
        );
        assert!(standing.on(30_002, waits(None)).is_none());
        let well = standing.on(30_003, Event::GetsOn).unwrap();
        assert_eq!((well.from, well.to), (State::Stalled, State::Running));
        assert!(standing.on(30_004, Event::GetsOn).is_none());
        assert!(
            standing.on(40_000, waits(Some("a"))).is_some(),
            "another time"
        );
    }

    /// … in the file that the run under way is drained for.
    #[test]
    fn a_mistake_that_is_mended_in_time_restarts_the_run() {
        let mut standing = standing("once");
        standing.on(0, Event::Began);
        standing.on(
            1,
            Event::Wrong(Reason::new(MISCONFIGURED, "no such plugin")),
        );
        standing.on(2, Event::Changed { plan: false });
        standing.on(3, Event::Over(Outcome::Drained));
        assert!(standing.is_due(3));
    }

    #[test]
    fn what_a_person_must_mend_waits_for_one() {
        let mut standing = standing("every 1m");
        standing.on(0, Event::Began);
        let alert = standing.on(9, failed(false, true)).unwrap();
        assert_eq!((alert.to, standing.due_ms()), (State::Paused, None));
        assert_eq!(standing.since_ms(), 9);
        assert!(!standing.is_due(u64::MAX));
        assert!(standing.on(10, Event::Changed { plan: false }).is_none());
        assert_eq!(standing.state(), State::Paused, "another's file");
        let back = standing.on(10, Event::Changed { plan: true }).unwrap();
        assert_eq!((back.from, back.to), (State::Paused, State::Idle));
        assert!(standing.is_due(10));
    }

    #[test]
    fn what_somebody_paused_somebody_resumes() {
        let mut standing = standing("every 1m");
        standing.on(0, told());
        for changed in [false, true] {
            standing.on(1, Event::Changed { plan: changed });
            standing.on(
                1,
                Event::Wrong(Reason::new("misconfigured", "no such plugin")),
            );
            assert_eq!(standing.state(), State::Paused);
            assert_eq!(standing.reason().unwrap().kind, TOLD);
        }
        standing.on(2, Event::Resume);
        assert!(standing.is_due(2));
    }

    #[test]
    fn a_run_under_way_drains_before_it_is_paused() {
        let mut standing = standing("every 1m");
        standing.on(0, Event::Began);
        assert!(!standing.wants_drain());
        assert!(standing.on(1, told()).is_none());
        assert!(standing.wants_drain() && standing.state() == State::Running);
        standing.on(1, Event::Changed { plan: true });
        assert!(standing.on(2, Event::Over(Outcome::Drained)).is_some());
        assert_eq!(standing.state(), State::Paused);
        assert_eq!(standing.reason().unwrap().message, "maintenance");
    }

    #[test]
    fn a_changed_plan_restarts_the_run_and_nothing_else_does() {
        let mut standing = standing("once");
        standing.on(0, Event::Began);
        standing.on(1, Event::Changed { plan: false });
        assert!(!standing.wants_drain());
        standing.on(1, Event::Changed { plan: true });
        assert!(standing.wants_drain());
        standing.on(2, Event::Over(Outcome::Drained));
        assert!(standing.is_due(2));
        standing.on(2, Event::Began);
        standing.on(3, done(0));
        standing.on(4, Event::Changed { plan: false });
        assert_eq!(standing.state(), State::Done);
        standing.on(5, Event::Changed { plan: true });
        assert!(standing.is_due(5), "another plan has another run");
    }

    #[test]
    fn a_bad_state_is_told_when_it_is_entered_and_left_once() {
        let mut standing = standing("once");
        standing.on(0, Event::Began);
        let waits = |what: Option<&str>| Event::Waits(what.map(ToOwned::to_owned));
        assert!(standing.on(1, waits(None)).is_none());
        assert!(standing.on(2, waits(Some("a"))).is_some());
        assert!(standing.on(3, waits(Some("b"))).is_none());
        assert_eq!(standing.reason().unwrap().message, "b");
        assert_eq!(standing.since_ms(), 2);
        let left = standing.on(4, waits(None)).unwrap();
        assert_eq!((left.from, left.to), (State::Degraded, State::Running));
        assert!(standing.on(5, waits(Some("a"))).is_some(), "another time");
    }

    #[test]
    fn a_wrong_file_pauses_and_a_resume_tries_again() {
        let mut standing = standing("once");
        let wrong = || Event::Wrong(Reason::new("misconfigured", "no such plugin"));
        assert!(standing.on(0, wrong()).is_some());
        standing.on(1, Event::Resume);
        assert!(standing.is_due(1));
        standing.on(1, Event::Began);
        standing.on(2, wrong());
        assert!(
            standing.wants_drain(),
            "its grant was taken away while it ran"
        );
        standing.on(3, Event::Over(Outcome::Drained));
        assert_eq!(standing.state(), State::Paused);
    }
}
