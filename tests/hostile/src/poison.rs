//! Fails at certain records and at nothing else, as a plugin with a defect does: `ids` names them by their `id`
//! (`"7,93"`), `from` names all from an `id` on, and where neither is set it is every record. `how` says what it does
//! there: it panics, or with `loop` it computes until its time is over. With `once`, it fails at each of them once
//! only: it leaves a mark in the directory `out` first, and does no harm where it finds one. With `shut` as well, it cannot be
//! opened any more where somebody left one.

use crate::bindings::sluice::plugin::files::Writable;
use crate::bindings::sluice::plugin::records::{Batch, Values};
use crate::bindings::sluice::plugin::types::Fault;
use crate::setting;

/// What the settings say.
pub struct Poison {
    ids: Vec<i64>,
    from: Option<i64>,
    loops: bool,
    once: bool,
    shut: bool,
    out: String,
}

impl Poison {
    pub fn of(config: &str) -> Self {
        let number = |text: &str| text.trim().parse().ok();
        let ids = setting(config, "ids");
        Self {
            ids: ids.split(',').filter_map(number).collect(),
            from: number(&setting(config, "from")),
            loops: setting(config, "how") == "loop",
            once: setting(config, "once") == "yes",
            shut: setting(config, "shut") == "yes",
            out: setting(config, "out"),
        }
    }

    /// Whether it can be opened.
    pub fn open(self) -> Result<Self, Fault> {
        let failed = self.ids.iter().any(|id| self.is_marked(*id));
        if self.shut && failed {
            return Err(Fault::Broken("it cannot be opened".to_owned()));
        }
        Ok(self)
    }

    fn is_marked(&self, id: i64) -> bool {
        let found = self.dir().map(|dir| dir.read(&mark(id), 0, 1).is_ok());
        found.unwrap_or_default()
    }

    fn is(&self, id: i64) -> bool {
        match self.from {
            Some(from) => id >= from,
            None => self.ids.is_empty() || self.ids.contains(&id),
        }
    }

    /// Goes through a batch and gives its ids; does not come back where there is poison in it.
    pub fn taste(&self, batch: &Batch) -> Result<Vec<i64>, Fault> {
        let ids = ids(batch)?;
        for id in ids.iter().copied().filter(|id| self.is(*id)) {
            if self.is_new(id)? {
                assert!(self.loops, "record {id} is poison");
                loop {
                    std::hint::black_box(id);
                }
            }
        }
        Ok(ids)
    }

    /// Whether no instance before this one met it, where that matters.
    fn is_new(&self, id: i64) -> Result<bool, Fault> {
        if self.once && self.is_marked(id) {
            return Ok(false);
        }
        if self.once {
            self.leave(&mark(id), "met")?;
        }
        Ok(true)
    }

    /// Leaves the ids of what was written in a file of their own: the same file where the same is written again.
    pub fn keep(&self, ids: &[i64]) -> Result<(), Fault> {
        let (Some(first), Some(last)) = (ids.first(), ids.last()) else {
            return Ok(());
        };
        if self.out.is_empty() {
            return Ok(());
        }
        let lines: Vec<String> = ids.iter().map(i64::to_string).collect();
        self.leave(&format!("kept-{first}-{last}"), &lines.join("\n"))
    }

    fn dir(&self) -> Result<Writable, Fault> {
        Writable::open(&self.out).map_err(|error| Fault::Broken(format!("{error:?}")))
    }

    fn leave(&self, name: &str, text: &str) -> Result<(), Fault> {
        let broken = |error| Fault::Broken(format!("{name}: {error:?}"));
        let file = self.dir()?.create(name).map_err(broken)?;
        file.write(text.as_bytes()).map_err(broken)?;
        file.finish().map_err(broken)
    }
}

fn mark(id: i64) -> String {
    format!("met-{id}")
}

fn ids(batch: &Batch) -> Result<Vec<i64>, Fault> {
    let column = batch.column("id");
    match column
        .map_err(|error| Fault::Broken(format!("{error:?}")))?
        .values
    {
        Values::Int64(ids) => Ok(ids),
        _ => Err(Fault::Broken("`id` is no integer".to_owned())),
    }
}
