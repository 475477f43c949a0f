//! Answers: JSON, lines of JSON, server-sent events, errors.

use std::convert::Infallible;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;
use serde_json::json;

use super::guard::Refusal;
use crate::app::Error;

/// What hyper sends.
pub type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

const JSON: &str = "application/json";
const LINES: &str = "application/x-ndjson";
const BYTES: &str = "application/octet-stream";
const EVENTS: &str = "text/event-stream";

/// A value.
pub fn value(value: &impl Serialize) -> Answer {
    with_status(200, value)
}

/// A value under another status than 200.
pub fn with_status(status: u16, value: &impl Serialize) -> Answer {
    answer(status, JSON, Full::new(line(value)).boxed_unsync())
}

/// Plain text.
pub fn text(text: &'static str) -> Answer {
    answer(200, "text/plain; charset=utf-8", Full::new(Bytes::from_static(text.as_bytes())).boxed_unsync())
}

/// One JSON value a line; each leaves as soon as it is there.
pub fn lines<T: Serialize>(values: impl Stream<Item = T> + Send + 'static) -> Answer {
    stream(LINES, values.map(|value| line(&value)))
}

/// Server-sent events; the caller wrote them.
pub fn events(events: impl Stream<Item = Bytes> + Send + 'static) -> Answer {
    stream(EVENTS, events)
}

/// Bytes of a file, under that status and those headers, their length among them. When they end before that, the
/// connection is cut.
pub fn file(
    status: u16,
    headers: &[(&'static str, String)],
    bytes: impl Stream<Item = Bytes> + Send + 'static,
) -> Answer {
    let mut answer = stream(BYTES, bytes);
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in headers {
        match HeaderValue::from_str(value) {
            Ok(value) => drop(answer.headers_mut().insert(*name, value)),
            Err(error) => log::error!("{name} cannot be sent: {error}"),
        }
    }
    answer
}

/// An error of the facade.
pub fn error(error: &Error) -> Answer {
    with_status(error.code.status(), &json!({ "error": error }))
}

/// An error of the HTTP side, which the facade knows nothing of.
pub fn refusal((status, code, message, hint): Refusal) -> Answer {
    with_status(status, &json!({ "error": { "code": code, "message": message, "hint": hint } }))
}

/// A value as one line of JSON, `\n` included.
pub fn line(value: &impl Serialize) -> Bytes {
    let mut bytes = serde_json::to_vec(value).unwrap_or_else(|error| {
        log::error!("a view cannot be written as JSON: {error}");
        b"null".to_vec()
    });
    bytes.push(b'\n');
    bytes.into()
}

fn stream(kind: &'static str, chunks: impl Stream<Item = Bytes> + Send + 'static) -> Answer {
    answer(200, kind, StreamBody::new(chunks.map(|chunk| Ok(Frame::data(chunk)))).boxed_unsync())
}

fn answer(status: u16, kind: &'static str, body: UnsyncBoxBody<Bytes, Infallible>) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    answer
}
