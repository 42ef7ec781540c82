//! A command as it is typed, and as it is run.

use crate::error::{Error, Result};

/// Splits a command line into a program and its arguments as a shell would:
/// blanks, quotes, backslashes and comments. No shell runs, so nothing is
/// substituted: `$PORT`, `*` and `|` stand for themselves. Who wants a shell
/// names one: `sh -c 'exec ./serve --port "$PORT"'`.
///
/// # Errors
/// [`Error::BadSpec`] when a quote is left open, or nothing is in it.
pub fn split_command(line: &str) -> Result<Vec<String>> {
    let refused = |why: &str| Error::BadSpec {
        what: "the command",
        why: why.to_owned(),
    };
    let words = shlex::split(line).ok_or_else(|| {
        refused("a quote is left open, or a backslash stands at its end; close it")
    })?;
    if words.is_empty() {
        return Err(refused("nothing is in it; name a program"));
    }
    if line.contains('\0') {
        return Err(refused("a zero byte is in it, which no argument can have"));
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_split_as_a_shell_would_and_nothing_is_substituted() {
        let cases: [(&str, &[&str]); 6] = [
            ("./serve --port 80", &["./serve", "--port", "80"]),
            ("a 'b c'\"d e\" f\\ g", &["a", "b cd e", "f g"]),
            ("sh -c 'exit $PORT'", &["sh", "-c", "exit $PORT"]),
            ("echo \"a\\\"b\" '' *", &["echo", "a\"b", "", "*"]),
            ("  a\t b\n", &["a", "b"]),
            ("a | b > c", &["a", "|", "b", ">", "c"]),
        ];
        for (line, words) in cases {
            assert_eq!(split_command(line).unwrap(), words, "{line}");
        }
        for line in ["", "   ", "a 'b", "a \"b", "a \\", "a\0b"] {
            assert!(split_command(line).is_err(), "{line:?}");
        }
    }
}
