//! One request, one answer.

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue,
    WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Request, Response, StatusCode};
use serde_json::json;

use super::{Shared, metrics, page};

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Answers it. The body of the request, if it has any, is not read.
pub(super) fn to(shared: &Shared, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    let (status, kind, body) =
        match shared.access.check(request.method(), request.uri(), request.headers()) {
            Ok(()) => of(shared, path),
            Err(refused) => (refused.status, TEXT, line(refused.why)),
        };
    // For HEAD the body is left out by hyper, which keeps its length.
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let mut head = |name: HeaderName, value| {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    };
    head(CONTENT_TYPE, kind);
    head(CACHE_CONTROL, "no-store");
    head(X_CONTENT_TYPE_OPTIONS, "nosniff");
    head(
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    );
    match status {
        StatusCode::METHOD_NOT_ALLOWED => head(ALLOW, "GET, HEAD"),
        StatusCode::UNAUTHORIZED => head(WWW_AUTHENTICATE, "Bearer"),
        _ => {}
    }
    response
}

fn of(shared: &Shared, path: &str) -> (StatusCode, &'static str, String) {
    let monitor = &shared.monitor;
    match path {
        "/" => (StatusCode::OK, HTML, page::of(&monitor.status())),
        "/status" => (StatusCode::OK, JSON, line(&json!(monitor.status()).to_string())),
        "/livez" => (StatusCode::OK, TEXT, line("alive")),
        "/readyz" => match monitor.ready() {
            Ok(()) => (StatusCode::OK, TEXT, line("ready")),
            Err(why) => (StatusCode::SERVICE_UNAVAILABLE, TEXT, line(&format!("not ready: {why}"))),
        },
        "/metrics" => {
            let text = metrics::of(&monitor.status(), monitor.last_applied());
            (StatusCode::OK, PROMETHEUS, text)
        }
        "/wait" => {
            (StatusCode::NOT_IMPLEMENTED, TEXT, line("/wait is not built yet: use `wal2es wait`"))
        }
        _ => (StatusCode::NOT_FOUND, TEXT, line("there is /, /status, /livez, /readyz, /metrics")),
    }
}

fn line(text: &str) -> String {
    format!("{text}\n")
}
