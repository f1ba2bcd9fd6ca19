//! Random edits of the journal by somebody who owns the database and has put its guards away: every one
//! is found, and the first entry that is not what it was is named.

use crate::harness::database::{Engine, TestDatabase, both_engines};
use neostock_ops::clock::Clock;
use neostock_ops::core::journal::{Anchor, Entry, Fault, GENESIS_HASH, Key, Keys, Report, Row};
use neostock_ops::store::{Error, Store, journal};
use secrecy::SecretString;
use serde_json::json;
use sqlx::{AnyConnection, Connection};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long each test lasts.
const SECS_VARIABLE: &str = "NEOSTOCK_TAMPER_SECS";
const SECS_DEFAULT: u64 = 4;
/// Repeats the edits of an earlier run.
const SEED_VARIABLE: &str = "NEOSTOCK_TAMPER_SEED";
const NOW_MS: i64 = 1_795_489_200_000;
const KEY: &str = "the journal's own key, long enough for it";
const ENTRIES: i64 = 24;
/// Bytes of the file that are changed at once, at most.
const BYTES_MAX: u64 = 8;

/// Small, seeded, and the same everywhere (splitmix64).
struct Chance(u64);

impl Chance {
    fn new(name: &str) -> Self {
        let given = std::env::var(SEED_VARIABLE).ok().map(|text| text.parse().expect("a seed"));
        let seed = given.unwrap_or_else(|| {
            SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64
        });
        println!("{name}: {SEED_VARIABLE}={seed}");
        Self(seed)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    /// A row from one to another.
    fn row(&mut self, from: i64, to: i64) -> i64 {
        from + self.below((to - from + 1) as u64) as i64
    }
}

fn time() -> Duration {
    let secs = std::env::var(SECS_VARIABLE).ok().map(|text| text.parse().expect("seconds"));
    Duration::from_secs(secs.unwrap_or(SECS_DEFAULT).min(100))
}

/// A journal, all its rows, and somebody who may do everything with it.
struct Scene {
    store: Store,
    intruder: AnyConnection,
    rows: Vec<Row>,
    is_keyed: bool,
    engine: Engine,
}

impl Scene {
    async fn new(database: &TestDatabase, is_keyed: bool) -> Self {
        let keys = Keys::from(is_keyed.then(|| SecretString::from(KEY)));
        let store = Store::connect(&database.url, Clock::manual(NOW_MS), keys).await.unwrap();
        let written: Result<(), Error> = store
            .unit(|unit| {
                Box::pin(async move {
                    for number in 0..ENTRIES {
                        unit.journal(Entry {
                            at_ms: NOW_MS + number,
                            actor: format!("U{}", number % 3),
                            origin: "slash".to_owned(),
                            kind: "request.answered".to_owned(),
                            subject: String::new(),
                            detail: json!({"text": format!("status {number}")}),
                        });
                    }
                    Ok(())
                })
            })
            .await;
        written.unwrap();
        let rows = journal::page(&mut store.read().await.unwrap(), 0, 1_000).await.unwrap();
        let mut intruder = database.raw().await;
        let away = match database.engine {
            Engine::Sqlite => {
                "drop trigger journal_no_update; drop trigger journal_no_delete; \
                 drop trigger journal_no_replace; drop trigger journal_head_no_return; \
                 pragma synchronous = off"
            }
            Engine::Postgres => {
                "alter table journal disable trigger all; \
                 alter table journal_head disable trigger all"
            }
        };
        sqlx::raw_sql(away).execute(&mut intruder).await.unwrap();
        Self { store, intruder, rows, is_keyed, engine: database.engine }
    }

    fn last(&self) -> i64 {
        self.rows.len() as i64
    }

    fn at(&self, seq: i64) -> Row {
        self.rows[seq as usize - 1].clone()
    }

    /// Puts other rows and another head in the place of all.
    async fn put(&mut self, rows: &[Row], head: &Anchor) {
        let mut transaction = self.intruder.begin().await.unwrap();
        sqlx::query("delete from journal").execute(&mut *transaction).await.unwrap();
        for row in rows {
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
            .execute(&mut *transaction)
            .await
            .unwrap();
        }
        sqlx::query("update journal_head set seq = $1, hash = $2 where id = 1")
            .bind(head.seq)
            .bind(&head.hash)
            .execute(&mut *transaction)
            .await
            .unwrap();
        transaction.commit().await.unwrap();
    }

    async fn execute(&mut self, statement: &'static str, seq: i64) {
        sqlx::query(statement).bind(seq).execute(&mut self.intruder).await.unwrap();
    }

    async fn verified(&self, anchor: Anchor) -> Report {
        journal::verify(&self.store, Some(anchor)).await.unwrap()
    }
}

fn head_of(rows: &[Row]) -> Anchor {
    let last = rows.last().unwrap();
    Anchor { seq: last.seq, hash: last.hash.clone() }
}

/// Seals rows again from one on, as somebody without the key can.
fn resealed(mut rows: Vec<Row>, from: i64, drop_key: bool) -> Vec<Row> {
    for at in from as usize - 1..rows.len() {
        if at > 0 {
            let prev_hash = rows[at - 1].hash.clone();
            rows[at].prev_hash = prev_hash;
        }
        if drop_key {
            rows[at].key_id = String::new();
        }
        rows[at].hash = rows[at].hash_under(&Key::none());
    }
    rows
}

/// What a check must name first.
#[derive(Debug)]
enum Named {
    /// Exactly this row.
    Row(i64),
    /// A row that was put in whole: it, or the one that does not stand on it.
    Inserted(i64),
    /// Without a key only the noted row tells that something before it was made anew.
    Anchor,
}

/// Does one edit; what must be named.
async fn edit(scene: &mut Scene, chance: &mut Chance, kinds: &mut [usize]) -> Named {
    let (rows, head, last) = (scene.rows.clone(), head_of(&scene.rows), scene.last());
    let seq = chance.row(1, last);
    let kind = chance.below(9) as usize;
    kinds[kind] += 1;
    match kind {
        0 => {
            let mut other = rows;
            let row = &mut other[seq as usize - 1];
            match chance.below(9) {
                0 => row.at_ms += 1,
                1 => row.actor.push('x'),
                2 => row.origin.push(' '),
                3 => row.kind = "run.requested".into(),
                4 => row.subject = "R-0".into(),
                5 => row.detail = row.detail.replace("status", "deploy") + " ",
                6 => row.key_id = "0123456789abcdef".into(),
                7 => row.prev_hash = row.prev_hash.chars().rev().collect::<String>() + "0",
                _ => row.hash = "f".repeat(64),
            }
            scene.put(&other, &head).await;
            Named::Row(seq)
        }
        1 => {
            scene.execute("delete from journal where seq = $1", seq).await;
            Named::Row(seq)
        }
        2 => {
            // In the middle, what follows moves on; behind the end, the head stays or follows.
            let at = chance.row(1, last + 1);
            let mut forged = scene.at(at.min(last));
            forged.seq = at;
            forged.actor = "U_EVE".into();
            forged.prev_hash =
                if at == 1 { GENESIS_HASH.to_owned() } else { scene.at(at - 1).hash };
            forged.hash = forged.hash_under(&Key::none());
            let mut other = rows;
            other.iter_mut().filter(|row| row.seq >= at).for_each(|row| row.seq += 1);
            other.insert(at as usize - 1, forged);
            scene.put(&other, &head).await;
            if at > last { Named::Row(at) } else { Named::Inserted(at) }
        }
        3 => {
            let other = chance.row(1, last);
            let (one, two) = (seq.min(other), seq.max(other));
            if one == two {
                scene.execute("delete from journal where seq = $1", seq).await;
                return Named::Row(seq);
            }
            let mut swapped = rows;
            swapped.swap(one as usize - 1, two as usize - 1);
            swapped[one as usize - 1].seq = one;
            swapped[two as usize - 1].seq = two;
            scene.put(&swapped, &head).await;
            Named::Row(one)
        }
        4 => {
            let kept = chance.row(1, last - 1);
            let kept = &rows[..kept as usize];
            scene.put(kept, &head_of(kept)).await;
            Named::Row(kept.len() as i64 + 1)
        }
        5 | 6 => {
            let mut other = rows;
            other[seq as usize - 1].actor = "U_EVE".into();
            let other = resealed(other, seq, kind == 6);
            scene.put(&other, &head_of(&other)).await;
            if scene.is_keyed { Named::Row(seq) } else { Named::Anchor }
        }
        7 => {
            let mut other = rows;
            other[seq as usize - 1].seq += 1_000;
            other.sort_by_key(|row| row.seq);
            scene.put(&other, &head).await;
            Named::Row(seq)
        }
        _ => {
            // A column of another type with the same letters: only SQLite takes it.
            let statement = match (scene.engine, chance.below(2)) {
                (Engine::Postgres, _) => "update journal set origin = origin || 'x' where seq = $1",
                (_, 0) => "update journal set actor = cast(actor as blob) where seq = $1",
                _ => "update journal set at_ms = at_ms || 'x' where seq = $1",
            };
            scene.execute(statement, seq).await;
            Named::Row(seq)
        }
    }
}

both_engines! {
    async fn every_random_edit_is_found_and_the_first_bad_entry_is_named(database: TestDatabase) {
        let mut chance = Chance::new("edits");
        let unkeyed = TestDatabase::new(database.engine).await;
        let mut scenes = [Scene::new(&database, true).await, Scene::new(&unkeyed, false).await];
        let (end, mut edits) = (Instant::now() + time(), 0);
        let mut kinds = [0; 9];
        while Instant::now() < end || kinds.contains(&0) {
            let scene = &mut scenes[edits % 2];
            edits += 1;
            let anchor = head_of(&scene.rows);
            let seed = chance.0;

            let named = edit(scene, &mut chance, &mut kinds).await;
            let report = scene.verified(anchor.clone()).await;

            let what = format!("state {seed}, keyed {}: {named:?}: {:?}", scene.is_keyed, report.findings);
            assert!(!report.is_sound(), "{what}");
            let first = &report.findings[0];
            match named {
                Named::Row(seq) => assert_eq!(report.first_bad(), Some(seq), "{what}"),
                Named::Inserted(seq) => assert!(
                    first.seq == seq || (first.seq == seq + 1 && first.fault == Fault::NotLinked),
                    "{what}"
                ),
                Named::Anchor => {
                    assert_eq!((first.seq, &first.fault), (anchor.seq, &Fault::AnchorDiffers), "{what}");
                }
            }
            let rows = scene.rows.clone();
            scene.put(&rows, &anchor).await;
            assert!(scene.verified(anchor).await.is_sound(), "put back");
        }
        println!("{edits} edits, of each kind {kinds:?}");
        for scene in scenes {
            scene.store.close().await;
        }
    }
}

#[test]
fn no_changed_byte_of_the_file_goes_unseen() {
    crate::harness::database::run(Engine::Sqlite, async |database| {
        let mut chance = Chance::new("bytes");
        let scene = Scene::new(&database, true).await;
        let anchor = head_of(&scene.rows);
        scene.store.close().await;
        let mut intruder = scene.intruder;
        sqlx::raw_sql("pragma wal_checkpoint(truncate)").execute(&mut intruder).await.unwrap();
        intruder.close().await.unwrap();
        let whole = std::fs::read(database.folder().join("neostock.db")).unwrap();
        let end = Instant::now() + time();
        let (mut refused, mut found, mut elsewhere) = (0, 0, 0);
        while Instant::now() < end || found == 0 || refused == 0 || elsewhere == 0 {
            let copy = tempfile::tempdir().unwrap();
            let path = copy.path().join("neostock.db");
            let mut bytes = whole.clone();
            let places: Vec<(usize, u8)> = (0..=chance.below(BYTES_MAX))
                .map(|_| (chance.below(whole.len() as u64) as usize, 1 << chance.below(8)))
                .collect();
            for (at, bits) in &places {
                bytes[*at] ^= bits;
            }
            std::fs::write(&path, bytes).unwrap();

            match looked_at(&path, &anchor).await {
                Err(_) => refused += 1,
                Ok((report, ..)) if !report.is_sound() => found += 1,
                Ok((_, rows, head)) => {
                    assert_eq!((rows, head), (scene.rows.clone(), anchor.clone()), "{places:?}");
                    elsewhere += 1;
                }
            }
        }
        println!(
            "{refused} refused by the database, {found} found, {elsewhere} not in the journal"
        );
    });
}

/// What a check finds in a file, and the rows and the head that are there.
async fn looked_at(
    path: &std::path::Path,
    anchor: &Anchor,
) -> Result<(Report, Vec<Row>, Anchor), Error> {
    let url = format!("sqlite:{}", path.display());
    let keys = Keys::from(Some(SecretString::from(KEY)));
    let store = Store::inspect(&url, Clock::manual(NOW_MS), keys).await?;
    let report = journal::verify(&store, Some(anchor.clone())).await;
    let mut reader = store.read().await?;
    let rows = journal::page(&mut reader, i64::MIN, 1_000).await;
    let head = journal::head(&mut reader).await;
    drop(reader);
    store.close().await;
    Ok((report?, rows?, head?))
}
