//! The reader's task of a redrive: dead letters in the place of a source. It reads them in the order of their numbers,
//! decodes each as it entered (or as the stage was given it that refused it), and hands on record batches that know which
//! letter each row is.

use super::pages::{Page, Pages, Refused};
use super::reading::Command;
use super::stages::Stages;
use crate::ledger::{Ledger, Letter};
use crate::schemas::Schemas;
use serde::{Deserialize, Serialize};
use sluice_codec::{Document, DocumentFormat, Outcome, Target};
use sluice_delivery::{Event, Next, PageNo};
use sluice_model::batch::{Batch, Change, Letters};
use sluice_model::checkpoint::Cursor;
use sluice_model::contract::Drift;
use sluice_model::fault::{Fault, FaultKind};
use sluice_model::ids::{Role, StageId, StreamName};
use sluice_model::rejection::{Place as RecordPlace, Record, Rejection};
use sluice_model::schema::Schema;
use sluice_state::journal::DeadLetter;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

/// Letters of one page, at most: small enough that a page of the largest fits a unit.
const PAGE_LETTERS: usize = 256;
/// … and what they may take.
const PAGE_BYTES: usize = 4 << 20;

/// Where a redriven record enters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Entry {
    /// Before the first transform, as it entered or was edited.
    #[default]
    Start,
    /// At the stage that refused it, as that stage was given it. One that was edited, was never decoded or is not kept
    /// as that stage was given it enters at the start all the same, and so does one whose stage is another plugin's by now.
    Stage,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Start => "start",
            Self::Stage => "stage",
        })
    }
}

/// The task's own.
pub struct Redriving {
    /// To open transforms, for the schemas between them.
    pub stages: Arc<Stages>,
    /// The schemas of its streams.
    pub schemas: Arc<Schemas>,
    /// Where the letters are.
    pub ledger: Arc<Ledger>,
    /// Their numbers, ascending.
    pub numbers: Arc<Vec<u64>>,
    /// Where they enter.
    pub entry: Entry,
    /// Where pages go.
    pub pages: Pages,
    /// Where answers go.
    pub events: UnboundedSender<Event>,
}

/// Where a redrive is: good for the run that made it, for the next one chooses its letters anew.
#[derive(Serialize, Deserialize)]
struct Place {
    run: String,
    after: u64,
}

/// A letter's text, and where that enters.
struct Entering {
    number: u64,
    edits: u32,
    text: Vec<u8>,
    format: DocumentFormat,
    from: usize,
    stream: StreamName,
    removal: bool,
    identity: Option<[u8; 16]>,
}

/// What decodes, gathered while stream and schema stay the same.
#[derive(Default)]
struct Gathered {
    stream: Option<(StreamName, Arc<Schema>)>,
    rows: Vec<arrow_array::RecordBatch>,
    changes: Vec<Change>,
    letters: Letters,
}

impl Redriving {
    /// Does what it is told until nobody tells it anything any more.
    pub async fn run(self, mut commands: UnboundedReceiver<Command>) {
        let mut at = 0;
        let mut schemas = HashMap::new();
        while let Some(command) = commands.recv().await {
            let event = match command {
                Command::Open(cursor) => {
                    at = self.index_after(cursor.as_ref());
                    continue;
                }
                Command::Read(page) => match self.read(&mut at, page, &mut schemas).await {
                    Ok(event) => event,
                    Err(fault) => Event::ReadFailed { fault },
                },
                Command::Acknowledge(_) => Event::Acknowledged,
            };
            if self.events.send(event).is_err() {
                return;
            }
        }
    }

    fn index_after(&self, cursor: Option<&Cursor>) -> usize {
        let place = cursor.and_then(|cursor| serde_json::from_slice(cursor.as_bytes()).ok());
        match place {
            Some(Place { run, after }) if run == self.ledger.run() => {
                self.numbers.partition_point(|number| *number <= after)
            }
            _ => 0,
        }
    }

    async fn read(
        &self,
        at: &mut usize,
        no: PageNo,
        schemas: &mut HashMap<(StreamName, usize), Arc<Schema>>,
    ) -> Result<Event, Fault> {
        let mut page = Page::default();
        let letters = self.letters(at).await?;
        page.read = letters.len() as u64;
        page.letters = letters
            .iter()
            .map(|entering| Letter {
                number: entering.number,
                edits: entering.edits,
                filtered: false,
            })
            .collect();
        page.from = letters.first().map_or(0, |entering| entering.from);
        page.bytes = letters
            .iter()
            .map(|entering| entering.text.len() as u64)
            .sum();
        let mut gathered = Gathered::default();
        for entering in letters {
            self.one(entering, &mut gathered, &mut page, schemas)
                .await?;
        }
        gathered.cut(&mut page)?;
        let place = Place {
            run: self.ledger.run().to_owned(),
            after: at.checked_sub(1).map_or(0, |last| self.numbers[last]),
        };
        let place = serde_json::to_vec(&place).expect("a place is plain data, which JSON holds");
        let bytes = page.bytes;
        self.pages.put(no, page);
        Ok(Event::PageRead {
            page: no,
            bytes,
            cursor: Cursor::from(place),
            next: if *at < self.numbers.len() {
                Next::More
            } else {
                Next::End
            },
        })
    }

    /// The next letters that enter at the same place, and moves `at` behind them.
    async fn letters(&self, at: &mut usize) -> Result<Vec<Entering>, Fault> {
        let numbers = Arc::clone(&self.numbers);
        let from = *at;
        let letters = super::work::blocking(&self.ledger, move |ledger| {
            let (mut read, mut bytes) = (Vec::new(), 0);
            for number in numbers[from..].iter().take(PAGE_LETTERS) {
                let letter = ledger.waiting(*number)?;
                bytes += letter.as_ref().map_or(0, |letter| letter.sent().bytes());
                read.push(letter);
                if bytes > PAGE_BYTES {
                    break;
                }
            }
            Ok(read)
        });
        let (mut page, mut bytes) = (Vec::new(), 0);
        for letter in letters.await? {
            // One that was discarded or sent meanwhile is left out.
            if let Some(letter) = letter {
                let entering = self.entering(letter);
                let is_other = page
                    .first()
                    .is_some_and(|first: &Entering| first.from != entering.from);
                if is_other || bytes + entering.text.len() > PAGE_BYTES && !page.is_empty() {
                    break;
                }
                bytes += entering.text.len();
                page.push(entering);
            }
            *at += 1;
        }
        Ok(page)
    }

    fn entering(&self, letter: DeadLetter) -> Entering {
        let (number, edits) = (letter.number, letter.edits);
        let edited = letter.edited.map(|edit| edit.record);
        let transforms = self.stages.plan.transforms.len();
        let Rejection {
            stage,
            stream,
            record,
            csv,
            truncated,
            given,
            removal,
            identity,
            ..
        } = letter.rejection;
        let from = match stage.role {
            Role::Transform => usize::from(stage.index).min(transforms),
            Role::Source | Role::Sink => transforms,
        };
        // Another plugin in that place is another stage.
        let plan = &self.stages.plan;
        let own = match stage.role {
            Role::Transform => plan.transforms.get(usize::from(stage.index)),
            Role::Source | Role::Sink => plan.sinks.get(usize::from(stage.index)),
        };
        let is_there = own.is_some_and(|own| own.artifact.manifest.plugin.name == letter.plugin);
        let stays = self.entry == Entry::Stage
            && edited.is_none()
            && stage.role != Role::Source
            && is_there;
        let is_edited = edited.is_some();
        let (from, text, is_record) = match (stays, given) {
            (true, Some(given)) => (from, given.into_bytes(), false),
            // Not kept, for it was too large, or as it had entered: through the transforms, none of which may be left out.
            (true, None) => (0, bytes(record), true),
            (false, _) => (0, bytes(edited.unwrap_or(record)), !is_edited),
        };
        // What was cut may read as a shorter row: as JSON it never does, and is refused again.
        let format = match csv.filter(|_| is_record && !truncated) {
            Some(csv) => DocumentFormat::Csv {
                delimiter: csv.delimiter,
                header: Some(csv.header.clone().into_bytes()),
            },
            None => DocumentFormat::Json {
                pointer: String::new(),
            },
        };
        Entering {
            number,
            edits,
            text,
            format,
            from,
            stream,
            removal,
            identity: identity
                .and_then(|text| u128::from_str_radix(&text, 16).ok())
                .map(u128::to_be_bytes),
        }
    }

    /// Decodes one letter, into what is gathered or as refused once more.
    async fn one(
        &self,
        entering: Entering,
        gathered: &mut Gathered,
        page: &mut Page,
        schemas: &mut HashMap<(StreamName, usize), Arc<Schema>>,
    ) -> Result<(), Fault> {
        let name = format!("dead letter {}", entering.number);
        let document = Document {
            format: &entering.format,
            bytes: &entering.text,
            name: &name,
            first_line: 1,
            changes: None,
        };
        let refusal = loop {
            let schema = self
                .schema(&entering.stream, entering.from, schemas)
                .await?;
            let drift = match self.stages.plan.pipeline.contract.drift {
                Drift::Freeze => Drift::DeadLetter, // It is this record that does not fit, and it is refused already.
                _ if entering.from > 0 => Drift::DeadLetter,
                drift => drift,
            };
            let target = Target {
                stream: &entering.stream,
                schema: &schema,
                drift,
                batch_rows: 1,
            };
            match sluice_codec::decode(&document, &target) {
                Outcome::Evolve(wider) => self.schemas.grow(&entering.stream, wider),
                Outcome::Decoded(mut decoded) if decoded.records == 1 => {
                    self.schemas.discarded(decoded.discarded_values);
                    match decoded.batches.pop() {
                        Some(batch) => return gathered.add(&entering, &batch, page),
                        None => break decoded.rejections.pop(),
                    }
                }
                Outcome::Decoded(_) => break None,
                Outcome::Frozen(fault) | Outcome::Unreadable(fault) => {
                    break Some(unreadable(&entering, &fault));
                }
            }
        };
        let rejection = refusal.unwrap_or_else(|| {
            let fault = Fault::new(FaultKind::Broken, "it is not one record");
            unreadable(&entering, &fault)
        });
        page.refused.push(Refused {
            letter: Some(entering.number),
            rejection,
        });
        Ok(())
    }

    /// The schema of a stream's records where they enter.
    async fn schema(
        &self,
        stream: &StreamName,
        from: usize,
        known: &mut HashMap<(StreamName, usize), Arc<Schema>>,
    ) -> Result<Arc<Schema>, Fault> {
        let transforms = &self.stages.plan.transforms;
        if from == 0 {
            return self.schemas.now(stream);
        }
        if from == transforms.len() {
            return self.schemas.output(stream);
        }
        if let Some(schema) = known.get(&(stream.clone(), from)) {
            return Ok(Arc::clone(schema));
        }
        let mut schema = self.schemas.now(stream)?;
        for (at, stage) in transforms.iter().enumerate().take(from) {
            if stage.takes(stream) {
                let told = |fault| stage.told(fault);
                let mut transform = self.stages.transform(at).await.map_err(told)?;
                schema = transform.open(&schema).await.map_err(told)?;
            }
        }
        known.insert((stream.clone(), from), Arc::clone(&schema));
        Ok(schema)
    }
}

impl Gathered {
    fn add(&mut self, entering: &Entering, batch: &Batch, page: &mut Page) -> Result<(), Fault> {
        let same = |(stream, schema): &(StreamName, Arc<Schema>)| {
            *stream == batch.stream && *schema == batch.schema
        };
        if !self.stream.as_ref().is_some_and(same) {
            self.cut(page)?;
            self.stream = Some((batch.stream.clone(), Arc::clone(&batch.schema)));
        }
        self.rows.push(batch.data.clone());
        self.changes.push(if entering.removal {
            Change::Delete
        } else {
            Change::Upsert
        });
        self.letters.numbers.push(entering.number);
        self.letters.identities.push(entering.identity);
        Ok(())
    }

    /// Makes one batch of what is gathered.
    fn cut(&mut self, page: &mut Page) -> Result<(), Fault> {
        let Gathered {
            stream,
            rows,
            changes,
            letters,
        } = std::mem::take(self);
        let Some((stream, schema)) = stream else {
            return Ok(());
        };
        let data = arrow_select::concat::concat_batches(schema.arrow(), &rows)
            .map_err(|error| Fault::new(FaultKind::Host, error.to_string()))?;
        let removes = changes.contains(&Change::Delete);
        let changes = removes.then_some(changes);
        page.batches
            .push(Batch::redriven(stream, schema, data, changes, letters));
        Ok(())
    }
}

fn bytes(record: Record) -> Vec<u8> {
    match record {
        Record::Raw(bytes) => bytes,
        Record::Json(text) => text.into_bytes(),
    }
}

fn unreadable(entering: &Entering, fault: &Fault) -> Rejection {
    Rejection {
        stage: StageId {
            role: Role::Source,
            index: 0,
        },
        stream: entering.stream.clone(),
        code: "invalid-json".to_owned(),
        message: format!("{}; edit the dead letter into a JSON object", fault.message),
        place: RecordPlace::default(),
        record: Record::Raw(entering.text.clone()),
        csv: None,
        truncated: false,
        removal: entering.removal,
        given: None,
        also: Vec::new(),
        identity: None,
    }
}
