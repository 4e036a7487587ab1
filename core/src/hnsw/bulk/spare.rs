//! Work space that tasks take turns with.

use crate::sync::Mutex;

/// What a pool of threads would make anew for every task that may be stolen: as many as were ever in use at once, each by one
/// task, all gone at the end. The lock is held for a push or a pop.
pub(super) struct Spare<T> {
    make: Box<dyn Fn() -> T + Sync>,
    unused: Mutex<Vec<T>>,
}

impl<T> Spare<T> {
    pub fn new(make: impl Fn() -> T + Sync + 'static) -> Self {
        Spare { make: Box::new(make), unused: Mutex::new(Vec::new()) }
    }

    /// Calls `task` with one of them. If it panics, that one is gone.
    pub fn with<R>(&self, task: impl FnOnce(&mut T) -> R) -> R {
        let unused = self.unused.lock().pop();
        let mut one = unused.unwrap_or_else(&self.make);
        let result = task(&mut one);
        self.unused.lock().push(one);
        result
    }
}

#[cfg(all(test, not(hnsw_loom)))]
mod tests {
    use super::*;

    #[test]
    fn one_is_made_for_each_task_that_is_under_way() {
        let spare = Spare::new(Vec::<u32>::new);
        spare.with(|outer| {
            outer.push(1);
            spare.with(|inner| assert!(inner.is_empty()));
        });
        assert_eq!(spare.unused.lock().len(), 2);
        let (one, other) = spare.with(|one| (one.clone(), spare.with(|other| other.clone())));
        assert_eq!(one.len() + other.len(), 1, "what is in them stays");
    }
}
