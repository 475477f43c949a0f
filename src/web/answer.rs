//! Answers: JSON, lines of JSON, server-sent events, errors.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderValue, REFERRER_POLICY, RETRY_AFTER, SET_COOKIE,
};
use hyper::{Response, StatusCode};
use serde::Serialize;
use serde_json::json;

use super::guard::Refusal;
use super::page::{File, POLICY};
use crate::app::Error;
use crate::disk::Home;

/// What hyper sends.
pub type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

pub(super) const JSON: &str = "application/json";
pub(super) const LINES: &str = "application/x-ndjson";
pub(super) const EVENTS: &str = "text/event-stream";
pub(super) const TEXT: &str = "text/plain; charset=utf-8";
pub(super) const BYTES: &str = "application/octet-stream";
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

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
    answer(200, TEXT, Full::new(Bytes::from_static(text.as_bytes())).boxed_unsync())
}

/// Numbers for Prometheus.
pub fn metrics(text: String) -> Answer {
    answer(200, METRICS, Full::new(Bytes::from(text)).boxed_unsync())
}

/// A file of the page; 304 for who has it as it is.
pub fn page(file: &'static File, known: bool) -> Answer {
    let body = if known { &[] } else { file.bytes };
    let status = if known { 304 } else { 200 };
    let mut answer = answer(status, file.kind, Full::new(Bytes::from_static(body)).boxed_unsync());
    let headers = answer.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    if let Ok(etag) = HeaderValue::from_str(&file.etag()) {
        headers.insert(ETAG, etag);
    }
    answer
}

/// The same answer, with a cookie.
pub fn with_cookie(mut answer: Answer, cookie: &str) -> Answer {
    if let Ok(cookie) = HeaderValue::from_str(cookie) {
        answer.headers_mut().insert(SET_COOKIE, cookie);
    }
    answer
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

/// An error of the facade, with what is to be typed for that home.
pub fn error(error: &Error, home: &Home) -> Answer {
    let (message, hint) = (home.typed(&error.message), home.typed(&error.hint));
    with_status(error.code.status(), &json!({ "error": { "code": error.code, "message": message, "hint": hint } }))
}

/// An error of the HTTP side, which the facade knows nothing of.
pub fn refusal((status, code, message, hint): Refusal) -> Answer {
    with_status(status, &json!({ "error": { "code": code, "message": message, "hint": hint } }))
}

/// Too many passwords were wrong: after a while another may be tried.
pub fn later(wait: Duration) -> Answer {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let hint = format!("Try again in {seconds} s. Who has the token need not wait.");
    let error = json!({ "code": "too_many", "message": "too many wrong passwords within a minute", "hint": hint });
    let mut answer = with_status(429, &json!({ "error": error }));
    answer.headers_mut().insert(RETRY_AFTER, seconds.into());
    answer
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
