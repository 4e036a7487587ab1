//! Writers that are suspended, or die, at each step of what they do, over every strategy of the list.
//!
//! | module | what it proves |
//! |---|---|
//! | [`suspensions`] | others go on while a writer is suspended at any step, as the contract promises, and find a graph that is whole (P1, P6, P8) |
//! | [`panics`] | after a panic at any step nothing is locked, torn or lost, and an insert that panicked has not happened |
//!
//! [`faulty`] makes the steps, [`scenes`] the calls and the checks. What a panic leaves in memory is in `garbage.rs`.
#![cfg(not(hnsw_loom))]

#[path = "../models/codec.rs"]
mod codec;
mod faulty;
mod panics;
mod scenes;
#[path = "../conformance/support.rs"]
#[allow(dead_code, reason = "made for another test, and used in part")]
mod support;
mod suspensions;

macro_rules! suite {
    ($(($name:ident, $graph:ty)),+ $(,)?) => {
        $(mod $name {
            properties! {
                $graph;
                suspensions: a_writer_suspended_at_any_step_holds_up_whom_it_may,
                    a_batch_suspended_at_any_step_holds_up_whom_it_may;
                panics: a_panic_at_any_step_leaves_the_graph_whole, panics_among_racing_writers_lose_nothing, a_batch_that_panics_has_inserted_some_of_its_rows,
                    a_build_that_panics_has_inserted_nothing, a_search_that_panics_leaves_its_scratch_usable;
            }
        })+

        /// The name of each strategy, and what it can do.
        const STRATEGIES: &[(&str, hnsw_core::graph::Caps)] = &[$((
            <$graph as hnsw_core::graph::Graph>::NAME,
            <$graph as hnsw_core::graph::Graph>::CAPS,
        )),+];
    };
}

macro_rules! commit_suite {
    ($(($name:ident, $graph:ty)),+ $(,)?) => {
        mod with_a_commit_lock {
            $(mod $name {
                properties! {
                    $graph;
                    panics: a_panic_gives_the_commit_lock_back;
                }
            })+

            #[test]
            fn are_tested_for_every_strategy_that_has_one() {
                let having = super::STRATEGIES.iter().filter(|(_, caps)| caps.snapshots);
                assert!(having.map(|(name, _)| *name).eq([$(stringify!($name)),+]));
            }
        }
    };
}

macro_rules! properties {
    ($graph:ty; $($module:ident: $($property:ident),+;)+) => {
        $($(#[test]
        fn $property() {
            crate::$module::$property::<$graph>()
        })+)+
    };
}

hnsw_strategies::for_each_strategy!(suite);
commit_suite!((mvcc, hnsw_strategies::Mvcc));
