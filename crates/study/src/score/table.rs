//! Scores as a table for other programs: a row for each reader and organ, and for all organs.
use super::{Confusion, Scores, Share, Turing};
use crate::format::Kind;

/// Scores as CSV (RFC 4180, with a header; shares are 0 to 1, empty where there is nothing to divide by).
///
/// Visual Turing test: sensitivity, specificity and accuracy with limits, and the probability by chance. Organ recognition: recall and
/// precision of each organ with limits; in rows of `all` organs both are the accuracy. Rows of `all readers` have no limits.
pub fn csv(scores: &Scores) -> String {
    let rows: Vec<Vec<String>> = match scores.kind {
        Kind::VisualTuring => {
            let of_reader =
                scores.readers.iter().flat_map(|r| r.turing.iter().map(|row| turing(&r.reader, row)));
            std::iter::once(header(&["sensitivity", "specificity", "accuracy"], &["p"]))
                .chain(of_reader)
                .collect()
        }
        Kind::OrganRecognition => {
            let of_readers =
                scores.readers.iter().filter_map(|r| Some((r.reader.as_str(), r.confusion.as_ref()?)));
            let all = of_readers.chain(scores.pooled.as_ref().map(|pooled| ("all readers", pooled)));
            let rows = all.flat_map(|(reader, confusion)| organs(reader, confusion));
            std::iter::once(header(&["recall", "precision"], &[])).chain(rows).collect()
        }
    };
    let mut writer = csv::Writer::from_writer(Vec::new());
    rows.iter().for_each(|row| writer.write_record(row).expect("memory takes rows of equal length"));
    String::from_utf8(writer.into_inner().expect("memory can be flushed")).expect("rows are text")
}

fn header(shares: &[&str], more: &[&str]) -> Vec<String> {
    let columns = |share: &&str| ["", "_low", "_high", "_part", "_of"].map(|end| format!("{share}{end}"));
    let names = ["reader", "organ"].map(String::from).into_iter().chain(shares.iter().flat_map(columns));
    names.chain(more.iter().map(|name| name.to_string())).collect()
}

fn turing(reader: &str, row: &Turing) -> Vec<String> {
    let mut cells = vec![reader.into(), row.organ.clone().unwrap_or("all".into())];
    cells.extend([row.sensitivity, row.specificity, row.accuracy].iter().flat_map(share));
    cells.push(number(row.p_value));
    cells
}

fn organs(reader: &str, confusion: &Confusion) -> Vec<Vec<String>> {
    let row = |organ: &str, shares: [&Share; 2]| {
        let names = [reader, organ].map(String::from).into_iter();
        names.chain(shares.into_iter().flat_map(share)).collect()
    };
    let of_organ = |i: usize| row(&confusion.organs[i], [&confusion.recall[i], &confusion.precision[i]]);
    let all = row("all", [&confusion.accuracy; 2]);
    (0..confusion.organs.len()).map(of_organ).chain([all]).collect()
}

fn share(share: &Share) -> [String; 5] {
    let limit =
        |end: fn(&difftumor_ct::metrics::interval::Interval) -> f64| number(share.limits.as_ref().map(end));
    [
        number(share.share),
        limit(|limits| limits.low),
        limit(|limits| limits.high),
        share.part.to_string(),
        share.whole.to_string(),
    ]
}

fn number(value: Option<f64>) -> String {
    value.map_or(String::new(), |value| value.to_string())
}
