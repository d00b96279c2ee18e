//! What people are shown of a dead letter's record where the organisation's policy has classes of columns: all but those
//! columns. Whoever must see them asks for that, and the trail keeps it.

use crate::Error;
use crate::deployment::Deployment;
use crate::keeping::{Keeping, Kept, LetterFilter};
use crate::policy;
use serde_json::Value;
use sluice_model::guards::Guard;
use sluice_model::ids::PipelineName;
use sluice_model::limits::LETTERS_FOUND_BYTES_MAX;
use sluice_model::rejection::Record;
use sluice_policy::Organisation;
use sluice_state::journal::Fate;
use std::sync::Arc;

/// What stands in the place of a value that is hidden.
const HIDDEN: &str = "(hidden)";

/// The columns that are hidden; by default, none.
#[derive(Default)]
pub struct Hidden(Option<Arc<Organisation>>);

impl Hidden {
    /// As the deployment's policy has them now.
    pub fn of(deployment: &Deployment) -> Result<Self, Error> {
        let policy = policy::read(deployment).map_err(Error::Wrong)?;
        let hides = |policy: &Arc<Organisation>| Guard::LetterHidden.bars(policy.has_classes());
        Ok(Self(Some(policy).filter(hides)))
    }

    /// Dead letters as they are shown, as [`Keeping::dead_letters`]. A text is sought in what is shown: whoever may not see
    /// a value could ask for it piece by piece.
    pub fn letters(
        &self,
        keeping: &Keeping,
        pipeline: &PipelineName,
        filter: &LetterFilter,
        mut after: u64,
        limit: usize,
    ) -> Result<Vec<Kept>, Error> {
        if self.0.is_none() {
            return keeping.dead_letters(pipeline, filter, after, limit);
        }
        let any_text = LetterFilter {
            text: None,
            ..filter.clone()
        };
        let (mut found, mut bytes) = (Vec::new(), 0);
        loop {
            let page = keeping.dead_letters(pipeline, &any_text, after, limit)?;
            let Some(last) = page.last() else {
                return Ok(found);
            };
            after = last.letter.number;
            for mut kept in page {
                self.hide(&mut kept);
                if filter.finds_text(&kept.letter) {
                    bytes += kept.bytes;
                    found.push(kept);
                    if found.len() >= limit || bytes >= LETTERS_FOUND_BYTES_MAX {
                        return Ok(found);
                    }
                }
            }
        }
    }

    /// Hides them in everything that is kept of a record. What is no JSON object is hidden whole: nobody knows what stands
    /// in it. So is the message, which may quote a value.
    pub fn hide(&self, kept: &mut Kept) {
        if self.0.is_none() {
            return;
        }
        let letter = &mut kept.letter;
        let rejection = &mut letter.rejection;
        let mut hid = self.record(&mut rejection.record);
        if let Some(given) = &mut rejection.given {
            hid |= self.text(given);
        }
        if let Some(edit) = &mut letter.edited {
            hid |= self.record(&mut edit.record);
        }
        let last = letter.attempt.as_mut().map(|attempt| &mut attempt.fate);
        let mut again = match last {
            Some(Fate::Refused { rejection, .. }) => Some(rejection),
            _ => None,
        };
        if let Some(again) = &mut again {
            hid |= self.record(&mut again.record);
            if let Some(given) = &mut again.given {
                hid |= self.text(given);
            }
        }
        if hid {
            HIDDEN.clone_into(&mut rejection.message);
            if let Some(again) = again {
                HIDDEN.clone_into(&mut again.message);
            }
        }
    }

    fn classifies(&self, column: &str) -> bool {
        let policy = self.0.as_ref();
        policy.is_some_and(|policy| policy.classifies(column))
    }

    fn record(&self, record: &mut Record) -> bool {
        match record {
            Record::Json(text) => self.text(text),
            Record::Raw(bytes) => {
                let Ok(mut text) = String::from_utf8(bytes.clone()) else {
                    *record = Record::Json(HIDDEN.to_owned());
                    return true;
                };
                if !self.text(&mut text) {
                    return false;
                }
                *record = Record::Json(text);
                true
            }
        }
    }

    fn text(&self, text: &mut String) -> bool {
        if text.is_empty() {
            return false;
        }
        let Ok(Value::Object(mut fields)) = serde_json::from_str(text) else {
            HIDDEN.clone_into(text);
            return true;
        };
        let mut hid = false;
        for (_, value) in fields.iter_mut().filter(|(name, _)| self.classifies(name)) {
            hid = true;
            *value = Value::from(HIDDEN);
        }
        if hid {
            *text = Value::Object(fields).to_string();
        }
        hid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden() -> Hidden {
        let text = "[[class]]\nname = \"pii\"\ncolumns = [\"*mail\"]\nhosts = []\n";
        let policy = Organisation::read("policy.toml", text).expect("a policy");
        Hidden(Some(Arc::new(policy)).filter(|policy| policy.has_classes()))
    }

    #[test]
    fn classified_columns_are_hidden() {
        for (text, shown, hides) in [
            (
                r#"{"id":1,"Email":"a@b"}"#,
                r#"{"Email":"(hidden)","id":1}"#,
                true,
            ),
            (r#"{"id":1}"#, r#"{"id":1}"#, false),
            ("1,a@b", "(hidden)", true),
            ("", "", false),
        ] {
            let mut now = text.to_owned();
            assert_eq!(hidden().text(&mut now), hides, "{text}");
            assert_eq!(now, shown);
        }
        let mut raw = Record::Raw(vec![0xff]);
        assert!(hidden().record(&mut raw));
        assert_eq!(raw, Record::Json(HIDDEN.to_owned()));
    }
}
