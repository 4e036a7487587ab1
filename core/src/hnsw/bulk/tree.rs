//! Anchors for a graph that was not built node by node.
//!
//! A tree with both directions of each of its edges as anchors: from its root a path of anchors leads to every point, and one
//! from every point to the root. Where points are not reachable from the root, each part that hangs together gets a tree of
//! its own, and the caller joins the trees.
//!
//! A breadth-first search makes anchors of links that are there, as long as the lists have room for anchors. Of what a full
//! list leads to, each point that no other list leads to becomes the child of some descendant that has room: a leaf of the
//! tree has one anchor, so going down ends. So all that links lead to from the points of a tree is in that tree, or in one
//! before it.
//!
//! In high dimensions some points are near to none, though others are near to them: no list leads to them. So points that are left
//! become children of what their own lists lead to in the tree that is growing, where there is room. In that tree alone: the
//! points that they lead to in turn may lead to others of it, and no list may lead to a later tree.

use crate::graph::{Link, NodeId};
use crate::mix::mix;

/// Lists of links, `cap` slots each. Targets are numbered as the lists are.
pub(super) struct Lists {
    pub cap: usize,
    pub lens: Vec<u16>,
    pub slots: Vec<Link>,
}

impl Lists {
    pub fn of(&self, at: u32) -> &[Link] {
        &self.slots[at as usize * self.cap..][..self.lens[at as usize] as usize]
    }

    /// Makes an anchor of the link from `at` to `to`. If there is none it is added, in the place of the last link that is not
    /// an anchor if the list is full. (Lists are sorted by distance.)
    fn anchor(&mut self, at: u32, to: u32) {
        let len = self.lens[at as usize] as usize;
        let slots = &mut self.slots[at as usize * self.cap..][..self.cap];
        let link = Link::anchor(NodeId::new(to));
        if let Some(there) = slots[..len].iter_mut().find(|there| there.node().get() == to) {
            *there = link;
        } else if len < self.cap {
            slots[len] = link;
            self.lens[at as usize] += 1;
        } else if let Some(last) = slots.iter_mut().rfind(|there| !there.is_anchor()) {
            *last = link;
        } else {
            unreachable!("a list has room for more links than anchors");
        }
    }
}

/// What became of the points.
pub(super) struct Forest {
    /// The root of each tree, in the order in which they grew.
    pub roots: Vec<u32>,
    /// The number of the tree of each point.
    pub trees: Vec<u32>,
}

const NONE: u32 = u32::MAX;

/// A forest under way.
struct Growth<'a> {
    lists: &'a mut Lists,
    trees: Vec<u32>,
    parents: Vec<u32>,
    /// Anchors in each list.
    anchors: Vec<u16>,
    limit: u16,
    queue: Vec<u32>,
    /// Links of the points that no list of the first tree leads to, as target and source, in order.
    back: Vec<(u32, u32)>,
}

/// Makes anchors, at most `limit` in each list but at most `root_limit` in that of `root`, the root of the first tree. Other
/// roots keep room for one more.
pub(super) fn grow(lists: &mut Lists, root: u32, limit: usize, root_limit: usize) -> Forest {
    let count = lists.lens.len();
    let mut growth = Growth {
        lists,
        trees: vec![NONE; count],
        parents: vec![NONE; count],
        anchors: vec![0; count],
        limit: limit as u16,
        queue: Vec::with_capacity(count),
        back: Vec::new(),
    };
    growth.anchors[root as usize] = (limit - root_limit) as u16;
    let mut roots = vec![root];
    growth.plant(root, 0);
    growth.look_back();
    for next in 0..count as u32 {
        if growth.trees[next as usize] == NONE {
            growth.anchors[next as usize] = 1;
            growth.plant(next, roots.len() as u32);
            roots.push(next);
        }
    }
    Forest { roots, trees: growth.trees }
}

impl Growth<'_> {
    /// Grows a tree.
    fn plant(&mut self, root: u32, tree: u32) {
        self.trees[root as usize] = tree;
        self.queue.clear();
        self.queue.push(root);
        self.spread(tree);
    }

    /// Grows the first tree by the points whose lists lead to it.
    fn look_back(&mut self) {
        let all = 0..self.trees.len() as u32;
        let rest: Vec<u32> = all.filter(|point| self.trees[*point as usize] == NONE).collect();
        self.queue.clear();
        for child in rest {
            for i in 0..self.lists.of(child).len() {
                // The nearest first.
                let parent = self.lists.of(child)[i].node().get();
                self.back.push((parent, child));
                if self.trees[parent as usize] == 0 {
                    self.take_in(parent, child, 0);
                }
            }
        }
        self.back.sort_unstable();
        self.spread(0);
    }

    /// Makes a point that is left the child of one that its list leads to, if there is room.
    fn take_in(&mut self, parent: u32, child: u32, tree: u32) {
        if self.trees[child as usize] == NONE && self.anchors[parent as usize] < self.limit {
            self.attach(parent, child, tree);
        }
    }

    /// Grows one tree as far as links lead from the points of the queue, forth and, as far as there is room, back.
    fn spread(&mut self, tree: u32) {
        // Points that a full list leads to, with that list.
        let mut refused: Vec<(u32, u32)> = Vec::new();
        let (mut next, mut appealed) = (0, 0);
        loop {
            while next < self.queue.len() {
                let parent = self.queue[next];
                next += 1;
                for i in 0..self.lists.of(parent).len() {
                    let child = self.lists.of(parent)[i].node().get();
                    if self.trees[child as usize] != NONE {
                        continue;
                    }
                    match self.anchors[parent as usize] < self.limit {
                        true => self.attach(parent, child, tree),
                        false => refused.push((parent, child)),
                    }
                }
                let from = self.back.partition_point(|(to, _)| *to < parent);
                let until = self.back.partition_point(|(to, _)| *to <= parent);
                (from..until).for_each(|i| self.take_in(parent, self.back[i].1, tree));
            }
            let Some(&(mut parent, child)) = refused.get(appealed) else { return };
            appealed += 1;
            if self.trees[child as usize] == NONE {
                while self.anchors[parent as usize] >= self.limit {
                    parent = self.some_child(parent, child);
                }
                self.attach(parent, child, tree);
            }
        }
    }

    fn attach(&mut self, parent: u32, child: u32, tree: u32) {
        self.lists.anchor(parent, child);
        self.lists.anchor(child, parent);
        self.anchors[parent as usize] += 1;
        self.anchors[child as usize] += 1;
        self.parents[child as usize] = parent;
        self.trees[child as usize] = tree;
        self.queue.push(child);
    }

    /// A child of `parent`, which has several: another one for each `salt`.
    fn some_child(&self, parent: u32, salt: u32) -> u32 {
        let links = self.lists.of(parent);
        let first = mix(u64::from(salt) << 32 | u64::from(parent)) as usize % links.len();
        let (before, after) = links.split_at(first);
        let child = |link: &&Link| link.is_anchor() && self.parents[link.node().index()] == parent;
        match after.iter().chain(before).find(child) {
            Some(link) => link.node().get(),
            None => unreachable!("a list full of anchors has children"),
        }
    }
}

#[cfg(all(test, not(hnsw_loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The points that anchors lead to from each root.
    fn reached(lists: &Lists, root: u32) -> Vec<u32> {
        let (mut seen, mut queue) = (vec![false; lists.lens.len()], vec![root]);
        seen[root as usize] = true;
        let mut all = Vec::new();
        while let Some(at) = queue.pop() {
            all.push(at);
            for link in lists.of(at).iter().filter(|link| link.is_anchor()) {
                if !core::mem::replace(&mut seen[link.node().index()], true) {
                    queue.push(link.node().get());
                }
            }
        }
        all.sort_unstable();
        all
    }

    #[test]
    fn points_that_no_list_leads_to_join_the_first_tree_by_their_own() {
        // 0 and 1 lead to each other, 2 to 0, 3 to 2, and 4 and 5 to each other alone.
        let links: [u32; 6] = [1, 0, 0, 2, 5, 4];
        let slots = links.iter().flat_map(|to| [Link::to(NodeId::new(*to)), Link::NIL, Link::NIL, Link::NIL]);
        let mut lists = Lists { cap: 4, lens: vec![1; 6], slots: slots.collect() };
        let forest = grow(&mut lists, 0, 3, 2);
        assert_eq!((forest.roots, forest.trees), (vec![0, 4], vec![0, 0, 0, 0, 1, 1]));
    }

    proptest! {
        #[test]
        fn anchors_lead_from_the_root_of_each_tree_to_all_of_it_and_back(
            links in prop::collection::vec(prop::collection::btree_set(0u32..150, 0..4), 150),
            // Many points that lead to few: lists that refuse.
            hubs in 1u32..150,
        ) {
            let (cap, limit) = (4, 3);
            let mut lists = Lists { cap, lens: vec![0; 150], slots: vec![Link::NIL; 150 * cap] };
            for (at, targets) in links.iter().enumerate() {
                let targets: std::collections::BTreeSet<u32> =
                    targets.iter().map(|to| to % hubs).filter(|to| *to as usize != at).collect();
                for (slot, to) in targets.iter().enumerate() {
                    lists.slots[at * cap + slot] = Link::to(NodeId::new(*to));
                }
                lists.lens[at] = targets.len() as u16;
            }
            let forest = grow(&mut lists, 7, limit, 1);
            for (tree, root) in forest.roots.iter().enumerate() {
                let members: Vec<u32> = (0..150).filter(|at| forest.trees[*at as usize] == tree as u32).collect();
                for from in &members {
                    prop_assert_eq!(&reached(&lists, *from), &members, "tree {} from {}", tree, from);
                }
                let anchors = |at: u32| lists.of(at).iter().filter(|link| link.is_anchor()).count();
                prop_assert!(anchors(*root) < limit, "a root keeps room");
                prop_assert!(members.iter().all(|at| anchors(*at) <= limit));
            }
            prop_assert!((0..150).all(|at| {
                let targets = lists.of(at).iter().map(|link| link.node().get());
                let own = forest.trees[at as usize];
                let distinct: std::collections::BTreeSet<u32> = targets.clone().collect();
                distinct.len() == lists.of(at).len()
                    && targets.clone().all(|to| to != at && forest.trees[to as usize] <= own)
            }), "no list leads to a later tree");
            prop_assert_eq!(forest.roots[0], 7);
        }
    }
}
