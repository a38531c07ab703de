//! Views a scan or a dataset until it is killed: `view PATH [LABELS]`. Prints its link. For tests and for trying things out.
use difftumor_study::view::{Server, ViewOptions};
use std::future::pending;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: view PATH [LABELS]")?;
    let labels = arguments.next().map(Into::into);
    let server = Server::open(&ViewOptions { path: path.into(), labels, ..ViewOptions::default() })?;
    println!("{}", server.link());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    Ok(runtime.block_on(server.run_until(pending()))?)
}
