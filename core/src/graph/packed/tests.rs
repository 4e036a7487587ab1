use super::*;
use proptest::prelude::*;
use std::collections::HashSet;

/// SplitMix64 (Steele, Lea and Flood 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((x ^ (x >> 31)) % n as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

/// A graph in the plainest form, as a view may show it while others write: some nodes are not published, and some links lead
/// to those, or to nodes beyond the count.
struct Model {
    entry: Option<Entry>,
    states: Vec<NodeState>,
    /// By node, then by level.
    lists: Vec<Vec<Vec<Link>>>,
}

/// How to draw a [`Model`].
#[derive(Clone, Copy, Debug)]
struct Shape {
    nodes: usize,
    m: usize,
    /// One node in this many reaches each next level.
    thinning: usize,
    /// One node in this many is reserved, and as many are removed; no node, if it is 0.
    gone: usize,
    seed: u64,
}

impl Model {
    fn draw(shape: Shape) -> Model {
        let Shape { nodes, m, thinning, gone, seed } = shape;
        let random = &mut Random(seed);
        let states: Vec<NodeState> = (0..nodes)
            .map(|_| match gone {
                0 => NodeState::Live,
                _ if random.one_in(gone) => NodeState::Reserved,
                _ if random.one_in(gone) => NodeState::Tombstone,
                _ => NodeState::Live,
            })
            .collect();
        let levels: Vec<usize> = (0..nodes)
            .map(|_| (0..MAX_LEVEL as usize).take_while(|_| random.one_in(thinning)).count())
            .collect();
        let by_level: Vec<Vec<u32>> = (0..=MAX_LEVEL as usize)
            .map(|level| (0..nodes as u32).filter(|n| levels[*n as usize] >= level).collect())
            .collect();
        let mut list = |level: usize| {
            let cap = if level == 0 { 2 * m } else { m };
            // Empty and full lists are no rarity.
            let degree = [0, cap, random.below(cap + 1), random.below(cap + 1)][random.below(4)];
            let mut targets = HashSet::new();
            (0..degree)
                .filter_map(|_| {
                    let target = match by_level[level].len() {
                        _ if gone > 0 && random.one_in(20) => (nodes + random.below(1_000)) as u32,
                        present => by_level[level][random.below(present)],
                    };
                    let target = NodeId::new(target);
                    let link = if random.one_in(3) { Link::anchor(target) } else { Link::to(target) };
                    targets.insert(target).then_some(link)
                })
                .collect()
        };
        let lists = levels.iter().map(|top| (0..=*top).map(&mut list).collect()).collect();
        let top = (0..nodes).filter(|n| states[*n] == NodeState::Live).max_by_key(|n| levels[*n]);
        let entry = top.map(|n| Entry { node: node(n), level: levels[n] as Level });
        Model { entry, states, lists }
    }

    fn published(&self, node: NodeId) -> bool {
        matches!(self.state(node), NodeState::Live | NodeState::Tombstone)
    }
}

impl View for Model {
    fn entry(&self) -> Option<Entry> {
        self.entry
    }

    fn node_count(&self) -> usize {
        self.states.len()
    }

    fn state(&self, node: NodeId) -> NodeState {
        self.states.get(node.index()).copied().unwrap_or(NodeState::Free)
    }

    fn level(&self, node: NodeId) -> Level {
        (self.lists[node.index()].len() - 1) as Level
    }

    fn may_have_tombstones(&self) -> bool {
        self.states.contains(&NodeState::Tombstone)
    }

    fn links<'s>(&'s self, at: At, _buf: &'s mut LinkBuf) -> &'s [Link] {
        &self.lists[at.node.index()][at.level as usize]
    }

    fn prefetch(&self, _at: At, _stage: Stage) {}
}

/// Everything that a view shows of a model, against what the frozen graph shows.
fn check(shape: Shape) {
    let model = Model::draw(shape);
    let packed = Packed::freeze(&model);
    assert_eq!(packed.entry(), model.entry());
    assert_eq!(packed.node_count(), model.node_count());
    assert_eq!(packed.may_have_tombstones(), model.may_have_tombstones());
    assert_eq!(packed.state(node(shape.nodes)), NodeState::Free);
    let (mut buf, mut unused) = (LinkBuf::new(), LinkBuf::new());
    for owner in (0..shape.nodes).map(node) {
        assert_eq!(packed.state(owner), model.state(owner), "{shape:?}: {owner}");
        if !model.published(owner) {
            assert_eq!((packed.level(owner), packed.links(At::base(owner), &mut buf)), (0, &[][..]));
            continue;
        }
        assert_eq!(packed.level(owner), model.level(owner), "{shape:?}: {owner}");
        for level in 0..=model.level(owner) {
            let at = At::new(owner, level);
            for stage in [Stage::Far, Stage::Near] {
                packed.prefetch(at, stage);
            }
            let expected: Vec<Link> = model
                .links(at, &mut unused)
                .iter()
                .filter(|link| model.published(link.node()))
                .map(|link| Link::to(link.node()))
                .collect();
            assert_eq!(packed.links(at, &mut buf), expected, "{shape:?}: {at:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn a_frozen_graph_shows_what_its_view_showed(
        nodes in prop_oneof![0usize..300, (3u32..13, -2isize..3).prop_map(|(b, d)| (1usize << b).wrapping_add_signed(d))],
        m in prop_oneof![2usize..20, Just(64), Just(128)],
        thinning in 2usize..20,
        gone in prop_oneof![Just(0usize), 2usize..50],
        seed in any::<u64>(),
    ) {
        check(Shape { nodes, m, thinning, gone, seed });
    }
}

#[test]
fn a_graph_of_one_node_without_links_is_frozen() {
    check(Shape { nodes: 1, m: 2, thinning: 2, gone: 0, seed: 0 });
}

#[test]
fn numbers_of_more_than_16_bits_come_back() {
    for nodes in [1 << 16, (1 << 16) + 1, 70_001] {
        check(Shape { nodes, m: 8, thinning: 8, gone: 30, seed: nodes as u64 });
    }
}

/// Blocks of lists begin at their own base; the longest lists make the largest offsets.
#[test]
fn full_lists_fill_whole_blocks() {
    struct Full(Model);
    impl View for Full {
        fn entry(&self) -> Option<Entry> {
            self.0.entry()
        }
        fn node_count(&self) -> usize {
            self.0.node_count()
        }
        fn state(&self, node: NodeId) -> NodeState {
            self.0.state(node)
        }
        fn level(&self, _node: NodeId) -> Level {
            0
        }
        fn may_have_tombstones(&self) -> bool {
            false
        }
        fn links<'s>(&'s self, at: At, buf: &'s mut LinkBuf) -> &'s [Link] {
            buf.clear();
            (0..256).for_each(|i| buf.push(Link::to(node((at.node.index() + i) % self.node_count()))));
            buf
        }
        fn prefetch(&self, _at: At, _stage: Stage) {}
    }
    let full = Full(Model::draw(Shape { nodes: 1_000, m: 2, thinning: 2, gone: 0, seed: 1 }));
    let packed = Packed::freeze(&full);
    let (mut left, mut right) = (LinkBuf::new(), LinkBuf::new());
    for at in (0..1_000).map(|n| At::base(node(n))) {
        assert_eq!(packed.links(at, &mut left), full.links(at, &mut right));
    }
}

/// A list of `slots` that is being rewritten may name a node twice.
#[test]
fn a_node_that_a_list_names_twice_is_named_once() {
    let links = [1, 2, 1, 3, 3].map(|to| Link::to(node(to)));
    let model = Model {
        entry: None,
        states: vec![NodeState::Live; 4],
        lists: vec![vec![links.to_vec()], vec![vec![]], vec![vec![]], vec![vec![]]],
    };
    let packed = Packed::freeze(&model);
    let expected = [1, 2, 3].map(|to| Link::to(node(to)));
    assert_eq!(packed.links(At::base(node(0)), &mut LinkBuf::new()), expected);
}

#[test]
fn nothing_freezes_to_nothing() {
    let packed = Packed::freeze(&Model::draw(Shape { nodes: 0, m: 2, thinning: 2, gone: 0, seed: 1 }));
    assert_eq!((packed.entry(), packed.node_count()), (None, 0));
    assert_eq!(packed.state(node(0)), NodeState::Free);
}

#[test]
#[should_panic(expected = "has no list on level 3")]
fn a_list_that_is_not_there_is_refused() {
    let model = Model {
        entry: None,
        states: vec![NodeState::Live; 2],
        lists: vec![vec![vec![]; 4], vec![vec![]; 3]],
    };
    let packed = Packed::freeze(&model);
    assert_eq!((packed.level(node(0)), packed.level(node(1))), (3, 2));
    assert!(packed.links(At::new(node(0), 3), &mut LinkBuf::new()).is_empty());
    packed.links(At::new(node(1), 3), &mut LinkBuf::new());
}
