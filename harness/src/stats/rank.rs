//! Rank tests: whether two sets of values differ, without any assumption on how they are distributed. All are two-sided.
//!
//! Where values are few and none are tied, p is exact: the share of all arrangements that are at least as extreme. Else it is
//! that of a normal distribution with the correction for ties and for continuity, as R and SciPy have it.

/// Up to so many values in all, arrangements are counted.
const MOST_FOR_EXACT: usize = 50;

/// The p of Mann and Whitney's test of two independent sets. 1 if either is empty.
pub fn mann_whitney(one: &[f64], other: &[f64]) -> f64 {
    let (m, n) = (one.len(), other.len());
    if m == 0 || n == 0 {
        return 1.0;
    }
    let all: Vec<f64> = one.iter().chain(other).copied().collect();
    let (ranks, ties) = ranks(&all);
    let sum: f64 = ranks[..m].iter().sum();
    let u = sum - (m * (m + 1)) as f64 / 2.0;
    let product = (m * n) as f64;
    if ties == 0.0 && m + n <= MOST_FOR_EXACT {
        let extreme = u.min(product - u);
        return two_sided(extreme, &arrangements(m, n));
    }
    let total = (m + n) as f64;
    let variance = product / 12.0 * ((total + 1.0) - ties / (total * (total - 1.0)));
    normal(u - product / 2.0, variance)
}

/// The p of Wilcoxon's signed-rank test of paired values, of which these are the differences. Differences of zero are left
/// out, as Wilcoxon did. 1 if nothing is left.
pub fn signed_rank(differences: &[f64]) -> f64 {
    let kept: Vec<f64> = differences.iter().copied().filter(|difference| *difference != 0.0).collect();
    let n = kept.len();
    if n == 0 {
        return 1.0;
    }
    let sizes: Vec<f64> = kept.iter().map(|difference| difference.abs()).collect();
    let (ranks, ties) = ranks(&sizes);
    let positive: f64 = kept.iter().zip(&ranks).filter(|(kept, _)| **kept > 0.0).map(|(_, rank)| rank).sum();
    let all = (n * (n + 1)) as f64 / 2.0;
    if ties == 0.0 && n <= MOST_FOR_EXACT {
        return two_sided(positive.min(all - positive), &signs(n));
    }
    let variance = (n * (n + 1) * (2 * n + 1)) as f64 / 24.0 - ties / 48.0;
    normal(positive - all / 2.0, variance)
}

/// The least p that [`mann_whitney`] can give of so many values: of sets that do not overlap.
pub fn least_mann_whitney(m: usize, n: usize) -> f64 {
    let low: Vec<f64> = (0..m).map(|value| value as f64).collect();
    let high: Vec<f64> = (m..m + n).map(|value| value as f64).collect();
    mann_whitney(&low, &high)
}

/// The least p that [`signed_rank`] can give of so many pairs: of differences of one sign.
pub fn least_signed_rank(n: usize) -> f64 {
    let rising: Vec<f64> = (1..=n).map(|value| value as f64).collect();
    signed_rank(&rising)
}

/// The rank of each value, from 1, ties sharing the mean of theirs; and the sum of t^3 - t over all groups of t ties.
fn ranks(values: &[f64]) -> (Vec<f64>, f64) {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&one, &other| values[one].total_cmp(&values[other]));
    let (mut ranks, mut ties, mut start) = (vec![0.0; values.len()], 0.0, 0);
    while start < order.len() {
        let same = order[start..].iter().take_while(|&&at| values[at] == values[order[start]]).count().max(1);
        for &at in &order[start..start + same] {
            ranks[at] = start as f64 + (same + 1) as f64 / 2.0;
        }
        ties += (same * same * same - same) as f64;
        start += same;
    }
    (ranks, ties)
}

/// How many of the ways to choose `m` of `m + n` ranks give each U, from 0 to m n.
fn arrangements(m: usize, n: usize) -> Vec<f64> {
    // Of j chosen among the ranks so far, ways by the sum of what lies below each.
    let mut ways = vec![vec![0.0; m * n + 1]; m + 1];
    ways[0][0] = 1.0;
    for rank in 0..m + n {
        for chosen in (1..=m.min(rank + 1)).rev() {
            // One more is chosen: so many that are not lie below it.
            let below = rank + 1 - chosen;
            if below > n {
                continue;
            }
            for u in (below..=m * n).rev() {
                ways[chosen][u] += ways[chosen - 1][u - below];
            }
        }
    }
    ways.swap_remove(m)
}

/// How many of the ways to give signs to the ranks 1 to n give each sum of the positive ones.
fn signs(n: usize) -> Vec<f64> {
    let mut ways = vec![0.0; n * (n + 1) / 2 + 1];
    ways[0] = 1.0;
    for rank in 1..=n {
        for sum in (rank..ways.len()).rev() {
            ways[sum] += ways[sum - rank];
        }
    }
    ways
}

/// Twice the share of ways whose statistic is at most `extreme`, of a distribution that is symmetric.
fn two_sided(extreme: f64, ways: &[f64]) -> f64 {
    let all: f64 = ways.iter().sum();
    let tail: f64 = ways.iter().take(extreme as usize + 1).sum();
    (2.0 * tail / all).min(1.0)
}

/// Two-sided p of a statistic that is so far from its mean, half a step nearer for continuity.
fn normal(distance: f64, variance: f64) -> f64 {
    if variance <= 0.0 {
        // All values are the same.
        return 1.0;
    }
    let z = (distance.abs() - 0.5).max(0.0) / variance.sqrt();
    erfc(z / core::f64::consts::SQRT_2).min(1.0)
}

/// The complementary error function of a value that is not negative, to a relative 1.2e-7 (Chebyshev fit of Numerical Recipes,
/// section 6.2).
fn erfc(x: f64) -> f64 {
    const FIT: [f64; 10] = [
        -1.265_512_23,
        1.000_023_68,
        0.374_091_96,
        0.096_784_18,
        -0.186_288_06,
        0.278_868_07,
        -1.135_203_98,
        1.488_515_87,
        -0.822_152_23,
        0.170_872_77,
    ];
    let t = 1.0 / (1.0 + 0.5 * x);
    let sum = FIT.iter().rev().fold(0.0, |sum, factor| sum * t + factor);
    t * (sum - x * x).exp()
}
