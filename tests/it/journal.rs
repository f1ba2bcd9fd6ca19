//! The audit journal on a real database: what an intruder can do to it, and what a check tells.

use crate::harness::database::{Engine, TestDatabase, both_engines};
use neostock_ops::audit;
use neostock_ops::clock::Clock;
use neostock_ops::core::journal::{Anchor, Entry, Fault, Finding, Key, Keys, Report, Row};
use neostock_ops::core::text::Lang;
use neostock_ops::store::journal::Filter;
use neostock_ops::store::{Error, Store, journal};
use secrecy::SecretString;
use serde_json::json;
use sqlx::AnyConnection;

const NOW_MS: i64 = 1_700_000_000_000;

fn secret(text: &str) -> Keys {
    Keys::from(Some(SecretString::from(text)))
}

async fn connect(database: &TestDatabase, keys: impl Into<Keys>) -> Store {
    Store::connect(&database.url, Clock::manual(NOW_MS), keys).await.unwrap()
}

/// Writes entries numbered from 1, `each` to a unit.
async fn write(store: &Store, count: usize, each: usize) {
    let numbers: Vec<usize> = (1..=count).collect();
    for some in numbers.chunks(each) {
        let some = some.to_vec();
        let written: Result<(), Error> = store
            .unit(move |unit| {
                Box::pin(async move {
                    for number in some {
                        unit.journal(Entry {
                            at_ms: NOW_MS + number as i64,
                            actor: if number % 2 == 0 { "U_ANN" } else { "U_BOB" }.to_owned(),
                            origin: "slack".to_owned(),
                            kind: if number % 3 == 0 { "run.started" } else { "alert.opened" }
                                .to_owned(),
                            subject: format!("R-{number}"),
                            detail: json!({ "number": number }),
                        });
                    }
                    Ok(())
                })
            })
            .await;
        written.unwrap();
    }
}

/// A connection of someone who has the database and has put the guards away.
async fn intrude(database: &TestDatabase) -> AnyConnection {
    let mut connection = database.raw().await;
    let away = match database.engine {
        Engine::Sqlite => {
            "drop trigger journal_no_update; drop trigger journal_no_delete; \
             drop trigger journal_no_replace; drop trigger journal_head_no_return"
        }
        Engine::Postgres => {
            "alter table journal disable trigger all; \
             alter table journal_head disable trigger all"
        }
    };
    sqlx::raw_sql(away).execute(&mut connection).await.unwrap();
    connection
}

async fn execute(connection: &mut AnyConnection, statement: &'static str) {
    sqlx::raw_sql(statement).execute(connection).await.unwrap();
}

async fn row(connection: &mut AnyConnection, seq: i64) -> Row {
    journal::page(connection, seq - 1, 1).await.unwrap().remove(0)
}

async fn put(connection: &mut AnyConnection, row: &Row) {
    sqlx::query("delete from journal where seq = $1")
        .bind(row.seq)
        .execute(&mut *connection)
        .await
        .unwrap();
    sqlx::query(
        "insert into journal (seq, at_ms, actor, origin, kind, subject, detail, key_id, \
         prev_hash, hash) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(row.seq)
    .bind(row.at_ms)
    .bind(&row.actor)
    .bind(&row.origin)
    .bind(&row.kind)
    .bind(&row.subject)
    .bind(&row.detail)
    .bind(&row.key_id)
    .bind(&row.prev_hash)
    .bind(&row.hash)
    .execute(connection)
    .await
    .unwrap();
}

/// Changes row `from` and seals it and all that follow again, head included, without a key.
async fn rewrite(connection: &mut AnyConnection, from: i64, to: i64) {
    let mut prev_hash = row(connection, from - 1).await.hash;
    for seq in from..=to {
        let mut forged = row(connection, seq).await;
        if seq == from {
            forged.actor = "U_EVE".into();
        }
        forged.prev_hash = prev_hash;
        forged.hash = forged.hash_under(&Key::none());
        put(connection, &forged).await;
        prev_hash = forged.hash;
    }
    sqlx::query("update journal_head set hash = $1 where id = 1")
        .bind(prev_hash)
        .execute(connection)
        .await
        .unwrap();
}

async fn check(store: &Store) -> Vec<Finding> {
    journal::verify(store, None).await.unwrap().findings
}

fn found(seq: i64, fault: Fault) -> Finding {
    Finding { seq, fault }
}

both_engines! {
    async fn a_thousand_entries_verify(database: TestDatabase) {
        let store = connect(&database, secret("one")).await;

        write(&store, 1_000, 47).await;

        let report = journal::verify(&store, None).await.unwrap();
        assert_eq!((report.rows, report.unkeyed), (1_001, 0));
        assert!(report.is_sound(), "{:?}", report.findings);
        let last = report.last.unwrap();
        assert_eq!(last.seq, 1_001);
        assert!(journal::verify(&store, Some(last)).await.unwrap().is_sound());
        store.close().await;
    }

    async fn the_database_refuses_to_change_the_journal(database: TestDatabase) {
        let store = connect(&database, None).await;
        write(&store, 3, 3).await;
        let mut connection = database.raw().await;

        let mut refused = vec![
            "update journal set actor = 'U_EVE' where seq = 2",
            "delete from journal where seq = 3",
            "delete from journal_head",
            "update journal_head set seq = 2",
        ];
        refused.extend(match database.engine {
            Engine::Postgres => ["truncate journal", "truncate journal_head"],
            Engine::Sqlite => [
                "insert or replace into journal select 2, at_ms, actor, origin, kind, subject, \
                 detail, key_id, prev_hash, hash from journal where seq = 1",
                "insert into journal select * from journal where seq = 1 \
                 on conflict (seq) do update set actor = 'U_EVE'",
            ],
        });
        for statement in refused {
            let error = sqlx::raw_sql(statement).execute(&mut connection).await.unwrap_err();
            assert!(error.to_string().contains("the journal only grows"), "{statement}: {error}");
        }

        assert_eq!(check(&store).await, []);
        store.close().await;
    }

    async fn a_changed_row_is_found(database: TestDatabase) {
        let store = connect(&database, None).await;
        write(&store, 20, 6).await;
        let mut intruder = intrude(&database).await;
        for (column, seq) in [
            ("update journal set at_ms = at_ms + 1 where seq = 3", 3),
            ("update journal set actor = 'U_EVE' where seq = 5", 5),
            ("update journal set origin = 'cli' where seq = 7", 7),
            ("update journal set kind = 'run.failed' where seq = 9", 9),
            ("update journal set subject = 'R-0' where seq = 11", 11),
            ("update journal set detail = '{\"number\": 13}' where seq = 13", 13),
        ] {
            execute(&mut intruder, column).await;
            assert!(check(&store).await.contains(&found(seq, Fault::Changed)), "{column}");
        }

        assert_eq!(check(&store).await.len(), 6);
        store.close().await;
    }

    async fn a_deleted_row_is_found(database: TestDatabase) {
        let store = connect(&database, None).await;
        write(&store, 20, 6).await;
        let mut intruder = intrude(&database).await;

        execute(&mut intruder, "delete from journal where seq in (1, 8, 9)").await;

        assert_eq!(
            check(&store).await,
            [found(1, Fault::Missing { to: 1 }), found(8, Fault::Missing { to: 9 })]
        );
        store.close().await;
    }

    async fn an_inserted_row_is_found(database: TestDatabase) {
        let store = connect(&database, None).await;
        write(&store, 20, 6).await;
        let mut intruder = intrude(&database).await;
        let mut forged = row(&mut intruder, 11).await;
        execute(
            &mut intruder,
            "update journal set seq = -seq where seq >= 11; \
             update journal set seq = 1 - seq where seq < 0",
        )
        .await;

        forged.actor = "U_EVE".into();
        forged.hash = forged.hash_under(&Key::none());
        put(&mut intruder, &forged).await;

        let findings = check(&store).await;
        assert_eq!(
            findings[..2],
            [found(12, Fault::NotLinked), found(12, Fault::Changed)]
        );
        assert!(findings.contains(&found(21, Fault::AfterHead { to: 21 })));
        store.close().await;
    }

    async fn a_row_appended_behind_the_head_is_found(database: TestDatabase) {
        let store = connect(&database, None).await;
        write(&store, 20, 6).await;
        let mut intruder = intrude(&database).await;

        let last = row(&mut intruder, 20).await;
        let mut forged = Row { seq: 21, prev_hash: last.hash.clone(), ..last };
        forged.hash = forged.hash_under(&Key::none());
        put(&mut intruder, &forged).await;

        assert_eq!(check(&store).await, [found(21, Fault::AfterHead { to: 21 })]);
        store.close().await;
    }

    async fn swapped_rows_are_found(database: TestDatabase) {
        let store = connect(&database, None).await;
        write(&store, 20, 6).await;
        let mut intruder = intrude(&database).await;

        execute(
            &mut intruder,
            "update journal set seq = -1 where seq = 6; update journal set seq = 6 where seq = 7; \
             update journal set seq = 7 where seq = -1",
        )
        .await;

        let findings = check(&store).await;
        assert_eq!(findings[..2], [found(6, Fault::NotLinked), found(6, Fault::Changed)]);
        store.close().await;
    }

    async fn a_rehashed_row_is_found_by_its_successor(database: TestDatabase) {
        let store = connect(&database, None).await;
        write(&store, 20, 6).await;
        let mut intruder = intrude(&database).await;

        let mut forged = row(&mut intruder, 10).await;
        forged.actor = "U_EVE".into();
        forged.hash = forged.hash_under(&Key::none());
        put(&mut intruder, &forged).await;

        assert_eq!(check(&store).await, [found(11, Fault::NotLinked)]);
        store.close().await;
    }

    async fn the_last_row_rehashed_is_found_by_the_head(database: TestDatabase) {
        let store = connect(&database, None).await;
        write(&store, 20, 6).await;
        let mut intruder = intrude(&database).await;

        let mut forged = row(&mut intruder, 20).await;
        forged.actor = "U_EVE".into();
        forged.hash = forged.hash_under(&Key::none());
        put(&mut intruder, &forged).await;

        assert_eq!(check(&store).await, [found(20, Fault::HeadDiffers)]);
        store.close().await;
    }

    async fn history_rewritten_without_a_key_is_found_by_an_anchor_alone(database: TestDatabase) {
        let store = connect(&database, None).await;
        write(&store, 20, 6).await;
        let anchor = journal::head(&mut store.read().await.unwrap()).await.unwrap();
        let mut intruder = intrude(&database).await;

        rewrite(&mut intruder, 10, 20).await;

        assert_eq!(check(&store).await, []);
        let report = journal::verify(&store, Some(anchor)).await.unwrap();
        assert_eq!(report.findings, [found(20, Fault::AnchorDiffers)]);
        store.close().await;
    }

    async fn history_rewritten_under_a_key_is_found(database: TestDatabase) {
        let store = connect(&database, secret("one")).await;
        write(&store, 20, 6).await;
        let mut intruder = intrude(&database).await;

        rewrite(&mut intruder, 10, 21).await;

        let findings = check(&store).await;
        let rewritten: Vec<_> = (10..=21).map(|seq| found(seq, Fault::Changed)).collect();
        assert_eq!(findings, rewritten);

        // An intruder who leaves the key out of the rows altogether is no better off.
        execute(&mut intruder, "update journal set key_id = ''").await;
        rewrite(&mut intruder, 2, 21).await;
        let findings = check(&store).await;
        assert!(findings.contains(&found(1, Fault::NotUnderCurrentKey)), "{findings:?}");
        store.close().await;
    }

    async fn a_cut_tail_is_found(database: TestDatabase) {
        let store = connect(&database, None).await;
        write(&store, 20, 6).await;
        let anchor = journal::head(&mut store.read().await.unwrap()).await.unwrap();
        let mut intruder = intrude(&database).await;

        execute(&mut intruder, "delete from journal where seq > 15").await;
        assert_eq!(check(&store).await, [found(16, Fault::Missing { to: 20 })]);

        // The intruder who turns the head back too is found by what was noted outside.
        execute(
            &mut intruder,
            "update journal_head set seq = 15, \
             hash = (select hash from journal where seq = 15)",
        )
        .await;
        assert_eq!(check(&store).await, []);
        let report = journal::verify(&store, Some(anchor)).await.unwrap();
        assert_eq!(report.findings, [found(20, Fault::AnchorMissing { last: 15 })]);
        store.close().await;
    }

    async fn a_key_change_is_told_under_the_old_key(database: TestDatabase) {
        let plain = connect(&database, None).await;
        write(&plain, 2, 1).await;
        plain.close().await;
        let one = connect(&database, secret("one")).await;
        write(&one, 2, 1).await;
        one.close().await;
        let unchanged = connect(&database, secret("one")).await;
        unchanged.close().await;

        let refused = Store::connect(&database.url, Clock::System, secret("two")).await;
        let keys = secret("two").and_previous(&SecretString::from("one"));
        let two = connect(&database, keys).await;
        write(&two, 1, 1).await;

        assert!(matches!(refused, Err(Error::Setup(words)) if words.contains("old key")));
        let rows = journal::page(&mut two.read().await.unwrap(), 0, 100).await.unwrap();
        let id = |text: &str| Key::new(text.as_bytes()).id().to_owned();
        let (none, first, second) = (String::new(), id("one"), id("two"));
        let told: Vec<_> = rows.iter().map(|row| (row.kind.as_str(), row.key_id.clone())).collect();
        assert_eq!(
            told,
            [
                ("alert.opened", none.clone()),
                ("alert.opened", none.clone()),
                ("journal.key_changed", none),
                ("journal.key_began", first.clone()),
                ("alert.opened", first.clone()),
                ("alert.opened", first.clone()),
                ("journal.key_changed", first.clone()),
                ("journal.key_began", second.clone()),
                ("alert.opened", second),
            ]
        );
        let report = journal::verify(&two, None).await.unwrap();
        assert_eq!((report.unkeyed, report.findings), (3, vec![]));
        two.close().await;

        // Without the old key its rows cannot be checked, and the check says so.
        let forgetful = Store::inspect(&database.url, Clock::System, secret("two")).await.unwrap();
        let findings = check(&forgetful).await;
        assert_eq!(findings[0], found(4, Fault::UnknownKey { key_id: first }));
        forgetful.close().await;
    }

    async fn a_replica_with_the_old_key_cannot_write_after_the_change(database: TestDatabase) {
        let old = connect(&database, secret("one")).await;
        write(&old, 1, 1).await;
        let keys = secret("two").and_previous(&SecretString::from("one"));
        let new = connect(&database, keys).await;

        let refused: Result<(), Error> = old
            .unit(|unit| {
                Box::pin(async move {
                    unit.journal(Entry {
                        at_ms: NOW_MS,
                        actor: String::new(),
                        origin: String::new(),
                        kind: String::new(),
                        subject: String::new(),
                        detail: json!(null),
                    });
                    Ok(())
                })
            })
            .await;

        assert!(matches!(refused, Err(Error::Setup(words)) if words.contains("restart")));
        assert_eq!(check(&new).await, []);
        old.close().await;
        new.close().await;
    }

    async fn a_reader_finds_entries_by_kind_actor_subject_and_time(database: TestDatabase) {
        let store = connect(&database, None).await;
        write(&store, 20, 20).await;
        let mut connection = store.read().await.unwrap();
        let mut seqs = async |filter: Filter| -> Vec<i64> {
            let rows = journal::page_of(&mut connection, &filter, 0, 100).await.unwrap();
            rows.into_iter().map(|row| row.seq).collect()
        };

        let runs = Filter { kind_prefix: "run.".to_owned(), ..Filter::default() };
        assert_eq!(seqs(runs.clone()).await, [3, 6, 9, 12, 15, 18]);
        let runs_of_ann = Filter { actor: "U_ANN".to_owned(), ..runs.clone() };
        assert_eq!(seqs(runs_of_ann).await, [6, 12, 18]);
        let one = Filter { subject: "R-7".to_owned(), ..Filter::default() };
        assert_eq!(seqs(one).await, [7]);
        let late = Filter { since_ms: NOW_MS + 19, ..Filter::default() };
        assert_eq!(seqs(late).await, [19, 20]);
        let wildcard = Filter { kind_prefix: "%".to_owned(), ..Filter::default() };
        assert_eq!(seqs(wildcard).await, [0; 0]);

        let newest = journal::newest_of(&mut connection, &runs, 2).await.unwrap();
        assert_eq!(newest.iter().map(|row| row.seq).collect::<Vec<_>>(), [18, 15]);
        drop(connection);
        store.close().await;
    }

    async fn a_report_is_readable(database: TestDatabase) {
        let store = connect(&database, None).await;
        write(&store, 3, 3).await;
        let (sound, is_sound) = audit::verify_report(&store, None, Lang::En).await.unwrap();
        let mut intruder = intrude(&database).await;
        execute(&mut intruder, "update journal set actor = 'U_EVE' where seq = 2").await;
        let noted = Anchor { seq: 9, hash: "ab".repeat(32) };

        let (faulty, is_faulty) = audit::verify_report(&store, Some(noted), Lang::En).await.unwrap();

        assert!(is_sound && !is_faulty);
        insta::allow_duplicates! {
            insta::assert_snapshot!(sound, @r#"
            3 entries checked: none changed, missing or inserted.
            3 entries are under no key: only a head noted elsewhere shows that they were not rewritten as a whole.
            Head: 3:554cf10ba5a2ef6cb1cb1885403545af81e638373fb67f8d9522e107f8faec12
            "#);
            insta::assert_snapshot!(faulty, @r#"
            3 entries checked, 2 faults found:
            - entry 2 was changed: its content does not match its hash
            - entry 9, noted outside, is gone: the journal was cut after entry 3
            3 entries are under no key: only a head noted elsewhere shows that they were not rewritten as a whole.
            Head: 3:554cf10ba5a2ef6cb1cb1885403545af81e638373fb67f8d9522e107f8faec12
            "#);
        }
        store.close().await;
    }

    async fn entries_are_shown_one_a_line(database: TestDatabase) {
        let store = connect(&database, None).await;
        write(&store, 3, 3).await;
        let shown: Result<(), Error> = store
            .unit(|unit| {
                Box::pin(async move {
                    unit.journal(Entry {
                        at_ms: NOW_MS + 60_000,
                        actor: "U_EVE\u{1b}[2J\n".to_owned(),
                        origin: "slack".to_owned(),
                        kind: "run.approved_by_a_second_person".to_owned(),
                        subject: "生产环境".to_owned(),
                        detail: json!({ "reason": "回滚\u{1b}[0m\u{202e}" }),
                    });
                    Ok(())
                })
            })
            .await;
        shown.unwrap();
        let mut lines = Vec::new();
        let mut json = Vec::new();

        audit::show(&store, &Filter::default(), audit::Format::Lines, &mut lines).await.unwrap();
        audit::show(&store, &Filter::default(), audit::Format::Json, &mut json).await.unwrap();

        insta::allow_duplicates! {
            insta::assert_snapshot!(String::from_utf8(lines).unwrap(), @r#"
                 1  2023-11-14 22:13:20.001Z  U_BOB         slack     alert.opened              R-1           {"number":1}
                 2  2023-11-14 22:13:20.002Z  U_ANN         slack     alert.opened              R-2           {"number":2}
                 3  2023-11-14 22:13:20.003Z  U_BOB         slack     run.started               R-3           {"number":3}
                 4  2023-11-14 22:14:20.000Z  U_EVE\u{1b}[2J\u{a}  slack     run.approved_by_a_second_person  生产环境      {"reason":"回滚\u001b[0m\u{202e}"}
            "#);
        }
        let json = String::from_utf8(json).unwrap();
        let rows: Vec<Row> =
            json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let stored = journal::page(&mut store.read().await.unwrap(), 0, 10).await.unwrap();
        assert_eq!(rows, stored);
        store.close().await;
    }
}

#[test]
fn a_report_spells_out_a_limited_number_of_findings() {
    let keys = Keys::default();
    let mut verifier = neostock_ops::core::journal::Verifier::new(&keys, None);
    let entry = Entry {
        at_ms: 0,
        actor: String::new(),
        origin: String::new(),
        kind: String::new(),
        subject: String::new(),
        detail: json!(null),
    };
    for seq in 1..=1_000 {
        verifier.push(Row::seal(&entry, seq, "x".to_owned(), &Key::none()));
    }

    let report: Report = verifier.finish(&Anchor { seq: 1_000, hash: String::new() });

    assert_eq!((report.findings.len(), report.findings_total), (100, 1_001));
}
