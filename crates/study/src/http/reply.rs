//! Replies: one for all that is not found, errors in words, and the headers that every reply has.
use axum::Json;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// What the page may load: its own script and style. NiiVue's font and the volumes come as `data:` and `blob:` images and as our own bytes.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Headers of every reply. The token is in the page's address: it must not leave it as a referrer.
const HEADERS: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

/// Why a request is refused, in words.
pub(crate) fn refusal(status: StatusCode, code: &str, message: &str) -> Response {
    (status, Json(json!({ "error": code, "message": message }))).into_response()
}

/// A body that is not what it should be.
pub(crate) fn bad(message: &str) -> Response {
    refusal(StatusCode::BAD_REQUEST, "bad_request", message)
}

/// What every unknown path, method and token gets.
pub(crate) fn not_found() -> Response {
    refusal(
        StatusCode::NOT_FOUND,
        "not_found",
        "There is nothing here. Please use the link that you were given.",
    )
}

/// The server's own failure.
pub(crate) fn failure(error: &dyn std::fmt::Display) -> Response {
    tracing::error!("{error}");
    let message = "The server could not do this. Please tell whoever runs it.";
    refusal(StatusCode::INTERNAL_SERVER_ERROR, "failure", message)
}

/// Runs what waits for the disk where waiting holds nobody up.
pub(crate) async fn on_disk(work: impl FnOnce() -> Response + Send + 'static) -> Response {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| failure(&error))
}

/// A page or a file.
pub(crate) fn file(content_type: &'static str, bytes: impl Into<Body>) -> Response {
    ([(header::CONTENT_TYPE, content_type)], bytes.into()).into_response()
}

/// Adds the headers of every reply. What does not say otherwise is kept by no cache: scans and answers do not belong on a shared machine's disk.
pub(crate) fn with_headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
