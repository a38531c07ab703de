//! Two of the scripts in `experiments/` on small phantoms, from the data to the table. They need bash, awk and python3, as the scripts do;
//! without these they say so and test nothing.
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Beside the tests, where cargo puts examples.
fn phantoms() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(2).unwrap().join("examples/phantoms")
}

/// Whether the scripts can run here.
fn can_run() -> bool {
    let missing = ["bash", "awk", "python3"]
        .into_iter()
        .find(|program| Command::new(program).arg("--version").output().is_err());
    if let Some(program) = missing {
        println!("skipped: there is no {program}");
    }
    missing.is_none()
}

fn script(name: &str, data: &Path, out: &Path, more: &[&str]) -> (bool, String, String) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let Output { status, stdout, stderr } = Command::new("bash")
        .arg(root.join("experiments").join(name))
        .args([data, out])
        .arg("--smoke")
        .args(more)
        .env("DIFFTUMOR", env!("CARGO_BIN_EXE_difftumor"))
        .env("PHANTOMS", phantoms())
        .env("SMOKE_STEPS", "4")
        .output()
        .expect("bash");
    let [stdout, stderr] = [stdout, stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    (status.success(), stdout, stderr)
}

/// Lines of the table at the end, without its header.
fn table(stdout: &str) -> Vec<&str> {
    stdout.lines().filter(|line| line.starts_with("| ")).skip(1).collect()
}

#[test]
fn table_7_prints_the_papers_numbers_beside_ours_and_goes_on_where_it_was() {
    if !can_run() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (data, out) = (dir.path().join("data"), dir.path().join("out"));
    let (done, plan, stderr) = script("table7.sh", &data, &out, &["--plan"]);
    assert!(done && plan.contains("22 steps to do"), "{plan}{stderr}");
    assert!(!out.join("runs").join("unet").join("liver-liver/real/0/run.toml").exists());
    let (done, stdout, stderr) = script("table7.sh", &data, &out, &[]);
    assert!(done, "{stdout}{stderr}");
    let lines = table(&stdout);
    // Two organs, three methods, DSC and NSD.
    assert_eq!(lines.len(), 12, "{stdout}");
    assert!(lines[0].starts_with("| unet | liver | liver | difftumor | dsc | 0 | 70.9 | "), "{}", lines[0]);
    assert!(lines.iter().all(|line| !line.ends_with("| - |")), "{stdout}");
    assert!(out.join("comparisons/table7-pancreas/report.html").is_file());
    let (done, again, stderr) = script("table7.sh", &data, &out, &[]);
    assert!(done && !stderr.contains("== "), "{stderr}");
    assert_eq!(table(&again), lines);
    let (done, plan, _) = script("table7.sh", &data, &out, &["--plan"]);
    assert!(done && plan.contains("0 steps to do"), "{plan}");
    // A step that failed is done again, and what does not work is no success.
    std::fs::remove_file(out.join("done/measure-unet-liver-liver-hu-0")).unwrap();
    std::fs::remove_dir_all(out.join("runs/unet/liver-liver/hu/0")).unwrap();
    let (done, ..) = script("table7.sh", &data, &out, &[]);
    assert!(!done);
}

#[test]
fn figure_6_compares_numbers_of_diffusion_steps() {
    if !can_run() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (done, stdout, stderr) = script("fig6.sh", &dir.path().join("data"), &dir.path().join("out"), &[]);
    assert!(done, "{stdout}{stderr}");
    let lines = table(&stdout);
    assert_eq!(lines.len(), 2, "{stdout}");
    assert!(lines[0].contains("difftumor-t1") && lines[1].contains("difftumor-t4"), "{stdout}");
}
