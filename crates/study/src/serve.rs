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
use crate::error::Result;
use crate::http::access::Tokens;
use crate::http::listen;
use crate::store::Store;
use folder::Folder;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;

mod answers;
mod check;
mod folder;
mod routes;

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
    /// [`Error::File`](crate::Error::File) when the study or the answers cannot be used, or another server has the study; [`Error::Argument`](crate::Error::Argument) when the address
    /// cannot be had.
    pub fn open(options: &ServeOptions) -> Result<Self> {
        let folder = Folder::open(&options.study)?;
        let answers = options.answers.clone().unwrap_or_else(|| options.study.join("answers.sqlite"));
        let store = Store::open(answers, &folder.study_sha256)?;
        let (listener, addr) = listen::bind(options.listen)?;
        let tokens = Tokens::of(folder.readers.readers.iter().map(|r| r.token_sha256.as_str()));
        Ok(Self { listener, addr, app: Arc::new(App { folder, store, tokens, listen: addr }) })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Answers until `shutdown` is ready, then ends what is under way (for at most 10 s). Needs a Tokio runtime with I/O and time.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) when the runtime does not take the port.
    pub async fn run_until(self, shutdown: impl Future<Output = ()>) -> Result<()> {
        listen::run_until(self.listener, routes::router(self.app), shutdown).await
    }
}
