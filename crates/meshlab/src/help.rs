//! `meshlab help`: what a function of the language does, or a command.

use anyhow::Result;
use clap::CommandFactory;
use meshlab_model::ExitCode;

use crate::cli::{Cli, HelpArguments};

pub(crate) fn help(arguments: &HelpArguments) -> Result<ExitCode> {
    match told(arguments.name.as_deref()) {
        Ok(text) => {
            println!("{text}");
            Ok(ExitCode::Passed)
        }
        Err(why) => {
            eprintln!("error: {why}\nhelp: `meshlab help` lists all there is");
            Ok(ExitCode::Usage)
        }
    }
}

/// What there is under a name, in the language or among the commands; both where both have it.
fn told(name: Option<&str>) -> Result<String, String> {
    let mut cli = Cli::command();
    cli.build();
    let Some(name) = name else {
        let language = meshlab_script::help(None, &[])?;
        return Ok(format!("{}\n{language}", cli.render_help()));
    };
    let command = cli.find_subcommand_mut(name).map(|command| command.render_long_help());
    let commands: Vec<&str> = cli.get_subcommands().map(|command| command.get_name()).collect();
    let language = meshlab_script::help(Some(name), &commands);
    match (command, language) {
        (Some(command), Ok(language)) => {
            Ok(format!("{command}\nin the language of scenarios\n\n{language}"))
        }
        (Some(command), Err(_)) => Ok(command.to_string().trim_end().to_owned()),
        (None, language) => language,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_told_whatever_it_is_of() {
        let names = ["expect.spans", "check.formed", "fault.slow_link", "node:drain", "swarm:pick"];
        let more = ["fault", "mesh", "traffic.bi_streams", "Met", "Duration"];
        let all: Vec<String> = names
            .iter()
            .chain(&more)
            .map(|name| format!("$ meshlab help {name}\n{}\n", told(Some(name)).expect("help")))
            .collect();
        insta::assert_snapshot!(all.join("\n"));
        let run = told(Some("run")).expect("help");
        assert!(run.contains("Usage: meshlab run [OPTIONS] [SCENARIO]..."), "{run}");
    }

    #[test]
    fn without_a_name_all_there_is_is_listed() {
        let text = told(None).expect("help");
        assert!(text.contains("Commands:\n  run "), "{text}");
        let (_, language) = text.split_once("the language of scenarios").expect("the language");
        insta::assert_snapshot!(language);
    }

    #[test]
    fn a_name_of_both_is_told_of_both() {
        let text = told(Some("check")).expect("help");
        assert!(text.contains("Usage: meshlab check"), "{text}");
        assert!(text.contains("check.formed"), "{text}");
    }

    #[test]
    fn what_was_meant_is_said() {
        let told = ["expect.spnas", "fault.wedge", "node:drian", "rnu", "colour"]
            .map(|name| told(Some(name)).expect_err("unknown"));
        assert_eq!(
            told,
            [
                "the language has no `expect.spnas`, did you mean `expect.spans`?",
                "the language has no `fault.wedge`, did you mean `fault.wedge_node`?",
                "the language has no `node:drian`, did you mean `node:drain`?",
                "the language has no `rnu`, did you mean `run`?",
                "the language has no `colour`",
            ]
        );
    }
}
