//! One list: how it is read while it changes, and how it is changed while it is read.

use hnsw_core::graph::{Link, LinkBuf};
use hnsw_core::planted;
use hnsw_core::sync::{AtomicU32, Ordering, acquired_by_fence, fence};

/// An empty slot.
pub(super) fn empty() -> AtomicU32 {
    AtomicU32::new(Link::NIL.to_bits())
}

/// Copies a list that may change meanwhile.
#[inline(always)]
pub(super) fn read(row: &[AtomicU32], to: &mut LinkBuf) {
    // Relaxed [slots-read]: the fence below orders what is found through the links.
    to.fill(row, |slot| Link::from_bits(slot.load(Ordering::Relaxed)));
    // Acquire [slots-read-fence]: pairs with Release [slots-write]; the rows and the lists of the nodes that the links lead to,
    // and the anchors that were written before these links.
    fence(Ordering::Acquire);
    acquired_by_fence(row);
}

/// Copies a list that does not change, because the caller holds its lock.
pub(super) fn read_locked(row: &[AtomicU32], to: &mut LinkBuf) {
    // Relaxed [slots-read-locked]: ordered by the lock of the list.
    to.fill(row, |slot| Link::from_bits(slot.load(Ordering::Relaxed)));
}

/// Writes to `next` the links of `out`, in an order that moves as few links as it can if `now` is what is stored:
/// - first the anchors, those of `now` before those that are new;
/// - then the other links, each where it is in `now`, unless an anchor has taken that slot or the list ends before it.
///
/// So no anchor moves, unless one was taken away.
pub(super) fn arrange(now: &[Link], out: &[Link], next: &mut LinkBuf) {
    next.copy_from(out);
    if planted!("slots-anchors-last") {
        next.reverse();
        return;
    }
    let rest = out.strip_prefix(now);
    if rest.is_some_and(|rest| rest.iter().all(|link| !link.is_anchor())) {
        // Nothing but appended.
        return;
    }
    next.clear();
    now.iter().filter(|link| link.is_anchor() && out.contains(link)).for_each(|&link| next.push(link));
    let old = next.len();
    for &link in out.iter().filter(|link| link.is_anchor()) {
        if !next[..old].contains(&link) {
            next.push(link);
        }
    }
    let anchors = next.len();
    for i in anchors..out.len() {
        let stays = now.get(i).filter(|link| !link.is_anchor() && out.contains(link));
        next.push(stays.copied().unwrap_or(Link::NIL));
    }
    let mut free = anchors;
    for &link in out.iter().filter(|link| !link.is_anchor()) {
        if !next[anchors..].contains(&link) {
            while next[free] != Link::NIL {
                free += 1;
            }
            next[free] = link;
        }
    }
    debug_assert!(!next.contains(&Link::NIL), "a link is twice in {out:?}");
}

/// Replaces the list `now` by `next`, which was [arranged](arrange). Only for the holder of the lock. `midway` runs between
/// any two stores.
///
/// At no instant a link follows a `NIL`. A link that moves is stored where it goes before it is overwritten where it was,
/// unless the new anchor that takes its slot was itself where the link goes.
pub(super) fn replace(row: &[AtomicU32], now: &[Link], next: &[Link], mut midway: impl FnMut()) {
    let mut store = |slot: usize, link: Link| {
        // Release [slots-write]: pairs with Acquire [slots-read-fence]; the row and the lists of the target, which this thread
        // wrote or met, and the anchors of this list that were there before.
        row[slot].store(link.to_bits(), Ordering::Release);
        midway();
    };
    let both = now.len().min(next.len());
    (both..next.len()).for_each(|slot| store(slot, next[slot]));
    (0..both).rev().filter(|&slot| now[slot] != next[slot]).for_each(|slot| store(slot, next[slot]));
    (both..now.len()).rev().for_each(|slot| store(slot, Link::NIL));
}

#[cfg(all(test, not(hnsw_loom)))]
mod tests {
    use super::*;
    use hnsw_core::graph::NodeId;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const CAP: usize = 12;

    fn row(links: &[Link]) -> Vec<AtomicU32> {
        let row: Vec<_> = (0..CAP).map(|_| empty()).collect();
        replace(&row, &[], links, || ());
        row
    }

    fn list(row: &[AtomicU32]) -> Vec<Link> {
        let mut list = LinkBuf::new();
        read(row, &mut list);
        list.to_vec()
    }

    fn arranged(now: &[Link], out: &[Link]) -> Vec<Link> {
        let mut next = LinkBuf::new();
        arrange(now, out, &mut next);
        next.to_vec()
    }

    fn set(links: &[Link]) -> BTreeSet<Link> {
        links.iter().copied().collect()
    }

    /// A list as the algorithm has them: anchors first. Nodes below 20.
    fn any_list() -> impl Strategy<Value = Vec<Link>> {
        (Just((0..20).collect::<Vec<u32>>()).prop_shuffle(), 0..=CAP, 0..=CAP / 2).prop_map(
            |(nodes, len, anchors)| {
                let link = |(i, &node): (usize, &u32)| {
                    if i < anchors { Link::anchor(NodeId::new(node)) } else { Link::to(NodeId::new(node)) }
                };
                nodes.iter().take(len).enumerate().map(link).collect()
            },
        )
    }

    /// What a rewrite may make of `now`: keeps all anchors, and of the other links and of `more` those of `picks`, some of
    /// them as anchors.
    fn rewritten(now: &[Link], more: &[Link], picks: &[u8]) -> Vec<Link> {
        let mut out: Vec<Link> = now.iter().filter(|link| link.is_anchor()).copied().collect();
        let others = now.iter().chain(more).filter(|link| !link.is_anchor());
        for (&link, pick) in others.zip(picks.iter().cycle()) {
            if out.len() < CAP && pick % 3 > 0 && !out.iter().any(|l| l.node() == link.node()) {
                out.push(if pick % 3 == 1 { link } else { Link::anchor(link.node()) });
            }
        }
        let shift = picks[0] as usize % out.len().max(1);
        out.rotate_left(shift);
        out
    }

    proptest! {
        #[test]
        fn what_was_asked_for_is_stored_and_little_of_it_moves(
            now in any_list(),
            more in any_list(),
            picks in prop::collection::vec(any::<u8>(), 24),
        ) {
            let out = rewritten(&now, &more, &picks);
            let next = arranged(&now, &out);
            let mut sorted = out.clone();
            sorted.sort_unstable();
            let mut stored = next.clone();
            stored.sort_unstable();
            prop_assert_eq!(sorted, stored);
            let anchors = next.iter().take_while(|link| link.is_anchor()).count();
            prop_assert!(next[anchors..].iter().all(|link| !link.is_anchor()), "anchors first: {next:?}");
            for (slot, link) in now.iter().enumerate() {
                if link.is_anchor() {
                    prop_assert_eq!(*link, next[slot], "an anchor moved");
                } else if (anchors..out.len()).contains(&slot) && out.contains(link) {
                    prop_assert_eq!(*link, next[slot], "a link moved for no reason");
                }
            }
        }

        #[test]
        fn every_state_in_between_has_all_anchors_and_only_known_links(
            now in any_list(),
            more in any_list(),
            picks in prop::collection::vec(any::<u8>(), 24),
        ) {
            let out = rewritten(&now, &more, &picks);
            let (row, next) = (row(&now), arranged(&now, &out));
            let anchors: Vec<Link> = now.iter().filter(|link| link.is_anchor()).copied().collect();
            let known: BTreeSet<Link> = set(&now).union(&set(&out)).copied().collect();
            let mut faults = Vec::new();
            replace(&row, &now, &next, || {
                let between = list(&row);
                let raw = row.iter().map(|slot| slot.load(Ordering::Relaxed));
                let stored = raw.filter(|&bits| bits != Link::NIL.to_bits()).count();
                if between.len() != stored || !between.starts_with(&anchors) || !set(&between).is_subset(&known) {
                    faults.push(between);
                }
            });
            prop_assert!(faults.is_empty(), "from {now:?} to {next:?} by way of {faults:?}");
            prop_assert_eq!(list(&row), next);
        }

        #[test]
        fn links_that_stay_ordinary_stay_in_the_list_while_it_is_pruned(
            now in any_list(),
            picks in prop::collection::vec(any::<u8>(), 24),
        ) {
            // No new anchor: what moves moves out of the tail.
            let picks: Vec<u8> = picks.iter().map(|pick| pick % 2).collect();
            let out = rewritten(&now, &[], &picks);
            let (row, next) = (row(&now), arranged(&now, &out));
            let mut missed = false;
            replace(&row, &now, &next, || missed |= !set(&out).is_subset(&set(&list(&row))));
            prop_assert!(!missed, "from {now:?} to {next:?}");
        }
    }
}
