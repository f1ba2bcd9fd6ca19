//! Exports of the journal: what they hold, who may have one, what is found in a changed one, and that
//! another program reads them as we do.

use crate::harness::database::{TestDatabase, both_engines};
use neostock_ops::audit::{self, Export, ExportError, check_file};
use neostock_ops::clock::Clock;
use neostock_ops::core::journal::{
    Anchor, Encoding, Entry, ExportFault, ExportKey, ExportReport, Keys, Row, Selection,
};
use neostock_ops::store::journal::{Filter, newest_of};
use neostock_ops::store::{Error, Store, journal};
use secrecy::SecretString;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

const NOW_MS: i64 = 1_795_489_200_000;
const KEY: &str = "the journal's own key, long enough for it";
const EXPORT_KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
/// Bytes that are changed one by one.
const CHANGES: usize = 24;
/// Texts that something could trip over.
const HOSTILE: [&str; 8] = [
    "=HYPERLINK(\"http://evil.example\",\"x\")",
    "+1,2\n3",
    "@SUM(A1:A9)",
    "'quoted",
    "\"\",\"\"\r\n# {}",
    "部署\u{202e}\u{1b}[2J",
    "\u{7f}\u{0}\u{1}|\\\"",
    "1,2,3:4,!\u{1f}\u{1e}",
];

fn keys() -> Keys {
    Keys::from(Some(SecretString::from(KEY)))
}

fn export_key() -> ExportKey {
    ExportKey::new(&SecretString::from(EXPORT_KEY)).unwrap()
}

fn export_of(encoding: Encoding, selection: Selection) -> Export {
    Export { encoding, selection, by: "uid 7".to_owned(), key: Some(export_key()) }
}

async fn filled(database: &TestDatabase, keys: Keys) -> Store {
    let store = Store::connect(&database.url, Clock::manual(NOW_MS), keys).await.unwrap();
    let written: Result<(), Error> = store
        .unit(|unit| {
            Box::pin(async move {
                for number in 0..40 {
                    unit.journal(Entry {
                        at_ms: NOW_MS + number as i64 * 1_000,
                        actor: HOSTILE[number % 8].to_owned(),
                        origin: HOSTILE[(number + 1) % 8].to_owned(),
                        kind: if number % 2 == 0 { "run.started" } else { "step.ok" }.to_owned(),
                        subject: format!("R-{}", number % 5),
                        detail: json!({"text": HOSTILE[number % 7], "number": number}),
                    });
                }
                Ok(())
            })
        })
        .await;
    written.unwrap();
    store
}

async fn exported(store: &Store, export: &Export, folder: &TempDir, name: &str) -> PathBuf {
    let path = folder.path().join(name);
    audit::export(store, export, Some(&path), &mut Vec::new()).await.unwrap();
    path
}

async fn all_rows(store: &Store) -> Vec<Row> {
    journal::page(&mut store.read().await.unwrap(), 0, 1_000).await.unwrap()
}

fn checked(path: &Path, keys: &Keys) -> (ExportReport, Vec<Row>) {
    let mut rows = Vec::new();
    let public_key = export_key().public_key();
    let report = check_file(path, keys, (Some(&public_key), None), |row| {
        rows.push(row.row().clone());
    });
    (report.unwrap(), rows)
}

/// The other program, with the journal's key in its environment.
fn python(path: &Path, key: &str) -> Output {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/verify_journal.py");
    Command::new("python3")
        .arg(program)
        .args([path.as_os_str(), export_key().public_key().as_ref()])
        .env("NEOSTOCK_JOURNAL_KEY", key)
        .env_remove("NEOSTOCK_JOURNAL_KEY_PREVIOUS")
        .output()
        .expect("python3 runs")
}

/// Which line the other program names; `None`: it names none.
fn line_of(output: &Output) -> Option<u64> {
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    words.strip_prefix("line ")?.split(':').next()?.parse().ok()
}

both_engines! {
    async fn an_export_holds_exactly_the_rows_and_says_so_in_the_journal(database: TestDatabase) {
        let store = filled(&database, keys()).await;
        let folder = tempfile::tempdir().unwrap();
        for (encoding, name) in [(Encoding::Jsonl, "a.jsonl"), (Encoding::Csv, "a.csv")] {
            let before = all_rows(&store).await;
            let export = export_of(encoding, Selection::default());

            let path = exported(&store, &export, &folder, name).await;

            let (report, rows) = checked(&path, &keys());
            assert!(report.is_sound() && report.unchecked == 0, "{report:?}");
            assert_eq!(rows, before);
            let head = report.head.unwrap();
            assert_eq!((head.first_seq, head.last_seq, head.count), (1, 41 + i64::from(name == "a.csv"), rows.len() as i64));
            assert_eq!(head.head().hash, before.last().unwrap().hash);
            let newest =
                newest_of(&mut store.read().await.unwrap(), &Filter { kind_prefix: "journal.exported".into(), ..Filter::default() }, 1).await.unwrap();
            let detail: Value = serde_json::from_str(&newest[0].detail).unwrap();
            assert_eq!((newest[0].actor.as_str(), &detail["sha256"]), ("uid 7", &json!(head.sha256)));
            assert_eq!(detail["count"], head.count);
            // Nobody is given another's file, and nothing is written over.
            let refused = audit::export(&store, &export, Some(&path), &mut Vec::new()).await;
            assert!(matches!(refused, Err(ExportError::Exists(_))));
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().filter(|entry| {
                entry.as_ref().unwrap().file_name().to_string_lossy().starts_with('.')
            }).count(), 0, "no temporary file is left");
        }
        store.close().await;
    }

    async fn a_filter_leaves_rows_out_and_standard_output_holds_the_same(database: TestDatabase) {
        let store = filled(&database, keys()).await;
        let folder = tempfile::tempdir().unwrap();
        let selection = Selection {
            kind: "run.".to_owned(),
            subject: "R-2".to_owned(),
            since_ms: Some(NOW_MS + 3_000),
            until_ms: Some(NOW_MS + 32_000),
            ..Selection::default()
        };
        let export = export_of(Encoding::Csv, selection.clone());
        let path = exported(&store, &export, &folder, "some.csv").await;
        let mut out = Vec::new();

        audit::export(&store, &export, None, &mut out).await.unwrap();

        let (report, rows) = checked(&path, &keys());
        assert!(report.is_sound(), "{report:?}");
        let numbers: Vec<i64> = rows.iter().map(|row| row.seq - 2).collect();
        assert_eq!(numbers, [12, 22, 32]);
        assert_eq!(report.head.unwrap().filter, selection);
        let file = std::fs::read(&path).unwrap();
        let lines = |bytes: &[u8]| bytes.split(|byte| *byte == b'\n').rev().skip(2).map(<[u8]>::to_vec).collect::<Vec<_>>();
        assert_eq!(lines(&out), lines(&file));
        store.close().await;
    }

    async fn every_changed_byte_is_found_and_another_program_agrees(database: TestDatabase) {
        let store = filled(&database, keys()).await;
        let folder = tempfile::tempdir().unwrap();
        let export = export_of(Encoding::Jsonl, Selection::default());
        let jsonl = exported(&store, &export, &folder, "a.jsonl").await;
        let csv = exported(&store, &export_of(Encoding::Csv, Selection::default()), &folder, "a.csv").await;
        store.close().await;
        let sound = python(&jsonl, KEY);
        let said = String::from_utf8_lossy(&sound.stdout).into_owned();
        assert!(sound.status.success(), "{}", String::from_utf8_lossy(&sound.stderr));
        assert!(said.starts_with("41 entries, signed, head 41:"), "{said}");
        let keyless = python(&jsonl, "");
        assert!(keyless.status.success(), "digest, links and signature need no key");

        for path in [&jsonl, &csv] {
            let bytes = std::fs::read(path).unwrap();
            let changed = folder.path().join("changed");
            for number in 0..CHANGES {
                let mut other = bytes.clone();
                let at = (number * 2_654_435_761) % bytes.len();
                other[at] ^= 1 << (number % 7);
                std::fs::write(&changed, &other).unwrap();

                let (report, _) = checked(&changed, &keys());

                assert!(!report.is_sound(), "byte {at} of {}", path.display());
                if path == &jsonl {
                    let theirs = python(&changed, KEY);
                    assert!(!theirs.status.success(), "byte {at}");
                    let ours = report.faults.iter().find_map(ExportFault::line);
                    assert_eq!(line_of(&theirs), ours, "byte {at}: {report:?}, {}", String::from_utf8_lossy(&theirs.stderr));
                    // The line is the one that holds the byte.
                    let line = 1 + bytes[..at].split(|byte| *byte == b'\n').count() as u64 - 1;
                    assert!(ours.is_none_or(|ours| ours == line || ours == line + 1), "{ours:?} {line}");
                }
            }
            // Without the last line, and without one in the middle.
            let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
            std::fs::write(&changed, lines[..lines.len() - 1].concat()).unwrap();
            assert_eq!(checked(&changed, &keys()).0.faults, [ExportFault::NoHead]);
            let without = [&lines[..20], &lines[21..]].concat().concat();
            std::fs::write(&changed, without).unwrap();
            let (report, _) = checked(&changed, &keys());
            assert!(report.faults.iter().any(|fault| fault.line().is_some()), "{report:?}");
        }
    }

    async fn an_export_is_held_against_a_noted_head_and_a_public_key(database: TestDatabase) {
        let store = filled(&database, Keys::default()).await;
        let folder = tempfile::tempdir().unwrap();
        let rows = all_rows(&store).await;
        let mut export = export_of(Encoding::Jsonl, Selection::default());
        let path = exported(&store, &export, &folder, "signed").await;
        export.key = None;
        let plain = exported(&store, &export, &folder, "plain").await;
        store.close().await;
        let noted = |seq: usize| Anchor { seq: seq as i64, hash: rows[seq - 1].hash.clone() };
        let faults = |path: &Path, key: Option<&str>, anchor: Option<Anchor>| {
            check_file(path, &Keys::default(), (key, anchor), |_| {}).unwrap().faults
        };
        let public_key = export_key().public_key();

        assert_eq!(faults(&path, Some(&public_key), Some(noted(9))), []);
        let other = Anchor { hash: "0".repeat(64), ..noted(9) };
        assert_eq!(faults(&path, None, Some(other)), [ExportFault::AnchorDiffers]);
        let gone = Anchor { seq: 99, hash: "0".repeat(64) };
        assert_eq!(faults(&path, None, Some(gone)), [ExportFault::AnchorNotHere]);
        let theirs = "f".repeat(64);
        assert_eq!(faults(&path, Some(&theirs), None), [ExportFault::OtherKey { public_key: public_key.clone() }]);
        assert_eq!(faults(&plain, None, None), []);
        assert_eq!(faults(&plain, Some(&public_key), None), [ExportFault::NotSigned]);

        // Whoever makes everything anew, digest included, is found by the signature alone.
        let text = std::fs::read_to_string(&path).unwrap();
        let (lines, head) = text.trim_end().rsplit_once('\n').unwrap();
        let mut forged: Vec<Row> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        forged[39].actor = "U_EVE".into();
        forged[39].hash = forged[39].hash_under(&neostock_ops::core::journal::Key::none());
        let mut lines = Vec::new();
        for row in &forged {
            Encoding::Jsonl.write(row, &mut lines);
        }
        let mut head: neostock_ops::core::journal::ExportHead = serde_json::from_str(head).unwrap();
        head.sha256 = sha256(&lines);
        head.head_hash.clone_from(&forged[39].hash);
        lines.extend(head.line());
        std::fs::write(folder.path().join("forged"), lines).unwrap();
        assert_eq!(faults(&folder.path().join("forged"), None, None), [ExportFault::SignatureWrong]);
    }

    async fn the_command_line_exports_checks_and_is_written_down(database: TestDatabase) {
        filled(&database, keys()).await.close().await;
        let folder = tempfile::tempdir().unwrap();
        let run = |words: &[&str], more: &[(&str, &str)]| {
            let output = Command::new(env!("CARGO_BIN_EXE_neostock-ops"))
                .args(words)
                .current_dir(folder.path())
                .env_clear()
                .envs([("DATABASE_URL", database.url.as_str()), ("NEOSTOCK_JOURNAL_KEY", KEY)])
                .envs(more.iter().copied())
                .output()
                .unwrap();
            let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
            (output.status.code(), said)
        };
        let key = [("NEOSTOCK_EXPORT_KEY", EXPORT_KEY)];

        let (code, said) = run(&["audit", "export", "--format", "csv", "--kind", "run.", "--output", "runs.csv"], &key);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("runs.csv: 20 entries") && said.contains("signed"), "{said}");
        let (code, said) = run(&["audit", "public-key"], &key);
        let public_key = said.lines().next().unwrap().to_owned();
        assert_eq!((code, public_key.as_str()), (Some(0), export_key().public_key().as_str()));
        let verify = ["audit", "verify", "--export", "runs.csv", "--public-key", &public_key];
        let (code, said) = run(&verify, &[]);
        assert_eq!(code, Some(0), "{said}");
        let (code, said) = run(&["audit", "public-key"], &[]);
        assert!(code == Some(1) && said.contains("NEOSTOCK_EXPORT_KEY is not set"), "{said}");
        let (code, said) = run(&["audit", "public-key"], &[("NEOSTOCK_EXPORT_KEY", "hunter2")]);
        assert!(code == Some(1) && said.contains("32 bytes") && !said.contains("hunter2"), "{said}");
        let (code, said) = run(&["audit", "export", "--format", "jsonl", "--since", "soon"], &[]);
        assert!(code == Some(1) && said.contains("`soon` is no moment"), "{said}");
        let (code, said) = run(&["audit", "export", "--format", "jsonl", "--until", "2026-01-01"], &[]);
        assert_eq!((code, said.lines().count()), (Some(0), 1), "only the head: {said}");
        let text = std::fs::read_to_string(folder.path().join("runs.csv")).unwrap();
        std::fs::write(folder.path().join("runs.csv"), text.replacen("R-2", "R-3", 1)).unwrap();
        let (code, said) = run(&verify, &[]);
        assert!(code == Some(1) && said.contains("line ") && said.contains("was changed"), "{said}");
        let (code, said) = run(&["audit", "show", "--run", "R-2"], &[]);
        assert!(code == Some(0) && said.contains("run.started"), "{said}");
        let (code, said) = run(&["audit", "summary", "--since", "7d"], &[]);
        assert_eq!(code, Some(0), "{said}");

        let (code, said) = run(&["audit", "show", "--kind", "journal.", "--json"], &[]);
        assert_eq!(code, Some(0), "{said}");
        let rows: Vec<Row> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let kinds: Vec<&str> = rows.iter().map(|row| row.kind.as_str()).collect();
        let expected = ["key_began", "exported", "exported", "read", "read", "read"].map(|kind| format!("journal.{kind}"));
        assert_eq!(kinds, expected);
        let who = format!("uid {}", rustix::process::getuid().as_raw());
        assert!(rows[1..].iter().all(|row| row.actor == who && row.origin == "cli"), "{rows:?}");
        assert!(rows[3].detail.contains("\"R-2\"") && rows[4].detail.contains("summary"), "{rows:?}");
        let (code, said) = run(&["audit", "verify"], &[]);
        assert_eq!(code, Some(0), "{said}");
        // Whoever cannot be written down is shown nothing.
        let (code, said) = run(&["audit", "show"], &[("NEOSTOCK_JOURNAL_KEY", "another key than the journal's own, long")]);
        assert!(code == Some(1) && !said.contains("run.started"), "{said}");
    }
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    hex::encode(Sha256::digest(bytes))
}
