//! What is cut out of scans.
use super::*;

/// Makes a study of two such scans and gives its volumes and where they open; the sources' tumors are all alike.
fn shown(scan: &Scan, change: impl Fn(MakeOptions) -> MakeOptions) -> Vec<(Volume, [f64; 3])> {
    let dir = tempfile::tempdir().unwrap();
    let options = change(MakeOptions { repeats: 0.0, ..options(dir.path(), "study") });
    let turing = options.kind == Kind::VisualTuring;
    let sources = [
        scan.source(dir.path(), "a", "liver", false),
        scan.source(dir.path(), "b", if turing { "liver" } else { "kidney" }, turing),
    ];
    make(&sources, &options).unwrap();
    let study: Study = read(options.out.join("study.json"));
    let volume = |id: &str| NiftiImage::read(options.out.join(format!("volumes/{id}.nii.gz"))).unwrap();
    study.items.iter().map(|item| (volume(&item.id).to_volume().unwrap(), item.centre_vox)).collect()
}

fn tumor_voxels(volume: &Volume) -> Vec<[usize; 3]> {
    volume.data.indexed_iter().filter(|(_, hu)| **hu == TUMOR_HU).map(|((x, y, z), _)| [x, y, z]).collect()
}

#[test]
fn a_tumor_lies_in_the_middle_of_its_surroundings_turned_to_ras() {
    let scan = Scan::default();
    for (volume, centre_vox) in shown(&scan, |options| options) {
        assert_eq!(volume.grid().shape, [32, 32, 24]);
        // The ball's middle is the voxel [20, 18, 16] of L, P, S: in RAS [23, 21, 16]. The box begins at 7, 5 and 4.
        assert_eq!(centre_vox, [16.0, 16.0, 12.0]);
        let data = &volume.data;
        for (x, y, z) in [(0, 0, 0), (31, 0, 23), (3, 30, 9)] {
            let (lx, ly, lz) = (43 - (x + 7), 39 - (y + 5), z + 4);
            assert_eq!(data[[x, y, z]], ((lx * 7 + ly * 13 + lz * 29) % 31) as f32);
        }
    }
}

#[test]
fn a_box_stays_within_the_scan_and_a_small_scan_is_padded_with_air() {
    let corner = Scan { balls: vec![([1, 38, 1], 7.0)], ..Scan::default() };
    for (volume, centre_vox) in shown(&corner, |options| options) {
        assert_eq!(volume.data.iter().filter(|hu| **hu == -1024.0).count(), 0);
        assert_eq!(volume.data[centre_vox.map(|v| v as usize)], TUMOR_HU);
        let inside = (0..corner.shape.iter().product()).filter(|i| {
            let at = [i / (40 * 36), i / 36 % 40, i % 36];
            corner.is_inside(at, corner.balls[0])
        });
        assert_eq!(tumor_voxels(&volume).len(), inside.count());
    }
    let small = Scan { shape: [20, 21, 22], balls: vec![([10, 10, 10], 7.0)], ..Scan::default() };
    for (volume, centre_vox) in shown(&small, |options| options) {
        assert_eq!(volume.grid().shape, [32, 32, 24]);
        assert_eq!(volume.data[centre_vox.map(|v| v as usize)], TUMOR_HU);
        // The scan's padding in four corners of a slice of 10 voxels was clipped to the same.
        assert_eq!(volume.data.iter().filter(|hu| **hu > -1024.0).count(), (20 * 21 - 10) * 22);
    }
}

#[test]
fn a_crescent_opens_on_itself() {
    // Three balls that touch, around a corner: the centre of mass lies beside them.
    let balls = vec![
        ([10, 30, 16], 9.0),
        ([16, 30, 16], 9.0),
        ([22, 30, 16], 9.0),
        ([22, 24, 16], 9.0),
        ([22, 18, 16], 9.0),
    ];
    for (volume, centre_vox) in shown(&Scan { balls, ..Scan::default() }, |options| options) {
        assert_eq!(volume.data[centre_vox.map(|v| v as usize)], TUMOR_HU);
    }
}

#[test]
fn a_tumor_alone_has_a_thin_rim_and_lies_in_the_middle() {
    let scan = Scan { spacing_mm: [1.5, 1.5, 2.0], balls: vec![([20, 18, 16], 12.0)], ..Scan::default() };
    let recognition = |options| MakeOptions { kind: Kind::OrganRecognition, ..options };
    let ball = |radius_mm: f64| 4.0 / 3.0 * std::f64::consts::PI * radius_mm.powi(3);
    for (volume, centre_vox) in shown(&scan, recognition) {
        assert_eq!((volume.grid().shape, centre_vox), ([65; 3], [32.0; 3]));
        assert_eq!(volume.affine.spacing_mm(), [1.0; 3]);
        let kept: Vec<f64> = volume
            .data
            .indexed_iter()
            .filter(|(_, hu)| **hu != -1024.0)
            .map(|((x, y, z), _)| [x, y, z].iter().map(|v| (*v as f64 - 32.0).powi(2)).sum::<f64>().sqrt())
            .collect();
        // A ball of 12 mm and 3 mm around it; its voxels were 2 mm, so its surface is known to half of that.
        let farthest = kept.iter().copied().fold(0.0, f64::max);
        assert!((14.0..16.5).contains(&farthest), "{farthest}");
        let volume_mm3 = kept.len() as f64;
        assert!((ball(14.3)..ball(15.7)).contains(&volume_mm3), "{volume_mm3}");
        assert_eq!(volume.data[[32; 3]], TUMOR_HU);
    }
    let bare = shown(&scan, |options| MakeOptions { rim_mm: 0.0, ..recognition(options) });
    let voxels = bare[0].0.data.iter().filter(|hu| **hu != -1024.0).count() as f64;
    assert!((ball(11.3)..ball(12.7)).contains(&voxels), "{voxels}");
}

#[test]
fn a_rim_ends_where_the_scan_ends_and_large_tumors_have_larger_cubes() {
    let corner = Scan { balls: vec![([1, 18, 16], 9.0)], spacing_mm: [1.5, 1.5, 2.0], ..Scan::default() };
    let recognition = |options| MakeOptions { kind: Kind::OrganRecognition, ..options };
    for (volume, _) in shown(&corner, recognition) {
        let kept = |axis: usize| {
            let is_kept = |plane: ndarray::ArrayView2<'_, f32>| plane.iter().any(|hu| *hu != -1024.0);
            volume.data.axis_iter(ndarray::Axis(axis)).filter(|plane| is_kept(plane.view())).count()
        };
        // Along x: the tumor's voxels 0 to 7 are 12 mm and the rim 3 mm on one side; whole along y: 18 and 6 mm.
        assert!((14..=16).contains(&kept(0)), "{}", kept(0));
        assert!((23..=26).contains(&kept(1)), "{}", kept(1));
    }
    let large = Scan { balls: vec![([20, 18, 16], 36.0)], ..Scan::default() };
    // 25 voxels of 3 mm across are 75 mm, and 2 * 3 + 3.
    assert_eq!(shown(&large, recognition)[0].0.grid().shape, [85; 3]);
}

#[test]
fn tumors_alone_are_mirrored_at_random() {
    // A tumor with a knob towards one corner, in 16 cases of each organ.
    let knob = Scan { balls: vec![([20, 18, 16], 9.0), ([24, 22, 19], 9.0)], ..Scan::default() };
    let dir = tempfile::tempdir().unwrap();
    let (ct, tumors) = knob.write(dir.path(), "knob");
    let source = |i: usize| Source {
        case: format!("case{i}"),
        ct: ct.clone(),
        tumors: tumors.clone(),
        tumor_values: vec![1, 2],
        organ: if i.is_multiple_of(2) { "liver".into() } else { "kidney".into() },
        synthetic: false,
    };
    let options = MakeOptions { kind: Kind::OrganRecognition, repeats: 0.0, ..options(dir.path(), "study") };
    make(&(0..32).map(source).collect::<Vec<_>>(), &options).unwrap();
    let study: Study = read(options.out.join("study.json"));
    let different: BTreeSet<&str> = study.items.iter().map(|item| item.sha256.as_str()).collect();
    // Eight ways to mirror; that 32 draws leave one out has a probability of 8 * (7/8)^32 = 0.11, two 0.3 %.
    assert!(different.len() >= 7, "{}", different.len());
    assert_eq!(study.choices, ["kidney", "liver"]);
}
