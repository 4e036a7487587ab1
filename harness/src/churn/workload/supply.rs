//! Which rows become points, and which queries are asked.

use std::sync::atomic::{AtomicUsize, Ordering};

use hnsw_core::sync::CachePadded;
use rayon::prelude::*;

use super::{Order, REGIONS, Workload};
use crate::data::{CodedBase, Dataset};

/// Zipf's law over ranks from 0: the chance of rank r is proportional to 1 / (r + 1)^s. At s = 0 all are as likely.
#[derive(Clone, Debug)]
pub(in crate::churn) struct Zipf(Vec<f64>);

impl Zipf {
    /// Over so many ranks, at least one.
    pub(in crate::churn) fn new(ranks: usize, exponent: f64) -> Zipf {
        let mut sum = 0.0;
        let sums = (0..ranks).map(|rank| {
            sum += (rank as f64 + 1.0).powf(-exponent);
            sum
        });
        Zipf(sums.collect())
    }

    /// A rank.
    pub(in crate::churn) fn draw(&self, random: &mut fastrand::Rng) -> usize {
        let all = self.0.last().copied().unwrap_or(0.0);
        let at = random.f64() * all;
        self.0.partition_point(|sum| *sum <= at).min(self.0.len() - 1)
    }
}

/// Rows of one region, or of all, of which each is taken once in a round.
struct Queue {
    rows: Vec<u32>,
    next: CachePadded<AtomicUsize>,
}

/// What writers and searchers choose from.
pub(in crate::churn) struct Supply {
    /// The rows that are there when the window opens, in order.
    pub(in crate::churn) first: Vec<u32>,
    /// Those for the window; one queue, or one for each region.
    queues: Vec<Queue>,
    inserts: Zipf,
    /// Queries by region, without empty ones.
    queries: Vec<Vec<u32>>,
    searches: Zipf,
    /// Whether rows come again.
    again: bool,
}

impl Supply {
    /// For a workload that begins with the first `points` rows of its order.
    pub(in crate::churn) fn new(workload: &Workload, dataset: &Dataset, points: usize, seed: u64) -> Supply {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut order: Vec<u32> = (0..dataset.len() as u32).collect();
        let regional = workload.start.order == Order::Clustered
            || workload.insert.zipf > 0.0
            || workload.search.zipf > 0.0;
        let regions = if regional { Some(Regions::of(dataset, &mut random)) } else { None };
        match (workload.start.order, &regions) {
            (Order::Shuffled, _) => random.shuffle(&mut order),
            (Order::Clustered, Some(regions)) => order.sort_by_key(|row| regions.rows[*row as usize]),
            _ => {}
        }
        let grouped = |of: &[u8], members: &mut dyn Iterator<Item = u32>| {
            let mut groups = vec![Vec::new(); REGIONS];
            members.for_each(|member| groups[usize::from(of[member as usize])].push(member));
            groups.retain(|group| !group.is_empty());
            groups
        };
        // Rows that are points already come again when all others have been.
        let again = if workload.grows() { 0 } else { points };
        let rest = &mut order[points..].iter().chain(&order[..again]).copied();
        let queues = match &regions {
            Some(regions) if workload.insert.zipf > 0.0 => grouped(&regions.rows, rest),
            _ => vec![rest.collect()],
        };
        let mut all_queries = 0..dataset.query_count() as u32;
        let queries = match &regions {
            Some(regions) if workload.search.zipf > 0.0 => grouped(&regions.queries, &mut all_queries),
            _ => vec![all_queries.collect()],
        };
        order.truncate(points);
        Supply {
            first: order,
            inserts: Zipf::new(queues.len(), workload.insert.zipf),
            queues: queues
                .into_iter()
                .map(|rows| Queue { rows, next: CachePadded::new(AtomicUsize::new(0)) })
                .collect(),
            searches: Zipf::new(queries.len(), workload.search.zipf),
            queries,
            again: !workload.grows(),
        }
    }

    /// A row that becomes a point now; `None` when there is none left.
    pub(in crate::churn) fn row(&self, random: &mut fastrand::Rng) -> Option<u32> {
        let wanted = if self.queues.len() > 1 { self.inserts.draw(random) } else { 0 };
        // Where a region is used up, its neighbour in rank serves.
        (0..self.queues.len())
            .find_map(|step| self.queues[(wanted + step) % self.queues.len()].take(self.again))
    }

    /// A query to ask.
    pub(in crate::churn) fn query(&self, random: &mut fastrand::Rng) -> u32 {
        let region = if self.queries.len() > 1 { self.searches.draw(random) } else { 0 };
        let queries = &self.queries[region];
        queries[random.usize(..queries.len())]
    }
}

impl Queue {
    fn take(&self, again: bool) -> Option<u32> {
        // Relaxed [supply-take]: hands out numbers; the rows themselves never change.
        let at = self.next.fetch_add(1, Ordering::Relaxed);
        let at = if again && !self.rows.is_empty() { at % self.rows.len() } else { at };
        self.rows.get(at).copied()
    }
}

/// To which anchor each row and query is nearest.
struct Regions {
    rows: Vec<u8>,
    queries: Vec<u8>,
}

impl Regions {
    fn of(dataset: &Dataset, random: &mut fastrand::Rng) -> Regions {
        let anchors: Vec<f32> =
            (0..REGIONS).flat_map(|_| dataset.row(random.usize(..dataset.len()))).copied().collect();
        let anchors = CodedBase::of_vectors(dataset, &anchors);
        let nearest = |vector: &[f32]| {
            let distances = anchors.distances(vector);
            let region = (0..REGIONS).min_by(|one, other| distances[*one].total_cmp(&distances[*other]));
            region.unwrap_or(0) as u8
        };
        let of = |vectors: &[f32]| vectors.par_chunks_exact(dataset.dim()).map(nearest).collect();
        Regions { rows: of(dataset.base()), queries: of(dataset.queries()) }
    }
}
