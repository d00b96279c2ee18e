//! The stages as a pipeline file has them, in their order.

use sluice_model::ids::{Role, SecretName, StageId, StreamName};
use sluice_model::pipeline::Pipeline;
use std::collections::BTreeMap;

/// A stage as the pipeline file has it.
pub(crate) struct Written<'a> {
    pub(crate) id: StageId,
    pub(crate) pointer: String,
    pub(crate) plugin: &'a str,
    pub(crate) config: &'a toml::Value,
    pub(crate) secrets: &'a BTreeMap<SecretName, SecretName>,
    pub(super) streams: &'a [StreamName],
}

/// All of them: the source first, the sinks last.
pub(crate) fn written(pipeline: &Pipeline) -> Vec<Written<'_>> {
    let id = |role, index: usize| StageId {
        role,
        index: u16::try_from(index).unwrap_or(u16::MAX),
    };
    let source = &pipeline.source;
    let mut stages = vec![Written {
        id: id(Role::Source, 0),
        pointer: "/source".to_owned(),
        plugin: &source.plugin,
        config: &source.config,
        secrets: &source.secrets,
        streams: &source.streams,
    }];
    stages.extend(
        pipeline
            .transform
            .iter()
            .enumerate()
            .map(|(at, stage)| Written {
                id: id(Role::Transform, at),
                pointer: format!("/transform/{at}"),
                plugin: &stage.plugin,
                config: &stage.config,
                secrets: &stage.secrets,
                streams: &stage.streams,
            }),
    );
    stages.extend(pipeline.sink.iter().enumerate().map(|(at, stage)| Written {
        id: id(Role::Sink, at),
        pointer: format!("/sink/{at}"),
        plugin: &stage.plugin,
        config: &stage.config,
        secrets: &stage.secrets,
        streams: &[],
    }));
    stages
}
