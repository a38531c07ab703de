//! Many readers at once, and a server that is killed: no answer is lost, none doubled.
use difftumor_study::store::Store;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use support::*;

// Of the support, this needs a part.
#[allow(dead_code)]
mod support;

fn start(study: &Path, port: u16) -> (Child, SocketAddr) {
    let mut child = Command::new(server_program())
        .args([study.as_os_str(), port.to_string().as_ref()])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the example `serve`, built by `cargo test`");
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let addr = line
        .trim()
        .strip_prefix("http://")
        .unwrap_or_else(|| panic!("no address in '{line}'"))
        .parse()
        .unwrap();
    (child, addr)
}

/// Sends until it is acknowledged, as the page does.
fn insist(addr: SocketAddr, reader: usize, body: &str) {
    for _ in 0..200 {
        match post(addr, reader, body) {
            Ok(reply) if reply.status == 200 => return,
            Ok(reply) => panic!("{reply:?}"),
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
    panic!("the server did not come back");
}

/// 20 readers answer 12 items each and send every answer twice; in between the server is killed and started again.
#[test]
fn twenty_readers_lose_nothing_when_the_server_is_killed() {
    const READERS: usize = 20;
    const ITEMS: usize = 12;
    let study = tiny_study(ITEMS, READERS);
    let (mut child, addr) = start(study.path(), 0);
    let (began, acknowledged) = (Instant::now(), &AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for reader in 0..READERS {
            scope.spawn(move || {
                for i in 0..ITEMS {
                    let choice = ["real", "synthetic"][(reader + i) % 2];
                    let body = answer(&item(i), choice, (reader * ITEMS + i) as u128, 1);
                    insist(addr, reader, &body);
                    insist(addr, reader, &body);
                    acknowledged.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(50));
                }
            });
        }
        for _ in 0..3 {
            std::thread::sleep(Duration::from_millis(100));
            child.kill().unwrap();
            child.wait().unwrap();
            let so_far = acknowledged.load(Ordering::Relaxed);
            assert!((1..READERS * ITEMS).contains(&so_far), "killed in the middle, {so_far} acknowledged");
            (child, _) = start(study.path(), addr.port());
        }
    });
    let took_s = began.elapsed().as_secs_f64();
    child.kill().unwrap();
    child.wait().unwrap();
    let sha = sha256(std::fs::read(study.path().join("study.json")).unwrap());
    let answers = Store::open_existing(study.path().join("answers.sqlite"), &sha).unwrap().all().unwrap();
    assert_eq!(answers.len(), READERS * ITEMS, "none lost, none doubled");
    for answer in &answers {
        let reader: usize = answer.reader["Reader ".len()..].parse().unwrap();
        let i = (0..ITEMS).find(|i| item(*i) == answer.item).unwrap();
        assert_eq!(
            (answer.revision, answer.answer.as_str()),
            (1, ["real", "synthetic"][(reader - 1 + i) % 2])
        );
    }
    assert!(took_s < 60.0, "480 requests took {took_s} s");
    writeln!(
        std::io::stderr(),
        "{} requests of {READERS} readers, 3 kills: {took_s:.2} s",
        2 * READERS * ITEMS
    )
    .unwrap();
}
