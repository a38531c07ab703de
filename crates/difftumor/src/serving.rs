//! Servers of pages for browsers ([`difftumor_study`]), until the process is told to stop.
use crate::error::{Error, Result};
use std::path::PathBuf;
use std::pin::Pin;
use tokio::runtime::Runtime;

/// Ready when the process is told to stop.
pub type Told = Pin<Box<dyn Future<Output = ()>>>;

/// A server that hears when the process is told to stop (Ctrl-C, or SIGTERM where there is one).
pub struct Serving {
    runtime: Runtime,
    served: Pin<Box<dyn Future<Output = difftumor_study::Result<()>>>>,
}

impl Serving {
    /// Begins to listen for signals, so that whoever is told the address afterwards may stop the server at once.
    ///
    /// # Errors
    /// When the system gives no runtime, or does not let us wait for signals.
    pub fn start<F>(serve: impl FnOnce(Told) -> F) -> Result<Self>
    where
        F: Future<Output = difftumor_study::Result<()>> + 'static,
    {
        let io = |what: &'static str| Error::io(PathBuf::from("the server"), what);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(io("start"))?;
        let told = {
            let _inside = runtime.enter();
            told_to_stop().map_err(io("wait for signals of"))?
        };
        Ok(Self { runtime, served: Box::pin(serve(Box::pin(told))) })
    }

    /// Serves until the process is told to stop; what is under way is kept first.
    ///
    /// # Errors
    /// When connections cannot be waited for.
    pub fn until_told(self) -> Result<()> {
        Ok(self.runtime.block_on(self.served)?)
    }
}

#[cfg(unix)]
fn told_to_stop() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

#[cfg(not(unix))]
fn told_to_stop() -> std::io::Result<impl Future<Output = ()>> {
    Ok(async {
        // Without signals there is no way to be told.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}
