//! Models of `seqlock`: all interleavings and reorderings of small programs, and for each ordering one that fails without it.
//! What each model proves, and what its failure would mean for a user, is said where it is written: here or in `models`.
#![cfg(hnsw_loom)]

mod models;

use hnsw_core::sync::model::model;
use hnsw_strategies::SeqLock;
use models::{base, node, spawn, to, world};

/// Proves: a reader gets a list as it was before or after a rewrite, never a mixture; and who finds a link finds the row of
/// its target. Failing, it would mean for a user: a search loses neighbours, meets one twice, or compares with a half-written
/// vector.
fn read_against_rewrite() {
    let world = world::<SeqLock>();
    world.change(base(0), |list| list.extend([to(1), to(2)]));
    let writer = spawn(&world, |world| {
        world.write_row(3);
        world.change(base(0), |list| list.splice(.., [to(2), to(3)]).for_each(drop));
    });
    let list = world.links(base(0));
    if list != [to(1), to(2)] {
        assert_eq!(list, [to(2), to(3)]);
        world.check_row(node(3));
    }
    writer.join().unwrap();
}

/// Proves: what one reader sees of a list never goes back. Failing, it would mean for a user: a link that a search has met is
/// gone in the next one, though no one removed it.
fn read_again_against_rewrites() {
    let world = world::<SeqLock>();
    let writer = spawn(&world, |world| (1..=2).for_each(|id| world.append(base(0), to(id))));
    let [first, second] = [(); 2].map(|()| world.links(base(0)));
    assert!([&[][..], &[to(1)], &[to(1), to(2)]].contains(&&second[..]), "{second:?}");
    assert!(second.starts_with(&first), "{first:?}, then {second:?}");
    writer.join().unwrap();
}

#[test]
fn a_list_is_read_whole() {
    model(3, "seqlock: read against rewrite", read_against_rewrite);
}

#[test]
fn a_list_never_goes_back() {
    model(2, "seqlock: read and read again against rewrites", read_again_against_rewrites);
}

#[test]
fn both_appends_count() {
    model(2, "seqlock: append against append", models::append_against_append::<SeqLock>);
}

#[test]
fn an_append_survives_pruning() {
    model(2, "seqlock: prune against append", models::prune_against_append::<SeqLock>);
}

#[test]
fn an_anchor_is_there_for_whoever_has_met_the_node() {
    model(2, "seqlock: anchor against search", models::anchor_against_search::<SeqLock>);
}

#[test]
fn a_node_that_is_met_is_whole() {
    model(3, "seqlock: publication against search", models::publication::<SeqLock>);
}

#[test]
fn a_node_that_another_thread_has_linked_is_whole() {
    model(2, "seqlock: publication by another against search", models::publication_by_another::<SeqLock>);
}

#[test]
fn the_highest_entry_wins_and_leads_on() {
    model(2, "seqlock: raise against raise against search", models::raise_against_raise::<SeqLock>);
}

#[test]
fn one_thread_founds() {
    model(2, "seqlock: found against found against search", models::found_against_found::<SeqLock>);
}

/// Each of these must fail. (What a writer did before it claimed a list is ordered by the fences too, so the version shows its
/// need by the links alone; and `start-raise`, before which lists are written, is shown to be needed in the models of `slots`.)
mod weakened {
    use super::*;

    hnsw_core::needs! { 3;
        claim_fence_of_a_whole_list: "version-claim-fence" Relaxed, read_against_rewrite;
        check_fence_of_a_whole_list: "version-check-fence" Relaxed, read_against_rewrite;
        end_of_a_whole_list: "version-end" Relaxed, read_against_rewrite;
        begin_of_a_whole_list: "version-begin" Relaxed, read_against_rewrite;
        end_of_an_append: "version-end" Relaxed, models::append_against_append::<SeqLock>;
        begin_of_an_append: "version-begin" Relaxed, models::append_against_append::<SeqLock>;
        end_of_an_anchor: "version-end" Relaxed, models::anchor_against_search::<SeqLock>;
        begin_of_an_anchor: "version-begin" Relaxed, models::anchor_against_search::<SeqLock>;
        start_read: "start-read" Relaxed, models::raise_against_raise::<SeqLock>;
        start_found: "start-found" Relaxed, models::found_against_found::<SeqLock>;
    }
}
