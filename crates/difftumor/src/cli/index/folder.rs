//! `difftumor index FOLDER`: a table of what a folder holds.
use crate::cli::print;
use difftumor::dataset::layouts;
use difftumor::index::folder::{FolderIndex, index_folder};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::path::Path;
use std::process::ExitCode;

pub(super) fn run(
    folder: &Path,
    out: &Path,
    replace: bool,
    bars: &MultiProgress,
) -> anyhow::Result<ExitCode> {
    let layout = layouts::read(folder)?;
    let (name, organ) = (layout.name, layout.organ.clone());
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} cases, {eta} left").expect("a template");
    let bar = bars.add(ProgressBar::new(layout.scans.scans.len() as u64).with_style(style));
    let index = index_folder(layout, out, replace, &|id| {
        tracing::info!("{id}: read");
        bar.inc(1);
    })?;
    bar.finish_and_clear();
    for (id, error) in &index.failed {
        eprintln!("failed: {id}: {error}");
    }
    for row in index.with_labels.iter().chain(&index.without_labels) {
        if !row.hu_warning.is_empty() {
            eprintln!("note: {}: {}", row.id, row.hu_warning);
        }
        if !row.duplicate_of.is_empty() {
            eprintln!("note: {}: the same voxels as {}", row.id, row.duplicate_of);
        }
    }
    print(&summary(name, organ.as_deref(), &index))?;
    Ok(if index.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn summary(layout: &str, organ: Option<&str>, index: &FolderIndex) -> String {
    let tables: Vec<String> = index.tables.iter().map(|path| path.display().to_string()).collect();
    let labels = organ.map_or(String::new(), |organ| format!("; its labels are --organ {organ}"));
    format!(
        "{layout}{labels}\n{} cases with labels, {} without, {} failed; {}\n",
        index.with_labels.len(),
        index.without_labels.len(),
        index.failed.len(),
        tables.join(" and ")
    )
}
