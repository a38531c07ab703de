//! The server of a study: one page, the volumes, and answers that are kept before they are acknowledged.
//!
//! ```text
//! GET  /                               says to use one's link
//! GET  /r/TOKEN/                       the page
//! GET  /r/TOKEN/api/session            what is asked, the items in the reader's order, and the answers so far
//! GET  /r/TOKEN/volumes/ID.nii.gz      a volume
//! POST /r/TOKEN/api/answers            one answer
//! GET  /assets/...                     the page's script and style, embedded
//! ```
//! The server never sees the key: nothing of the truth can reach a browser. A wrong token is answered as any unknown path.
//!
//! Source: paper 4.1, App. A.
use crate::error::{Error, Result};
use crate::store::Store;
use access::Tokens;
use folder::Folder;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

mod access;
mod answers;
mod assets;
mod check;
mod folder;
mod reply;
mod routes;

/// Time for a request's headers, and again for its body: more than a slow wireless network takes.
const REQUEST_TIME: Duration = Duration::from_secs(10);

/// Time for requests under way when the server is told to stop.
const SHUTDOWN_TIME: Duration = Duration::from_secs(10);

/// Connections at one time. A browser opens six at most, so this is 40 readers; more wait.
const CONNECTIONS: usize = 256;

/// What is served, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServeOptions {
    /// The study's folder.
    pub study: PathBuf,
    /// The answers' file; `None`: `answers.sqlite` in the study's folder.
    pub answers: Option<PathBuf>,
    /// Address and port; port 0 is any that is free. Off loopback, whoever is on the network can read what passes: links and answers are not
    /// encrypted.
    pub listen: SocketAddr,
}

impl Default for ServeOptions {
    /// The folder at hand, on loopback, port 8080.
    fn default() -> Self {
        Self { study: ".".into(), answers: None, listen: (Ipv4Addr::LOCALHOST, 8080).into() }
    }
}

/// A server that has its study, its answers and its port.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    addr: SocketAddr,
    app: Arc<App>,
}

/// What requests are answered from.
#[derive(Debug)]
struct App {
    folder: Folder,
    store: Store,
    tokens: Tokens,
    listen: SocketAddr,
}

impl Server {
    /// Checks the whole study, locks it, opens the answers and binds the port.
    ///
    /// # Errors
    /// [`Error::File`] when the study or the answers cannot be used, or another server has the study; [`Error::Argument`] when the address
    /// cannot be had.
    pub fn open(options: &ServeOptions) -> Result<Self> {
        let folder = Folder::open(&options.study)?;
        let answers = options.answers.clone().unwrap_or_else(|| options.study.join("answers.sqlite"));
        let store = Store::open(answers, &folder.study_sha256)?;
        let taken = |e: std::io::Error| Error::Argument {
            what: "address to listen on".into(),
            expected: "one of this machine's, with a port that is free".into(),
            found: format!("{}: {e}", options.listen),
        };
        let listener = TcpListener::bind(options.listen).map_err(taken)?;
        listener.set_nonblocking(true).map_err(taken)?;
        let addr = listener.local_addr().map_err(taken)?;
        let tokens = Tokens::of(&folder.readers.readers);
        Ok(Self { listener, addr, app: Arc::new(App { folder, store, tokens, listen: addr }) })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Answers until `shutdown` is ready, then ends what is under way (for at most 10 s). Needs a Tokio runtime with I/O and time.
    ///
    /// # Errors
    /// [`Error::Argument`] when the runtime does not take the port.
    pub async fn run_until(self, shutdown: impl Future<Output = ()>) -> Result<()> {
        let listener = tokio::net::TcpListener::from_std(self.listener).map_err(|e| Error::Argument {
            what: "address to listen on".into(),
            expected: "one that the system lets us wait for".into(),
            found: format!("{}: {e}", self.addr),
        })?;
        let router = routes::router(self.app);
        let graceful = GracefulShutdown::new();
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let mut shutdown = pin!(shutdown);
        loop {
            let place = places.clone().acquire_owned();
            let accepted = tokio::select! {
                accepted = async { (place.await, listener.accept().await) } => accepted,
                () = &mut shutdown => break,
            };
            let (place, stream) = match accepted {
                (Ok(place), Ok((stream, _))) => (place, stream),
                (_, error) => {
                    // Out of file descriptors, most likely: others end.
                    tracing::warn!("a connection was not taken: {:?}", error.err());
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let connection = graceful.watch(connection(stream, router.clone()));
            tokio::spawn(async move {
                // What goes wrong in a connection (it was cut, it was too slow) is the client's matter.
                if let Err(error) = connection.await {
                    tracing::debug!("a connection ended: {error}");
                }
                drop(place);
            });
        }
        drop(listener);
        if tokio::time::timeout(SHUTDOWN_TIME, graceful.shutdown()).await.is_err() {
            tracing::warn!("requests were still under way after {} s", SHUTDOWN_TIME.as_secs());
        }
        Ok(())
    }
}

type Connection = http1::Connection<TokioIo<TcpStream>, TowerToHyperService<axum::Router>>;

fn connection(stream: TcpStream, router: axum::Router) -> Connection {
    // An answer's reply is one small packet: it must not wait for more.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!("no TCP_NODELAY: {error}");
    }
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_TIME)
        .max_buf_size(64 << 10)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
}
