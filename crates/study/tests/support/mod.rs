//! A tiny study, a server in this process, and a client that sends what it is told.
use difftumor_study::format::{FORMAT, Item, Kind, Reader, Readers, Study};
use difftumor_study::serve::{ServeOptions, Server};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;

pub mod view;

pub fn sha256(bytes: impl AsRef<[u8]>) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn token(reader: usize) -> String {
    format!("{reader:032x}")
}

pub const TURING: &[&str] = &["real", "synthetic"];

pub fn item(index: usize) -> String {
    format!("{:016x}", index + 0xabc0)
}

/// Writes a study of these choices and volumes, for as many readers; each reader's order begins one item later.
pub fn write_study(root: &Path, choices: &[&str], volumes: &[Vec<u8>], centre_vox: [f64; 3], readers: usize) {
    std::fs::create_dir_all(root.join("volumes")).unwrap();
    let items: Vec<Item> = volumes
        .iter()
        .enumerate()
        .map(|(i, bytes)| {
            std::fs::write(root.join(format!("volumes/{}.nii.gz", item(i))), bytes).unwrap();
            Item { id: item(i), sha256: sha256(bytes), centre_vox }
        })
        .collect();
    let order = |first: usize| (0..items.len()).map(|i| item((i + first) % items.len())).collect();
    let reader = |i: usize| Reader {
        name: format!("Reader {}", i + 1),
        token_sha256: sha256(token(i)),
        order: order(i),
    };
    let readers = Readers { format: FORMAT.into(), readers: (0..readers).map(reader).collect() };
    let study = Study {
        format: FORMAT.into(),
        kind: if choices == TURING { Kind::VisualTuring } else { Kind::OrganRecognition },
        title: if choices == TURING { "Liver tumors: real or synthetic?" } else { "Which organ?" }.into(),
        choices: choices.iter().map(|c| (*c).into()).collect(),
        window_hu: [60.0, 400.0],
        items,
    };
    std::fs::write(root.join("study.json"), serde_json::to_vec_pretty(&study).unwrap()).unwrap();
    std::fs::write(root.join("readers.json"), serde_json::to_vec_pretty(&readers).unwrap()).unwrap();
}

/// A study of small files that are no scans: the server does not look into them.
pub fn tiny_study(items: usize, readers: usize) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let volumes: Vec<Vec<u8>> = (0..items).map(|i| format!("volume {i}").into_bytes()).collect();
    write_study(folder.path(), TURING, &volumes, [1.0, 2.0, 3.0], readers);
    folder
}

pub fn options(study: &Path) -> ServeOptions {
    ServeOptions { study: study.into(), answers: None, listen: ([127, 0, 0, 1], 0).into() }
}

/// A server that ends when this is dropped.
pub struct Running {
    pub addr: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

pub fn serve(study: &Path) -> Running {
    serve_with(&options(study))
}

pub fn serve_with(options: &ServeOptions) -> Running {
    let server = Server::open(options).unwrap();
    let addr = server.addr();
    let (stop, stopped) = oneshot::channel();
    let thread = std::thread::spawn(move || {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(server.run_until(async { stopped.await.unwrap_or(()) })).unwrap();
    });
    Running { addr, stop: Some(stop), thread: Some(thread) }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || ended.is_some_and(|e| e.is_ok()), "the server's thread");
    }
}

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
}

/// Sends bytes as they are and reads until the server closes.
pub fn raw(addr: SocketAddr, bytes: &[u8]) -> std::io::Result<Reply> {
    let mut stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    // A server that has refused may close before it has read all.
    let _ = stream.write_all(bytes);
    let mut reply = Vec::new();
    let read = stream.read_to_end(&mut reply);
    let Some(end) = reply.windows(4).position(|w| w == b"\r\n\r\n") else {
        return Err(read.err().unwrap_or_else(|| std::io::ErrorKind::UnexpectedEof.into()));
    };
    let head = String::from_utf8_lossy(&reply[..end]).to_lowercase();
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    Ok(Reply { status, head, body: reply[end + 4..].to_vec() })
}

pub fn get(addr: SocketAddr, path: &str) -> Reply {
    raw(addr, format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n").as_bytes()).unwrap()
}

/// POST with these headers beside Host, Content-Length and Connection.
pub fn post_with(addr: SocketAddr, path: &str, headers: &str, body: &str) -> std::io::Result<Reply> {
    let length = body.len();
    let head =
        format!("POST {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\nContent-Length: {length}\r\n");
    raw(addr, format!("{head}{headers}\r\n{body}").as_bytes())
}

/// As the page posts.
pub const PAGE: &str = "Content-Type: application/json\r\nX-Difftumor-Study: 1\r\n";

pub fn answer(item: &str, answer: &str, client_id: u128, expected_revision: u32) -> String {
    serde_json::json!({
        "item": item, "answer": answer, "client_id": format!("{client_id:032x}"),
        "expected_revision": expected_revision, "reading_ms": 1234
    })
    .to_string()
}

pub fn post(addr: SocketAddr, reader: usize, body: &str) -> std::io::Result<Reply> {
    post_with(addr, &format!("/r/{}/api/answers", token(reader)), PAGE, body)
}

/// The example that serves a study, which Cargo builds beside the tests.
pub fn server_program() -> PathBuf {
    example("serve")
}

pub fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().and_then(Path::parent).unwrap().join("examples").join(name)
}
