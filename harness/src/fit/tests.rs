use proptest::prelude::*;

use super::*;

fn loads(threads: &[f64], rates: &[f64]) -> Vec<Load> {
    threads.iter().zip(rates).map(|(threads, rate)| Load { threads: *threads, rate: *rate }).collect()
}

fn close(found: f64, published: f64, tolerance: f64) {
    assert!((found - published).abs() <= tolerance, "{found} against {published}");
}

/// SPEC SDM91 on a SPARCcenter 2000, the data set `specsdm91` of R's package `usl`. Its version 3 publishes alpha 0.0277285, beta
/// 0.0001044, gamma 89.9952330, the fitted rates 90, 1078, 1541, 1850, 1879, 1822, 1646, and a peak at 97 (README.md,
/// tests/fitted.Rout.save, tests/peak-scalability.Rout.save).
#[test]
fn spec_sdm91_has_the_published_coefficients() {
    let loads = loads(
        &[1.0, 18.0, 36.0, 72.0, 108.0, 144.0, 216.0],
        &[64.9, 995.9, 1652.4, 1853.2, 1828.9, 1775.0, 1702.2],
    );
    let law = usl::fit(&loads);
    close(law.sigma, 0.027_728_5, 5e-7);
    close(law.kappa, 0.000_104_4, 5e-8);
    close(law.lambda, 89.995_233, 5e-4);
    close(law.peak().expect("it has crosstalk"), 97.0, 0.5);
    for (load, fitted) in loads.iter().zip([90.0, 1078.0, 1541.0, 1850.0, 1879.0, 1822.0, 1646.0]) {
        close(law.rate(load.threads), fitted, 0.5);
    }
    assert_eq!(law.ceiling(), None);
}

/// A ray tracer on a CC-NUMA machine, the data set `raytracer` of R's package `usl`, which publishes alpha 0.0578, beta 0 and
/// gamma 21.8488 (tests/confint.Rout.save): the bound on kappa holds, so Amdahl's law is the same.
#[test]
fn the_ray_tracer_has_the_published_coefficients_and_no_peak() {
    let loads = loads(
        &[1.0, 4.0, 8.0, 12.0, 16.0, 20.0, 24.0, 28.0, 32.0, 48.0, 64.0],
        &[20.0, 78.0, 130.0, 170.0, 190.0, 200.0, 210.0, 230.0, 260.0, 280.0, 310.0],
    );
    let law = usl::fit(&loads);
    assert_eq!((law.kappa, law.peak()), (0.0, None));
    close(law.sigma, 0.057_8, 5e-5);
    close(law.lambda, 21.848_8, 5e-5);
    let amdahl = amdahl::fit(&loads);
    close(amdahl.serial, law.sigma, 1e-9);
    close(amdahl.lambda, law.lambda, 1e-6);
    close(amdahl.most_speed_up().expect("a bound"), 17.3, 0.1);
    close(law.ceiling().expect("a bound"), 378.0, 1.0);
}

/// The example of tests/coef.R of the same package: coefficients 0.02 and 0.02 and a rate of 1.
#[test]
fn the_example_of_coef_has_its_coefficients() {
    let loads = loads(&[1.0, 2.0, 4.0, 6.0, 8.0, 10.0], &[1.0, 1.8868, 3.0769, 3.5294, 3.5398, 3.3557]);
    let law = usl::fit(&loads);
    for (found, published) in [(law.sigma, 0.02), (law.kappa, 0.02), (law.lambda, 1.0)] {
        close(found, published, 1e-4);
    }
}

/// Rates of a law with some noise, by thread count and block; blocks are faster or slower as a whole.
fn noisy(law: usl::Usl, counts: &[usize], blocks: usize, seed: u64) -> BTreeMap<usize, Blocks> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut noise = |share: f64| 1.0 + share * (random.f64() + random.f64() - 1.0);
    let levels: Vec<f64> = (0..blocks).map(|_| noise(0.04)).collect();
    let mut at = |threads: usize| -> Blocks {
        (0..blocks).map(|block| (block, law.rate(threads as f64) * levels[block] * noise(0.03))).collect()
    };
    counts.iter().map(|&threads| (threads, at(threads))).collect()
}

const COUNTS: [usize; 8] = [1, 2, 4, 8, 16, 24, 32, 48];

#[test]
fn bands_hold_the_truth_about_as_often_as_they_say() {
    let truth = usl::Usl { lambda: 1_000.0, sigma: 0.03, kappa: 0.000_8 };
    let (mut sigma, mut kappa, mut peak, mut ahead) = (0, 0, 0, 0);
    let holds = |band: Interval, value: f64| u32::from(band.low <= value && value <= band.high);
    for seed in 0..60 {
        // Fewer draws than in use, so that sixty of them take a moment: the ends of a band are less exact, not shifted.
        let fitted = scaling_of_draws(&noisy(truth, &COUNTS, 9, seed), seed, 150).expect("8 counts");
        let bands = fitted.bands.expect("9 blocks");
        sigma += holds(bands.sigma, truth.sigma);
        kappa += holds(bands.kappa, truth.kappa);
        peak += holds(bands.peak, truth.peak().expect("crosstalk"));
        ahead += holds(bands.at(96.0).expect("draws"), truth.rate(96.0));
    }
    for covered in [sigma, kappa, peak, ahead] {
        assert!(
            (50..=60).contains(&covered),
            "sigma {sigma}, kappa {kappa}, peak {peak}, at 96 {ahead} of 60"
        );
    }
}

#[test]
fn too_few_thread_counts_are_refused_and_said_so() {
    let law = usl::Usl { lambda: 1_000.0, sigma: 0.03, kappa: 0.0 };
    let refused = scaling(&noisy(law, &[1, 2, 4], 5, 1), 1).expect_err("three counts");
    assert_eq!(refused, Refusal::TooFew { counts: 3 });
    assert_eq!(
        refused.to_string(),
        "no fit: 3 thread counts within the allowed CPUs, and a fit wants at least 4, better 6"
    );
    assert!(scaling(&noisy(law, &[1, 2, 4, 8], 5, 1), 1).is_ok());
    let mut broken = noisy(law, &[1, 2, 4, 8], 5, 1);
    broken.get_mut(&4).and_then(|blocks| blocks.insert(2, 0.0)).expect("it was there");
    assert_eq!(scaling(&broken, 1).expect_err("a rate of zero"), Refusal::NotPositive);
}

#[test]
fn two_blocks_give_a_fit_without_bands_and_a_block_may_miss_a_count() {
    let law = usl::Usl { lambda: 1_000.0, sigma: 0.03, kappa: 0.001 };
    assert!(scaling(&noisy(law, &COUNTS, 2, 1), 1).expect("8 counts").bands.is_none());
    let mut sparse = noisy(law, &COUNTS, 4, 1);
    sparse.get_mut(&8).expect("it is there").retain(|block, _| *block == 3);
    let fitted = scaling(&sparse, 1).expect("8 counts");
    assert!(fitted.bands.is_some() && fitted.residual[0] < 0.05 && fitted.residual[0] <= fitted.residual[1]);
    assert_eq!(fitted.counts, COUNTS);
    let again = scaling(&sparse, 1).expect("8 counts");
    assert_eq!(again.bands.map(|bands| bands.sigma), fitted.bands.map(|bands| bands.sigma), "seeded");
}

proptest! {
    #[test]
    fn a_law_without_noise_is_found_again(
        lambda in 1.0..1e6_f64, sigma in 0.0..0.9_f64, kappa in 0.0..0.05_f64, counts in 4..8_usize,
    ) {
        let truth = usl::Usl { lambda, sigma, kappa };
        let threads: Vec<f64> = COUNTS[..counts].iter().map(|&n| n as f64).collect();
        let rates: Vec<f64> = threads.iter().map(|n| truth.rate(*n)).collect();
        let found = usl::fit(&loads(&threads, &rates));
        prop_assert!((found.lambda / lambda - 1.0).abs() < 1e-4, "{found:?}");
        prop_assert!((found.sigma - sigma).abs() < 1e-4 && (found.kappa - kappa).abs() < 1e-4, "{found:?}");
    }

    /// Whatever the rates, the figures are finite and within their bounds, and no bounded law nearby is nearer.
    #[test]
    fn figures_stay_within_their_bounds_and_are_the_best(
        rates in prop::collection::vec(1.0..1e5_f64, 5..9), step in 0..3_usize, by in -0.01..0.01_f64,
    ) {
        let threads: Vec<f64> = COUNTS[..rates.len().min(8)].iter().map(|&n| n as f64).collect();
        let loads = loads(&threads, &rates);
        let found = usl::fit(&loads);
        prop_assert!(found.lambda > 0.0 && found.sigma >= 0.0 && found.kappa >= 0.0);
        prop_assert!(found.lambda.is_finite() && found.sigma.is_finite() && found.kappa.is_finite());
        prop_assert!(amdahl::fit(&loads).serial >= 0.0);
        let squares = |law: &usl::Usl| -> f64 {
            loads.iter().map(|load| (law.rate(load.threads) - load.rate).powi(2)).sum()
        };
        let mut moved = found;
        match step {
            0 => moved.lambda *= 1.0 + by,
            1 => moved.sigma = (moved.sigma + by).max(0.0),
            _ => moved.kappa = (moved.kappa + by / 10.0).max(0.0),
        }
        prop_assert!(squares(&moved) >= squares(&found) * (1.0 - 1e-4), "{found:?} and {moved:?}");
    }
}
