//! Distributions, and the tables they are printed in.

use std::time::Duration;

/// Measured durations, sorted.
pub struct Sorted(Vec<Duration>);

impl Sorted {
    pub fn of(mut all: Vec<Duration>) -> Self {
        all.sort_unstable();
        Self(all)
    }

    /// The value that `share` of all are not above; 0 when nothing was measured.
    pub fn at(&self, share: f64) -> Duration {
        let last = self.0.len().saturating_sub(1);
        self.0.get((share * last as f64).round() as usize).copied().unwrap_or_default()
    }

    pub fn p50(&self) -> Duration {
        self.at(0.5)
    }

    pub fn p99(&self) -> Duration {
        self.at(0.99)
    }
}

/// Milliseconds with two digits.
pub fn ms(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1e3)
}

/// The middle one, and the lowest and the highest.
pub fn median_and_range(mut values: Vec<f64>) -> (f64, f64, f64) {
    values.sort_unstable_by(f64::total_cmp);
    let at = |index: usize| values.get(index).copied().unwrap_or_default();
    (at(values.len() / 2), at(0), at(values.len().saturating_sub(1)))
}

/// Prints rows under a head, as a Markdown table with aligned columns.
pub fn print_table(head: &[&str], rows: &[Vec<String>]) {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(String::as_str);
        cells.chain([head[column]]).map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let print = |cells: &[&str]| {
        let cells = cells.iter().enumerate();
        let padded: Vec<String> =
            cells.map(|(column, cell)| format!("{cell:<width$}", width = width(column))).collect();
        println!("| {} |", padded.join(" | "));
    };
    print(head);
    let lines: Vec<String> = (0..head.len()).map(|column| "-".repeat(width(column))).collect();
    print(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    for row in rows {
        print(&row.iter().map(String::as_str).collect::<Vec<_>>());
    }
    println!();
}
