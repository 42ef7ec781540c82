//! Real procedures, failed, repeated, cancelled and killed at every point.
//!
//! One replaces a file and keeps the old one; one deletes a file, which cannot
//! be taken back. Both are written as a product's would be.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests and benches may stop at the first surprise"
)]

mod common;

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use backout_core::code::Code;
use backout_core::ids::{JobId, OsEntropy, RequestId};
use backout_core::outcome::Outcome;
use backout_core::plan::Plan;
use backout_core::time::SystemClock;
use backout_jobs::harness::{Ended, Matrix, Scenario, World};
use backout_jobs::{
    Commit, Done, Jobs, NewJob, Procedure, Registry, Step, StepContext, StepError, Undo,
    planned_steps, submit,
};
use backout_store::{Error as StoreError, Store, params};
use common::{NOTES, migrations};
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize)]
struct Change {
    folder: PathBuf,
    new: String,
}

impl Change {
    fn current(&self) -> PathBuf {
        self.folder.join("current")
    }
    fn staged(&self, job: &JobId) -> PathBuf {
        self.folder.join(format!("staged-{job}"))
    }
    fn kept(&self, job: &JobId) -> PathBuf {
        self.folder.join(format!("kept-{job}"))
    }
    fn restoring(&self, job: &JobId) -> PathBuf {
        self.folder.join(format!("restoring-{job}"))
    }
}

fn io(what: &str) -> impl FnOnce(std::io::Error) -> StepError {
    let what = what.to_owned();
    move |e| StepError::failed(Code::DiskIo, format!("{what}: {e}"))
}

/// Removing what may be gone already.
fn remove(path: &Path) -> Result<(), StepError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(io("remove a file")(e)),
        _ => Ok(()),
    }
}

/// A second name for a file, which may be there already.
fn link(from: &Path, to: &Path) -> Result<(), StepError> {
    match fs::hard_link(from, to) {
        Err(e) if e.kind() != ErrorKind::AlreadyExists => Err(io("link a file")(e)),
        _ => Ok(()),
    }
}

fn note(job: &StepContext, note: &'static str) -> Commit {
    let id = job.job.to_string();
    Box::new(move |tx| {
        tx.execute(
            "UPDATE notes SET note = $2, times = times + 1 WHERE id = $1",
            params![id, note],
        )?;
        Ok(())
    })
}

/// | step    | do                              | undo                  |
/// |---------|---------------------------------|-----------------------|
/// | stage   | write the new file beside       | remove it             |
/// | keep    | give the old file a second name | remove that name      |
/// | swap    | rename the new file over        | rename the old over   |
/// | tell    | note that it is replaced        | nothing outlives it   |
struct Replace;

static REPLACE: &[Step<Replace>] = &[
    Step {
        name: "stage",
        does: "write the new file beside the old",
        run: |_, job| {
            Box::pin(async move {
                let change: Change = job.input()?;
                let staged = change.staged(&job.job);
                job.progress(10, "writing");
                job.blocking(move || {
                    let mut file = fs::File::create(&staged).map_err(io("make a file"))?;
                    file.write_all(change.new.as_bytes())
                        .and_then(|()| file.sync_all())
                        .map_err(io("write a file"))
                })
                .await?;
                let id = job.job.to_string();
                Ok(Done::nothing().with(move |tx| {
                    tx.execute(
                        "INSERT INTO notes (id, note, times) VALUES ($1, 'staged', 1)",
                        params![id],
                    )?;
                    Ok(())
                }))
            })
        },
        undo: Undo::By {
            does: "remove the new file",
            run: |_, job| {
                Box::pin(async move {
                    let change: Change = job.input()?;
                    remove(&change.staged(&job.job))?;
                    let id = job.job.to_string();
                    Ok(Done::nothing().with(move |tx| {
                        tx.execute("DELETE FROM notes WHERE id = $1", params![id])?;
                        Ok(())
                    }))
                })
            },
        },
    },
    Step {
        name: "keep",
        does: "give the old file a second name",
        run: |_, job| {
            Box::pin(async move {
                let change: Change = job.input()?;
                link(&change.current(), &change.kept(&job.job))?;
                Done::remember(&change.kept(&job.job))
            })
        },
        undo: Undo::By {
            does: "remove the second name",
            run: |_, job| {
                Box::pin(async move {
                    remove(&job.input::<Change>()?.kept(&job.job))?;
                    Ok(Done::nothing())
                })
            },
        },
    },
    Step {
        name: "swap",
        does: "rename the new file over the old",
        run: |_, job| {
            Box::pin(async move {
                let change: Change = job.input()?;
                match fs::rename(change.staged(&job.job), change.current()) {
                    // Done before a crash, or before it was repeated.
                    Err(e) if e.kind() == ErrorKind::NotFound => {}
                    renamed => renamed.map_err(io("rename a file"))?,
                }
                Ok(Done::nothing().with(note(job, "swapped")))
            })
        },
        undo: Undo::By {
            does: "rename the old file over the new",
            run: |_, job| {
                Box::pin(async move {
                    let change: Change = job.input()?;
                    let kept: PathBuf = job
                        .output("keep")?
                        .ok_or_else(|| StepError::failed(Code::Internal, "find the old file"))?;
                    let restoring = change.restoring(&job.job);
                    link(&kept, &restoring)?;
                    fs::rename(&restoring, change.current()).map_err(io("rename a file"))?;
                    // Renaming one name of a file over another of its names
                    // does nothing: both stay.
                    remove(&restoring)?;
                    Ok(Done::nothing())
                })
            },
        },
    },
    Step {
        name: "tell",
        does: "note that it is replaced",
        run: |_, job| Box::pin(async move { Ok(Done::nothing().with(note(job, "replaced"))) }),
        undo: Undo::Nothing,
    },
];

impl Procedure for Replace {
    fn name(&self) -> &'static str {
        "files.replace"
    }
    fn steps(&self) -> &[Step<Self>] {
        REPLACE
    }
    fn settle(&self, job: &StepContext, outcome: Outcome, _: Option<&StepError>) -> Commit {
        note(job, outcome.as_str())
    }
}

/// | step   | do                          | undo                |
/// |--------|-----------------------------|---------------------|
/// | mark   | give the file another name  | give it back its own |
/// | delete | remove it                   | never               |
/// | tell   | note that it is gone        | nothing outlives it |
struct Delete;

static DELETE: &[Step<Delete>] = &[
    Step {
        name: "mark",
        does: "give the file another name",
        run: |_, job| {
            Box::pin(async move {
                let change: Change = job.input()?;
                match fs::rename(change.current(), change.kept(&job.job)) {
                    Err(e) if e.kind() == ErrorKind::NotFound => {}
                    renamed => renamed.map_err(io("rename a file"))?,
                }
                let id = job.job.to_string();
                Ok(Done::nothing().with(move |tx| {
                    tx.execute(
                        "INSERT INTO notes (id, note, times) VALUES ($1, 'marked', 1)",
                        params![id],
                    )?;
                    Ok(())
                }))
            })
        },
        undo: Undo::By {
            does: "give it back its name",
            run: |_, job| {
                Box::pin(async move {
                    let change: Change = job.input()?;
                    match fs::rename(change.kept(&job.job), change.current()) {
                        Err(e) if e.kind() == ErrorKind::NotFound => {}
                        renamed => renamed.map_err(io("rename a file"))?,
                    }
                    let id = job.job.to_string();
                    Ok(Done::nothing().with(move |tx| {
                        tx.execute("DELETE FROM notes WHERE id = $1", params![id])?;
                        Ok(())
                    }))
                })
            },
        },
    },
    Step {
        name: "delete",
        does: "remove the file",
        run: |_, job| {
            Box::pin(async move {
                remove(&job.input::<Change>()?.kept(&job.job))?;
                Ok(Done::nothing())
            })
        },
        undo: Undo::Never,
    },
    Step {
        name: "tell",
        does: "note that it is gone",
        run: |_, job| Box::pin(async move { Ok(Done::nothing().with(note(job, "gone"))) }),
        undo: Undo::Nothing,
    },
];

impl Procedure for Delete {
    fn name(&self) -> &'static str {
        "files.delete"
    }
    fn steps(&self) -> &[Step<Self>] {
        DELETE
    }
    fn settle(&self, job: &StepContext, outcome: Outcome, _: Option<&StepError>) -> Commit {
        note(job, outcome.as_str())
    }
}

struct Files {
    folder: PathBuf,
    jobs: Jobs,
}

impl World for Files {
    async fn open(folder: &Path) -> Self {
        assert!(migrations().iter().any(|m| m.name == NOTES.name));
        let store = Store::open_sqlite(&folder.join("state.db"), &migrations()).unwrap();
        Self {
            folder: folder.join("files"),
            jobs: Jobs::new(store, Arc::new(SystemClock), Arc::new(OsEntropy)),
        }
    }

    fn jobs(&self) -> &Jobs {
        &self.jobs
    }

    fn registry(&self) -> Registry {
        Registry::new().with(Replace).with(Delete)
    }
}

impl Files {
    fn make(&self) {
        fs::create_dir(&self.folder).unwrap();
        fs::write(self.folder.join("current"), "old").unwrap();
    }

    async fn submit<P: Procedure>(&self, procedure: &P) -> JobId {
        let claims = vec!["file/current".to_owned(), "file/another".to_owned()];
        let new = NewJob {
            id: self.jobs.new_id(),
            procedure: procedure.name().into(),
            title: "change a file".into(),
            account: "acct_aaaaaaaaaaaa".parse().unwrap(),
            request: RequestId::random(&OsEntropy),
            node: "harness".into(),
            resource: "file/current".into(),
            claims: claims.clone(),
            input: serde_json::to_value(Change {
                folder: self.folder.clone(),
                new: "new".into(),
            })
            .unwrap(),
            plan: Plan {
                procedure: procedure.name().into(),
                title: "change a file".into(),
                claims,
                steps: planned_steps(procedure),
            },
            undo_of: None,
            idempotency: None,
            background: false,
            now: self.jobs.now(),
        };
        let submitted = self
            .jobs
            .store()
            .write(move |tx| submit(tx, &new))
            .await
            .unwrap();
        self.jobs.wake();
        submitted.id
    }

    /// Every file with its contents, and every note.
    async fn all(&self) -> (Vec<(String, String)>, Vec<String>) {
        let mut files: Vec<_> = fs::read_dir(&self.folder)
            .unwrap()
            .map(|entry| {
                let path = entry.unwrap().path();
                (
                    path.file_name().unwrap().to_string_lossy().into_owned(),
                    fs::read_to_string(&path).unwrap(),
                )
            })
            .collect();
        files.sort();
        let notes = self
            .jobs
            .store()
            .read::<_, StoreError>(|tx| {
                tx.query("SELECT note FROM notes", &[])?
                    .iter()
                    .map(|row| row.get(0))
                    .collect()
            })
            .await
            .unwrap();
        (files, notes)
    }
}

struct Replacing;

impl Scenario<Files> for Replacing {
    fn procedure(&self) -> &'static str {
        "files.replace"
    }
    async fn set_up(&self, world: &Files) {
        world.make();
    }
    async fn submit(&self, world: &Files) -> JobId {
        world.submit(&Replace).await
    }
    async fn check(&self, world: &Files, ended: &Ended) {
        let (files, notes) = world.all().await;
        let file = |name: String, text: &str| (name, text.to_owned());
        let current = "current".to_owned();
        if ended.outcome == Outcome::Applied {
            let kept = format!("kept-{}", ended.job.id);
            assert_eq!(files, [file(current, "new"), file(kept, "old")]);
            assert_eq!(notes, ["applied"]);
        } else {
            assert_eq!(files, [file(current, "old")]);
            assert!(notes.is_empty());
        }
    }
}

struct Deleting;

impl Scenario<Files> for Deleting {
    fn procedure(&self) -> &'static str {
        "files.delete"
    }
    async fn set_up(&self, world: &Files) {
        world.make();
    }
    async fn submit(&self, world: &Files) -> JobId {
        world.submit(&Delete).await
    }
    async fn check(&self, world: &Files, ended: &Ended) {
        let (files, notes) = world.all().await;
        if ended.outcome == Outcome::Applied {
            assert!(files.is_empty());
            assert_eq!(notes, ["applied"]);
        } else {
            assert_eq!(files, [("current".to_owned(), "old".to_owned())]);
            assert!(notes.is_empty());
        }
    }
}

#[test]
fn files_survive_everything() {
    let report = Matrix::<Files>::new("files_survive_everything")
        .scenario(Replacing)
        .scenario(Deleting)
        .run();
    // 4 steps and 3 undos; 3 steps, and 1 undo before the point of no return.
    assert_eq!(report.kills, (4 + 3 + 3 + 1) * 4);
    let steps = 4 + 3;
    let undos = 3 + 1;
    assert_eq!(report.cases, steps * 14 + undos * 10 + 2 + 1);
}

#[test]
#[should_panic(expected = "procedure files.delete has no scenario")]
fn a_procedure_without_a_scenario_is_told() {
    Matrix::<Files>::new("a_procedure_without_a_scenario_is_told")
        .scenario(Replacing)
        .run();
}

/// Says that all is well whatever happened: the harness must find out by
/// itself.
struct Careless;

static CARELESS: &[Step<Careless>] = &[Step {
    name: "add",
    does: "add a line, without a look whether it is there",
    run: |_, job| {
        Box::pin(async move {
            let change: Change = job.input()?;
            let mut file = fs::OpenOptions::new()
                .append(true)
                .open(change.current())
                .map_err(io("open a file"))?;
            file.write_all(b"+").map_err(io("write a file"))?;
            Ok(Done::nothing())
        })
    },
    undo: Undo::By {
        does: "forgets to",
        run: |_, _| Box::pin(async { Ok(Done::nothing()) }),
    },
}];

impl Procedure for Careless {
    fn name(&self) -> &'static str {
        "files.careless"
    }
    fn steps(&self) -> &[Step<Self>] {
        CARELESS
    }
    fn settle(&self, _: &StepContext, _: Outcome, _: Option<&StepError>) -> Commit {
        Box::new(|_| Ok(()))
    }
}

struct CarelessFiles(Files);

impl World for CarelessFiles {
    async fn open(folder: &Path) -> Self {
        Self(Files::open(folder).await)
    }
    fn jobs(&self) -> &Jobs {
        &self.0.jobs
    }
    fn registry(&self) -> Registry {
        Registry::new().with(Careless)
    }
}

struct BeingCareless;

impl Scenario<CarelessFiles> for BeingCareless {
    fn procedure(&self) -> &'static str {
        "files.careless"
    }
    async fn set_up(&self, world: &CarelessFiles) {
        world.0.make();
    }
    async fn submit(&self, world: &CarelessFiles) -> JobId {
        world.0.submit(&Careless).await
    }
    async fn check(&self, world: &CarelessFiles, ended: &Ended) {
        let (files, _) = world.0.all().await;
        let expected = if ended.outcome == Outcome::Applied {
            "old+"
        } else {
            "old"
        };
        assert_eq!(files[0].1, expected);
    }
}

#[test]
fn a_careless_procedure_is_found_out() {
    let told = std::panic::catch_unwind(|| {
        Matrix::<CarelessFiles>::new("a_careless_procedure_is_found_out")
            .scenario(BeingCareless)
            .run()
    })
    .unwrap_err();
    let told = told.downcast_ref::<String>().unwrap();
    for case in [
        "Fail at add AfterEffect",
        "Repeat at add AfterEffect",
        "Kill at add AfterEffect",
    ] {
        assert!(told.contains(case), "{told}");
    }
    for case in [
        "run as it is",
        "Kill at add BeforeIntent",
        "Kill at add AfterRecord",
    ] {
        assert!(!told.contains(case), "{told}");
    }
}
