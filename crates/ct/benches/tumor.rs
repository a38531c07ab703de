//! How long tumors take: `cargo bench -p difftumor-ct --bench tumor` prints a table of medians.
use difftumor_ct::blend::{change_hu, weight_in_organ};
use difftumor_ct::draws::Stream;
use difftumor_ct::handcrafted::{HandcraftedOptions, insert_tumor, texture};
use difftumor_ct::measure::measure;
use difftumor_ct::tumor_mask::fit::{FitOptions, OrganSite};
use difftumor_ct::tumor_mask::generate::{PAPER_RULES, generate};
use difftumor_ct::tumor_mask::size::PAPER;
use difftumor_ct::tumor_mask::sizes_mm::KitsShape;
use difftumor_ct::tumor_mask::smooth::draw_shape;
use ndarray::Array3;
use std::hint::black_box;
use std::time::Instant;

/// Side of the crops.
const SIDE: usize = 96;

/// Prints the median and the slowest of `runs` runs, after one that is not counted.
fn time(name: &str, runs: u64, mut run: impl FnMut(Stream)) {
    let mut ms: Vec<f64> = (0..=runs)
        .map(|tumor| {
            let start = Instant::now();
            run(Stream::new(1, 0, name, tumor));
            start.elapsed().as_secs_f64() * 1e3
        })
        .skip(1)
        .collect();
    ms.sort_by(f64::total_cmp);
    println!("{name:44} {:9.3} ms   slowest {:9.3} ms", ms[ms.len() / 2], ms[ms.len() - 1]);
}

fn main() {
    let organ = Array3::from_shape_fn((SIDE, SIDE, SIDE), |(x, y, z)| {
        [x, y, z].iter().map(|v| (*v as f64 - 47.5).powi(2)).sum::<f64>() < 44.0 * 44.0
    });
    let none = Array3::from_elem(organ.dim(), false);
    for class in &PAPER {
        for rules in &PAPER_RULES {
            time(&format!("published mask, {:?}, {}", class.size, rules.name), 20, |mut draws| {
                black_box(generate(&organ, rules, std::slice::from_ref(class), &mut draws).unwrap());
            });
        }
    }
    let site = OrganSite::new(&organ, "liver").unwrap();
    for longest_mm in [8.0, 15.0, 30.0, 60.0] {
        time(&format!("default mask of {longest_mm} mm: shape and place"), 20, |mut draws| {
            let shape = draw_shape(&KitsShape::with_longest_axis(longest_mm, &mut draws), 1.0, &mut draws)
                .unwrap()
                .mask;
            black_box(site.fit(&shape, &none, &FitOptions::default(), &mut draws));
        });
    }
    for (sigma_a_vox, sigma_b_vox) in [(3.0, 4.0), (15.0, 7.0)] {
        for side in [30, SIDE] {
            time(&format!("texture {side}³, sigmas {sigma_a_vox} and {sigma_b_vox}"), 10, |mut draws| {
                black_box(texture::texture([side; 3], sigma_a_vox, sigma_b_vox, &mut draws));
            });
        }
    }
    let mut volume = Array3::from_elem(organ.dim(), 100.0f32);
    for longest_mm in [15.0, 60.0] {
        let mut draws = Stream::new(1, 0, "tumor", 0);
        let shape =
            draw_shape(&KitsShape::with_longest_axis(longest_mm, &mut draws), 1.0, &mut draws).unwrap().mask;
        let tumor = site.fit(&shape, &none, &FitOptions::default(), &mut draws).unwrap();
        time(&format!("hand-crafted insertion, {longest_mm} mm"), 20, |mut draws| {
            insert_tumor(&mut volume, &organ, &tumor, &HandcraftedOptions::default(), &mut draws);
        });
        let mut mask = none.clone();
        tumor.paste_into(&mut mask);
        time(&format!("weight and change, {longest_mm} mm, sigma 2"), 20, |_| {
            let weight = weight_in_organ(&mask, &organ, 2.0);
            black_box(change_hu(&volume, &volume, &weight, [-175.0, 250.0]));
        });
        time(&format!("measure, {longest_mm} mm in the crop"), 20, |_| {
            black_box(measure(&mask, [1.0; 3]));
        });
    }
}
