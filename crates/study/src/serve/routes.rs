//! Paths, and what is read through them. (What is written: `answers.rs`.)
use super::{App, answers};
use crate::error::Error;
use crate::format::{Answer, Kind, Reader};
use crate::http::reply::{failure, file, not_found, on_disk, refusal};
use crate::http::{around, assets};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a reader's page is told when it opens.
#[derive(Serialize)]
struct Session<'a> {
    reader: &'a str,
    title: &'a str,
    kind: Kind,
    choices: &'a [String],
    window_hu: [f64; 2],
    /// In the reader's order.
    items: Vec<SessionItem<'a>>,
}

#[derive(Serialize)]
struct SessionItem<'a> {
    id: &'a str,
    centre_vox: [f64; 3],
    /// The last answer.
    answer: Option<String>,
    /// Of the last answer; 0 where there is none.
    revision: u32,
}

pub(super) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/", get(start))
        .route("/assets/{name}", get(asset))
        .route("/r/{token}", get(to_page))
        .route("/r/{token}/", get(page))
        .route("/r/{token}/api/session", get(session))
        .route("/r/{token}/api/answers", post(answers::post))
        .route("/r/{token}/volumes/{name}", get(volume))
        .fallback(async || not_found())
        .method_not_allowed_fallback(async || not_found())
        .layer(from_fn_with_state(app.listen, around))
        .with_state(app)
}

impl App {
    /// The reader whose link this is.
    pub(super) fn reader(&self, token: &str) -> Option<&Reader> {
        self.tokens.index_of(token).map(|index| &self.folder.readers.readers[index])
    }
}

async fn start(headers: HeaderMap) -> Response {
    assets::asset(assets::START, &headers)
}

async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    assets::asset(&name, &headers)
}

/// A link whose last slash was lost.
async fn to_page(State(app): State<Arc<App>>, Path(token): Path<String>) -> Response {
    match app.reader(&token) {
        // The token is one of ours, hence safe in a path.
        Some(_) => Redirect::permanent(&format!("/r/{token}/")).into_response(),
        None => not_found(),
    }
}

async fn page(State(app): State<Arc<App>>, Path(token): Path<String>, headers: HeaderMap) -> Response {
    if app.reader(&token).is_some() { assets::asset(assets::PAGE, &headers) } else { not_found() }
}

async fn session(State(app): State<Arc<App>>, Path(token): Path<String>) -> Response {
    if app.reader(&token).is_none() {
        return not_found();
    }
    on_disk(move || {
        let reader = app.reader(&token).expect("checked above");
        if let Err(error) = app.folder.check_unchanged() {
            return study_changed(&error);
        }
        match app.store.answers(&reader.name) {
            Ok(answers) => Json(session_of(&app, reader, answers)).into_response(),
            Err(error) => failure(&error),
        }
    })
    .await
}

fn session_of<'a>(app: &'a App, reader: &'a Reader, answers: Vec<Answer>) -> Session<'a> {
    let study = &app.folder.study;
    // By item and revision: the last one stays.
    let mut last: BTreeMap<String, Answer> = answers.into_iter().map(|a| (a.item.clone(), a)).collect();
    let centres: BTreeMap<&str, [f64; 3]> =
        study.items.iter().map(|i| (i.id.as_str(), i.centre_vox)).collect();
    let item = |id: &'a String| {
        let answer = last.remove(id);
        let revision = answer.as_ref().map_or(0, |a| a.revision);
        SessionItem { id, centre_vox: centres[id.as_str()], answer: answer.map(|a| a.answer), revision }
    };
    Session {
        reader: &reader.name,
        title: &study.title,
        kind: study.kind,
        choices: &study.choices,
        window_hu: study.window_hu,
        items: reader.order.iter().map(item).collect(),
    }
}

async fn volume(State(app): State<Arc<App>>, Path((token, name)): Path<(String, String)>) -> Response {
    let id = name.strip_suffix(".nii.gz").filter(|id| app.folder.has(id)).map(str::to_owned);
    let (Some(_), Some(id)) = (app.reader(&token), id) else { return not_found() };
    on_disk(move || match app.folder.check_unchanged().and_then(|()| app.folder.volume(&id)) {
        Ok(bytes) => file("application/octet-stream", bytes),
        Err(error) => study_changed(&error),
    })
    .await
}

/// The study's folder is not as it was: names no path, since the reader's page shows it.
pub(super) fn study_changed(error: &Error) -> Response {
    tracing::error!("{error}");
    let message = "The study folder changed while it was served. Please tell whoever runs the study; no answer is lost.";
    refusal(StatusCode::CONFLICT, "study_changed", message)
}
