//! Medians, and the small tables that are printed.

use std::fmt::Write as _;
use std::time::Duration;

/// Rounds of one measurement.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rounds(Vec<f64>);

impl Rounds {
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    pub(crate) fn time(&mut self, took: Duration) {
        self.push(took.as_secs_f64() * 1e3);
    }

    pub(crate) fn seconds(&mut self, took: Duration) {
        self.push(took.as_secs_f64());
    }

    fn sorted(&self) -> Vec<f64> {
        let mut all = self.0.clone();
        all.sort_by(f64::total_cmp);
        all
    }

    /// The middle round; of an even number the mean of the two.
    pub(crate) fn median(&self) -> f64 {
        let all = self.sorted();
        match all.len() {
            0 => f64::NAN,
            n if n % 2 == 1 => all[n / 2],
            n => f64::midpoint(all[n / 2 - 1], all[n / 2]),
        }
    }

    /// The middle of the ratios of this to `other`, round by round: what slowed
    /// one round slowed its pair.
    pub(crate) fn ratio(&self, other: &Self) -> f64 {
        self.ratios(other).median()
    }

    /// These ratios.
    pub(crate) fn ratios(&self, other: &Self) -> Self {
        let pairs = self.0.iter().zip(&other.0);
        Self(pairs.map(|(a, b)| a / b).collect())
    }

    /// `low..high`, to show the noise.
    pub(crate) fn spread(&self) -> String {
        let all = self.sorted();
        match (all.first(), all.last()) {
            (Some(low), Some(high)) => format!("{}..{}", number(*low), number(*high)),
            _ => String::new(),
        }
    }
}

/// Three digits that count.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    if size >= 100.0 {
        format!("{value:.0}")
    } else if size >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

/// A table whose first line is its head.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(head: &[&str]) -> Self {
        Self {
            rows: vec![head.iter().map(|cell| (*cell).to_owned()).collect()],
        }
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// A measurement: its name, median and spread.
    pub(crate) fn rounds(&mut self, name: &str, rounds: &Rounds) {
        self.row(vec![
            name.to_owned(),
            number(rounds.median()),
            rounds.spread(),
        ]);
    }

    /// Text first, aligned left; the rest to the right.
    pub(crate) fn print(&self) {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            for (column, cell) in row.iter().enumerate() {
                // Writing to a String cannot fail.
                let _ = match column {
                    0 => write!(text, "  {cell:<0$}", widths[column]),
                    _ => write!(text, "  {cell:>0$}", widths[column]),
                };
            }
            text.push('\n');
        }
        println!("{text}");
    }
}

/// Prints a ratio with what it must reach, and says whether it did.
pub(crate) fn at_least(name: &str, ratio: f64, target: f64) -> bool {
    let reached = ratio >= target;
    let word = if reached { "ok" } else { "MISSED" };
    println!(
        "  {name}: {}  (at least {}: {word})",
        number(ratio),
        number(target)
    );
    reached
}

/// As [`at_least`], for what must stay small.
pub(crate) fn at_most(name: &str, value: f64, unit: &str, target: f64) -> bool {
    let reached = value <= target;
    let word = if reached { "ok" } else { "MISSED" };
    println!(
        "  {name}: {}{unit}  (at most {}{unit}: {word})",
        number(value),
        number(target)
    );
    reached
}

/// As [`at_least`], for what was measured once beside rounds of ours: with the
/// spread that those give the ratio.
pub(crate) fn at_least_of(name: &str, theirs: f64, ours: &Rounds, target: f64) -> bool {
    let ratios = Rounds(ours.0.iter().map(|ours| theirs / ours).collect());
    let name = format!("{name} ({})", ratios.spread());
    at_least(&name, theirs / ours.median(), target)
}

/// As [`at_most`], for rounds beside rounds.
pub(crate) fn at_most_of(name: &str, ours: &Rounds, theirs: &Rounds, target: f64) -> bool {
    let ratios = ours.ratios(theirs);
    let name = format!("{name} ({})", ratios.spread());
    at_most(&name, ratios.median(), "", target)
}

/// The head of a bench: what it is, and how to repeat it.
pub(crate) fn title(what: &str, bench: &str) {
    println!("{what}\n  cargo run --release -p backout-bench -- {bench}\n");
}
