//! A contact sheet: many tumors side by side, each as it is and with its outline, for a person to judge.
use super::appearance::Appearance;
use crate::error::Result;
use crate::preview::canvas::{Canvas, LINE, Rgb, WHITE};
use crate::preview::view::{AXIAL, PANEL_PX, View};
use difftumor_ct::io::write_atomically;
use difftumor_ct::{Labels, Volume};
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

/// One tumor.
pub(super) struct Panel<'a> {
    pub(super) ct: &'a Volume,
    pub(super) tumors: &'a Labels,
    pub(super) number: u16,
    pub(super) centre_mm: [f64; 3],
    pub(super) appearance: Appearance,
    pub(super) case: &'a str,
}

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
    pub(super) fn add(&mut self, panel: &Panel) -> Result<()> {
        if self.tumors >= self.most {
            return Ok(());
        }
        let (column, row) = (self.tumors % COLUMNS, self.tumors / COLUMNS);
        if column == 0 {
            self.canvas.grow(CELL_PX[1], BACKGROUND);
        }
        let left = column * CELL_PX[0] + GAP;
        let top = row * CELL_PX[1] + GAP;
        let a = &panel.appearance;
        let side_mm = FIELD_OF_VIEW_MM.max(FIELD_PER_DIAMETER * a.equivalent_diameter_mm);
        let view = View { plane: AXIAL, centre_mm: panel.centre_mm, side_mm };
        let title = format!("{} NO {}", panel.case.replace('_', " ").to_uppercase(), panel.number);
        let contrast = a.contrast_hu.map_or(String::new(), |c| format!(", {c:+.0} TO TISSUE"));
        let figures = format!("{:.0} MM, {:.0} HU{contrast}", a.equivalent_diameter_mm, a.inside_hu);
        for (line, text) in [title, figures].iter().enumerate() {
            self.canvas.text(left, top + line * (LINE + GAP / 2), text, WHITE);
        }
        let top = top + TEXT_PX - GAP;
        let grey = view.grey(panel.ct)?;
        for copy in 0..2 {
            let left = left + copy * (PANEL_PX + GAP);
            for ((x, y), g) in grey.indexed_iter() {
                self.canvas.set(left + x, top + y, [*g; 3]);
            }
        }
        for [x, y] in view.outline(panel.tumors, panel.number)? {
            self.canvas.set(left + PANEL_PX + GAP + x, top + y, OUTLINE);
        }
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
