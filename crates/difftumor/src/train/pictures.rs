//! Pictures of what a model makes, for a person to judge: rows of axial slices side by side.
use crate::preview::canvas::{Canvas, LINE, WHITE};
use ndarray::ArrayView2;

const GAP: usize = 4;
const BACKGROUND: [u8; 3] = [24, 24, 24];

/// Slices in −1..1, `[x, y]` (RAS), drawn as radiologists hang them, one row of `columns` after the other, under their titles.
/// Returns width and height, and the PNG.
///
/// # Panics
/// When a row has not as many slices as there are titles, or slices differ in shape.
pub fn grid(titles: &[&str], rows: &[Vec<ArrayView2<'_, f32>>], scale: usize) -> ([usize; 2], Vec<u8>) {
    let (nx, ny) = rows.first().and_then(|r| r.first()).map_or((0, 0), |s| s.dim());
    let (width, height) = (nx * scale + GAP, ny * scale + GAP);
    let top = LINE + 2 * GAP;
    let mut canvas = Canvas::new(titles.len() * width + GAP, top + rows.len() * height, BACKGROUND);
    for (column, title) in titles.iter().enumerate() {
        canvas.text(GAP + column * width, GAP, &title.to_uppercase(), WHITE);
    }
    for (r, row) in rows.iter().enumerate() {
        assert_eq!(row.len(), titles.len(), "slices of row {r}");
        for (c, slice) in row.iter().enumerate() {
            assert_eq!(slice.dim(), (nx, ny), "slice {c} of row {r}");
            for x in 0..nx * scale {
                for y in 0..ny * scale {
                    // RAS: x grows to the patient's right-to-left... shown mirrored, anterior up.
                    let v = slice[[nx - 1 - x / scale, ny - 1 - y / scale]];
                    let grey = (127.5 * (v.clamp(-1.0, 1.0) + 1.0)).round() as u8;
                    canvas.set(GAP + c * width + x, top + r * height + y, [grey; 3]);
                }
            }
        }
    }
    (canvas.size(), canvas.png())
}
