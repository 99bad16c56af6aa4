//! `synrepl replay`: runs recorded traces through the core. Files enter; a result for each leaves
//! on stdout, and the highest of their exit codes.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, IsTerminal as _, Read as _, Write},
    path::Path,
    process::ExitCode,
};

use synrepl_core::{
    Action, Printable,
    trace::{Difference, End, Replay, ReplayError, Replayer},
};

use super::{
    exit::{FAILED, OK, USAGE},
    flags::{Format, ReplayFlags},
    json::Object,
};

/// Longest line that is read, in bytes: a catch-up page and what JSON adds to it.
const LINE_BYTES_MAX: u64 = 256 << 20;
/// Longest piece of an action that is shown, in characters.
const ACTION_CHARS_MAX: usize = 300;

/// The outcome of replaying one file.
enum Outcome {
    Same(Replay),
    Different(Box<Difference>),
    Refused(String),
    Unreadable(String),
}

/// Replays all files and prints the result of each. The exit code is the highest of theirs.
pub(super) fn run(flags: &ReplayFlags) -> ExitCode {
    let mut stdout = io::stdout().lock();
    let format = flags
        .format
        .unwrap_or_else(|| if stdout.is_terminal() { Format::Text } else { Format::Json });
    let several = flags.files.len() > 1;
    let mut code = OK;
    for path in &flags.files {
        let outcome = replay(path);
        code = code.max(outcome.code());
        let told = match format {
            Format::Text => outcome.text(path, several),
            Format::Json => outcome.json(path),
        };
        if let Outcome::Unreadable(message) = &outcome {
            let _ = writeln!(io::stderr(), "error: {}: {message}", path.display());
        }
        // The exit code counts even if stdout is closed.
        let _ = stdout.write_all(told.as_bytes()).and_then(|()| stdout.flush());
    }
    ExitCode::from(code)
}

fn replay(path: &Path) -> Outcome {
    let result = File::open(path)
        .map_err(|error| Outcome::Unreadable(format!("cannot be opened: {error}")))
        .and_then(|file| replay_lines(BufReader::new(file)));
    match result {
        Ok(replay) => Outcome::Same(replay),
        Err(outcome) => outcome,
    }
}

fn replay_lines(mut file: impl BufRead) -> Result<Replay, Outcome> {
    let mut replayer = Replayer::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        (&mut file)
            .take(LINE_BYTES_MAX)
            .read_until(b'\n', &mut line)
            .map_err(|error| Outcome::Unreadable(format!("cannot be read: {error}")))?;
        if line.last() == Some(&b'\n') {
            replayer.line(&line)?;
        } else if line.len() as u64 == LINE_BYTES_MAX {
            let message = format!("has a line of more than {LINE_BYTES_MAX} bytes");
            return Err(Outcome::Unreadable(message));
        } else {
            return Ok(replayer.finish(&line)?);
        }
    }
}

impl From<ReplayError> for Outcome {
    fn from(error: ReplayError) -> Self {
        let refused = error.is_difference();
        if let ReplayError::Different(difference) = error {
            Self::Different(difference)
        } else if refused {
            Self::Refused(error.to_string())
        } else {
            Self::Unreadable(error.to_string())
        }
    }
}

impl Outcome {
    const fn code(&self) -> u8 {
        match self {
            Self::Same(_) => OK,
            Self::Different(_) | Self::Refused(_) => FAILED,
            Self::Unreadable(_) => USAGE,
        }
    }

    fn text(&self, path: &Path, several: bool) -> String {
        let file = if several { format!("{}: ", path.display()) } else { String::new() };
        match self {
            Self::Same(Replay { inputs, actions, end, .. }) => {
                let end = match end {
                    End::Complete => String::new(),
                    End::InsideLine { .. } | End::BeforeActions { .. } | _ => format!(" ({end})"),
                };
                format!("{file}same: {inputs} inputs, {actions} actions{end}\n")
            }
            Self::Different(difference) => {
                let Difference { line, inputs, expected, got, .. } = &**difference;
                let (expected, got) = (action_json(expected.as_ref()), action_json(got.as_ref()));
                let (expected, got) = (expected.as_deref(), got.as_deref());
                let from = first_difference(expected, got);
                format!(
                    "{file}different: line {line}, after {inputs} inputs\n  expected  {}\n  got       {}\n",
                    excerpt(expected, from).unwrap_or_else(|| "no more actions here".to_owned()),
                    excerpt(got, from).unwrap_or_else(|| "no more actions".to_owned()),
                )
            }
            Self::Refused(message) => format!("{file}different: {message}\n"),
            Self::Unreadable(_) => String::new(),
        }
    }

    fn json(&self, path: &Path) -> String {
        let mut out = Vec::new();
        let line = Object::of_type(&mut out, "replay").text("file", &path.to_string_lossy());
        match self {
            Self::Same(Replay { inputs, actions, end, .. }) => {
                let line = line.name("result", "same");
                let line = line.number("inputs", *inputs).number("actions", *actions);
                match end {
                    End::InsideLine { line: number } => line.number("ends_inside_line", *number),
                    End::BeforeActions { missing } => line.number("missing_actions", *missing),
                    End::Complete | _ => line,
                }
            }
            Self::Different(difference) => {
                let Difference { line: number, inputs, expected, got, .. } = &**difference;
                let (expected, got) = (action_json(expected.as_ref()), action_json(got.as_ref()));
                line.name("result", "different")
                    .number("line", *number)
                    .number("inputs", *inputs)
                    .raw("expected", expected.as_deref().unwrap_or("null"))
                    .raw("got", got.as_deref().unwrap_or("null"))
            }
            Self::Refused(message) => line.name("result", "different").text("error", message),
            Self::Unreadable(message) => line.name("result", "unreadable").text("error", message),
        }
        .end();
        String::from_utf8_lossy(&out).into_owned()
    }
}

fn action_json(action: Option<&Action>) -> Option<String> {
    // Serialising the core's types does not fail.
    action.map(|action| serde_json::to_string(action).unwrap_or_default())
}

/// The character at which two texts begin to differ.
fn first_difference(expected: Option<&str>, got: Option<&str>) -> usize {
    match (expected, got) {
        (Some(expected), Some(got)) => {
            expected.chars().zip(got.chars()).take_while(|(a, b)| a == b).count()
        }
        _ => 0,
    }
}

/// A piece of the text that shows the character at `from`.
fn excerpt(text: Option<&str>, from: usize) -> Option<String> {
    let skipped = if from < ACTION_CHARS_MAX - 40 { 0 } else { from - 40 };
    let rest: String = text?.chars().skip(skipped).collect();
    let ellipsis = if skipped > 0 { "…" } else { "" };
    Some(format!("{ellipsis}{}", Printable::new(&rest, ACTION_CHARS_MAX)))
}

#[cfg(test)]
mod tests {
    use synrepl_core::ConnectionId;

    use super::*;

    #[test]
    fn a_difference_deep_in_a_long_action_is_shown() {
        let (expected, got) = ("x".repeat(1_000) + "A", "x".repeat(1_000) + "B");
        let from = first_difference(Some(&expected), Some(&got));
        assert_eq!(from, 1_000);
        let shown = excerpt(Some(&expected), from).unwrap();
        assert!(shown.starts_with("…xxx") && shown.ends_with("xA"), "{shown}");
        assert_eq!(excerpt(Some("short"), 2).unwrap(), "short");
    }

    #[test]
    fn outcomes_have_a_stable_json_shape() {
        let action = Action::Close { conn: ConnectionId::new(1) };
        let text = action_json(Some(&action)).unwrap();
        assert_eq!(text, r#"{"Close":{"conn":1}}"#);
        let line = Outcome::Unreadable("no \"trace\"".to_owned()).json(Path::new("a"));
        assert_eq!(
            line,
            "{\"type\":\"replay\",\"file\":\"a\",\"result\":\"unreadable\",\"error\":\"no \\\"trace\\\"\"}\n"
        );
    }
}
