//! How far each capability goes, on a scale that is written down (`docs/inspecting.md`, held against this file by a
//! test): what a security team looks at first. It judges what is asked for, not what is granted; a high risk may be
//! right, and then somebody has said so.

use crate::host::{Host, HostPattern};
use crate::imports::{Import, ImportKind};
use crate::settings::is_template;
use crate::trust::Standing;
use serde::Serialize;
use sluice_model::ids::Role;
use sluice_model::limits::{CALL_TIME_DEFAULT, MEMORY_BYTES_DEFAULT};
use sluice_model::manifest::{
    Data, Dir, DirMode, Http, Manifest, Scheme, SecretPlace, SecretUse, Tcp,
};
use sluice_model::visible::visible;

/// A word of a plugin, as it is repeated.
const SHOWN_CHARS_MAX: usize = 200;

/// How far something goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As narrow as this kind of thing can be.
    Low,
    /// Worth a question.
    Medium,
    /// Not without somebody's word for it.
    High,
}

/// One rule of the scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// Its name, in reports and in the docs.
    pub id: &'static str,
    /// How far it goes.
    pub level: Level,
    /// What it is about.
    pub title: &'static str,
    /// Why it matters, and what to do about it.
    pub why: &'static str,
}

macro_rules! rules {
    ($($name:ident $id:literal $level:ident $title:literal $why:literal)*) => {
        $(const $name: Rule = Rule { id: $id, level: Level::$level, title: $title, why: $why };)*
        /// The whole scale, in the order of the docs.
        pub const RULES: &[Rule] = &[$($name),*];
    };
}

rules! {
    UNSIGNED "unsigned" High "nobody vouches for it"
        "Only its digest says that it is the component that was meant. Ask its vendor for a signature."
    SIGNER_UNKNOWN "signer-unknown" High "signed by a key that is not trusted here"
        "No better than unsigned, until somebody has checked whose key it is and put it in the trust file."
    NOT_TRUSTED "not-trusted" High "its signature is refused"
        "It does not start. The message says whether it is stale, forged, expired, revoked or below the floor."
    IMPORT_UNEXPLAINED "import-unexplained" High "imports what its manifest does not explain"
        "It does not start. Either the manifest leaves something out, or the component was built with something it should not have."
    HTTP_WILDCARD "http-wildcard-host" High "any host below a domain"
        "Whoever gets a name below that domain is reached too. Have the hosts named."
    HTTP_CONFIG_HOST "http-config-host" High "a host that a setting names"
        "Whoever writes the pipeline file says where it goes; the grant names the one host it becomes."
    HTTP_PLAIN "http-plain" High "requests in the clear"
        "Everybody on the way reads and changes them, an attached secret included."
    TCP_WILDCARD "tcp-wildcard-host" High "connections to any host below a domain"
        "Whoever gets a name below that domain is reached too. Have the hosts named."
    TCP_CONFIG_HOST "tcp-config-host" High "connections to a host that a setting names"
        "Whoever writes the pipeline file says where they go; the grant names the one host it becomes."
    TRANSFORM_NETWORK "transform-network" High "a transform that reaches a network"
        "It sees records and can send them elsewhere. Most transforms need no network."
    DIR_WRITE "dir-write" High "writes to a directory"
        "It creates, renames and removes files there. Give it a directory of its own."
    DIR_OUTSIDE "dir-outside" High "a directory outside the deployment"
        "An absolute path, or one with `..` in it."
    READS_EVERY_COLUMN "data-reads-all" High "reads every column"
        "Columns that are added later too. Name those it needs in the grant."
    SECRET_REVEALED "secret-revealed" High "a secret that the plugin sees"
        "Nothing stops it from sending the value wherever it may send anything. Have the host attach it where the protocol lets it."
    HTTP_WRITE "http-write" Medium "requests that change things"
        "Methods other than GET, HEAD and OPTIONS: it can send what it read, and change what is there."
    HTTP_ADDRESS "http-address" Medium "an IP address instead of a name"
        "No certificate of a public authority names it, and nobody sees in the report whose it is."
    HTTP_EVERY_PATH "http-any-path" Medium "every path of a host"
        "`/**` is the whole API, administration included. Narrow `paths` in the grant."
    TCP_NAMED "tcp-named" Medium "connections to a named host"
        "In a protocol of its own, which the host does not read; whether it begins with TLS, the plugin says, unless `http.plain` of the policy does."
    TCP_ADDRESS "tcp-address" Medium "connections to an IP address"
        "No certificate of a public authority names it, and nobody sees in the report whose it is."
    DIR_READ "dir-read" Medium "reads a directory"
        "Every file in it and below. Put nothing else there."
    SECRET_IN_QUERY "secret-query" Medium "a secret in the query of a URL"
        "Servers and proxies write URLs to their logs. Prefer a header, where the other side takes one."
    WRITES_EVERY_COLUMN "data-writes-all" Medium "writes every column"
        "It can change any value on its way. Name those it is meant to change in the grant."
    LIMITS_RAISED "limits-raised" Medium "more memory or time than plugins get by default"
        "A stage that hangs or grows holds more of the machine. The grant can set it lower."
    HTTP_NAMED "http-named" Low "reads from a named host"
        "One host over TLS, without methods that change things."
    SECRET_ATTACHED "secret-attached" Low "a secret that the host attaches"
        "The plugin never sees the value; it goes where the requests that use it go."
    DATA_NAMED "data-named" Low "columns by name"
        "It sees or changes these columns and no others."
    IMPORT_REFUSING "import-refusing" Low "imports sockets, which are refused"
        "Some languages' runtimes import them unasked. Each call is refused and recorded."
    NO_DEPENDENCIES "no-dependencies" Low "does not say what it was built from"
        "A component built with `cargo auditable` lists its crates, so that known holes in them can be looked up."
}

/// One thing found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which rule.
    #[serde(flatten)]
    pub rule: Rule,
    /// Of what: `http`, `tcp`, `dir`, `secret`, `data.reads` …
    pub capability: &'static str,
    /// Which of the manifest's entries of that kind, from 0.
    pub entry: usize,
    /// What exactly. Hidden characters are shown.
    pub subject: String,
}

/// What is judged.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// What it asks for.
    pub manifest: &'a Manifest,
    /// Its imports, explained.
    pub imports: &'a [Import],
    /// The parts it can play.
    pub roles: &'a [Role],
    /// Who made it; none where its signature is refused.
    pub made_by: Option<&'a Standing>,
    /// Whether it says what it was built from.
    pub lists_dependencies: bool,
}

/// All that is found, what goes furthest first. Every capability is in it once at least.
pub fn assess(facts: &Facts<'_>) -> Vec<Finding> {
    let Facts {
        manifest,
        imports,
        roles,
        made_by,
        lists_dependencies,
    } = facts;
    let mut found = Vec::new();
    let mut find_at = |rule: Rule, capability: &'static str, entry: usize, subject: String| {
        found.push(Finding {
            rule,
            capability,
            entry,
            subject,
        });
    };
    let mut find = |rule, capability, subject| find_at(rule, capability, 0, subject);
    let name = manifest.plugin.name.to_string();
    match made_by {
        Some(Standing::Signed { .. }) => {}
        Some(Standing::Unsigned) => find(UNSIGNED, "plugin", name.clone()),
        Some(Standing::Unknown { key }) => {
            find(SIGNER_UNKNOWN, "plugin", format!("{name}, by {key}"));
        }
        None => find(NOT_TRUSTED, "plugin", name.clone()),
    }
    if !lists_dependencies {
        find(NO_DEPENDENCIES, "plugin", name);
    }
    for import in *imports {
        match import.kind {
            ImportKind::Unexplained { .. } => find(
                IMPORT_UNEXPLAINED,
                "imports",
                visible(&import.name, SHOWN_CHARS_MAX),
            ),
            ImportKind::Refusing => find(
                IMPORT_REFUSING,
                "imports",
                visible(&import.name, SHOWN_CHARS_MAX),
            ),
            ImportKind::Granted { .. } | ImportKind::Empty => {}
        }
    }
    let Manifest {
        plugin: _,
        source: _,
        http,
        tcp,
        dir,
        secret,
        data,
        sink: _,
        limits,
        config: _,
        unnamed: _,
    } = manifest;
    for (at, entry) in http.iter().enumerate() {
        for rule in of_http(entry, roles) {
            find_at(rule, "http", at, visible(&entry.host, SHOWN_CHARS_MAX));
        }
    }
    for (at, entry) in tcp.iter().enumerate() {
        for rule in of_tcp(entry, roles) {
            find_at(rule, "tcp", at, visible(&entry.host, SHOWN_CHARS_MAX));
        }
    }
    for (at, entry) in dir.iter().enumerate() {
        for rule in of_dir(entry) {
            find_at(rule, "dir", at, visible(&entry.path, SHOWN_CHARS_MAX));
        }
    }
    for (at, entry) in secret.iter().enumerate() {
        find_at(of_secret(entry), "secret", at, entry.name.to_string());
    }
    let mut find = |rule, capability, subject| find_at(rule, capability, 0, subject);
    let Data { reads, writes } = data;
    for (names, capability, every) in [
        (reads, "data.reads", READS_EVERY_COLUMN),
        (writes, "data.writes", WRITES_EVERY_COLUMN),
    ] {
        if names.iter().any(|name| name == "*") {
            find(every, capability, "every column".to_owned());
        } else if !names.is_empty() {
            find(
                DATA_NAMED,
                capability,
                visible(&names.join(", "), SHOWN_CHARS_MAX),
            );
        }
    }
    let raised = limits
        .memory
        .is_some_and(|memory| memory.0 > MEMORY_BYTES_DEFAULT)
        || limits
            .call_time
            .is_some_and(|time| time.0 > CALL_TIME_DEFAULT);
    if raised {
        let memory = limits.memory.map(|memory| format!("{memory} of memory"));
        let time = limits.call_time.map(|time| format!("{time} a call"));
        find(
            LIMITS_RAISED,
            "limits",
            memory
                .into_iter()
                .chain(time)
                .collect::<Vec<_>>()
                .join(", "),
        );
    }
    found.sort_by_key(|finding| std::cmp::Reverse(finding.rule.level));
    found
}

fn of_http(entry: &Http, roles: &[Role]) -> Vec<Rule> {
    let Http {
        host,
        scheme,
        port: _,
        methods,
        paths,
        auth: _,
        role,
        reason: _,
    } = entry;
    let mut rules = Vec::new();
    if is_template(host) {
        rules.push(HTTP_CONFIG_HOST);
    }
    match HostPattern::parse(host) {
        Ok(HostPattern::Below(_)) => rules.push(HTTP_WILDCARD),
        Ok(HostPattern::Only(Host::Address(_))) => rules.push(HTTP_ADDRESS),
        // With a setting in it, or nothing that could be granted; a star in it is a star.
        Err(_) if host.contains('*') => rules.push(HTTP_WILDCARD),
        Ok(HostPattern::Only(Host::Name(_))) | Err(_) => {}
    }
    if *scheme == Some(Scheme::Http) {
        rules.push(HTTP_PLAIN);
    }
    if roles.contains(&Role::Transform) && role.is_none_or(|only| only == Role::Transform) {
        rules.push(TRANSFORM_NETWORK);
    }
    if methods
        .iter()
        .any(|method| !matches!(method.as_str(), "GET" | "HEAD" | "OPTIONS"))
    {
        rules.push(HTTP_WRITE);
    }
    if paths.iter().any(|path| path == "/**") {
        rules.push(HTTP_EVERY_PATH);
    }
    if rules.is_empty() {
        rules.push(HTTP_NAMED);
    }
    rules
}

fn of_tcp(entry: &Tcp, roles: &[Role]) -> Vec<Rule> {
    let Tcp {
        host,
        port: _,
        role,
        reason: _,
    } = entry;
    let mut rules = Vec::new();
    if is_template(host) {
        rules.push(TCP_CONFIG_HOST);
    }
    match HostPattern::parse(host) {
        Ok(HostPattern::Below(_)) => rules.push(TCP_WILDCARD),
        Ok(HostPattern::Only(Host::Address(_))) => rules.push(TCP_ADDRESS),
        Ok(HostPattern::Only(Host::Name(_))) => rules.push(TCP_NAMED),
        Err(_) if host.contains('*') => rules.push(TCP_WILDCARD),
        Err(_) => {}
    }
    if roles.contains(&Role::Transform) && role.is_none_or(|only| only == Role::Transform) {
        rules.push(TRANSFORM_NETWORK);
    }
    rules
}

fn of_dir(entry: &Dir) -> Vec<Rule> {
    let Dir {
        path,
        mode,
        role: _,
        reason: _,
    } = entry;
    let mut rules = vec![match mode {
        DirMode::Write => DIR_WRITE,
        DirMode::Read => DIR_READ,
    }];
    if path.starts_with('/') || path.split('/').any(|part| part == "..") {
        rules.push(DIR_OUTSIDE);
    }
    rules
}

fn of_secret(entry: &SecretUse) -> Rule {
    let SecretUse {
        name: _,
        place,
        // Where it is traded and what for is the grant's to say, not the plugin's.
        token_url: _,
        scopes: _,
        service: _,
        region: _,
        optional: _,
        reason: _,
    } = entry;
    match place {
        SecretPlace::Reveal => SECRET_REVEALED,
        SecretPlace::Query(_) => SECRET_IN_QUERY,
        SecretPlace::Bearer
        | SecretPlace::Basic
        | SecretPlace::Header(_)
        | SecretPlace::OAuth2
        | SecretPlace::AwsSigV4
        | SecretPlace::HmacSha256(_)
        | SecretPlace::Mtls => SECRET_ATTACHED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imports::explain;

    const HEAD: &str = "[plugin]\nname = \"a/b\"\nversion = \"1.0.0\"\ninterface = \"sluice:plugin@0.1\"\ndescription = \"x\"\n";

    fn found(
        rest: &str,
        imports: &[&str],
        roles: &[Role],
        made_by: Option<&Standing>,
    ) -> Vec<&'static str> {
        let manifest = Manifest::parse("m", &format!("{HEAD}{rest}"))
            .unwrap_or_else(|error| panic!("{error}"));
        let names: Vec<String> = imports.iter().map(|name| (*name).to_owned()).collect();
        let imports = explain(&manifest, &names).imports;
        let facts = Facts {
            manifest: &manifest,
            imports: &imports,
            roles,
            made_by,
            lists_dependencies: false,
        };
        let found = assess(&facts);
        assert!(found.is_sorted_by_key(|finding| std::cmp::Reverse(finding.rule.level)));
        found.iter().map(|finding| finding.rule.id).collect()
    }

    #[test]
    fn every_rule_has_a_case_that_it_finds() {
        let http = |host: &str, more: &str| {
            format!("[[http]]\nhost = \"{host}\"\nreason = \"x\"\n{more}\n")
        };
        let get = "methods = [\"GET\"]\npaths = [\"/v2/*\"]";
        let tcp = |host: &str| format!("[[tcp]]\nhost = \"{host}\"\nport = 5432\nreason = \"x\"\n");
        let dir = |path: &str, mode: &str| {
            format!("[[dir]]\npath = \"{path}\"\nmode = \"{mode}\"\nreason = \"x\"\n")
        };
        let secret =
            |place: &str| format!("[[secret]]\nname = \"t\"\nuse = \"{place}\"\nreason = \"x\"\n");
        let key = "ed25519:0123456789abcdef".parse().expect("an id");
        let (unsigned, unknown) = (Standing::Unsigned, Standing::Unknown { key });
        let moment = sluice_model::moment::Moment::from_unix(0);
        let signed = Standing::Signed {
            key: "ed25519:0123456789abcdef".parse().expect("an id"),
            vendor: sluice_model::trust::NamePattern::Every,
            created: moment,
            not_after: moment,
        };
        let mut seen = std::collections::BTreeSet::new();
        for (rest, imports, roles, made_by, expected) in [
            (
                String::new(),
                &[][..],
                Role::Source,
                Some(&unsigned),
                &["unsigned"][..],
            ),
            (
                String::new(),
                &[],
                Role::Source,
                Some(&unknown),
                &["signer-unknown"],
            ),
            (String::new(), &[], Role::Source, None, &["not-trusted"]),
            (
                String::new(),
                &["evil:x/y@1.0.0"],
                Role::Source,
                Some(&signed),
                &["import-unexplained"],
            ),
            (
                String::new(),
                &["wasi:sockets/tcp@0.2.6"],
                Role::Source,
                Some(&signed),
                &["import-refusing"],
            ),
            (
                http("api.acme.example", get),
                &[],
                Role::Source,
                Some(&signed),
                &["http-named"],
            ),
            (
                http("*.acme.example", get),
                &[],
                Role::Source,
                Some(&signed),
                &["http-wildcard-host"],
            ),
            (
                http("*.{config.domain}", get),
                &[],
                Role::Source,
                Some(&signed),
                &["http-config-host", "http-wildcard-host"],
            ),
            (
                http("{config.url}", get),
                &[],
                Role::Source,
                Some(&signed),
                &["http-config-host"],
            ),
            (
                http("192.0.2.7", get),
                &[],
                Role::Source,
                Some(&signed),
                &["http-address"],
            ),
            (
                http("api.acme.example", &format!("scheme = \"http\"\n{get}")),
                &[],
                Role::Source,
                Some(&signed),
                &["http-plain"],
            ),
            (
                http("api.acme.example", "methods = [\"GET\", \"POST\"]"),
                &[],
                Role::Sink,
                Some(&signed),
                &["http-write"],
            ),
            (
                http("api.acme.example", "methods = [\"GET\"]\npaths = [\"/**\"]"),
                &[],
                Role::Sink,
                Some(&signed),
                &["http-any-path"],
            ),
            (
                http("api.acme.example", get),
                &[],
                Role::Transform,
                Some(&signed),
                &["transform-network"],
            ),
            (
                http("api.acme.example", &format!("as = \"sink\"\n{get}")),
                &[],
                Role::Transform,
                Some(&signed),
                &["http-named"],
            ),
            (
                tcp("db.acme.example"),
                &[],
                Role::Source,
                Some(&signed),
                &["tcp-named"],
            ),
            (
                tcp("*.acme.example"),
                &[],
                Role::Source,
                Some(&signed),
                &["tcp-wildcard-host"],
            ),
            (
                tcp("{config.host}"),
                &[],
                Role::Source,
                Some(&signed),
                &["tcp-config-host"],
            ),
            (
                tcp("192.0.2.7"),
                &[],
                Role::Transform,
                Some(&signed),
                &["tcp-address", "transform-network"],
            ),
            (
                secret("reveal"),
                &[],
                Role::Source,
                Some(&signed),
                &["secret-revealed"],
            ),
            (
                dir("in", "read"),
                &[],
                Role::Source,
                Some(&signed),
                &["dir-read"],
            ),
            (
                dir("out", "write"),
                &[],
                Role::Source,
                Some(&signed),
                &["dir-write"],
            ),
            (
                dir("/etc", "read"),
                &[],
                Role::Source,
                Some(&signed),
                &["dir-outside", "dir-read"],
            ),
            (
                dir("a/../..", "read"),
                &[],
                Role::Source,
                Some(&signed),
                &["dir-outside", "dir-read"],
            ),
            (
                secret("bearer"),
                &[],
                Role::Source,
                Some(&signed),
                &["secret-attached"],
            ),
            (
                secret("query:key"),
                &[],
                Role::Source,
                Some(&signed),
                &["secret-query"],
            ),
            (
                "[data]\nreads = [\"a\"]\n".to_owned(),
                &[],
                Role::Sink,
                Some(&signed),
                &["data-named"],
            ),
            (
                "[data]\nreads = [\"*\"]\nwrites = [\"*\"]\n".to_owned(),
                &[],
                Role::Sink,
                Some(&signed),
                &["data-reads-all", "data-writes-all"],
            ),
            (
                "[limits]\nmemory = \"65MiB\"\n".to_owned(),
                &[],
                Role::Sink,
                Some(&signed),
                &["limits-raised"],
            ),
            (
                "[limits]\nmemory = \"64MiB\"\n".to_owned(),
                &[],
                Role::Sink,
                Some(&signed),
                &[],
            ),
        ] {
            let mut found = found(&rest, imports, &[roles], made_by);
            assert_eq!(
                found.pop_if(|id| *id == "no-dependencies").or_else(|| {
                    let at = found.iter().position(|id| *id == "no-dependencies")?;
                    Some(found.remove(at))
                }),
                Some("no-dependencies")
            );
            found.sort_unstable();
            assert_eq!(found, expected, "{rest} {imports:?}");
            seen.extend(found);
        }
        seen.insert("no-dependencies");
        let all: std::collections::BTreeSet<&str> = RULES.iter().map(|rule| rule.id).collect();
        assert_eq!(seen, all);
    }

    /// The page of the scale says the same, rule for rule.
    #[test]
    fn the_docs_have_the_scale() {
        let page = include_str!("../../../docs/inspecting.md");
        let level = |level: Level| format!("{level:?}").to_lowercase();
        let table: Vec<String> = RULES
            .iter()
            .map(|rule| {
                format!(
                    "| `{}` | {} | {} | {} |\n",
                    rule.id,
                    level(rule.level),
                    rule.title,
                    rule.why
                )
            })
            .collect();
        let table = table.concat();
        assert!(page.contains(&table), "docs/inspecting.md needs:\n{table}");
    }
}
