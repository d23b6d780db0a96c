//! Ctrl-C and its relatives: the first stops the run in good order, the second at once.

use meshlab_engine::Engine;
use meshlab_model::{EndReason, ExitCode};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Ends the process without a word where the reader of its output goes away, as `| head` does. Only
/// for commands that keep no nodes and write no record.
pub(crate) fn end_with_the_reader() {
    // SAFETY: no other thread is there yet, and the default action is no handler of ours.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}

/// Stops the run at the first signal, or ends what it keeps; ends the process at the second. Nodes
/// die with it either way: the kernel sees to that.
pub(crate) async fn watch(engine: Engine) {
    let Ok((mut int, mut term, mut hup)) = listen() else {
        // Without a handler the signals have their default effect, which is to end the process.
        return;
    };
    let mut asked = false;
    loop {
        let name = tokio::select! {
            _ = int.recv() => "SIGINT",
            _ = term.recv() => "SIGTERM",
            _ = hup.recv() => "SIGHUP",
        };
        if asked {
            std::process::exit(ExitCode::Interrupted as i32);
        }
        asked = true;
        if engine.release(name) {
            eprintln!("\n{name}: ending the nodes that were kept; once more ends at once");
            continue;
        }
        eprintln!("\n{name}: stopping the nodes and closing the record; once more ends at once");
        engine.stop(EndReason::Interrupted { signal: name.to_owned() });
    }
}

fn listen() -> std::io::Result<(Signal, Signal, Signal)> {
    Ok((
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
        signal(SignalKind::hangup())?,
    ))
}
