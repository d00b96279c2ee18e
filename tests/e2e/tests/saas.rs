//! `sluice/rest` against three well-known APIs, with the pipelines of `plugins/rest/examples` as they stand, but for
//! where the server is: Stripe's as `localstripe` serves it, GitHub's by its published behaviour with Prism and GitHub's
//! own document in front, Salesforce's by its published behaviour and with a real authorization server.

use serde_json::{Value, json};
use sluice_e2e::{TestHost, lines, parts};
use sluice_upstream::{Asked, Authorization, GitHub, Neighbour, Salesforce};
use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

const TOKEN: &str = "sk_test_made_up_5f1c9a";
const ISSUES: &str = "/repos/{owner}/{repo}/issues";

/// A deployment with one of the examples, whose server is at this address and whose secret is this.
fn example(name: &str, server: (&str, &str), secret: (&str, &str)) -> TestHost {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/rest/examples");
    let host = TestHost::new();
    let text = std::fs::read_to_string(folder.join(name)).expect("an example");
    host.write(name, text);
    let line = |url: &str| format!("base_url = \"{url}\"");
    host.edit(name, &line(server.0), &line(server.1));
    std::fs::create_dir(host.path("out")).expect("a folder");
    host.secret(secret.0, secret.1);
    host.grant_local(name);
    host
}

/// What a field of a stream's delivered records says, in order; once for each record.
fn delivered(host: &TestHost, stream: &str, field: &str) -> Vec<String> {
    let mut found: Vec<String> = parts(&host.path(&format!("out/{stream}")))
        .iter()
        .flat_map(|part| lines(&std::fs::read_to_string(part).expect("a part")))
        .map(|record| match &record[field] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        })
        .collect();
    found.sort();
    found
}

/// One request over a connection of its own: the status and the body.
fn ask(port: u16, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    (status.expect("a status"), body.to_owned())
}

/// Posts a form to `localstripe`, and gives the id of what it made or changed.
fn post(server: &Neighbour, path: &str, form: &str) -> String {
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: here\r\nauthorization: Bearer {TOKEN}\r\nconnection: close\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{form}",
        form.len()
    );
    let (status, body) = ask(server.port, &request);
    assert_eq!(status, 200, "{body}");
    let made: Value = serde_json::from_str(&body).expect("json");
    made["id"].as_str().expect("an id").to_owned()
}

#[test]
fn customers_of_stripe_are_read_once_and_then_what_happens_to_them() {
    let server = Neighbour::localstripe();
    let customer = |number: u32| {
        let form = format!("email=c{number}%40acme.example&description=Customer+{number}");
        post(&server, "/v1/customers", &form)
    };
    let first: BTreeSet<String> = (0..250).map(customer).collect();
    let place = ("https://api.stripe.com", &*server.address());
    let host = example("stripe.toml", place, ("stripe-restricted-key", TOKEN));

    assert_eq!(host.run("stripe.toml")["written"], 500);
    let read = delivered(&host, "customers", "id");
    assert!(read.iter().eq(first.iter()), "each of them once");
    assert_eq!(
        delivered(&host, "events", "type"),
        ["customer.created"; 250]
    );

    assert_eq!(host.run("stripe.toml")["written"], 0);
    let more: Vec<String> = (250..257).map(customer).collect();
    post(
        &server,
        &format!("/v1/customers/{}", more[0]),
        "description=Renamed",
    );
    assert_eq!(host.run("stripe.toml")["written"], 8);
    let kinds = delivered(&host, "events", "type");
    let updates = kinds.iter().filter(|kind| *kind == "customer.updated");
    assert_eq!((kinds.len(), updates.count()), (258, 1));
    let events: BTreeSet<String> = delivered(&host, "events", "id").into_iter().collect();
    assert_eq!(events.len(), kinds.len(), "each of them once");

    host.secret("stripe-restricted-key", "not-a-key");
    let answer = host.sluice(&["run", "stripe.toml"]);
    assert!(answer.err.contains("unauthorized"), "{answer:#?}");
    assert!(!answer.err.contains("not-a-key"), "{answer:#?}");
}

/// An issue as GitHub's own document has one.
static EXAMPLE: LazyLock<Value> = LazyLock::new(|| {
    let folder = std::env::var("SLUICE_PRISM").expect(
        "SLUICE_PRISM is not set: run `cargo x test`, which installs what these tests need",
    );
    let file = "node_modules/@octokit/openapi/generated/api.github.com.json";
    let text = std::fs::read(Path::new(&folder).join(file)).expect("GitHub's document");
    let document: Value = serde_json::from_slice(&text).expect("json");
    document["components"]["examples"]["issue-items"]["value"][0].clone()
});

/// One with this number, last changed so many minutes into a day.
fn issue(number: u64, minute: u64) -> Value {
    let mut issue = EXAMPLE.clone();
    issue["id"] = json!(1_000_000 + number);
    issue["number"] = json!(number);
    issue["title"] = json!(format!("Issue {number}"));
    issue["state"] = json!(if number.is_multiple_of(3) {
        "closed"
    } else {
        "open"
    });
    issue["created_at"] = json!("2026-01-01T00:00:00Z");
    issue["updated_at"] = json!(format!(
        "2026-01-02T{:02}:{:02}:00Z",
        minute / 60,
        minute % 60
    ));
    issue
}

/// GitHub with so many issues, Prism in front of it, and the example's deployment.
fn github(issues: u64) -> (GitHub, Neighbour, TestHost) {
    let server = GitHub::start(TOKEN).expect("a server");
    (1..=issues).for_each(|number| server.put(issue(number, number)));
    let prism = Neighbour::prism(&server.address(), &[ISSUES]);
    server.stands_at(&prism.address());
    let place = ("https://api.github.com", &*prism.address());
    let host = example("github.toml", place, ("github-token", TOKEN));
    (server, prism, host)
}

fn statuses(asked: &[Asked]) -> Vec<u16> {
    asked.iter().map(|asked| asked.status).collect()
}

#[test]
fn issues_of_github_are_read_in_pages_and_then_those_that_changed() {
    let (server, prism, host) = github(250);
    assert_eq!(host.run("github.toml")["written"], 250);
    let numbers: BTreeSet<String> = delivered(&host, "issues", "number").into_iter().collect();
    assert_eq!(
        (numbers.len(), delivered(&host, "issues", "number").len()),
        (250, 250)
    );
    // The first is that of the check.
    let asked = server.asked();
    assert_eq!(statuses(&asked), [200; 4]);
    assert!(
        asked
            .iter()
            .all(|asked| asked.query.contains("per_page=100")),
        "{asked:?}"
    );

    // Nothing is new: a page of the latest alone, and then not even that.
    assert_eq!(host.run("github.toml")["written"], 0);
    assert_eq!(host.run("github.toml")["written"], 0);
    let asked = server.asked();
    let conditional: Vec<u16> = asked
        .iter()
        .filter(|asked| asked.known.is_some())
        .map(|asked| asked.status)
        .collect();
    assert_eq!(conditional, [304], "{asked:?}");

    // The latest is changed in the same minute, an older one is, and one is opened.
    let mut latest = issue(250, 250);
    latest["title"] = json!("Again");
    for issue in [latest, issue(7, 260), issue(251, 261)] {
        server.put(issue);
    }
    assert_eq!(host.run("github.toml")["written"], 3);
    let numbers = delivered(&host, "issues", "number");
    let times = |number: &str| numbers.iter().filter(|own| *own == number).count();
    assert_eq!(
        (numbers.len(), times("7"), times("250"), times("251")),
        (253, 2, 2, 1)
    );

    // The document is held: neither a request nor an answer that breaks it gets through, and both would be seen.
    let get = |query: &str| {
        let request = format!(
            "GET /repos/o/r/issues?{query} HTTP/1.1\r\nhost: here\r\nuser-agent: test\r\nauthorization: Bearer {TOKEN}\r\nconnection: close\r\n\r\n"
        );
        ask(prism.port, &request).0
    };
    assert_eq!((get("state=all"), get("state=each")), (200, 422));
    let mut broken = issue(252, 262);
    broken["number"] = json!("252");
    server.put(broken);
    assert_eq!(get("state=all"), 500);
}

#[test]
fn limits_of_github_are_waited_for() {
    let (server, _prism, host) = github(250);
    // Two pages, and then none for a while; and it is asked to slow down once.
    server.limit(2, Duration::from_secs(3));
    server.slow_down(1);
    let began = Instant::now();
    let report = host.run("github.toml");
    assert_eq!(report["written"], 250, "{report}");
    assert!(
        began.elapsed() >= Duration::from_secs(3),
        "it waits until the limit is over"
    );
    let numbers: BTreeSet<String> = delivered(&host, "issues", "number").into_iter().collect();
    assert_eq!(
        (numbers.len(), delivered(&host, "issues", "number").len()),
        (250, 250)
    );
    let statuses = statuses(&server.asked());
    let refused = statuses.iter().filter(|status| **status == 403).count();
    assert!(
        (2..=4).contains(&refused) && statuses.len() == refused + 4,
        "{statuses:?}"
    );
}

fn contact(number: u64, second: u64) -> Value {
    json!({
        "Id": format!("003{number:015}"),
        "FirstName": "Ada",
        "LastName": format!("Contact {number}"),
        "Email": number.is_multiple_of(2).then(|| format!("c{number}@acme.example")),
        "SystemModstamp": format!("2026-03-01T{:02}:{:02}:{:02}.000+0000", second / 3600, second / 60 % 60, second % 60),
        "Phone": "not asked for",
    })
}

#[test]
fn contacts_of_salesforce_are_read_with_tokens_that_the_host_gets() {
    let mut authority = Authorization::start();
    let server = Salesforce::start(authority.port).expect("a server");
    (1..=4_500).for_each(|number| server.put(contact(number, number)));
    let client = "client_id = \"machine\"\nclient_secret = \"made-up-client-secret-0123\"\n";
    let place = ("https://acme.my.salesforce.com", &*server.address());
    let host = example("salesforce.toml", place, ("salesforce-client", client));
    let token = format!("token_url = \"http://127.0.0.1:{}/token\"", authority.port);
    host.edit(
        "grants/salesforce.sluice-rest.toml",
        "use = \"oauth2\"\n",
        &format!("use = \"oauth2\"\n{token}\nscopes = [\"contacts.read\"]\n"),
    );

    assert_eq!(host.run("salesforce.toml")["written"], 4_500);
    let ids: BTreeSet<String> = delivered(&host, "contacts", "Id").into_iter().collect();
    assert_eq!(
        (ids.len(), delivered(&host, "contacts", "Id").len()),
        (4_500, 4_500)
    );
    let asked = server.asked();
    let locators = asked
        .iter()
        .filter(|asked| asked.starts_with("01g"))
        .count();
    assert_eq!(locators, 2, "{asked:?}");

    authority.forget();
    server.put(contact(4_500, 4_500));
    for (number, second) in [(3, 5_000), (4_501, 4_500), (4_502, 5_001)] {
        server.put(contact(number, second));
    }
    assert_eq!(host.run("salesforce.toml")["written"], 3);
    let asked = server.asked();
    let since = "SystemModstamp >= 2026-03-01T01:15:00.000+0000 ORDER BY";
    // The first is that of the check, which knows no place.
    assert!(asked.len() == 2 && asked[1].contains(since), "{asked:?}");
}
