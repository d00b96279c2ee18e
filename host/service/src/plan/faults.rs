//! A stage's faults, told as its own.

use super::Stage;
use sluice_model::fault::Fault;

impl Stage {
    /// A fault in one of its calls, told as its own: a plugin's words do not say whose they are.
    pub fn told(&self, fault: Fault) -> Fault {
        Fault {
            message: format!("{}: {}", self.label(), fault.message),
            ..fault
        }
    }
}
