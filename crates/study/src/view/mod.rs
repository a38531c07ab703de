//! The viewer: a scan, or what `synthesize` wrote, in the browser, and verdicts on it.
//!
//! ```text
//! GET  /v/TOKEN/                            the page
//! GET  /v/TOKEN/api/cases                   the cases: tumors, verdict, what is wrong with them
//! GET  /v/TOKEN/api/cases/I                 one case's record and review
//! GET  /v/TOKEN/cases/I/ct.nii.gz           the scan; healthy.nii.gz, labels.nii.gz, tumors.nii.gz where there are such
//! GET  /v/TOKEN/thumbnails/I.png            an axial slice through the largest tumor
//! POST /v/TOKEN/api/review                  a verdict
//! GET  /assets/...                          the page's script and style, embedded
//! ```
//! `I` is an index into the cases found at the start: nothing of a request ever becomes part of a file's path. Links in a dataset are followed,
//! but nothing is sent that does not begin as NIfTI does. Who does not have the link's
//! token (other users of this machine, pages of other sites) is answered as if there were nothing.
//!
//! Source: paper 4.1 (what radiologists were shown); ours is the review.
use crate::digest::{hexadecimal, sha256};
use crate::error::Result;
use crate::http::access::Tokens;
use crate::http::listen;
use crate::problem::argument;
use cache::Cache;
use dataset::Dataset;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use thumbnail::Thumbnails;

mod cache;
mod case;
mod dataset;
mod head;
mod lock;
mod picture;
mod record;
pub mod review;
mod routes;
mod thumbnail;
mod verdicts;

/// What is viewed, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewOptions {
    /// A folder of `synthesize`'s output folders (or of a dataset that it laid out), one such folder, or one scan.
    pub path: PathBuf,
    /// A label map to one scan.
    pub labels: Option<PathBuf>,
    /// Address and port; port 0 is any that is free. Off loopback, whoever is on the network can read what passes.
    pub listen: SocketAddr,
}

impl Default for ViewOptions {
    /// The folder at hand, on loopback, any port.
    fn default() -> Self {
        Self { path: ".".into(), labels: None, listen: (Ipv4Addr::LOCALHOST, 0).into() }
    }
}

/// A viewer that has found its cases and has its port.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    addr: SocketAddr,
    token: String,
    app: Arc<App>,
}

/// What requests are answered from.
#[derive(Debug)]
struct App {
    dataset: Dataset,
    thumbnails: Thumbnails,
    tokens: Tokens,
}

impl Server {
    /// Finds the cases, draws a token and binds the port. Scans are read when they are asked for.
    ///
    /// # Errors
    /// [`Error::File`](crate::Error::File) when there is nothing to view, a case's name is not UTF-8, or `review.json` is damaged; [`Error::Ct`](crate::Error::Ct) when a scan that is not NIfTI cannot be read;
    /// [`Error::Argument`](crate::Error::Argument) when the address cannot be had.
    pub fn open(options: &ViewOptions) -> Result<Self> {
        let dataset = Dataset::open(&options.path, options.labels.as_deref())?;
        if let Some(root) = &dataset.root {
            review::read(root)?;
        }
        let mut random = [0; 16];
        getrandom::fill(&mut random)
            .map_err(|error| argument("the system's source of randomness", "16 bytes for a link", error))?;
        let token = hexadecimal(&random);
        let (listener, addr) = listen::bind(options.listen)?;
        let tokens = Tokens::of([sha256(&token).as_str()]);
        let app = App { dataset, thumbnails: Thumbnails::new(Cache::default()), tokens };
        Ok(Self { listener, addr, token, app: Arc::new(app) })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The page's address: whoever has it sees the scans.
    pub fn link(&self) -> String {
        format!("http://{}/v/{}/", self.addr, self.token)
    }

    /// Answers until `shutdown` is ready, then ends what is under way (for at most 10 s). Needs a Tokio runtime with I/O and time.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) when the runtime does not take the port.
    pub async fn run_until(self, shutdown: impl Future<Output = ()>) -> Result<()> {
        listen::run_until(self.listener, routes::router(self.app, self.addr), shutdown).await
    }
}
