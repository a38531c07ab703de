//! Connections: the port, how many at a time, how long they may take, and how they end.
use crate::error::Result;
use crate::problem::argument;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_io_timeout::TimeoutStream;

/// Time for a request's headers, and again for its body: more than a slow wireless network takes.
pub(crate) const REQUEST_TIME: Duration = Duration::from_secs(10);

/// Time in which a client takes some of a reply at least. Without it, 256 of them that ask and do not read would be all that is served.
const STALL_TIME: Duration = Duration::from_secs(20);

/// Time for requests under way when the server is told to stop.
const SHUTDOWN_TIME: Duration = Duration::from_secs(10);

/// Connections at one time. A browser opens six at most, so this is 40 readers; more wait.
const CONNECTIONS: usize = 256;

/// The port, and its address: port 0 is any that is free.
///
/// # Errors
/// [`Error::Argument`](crate::Error::Argument) when the address cannot be had.
pub(crate) fn bind(listen: SocketAddr) -> Result<(TcpListener, SocketAddr)> {
    let taken = |e: std::io::Error| {
        let expected = "one of this machine's, with a port that is free";
        argument("address to listen on", expected, format!("{listen}: {e}"))
    };
    let listener = TcpListener::bind(listen).map_err(taken)?;
    listener.set_nonblocking(true).map_err(taken)?;
    let addr = listener.local_addr().map_err(taken)?;
    Ok((listener, addr))
}

/// Answers until `shutdown` is ready, then ends what is under way.
///
/// # Errors
/// [`Error::Argument`](crate::Error::Argument) when the runtime does not take the port.
pub(crate) async fn run_until(
    listener: TcpListener,
    router: axum::Router,
    shutdown: impl Future<Output = ()>,
) -> Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)
        .map_err(|e| argument("address to listen on", "one that the system lets us wait for", e))?;
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

type Connection =
    http1::Connection<TokioIo<Pin<Box<TimeoutStream<TcpStream>>>>, TowerToHyperService<axum::Router>>;

fn connection(stream: TcpStream, router: axum::Router) -> Connection {
    // An answer's reply is one small packet: it must not wait for more.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!("no TCP_NODELAY: {error}");
    }
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(STALL_TIME));
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_TIME)
        .max_buf_size(64 << 10)
        .serve_connection(TokioIo::new(Box::pin(stream)), TowerToHyperService::new(router))
}
