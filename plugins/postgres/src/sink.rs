//! The sink: a unit is one transaction, and so is its place. It stays open until the host publishes, and is forgotten
//! where nobody does.

mod lines;
mod stage;
mod table;

use crate::config::Config;
use crate::session::Session;
use sluice_sdk::sink::{Commit, Context, Part, Target};
use sluice_sdk::{Fault, Rejection, Schema, Sink};
use sluice_sql::{Unit, hex, unhex};
use stage::Stage;
use std::collections::BTreeMap;
use table::Structures;

/// Writes the units of one split into tables.
pub struct PostgresSink {
    config: Config,
    context: Context,
    session: Session,
    /// Whether the table of places is there for certain.
    has_places: bool,
    unit: Unit,
}

/// What a stream's table was found to have, for records of this schema.
struct Known {
    schema: Schema,
    structures: Structures,
}

impl Sink for PostgresSink {
    type Config = Config;

    fn check(config: &Config) -> Result<(), Fault> {
        config.valid()?;
        let mut session = Session::open(config)?;
        let found = session.query(
            "SELECT pg_is_in_recovery(), has_schema_privilege(oid, 'USAGE') FROM pg_catalog.pg_namespace WHERE nspname = $1",
            &[Some(&config.schema)],
        )?;
        let found: Vec<Option<String>> = found.into_iter().flatten().collect();
        let found: Vec<Option<&str>> = found.iter().map(Option::as_deref).collect();
        match found[..] {
            [Some("t"), _] => Err(Fault::transient(
                "the server is a standby: it takes no writes",
            )),
            [_, Some("t")] => Ok(()),
            [_, _] => Err(Fault::misconfigured(format!(
                "the user `{}` may not use the schema `{}`; hint: `GRANT USAGE`",
                config.user, config.schema
            ))),
            _ => Err(Fault::misconfigured(format!(
                "there is no schema `{}`",
                config.schema
            ))),
        }
    }

    fn open(config: Config, context: Context, targets: Vec<Target>) -> Result<Self, Fault> {
        config.valid()?;
        let mut session = Session::open(&config)?;
        for Target { stream, schema } in targets {
            // A pipeline that is only checked makes nothing: the first unit does.
            table::ensure(&mut session, &config, &stream, &schema, false)?;
        }
        Ok(Self {
            config,
            context,
            session,
            has_places: false,
            unit: Unit::None,
        })
    }

    /// Waits for whoever still writes this split: its transaction ends, one way or the other.
    fn committed(&mut self) -> Result<Option<Commit>, Fault> {
        if !table::is_there(&mut self.session, &table::commits(&self.config))? {
            return Ok(None);
        }
        // The first unit's row is seen by nobody yet: whoever would write it too waits for it.
        self.session.run("BEGIN")?;
        self.session.execute(
            &format!(
                "INSERT INTO {} (pipeline, split, epoch, sequence, cursor) VALUES ($1, $2, 0, 0, '') ON CONFLICT DO NOTHING",
                table::commits(&self.config)
            ),
            &[Some(&self.context.pipeline), Some(&self.context.split)],
        )?;
        self.session.run("ROLLBACK")?;
        let rows = self.session.query(
            &format!(
                "SELECT epoch, sequence, encode(cursor, 'hex') FROM {} WHERE pipeline = $1 AND split = $2 FOR UPDATE",
                table::commits(&self.config)
            ),
            &[Some(&self.context.pipeline), Some(&self.context.split)],
        )?;
        let Some(row) = rows.into_iter().next() else {
            return Ok(None);
        };
        let row: Vec<&str> = row
            .iter()
            .map(|value| value.as_deref().unwrap_or_default())
            .collect();
        let commit = match row[..] {
            [epoch, sequence, cursor] => epoch
                .parse()
                .ok()
                .zip(sequence.parse().ok())
                .zip(unhex(cursor.as_bytes())),
            _ => None,
        };
        let ((epoch, sequence), cursor) = commit.ok_or_else(|| {
            let table = table::commits(&self.config);
            Fault::misconfigured(format!(
                "the place in {table} cannot be read: it was changed by hand"
            ))
        })?;
        Ok(Some(Commit {
            pipeline: self.context.pipeline.clone(),
            split: self.context.split.clone(),
            cursor,
            epoch,
            sequence,
        }))
    }

    fn write(&mut self, parts: Vec<Part>, commit: &Commit) -> Result<Vec<Rejection>, Fault> {
        if self.unit != Unit::None {
            self.session.run("ROLLBACK")?;
            self.unit = Unit::None;
        }
        if !self.has_places {
            table::ensure_commits(&mut self.session, &self.config)?;
            self.has_places = true;
        }
        let tables = self.fit(&parts)?;
        self.session.run("BEGIN; SET CONSTRAINTS ALL IMMEDIATE")?;
        self.unit = Unit::Open;
        if !self.claim(commit)? {
            return Ok(Vec::new());
        }
        let mut rejections = Vec::new();
        // Each with how many rows it holds.
        let mut stages: Vec<((&str, Schema), usize)> = Vec::new();
        let mut at = 0;
        while at < parts.len() {
            let schema = parts[at].batch.schema();
            let same =
                |part: &&Part| part.stream == parts[at].stream && part.batch.schema() == schema;
            let run = parts[at..].iter().take_while(same).count();
            let place = self.config.place(&parts[at].stream);
            let known = tables.get(&*parts[at].stream);
            let structures = known
                .map(|known| known.structures.clone())
                .unwrap_or_default();
            let shape = stage::Shape {
                table: place,
                schema: schema.clone(),
                structures,
            };
            let key = (parts[at].stream.as_str(), schema);
            let found = stages.iter().position(|(stage, _)| *stage == key);
            let holds = found.map(|number| stages[number].1);
            let number = found.unwrap_or_else(|| {
                stages.push((key, 0));
                stages.len() - 1
            });
            if holds.is_some_and(|rows| rows > stage::HELD_ROWS_MAX) {
                stages[number].1 = 0;
            }
            let session = &mut self.session;
            let mut stage = Stage::begin(session, number, holds, shape, self.config.mode);
            for (offset, part) in parts[at..at + run].iter().enumerate() {
                stage.copy(at + offset, &part.batch)?;
                stages[number].1 += part.batch.rows();
            }
            rejections.extend(stage.merge()?);
            at += run;
        }
        self.unit = Unit::staged(commit);
        Ok(rejections)
    }

    fn publish(&mut self, commit: &Commit) -> Result<(), Fault> {
        if self.unit.publish(commit)? {
            self.session.commit()?;
        }
        Ok(())
    }
}

impl PostgresSink {
    /// The streams' tables take what the parts hold: the contract may let a schema grow. Each is looked at for every unit:
    /// somebody may have changed it since the last, so that it takes a value and keeps another.
    fn fit<'p>(&mut self, parts: &'p [Part]) -> Result<BTreeMap<&'p str, Known>, Fault> {
        let mut tables: BTreeMap<&str, Known> = BTreeMap::new();
        for part in parts {
            let schema = part.batch.schema();
            let known = tables.get(&*part.stream);
            if known.is_some_and(|known| known.schema == schema) {
                continue;
            }
            let (session, config) = (&mut self.session, &self.config);
            let structures = table::ensure(session, config, &part.stream, &schema, true)?;
            let structures = structures.unwrap_or_default();
            tables.insert(&part.stream, Known { schema, structures });
        }
        Ok(tables)
    }

    /// Puts the unit's place beside its data; false where that unit is there already. Whoever comes with an older place
    /// writes a split that another run owns.
    fn claim(&mut self, commit: &Commit) -> Result<bool, Fault> {
        let table = table::commits(&self.config);
        let (epoch, sequence) = (commit.epoch.to_string(), commit.sequence.to_string());
        let cursor = hex(&commit.cursor);
        let claimed = self.session.execute(
            &format!(
                "INSERT INTO {table} AS c (pipeline, split, epoch, sequence, cursor) \
                 VALUES ($1, $2, $3::bigint, $4::bigint, decode($5, 'hex')) ON CONFLICT (pipeline, split) DO UPDATE \
                 SET epoch = excluded.epoch, sequence = excluded.sequence, cursor = excluded.cursor, written_at = now() \
                 WHERE (c.epoch, c.sequence) < (excluded.epoch, excluded.sequence)"
            ),
            &[
                Some(&commit.pipeline),
                Some(&commit.split),
                Some(&epoch),
                Some(&sequence),
                Some(&cursor),
            ],
        )?;
        if claimed == 1 {
            return Ok(true);
        }
        self.session.run("ROLLBACK")?;
        self.unit = Unit::None;
        let there = self.committed()?.map(|there| (there.epoch, there.sequence));
        if there == Some((commit.epoch, commit.sequence)) {
            self.unit = Unit::published(commit);
            return Ok(false);
        }
        Err(Fault::misconfigured(format!(
            "unit {epoch}.{sequence} comes before what {table} says is written: another run writes this split"
        )))
    }
}
