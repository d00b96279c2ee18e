//! Components that no toolchain made: cut, flipped, lying about their sizes, or right on the outside only. None of them
//! may end the host; what is read of them and what is compiled is refused, or is what it says it is.

use sluice_engine::{Artifact, Engine, Settings, pack};
use sluice_model::limits;

const MANIFEST: &str = r#"
[plugin]
name = "acme/crafted"
version = "1.0.0"
interface = "sluice:plugin@0.1"
description = "Made by hand."
"#;

const ROLE: &str = "sluice:plugin/source@0.1.0";

/// A packed component with this inside, which says it plays a source.
fn component(inside: &str, role: &str) -> Vec<u8> {
    let text =
        format!(r#"(component {inside} (instance $empty) (export "{role}" (instance $empty)))"#);
    pack(&wat::parse_str(text).expect("a component"), MANIFEST, None).expect("packed")
}

/// With something of every section in it.
fn whole() -> Vec<u8> {
    component(
        r#"(core module $m (memory (export "m") 1) (table 1 funcref) (global i32 (i32.const 1))
             (func (export "f") (param i32) (result i32) (local.get 0)) (data (i32.const 0) "data"))
           (core instance $i (instantiate $m))
           (type $t (func (param "a" u32) (result u32)))
           (func $f (type $t) (canon lift (core func $i "f")))
           (instance (export "f" (func $f)))"#,
        ROLE,
    )
}

fn read(bytes: Vec<u8>) -> Result<Artifact, String> {
    Artifact::read("crafted.wasm", bytes).map_err(|error| error.to_string())
}

/// What comes of loading it: an error in words, for it is no plugin.
async fn refused(artifact: &Artifact) -> String {
    let engine = Engine::new(Settings::default()).expect("an engine");
    match engine.load(artifact).await {
        Err(error) => error.to_string(),
        Ok(_) => panic!("it was loaded"),
    }
}

#[test]
fn a_component_that_is_cut_off_is_refused_wherever_it_is_cut() {
    let whole = whole();
    read(whole.clone()).expect("sound as a whole");
    // The manifest stands at the end: without its last byte there is none.
    for length in 0..whole.len() {
        assert!(read(whole[..length].to_vec()).is_err(), "{length} bytes");
    }
}

#[tokio::test]
async fn a_component_with_a_byte_changed_is_refused_or_another_one() {
    let whole = whole();
    let digest = read(whole.clone()).expect("sound").digest;
    let engine = Engine::new(Settings::default()).expect("an engine");
    let mut others = 0;
    for at in 0..whole.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut changed = whole.clone();
            changed[at] ^= flip;
            let Ok(artifact) = read(changed) else {
                continue;
            };
            // What was granted is named by its digest: this is not it.
            assert_ne!(artifact.digest, digest);
            others += 1;
            // The compiler meets it too, and neither of them panics.
            assert!(engine.load(&artifact).await.is_err());
        }
    }
    assert!(others > 10, "{others}");
}

/// A sound component with these bytes behind its header, where any section may stand.
fn with(section: &[u8]) -> Vec<u8> {
    let whole = whole();
    let (header, rest) = whole.split_at(8);
    [header, section, rest].concat()
}

#[test]
fn sizes_that_lie_are_refused() {
    read(with(b"")).expect("nothing is put in");
    read(with(b"\x00\x02\x01a")).expect("a sound section is put in");
    let cases: [(&str, &[u8]); 8] = [
        (
            "a section that says it has four gibibytes",
            b"\x00\xff\xff\xff\xff\x0f",
        ),
        (
            "a size without an end",
            b"\x00\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80",
        ),
        (
            "a size of more than 32 bits",
            b"\x00\xff\xff\xff\xff\xff\x7f",
        ),
        ("a name longer than its section", b"\x00\x02\x7fa"),
        (
            "four thousand million imports",
            b"\x0a\x05\xff\xff\xff\xff\x0f",
        ),
        (
            "four thousand million exports",
            b"\x0b\x05\xff\xff\xff\xff\x0f",
        ),
        (
            "four thousand million types",
            b"\x07\x05\xff\xff\xff\xff\x0f",
        ),
        ("a section that there is not", b"\x7f\x00"),
    ];
    for (what, rest) in cases {
        let error = read(with(rest)).expect_err(what);
        assert!(error.len() < 1024, "{what}: {error}");
        let told = ["is not a component: ", "is not valid: "];
        assert!(
            told.iter().any(|words| error.contains(words)),
            "{what}: {error}"
        );
    }
}

#[test]
fn components_inside_one_another_end() {
    // Each one's size is right.
    let nested = |depth: usize| {
        let mut inner = Vec::new();
        for _ in 0..depth {
            let component = [b"\0asm\x0d\0\x01\0".as_slice(), &inner].concat();
            let mut outer = b"\x04".to_vec();
            let mut size = component.len();
            while size > 0x7f {
                outer.push(size as u8 | 0x80);
                size >>= 7;
            }
            outer.push(size as u8);
            outer.extend_from_slice(&component);
            inner = outer;
        }
        inner
    };
    read(with(&nested(3))).expect("a few");
    for depth in [limits::COMPONENT_DEPTH_MAX, 10_000] {
        let error = read(with(&nested(depth))).expect_err("too deep");
        assert!(error.contains("inside one another"), "{error}");
    }
}

#[test]
fn a_function_of_too_many_locals_is_refused() {
    // Fifteen bytes that ask for two hundred million locals.
    let locals = format!("(core module (func {}))", "(local i64)".repeat(50_001));
    let error = read(component(&locals, ROLE)).expect_err("too many");
    assert!(error.contains("is not valid"), "{error}");
}

#[tokio::test]
async fn a_role_that_is_a_name_only_is_refused() {
    let artifact = read(component("", ROLE)).expect("an artifact");
    let error = refused(&artifact).await;
    assert!(error.contains("`acme/crafted` cannot be loaded"), "{error}");
}

#[test]
fn a_pre_release_is_not_taken_for_the_release() {
    read(component("", ROLE)).expect("the release");
    for role in [
        "sluice:plugin/source@0.1.0-rc.1",
        "sluice:plugin/source@0.1.9-rc.1",
    ] {
        let text = format!(r#"(component (instance $empty) (export "{role}" (instance $empty)))"#);
        let plain = wat::parse_str(text).expect("a component");
        let error = pack(&plain, MANIFEST, None).map_err(|error| error.to_string());
        let error = error.and_then(read).expect_err("another interface");
        assert!(error.contains("exports neither"), "{error}");
    }
}

#[tokio::test]
async fn an_import_that_no_host_has_is_refused() {
    for import in [
        "wasi:sockets/tcp@0.2.0",
        "wasi:sockets/ip-name-lookup@0.2.0",
        "wasi:filesystem/preopens@9.0.0",
        "evil:host/shell",
        "evil:host/shell@1.0.0",
    ] {
        let inside = format!(
            r#"(import "{import}" (instance (export "run" (func (param "command" string)))))"#
        );
        let artifact = read(component(&inside, ROLE)).expect("an artifact");
        let error = refused(&artifact).await;
        assert!(error.contains(import), "{error}");
    }
}

#[test]
fn a_manifest_as_large_as_a_book_is_refused() {
    let long = format!("{MANIFEST}# {}", "x".repeat(limits::MANIFEST_BYTES_MAX));
    let plain = wat::parse_str(format!(
        r#"(component (instance $empty) (export "{ROLE}" (instance $empty)))"#
    ));
    let error = pack(&plain.expect("a component"), &long, None).expect_err("too large");
    assert!(error.to_string().contains("262144 are allowed"), "{error}");
}
