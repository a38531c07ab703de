//! The figures by name, with what a radiologist would say of one that is out of range.
use super::site::LEAST_VOXELS;
use super::{Figures, Ratio, Shape};

/// A figure of [`Figures`].
pub struct Figure {
    /// Its name, by which ranges and limits know it.
    pub name: &'static str,
    /// Its unit; empty for shares, ratios and counts.
    pub unit: &'static str,
    /// Its value.
    pub value: fn(&Figures) -> Option<f64>,
    /// How far it may be off by chance, as a share of it (standard deviation): what it was compared with varies.
    pub spread: fn(&Figures) -> Option<f64>,
    /// What is said when it is too small. None: that is nothing to object to (a tumor may be rounder than most).
    pub too_small: Option<fn(&Figures) -> String>,
    /// What is said when it is too large.
    pub too_large: Option<fn(&Figures) -> String>,
}

/// How a figure is said.
type Say = fn(&Figures) -> String;

const fn figure(
    name: &'static str,
    unit: &'static str,
    value: fn(&Figures) -> Option<f64>,
    too_small: Option<Say>,
    too_large: Option<Say>,
) -> Figure {
    Figure { name, unit, value, spread: |_| None, too_small, too_large }
}

/// A figure that is over the organ's.
const fn ratio(
    name: &'static str,
    value: fn(&Figures) -> Option<f64>,
    spread: fn(&Figures) -> Option<f64>,
    too_small: Option<Say>,
    too_large: Option<Say>,
) -> Figure {
    Figure { spread, ..figure(name, "", value, too_small, too_large) }
}

/// Of a tumor that has enough voxels: the proportions of fewer are the voxels'.
fn shape(f: &Figures) -> Option<Shape> {
    (f.shape.voxels >= LEAST_VOXELS).then_some(f.shape)
}

fn band(f: &Figures, i: usize) -> Option<Ratio> {
    f.texture?.band_ratio[i]
}

fn finest_power(f: &Figures) -> Option<Ratio> {
    f.texture?.power_ratio[2]
}

fn correlation(f: &Figures) -> Option<Ratio> {
    f.texture?.correlation_ratio
}

fn value(ratio: Option<Ratio>) -> Option<f64> {
    ratio.map(|r| r.ratio)
}

fn spread(ratio: Option<Ratio>) -> Option<f64> {
    ratio.map(|r| r.spread)
}

/// All figures that can be judged.
///
/// Structures coarser than noise are a tumor's own, and an organ such as the liver has few: more of them than the organ has is nothing to
/// object to, whatever sarcomas have against muscle. A blurred tumor lacks what is fine.
pub static FIGURES: [Figure; 24] = [
    figure("sphericity", "", |f| f.shape.sphericity, Some(|_| "long, flat or ragged".into()), None),
    figure("elongation", "", |f| shape(f).map(|s| s.elongation), Some(long), None),
    figure("flatness", "", |f| shape(f).map(|s| s.flatness), Some(flat), None),
    figure("fill", "", |f| shape(f).map(|s| s.fill), Some(hollow), None),
    figure("depth", "", |f| shape(f).map(|s| s.depth), Some(hollow), None),
    figure("slenderness", "", |f| shape(f).map(|s| s.slenderness), Some(flat), None),
    figure("parts", "", |f| Some(f.shape.parts as f64), None, Some(apart)),
    figure("contrast_hu", "HU", |f| f.density.contrast_hu, Some(dark), Some(bright)),
    figure("inside_hu", "HU", |f| Some(f.density.inside_hu), Some(dark), Some(bright)),
    figure("fat_share", "", |f| Some(f.density.fat_share), None, Some(fat)),
    figure("fluid", "", |f| f.density.fluid.map(|v| f64::from(u8::from(v))), None, Some(fluid)),
    figure("bone_share", "", |f| Some(f.density.bone_share), None, Some(bone)),
    figure("air_share", "", |f| Some(f.density.air_share), None, Some(air)),
    ratio("band_ratio_below_1mm", |f| value(band(f, 0)), |f| spread(band(f, 0)), Some(smooth), Some(grainy)),
    ratio("band_ratio_1_to_2mm", |f| value(band(f, 1)), |f| spread(band(f, 1)), Some(smooth), Some(grainy)),
    ratio("band_ratio_2_to_4mm", |f| value(band(f, 2)), |f| spread(band(f, 2)), Some(smooth), None),
    ratio(
        "power_ratio_below_4mm",
        |f| value(finest_power(f)),
        |f| spread(finest_power(f)),
        Some(smooth),
        Some(grainy),
    ),
    ratio("correlation_ratio", |f| value(correlation(f)), |f| spread(correlation(f)), Some(fine), None),
    figure("edge_mm", "mm", |f| f.edge_mm, Some(sharp), Some(washed)),
    figure("border_step", "noise sd", |f| f.seams.border_step, None, Some(border)),
    figure("slice_jump", "", |f| f.seams.slice_jump, None, Some(jump)),
    figure("change_near_hu", "HU", |f| f.change?.near_hu, None, Some(changed)),
    figure("change_outside_share", "", |f| f.change?.outside_share, None, Some(changed)),
    figure("change_far_share", "", |f| Some(f.change?.far_share), None, Some(far)),
];

fn long(f: &Figures) -> String {
    format!(
        "long: {:.0} mm by {:.0} mm",
        f.shape.longest_axis_mm,
        f.shape.elongation * f.shape.longest_axis_mm
    )
}

fn flat(f: &Figures) -> String {
    let (thickness, longest) = (f.shape.thickness_mm, f.shape.longest_axis_mm);
    let kind = match (f.shape.slenderness, f.shape.elongation) {
        (s, _) if s >= 0.4 => "of a tumor",
        (_, e) if e < 0.5 => "a strip",
        _ => "a sheet",
    };
    format!("flat: its thickest part is {thickness:.0} mm, {kind} {longest:.0} mm long")
}

fn hollow(f: &Figures) -> String {
    let (thickness, diameter) = (f.shape.thickness_mm, f.shape.equivalent_diameter_mm);
    let of = format!("its thickest part is {thickness:.0} mm, with the volume of a ball of {diameter:.0} mm");
    format!("sickle-shaped, hollowed or flat: {of}")
}

fn apart(f: &Figures) -> String {
    format!("in {} parts", f.shape.parts)
}

fn dark(f: &Figures) -> String {
    let around = f.density.around_hu.map_or(String::new(), |v| format!(", its organ {v:.0} HU"));
    format!("dark: {:.0} HU inside{around}", f.density.inside_hu)
}

fn bright(f: &Figures) -> String {
    let around = f.density.around_hu.map_or(String::new(), |v| format!(", its organ {v:.0} HU"));
    format!("bright: {:.0} HU inside{around}", f.density.inside_hu)
}

fn fat(f: &Figures) -> String {
    format!("{:.0} % of it is as dark as fat", 100.0 * f.density.fat_share)
}

fn fluid(f: &Figures) -> String {
    let d = &f.density;
    format!("as fluid: {:.0} HU without structure (sd {:.0} HU)", d.inside_hu, d.inside_sd_hu)
}

fn bone(f: &Figures) -> String {
    format!("{:.0} % of it is as dense as bone", 100.0 * f.density.bone_share)
}

fn air(f: &Figures) -> String {
    format!("{:.1} % of it is air", 100.0 * f.density.air_share)
}

fn smooth(_: &Figures) -> String {
    "smoother than its organ: the scan's noise is missing in it".into()
}

fn grainy(_: &Figures) -> String {
    "noisier than its organ".into()
}

fn fine(_: &Figures) -> String {
    "its grain is finer than the scan's".into()
}

fn sharp(f: &Figures) -> String {
    format!("its edge is sharp as if pasted: {:.1} mm", f.edge_mm.unwrap_or_default())
}

fn washed(f: &Figures) -> String {
    format!("its edge is washed out: {:.0} mm", f.edge_mm.unwrap_or_default())
}

fn border(_: &Figures) -> String {
    "a seam in the organ around it, where the changed zone ends".into()
}

fn jump(_: &Figures) -> String {
    "a seam between two slices: its brightness jumps".into()
}

fn changed(f: &Figures) -> String {
    let share = f.change.and_then(|c| c.outside_share).unwrap_or_default();
    format!("the organ outside of it was changed: {:.0} % of all change lies beyond its edge", 100.0 * share)
}

fn far(_: &Figures) -> String {
    "the scan was changed more than 15 mm away from it".into()
}
