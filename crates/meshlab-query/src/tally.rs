//! Rows of which only names and nodes are asked: out of the indexes, no record is read for them.

use std::vec::IntoIter;

use meshlab_results::{Counts, Filter};

/// So many rows with the same name and node, one pair after the other.
pub(crate) struct Tally {
    pairs: IntoIter<(String, String, u64)>,
    /// The pair of the row, and how many of it are left.
    row: Option<(String, String)>,
    left: u64,
}

impl Tally {
    /// Those that the filter wants; what it says of time is not looked at.
    pub(crate) fn of(counts: Counts, filter: &Filter) -> Self {
        let wanted = |wanted: &Option<String>, own: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == own)
        };
        let mut pairs = Vec::new();
        for (name, nodes) in counts.into_iter().filter(|(name, _)| wanted(&filter.name, name)) {
            let nodes = nodes.into_iter().filter(|(node, _)| wanted(&filter.node, node));
            pairs.extend(nodes.map(|(node, records)| (name.clone(), node, records)));
        }
        Self { pairs: pairs.into_iter(), row: None, left: 0 }
    }

    /// Goes to the next row; false after the last one.
    pub(crate) fn advance(&mut self) -> bool {
        while self.left == 0 {
            let Some((name, node, records)) = self.pairs.next() else {
                self.row = None;
                return false;
            };
            (self.row, self.left) = (Some((name, node)), records);
        }
        self.left -= 1;
        true
    }

    /// Name and node of the row.
    pub(crate) fn row(&self) -> Option<(&str, &str)> {
        self.row.as_ref().map(|(name, node)| (name.as_str(), node.as_str()))
    }
}
