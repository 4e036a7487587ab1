//! Bounded least squares of X(N) = lambda N / (1 + sigma (N - 1) + kappa N (N - 1)).
//!
//! The bounds are met by cases: all figures free, or sigma, kappa or both zero. Each case is solved by Levenberg and Marquardt's
//! method from the linear fit of N / X, which is near. Rates that follow no such law have more than one valley, so what each
//! case found is then followed downhill within the bounds, and the lowest end is the answer.

use super::Load;

/// Rounds of the search; a few are enough from so near.
const ROUNDS: usize = 400;

/// lambda, sigma and kappa nearest to `loads`, none of them below zero; kappa is 0 unless there is `crosstalk`. At least one
/// load, and rates above zero.
pub(super) fn least_squares(loads: &[Load], crosstalk: bool) -> [f64; 3] {
    let scale = loads.iter().map(|load| load.rate).fold(f64::MIN_POSITIVE, f64::max);
    let loads: Vec<Load> = loads.iter().map(|load| Load { rate: load.rate / scale, ..*load }).collect();
    let cases: &[[bool; 3]] = if crosstalk {
        &[[true, true, true], [true, false, true], [true, true, false], [true, false, false]]
    } else {
        &[[true, true, false], [true, false, false]]
    };
    let widest = cases[0];
    let fitted = cases.iter().map(|free| {
        let optimum = search(&loads, *free, linear(&loads, *free), f64::NEG_INFINITY);
        search(&loads, widest, optimum.map(|figure| figure.max(0.0)), 0.0)
    });
    let best = fitted
        .filter(|fitted| fitted.iter().all(|figure| figure.is_finite()))
        .min_by(|one, other| squares(&loads, one).total_cmp(&squares(&loads, other)));
    let [lambda, sigma, kappa] = best.unwrap_or([loads[0].rate / loads[0].threads, 0.0, 0.0]);
    [lambda * scale, sigma, kappa]
}

/// Root of the mean square of the residuals, each as a share of its rate.
pub(super) fn relative_residual(loads: &[Load], rate: impl Fn(f64) -> f64) -> f64 {
    let squares: f64 = loads.iter().map(|load| (rate(load.threads) / load.rate - 1.0).powi(2)).sum();
    (squares / loads.len() as f64).sqrt()
}

fn rate([lambda, sigma, kappa]: &[f64; 3], threads: f64) -> f64 {
    lambda * threads / (1.0 + sigma * (threads - 1.0) + kappa * threads * (threads - 1.0))
}

fn squares(loads: &[Load], figures: &[f64; 3]) -> f64 {
    loads.iter().map(|load| (rate(figures, load.threads) - load.rate).powi(2)).sum()
}

/// How the rate changes with each of the three.
fn slopes(figures: &[f64; 3], threads: f64) -> [f64; 3] {
    let [lambda, sigma, kappa] = figures;
    let below = 1.0 + sigma * (threads - 1.0) + kappa * threads * (threads - 1.0);
    let outer = -lambda * threads / (below * below);
    [threads / below, outer * (threads - 1.0), outer * threads * (threads - 1.0)]
}

/// Downhill from `figures` in the free ones of them, none of which falls below `bound`.
fn search(loads: &[Load], free: [bool; 3], mut figures: [f64; 3], bound: f64) -> [f64; 3] {
    let mut now = squares(loads, &figures);
    let mut damping = 1e-3;
    for _ in 0..ROUNDS {
        let (mut matrix, mut right) = ([[0.0; 3]; 3], [0.0; 3]);
        for load in loads {
            let slopes = slopes(&figures, load.threads);
            let residual = load.rate - rate(&figures, load.threads);
            add(&mut matrix, &mut right, &slopes, residual, 1.0);
        }
        for (at, row) in matrix.iter_mut().enumerate() {
            row[at] *= 1.0 + damping;
        }
        // A figure at its bound that would fall below it stands still, and the others are found without it.
        let mut moving = free;
        let step = loop {
            let step = solve(matrix, right, moving);
            let stuck =
                step.and_then(|step| (0..3).find(|&at| moving[at] && figures[at] <= bound && step[at] < 0.0));
            match stuck {
                Some(at) => moving[at] = false,
                None => break step,
            }
        };
        let Some(step) = step else { break };
        let next = [0, 1, 2].map(|at| (figures[at] + step[at]).max(bound));
        // Where the denominator vanishes there is no curve.
        let sound = loads.iter().all(|load| rate(&next, load.threads) > 0.0);
        let then = squares(loads, &next);
        if sound && then <= now {
            let settled = now - then <= 1e-15 * now;
            (figures, now, damping) = (next, then, damping / 10.0);
            if settled && damping < 1e-9 {
                break;
            }
        } else if damping > 1e12 {
            break;
        } else {
            damping *= 10.0;
        }
    }
    figures
}

/// The fit of N / X = a + b (N - 1) + c N (N - 1), weighted so that its residuals are about those of X.
fn linear(loads: &[Load], free: [bool; 3]) -> [f64; 3] {
    let (mut matrix, mut right) = ([[0.0; 3]; 3], [0.0; 3]);
    for load in loads {
        let n = load.threads;
        let weight = (load.rate * load.rate / n).powi(2);
        add(&mut matrix, &mut right, &[1.0, n - 1.0, n * (n - 1.0)], n / load.rate, weight);
    }
    let [a, b, c] = solve(matrix, right, free).unwrap_or([1.0, 0.0, 0.0]);
    let one = loads[0].threads / loads[0].rate;
    let start = [1.0 / a, b / a, c / a];
    let sound = a > 0.0 && loads.iter().all(|load| rate(&start, load.threads) > 0.0);
    if sound { start } else { [1.0 / one, 0.0, 0.0] }
}

fn add(matrix: &mut [[f64; 3]; 3], right: &mut [f64; 3], terms: &[f64; 3], value: f64, weight: f64) {
    for row in 0..3 {
        for column in 0..3 {
            matrix[row][column] += weight * terms[row] * terms[column];
        }
        right[row] += weight * terms[row] * value;
    }
}

/// The solution of the equations of the free unknowns, zero for the others; `None` where they do not determine it.
fn solve(mut matrix: [[f64; 3]; 3], mut right: [f64; 3], free: [bool; 3]) -> Option<[f64; 3]> {
    for fixed in (0..3).filter(|&at| !free[at]) {
        matrix[fixed] = [0.0; 3];
        matrix.iter_mut().for_each(|row| row[fixed] = 0.0);
        (matrix[fixed][fixed], right[fixed]) = (1.0, 0.0);
    }
    // Unknowns of very different size: each in units of its own.
    let units = [0, 1, 2].map(|at| matrix[at][at].sqrt());
    if units.iter().any(|unit| !unit.is_finite() || *unit <= 0.0) {
        return None;
    }
    for row in 0..3 {
        for column in 0..3 {
            matrix[row][column] /= units[row] * units[column];
        }
        right[row] /= units[row];
    }
    for column in 0..3 {
        let pivot =
            (column..3).max_by(|&a, &b| matrix[a][column].abs().total_cmp(&matrix[b][column].abs()))?;
        if matrix[pivot][column].abs() < 1e-14 {
            return None;
        }
        matrix.swap(column, pivot);
        right.swap(column, pivot);
        let (pivot, pivot_right) = (matrix[column], right[column]);
        for row in (0..3).filter(|&row| row != column) {
            let factor = matrix[row][column] / pivot[column];
            matrix[row].iter_mut().zip(pivot).for_each(|(entry, above)| *entry -= factor * above);
            right[row] -= factor * pivot_right;
        }
    }
    Some([0, 1, 2].map(|at| right[at] / matrix[at][at] / units[at]))
}
