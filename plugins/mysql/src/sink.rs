//! The sink: a unit is one transaction, and so is its place. It stays open until the host publishes, and is forgotten
//! where nobody does.

mod cells;
mod places;
mod statements;
mod table;
mod write;

use crate::config::Config;
use crate::session::Session;
use sluice_sdk::sink::{Commit, Context, Part, Target};
use sluice_sdk::{Fault, Rejection, Schema, Sink};
use sluice_sql::Unit;
use std::collections::{BTreeMap, BTreeSet};
use table::Shape;
use write::Writer;

/// Writes the units of one split into tables.
pub struct MysqlSink {
    config: Config,
    context: Context,
    session: Session,
    /// What each stream's table is known to take.
    shapes: BTreeMap<String, Shape>,
    /// Whether the table of places is there for certain.
    has_places: bool,
    unit: Unit,
}

impl Sink for MysqlSink {
    type Config = Config;

    fn check(config: &Config) -> Result<(), Fault> {
        config.valid()?;
        let mut session = Session::open(config)?;
        let rows = session.query("SELECT @@global.read_only")?;
        match rows.into_iter().flatten().flatten().next().as_deref() {
            Some("0" | "OFF") => Ok(()),
            _ => Err(Fault::transient(
                "the server is read-only: it takes no writes",
            )),
        }
    }

    fn open(config: Config, context: Context, targets: Vec<Target>) -> Result<Self, Fault> {
        config.valid()?;
        let mut session = Session::open(&config)?;
        let mut shapes = BTreeMap::new();
        for target in targets {
            // A pipeline that is only checked makes nothing: the first unit does.
            let found =
                table::ensure(&mut session, &config, &target.stream, &target.schema, false)?;
            shapes.extend(found.map(|shape| (target.stream, shape)));
        }
        Ok(Self {
            config,
            context,
            session,
            shapes,
            has_places: false,
            unit: Unit::None,
        })
    }

    /// Waits for whoever still writes this split: its transaction ends, one way or the other.
    fn committed(&mut self) -> Result<Option<Commit>, Fault> {
        if !places::are_there(&mut self.session)? {
            return Ok(None);
        }
        places::find(&mut self.session, &self.context)
    }

    fn write(&mut self, parts: Vec<Part>, commit: &Commit) -> Result<Vec<Rejection>, Fault> {
        if self.unit != Unit::None {
            self.session.run("ROLLBACK")?;
            self.unit = Unit::None;
        }
        if !self.has_places {
            places::ensure(&mut self.session)?;
            self.has_places = true;
        }
        self.forget(&parts)?;
        // The server ends a transaction to make a table.
        for part in &parts {
            self.fit(&part.stream, &part.batch.schema())?;
        }
        self.session.run("START TRANSACTION")?;
        self.unit = Unit::Open;
        if !places::claim(&mut self.session, &self.context, commit)? {
            self.session.run("ROLLBACK")?;
            self.unit = Unit::published(commit);
            return Ok(Vec::new());
        }
        let mut rejections = Vec::new();
        let mut at = 0;
        while at < parts.len() {
            let (stream, schema) = (&parts[at].stream, parts[at].batch.schema());
            let same = |part: &&Part| part.stream == *stream && part.batch.schema() == schema;
            let run = parts[at..].iter().take_while(same).count();
            let shape = self.shapes.get(stream);
            let shape = shape.ok_or_else(|| Fault::broken("a part without its table"))?;
            let mut writer = Writer::new(&mut self.session, shape, self.config.mode);
            for (offset, part) in parts[at..at + run].iter().enumerate() {
                writer.take(at + offset, &part.batch)?;
            }
            rejections.extend(writer.finish()?);
            at += run;
        }
        self.unit = Unit::staged(commit);
        Ok(rejections)
    }

    fn publish(&mut self, commit: &Commit) -> Result<(), Fault> {
        if self.unit.publish(commit)? {
            self.session.run("COMMIT")?;
        }
        Ok(())
    }
}

impl MysqlSink {
    /// Somebody may have changed a table since the unit before: another unique index wants a guard, and a column of
    /// another type may round. What was known of it no longer counts.
    fn forget(&mut self, parts: &[Part]) -> Result<(), Fault> {
        let streams: BTreeSet<&str> = parts.iter().map(|part| part.stream.as_str()).collect();
        for stream in streams {
            let Some(known) = self.shapes.get(stream) else {
                continue;
            };
            let name = self.config.name(stream);
            if table::look(&mut self.session, name)? != known.look {
                self.shapes.remove(stream);
            }
        }
        Ok(())
    }

    /// A stream's table takes what the part holds: the contract may let its schema grow.
    fn fit(&mut self, stream: &str, schema: &Schema) -> Result<(), Fault> {
        let known = self.shapes.get(stream);
        if known.is_some_and(|known| known.schema == *schema) {
            return Ok(());
        }
        let shape = table::ensure(&mut self.session, &self.config, stream, schema, true)?;
        let shape = shape.ok_or_else(|| Fault::transient("a table that was made is not there"))?;
        self.shapes.insert(stream.to_owned(), shape);
        Ok(())
    }
}
