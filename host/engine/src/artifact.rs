//! A plugin's file: one WebAssembly component with its manifest inside. Read and packed without compiling or
//! running any of it; what may be done with it is decided elsewhere.

use crate::features;
use sluice_model::digest::Digest;
use sluice_model::guards::Guard;
use sluice_model::ids::Role;
use sluice_model::limits::{self, FAULT_BYTES_MAX};
use sluice_model::manifest::Manifest;
use sluice_model::text::shown;
use sluice_model::tomlfile::FileError;
use std::sync::Arc;
use wasmparser::{BinaryReader, Encoding, Parser, Payload, Validator};

/// The custom section that holds the manifest, as TOML text.
pub const MANIFEST_SECTION: &str = "sluice:manifest";
/// The custom section that holds the JSON Schema of the plugin's settings.
pub const SCHEMA_SECTION: &str = "sluice:config-schema";
/// Every custom section of ours begins so: packing replaces them all.
const OUR_SECTIONS: &str = "sluice:";
/// What a plugin exports, up to the last number of the contract's version.
const ROLES: [(&str, Role); 3] = [
    ("sluice:plugin/source@0.1.", Role::Source),
    ("sluice:plugin/transform@0.1.", Role::Transform),
    ("sluice:plugin/sink@0.1.", Role::Sink),
];

/// A component, its manifest and what can be read off it.
#[derive(Debug, Clone)]
pub struct Artifact {
    /// The whole file.
    pub bytes: Arc<[u8]>,
    /// Of the whole file.
    pub digest: Digest,
    /// What it asks for.
    pub manifest: Manifest,
    /// The manifest as its vendor wrote it.
    pub manifest_text: String,
    /// The JSON Schema of its settings.
    pub config_schema: Option<serde_json::Value>,
    /// The interfaces it imports, with their versions: `wasi:cli/environment@0.2.6`.
    pub imports: Vec<String>,
    /// The parts it can play, one at least.
    pub roles: Vec<Role>,
}

/// Why a file is no plugin.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ArtifactError {
    /// Larger than [`limits::COMPONENT_BYTES_MAX`].
    #[error("`{file}` has {bytes} bytes; a plugin has {max} at most", max = limits::COMPONENT_BYTES_MAX)]
    TooLarge {
        /// The file.
        file: String,
        /// Its size.
        bytes: usize,
    },
    /// Not WebAssembly, or a core module.
    #[error(
        "`{file}` is not a component: {reason}\n  hint: build it with `cargo build --target wasm32-wasip2`"
    )]
    NotAComponent {
        /// The file.
        file: String,
        /// What it is instead.
        reason: String,
    },
    /// Not valid, or valid only with a feature that is not allowed.
    #[error("`{file}` is not valid: {reason}")]
    Invalid {
        /// The file.
        file: String,
        /// The validator's words.
        reason: String,
    },
    /// No manifest inside.
    #[error("`{file}` has no manifest inside\n  hint: build it with `sluice plugin build`")]
    NoManifest {
        /// The file.
        file: String,
    },
    /// One of our sections stands twice, is too large, or is not text.
    #[error("`{file}`: section `{section}` {reason}")]
    Section {
        /// The file.
        file: String,
        /// Which.
        section: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The manifest cannot be read.
    #[error(transparent)]
    Manifest(#[from] FileError),
    /// It exports none of the contract's interfaces.
    #[error(
        "`{file}` exports neither `sluice:plugin/source`, `transform` nor `sink` at 0.1\n  hint: it exports {exports}"
    )]
    NoRole {
        /// The file.
        file: String,
        /// What it does export.
        exports: String,
    },
}

/// Of what it exports that is no role: how many names are repeated, and how much of each.
const EXPORTS_SHOWN_MAX: usize = 8;
/// See [`EXPORTS_SHOWN_MAX`].
const EXPORT_SHOWN_BYTES_MAX: usize = 200;

/// What a parser says, which can repeat what it reads.
fn reason(error: &wasmparser::BinaryReaderError) -> String {
    shown(&error.to_string(), FAULT_BYTES_MAX)
}

impl Artifact {
    /// Reads a component that was packed. `file` is its name, for messages. Validates all of it, with no feature
    /// beyond those a plugin may use.
    pub fn read(file: &str, bytes: Vec<u8>) -> Result<Self, ArtifactError> {
        let found = Found::within(file, &bytes)?;
        let manifest_text = found
            .manifest
            .ok_or_else(|| ArtifactError::NoManifest {
                file: file.to_owned(),
            })?
            .to_owned();
        let manifest = Manifest::parse(&format!("{file} (manifest)"), &manifest_text)?;
        let config_schema = found.schema.map(|text| schema(file, text)).transpose()?;
        let (imports, mut roles) = (found.imports, found.roles);
        roles.sort_unstable(); // In whatever order a linker names them.
        Validator::new_with_features(features::allowed(Guard::FeaturesRead))
            .validate_all(&bytes)
            .map_err(|error| ArtifactError::Invalid {
                file: file.to_owned(),
                reason: reason(&error),
            })?;
        let digest = Digest::of(&bytes);
        Ok(Self {
            bytes: bytes.into(),
            digest,
            manifest,
            manifest_text,
            config_schema,
            imports,
            roles,
        })
    }
}

/// Puts a manifest, and the schema of the settings where there is one, into a component of any toolchain, in place of
/// older ones. The manifest is read first, so that a mistake in it is found here.
pub fn pack(
    component: &[u8],
    manifest: &str,
    config_schema: Option<&str>,
) -> Result<Vec<u8>, ArtifactError> {
    let file = "component";
    Manifest::parse("manifest", manifest)?;
    let mut packed = without_our_sections(file, component)?;
    append_section(&mut packed, MANIFEST_SECTION, manifest.as_bytes());
    if let Some(text) = config_schema {
        schema(file, text)?;
        append_section(&mut packed, SCHEMA_SECTION, text.as_bytes());
    }
    Found::within(file, &packed)?;
    Ok(packed)
}

fn schema(file: &str, text: &str) -> Result<serde_json::Value, ArtifactError> {
    serde_json::from_str(text)
        .map_err(|error| section(file, SCHEMA_SECTION, format!("is not JSON: {error}")))
}

fn section(file: &str, section: &'static str, reason: impl Into<String>) -> ArtifactError {
    ArtifactError::Section {
        file: file.to_owned(),
        section,
        reason: reason.into(),
    }
}

/// What stands at the top level of a component.
#[derive(Default)]
struct Found<'a> {
    manifest: Option<&'a str>,
    schema: Option<&'a str>,
    imports: Vec<String>,
    roles: Vec<Role>,
    exports: Vec<&'a str>,
}

impl<'a> Found<'a> {
    fn within(file: &str, bytes: &'a [u8]) -> Result<Self, ArtifactError> {
        if bytes.len() > Guard::ComponentBytes.limit(limits::COMPONENT_BYTES_MAX) {
            return Err(ArtifactError::TooLarge {
                file: file.to_owned(),
                bytes: bytes.len(),
            });
        }
        let not_a_component = |reason: String| ArtifactError::NotAComponent {
            file: file.to_owned(),
            reason,
        };
        if !bytes.starts_with(b"\0asm") {
            return Err(not_a_component("it is not WebAssembly at all".to_owned()));
        }
        let mut found = Self::default();
        let mut depth = 0_usize;
        for payload in Parser::new(0).parse_all(bytes) {
            match payload.map_err(|error| not_a_component(error.to_string()))? {
                Payload::Version {
                    encoding: Encoding::Module,
                    ..
                } if depth == 0 => {
                    return Err(not_a_component("it is a core module".to_owned()));
                }
                Payload::Version { .. } => {
                    depth += 1;
                    if depth > Guard::ComponentDepth.limit(limits::COMPONENT_DEPTH_MAX) {
                        let most = limits::COMPONENT_DEPTH_MAX;
                        return Err(ArtifactError::Invalid {
                            file: file.to_owned(),
                            reason: format!("more than {most} components stand inside one another"),
                        });
                    }
                }
                Payload::End(_) => depth -= 1,
                payload if Guard::ManifestOutermost.holds(depth == 1) => {
                    found.take(file, payload)?;
                }
                _ => {}
            }
        }
        if found.roles.is_empty() {
            let names = found.exports.iter().take(EXPORTS_SHOWN_MAX);
            let exports = names
                .map(|name| format!("`{}`", shown(name, EXPORT_SHOWN_BYTES_MAX)))
                .collect::<Vec<_>>();
            let exports = if exports.is_empty() {
                "nothing".to_owned()
            } else {
                exports.join(", ")
            };
            return Err(ArtifactError::NoRole {
                file: file.to_owned(),
                exports,
            });
        }
        Ok(found)
    }

    fn take(&mut self, file: &str, payload: Payload<'a>) -> Result<(), ArtifactError> {
        let invalid = |error: wasmparser::BinaryReaderError| ArtifactError::Invalid {
            file: file.to_owned(),
            reason: reason(&error),
        };
        match payload {
            Payload::CustomSection(custom) => match custom.name() {
                MANIFEST_SECTION => {
                    text(file, MANIFEST_SECTION, custom.data(), &mut self.manifest)?;
                }
                SCHEMA_SECTION => {
                    text(file, SCHEMA_SECTION, custom.data(), &mut self.schema)?;
                }
                _ => {}
            },
            Payload::ComponentImportSection(imports) => {
                for import in imports {
                    self.imports
                        .push(import.map_err(invalid)?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(exports) => {
                for export in exports {
                    let name = export.map_err(invalid)?.name.name;
                    self.exports.push(name);
                    self.roles.extend(role(name));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// A pre-release is another interface than the release of its number.
fn role(export: &str) -> Option<Role> {
    if Guard::RoleReleased.bars(export.contains(['-', '+'])) {
        return None;
    }
    ROLES
        .iter()
        .find(|(prefix, _)| export.starts_with(prefix))
        .map(|(_, role)| *role)
}

/// Keeps a section's text, once and bounded.
fn text<'a>(
    file: &str,
    name: &'static str,
    data: &'a [u8],
    kept: &mut Option<&'a str>,
) -> Result<(), ArtifactError> {
    if Guard::SectionOnce.bars(kept.is_some()) {
        return Err(section(file, name, "stands twice"));
    }
    if data.len() > Guard::ManifestBytes.limit(limits::MANIFEST_BYTES_MAX) {
        let reason = format!(
            "has {} bytes; at most {} are allowed",
            data.len(),
            limits::MANIFEST_BYTES_MAX
        );
        return Err(section(file, name, reason));
    }
    *kept = Some(std::str::from_utf8(data).map_err(|_| section(file, name, "is not UTF-8"))?);
    Ok(())
}

/// The component without the custom sections at its top level that are ours. Every other byte stays.
fn without_our_sections(file: &str, component: &[u8]) -> Result<Vec<u8>, ArtifactError> {
    const HEADER_BYTES: usize = 8;
    const CUSTOM: u8 = 0;
    let broken = |error: wasmparser::BinaryReaderError| ArtifactError::NotAComponent {
        file: file.to_owned(),
        reason: reason(&error),
    };
    Found::within(file, component)?;
    let mut kept = component[..HEADER_BYTES].to_vec();
    let mut reader = BinaryReader::new(&component[HEADER_BYTES..], HEADER_BYTES);
    while !reader.eof() {
        let start = reader.original_position();
        let id = reader.read_u8().map_err(broken)?;
        let bytes = reader.read_var_u32().map_err(broken)? as usize;
        let content = reader.read_bytes(bytes).map_err(broken)?;
        let ours = id == CUSTOM
            && BinaryReader::new(content, 0)
                .read_string()
                .is_ok_and(|name| name.starts_with(OUR_SECTIONS));
        if !ours {
            kept.extend_from_slice(&component[start..reader.original_position()]);
        }
    }
    Ok(kept)
}

pub(crate) fn append_section(component: &mut Vec<u8>, name: &str, data: &[u8]) {
    let mut content = Vec::with_capacity(name.len() + data.len() + 5);
    append_size(&mut content, name.len());
    content.extend_from_slice(name.as_bytes());
    content.extend_from_slice(data);
    component.push(0);
    append_size(component, content.len());
    component.extend_from_slice(&content);
}

/// Unsigned LEB128, as all sizes in WebAssembly are written.
fn append_size(into: &mut Vec<u8>, mut size: usize) {
    loop {
        let low = (size & 0x7f) as u8;
        size >>= 7;
        if size == 0 {
            into.push(low);
            return;
        }
        into.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = r#"
[plugin]
name = "acme/thing"
version = "1.0.0"
interface = "sluice:plugin@0.1"
description = "A thing."
"#;

    /// A component that plays a source, with more inside.
    fn component(inside: &str) -> Vec<u8> {
        let text = format!(
            r#"(component {inside} (instance $empty) (export "sluice:plugin/source@0.1.0" (instance $empty)))"#
        );
        wat::parse_str(text).expect("a component")
    }

    fn read(bytes: Vec<u8>) -> Result<Artifact, String> {
        Artifact::read("x.wasm", bytes).map_err(|error| error.to_string())
    }

    #[test]
    fn a_packed_component_is_read() {
        let packed = pack(&component(""), MANIFEST, Some(r#"{"type":"object"}"#)).expect("packed");
        let artifact = read(packed.clone()).expect("an artifact");
        assert_eq!(artifact.manifest.plugin.name.as_str(), "acme/thing");
        assert_eq!(artifact.manifest_text, MANIFEST);
        assert_eq!(
            artifact.config_schema,
            Some(serde_json::json!({"type": "object"}))
        );
        assert_eq!(artifact.roles, [Role::Source]);
        assert_eq!(artifact.digest, Digest::of(&packed));
        let again = pack(&packed, MANIFEST, Some(r#"{"type":"object"}"#)).expect("packed again");
        assert_eq!(again, packed, "older sections are replaced");
        let without = read(pack(&packed, MANIFEST, None).expect("packed")).expect("an artifact");
        assert_eq!(without.config_schema, None);
    }

    #[test]
    fn what_is_no_plugin_is_told() {
        let check = |bytes: Vec<u8>, expected: &str| {
            let error = read(bytes).expect_err(expected);
            assert!(error.contains(expected), "{error}");
        };
        let with = |name: &str, data: &[u8]| {
            let mut bytes = pack(&component(""), MANIFEST, None).expect("packed");
            append_section(&mut bytes, name, data);
            bytes
        };
        check(
            b"PK".to_vec(),
            "is not a component: it is not WebAssembly at all\n",
        );
        check(
            wat::parse_str("(module)").expect("a module"),
            "it is a core module",
        );
        check(component(""), "has no manifest inside");
        check(
            wat::parse_str("(component)").expect("a component"),
            "it exports nothing",
        );
        check(
            with(MANIFEST_SECTION, MANIFEST.as_bytes()),
            "section `sluice:manifest` stands twice",
        );
        check(
            with(SCHEMA_SECTION, b"{"),
            "section `sluice:config-schema` is not JSON",
        );
        check(
            with(SCHEMA_SECTION, b"\xff"),
            "section `sluice:config-schema` is not UTF-8",
        );
        check(
            with(SCHEMA_SECTION, &vec![b' '; limits::MANIFEST_BYTES_MAX + 1]),
            "at most 262144 are allowed",
        );
        check(
            vec![0; limits::COMPONENT_BYTES_MAX + 1],
            "a plugin has 67108864 at most",
        );
        let mut bytes = component("");
        append_section(&mut bytes, MANIFEST_SECTION, b"[plugin]\nnam = 1\n");
        check(bytes, "x.wasm (manifest):2:1: unknown key `nam`");
        let mut cut = pack(&component(""), MANIFEST, None).expect("packed");
        cut.truncate(cut.len() - 1);
        check(cut, "is not a component");
    }

    #[test]
    fn a_manifest_inside_a_part_of_it_does_not_count() {
        let mut inner = component("");
        append_section(&mut inner, MANIFEST_SECTION, MANIFEST.as_bytes());
        let mut outer = component("");
        outer.push(4); // A nested component.
        append_size(&mut outer, inner.len());
        outer.extend_from_slice(&inner);
        assert!(
            read(outer)
                .expect_err("no manifest")
                .contains("has no manifest inside")
        );
    }

    #[test]
    fn a_manifest_with_a_mistake_is_not_packed() {
        let error = pack(&component(""), "[plugin]\nnam = 1\n", None).expect_err("a mistake");
        assert!(
            error
                .to_string()
                .contains("manifest:2:1: unknown key `nam`"),
            "{error}"
        );
    }

    #[test]
    fn refused_features() {
        let check = |module: &str| {
            let component = component(&format!("(core module {module})"));
            let error = read(pack(&component, MANIFEST, None).expect("packed")).expect_err(module);
            assert!(error.contains("is not valid"), "{module}: {error}");
        };
        check("(memory 1 1 shared)"); // threads
        check("(memory i64 1)"); // memory64
        check("(memory 1) (memory 1)"); // multi-memory
        check("(memory 1 (pagesize 1))"); // custom page sizes
        check("(type (struct))"); // gc
        check("(type (array i8))");
        check("(func (param externref))");
        check("(func (param (ref func)))"); // function references
        check("(tag)"); // exceptions
        check("(type $f (func)) (type (cont $f))"); // stack switching
        check(
            "(func (drop (i8x16.relaxed_swizzle (v128.const i64x2 0 0) (v128.const i64x2 0 0))))",
        );
        check(
            "(func (result i64 i64) (i64.add128 (i64.const 0) (i64.const 0) (i64.const 0) (i64.const 0)))",
        );
        let refused_component = |inside: &str| {
            let error =
                read(pack(&component(inside), MANIFEST, None).expect("packed")).expect_err(inside);
            assert!(error.contains("is not valid"), "{inside}: {error}");
        };
        refused_component("(type (stream u8))"); // component-model async
        refused_component("(type (future u8))");
        refused_component("(core func (canon error-context.drop))");
        refused_component("(core func (canon backpressure.inc))");
        refused_component("(type (list u8 4))"); // fixed-length lists
        refused_component("(type (map u32 u32))");
    }

    #[test]
    fn allowed_features() {
        let check = |module: &str| {
            let component = component(&format!("(core module {module})"));
            read(pack(&component, MANIFEST, None).expect("packed")).expect(module);
        };
        check("(func (result i32 i32) (i32.const 1) (i32.const 2))");
        check("(memory 1) (func (memory.fill (i32.const 0) (i32.const 0) (i32.const 0)))");
        check("(func (drop (i8x16.splat (i32.const 0))))");
        check("(func $f (return_call $f))");
        check("(table 1 funcref) (func (drop (table.size 0)))");
        check("(func (drop (i32.trunc_sat_f32_s (f32.const 0))))");
    }
}
