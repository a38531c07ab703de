//! The paper's deep features (section 2 (3)): organ classifiers on crops of tumors, as files and a page.
//!
//! ```text
//! OUT/
//!   organs.json          how it was made, what the networks came to, tumors that are left out
//!   resnet.csv           deep features of every tumor: a table for `analyze similarity` and `analyze sets`
//!   densenet.csv
//!   report.html
//! ```
use super::similarity::{clouds, tables};
use crate::batch::write_json;
use crate::error::Result;
use crate::organ_classifier::{Architecture, CropOptions, TrainingOptions, TumorCrop, experiment};
use crate::report::output::Output;
use crate::report::page::{self, REPORT};
use crate::report::plots;
use burn::tensor::Device;
use difftumor_ct::analysis::similarity::Experiment;
use difftumor_ct::analysis::table::FeatureTable;
use difftumor_ct::analysis::tsne::{Tsne, TsneOptions};
use maud::html;
use serde::Serialize;
use std::path::Path;

const RESULT: &str = "organs.json";
const FILES: [&str; 4] = [RESULT, "resnet.csv", "densenet.csv", REPORT];
/// Fewer tumors make no map.
const LEAST_MAPPED: usize = 4;

/// What `organs.json` holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OrganStudy {
    /// What remains of each tumor's surroundings.
    pub crops: CropOptions,
    /// How the networks were trained.
    pub training: TrainingOptions,
    /// What they came to.
    pub experiment: Experiment,
    /// Cases without a crop, and why.
    pub left_out: Vec<(String, String)>,
}

/// What [`run`] gets.
pub struct Tumors {
    /// Of all groups.
    pub crops: Vec<TumorCrop>,
    /// How they were made.
    pub options: CropOptions,
    /// Cases without one, and why.
    pub left_out: Vec<(String, String)>,
}

/// Trains the networks and writes what they came to. The output folder appears whole. `watch` as in [`experiment`].
///
/// # Errors
/// When there are fewer than two groups, a group has fewer than two patients, a loss is not finite, or the output cannot be written.
pub fn run(
    tumors: Tumors,
    training: &TrainingOptions,
    device: &Device,
    (out, replace): (&Path, bool),
    watch: &dyn Fn(Architecture, usize, usize, f64),
) -> Result<OrganStudy> {
    let output = Output::start(out, &FILES, replace)?;
    let (experiment, features) = experiment(&tumors.crops, training, device, watch)?;
    let study = OrganStudy {
        crops: tumors.options,
        training: training.clone(),
        experiment,
        left_out: tumors.left_out,
    };
    let folder = output.folder();
    for (architecture, table) in &features {
        table.write_csv(folder.join(format!("{}.csv", architecture.name().to_lowercase())))?;
    }
    page::write(folder, &report(&study, &features)?)?;
    write_json(&folder.join(RESULT), &study)?;
    output.finish()?;
    Ok(study)
}

fn report(study: &OrganStudy, features: &[(Architecture, FeatureTable)]) -> Result<String> {
    let mut maps = vec![];
    for (architecture, table) in features.iter().filter(|(_, t)| t.tumors().len() >= LEAST_MAPPED) {
        // Features that are the same for all tumors cannot be mapped.
        let Ok(map) = Tsne::of(table, &TsneOptions { seed: study.training.seed, ..TsneOptions::default() })
        else {
            continue;
        };
        let caption = format!(
            "t-SNE of the deep features of {}, trained on the first split; tumors that it learnt from are among them",
            architecture.name()
        );
        maps.push(page::plot(&plots::scatter(&clouds(table, &map.points)), &caption));
    }
    let body = html! {
        p { "Networks see crops of " (study.crops.side_vox) " mm in which only the tumor and a rim of " (study.crops.rim_mm) " mm remain, and are to tell the organ. Near
            chance in the test means that they cannot. " (study.training.repeats) " random splits of the patients, " (study.training.epochs) " epochs." }
        h2 { "Which organ? (as Fig. 2a)" }
        (tables(&study.experiment))
        @if !maps.is_empty() { h2 { "Maps" } @for map in &maps { (map) } }
    };
    Ok(page::page("Can networks tell the organ from the tumor alone?", &body))
}
