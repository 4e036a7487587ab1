use proptest::prelude::*;

use super::*;

#[test]
fn quantiles_of_known_data() {
    let values = [4.0, 1.0, 3.0, 2.0, 5.0];
    assert_eq!(median(&values), Some(3.0));
    assert_eq!(median(&values[..4]), Some(2.5));
    assert_eq!(quantile(&values, 0.0), Some(1.0));
    assert_eq!(quantile(&values, 0.25), Some(2.0));
    assert_eq!(quantile(&values, 0.9), Some(4.6));
    assert_eq!(quantile(&values, 1.0), Some(5.0));
    assert_eq!(median(&[7.0]), Some(7.0));
    assert_eq!(median(&[]), None);
    assert_eq!(median(&[1.0, f64::INFINITY, f64::INFINITY]), Some(f64::INFINITY));
}

#[test]
fn bootstrap_needs_three_values_and_is_repeatable() {
    assert_eq!(bootstrap_median(&[1.0, 2.0], 1), None);
    let values = [10.0, 11.0, 12.0, 13.0, 50.0];
    let interval = bootstrap_median(&values, 7).expect("five values");
    assert_eq!(Some(interval), bootstrap_median(&[50.0, 12.0, 10.0, 13.0, 11.0], 7));
    assert_eq!(interval, Interval { low: 10.0, high: 50.0 }, "the range, and no more, below 6 blocks");
    let constant = bootstrap_median(&[3.0; 4], 7).expect("four values");
    assert_eq!(constant, Interval { low: 3.0, high: 3.0 });
    assert_eq!(constant.half_width(), 0.0);
}

#[test]
fn trials_within_blocks_are_drawn_again_too() {
    let one_each: Vec<Vec<f64>> = [5.0, 6.0, 7.0, 8.0].map(|value| vec![value]).to_vec();
    assert_eq!(hierarchical_median(&one_each, 3), bootstrap_median(&[8.0, 7.0, 6.0, 5.0], 3));
    let several = [vec![1.0, 9.0, 5.0], vec![5.0, 1.0, 9.0], vec![], vec![9.0, 5.0, 1.0]];
    let estimate = Estimate::of_trials(&several, 3).expect("three blocks");
    assert_eq!(estimate.median, 5.0);
    let interval = estimate.interval.expect("three blocks");
    assert!(interval.low < 5.0 && interval.high > 5.0, "all medians of blocks are 5, their trials are not");
    assert_eq!(hierarchical_median(&several[1..3], 3), None, "one block with trials");
}

/// Order statistics of 8 and 10 values with the confidence of each, from the table of the binomial distribution.
#[test]
fn intervals_of_the_sign_test_are_those_of_the_binomial_distribution() {
    let up_to = |count: i32| (1..=count).map(f64::from).collect::<Vec<_>>();
    assert_eq!(order_statistics(&up_to(5)), Some(Interval { low: 1.0, high: 5.0 }));
    // 10: depth 2 has 1 - 22/1024 = 0.97852, depth 3 has 1 - 112/1024 = 0.89063.
    let share = (0.978_515_625 - 0.95) / (0.978_515_625 - 0.890_625);
    let inwards = 8.0 * share / (2.0 + 6.0 * share);
    let ten = order_statistics(&up_to(10)).expect("ten values");
    assert!((ten.low - (2.0 + inwards)).abs() < 1e-12 && (ten.high - (9.0 - inwards)).abs() < 1e-12);
    assert_eq!(order_statistics(&[]), None);
    let reached = [3, 4, 5, 6].map(reach);
    assert_eq!(reached, [0.75, 0.875, 0.9375, 0.96875]);
}

/// Values of `blocks` blocks around `center`, heavy-tailed: a sum of an exponential one and a rare burst.
fn skewed(random: &mut fastrand::Rng, blocks: usize) -> Vec<f64> {
    (0..blocks)
        .map(|_| -random.f64().ln() + if random.f64() < 0.1 { 5.0 * random.f64() } else { 0.0 })
        .collect()
}

/// The true median of [`skewed`], from a large sample.
fn true_median() -> f64 {
    median(&skewed(&mut fastrand::Rng::with_seed(1), 400_001)).expect("values")
}

/// The interval must hold the true median in about 95 of 100 samples, and not by being endlessly wide.
#[test]
fn intervals_hold_the_true_median_as_often_as_they_say() {
    let truth = true_median();
    for (blocks, least, most) in [(6, 0.94, 1.0), (7, 0.93, 0.985), (10, 0.93, 0.985), (25, 0.93, 0.985)] {
        let mut random = fastrand::Rng::with_seed(42 + blocks as u64);
        let covered = (0..600)
            .filter(|&seed| {
                let interval = bootstrap_median(&skewed(&mut random, blocks), seed).expect("enough blocks");
                interval.low <= truth && truth <= interval.high
            })
            .count();
        let share = covered as f64 / 600.0;
        assert!((least..=most).contains(&share), "{blocks} blocks: {share}");
    }
}

/// Blocks that differ more than the trials within them: an interval that took all trials for independent would be far too
/// narrow, and this one is not.
#[test]
fn intervals_hold_when_trials_of_a_block_are_alike() {
    let mut random = fastrand::Rng::with_seed(7);
    let normal = |random: &mut fastrand::Rng| (0..12).map(|_| random.f64()).sum::<f64>() - 6.0;
    let (mut covered, mut flat_covered) = (0, 0);
    for seed in 0..400 {
        let blocks: Vec<Vec<f64>> = (0..8)
            .map(|_| {
                let level = normal(&mut random);
                (0..5).map(|_| level + 0.2 * normal(&mut random)).collect()
            })
            .collect();
        let holds =
            |interval: Option<Interval>| interval.is_some_and(|ends| ends.low <= 0.0 && 0.0 <= ends.high);
        covered += u32::from(holds(hierarchical_median(&blocks, seed)));
        flat_covered += u32::from(holds(bootstrap_median(&blocks.concat(), seed)));
    }
    let share = f64::from(covered) / 400.0;
    assert!((0.92..=0.99).contains(&share), "{share}");
    assert!(f64::from(flat_covered) / 400.0 < 0.8, "the test tells them apart: {flat_covered}");
}

#[test]
fn ratios_pair_blocks_and_skip_those_without_partner() {
    let above = BTreeMap::from([(0, 20.0), (1, 30.0), (2, 50.0), (3, 9.0)]);
    let below = BTreeMap::from([(0, 10.0), (1, 10.0), (3, 0.0)]);
    assert_eq!(paired_ratios(&above, &below), vec![2.0, 3.0]);
}

#[test]
fn exceeding_asks_for_the_whole_interval() {
    let interval = Some(Interval { low: 0.9, high: 1.4 });
    assert!(!Estimate { median: 1.2, interval }.exceeds(1.0));
    assert!(Estimate { median: 1.2, interval: None }.exceeds(1.0));
}

fn close(found: f64, published: f64, tolerance: f64) {
    assert!((found - published).abs() <= tolerance, "{found} against {published}");
}

/// Hollander and Wolfe (1973), page 69, permeability of membranes: the example of R's `wilcox.test`, which gives 0.2544; the
/// digits from scipy.stats.mannwhitneyu 1.17 with method="exact".
#[test]
fn mann_whitney_gives_the_exact_p_of_the_example_in_r() {
    let term = [0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46];
    let early = [1.15, 0.88, 0.90, 0.74, 1.21];
    close(mann_whitney(&term, &early), 0.254_412_254_412_254_4, 1e-12);
    close(mann_whitney(&early, &term), 0.254_412_254_412_254_4, 1e-12);
    close(
        mann_whitney(&[78.0, 64.0, 75.0, 45.0, 82.0], &[110.0, 70.0, 53.0, 51.0]),
        0.904_761_904_761_904_7,
        1e-12,
    );
}

/// Hollander and Wolfe (1973), page 29, depression scores: the paired example of R's `wilcox.test`, two-sided 0.03906; and the
/// heights of Darwin's maize in scipy.stats.wilcoxon, 0.04126.
#[test]
fn signed_rank_gives_the_exact_p_of_the_examples_in_r_and_scipy() {
    #[allow(clippy::approx_constant, reason = "a score, not a circle")]
    let second = [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29];
    let first = [1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30];
    let differences: Vec<f64> = first.iter().zip(second).map(|(one, other)| one - other).collect();
    close(signed_rank(&differences), 0.039_062_5, 1e-12);
    let maize = [6.0, 8.0, 14.0, 16.0, 23.0, 24.0, 28.0, 29.0, 41.0, -48.0, 49.0, 56.0, 60.0, -67.0, 75.0];
    close(signed_rank(&maize), 0.041_259_765_625, 1e-12);
}

/// scipy.stats 1.17: mannwhitneyu and wilcoxon with method="asymptotic", both with their corrections for continuity.
#[test]
fn ties_and_many_values_go_by_the_normal_distribution() {
    let one = [1.0, 2.0, 2.0, 3.0, 5.0, 8.0];
    let other = [2.0, 4.0, 5.0, 6.0, 7.0, 9.0, 9.0];
    close(mann_whitney(&one, &other), 0.113_070_374_957_984_53, 1e-7);
    let tied = [1.0, 1.0, 2.0, -2.0, 3.0, 5.0, -1.0, 4.0, 0.0, 6.0];
    close(signed_rank(&tied), 0.065_126_503_671_356_35, 1e-7);
    let low: Vec<f64> = (0..30).map(f64::from).collect();
    let high: Vec<f64> = low.iter().map(|value| value + 4.5).collect();
    close(mann_whitney(&low, &high), 0.065_671_257_689_127_56, 1e-7);
}

#[test]
fn the_least_p_is_that_of_sets_without_overlap() {
    close(least_mann_whitney(3, 3), 0.1, 1e-12);
    close(least_mann_whitney(4, 4), 2.0 / 70.0, 1e-12);
    close(least_mann_whitney(5, 5), 2.0 / 252.0, 1e-12);
    close(least_signed_rank(5), 2.0 / 32.0, 1e-12);
    close(least_signed_rank(6), 2.0 / 64.0, 1e-12);
    assert_eq!(
        (mann_whitney(&[], &[1.0]), signed_rank(&[0.0, 0.0]), mann_whitney(&[2.0; 5], &[2.0; 5])),
        (1.0, 1.0, 1.0)
    );
}

/// The example of R's `p.adjust(p, "holm")`: p-values 0.01, 0.02, 0.03, 0.04, 0.05 become 0.05, 0.08, 0.09, 0.09, 0.09.
#[test]
fn holm_steps_down_and_never_falls() {
    let corrected = holm(&[0.03, 0.01, 0.05, 0.02, 0.04]);
    for (found, expected) in corrected.iter().zip([0.09, 0.05, 0.09, 0.08, 0.09]) {
        close(*found, expected, 1e-12);
    }
    assert_eq!(holm(&[0.6, 0.7]), [1.0, 1.0]);
    assert_eq!(holm(&[]), [0.0; 0]);
}

/// Under no difference a test at 5 % cries wolf in 5 of 100 cases, or fewer.
#[test]
fn tests_cry_wolf_no_more_often_than_they_may() {
    let mut random = fastrand::Rng::with_seed(11);
    let (mut unpaired, mut paired) = (0, 0);
    for _ in 0..2_000 {
        let (one, other) = (skewed(&mut random, 7), skewed(&mut random, 7));
        unpaired += u32::from(mann_whitney(&one, &other) <= 0.05);
        let differences: Vec<f64> = one.iter().zip(&other).map(|(one, other)| one - other).collect();
        paired += u32::from(signed_rank(&differences) <= 0.05);
    }
    for alarms in [unpaired, paired] {
        assert!((30..=130).contains(&alarms), "{unpaired} and {paired} of 2000");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn an_interval_holds_the_median_of_its_sample(values in prop::collection::vec(0.1..1e6_f64, 3..40), seed: u64) {
        let interval = bootstrap_median(&values, seed).expect("enough");
        let middle = median(&values).expect("values");
        prop_assert!(interval.low <= middle && middle <= interval.high);
        let least = order_statistics(&values).expect("values");
        prop_assert!(interval.low <= least.low && least.high <= interval.high);
        prop_assert!(values.iter().any(|value| *value <= interval.low) && values.iter().any(|value| *value >= interval.high));
    }

    #[test]
    fn p_is_a_share_and_does_not_depend_on_scale_or_side(
        one in prop::collection::vec(0.0..100.0_f64, 1..20),
        other in prop::collection::vec(0.0..100.0_f64, 1..20),
    ) {
        let p = mann_whitney(&one, &other);
        prop_assert!((0.0..=1.0).contains(&p));
        prop_assert!((p - mann_whitney(&other, &one)).abs() < 1e-9);
        let doubled = |values: &[f64]| values.iter().map(|value| 2.0 * value).collect::<Vec<_>>();
        prop_assert_eq!(p, mann_whitney(&doubled(&one), &doubled(&other)));
        prop_assert!(p >= least_mann_whitney(one.len(), other.len()) - 1e-12);
        let negated: Vec<f64> = one.iter().map(|value| -value).collect();
        prop_assert!((signed_rank(&one) - signed_rank(&negated)).abs() < 1e-9);
    }

    #[test]
    fn holm_keeps_the_order_and_never_lowers(p in prop::collection::vec(0.0..=1.0_f64, 0..30)) {
        let corrected = holm(&p);
        for (at, before) in p.iter().enumerate() {
            prop_assert!(corrected[at] >= *before && corrected[at] <= 1.0);
            prop_assert!(p.iter().zip(&corrected).all(|(other, after)| other < before || *after >= corrected[at] || other == before));
        }
    }
}
