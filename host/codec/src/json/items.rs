//! The items of the array that a pointer leads to in one JSON document, and its records as rows. Items are read in
//! place, one after the other: the document is never held as a tree.

use super::object::{ObjectReader, is_too_deep};
use super::scan::{Flaw, FlawKind, Found, Scanner};
use crate::assembly::{Assembly, Stop};
use crate::document::Document;
use crate::ndjson::BYTE_ORDER_MARK;
use crate::problem::{Problem, flaw_message, shown};
use sluice_model::fault::{Fault, FaultKind};
use sluice_model::guards::Guard;
use sluice_model::limits;

/// Why the items of a document cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ItemsError {
    /// Not UTF-8.
    #[error("not UTF-8 from byte {0} on")]
    Utf8(usize),
    /// Not JSON, or cut off.
    #[error("{}", flaw_message(*.0))]
    Flaw(Flaw),
    /// Not RFC 6901.
    #[error(
        "`{0}` is no JSON pointer: it is empty, or begins with `/`, and `~` is followed by 0 or 1"
    )]
    Pointer(String),
    /// The pointer leads nowhere.
    #[error("there is no `{0}` in the document")]
    Missing(String),
    /// The pointer leads to something without records.
    #[error("at `{pointer}` stands {}, neither an array nor an object", found.word())]
    NoRecords {
        /// The pointer.
        pointer: String,
        /// What stands there.
        found: Found,
    },
    /// A field on the pointer's way stands twice, so that it is not clear which is meant.
    #[error("field `{0}` stands twice in the document")]
    Twice(String),
}

impl From<Flaw> for ItemsError {
    fn from(flaw: Flaw) -> Self {
        Self::Flaw(flaw)
    }
}

/// An array or object that the pointer led through, still open.
#[derive(Debug)]
enum Open {
    Array,
    /// With the name the pointer took.
    Object(Vec<u8>),
}

/// The items of a document, one at a time.
#[derive(Debug)]
pub struct Items<'a> {
    /// Stands at the item after [`Items::advance`]; whoever reads it leaves it behind the item.
    pub scanner: Scanner<'a>,
    open: Vec<Open>,
    /// The only item is an object that stands in the place of the array.
    single: bool,
    /// Items begun.
    begun: u64,
}

impl<'a> Items<'a> {
    /// Goes to where the pointer leads.
    pub fn open(bytes: &'a [u8], pointer: &str) -> Result<Self, ItemsError> {
        let mut scanner = Scanner::new(bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes));
        let mut open = Vec::new();
        scanner.skip_space();
        for token in tokens(pointer)? {
            let missing = || ItemsError::Missing(shown(pointer));
            open.push(match scanner.found() {
                Found::Object => enter_object(&mut scanner, token)?.ok_or_else(missing)?,
                Found::Array => enter_array(&mut scanner, &token)?.ok_or_else(missing)?,
                Found::Nothing => return Err(scanner.expected("a JSON value").into()),
                _ => return Err(missing()),
            });
        }
        match scanner.found() {
            Found::Object => Ok(Self {
                scanner,
                open,
                single: true,
                begun: 0,
            }),
            Found::Array => {
                scanner.eat(b'[');
                Ok(Self {
                    scanner,
                    open,
                    single: false,
                    begun: 0,
                })
            }
            Found::Nothing => Err(scanner.expected("a JSON value").into()),
            found => Err(ItemsError::NoRecords {
                pointer: shown(pointer),
                found,
            }),
        }
    }

    /// The index of the item the scanner stands at.
    pub fn index(&self) -> u64 {
        self.begun - 1
    }

    /// Goes to the next item; false where there is none, and the rest of the document is well formed.
    pub fn advance(&mut self) -> Result<bool, ItemsError> {
        let first = self.begun == 0;
        if self.single && first {
            self.begun = 1;
            return Ok(true);
        }
        self.scanner.skip_space();
        if self.single || self.scanner.eat(b']') {
            self.close()?;
            return Ok(false);
        }
        if !first {
            self.scanner.comma()?;
        }
        self.begun += 1;
        Ok(true)
    }

    /// Steps over the item, whatever it is.
    pub fn skip(&mut self) -> Result<(), Flaw> {
        let start = self.scanner.at();
        match self.scanner.skip_value(0) {
            Err(Flaw {
                kind: FlawKind::TooDeep,
                ..
            }) => {
                self.scanner.go(start);
                self.scanner.skip_deep()
            }
            other => other,
        }
    }

    /// Checks what follows the items: a document that is cut off is not to be trusted.
    fn close(&mut self) -> Result<(), ItemsError> {
        while let Some(open) = self.open.pop() {
            loop {
                self.scanner.skip_space();
                let close = if matches!(open, Open::Array) {
                    b']'
                } else {
                    b'}'
                };
                if self.scanner.eat(close) {
                    break;
                }
                self.scanner.comma()?;
                if let Open::Object(taken) = &open {
                    let name = member_name(&mut self.scanner)?;
                    if name == *taken {
                        return Err(ItemsError::Twice(shown(&String::from_utf8_lossy(&name))));
                    }
                }
                self.scanner.skip_value(self.open.len() + 1)?;
            }
        }
        self.scanner.skip_space();
        if self.scanner.peek().is_some() {
            return Err(self.scanner.expected("the end of the document").into());
        }
        Ok(())
    }
}

fn tokens(pointer: &str) -> Result<Vec<Vec<u8>>, ItemsError> {
    let bad = || ItemsError::Pointer(shown(pointer));
    let mut parts = pointer.split('/');
    if parts.next() != Some("") || pointer.split('/').count() > limits::JSON_DEPTH_MAX {
        return Err(bad());
    }
    parts
        .map(|part| {
            let escapes_end = part
                .split('~')
                .skip(1)
                .all(|rest| rest.starts_with(['0', '1']));
            if escapes_end {
                Ok(part.replace("~1", "/").replace("~0", "~").into_bytes())
            } else {
                Err(bad())
            }
        })
        .collect()
}

fn member_name(scanner: &mut Scanner<'_>) -> Result<Vec<u8>, Flaw> {
    if scanner.peek() != Some(b'"') {
        return Err(scanner.expected("a field name in quotes"));
    }
    let mut unescaped = Vec::new();
    let plain = scanner.string(&mut unescaped)?.map(<[u8]>::to_vec);
    scanner.colon()?;
    Ok(plain.unwrap_or(unescaped))
}

fn enter_object(scanner: &mut Scanner<'_>, wanted: Vec<u8>) -> Result<Option<Open>, Flaw> {
    scanner.eat(b'{');
    scanner.skip_space();
    if scanner.eat(b'}') {
        return Ok(None);
    }
    loop {
        if member_name(scanner)? == wanted {
            return Ok(Some(Open::Object(wanted)));
        }
        scanner.skip_value(1)?;
        scanner.skip_space();
        if scanner.eat(b'}') {
            return Ok(None);
        }
        scanner.comma()?;
    }
}

fn enter_array(scanner: &mut Scanner<'_>, wanted: &[u8]) -> Result<Option<Open>, Flaw> {
    let plain = wanted == b"0" || !wanted.starts_with(b"0");
    let wanted = std::str::from_utf8(wanted)
        .ok()
        .filter(|text| plain && text.bytes().all(|b| b.is_ascii_digit()));
    let Some(wanted) = wanted.and_then(|text| text.parse::<usize>().ok()) else {
        return Ok(None);
    };
    scanner.eat(b'[');
    scanner.skip_space();
    if scanner.eat(b']') {
        return Ok(None);
    }
    for _ in 0..wanted {
        scanner.skip_value(1)?;
        scanner.skip_space();
        if scanner.eat(b']') {
            return Ok(None);
        }
        scanner.comma()?;
    }
    Ok(Some(Open::Array))
}

/// Reads every item as one record.
pub fn decode(
    document: &Document<'_>,
    pointer: &str,
    reader: &mut ObjectReader<'_>,
    assembly: &mut Assembly<'_>,
) -> Result<(), Stop> {
    let unreadable = |error: ItemsError| unreadable(document.name, &error);
    if let Err(error) = std::str::from_utf8(document.bytes) {
        return Err(unreadable(ItemsError::Utf8(error.valid_up_to())));
    }
    let mut items = Items::open(document.bytes, pointer).map_err(unreadable)?;
    while items.advance().map_err(unreadable)? {
        let start = items.scanner.at();
        let row = assembly.rows();
        let mut read = reader.read(&mut items.scanner, &mut assembly.columns, row, false);
        if let Err(problem) = &read {
            items.scanner.go(start);
            let whole = if is_too_deep(problem) {
                items.scanner.skip_deep()
            } else {
                items.skip()
            };
            whole.map_err(|flaw| unreadable(flaw.into()))?;
        }
        let raw = items.scanner.between(start, items.scanner.at());
        if raw.len() > Guard::ItemBytes.limit(limits::RECORD_BYTES_MAX) {
            read = Err(Box::new(Problem::TooLarge { bytes: raw.len() }));
        }
        match read {
            Ok(()) => assembly.accept(items.index(), raw.len())?,
            Err(problem) => assembly.refuse(items.index(), raw, &problem)?,
        }
    }
    Ok(())
}

fn unreadable(name: &str, error: &ItemsError) -> Stop {
    let message = format!("`{name}` cannot be read: {error}");
    Stop::Unreadable(match error {
        ItemsError::Pointer(_) | ItemsError::Missing(_) | ItemsError::NoRecords { .. } => {
            Fault::new(FaultKind::Misconfigured, message)
                .hint("let the JSON pointer lead to the array of records, as in `/data/items`")
        }
        _ => Fault::new(FaultKind::Broken, message),
    })
}
