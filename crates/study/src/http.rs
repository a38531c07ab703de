//! What both servers do with requests: who is let in, how replies look, where the pages come from.
use axum::extract::{MatchedPath, Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;
use std::net::SocketAddr;

pub(crate) mod access;
pub(crate) mod assets;
pub(crate) mod body;
pub(crate) mod listen;
pub(crate) mod reply;

/// Around every request: the host's check, the headers, and a line in the log that holds the route and not the path, which has the token in it.
pub(crate) async fn around(State(listen): State<SocketAddr>, request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map_or("unknown", |p| p.as_str()).to_owned();
    let response = if !access::is_host_ours(request.headers(), listen.ip()) {
        reply::refusal(
            StatusCode::FORBIDDEN,
            "host",
            "This server answers under this machine's own name alone.",
        )
    } else if request.uri().path().contains('%') {
        // None of our paths has a character that needs it.
        reply::not_found()
    } else {
        next.run(request).await
    };
    tracing::debug!("{method} {route}: {}", response.status().as_u16());
    reply::with_headers(response)
}
