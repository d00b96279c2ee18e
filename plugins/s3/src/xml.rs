//! What S3 answers in: small documents of elements and text. A tree is enough, and it is bounded: no depth, no entity
//! and no number of elements that a server sends can fill the plugin's memory.

use quick_xml::Reader;
use quick_xml::events::Event;
use sluice_sdk::Fault;

/// Elements inside one another. S3 has four.
const DEPTH_MAX: usize = 16;
/// Elements of one answer. A list of 1,000 objects has some 10,000.
const ELEMENTS_MAX: usize = 100_000;
/// An answer. A list of 1,000 objects has less than 2 MiB, with the longest keys there are.
const BYTES_MAX: usize = 8 << 20;

/// One element.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) children: Vec<Element>,
}

impl Element {
    /// The text of the first child of this name.
    pub(crate) fn text_of(&self, name: &str) -> Option<&str> {
        self.children
            .iter()
            .find(|child| child.name == name)
            .map(|child| child.text.as_str())
    }

    /// The children of this name.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Element> {
        self.children.iter().filter(move |child| child.name == name)
    }
}

/// Reads an answer, whose outermost element has to be of this name.
pub(crate) fn parse(bytes: &[u8], root: &str) -> Result<Element, Fault> {
    let found = tree(bytes).ok_or_else(|| {
        Fault::broken(format!(
            "the answer is not the XML that S3 has for `{root}`"
        ))
    })?;
    if found.name == root {
        return Ok(found);
    }
    Err(Fault::broken(format!(
        "the answer is XML, and no `{root}`: is the endpoint one of S3?"
    )))
}

/// The outermost element; none where the bytes are no such document, or one beyond the bounds.
pub(crate) fn tree(bytes: &[u8]) -> Option<Element> {
    if bytes.len() > BYTES_MAX {
        return None;
    }
    let mut reader = Reader::from_str(std::str::from_utf8(bytes).ok()?);
    let mut open: Vec<Element> = Vec::new();
    let mut elements = 0;
    loop {
        let closed = match reader.read_event().ok()? {
            Event::Start(start) => {
                elements += 1;
                if open.len() >= DEPTH_MAX || elements > ELEMENTS_MAX {
                    return None;
                }
                open.push(named(start.local_name().as_ref())?);
                continue;
            }
            Event::Empty(start) => {
                elements += 1;
                (elements <= ELEMENTS_MAX).then_some(())?;
                named(start.local_name().as_ref())?
            }
            Event::End(_) => open.pop()?,
            Event::Text(text) => {
                if let Some(open) = open.last_mut() {
                    open.text.push_str(&text.xml10_content());
                }
                continue;
            }
            Event::CData(text) => {
                open.last_mut()?.text.push_str(&text.xml10_content());
                continue;
            }
            // `&amp;` and `&#38;`: those that XML itself knows. Others are defined in a document type, which S3 has not.
            Event::GeneralRef(reference) => {
                let letter = match reference.resolve_char_ref().ok()? {
                    Some(letter) => letter.to_string(),
                    None => {
                        quick_xml::escape::resolve_predefined_entity(&reference.xml10_content())?
                            .to_owned()
                    }
                };
                open.last_mut()?.text.push_str(&letter);
                continue;
            }
            Event::Decl(_) | Event::Comment(_) | Event::PI(_) => continue,
            Event::DocType(_) | Event::Eof => return None,
        };
        match open.last_mut() {
            Some(parent) => parent.children.push(closed),
            None => return Some(closed),
        }
    }
}

fn named(name: impl AsRef<[u8]>) -> Option<Element> {
    Some(Element {
        name: String::from_utf8(name.as_ref().to_vec()).ok()?,
        ..Element::default()
    })
}

/// A text as it may stand in an answer's opposite, a request.
pub(crate) fn escaped(text: &str) -> String {
    quick_xml::escape::escape(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_tree() {
        let text = "<?xml version=\"1.0\"?>\n<L xmlns=\"http://x/\"><K>a &amp; &#98;<![CDATA[<c>]]></K><K/><N>1</N></L>";
        let tree = parse(text.as_bytes(), "L").expect("a tree");
        assert_eq!(
            tree.all("K")
                .map(|key| key.text.as_str())
                .collect::<Vec<_>>(),
            ["a & b<c>", ""]
        );
        assert_eq!((tree.text_of("N"), tree.text_of("M")), (Some("1"), None));
        assert!(parse(text.as_bytes(), "M").is_err());
    }

    #[test]
    fn hostile_answers_are_refused() {
        let laughs = "<!DOCTYPE l [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;&a;\">]><l>&b;</l>";
        let nest = "<a>".repeat(100_000);
        let many = format!("<l>{}</l>", "<k/>".repeat(ELEMENTS_MAX + 1));
        let long = format!("<l>{}</l>", "x".repeat(BYTES_MAX));
        for text in [
            laughs,
            "<l>&b;</l>",
            &nest,
            &many,
            &long,
            "",
            "<l>",
            "<l></m>",
            "no",
            "{}",
        ] {
            assert!(tree(text.as_bytes()).is_none(), "{text:.60}");
        }
        assert!(tree(b"<l>\xff</l>").is_none());
    }
}
