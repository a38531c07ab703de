//! Paths, and what is read through them. (What is written: `verdicts.rs`.)
use super::case::{Case, KINDS, Kind, Recorded, Source};
use super::head::shape_vox;
use super::record::Record;
use super::review::{self, Review, Reviewed, State as Reviewing};
use super::thumbnail::turns;
use super::{App, verdicts};
use crate::http::reply::{failure, file, not_found, on_disk, refusal};
use crate::http::{around, assets};
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Serialize;
use std::fs::File;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::task::spawn_blocking;
use tokio_util::io::ReaderStream;

/// Bytes of a file read at a time. A scan of 100 MB with the default of 4 KiB would be 25 000 turns.
const CHUNK: usize = 256 << 10;

#[derive(Serialize)]
struct Cases<'a> {
    can_review: bool,
    cases: Vec<Listed<'a>>,
}

#[derive(Serialize)]
struct Listed<'a> {
    name: &'a str,
    tumors: usize,
    /// Tumors that the gate warns of.
    warned: usize,
    state: Reviewing,
    has_healthy: bool,
    /// What is wrong with it, in words.
    problem: Option<String>,
}

#[derive(Serialize)]
struct Details<'a> {
    name: &'a str,
    has_healthy: bool,
    has_labels: bool,
    has_tumors: bool,
    problem: Option<String>,
    record: Option<Record>,
    record_sha256: Option<String>,
    state: Reviewing,
    review: Option<Reviewed>,
}

pub(super) fn router(app: Arc<App>, listen: SocketAddr) -> Router {
    Router::new()
        .route("/assets/{name}", get(asset))
        .route("/v/{token}", get(to_page))
        .route("/v/{token}/", get(page))
        .route("/v/{token}/api/cases", get(cases))
        .route("/v/{token}/api/cases/{index}", get(details))
        .route("/v/{token}/api/review", post(verdicts::post))
        .route("/v/{token}/cases/{index}/{name}", get(image))
        .route("/v/{token}/thumbnails/{name}", get(thumbnail))
        .fallback(async || not_found())
        .method_not_allowed_fallback(async || not_found())
        .layer(from_fn_with_state(listen, around))
        .with_state(app)
}

/// A case's index as the page writes it: decimal digits.
pub(super) fn index(text: &str) -> Option<usize> {
    let is_plain = !text.is_empty() && text.len() <= 9 && text.bytes().all(|b| b.is_ascii_digit());
    is_plain.then(|| text.parse().ok()).flatten()
}

impl App {
    fn case(&self, token: &str, at: &str) -> Option<(usize, &Case)> {
        self.tokens.index_of(token)?;
        let i = index(at)?;
        Some((i, self.dataset.cases.get(i)?))
    }

    fn review(&self) -> crate::Result<Review> {
        self.dataset.root.as_deref().map_or_else(|| Ok(Review::default()), review::read)
    }
}

async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    assets::asset(&name, &headers)
}

/// A link whose last slash was lost.
async fn to_page(State(app): State<Arc<App>>, Path(token): Path<String>) -> Response {
    match app.tokens.index_of(&token) {
        // The token is ours, hence safe in a path.
        Some(_) => Redirect::permanent(&format!("/v/{token}/")).into_response(),
        None => not_found(),
    }
}

async fn page(State(app): State<Arc<App>>, Path(token): Path<String>, headers: HeaderMap) -> Response {
    match app.tokens.index_of(&token) {
        Some(_) => assets::asset(assets::VIEW, &headers),
        None => not_found(),
    }
}

async fn cases(State(app): State<Arc<App>>, Path(token): Path<String>) -> Response {
    if app.tokens.index_of(&token).is_none() {
        return not_found();
    }
    on_disk(move || match app.review() {
        Ok(review) => {
            let cases = app.dataset.cases.iter().enumerate();
            let cases = cases.map(|(i, case)| listed(&app, i, case, &review)).collect();
            Json(Cases { can_review: app.dataset.root.is_some(), cases }).into_response()
        }
        Err(error) => review_failed(&error),
    })
    .await
}

/// Whoever reads this is whoever runs the viewer, or knows them. The path is for the log alone.
pub(super) fn review_failed(error: &crate::Error) -> Response {
    tracing::error!("{error}");
    let message = "review.json in the dataset's folder cannot be read or written, and is left as it is. The viewer's log says why.";
    refusal(StatusCode::INTERNAL_SERVER_ERROR, "review", message)
}

fn listed<'a>(app: &App, index: usize, case: &'a Case, review: &Review) -> Listed<'a> {
    let recorded = case.recorded();
    let (tumors, warned) = match &recorded {
        Recorded::Read { record, .. } => {
            let warned = record.tumors.iter().filter(|t| t.grade.as_deref().is_some_and(|g| g != "pass"));
            (record.tumors.len(), warned.count())
        }
        _ => (0, 0),
    };
    Listed {
        name: &case.name,
        tumors,
        warned,
        state: state(case, &recorded, review),
        has_healthy: case.source(Kind::Healthy).is_some(),
        problem: case.problem(&recorded).or_else(|| app.thumbnails.problem(index, case)),
    }
}

/// A record that cannot be read is none that a verdict is on.
fn state(case: &Case, recorded: &Recorded, review: &Review) -> Reviewing {
    match recorded {
        Recorded::Read { sha256, .. } => review.state(&case.name, sha256),
        _ if review.cases.contains_key(&case.name) => Reviewing::Outdated,
        _ => Reviewing::Open,
    }
}

async fn details(State(app): State<Arc<App>>, Path((token, at)): Path<(String, String)>) -> Response {
    on_disk(move || {
        let Some((i, case)) = app.case(&token, &at) else { return not_found() };
        match app.review() {
            Ok(review) => Json(details_of(&app, i, case, &review)).into_response(),
            Err(error) => review_failed(&error),
        }
    })
    .await
}

fn details_of<'a>(app: &App, index: usize, case: &'a Case, review: &Review) -> Details<'a> {
    let recorded = case.recorded();
    let (state, shape_vox) = (state(case, &recorded, review), case.shape_vox());
    let no_image = || shape_vox.clone()?.err().map(|problem| format!("ct.nii.gz: {problem}"));
    let problem = case.problem(&recorded).or_else(no_image).or_else(|| app.thumbnails.problem(index, case));
    let (mut record, record_sha256) = match recorded {
        Recorded::Read { record, sha256 } => (Some(record), Some(sha256)),
        Recorded::None | Recorded::Damaged(_) => (None, None),
    };
    if let (Some(record), Some(Ok(shape_vox))) = (&mut record, shape_vox) {
        record.keep_within(shape_vox);
    }
    let has = |kind| case.source(kind).is_some();
    Details {
        name: &case.name,
        has_healthy: has(Kind::Healthy),
        has_labels: has(Kind::Labels),
        has_tumors: has(Kind::Tumors),
        problem,
        record,
        record_sha256,
        state,
        review: review.cases.get(&case.name).cloned(),
    }
}

/// An image, sent as it is read: scans of hundreds of megabytes are never in memory.
async fn image(
    State(app): State<Arc<App>>,
    Path((token, at, name)): Path<(String, String, String)>,
) -> Response {
    on_disk(move || {
        let Some((_, case)) = app.case(&token, &at) else { return not_found() };
        let kind = KINDS.iter().find(|(_, asked, _)| *asked == name).map(|(kind, ..)| *kind);
        match kind.and_then(|kind| case.source(kind)) {
            None => not_found(),
            Some(Source::Memory(bytes)) => file("application/octet-stream", bytes),
            Some(Source::File(path)) => image_file(&path),
        }
    })
    .await
}

fn image_file(path: &std::path::Path) -> Response {
    if let Err(problem) = shape_vox(path) {
        tracing::warn!("{}: {problem}", path.display());
        return refusal(StatusCode::UNPROCESSABLE_ENTITY, "no_image", "This file is no NIfTI image.");
    }
    let opened = File::open(path).and_then(|file| Ok((file.metadata()?.len(), file)));
    let (length, opened) = match opened {
        Ok(opened) => opened,
        Err(error) => return failure(&format!("{}: {error}", path.display())),
    };
    let stream = ReaderStream::with_capacity(tokio::fs::File::from_std(opened), CHUNK);
    let mut response = file("application/octet-stream", Body::from_stream(stream));
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    response
}

async fn thumbnail(State(app): State<Arc<App>>, Path((token, name)): Path<(String, String)>) -> Response {
    let Some((i, _)) = name.strip_suffix(".png").and_then(|at| app.case(&token, at)) else {
        return not_found();
    };
    let looking = app.clone();
    let known = spawn_blocking(move || {
        let case = &looking.dataset.cases[i];
        looking.thumbnails.known(i, case).ok_or_else(|| turns(case))
    });
    // What is known waits for nothing that is drawn.
    let turns = match known.await {
        Ok(Ok(png)) => return picture(Ok(png)),
        Ok(Err(turns)) => turns,
        Err(error) => return failure(&error),
    };
    let turn = app.thumbnails.turn(turns).await;
    let drawing = app.clone();
    on_disk(move || {
        let _turn = turn;
        picture(drawing.thumbnails.draw(i, &drawing.dataset.cases[i]))
    })
    .await
}

fn picture(drawn: Result<Bytes, String>) -> Response {
    match drawn {
        Ok(png) => file("image/png", png),
        Err(problem) => refusal(StatusCode::UNPROCESSABLE_ENTITY, "no_picture", &problem),
    }
}
