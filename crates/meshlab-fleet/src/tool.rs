//! A program that runs to its end and says something: no node, a tool beside one.

use std::{ffi::OsStr, path::Path, process::Stdio, time::Duration};

use meshlab_model::format_duration;

/// Longest output that is kept for an error, in bytes.
const SAID_BYTES_MAX: usize = 2000;

/// Why a tool did not do its work. Completes "failed to ...".
#[derive(Debug, thiserror::Error)]
#[error("run {} {first}: {why}", .program.display())]
pub struct ToolError {
    /// The program.
    program: std::path::PathBuf,
    /// Its first argument.
    first: String,
    /// What went wrong.
    why: String,
}

/// Runs `program` to its end and returns what it printed, without the last newline.
///
/// # Errors
/// It cannot be run, does not end in time, or ends with another code than 0; what it said on its
/// way out is part of the error.
pub async fn run_tool<S: AsRef<OsStr>>(
    program: &Path,
    arguments: &[S],
    within: Duration,
) -> Result<String, ToolError> {
    let first = arguments.first().map(|first| first.as_ref().to_string_lossy().into_owned());
    let failed = |why: String| ToolError {
        program: program.to_owned(),
        first: first.clone().unwrap_or_default(),
        why,
    };
    let mut command = tokio::process::Command::new(program);
    command.args(arguments).env_clear().stdin(Stdio::null()).kill_on_drop(true);
    let ended = tokio::time::timeout(within, command.output()).await;
    let output = ended
        .map_err(|_| failed(format!("it did not end within {}", format_duration(within))))?
        .map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        let said = &output.stderr[..output.stderr.len().min(SAID_BYTES_MAX)];
        let said = String::from_utf8_lossy(said);
        return Err(failed(format!("{}: {}", output.status, said.trim())));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_a_tool_says_comes_back_and_its_failure_says_why() {
        let sh = Path::new("/bin/sh");
        let within = Duration::from_secs(10);
        assert_eq!(run_tool(sh, &["-c", "echo yes"], within).await.unwrap(), "yes");
        let error = run_tool(sh, &["-c", "echo because >&2; exit 3"], within).await.unwrap_err();
        assert!(error.to_string().contains("exit status: 3: because"), "{error}");
        let soon = Duration::from_millis(50);
        let error = run_tool(sh, &["-c", "exec sleep 600"], soon).await.unwrap_err();
        assert!(error.to_string().contains("did not end within 50.0 ms"), "{error}");
        let error = run_tool(Path::new("/nowhere"), &["x"], within).await.unwrap_err();
        assert!(error.to_string().starts_with("run /nowhere x: "), "{error}");
    }
}
