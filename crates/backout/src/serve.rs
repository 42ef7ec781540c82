//! `backout serve`.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::args::Serve;
use crate::commands::Shell;
use crate::compose::{Backout, World};
use crate::failure::{Exit, Failure, Outcome};
use crate::settings::Settings;

/// Serves until SIGTERM or SIGINT; a second signal does not wait.
pub(crate) fn run(shell: &Shell, args: &Serve) -> Outcome<()> {
    let (settings, log) = Settings::resolve(
        shell.data.as_deref(),
        shell.environment.data.as_deref(),
        args,
    )?;
    log_to_stderr(shell, log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| {
            Failure::new(
                Exit::Failed,
                format!("start the runtime: {e}; check the limits of the process"),
            )
        })?;
    let served = runtime.block_on(serve(shell, settings));
    // Whatever still blocks may do so without us: jobs are made for that.
    runtime.shutdown_background();
    Ok(served?)
}

async fn serve(shell: &Shell, settings: Settings) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let world = World {
        master_key: std::env::var("BACKOUT_MASTER_KEY")
            .ok()
            .filter(|k| !k.is_empty()),
        ..World::default()
    };
    let data = settings.data.clone();
    let backout = Backout::start(settings, world).await?;
    let url = backout.url();
    tracing::info!(%url, data = %data.display(), version = env!("CARGO_PKG_VERSION"), "serving");
    if let Some(tls) = backout.addresses().tls {
        tracing::info!(url = %format!("https://{tls}"), "serving TLS");
    }
    if shell.json {
        crate::out(&format!("{}\n", json!({ "ready": url })));
    } else {
        crate::out(&format!("ready {url}\n"));
    }
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping: nothing new is let in, what is in flight finishes");
    tokio::select! {
        left = backout.stop() => {
            tracing::info!(cut = left.cut, running = left.running, "stopped");
        }
        _ = terminate.recv() => tracing::warn!("stopped at once, by a second signal"),
        _ = interrupt.recv() => tracing::warn!("stopped at once, by a second signal"),
    }
    Ok(())
}

fn log_to_stderr(shell: &Shell, filter: Option<String>) -> Outcome<()> {
    let filter = filter
        .or_else(|| std::env::var("RUST_LOG").ok().filter(|f| !f.is_empty()))
        .unwrap_or_else(|| "info".to_owned());
    let filter = EnvFilter::try_new(&filter).map_err(|e| {
        Failure::usage(format!(
            "read the log filter {filter:?}: {e}; give one like info,backout_jobs=debug"
        ))
    })?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(shell.err_style.colour && std::io::stderr().is_terminal())
        .init();
    Ok(())
}
