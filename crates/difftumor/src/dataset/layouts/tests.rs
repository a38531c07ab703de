use super::*;

/// A folder with these files, each with its text.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (file, text) in files {
        let path = dir.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    dir
}

/// Id, scan and labels of each case, paths relative to the folder, and the ids of those that cannot be used.
fn found(files: &[(&str, &str)]) -> (&'static str, Vec<String>, Vec<String>, Option<String>) {
    let dir = folder(files);
    let layout = read(dir.path()).unwrap();
    let short = |path: &Path| path.strip_prefix(dir.path()).unwrap().display().to_string();
    let case = |scan: &ScanSource| {
        let labels = scan.labels.as_deref().map_or("-".into(), short);
        format!("{} {} {labels}", scan.id, short(&scan.ct))
    };
    let unusable = layout.scans.unusable.iter().map(|(id, _)| id.clone()).collect();
    (layout.name, layout.scans.scans.iter().map(case).collect(), unusable, layout.organ)
}

const EMPTY: &str = "";

#[test]
fn a_decathlon_task_is_read_from_its_description() {
    let description = r#"{"name": "Liver", "modality": {"0": "CT"}, "labels": {"0": "background", "1": "liver", "2": "cancer"},
        "training": [{"image": "./imagesTr/liver_1.nii.gz", "label": "./labelsTr/liver_1.nii.gz"},
                     {"image": "./imagesTr/liver_2.nii.gz", "label": "./labelsTr/liver_2.nii.gz"},
                     {"image": "./imagesTr/liver_3.nii.gz", "label": "./labelsTr/liver_3.nii.gz"}],
        "test": ["./imagesTs/liver_4.nii.gz"]}"#;
    let (name, cases, unusable, organ) = found(&[
        ("dataset.json", description),
        ("imagesTr/liver_1.nii.gz", EMPTY),
        ("labelsTr/liver_1.nii.gz", EMPTY),
        // nnU-Net v1 leaves out the channel in the description.
        ("imagesTr/liver_2_0000.nii.gz", EMPTY),
        ("labelsTr/liver_2.nii.gz", EMPTY),
        ("imagesTr/liver_3.nii.gz", EMPTY),
        ("imagesTs/liver_4.nii.gz", EMPTY),
        // Files that macOS leaves in archives.
        ("imagesTr/._liver_1.nii.gz", EMPTY),
    ]);
    assert_eq!(name, "Decathlon or nnU-Net v1");
    let expected = [
        "liver_1 imagesTr/liver_1.nii.gz labelsTr/liver_1.nii.gz",
        "liver_2 imagesTr/liver_2_0000.nii.gz labelsTr/liver_2.nii.gz",
        "liver_4 imagesTs/liver_4.nii.gz -",
    ];
    assert_eq!((cases, unusable), (expected.map(String::from).into(), vec!["liver_3".into()]));
    assert_eq!(organ.as_deref(), Some("liver=1:tumor=2"));
}

#[test]
fn a_dataset_of_nnunet_is_read_by_its_names() {
    let description = r#"{"channel_names": {"0": "CT"}, "labels": {"background": 0, "kidney": 1, "tumor": 2, "cyst": 3},
        "numTraining": 2, "file_ending": ".nii.gz"}"#;
    let (name, cases, unusable, organ) = found(&[
        ("dataset.json", description),
        ("imagesTr/a_0000.nii.gz", EMPTY),
        ("labelsTr/a.nii.gz", EMPTY),
        ("imagesTr/b_0000.nii.gz", EMPTY),
        ("imagesTs/c_0000.nii.gz", EMPTY),
    ]);
    assert_eq!(name, "nnU-Net v2");
    let expected = ["a imagesTr/a_0000.nii.gz labelsTr/a.nii.gz", "c imagesTs/c_0000.nii.gz -"];
    assert_eq!((cases, unusable), (expected.map(String::from).into(), vec!["b".into()]));
    assert_eq!(organ.as_deref(), Some("kidney=1:tumor=2:cyst=3"));
}

#[test]
fn folders_of_cases_are_known_by_their_files() {
    let (name, cases, _, organ) = found(&[
        ("case_00000/imaging.nii.gz", EMPTY),
        ("case_00000/segmentation.nii.gz", EMPTY),
        ("case_00210/imaging.nii.gz", EMPTY),
        ("LICENSE", EMPTY),
    ]);
    assert_eq!(name, "KiTS");
    let expected = [
        "case_00000 case_00000/imaging.nii.gz case_00000/segmentation.nii.gz",
        "case_00210 case_00210/imaging.nii.gz -",
    ];
    assert_eq!(cases, expected);
    assert_eq!(organ.as_deref(), Some("kidney=1:tumor=2:cyst=3"));
    let (name, cases, ..) = found(&[
        ("BDMAP_00000001/ct.nii.gz", EMPTY),
        ("BDMAP_00000001/segmentations/liver.nii.gz", EMPTY),
        ("meta.csv", EMPTY),
    ]);
    assert!(name.contains("AbdomenAtlas"), "{name}");
    assert_eq!(cases, ["BDMAP_00000001 BDMAP_00000001/ct.nii.gz BDMAP_00000001/segmentations"]);
    let (name, cases, ..) = found(&[
        ("a_001/ct.nii.gz", EMPTY),
        ("a_001/labels.nii.gz", EMPTY),
        ("a_001/record.json", EMPTY),
        ("b/ct.nii.gz", EMPTY),
        ("b/labels.nii.gz", EMPTY),
    ]);
    assert_eq!((name, cases.len()), ("outputs of difftumor", 1));
}

#[test]
fn lits_is_known_by_its_numbers_wherever_its_batches_lie() {
    let (name, cases, _, organ) = found(&[
        ("Training Batch 1/volume-0.nii", EMPTY),
        ("Training Batch 1/segmentation-0.nii", EMPTY),
        ("Training Batch 2/volume-28.nii", EMPTY),
        ("segmentations/segmentation-28.nii", EMPTY),
        ("test/test-volume-0.nii", EMPTY),
    ]);
    assert_eq!(name, "LiTS");
    let expected = [
        "volume-0 Training Batch 1/volume-0.nii Training Batch 1/segmentation-0.nii",
        "volume-28 Training Batch 2/volume-28.nii segmentations/segmentation-28.nii",
    ];
    assert_eq!(cases, expected);
    assert_eq!(organ.as_deref(), Some("liver=1:tumor=2"));
}

#[test]
fn healthy_scans_with_published_lists_come_from_the_lists() {
    let (name, cases, ..) = found(&[
        (
            "healthy_liver.txt",
            "img/a.nii.gz label/liver_label/a.nii.gz\nimg/b.nii.gz label/liver_label/b.nii.gz\n",
        ),
        ("licence.txt", "All of this may be used for research."),
        ("img/a.nii.gz", EMPTY),
        ("img/b.nii.gz", EMPTY),
        ("img/not-listed.nii.gz", EMPTY),
        ("label/liver_label/a.nii.gz", EMPTY),
        ("label/liver_label/b.nii.gz", EMPTY),
    ]);
    assert_eq!(name, "published lists");
    assert_eq!(cases[0], "a img/a.nii.gz label/liver_label/a.nii.gz");
    assert_eq!(cases.len(), 2);
}

#[test]
fn anything_else_is_two_folders_or_scans_alone() {
    let (name, cases, unusable, _) =
        found(&[("images/a.nii", EMPTY), ("labels/a.nii", EMPTY), ("images/b.nii", EMPTY)]);
    assert_eq!((name, cases.len(), unusable), ("scans and labels", 1, vec!["b".to_string()]));
    let (name, cases, unusable, _) = found(&[
        ("a_0000.nii.gz", EMPTY),
        ("a_seg.nrrd", EMPTY),
        ("b.nii", EMPTY),
        ("c.nii", EMPTY),
        ("c_mask.nii", EMPTY),
        ("c_labels.nii", EMPTY),
        ("left_labels.nii", EMPTY),
    ]);
    assert_eq!(name, "scans and labels in one folder");
    // A scan may have such a name, too.
    assert_eq!(cases, ["a a_0000.nii.gz a_seg.nrrd", "b b.nii -", "left_labels left_labels.nii -"]);
    assert_eq!(unusable, ["c"]);
    let (name, cases, ..) = found(&[("a_0000.nii.gz", EMPTY), ("b.nii", EMPTY), ("notes.md", EMPTY)]);
    assert_eq!((name, cases), ("scans alone", vec!["a a_0000.nii.gz -".into(), "b b.nii -".into()]));
}

#[test]
fn what_cannot_be_read_is_told() {
    let told = |files: &[(&str, &str)]| read(folder(files).path()).unwrap_err().to_string();
    let broken = told(&[("dataset.json", "{"), ("imagesTr/a.nii", EMPTY)]);
    assert!(broken.contains("dataset.json") && broken.contains("Decathlon"), "{broken}");
    let outside = r#"{"training": [{"image": "../../etc/passwd", "label": "x"}]}"#;
    assert!(told(&[("dataset.json", outside)]).contains("of files in this folder"));
    assert!(told(&[("notes.md", EMPTY)]).contains("folder with .nii"));
    assert!(
        told(&[("list.txt", "img/a.nii.gz lab/gone.nii.gz"), ("img/a.nii.gz", EMPTY)])
            .contains("gone.nii.gz")
    );
    let dir = folder(&[]);
    assert!(read(&dir.path().join("none")).is_err());
}
