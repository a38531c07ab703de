//! Which tumors are shown.
//!
//! Groups that must have equal numbers form a set: real and synthetic tumors of an organ (visual Turing test), or all organs (organ
//! recognition). Each set's smallest group (the first of equals: real ones) is drawn at random; for each tumor drawn, the others give the
//! one nearest in the logarithm of its equivalent diameter, so that size alone does not tell groups apart. Among all that could be drawn,
//! those come first of whose case the fewest are shown already, in whatever group: nobody sees an anatomy again before all were seen.
use super::survey::{Found, Tumor};
use super::{Group, MakeOptions, Source, shuffle};
use crate::error::Result;
use crate::format::Kind;
use crate::problem::argument;
use difftumor_ct::draws::Stream;
use std::collections::{BTreeMap, BTreeSet};

/// Tumors that may be drawn for one group, as indices in seeded order.
struct Candidates<'a> {
    organ: &'a str,
    synthetic: Option<bool>,
    tumors: Vec<usize>,
}

/// The groups, and the indices of the tumors shown of each.
///
/// # Errors
/// [`Error::Argument`](crate::Error::Argument) when a group has no tumor, there is one organ to recognise, or fewer items are wanted than
/// there are groups.
pub(super) fn choose(
    sources: &[Source],
    found: &Found,
    options: &MakeOptions,
) -> Result<(Vec<Group>, Vec<Vec<usize>>)> {
    let mut sets = candidates(sources, &found.tumors, options);
    check(&sets, found, options)?;
    for group in sets.iter_mut().flatten() {
        let name = format!("choice {} {:?}", group.organ, group.synthetic);
        shuffle(&mut group.tumors, &mut Stream::new(options.seed, 0, &name, 0));
    }
    let mut shown = Shown { sources, tumors: &found.tumors, of_case: BTreeMap::new() };
    let (mut groups, mut chosen) = (Vec::new(), Vec::new());
    for (set, count) in sets.iter().zip(allot(&sets, options.items)) {
        for (group, drawn) in set.iter().zip(draw(set, count, &mut shown)) {
            groups.push(summary(group, &drawn, &found.tumors));
            chosen.push(drawn);
        }
    }
    Ok((groups, chosen))
}

/// The sets of groups, organs in alphabetical order. Organs of sources none of whose tumors can be shown are among them.
fn candidates<'a>(
    sources: &'a [Source],
    tumors: &[Tumor],
    options: &MakeOptions,
) -> Vec<Vec<Candidates<'a>>> {
    let organs: BTreeSet<&str> = sources.iter().map(|source| source.organ.as_str()).collect();
    let group = |organ: &'a str, synthetic: Option<bool>| {
        let is_in = |tumor: &Tumor| {
            let source = &sources[tumor.source];
            source.organ == organ && synthetic.is_none_or(|wanted| source.synthetic == wanted)
        };
        let tumors = (0..tumors.len()).filter(|i| is_in(&tumors[*i])).collect();
        Candidates { organ, synthetic, tumors }
    };
    match options.kind {
        Kind::VisualTuring => {
            organs.iter().map(|organ| [false, true].map(|s| group(organ, Some(s))).into()).collect()
        }
        Kind::OrganRecognition => vec![organs.iter().map(|organ| group(organ, None)).collect()],
    }
}

fn check(sets: &[Vec<Candidates<'_>>], found: &Found, options: &MakeOptions) -> Result<()> {
    let groups: Vec<&Candidates<'_>> = sets.iter().flatten().collect();
    if options.kind == Kind::OrganRecognition && groups.len() < 2 {
        return Err(argument("organs to recognise", "two or more", groups.len()));
    }
    if groups.is_empty() {
        return Err(argument("sources", "cases with real and cases with synthetic tumors", "none"));
    }
    if let Some(empty) = groups.iter().find(|group| group.tumors.is_empty()) {
        let kind = match empty.synthetic {
            None => "tumor",
            Some(true) => "synthetic tumor",
            Some(false) => "real tumor",
        };
        let first = found.skipped.iter().take(3).map(|s| format!("; skipped {}: {}", s.case, s.reason));
        let reasons: String = first.collect();
        return Err(argument(
            format!("tumors of the {}", empty.organ),
            format!("at least one {kind} that can be shown"),
            format!("none{reasons}"),
        ));
    }
    if options.items < groups.len() {
        let expected = format!("at least {}, one for each organ and kind of tumor", groups.len());
        return Err(argument("items", expected, options.items));
    }
    Ok(())
}

/// How many tumors each group of a set gets: one more for each set in turn, while there are tumors and items left.
fn allot(sets: &[Vec<Candidates<'_>>], items: usize) -> Vec<usize> {
    let most = |set: &Vec<Candidates<'_>>| set.iter().map(|group| group.tumors.len()).min().unwrap_or(0);
    let mut counts = vec![0; sets.len()];
    let mut left = items;
    loop {
        let before = left;
        for (count, set) in counts.iter_mut().zip(sets) {
            if *count < most(set) && set.len() <= left {
                *count += 1;
                left -= set.len();
            }
        }
        if left == before {
            return counts;
        }
    }
}

/// What has been drawn so far.
struct Shown<'a> {
    sources: &'a [Source],
    tumors: &'a [Tumor],
    of_case: BTreeMap<&'a str, usize>,
}

impl<'a> Shown<'a> {
    /// Takes from `left` the tumor of the case least shown, then nearest in size to `like`, then first.
    fn take(&mut self, left: &mut Vec<usize>, like: Option<usize>) -> usize {
        let log_size = |tumor: usize| libm::log(self.tumors[tumor].equivalent_diameter_mm);
        let rank = |tumor: usize| {
            let times = self.of_case.get(self.case(tumor)).copied().unwrap_or(0);
            (times, like.map_or(0.0, |like| (log_size(tumor) - log_size(like)).abs()))
        };
        let by_rank = |a: &usize, b: &usize| {
            let (a, b) = (rank(left[*a]), rank(left[*b]));
            a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
        };
        let at = (0..left.len()).min_by(by_rank).expect("no group is asked for more tumors than it has");
        let tumor = left.remove(at);
        *self.of_case.entry(self.case(tumor)).or_default() += 1;
        tumor
    }

    fn case(&self, tumor: usize) -> &'a str {
        &self.sources[self.tumors[tumor].source].case
    }
}

/// `count` tumors of each group of a set.
fn draw(set: &[Candidates<'_>], count: usize, shown: &mut Shown<'_>) -> Vec<Vec<usize>> {
    let first = (0..set.len()).min_by_key(|i| set[*i].tumors.len()).expect("a set has groups");
    let mut left: Vec<Vec<usize>> = set.iter().map(|group| group.tumors.clone()).collect();
    let anchors: Vec<usize> = (0..count).map(|_| shown.take(&mut left[first], None)).collect();
    let mut drawn = Vec::new();
    for (i, left) in left.iter_mut().enumerate() {
        drawn.push(match i == first {
            true => anchors.clone(),
            false => anchors.iter().map(|anchor| shown.take(left, Some(*anchor))).collect(),
        });
    }
    drawn
}

fn summary(group: &Candidates<'_>, drawn: &[usize], tumors: &[Tumor]) -> Group {
    let mut sizes: Vec<f64> = drawn.iter().map(|tumor| tumors[*tumor].equivalent_diameter_mm).collect();
    sizes.sort_by(f64::total_cmp);
    Group {
        organ: group.organ.into(),
        synthetic: group.synthetic,
        tumors: drawn.len(),
        found: group.tumors.len(),
        diameters_mm: [sizes[0], sizes[(sizes.len() - 1) / 2], sizes[sizes.len() - 1]],
    }
}
