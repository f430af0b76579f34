//! How much: whole units of a ledger's smallest coin, and the denominations that mixers move.
//!
//! What always holds: sums and differences that do not fit are refused, never wrapped; a [`Series`]
//! holds 1, 2 and 5 times powers of ten from its least one on, and splits an amount only exactly.
//! Absent: names and decimal points of currencies; the program writes those.

use std::fmt;
use std::iter::Sum;

/// An amount of money in the ledger's smallest unit (Ğ1: 0.01 Ğ1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(u64);

impl Amount {
    /// No money.
    pub const ZERO: Self = Self(0);

    /// Takes a number of units.
    pub const fn from_units(units: u64) -> Self {
        Self(units)
    }

    /// The number of units.
    pub const fn units(self) -> u64 {
        self.0
    }

    /// The sum, or nothing if it passes 2⁶⁴ − 1 units.
    pub fn plus(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The difference, or nothing if it falls below zero.
    pub fn minus(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }
}

impl Sum for Amount {
    /// Adds up.
    ///
    /// # Panics
    /// If the sum passes 2⁶⁴ − 1 units: no ledger holds so much, so the books are wrong.
    fn sum<I: Iterator<Item = Self>>(mut amounts: I) -> Self {
        amounts.try_fold(Self::ZERO, Self::plus).expect("a ledger's money fits into 64 bits")
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A network's denominations: all of 1, 2, 5 × 10^k from `least` on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    /// Ascending, and never empty.
    denominations: Vec<Amount>,
}

impl Series {
    /// The series of all denominations that are not below `floor`, the existential deposit.
    ///
    /// # Errors
    /// [`NoDenomination`] if `floor` is zero or above the largest, 10¹⁹.
    pub fn new(floor: Amount) -> Result<Self, NoDenomination> {
        let powers = (0..20).map(|k| 10u64.pow(k));
        let all = powers.flat_map(|p| [1, 2, 5].into_iter().filter_map(move |m| p.checked_mul(m)));
        let denominations: Vec<_> =
            all.map(Amount).filter(|d| floor != Amount::ZERO && *d >= floor).collect();
        match denominations.is_empty() {
            true => Err(NoDenomination),
            false => Ok(Self { denominations }),
        }
    }

    /// Whether `amount` is one denomination.
    pub fn holds(&self, amount: Amount) -> bool {
        self.denominations.binary_search(&amount).is_ok()
    }

    /// The least denomination.
    pub fn least(&self) -> Amount {
        self.denominations[0]
    }

    /// Splits `amount` into at most `parts_max` denominations, largest first.
    ///
    /// # Errors
    /// [`Unsplittable`] with the nearest amounts below and above that can be split.
    pub fn split(&self, amount: Amount, parts_max: usize) -> Result<Vec<Amount>, Unsplittable> {
        self.exactly(amount, parts_max).ok_or_else(|| Unsplittable {
            below: self.below(amount, parts_max),
            above: self.above(amount, parts_max),
        })
    }

    fn exactly(&self, amount: Amount, parts_max: usize) -> Option<Vec<Amount>> {
        let (parts, rest) = self.greedily(amount, parts_max);
        (rest == Amount::ZERO && !parts.is_empty()).then_some(parts)
    }

    /// Takes the largest denomination that fits, again and again. From least 2 × 10^k on, 5 × 10^k is
    /// the only odd one, so an odd amount takes one of those first; the others then divide the rest.
    fn greedily(&self, amount: Amount, parts_max: usize) -> (Vec<Amount>, Amount) {
        let mut rest = amount;
        let mut parts = Vec::new();
        let odd = self.odd_one().filter(|odd| rest >= *odd && self.is_odd(rest) && parts_max > 0);
        if let Some(odd) = odd {
            parts.push(odd);
            rest = Amount(rest.0 - odd.0);
        }
        let even = self.denominations.iter().rev().filter(|d| Some(**d) != self.odd_one());
        for denomination in even {
            while *denomination <= rest && parts.len() < parts_max {
                parts.push(*denomination);
                rest = Amount(rest.0 - denomination.0);
            }
        }
        parts.sort_unstable_by(|a, b| b.cmp(a));
        (parts, rest)
    }

    /// 5 × 10^k where the least is 2 × 10^k.
    fn odd_one(&self) -> Option<Amount> {
        let second = self.denominations.get(1).copied()?;
        (second.0 / self.least().0 == 2 && second.0 % self.least().0 != 0).then_some(second)
    }

    fn is_odd(&self, amount: Amount) -> bool {
        (amount.0 / (self.least().0 / 2)) % 2 == 1
    }

    /// The sum of what greed finds, one part fewer at a time until it is exact.
    fn below(&self, amount: Amount, parts_max: usize) -> Option<Amount> {
        let mut reach: Vec<_> = [
            amount.0,
            amount.0.saturating_sub(self.least().0),
            amount.0.saturating_sub(self.least().0 / 2),
        ]
        .into_iter()
        .flat_map(|start| (0..=parts_max).map(move |parts| self.greedily(Amount(start), parts).0))
        .map(|parts| parts.into_iter().sum::<Amount>())
        .filter(|sum| *sum < amount && self.exactly(*sum, parts_max).is_some())
        .collect();
        reach.sort_unstable();
        reach.pop()
    }

    /// All but the smallest parts of what greed finds, and one denomination on top.
    fn above(&self, amount: Amount, parts_max: usize) -> Option<Amount> {
        (0..parts_max)
            .map(|parts| self.greedily(amount, parts).0.into_iter().sum::<Amount>())
            .flat_map(|sum| self.denominations.iter().filter_map(move |d| sum.plus(*d)))
            .filter(|sum| *sum > amount && self.exactly(*sum, parts_max).is_some())
            .min()
    }
}

/// No denomination lies above the existential deposit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoDenomination;

impl fmt::Display for NoDenomination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no denomination is at least the existential deposit")
    }
}

impl std::error::Error for NoDenomination {}

/// An amount that no few denominations add up to, and its neighbours that do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsplittable {
    /// A near amount below, if there is one.
    pub below: Option<Amount>,
    /// A near amount above, if there is one.
    pub above: Option<Amount>,
}

impl fmt::Display for Unsplittable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a sum of few denominations; nearest:")?;
        for near in [self.below, self.above].into_iter().flatten() {
            write!(f, " {near}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Unsplittable {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn units(amounts: &[Amount]) -> Vec<u64> {
        amounts.iter().map(|a| a.units()).collect()
    }

    #[test]
    fn a_series_begins_at_the_existential_deposit() {
        let series = Series::new(Amount(100)).unwrap();
        assert_eq!(series.least(), Amount(100));
        assert!(
            series.holds(Amount(500)) && !series.holds(Amount(50)) && !series.holds(Amount(300))
        );
        assert_eq!(Series::new(Amount(101)).unwrap().least(), Amount(200));
        assert_eq!(Series::new(Amount(0)), Err(NoDenomination));
        assert_eq!(Series::new(Amount(u64::MAX)), Err(NoDenomination));
    }

    #[test]
    fn an_amount_that_fits_no_sum_names_its_neighbours() {
        let series = Series::new(Amount(100)).unwrap();
        assert_eq!(units(&series.split(Amount(1800), 32).unwrap()), [1000, 500, 200, 100]);
        let near = series.split(Amount(1850), 32).unwrap_err();
        assert_eq!((near.below, near.above), (Some(Amount(1800)), Some(Amount(1900))));
        let near = series.split(Amount(99), 32).unwrap_err();
        assert_eq!((near.below, near.above), (None, Some(Amount(100))));
        let near = series.split(Amount(1800), 2).unwrap_err();
        assert_eq!((near.below, near.above), (Some(Amount(1500)), Some(Amount(2000))));
    }

    /// What `parts_max` denominations can add up to, tried one by one.
    fn reachable(series: &Series, below: u64, parts_max: usize) -> Vec<bool> {
        let mut least = vec![usize::MAX; below as usize];
        least[0] = 0;
        for sum in 1..below {
            for d in &series.denominations {
                if d.0 <= sum && least[(sum - d.0) as usize] != usize::MAX {
                    least[sum as usize] = least[sum as usize].min(least[(sum - d.0) as usize] + 1);
                }
            }
        }
        least.into_iter().map(|parts| (1..=parts_max).contains(&parts)).collect()
    }

    #[test]
    fn with_parts_to_spare_every_sum_is_found() {
        for floor in [1, 2, 3, 5, 7, 10, 20, 50] {
            let series = Series::new(Amount(floor)).unwrap();
            for (sum, can) in reachable(&series, 1000, 64).into_iter().enumerate() {
                let parts = series.exactly(Amount(sum as u64), 64);
                assert_eq!(parts.is_some(), can, "floor {floor}, sum {sum}");
            }
        }
    }

    proptest! {
        #[test]
        fn parts_add_up_and_neighbours_can_be_split(
            floor in 1u64..2000, amount in 0u64..u64::MAX, parts_max in 1usize..33,
        ) {
            let series = Series::new(Amount(floor)).unwrap();
            match series.split(Amount(amount), parts_max) {
                Ok(parts) => {
                    prop_assert!(parts.len() <= parts_max && parts.iter().all(|p| series.holds(*p)));
                    prop_assert_eq!(parts.into_iter().sum::<Amount>(), Amount(amount));
                }
                Err(Unsplittable { below, above }) => {
                    for near in [below, above].into_iter().flatten() {
                        prop_assert!(series.split(near, parts_max).is_ok());
                    }
                    prop_assert!(below.is_none_or(|b| b < Amount(amount)));
                    prop_assert!(above.is_none_or(|a| a > Amount(amount)));
                }
            }
        }
    }
}
