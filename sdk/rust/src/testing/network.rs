//! The other ways out of a plugin, for a test: HTTP answered by a closure, secrets it may see, and the lines it logged.

use crate::http::{Request, Response};
use crate::secret::SecretError;
use crate::{Fault, log};
use std::cell::RefCell;
use std::fmt::Write as _;

type Responder = Box<dyn FnMut(&Request) -> Result<Response, Fault>>;

thread_local! {
    static RESPONDER: RefCell<Option<Responder>> = const { RefCell::new(None) };
    static SECRETS: RefCell<Vec<(String, Option<Vec<u8>>)>> = const { RefCell::new(Vec::new()) };
    static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Answers every request of this thread's plugins from now on. A fault stands for what the host or the network does:
/// [`Fault::Denied`] for a refusal, [`Fault::Transient`] for a connection that fails.
pub fn http(responder: impl FnMut(&Request) -> Result<Response, Fault> + 'static) {
    RESPONDER.with(|slot| *slot.borrow_mut() = Some(Box::new(responder)));
}

/// Reveals these secrets to this thread's plugins from now on, and no others; none as a value stands for an optional
/// one that the pipeline does not name.
pub fn secrets(secrets: &[(&str, Option<&str>)]) {
    let owned = |(name, value): &(&str, Option<&str>)| {
        let value = value.map(|value| value.as_bytes().to_vec());
        ((*name).to_owned(), value)
    };
    SECRETS.with(|slot| *slot.borrow_mut() = secrets.iter().map(owned).collect());
}

pub(crate) fn reveal(name: &str) -> Result<Option<Vec<u8>>, SecretError> {
    SECRETS.with(|slot| {
        let secrets = slot.borrow();
        let found = secrets.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.clone()).ok_or_else(|| {
            SecretError::Denied(format!(
                "`{name}` is not revealed: call `testing::secrets` first"
            ))
        })
    })
}

/// The lines logged on this thread since the last call: `info message key=value`.
pub fn logs() -> Vec<String> {
    LINES.with(|lines| std::mem::take(&mut *lines.borrow_mut()))
}

pub(crate) fn respond(request: &Request) -> Result<Response, Fault> {
    RESPONDER.with(|slot| match &mut *slot.borrow_mut() {
        Some(responder) => responder(request),
        None => Err(Fault::denied("no responder: call `testing::http` first")),
    })
}

pub(crate) fn logged(level: log::Level, message: &str, fields: Vec<(String, String)>) {
    let mut line = format!("{level:?} {message}").replacen("Level::", "", 1);
    line[..1].make_ascii_lowercase();
    if let Some(end) = line.find(' ') {
        line[..end].make_ascii_lowercase();
    }
    for (key, value) in fields {
        // Writing to a string cannot fail.
        let _ = write!(line, " {key}={value}");
    }
    LINES.with(|lines| lines.borrow_mut().push(line));
}
