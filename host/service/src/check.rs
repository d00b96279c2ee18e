//! What only the plugins can say: whether the systems answer, which streams there are, what their records look like,
//! and whether each stage can take what the one before it gives. `sluice check` ends here; a run begins here.

use crate::Error;
use crate::plan::{Plan, Stage};
use crate::run::stages::Stages;
use crate::schemas::Ends;
use serde::Serialize;
use sluice_codec::Document;
use sluice_engine::{Content, Limit, Next, Split, StreamInfo};
use sluice_model::fault::{Fault, FaultKind};
use sluice_model::guards::Guard;
use sluice_model::ids::StreamName;
use sluice_model::limits::{PAGE_BYTES, PAGE_ROWS, SPLITS_MAX};
use sluice_model::pipeline::Guarantee;
use sluice_model::schema::Schema;
use sluice_model::tomlfile::{FileError, nearest};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

/// Records a schema is inferred from, and pages they may be looked for in.
const SAMPLE_RECORDS: usize = 1_000;
const SAMPLE_PAGES: usize = 4;

/// Where a stream's schema comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Known {
    /// The pipeline file.
    Declared,
    /// The source.
    Source,
    /// An earlier run inferred and fixed it, or had it from the source.
    Fixed,
    /// A sample, just now.
    Inferred,
}

/// A stream as it will run.
#[derive(Debug, Clone, Serialize)]
pub struct StreamShape {
    /// Its name.
    pub stream: StreamName,
    /// Where its schema comes from.
    pub known: Known,
    /// As its records enter.
    pub entering: Arc<Schema>,
    /// As the sinks get them.
    pub leaving: Arc<Schema>,
}

/// What is known before the first record.
#[derive(Debug, Clone)]
pub struct Shape {
    /// The chosen streams.
    pub streams: Vec<StreamShape>,
    /// How they are read.
    pub splits: Vec<Split>,
}

impl Shape {
    /// By stream, for the tasks of a run.
    pub fn ends(&self) -> BTreeMap<StreamName, Ends> {
        self.streams
            .iter()
            .map(|shape| {
                let ends = Ends {
                    entering: Arc::clone(&shape.entering),
                    leaving: Arc::clone(&shape.leaving),
                };
                (shape.stream.clone(), ends)
            })
            .collect()
    }
}

/// What `sluice check` says of a pipeline that can run.
#[derive(Debug, Clone, Serialize)]
pub struct Checked {
    /// The pipeline.
    pub pipeline: String,
    /// `source → transforms → sinks`, by name and version.
    pub stages: Vec<String>,
    /// Those of its plugins that nobody vouches for whom this deployment trusts.
    pub unsigned: Vec<String>,
    /// Its streams.
    pub streams: Vec<StreamShape>,
    /// How many splits they are read in.
    pub splits: usize,
    /// What this pair of source and sinks promises.
    pub guarantee: Guarantee,
}

/// Asks everything. `fixed`: schemas that earlier runs have fixed. `prepares`: it is read next, and the source makes what
/// that needs.
pub async fn shape(
    stages: &Stages,
    fixed: &BTreeMap<StreamName, Arc<Schema>>,
    prepares: bool,
) -> Result<Shape, Error> {
    let plan = &stages.plan;
    let failed = |fault| Error::failed(plan.source.label(), fault);
    let mut source = stages.source().await.map_err(failed)?;
    source.check().await.map_err(failed)?;
    let offered = source.streams().await.map_err(failed)?;
    let chosen = chosen(plan, &offered)?;
    let names: Vec<StreamName> = chosen.iter().map(|stream| stream.name.clone()).collect();
    if prepares {
        source.prepare(&names).await.map_err(failed)?;
    }
    let splits = source.splits(&names).await.map_err(failed)?;
    drop(source);
    sound(&splits, &names).map_err(failed)?;
    let mut streams = Vec::new();
    for stream in chosen {
        let (entering, known) = entering(stages, stream, &splits, fixed).await?;
        let leaving = through(stages, &stream.name, &entering).await?;
        streams.push(StreamShape {
            stream: stream.name.clone(),
            known,
            entering,
            leaving,
        });
    }
    if splits.is_empty() {
        tracing::warn!("the source has nothing to read");
    }
    Ok(Shape { streams, splits })
}

/// What is known of these streams without the source: of a redrive, which sends again what was read before. None where
/// the source alone knows.
pub async fn kept(
    stages: &Stages,
    names: &BTreeSet<StreamName>,
    fixed: &BTreeMap<StreamName, Arc<Schema>>,
) -> Result<Option<Shape>, Error> {
    let mut streams = Vec::new();
    for name in names {
        let Some((entering, known)) = promised(stages, name, fixed) else {
            return Ok(None);
        };
        let leaving = through(stages, name, &entering).await?;
        streams.push(StreamShape {
            stream: name.clone(),
            known,
            entering,
            leaving,
        });
    }
    Ok(Some(Shape {
        streams,
        splits: Vec::new(),
    }))
}

/// The splits of these streams as the source has them by now.
pub async fn splits(stages: &Stages, names: &[StreamName]) -> Result<Vec<Split>, Fault> {
    let mut source = stages.source().await?;
    let splits = source.splits(names).await?;
    sound(&splits, names)?;
    Ok(splits)
}

/// Opens every sink on what it would get, so that what it lacks is told before the first record.
pub async fn sinks(stages: &Stages, shape: &Shape) -> Result<(), Error> {
    let plan = &stages.plan;
    for (at, stage) in plan.sinks.iter().enumerate() {
        let failed = |fault: Fault| at_stage(plan, stage, fault);
        let mut sink = stages.sink(at).await.map_err(failed)?;
        sink.check().await.map_err(failed)?;
        let targets: Vec<_> = shape
            .streams
            .iter()
            .map(|stream| (stream.stream.clone(), Arc::clone(&stream.leaving)))
            .collect();
        let split = "check".parse().expect("a word is a split id");
        sink.open(plan.name(), &split, &targets)
            .await
            .map_err(failed)?;
    }
    Ok(())
}

fn chosen<'a>(plan: &Plan, offered: &'a [StreamInfo]) -> Result<Vec<&'a StreamInfo>, Error> {
    let known: Vec<&str> = offered.iter().map(|stream| stream.name.as_str()).collect();
    let mut problems = Vec::new();
    let mut missing = |pointer: String, name: &StreamName| {
        if known.contains(&name.as_str()) {
            return;
        }
        let problem = plan.problem(&pointer, format!("the source has no stream `{name}`"));
        problems.push(match nearest(name.as_str(), &known) {
            Some(near) => problem.hint(format!("did you mean `{near}`?")),
            None => problem.hint(format!("it has `{}`", known.join("`, `"))),
        });
    };
    for (at, name) in plan.source.streams.iter().enumerate() {
        missing(format!("/source/streams/{at}"), name);
    }
    for name in plan.declared.keys() {
        missing(format!("/schema/{name}"), name);
    }
    for (stage, transform) in plan.transforms.iter().enumerate() {
        for (at, name) in transform.streams.iter().enumerate() {
            missing(format!("/transform/{stage}/streams/{at}"), name);
        }
    }
    if Guard::StreamOffered.bars(!problems.is_empty()) {
        return Err(Error::Wrong(problems));
    }
    Ok(offered
        .iter()
        .filter(|stream| plan.source.takes(&stream.name))
        .collect())
}

fn sound(splits: &[Split], names: &[StreamName]) -> Result<(), Fault> {
    if splits.len() > Guard::Splits.limit(SPLITS_MAX) {
        let message = format!("{} splits; at most {SPLITS_MAX} are taken", splits.len());
        return Err(Fault::new(FaultKind::LimitExceeded, message));
    }
    let (mut seen, asked) = (HashSet::new(), names.iter().collect::<HashSet<_>>());
    for split in splits {
        if !seen.insert(&split.id) {
            return Err(Fault::new(
                FaultKind::Malformed,
                format!("split `{}` stands twice", split.id),
            ));
        }
        if let Some(other) = split.streams.iter().find(|stream| !asked.contains(stream)) {
            let message = format!(
                "split `{}` carries stream `{other}`, which was not asked for",
                split.id
            );
            return Err(Fault::new(FaultKind::Malformed, message));
        }
    }
    Ok(())
}

async fn entering(
    stages: &Stages,
    stream: &StreamInfo,
    splits: &[Split],
    fixed: &BTreeMap<StreamName, Arc<Schema>>,
) -> Result<(Arc<Schema>, Known), Error> {
    match (promised(stages, &stream.name, fixed), &stream.schema) {
        (Some((declared, Known::Declared)), _) => Ok((declared, Known::Declared)),
        (_, Some(schema)) => Ok((Arc::clone(schema), Known::Source)),
        (Some(fixed), None) => Ok(fixed),
        (None, None) => {
            let schema = sample(stages, &stream.name, splits).await?;
            Ok((Arc::new(schema), Known::Inferred))
        }
    }
}

/// What the pipeline file promises of a stream, or an earlier run has fixed.
fn promised(
    stages: &Stages,
    stream: &StreamName,
    fixed: &BTreeMap<StreamName, Arc<Schema>>,
) -> Option<(Arc<Schema>, Known)> {
    let fixed = fixed.get(stream);
    let Some(declared) = stages.plan.declared.get(stream) else {
        return fixed.map(|schema| (Arc::clone(schema), Known::Fixed));
    };
    // What an earlier run let grow begins with what is declared; anything else is a new declaration.
    let grown = fixed.filter(|grown| {
        grown.fields().starts_with(declared.fields()) && grown.key() == declared.key()
    });
    Some((Arc::clone(grown.unwrap_or(declared)), Known::Declared))
}

/// Reads the first records of a stream and infers what they look like.
async fn sample(stages: &Stages, stream: &StreamName, splits: &[Split]) -> Result<Schema, Error> {
    let failed = |fault| Error::failed(stages.plan.source.label(), fault);
    let mut found: Option<Schema> = None;
    for split in splits
        .iter()
        .filter(|split| split.streams.contains(stream))
        .take(SAMPLE_PAGES)
    {
        let mut source = stages.source().await.map_err(failed)?;
        source.open(split, None).await.map_err(failed)?;
        for _ in 0..SAMPLE_PAGES {
            let limit = Limit {
                rows: PAGE_ROWS,
                bytes: PAGE_BYTES,
                wait: std::time::Duration::ZERO,
            };
            let page = source.read(limit).await.map_err(failed)?;
            for part in page.parts.into_iter().filter(|part| &part.stream == stream) {
                match part.content {
                    Content::Columns { schema, .. } => return Ok(Arc::unwrap_or_clone(schema)),
                    Content::Document {
                        format,
                        bytes,
                        name,
                        ..
                    } => {
                        let document = Document {
                            format: &format,
                            bytes: &bytes,
                            name: &name,
                            first_line: 1,
                            changes: None,
                        };
                        let schema = sluice_codec::infer(&document, SAMPLE_RECORDS, found.as_ref());
                        found = Some(schema.map_err(|error| {
                            failed(Fault::new(
                                FaultKind::Misconfigured,
                                format!("`{name}`: {error}"),
                            ))
                        })?);
                    }
                }
            }
            if found.is_some() || !matches!(page.next, Next::More) {
                break;
            }
        }
    }
    found
        .filter(|schema| !schema.fields().is_empty())
        .ok_or_else(|| {
            let pointer = "/source";
            Error::wrong(
                stages
                    .plan
                    .problem(
                        pointer,
                        format!(
                            "stream `{stream}` has no records yet, so its schema cannot be inferred"
                        ),
                    )
                    .hint(format!(
                        "declare it:\n[schema.{stream}]\nfields = {{ id = \"text\" }}"
                    )),
            )
        })
}

/// The schema that the transforms make of this one; each is asked, so that a mismatch is told before a record moves.
async fn through(
    stages: &Stages,
    stream: &StreamName,
    entering: &Arc<Schema>,
) -> Result<Arc<Schema>, Error> {
    let plan = &stages.plan;
    let mut schema = Arc::clone(entering);
    for (at, stage) in plan
        .transforms
        .iter()
        .enumerate()
        .filter(|(_, stage)| stage.takes(stream))
    {
        let failed = |fault: Fault| at_stage(plan, stage, fault);
        columns_exist(plan, stage, &schema)?;
        let mut transform = stages.transform(at).await.map_err(failed)?;
        schema = transform.open(&schema).await.map_err(failed)?;
    }
    for stage in &plan.sinks {
        columns_exist(plan, stage, &schema)?;
    }
    Ok(schema)
}

/// A column that a stage is meant to read must come out of the stage before it.
fn columns_exist(plan: &Plan, stage: &Stage, schema: &Schema) -> Result<(), Error> {
    let known: Vec<&str> = schema
        .fields()
        .iter()
        .map(|field| field.name.as_str())
        .collect();
    let problems: Vec<FileError> = stage
        .effective
        .reads()
        .into_iter()
        .filter(|column| column != "*" && !known.contains(&column.as_str()))
        .map(|column| {
            let message = format!(
                "`{}` reads column `{column}`, which no stage gives",
                stage.artifact.manifest.plugin.name
            );
            let problem = plan.problem(&format!("{}/config", stage.pointer), message);
            match nearest(&column, &known) {
                Some(near) => problem.hint(format!("did you mean `{near}`?")),
                None => problem.hint(format!("there are `{}`", known.join("`, `"))),
            }
        })
        .collect();
    if problems.is_empty() {
        Ok(())
    } else {
        Err(Error::Wrong(problems))
    }
}

/// What a stage says of its settings is a mistake in the pipeline file; anything else is a failure.
fn at_stage(plan: &Plan, stage: &Stage, fault: Fault) -> Error {
    if fault.kind != FaultKind::Misconfigured {
        return Error::failed(stage.label(), fault);
    }
    let mut problem = plan.problem(
        &format!("{}/config", stage.pointer),
        format!("{}: {}", stage.label(), fault.message),
    );
    problem.hint = fault.hint;
    Error::wrong(problem)
}
