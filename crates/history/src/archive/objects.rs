//! An object store, for code that is not asynchronous.

use std::sync::{Arc, mpsc};

use futures_util::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use tokio::runtime::{Builder, Runtime};

use crate::error::{Error, Result};

/// The objects below one prefix of a store.
pub(super) struct Objects {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    /// Requests run on a thread of their own, so that callers may be on any
    /// thread, one of another runtime included.
    runtime: Option<Runtime>,
}

impl std::fmt::Debug for Objects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Objects")
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

impl Drop for Objects {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Waiting is forbidden on threads of another runtime.
            runtime.shutdown_background();
        }
    }
}

impl Objects {
    pub(super) fn new(store: Arc<dyn ObjectStore>, prefix: &str) -> Result<Self> {
        let failed = |why: String| Error::Archive {
            doing: "open the archive".to_owned(),
            why,
            passing: false,
        };
        let prefix = Path::parse(prefix).map_err(|e| failed(e.to_string()))?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("archive")
            .enable_all()
            .build()
            .map_err(|e| failed(e.to_string()))?;
        Ok(Self {
            store,
            prefix,
            runtime: Some(runtime),
        })
    }

    /// The bytes of an object of at most `limit` bytes; `None` when there is no
    /// such object.
    pub(super) fn get(&self, key: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let path = self.path(key);
        let got = self.run(move |store| async move {
            let got = match store.get(&path).await {
                Ok(got) => got,
                Err(object_store::Error::NotFound { .. }) => return Ok(None),
                Err(e) => return Err(e),
            };
            if got.meta.size > limit {
                return Ok(Some(Err(got.meta.size)));
            }
            got.bytes().await.map(|bytes| Some(Ok(bytes)))
        });
        match got.map_err(|e| failed("read", key, &e))? {
            None => Ok(None),
            Some(Ok(bytes)) => Ok(Some(bytes.into())),
            Some(Err(size)) => Err(Error::Archive {
                doing: format!("read {key} of the archive"),
                why: format!("it has {size} bytes, more than the {limit} that it may have"),
                passing: false,
            }),
        }
    }

    /// Writes an object, whether or not there is one.
    pub(super) fn put(&self, key: &str, bytes: Vec<u8>) -> Result<()> {
        let path = self.path(key);
        self.run(move |store| async move { store.put(&path, PutPayload::from(bytes)).await })
            .map(drop)
            .map_err(|e| failed("write", key, &e))
    }

    /// Creates an object; `false` when there is one.
    pub(super) fn create(&self, key: &str, bytes: Vec<u8>) -> Result<bool> {
        let path = self.path(key);
        let put = self.run(move |store| async move {
            let options = PutOptions::from(PutMode::Create);
            store
                .put_opts(&path, PutPayload::from(bytes), options)
                .await
        });
        match put {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
            Err(e) => Err(failed("write", key, &e)),
        }
    }

    /// Deletes an object, if there is one.
    pub(super) fn delete(&self, key: &str) -> Result<()> {
        let path = self.path(key);
        match self.run(move |store| async move { store.delete(&path).await }) {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(failed("delete", key, &e)),
        }
    }

    /// The names below a folder, relative to it, in no order.
    pub(super) fn list(&self, folder: &str) -> Result<Vec<String>> {
        let path = self.path(folder);
        let under = path.clone();
        let listed = self.run(move |store| async move {
            store
                .list(Some(&path))
                .map(|meta| meta.map(|meta| meta.location))
                .try_collect::<Vec<Path>>()
                .await
        });
        let listed = listed.map_err(|e| failed("list", folder, &e))?;
        Ok(listed
            .iter()
            .filter_map(|location| {
                let parts: Vec<_> = location.prefix_match(&under)?.collect();
                let parts: Vec<&str> = parts.iter().map(AsRef::as_ref).collect();
                Some(parts.join("/"))
            })
            .collect())
    }

    fn path(&self, key: &str) -> Path {
        key.split('/')
            .fold(self.prefix.clone(), |path, part| path.join(part))
    }

    fn run<T, F>(&self, work: impl FnOnce(Arc<dyn ObjectStore>) -> F) -> object_store::Result<T>
    where
        T: Send + 'static,
        F: Future<Output = object_store::Result<T>> + Send + 'static,
    {
        let gone = |why: &str| object_store::Error::Generic {
            store: "archive",
            source: why.to_owned().into(),
        };
        let Some(runtime) = &self.runtime else {
            return Err(gone("the archive is closed"));
        };
        let (send, receive) = mpsc::sync_channel(1);
        let work = work(Arc::clone(&self.store));
        runtime.spawn(async move {
            // Nobody waits any more only when this process ends.
            let _ = send.send(work.await);
        });
        receive
            .recv()
            .unwrap_or_else(|_| Err(gone("the request ended without an answer")))
    }
}

fn failed(doing: &str, key: &str, error: &object_store::Error) -> Error {
    Error::Archive {
        doing: format!("{doing} {key} of the archive"),
        why: chain(error),
        passing: !matches!(
            error,
            object_store::Error::NotSupported { .. }
                | object_store::Error::NotImplemented { .. }
                | object_store::Error::InvalidPath { .. }
                | object_store::Error::PermissionDenied { .. }
                | object_store::Error::Unauthenticated { .. }
        ),
    }
}

/// The message with those of its causes that it does not repeat.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
