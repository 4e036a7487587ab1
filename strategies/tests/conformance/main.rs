//! The contract, property by property, over every strategy of the list: one generic body each.
//!
//! | module | what it proves |
//! |---|---|
//! | [`builds`] | concurrent builds on real data: every node reachable, no torn list, recall as of a sequential build (P1, P6) |
//! | [`hard`] | the same where it is hard: duplicates, hubs, tiny graphs, the smallest parameters (P1, P6) |
//! | [`history`] | inserts, removals and searches at once, checked against the recorded history (P2, P3, P4, P5) |
//! | [`exact`] | with ef >= n, the answers of brute force (P4, P5) |
//! | [`snapshots`] | snapshots under concurrent writers (P7) |
//! | [`progress`] | who goes on while a writer is suspended in the middle of an insert (P8) |
//! | [`codecs`] | every codec: recall as of f32, distances to the bit as of f32 if it refines (P4, P5) |
//! | [`packed`] | packed copies for reading alone, of quiet and of busy graphs, and of snapshots (P1, P2, P5, P6, P7) |
//! | [`batches`] | batches, errors and limits |
//! | [`bulk`] | graphs that are built as a whole (P1, P6, P9) |
//! | [`rounds`] | batches whose graph does not depend on the threads (P9) |
//! | [`model`] | random sequences of calls, and some that have a name, against brute force and `sequential` |
//!
//! The builds and the sequences run with 2 seeds; the environment variable `HNSW_SEEDS` asks for more.
#![cfg(not(hnsw_loom))]

mod batches;
mod builds;
mod bulk;
#[path = "../models/clock.rs"]
mod clock;
#[path = "../models/codec.rs"]
mod codec;
mod codecs;
mod exact;
mod hard;
mod history;
mod model;
mod packed;
mod progress;
mod rounds;
mod snapshots;
mod support;

use model::named;

macro_rules! suite {
    ($(($name:ident, $graph:ty)),+ $(,)?) => {
        $(mod $name {
            properties! {
                $graph;
                builds: concurrent_builds_on_real_data_lose_nothing;
                hard: copies_of_few_vectors, clusters_in_order, the_smallest_m, the_smallest_ef_construction,
                    one_centre_and_many_satellites, tiny_graphs_from_empty;
                history: searches_agree_with_the_history;
                exact: a_wide_beam_finds_what_brute_force_finds;
                progress: a_suspended_writer_holds_up_whom_it_may, nodes_inserted_near_a_suspended_insert_are_reachable;
                batches: rows_get_consecutive_ids_and_are_counted, a_request_to_stop_keeps_what_was_done,
                    a_bad_row_is_named_and_nothing_inserted, a_full_index_refuses, batches_work_inside_any_pool,
                    a_batch_of_searches_is_searches_one_by_one, bad_arguments_are_refused, nothing_is_found_in_an_empty_index,
                    a_node_is_removed_once, memory_can_be_asked_for_while_writers_run;
                bulk: a_graph_built_as_a_whole_is_as_good_as_one_built_by_rows, parts_that_hang_apart_are_joined,
                    copies_of_one_vector_are_built, a_built_index_is_an_index, a_request_to_stop_a_build_leaves_nothing,
                    others_may_write_and_search_during_a_build;
                model: sequences_of_calls_agree_with_brute_force;
                named: an_index_of_tombstones_alone, more_is_asked_for_than_there_is, a_vector_of_zeros_in_a_batch,
                    the_last_id_and_no_more, copies_of_one_vector_by_every_way_in;
                packed: a_packed_copy_answers_as_its_source, a_packed_copy_of_nothing_finds_nothing,
                    packing_beside_writers_keeps_what_had_returned;
            }
        })+

        /// The name of each strategy, and what it can do.
        const STRATEGIES: &[(&str, hnsw_core::graph::Caps)] = &[$((
            <$graph as hnsw_core::graph::Graph>::NAME,
            <$graph as hnsw_core::graph::Graph>::CAPS,
        )),+];
    };
}

macro_rules! snapshot_suite {
    ($(($name:ident, $graph:ty)),+ $(,)?) => {
        mod with_snapshots {
            $(mod $name {
                properties! {
                    $graph;
                    snapshots: repeatable_and_exact_under_writers, answered_while_a_writer_is_suspended;
                    model: sequences_with_snapshots_agree_with_brute_force;
                    packed: a_packed_snapshot_is_that_snapshot;
                }
            })+

            #[test]
            fn are_tested_for_every_strategy_that_has_them() {
                let having = super::STRATEGIES.iter().filter(|(_, caps)| caps.snapshots);
                assert!(having.map(|(name, _)| *name).eq([$(stringify!($name)),+]));
            }
        }
    };
}

macro_rules! rounds_suite {
    ($(($name:ident, $graph:ty)),+ $(,)?) => {
        mod with_rounds {
            $(mod $name {
                properties! {
                    $graph;
                    rounds: the_graph_does_not_depend_on_the_threads, batches_are_as_good_as_rows_one_by_one,
                        others_may_write_and_search_during_a_round;
                }
            })+

            #[test]
            fn are_tested_for_every_strategy_that_has_them() {
                let having = super::STRATEGIES.iter().filter(|(_, caps)| caps.deterministic_batch);
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
snapshot_suite!((mvcc, hnsw_strategies::Mvcc));
rounds_suite!((batch, hnsw_strategies::Batch));
