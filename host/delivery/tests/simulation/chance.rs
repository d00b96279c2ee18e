//! What decides: chance that can be had again (xorshift64*), or a script that names the steps that are struck.

use sluice_model::fault::{Fault, FaultKind};
use std::time::Duration;

pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn draw(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11
    }

    /// From zero, less than `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.draw() % end
    }

    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub fn per_mille(&mut self, per_mille: u64) -> bool {
        self.below(1_000) < per_mille
    }

    /// From 0 to 1.
    pub fn part(&mut self) -> f64 {
        self.below(1_001) as f64 / 1_000.0
    }
}

/// What a scripted step is struck with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blow {
    CrashBefore,
    /// The step had its effect, and nobody heard of it.
    CrashAfter,
    FaultBefore,
    /// The step had its effect, and its answer says that it failed.
    FaultAfter,
}

/// Which of the operations under way ends next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    First,
    Last,
}

/// Steps are counted over all runs of a world, from zero.
pub struct Script {
    pub order: Order,
    pub blows: Vec<(u64, Blow)>,
    pub steps: u64,
    /// How many of the blows fell.
    pub struck: usize,
}

impl Script {
    pub fn new(order: Order, blows: &[(u64, Blow)]) -> Self {
        Self {
            order,
            blows: blows.to_vec(),
            steps: 0,
            struck: 0,
        }
    }

    fn next(&mut self) -> Option<Blow> {
        let at = self.steps;
        self.steps += 1;
        let (_, blow) = self.blows.iter().find(|(step, _)| *step == at)?;
        self.struck += 1;
        Some(*blow)
    }
}

/// Chance alone, or a script.
pub struct Luck {
    pub chance: Chance,
    pub script: Option<Script>,
}

impl Luck {
    pub fn drawn(seed: u64) -> Self {
        Self {
            chance: Chance::new(seed),
            script: None,
        }
    }

    pub fn scripted(script: Script) -> Self {
        Self {
            chance: Chance::new(1),
            script: Some(script),
        }
    }

    /// What the step that is now done is struck with; a script alone strikes this way.
    pub fn next_blow(&mut self) -> Option<Blow> {
        self.script.as_mut().and_then(Script::next)
    }

    pub fn is_scripted(&self) -> bool {
        self.script.is_some()
    }

    pub fn pick(&mut self, among: usize) -> usize {
        match self.script.as_ref().map(|script| script.order) {
            None => self.chance.below(among as u64) as usize,
            Some(Order::First) => 0,
            Some(Order::Last) => among - 1,
        }
    }
}

/// A fault that strikes an operation, before or after it has its effect.
#[derive(Debug, Clone)]
pub struct Struck {
    pub fault: Fault,
    pub after: bool,
}

pub fn transient(retry_after: Option<Duration>) -> Fault {
    Fault::new(FaultKind::Transient { retry_after }, "connection reset")
}

pub fn trapped() -> Fault {
    Fault::new(FaultKind::Trapped, "unreachable")
}
