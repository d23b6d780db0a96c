//! `meshlab check`: scenarios rehearsed without a node; and the same before each run.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use meshlab_model::{ExitCode, format_duration};
use meshlab_script::{Overrides, Rehearsed, Script};

use crate::{cli::CheckArguments, run::color};

pub(crate) fn check(arguments: &CheckArguments) -> Result<ExitCode> {
    let files = scenarios(&arguments.scenarios)?;
    let (mut wrong, mut warned) = (0, 0);
    let began = Instant::now();
    for file in &files {
        let began = Instant::now();
        let rehearsed = rehearse(file, Overrides::default());
        if arguments.time {
            println!("{:>9}  {}", format_duration(began.elapsed()), file.display());
        }
        tell(&rehearsed);
        wrong += usize::from(!rehearsed.errors.is_empty());
        warned += rehearsed.warnings.len();
    }
    println!("{}", summary(files.len(), wrong, warned, arguments.time.then(|| began.elapsed())));
    Ok(if wrong > 0 { ExitCode::ScriptError } else { ExitCode::Passed })
}

/// Rehearses a scenario; one that cannot even be loaded is one that is wrong.
pub(crate) fn rehearse(file: &Path, overrides: Overrides) -> Rehearsed {
    match Script::load_with(file, overrides) {
        Ok(script) => script.rehearse(),
        Err(error) => Rehearsed { errors: vec![*error], ..Rehearsed::default() },
    }
}

/// Says what is wrong and what may be; nothing where there is nothing.
pub(crate) fn tell(rehearsed: &Rehearsed) {
    let color = color(&std::io::stderr());
    for error in &rehearsed.errors {
        eprintln!("{}\n", error.render(color));
    }
    for warning in &rehearsed.warnings {
        eprintln!("{}\n", warning.render_warning(color));
    }
}

fn summary(files: usize, wrong: usize, warnings: usize, took: Option<Duration>) -> String {
    let count = |number: usize, what: &str| {
        format!("{number} {what}{}", if number == 1 { "" } else { "s" })
    };
    let right = match wrong {
        0 => format!("{}, nothing wrong", count(files, "scenario")),
        _ => format!("{}, {wrong} wrong", count(files, "scenario")),
    };
    let warnings = match warnings {
        0 => String::new(),
        _ => format!(", {}", count(warnings, "warning")),
    };
    let took = took.map(|took| format!(", in {}", format_duration(took))).unwrap_or_default();
    format!("{right}{warnings}{took}")
}

/// The scenarios that are named: files as they are, folders with all that is in them.
pub(crate) fn scenarios(named: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in named {
        if path.is_dir() {
            let before = files.len();
            collect(path, &mut files)?;
            if files.len() == before {
                bail!(
                    "{}: no scenario in it, that is a file whose name ends in .lua",
                    path.display()
                );
            }
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}

/// Every Lua file in a folder and below, by name, so that two runs say the same in one order.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("failed to list {}", folder.display()))?;
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry.with_context(|| format!("failed to list {}", folder.display()))?.path());
    }
    paths.sort();
    for path in paths {
        // A link that leads back up would be followed for ever.
        if path.is_dir() && !path.is_symlink() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "lua") && !is_library(&path)
        {
            files.push(path);
        }
    }
    Ok(())
}

/// The language for editors, which `meshlab init` writes beside scenarios, is none.
fn is_library(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "meshlab.lua")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_counts_what_it_says() {
        let second = Some(Duration::from_millis(1500));
        let all = [summary(1, 0, 0, None), summary(35, 0, 2, second), summary(3, 2, 1, None)];
        assert_eq!(
            all,
            [
                "1 scenario, nothing wrong",
                "35 scenarios, nothing wrong, 2 warnings, in 1.50 s",
                "3 scenarios, 2 wrong, 1 warning",
            ]
        );
    }

    #[test]
    fn a_folder_is_all_that_is_in_it_in_order() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["b.lua", "a/c.lua", "a.txt", "meshlab.lua", "empty/x"] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, "").expect("a file");
        }
        let root = folder.path().to_owned();
        let found = scenarios(&[root.clone(), root.join("nowhere.lua")]).expect("a list");
        let names = ["a/c.lua", "b.lua", "nowhere.lua"].map(|name| root.join(name));
        assert_eq!(found, names);
        assert!(scenarios(&[root.join("empty")]).is_err(), "nothing checked is nothing right");
    }
}
