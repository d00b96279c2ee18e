//! What AWS publishes: its Signature Version 4 test suite (`aws-sig-v4-test-suite`, cases by name), and the examples of
//! the S3 API reference, "Signature Calculations for the Authorization Header". The keys are those of the examples.
//!
//! Of the suite, cases whose path is not written as it is sent are left out: what a plugin sends is encoded already.

use super::*;
use chrono::TimeZone as _;
use http::Method;
use sluice_model::secret::Secret;

const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

struct Case {
    name: &'static str,
    service: &'static str,
    method: Method,
    path: &'static str,
    query: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
    signed: &'static str,
    signature: &'static str,
}

const GET: Case = Case {
    name: "get-vanilla",
    service: "service",
    method: Method::GET,
    path: "/",
    query: "",
    headers: &[],
    body: "",
    signed: "host;x-amz-date",
    signature: "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
};

const S3: Case = Case {
    name: "GET Object",
    service: "s3",
    method: Method::GET,
    path: "/test.txt",
    headers: &[("range", "bytes=0-9")],
    signed: "host;range;x-amz-content-sha256;x-amz-date",
    signature: "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    ..GET
};

fn sign_it(case: &Case) -> Head {
    let is_s3 = case.service == "s3";
    let (host, secret, id, now) = if is_s3 {
        (
            "examplebucket.s3.amazonaws.com",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            "AKIAIOSFODNN7EXAMPLE",
            Utc.with_ymd_and_hms(2013, 5, 24, 0, 0, 0),
        )
    } else {
        (
            "example.amazonaws.com",
            "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            "AKIDEXAMPLE",
            Utc.with_ymd_and_hms(2015, 8, 30, 12, 36, 0),
        )
    };
    let mut head = Head {
        method: case.method.clone(),
        headers: HeaderMap::new(),
        path: case.path.to_owned(),
        query: case.query.to_owned(),
    };
    head.headers.insert("host", HeaderValue::from_static(host));
    // Not signed: what stands between may change them.
    head.headers
        .insert("user-agent", HeaderValue::from_static("sluice"));
    head.headers
        .insert("accept-encoding", HeaderValue::from_static("identity"));
    for (name, value) in case.headers {
        head.headers.append(*name, HeaderValue::from_static(value));
    }
    let keys = format!("access_key_id = \"{id}\"\nsecret_access_key = \"{secret}\"");
    let Ok(keys) = AwsKeys::read(&Secret::new(keys.into_bytes())) else {
        panic!("keys that can be read")
    };
    let scope = Scope {
        service: case.service,
        region: "us-east-1",
        now: now.single().expect("a moment"),
    };
    let body = hex::lower(digest(&SHA256, case.body.as_bytes()).as_ref());
    sign(&mut head, &body, &keys, scope).expect("signed");
    head
}

#[test]
fn the_published_vectors() {
    let cases = [
        GET,
        Case {
            name: "get-vanilla-query-order-key-case",
            query: "Param2=value2&Param1=value1",
            signature: "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ..GET
        },
        Case {
            name: "get-header-key-duplicate",
            headers: &[
                ("my-header1", "value2"),
                ("my-header1", "value2"),
                ("my-header1", "value1"),
            ],
            signed: "host;my-header1;x-amz-date",
            signature: "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
            ..GET
        },
        Case {
            name: "get-header-value-order",
            headers: &[("my-header1", "value4,value1,value3,value2")],
            signed: "host;my-header1;x-amz-date",
            signature: "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01",
            ..GET
        },
        Case {
            name: "get-header-value-trim",
            headers: &[("my-header1", " value1"), ("my-header2", " \"a   b   c\"")],
            signed: "host;my-header1;my-header2;x-amz-date",
            signature: "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
            ..GET
        },
        Case {
            name: "post-vanilla",
            method: Method::POST,
            signature: "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ..GET
        },
        Case {
            name: "post-x-www-form-urlencoded",
            method: Method::POST,
            headers: &[("content-type", "application/x-www-form-urlencoded")],
            body: "Param1=value1",
            signed: "content-type;host;x-amz-date",
            signature: "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            ..GET
        },
        S3,
        Case {
            name: "PUT Object",
            method: Method::PUT,
            path: "/test%24file.text",
            headers: &[
                ("date", "Fri, 24 May 2013 00:00:00 GMT"),
                ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
            ],
            body: "Welcome to Amazon S3.",
            signed: "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
            signature: "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
            ..S3
        },
        Case {
            name: "GET Bucket Lifecycle",
            path: "/",
            query: "lifecycle",
            headers: &[],
            signed: "host;x-amz-content-sha256;x-amz-date",
            signature: "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
            ..S3
        },
        Case {
            name: "Get Bucket (List Objects)",
            path: "/",
            query: "max-keys=2&prefix=J",
            headers: &[],
            signed: "host;x-amz-content-sha256;x-amz-date",
            signature: "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
            ..S3
        },
    ];
    for case in cases {
        let head = sign_it(&case);
        let value = head.headers[AUTHORIZATION].to_str().expect("text");
        let ends = format!(
            "SignedHeaders={}, Signature={}",
            case.signed, case.signature
        );
        assert!(value.ends_with(&ends), "{}: {value}", case.name);
        assert!(
            !format!("{:?}", head.headers).contains(case.signature),
            "{}",
            case.name
        );
        let hash = head.headers.get(AMZ_CONTENT_SHA256);
        assert_eq!(hash.is_some(), case.service == "s3", "{}", case.name);
        if case.body.is_empty() {
            assert!(hash.is_none_or(|hash| hash == EMPTY), "{}", case.name);
        }
    }
}

#[test]
fn a_path_that_is_encoded_is_encoded_again_but_for_s3() {
    assert_eq!(encode(b"/a%20b/c", true), "/a%2520b/c");
    assert_eq!(
        encode(&decode("/a%20b/%e2%82%ac%zz%2"), true),
        "/a%20b/%E2%82%AC%25zz%252"
    );
    assert_eq!(
        canonical_query("b=%7e&a=1+2&a=%2F&c"),
        "a=%2F&a=1%202&b=~&c="
    );
}
