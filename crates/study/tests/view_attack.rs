//! The viewer and those who mean no good, and folders that are not what they seem.
use serde_json::json;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use support::view::*;
use support::*;

// Of the support, this needs a part.
#[allow(dead_code)]
mod support;

#[test]
fn wrong_tokens_and_wrong_paths_are_the_same_nothing() {
    let root = two_cases();
    std::fs::write(root.path().join("secret.nii.gz"), "secret").unwrap();
    let viewer = view(root.path());
    let nothing = get(viewer.addr, "/no/such/path");
    assert_eq!(nothing.status, 404);
    let good = &viewer.page;
    let bad = format!("/v/{}/", "0".repeat(32));
    let mut paths: Vec<String> =
        ["", "api/cases", "api/cases/0", "cases/0/ct.nii.gz", "thumbnails/0.png", "api/review"]
            .map(|p| format!("{bad}{p}"))
            .into();
    paths.push(bad[..bad.len() - 1].into());
    paths.push(format!("/v/{}", &good[4..]));
    paths.extend(
        ["/v//", "/v/%ff/", "/v/..", "/assets/../Cargo.toml", "/assets/..%2fCargo.toml", "/review.json"]
            .map(Into::into),
    );
    let indices = [
        "-1",
        "+1",
        "1e3",
        "99999999999",
        "2",
        "0/../1",
        "",
        " 0",
        "0x0",
        "٠",
        "..",
        "%2e%2e",
        "0%00",
        "00000000000",
        "a",
    ];
    for index in indices {
        paths.extend(
            ["api/cases/INDEX", "cases/INDEX/ct.nii.gz", "thumbnails/INDEX.png"]
                .map(|p| format!("{good}{}", p.replace("INDEX", index))),
        );
    }
    let names = [
        "",
        "record.json",
        "../secret.nii.gz",
        "..%2fsecret.nii.gz",
        "%2e%2e/secret.nii.gz",
        "..%5csecret.nii.gz",
        "ct.nii.gz%00",
        "healthy_ct.nii.gz",
        "CT.NII.GZ",
        "ct.nii.gz/",
    ];
    paths.extend(names.map(|name| format!("{good}cases/0/{name}")));
    paths.extend(
        ["thumbnails/0", "thumbnails/0.PNG", "thumbnails/../review.json", "review.json", "api/review"]
            .map(|p| format!("{good}{p}")),
    );
    for path in paths {
        // Some are no addresses at all, and refused before they are looked at.
        let reply = get(viewer.addr, &path);
        let is_nothing = reply.status == 404 && reply.body == nothing.body;
        assert!(is_nothing || reply.status == 400 && reply.body.is_empty(), "{path}: {reply:?}");
    }
    let to =
        |page: &str, body: &str| post_with(viewer.addr, &format!("{page}api/review"), PAGE, body).unwrap();
    let reply = to(&bad, &verdict("0", "accepted", "", &sha256(record("a", 7))));
    assert_eq!((reply.status, &reply.body), (404, &nothing.body));
    for method in ["DELETE", "PUT", "OPTIONS", "POST"] {
        let request = format!(
            "{method} {good} HTTP/1.1\r\nHost: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            viewer.addr
        );
        assert_eq!(raw(viewer.addr, request.as_bytes()).unwrap().status, 404, "{method}");
    }
    assert!(!root.path().join("review.json").exists());
}

#[test]
fn another_sites_name_for_this_machine_is_refused() {
    let root = two_cases();
    let viewer = view(root.path());
    for host in ["evil.example", "evil.example:80", "10.1.2.3", "127.0.0.1.evil.example"] {
        let request =
            format!("GET {}api/cases HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n", viewer.page);
        let reply = raw(viewer.addr, request.as_bytes()).unwrap();
        assert_eq!((reply.status, &reply.json()["error"]), (403, &json!("host")), "{host}");
    }
}

#[test]
fn verdicts_that_are_not_verdicts_are_refused() {
    let root = two_cases();
    let viewer = view(root.path());
    let sha = sha256(record("a", 7));
    let good = verdict("0", "accepted", "", &sha);
    let sent = |headers: &str, body: &str| viewer.post_with(headers, body).status;
    let origin = |origin: &str| format!("{PAGE}Origin: {origin}\r\n");
    assert_eq!(sent("Content-Type: application/json\r\n", &good), 403, "without the page's header");
    for bad in ["http://evil.example", "null", &format!("http://{}0", viewer.addr)] {
        assert_eq!(sent(&origin(bad), &good), 403, "{bad}");
    }
    for bad in ["", "Content-Type: text/plain\r\n", "Content-Type: application/x-www-form-urlencoded\r\n"] {
        assert_eq!(sent(&format!("X-Difftumor-Study: 1\r\n{bad}"), &good), 415, "{bad}");
    }
    for bad in [
        "",
        "{",
        "[]",
        "null",
        &good.replace("\"0\"", "\"2\""),
        &good.replace("\"0\"", "\"+0\""),
        &good.replace("\"0\"", "\"../a\""),
        &good.replace("\"0\"", "0"),
        &good.replace("accepted", "perhaps"),
        &good.replace("\"note\":\"\",", ""),
        &good.replace('}', ",\"at_unix_ms\":1}"),
        &verdict("0", "accepted", &"ä".repeat(2001), &sha),
    ] {
        assert_eq!(sent(PAGE, bad), 400, "{bad}");
    }
    for changed in ["", "0", &sha.to_uppercase()] {
        assert_eq!(sent(PAGE, &verdict("0", "accepted", "", changed)), 409, "{changed}");
    }
    assert_eq!(sent(PAGE, &format!("{good}{}", " ".repeat(32 << 10))), 413);
    let chunk = format!("1000\r\n{}\r\n", " ".repeat(0x1000)).repeat(9);
    let chunked = format!(
        "POST {}api/review HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n{PAGE}\r\n{chunk}0\r\n\r\n",
        viewer.page, viewer.addr
    );
    assert_eq!(raw(viewer.addr, chunked.as_bytes()).unwrap().status, 413, "long without having said so");
    assert!(!root.path().join("review.json").exists(), "nothing was kept");
    // The longest note that may be, each character escaped as a pair of surrogates.
    let longest = verdict("0", "accepted", "NOTE", &sha).replace("NOTE", &"\\ud83e\\ude7a".repeat(2000));
    assert_eq!(sent(&origin(&format!("http://{}", viewer.addr)), &longest), 200);
}

#[test]
fn damaged_cases_are_told_and_the_others_work() {
    let root = two_cases();
    let case = |name: &str| write_case(root.path(), name, false);
    std::fs::write(case("c").join("record.json"), "{ damaged").unwrap();
    std::fs::remove_file(case("d").join("record.json")).unwrap();
    std::fs::remove_file(case("e").join("ct.nii.gz")).unwrap();
    let truncated = case("f").join("ct.nii.gz");
    let whole = std::fs::read(&truncated).unwrap();
    std::fs::write(&truncated, &whole[..whole.len() / 2]).unwrap();
    std::fs::write(case("g").join("ct.nii.gz"), "no image").unwrap();
    std::fs::write(case("h").join("record.json"), " ".repeat(5 << 20)).unwrap();
    std::fs::write(case("i").join("record.json"), "[".repeat(100_000)).unwrap();
    let viewer = view(root.path());
    let thumbnails: Vec<u16> = (0..9).map(|i| viewer.get(&format!("thumbnails/{i}.png")).status).collect();
    assert_eq!(thumbnails, [200, 200, 200, 200, 422, 422, 422, 200, 200]);
    let said = viewer.get("thumbnails/5.png").json()["message"].as_str().unwrap().to_owned();
    assert!(said.starts_with("ct.nii.gz: ") && said.contains("copy it again"), "without the path: {said}");
    let expected = [
        "null",
        "null",
        "record.json is damaged",
        "record.json cannot be read",
        "ct.nii.gz is missing",
        "ct.nii.gz: ",
        "ct.nii.gz: ",
        "expected at most 4194304 bytes",
        "record.json is damaged",
    ];
    for (i, (case, expected)) in viewer.cases().iter().zip(expected).enumerate() {
        let problems = [
            case["problem"].to_string(),
            viewer.get(&format!("api/cases/{i}")).json()["problem"].to_string(),
        ];
        assert!(problems.iter().all(|problem| problem.contains(expected)), "{i}: {problems:?}");
    }
    assert_eq!(viewer.get("cases/6/ct.nii.gz").status, 422, "no image");
    assert_eq!(viewer.get("cases/4/ct.nii.gz").status, 404);
    std::fs::write(&truncated, &whole).unwrap();
    assert_eq!(viewer.get("thumbnails/5.png").status, 200, "put back");
    assert_eq!(viewer.cases()[5]["problem"], json!(null));
}

/// A dataset from elsewhere may hold links to what is private, pipes, and headers that lie.
#[cfg(unix)]
#[test]
fn links_and_pipes_in_a_dataset() {
    use std::os::unix::fs::symlink;
    let root = tempfile::tempdir().unwrap();
    let secret = root.path().join("secret");
    std::fs::write(&secret, "secret ".repeat(200)).unwrap();
    let data = root.path().join("data");
    for (name, file, to) in [
        ("a", "ct.nii.gz", secret.as_path()),
        ("b", "record.json", &secret),
        ("c", "ct.nii.gz", root.path()),
        ("d", "ct.nii.gz", &root.path().join("elsewhere.nii.gz")),
    ] {
        let link = write_case(&data, name, false).join(file);
        std::fs::rename(&link, root.path().join("elsewhere.nii.gz")).unwrap();
        symlink(to, &link).unwrap();
    }
    for (name, file) in [("e", "record.json"), ("f", "ct.nii.gz")] {
        let pipe = write_case(&data, name, false).join(file);
        std::fs::remove_file(&pipe).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    }
    let began = Instant::now();
    let viewer = view(&data);
    let statuses: Vec<_> = (0..6).map(|i| viewer.get(&format!("cases/{i}/ct.nii.gz")).status).collect();
    assert_eq!(statuses, [422, 200, 404, 200, 200, 404]);
    for path in
        ["api/cases", "api/cases/0", "api/cases/1", "api/cases/4", "thumbnails/0.png", "cases/0/ct.nii.gz"]
    {
        assert!(!String::from_utf8_lossy(&viewer.get(path).body).contains("secret"), "{path}");
    }
    let problems: Vec<_> = viewer.cases().iter().map(|case| case["problem"].to_string()).collect();
    assert!(problems[1].contains("damaged") && problems[4].contains("a pipe"), "{problems:?}");
    assert!(problems[2].contains("missing") && problems[5].contains("missing"), "{problems:?}");
    assert!(began.elapsed() < Duration::from_secs(10), "no pipe was waited for");
}

#[test]
fn a_header_that_promises_more_than_there_is_takes_no_memory() {
    let root = two_cases();
    let path = root.path().join("a/ct.nii.gz");
    let mut bytes = scan(0.0).as_bytes().to_vec();
    for (side, at) in [30_000_i16, 30_000, 30_000].iter().zip([42, 44, 46]) {
        bytes[at..at + 2].copy_from_slice(&side.to_le_bytes());
    }
    std::fs::write(&path, bytes).unwrap();
    let viewer = view(root.path());
    let reply = viewer.get("thumbnails/0.png");
    let said = reply.json()["message"].as_str().unwrap().to_owned();
    assert_eq!(reply.status, 422);
    assert!(said.contains("at most 268435456 voxels") && said.contains("27000000000000"), "{said}");
    assert_eq!(viewer.get("thumbnails/1.png").status, 200);
}

/// Else those who have no link could take all connections by asking for the page's files and reading none.
#[test]
fn who_does_not_read_is_given_up() {
    const LENGTH: u64 = 64 << 20;
    let root = two_cases();
    let path = root.path().join("a/ct.nii.gz");
    std::fs::write(&path, scan(0.0).as_bytes()).unwrap();
    std::fs::File::options().write(true).open(&path).unwrap().set_len(LENGTH).unwrap();
    let viewer = view(root.path());
    let mut stream = TcpStream::connect(viewer.addr).unwrap();
    let (page, addr) = (&viewer.page, viewer.addr);
    write!(stream, "GET {page}cases/0/ct.nii.gz HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n")
        .unwrap();
    std::thread::sleep(Duration::from_secs(25));
    let mut got = vec![];
    // It may end with an error, since the rest does not come.
    let _ = stream.read_to_end(&mut got);
    let head = String::from_utf8_lossy(&got[..200]).to_lowercase();
    assert!(head.contains(&format!("content-length: {LENGTH}")), "{head}");
    assert!((got.len() as u64) < LENGTH, "all {LENGTH} bytes came after 25 s");
}
