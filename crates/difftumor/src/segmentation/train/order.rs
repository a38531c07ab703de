//! Which scan an item is cut from: real training scans and healthy ones in one list, as published (spec/segmentation.md section 4),
//! or both in a given ratio.
use crate::train::crops::turn;
use serde::{Deserialize, Serialize};

/// How often healthy cases are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(untagged)]
pub enum HealthyShare {
    /// `"listed"`: each case as often as any other.
    #[default]
    #[serde(with = "listed")]
    Listed,
    /// Share of items from healthy cases, 0 to 1; those of either kind take turns.
    Share(f64),
}

mod listed {
    use serde::de::{Deserialize, Deserializer, Error};
    use serde::ser::Serializer;

    pub fn serialize<S: Serializer>(to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str("listed")
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<(), D::Error> {
        match String::deserialize(from)?.as_str() {
            "listed" => Ok(()),
            other => Err(D::Error::custom(other)),
        }
    }
}

/// The order of scans. It follows from the seed and the list.
#[derive(Debug)]
pub struct Order {
    /// Numbers of annotated scans and of healthy ones.
    kinds: [Vec<usize>; 2],
    share: HealthyShare,
    seed: u64,
}

impl Order {
    /// `healthy` tells of each scan whether it is.
    pub fn new(healthy: impl IntoIterator<Item = bool>, share: HealthyShare, seed: u64) -> Self {
        let mut kinds = [vec![], vec![]];
        healthy.into_iter().enumerate().for_each(|(i, healthy)| kinds[usize::from(healthy)].push(i));
        Self { kinds, share, seed }
    }

    /// Share of items that are of healthy scans.
    pub fn healthy_share(&self) -> f64 {
        let [annotated, healthy] = self.kinds.each_ref().map(Vec::len);
        match self.share {
            HealthyShare::Listed => healthy as f64 / (annotated + healthy).max(1) as f64,
            HealthyShare::Share(share) => share,
        }
    }

    /// The scans to try for item `n`: its own one first. Each pass over the scans (of its kind) has an order of its own.
    pub fn of_item(&self, n: u64) -> Vec<usize> {
        let HealthyShare::Share(share) = self.share else {
            let all = self.kinds[0].len() + self.kinds[1].len();
            return turn(all, self.seed, n).collect();
        };
        // As evenly as can be: of the first n items n·share, rounded down, are healthy.
        let before = |n: u64| (n as f64 * share) as u64;
        let healthy = before(n + 1) > before(n);
        let count = if healthy { before(n) } else { n - before(n) };
        let of = |kind: usize| self.pass(kind, count);
        let kind = usize::from(healthy);
        of(kind).chain(of(1 - kind)).collect()
    }

    /// The healthy scans to try for crop `number` of a pool.
    pub fn of_crop(&self, number: u64) -> Vec<usize> {
        self.pass(1, number).collect()
    }

    fn pass(&self, kind: usize, count: u64) -> impl Iterator<Item = usize> {
        let of_kind = &self.kinds[kind];
        turn(of_kind.len(), self.seed, count).map(|i| of_kind[i])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 3 annotated scans and 6 healthy ones.
    fn order(share: HealthyShare) -> Order {
        Order::new((0..9).map(|i| i >= 3), share, 5)
    }

    fn counts(share: HealthyShare, items: u64) -> [usize; 9] {
        let mut counts = [0; 9];
        (0..items).for_each(|n| counts[order(share).of_item(n)[0]] += 1);
        counts
    }

    #[test]
    fn a_list_takes_each_scan_once_in_each_pass() {
        assert_eq!(counts(HealthyShare::Listed, 36), [4; 9]);
        assert_eq!(order(HealthyShare::Listed).healthy_share(), 6.0 / 9.0);
        let tried = order(HealthyShare::Listed).of_item(4);
        assert_eq!(tried.len(), 9);
    }

    #[test]
    fn a_share_is_kept_and_either_kind_takes_turns() {
        // 90 and 30 items of 120.
        assert_eq!(counts(HealthyShare::Share(0.75), 120), [10, 10, 10, 15, 15, 15, 15, 15, 15]);
        assert_eq!(counts(HealthyShare::Share(1.0), 12), [0, 0, 0, 2, 2, 2, 2, 2, 2]);
        assert_eq!(counts(HealthyShare::Share(0.0), 6), [2, 2, 2, 0, 0, 0, 0, 0, 0]);
        // Half: every other item.
        let healthy = |n: u64| order(HealthyShare::Share(0.5)).of_item(n)[0] >= 3;
        assert!((0..20).all(|n| healthy(n) == (n % 2 == 1)));
        // When its own kind cannot be used, the other one is there.
        let tried = order(HealthyShare::Share(0.5)).of_item(7);
        assert_eq!((tried.len(), tried[..6].iter().all(|i| *i >= 3)), (9, true));
    }

    #[test]
    fn crops_of_a_pool_are_healthy() {
        let order = order(HealthyShare::Listed);
        let mut first: Vec<usize> = (0..6).map(|n| order.of_crop(n)[0]).collect();
        first.sort_unstable();
        assert_eq!(first, [3, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn the_setting_is_a_word_or_a_number() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Holder {
            share: HealthyShare,
        }
        for (text, share) in
            [("share = \"listed\"\n", HealthyShare::Listed), ("share = 0.25\n", HealthyShare::Share(0.25))]
        {
            let holder: Holder = toml::from_str(text).unwrap();
            assert_eq!((holder.share, toml::to_string(&holder).unwrap().as_str()), (share, text));
        }
        assert!(toml::from_str::<Holder>("share = \"some\"").is_err());
    }
}
