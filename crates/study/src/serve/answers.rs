//! Taking an answer: from the page alone, small, whole, of this study, and the next one.
use super::routes::study_changed;
use super::{App, check};
use crate::http::body;
use crate::http::reply::{bad, failure, not_found, on_disk, refusal};
use crate::store::{NewAnswer, Put};
use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;

/// Longest body, in bytes. The page's are 200.
const LONGEST_BODY: usize = 16 << 10;

/// Longest reading time, in ms: a day. The page stops its clock long before.
const LONGEST_READING_MS: u64 = 24 * 60 * 60 * 1000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sent {
    item: String,
    answer: String,
    client_id: String,
    expected_revision: u32,
    reading_ms: u64,
}

pub(super) async fn post(
    State(app): State<Arc<App>>,
    Path(token): Path<String>,
    request: Request,
) -> Response {
    if app.reader(&token).is_none() {
        return not_found();
    }
    let sent: Sent = match body::of_page(request, LONGEST_BODY, "answer").await {
        Ok(sent) => sent,
        Err(refused) => return refused,
    };
    if let Some(refused) = refused_by_content(&app, &sent) {
        return refused;
    }
    on_disk(move || keep(&app, &token, &sent)).await
}

fn refused_by_content(app: &App, sent: &Sent) -> Option<Response> {
    if !app.folder.has(&sent.item) {
        return Some(bad("The study has no such item."));
    }
    if !app.folder.study.choices.contains(&sent.answer) {
        return Some(bad("The answer is none of the study's choices."));
    }
    if !check::is_hex(&sent.client_id, 32) {
        return Some(bad("client_id: expected 32 hexadecimal digits."));
    }
    (sent.reading_ms > LONGEST_READING_MS).then(|| bad("reading_ms: expected a day at most."))
}

fn keep(app: &App, token: &str, sent: &Sent) -> Response {
    if let Err(error) = app.folder.check_unchanged() {
        return study_changed(&error);
    }
    let Some(reader) = app.reader(token) else { return not_found() };
    let put = app.store.put(&NewAnswer {
        reader: &reader.name,
        item: &sent.item,
        answer: &sent.answer,
        client_id: &sent.client_id,
        expected_revision: sent.expected_revision,
        reading_ms: sent.reading_ms,
    });
    match put {
        Ok(Put::Kept { revision }) => Json(json!({ "revision": revision })).into_response(),
        Ok(Put::Stale { current }) => {
            let (answer, revision) = current.map_or((None, 0), |a| (Some(a.answer), a.revision));
            let message = "This item was answered elsewhere in the meantime.";
            let state =
                json!({ "error": "stale", "message": message, "answer": answer, "revision": revision });
            (StatusCode::CONFLICT, Json(state)).into_response()
        }
        Ok(Put::ClientIdTaken) => {
            refusal(StatusCode::CONFLICT, "client_id", "This client_id belongs to a different answer.")
        }
        Err(error) => failure(&error),
    }
}
