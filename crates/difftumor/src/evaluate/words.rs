//! Figures in words, as on the terminal and in reports.
use super::segmentation::{Mean, Share};
use difftumor_ct::metrics::interval::Interval;

/// A mean: `0.712`, or `-` over no case.
pub(crate) fn mean(m: &Mean, digits: usize) -> String {
    m.mean.map_or("-".into(), |v| format!("{v:.digits$}"))
}

/// `3 of 4`.
pub(crate) fn share(s: &Share) -> String {
    format!("{} of {}", s.part, s.whole)
}

/// `0.52 to 0.81`, or nothing.
pub(crate) fn limits(interval: Option<&Interval>, digits: usize) -> String {
    interval.map_or(String::new(), |i| format!("{:.digits$} to {:.digits$}", i.low, i.high))
}

/// A share in percent: `75.0`, or `-` of nothing.
pub(crate) fn percent(share: Option<f64>) -> String {
    share.map_or("-".into(), |v| format!("{:.1}", 100.0 * v))
}

/// Mean and standard deviation in percent, as the paper's tables have them: `70.9 ± 21.1`.
pub(crate) fn percent_with_deviation(m: &Mean) -> String {
    let deviation = m.deviation.map_or(String::new(), |d| format!(" ± {:.1}", 100.0 * d));
    format!("{}{deviation}", percent(m.mean))
}

/// The same limits in percent.
pub(crate) fn percent_limits(interval: Option<&Interval>) -> String {
    interval.map_or(String::new(), |i| format!("{:.1} to {:.1}", 100.0 * i.low, 100.0 * i.high))
}
