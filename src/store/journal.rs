//! The journal's tables: appending (only [`Store::unit`] does), reading, checking.
//!
//! Nothing here changes or removes a row; the database's triggers refuse both.

use super::connect::Engine;
use super::{Error, Store};
use crate::clock::{Clock, Millis};
use crate::core::journal::{self as chain, Anchor, Entry, Key, Keys, Report, Row, Verifier};
use sqlx::{AnyConnection, AnyPool, Connection, FromRow};

/// Rows that a check reads at a time.
const VERIFY_PAGE_ROWS: i64 = 500;
/// Rows that one page holds at most.
pub const PAGE_ROWS_MAX: i64 = 1_000;

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
        let changed = chain::key_changed(at_ms, &old, &keys.current);
        append(&mut transaction, &old, &[changed]).await?;
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
    loop {
        let rows = page(&mut transaction, after_seq, VERIFY_PAGE_ROWS).await?;
        let Some(last) = rows.last() else { break };
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
    let lost = chain::key_lost(at_ms, change, (&ended, seal.digest()), (by, why));
    let began = chain::key_began(at_ms, &keys.current);
    append(&mut transaction, &keys.current, &[lost, began]).await?;
    transaction.commit().await?;
    Ok(ended)
}

/// Which entries a reader wants.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Kinds that begin so; empty for all.
    pub kind_prefix: String,
    /// This actor's; empty for all.
    pub actor: String,
    /// About this subject, such as a run; empty for all.
    pub subject: String,
    /// Not before this moment.
    pub since_ms: Millis,
}

#[derive(FromRow)]
struct Stored {
    seq: i64,
    at_ms: i64,
    actor: String,
    origin: String,
    kind: String,
    subject: String,
    detail: String,
    key_id: String,
    prev_hash: String,
    hash: String,
}

impl From<Stored> for Row {
    fn from(row: Stored) -> Self {
        Self {
            seq: row.seq,
            at_ms: row.at_ms,
            actor: row.actor,
            origin: row.origin,
            kind: row.kind,
            subject: row.subject,
            detail: row.detail,
            key_id: row.key_id,
            prev_hash: row.prev_hash,
            hash: row.hash,
        }
    }
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
    let rows: Vec<Stored> = sqlx::query_as(
        "select seq, at_ms, actor, origin, kind, subject, detail, key_id, prev_hash, hash \
         from journal where seq > $1 order by seq limit $2",
    )
    .bind(after_seq)
    .bind(limit.min(PAGE_ROWS_MAX))
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(Row::from).collect())
}

/// The rows after `after_seq` that a filter keeps, in order; at most `limit`.
///
/// # Errors
/// As the database gives them.
pub async fn page_of(
    connection: &mut AnyConnection,
    filter: &Filter,
    after_seq: i64,
    limit: i64,
) -> Result<Vec<Row>, Error> {
    let rows: Vec<Stored> = sqlx::query_as(
        "select seq, at_ms, actor, origin, kind, subject, detail, key_id, prev_hash, hash \
         from journal where seq > $1 and substr(kind, 1, length($2)) = $2 \
         and (actor = $3 or $3 = '') and (subject = $4 or $4 = '') and at_ms >= $5 \
         order by seq limit $6",
    )
    .bind(after_seq)
    .bind(&filter.kind_prefix)
    .bind(&filter.actor)
    .bind(&filter.subject)
    .bind(filter.since_ms)
    .bind(limit.min(PAGE_ROWS_MAX))
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(Row::from).collect())
}

/// The newest rows that a filter keeps, newest first; at most `limit`.
///
/// # Errors
/// As the database gives them.
pub async fn newest_of(
    connection: &mut AnyConnection,
    filter: &Filter,
    limit: i64,
) -> Result<Vec<Row>, Error> {
    let rows: Vec<Stored> = sqlx::query_as(
        "select seq, at_ms, actor, origin, kind, subject, detail, key_id, prev_hash, hash \
         from journal where substr(kind, 1, length($1)) = $1 \
         and (actor = $2 or $2 = '') and (subject = $3 or $3 = '') and at_ms >= $4 \
         order by seq desc limit $5",
    )
    .bind(&filter.kind_prefix)
    .bind(&filter.actor)
    .bind(&filter.subject)
    .bind(filter.since_ms)
    .bind(limit.min(PAGE_ROWS_MAX))
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(Row::from).collect())
}

/// Which entries a person looks for; empty texts are for all.
#[derive(Debug, Clone)]
pub struct Search<'s> {
    /// This actor's.
    pub actor: &'s str,
    /// About this run.
    pub run: &'s str,
    /// About runs of this action, or requests for it.
    pub action: &'s str,
    /// Of these kinds; `None` for all.
    pub kinds: Option<Vec<&'static str>>,
    /// Not before this moment.
    pub since_ms: Millis,
    /// Only entries before this one.
    pub before_seq: i64,
}

/// The newest rows that a search finds, newest first; at most `limit`.
///
/// # Errors
/// As the database gives them.
pub async fn search(
    connection: &mut AnyConnection,
    search: &Search<'_>,
    limit: i64,
) -> Result<Vec<Row>, Error> {
    // Names of kinds and actions are ours and hold no wildcard but `_`, which finds itself too.
    let kinds =
        search.kinds.as_ref().map_or_else(String::new, |kinds| format!(",{},", kinds.join(",")));
    let rows: Vec<Stored> = sqlx::query_as(
        "select seq, at_ms, actor, origin, kind, subject, detail, key_id, prev_hash, hash \
         from journal where seq < $1 and at_ms >= $2 and (actor = $3 or $3 = '') \
         and (subject = $4 or $4 = '') and ($5 = '' or $5 like '%,' || kind || ',%') \
         and ($6 = '' or subject in (select id from runs where action = $6) \
           or detail like '%\"command\":\"' || $6 || '\"%' \
           or detail like '%\"text\":\"' || $6 || '%') \
         order by seq desc limit $7",
    )
    .bind(search.before_seq)
    .bind(search.since_ms)
    .bind(search.actor)
    .bind(search.run)
    .bind(kinds)
    .bind(search.action)
    .bind(limit.min(PAGE_ROWS_MAX))
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(Row::from).collect())
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
    let mut connection = store.read().await?;
    let mut moment = connection.begin_with(store.shared.engine.begin_snapshot()).await?;
    let head = head(&mut moment).await?;
    let mut verifier = Verifier::new(store.keys(), anchor);
    let mut after_seq = i64::MIN;
    loop {
        let rows = page(&mut moment, after_seq, VERIFY_PAGE_ROWS).await?;
        let Some(last) = rows.last() else { break };
        after_seq = last.seq;
        for row in rows {
            verifier.push(row);
        }
    }
    moment.rollback().await?;
    Ok(verifier.finish(&head))
}
