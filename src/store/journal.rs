//! The journal's tables: appending (only [`Store::unit`] does), reading, checking.
//!
//! Nothing changes a row, and only `archive` removes some; the database's triggers refuse both.

mod archive;
mod fold;
mod moment;
mod pages;

pub use archive::{Due, SEGMENT_ROWS_MAX, Segment, due, remove};
pub use fold::Stored;
pub use moment::Moment;
pub use pages::{Filter, PAGE_ROWS_MAX, Search, newest_of, page_of, search};

use super::connect::Engine;
use super::{Error, Store};
use crate::clock::Clock;
use crate::core::journal::{self as chain, Anchor, Entry, Key, Keys, Report, Row, Verifier};
use sqlx::{AnyConnection, AnyPool};

/// Rows that a seal reads at a time.
const SEAL_PAGE_ROWS: i64 = 500;

/// The ten placeholders of one row; the digits before the last are given, so that the row after
/// `$1 … $10` is `$11 … $20`.
macro_rules! row {
    ($tens:literal $next:literal) => {
        concat!(
            "($", $tens, "1, $", $tens, "2, $", $tens, "3, $", $tens, "4, $", $tens, "5, $", $tens,
            "6, $", $tens, "7, $", $tens, "8, $", $tens, "9, $", $next, "0)"
        )
    };
}

macro_rules! insert {
    ($first:literal $second:literal $(, $tens:literal $next:literal)*) => {
        concat!(
            "insert into journal (seq, at_ms, actor, origin, kind, subject, detail, key_id, \
             prev_hash, hash) values ",
            row!($first $second) $(, ", ", row!($tens $next))*
        )
    };
}

/// Rows by the statement, widest first: a statement costs about as much as eight rows.
const INSERTS: [(usize, &str); 3] = [
    (
        32,
        insert!(
            "" 1, 1 2, 2 3, 3 4, 4 5, 5 6, 6 7, 7 8, 8 9, 9 10, 10 11, 11 12, 12 13, 13 14, 14 15,
            15 16, 16 17, 17 18, 18 19, 19 20, 20 21, 21 22, 22 23, 23 24, 24 25, 25 26, 26 27,
            27 28, 28 29, 29 30, 30 31, 31 32
        ),
    ),
    (8, insert!("" 1, 1 2, 2 3, 3 4, 4 5, 5 6, 6 7, 7 8)),
    (1, insert!("" 1)),
];

/// Chains entries behind the head. It locks the head until the transaction ends.
pub(super) async fn append(
    connection: &mut AnyConnection,
    key: &Key,
    entries: &[Entry],
) -> Result<(), Error> {
    if entries.is_empty() {
        return Ok(());
    }
    let count = entries.len() as i64;
    let head: Option<(i64, String)> = sqlx::query_as(
        "update journal_head set seq = seq + $1 where id = 1 and key_id = $2 returning seq, hash",
    )
    .bind(count)
    .bind(key.id())
    .fetch_optional(&mut *connection)
    .await?;
    let Some((seq, hash)) = head else {
        return Err(Error::Setup(
            "the journal goes on under another key, which another replica was given; restart this \
             one with that key"
                .to_owned(),
        ));
    };
    let rows = chain::chain(entries, seq - count, hash, key);
    insert(&mut *connection, &rows).await?;
    if let Some(last) = rows.last() {
        sqlx::query("update journal_head set hash = $1 where id = 1")
            .bind(&last.hash)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

async fn insert(connection: &mut AnyConnection, mut rows: &[Row]) -> Result<(), Error> {
    for (width, statement) in INSERTS {
        while let Some((now, later)) = rows.split_at_checked(width) {
            let mut query = sqlx::query(statement);
            for row in now {
                query = query
                    .bind(row.seq)
                    .bind(row.at_ms)
                    .bind(&row.actor)
                    .bind(&row.origin)
                    .bind(&row.kind)
                    .bind(&row.subject)
                    .bind(&row.detail)
                    .bind(&row.key_id)
                    .bind(&row.prev_hash)
                    .bind(&row.hash);
            }
            query.execute(&mut *connection).await?;
            rows = later;
        }
    }
    Ok(())
}

/// Makes the key given at the start the journal's key. A change is told by an entry under the old
/// key and one under the new; a journal that is still empty takes its first key with the latter.
pub(super) async fn adopt_key(
    engine: Engine,
    pool: &AnyPool,
    clock: &Clock,
    keys: &Keys,
) -> Result<(), Error> {
    let mut transaction = pool.begin_with(engine.begin()).await?;
    // An update that changes nothing, to lock the head against another replica's start.
    let (seq, key_id): (i64, String) =
        sqlx::query_as("update journal_head set seq = seq where id = 1 returning seq, key_id")
            .fetch_one(&mut *transaction)
            .await?;
    if key_id == keys.current.id() {
        return Ok(transaction.rollback().await?);
    }
    let old = keys.find(&key_id).ok_or_else(|| {
        Error::Setup(format!(
            "the journal is under the key {key_id}, which is not the one configured ({}); give the \
             old key as NEOSTOCK_JOURNAL_KEY_PREVIOUS, so that the change itself is recorded under it. \
             If the old key is lost for good: neostock-ops lost-key --reason …",
            if keys.current.id().is_empty() { "none" } else { keys.current.id() }
        ))
    })?;
    let at_ms = clock.now_ms();
    if seq > 0 {
        let changed = chain::key_changed(at_ms, old, &keys.current);
        append(&mut transaction, old, &[changed]).await?;
    }
    sqlx::query("update journal_head set key_id = $1 where id = 1")
        .bind(keys.current.id())
        .execute(&mut *transaction)
        .await?;
    let began = chain::key_began(at_ms, &keys.current);
    append(&mut transaction, &keys.current, &[began]).await?;
    Ok(transaction.commit().await?)
}

/// Refuses a key that is not the journal's: who only visits changes none.
pub(super) async fn has_key(pool: &AnyPool, keys: &Keys) -> Result<(), Error> {
    let key_id: String =
        sqlx::query_scalar("select key_id from journal_head where id = 1").fetch_one(pool).await?;
    if key_id == keys.current.id() {
        return Ok(());
    }
    Err(Error::Setup(
        "the journal is under another key: give NEOSTOCK_JOURNAL_KEY as the bot has it".to_owned(),
    ))
}

/// Goes on under the key given now although the journal's own is lost: seals what stands there and
/// says so. Where the journal ended until then.
pub(super) async fn begin_anew(
    engine: Engine,
    pool: &AnyPool,
    clock: &Clock,
    keys: &Keys,
    (by, why): (&str, &str),
) -> Result<Anchor, Error> {
    let refused = |words: &str| Err(Error::Setup(words.to_owned()));
    if keys.current.id().is_empty() {
        return refused(
            "NEOSTOCK_JOURNAL_KEY is not set: it is the key to go on with; make one: openssl rand -hex 32",
        );
    }
    let mut transaction = pool.begin_with(engine.begin()).await?;
    let (seq, hash, key_id): (i64, String, String) = sqlx::query_as(
        "update journal_head set seq = seq where id = 1 returning seq, hash, key_id",
    )
    .fetch_one(&mut *transaction)
    .await?;
    if key_id == keys.current.id() {
        return refused(
            "the journal is under the key given as NEOSTOCK_JOURNAL_KEY: nothing is lost",
        );
    }
    if keys.find(&key_id).is_some() {
        return refused(
            "the journal's key is among those given, or it has none: start the bot, which records the \
             change of key",
        );
    }
    let mut seal = chain::Seal::default();
    let mut after_seq = i64::MIN;
    let mut first_seq = 1;
    loop {
        let rows = page(&mut transaction, after_seq, SEAL_PAGE_ROWS).await?;
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else { break };
        if after_seq == i64::MIN {
            first_seq = first.seq;
        }
        after_seq = last.seq;
        for row in &rows {
            seal.push(row);
        }
    }
    sqlx::query("update journal_head set key_id = $1 where id = 1")
        .bind(keys.current.id())
        .execute(&mut *transaction)
        .await?;
    let (at_ms, ended) = (clock.now_ms(), Anchor { seq, hash });
    let change = (key_id.as_str(), &keys.current);
    let lost = chain::key_lost(at_ms, change, (first_seq, &ended, seal.digest()), (by, why));
    let began = chain::key_began(at_ms, &keys.current);
    append(&mut transaction, &keys.current, &[lost, began]).await?;
    transaction.commit().await?;
    Ok(ended)
}

/// The rows after `after_seq`, in order; at most `limit`, and [`PAGE_ROWS_MAX`].
///
/// # Errors
/// As the database gives them.
pub async fn page(
    connection: &mut AnyConnection,
    after_seq: i64,
    limit: i64,
) -> Result<Vec<Row>, Error> {
    let rows: Vec<pages::Stored> = sqlx::query_as(
        "select seq, at_ms, actor, origin, kind, subject, detail, key_id, prev_hash, hash \
         from journal where seq > $1 order by seq limit $2",
    )
    .bind(after_seq)
    .bind(limit.min(PAGE_ROWS_MAX))
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(Row::from).collect())
}

/// The first row that is there; `None` for an empty journal. Those before it are archived.
///
/// # Errors
/// As the database gives them.
pub async fn first(connection: &mut AnyConnection) -> Result<Option<Row>, Error> {
    Ok(page(connection, i64::MIN, 1).await?.pop())
}

/// Where the chain ends: what is noted outside as an anchor.
///
/// # Errors
/// As the database gives them.
pub async fn head(connection: &mut AnyConnection) -> Result<Anchor, Error> {
    let (seq, hash) = sqlx::query_as("select seq, hash from journal_head where id = 1")
        .fetch_one(connection)
        .await?;
    Ok(Anchor { seq, hash })
}

/// Checks the whole chain as it stands at this moment, with the store's keys, in constant memory.
///
/// # Errors
/// As the database gives them; what is wrong with the chain is in the report.
pub async fn verify(store: &Store, anchor: Option<Anchor>) -> Result<Report, Error> {
    let mut moment = Moment::of(store).await?;
    let spans = moment.seal_spans().await?;
    let verifier = Verifier::new(store.keys(), anchor).with_seals(&spans);
    moment.check(store, verifier).await
}
