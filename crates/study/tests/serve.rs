//! The server: what it tells, and what it refuses.
use difftumor_study::Error;
use difftumor_study::serve::Server;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};
use support::*;

// Of the support, this needs a part.
#[allow(dead_code)]
mod support;

fn refused(study: &Path) -> String {
    match Server::open(&options(study)) {
        Err(error @ Error::File { .. }) => error.to_string(),
        other => panic!("expected an error about a file, found {other:?}"),
    }
}

fn session(addr: SocketAddr, reader: usize) -> Value {
    get(addr, &format!("/r/{}/api/session", token(reader))).json()
}

#[test]
fn a_session_tells_what_is_asked_and_nothing_else() {
    let study = tiny_study(3, 2);
    let server = serve(study.path());
    let items = |order: [usize; 3]| -> Vec<Value> {
        let one =
            |i: usize| json!({"id": item(i), "centre_vox": [1.0, 2.0, 3.0], "answer": null, "revision": 0});
        order.into_iter().map(one).collect()
    };
    let expected = json!({
        "reader": "Reader 2", "title": "Liver tumors: real or synthetic?", "kind": "visual_turing",
        "choices": ["real", "synthetic"], "window_hu": [60.0, 400.0], "items": items([1, 2, 0])
    });
    assert_eq!(session(server.addr, 1), expected);
    let reply = post(server.addr, 1, &answer(&item(2), "synthetic", 7, 1)).unwrap();
    assert_eq!((reply.status, reply.json()), (200, json!({"revision": 1})));
    let items = session(server.addr, 1)["items"].clone();
    assert_eq!((&items[1]["answer"], &items[1]["revision"]), (&json!("synthetic"), &json!(1)));
    assert_eq!(
        session(server.addr, 0)["items"][2]["answer"],
        Value::Null,
        "another reader's answers are not told"
    );

    let volume = get(server.addr, &format!("/r/{}/volumes/{}.nii.gz", token(0), item(1)));
    assert_eq!((volume.status, volume.body.as_slice()), (200, &b"volume 1"[..]));
}

#[test]
fn wrong_tokens_and_wrong_paths_are_the_same_nothing() {
    let study = tiny_study(2, 1);
    std::fs::write(study.path().join("secret.nii.gz"), "secret").unwrap();
    let server = serve(study.path());
    let nothing = get(server.addr, "/no/such/path");
    assert_eq!(nothing.status, 404);
    let (good, bad) = (token(0), token(5));
    let id = item(0);
    let paths = [
        format!("/r/{bad}/"),
        format!("/r/{bad}"),
        format!("/r/{bad}/api/session"),
        format!("/r/{bad}/volumes/{id}.nii.gz"),
        format!("/r/{}/", &good[1..]),
        "/r//".into(),
        "/r/%ff/".into(),
        format!("/r/{good}/volumes/%ff"),
        format!("/r/{good}/volumes/{id}"),
        format!("/r/{good}/volumes/{}.nii.gz", "0".repeat(16)),
        format!("/r/{good}/volumes/../study.json"),
        format!("/r/{good}/volumes/../secret.nii.gz"),
        format!("/r/{good}/volumes/..%2fsecret.nii.gz"),
        format!("/r/{good}/volumes/%2e%2e%2fsecret.nii.gz"),
        format!("/r/{good}/volumes/..%5csecret.nii.gz"),
        format!("/r/{good}/volumes/{id}.nii.gz%00"),
        format!("/r/{good}/readers.json"),
        format!("/r/{good}/api/answers"),
        "/assets/../study.json".into(),
        "/assets/..%2f..%2fCargo.toml".into(),
        "/study.json".into(),
    ];
    for path in paths {
        let reply = get(server.addr, &path);
        assert_eq!((reply.status, &reply.body), (404, &nothing.body), "{path}");
    }
    let reply =
        post_with(server.addr, &format!("/r/{bad}/api/answers"), PAGE, &answer(&id, "real", 1, 1)).unwrap();
    assert_eq!((reply.status, &reply.body), (404, &nothing.body));
    for method in ["DELETE", "PUT", "OPTIONS"] {
        let request =
            format!("{method} /r/{good}/ HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", server.addr);
        assert_eq!(raw(server.addr, request.as_bytes()).unwrap().status, 404, "{method}");
    }
}

#[test]
fn every_reply_has_its_headers_and_the_page_is_whole() {
    let study = tiny_study(1, 1);
    let server = serve(study.path());
    let page = format!("/r/{}/", token(0));
    for path in
        ["/", "/no", &page, &format!("{page}api/session"), &format!("{page}volumes/{}.nii.gz", item(0))]
    {
        let head = get(server.addr, path).head;
        for header in [
            "content-security-policy: default-src 'none'",
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            "cache-control: no-",
        ] {
            assert!(head.contains(header), "{path}: no {header} in {head}");
        }
    }
    assert!(get(server.addr, &format!("{page}api/session")).head.contains("cache-control: no-store"));
    let lost_slash = get(server.addr, &page[..page.len() - 1]);
    assert!(
        lost_slash.status == 308 && lost_slash.head.contains(&format!("location: {page}")),
        "{lost_slash:?}"
    );

    let html = String::from_utf8(get(server.addr, &page).body).unwrap();
    let files: Vec<&str> = html.split('"').filter(|part| part.starts_with("/assets/")).collect();
    assert!(
        files.iter().any(|f| f.ends_with(".js")) && files.iter().any(|f| f.ends_with(".css")),
        "{files:?}"
    );
    for name in files.into_iter().chain(["/assets/viewer.js", "/assets/LICENSES.txt"]) {
        let reply = get(server.addr, name);
        assert_eq!(reply.status, 200, "{name}");
        let tag = reply.head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap().to_owned();
        let again = format!(
            "GET {name} HTTP/1.1\r\nHost: {}\r\nIf-None-Match: {tag}\r\nConnection: close\r\n\r\n",
            server.addr
        );
        assert_eq!(raw(server.addr, again.as_bytes()).unwrap().status, 304, "{name}");
    }
    let licences = String::from_utf8(get(server.addr, "/assets/LICENSES.txt").body).unwrap();
    assert!(
        licences.contains("@niivue/niivue") && licences.contains("Copyright (c) 2021, Niivue"),
        "{licences}"
    );
    assert!(!html.contains("http"), "the page asks nobody else: {html}");
}

#[test]
fn answers_that_are_not_answers_are_refused() {
    let study = tiny_study(2, 1);
    let server = serve(study.path());
    let (path, good) = (format!("/r/{}/api/answers", token(0)), answer(&item(0), "real", 1, 1));
    let sent = |headers: &str, body: &str| post_with(server.addr, &path, headers, body).unwrap().status;
    let json = "Content-Type: application/json\r\n";
    let origin = |origin: &str| format!("{PAGE}Origin: {origin}\r\n");
    assert_eq!(sent(json, &good), 403, "without the page's header");
    assert_eq!(sent(&origin("http://evil.example"), &good), 403);
    assert_eq!(sent(&origin("null"), &good), 403);
    assert_eq!(sent("X-Difftumor-Study: 1\r\nContent-Type: text/plain\r\n", &good), 415);
    assert_eq!(sent("X-Difftumor-Study: 1\r\n", &good), 415);
    for bad in [
        "",
        "{",
        "[]",
        "null",
        &answer("0000000000000000", "real", 1, 1),
        &answer(&item(0), "perhaps", 1, 1),
        &good.replace("1234", "-1"),
        &good.replace("1234", "1e99"),
        &good.replace("1234", "86400001"),
        &good.replace("\"client_id\":\"0", "\"client_id\":\"g"),
        &good.replace('}', ",\"reader\":\"Reader 2\"}"),
        &good.replace("\"expected_revision\":1", "\"expected_revision\":4294967296"),
    ] {
        assert_eq!(sent(PAGE, bad), 400, "{bad}");
    }
    assert_eq!(sent(PAGE, &format!("{good}{}", " ".repeat(16 << 10))), 413);
    let long = "1000\r\n".to_owned() + &" ".repeat(0x1000) + "\r\n";
    let chunked = format!(
        "POST {path} HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n{PAGE}\r\n{}0\r\n\r\n",
        server.addr,
        long.repeat(5)
    );
    assert_eq!(raw(server.addr, chunked.as_bytes()).unwrap().status, 413, "long without having said so");
    assert!(session(server.addr, 0)["items"].as_array().unwrap().iter().all(|i| i["answer"].is_null()));
    assert_eq!(sent(&origin(&format!("http://{}", server.addr)), &good), 200);
}

#[test]
fn another_sites_name_for_this_machine_is_refused() {
    let study = tiny_study(1, 1);
    let server = serve(study.path());
    for host in ["evil.example", "evil.example:80", "10.1.2.3"] {
        let request =
            format!("GET /r/{}/api/session HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n", token(0));
        let reply = raw(server.addr, request.as_bytes()).unwrap();
        assert_eq!((reply.status, &reply.json()["error"]), (403, &json!("host")), "{host}");
    }
}

#[test]
fn replays_and_answers_out_of_order() {
    let study = tiny_study(2, 2);
    let server = serve(study.path());
    let sent = |reader, body: &str| {
        let reply = post(server.addr, reader, body).unwrap();
        (reply.status, reply.json())
    };
    let first = answer(&item(0), "real", 1, 1);
    assert_eq!(sent(0, &first), (200, json!({"revision": 1})));
    assert_eq!(sent(0, &first), (200, json!({"revision": 1})), "replay");
    let stale = sent(0, &answer(&item(0), "synthetic", 2, 1));
    let state = (stale.0, &stale.1["error"], &stale.1["answer"], &stale.1["revision"]);
    assert_eq!(state, (409, &json!("stale"), &json!("real"), &json!(1)));
    let early = sent(0, &answer(&item(1), "synthetic", 3, 2));
    assert_eq!((early.0, &early.1["answer"], &early.1["revision"]), (409, &Value::Null, &json!(0)));
    assert_eq!(sent(1, &first).1["error"], "client_id", "another reader's");
    assert_eq!(sent(0, &answer(&item(0), "synthetic", 4, 2)), (200, json!({"revision": 2})));
    drop(server);
    let server = serve(study.path());
    assert_eq!(session(server.addr, 0)["items"][0]["answer"], "synthetic", "after a restart");
}

#[test]
fn a_folder_that_changes_is_refused_in_words() {
    let study = tiny_study(2, 1);
    let file = |name: &str| study.path().join(name);
    let volume = format!("volumes/{}.nii.gz", item(0));
    let server = serve(study.path());
    let ask = |path: &str| get(server.addr, &format!("/r/{}/{path}", token(0)));
    let is_changed = |reply: Reply| {
        let body = reply.json();
        assert_eq!((reply.status, &body["error"]), (409, &json!("study_changed")));
        assert!(body["message"].as_str().unwrap().contains("study folder changed"), "{body}");
        assert!(!body["message"].as_str().unwrap().contains("/tmp"), "no paths: {body}");
    };
    for name in [volume.as_str(), "study.json", "readers.json"] {
        let before = std::fs::read(file(name)).unwrap();
        for change in [&b"volume 9"[..], b"", &[before.as_slice(), b" "].concat()] {
            std::fs::write(file(name), change).unwrap();
            is_changed(ask(&volume));
            if name != volume {
                is_changed(ask("api/session"));
                is_changed(post(server.addr, 0, &answer(&item(1), "real", 9, 1)).unwrap());
            }
        }
        std::fs::remove_file(file(name)).unwrap();
        is_changed(ask(&volume));
        std::fs::write(file(name), before).unwrap();
        assert_eq!(ask(&volume).status, 200, "{name} is back");
    }
    assert_eq!(session(server.addr, 0)["items"][1]["answer"], Value::Null);
}

#[test]
fn studies_that_are_not_whole_do_not_open() {
    let change = |name: &str, from: &str, to: &str| {
        let study = tiny_study(2, 2);
        let path = study.path().join(name);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{from} is not in {text}");
        std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
        let said = refused(study.path());
        assert!(said.contains(name), "{said} does not name {name}");
        said
    };
    let (one, two) = (item(0), item(1));
    assert!(change("study.json", "study 1", "study 2").contains("found 'difftumor study 2'"));
    assert!(change("study.json", &one, "../../secret").contains("'../../secret'"));
    assert!(change("study.json", &one, &one.to_uppercase()).contains("16 hexadecimal digits"));
    assert!(change("study.json", &one, &two).contains("ids that ascend"));
    assert!(change("study.json", "\"synthetic\"", "\"real\"").contains("choices"));
    assert!(change("study.json", "400.0", "0.0").contains("width above 0"));
    assert!(change("study.json", "\"title\"", "\"key\"").contains("unknown field"));
    assert!(change("readers.json", &one, &two).contains("each once"));
    assert!(change("readers.json", "Reader 2", "Reader 1").contains("names that differ"));
    assert!(change("readers.json", &sha256(token(1)), &sha256(token(0))).contains("token"));
    assert!(change("readers.json", "{", "").contains("expected 'difftumor study 1'"));

    let study = tiny_study(2, 1);
    let volume = study.path().join(format!("volumes/{two}.nii.gz"));
    std::fs::write(&volume, "other").unwrap();
    assert!(refused(study.path()).contains("has changed: expected SHA-256"));
    std::fs::remove_file(&volume).unwrap();
    assert!(refused(study.path()).contains(&two), "a missing volume is named");
    assert!(refused(&study.path().join("none")).contains("expected the folder of a study"));
}

#[test]
fn one_study_has_one_server_and_its_own_answers() {
    let study = tiny_study(1, 1);
    let server = serve(study.path());
    assert!(refused(study.path()).contains("another server has this study"));
    let other = tiny_study(2, 1);
    let mut options = options(other.path());
    options.answers = Some(study.path().join("answers.sqlite"));
    let said = Server::open(&options).unwrap_err().to_string();
    assert!(said.contains("expected answers to the study"), "{said}");
    options.answers = Some(other.path().join("elsewhere.sqlite"));
    options.listen = server.addr;
    let said = Server::open(&options).unwrap_err().to_string();
    assert!(said.contains("port that is free"), "{said}");
    drop(server);
    drop(serve(study.path()));
}

#[test]
fn a_body_that_does_not_come_is_given_up() {
    let study = tiny_study(1, 1);
    let server = serve(study.path());
    let head = format!("POST /r/{}/api/answers HTTP/1.1\r\nHost: {}\r\n", token(0), server.addr);
    let began = Instant::now();
    let reply = raw(
        server.addr,
        format!("{head}Content-Length: 100\r\nConnection: close\r\n{PAGE}\r\n{{").as_bytes(),
    );
    assert_eq!(reply.unwrap().status, 408);
    // Headers that do not end: closed without a reply, or with one that says so.
    let reply = raw(server.addr, head.as_bytes());
    assert!(reply.as_ref().map_or(true, |r| r.status == 408), "{reply:?}");
    let waited_s = began.elapsed().as_secs_f64();
    assert!((19.0..28.0).contains(&waited_s), "10 s each, waited {waited_s} s");
}

#[test]
fn a_server_that_is_told_to_stop_takes_the_answer_under_way() {
    let study = tiny_study(1, 1);
    let server = serve(study.path());
    let (addr, body) = (server.addr, answer(&item(0), "real", 1, 1));
    let (begun, rest) = body.split_at(20);
    let mut stream = TcpStream::connect(addr).unwrap();
    let length = body.len();
    let path = format!("/r/{}/api/answers", token(0));
    write!(stream, "POST {path} HTTP/1.1\r\nHost: {addr}\r\nContent-Length: {length}\r\n{PAGE}\r\n{begun}")
        .unwrap();
    std::thread::sleep(Duration::from_millis(200));
    let stopping = std::thread::spawn(move || drop(server));
    std::thread::sleep(Duration::from_millis(200));
    assert!(TcpStream::connect(addr).is_err(), "no new connections");
    stream.write_all(rest.as_bytes()).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 200") && reply.ends_with("{\"revision\":1}"), "{reply}");
    stopping.join().unwrap();
    assert_eq!(session(serve(study.path()).addr, 0)["items"][0]["answer"], "real");
}
