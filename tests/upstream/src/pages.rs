//! Cutting a collection into pages, in the styles that APIs have. A pure function of the records and the query.

use serde_json::{Value, json};

/// Where the next page is told.
#[derive(Debug, PartialEq)]
pub(crate) struct Page {
    pub(crate) body: Value,
    /// The query of the next page, where the style tells it in a `Link` header.
    pub(crate) next: Option<String>,
}

/// The query as pairs, in order.
pub(crate) type Query = [(String, String)];

fn text<'a>(query: &'a Query, name: &str) -> Option<&'a str> {
    query
        .iter()
        .find(|(own, _)| own == name)
        .map(|(_, value)| value.as_str())
}

fn number(query: &Query, name: &str) -> Result<Option<usize>, String> {
    let Some(text) = text(query, name) else {
        return Ok(None);
    };
    text.parse()
        .map(Some)
        .map_err(|_| format!("`{name}` is not a number"))
}

/// The page that the query asks for, or why it asks for nothing that could be.
pub(crate) fn page(
    mut records: Vec<Value>,
    query: &Query,
    updated_field: &str,
    page_max: usize,
) -> Result<Page, String> {
    if let Some(since) = text(query, "updated_since") {
        records = updated_since(records, updated_field, since);
    }
    let total = records.len();
    let size = |name| number(query, name).map(|size| size.unwrap_or(page_max).clamp(1, page_max));
    let number_of_page = || Ok::<_, String>(number(query, "page")?.unwrap_or(1).max(1));

    if text(query, "style") == Some("link") {
        let (page, size) = (number_of_page()?, size("per_page")?);
        let data = cut(records, (page - 1).saturating_mul(size), size);
        let more = page.saturating_mul(size) < total;
        let next = more.then(|| with_page(query, page + 1));
        return Ok(Page {
            body: Value::Array(data),
            next,
        });
    }
    let body = if text(query, "page").is_some() {
        let (page, size) = (number_of_page()?, size("per_page")?);
        json!({ "data": cut(records, (page - 1).saturating_mul(size), size), "page": page, "total": total })
    } else if let Some(offset) = number(query, "offset")? {
        json!({ "data": cut(records, offset, size("limit")?), "offset": offset, "total": total })
    } else {
        let (start, size) = (text(query, "cursor").map_or(Ok(0), place)?, size("limit")?);
        let end = start.saturating_add(size);
        let next = (end < total).then(|| token(end));
        json!({ "data": cut(records, start, size), "next_cursor": next })
    };
    Ok(Page { body, next: None })
}

fn cut(records: Vec<Value>, start: usize, size: usize) -> Vec<Value> {
    records.into_iter().skip(start).take(size).collect()
}

fn with_page(query: &Query, page: usize) -> String {
    let rest = query.iter().filter(|(name, _)| name != "page");
    let pairs = rest.map(|(name, value)| format!("{}={}", escape(name), escape(value)));
    pairs
        .chain([format!("page={page}")])
        .collect::<Vec<_>>()
        .join("&")
}

/// RFC 3986: everything but the unreserved characters.
fn escape(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

/// A cursor that says nothing to whoever reads it, as those of real systems do.
fn token(place: usize) -> String {
    format!("c{:x}", place as u64 ^ CURSOR_MASK)
}

const CURSOR_MASK: u64 = 0x5aa5_c33c_0ff0_9669;

fn place(token: &str) -> Result<usize, String> {
    let hex = token
        .strip_prefix('c')
        .ok_or("`cursor` is not one of ours")?;
    let place =
        u64::from_str_radix(hex, 16).map_err(|_| "`cursor` is not one of ours")? ^ CURSOR_MASK;
    usize::try_from(place).map_err(|_| "`cursor` is not one of ours".to_owned())
}

/// Records whose field is `since` or later, in its order: an API that left out the equal ones would lose what was
/// written in the same second.
fn updated_since(records: Vec<Value>, field: &str, since: &str) -> Vec<Value> {
    let since = since
        .parse::<f64>()
        .map_or_else(|_| json!(since), |number| json!(number));
    let mut kept: Vec<_> = records
        .into_iter()
        .filter(|record| at_or_after(&record[field], &since))
        .collect();
    kept.sort_by(|one, other| order(&one[field], &other[field]));
    kept
}

fn at_or_after(value: &Value, since: &Value) -> bool {
    value.is_number() == since.is_number() && !value.is_null() && order(value, since).is_ge()
}

fn order(one: &Value, other: &Value) -> std::cmp::Ordering {
    match (one.as_f64(), other.as_f64()) {
        (Some(one), Some(other)) => one.total_cmp(&other),
        _ => one.as_str().cmp(&other.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(query: &str) -> Vec<(String, String)> {
        let pair = |pair: &str| {
            pair.split_once('=')
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
        };
        query.split('&').filter_map(pair).collect()
    }

    fn ask(query: &str) -> Result<Page, String> {
        let records = (1..=5)
            .map(|n| json!({ "n": n, "at": format!("2026-0{}-01", 6 - n) }))
            .collect();
        page(
            records,
            &pairs(query),
            if query.contains("2026") { "at" } else { "n" },
            4,
        )
    }

    #[test]
    fn every_style_gives_each_record_once() {
        let numbers = |body: &Value| -> Vec<i64> {
            let list = body
                .get("data")
                .unwrap_or(body)
                .as_array()
                .expect("an array");
            list.iter()
                .map(|record| record["n"].as_i64().expect("a number"))
                .collect()
        };
        let check = |query: &str, expected: &[i64]| {
            assert_eq!(numbers(&ask(query).expect(query).body), expected, "{query}");
        };
        check("", &[1, 2, 3, 4]);
        check("page=1&per_page=2", &[1, 2]);
        check("page=3&per_page=2", &[5]);
        check("page=4&per_page=2", &[]);
        check("offset=3&limit=2", &[4, 5]);
        check("offset=0&limit=99", &[1, 2, 3, 4]);
        check("limit=3", &[1, 2, 3]);
        check("style=link&per_page=2", &[1, 2]);
        check("style=link&per_page=2&page=3", &[5]);
        check("updated_since=4", &[4, 5]);
        check("updated_since=2026-03-01", &[3, 2, 1]);
        check("updated_since=2027-01-01", &[]);
    }

    #[test]
    fn a_cursor_leads_to_the_end() {
        let first = ask("limit=3").expect("a page");
        let cursor = first.body["next_cursor"].as_str().expect("more").to_owned();
        let last = ask(&format!("limit=3&cursor={cursor}")).expect("a page");
        assert_eq!(last.body["data"].as_array().map(Vec::len), Some(2));
        assert_eq!(last.body["next_cursor"], Value::Null);
        assert!(ask("limit=4").expect("a page").body["next_cursor"].is_string());
    }

    #[test]
    fn a_link_keeps_the_rest_of_the_query() {
        let page = ask("style=link&per_page=2&q=a b&page=1").expect("a page");
        assert_eq!(
            page.next.as_deref(),
            Some("style=link&per_page=2&q=a%20b&page=2")
        );
        assert_eq!(
            ask("style=link&per_page=2&page=3").expect("a page").next,
            None
        );
    }

    #[test]
    fn nonsense_is_refused() {
        for query in [
            "page=x",
            "offset=-1",
            "limit=1.5",
            "cursor=7",
            "cursor=czz",
            "style=link&per_page=x",
        ] {
            assert!(ask(query).is_err(), "{query}");
        }
    }
}
