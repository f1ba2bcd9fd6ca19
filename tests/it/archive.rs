//! Archiving the oldest entries: what leaves the database is sealed in a file first, and both together
//! are still one chain.

use crate::harness::database::{TestDatabase, both_engines};
use neostock_ops::audit::{self, ArchiveError};
use neostock_ops::clock::Clock;
use neostock_ops::core::journal::{Entry, ExportKey, Fault, Finding, Keys};
use neostock_ops::core::text::Lang;
use neostock_ops::store::journal::Filter;
use neostock_ops::store::{Error, Store, journal};
use secrecy::SecretString;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

const NOW_MS: i64 = 1_795_489_200_000;
const DAY_MS: i64 = 86_400_000;
const KEY: &str = "the journal's own key, long enough for it";
const EXPORT_KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

fn keys() -> Keys {
    Keys::from(Some(SecretString::from(KEY)))
}

fn export_key() -> ExportKey {
    ExportKey::new(&SecretString::from(EXPORT_KEY)).unwrap()
}

/// A journal with an entry a day: row 1 begins the key, row N is of day N - 2.
async fn filled(database: &TestDatabase, days: i64) -> Store {
    let clock = Clock::manual(NOW_MS - DAY_MS);
    let store = Store::connect(&database.url, clock.clone(), keys()).await.unwrap();
    let written: Result<(), Error> = store
        .unit(move |unit| {
            Box::pin(async move {
                for day in 0..days {
                    unit.journal(Entry {
                        at_ms: NOW_MS + day * DAY_MS,
                        actor: "U0ANN".to_owned(),
                        origin: "slash".to_owned(),
                        kind: "request.answered".to_owned(),
                        subject: String::new(),
                        detail: json!({"text": format!("status {day}")}),
                    });
                }
                Ok(())
            })
        })
        .await;
    written.unwrap();
    clock.advance_ms((days * DAY_MS) as u64);
    store
}

async fn archive(store: &Store, days: i64, folder: &Path) -> Result<Vec<(i64, i64)>, ArchiveError> {
    let mut sealed = Vec::new();
    let by = ("uid 7", Some(export_key()));
    audit::archive(store, NOW_MS + days * DAY_MS, folder, by, |one| {
        sealed.push((one.segment.first_seq, one.segment.last.seq));
    })
    .await?;
    Ok(sealed)
}

async fn findings(store: &Store) -> Vec<Finding> {
    journal::verify(store, None).await.unwrap().findings
}

async fn together(store: &Store, folder: &Path) -> (String, bool) {
    let key = export_key().public_key();
    audit::verify_with_archive(store, folder, (Some(&key), None), Lang::En).await.unwrap()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

both_engines! {
    async fn what_is_archived_leaves_the_database_and_both_are_one_chain(database: TestDatabase) {
        let store = filled(&database, 20).await;
        let folder = tempfile::tempdir().unwrap();
        let anchor = journal::verify(&store, None).await.unwrap().last.unwrap();

        assert_eq!(archive(&store, 5, folder.path()).await.unwrap(), [(1, 6)]);
        assert_eq!(archive(&store, 12, folder.path()).await.unwrap(), [(7, 13)]);
        assert_eq!(archive(&store, 12, folder.path()).await.unwrap(), []);

        let names: Vec<_> = files(folder.path()).iter().map(|file| file.file_name().unwrap().to_string_lossy().into_owned()).collect();
        assert_eq!(names, ["journal-000000000001-000000000006.jsonl", "journal-000000000007-000000000013.jsonl"]);
        let report = journal::verify(&store, Some(anchor.clone())).await.unwrap();
        assert!(report.is_sound(), "{:?}", report.findings);
        assert_eq!((report.first_seq, report.rows), (14, 10));
        let (text, is_sound) = audit::verify_report(&store, None, Lang::En).await.unwrap();
        assert!(is_sound && text.contains("Entries 1 to 13 are archived"), "{text}");
        let (text, is_sound) = together(&store, folder.path()).await;
        assert!(is_sound && text.contains("23 entries checked"), "{text}");
        let rows = journal::page(&mut store.read().await.unwrap(), 0, 100).await.unwrap();
        let told: Value = serde_json::from_str(&rows[9].detail).unwrap();
        assert_eq!((rows[9].kind.as_str(), rows[9].actor.as_str()), ("journal.archived", "uid 7"));
        assert_eq!((&told["first"], &told["last"]), (&json!(7), &json!(13)));
        // An anchor that is archived is only checked with the archive.
        let first = journal::verify(&store, Some("3:".parse().unwrap_or(neostock_ops::core::journal::Anchor { seq: 3, hash: "0".repeat(64) }))).await.unwrap();
        assert_eq!(first.findings, [Finding { seq: 3, fault: Fault::AnchorArchived }]);

        // The guards are back.
        let mut raw = database.raw().await;
        for statement in ["delete from journal where seq = 14", "update journal set actor = 'x' where seq = 14"] {
            let refused = sqlx::raw_sql(statement).execute(&mut raw).await.unwrap_err();
            assert!(refused.to_string().contains("the journal only grows"), "{refused}");
        }
        // What is read says what is missing.
        let mut shown = Vec::new();
        audit::show(&store, &Filter::default(), audit::Format::Lines, &mut shown).await.unwrap();
        assert!(String::from_utf8(shown).unwrap().starts_with("Entries 1 to 13, from before 2026-12-06"));
        let summed = audit::summary(&store, (30 * DAY_MS as u64, store.clock().now_ms()), Lang::En).await.unwrap();
        assert!(summed.contains("Entries 1 to 13, from before 2026-12-06"), "{summed}");
        let summed = audit::summary(&store, (3 * DAY_MS as u64, store.clock().now_ms()), Lang::En).await.unwrap();
        assert!(!summed.contains("archived and not"), "{summed}");
        store.close().await;
    }

    async fn a_changed_a_missing_and_a_foreign_segment_are_found(database: TestDatabase) {
        let store = filled(&database, 20).await;
        let folder = tempfile::tempdir().unwrap();
        archive(&store, 5, folder.path()).await.unwrap();
        archive(&store, 12, folder.path()).await.unwrap();
        let all = files(folder.path());
        let second = std::fs::read_to_string(&all[1]).unwrap();

        std::fs::write(&all[1], second.replacen("status 7", "status 8", 1)).unwrap();
        let (text, is_sound) = together(&store, folder.path()).await;
        assert!(!is_sound && text.contains("line 3 (entry 9) was changed") && text.contains("segment from entry 7 on is not the file"), "{text}");

        std::fs::write(&all[1], second.replacen(export_key().public_key().as_str(), &"a".repeat(64), 1)).unwrap();
        let (text, is_sound) = together(&store, folder.path()).await;
        assert!(!is_sound && text.contains("signed with another key"), "{text}");

        std::fs::remove_file(&all[1]).unwrap();
        let (text, is_sound) = together(&store, folder.path()).await;
        assert!(!is_sound && text.contains("entries 7 to 13 are missing"), "{text}");
        store.close().await;
    }

    async fn a_beginning_that_nobody_archived_is_missing(database: TestDatabase) {
        let store = filled(&database, 20).await;
        let folder = tempfile::tempdir().unwrap();
        archive(&store, 5, folder.path()).await.unwrap();
        let mut raw = database.raw().await;
        let away = match database.engine {
            Engine::Sqlite => "drop trigger journal_no_delete",
            Engine::Postgres => "alter table journal disable trigger all",
        };
        sqlx::raw_sql(away).execute(&mut raw).await.unwrap();

        sqlx::raw_sql("delete from journal where seq = 7").execute(&mut raw).await.unwrap();

        assert_eq!(findings(&store).await, [Finding { seq: 1, fault: Fault::Missing { to: 7 } }]);
        store.close().await;
    }

    async fn nothing_leaves_that_is_not_sound_or_would_cut_a_seal(database: TestDatabase) {
        let store = filled(&database, 20).await;
        let folder = tempfile::tempdir().unwrap();
        store.close().await;
        let other = Keys::from(Some(SecretString::from("another key for the journal, long enough")));
        let clock = Clock::manual(NOW_MS + 30 * DAY_MS);
        Store::begin_journal_anew(&database.url, clock.clone(), other.clone(), ("uid 0", "fire")).await.unwrap();
        let store = Store::connect(&database.url, clock.clone(), other).await.unwrap();

        let refused = archive(&store, 5, folder.path()).await.unwrap_err();
        assert!(matches!(refused, ArchiveError::CutsSeal(22)), "{refused}");
        assert!(files(folder.path()).is_empty());

        // All of it together, seal included, may go; then another loss seals only what is there.
        assert_eq!(archive(&store, 31, folder.path()).await.unwrap(), [(1, 23)]);
        assert_eq!(findings(&store).await, []);
        let (text, is_sound) = together(&store, folder.path()).await;
        assert!(is_sound && text.contains("under a key that was lost"), "{text}");
        store.close().await;
        let third = Keys::from(Some(SecretString::from("a third key for the journal, long enough too")));
        Store::begin_journal_anew(&database.url, clock.clone(), third.clone(), ("uid 0", "flood")).await.unwrap();
        let store = Store::connect(&database.url, clock, third).await.unwrap();
        let report = journal::verify(&store, None).await.unwrap();
        assert_eq!((report.findings, report.lost), (vec![], 1));
        store.close().await;
    }

    async fn a_changed_row_is_not_archived(database: TestDatabase) {
        let store = filled(&database, 20).await;
        let folder = tempfile::tempdir().unwrap();
        let mut raw = database.raw().await;
        let away = match database.engine {
            Engine::Sqlite => "drop trigger journal_no_update",
            Engine::Postgres => "alter table journal disable trigger all",
        };
        sqlx::raw_sql(away).execute(&mut raw).await.unwrap();
        sqlx::raw_sql("update journal set actor = 'U_EVE' where seq = 3").execute(&mut raw).await.unwrap();

        let refused = archive(&store, 5, folder.path()).await.unwrap_err();

        assert!(refused.to_string().contains("line 3 (entry 3) was changed"), "{refused}");
        assert_eq!(journal::first(&mut store.read().await.unwrap()).await.unwrap().unwrap().seq, 1);
        store.close().await;
    }

    async fn killed_at_any_moment_nothing_is_lost_and_the_same_command_goes_on(
        database: TestDatabase
    ) {
        let store = filled(&database, 20).await;
        let whole = journal::page(&mut store.read().await.unwrap(), 0, 100).await.unwrap();
        store.close().await;
        let folder = tempfile::tempdir().unwrap();
        let run = |fault: &str| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_neostock-ops"));
            command
                .args(["audit", "archive", "--before", "2026-11-29T03:00:00Z", "--to"])
                .arg(folder.path())
                .env_clear()
                .env("DATABASE_URL", &database.url)
                .env("NEOSTOCK_JOURNAL_KEY", KEY)
                .env("NEOSTOCK_EXPORT_KEY", EXPORT_KEY)
                .current_dir(folder.path());
            if !fault.is_empty() {
                command.env("NEOSTOCK_FAULT", format!("{fault}@1"));
            }
            let output = command.output().unwrap();
            let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
            (output.status.code(), said)
        };

        for fault in ["archive.unnamed", "archive.written", "unit.before_commit"] {
            let (code, said) = run(fault);
            assert_eq!(code, None, "{fault} did not kill it: {said}");
            let store = Store::inspect(&database.url, Clock::System, keys()).await.unwrap();
            let rows = journal::page(&mut store.read().await.unwrap(), 0, 100).await.unwrap();
            assert_eq!(rows, whole, "{fault}");
            store.close().await;
        }
        let (code, said) = run("unit.after_commit");
        assert_eq!(code, None, "{said}");
        let (code, said) = run("");
        assert!(code == Some(0) && said.contains("No entry is from before that"), "{said}");

        let store = Store::inspect(&database.url, Clock::System, keys()).await.unwrap();
        assert_eq!(findings(&store).await, []);
        let (text, is_sound) = together(&store, folder.path()).await;
        assert!(is_sound && text.contains("22 entries checked"), "{text}");
        let named: Vec<_> = files(folder.path()).into_iter().filter(|file| !file.file_name().unwrap().to_string_lossy().starts_with('.')).collect();
        assert_eq!(named.len(), 1, "{named:?}");
        store.close().await;
    }
}
