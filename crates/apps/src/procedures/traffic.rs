//! The gateway of an application: that it runs, where it listens, and over whom
//! it spreads requests.

use std::net::SocketAddr;
use std::time::Duration;

use backout_core::code::Code;
use backout_core::fence::Fence;
use backout_core::ids::ApplicationId;
use backout_gateway::{Backend, Client, Error};
use backout_jobs::StepError;

use crate::runtime::Runtime;

/// How long requests may take when an application is taken away: they have been
/// drained before, and what is left are clients that hang.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

pub(crate) fn error(e: Error) -> StepError {
    let message = match std::error::Error::source(&e) {
        Some(cause) => format!("{e}: {cause}"),
        None => e.to_string(),
    };
    match e {
        Error::Stale { .. } => StepError::Stale,
        Error::Unreachable { .. } => StepError::again(e.code(), message),
        e => StepError::failed(e.code(), message),
    }
}

/// The gateway of an application. One that does not run is started.
pub(crate) async fn running(
    runtime: &Runtime,
    application: &ApplicationId,
) -> Result<Client, Error> {
    let client = runtime.gateway(application)?;
    let folder = runtime.folder.join("gateways");
    let made = tokio::task::spawn_blocking(move || std::fs::create_dir_all(&folder)).await;
    if let Ok(Err(source)) = made {
        return Err(Error::Io {
            path: runtime.folder.join("gateways"),
            op: "create the folder",
            source,
        });
    }
    match client
        .ensure_running(&runtime.gateways, &runtime.gateway_settings)
        .await
    {
        // With those of an earlier start of Backout: to change them is not worth
        // its connections.
        Ok(_) | Err(Error::OtherSettings { .. }) => Ok(client),
        Err(e) => Err(e),
    }
}

/// Lets a gateway listen on these ports, and no others.
pub(crate) async fn listen(
    runtime: &Runtime,
    client: &Client,
    fence: Fence,
    ports: &[u16],
) -> Result<(), Error> {
    let mut wanted: Vec<SocketAddr> = ports
        .iter()
        .map(|port| SocketAddr::new(runtime.listen, *port))
        .collect();
    wanted.sort_unstable();
    wanted.dedup();
    client
        .edit(fence, |desired| desired.listen.clone_from(&wanted))
        .await?;
    Ok(())
}

/// Lets a gateway spread requests over these.
pub(crate) async fn spread(
    client: &Client,
    fence: Fence,
    backends: &[Backend],
) -> Result<(), Error> {
    client
        .edit(fence, |desired| desired.backends = backends.to_vec())
        .await?;
    Ok(())
}

/// Takes the gateway of an application away, with its files. Fine when there is
/// none.
pub(crate) async fn take_away(
    runtime: &Runtime,
    application: &ApplicationId,
) -> Result<(), StepError> {
    let folder = runtime.gateway_folder(application);
    let client = runtime.gateway(application).map_err(error)?;
    if !folder.exists() {
        return Ok(());
    }
    client.stop(STOP_PATIENCE).await.map_err(error)?;
    let removed = tokio::task::spawn_blocking(move || std::fs::remove_dir_all(&folder)).await;
    match removed {
        Ok(Err(e)) if e.kind() != std::io::ErrorKind::NotFound => Err(StepError::again(
            Code::ProcessStart,
            format!("remove the files of the gateway of application {application}: {e}"),
        )),
        _ => Ok(()),
    }
}
