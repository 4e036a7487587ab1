//! Models of `slots`: all interleavings and reorderings of small programs, and for each ordering one that fails without it.
//! What each model proves, and what its failure would mean for a user, is said where it is written: here or in `models`.
#![cfg(hnsw_loom)]

mod models;

use hnsw_core::sync::model::model;
use hnsw_strategies::Slots;
use models::{anchor, base, spawn, to, world};

/// Proves: a search that overlaps pruning finds all anchors of the list, in their slots, and no link that was in neither the
/// list before nor the list after; what it finds afterwards is the list after. Failing, it would mean for a user: a search
/// takes the list for shorter than its anchors and misses whole regions, or follows a link to nowhere.
fn prune_against_read() {
    let world = world::<Slots>();
    world.change(base(0), |list| list.extend([anchor(1), to(2), to(3)]));
    let pruner = spawn(&world, |world| {
        world.change(base(0), |list| list.retain(|&link| link != to(2)));
    });
    let list = world.links(base(0));
    assert_eq!(list[0], anchor(1));
    assert!(list[1..].iter().all(|link| [to(2), to(3)].contains(link)), "{list:?}");
    pruner.join().unwrap();
    assert_eq!(world.links(base(0)), [anchor(1), to(3)]);
}

/// Proves: of two rewrites of which each gives another node the last place for an anchor, the later one sees the earlier one's.
/// Failing, it would mean for a user: a list gets more anchors than it can keep, and pruning has to lose a node.
fn anchor_against_anchor() {
    let world = world::<Slots>();
    let take = |id: u32| {
        move |world: &models::World<Slots>| {
            world.change(base(0), |list| {
                if !list.iter().any(|link| link.is_anchor()) {
                    list.push(anchor(id));
                }
            });
        }
    };
    world.append(base(0), to(3));
    let rival = spawn(&world, take(1));
    take(2)(&world);
    rival.join().unwrap();
    let list = world.links(base(0));
    assert!([1, 2].map(|id| [anchor(id), to(3)]).iter().any(|expected| list == expected), "{list:?}");
}

#[test]
fn both_appends_count() {
    model(2, "slots: append against append", models::append_against_append::<Slots>);
}

#[test]
fn an_append_survives_pruning() {
    model(2, "slots: prune against append", models::prune_against_append::<Slots>);
}

#[test]
fn an_anchor_is_never_missed_while_its_list_is_pruned() {
    model(None, "slots: prune against read", prune_against_read);
}

#[test]
fn an_anchor_is_there_for_whoever_has_met_the_node() {
    model(3, "slots: anchor against search", models::anchor_against_search::<Slots>);
}

#[test]
fn the_last_place_for_an_anchor_is_taken_once() {
    model(2, "slots: anchor against anchor", anchor_against_anchor);
}

#[test]
fn a_node_that_is_met_is_whole() {
    model(3, "slots: publication against search", models::publication::<Slots>);
}

#[test]
fn a_node_that_another_thread_has_linked_is_whole() {
    model(2, "slots: publication by another against search", models::publication_by_another::<Slots>);
}

#[test]
fn the_highest_entry_wins_and_leads_on() {
    model(2, "slots: raise against raise against search", models::raise_against_raise::<Slots>);
}

#[test]
fn one_thread_founds() {
    model(2, "slots: found against found against search", models::found_against_found::<Slots>);
}

/// Each of these must fail.
mod weakened {
    use super::*;

    hnsw_core::needs! { 3;
        lock_of_an_append: "list-lock" Relaxed, models::append_against_append::<Slots>;
        unlock_of_an_append: "list-unlock" Relaxed, models::append_against_append::<Slots>;
        lock_of_pruning: "list-lock" Relaxed, models::prune_against_append::<Slots>;
        unlock_of_pruning: "list-unlock" Relaxed, models::prune_against_append::<Slots>;
        lock_of_an_anchor: "list-lock" Relaxed, anchor_against_anchor;
        unlock_of_an_anchor: "list-unlock" Relaxed, anchor_against_anchor;
        slot_write_of_a_row: "slots-write" Relaxed, models::publication::<Slots>;
        slot_read_of_a_row: "slots-read-fence" Relaxed, models::publication::<Slots>;
        slot_write_of_a_copied_link: "slots-write" Relaxed, models::publication_by_another::<Slots>;
        slot_read_of_a_copied_link: "slots-read-fence" Relaxed, models::publication_by_another::<Slots>;
        slot_write_of_an_anchor: "slots-write" Relaxed, models::anchor_against_search::<Slots>;
        slot_read_of_an_anchor: "slots-read-fence" Relaxed, models::anchor_against_search::<Slots>;
        node_publish: "node-publish" Relaxed, models::publication::<Slots>;
        node_state: "node-state" Relaxed, models::publication::<Slots>;
        start_raise: "start-raise" Relaxed, models::raise_against_raise::<Slots>;
        start_read: "start-read" Relaxed, models::raise_against_raise::<Slots>;
        start_found: "start-found" Relaxed, models::found_against_found::<Slots>;
    }
}
