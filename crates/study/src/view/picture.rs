//! A thumbnail's pixels: an axial slice through the largest tumor, with its outline. As radiologists look: the patient's right on the left,
//! the front above.
use difftumor_ct::{Affine, Labels, Volume};
use ndarray::Array3;
use std::collections::BTreeMap;
use std::ops::Range;

/// Longer side, in pixels.
pub(super) const SIDE: usize = 160;

/// Centre and width of the window.
const WINDOW_HU: [f32; 2] = [50.0, 400.0];

/// Of tumors' outlines.
const OUTLINE: [u8; 3] = [255, 150, 40];

/// RGB, row by row from the top.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Picture {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) rgb: Vec<u8>,
}

impl Picture {
    /// As a PNG file.
    pub(super) fn to_png(&self) -> Vec<u8> {
        let mut bytes = vec![];
        let mut encoder = png::Encoder::new(&mut bytes, self.width as u32, self.height as u32);
        encoder.set_color(png::ColorType::Rgb);
        let mut writer = encoder.write_header().expect("a header in memory");
        writer.write_image_data(&self.rgb).expect("as many pixels as the header says");
        writer.finish().expect("an end in memory");
        bytes
    }
}

/// A voxel axis, and whether it runs against the direction it was chosen for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Along {
    axis: usize,
    is_against: bool,
}

/// The voxel axes that run most nearly to the left, to the back, and up. (World axes are right, front, up.)
fn axes(affine: &Affine) -> [Along; 3] {
    let spacing_mm = affine.spacing_mm();
    let along = |world: usize, axis: usize| affine.0[world][axis] / spacing_mm[axis];
    let mut left: Vec<usize> = vec![0, 1, 2];
    // The slices' own axis first: the others are those that remain.
    let mut found = [2, 1, 0].map(|world| {
        let clearest = |a: &usize, b: &usize| along(world, *a).abs().total_cmp(&along(world, *b).abs());
        let axis = left.iter().copied().max_by(clearest).expect("one axis is left for each");
        left.retain(|other| *other != axis);
        let is_towards_plus = world == 2;
        Along { axis, is_against: (along(world, axis) > 0.0) != is_towards_plus }
    });
    found.reverse();
    found
}

/// The slice in which to look, as an index along this axis: through the centre of the largest tumor, else the middle.
fn slice(tumors: Option<&Labels>, axis: usize, length: usize) -> usize {
    let mut sizes: BTreeMap<u16, (usize, usize)> = BTreeMap::new();
    for (at, value) in tumors.iter().flat_map(|tumors| tumors.data.indexed_iter()).filter(|(_, v)| **v > 0) {
        let (count, sum) = sizes.entry(*value).or_default();
        *count += 1;
        *sum += [at.0, at.1, at.2][axis];
    }
    // Of equal ones, that of the lowest number.
    let largest = sizes.values().rev().max_by_key(|(count, _)| *count);
    largest.map_or(length / 2, |(count, sum)| (sum + count / 2) / count)
}

/// Draws it.
pub(super) fn draw(ct: &Volume, tumors: Option<&Labels>) -> Picture {
    let tumors = tumors.filter(|t| t.data.dim() == ct.data.dim());
    let [across, down, up] = axes(&ct.affine);
    let (shape, spacing_mm) = (ct.grid().shape, ct.affine.spacing_mm());
    let at = slice(tumors, up.axis, shape[up.axis]);
    let extent_mm = [across, down].map(|along| shape[along.axis] as f64 * spacing_mm[along.axis]);
    let pixel_mm = extent_mm[0].max(extent_mm[1]) / SIDE as f64;
    let [width, height] = extent_mm.map(|mm| ((mm / pixel_mm).round() as usize).clamp(1, SIDE));
    let columns: Vec<_> = (0..width).map(|i| footprint(i, width, shape[across.axis], across)).collect();
    let rows: Vec<_> = (0..height).map(|i| footprint(i, height, shape[down.axis], down)).collect();
    let box_at = |row: usize, column: usize| {
        let mut ranges: [Range<usize>; 3] = [at..at + 1, at..at + 1, at..at + 1];
        ranges[across.axis] = columns[column].clone();
        ranges[down.axis] = rows[row].clone();
        ranges
    };
    let is_tumor: Vec<bool> = (0..width * height)
        .map(|i| tumors.is_some_and(|t| voxels(&t.data, box_at(i / width, i % width)).any(|v| v > 0)))
        .collect();
    let rgb = (0..width * height).flat_map(|i| match is_outline(&is_tumor, i, width) {
        true => OUTLINE,
        false => [grey(voxels(&ct.data, box_at(i / width, i % width))); 3],
    });
    Picture { width, height, rgb: rgb.collect() }
}

/// The voxels along an axis that a pixel covers, one at least.
fn footprint(pixel: usize, pixels: usize, voxels: usize, along: Along) -> Range<usize> {
    let first = (pixel * voxels / pixels).min(voxels - 1);
    let end = ((pixel + 1) * voxels / pixels).clamp(first + 1, voxels);
    if along.is_against { voxels - end..voxels - first } else { first..end }
}

fn voxels<T: Copy>(data: &Array3<T>, [x, y, z]: [Range<usize>; 3]) -> impl Iterator<Item = T> {
    x.flat_map(move |x| {
        let z = z.clone();
        y.clone().flat_map(move |y| z.clone().map(move |z| data[[x, y, z]]))
    })
}

fn grey(hu: impl Iterator<Item = f32>) -> u8 {
    let (sum, count) = hu.fold((0.0, 0.0), |(sum, count), hu| (sum + hu, count + 1.0));
    let [centre, width] = WINDOW_HU;
    let share = (sum / count - (centre - width / 2.0)) / width;
    (share * 255.0).round().clamp(0.0, 255.0) as u8
}

/// Beside a tumor, not on it: small ones stay to be seen.
fn is_outline(is_tumor: &[bool], i: usize, width: usize) -> bool {
    let column = i % width;
    let beside = [
        (column > 0).then(|| i - 1),
        (column + 1 < width).then_some(i + 1),
        i.checked_sub(width),
        (i + width < is_tumor.len()).then_some(i + width),
    ];
    !is_tumor[i] && beside.into_iter().flatten().any(|j| is_tumor[j])
}

#[cfg(test)]
mod tests {
    use super::*;
    use difftumor_ct::Image;

    /// 80 × 40 × 10 voxels of 1 × 1 × 5 mm of -150 HU (black), brighter towards the patient's left; a tumor of 8 × 8 voxels of 250 HU (white)
    /// in slice 7, and a smaller one in slice 2.
    fn phantom() -> (Volume, Labels) {
        let affine = Affine::from_spacing_mm([1.0, 1.0, 5.0]);
        let number = |x: usize, y: usize, z: usize| match z {
            7 if (20..28).contains(&x) && (4..12).contains(&y) => 2,
            2 if (40..44).contains(&x) && (4..8).contains(&y) => 1,
            _ => 0,
        };
        let tumors = Array3::from_shape_fn((80, 40, 10), |(x, y, z)| number(x, y, z));
        let hu =
            |(x, y, z)| if number(x, y, z) > 0 { 250.0 } else { -150.0 + if x < 2 { 200.0 } else { 0.0 } };
        let ct = Array3::from_shape_fn((80, 40, 10), hu);
        (Image { data: ct, affine }, Image { data: tumors, affine })
    }

    #[test]
    fn the_largest_tumor_of_a_phantom() {
        let (ct, tumors) = phantom();
        let picture = draw(&ct, Some(&tumors));
        assert_eq!((picture.width, picture.height), (160, 80));
        let pixel = |x: usize, y: usize| {
            // Two pixels a voxel; x runs to the patient's left, which is the voxels' 0, and y to the back, which is too.
            let at = 3 * ((79 - 2 * y.min(39)).min(79) * 160 + 159 - 2 * x);
            [picture.rgb[at], picture.rgb[at + 1], picture.rgb[at + 2]]
        };
        assert_eq!(pixel(24, 8), [255; 3], "inside");
        assert_eq!(pixel(20, 4), [255; 3], "its first corner");
        assert_eq!(pixel(28, 8), OUTLINE, "beside its last voxel");
        assert_eq!(pixel(60, 30), [0; 3]);
        assert_eq!(pixel(0, 30), [128; 3], "50 HU, the window's centre: 127.5");
        let outline = picture.rgb.chunks(3).filter(|rgb| *rgb == OUTLINE).count();
        assert_eq!(outline, 4 * 16, "about 16 × 16 pixels");
    }

    #[test]
    fn the_picture_is_the_same_however_the_voxels_lie() {
        let (ct, tumors) = phantom();
        // Axes in the order z, x, y; y runs backwards.
        let turned = Affine([
            [0.0, 1.0, 0.0, 0.0],
            [0.0, 0.0, -1.0, 39.0],
            [5.0, 0.0, 0.0, 0.0],
            [0.0, 0.0, 0.0, 1.0],
        ]);
        let turn = |at: (usize, usize, usize)| [at.1, 39 - at.2, at.0];
        let ct_turned =
            Image { data: Array3::from_shape_fn((10, 80, 40), |at| ct.data[turn(at)]), affine: turned };
        let tumors_turned =
            Image { data: Array3::from_shape_fn((10, 80, 40), |at| tumors.data[turn(at)]), affine: turned };
        assert_eq!(draw(&ct_turned, Some(&tumors_turned)), draw(&ct, Some(&tumors)));
        assert_ne!(draw(&ct, None), draw(&ct, Some(&tumors)), "the middle, without an outline");
    }
}
