//! Pictures of tumors, each as it is and with its outline, for a person to judge: one by one, or many side by side (a contact sheet).
use super::realism::TumorFigures;
use super::tumors::Tumors;
use crate::error::Result;
use crate::preview::canvas::{Canvas, LINE, Rgb, WHITE};
use crate::preview::view::{AXIAL, PANEL_PX, View};
use difftumor_ct::io::write_atomically;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

/// Tumors beside each other.
const COLUMNS: usize = 4;
/// Side of a view, unless the tumor is too large for it.
const FIELD_OF_VIEW_MM: f64 = 80.0;
/// Side of the view at least, in diameters of the tumor.
const FIELD_PER_DIAMETER: f64 = 2.0;
const GAP: usize = 6;
const TEXT_PX: usize = 2 * (LINE + GAP);
/// Two views, and text above them.
const CELL_PX: [usize; 2] = [2 * (PANEL_PX + GAP) + GAP, TEXT_PX + PANEL_PX + GAP];
const BACKGROUND: Rgb = [24, 24, 24];
const OUTLINE: Rgb = [255, 210, 0];

/// A picture of up to a number of tumors; it grows with them.
pub struct Sheet {
    canvas: Canvas,
    tumors: usize,
    most: usize,
}

impl Sheet {
    /// An empty one with room for that many tumors.
    pub fn new(most: usize) -> Self {
        Self { canvas: Canvas::new(COLUMNS * CELL_PX[0], GAP, BACKGROUND), tumors: 0, most }
    }

    /// Draws a tumor in the next place, if there is one.
    pub(super) fn add(&mut self, tumors: &Tumors, tumor: &TumorFigures) -> Result<()> {
        if self.tumors >= self.most {
            return Ok(());
        }
        let (column, row) = (self.tumors % COLUMNS, self.tumors / COLUMNS);
        if column == 0 {
            self.canvas.grow(CELL_PX[1], BACKGROUND);
        }
        let left = column * CELL_PX[0] + GAP;
        let top = row * CELL_PX[1] + GAP;
        let (shape, density) = (&tumor.figures.shape, &tumor.figures.density);
        let title = format!("{} NO {}", tumor.case.replace('_', " ").to_uppercase(), tumor.number);
        let contrast = density.contrast_hu.map_or(String::new(), |c| format!(", {c:+.0} TO TISSUE"));
        let figures =
            format!("{:.0} MM, {:.0} HU{contrast}", shape.equivalent_diameter_mm, density.inside_hu);
        for (line, text) in [title, figures].iter().enumerate() {
            self.canvas.text(left, top + line * (LINE + GAP / 2), text, WHITE);
        }
        draw(&mut self.canvas, [left, top + TEXT_PX - GAP], tumors, tumor)?;
        self.tumors += 1;
        Ok(())
    }

    /// Writes it as PNG.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let png = self.canvas.png();
        Ok(write_atomically(path, |file| file.write_all(&png))?)
    }
}

/// A picture of each of up to a number of tumors, as PNG files in memory.
pub struct Pictures {
    pngs: BTreeMap<(String, u16), Vec<u8>>,
    most: usize,
}

impl Pictures {
    /// None yet, and room for that many.
    pub fn new(most: usize) -> Self {
        Self { pngs: BTreeMap::new(), most }
    }

    /// The picture of a case's tumor.
    pub fn of(&self, case: &str, number: u16) -> Option<&[u8]> {
        self.pngs.get(&(case.to_string(), number)).map(Vec::as_slice)
    }

    pub(super) fn add(&mut self, tumors: &Tumors, tumor: &TumorFigures) -> Result<()> {
        if self.pngs.len() < self.most {
            let mut canvas = Canvas::new(2 * PANEL_PX + GAP, PANEL_PX, BACKGROUND);
            draw(&mut canvas, [0, 0], tumors, tumor)?;
            self.pngs.insert((tumor.case.clone(), tumor.number), canvas.png());
        }
        Ok(())
    }
}

/// Two views of a tumor beside each other, the second with its outline.
fn draw(canvas: &mut Canvas, [left, top]: [usize; 2], tumors: &Tumors, tumor: &TumorFigures) -> Result<()> {
    let side_mm = FIELD_OF_VIEW_MM.max(FIELD_PER_DIAMETER * tumor.figures.shape.equivalent_diameter_mm);
    let view = View { plane: AXIAL, centre_mm: tumor.centre_mm, side_mm };
    let grey = view.grey(&tumors.ct)?;
    for copy in 0..2 {
        let left = left + copy * (PANEL_PX + GAP);
        for ((x, y), g) in grey.indexed_iter() {
            canvas.set(left + x, top + y, [*g; 3]);
        }
    }
    for [x, y] in view.outline(&tumors.labels, tumor.number)? {
        canvas.set(left + PANEL_PX + GAP + x, top + y, OUTLINE);
    }
    Ok(())
}
