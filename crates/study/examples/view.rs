//! Views a scan or a dataset until it is killed: `view PATH [PORT [LABELS]]`. Prints its link. For tests and for trying things out.
use difftumor_study::view::{Server, ViewOptions};
use std::future::pending;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: view PATH [PORT [LABELS]]")?;
    let mut options = ViewOptions { path: path.into(), ..ViewOptions::default() };
    options.listen.set_port(arguments.next().map_or(Ok(0), |port| port.parse())?);
    options.labels = arguments.next().map(Into::into);
    let server = Server::open(&options)?;
    println!("{}", server.link());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    Ok(runtime.block_on(server.run_until(pending()))?)
}
