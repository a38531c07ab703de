//! Serves a study until it is killed: `serve STUDY [PORT]`. Prints its address. For tests and for trying things out.
use difftumor_study::serve::{ServeOptions, Server};
use std::future::pending;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let study = arguments.next().ok_or("usage: serve STUDY [PORT]")?;
    let mut options = ServeOptions { study: study.into(), ..ServeOptions::default() };
    options.listen.set_port(arguments.next().map_or(Ok(0), |port| port.parse())?);
    let server = Server::open(&options)?;
    println!("http://{}", server.addr());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    Ok(runtime.block_on(server.run_until(pending()))?)
}
