//! Before which access a thread stands when `shuttle` asks who goes on, and what it has done besides since it last stood.

use super::super::scan::{Site, workspace};
use ::std::cell::{Cell, RefCell};
use ::std::collections::HashMap;
use ::std::panic::Location;
use ::std::sync::LazyLock;

pub(super) type Place = &'static Location<'static>;

thread_local! {
    /// What the running thread is about to do, while it is at a point. All threads of a schedule share it: they take turns.
    static NEXT: Cell<Option<(&'static str, Place)>> = const { Cell::new(None) };
    /// Where the locks were taken that the running thread has given back since it was last at a point.
    static GIVEN: RefCell<Vec<Place>> = const { RefCell::new(Vec::new()) };
    /// Names that were asked for, by the address of the place; of locks that are given back, behind the others.
    static NAMES: RefCell<[HashMap<*const Location<'static>, &'static str>; 2]> = RefCell::default();
}

/// All sites of the workspace.
static SITES: LazyLock<Vec<Site>> = LazyLock::new(workspace);

/// Runs `switch`, in which others may run, before the running thread does `what`.
pub(super) fn stand(what: &'static str, place: Place, switch: impl FnOnce()) {
    NEXT.set(Some((what, place)));
    switch();
    // Whoever goes on is no longer at a point, whether it was the last to come to one or not.
    NEXT.set(None);
    GIVEN.with_borrow_mut(Vec::clear);
}

/// The running thread gives a lock back. That is no point: to be suspended before it is to be suspended before the next access.
pub(super) fn gives_back(taken: Place) {
    GIVEN.with_borrow_mut(|given| given.push(taken));
}

/// Before which access the running thread stands, for a scheduler to ask: the name of its site, or what it is and where if it
/// has none, as a lock. None if the thread yields, waits for another one to end, or begins or ends itself.
pub fn standing() -> Option<&'static str> {
    let (what, place) = NEXT.get()?;
    let name = || {
        let site = SITES.iter().find(|site| !site.on_failure && site.is_at(place));
        site.map_or_else(|| unnamed(what, place), |site| site.name.clone())
    };
    Some(kept(0, place, name))
}

/// The locks that the running thread has given back since it last came to an access, by where it took them.
pub fn given_back() -> Vec<&'static str> {
    let name = |place: &Place| kept(1, place, || unnamed("unlock", place));
    GIVEN.with_borrow(|given| given.iter().map(name).collect())
}

fn unnamed(what: &str, place: Place) -> String {
    format!("{what} at {}:{}", place.file(), place.line())
}

/// Names are kept for ever: there are as many as there are places in the source.
fn kept(kind: usize, place: Place, name: impl FnOnce() -> String) -> &'static str {
    let leaked = || &*name().leak();
    NAMES.with_borrow_mut(|names| *names[kind].entry(::std::ptr::from_ref(place)).or_insert_with(leaked))
}
