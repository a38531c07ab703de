//! No token is ever logged. A test of its own, since it listens to the whole process.
use std::io::Write;
use std::sync::{Arc, Mutex};
use support::*;

// Of the support, this needs a part.
#[allow(dead_code)]
mod support;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn tokens_are_not_logged() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(move || writer.clone())
        .init();
    let study = tiny_study(1, 1);
    let server = serve(study.path());
    for path in ["", "/", "/api/session", "/none", &format!("/volumes/{}.nii.gz", item(0)), "/api/answers"] {
        get(server.addr, &format!("/r/{}{path}", token(0)));
    }
    post(server.addr, 0, &answer(&item(0), "real", 1, 1)).unwrap();
    post(server.addr, 0, "no answer").unwrap();
    std::fs::write(study.path().join("readers.json"), "changed").unwrap();
    get(server.addr, &format!("/r/{}/api/session", token(0)));
    drop(server);
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("GET /r/{token}/api/session: 409") && log.contains("has changed"), "{log}");
    assert!(!log.contains(&token(0)) && !log.contains(&sha256(token(0))), "{log}");
}
