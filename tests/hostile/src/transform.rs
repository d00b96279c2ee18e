//! How it lies about what it changed. Given a batch of `id` and `name`; granted `id` to read, `id` and `made` to write.

use crate::behaviour::Behaviour;
use crate::bindings::exports::sluice::plugin::transform::{
    Edit, Guest, GuestTransformer, Rename, Replacement, Transformer,
};
use crate::bindings::sluice::plugin::records::{
    Batch, Column, ColumnError, Field, FieldType, NamedColumn, Packed, Schema, Values,
};
use crate::bindings::sluice::plugin::types::{Fault, Rejection};
use crate::poison::Poison;
use crate::{Hostile, behaviour};

impl Guest for Hostile {
    type Transformer = Lying;
}

/// What would clear the screen, and turn the rest of the line around.
const HIDDEN: &str = "a\u{1b}[2J\u{202e}b";

pub struct Lying {
    behaviour: Behaviour,
    poison: Poison,
    input: Schema,
}

impl GuestTransformer for Lying {
    fn open(config: String, input: Schema) -> Result<Transformer, Fault> {
        Ok(Transformer::new(Lying {
            behaviour: behaviour(&config),
            poison: Poison::of(&config).open()?,
            input,
        }))
    }

    fn output(&self) -> Schema {
        let mut output = self.input.clone();
        let more = match self.behaviour {
            Behaviour::OutputDiffers | Behaviour::Honest | Behaviour::PutMany => FieldType::Int64,
            Behaviour::OutputMany => {
                let field = output.fields[0].clone();
                let named = |number: u32| Field {
                    name: number.to_string(),
                    ..field.clone()
                };
                output.fields = (0..2_001).map(named).collect();
                return output;
            }
            Behaviour::OutputTwice => {
                for _ in 0..2 {
                    output.fields.push(Field {
                        name: HIDDEN.to_owned(),
                        kind: FieldType::Text,
                        nullable: true,
                    });
                }
                return output;
            }
            Behaviour::OutputKind | Behaviour::PutOffsets => FieldType::Text,
            _ => return output,
        };
        output.fields.push(Field {
            name: "made".to_owned(),
            kind: more,
            nullable: true,
        });
        output
    }

    fn apply(&self, input: &Batch) -> Result<Vec<Edit>, Fault> {
        let rows = input.rows();
        let all = vec![0xff; rows.div_ceil(8) as usize];
        let made = |name: &str, rows: u32| NamedColumn {
            field: Field {
                name: name.to_owned(),
                kind: FieldType::Int64,
                nullable: true,
            },
            column: Column {
                values: Values::Int64(vec![1; rows as usize]),
                validity: None,
            },
        };
        let replace = |origins: Vec<u32>| {
            Edit::Replace(Replacement {
                rows,
                columns: vec![made("id", rows)],
                changes: None,
                origins,
            })
        };
        let rejection = || Rejection {
            part: 0,
            row: 0,
            code: "no".to_owned(),
            message: "no".to_owned(),
        };
        let reject = |part, row| {
            Edit::Reject(vec![Rejection {
                part,
                row,
                code: "no".to_owned(),
                message: "no".to_owned(),
            }])
        };
        Ok(match self.behaviour {
            Behaviour::Honest => honest(input)?,
            Behaviour::KeepTwice => vec![Edit::Keep(all.clone()), Edit::Keep(all)],
            Behaviour::KeepShort => vec![Edit::Keep(vec![])],
            Behaviour::RejectOutside => vec![reject(0, rows)],
            Behaviour::RejectPart => vec![reject(1, 0)],
            Behaviour::OriginOutside => vec![replace(vec![rows; rows as usize])],
            Behaviour::OriginsShort => vec![replace(vec![0])],
            Behaviour::OriginRejected => vec![reject(0, 0), replace(vec![0; rows as usize])],
            Behaviour::ReplaceBesidePut => {
                vec![Edit::Put(made("made", rows)), replace((0..rows).collect())]
            }
            Behaviour::OutputKind => vec![Edit::Put(made("made", rows))],
            Behaviour::DropMissing => vec![Edit::Drop("made".to_owned())],
            Behaviour::RenameOnto => vec![
                Edit::Put(made("made", rows)),
                Edit::Rename(Rename {
                    old: "made".to_owned(),
                    new: "id".to_owned(),
                }),
            ],
            Behaviour::PutShort => vec![Edit::Put(made("id", 1))],
            Behaviour::ReadUndeclared => match input.column("name") {
                Err(ColumnError::Denied(_)) => vec![Edit::Keep(all)],
                other => panic!("it was given {other:?}"),
            },
            Behaviour::ColumnStorm => loop {
                let _ = std::hint::black_box(input.column("name"));
            },
            Behaviour::KeepLong => vec![Edit::Keep(vec![0xff; 100])],
            Behaviour::RejectMany => vec![Edit::Reject(vec![rejection(); 100_000])],
            Behaviour::RejectText => vec![Edit::Reject(vec![Rejection {
                code: HIDDEN.repeat(1_000),
                message: HIDDEN.repeat(100_000),
                ..rejection()
            }])],
            Behaviour::ReplaceRows => vec![Edit::Replace(Replacement {
                rows: u32::MAX,
                columns: vec![],
                changes: None,
                origins: vec![],
            })],
            Behaviour::PutOffsets => {
                let mut lie = made("made", rows);
                lie.field.kind = FieldType::Text;
                lie.column.values = Values::Text(Packed {
                    offsets: vec![0, 9, 1, 2],
                    bytes: b"ab".to_vec(),
                });
                vec![Edit::Put(lie)]
            }
            Behaviour::PutMany => (0..10_000).map(|_| Edit::Put(made("made", rows))).collect(),
            Behaviour::RenameHidden => vec![Edit::Rename(Rename {
                old: "id".to_owned(),
                new: HIDDEN.to_owned(),
            })],
            Behaviour::Poison => {
                self.poison.taste(input)?;
                vec![]
            }
            Behaviour::ApplyPanic => panic!("in the middle of a batch"),
            Behaviour::WriteUndeclared => vec![Edit::Put(made("name", rows))],
            Behaviour::DropUndeclared => vec![Edit::Drop("name".to_owned())],
            Behaviour::ReplaceUndeclared => vec![replace((0..rows).collect())],
            _ => vec![],
        })
    }
}

/// Keeps the even ids, and puts twice each beside it.
fn honest(input: &Batch) -> Result<Vec<Edit>, Fault> {
    let column = input
        .column("id")
        .map_err(|error| Fault::Broken(format!("{error:?}")))?;
    let Values::Int64(ids) = column.values else {
        return Err(Fault::Broken("`id` is no integer".to_owned()));
    };
    let mut keep = vec![0_u8; ids.len().div_ceil(8)];
    for (row, id) in ids.iter().enumerate() {
        keep[row / 8] |= u8::from(id % 2 == 0) << (row % 8);
    }
    let made = NamedColumn {
        field: Field {
            name: "made".to_owned(),
            kind: FieldType::Int64,
            nullable: true,
        },
        column: Column {
            values: Values::Int64(ids.iter().map(|id| id * 2).collect()),
            validity: column.validity,
        },
    };
    Ok(vec![Edit::Put(made), Edit::Keep(keep)])
}
