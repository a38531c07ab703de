//! The body of a request that changes something: from the page alone, JSON, short, and in time.
use super::access;
use super::listen::REQUEST_TIME;
use super::reply::{bad, refusal};
use axum::body::{Body, Bytes, HttpBody, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use serde::de::DeserializeOwned;

/// The value in a body of at most `longest` bytes, or the reply that refuses it; `what` it is, for people.
pub(crate) async fn of_page<T: DeserializeOwned>(
    request: Request,
    longest: usize,
    what: &str,
) -> Result<T, Response> {
    if let Some(refused) = refused_by_headers(request.headers()) {
        return Err(refused);
    }
    let bytes = whole(request.into_body(), longest).await?;
    serde_json::from_slice(&bytes).map_err(|error| bad(&format!("The body is no {what}: {error}")))
}

fn refused_by_headers(headers: &HeaderMap) -> Option<Response> {
    if !access::is_from_page(headers) {
        return Some(refusal(StatusCode::FORBIDDEN, "origin", "This is taken from our own page alone."));
    }
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = content_type.and_then(|value| value.split(';').next()).map(str::trim);
    (essence != Some("application/json"))
        .then(|| refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media_type", "The body is application/json."))
}

async fn whole(body: Body, longest: usize) -> Result<Bytes, Response> {
    let too_long = || {
        refusal(StatusCode::PAYLOAD_TOO_LARGE, "too_long", &format!("The body has at most {longest} bytes."))
    };
    if body.size_hint().lower() > longest as u64 {
        return Err(too_long());
    }
    match tokio::time::timeout(REQUEST_TIME, to_bytes(body, longest)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        // Too long without having said so, or cut off: then nobody reads this.
        Ok(Err(_)) => Err(too_long()),
        Err(_) => Err(refusal(StatusCode::REQUEST_TIMEOUT, "timeout", "The body did not come within 10 s.")),
    }
}
