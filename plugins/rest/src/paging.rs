//! From one page to the next: how a place is asked for, and what an answer says of the place behind it. Knows nothing of
//! requests: what it cannot follow it says in words that stand behind "the answer".

use crate::address::Base;
use crate::answer;
use crate::config::{Pagination, pointer};
use crate::cursor::Place;
use crate::link;
use serde_json::value::RawValue;
use sluice_sdk::http::Response;

/// A token for the next page. Stops a server from filling the cursor.
const TOKEN_BYTES_MAX: usize = 8 << 10;

/// What an answer says of what is behind it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Behind {
    /// How many records came.
    pub(crate) count: u64,
    /// Whether an answer with more records is possible at all.
    pub(crate) array: bool,
    /// A token or a link, where it names one.
    named: Option<String>,
    /// Whether it says itself that nothing is behind it.
    ends: bool,
}

impl Behind {
    /// Without a body.
    pub(crate) fn nothing(pagination: &Pagination, response: &Response) -> Self {
        Self {
            array: true,
            named: header(pagination, response),
            ..Self::default()
        }
    }

    /// Of an answer with these records.
    pub(crate) fn of(
        pagination: &Pagination,
        response: &Response,
        json: &str,
        (records, array): (&[&RawValue], bool),
    ) -> Result<Self, serde_json::Error> {
        let in_body =
            |pointer: &str| Ok::<_, serde_json::Error>(answer::at(json, pointer)?.and_then(text));
        let (mut named, mut ends) = (header(pagination, response), false);
        match pagination {
            Pagination::Cursor {
                cursor_pointer,
                cursor_field,
                more_pointer,
                ..
            } => {
                if let Some(more) = more_pointer {
                    let more = answer::at(json, more)?;
                    ends = more.is_some_and(|more| more.get() == "false");
                }
                named = match (cursor_pointer, cursor_field, records.last()) {
                    (Some(at), _, _) => in_body(at)?,
                    (None, Some(field), Some(last)) => {
                        answer::at(last.get(), &pointer(field))?.and_then(text)
                    }
                    _ => None,
                };
            }
            Pagination::Link {
                link_pointer: Some(at),
                ..
            } => named = in_body(at)?,
            _ => {}
        }
        Ok(Self {
            count: records.len() as u64,
            array,
            named,
            ends,
        })
    }
}

/// The link in a header, where this style looks there.
fn header(pagination: &Pagination, response: &Response) -> Option<String> {
    let Pagination::Link {
        link_pointer: None, ..
    } = pagination
    else {
        return None;
    };
    let links = response
        .headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("link"));
    let next = links.map(|(_, value)| value.as_str()).find_map(link::next);
    next.map(ToOwned::to_owned)
}

/// A text or a number; null, false and the empty text are none.
fn text(value: &RawValue) -> Option<String> {
    match serde_json::from_str(value.get()).ok()? {
        serde_json::Value::String(text) if !text.is_empty() => Some(text),
        serde_json::Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

impl Pagination {
    /// The parameter that asks for this place.
    pub(crate) fn parameter(&self, place: &Place) -> Option<(&str, String)> {
        match (self, place) {
            (Pagination::Page { page_param, .. }, Place::Page(page)) => {
                Some((page_param, page.to_string()))
            }
            (
                Pagination::Page {
                    page_param,
                    first_page,
                    ..
                },
                _,
            ) => Some((page_param, first_page.to_string())),
            (Pagination::Offset { offset_param, .. }, Place::Offset(offset)) => {
                Some((offset_param, offset.to_string()))
            }
            (Pagination::Offset { offset_param, .. }, _) => Some((offset_param, "0".to_owned())),
            (Pagination::Cursor { cursor_param, .. }, Place::Token(token)) => {
                Some((cursor_param, token.clone()))
            }
            _ => None,
        }
    }

    /// Whether a place is one of this style.
    pub(crate) fn fits(&self, place: &Place) -> bool {
        match place {
            Place::Start | Place::Done => true,
            Place::Page(_) => matches!(self, Pagination::Page { .. }),
            Place::Offset(_) => matches!(self, Pagination::Offset { .. }),
            Place::Token(_) => matches!(self, Pagination::Cursor { .. }),
            Place::Target(_) => matches!(self, Pagination::Link { .. }),
        }
    }

    /// The place behind `here`, which was asked for at `target`; none at the end.
    pub(crate) fn next(
        &self,
        here: &Place,
        behind: &Behind,
        (base, target): (&Base, &str),
    ) -> Result<Option<Place>, String> {
        let count = behind.count;
        let last = count == 0
            || !behind.array
            || self.full_page().is_some_and(|size| count < size)
            || behind.ends;
        let place = match (self, here) {
            (Pagination::None, _) => return Ok(None),
            (Pagination::Page { .. } | Pagination::Offset { .. }, _) if last => return Ok(None),
            (Pagination::Page { .. }, Place::Page(page)) => Place::Page(page + 1),
            (Pagination::Page { first_page, .. }, _) => Place::Page(first_page + 1),
            (Pagination::Offset { .. }, Place::Offset(offset)) => Place::Offset(offset + count),
            (Pagination::Offset { .. }, _) => Place::Offset(count),
            (Pagination::Cursor { .. }, _) if behind.ends => return Ok(None),
            (
                Pagination::Cursor {
                    cursor_field: Some(_),
                    ..
                },
                _,
            ) if last => return Ok(None),
            (Pagination::Cursor { cursor_field, .. }, _) => match (&behind.named, cursor_field) {
                (None, None) => return Ok(None),
                (None, Some(field)) => return Err(format!("has no `{field}` in its last record")),
                (Some(token), _) if token.len() > TOKEN_BYTES_MAX => {
                    return Err("has a token longer than 8 KiB".to_owned());
                }
                (Some(token), _) => Place::Token(token.clone()),
            },
            (Pagination::Link { .. }, _) => {
                let Some(reference) = &behind.named else {
                    return Ok(None);
                };
                let next = base.resolve(target, reference);
                let next = next.map_err(|why| format!("has a link to the next page that {why}"))?;
                if next == target {
                    return Err(ITSELF.to_owned());
                }
                Place::Target(next)
            }
        };
        if place == *here {
            return Err(ITSELF.to_owned());
        }
        Ok(Some(place))
    }
}

const ITSELF: &str = "names itself as the next page";
