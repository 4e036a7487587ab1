//! The highest rate at which 99 of 100 operations are answered within a bound.
//!
//! The rate is doubled, or halved, until one that meets the bound is next to one that does not; then the interval is halved, on
//! a logarithmic scale, until its ends differ by 2 %. Windows are noisy, so each rate gets two of them, and a third if they
//! disagree. The end of such a search is lucky by selection: among rates near the limit, those that happened to do well were
//! kept. So the rate found is tried anew, in three windows of its own, and if two of them fail a lower one is.
//!
//! The search knows nothing of time or indexes: it sees what a window said.

/// What a window at some rate said.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Probe {
    /// Response time that 99 % of the operations were within, in microseconds.
    pub(super) p99: f64,
    /// The rate was not kept up with.
    pub(super) saturated: bool,
}

/// What is looked for, and where.
#[derive(Clone, Copy, Debug)]
pub(super) struct Goal {
    /// Bound of p99, in microseconds.
    pub(super) p99: f64,
    /// Operations per second to begin with, …
    pub(super) start: f64,
    /// … and not to go below, …
    pub(super) least: f64,
    /// … or above.
    pub(super) most: f64,
}

/// Windows at one rate.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Step {
    pub(super) rate: f64,
    pub(super) probes: Vec<Probe>,
    /// The bound was met in most of them.
    pub(super) met: bool,
}

/// How a search ended.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found {
    /// The highest rate that met the bound, and kept meeting it; `None` if even the least did not.
    pub(super) rate: Option<f64>,
    /// The median of p99 in the windows that confirmed it.
    pub(super) p99: Option<f64>,
    /// The lowest rate that did not meet it; `None` if even the highest that was to be tried did.
    pub(super) failed: Option<f64>,
    /// All windows, in the order of time.
    pub(super) steps: Vec<Step>,
}

/// How close the end of the search is.
pub(super) const WITHIN: f64 = 1.02;

/// Searches with `probe`, which opens one window; `None` from it ends the search.
pub(super) fn highest<E>(
    goal: &Goal,
    probe: impl FnMut(f64) -> Result<Option<Probe>, E>,
) -> Result<Option<Found>, E> {
    let mut search = Search { goal, probe, steps: Vec::new() };
    let Some(ends) = search.ends()? else { return Ok(None) };
    let Some((rate, failed)) = search.confirmed(ends)? else { return Ok(None) };
    let steps = search.steps;
    let p99 = rate.and_then(|_| Some(median(steps.last()?.probes.iter().map(|probe| probe.p99))));
    Ok(Some(Found { rate, p99, failed, steps }))
}

struct Search<'a, P> {
    goal: &'a Goal,
    probe: P,
    steps: Vec<Step>,
}

/// The highest rate known to meet the bound, and the lowest known not to.
type Ends = (Option<f64>, Option<f64>);

impl<E, P: FnMut(f64) -> Result<Option<Probe>, E>> Search<'_, P> {
    /// Whether a rate meets the bound in two windows of three; the third is left out where the first two say it all, unless
    /// there are to be `least` windows.
    fn meets(&mut self, rate: f64, least: usize) -> Result<Option<bool>, E> {
        let mut probes = Vec::with_capacity(3);
        let met = |probes: &[Probe]| {
            probes.iter().filter(|probe| !probe.saturated && probe.p99 <= self.goal.p99).count()
        };
        while probes.len() < least || probes.len() == 2 && met(&probes) == 1 {
            let Some(probe) = (self.probe)(rate)? else { return Ok(None) };
            probes.push(probe);
        }
        let met = met(&probes) >= 2;
        self.steps.push(Step { rate, probes, met });
        Ok(Some(met))
    }

    /// Two rates, close to each other, of which the bound lies between.
    fn ends(&mut self) -> Result<Option<Ends>, E> {
        let Goal { start, least, most, .. } = *self.goal;
        let (mut met, mut failed): Ends = (None, None);
        let mut rate = start.clamp(least, most);
        loop {
            match self.meets(rate, 2)? {
                None => return Ok(None),
                Some(true) => met = Some(rate),
                Some(false) => failed = Some(rate),
            }
            rate = match (met, failed) {
                (Some(low), Some(high)) if high > low * WITHIN => (low * high).sqrt(),
                (Some(low), None) if low < most => (2.0 * low).min(most),
                (None, Some(high)) if high > least => (high / 2.0).max(least),
                _ => return Ok(Some((met, failed))),
            };
        }
    }

    /// The higher of two rates that still meets the bound, with the one above it that does not.
    fn confirmed(&mut self, (mut rate, mut failed): Ends) -> Result<Option<Ends>, E> {
        let mut back = WITHIN;
        while let Some(candidate) = rate {
            match self.meets(candidate, 3)? {
                None => return Ok(None),
                Some(true) => break,
                Some(false) => {
                    failed = Some(candidate);
                    // Steps that grow: who has to go back far should not take for ever.
                    rate = (candidate > self.goal.least).then(|| (candidate / back).max(self.goal.least));
                    back *= back;
                }
            }
        }
        Ok(Some((rate, failed)))
    }
}

/// The middle one of an odd number of values.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::super::arrivals::{Arrivals, Offer};
    use super::super::timing::micros;
    use super::super::worker::fake::serve;
    use super::*;
    use std::convert::Infallible;

    const GOAL: Goal = Goal { p99: 5_000.0, start: 100.0, least: 1.0, most: 1e6 };

    fn found(goal: &Goal, mut system: impl FnMut(f64) -> Probe) -> Found {
        let (mut windows, mut least) = (0, f64::INFINITY);
        let probe = |rate: f64| {
            windows += 1;
            least = least.min(rate);
            Ok::<_, Infallible>(Some(system(rate)))
        };
        let found = highest(goal, probe).unwrap().unwrap();
        assert_eq!(found.steps.iter().map(|step| step.probes.len()).sum::<usize>(), windows);
        assert!(least >= goal.least);
        found
    }

    fn kept(p99: f64) -> Probe {
        Probe { p99, saturated: false }
    }

    /// P(wait <= t) in an M/D/1 queue, with the service time as unit of both: Crommelin's formula.
    fn waits_at_most(load: f64, t: f64) -> f64 {
        let mut sum = 0.0;
        let mut k = 0.0;
        while k <= t {
            let x = load * (k - t);
            let factorial: f64 = (1..=k as u32).map(f64::from).product();
            sum += x.powi(k as i32) / factorial * (-x).exp();
            k += 1.0;
        }
        (1.0 - load) * sum
    }

    /// The point of [from, to] where `f` gets from false to true.
    fn turn(mut from: f64, mut to: f64, f: impl Fn(f64) -> bool) -> f64 {
        for _ in 0..100 {
            let middle = (from + to) / 2.0;
            if f(middle) { to = middle } else { from = middle }
        }
        to
    }

    /// Load of an M/D/1 queue whose p99 response is so many service times.
    fn load_for(p99: f64) -> f64 {
        turn(0.001, 0.95, |load| waits_at_most(load, p99 - 1.0) < 0.99)
    }

    #[test]
    fn the_formula_is_that_of_the_queue() {
        // Nobody waits with the probability 1 - load, and the mean is that of Pollaczek and Khinchine.
        assert!((waits_at_most(0.7, 0.0) - 0.3).abs() < 1e-12);
        let tail: f64 = (0..15_000).map(|step| (1.0 - waits_at_most(0.5, f64::from(step) / 1e3)) / 1e3).sum();
        assert!((tail - 0.5).abs() < 2e-3, "{tail}");
    }

    /// A server that needs 1 ms, and what is known of its queue.
    #[test]
    fn the_rate_is_that_of_the_analytic_queue() {
        for bound in [2.0, 5.0, 9.0] {
            let wanted = 1e3 * load_for(bound);
            let queue = |rate: f64| match rate < 950.0 {
                true => kept(1e3 * (1.0 + turn(0.0, 30.0, |t| waits_at_most(rate / 1e3, t) >= 0.99))),
                false => Probe { p99: 0.0, saturated: true },
            };
            for start in [3.0, 100.0, 50_000.0] {
                let found = found(&Goal { p99: 1e3 * bound, start, ..GOAL }, queue);
                let (rate, failed) = (found.rate.unwrap(), found.failed.unwrap());
                assert!(
                    rate <= wanted && wanted <= failed && failed <= WITHIN * rate,
                    "{rate} {wanted} {failed}"
                );
                assert!(found.p99.unwrap() <= 1e3 * bound && found.steps.len() < 30);
            }
        }
    }

    /// The same with the loop that measures indexes: arrivals, waiting and histograms are the real ones, the clock is not.
    #[test]
    fn the_rate_is_that_of_a_simulated_queue() {
        let (wanted, mut window) = (1e3 * load_for(5.0), 0);
        let found = found(&GOAL, |rate| {
            window += 1;
            let offer = Offer { arrivals: Arrivals::Poisson, rate, workers: 1, writes: 0.0, seed: window };
            let offered = 100_000.0;
            let worked = serve(offer.schedule(0), (offered / rate * 1e9) as u64, 1_000, |_| 1_000_000);
            let saturated = worked.backlog > 1_000;
            Probe { p99: micros(&worked.search.response, 0.99), saturated }
        });
        let rate = found.rate.unwrap();
        assert!((rate / wanted - 1.0).abs() < 0.04, "{rate} for {wanted}");
    }

    #[test]
    fn a_window_out_of_turn_changes_nothing() {
        // Every fourth window is bad, and every seventh is far too good.
        let mut window = 0;
        let found = found(&GOAL, |rate| {
            window += 1;
            match (window % 4, window % 7) {
                (0, _) => Probe { p99: 1e9, saturated: true },
                (_, 0) => kept(1.0),
                _ => kept(10.0 * rate),
            }
        });
        let rate = found.rate.unwrap();
        assert!(rate <= 500.0 && 500.0 <= 1.05 * rate, "{rate}");
    }

    #[test]
    fn a_lucky_rate_is_not_confirmed() {
        // What is met while the search goes on is 500; when it has ended, 400 is.
        let mut windows = 0;
        let search = found(&GOAL, |rate| kept(10.0 * rate));
        let lucky: usize = search.steps[..search.steps.len() - 1].iter().map(|step| step.probes.len()).sum();
        let found = found(&GOAL, |rate| {
            windows += 1;
            kept(rate * if windows <= lucky { 10.0 } else { 12.5 })
        });
        let (rate, failed) = (found.rate.unwrap(), found.failed.unwrap());
        assert!(rate <= 400.0 && failed > 400.0 && failed / rate < 1.2, "{rate} {failed}");
        let last = found.steps.last().unwrap();
        assert!(last.met && last.rate == rate && last.probes.len() == 3);
        assert_eq!(found.p99, Some(12.5 * rate));
    }

    #[test]
    fn what_every_rate_meets_and_what_none_does() {
        let easy = found(&GOAL, |_| kept(1.0));
        assert_eq!((easy.rate, easy.failed, easy.p99), (Some(GOAL.most), None, Some(1.0)));
        let hard = found(&GOAL, |_| kept(6_000.0));
        assert_eq!((hard.rate, hard.failed, hard.p99), (None, Some(GOAL.least), None));
        let full = found(&GOAL, |_| Probe { p99: 1.0, saturated: true });
        assert_eq!(full.rate, None);
    }

    #[test]
    fn two_windows_that_agree_are_enough_and_three_confirm() {
        let found = found(&GOAL, |rate| kept(10.0 * rate));
        let (last, others) = found.steps.split_last().unwrap();
        assert!(others.iter().all(|step| step.probes.len() == 2) && last.probes.len() == 3);
        // 100, 200, 400, 800, then halves of the interval.
        let rates: Vec<f64> = others.iter().take(4).map(|step| step.rate).collect();
        assert_eq!(rates, [100.0, 200.0, 400.0, 800.0]);
        assert_eq!(others.len(), 4 + 6);
    }

    #[test]
    fn a_search_ends_where_windows_end_or_fail() {
        let mut left = 5;
        let stopped = highest(&GOAL, |_| {
            left -= 1;
            Ok::<_, Infallible>((left > 0).then_some(kept(1.0)))
        });
        assert_eq!((stopped, left), (Ok(None), 0));
        assert_eq!(highest(&GOAL, |_| Err("broken")), Err("broken"));
    }
}
