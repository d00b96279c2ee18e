//! What one door has spent of its grant's budgets. Counts; what is too much is `policy`'s to say.

use sluice_model::ports::Refusal;
use sluice_policy::{Effective, Sending, Spent, Turns};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// The counters of one door: of one stage of one run.
pub(crate) struct Budgets {
    effective: Arc<Effective>,
    began: Instant,
    counted: Vec<Mutex<Counted>>,
}

#[derive(Default)]
struct Counted {
    spent: Spent,
    turns: Option<Turns>,
}

impl Budgets {
    pub(crate) fn new(effective: Arc<Effective>) -> Self {
        let counted = effective.budgets().map(|budget| {
            Mutex::new(Counted {
                spent: Spent::default(),
                turns: budget.rate.map(Turns::new),
            })
        });
        Self {
            counted: counted.collect(),
            began: Instant::now(),
            effective,
        }
    }

    /// Counts one more request, and says how long it has to wait for its turn. A request that is refused is not
    /// counted.
    pub(crate) fn request(
        &self,
        sending: &Sending,
        patience: Duration,
    ) -> Result<Duration, Refusal> {
        let one = Spent {
            requests: 1,
            ..Spent::default()
        };
        self.spend(sending, one)?;
        let mut longest = Duration::ZERO;
        for at in &sending.budgets {
            let mut counted = self.counted[*at]
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let Some(turns) = &mut counted.turns else {
                continue;
            };
            let wait = turns
                .take(self.began.elapsed(), patience)
                .map_err(|wait| self.effective.too_fast(sending, *at, wait))?;
            longest = longest.max(wait);
        }
        Ok(longest)
    }

    /// Counts bytes that are about to leave.
    pub(crate) fn out(&self, sending: &Sending, bytes: u64) -> Result<(), Refusal> {
        self.spend(
            sending,
            Spent {
                bytes_out: bytes,
                ..Spent::default()
            },
        )
    }

    /// Counts bytes that came, before they are handed on.
    pub(crate) fn came(&self, sending: &Sending, bytes: u64) -> Result<(), Refusal> {
        self.spend(
            sending,
            Spent {
                bytes_in: bytes,
                ..Spent::default()
            },
        )
    }

    fn spend(&self, sending: &Sending, more: Spent) -> Result<(), Refusal> {
        for at in &sending.budgets {
            let mut counted = self.counted[*at]
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let spent = Spent {
                requests: counted.spent.requests + more.requests,
                bytes_out: counted.spent.bytes_out.saturating_add(more.bytes_out),
                bytes_in: counted.spent.bytes_in.saturating_add(more.bytes_in),
            };
            // Bytes that came have come, whatever is done with them.
            let is_settled = more.bytes_in > 0;
            let may = self.effective.may_spend(sending, *at, &spent);
            if may.is_ok() || is_settled {
                counted.spent = spent;
            }
            may?;
        }
        Ok(())
    }
}
