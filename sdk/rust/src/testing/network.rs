//! The other ways out of a plugin, for a test: HTTP answered by a closure, and the lines it logged.

use crate::http::{Request, Response};
use crate::{Fault, log};
use std::cell::RefCell;
use std::fmt::Write as _;

type Responder = Box<dyn FnMut(&Request) -> Result<Response, Fault>>;

thread_local! {
    static RESPONDER: RefCell<Option<Responder>> = const { RefCell::new(None) };
    static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Answers every request of this thread's plugins from now on. A fault stands for what the host or the network does:
/// [`Fault::Denied`] for a refusal, [`Fault::Transient`] for a connection that fails.
pub fn http(responder: impl FnMut(&Request) -> Result<Response, Fault> + 'static) {
    RESPONDER.with(|slot| *slot.borrow_mut() = Some(Box::new(responder)));
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
