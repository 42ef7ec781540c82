//! What the tests of this crate run beside themselves: the supervisor
//! (`mariadb-shim FOLDER`), and one who copies a table and can be killed
//! (`mariadb-shim --copy URL SCHEMA TABLE TO`).

use std::io::Write as _;
use std::process::ExitCode;

use backout_history::TableName;
use backout_mariadb::{Endpoint, backup};

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    let texts: Vec<_> = args.iter().filter_map(|arg| arg.to_str()).collect();
    match texts.as_slice() {
        ["--copy", url, schema, table, to] => {
            let copied = Endpoint::parse(url).and_then(|endpoint| {
                let options = backup::Options {
                    threads: 1,
                    beside: None,
                    cancelled: &|| false,
                };
                let table = TableName::new(*schema, *table);
                backup::tables(&endpoint, &[table], to.as_ref(), &options)
            });
            match copied {
                Ok(_) => ExitCode::SUCCESS,
                Err(e) => {
                    let _ = writeln!(std::io::stderr(), "{e}");
                    ExitCode::FAILURE
                }
            }
        }
        _ => match args.as_slice() {
            [folder] => backout_shim::main(folder.as_ref()),
            _ => ExitCode::from(2),
        },
    }
}
