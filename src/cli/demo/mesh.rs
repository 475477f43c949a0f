//! A random mesh: a ring through everybody in random order, and chords across it.

use std::collections::{BTreeSet, VecDeque};

use crate::base::Rng;

/// Who is linked to whom. Servents are numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mesh {
    /// How many servents.
    pub nodes: usize,
    /// Links, the smaller number first, in order.
    pub links: BTreeSet<(usize, usize)>,
    /// The ring, which is how the mesh is drawn.
    pub ring: Vec<usize>,
}

impl Mesh {
    /// `nodes` servents in a ring with half as many chords.
    pub fn random(nodes: usize, rng: &mut Rng) -> Self {
        let mut order: Vec<usize> = (0..nodes).collect();
        rng.shuffle(&mut order);
        let ring = (0..nodes).map(|i| sorted(order[i], order[(i + 1) % nodes]));
        let mut links: BTreeSet<(usize, usize)> = ring.collect();
        let wanted = links.len() + nodes / 2;
        // Chords that exist already are drawn again; a small mesh may have room for fewer.
        for _ in 0..nodes * nodes {
            if links.len() >= wanted {
                break;
            }
            let (a, b) = (rng.below(nodes), rng.below(nodes));
            if a != b {
                links.insert(sorted(a, b));
            }
        }
        Self { nodes, links, ring: order }
    }

    /// Those linked to `node`.
    pub fn neighbours(&self, node: usize) -> impl Iterator<Item = usize> + '_ {
        self.links.iter().filter_map(move |&(a, b)| match node {
            n if n == a => Some(b),
            n if n == b => Some(a),
            _ => None,
        })
    }

    /// Links to everybody from `node`.
    pub fn distances(&self, node: usize) -> Vec<usize> {
        let mut distances = vec![usize::MAX; self.nodes];
        distances[node] = 0;
        let mut queue = VecDeque::from([node]);
        while let Some(here) = queue.pop_front() {
            for next in self.neighbours(here) {
                if distances[next] == usize::MAX {
                    distances[next] = distances[here] + 1;
                    queue.push_back(next);
                }
            }
        }
        distances
    }

    /// Whoever is farthest from `node`, at most `reach` links away.
    pub fn farthest(&self, node: usize, reach: usize) -> usize {
        let distances = self.distances(node);
        let within = (0..self.nodes).filter(|&other| distances[other] <= reach);
        within.max_by_key(|&other| (distances[other], std::cmp::Reverse(other))).unwrap_or(node)
    }
}

fn sorted(a: usize, b: usize) -> (usize, usize) {
    (a.min(b), a.max(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mesh_is_connected_and_a_function_of_its_seed() {
        for seed in 0..50 {
            for nodes in 3..25 {
                let mesh = Mesh::random(nodes, &mut Rng::from_number(seed));
                assert_eq!(mesh, Mesh::random(nodes, &mut Rng::from_number(seed)));
                assert!(mesh.distances(0).iter().all(|&d| d < nodes), "{mesh:?}");
                assert!((0..nodes).all(|node| mesh.neighbours(node).count() >= 2), "{mesh:?}");
            }
        }
    }

    #[test]
    fn the_farthest_is_within_reach() {
        let line =
            Mesh { nodes: 5, links: BTreeSet::from([(0, 1), (1, 2), (2, 3), (3, 4)]), ring: vec![0, 1, 2, 3, 4] };
        assert_eq!(line.distances(1), [1, 0, 1, 2, 3]);
        assert_eq!((line.farthest(0, 9), line.farthest(0, 3), line.farthest(4, 2)), (4, 3, 2));
    }
}
