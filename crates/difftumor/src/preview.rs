//! A picture of what was synthesized, for a person to judge: one row per tumor, largest first. Each row shows the
//! axial slice through the tumor before and after, once more with the tumor's outline, and the coronal and sagittal
//! view after; square isotropic pixels, abdominal window, a 20 mm bar.
//!
//! Views are as radiologists hang them: the patient's right is on the left of axial and coronal views, anterior is up
//! in the axial view and on the left of the sagittal one, superior is up.
pub(crate) mod canvas;
mod font;
pub(crate) mod view;

use crate::error::Result;
use crate::synthesis::{Synthesis, TumorRecord};
use canvas::{Canvas, LINE, Rgb, WHITE};
use difftumor_ct::Volume;
use difftumor_ct::io::write_atomically;
use std::io::Write;
use std::path::Path;
use view::{AXIAL, CORONAL, PANEL_PX, Plane, SAGITTAL, View};

/// Rows at most.
const MOST_TUMORS: usize = 4;
/// Side of a view, unless the tumor is too large for it.
const FIELD_OF_VIEW_MM: f64 = 120.0;
/// Side of the view at least, in longest axes of the tumor.
const FIELD_PER_AXIS: f64 = 1.5;
const BAR_MM: f64 = 20.0;
/// Between panels and rows.
const GAP: usize = 6;
const BACKGROUND: Rgb = [24, 24, 24];
const OUTLINE: Rgb = [255, 210, 0];
/// Height of a line of text with its surroundings.
const TEXT_PX: usize = LINE + 2 * GAP;

/// One of the pictures of a row.
struct Panel {
    title: &'static str,
    plane: Plane,
    after: bool,
    outlined: bool,
}

const fn panel(title: &'static str, plane: Plane, after: bool, outlined: bool) -> Panel {
    Panel { title, plane, after, outlined }
}

const PANELS: [Panel; 5] = [
    panel("BEFORE", AXIAL, false, false),
    panel("AFTER", AXIAL, true, false),
    panel("OUTLINE", AXIAL, true, true),
    panel("CORONAL", CORONAL, true, false),
    panel("SAGITTAL", SAGITTAL, true, false),
];

/// Writes the picture as PNG. `before` is the scan that the synthesis started from. The same input gives the same
/// bytes.
///
/// # Errors
/// [`difftumor_ct::Error::Io`] when the file cannot be written; [`difftumor_ct::Error::Argument`] when the scan's
/// grid is impossible.
///
/// # Panics
/// When `before` has another shape than the synthesized scan.
pub fn write(path: &Path, before: &Volume, synthesis: &Synthesis) -> Result<()> {
    let png = draw(before, synthesis)?.png();
    Ok(write_atomically(path, |file| file.write_all(&png))?)
}

fn draw(before: &Volume, synthesis: &Synthesis) -> Result<Canvas> {
    assert_eq!(before.data.dim(), synthesis.case.ct.data.dim(), "scan before and after");
    let mut records: Vec<&TumorRecord> = synthesis.records.iter().collect();
    records.sort_by(|a, b| b.volume_mm3.total_cmp(&a.volume_mm3));
    let all = records.len();
    records.truncate(MOST_TUMORS);
    let width = PANELS.len() * (PANEL_PX + GAP) + GAP;
    let row_px = TEXT_PX + PANEL_PX + GAP;
    let mut canvas = Canvas::new(width, TEXT_PX + records.len() * row_px, BACKGROUND);
    let shown = match (records.len(), all) {
        (n, all) if n < all => format!("THE {n} LARGEST OF {all} TUMORS"),
        (1, _) => "1 TUMOR".to_string(),
        (n, _) => format!("{n} TUMORS"),
    };
    let window = view::window();
    let title = format!("{}: {shown}, WINDOW {} TO {} HU", synthesis.case.id, window.min_hu, window.max_hu);
    canvas.text(GAP, GAP, &title, WHITE);
    for (row, record) in records.into_iter().enumerate() {
        draw_row(&mut canvas, TEXT_PX + row * row_px, before, synthesis, record)?;
    }
    Ok(canvas)
}

fn draw_row(
    canvas: &mut Canvas,
    top: usize,
    before: &Volume,
    synthesis: &Synthesis,
    record: &TumorRecord,
) -> Result<()> {
    canvas.text(GAP, top + GAP, &describe(record), WHITE);
    let side_mm = FIELD_OF_VIEW_MM.max(FIELD_PER_AXIS * record.axes_mm[0]);
    let centre_mm = view::centre_mm(&synthesis.instances, record);
    let bar_px = (BAR_MM / side_mm * PANEL_PX as f64).round() as usize;
    let top = top + TEXT_PX;
    for (i, panel) in PANELS.iter().enumerate() {
        let left = GAP + i * (PANEL_PX + GAP);
        let view = View { plane: panel.plane, centre_mm, side_mm };
        let ct = if panel.after { &synthesis.case.ct } else { before };
        let grey = view.grey(ct)?;
        for ((x, y), g) in grey.indexed_iter() {
            canvas.set(left + x, top + y, [*g; 3]);
        }
        if panel.outlined {
            for [x, y] in view.outline(&synthesis.instances, record.number)? {
                canvas.set(left + x, top + y, OUTLINE);
            }
        }
        canvas.text(left + GAP, top + GAP, panel.title, WHITE);
        canvas.text(left + GAP, top + (PANEL_PX - LINE) / 2, panel.plane.left_letter, WHITE);
        let (right, bottom) = (left + PANEL_PX - GAP, top + PANEL_PX - GAP);
        canvas.fill([right - bar_px, bottom - 3], [bar_px, 3], WHITE);
        let label = format!("{BAR_MM} MM");
        canvas.text(right - canvas::text_width(&label), bottom - 3 - LINE - GAP, &label, WHITE);
    }
    Ok(())
}

/// What a reader would dictate.
fn describe(record: &TumorRecord) -> String {
    let mut text = format!(
        "TUMOR {}: {}, LONGEST AXIAL DIAMETER {:.0} MM",
        record.number,
        record.organ.replace('_', " "),
        record.longest_axial_diameter_mm
    );
    for (hu, place) in [(record.hu_inside, "INSIDE"), (record.hu_around, "AROUND")] {
        if let Some(hu) = hu {
            text.push_str(&format!(", {:.0} HU {place}", hu.mean_hu));
        }
    }
    text
}

#[cfg(test)]
mod tests;
