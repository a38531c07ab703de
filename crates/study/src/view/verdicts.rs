//! Taking a verdict: from the page alone, on a case of the list, whose record is the one that was seen.
use super::App;
use super::case::Recorded;
use super::review::{self, LONGEST_NOTE, Reviewed, Verdict};
use super::routes::{index, review_failed};
use crate::http::body;
use crate::http::reply::{bad, not_found, on_disk, refusal};
use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Longest body, in bytes: a note of 2000 characters, each escaped as a pair of surrogates.
const LONGEST_BODY: usize = 32 << 10;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sent {
    case: String,
    verdict: Verdict,
    note: String,
    record_sha256: String,
}

pub(super) async fn post(
    State(app): State<Arc<App>>,
    Path(token): Path<String>,
    request: Request,
) -> Response {
    if app.tokens.index_of(&token).is_none() {
        return not_found();
    }
    let sent: Sent = match body::of_page(request, LONGEST_BODY, "verdict").await {
        Ok(sent) => sent,
        Err(refused) => return refused,
    };
    if sent.note.chars().count() > LONGEST_NOTE {
        return bad("A note has at most 2000 characters.");
    }
    on_disk(move || keep(&app, sent)).await
}

fn keep(app: &App, sent: Sent) -> Response {
    let case = index(&sent.case).and_then(|i| app.dataset.cases.get(i));
    let Some(case) = case else { return bad("There is no such case.") };
    let Some(root) = &app.dataset.root else { return bad("A scan alone has no record to review.") };
    let is_seen = matches!(case.recorded(), Recorded::Read { sha256, .. } if sha256 == sent.record_sha256);
    if !is_seen {
        let message = "This case has changed, or has no record that can be read. Please reload the page.";
        return refusal(StatusCode::CONFLICT, "record_changed", message);
    }
    let at_unix_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64);
    let reviewed =
        Reviewed { verdict: sent.verdict, note: sent.note, record_sha256: sent.record_sha256, at_unix_ms };
    match review::put(root, &case.name, reviewed) {
        Ok(()) => Json(json!({ "at_unix_ms": at_unix_ms })).into_response(),
        Err(error) => review_failed(&error),
    }
}
