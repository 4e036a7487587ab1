use super::document::smallest;

/// Pairs whose two differ by chance, and whose level drifts by `drift` of it over the run.
fn pairs(count: usize, noise: f64, drift: f64) -> Vec<[f64; 2]> {
    let mut random = fastrand::Rng::with_seed(5);
    let mut near = |level: f64| level * (1.0 + noise * (random.f64() - 0.5));
    (0..count)
        .map(|pair| {
            let level = 1_000.0 * (1.0 + drift * pair as f64 / count as f64);
            [near(level), near(level)]
        })
        .collect()
}

#[test]
fn more_blocks_show_smaller_effects_and_more_noise_hides_larger_ones() {
    let of = |noise: f64, blocks: usize| smallest(&pairs(40, noise, 0.0), blocks, 1);
    assert!(of(0.02, 20).paired_percent < of(0.02, 5).paired_percent);
    assert!(of(0.02, 20).unpaired_percent < of(0.02, 5).unpaired_percent);
    assert!(of(0.02, 5).paired_percent < of(0.10, 5).paired_percent);
    assert_eq!(of(0.02, 5), of(0.02, 5), "seeded");
    assert_eq!(of(0.0, 5).paired_percent, 0.0);
}

#[test]
fn a_drift_hides_effects_between_runs_and_not_within_pairs() {
    let still = smallest(&pairs(40, 0.02, 0.0), 7, 1);
    let drifting = smallest(&pairs(40, 0.02, 0.3), 7, 1);
    assert!(drifting.paired_percent < 1.5 * still.paired_percent, "{drifting:?} {still:?}");
    assert!(drifting.unpaired_percent > 3.0 * still.unpaired_percent, "{drifting:?} {still:?}");
}

/// What it says is what happens: of new comparisons of a thing with itself about 1 in 20 comes out larger.
#[test]
fn one_in_twenty_comparisons_comes_out_larger() {
    let bound = smallest(&pairs(400, 0.05, 0.0), 7, 1);
    let mut random = fastrand::Rng::with_seed(77);
    let mut draw = || 1.0 + 0.05 * (random.f64() - 0.5);
    let larger = (0..4_000)
        .filter(|_| {
            let logs: Vec<f64> = (0..7).map(|_| (draw() / draw()).ln()).collect();
            let median = crate::stats::median(&logs).expect("seven");
            100.0 * median.abs().exp_m1() > bound.paired_percent
        })
        .count();
    assert!((80..=360).contains(&larger), "{larger} of 4000");
}
