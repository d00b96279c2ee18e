//! How long a call may take, and how fast: one that computes on and on is given ever less of a core, so that what runs
//! beside it on this machine keeps its own. Waiting is not computing: a call that waits for a server or a disk is as fast
//! as they are.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// What a call may compute at full speed. Reading a page or writing a unit takes milliseconds; what is still computing
/// after this has most likely no end. Stops a plugin that loops, or calls the host without end, from taking a core from
/// its neighbours until its call time is over.
const FULL_SPEED_TIME: Duration = Duration::from_millis(250);
/// After that: so many times as long as it computes, it rests.
const RESTS: u32 = 4;
/// What it owes is rested at once from here on: shorter rests would be all switching.
const REST_LEAST: Duration = Duration::from_millis(10);

/// Where calls rest, one at a time: together they have a quarter of a core, however many they are.
static LANE: Semaphore = Semaphore::const_new(1);

/// A call of a guest, ended after `time_max` on the clock.
///
/// Invariant: calls that compute on and on have a quarter of a core, all of this process together (tests:
/// `who_computes_on_rests_most_of_the_time`, `many_who_compute_on_have_no_more_than_one`).
pub(crate) async fn timeout<T>(
    time_max: Duration,
    call: impl Future<Output = T>,
) -> Result<T, Late> {
    let held = AtomicU64::new(0);
    let outcome = tokio::time::timeout(time_max, paced(FULL_SPEED_TIME, &held, call)).await;
    outcome.map_err(|_| Late {
        waited: Duration::from_micros(held.into_inner()) < time_max / 2,
    })
}

/// A call that was ended for its time was over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Late {
    /// Most of that time it waited for a server or a disk: the plugin is not to blame, nor are the records.
    pub(crate) waited: bool,
}

/// A guest gives way at every tick of the epoch, so each turn here is a few milliseconds at most. `held`: the time that it
/// computed, was made to rest, or could have computed and had no turn, in microseconds.
async fn paced<T>(full_speed: Duration, held: &AtomicU64, call: impl Future<Output = T>) -> T {
    let mut call = pin!(call);
    let (mut busy, mut owed) = (Duration::ZERO, Duration::ZERO);
    let mut queued = None;
    loop {
        let turn = poll_fn(|context| {
            drop(queued.take());
            let noting = Arc::new(Noting::of(context.waker()));
            let waker = Waker::from(Arc::clone(&noting));
            let began = Instant::now();
            let turn = call.as_mut().poll(&mut Context::from_waker(&waker));
            let took = began.elapsed();
            if turn.is_pending() && noting.woken.load(Ordering::Relaxed) {
                // It waits for nothing but its next turn.
                queued = Some(Held(held, Instant::now()));
            }
            busy += took;
            hold(held, took);
            if busy > full_speed {
                owed += took * RESTS;
            }
            match turn {
                Poll::Ready(value) => Poll::Ready(Some(value)),
                Poll::Pending if owed >= REST_LEAST => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        });
        if let Some(value) = turn.await {
            return value;
        }
        drop(queued.take()); // The rest counts from here, and once.
        let _held = Held(held, Instant::now());
        rest(std::mem::take(&mut owed)).await;
    }
}

/// A rest, or a wait for a turn: counts when it ends, and when the call is ended in the middle of it.
struct Held<'a>(&'a AtomicU64, Instant);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        hold(self.0, self.1.elapsed());
    }
}

/// A waker that knows whether it was called.
struct Noting {
    inner: Waker,
    woken: AtomicBool,
}

impl Noting {
    fn of(inner: &Waker) -> Self {
        Self {
            inner: inner.clone(),
            woken: AtomicBool::new(false),
        }
    }
}

impl Wake for Noting {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Relaxed);
        self.inner.wake_by_ref();
    }
}

fn hold(held: &AtomicU64, took: Duration) {
    let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    held.fetch_add(took, Ordering::Relaxed);
}

async fn rest(owed: Duration) {
    // Nobody closes it.
    let _turn = LANE.acquire().await;
    tokio::time::sleep(owed).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    const EACH: Duration = Duration::from_millis(5);

    /// Computes so many times for so long, giving way after each.
    async fn compute(times: u32) {
        for _ in 0..times {
            let began = Instant::now();
            while began.elapsed() < EACH {
                std::hint::spin_loop();
            }
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn who_computes_on_rests_most_of_the_time() {
        let began = Instant::now();
        paced(EACH * 4, &AtomicU64::new(0), compute(24)).await;
        // Four turns at full speed, twenty with rests between them; what the last owes is not waited for.
        let least = EACH * (24 + 18 * RESTS);
        assert!(began.elapsed() >= least, "{:?}", began.elapsed());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn many_who_compute_on_have_no_more_than_one() {
        let began = Instant::now();
        let calls = (0..4).map(|_| {
            tokio::spawn(async { paced(Duration::ZERO, &AtomicU64::new(0), compute(8)).await })
        });
        for call in calls.collect::<Vec<_>>() {
            call.await.expect("no panic");
        }
        // All but the last turn of each is rested for, one after the other.
        let least = EACH * 4 * 6 * RESTS;
        assert!(began.elapsed() >= least, "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn who_waits_is_not_held_up() {
        let waits = async {
            for _ in 0..20 {
                tokio::time::sleep(EACH).await;
            }
        };
        let began = Instant::now();
        paced(Duration::ZERO, &AtomicU64::new(0), waits).await;
        assert!(
            began.elapsed() < Duration::from_secs(2),
            "{:?}",
            began.elapsed()
        );
    }

    #[tokio::test]
    async fn a_call_ends_in_time_though_it_rests() {
        let began = Instant::now();
        let held = AtomicU64::new(0);
        let for_ever = paced(Duration::ZERO, &held, compute(u32::MAX));
        let outcome = tokio::time::timeout(Duration::from_millis(100), for_ever).await;
        assert!(outcome.is_err());
        assert!(began.elapsed() < Duration::from_secs(5));
    }

    /// … as a guest does at a tick of the epoch.
    async fn compute_and_give_way() {
        loop {
            let began = Instant::now();
            while began.elapsed() < EACH {
                std::hint::spin_loop();
            }
            let mut gave_way = false;
            poll_fn(|context| {
                if std::mem::replace(&mut gave_way, true) {
                    return Poll::Ready(());
                }
                context.waker().wake_by_ref();
                Poll::Pending
            })
            .await;
        }
    }

    /// A machine that is too small for all of them makes none of them one that waits for a server.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn who_had_no_turn_did_not_wait() {
        let time = Duration::from_millis(600);
        let calls = (0..16).map(|_| tokio::spawn(timeout(time, compute_and_give_way())));
        for call in calls.collect::<Vec<_>>() {
            let outcome = call.await.expect("no panic");
            assert_eq!(outcome, Err(Late { waited: false }));
        }
    }

    #[tokio::test]
    async fn who_waited_is_told_from_who_computed() {
        let time = Duration::from_millis(60);
        let waits = timeout(time, tokio::time::sleep(Duration::from_mins(1))).await;
        assert_eq!(waits, Err(Late { waited: true }));
        let computes = timeout(time, compute(u32::MAX)).await;
        assert_eq!(computes, Err(Late { waited: false }));
    }
}
