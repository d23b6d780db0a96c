//! `meshlab`: the command line. Each command has a file of its own; this one is the table of
//! contents. How anything works is the business of the crates below.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is the door to the terminal")]

mod ab;
mod again;
mod attach;
mod bench;
mod bisect;
mod check;
mod clean;
mod cli;
mod compare;
mod doctor;
mod export;
mod finished;
mod gate;
mod help;
mod history;
mod list;
mod probe;
mod profile;
mod programs;
mod query;
mod repeat;
mod replay;
mod report;
mod repository;
mod resume;
mod revisions;
mod run;
mod selftest;
mod sets;
mod signals;
mod start;
mod ui;
mod watch;

use std::process;

use clap::Parser;
use meshlab_model::ExitCode;

use crate::cli::{Cli, Command};

fn main() {
    // First, while there is no other thread: without root, namespaces need a user namespace.
    let privilege = meshlab_lab::enter_user_namespace();
    // A wrong command line ends in here, with exit code 2.
    let cli = Cli::parse();
    #[cfg(feature = "mutants")]
    if let Err(wrong) = meshlab_mutants::chosen() {
        eprintln!("error: {wrong}");
        process::exit(ExitCode::Usage as i32);
    }
    if cli.command.only_prints() {
        signals::end_with_the_reader();
    }
    let code = match cli.command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Attach(arguments) => attach::attach(&arguments),
        Command::Check(arguments) => check::check(&arguments),
        Command::List(arguments) => list::list(&arguments),
        Command::New(arguments) => start::new(&arguments),
        Command::Init(arguments) => start::init(&arguments),
        Command::Report(arguments) => report::report(&arguments),
        Command::Query(arguments) => query::query(&arguments),
        Command::Spans(arguments) => query::spans(&arguments),
        Command::Logs(arguments) => query::logs(&arguments),
        Command::Ui(arguments) => ui::ui(&arguments),
        Command::Export(arguments) => export::export(&arguments),
        Command::Replay(arguments) => replay::replay(&arguments),
        Command::Probe(arguments) => probe::probe(&arguments),
        Command::Profile(arguments) => profile::profile(&arguments),
        Command::Gate(arguments) => gate::gate_run(&arguments),
        Command::Baseline(arguments) => gate::baseline(&arguments),
        Command::Compare(arguments) => compare::compare_runs(&arguments),
        Command::Ab(arguments) => ab::ab(&arguments),
        Command::History(arguments) => history::history(&arguments),
        Command::Bisect(arguments) => bisect::bisect(&arguments),
        Command::Bench(arguments) => bench::bench(&arguments),
        Command::Selftest(arguments) => selftest::selftest(&arguments),
        Command::Doctor(arguments) => doctor::doctor(&arguments, &privilege),
        Command::Clean(arguments) => clean::clean(&arguments),
        Command::Help(arguments) => help::help(&arguments),
    };
    match code {
        Ok(code) => process::exit(code as i32),
        Err(error) => {
            eprintln!("error: {error:#}");
            process::exit(ExitCode::HarnessFailed as i32);
        }
    }
}
