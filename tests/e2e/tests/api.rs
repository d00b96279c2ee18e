//! Records to an HTTP API and back from it, through a real server: what arrives, what is refused, what is tried again,
//! and where the token goes and where it never does.

use serde_json::{Value, json};
use sluice_e2e::TestHost;
use sluice_upstream::{Auth, Authorization, Options, Upstream};
use std::collections::HashSet;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const TOKEN: &str = "t0p-s3cret-token-5f1c9a";
const RECORDS: u64 = 400;
/// One record in so many is refused by the server.
const REFUSED_EVERY: u64 = 100;

fn movie(rank: u64) -> Value {
    json!({ "rank": rank, "title": format!("Movie {rank}"), "score": rank as f64 / 4.0, "seen": rank.is_multiple_of(2) })
}

fn server(options: Options) -> Upstream {
    let auth = Auth::Bearer(TOKEN.to_owned());
    Upstream::start(Options { auth, ..options }).expect("a server")
}

/// A deployment with movies in a folder, and a pipeline that sends them.
fn sender(server: &Upstream, records: u64, config: &str) -> TestHost {
    let host = TestHost::new();
    let lines: Vec<String> = (1..=records)
        .map(|rank| movie(rank).to_string() + "\n")
        .collect();
    host.write("in/movies.ndjson", lines.concat());
    host.secret("api", TOKEN);
    host.write(
        "push.toml",
        format!(
            "[pipeline]\nname = \"push\"\n\n\
             [source]\nplugin = \"sluice/files@0.1\"\nconfig = {{ dir = \"in\", format = \"ndjson\", stream = \"movies\" }}\n\n\
             [[sink]]\nplugin = \"sluice/http@0.1\"\nsecrets = {{ token = \"api\" }}\n\
             config = {{ url = \"{}\", path = \"/v1/movies\", error = \"/error\"{config} }}\n\n\
             [delivery]\nretry = {{ for = \"30s\", max_delay = \"200ms\" }}\n",
            server.address()
        ),
    );
    host.grant_local("push.toml");
    host
}

/// Adds a pipeline that reads them back into `out`.
fn reader(host: &TestHost, server: &Upstream, stream: &str) {
    host.secret("api", TOKEN);
    host.write(
        "pull.toml",
        format!(
            "[pipeline]\nname = \"pull\"\n\n\
             [source]\nplugin = \"sluice/rest@0.1\"\nsecrets = {{ token = \"api\" }}\n\n\
             [source.config]\nbase_url = \"{}\"\n\n\
             [[source.config.streams]]\nname = \"movies\"\npath = \"/v1/movies\"\nrecords = \"/data\"\n{stream}\n\
             [[sink]]\nplugin = \"sluice/files@0.1\"\nconfig = {{ dir = \"out\", format = \"ndjson\" }}\n\n\
             [delivery]\nretry = {{ for = \"30s\", max_delay = \"200ms\" }}\n",
            server.address()
        ),
    );
    host.grant_local("pull.toml");
}

const BY_CURSOR: &str = "pagination = { style = \"cursor\", cursor_pointer = \"/next_cursor\", size_param = \"limit\", size = 50 }\n";

fn ranks(records: &[Value]) -> Vec<u64> {
    let mut ranks: Vec<u64> = records
        .iter()
        .map(|record| record["rank"].as_u64().expect("a rank"))
        .collect();
    ranks.sort_unstable();
    ranks
}

/// No file of the deployment but the secret itself holds the token.
fn without_token(folder: &Path) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            if !path.ends_with("secrets") && !path.is_symlink() {
                without_token(&path);
            }
        } else {
            let bytes = std::fs::read(&path).expect("a file");
            let found = bytes
                .windows(TOKEN.len())
                .any(|window| window == TOKEN.as_bytes());
            assert!(!found, "{} holds the token", path.display());
        }
    }
}

#[test]
fn records_arrive_and_come_back_and_the_token_stays_where_it_is() {
    let refuse = |record: &Value| {
        let rank = record["rank"].as_u64()?;
        rank.is_multiple_of(REFUSED_EVERY)
            .then(|| "this rank is taken".to_owned())
    };
    let server = server(Options {
        refuse: Some(Arc::new(refuse)),
        ..Options::default()
    });
    let host = sender(&server, RECORDS, "");
    reader(&host, &server, BY_CURSOR);
    let mut said = String::new();
    for command in [
        ["check", "push.toml", "-vv"].as_slice(),
        &["run", "push.toml", "-vv"],
        &["run", "pull.toml", "-vvv"],
        &["dlq", "export", "push.toml"],
        &["dlq", "show", "push.toml", "1"],
        &["checkpoint", "list", "pull.toml"],
        &["checkpoint", "show", "pull.toml", "movies"],
    ] {
        let answer = host.sluice(command).done();
        said += &answer.out;
        said += &answer.err;
    }
    assert!(!said.contains(TOKEN), "the token was printed");
    without_token(&host.path(""));

    let good: Vec<Value> = (1..=RECORDS)
        .filter(|rank| !rank.is_multiple_of(REFUSED_EVERY))
        .map(movie)
        .collect();
    assert_eq!(ranks(&server.collection("movies")), ranks(&good));
    let mut back = host.records("out");
    for record in &mut back {
        // The server gave each an id of its own.
        record.as_object_mut().expect("an object").remove("id");
    }
    back.sort_by_key(|record| record["rank"].as_u64());
    assert_eq!(back, good);

    let letters = host.dead_letters("push.toml");
    assert_eq!(letters.len() as u64, RECORDS / REFUSED_EVERY);
    for letter in &letters {
        let rejection = &letter["rejection"];
        assert_eq!(rejection["code"], "http-422", "{letter}");
        assert_eq!(
            rejection["message"], "the server answered 422: this rank is taken",
            "{letter}"
        );
    }
    let seen = server.seen();
    let api: Vec<_> = seen
        .iter()
        .filter(|request| request.path.starts_with("/v1/"))
        .collect();
    assert!(api.len() as u64 > RECORDS);
    let bearer = format!("Bearer {TOKEN}");
    for request in &api {
        assert_eq!(request.header("authorization"), Some(bearer.as_str()));
    }
    let keys: HashSet<_> = api
        .iter()
        .filter(|request| request.method == "POST")
        .map(|request| request.header("idempotency-key").expect("a key"))
        .collect();
    assert_eq!(
        keys.len() as u64,
        RECORDS,
        "each record has a key of its own"
    );

    let before = server.requests();
    assert_eq!(host.run("push.toml")["read"], 0);
    assert_eq!(server.collection("movies").len(), good.len());
    assert_eq!(host.run("pull.toml")["read"], 0);
    assert!(server.requests() - before < 5, "hardly anything was asked");
}

#[test]
fn what_fails_is_tried_again_and_nothing_is_doubled() {
    for config in ["", ", mode = \"batch\", batch_size = 50, results = \"\""] {
        let server = server(Options::default());
        let host = sender(&server, RECORDS, config);
        server.fail_next(1, 429, &[("retry-after", "1")]);
        server.fail_next(2, 500, &[]);
        server.lose_next(2, 502);
        server.fail_next(1, 503, &[]);
        let began = Instant::now();
        let report = host.run("push.toml");
        assert!(
            began.elapsed() >= Duration::from_secs(1),
            "the server asked for a second"
        );
        assert_eq!(
            (report["written"].as_u64(), report["dead_lettered"].as_u64()),
            (Some(RECORDS), Some(0))
        );
        assert_eq!(report["guarantee"], "effectively-once");
        assert_eq!(
            ranks(&server.collection("movies")),
            (1..=RECORDS).collect::<Vec<_>>()
        );
        assert!(
            server.counts().repeated > 0,
            "an answer that got lost makes a repetition"
        );
    }
}

#[test]
fn a_server_that_stays_away_stops_the_run_and_the_place_is_held() {
    let server = server(Options::default());
    let host = sender(&server, RECORDS, "");
    host.edit("push.toml", "for = \"30s\"", "for = \"500ms\"");
    server.fail_next(10_000, 503, &[]);
    let answer = host.sluice(&["run", "push.toml", "--json"]);
    assert_eq!(answer.code, Some(1), "{answer:#?}");
    let report = answer.json();
    sluice_e2e::balanced(&report);
    assert_eq!(
        (report["ending"].as_str(), report["written"].as_u64()),
        (Some("stopped"), Some(0)),
        "{report}"
    );
    let message = report["splits"][0]["fault"]["message"]
        .as_str()
        .expect("a fault");
    assert!(message.contains("503"), "{message}");
    assert!(server.collection("movies").is_empty());
}

#[test]
fn a_credential_that_is_refused_stops_the_run_and_holds_the_place() {
    let server = server(Options::default());
    let host = sender(&server, 40, "");
    host.secret("api", "an-old-token");
    let answer = host.sluice(&["run", "push.toml"]);
    assert_eq!(answer.code, Some(1), "{answer:#?}");
    let told = format!("{}{}", answer.out, answer.err);
    assert!(
        told.contains("unauthorized") && told.contains("401"),
        "{told}"
    );
    assert!(!told.contains("an-old-token"), "{told}");
    assert!(server.collection("movies").is_empty());
    assert!(host.dead_letters("push.toml").is_empty());

    host.secret("api", TOKEN);
    assert_eq!(host.run("push.toml")["written"], 40);
    assert_eq!(server.collection("movies").len(), 40);
}

#[test]
fn a_redirect_is_not_followed() {
    let elsewhere = server(Options::default());
    let server = server(Options {
        seed: vec![("movies".to_owned(), vec![movie(1)])],
        ..Options::default()
    });
    let host = sender(&server, 5, "");
    let location = format!("{}/v1/movies", elsewhere.address());
    server.fail_next(100, 307, &[("location", &location)]);
    let answer = host.sluice(&["run", "push.toml"]);
    assert_eq!(answer.code, Some(1), "{answer:#?}");
    let told = format!("{}{}", answer.out, answer.err);
    assert!(told.contains("307"), "{told}");
    reader(&host, &server, BY_CURSOR);
    let answer = host.sluice(&["run", "pull.toml"]);
    assert_eq!(answer.code, Some(1), "{answer:#?}");
    assert_eq!(elsewhere.requests(), 0);
}

#[test]
fn every_kind_of_page_is_turned() {
    let seed: Vec<Value> = (1..=95).map(movie).collect();
    let server = server(Options {
        seed: vec![("movies".to_owned(), seed)],
        page_max: 10,
        ..Options::default()
    });
    for stream in [
        "pagination = { style = \"page\", size_param = \"per_page\", size = 10 }\n",
        "pagination = { style = \"page\", size_param = \"per_page\", size = 10, short_page_ends = true }\n",
        "pagination = { style = \"offset\", size = 10 }\n",
        BY_CURSOR,
        "query = { style = \"link\" }\npagination = { style = \"link\", size_param = \"per_page\", size = 10 }\n",
    ] {
        let host = TestHost::new();
        reader(&host, &server, stream);
        if stream.contains("link") {
            host.edit("pull.toml", "records = \"/data\"\n", "");
        }
        let report = host.run("pull.toml");
        assert_eq!(report["written"], 95, "{stream}");
        assert_eq!(
            ranks(&host.records("out")),
            (1..=95).collect::<Vec<_>>(),
            "{stream}"
        );
    }
}

#[test]
fn a_page_that_fails_is_read_again() {
    let seed: Vec<Value> = (1..=95).map(movie).collect();
    let server = server(Options {
        seed: vec![("movies".to_owned(), seed)],
        page_max: 10,
        ..Options::default()
    });
    let host = TestHost::new();
    reader(&host, &server, BY_CURSOR);
    host.edit("pull.toml", "[[sink]]", "[schema.movies]\nfields = { rank = \"int64\", title = \"text\", score = \"float64\", seen = \"boolean\", id = \"text\" }\n\n[[sink]]");
    server.delay_next(1, Duration::from_millis(50));
    server.fail_next(1, 429, &[("retry-after", "0")]);
    server.lose_next(2, 500);
    assert_eq!(host.run("pull.toml")["written"], 95);
    assert_eq!(ranks(&host.records("out")), (1..=95).collect::<Vec<_>>());
}

/// Adds a record as any other client of the server would.
fn post(server: &Upstream, record: &Value) {
    let body = record.to_string();
    let mut stream =
        std::net::TcpStream::connect(("127.0.0.1", server.port())).expect("it listens");
    write!(
        stream,
        "POST /v1/movies HTTP/1.1\r\nhost: here\r\nauthorization: Bearer {TOKEN}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
    .expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
}

#[test]
fn a_later_run_finds_what_is_new_and_nothing_else() {
    let at = |rank: u64, day: u64| {
        let mut movie = movie(rank);
        movie["updated_at"] = json!(format!("2026-01-{day:02}T00:00:00Z"));
        movie
    };
    let server = server(Options {
        seed: vec![(
            "movies".to_owned(),
            (1..=20).map(|rank| at(rank, rank)).collect(),
        )],
        ..Options::default()
    });
    let host = TestHost::new();
    reader(
        &host,
        &server,
        &format!(
            "incremental = {{ param = \"updated_since\", field = \"updated_at\" }}\n{BY_CURSOR}"
        ),
    );
    assert_eq!(host.run("pull.toml")["written"], 20);
    assert_eq!(host.run("pull.toml")["read"], 0);
    // One more of the last day that was seen, one of an earlier day, which nobody asks for, and one of a later.
    post(&server, &at(21, 20));
    post(&server, &at(22, 3));
    post(&server, &at(23, 25));
    assert_eq!(host.run("pull.toml")["written"], 2);
    assert_eq!(host.run("pull.toml")["read"], 0);
    let expected: Vec<u64> = (1..=23).filter(|rank| *rank != 22).collect();
    assert_eq!(ranks(&host.records("out")), expected);
}

#[test]
fn this_machine_is_not_to_be_reached_unless_a_grant_says_so() {
    let server = server(Options::default());
    let host = sender(&server, 5, "");
    for entry in std::fs::read_dir(host.path("grants")).expect("grants") {
        let path = entry.expect("an entry").path();
        if path.is_file() {
            std::fs::remove_file(path).expect("a grant");
        }
    }
    host.grant("push.toml");
    let answer = host.sluice(&["run", "push.toml"]);
    assert_eq!(answer.code, Some(1), "{answer:#?}");
    assert_eq!(server.requests(), 0);
    insta::assert_snapshot!(
        host.seen(&answer)
            .replace(&server.port().to_string(), "PORT")
    );
}

/// One plugin, and whichever way in a pipeline names.
#[test]
fn a_pipeline_chooses_among_the_ways_in() {
    let basic = Auth::Basic {
        user: "reader".to_owned(),
        password: TOKEN.to_owned(),
    };
    let key = Auth::Header {
        name: "x-api-key".to_owned(),
        value: TOKEN.to_owned(),
    };
    for (word, auth, value) in [
        ("login", basic, format!("reader:{TOKEN}")),
        ("key", key, TOKEN.to_owned()),
    ] {
        let server = Upstream::start(Options {
            auth,
            seed: vec![("movies".to_owned(), (1..=3).map(movie).collect())],
            ..Options::default()
        })
        .expect("a server");
        let host = TestHost::new();
        reader(&host, &server, BY_CURSOR);
        host.secret("api", &value);
        host.edit("pull.toml", "{ token = ", &format!("{{ {word} = "));
        std::fs::remove_file(host.path("grants/pull.sluice-rest.toml")).expect("a grant");
        host.grant_local("pull.toml");
        assert_eq!(host.run("pull.toml")["written"], 3, "{word}");

        // Two at once are none.
        host.edit(
            "pull.toml",
            &format!("{word} = \"api\""),
            &format!("{word} = \"api\", token = \"api\""),
        );
        let answer = host.sluice(&["check", "pull.toml"]);
        assert_eq!(answer.code, Some(2), "{answer:#?}");
        assert!(
            answer.err.contains("a request carries one of them"),
            "{answer:#?}"
        );
    }
}

/// Our own plugin, and a real authorization server whose token its API takes.
#[test]
fn a_client_is_traded_for_a_token_of_a_real_authorization_server() {
    let server = Authorization::start();
    let host = TestHost::new();
    let url = format!("http://127.0.0.1:{}", server.port);
    host.secret(
        "crm",
        "client_id = \"machine\"\nclient_secret = \"made-up-client-secret-0123\"\n",
    );
    host.write(
        "who.toml",
        format!(
            "[pipeline]\nname = \"who\"\n\n\
             [source]\nplugin = \"sluice/rest@0.1\"\nsecrets = {{ client = \"crm\" }}\n\n\
             [source.config]\nbase_url = \"{url}\"\n\n\
             [[source.config.streams]]\nname = \"who\"\npath = \"/v2/whoami\"\n\n\
             [[sink]]\nplugin = \"sluice/files@0.1\"\nconfig = {{ dir = \"out\", format = \"ndjson\" }}\n"
        ),
    );
    host.grant_local("who.toml");
    // Where a secret is traded is for whoever grants it to say, and nothing runs before.
    let answer = host.sluice(&["run", "who.toml"]);
    assert_eq!(answer.code, Some(2), "{answer:#?}");
    assert!(answer.err.contains("token_url"), "{answer:#?}");
    host.edit(
        "grants/who.sluice-rest.toml",
        "use = \"oauth2\"\n",
        &format!("use = \"oauth2\"\ntoken_url = \"{url}/token\"\nscopes = [\"contacts.read\"]\n"),
    );
    assert_eq!(host.run("who.toml")["written"], 1);
    assert_eq!(
        host.records("out"),
        [json!({ "client": "machine", "scope": "contacts.read" })]
    );
}
