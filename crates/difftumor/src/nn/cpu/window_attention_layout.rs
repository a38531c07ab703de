//! How a volume of tokens falls into shifted windows, and which relative position two tokens of a window have
//! (spec: Swin UNETR as published; Liu et al., Swin Transformer, ICCV 2021, section 3.2, for shifts and masks).

/// Which entry of the relative position table two tokens of a shrunk window take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelativeIndex {
    /// As published: tokens of a shrunk window take the index of the first tokens of the full window, which are other
    /// positions. Published weights were trained with it.
    Published,
    /// The tokens' own relative position.
    Corrected,
}

/// Windows of a volume of tokens `[D, H, W]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    sides: [usize; 3],
    window: [usize; 3],
    shift: [usize; 3],
}

impl Windows {
    /// Windows of side `window`, shifted by `shift`. Along an axis that is no longer than that, the window shrinks to
    /// the axis and is not shifted.
    pub fn new(sides: [usize; 3], window: usize, shift: usize) -> Self {
        assert!(sides.iter().all(|n| *n > 0) && shift < window, "{sides:?}, window {window}, shift {shift}");
        Self {
            sides,
            window: sides.map(|n| n.min(window)),
            shift: sides.map(|n| if n <= window { 0 } else { shift }),
        }
    }

    /// Windows along each axis; the end of the axis is padded to whole windows.
    fn along(&self) -> [usize; 3] {
        std::array::from_fn(|a| self.sides[a].div_ceil(self.window[a]))
    }

    /// Number of windows.
    pub fn count(&self) -> usize {
        self.along().iter().product()
    }

    /// Tokens of one window.
    pub fn tokens(&self) -> usize {
        self.window.iter().product()
    }

    /// Whether some windows join tokens that are not neighbours, which must not see each other.
    pub fn masked(&self) -> bool {
        self.shift != [0; 3]
    }

    /// Calls `f(token of the window, its place on each axis of the shifted and padded volume)`.
    fn each(&self, window: usize, mut f: impl FnMut(usize, [usize; 3])) {
        let [_, nh, nw] = self.along();
        let at = [window / (nh * nw), window / nw % nh, window % nw];
        let [_, h, w] = self.window;
        for i in 0..self.tokens() {
            let inside = [i / (h * w), i / w % h, i % w];
            f(i, std::array::from_fn(|a| at[a] * self.window[a] + inside[a]));
        }
    }

    /// Token of the volume (in C order) at each token of a window; `None` in the padding.
    pub fn sources(&self, window: usize) -> Vec<Option<usize>> {
        let (along, [d, h, w]) = (self.along(), self.sides);
        let mut out = vec![None; self.tokens()];
        self.each(window, |i, p| {
            let [z, y, x]: [usize; 3] =
                std::array::from_fn(|a| (p[a] + self.shift[a]) % (along[a] * self.window[a]));
            out[i] = (z < d && y < h && x < w).then_some((z * h + y) * w + x);
        });
        out
    }

    /// The region of each token of a window: along each axis, all but the last window, and the last one's two parts,
    /// of which the second came around from the beginning.
    pub fn regions(&self, window: usize) -> Vec<f32> {
        let along = self.along();
        let mut out = vec![0.0; self.tokens()];
        self.each(window, |i, p| {
            out[i] = (0..3).fold(0.0, |id, a| {
                let length = along[a] * self.window[a];
                let part = usize::from(p[a] >= length - self.window[a])
                    + usize::from(self.shift[a] > 0 && p[a] >= length - self.shift[a]);
                id * 3.0 + part as f32
            });
        });
        out
    }

    /// Entry of the table `[(2 * full - 1)³, heads]` for each (query, key) of a window whose full side is `full`.
    pub fn relative_index(&self, full: usize, which: RelativeIndex) -> Vec<usize> {
        let n = self.tokens();
        let [_, h, w] = match which {
            RelativeIndex::Published => [full; 3],
            RelativeIndex::Corrected => self.window,
        };
        let place = |i: usize| [i / (h * w), i / w % h, i % w];
        let entry = |i: usize| {
            let (q, k) = (place(i / n), place(i % n));
            (0..3).fold(0, |e, a| e * (2 * full - 1) + q[a] + full - 1 - k[a])
        };
        (0..n * n).map(entry).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every token lies in exactly one window, shifted or not, with padding or without.
    #[test]
    fn windows_part_the_volume() {
        for (sides, window, shift) in
            [([5, 7, 9], 3, 1), ([2, 8, 4], 4, 2), ([6, 6, 6], 7, 3), ([8, 7, 15], 7, 3)]
        {
            let w = Windows::new(sides, window, shift);
            let mut seen = vec![0; sides.iter().product()];
            for i in 0..w.count() {
                for s in w.sources(i).into_iter().flatten() {
                    seen[s] += 1;
                }
            }
            assert!(seen.iter().all(|n| *n == 1), "{sides:?}");
        }
    }

    /// One axis of 4 with windows of 2 shifted by 1: the last window holds tokens 3 and 0, which do not touch.
    #[test]
    fn a_shift_joins_tokens_of_two_regions_in_the_last_window() {
        let w = Windows::new([1, 1, 4], 2, 1);
        assert_eq!((w.count(), w.tokens(), w.masked()), (2, 2, true));
        assert_eq!((w.sources(0), w.sources(1)), (vec![Some(1), Some(2)], vec![Some(3), Some(0)]));
        let (inner, last) = (w.regions(0), w.regions(1));
        assert!(inner[0] == inner[1] && last[0] != last[1]);
    }

    /// A full window: (dd + 6) * 169 + (dh + 6) * 13 + (dw + 6), the same for both. A window of side 6: the published
    /// index takes token 6 for (0, 0, 6), though it is (0, 1, 0).
    #[test]
    fn the_published_index_is_of_the_first_tokens_of_the_full_window() {
        let full = Windows::new([7, 14, 7], 7, 3);
        let index = full.relative_index(7, RelativeIndex::Published);
        assert_eq!(index, full.relative_index(7, RelativeIndex::Corrected));
        assert_eq!((index[0], index[1], index[343]), (6 * 183, 6 * 183 - 1, 6 * 183 + 1));
        assert_eq!(index[342], 0);
        let small = Windows::new([6; 3], 7, 3);
        let at = |which| small.relative_index(7, which)[6];
        assert_eq!((at(RelativeIndex::Published), at(RelativeIndex::Corrected)), (6 * 183 - 6, 6 * 183 - 13));
    }
}
