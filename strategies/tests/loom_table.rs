//! Models of the strategies that put one lock around a plain table: `coarse`, whose searches and reserves share it, and
//! `sequential`, whose sessions take turns. What each model proves, and what its failure would mean for a user, is said where it
//! is written: here or in `models`.
//!
//! The locks are stand-ins, shown to exclude and to order in `core/tests/loom.rs`. So what is asked here is whether the
//! strategies hold them where they must, and whether a reserve, which shares the lock of `coarse` with searches, needs no more
//! than the orderings of its own.
#![cfg(hnsw_loom)]

#[allow(dead_code, reason = "shared with models that use more of it")]
mod models;

use hnsw_core::graph::{At, Edit, Graph, Level, NodeId, NodeState, View};
use hnsw_core::sync::Ordering::Relaxed;
use hnsw_core::sync::model::{expect_weak, model};
use hnsw_strategies::{Coarse, Sequential};
use models::{base, links, node, rewrite, spawn, to, world_of};

/// The list above level 0 of a node that has one.
fn above(number: u32) -> At {
    At::new(node(number), 1)
}

/// All nodes but the first have a list above level 0, so that each hangs a tower before those of the others.
fn level(node: NodeId) -> Level {
    (node.get() > 0).into()
}

/// Proves: while a search holds the lock, a reserve adds nodes beside it and does not wait for it; the search finds the state of
/// every id that is counted, and the lists of the nodes before, above level 0 too, as they were. Failing, it would mean for a
/// user: a search dies with "row not allocated" or "has no list above level 0" while the index grows, or every insert waits for
/// the searches under way before it has begun.
fn reserve_against_search() {
    let world = world_of::<Coarse>(2, level);
    world.append(above(1), to(0));
    let grower = spawn(&world, |world| assert_eq!(world.graph.reserve(1, level), Ok(node(2))));
    let search = world.graph.read();
    for id in 0..search.node_count() as u32 {
        assert!(matches!(search.state(node(id)), NodeState::Free | NodeState::Reserved));
    }
    assert_eq!(links(&search, above(1)), [to(0)]);
    // With the lock still held: if the reserve waited for it, this would never return.
    grower.join().unwrap();
    assert_eq!(search.node_count(), 3);
    assert_eq!(links(&search, above(1)), [to(0)]);
}

/// Proves: a reserve that meets an edit changes nothing that the edit has written, before or after, and both new nodes get lists
/// of their own, which are empty. Failing, it would mean for a user: a node loses its neighbours when another one is inserted, or
/// two nodes share one list.
fn reserve_against_edit<G: Graph>() {
    let world = world_of::<G>(2, level);
    let grower = spawn(&world, |world| {
        assert_eq!(world.graph.reserve(2, level), Ok(node(2)));
        world.append(above(2), to(1));
    });
    world.edit(|edit| {
        rewrite(edit, base(1), |list| list.push(to(0)));
        rewrite(edit, above(1), |list| list.push(to(0)));
        edit.publish(node(1));
    });
    let check = || {
        let search = world.graph.read();
        assert_eq!([base(1), above(1)].map(|at| links(&search, at)), [[to(0)], [to(0)]]);
        assert_eq!(search.state(node(1)), NodeState::Live);
    };
    check();
    grower.join().unwrap();
    check();
    assert_eq!(world.links(above(2)), [to(1)]);
    assert!([base(2), base(3), above(3)].iter().all(|&at| world.links(at).is_empty()));
}

/// Proves: two inserts at once take different ids and get lists of their own, and a search that meets one of the nodes finds it
/// live, with its row and its lists. Failing, it would mean for a user: two vectors become one node, or a search is stranded at a
/// node without neighbours.
fn insert_against_insert<G: Graph>() {
    let world = world_of::<G>(1, level);
    let insert = |world: &models::World<G>| {
        let new = world.graph.reserve(1, level).unwrap();
        world.write_row(new.get());
        world.edit(|edit| {
            rewrite(edit, At::base(new), |list| list.push(to(0)));
            rewrite(edit, At::new(new, 1), |list| list.push(to(0)));
            edit.publish(new);
            rewrite(edit, base(0), |list| list.push(to(new.get())));
        });
    };
    let rival = spawn(&world, insert);
    let search = || {
        let search = world.graph.read();
        let met = links(&search, base(0));
        for new in met.iter().map(|link| link.node()) {
            world.check_row(new);
            assert_eq!([At::base(new), At::new(new, 1)].map(|at| links(&search, at)), [[to(0)], [to(0)]]);
            assert_eq!(search.state(new), NodeState::Live);
        }
        met
    };
    insert(&world);
    assert!(!search().is_empty());
    rival.join().unwrap();
    let mut met = search();
    met.sort_unstable();
    assert_eq!(met, [to(1), to(2)]);
}

/// The models that both strategies must pass.
macro_rules! models_of {
    ($($strategy:ident: $graph:ty;)*) => {$(
        mod $strategy {
            use super::*;

            macro_rules! run {
                ($bound:expr, $name:literal, $model:expr) => {
                    model($bound, concat!(stringify!($strategy), ": ", $name), $model);
                };
            }

            #[test]
            fn both_appends_count() {
                run!(None, "append against append", models::append_against_append::<$graph>);
            }

            #[test]
            fn an_append_survives_pruning() {
                run!(None, "prune against append", models::prune_against_append::<$graph>);
            }

            #[test]
            fn a_node_that_is_met_is_whole() {
                run!(None, "publication against search", models::publication::<$graph>);
            }

            #[test]
            fn a_node_that_another_thread_has_linked_is_whole() {
                run!(3, "publication by another against search", models::publication_by_another::<$graph>);
            }

            #[test]
            fn an_anchor_is_there_for_whoever_has_met_the_node() {
                run!(None, "anchor against search", models::anchor_against_search::<$graph>);
            }

            #[test]
            fn the_highest_entry_wins_and_leads_on() {
                run!(3, "raise against raise against search", models::raise_against_raise::<$graph>);
            }

            #[test]
            fn one_thread_founds() {
                run!(None, "found against found against search", models::found_against_found::<$graph>);
            }

            #[test]
            fn an_edit_stays_whatever_is_reserved() {
                run!(3, "reserve against edit", reserve_against_edit::<$graph>);
            }

            #[test]
            fn both_inserts_are_found() {
                run!(2, "insert against insert", insert_against_insert::<$graph>);
            }
        }
    )*};
}

models_of! {
    coarse: Coarse;
    sequential: Sequential;
}

#[test]
fn a_search_goes_on_while_ids_are_reserved() {
    model(3, "coarse: reserve against search", reserve_against_search);
}

/// Each of these must fail: the lock that a reserve shares with a search orders neither of them before the other.
mod weakened {
    use super::*;

    macro_rules! needs {
        ($($test:ident: $site:literal, $model:expr, $message:literal;)*) => {$(
            #[test]
            fn $test() {
                let output = expect_weak($site, Relaxed, || {
                    model(3, $site, $model);
                });
                assert!(output.contains($message), "{output}");
            }
        )*};
    }

    needs! {
        count_take_beside_a_search: "count-take", reserve_against_search, "row not allocated";
        count_read_beside_a_reserve: "count-read", reserve_against_search, "row not allocated";
        tower_push_beside_a_search: "tower-push", reserve_against_search, "panicked";
        tower_head_beside_a_reserve: "tower-head", reserve_against_search, "panicked";
    }
}
