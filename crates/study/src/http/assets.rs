//! The pages' files, embedded in the program. Built from `web/` (see its README), and committed.
use super::reply::{file, not_found};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "assets/"]
struct Assets;

const TYPES: [(&str, &str); 4] = [
    (".html", "text/html; charset=utf-8"),
    (".js", "text/javascript; charset=utf-8"),
    (".css", "text/css; charset=utf-8"),
    (".txt", "text/plain; charset=utf-8"),
];

/// The page of a reader's link.
pub(crate) const PAGE: &str = "page.html";

/// The viewer.
pub(crate) const VIEW: &str = "view.html";

/// What stands at `/`.
pub(crate) const START: &str = "start.html";

/// One of the embedded files; not sent again to a browser that has it.
pub(crate) fn asset(name: &str, headers: &HeaderMap) -> Response {
    let known = TYPES.iter().find(|(ending, _)| name.ends_with(ending));
    let (Some(asset), Some((_, content_type))) = (Assets::get(name), known) else { return not_found() };
    let tag = format!("\"{}\"", crate::digest::hexadecimal(&asset.metadata.sha256_hash()));
    let is_known = headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let mut response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        file(content_type, asset.data.into_owned())
    };
    let tag = HeaderValue::from_str(&tag).expect("hexadecimal digits in quotes");
    response.headers_mut().insert(header::ETAG, tag);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
