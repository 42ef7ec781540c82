//! Sessions that write at random into the same tables.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock, RwLockWriteGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use backout_mariadb::Session;
use backout_mariadb::testing::{PATIENCE, PrivateServer};

use crate::common;
use crate::tables::{Dice, Model, Values, value};

/// What the writers do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    Run = 0,
    /// As others are at work on the same machine.
    Slow = 1,
    /// Nothing; no transaction is left prepared.
    Quiet = 2,
}

struct Shared {
    gate: RwLock<()>,
    phase: AtomicU8,
    stop: AtomicBool,
    done: AtomicU64,
    quiet: AtomicUsize,
    models: Mutex<Vec<Model>>,
}

/// The writers; they end when this goes.
pub(crate) struct Writers {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Drop for Writers {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Writers {
    /// They wait until told to run.
    pub(crate) fn start(
        server: &PrivateServer,
        count: usize,
        seed: u64,
        models: Vec<Model>,
    ) -> Self {
        let shared = Arc::new(Shared {
            gate: RwLock::new(()),
            phase: AtomicU8::new(Phase::Run as u8),
            stop: AtomicBool::new(false),
            done: AtomicU64::new(0),
            quiet: AtomicUsize::new(0),
            models: Mutex::new(models),
        });
        let threads = (0..count)
            .map(|i| {
                let session = common::session(server);
                let writer = Writer {
                    session,
                    dice: Dice::new(seed ^ (i as u64) << 32),
                    shared: Arc::clone(&shared),
                    name: i,
                    begun: 0,
                    prepared: None,
                    quiet: false,
                };
                std::thread::spawn(move || writer.work())
            })
            .collect();
        Self { shared, threads }
    }

    /// Waits until they have done some transactions more.
    pub(crate) fn run(&self, transactions: u64) {
        let until = self.shared.done.load(Ordering::Relaxed) + transactions;
        self.patiently(|s| s.done.load(Ordering::Relaxed) >= until);
    }

    fn patiently(&self, there: impl Fn(&Shared) -> bool) {
        let began = Instant::now();
        while !there(&self.shared) {
            assert!(began.elapsed() < PATIENCE, "the writers do not go on");
            if self.shared.stop.load(Ordering::Relaxed) {
                // The server has ended, which is found next.
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Keeps them between two transactions; one that is prepared may be open.
    pub(crate) fn pause(&self) -> RwLockWriteGuard<'_, ()> {
        self.shared.gate.write().unwrap()
    }

    pub(crate) fn phase(&self, phase: Phase) {
        self.shared.phase.store(phase as u8, Ordering::Relaxed);
        if phase == Phase::Quiet {
            let all = self.threads.len();
            self.patiently(|s| s.quiet.load(Ordering::Relaxed) == all);
        }
    }

    pub(crate) fn models(&self) -> Vec<Model> {
        self.shared.models.lock().unwrap().clone()
    }

    pub(crate) fn set(&self, models: Vec<Model>) {
        *self.shared.models.lock().unwrap() = models;
    }
}

struct Writer {
    session: Session,
    dice: Dice,
    shared: Arc<Shared>,
    name: usize,
    begun: u64,
    prepared: Option<String>,
    quiet: bool,
}

impl Writer {
    fn work(mut self) {
        self.run("SET SESSION sql_mode='', innodb_lock_wait_timeout=1, lock_wait_timeout=2, innodb_strict_mode=0");
        while !self.shared.stop.load(Ordering::Relaxed) {
            let phase = self.shared.phase.load(Ordering::Relaxed);
            if phase == Phase::Quiet as u8 {
                self.settle();
                if !self.quiet {
                    self.quiet = true;
                    self.shared.quiet.fetch_add(1, Ordering::Relaxed);
                }
                std::thread::sleep(Duration::from_millis(2));
                continue;
            }
            if self.quiet {
                self.quiet = false;
                self.shared.quiet.fetch_sub(1, Ordering::Relaxed);
            }
            let rest = if phase == Phase::Slow as u8 { 20 } else { 1 };
            {
                let shared = Arc::clone(&self.shared);
                let _gate = shared.gate.read().unwrap();
                self.transact();
                shared.done.fetch_add(1, Ordering::Relaxed);
            }
            // A pace: others want the machine, and the one who pauses the gate.
            std::thread::sleep(Duration::from_millis(rest));
        }
        self.settle();
    }

    /// Runs a statement; that it is refused is a part of the game.
    fn run(&mut self, sql: &str) -> bool {
        let done = self.session.exec("test", sql);
        if let Err(backout_mariadb::Error::Lost { .. }) = &done {
            // Whoever waits for the writers says why the server has ended.
            self.shared.stop.store(true, Ordering::Relaxed);
        }
        done.is_ok()
    }

    /// Ends what is prepared.
    fn settle(&mut self) {
        if let Some(xid) = self.prepared.take() {
            let end = if self.dice.one_in(3) {
                "ROLLBACK"
            } else {
                "COMMIT"
            };
            self.run(&format!("XA {end} {xid}"));
        }
    }

    fn transact(&mut self) {
        if self.prepared.is_some() {
            // Others go on while it is prepared.
            if self.dice.one_in(8) {
                self.settle();
            }
            return;
        }
        let models = self.shared.models.lock().unwrap().clone();
        self.begun += 1;
        match self.dice.roll(20) {
            0 => {
                let xid = format!("'x{}','{}',{}", self.begun, self.name, self.name + 1);
                self.run(&format!("XA START {xid}"));
                let mut went = true;
                for _ in 0..=self.dice.roll(3) {
                    went &= self.change(&models);
                }
                self.run(&format!("XA END {xid}"));
                if went && self.run(&format!("XA PREPARE {xid}")) {
                    self.prepared = Some(xid);
                } else {
                    self.run(&format!("XA ROLLBACK {xid}"));
                }
            }
            1..=6 => {
                // On its own.
                self.change(&models);
            }
            _ => {
                self.run("START TRANSACTION");
                let mut went = true;
                for i in 0..=self.dice.roll(5) {
                    if self.dice.one_in(6) {
                        self.run(&format!("SAVEPOINT s{i}"));
                        self.change(&models);
                        self.change(&models);
                        if self.dice.one_in(2) {
                            self.run(&format!("ROLLBACK TO SAVEPOINT s{i}"));
                        }
                    }
                    if self.dice.one_in(25) {
                        self.run(&format!("USE `{}`", models[0].schema));
                        self.run("CREATE TEMPORARY TABLE IF NOT EXISTS test_temporary (a INT)");
                        self.run("INSERT INTO test_temporary VALUES (1)");
                    }
                    went &= self.change(&models);
                }
                let keep = went || self.dice.one_in(2);
                if keep && !self.dice.one_in(8) {
                    self.run("COMMIT");
                } else {
                    self.run("ROLLBACK");
                }
            }
        }
    }

    /// One statement or a few that belong together.
    fn change(&mut self, models: &[Model]) -> bool {
        let model = &models[self.dice.roll(models.len())];
        let table = model.quoted();
        match self.dice.roll(22) {
            0..=7 => {
                let verb = self
                    .dice
                    .pick(&["INSERT", "INSERT", "INSERT IGNORE", "REPLACE"]);
                let sql = self.insert(model, verb);
                self.run(&sql)
            }
            8 | 9 => {
                let mut sql = self.insert(model, "INSERT");
                let at = self.dice.roll(model.columns.len());
                let new = value(&mut self.dice, &model.columns[at], true);
                sql.push_str(&format!(
                    " ON DUPLICATE KEY UPDATE {}={new}",
                    model.columns[at].name
                ));
                self.run(&sql)
            }
            10..=14 => {
                let mut sets = Vec::new();
                for _ in 0..=self.dice.roll(3) {
                    let at = self.dice.roll(model.columns.len());
                    // Keys change less often.
                    if at < model.key && !self.dice.one_in(3) {
                        continue;
                    }
                    let column = &model.columns[at];
                    let new = value(&mut self.dice, column, true);
                    sets.push(format!("{}={new}", column.name));
                }
                if sets.is_empty() {
                    return true;
                }
                let ignore = self.dice.pick(&["", "", " IGNORE"]);
                let which = self.which(model);
                self.run(&format!(
                    "UPDATE{ignore} {table} SET {} {which}",
                    sets.join(", ")
                ))
            }
            15 | 16 => {
                let which = self.which(model);
                self.run(&format!("DELETE FROM {table} {which}"))
            }
            17 | 18 => match &model.swapped {
                Some(column) => self.swap(&table, column),
                None => true,
            },
            19 => {
                // What is there, once more.
                let names: Vec<&str> = model
                    .columns
                    .iter()
                    .skip(usize::from(model.auto))
                    .map(|c| c.name.as_str())
                    .collect();
                let names = names.join(",");
                if names.is_empty() {
                    return true;
                }
                let seed = self.dice.roll(10_000);
                self.run(&format!(
                    "INSERT IGNORE INTO {table} ({names}) SELECT {names} FROM {table} ORDER BY RAND({seed}) LIMIT 4"
                ))
            }
            20 => {
                // Only in how it is written.
                let text = model
                    .columns
                    .iter()
                    .find(|c| matches!(c.values, Values::Text(..)));
                match text {
                    Some(column) => {
                        let which = self.which(model);
                        let of = self.dice.pick(&["UPPER", "LOWER", "RTRIM"]);
                        self.run(&format!(
                            "UPDATE {table} SET {0}={of}({0}) {which}",
                            column.name
                        ))
                    }
                    None => true,
                }
            }
            _ => {
                // Bounded, so that tables stay small.
                let seed = self.dice.roll(10_000);
                self.run(&format!(
                    "DELETE FROM {table} WHERE (SELECT COUNT(*) FROM (SELECT 1 FROM {table} LIMIT 121) x) > 120 ORDER BY RAND({seed}) LIMIT 60"
                ))
            }
        }
    }

    fn which(&mut self, model: &Model) -> String {
        let seed = self.dice.roll(10_000);
        if self.dice.one_in(4)
            && let Some(column) = model.columns.first()
        {
            let of = value(&mut self.dice, column, true);
            return format!("WHERE {}={of} LIMIT 3", column.name);
        }
        let limit = if self.dice.one_in(20) {
            40
        } else {
            1 + self.dice.roll(4)
        };
        format!("ORDER BY RAND({seed}) LIMIT {limit}")
    }

    fn insert(&mut self, model: &Model, verb: &str) -> String {
        let skip = usize::from(model.auto && !self.dice.one_in(4));
        let columns = &model.columns[skip.min(model.columns.len() - 1)..];
        let names: Vec<&str> = columns.iter().map(|c| c.name.as_str()).collect();
        let count = if self.dice.one_in(10) {
            12
        } else {
            1 + self.dice.roll(3)
        };
        let rows: Vec<String> = (0..count)
            .map(|_| {
                let narrow = self.dice.one_in(2);
                let values: Vec<String> = columns
                    .iter()
                    .map(|c| value(&mut self.dice, c, narrow))
                    .collect();
                format!("({})", values.join(","))
            })
            .collect();
        format!(
            "{verb} INTO {} ({}) VALUES {}",
            model.quoted(),
            names.join(","),
            rows.join(",")
        )
    }

    /// Exchanges unique values of two rows, or moves all on by one.
    fn swap(&mut self, table: &str, column: &str) -> bool {
        if self.dice.one_in(3) {
            return self.run(&format!(
                "UPDATE {table} SET {column}={column}+1 WHERE {column} BETWEEN 3 AND 100 ORDER BY {column} DESC"
            ));
        }
        let (a, b) = (self.dice.roll(60), self.dice.roll(60));
        self.run(&format!(
            "UPDATE {table} SET {column}=100000 WHERE {column}={a}"
        )) && self.run(&format!(
            "UPDATE {table} SET {column}={a} WHERE {column}={b}"
        )) && self.run(&format!(
            "UPDATE {table} SET {column}={b} WHERE {column}=100000"
        ))
    }
}
