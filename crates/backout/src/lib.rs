//! The binary: command line, settings, and the composition of the server.
//!
//! Architecture invariants: nothing is decided here that a product, a surface
//! or the engine could decide; the commands that look at or change resources
//! speak the native API over HTTP, as any other client would. Only [`compose`]
//! knows all crates.

mod args;
mod client;
mod commands;
pub mod compose;
mod doctor;
mod failure;
mod folder;
mod render;
mod serve;
mod settings;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use serde_json::{Value, json};

use crate::args::{Cli, Command};
use crate::commands::{Said, Shell};
use crate::failure::{Failure, Outcome};
pub use crate::settings::{Settings, Tls};

/// Runs the command that the process was started with.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => return wrong_usage(&e),
    };
    let shell = Shell::new(cli.data, cli.json);
    let result = match &cli.command {
        Command::Serve(args) => return end(&shell, serve::run(&shell, args)),
        Command::Shim { folder } => return backout_shim::main(folder),
        Command::Container { args } => return backout_workloads::docker::main(args),
        Command::Gateway { dir } => return backout_gateway::main(dir),
        Command::Completions { shell: which } => Ok(completions(*which)),
        other => commands::run(&shell, other),
    };
    let result = result.map(|said| {
        if shell.json {
            out(&format!("{}\n", said.value));
        } else {
            out(&said.human);
        }
    });
    end(&shell, result)
}

/// Writes to stdout. A reader that went away is not a failure.
fn out(text: &str) {
    let mut stdout = std::io::stdout();
    let _ = stdout.write_all(text.as_bytes());
    let _ = stdout.flush();
}

fn end(shell: &Shell, result: Outcome<()>) -> ExitCode {
    let Err(failure) = result else {
        return ExitCode::SUCCESS;
    };
    if shell.json {
        out(&format!("{}\n", failure.json()));
    } else {
        out(&failure.shown);
    }
    shell.note(&explained(shell, &failure));
    ExitCode::from(failure.exit as u8)
}

/// What a person is told: code, message, and where there is more.
fn explained(shell: &Shell, failure: &Failure) -> String {
    let style = shell.err_style;
    let mut text = style.bad("error");
    if let Some(code) = &failure.code {
        text.push_str(&format!(" {}", style.bold(&render::clean(code))));
    }
    text.push_str(&format!(": failed to {}", render::clean(&failure.message)));
    if let Some(code) = &failure.code {
        let title = failure.title().unwrap_or("not known to this version");
        let more = format!("{code} is {title:?}, explained in docs/errors/{code}.md");
        text.push_str(&format!("\n{}", style.dim(&render::clean(&more))));
    }
    if let Some(request) = &failure.request_id {
        text.push_str(&format!(
            "\n{}",
            style.dim(&format!("request {}", render::clean(request)))
        ));
    }
    text
}

/// What clap has to say: help and version on stdout, the rest on stderr.
fn wrong_usage(e: &clap::Error) -> ExitCode {
    let wants_json = std::env::args_os().any(|a| a == "--json");
    if !wants_json {
        let _ = e.print();
    } else if e.use_stderr() {
        let message = e.to_string();
        let message = message.trim().trim_start_matches("error: ");
        let _ = writeln!(std::io::stderr(), "{}", e.render());
        out(&format!("{}\n", Failure::usage(message).json()));
    } else {
        out(&format!("{}\n", json!({ "help": e.to_string() })));
    }
    ExitCode::from(u8::try_from(e.exit_code()).unwrap_or(2))
}

fn completions(which: clap_complete::Shell) -> Said {
    let mut script = Vec::new();
    clap_complete::generate(which, &mut Cli::command(), "backout", &mut script);
    let human = String::from_utf8_lossy(&script).into_owned();
    let value: Value = json!({ "shell": which.to_string(), "script": human });
    Said { value, human }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_options_are_accepted_anywhere() {
        for line in [
            "backout --json --data D servers list",
            "backout servers --data D list --json",
            "backout servers list --json --data D",
            "backout --data D servers --json list",
        ] {
            let cli = Cli::try_parse_from(line.split(' ')).unwrap();
            assert!(cli.json && cli.data.is_some(), "{line}");
        }
    }

    #[test]
    fn help() {
        let mut shown = String::new();
        let mut root = Cli::command().term_width(100);
        root.build();
        let mut commands = vec![(String::from("backout"), root)];
        while let Some((name, mut command)) = commands.pop() {
            shown.push_str(&format!("== {name}\n{}\n", command.render_help()));
            let mut below: Vec<_> = command
                .get_subcommands()
                .filter(|c| c.get_name() != "help" && !c.is_hide_set())
                .map(|c| {
                    (
                        format!("{name} {}", c.get_name()),
                        c.clone().term_width(100),
                    )
                })
                .collect();
            below.reverse();
            commands.extend(below);
        }
        // The version changes with every release, the rest should not.
        insta::assert_snapshot!(shown.replace(env!("CARGO_PKG_VERSION"), "VERSION"));
    }

    #[test]
    fn completions_know_the_commands() {
        use clap::ValueEnum as _;
        for shell in clap_complete::Shell::value_variants() {
            let said = completions(*shell);
            assert!(said.human.contains("rollback"), "{shell}");
        }
    }
}
