use super::*;
use crate::format::{FORMAT, Item, Reader};

mod bad_input;
mod written;

/// A study with all its files. Ids tell what items are: organ, r or s, number; `x` repeats.
struct Files {
    study: Study,
    readers: Readers,
    key: Key,
}

impl Files {
    fn score(&self, answers: &[Answer]) -> Result<Scores> {
        score(&self.study, "5ha", &self.readers, &self.key, answers)
    }
}

/// `truths`: id, organ, synthetic, what it repeats.
fn files(kind: Kind, choices: &[&str], truths: &[(&str, &str, bool, Option<&str>)]) -> Files {
    let order: Vec<String> = truths.iter().map(|(id, ..)| id.to_string()).collect();
    let mut ids = order.clone();
    ids.sort();
    let item = |id: &String| Item { id: id.clone(), sha256: "0".repeat(64), centre_vox: [1.0; 3] };
    let reader =
        |name: &&str| Reader { name: name.to_string(), token_sha256: "0".repeat(64), order: order.clone() };
    let truth = |(id, organ, synthetic, repeats): &(&str, &str, bool, Option<&str>)| {
        let truth = Truth {
            synthetic: *synthetic,
            organ: organ.to_string(),
            case: format!("case of {}", repeats.unwrap_or(id)),
            equivalent_diameter_mm: 15.0,
            repeats: repeats.map(str::to_string),
        };
        (id.to_string(), truth)
    };
    Files {
        study: Study {
            format: FORMAT.into(),
            kind,
            title: "A <study>".into(),
            choices: choices.iter().map(|choice| choice.to_string()).collect(),
            window_hu: [40.0, 400.0],
            items: ids.iter().map(item).collect(),
        },
        readers: Readers { format: FORMAT.into(), readers: ["R1", "R2", "R3"].iter().map(reader).collect() },
        key: Key {
            format: FORMAT.into(),
            study_sha256: "5ha".into(),
            seed: 1,
            items: truths.iter().map(truth).collect(),
        },
    }
}

fn turing_files() -> Files {
    let truths = [
        ("lr1", "liver", false, None),
        ("lr2", "liver", false, None),
        ("ls1", "liver", true, None),
        ("ls2", "liver", true, None),
        ("kr1", "kidney", false, None),
        ("kr2", "kidney", false, None),
        ("ks1", "kidney", true, None),
        ("ks2", "kidney", true, None),
        ("lr1x", "liver", false, Some("lr1")),
        ("ks1x", "kidney", true, Some("ks1")),
    ];
    files(Kind::VisualTuring, &["real", "synthetic"], &truths)
}

fn answer(reader: &str, item: &str, answer: &str, revision: u32, reading_ms: u64) -> Answer {
    let (reader, item, answer) = (reader.into(), item.into(), answer.into());
    Answer { reader, item, answer, revision, reading_ms, received_unix_ms: 1_700_000_000_000 }
}

/// R1 answers all, and changes one answer; R2 leaves out a tumor and the repeats; R3 answers nothing.
fn turing_answers() -> Vec<Answer> {
    let (r, s) = ("real", "synthetic");
    let first = ["lr1", "lr2", "ls1", "ls2", "kr1", "kr2", "ks1", "ks2", "lr1x", "ks1x"];
    let mut answers = vec![answer("R1", "lr2", r, 2, 9_000)];
    for (item, choice) in first.iter().zip([r, s, r, s, r, s, r, r, r, s]) {
        answers.push(answer("R1", item, choice, 1, 2_000));
    }
    for (i, (item, choice)) in first.iter().zip([r, s, s, s, r, r, r]).enumerate() {
        answers.push(answer("R2", item, choice, 1, 1_000 * (i as u64 + 1)));
    }
    answers
}

fn counts(share: Share) -> (usize, usize) {
    (share.part, share.whole)
}

#[test]
fn table_1_counted_by_hand() {
    let scores = turing_files().score(&turing_answers()).unwrap();
    assert_eq!((scores.tumors, scores.repeats, scores.confidence), (8, 2, 0.95));
    let rows = |reader: usize| -> Vec<_> {
        let rows = scores.readers[reader].turing.iter();
        rows.map(|row| {
            (row.organ.as_deref(), counts(row.sensitivity), counts(row.specificity), counts(row.accuracy))
        })
        .collect()
    };
    let (liver, kidney, all) = (Some("liver"), Some("kidney"), None);
    assert_eq!(
        rows(0),
        [(kidney, (1, 2), (0, 2), (1, 4)), (liver, (2, 2), (1, 2), (3, 4)), (all, (3, 4), (1, 4), (4, 8))]
    );
    assert_eq!(
        rows(1),
        [(kidney, (2, 2), (0, 1), (2, 3)), (liver, (1, 2), (2, 2), (3, 4)), (all, (3, 4), (2, 3), (5, 7))]
    );
    assert_eq!(
        rows(2),
        [(kidney, (0, 0), (0, 0), (0, 0)), (liver, (0, 0), (0, 0), (0, 0)), (all, (0, 0), (0, 0), (0, 0))]
    );
    let answered: Vec<_> = scores.readers.iter().map(|reader| (reader.answered, reader.unanswered)).collect();
    assert_eq!(answered, [(8, 0), (7, 1), (0, 8)]);
    let limits = scores.readers[0].turing[1].sensitivity.limits.unwrap();
    // 2 of 2: the lower limit is the square root of 0.025.
    assert!((limits.low - 0.025_f64.sqrt()).abs() < 1e-9 && limits.high == 1.0);
    // 4 of 8 is what a coin does; 5 of 7 or more have 29 of 128 ways.
    assert_eq!(scores.readers[0].turing[2].p_value, Some(1.0));
    assert!((scores.readers[1].turing[2].p_value.unwrap() - 2.0 * 29.0 / 128.0).abs() < 1e-12);
    assert_eq!(scores.readers[2].turing[2].p_value, None);
    assert!(scores.pooled.is_none() && scores.readers.iter().all(|reader| reader.confusion.is_none()));
}

#[test]
fn agreement_counted_by_hand() {
    let scores = turing_files().score(&turing_answers()).unwrap();
    // R3 has no answers and takes no part.
    let [pair] = scores.agreement.pairs.as_slice() else { panic!("{:?}", scores.agreement.pairs) };
    assert_eq!(pair.readers, ["R1", "R2"]);
    let cohen = pair.cohen.unwrap();
    assert_eq!(cohen.items, 7);
    assert!((cohen.agreement - 4.0 / 7.0).abs() < 1e-12);
    // Real: 5 and 4 of 7. By chance (5 * 4 + 2 * 3) / 49.
    assert!((cohen.kappa.unwrap() - 2.0 / 23.0).abs() < 1e-12, "{cohen:?}");
    let fleiss = scores.agreement.all.unwrap();
    assert_eq!((fleiss.items, fleiss.raters), (7, 2));
    // Real: 9 of 14. By chance (81 + 25) / 196.
    assert!((fleiss.kappa.unwrap() - 1.0 / 15.0).abs() < 1e-12, "{fleiss:?}");
    // lr1 was called real twice, ks1 once.
    assert_eq!(counts(scores.readers[0].again.equal), (1, 2));
    assert!((scores.readers[0].again.cohen.unwrap().agreement - 0.5).abs() < 1e-12);
    assert_eq!((counts(scores.readers[1].again.equal), scores.readers[1].again.cohen), ((0, 0), None));
}

#[test]
fn reading_times_counted_by_hand() {
    let scores = turing_files().score(&turing_answers()).unwrap();
    let spread = |answers, total_s, quartiles_s| Spread { answers, total_s, quartiles_s };
    let times = &scores.readers[1].times;
    assert_eq!(times.all, spread(7, 28.0, Some([2.5, 4.0, 5.5])));
    assert_eq!(times.by_truth[0], ("real".into(), spread(4, 14.0, Some([1.75, 3.5, 5.25]))));
    assert_eq!(times.by_truth[1], ("synthetic".into(), spread(3, 14.0, Some([3.5, 4.0, 5.5]))));
    // Repeats count, and of the changed answer the last time.
    assert_eq!(scores.readers[0].times.all, spread(10, 27.0, Some([2.0; 3])));
    assert_eq!(scores.readers[2].times.all, spread(0, 0.0, None));
}

fn organ_files() -> Files {
    let truths = [
        ("k1", "kidney", false, None),
        ("k2", "kidney", false, None),
        ("l1", "liver", false, None),
        ("l2", "liver", true, None),
        ("p1", "pancreas", false, None),
        ("p2", "pancreas", false, None),
    ];
    files(Kind::OrganRecognition, &["kidney", "liver", "pancreas"], &truths)
}

fn organ_answers() -> Vec<Answer> {
    let items = ["k1", "k2", "l1", "l2", "p1", "p2"];
    let of = |reader: &'static str, choices: [&'static str; 6]| {
        items.into_iter().zip(choices).map(move |(item, choice)| answer(reader, item, choice, 1, 4_000))
    };
    let (k, l, p) = ("kidney", "liver", "pancreas");
    of("R1", [k, k, l, k, l, k]).chain(of("R2", [k, k, l, l, p, p])).collect()
}

#[test]
fn confusion_counted_by_hand() {
    let scores = organ_files().score(&organ_answers()).unwrap();
    let confusion = scores.readers[0].confusion.as_ref().unwrap();
    assert_eq!(confusion.counts, [[2, 0, 0], [1, 1, 0], [1, 1, 0]]);
    let all = |shares: &[Share]| shares.iter().copied().map(counts).collect::<Vec<_>>();
    assert_eq!(all(&confusion.recall), [(2, 2), (1, 2), (0, 2)]);
    assert_eq!(all(&confusion.precision), [(2, 4), (1, 2), (0, 0)]);
    assert_eq!((counts(confusion.accuracy), confusion.precision[2].share), ((3, 6), None));
    assert!((confusion.chance - 1.0 / 3.0).abs() < 1e-15);
    // 3 of 6 or more with a chance of a third: (20 * 8 + 15 * 4 + 6 * 2 + 1) / 729.
    assert!((confusion.p_value.unwrap() - 2.0 * 233.0 / 729.0).abs() < 1e-12);
    let pooled = scores.pooled.as_ref().unwrap();
    assert_eq!(pooled.counts, [[4, 0, 0], [1, 3, 0], [1, 1, 2]]);
    assert_eq!((counts(pooled.accuracy), pooled.accuracy.limits, pooled.p_value), ((9, 12), None, None));
    assert_eq!(counts(scores.readers[2].confusion.as_ref().unwrap().accuracy), (0, 0));
    assert!(scores.readers.iter().all(|reader| reader.turing.is_empty()));
    assert_eq!(scores.readers[0].times.by_truth[1].0, "liver");
}
