//! `meshlab bisect`: the commit with which a scenario became red, however rarely it is.
//!
//! Each commit that is looked at is run until a sequential test knows whether it is red as often as
//! a bad one. A commit that cannot be built or decided is passed by, as with `git bisect skip`.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use meshlab_model::ExitCode;
use meshlab_stats::{Decision, SequentialTest};

use crate::{
    ab::SeriesArguments,
    cli::share,
    revisions::{BuildArguments, Builder},
    run,
};

/// How often a good commit may be called bad, and a bad one good.
const ERRORS: f64 = 0.05;

#[derive(Debug, Args)]
pub(crate) struct BisectArguments {
    /// The scenario, a Lua file
    #[arg(value_name = "SCENARIO")]
    scenario: PathBuf,
    /// A revision with which it is green
    #[arg(long, value_name = "REV")]
    good: String,
    /// A later one with which it is red
    #[arg(long, value_name = "REV")]
    bad: String,
    #[command(flatten)]
    build: BuildArguments,
    /// Most runs of one commit; what is not decided then is passed by
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    times: u32,
    /// A share of red runs that is good, in percent
    #[arg(long, value_name = "PERCENT", value_parser = share, default_value = "5%")]
    good_below: f64,
    /// A share of red runs that is bad, in percent
    #[arg(long, value_name = "PERCENT", value_parser = share, default_value = "60%")]
    bad_above: f64,
    #[command(flatten)]
    run: SeriesArguments,
}

/// What a commit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Is {
    Good,
    Bad,
    /// It cannot be built, or its runs do not decide.
    Undecided,
}

pub(crate) fn bisect(arguments: &BisectArguments) -> Result<ExitCode> {
    let Some(test) = SequentialTest::new(arguments.good_below, arguments.bad_above, ERRORS, ERRORS)
    else {
        eprintln!("error: `--good-below` is less than `--bad-above`: between them it is open");
        return Ok(ExitCode::Usage);
    };
    let builder = Builder::new(&arguments.build)?;
    let (good, bad) = (builder.commit(&arguments.good)?, builder.commit(&arguments.bad)?);
    let mut commits = vec![good.clone()];
    commits.extend(builder.between(&good, &bad)?);
    if commits.len() < 2 {
        bail!("{} and {} are the same commit", arguments.good, arguments.bad);
    }
    let mut search = Search::new(commits.len());
    let seed = arguments.run.first_seed()?;
    // That the ends are what they are said to be is looked at too: a search between two green
    // commits finds one all the same.
    for (place, wanted) in [(0, Is::Good), (commits.len() - 1, Is::Bad)] {
        let is = look(arguments, &builder, &commits[place], test, seed)?;
        println!("\n{}: {is:?}", builder.title(&commits[place]));
        if is != wanted {
            eprintln!(
                "error: {} should be {wanted:?} and is {is:?}, so there is nothing to look for",
                builder.title(&commits[place])
            );
            return Ok(ExitCode::Inconclusive);
        }
    }
    while let Some(place) = search.next() {
        let is = look(arguments, &builder, &commits[place], test, seed)?;
        println!("\n{}: {is:?}; {} left", builder.title(&commits[place]), search.left());
        search.found(place, is);
    }
    let (last_good, first_bad) = search.bounds();
    if last_good + 1 == first_bad {
        println!("\nfirst bad commit: {}", builder.title(&commits[first_bad]));
        return Ok(ExitCode::Passed);
    }
    println!("\nundecided: it became bad with one of these");
    for commit in &commits[last_good + 1..=first_bad] {
        println!("  {}", builder.title(commit));
    }
    Ok(ExitCode::Inconclusive)
}

/// Runs a commit until it is known what it is.
fn look(
    arguments: &BisectArguments,
    builder: &Builder,
    commit: &str,
    mut test: SequentialTest,
    seed: u64,
) -> Result<Is> {
    let program = match builder.build(commit) {
        Ok(program) => program,
        Err(error) => {
            eprintln!("passed by: {error:#}");
            return Ok(Is::Undecided);
        }
    };
    for number in 0..arguments.times {
        println!("\n{}, run {} of at most {}", builder.title(commit), number + 1, arguments.times);
        // The same seeds for all commits.
        let one = arguments.run.with(&arguments.scenario, &program, seed + u64::from(number));
        let (code, _) = run::execute(&arguments.scenario, &one, run::Settled::default())
            .with_context(|| format!("failed to run {commit}"))?;
        let red = match code {
            ExitCode::Passed => false,
            ExitCode::ClaimFailed => true,
            // It says nothing of the commit.
            ExitCode::Inconclusive => continue,
            ExitCode::HarnessFailed => return Ok(Is::Undecided),
            ExitCode::Usage | ExitCode::ScriptError | ExitCode::Interrupted => {
                bail!("it ended with exit code {}, so no commit is looked at", code as i32)
            }
        };
        match test.observe(red) {
            Decision::Low => return Ok(Is::Good),
            Decision::High => return Ok(Is::Bad),
            Decision::Undecided => {}
        }
    }
    Ok(Is::Undecided)
}

/// The search, by places: the first is good, the last bad.
#[derive(Debug)]
struct Search {
    good: usize,
    bad: usize,
    undecided: Vec<usize>,
}

impl Search {
    fn new(commits: usize) -> Self {
        Self { good: 0, bad: commits.saturating_sub(1), undecided: Vec::new() }
    }

    /// The last good place and the first bad one, as far as is known.
    fn bounds(&self) -> (usize, usize) {
        (self.good, self.bad)
    }

    /// Places between them that can still be looked at.
    fn left(&self) -> usize {
        let between = self.good + 1..self.bad;
        between.filter(|place| !self.undecided.contains(place)).count()
    }

    /// The place that halves what is left; of those, the nearest to the middle.
    fn next(&self) -> Option<usize> {
        let middle = usize::midpoint(self.good, self.bad);
        let open = (self.good + 1..self.bad).filter(|place| !self.undecided.contains(place));
        open.min_by_key(|place| place.abs_diff(middle))
    }

    fn found(&mut self, place: usize, is: Is) {
        match is {
            Is::Good => self.good = self.good.max(place),
            Is::Bad => self.bad = self.bad.min(place),
            Is::Undecided => self.undecided.push(place),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches commits of which those from `first` on are bad and these cannot be decided.
    fn search(commits: usize, first: usize, undecided: &[usize]) -> ((usize, usize), usize) {
        let mut search = Search::new(commits);
        let mut steps = 0;
        while let Some(place) = search.next() {
            steps += 1;
            search.found(
                place,
                match place {
                    place if undecided.contains(&place) => Is::Undecided,
                    place if place >= first => Is::Bad,
                    _ => Is::Good,
                },
            );
        }
        (search.bounds(), steps)
    }

    #[test]
    fn the_first_bad_commit_is_found_in_as_many_steps_as_halving_takes() {
        for first in 1..100 {
            let ((good, bad), steps) = search(100, first, &[]);
            assert_eq!((good + 1, bad), (first, first));
            assert!(steps <= 7, "{first}: {steps}");
        }
        assert_eq!(search(2, 1, &[]), ((0, 1), 0));
    }

    #[test]
    fn what_cannot_be_decided_is_passed_by_and_may_leave_it_open() {
        let ((good, bad), _) = search(10, 6, &[4]);
        assert_eq!((good, bad), (5, 6), "one beside it decides");
        let ((good, bad), _) = search(10, 6, &[5, 6]);
        assert_eq!((good, bad), (4, 7), "one of three");
    }
}
