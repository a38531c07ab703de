use super::*;
use crate::synthesis::{Case, Generator, SizeChoice, SynthesisOptions, Synthesizer};
use difftumor_ct::label::OrganMask;
use difftumor_ct::tumor_mask::sizes_mm::DiameterRange;
use difftumor_ct::{Affine, Mask};
use ndarray::Array3;

/// A scan of one organ, brighter towards the patient's left by 1 HU per mm, with tumors of 6 to 9 mm.
fn synthesized(shape: [usize; 3], affine: Affine) -> (Volume, Synthesis) {
    let hu = |p: [f64; 3]| (100.0 - (p[0] - affine.0[0][3])) as f32;
    let data = Array3::from_shape_fn(shape, |(x, y, z)| hu(affine.apply([x, y, z].map(|v| v as f64))));
    let ct = Volume { data, affine };
    let organ = Mask { data: Array3::from_elem(shape, true), affine };
    let organ = OrganMask { name: "liver".into(), organ, tumor: None, cyst: None, sources: vec![] };
    let case = Case { id: "phantom".into(), ct: ct.clone(), hu_step: Some(1.0), organs: vec![organ] };
    let options = SynthesisOptions {
        size: SizeChoice::DiameterMm(DiameterRange::new(6.0, 9.0).unwrap()),
        tumors: Some((1, 2)),
        ..SynthesisOptions::default()
    };
    let synthesis = Synthesizer { options, generator: Generator::Handcrafted }.synthesize(&case, 0).unwrap();
    (ct, synthesis)
}

fn at(spacing_mm: [f64; 3]) -> Affine {
    Affine::from_spacing_mm(spacing_mm)
}

#[test]
fn the_picture_has_a_row_per_tumor_and_the_same_bytes_each_time() {
    let (before, synthesis) = synthesized([50, 50, 50], at([1.0; 3]));
    let canvas = draw(&before, &synthesis).unwrap();
    let rows = synthesis.records.len();
    assert_eq!(canvas.size(), [5 * 246 + 6, 26 + rows * (26 + 240 + 6)]);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("preview.png");
    write(&path, &before, &synthesis).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(bytes, draw(&before, &synthesis).unwrap().png());
    let mut reader = png::Decoder::new(std::io::Cursor::new(&bytes)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!([info.width as usize, info.height as usize], canvas.size());
    assert_eq!(pixels[..3], BACKGROUND);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn pixels_show_the_voxels_that_lie_there() {
    let (before, synthesis) = synthesized([50, 50, 50], at([1.0; 3]));
    let canvas = draw(&before, &synthesis).unwrap();
    let record = synthesis.records.iter().max_by(|a, b| a.volume_mm3.total_cmp(&b.volume_mm3)).unwrap();
    let centre = view::centre_mm(&synthesis.instances, record);
    // At 1 mm and the origin 0, world positions are voxel indices.
    let voxel = centre.map(|c| c as usize);
    assert_eq!(synthesis.instances.data[voxel], record.number);
    let grey = |hu: f32| ((hu + 150.0) / 400.0 * 255.0).round() as u8;
    let pixel = |panel: usize, x: usize, y: usize| canvas.get(6 + panel * 246 + x, 52 + y);
    assert_eq!(pixel(0, 120, 120), [grey(before.data[voxel]); 3]);
    for panel in [1, 3, 4] {
        assert_eq!(pixel(panel, 120, 120), [grey(synthesis.case.ct.data[voxel]); 3]);
    }
    // Half a millimetre a pixel: 2 voxels to the patient's right are 4 pixels to the left, where it is brighter.
    let right = [voxel[0] + 2, voxel[1], voxel[2]];
    assert_eq!(pixel(0, 116, 120), [grey(before.data[right]); 3]);
    // Beyond the scan it is black.
    assert_eq!(pixel(0, 239, 30), [0; 3]);
}

#[test]
fn the_outline_runs_around_the_tumor_and_not_through_it() {
    let (before, synthesis) = synthesized([50, 50, 50], at([1.0; 3]));
    let canvas = draw(&before, &synthesis).unwrap();
    let coloured = |panel: usize| {
        let pixels = (0..240).flat_map(|x| (0..240).map(move |y| [x, y]));
        pixels.filter(|[x, y]| canvas.get(6 + panel * 246 + x, 52 + y) == OUTLINE).collect::<Vec<_>>()
    };
    let outline = coloured(2);
    // A circle of 6 to 9 mm has 19 to 28 mm, that is 38 to 57 pixels; stairs make it longer by at most 4/pi.
    assert!((30..90).contains(&outline.len()), "{}", outline.len());
    assert!([0, 1, 3, 4].into_iter().all(|panel| coloured(panel).is_empty()));
    assert_ne!(canvas.get(6 + 2 * 246 + 120, 52 + 120), OUTLINE);
}

#[test]
fn thick_oblique_flipped_and_tiny_scans_are_drawn() {
    let oblique = Affine([
        [0.9, -0.3, 0.0, 10.0],
        [0.3, 0.9, -0.2, -20.0],
        [0.0, 0.2, 1.4, 30.0],
        [0.0, 0.0, 0.0, 1.0],
    ]);
    let lps = Affine([
        [-0.8, 0.0, 0.0, 10.0],
        [0.0, -0.8, 0.0, -20.0],
        [0.0, 0.0, 5.0, 30.0],
        [0.0, 0.0, 0.0, 1.0],
    ]);
    for (shape, affine) in [([50, 50, 12], lps), ([50, 50, 40], oblique), ([12, 12, 4], at([1.0, 1.0, 3.0]))]
    {
        let (before, synthesis) = synthesized(shape, affine);
        let canvas = draw(&before, &synthesis).unwrap();
        let record = synthesis.records.iter().max_by(|a, b| a.volume_mm3.total_cmp(&b.volume_mm3)).unwrap();
        let centre = view::centre_mm(&synthesis.instances, record);
        let voxel = affine.inverse().unwrap().apply(centre).map(|v| v.round() as usize);
        assert_eq!(synthesis.instances.data[voxel], record.number);
        // Positions are snapped to 1e-5 voxels; 0.5 of a grey value is 0.8 HU.
        let shown = i32::from(canvas.get(6 + 246 + 120, 52 + 120)[0]);
        let expected = ((synthesis.case.ct.data[voxel] + 150.0) / 400.0 * 255.0).round() as i32;
        assert!((shown - expected).abs() <= 1, "{shown} {expected}");
    }
}

#[test]
fn what_cannot_be_written_is_an_error_that_names_the_file() {
    let (before, synthesis) = synthesized([12, 12, 12], at([1.0; 3]));
    let dir = tempfile::tempdir().unwrap();
    let error = write(&dir.path().join("no/preview.png"), &before, &synthesis).unwrap_err();
    assert!(error.to_string().contains("no/preview.png"), "{error}");
}

#[test]
fn every_letter_of_the_labels_is_known() {
    let text = "TUMOR 0123456789: LIVER, LONGEST AXIAL DIAMETER -5 MM, HU INSIDE AROUND BEFORE AFTER OUTLINE \
                CORONAL SAGITTAL THE LARGEST OF TUMORS WINDOW TO abcdefghijklmnopqrstuvwxyz";
    assert!(text.chars().all(|c| font::columns(c) != font::columns('?')));
    assert_eq!(font::columns('ß'), font::columns('?'));
}
