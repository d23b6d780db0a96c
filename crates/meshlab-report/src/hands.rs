//! What somebody did by hand, counted: while tests ran, and after them.

use meshlab_model::RunTime;

use crate::view::RunView;

/// How often somebody acted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Hands {
    /// While the tests ran: a run with such acts cannot pass.
    pub(crate) during: usize,
    /// On the mesh that was kept after them, which decides nothing.
    pub(crate) after: usize,
}

impl Hands {
    /// What there was; `None` if nobody acted.
    pub(crate) fn of(view: &RunView) -> Option<Self> {
        let later = |at: RunTime| view.kept.is_some_and(|kept| at >= kept);
        let after = view.by_hand.iter().filter(|(at, ..)| later(*at)).count();
        let during = view.by_hand.len() - after;
        (during + after > 0).then_some(Self { during, after })
    }

    /// In a line.
    pub(crate) fn line(self) -> String {
        let acts = |count: usize| match count {
            1 => "1 act".to_owned(),
            count => format!("{count} acts"),
        };
        let during = format!("{} while tests ran, so this run cannot pass", acts(self.during));
        let after = format!("{} after the tests, which decide nothing", acts(self.after));
        match (self.during, self.after) {
            (_, 0) => during,
            (0, _) => after,
            _ => format!("{during}; {after}"),
        }
    }
}

impl RunView {
    /// How often somebody acted by hand, and what that means, in a line; `None` if nobody did.
    pub fn hands_line(&self) -> Option<String> {
        Hands::of(self).map(Hands::line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acts_are_told_with_what_they_mean() {
        let line = |during, after| Hands { during, after }.line();
        assert_eq!(line(1, 0), "1 act while tests ran, so this run cannot pass");
        assert_eq!(line(0, 2), "2 acts after the tests, which decide nothing");
        assert!(line(2, 1).contains("2 acts while") && line(2, 1).contains("; 1 act after"));
    }
}
