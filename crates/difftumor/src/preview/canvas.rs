//! A picture in memory: pixels, boxes, text, and its PNG file.
use super::font;

/// Red, green, blue.
pub type Rgb = [u8; 3];
pub const WHITE: Rgb = [255; 3];

/// Pixels per dot of a letter, and per letter with the space after it.
const DOT: usize = 2;
const LETTER_PX: usize = (font::SIZE[0] + 1) * DOT;
/// Height of text.
pub const LINE: usize = font::SIZE[1] * DOT;

/// Rows of pixels from the top, each from the left.
pub struct Canvas {
    width: usize,
    height: usize,
    pixels: Vec<Rgb>,
}

/// Pixels that a text takes.
pub fn text_width(text: &str) -> usize {
    (text.chars().count() * LETTER_PX).saturating_sub(DOT)
}

impl Canvas {
    pub fn new(width: usize, height: usize, background: Rgb) -> Self {
        Self { width, height, pixels: vec![background; width * height] }
    }

    /// Adds rows of pixels at the bottom.
    pub fn grow(&mut self, rows: usize, background: Rgb) {
        self.height += rows;
        self.pixels.resize(self.width * self.height, background);
    }

    /// Colours a pixel; one outside of the canvas is not drawn.
    pub fn set(&mut self, x: usize, y: usize, colour: Rgb) {
        if x < self.width && y < self.height {
            self.pixels[y * self.width + x] = colour;
        }
    }

    /// Fills a box.
    pub fn fill(&mut self, [left, top]: [usize; 2], [width, height]: [usize; 2], colour: Rgb) {
        for y in top..top + height {
            for x in left..left + width {
                self.set(x, y, colour);
            }
        }
    }

    /// Writes text from its top left corner, on a dark shadow so that it can be read on any tissue.
    pub fn text(&mut self, left: usize, top: usize, text: &str, colour: Rgb) {
        for (offset, colour) in [(1, [0; 3]), (0, colour)] {
            for (i, letter) in text.chars().enumerate() {
                for (column, bits) in font::columns(letter).into_iter().enumerate() {
                    for row in (0..font::SIZE[1]).filter(|row| bits >> row & 1 == 1) {
                        let corner = [left + i * LETTER_PX + column * DOT, top + row * DOT];
                        self.fill(corner.map(|c| c + offset), [DOT; 2], colour);
                    }
                }
            }
        }
    }

    /// The picture as a PNG file. The bytes depend on the picture only.
    pub fn png(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, self.width as u32, self.height as u32);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let written = encoder.write_header().and_then(|mut w| {
            w.write_image_data(self.pixels.as_flattened())?;
            w.finish()
        });
        written.expect("writing to memory does not fail");
        bytes
    }

    /// Width and height.
    pub fn size(&self) -> [usize; 2] {
        [self.width, self.height]
    }

    /// A pixel's colour.
    #[cfg(test)]
    pub fn get(&self, x: usize, y: usize) -> Rgb {
        self.pixels[y * self.width + x]
    }
}
