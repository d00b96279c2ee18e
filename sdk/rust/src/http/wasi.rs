//! The client's only way out: one request through `wasi:http`, start to end, blocking.

use super::{Request, Response};
use crate::Fault;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingBody, IncomingResponse, Method, OutgoingBody, OutgoingRequest,
    Scheme,
};
use wasip2::io::streams::StreamError;

/// What one write to a body's stream may hold (`wasi:io`).
const WRITE_BYTES_MAX: usize = 4096;
/// What one read of an answer's body asks for.
const READ_BYTES: u64 = 64 << 10;

pub(super) fn send(request: &Request) -> Result<Response, Fault> {
    let outgoing = outgoing(request)?;
    let body = outgoing
        .body()
        .map_err(|()| Fault::broken("the request has no body to write"))?;
    let pending = outgoing_handler::handle(outgoing, None).map_err(fault)?;
    // Where the body cannot be written the answer says why: a refusal, a server that has seen enough.
    let written = write(body, &request.body);
    pending.subscribe().block();
    let answer = match pending.get() {
        Some(Ok(answer)) => answer.map_err(fault)?,
        _ => return Err(Fault::transient("the host gave no answer")),
    };
    let response = read(&answer)?;
    match written {
        Err(fault) if response.status < 400 => Err(fault),
        _ => Ok(response),
    }
}

fn outgoing(request: &Request) -> Result<OutgoingRequest, Fault> {
    let bad_url = || {
        Fault::misconfigured(format!(
            "`{}` is not an absolute http or https URL",
            without_query(&request.url)
        ))
    };
    let (scheme, rest) = request.url.split_once("://").ok_or_else(bad_url)?;
    let at = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(at);
    let path = path.split('#').next().unwrap_or_default();
    let path = if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("/{path}")
    };
    let scheme = match scheme.to_ascii_lowercase().as_str() {
        "https" => Scheme::Https,
        "http" => Scheme::Http,
        _ => return Err(bad_url()),
    };
    let outgoing = OutgoingRequest::new(headers(request)?);
    let set = outgoing
        .set_scheme(Some(&scheme))
        .and_then(|()| outgoing.set_authority(Some(authority)))
        .and_then(|()| outgoing.set_path_with_query(Some(&path)));
    set.map_err(|()| bad_url())?;
    outgoing
        .set_method(&method(&request.method))
        .map_err(|()| Fault::misconfigured(format!("`{}` is not a method", request.method)))?;
    Ok(outgoing)
}

/// A URL as it may be shown: what stands behind `?` may be secret.
fn without_query(url: &str) -> &str {
    url.split('?').next().unwrap_or_default()
}

fn headers(request: &Request) -> Result<Fields, Fault> {
    let headers: Vec<(String, Vec<u8>)> = request
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), value.clone().into_bytes()))
        .collect();
    let fields = Fields::from_list(&headers);
    let fields = fields
        .map_err(|error| Fault::misconfigured(format!("a header cannot be sent: {error}")))?;
    if !request.body.is_empty() && !fields.has("content-length") {
        let length = request.body.len().to_string().into_bytes();
        let set = fields.set("content-length", &[length]);
        set.map_err(|error| Fault::broken(format!("the body's length cannot be sent: {error}")))?;
    }
    Ok(fields)
}

fn method(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "OPTIONS" => Method::Options,
        "PATCH" => Method::Patch,
        other => Method::Other(other.to_owned()),
    }
}

fn write(body: OutgoingBody, bytes: &[u8]) -> Result<(), Fault> {
    if !bytes.is_empty() {
        let stream = body
            .write()
            .map_err(|()| Fault::broken("the request's body is already being written"))?;
        for piece in bytes.chunks(WRITE_BYTES_MAX) {
            stream
                .blocking_write_and_flush(piece)
                .map_err(|_| Fault::transient("the request's body could not be sent"))?;
        }
    }
    OutgoingBody::finish(body, None).map_err(fault)
}

fn read(answer: &IncomingResponse) -> Result<Response, Fault> {
    let headers = answer.headers().entries();
    let headers = headers.into_iter().map(|(name, value)| {
        (
            name.to_ascii_lowercase(),
            String::from_utf8_lossy(&value).into_owned(),
        )
    });
    let mut response = Response {
        status: answer.status(),
        headers: headers.collect(),
        body: Vec::new(),
    };
    let body = answer
        .consume()
        .map_err(|()| Fault::transient("the answer has no body to read"))?;
    {
        let stream = body
            .stream()
            .map_err(|()| Fault::transient("the answer's body is already being read"))?;
        loop {
            match stream.blocking_read(READ_BYTES) {
                Ok(bytes) if response.body.is_empty() => response.body = bytes,
                Ok(bytes) => response.body.extend_from_slice(&bytes),
                Err(StreamError::Closed) => break,
                Err(StreamError::LastOperationFailed(error)) => {
                    let code = wasip2::http::types::http_error_code(&error);
                    return Err(
                        code.map_or_else(|| Fault::transient("the answer broke off"), fault)
                    );
                }
            }
        }
    }
    drop(IncomingBody::finish(body));
    Ok(response)
}

/// How the host begins the text of a refusal; what follows is for the operator.
const DENIED: &str = "denied: ";

/// What the host's error means.
fn fault(code: ErrorCode) -> Fault {
    match code {
        ErrorCode::InternalError(Some(text)) => match text.strip_prefix(DENIED) {
            Some(refusal) => Fault::denied(refusal),
            None => Fault::transient(text),
        },
        ErrorCode::HttpRequestDenied => Fault::denied("the host refused the request"),
        ErrorCode::DestinationIpProhibited => Fault::denied("the host refused the address"),
        ErrorCode::DnsError(error) => Fault::transient(match error.rcode {
            Some(reason) => format!("the server's name does not resolve: {reason}"),
            None => "the server's name does not resolve".to_owned(),
        }),
        ErrorCode::ConnectionRefused => Fault::transient("the server cannot be reached"),
        ErrorCode::ConnectionTimeout => Fault::transient("the server did not answer in time"),
        ErrorCode::TlsProtocolError => Fault::transient("no TLS with the server"),
        ErrorCode::TlsCertificateError => {
            Fault::misconfigured("the server's certificate is not trusted")
        }
        ErrorCode::HttpRequestUriInvalid
        | ErrorCode::HttpRequestMethodInvalid
        | ErrorCode::HttpRequestUriTooLong => {
            Fault::misconfigured(format!("the request cannot be sent: {code}"))
        }
        ErrorCode::HttpRequestBodySize(_)
        | ErrorCode::HttpRequestHeaderSectionSize(_)
        | ErrorCode::HttpRequestHeaderSize(_)
        | ErrorCode::HttpResponseBodySize(_)
        | ErrorCode::HttpResponseHeaderSectionSize(_)
        | ErrorCode::HttpResponseHeaderSize(_) => {
            Fault::broken(format!("beyond the host's limits: {code}"))
        }
        other => Fault::transient(format!("the request failed: {other}")),
    }
}
