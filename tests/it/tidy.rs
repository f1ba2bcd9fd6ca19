//! House rules that the compiler does not hold: the direction of `use`, and how files open.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Rooms in the order in which they may use each other: only names of earlier rows; a row's own
/// names never use each other.
const ROWS: [&[&str]; 11] = [
    &["core", "entropy", "fault"],
    &["logs"],
    &["config", "clock", "metrics", "vitals"],
    &["store", "slack", "exec", "notify", "source"],
    &["engine"],
    &["command"],
    &["pipeline"],
    &["http", "worker"],
    &["app", "audit", "command_line"],
    &["demo"],
    &["cli"],
];
/// Stands apart: uses no other room; only the demo, the command line and tests use it.
const APART: &str = "sandbox";
/// A file longer than this, without its tests, has more than one reason to exist.
const FILE_LINES_MAX: usize = 900;

fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(&root).unwrap().to_owned(), text));
            }
        }
    }
    assert!(found.len() > 30, "the sources were not found");
    found
}

/// Everything before the file's own tests.
fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or_default()
}

fn room_of(path: &Path) -> String {
    let first = path.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

fn row_of(room: &str) -> Option<usize> {
    ROWS.iter().position(|row| row.contains(&room))
}

#[test]
fn rooms_use_only_what_stands_before_them() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let room = room_of(&path);
        if room == "lib" || room == "main" || path.ends_with("tests.rs") {
            continue;
        }
        let used: BTreeSet<&str> = without_tests(&text)
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .flat_map(|line| {
                line.split("crate::").skip(1).chain(line.split("neostock_ops::").skip(1))
            })
            .map(|rest| {
                rest.split(|letter: char| !letter.is_alphanumeric() && letter != '_')
                    .next()
                    .unwrap()
            })
            .filter(|name| *name == APART || row_of(name).is_some())
            .collect();
        for other in used {
            let fits = if other == room {
                true
            } else if room == APART {
                false
            } else if other == APART {
                room == "demo" || room == "cli"
            } else {
                row_of(other) < row_of(&room)
            };
            if !fits {
                wrong.push(format!("{} uses {other}", path.display()));
            }
        }
        assert!(room == APART || row_of(&room).is_some(), "{} is in no row", path.display());
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_file_says_what_it_is_for() {
    for (path, text) in sources() {
        assert!(text.starts_with("//!"), "{} does not open with //!", path.display());
    }
}

#[test]
fn no_file_has_two_reasons_to_exist() {
    for (path, text) in sources() {
        let lines = without_tests(&text).lines().count();
        assert!(lines <= FILE_LINES_MAX, "{} has {lines} lines", path.display());
    }
}

#[test]
fn only_the_store_speaks_sql() {
    for (path, text) in sources() {
        let room = room_of(&path);
        let speaks = without_tests(&text).contains("sqlx::query");
        assert!(!speaks || room == "store" || room == APART, "{} has SQL", path.display());
    }
}
