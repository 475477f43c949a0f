//! Graphs: who is linked to whom, and how far apart they are.
//!
//! Every graph here is simple (no servent linked to itself, no pair linked twice) and undirected. The
//! neighbours of a vertex are kept in ascending order, so that walking a graph has one order.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::base::Rng;

/// A simple undirected graph over `0..len`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graph {
    neighbours: Vec<BTreeSet<usize>>,
}

/// A family of graphs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Topology {
    /// Every servent has exactly `degree` neighbours, drawn by chance; connected.
    Regular {
        /// Neighbours of each.
        degree: usize,
    },
    /// Each is linked to the next, the last to the first.
    Ring,
    /// Each is linked to the next.
    Line,
    /// A ring in which each is also linked to the one `chord` places on.
    Chords {
        /// How far a chord reaches.
        chord: usize,
    },
    /// Everyone is linked to everyone.
    Full,
    /// No link is given: the servents know the first one and find their neighbours themselves.
    Discover,
}

/// A graph that was asked for and cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraphError {
    /// Vertices wanted.
    pub nodes: usize,
    /// Degree wanted.
    pub degree: usize,
    /// The rule that it breaks.
    pub rule: &'static str,
}

impl fmt::Display for GraphError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no graph of {} servents with {} neighbours each: {}", self.nodes, self.degree, self.rule)
    }
}

impl std::error::Error for GraphError {}

impl Topology {
    /// A graph of this family; a [`Topology::Discover`] has no edges.
    pub fn graph(&self, nodes: usize, rng: &mut Rng) -> Result<Graph, GraphError> {
        match *self {
            Self::Regular { degree } => Graph::random_regular(nodes, degree, rng),
            Self::Ring => Ok(Graph::ring(nodes)),
            Self::Line => Ok(Graph::line(nodes)),
            Self::Chords { chord } => Ok(Graph::ring_with_chords(nodes, chord)),
            Self::Full => Ok(Graph::full(nodes)),
            Self::Discover => Ok(Graph::empty(nodes)),
        }
    }
}

impl Graph {
    /// Vertices without an edge.
    pub fn empty(nodes: usize) -> Self {
        Self { neighbours: vec![BTreeSet::new(); nodes] }
    }

    /// Each linked to the next.
    pub fn line(nodes: usize) -> Self {
        Self::from_edges(nodes, (1..nodes).map(|i| (i - 1, i)))
    }

    /// Each linked to the next, the last to the first.
    pub fn ring(nodes: usize) -> Self {
        Self::from_edges(nodes, (0..nodes).map(|i| (i, (i + 1) % nodes)))
    }

    /// A ring in which each vertex is also linked to the one `chord` places on.
    pub fn ring_with_chords(nodes: usize, chord: usize) -> Self {
        let ring = (0..nodes).map(|i| (i, (i + 1) % nodes));
        Self::from_edges(nodes, ring.chain((0..nodes).map(|i| (i, (i + chord) % nodes))))
    }

    /// Everyone linked to everyone.
    pub fn full(nodes: usize) -> Self {
        Self::from_edges(nodes, (0..nodes).flat_map(|i| (0..i).map(move |j| (j, i))))
    }

    /// The graph of these edges; loops and repeated edges are left out.
    pub fn from_edges(nodes: usize, edges: impl IntoIterator<Item = (usize, usize)>) -> Self {
        let mut graph = Self::empty(nodes);
        for (a, b) in edges {
            graph.link(a, b);
        }
        graph
    }

    /// A random connected graph in which every vertex has `degree` neighbours.
    ///
    /// The pairing model: every vertex has `degree` stubs, the stubs are shuffled and joined in pairs. A pair
    /// that would make a loop or a double edge is mended by a switch with a random good edge, which keeps all
    /// degrees. A graph that falls into parts is thrown away; for three neighbours and more that is rare.
    pub fn random_regular(nodes: usize, degree: usize, rng: &mut Rng) -> Result<Self, GraphError> {
        let broken = |rule| GraphError { nodes, degree, rule };
        if nodes > MOST_SERVENTS {
            return Err(broken("a world holds a million servents at most"));
        }
        if degree >= nodes {
            return Err(broken("each has fewer possible neighbours than that"));
        }
        if !(nodes * degree).is_multiple_of(2) {
            return Err(broken("servents times neighbours must be even"));
        }
        if degree < 2 && nodes > 2 {
            return Err(broken("one neighbour each connects nothing"));
        }
        if degree == 2 && nodes > 3 {
            // The only connected one is a ring; chance decides who sits where.
            let mut seats: Vec<usize> = (0..nodes).collect();
            rng.shuffle(&mut seats);
            return Ok(Self::from_edges(nodes, (0..nodes).map(|i| (seats[i], seats[(i + 1) % nodes]))));
        }
        for _ in 0..ATTEMPTS {
            // A dense graph is drawn by the edges that it lacks: switches find no room in it.
            let dense = 2 * degree >= nodes;
            let drawn = match dense {
                true => pair_stubs(nodes, nodes - 1 - degree, rng).map(|lacks| lacks.complement()),
                false => pair_stubs(nodes, degree, rng),
            };
            if let Some(graph) = drawn
                && graph.is_connected()
            {
                return Ok(graph);
            }
        }
        Err(broken("chance found none in many attempts; try another seed"))
    }

    /// The graph of all edges that this one lacks.
    pub fn complement(&self) -> Self {
        let pairs = (0..self.len()).flat_map(|a| (a + 1..self.len()).map(move |b| (a, b)));
        Self::from_edges(self.len(), pairs.filter(|&(a, b)| !self.has_edge(a, b)))
    }

    /// Adds an edge; `false` if it is there already or would be a loop.
    pub fn link(&mut self, a: usize, b: usize) -> bool {
        a != b && self.neighbours[a].insert(b) && self.neighbours[b].insert(a)
    }

    /// Removes an edge; `false` if it is not there.
    pub fn unlink(&mut self, a: usize, b: usize) -> bool {
        self.neighbours[a].remove(&b) && self.neighbours[b].remove(&a)
    }

    /// Whether `a` and `b` are linked.
    pub fn has_edge(&self, a: usize, b: usize) -> bool {
        self.neighbours[a].contains(&b)
    }

    /// Vertices.
    pub fn len(&self) -> usize {
        self.neighbours.len()
    }

    /// Whether there is no vertex.
    pub fn is_empty(&self) -> bool {
        self.neighbours.is_empty()
    }

    /// The neighbours of `v`, ascending.
    pub fn neighbours(&self, v: usize) -> impl Iterator<Item = usize> {
        self.neighbours[v].iter().copied()
    }

    /// How many neighbours `v` has.
    pub fn degree(&self, v: usize) -> usize {
        self.neighbours[v].len()
    }

    /// Every edge once, as (lower, higher), ascending.
    pub fn edges(&self) -> impl Iterator<Item = (usize, usize)> {
        self.neighbours.iter().enumerate().flat_map(|(a, all)| all.range(a + 1..).map(move |&b| (a, b)))
    }

    /// Links on the shortest way from `from` to each vertex; `None` where there is no way.
    pub fn distances(&self, from: usize) -> Vec<Option<usize>> {
        let mut distances = vec![None; self.len()];
        distances[from] = Some(0);
        let mut queue = VecDeque::from([(from, 0)]);
        while let Some((v, distance)) = queue.pop_front() {
            for next in self.neighbours(v) {
                if distances[next].is_none() {
                    distances[next] = Some(distance + 1);
                    queue.push_back((next, distance + 1));
                }
            }
        }
        distances
    }

    /// The distance to the vertex farthest from `from`; `None` if some cannot be reached.
    pub fn eccentricity(&self, from: usize) -> Option<usize> {
        self.distances(from).into_iter().try_fold(0, |farthest, distance| Some(farthest.max(distance?)))
    }

    /// How many vertices lie within `radius` links of `from`, itself included.
    pub fn within(&self, from: usize, radius: usize) -> usize {
        self.distances(from).into_iter().flatten().filter(|&distance| distance <= radius).count()
    }

    /// How many of `vertices` lie in the part that holds the most of them.
    pub fn largest_part(&self, vertices: &[usize]) -> usize {
        let (mut largest, mut left) = (0, BTreeSet::from_iter(vertices.iter().copied()));
        while let Some(&first) = left.first() {
            let distances = self.distances(first);
            let before = left.len();
            left.retain(|&vertex| distances[vertex].is_none());
            largest = largest.max(before - left.len());
        }
        largest
    }

    /// Whether every vertex can be reached from every other.
    pub fn is_connected(&self) -> bool {
        self.is_empty() || self.eccentricity(0).is_some()
    }
}

/// Servents of a world, at most: their addresses are cut from 10/8, and a million take some ten GB.
pub(super) const MOST_SERVENTS: usize = 1_000_000;

/// Pairings that are tried before we give up.
const ATTEMPTS: usize = 100;

/// Switches that are tried for one bad pair before the whole pairing is thrown away.
const SWITCHES: usize = 1000;

fn pair_stubs(nodes: usize, degree: usize, rng: &mut Rng) -> Option<Graph> {
    let mut stubs: Vec<usize> = (0..nodes).flat_map(|v| std::iter::repeat_n(v, degree)).collect();
    rng.shuffle(&mut stubs);
    let mut graph = Graph::empty(nodes);
    let (mut edges, mut bad) = (Vec::with_capacity(stubs.len() / 2), Vec::new());
    for pair in stubs.chunks_exact(2) {
        let (a, b) = (pair[0], pair[1]);
        match graph.link(a, b) {
            true => edges.push((a, b)),
            false => bad.push((a, b)),
        }
    }
    if edges.is_empty() && !bad.is_empty() {
        return None;
    }
    for (a, b) in bad {
        // a-b cannot be: take an edge c-d out and put a-c and b-d in.
        let place = (0..SWITCHES).find_map(|_| {
            let place = rng.below(edges.len());
            let (c, d) = match rng.below(2) {
                0 => edges[place],
                _ => (edges[place].1, edges[place].0),
            };
            let fits = a != c && b != d && !graph.has_edge(a, c) && !graph.has_edge(b, d);
            // The two new edges are the same one when a = d and b = c, or when a = b and c = d.
            (fits && (a, c) != (b, d) && (a, c) != (d, b)).then_some((place, c, d))
        });
        let (place, c, d) = place?;
        graph.unlink(c, d);
        graph.link(a, c);
        graph.link(b, d);
        edges[place] = (a, c);
        edges.push((b, d));
    }
    Some(graph)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, prop_assert_eq, prop_assume, proptest};

    use super::*;

    proptest! {
        #[test]
        fn a_random_regular_graph_is_simple_regular_and_connected(
            nodes in 4usize..120, degree in 2usize..9, seed in any::<u64>(),
        ) {
            prop_assume!(degree < nodes && (nodes * degree).is_multiple_of(2));
            let graph = Graph::random_regular(nodes, degree, &mut Rng::from_number(seed)).expect("it exists");
            for v in 0..nodes {
                prop_assert_eq!(graph.degree(v), degree);
                prop_assert!(!graph.has_edge(v, v));
                for w in graph.neighbours(v) {
                    prop_assert!(graph.has_edge(w, v));
                }
            }
            prop_assert_eq!(graph.edges().count(), nodes * degree / 2);
            prop_assert!(graph.is_connected());
        }
    }

    #[test]
    fn the_same_seed_draws_the_same_graph_and_another_seed_another() {
        let draw = |seed| Graph::random_regular(50, 4, &mut Rng::from_number(seed)).expect("it exists");
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_rule_that_it_breaks() {
        let refuse = |nodes, degree| {
            Graph::random_regular(nodes, degree, &mut Rng::from_number(1)).expect_err("it cannot be").to_string()
        };
        assert_eq!(
            refuse(5, 3),
            "no graph of 5 servents with 3 neighbours each: servents times neighbours must be even"
        );
        assert!(refuse(4, 4).contains("fewer possible neighbours"));
        assert!(refuse(MOST_SERVENTS + 2, 4).contains("a million servents at most"));
        assert!(refuse(6, 1).contains("connects nothing"));
    }

    #[test]
    fn distances_are_counted_in_links() {
        let line = Graph::line(5);
        assert_eq!(line.distances(1), [Some(1), Some(0), Some(1), Some(2), Some(3)]);
        assert_eq!((line.eccentricity(0), line.eccentricity(2)), (Some(4), Some(2)));
        assert_eq!((line.within(0, 0), line.within(0, 2)), (1, 3));
        assert_eq!(Graph::ring(7).eccentricity(3), Some(3));
        assert_eq!(Graph::full(9).eccentricity(8), Some(1));
        assert_eq!(Graph::empty(2).eccentricity(0), None);
        assert_eq!(Graph::from_edges(5, [(0, 1), (1, 2), (3, 4)]).largest_part(&[0, 2, 3]), 2);
    }

    #[test]
    fn chords_shorten_a_ring() {
        let chords = Graph::ring_with_chords(6, 3);
        assert!((0..6).all(|v| chords.degree(v) == 3));
        assert_eq!((Graph::ring(6).eccentricity(0), chords.eccentricity(0)), (Some(3), Some(2)));
    }
}
