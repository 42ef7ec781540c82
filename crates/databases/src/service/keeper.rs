//! What is archived, taken and deleted by itself.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use backout_core::ids::{AccountId, DatabaseId, JobId, RequestId};
use backout_core::time::Timestamp;
use backout_history::archive::{Archive, Until, Window};
use backout_history::{Micros, Position};
use backout_shim::State;

use super::backups::{DELETE_MAX, Wanted};
use super::{Caller, Databases, blocking, holding_of};
use crate::follower::{self, Follower};
use crate::model::{Backup, BackupConfig, BackupState, Instance, InstanceState, Kind, Method, Way};
use crate::persistence;
use crate::procedures::managed;
use crate::refusal::Refusal;
use crate::zone::Zone;

/// How many instances are read in one transaction.
const AT_ONCE: u64 = 100;

/// How many backups of one instance are looked at: with one a day, many years'.
const BACKUPS_LOOKED_AT: u64 = 5_000;

/// How long after a scheduled backup was begun, and did not come to be, the
/// next is tried: it made room for other work, or failed.
const AGAIN_MS: i64 = 10 * 60_000;

/// How long after one that failed: what made it fail is to be seen first.
const AFTER_FAILURE_MS: i64 = 3_600_000;

/// How often it is looked what is over. An hour is little beside a day, which
/// is what times to keep are counted in.
const RETENTION_EVERY_MS: i64 = 3_600_000;

const DAY_MS: i64 = 24 * 3_600_000;

/// What one pass of the background keeper has found and begun.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tended {
    /// How many instances this process follows now.
    pub following: usize,
    /// Jobs that start servers of ours that should run, and did not: the host
    /// was started anew.
    pub revived: Vec<JobId>,
    /// Jobs that take a scheduled backup.
    pub taken: Vec<JobId>,
    /// Jobs that delete backups whose time is over.
    pub deleted: Vec<JobId>,
    /// Instances whose oldest history was removed.
    pub purged: Vec<DatabaseId>,
    /// Instances that something should have been done for, and why it was not;
    /// an instance again only when the reason is another one.
    pub put_off: Vec<(DatabaseId, String)>,
}

/// What cannot be done by itself for an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The instance's name.
    pub database: String,
    /// What: `history`, `server`, `backup` or `retention`.
    pub what: &'static str,
    /// Why not, a fragment that fits "failed to ...".
    pub why: String,
}

/// A history that is followed and had not all for so long stands still. Servers
/// send a sign of life every few seconds.
const STILL_MS: i64 = 5 * 60_000;

/// How many troubles are told at once.
const TROUBLES_MAX: usize = 50;

/// What a host's keeper remembers from one pass to the next. Nothing is lost
/// with it: a fresh one begins at the beginning.
#[derive(Debug, Default)]
pub(super) struct Keeper(Mutex<Memory>);

#[derive(Debug, Default)]
struct Memory {
    followers: HashMap<DatabaseId, Follower>,
    /// When a server may be started again.
    revived: HashMap<DatabaseId, Timestamp>,
    /// When a backup may be begun again.
    not_before: HashMap<DatabaseId, Timestamp>,
    /// When it is looked next what is over.
    retention: HashMap<DatabaseId, Timestamp>,
    /// Why something was put off, as last told.
    why: HashMap<(DatabaseId, &'static str), String>,
    /// The last scheduled backup: they read a whole server's files, so there is
    /// one at a time.
    backup: Option<JobId>,
}

impl Keeper {
    fn with<T>(&self, use_it: impl FnOnce(&mut Memory) -> T) -> T {
        use_it(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Databases {
    /// One pass of the background keeper over the instances of this host:
    /// follows the history of those that run, takes the backups that are due,
    /// and removes backups and history whose time is over, but never what a
    /// window that is promised needs.
    ///
    /// # Errors
    /// [`Refusal::Store`]. What stands in the way of one instance is told in
    /// [`Tended::put_off`].
    pub async fn tend(&self) -> Result<Tended, Refusal> {
        let mut tended = Tended::default();
        let mut seen = HashSet::new();
        let mut after: Option<DatabaseId> = None;
        loop {
            let (node, from) = (self.node.clone(), after.clone());
            let page = self
                .store
                .read(move |tx| {
                    Ok::<_, Refusal>(persistence::instances_of_node(
                        tx,
                        &node,
                        from.as_ref(),
                        AT_ONCE,
                    )?)
                })
                .await?;
            after = page.last().map(|instance| instance.id.clone());
            let full = page.len() as u64 >= AT_ONCE;
            for instance in page {
                seen.insert(instance.id.clone());
                self.tend_one(&instance, &mut tended).await?;
            }
            if !full {
                break;
            }
        }
        tended.following = self.keeper.with(|memory| {
            memory.followers.retain(|id, follower| {
                let wanted = seen.contains(id);
                if !wanted {
                    follower.stop();
                }
                wanted || !follower.has_ended()
            });
            memory.revived.retain(|id, _| seen.contains(id));
            memory.not_before.retain(|id, _| seen.contains(id));
            memory.retention.retain(|id, _| seen.contains(id));
            memory.why.retain(|(id, _), _| seen.contains(id));
            memory.followers.values().filter(|f| f.follows()).count()
        });
        Ok(tended)
    }

    /// What the keeper of this process could not do for instances of an owner
    /// when it last looked, and which histories stand still though they are
    /// followed.
    ///
    /// # Errors
    /// [`Refusal::Store`].
    pub async fn troubles(&self, owner: &AccountId) -> Result<Vec<Trouble>, Refusal> {
        let now_us = self.clock.now().0.saturating_mul(1000);
        let (mut found, followed) = self.keeper.with(|memory| {
            let told = memory
                .why
                .iter()
                .map(|((id, what), why)| (id.clone(), *what, why.clone()));
            let followed = memory.followers.iter().filter(|(_, f)| f.follows());
            let followed: Vec<DatabaseId> = followed.map(|(id, _)| id.clone()).collect();
            (told.collect::<Vec<_>>(), followed)
        });
        let runtime = self.runtime.clone();
        let still = blocking(move || {
            let mut still = Vec::new();
            for id in followed {
                let since = runtime.archive(&id)?.caught_up();
                if let Some(at) = since.filter(|at| now_us - at.0 > STILL_MS * 1000) {
                    let why = format!(
                        "follow its history: nothing has come since {}",
                        Zone::UTC.explicit(at.0)
                    );
                    still.push((id, "history", why));
                }
            }
            Ok(still)
        })
        .await?;
        for (id, what, why) in still {
            if !found.iter().any(|(known, w, _)| *known == id && *w == what) {
                found.push((id, what, why));
            }
        }
        let owner = owner.clone();
        self.store
            .read(move |tx| {
                let mut troubles = Vec::new();
                for (id, what, why) in found {
                    let instance = persistence::instance_by_id(tx, &id)?;
                    if let Some(instance) = instance.filter(|i| i.owner == owner) {
                        troubles.push(Trouble {
                            database: instance.name,
                            what,
                            why,
                        });
                    }
                }
                troubles.sort_by(|a, b| (&a.database, a.what).cmp(&(&b.database, b.what)));
                troubles.truncate(TROUBLES_MAX);
                Ok(troubles)
            })
            .await
    }

    /// The quick part of [`Databases::tend`]: follows the history of instances
    /// that run and are not followed yet. Asked often, so that the history of
    /// one that has just come under management begins at once.
    ///
    /// # Errors
    /// [`Refusal::Store`]. What stands in the way of one instance is told by
    /// [`Databases::tend`].
    pub async fn follow_new(&self) -> Result<(), Refusal> {
        let mut after: Option<DatabaseId> = None;
        loop {
            let (node, from) = (self.node.clone(), after.clone());
            let page = self
                .store
                .read(move |tx| {
                    Ok::<_, Refusal>(persistence::instances_of_node(
                        tx,
                        &node,
                        from.as_ref(),
                        AT_ONCE,
                    )?)
                })
                .await?;
            after = page.last().map(|instance| instance.id.clone());
            for instance in &page {
                let followed = self
                    .keeper
                    .with(|memory| memory.followers.contains_key(&instance.id));
                if !followed {
                    self.follow(instance);
                }
            }
            if (page.len() as u64) < AT_ONCE {
                return Ok(());
            }
        }
    }

    /// Follows nothing any more; returns when the last follower has ended. For
    /// an orderly end of the process; a hard one does no harm.
    pub async fn stop_following(&self) {
        let followers: Vec<Follower> = self
            .keeper
            .with(|memory| memory.followers.drain().map(|(_, f)| f).collect());
        for follower in &followers {
            follower.stop();
        }
        let joined = blocking(move || {
            followers.into_iter().for_each(Follower::join);
            Ok(())
        });
        if let Err(e) = joined.await {
            tracing::error!(error = %e, "followers of history did not end in order");
        }
    }

    async fn tend_one(&self, instance: &Instance, tended: &mut Tended) -> Result<(), Refusal> {
        let trouble = self.follow(instance);
        self.tell(tended, instance, "history", trouble);
        if instance.state != InstanceState::Running {
            return Ok(());
        }
        let revived = self.revive(instance, tended).await;
        self.settled(tended, instance, "server", revived)?;
        let taken = self.take_if_due(instance, tended).await;
        self.settled(tended, instance, "backup", taken)?;
        let now = self.clock.now();
        let due = self.keeper.with(|memory| {
            let due = memory
                .retention
                .get(&instance.id)
                .is_none_or(|at| *at <= now);
            if due {
                let next = now.plus_ms(RETENTION_EVERY_MS);
                memory.retention.insert(instance.id.clone(), next);
            }
            due
        });
        if due {
            let kept = self.remove_what_is_over(instance, tended).await;
            self.settled(tended, instance, "retention", kept)?;
        }
        Ok(())
    }

    /// A refusal stands in the way of one instance only; the store of all. A job
    /// that works on the instance will end: the next pass sees.
    fn settled(
        &self,
        tended: &mut Tended,
        instance: &Instance,
        what: &'static str,
        result: Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let why = match result {
            Ok(()) | Err(Refusal::Busy { held: false, .. }) => None,
            Err(Refusal::Store(e)) => return Err(Refusal::Store(e)),
            Err(refusal) => Some(refusal.to_string()),
        };
        self.tell(tended, instance, what, why);
        Ok(())
    }

    /// Tells of trouble once, and of another again.
    fn tell(
        &self,
        tended: &mut Tended,
        instance: &Instance,
        what: &'static str,
        why: Option<String>,
    ) {
        let key = (instance.id.clone(), what);
        let Some(why) = why else {
            self.keeper.with(|memory| memory.why.remove(&key));
            return;
        };
        let news = self
            .keeper
            .with(|memory| memory.why.insert(key, why.clone()))
            .is_none_or(|before| before != why);
        if news {
            tended.put_off.push((instance.id.clone(), why));
        }
    }

    /// Sees to it that an instance is followed when it runs, and not otherwise.
    /// Returns what keeps it from being followed.
    fn follow(&self, instance: &Instance) -> Option<String> {
        let wanted = instance.state == InstanceState::Running;
        self.keeper.with(|memory| {
            let mut trouble = None;
            if let Some(follower) = memory.followers.get(&instance.id) {
                trouble = follower.trouble();
                if !wanted || follower.sealed != instance.sealed {
                    follower.stop();
                }
                if !follower.has_ended() {
                    return trouble.filter(|_| wanted);
                }
                memory.followers.remove(&instance.id);
            }
            if !wanted {
                return None;
            }
            match Follower::start(&self.runtime, instance) {
                Ok(follower) => {
                    memory.followers.insert(instance.id.clone(), follower);
                    trouble
                }
                Err(e) => Some(follower::not_started(&instance.id, &e).to_string()),
            }
        })
    }

    /// On whose behalf something happens by itself: the owner's.
    fn itself(&self, owner: &AccountId) -> Caller {
        Caller {
            account: owner.clone(),
            owner: owner.clone(),
            request: RequestId::random(self.entropy.as_ref()),
            idempotency: None,
        }
    }

    /// Starts a server of ours that should run and does not, and that its shim
    /// is not about to start.
    async fn revive(&self, instance: &Instance, tended: &mut Tended) -> Result<(), Refusal> {
        let now = self.clock.now();
        let too_soon = self.keeper.with(|memory| {
            let until = memory.revived.get(&instance.id);
            until.is_some_and(|until| *until > now)
        });
        if instance.kind != Kind::Managed || too_soon {
            return Ok(());
        }
        let server = managed::server(&self.runtime, &instance.id);
        let off = blocking(move || {
            let made = server.options().map_err(Refusal::Database)?.is_some();
            let state = server.state().map_err(Refusal::Database)?;
            Ok(made && matches!(state, State::Off { .. }))
        })
        .await?;
        if !off {
            return Ok(());
        }
        let caller = self.itself(&instance.owner);
        // Refused while a job works on it, which may have stopped it.
        let asked = self.restart(&caller, instance.id.as_str()).await?;
        self.keeper.with(|memory| {
            let until = now.plus_ms(AGAIN_MS);
            memory.revived.insert(instance.id.clone(), until);
        });
        tended.revived.push(asked.job);
        Ok(())
    }

    async fn take_if_due(&self, instance: &Instance, tended: &mut Tended) -> Result<(), Refusal> {
        let now = self.clock.now();
        let zone = instance.facts.zone.parse().unwrap_or(Zone::UTC);
        let Some(began) = window_began(&instance.backups, &zone, now) else {
            return Ok(());
        };
        let (last, too_soon) = self.keeper.with(|memory| {
            let too_soon = memory
                .not_before
                .get(&instance.id)
                .is_some_and(|until| *until > now);
            (memory.backup.clone(), too_soon)
        });
        if too_soon {
            return Ok(());
        }
        let (id, resource) = (instance.id.clone(), instance.resource());
        let (newest, base, busy) = self
            .store
            .read(move |tx| {
                let newest = persistence::newest_scheduled_backup(tx, &id)?;
                let base = persistence::newest_base(tx, &id)?;
                let busy = backout_jobs::holder_of(tx, &resource)?.is_some();
                Ok::<_, Refusal>((newest, base, busy))
            })
            .await?;
        if busy || !is_due(newest.as_ref(), began, now) {
            return Ok(());
        }
        if let Some(last) = last {
            // One that is not there any more was long ago.
            if self.jobs.get(&last).await.is_ok_and(|job| !job.is_done()) {
                return Ok(());
            }
        }
        let wanted = Wanted {
            name: None,
            way: Way::Automatic,
            method: match instance.backups.incremental && base.is_some() {
                true => Method::Incremental,
                false => Method::Full,
            },
            tables: Vec::new(),
        };
        let caller = self.itself(&instance.owner);
        let asked = self.begin_backup(&caller, instance, wanted).await?;
        self.keeper.with(|memory| {
            memory.backup = Some(asked.job.clone());
            let until = now.plus_ms(AGAIN_MS);
            memory.not_before.insert(instance.id.clone(), until);
        });
        tended.taken.push(asked.job);
        Ok(())
    }

    async fn remove_what_is_over(
        &self,
        instance: &Instance,
        tended: &mut Tended,
    ) -> Result<(), Refusal> {
        let now = self.clock.now();
        let days = |days: u32| now.plus_ms(-i64::from(days) * DAY_MS);
        let promised = days(instance.backups.history_days);
        let (id, resource) = (instance.id.clone(), instance.resource());
        let (backups, held) = self
            .store
            .read(move |tx| {
                let backups = persistence::backups_of(tx, &id, BACKUPS_LOOKED_AT)?;
                Ok::<_, Refusal>((backups, holding_of(tx, &resource)?))
            })
            .await?;
        if held.is_some() {
            // A way back may be reading both.
            self.keeper
                .with(|memory| memory.retention.remove(&instance.id));
            return Ok(());
        }
        let needed = needed_base(&backups, promised).cloned();
        let over = over(&backups, promised, days(instance.backups.keep_days));
        if !over.is_empty() {
            let caller = self.itself(&instance.owner);
            let asked = self.begin_deletion(&caller, instance, over, true).await?;
            tended.deleted.push(asked.job);
        }
        let follows = self.keeper.with(|memory| {
            let follower = memory.followers.get(&instance.id);
            follower.is_some_and(Follower::follows)
        });
        if follows {
            let archive = self.runtime.clone();
            let id = instance.id.clone();
            let purged = blocking(move || {
                let archive = archive.archive(&id)?;
                purge(&archive, promised, needed.as_ref()).map_err(Refusal::History)
            })
            .await?;
            if purged {
                tended.purged.push(instance.id.clone());
            }
        }
        self.remove_safety(instance, now).await
    }

    /// Removes what the undo of jobs needed that can be undone no longer.
    async fn remove_safety(&self, instance: &Instance, now: Timestamp) -> Result<(), Refusal> {
        let folder = self.runtime.home(&instance.id).join("safety");
        let found: Vec<(JobId, PathBuf)> = blocking(move || {
            let Ok(entries) = std::fs::read_dir(&folder) else {
                return Ok(Vec::new());
            };
            Ok(entries
                .flatten()
                .filter_map(|entry| {
                    let job = entry.file_name().to_str()?.parse().ok()?;
                    Some((job, entry.path()))
                })
                .collect())
        })
        .await?;
        let before = now.plus_ms(-self.runtime.safety_keep_ms);
        for (job, path) in found {
            let ended = self
                .store
                .read(move |tx| Ok::<_, Refusal>(persistence::task_of_job(tx, &job)?))
                .await?
                .and_then(|task| task.ended);
            if ended.is_some_and(|ended| ended < before) {
                blocking(move || {
                    std::fs::remove_dir_all(&path)
                        .map_err(|e| Refusal::Failed(format!("remove {}: {e}", path.display())))
                })
                .await?;
            }
        }
        Ok(())
    }
}

/// When the window of a schedule began in which `now` is; `None` outside.
fn window_began(config: &BackupConfig, zone: &Zone, now: Timestamp) -> Option<Timestamp> {
    let (hour, day) = zone.hour_and_day(now);
    let (from, to) = config.window;
    let inside = (from..to).contains(&hour) && config.days.get(day).copied().unwrap_or(false);
    if !config.enabled || !inside {
        return None;
    }
    // YYYY-MM-DD hh:mm:ss
    let local = zone.local(now);
    let part = |at: std::ops::Range<usize>| local.get(at)?.parse::<i64>().ok();
    let into_hour_s = part(14..16)? * 60 + part(17..19)?;
    let elapsed_s = i64::from(hour - from) * 3600 + into_hour_s;
    Some(now.plus_ms(-elapsed_s * 1000 - now.0.rem_euclid(1000)))
}

/// Whether a scheduled backup is to be begun, with the newest one of it.
fn is_due(newest: Option<&Backup>, began: Timestamp, now: Timestamp) -> bool {
    let Some(newest) = newest else {
        return true;
    };
    match newest.state {
        BackupState::Running => false,
        BackupState::Failed => now.since_ms(newest.started) >= AFTER_FAILURE_MS,
        BackupState::Ready | BackupState::Deleting => newest.started < began,
    }
}

/// The backup that ways back to the beginning of what is promised start from:
/// the newest one that is old enough, or the oldest.
fn needed_base(backups: &[Backup], promised: Timestamp) -> Option<&Backup> {
    let whole = || {
        backups
            .iter()
            .filter(|b| b.state == BackupState::Ready && b.method != Method::Partial)
    };
    whole()
        .filter(|b| b.as_of.is_some_and(|at| at <= promised))
        .max_by_key(|b| (b.as_of, b.number))
        .or_else(|| whole().min_by_key(|b| (b.as_of, b.number)))
}

/// The backups of a schedule whose time is over and that nothing needs, those
/// that build on others first. What somebody took by hand stays until somebody
/// deletes it: it was taken for a reason that no schedule knows.
fn over(backups: &[Backup], promised: Timestamp, kept_from: Timestamp) -> Vec<Backup> {
    let by_number: HashMap<u64, &Backup> = backups.iter().map(|b| (b.number, b)).collect();
    let mut kept = HashSet::new();
    let mut open: Vec<u64> = backups
        .iter()
        .filter(|b| {
            b.way == Way::Manual
                || b.started >= kept_from
                || !matches!(b.state, BackupState::Ready | BackupState::Failed)
        })
        .map(|b| b.number)
        .chain(needed_base(backups, promised).map(|b| b.number))
        .collect();
    while let Some(number) = open.pop() {
        if kept.insert(number)
            && let Some(backup) = by_number.get(&number)
        {
            open.extend(backup.base);
        }
    }
    let mut over: Vec<Backup> = backups
        .iter()
        .filter(|b| !kept.contains(&b.number))
        .cloned()
        .collect();
    // What builds on another was taken after it. When not all go at once, none
    // is left without what it builds on.
    over.sort_by_key(|b| std::cmp::Reverse(b.number));
    over.truncate(DELETE_MAX);
    over
}

/// Removes history from before what is promised, except what leads there from
/// the backup that it starts from. Blocking. Says whether any went: the archive
/// removes it in large pieces.
fn purge(
    archive: &Archive,
    promised: Timestamp,
    needed: Option<&Backup>,
) -> backout_history::Result<bool> {
    let before = archive.windows()?;
    let until = Micros(promised.0.saturating_mul(1000));
    let begins = before.first().map(|window| window.from.clone());
    let Some(begins) = begins.filter(|begins| begins.time <= until) else {
        return Ok(false);
    };
    let located = archive.locate(&Until::Time(until))?;
    let Some(from) = needed_from(&before, located.incarnation, located.position, needed) else {
        return Ok(false);
    };
    archive.purge_before(&from)?;
    let after = archive.windows()?;
    Ok(after.first().map(|window| &window.from) != Some(&begins))
}

/// Where the history begins that is needed, when what is promised begins at
/// `promised` in the life `incarnation` of the server's logs. `None` when all
/// of it is.
fn needed_from(
    windows: &[Window],
    incarnation: u32,
    promised: Position,
    needed: Option<&Backup>,
) -> Option<Position> {
    // A position means something within one life of the server's logs only.
    if windows.last()?.incarnation != incarnation {
        return None;
    }
    let this_life = windows.iter().find(|w| w.incarnation == incarnation)?;
    let older_life = windows.first()?.incarnation != incarnation;
    let Some(base) = needed else {
        return Some(promised);
    };
    let as_of = base.as_of.map_or(i64::MAX, |at| at.0.saturating_mul(1000));
    if as_of < this_life.from.time.0 {
        // Of a life before; or nothing leads on from it any more.
        return (!older_life).then_some(promised);
    }
    Some(match &base.position {
        Some(at) if *at < promised => at.clone(),
        _ => promised,
    })
}

#[cfg(test)]
mod tests {
    use backout_history::archive::Instant;

    use super::*;

    fn backup(number: u64, base: Option<u64>, day: i64) -> Backup {
        let at = Timestamp(day * DAY_MS);
        Backup {
            number,
            instance: "cdb-aaaaaaaa".parse().unwrap(),
            owner: "acct_aaaaaaaaaaaa".parse().unwrap(),
            name: String::new(),
            way: Way::Automatic,
            method: base.map_or(Method::Full, |_| Method::Incremental),
            state: BackupState::Ready,
            folder: PathBuf::new(),
            tables: Vec::new(),
            base,
            position: Some(Position {
                file: "b.000001".into(),
                offset: 4,
            }),
            gtid: None,
            bytes: 0,
            started: at,
            finished: Some(at),
            as_of: Some(at),
            job: None,
        }
    }

    fn numbers(backups: &[Backup]) -> Vec<u64> {
        backups.iter().map(|b| b.number).collect()
    }

    #[test]
    fn a_backup_goes_when_its_time_is_over_and_nothing_needs_it() {
        let day = |n: i64| Timestamp(n * DAY_MS);
        // Two chains: 1 <- 2 <- 3, 4 <- 5 <- 6, one a day.
        let chains: Vec<Backup> = (1..=6)
            .map(|n| {
                let base = (n != 1 && n != 4).then_some(n - 1);
                backup(n, base, n.cast_signed())
            })
            .collect();
        let of = |promised, kept| numbers(&over(&chains, day(promised), day(kept)));
        // The window begins at day 5: from 5, which builds on 4.
        assert_eq!(of(5, 5), [3, 2, 1]);
        // Day 4, kept from day 6 on: 4 and 6 with all between.
        assert_eq!(of(4, 6), [3, 2, 1]);
        // Day 3 is needed with its chain, though kept from day 6 on.
        assert_eq!(of(3, 6), Vec::<u64>::new());
        // Day 2: 3 builds on 2, nothing needs it.
        assert_eq!(of(2, 7), [6, 5, 4, 3]);
        // The window goes back further than all: the oldest is where it begins.
        assert_eq!(of(0, 7), [6, 5, 4, 3, 2]);
        // As long as time to keep says.
        assert_eq!(of(6, 1), Vec::<u64>::new());

        let mut some = chains.clone();
        some[2].way = Way::Manual;
        assert_eq!(numbers(&over(&some, day(5), day(5))), Vec::<u64>::new());
        some[2].way = Way::Automatic;
        some[2].state = BackupState::Failed;
        assert_eq!(numbers(&over(&some, day(5), day(5))), [3, 2, 1]);
        some[2].state = BackupState::Deleting;
        assert_eq!(numbers(&over(&some, day(5), day(5))), Vec::<u64>::new());
        // A partial one leads nowhere.
        let mut partial = vec![backup(1, None, 1), backup(2, None, 2)];
        partial[1].method = Method::Partial;
        assert_eq!(numbers(&over(&partial, day(5), day(5))), [2]);
        assert!(over(&[], day(5), day(5)).is_empty());
    }

    #[test]
    fn history_is_needed_from_the_backup_that_the_promise_starts_from() {
        let at = |text: &str| text.parse::<Position>().unwrap();
        let window = |incarnation, day: i64, position: &str| {
            let from = Instant {
                time: Micros(day * DAY_MS * 1000),
                position: at(position),
                gtid: None,
            };
            Window {
                incarnation,
                from: from.clone(),
                to: from,
                gap_before: None,
            }
        };
        let one = [window(0, 1, "b.000001:4")];
        let mut base = backup(1, None, 3);
        base.position = Some(at("b.000003:9"));
        let of = |windows: &[Window], incarnation, promised: &str, base: Option<&Backup>| {
            needed_from(windows, incarnation, at(promised), base).map(|at| at.to_string())
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(of(&one, 0, "b.000005:4", None), some("b.000005:4"));
        assert_eq!(of(&one, 0, "b.000005:4", Some(&base)), some("b.000003:9"));
        // The oldest there is, though it is younger than the promise.
        assert_eq!(of(&one, 0, "b.000002:4", Some(&base)), some("b.000002:4"));
        // The logs were reset on the second day: positions begin anew.
        let two = [one[0].clone(), window(1, 2, "b.000001:4")];
        assert_eq!(of(&two, 0, "b.000001:9", Some(&base)), None);
        assert_eq!(of(&two, 1, "b.000005:4", Some(&base)), some("b.000003:9"));
        base.as_of = Some(Timestamp(DAY_MS));
        assert_eq!(of(&two, 1, "b.000005:4", Some(&base)), None, "still needed");
        assert_eq!(
            of(&two[1..], 1, "b.000005:4", Some(&base)),
            some("b.000005:4")
        );
        assert_eq!(of(&[], 0, "b.000005:4", None), None);
    }

    #[test]
    fn a_backup_is_due_once_in_a_window() {
        let zone: Zone = "+02:00".parse().unwrap();
        let mut config = BackupConfig {
            window: (2, 6),
            ..BackupConfig::default()
        };
        // A Monday, 2024-09-09.
        let at = |text: &str| Timestamp(zone.instant(&text.parse().unwrap()).unwrap() / 1000);
        let began = |config: &BackupConfig, text| window_began(config, &zone, at(text));
        let monday = at("2024-09-09 02:00:00");
        assert_eq!(began(&config, "2024-09-09 01:59:59"), None);
        assert_eq!(began(&config, "2024-09-09 02:00:00"), Some(monday));
        assert_eq!(began(&config, "2024-09-09 05:59:59"), Some(monday));
        assert_eq!(began(&config, "2024-09-09 06:00:00"), None);
        config.days[0] = false;
        assert_eq!(began(&config, "2024-09-09 03:00:00"), None);
        assert!(began(&config, "2024-09-10 03:00:00").is_some());
        config.enabled = false;
        assert_eq!(began(&config, "2024-09-10 03:00:00"), None);

        let now = monday.plus_ms(2 * 3_600_000);
        let mut last = backup(1, None, 0);
        assert!(is_due(None, monday, now));
        last.started = monday.plus_ms(-DAY_MS);
        assert!(is_due(Some(&last), monday, now));
        last.started = monday;
        assert!(!is_due(Some(&last), monday, now));
        last.state = BackupState::Failed;
        assert!(is_due(Some(&last), monday, now));
        last.started = now.plus_ms(-60_000);
        assert!(!is_due(Some(&last), monday, now));
        last.started = monday.plus_ms(-DAY_MS);
        last.state = BackupState::Running;
        assert!(!is_due(Some(&last), monday, now));
    }
}
