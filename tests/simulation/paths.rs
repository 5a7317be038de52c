//! Which nodes could hear of each other, when: the truth about the network that excuses are judged by.

use crate::scenario::Ms;

/// So long after a change of the network two nodes need not have found each other yet.
pub const MARGIN: Ms = 1_000;

pub type Nodes = u32;

/// The course of the network.
#[derive(Debug, Default)]
pub struct Paths {
    /// From each moment on: for each node those that it can talk with, over others too; nobody while it does not run.
    epochs: Vec<(Ms, Vec<Nodes>)>,
}

impl Paths {
    /// `talks(a, b)`: both directions between these running nodes are open.
    pub fn change(&mut self, at: Ms, running: &[bool], talks: impl Fn(usize, usize) -> bool) {
        let count = running.len();
        let mut reach: Vec<Nodes> = (0..count).map(|i| if running[i] { 1 << i } else { 0 }).collect();
        for _ in 0..count {
            for a in 0..count {
                for b in 0..count {
                    if a != b && running[a] && running[b] && talks(a, b) {
                        reach[a] |= reach[b];
                        reach[b] |= reach[a];
                    }
                }
            }
        }
        if self.epochs.last().is_none_or(|(_, last)| *last != reach) {
            self.epochs.push((at, reach));
        }
    }

    fn within(&self, from: Ms, to: Ms) -> impl Iterator<Item = (Ms, Ms, &[Nodes])> {
        let ends = self.epochs.iter().skip(1).map(|(at, _)| *at).chain([Ms::MAX]);
        self.epochs
            .iter()
            .zip(ends)
            .map(move |((begin, reach), end)| ((*begin).max(from), end.min(to), reach.as_slice()))
            .filter(move |(begin, end, _)| begin <= end)
    }

    /// Nodes that had a path to `node` during the whole `[at - MARGIN, at]`.
    pub fn in_reach(&self, node: usize, at: Ms) -> Nodes {
        self.within(at.saturating_sub(MARGIN), at).fold(Nodes::MAX, |all, (_, _, reach)| all & reach[node])
    }

    /// Who may know at `to` what these knew at `from`: a path that stands for [`MARGIN`] carries it.
    pub fn spread(&self, mut knowing: Nodes, from: Ms, to: Ms) -> Nodes {
        let count = self.epochs.first().map_or(0, |(_, reach)| reach.len());
        // A path between two nodes may outlast changes elsewhere: measured for each pair.
        let mut since = vec![vec![None::<Ms>; count]; count];
        for (begin, end, reach) in self.within(from.saturating_sub(MARGIN), to) {
            for (a, row) in since.iter_mut().enumerate() {
                for (b, since) in row.iter_mut().enumerate() {
                    *since = if reach[a] & (1 << b) != 0 { Some(since.unwrap_or(begin)) } else { None };
                }
            }
            if end < from {
                continue;
            }
            let stands = |a: usize, b: usize| since[a][b].is_some_and(|since| end.saturating_sub(since) >= MARGIN);
            for _ in 0..count {
                for a in (0..count).filter(|a| knowing & (1 << a) != 0).collect::<Vec<_>>() {
                    for b in (0..count).filter(|b| stands(a, *b)) {
                        knowing |= 1 << b;
                    }
                }
            }
        }
        knowing
    }

    /// Moments at which nodes found each other again, before `to` and not before `from`.
    pub fn heals(&self, from: Ms, to: Ms) -> Vec<Ms> {
        let grew = |pair: &&[(Ms, Vec<Nodes>)]| {
            let (before, after) = (&pair[0].1, &pair[1].1);
            // Both ran before: a node that starts is no heal.
            let found = |a: usize, b: usize| before[a] != 0 && before[b] != 0 && after[a] & !before[a] & (1 << b) != 0;
            (0..before.len()).any(|a| (0..before.len()).any(|b| found(a, b)))
        };
        self.epochs.windows(2).filter(grew).map(|pair| pair[1].0).filter(|at| (from..to).contains(at)).collect()
    }
}
