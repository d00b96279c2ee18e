//! What a command can end with, and whose turn it is then: the exit code is decided by the kind alone.

use crate::holder::InUse;
use sluice_model::fault::Fault;
use sluice_model::ports::StoreError;
use sluice_model::tomlfile::FileError;

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Mistakes in what was typed or written: exit code 2.
    #[error("{}", problems(.0))]
    Wrong(Vec<FileError>),
    /// A pipeline, a plugin or its input failed: exit code 1.
    #[error("{stage}: {fault}")]
    Failed {
        /// Which part.
        stage: String,
        /// Why.
        fault: Fault,
    },
    /// The host itself failed: exit code 3.
    #[error("{0}")]
    Host(String),
    /// Another process has the state directory open: exit code 3.
    #[error("{0}")]
    InUse(InUse),
}

impl Error {
    /// One mistake.
    pub fn wrong(problem: FileError) -> Self {
        Self::Wrong(vec![problem])
    }

    /// A fault of this part.
    pub fn failed(stage: impl Into<String>, fault: Fault) -> Self {
        if matches!(fault.kind, sluice_model::fault::FaultKind::Host) {
            return Self::Host(fault.to_string());
        }
        Self::Failed {
            stage: stage.into(),
            fault,
        }
    }

    /// 1, 2 or 3.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Failed { .. } => 1,
            Error::Wrong(_) => 2,
            Error::Host(_) | Error::InUse(_) => 3,
        }
    }
}

impl From<FileError> for Error {
    fn from(problem: FileError) -> Self {
        Self::wrong(problem)
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Self::Host(error.to_string())
    }
}

fn problems(problems: &[FileError]) -> String {
    problems
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}
