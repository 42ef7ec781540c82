//! Random moves, compared with a model in memory.

use std::collections::BTreeMap;

use super::lab::{Lab, SETTINGS, SIZE, Setting, digest, live_in_memory, name};
use crate::*;

/// Moves per setting: many where no tool has to run, few where only the reading
/// of the contents is slower than elsewhere.
fn moves(setting: Setting) -> u32 {
    match (setting.driver, setting.format) {
        (DriverKind::Qcow2, _) => 250,
        (_, Format::Raw) => 600,
        (_, Format::Qcow2) => 60,
    }
}

/// A small generator of our own, so that a failure can be run again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        ((self.0 >> 33) as usize) % sides
    }
}

struct Game {
    lab: Lab,
    dice: Dice,
    head: Vec<u8>,
    points: BTreeMap<String, (Point, Vec<u8>)>,
    count: u32,
}

impl Game {
    /// Runs a function that may crash somewhere, and then is repeated.
    fn act(&mut self, act: &dyn Fn(&mut Lab) -> Result<()>) {
        if self.dice.roll(3) == 0 {
            let at = self.dice.roll(12) as u32;
            if self.lab.watched(Some(at), act).is_some() {
                return;
            }
        }
        self.lab.watched(None, act);
    }

    fn fresh(&mut self) -> String {
        self.count += 1;
        format!("n{}", self.count)
    }

    fn any_point(&mut self) -> Option<(Point, Vec<u8>)> {
        if self.points.is_empty() {
            return None;
        }
        let index = self.dice.roll(self.points.len());
        self.points.values().nth(index).cloned()
    }

    fn write(&mut self) {
        let seed = self.dice.roll(255) as u8;
        self.lab.write(seed);
        for at in [0, 2 + usize::from(seed % 3), 9 + usize::from(seed % 5)] {
            self.head[at << 16..(at << 16) + 40_000].fill(seed);
        }
    }

    fn capture(&mut self) {
        let fresh = self.fresh();
        let point = name(&fresh).point(self.lab.disk.format);
        let is_paused = self.dice.roll(2) == 0;
        self.act(&|lab| {
            let guard = lab.lock()?;
            let (driver, n) = (lab.driver(), name(&fresh));
            if is_paused {
                driver.capture_paused(&guard, &lab.disk, &n, &NoProgress)?;
            } else {
                driver.capture(&guard, &lab.disk, &n, &NoProgress)?;
            }
            Ok(())
        });
        if self.dice.roll(4) == 0 {
            let write = self.dice.roll(2) == 0;
            if write {
                self.write();
            }
            self.act(&|lab| {
                let guard = lab.lock()?;
                lab.driver().uncapture(&guard, &lab.disk, &name(&fresh))
            });
            return;
        }
        let file = point.file.clone();
        self.points.insert(file, (point, self.head.clone()));
    }

    fn rollback(&mut self) {
        let Some((point, contents)) = self.any_point() else {
            return;
        };
        self.change(contents, &|lab, fresh| lab.stage(&point, fresh));
    }

    /// Back to an image that is none of the disk's.
    fn reinstall(&mut self) {
        let seed = 1 + self.dice.roll(254) as u8;
        let format = [Format::Raw, Format::Qcow2][self.dice.roll(2)];
        let image = self.lab.image(format, seed);
        self.change(Lab::image_contents(seed), &|lab, fresh| {
            let guard = lab.lock()?;
            let staged = lab.driver().stage_image(
                &guard,
                &lab.disk,
                &image,
                format,
                SIZE,
                &name(fresh),
                &NoProgress,
            )?;
            lab.staged = Some(staged);
            Ok(())
        });
    }

    /// The same contents in one file.
    fn compact(&mut self) {
        self.change(self.head.clone(), &|lab, fresh| {
            let guard = lab.lock()?;
            let driver = lab.driver();
            let staged = driver.stage_flat(&guard, &lab.disk, &name(fresh), &NoProgress)?;
            lab.staged = Some(staged);
            Ok(())
        });
    }

    /// An image out of the disk. It goes again, now and then taken back.
    fn export(&mut self) {
        let fresh = self.fresh();
        let format = [Format::Raw, Format::Qcow2][self.dice.roll(2)];
        let target = self.lab.outside().join(&fresh);
        self.act(&|lab| {
            let guard = lab.lock()?;
            let (driver, n) = (lab.driver(), name(&fresh));
            driver.export(&guard, &lab.disk, &target, format, &n, &NoProgress)?;
            Ok(())
        });
        assert!(Lab::read(&target, format) == self.head, "{target:?}");
        self.act(&|lab| {
            let guard = lab.lock()?;
            let driver = lab.driver();
            driver.unexport(&guard, &lab.disk, &target, &name(&fresh))
        });
        assert_eq!(std::fs::read_dir(self.lab.outside()).unwrap().count(), 0);
    }

    /// Stages a head with `contents` and puts it in place; now and then it is
    /// all taken back.
    fn change(&mut self, contents: Vec<u8>, stage: &dyn Fn(&mut Lab, &str) -> Result<()>) {
        let fresh = self.fresh();
        self.act(&|lab| stage(lab, &fresh));
        self.act(&|lab| lab.keep(&fresh).map(drop));
        if self.dice.roll(5) > 0 {
            self.act(&Lab::swap);
            if self.dice.roll(3) > 0 {
                let safe = name(&fresh).point(self.lab.disk.format);
                let old = std::mem::replace(&mut self.head, contents);
                self.points.insert(safe.file.clone(), (safe, old));
                return;
            }
            self.act(&Lab::unswap);
        }
        self.act(&|lab| {
            let guard = lab.lock()?;
            lab.driver().unkeep(&guard, &lab.disk, &name(&fresh))
        });
        self.act(&|lab| {
            let guard = lab.lock()?;
            lab.driver().unstage(&guard, &lab.disk, &name(&fresh))
        });
    }

    fn delete(&mut self) {
        let Some((point, _)) = self.any_point() else {
            return;
        };
        self.act(&|lab| {
            let guard = lab.lock()?;
            lab.driver().retire(&guard, &lab.disk, &point).map(drop)
        });
        if self.dice.roll(4) == 0 {
            self.act(&|lab| {
                let guard = lab.lock()?;
                lab.driver().unretire(&guard, &lab.disk, &point)
            });
            return;
        }
        self.points.remove(&point.file);
        let live: Vec<Point> = self
            .points
            .values()
            .map(|(point, _)| point.clone())
            .collect();
        self.act(&|lab| {
            let guard = lab.lock()?;
            lab.driver().purge(&guard, &lab.disk, &point, &live)?;
            Ok(())
        });
    }

    fn check_points(&self) {
        for (file, (point, contents)) in &self.points {
            self.lab
                .driver()
                .verify_point(&self.lab.disk, point)
                .unwrap();
            let found = self.lab.point(point);
            assert!(
                found == *contents,
                "{file} is {} and should be {}",
                digest(&found),
                digest(contents)
            );
        }
    }
}

fn play(setting: Setting, seed: u64) {
    let _volume = live_in_memory(setting);
    let mut lab = Lab::new(setting);
    lab.adopt();
    let mut game = Game {
        lab,
        dice: Dice(seed),
        head: vec![0; SIZE as usize],
        points: BTreeMap::new(),
        count: 0,
    };
    for step in 0..moves(setting) {
        match game.dice.roll(13) {
            0..=3 => game.write(),
            4 | 5 => game.capture(),
            6 | 7 => game.rollback(),
            8 => game.reinstall(),
            9 => game.compact(),
            10 => game.export(),
            _ => game.delete(),
        }
        let found = game.lab.head();
        assert!(
            found == game.head,
            "head after move {step} of seed {seed} with {setting:?}"
        );
        if step % 25 == 24 {
            game.check_points();
        }
    }
    // Whole-file drivers keep nothing but the points there are.
    if setting.driver != DriverKind::Qcow2 {
        let files: Vec<_> = game.points.keys().cloned().collect();
        assert_eq!(game.lab.files(), files);
    }
    // And when every point is deleted, only what the head needs is left.
    let points: Vec<Point> = game
        .points
        .values()
        .map(|(point, _)| point.clone())
        .collect();
    game.points.clear();
    for point in &points {
        let guard = game.lab.guard();
        let lab = &game.lab;
        lab.driver().retire(&guard, &lab.disk, point).unwrap();
        lab.driver().purge(&guard, &lab.disk, point, &[]).unwrap();
    }
    assert!(game.lab.head() == game.head);
    let files = game.lab.files();
    assert!(
        !files
            .iter()
            .any(|file| file.starts_with("trash-") || file.starts_with("stage-"))
    );
    if setting.driver != DriverKind::Qcow2 {
        assert!(files.is_empty(), "{files:?}");
    }
}

#[test]
fn random_moves_agree_with_a_model() {
    std::thread::scope(|scope| {
        for (index, setting) in SETTINGS.into_iter().enumerate() {
            scope.spawn(move || play(setting, 0xb0 + index as u64));
        }
    });
}
