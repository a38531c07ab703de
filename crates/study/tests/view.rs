//! The viewer: what it finds and shows.
use difftumor_ct::io::nifti::NiftiImage;
use difftumor_study::view::{Server, ViewOptions};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};
use support::view::*;
use support::*;

// Of the support, this needs a part.
#[allow(dead_code)]
mod support;

fn names(viewer: &Viewer) -> Vec<String> {
    viewer.cases().iter().map(|case| case["name"].as_str().unwrap().to_owned()).collect()
}

fn refused(path: &Path, labels: Option<&Path>) -> String {
    let options = ViewOptions { path: path.into(), labels: labels.map(Into::into), ..ViewOptions::default() };
    Server::open(&options).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn the_list_and_a_case() {
    let root = two_cases();
    let viewer = view(root.path());
    let listed = |name: &str, has_healthy: bool| json!({"name": name, "tumors": 2, "warned": 1, "state": "open", "has_healthy": has_healthy, "problem": null});
    let expected = json!({"can_review": true, "cases": [listed("a", false), listed("b", true)]});
    assert_eq!(viewer.get("api/cases").json(), expected);
    let tumor = |number: u64, grade: &str| {
        json!({
            "number": number, "organ": "liver", "method": null, "size": null, "centre_vox": [8.0, 24.0, 4.0],
            "centre_mm": null, "equivalent_diameter_mm": 6.5, "inside_hu": 40.5, "around_hu": null, "grade": grade,
            "rejected": 1, "warnings": [], "has_mass_effect": false
        })
    };
    let expected = json!({
        "name": "b", "has_healthy": true, "has_labels": true, "has_tumors": true, "problem": null, "state": "open",
        "review": null, "record_sha256": sha256(record("b", 7)),
        "record": {
            "case": "b", "copy": null, "method": "diffusion", "seed": 7, "labels": {"1": "liver", "2": "tumor"},
            "tumors": [tumor(1, "pass"), tumor(2, "warn")]
        }
    });
    assert_eq!(viewer.get("api/cases/1").json(), expected);
}

#[test]
fn a_centre_outside_of_the_scan_is_told_and_not_gone_to() {
    let root = two_cases();
    let text = record("a", 7).replacen("[8.0,24.0,4.0]", "[8.0,24.0,6.0]", 1);
    std::fs::write(root.path().join("a/record.json"), &text).unwrap();
    let tumors = view(root.path()).get("api/cases/0").json()["record"]["tumors"].clone();
    assert_eq!(
        (&tumors[0]["centre_vox"], &tumors[0]["warnings"]),
        (&Value::Null, &json!(["its centre is recorded outside of the scan"]))
    );
    assert_eq!(tumors[1]["centre_vox"], json!([8.0, 24.0, 4.0]));
}

#[test]
fn images_are_the_files_byte_by_byte() {
    let root = two_cases();
    let viewer = view(root.path());
    for (asked, file) in [
        ("cases/0/ct.nii.gz", "a/ct.nii.gz"),
        ("cases/0/tumors.nii.gz", "a/tumors.nii.gz"),
        ("cases/1/labels.nii.gz", "b/labels.nii.gz"),
        ("cases/1/healthy.nii.gz", "b/healthy_ct.nii.gz"),
    ] {
        let bytes = std::fs::read(root.path().join(file)).unwrap();
        let reply = viewer.get(asked);
        assert_eq!((reply.status, reply.body == bytes), (200, true), "{asked}");
        assert!(reply.head.contains(&format!("content-length: {}", bytes.len())), "{}", reply.head);
        assert!(reply.head.contains("content-type: application/octet-stream"), "{}", reply.head);
        let head = format!(
            "HEAD {}{asked} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            viewer.page, viewer.addr
        );
        let head = raw(viewer.addr, head.as_bytes()).unwrap();
        assert_eq!((head.status, head.body.len()), (200, 0), "{asked}: a head alone");
        assert!(head.head.contains(&format!("content-length: {}", bytes.len())), "{}", head.head);
    }
    assert_eq!(viewer.get("cases/0/healthy.nii.gz").status, 404, "it has none");
}

#[test]
fn one_scan_with_and_without_labels() {
    let root = tempfile::tempdir().unwrap();
    let file = |name: &str| root.path().join(name);
    scan(0.0).write(file("scan.nii.gz")).unwrap();
    tumors().write(file("labels.nii")).unwrap();
    for labels in [None, Some(file("labels.nii"))] {
        let viewer = Viewer::start(&file("scan.nii.gz"), labels.as_deref(), &file("cache"));
        let list = viewer.get("api/cases").json();
        let expected = json!({"name": "scan.nii.gz", "tumors": 0, "warned": 0, "state": "open", "has_healthy": false, "problem": null});
        assert_eq!(list, json!({"can_review": false, "cases": [expected]}));
        let details = viewer.get("api/cases/0").json();
        let told = ["has_labels", "has_tumors", "record"].map(|name| details[name].clone());
        assert_eq!(told, [json!(labels.is_some()), json!(false), Value::Null]);
        assert_eq!(viewer.get("cases/0/ct.nii.gz").body, std::fs::read(file("scan.nii.gz")).unwrap());
        let shown = viewer.get("cases/0/labels.nii.gz");
        match &labels {
            Some(path) => assert_eq!(shown.body, std::fs::read(path).unwrap()),
            None => assert_eq!(shown.status, 404),
        }
        let reply = viewer.post(&verdict("0", "accepted", "", ""));
        assert_eq!(
            (reply.status, reply.json()["message"].as_str().unwrap().contains("no record")),
            (400, true)
        );
        std::fs::rename(file("scan.nii.gz"), file("away")).unwrap();
        assert_eq!(viewer.cases()[0]["problem"], "the scan's file is no longer there");
        assert_eq!(viewer.get("cases/0/ct.nii.gz").status, 404);
        std::fs::rename(file("away"), file("scan.nii.gz")).unwrap();
    }
}

#[test]
fn a_scan_of_another_format_is_sent_as_nifti() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("scan.nrrd");
    let head = "NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 2 3 2\nendian: little\n\
                encoding: raw\nspace directions: (2,0,0) (0,2,0) (0,0,5)\nspace origin: (0,0,0)\n\n";
    let voxels: Vec<u8> = (0..12_i16).flat_map(|i| (10 * i).to_le_bytes()).collect();
    std::fs::write(&path, [head.as_bytes(), &voxels].concat()).unwrap();
    let viewer = Viewer::start(&path, None, &root.path().join("cache"));
    let sent = NiftiImage::from_bytes(viewer.get("cases/0/ct.nii.gz").body, "sent").unwrap();
    let volume = sent.to_volume().unwrap();
    assert_eq!(volume.data.dim(), (2, 3, 2));
    assert_eq!((volume.data[[1, 0, 0]], volume.data[[0, 1, 0]], volume.data[[1, 2, 1]]), (10.0, 20.0, 110.0));
    assert_eq!(volume.affine.apply([1.0, 1.0, 1.0]), [-2.0, -2.0, 5.0], "RAS");
    assert_eq!(viewer.get("thumbnails/0.png").status, 200);
}

#[test]
fn a_case_alone_has_its_review_in_the_folder_above() {
    let root = two_cases();
    let viewer = view(&root.path().join("b"));
    assert_eq!(names(&viewer), ["b"]);
    let reply = viewer.post(&verdict("0", "accepted", "", &sha256(record("b", 7))));
    assert_eq!(reply.status, 200, "{reply:?}");
    assert!(root.path().join("review.json").is_file());
    assert_eq!(view(root.path()).cases()[1]["state"], "accepted");
}

#[test]
fn a_dataset_with_a_layout_shows_its_outputs() {
    let out = tempfile::tempdir().unwrap();
    write_case(&out.path().join("synthetic"), "a_001", false);
    write_case(&out.path().join("synthetic"), "a_002", false);
    // What layouts put beside: nnU-Net's images, BodyMaps' folders that look like outputs, and a run's unfinished folder.
    std::fs::create_dir(out.path().join("imagesTr")).unwrap();
    scan(0.0).write(out.path().join("imagesTr/a_001_0000.nii.gz")).unwrap();
    write_case(out.path(), "a_001", false);
    write_case(&out.path().join("synthetic"), ".a_003.1-1.part", false);
    let viewer = view(out.path());
    assert_eq!(names(&viewer), ["a_001", "a_002"]);
    assert_eq!(viewer.post(&verdict("1", "rejected", "", &sha256(record("a_002", 7)))).status, 200);
    assert!(out.path().join("synthetic/review.json").is_file() && !out.path().join("review.json").exists());

    let plain = two_cases();
    write_case(plain.path(), "synthetic", false);
    assert_eq!(names(&view(plain.path())), ["a", "b", "synthetic"], "a case of that name is a case");
}

#[test]
fn every_reply_has_its_headers_and_the_page_is_whole() {
    let root = two_cases();
    let viewer = view(root.path());
    let page = &viewer.page;
    for path in ["/", "/no", page, &format!("{page}api/cases"), &format!("{page}cases/0/ct.nii.gz")] {
        let head = get(viewer.addr, path).head;
        for header in [
            "content-security-policy: default-src 'none'",
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            "cross-origin-resource-policy: same-origin",
            "cache-control: no-",
        ] {
            assert!(head.contains(header), "{path}: no {header} in {head}");
        }
    }
    assert!(viewer.get("cases/0/ct.nii.gz").head.contains("cache-control: no-store"));
    let lost_slash = get(viewer.addr, &page[..page.len() - 1]);
    assert!(
        lost_slash.status == 308 && lost_slash.head.contains(&format!("location: {page}")),
        "{lost_slash:?}"
    );
    let html = String::from_utf8(viewer.get("").body).unwrap();
    let files: Vec<&str> = html.split('"').filter(|part| part.starts_with("/assets/")).collect();
    assert!(
        files.iter().any(|f| f.ends_with(".js")) && files.iter().any(|f| f.ends_with(".css")),
        "{files:?}"
    );
    for name in files {
        assert_eq!(get(viewer.addr, name).status, 200, "{name}");
    }
    assert!(!html.contains("http"), "the page asks nobody else: {html}");
}

#[test]
fn what_is_no_dataset_does_not_open() {
    let root = tempfile::tempdir().unwrap();
    let file = |name: &str| root.path().join(name);
    assert!(refused(&file("none"), None).contains("found nothing"));
    assert!(refused(root.path(), None).contains("folders that synthesize wrote"));
    std::fs::write(file("notes.nii.gz"), "no image").unwrap();
    assert!(refused(&file("notes.nii.gz"), None).contains("expected a NIfTI image"));
    scan(0.0).write(file("scan.nii")).unwrap();
    assert!(refused(&file("scan.nii"), Some(&file("notes.nii.gz"))).contains("notes.nii.gz: expected"));
    write_case(root.path(), "a", false);
    assert!(refused(root.path(), Some(&file("scan.nii"))).contains("labels go with one scan"));
    assert!(refused(&file("a"), Some(&file("scan.nii"))).contains("labels go with one scan"));
    std::fs::write(file("review.json"), "{").unwrap();
    for path in [root.path(), &file("a")] {
        assert!(refused(path, None).contains("review.json: expected 'difftumor review 1'"));
    }
    assert_eq!(std::fs::read_to_string(file("review.json")).unwrap(), "{");
}

/// Two such names would look the same, and share a verdict.
#[cfg(target_os = "linux")]
#[test]
fn a_name_that_is_not_utf_8_does_not_open() {
    use std::os::unix::ffi::OsStrExt;
    let root = two_cases();
    let odd = root.path().join(std::ffi::OsStr::from_bytes(b"c\xff"));
    std::fs::create_dir(&odd).unwrap();
    std::fs::write(odd.join("record.json"), "{}").unwrap();
    for path in [root.path(), &odd] {
        let said = refused(path, None);
        assert!(said.contains("expected a name in UTF-8") && said.contains("rename the folder"), "{said}");
    }
}

#[test]
fn names_with_odd_characters_keep_their_verdicts_apart() {
    let root = tempfile::tempdir().unwrap();
    // Those that every file system takes.
    let odd = ["a b", "a%2e", "a'\u{fffd}", "Ödem #1 <i>", "ä\u{308}"];
    odd.iter().for_each(|name| drop(write_case(root.path(), name, false)));
    let viewer = view(root.path());
    let found = names(&viewer);
    assert_eq!(found, odd);
    for (i, name) in found.iter().enumerate() {
        let note = format!("of {name}");
        let reply = viewer.post(&verdict(&i.to_string(), "accepted", &note, &sha256(record(name, 7))));
        assert_eq!(reply.status, 200, "{name}");
    }
    for (i, name) in found.iter().enumerate() {
        assert_eq!(viewer.get(&format!("api/cases/{i}")).json()["review"]["note"], format!("of {name}"));
    }
}

#[test]
fn a_viewer_that_is_told_to_stop_ends() {
    let root = two_cases();
    let server = Server::open(&ViewOptions { path: root.path().into(), ..ViewOptions::default() }).unwrap();
    let (addr, link) = (server.addr(), server.link());
    assert!(
        link.starts_with(&format!("http://{addr}/v/"))
            && link.len() == format!("http://{addr}/v//").len() + 32
    );
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = runtime.spawn(server.run_until(async { stopped.await.unwrap_or(()) }));
    assert_eq!(get(addr, "/no").status, 404);
    let began = Instant::now();
    drop(stop);
    runtime.block_on(running).unwrap().unwrap();
    assert!(began.elapsed() < Duration::from_secs(5), "nothing was under way");
    assert!(std::net::TcpStream::connect(addr).is_err());
}
