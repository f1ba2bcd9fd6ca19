//! Pages of the journal for people who look for something. Entries come in the order of their time, and
//! each filter has an index in that order: a page costs the same however long the journal is.

use super::super::Error;
use crate::clock::Millis;
use crate::core::journal::Row;
use sqlx::{AnyConnection, FromRow};
use std::collections::BTreeSet;

/// Rows that one page holds at most.
pub const PAGE_ROWS_MAX: i64 = 1_000;
/// Different kinds that a journal is looked through for.
const KINDS_MAX: i64 = 1_000;
/// An action with more runs than this is found by going through the entries, one with fewer by going
/// through its runs.
const RUNS_FEW: i64 = 500;
/// Kinds with more entries than this are found among those of an actor, not the other way round.
const ENTRIES_FEW: i64 = 5_000;

macro_rules! select {
    () => {
        "select seq, at_ms, actor, origin, kind, subject, detail, key_id, prev_hash, hash \
         from journal where "
    };
}

macro_rules! kept {
    () => {
        " and at_ms >= $1 and ($3 = '' or actor = $3) and ($4 = '' or subject = $4) \
         and ($5 = '' or $5 like '%,' || kind || ',%') "
    };
}

/// The two directions of a page whose rows are found by `$driver`.
macro_rules! both {
    ($driver:expr) => {
        Both {
            newest: concat!(
                select!(),
                $driver,
                kept!(),
                "and (at_ms, seq) < (coalesce((select at_ms from journal where seq = $2), \
                 9223372036854775807), $2) order by at_ms desc, seq desc limit $6"
            ),
            oldest: concat!(
                select!(),
                $driver,
                kept!(),
                "and (at_ms, seq) > (coalesce((select at_ms from journal where seq = $2), $1 - 1), $2) \
                 order by at_ms, seq limit $6"
            ),
        }
    };
}

struct Both {
    newest: &'static str,
    oldest: &'static str,
}

const BY_TIME: Both = both!("at_ms >= $1");
const BY_SUBJECT: Both = both!("subject = $4");
const BY_ACTOR: Both = both!("actor = $3");
const BY_KIND: Both = both!("kind = $7");
const BY_RUNS: Both = both!("subject in (select id from runs where action = $7)");
const BY_TIME_OF_RUNS: Both =
    both!("(select count(*) from runs where id = subject and action = $7) > 0");
/// The expressions are those of the indexes, letter by letter.
const ASKED_SQLITE: Both = both!(
    "substr(replace(substr(detail, case instr(detail, '\"command\":\"') when 0 \
     then instr(detail, '\"text\":\"') + 8 else instr(detail, '\"command\":\"') + 11 end, 40), '\"', \
     ' '), 1, instr(replace(substr(detail, case instr(detail, '\"command\":\"') when 0 \
     then instr(detail, '\"text\":\"') + 8 else instr(detail, '\"command\":\"') + 11 end, 40), '\"', \
     ' ') || ' ', ' ') - 1) = $7 and subject = ''"
);
const ASKED_POSTGRES: Both = both!(
    "split_part(replace(substr(detail, case strpos(detail, '\"command\":\"') when 0 \
     then strpos(detail, '\"text\":\"') + 8 else strpos(detail, '\"command\":\"') + 11 end, 40), '\"', \
     ' '), ' ', 1) = $7 and subject = ''"
);

/// Which entries a reader wants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Kinds that begin so; empty for all.
    pub kind_prefix: String,
    /// This actor's; empty for all.
    pub actor: String,
    /// About this subject, such as a run; empty for all.
    pub subject: String,
    /// Not before this moment.
    pub since_ms: Millis,
    /// Not after this moment; only [`Moment::each_page`](super::Moment::each_page) looks at it.
    pub until_ms: Option<Millis>,
    /// Not behind this row; only [`Moment::each_page`](super::Moment::each_page) looks at it.
    pub to_seq: Option<i64>,
}

impl Filter {
    /// A filter that leaves nothing out.
    pub fn everything() -> Self {
        Self { since_ms: Millis::MIN, ..Self::default() }
    }

    pub(super) fn is_everything(&self) -> bool {
        *self == Self::everything()
    }
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Newest,
    Oldest,
}

/// A page to be looked up.
struct Look<'l> {
    order: Order,
    actor: &'l str,
    subject: &'l str,
    /// With commas between and around them; empty for all.
    kinds: String,
    since_ms: Millis,
    /// Behind this one, in the order.
    cursor: i64,
    limit: i64,
}

/// The rows after `after_seq` that a filter keeps, in the order of their time; at most `limit`. With 0
/// it begins at the first.
///
/// # Errors
/// As the database gives them.
pub async fn page_of(
    connection: &mut AnyConnection,
    filter: &Filter,
    after_seq: i64,
    limit: i64,
) -> Result<Vec<Row>, Error> {
    let look = (Order::Oldest, after_seq, limit);
    filtered(connection, filter, look).await
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
    let look = (Order::Newest, i64::MAX, limit);
    filtered(connection, filter, look).await
}

async fn filtered(
    connection: &mut AnyConnection,
    filter: &Filter,
    (order, cursor, limit): (Order, i64, i64),
) -> Result<Vec<Row>, Error> {
    let kinds = match filter.kind_prefix.as_str() {
        "" => None,
        prefix => Some(kinds_with(connection, prefix).await?),
    };
    let look = Look {
        order,
        actor: &filter.actor,
        subject: &filter.subject,
        kinds: String::new(),
        since_ms: filter.since_ms,
        cursor,
        limit: limit.min(PAGE_ROWS_MAX),
    };
    look.rows_of(connection, kinds).await
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
    let kinds = search.kinds.as_ref();
    let kinds = kinds.map(|kinds| kinds.iter().map(|kind| (*kind).to_owned()).collect::<Vec<_>>());
    let mut look = Look {
        order: Order::Newest,
        actor: search.actor,
        subject: search.run,
        kinds: String::new(),
        since_ms: search.since_ms,
        cursor: search.before_seq,
        limit: limit.min(PAGE_ROWS_MAX),
    };
    if search.action.is_empty() {
        return look.rows_of(connection, kinds).await;
    }
    look.kinds = spelled(kinds.as_deref());
    let asked = match connection.backend_name() {
        "SQLite" => &ASKED_SQLITE,
        _ => &ASKED_POSTGRES,
    };
    let runs = sqlx::query_scalar::<_, i64>(
        "select count(*) from (select 1 from runs where action = $1 limit $2) as counted",
    );
    let runs = runs.bind(search.action).bind(RUNS_FEW + 1).fetch_one(&mut *connection).await?;
    let of_runs = if runs > RUNS_FEW { &BY_TIME_OF_RUNS } else { &BY_RUNS };
    let mut rows = look.rows(connection, of_runs, Some(search.action)).await?;
    rows.extend(look.rows(connection, asked, Some(search.action)).await?);
    Ok(look.merged(rows))
}

/// Kinds that begin so, of those that the journal holds: from one to the next in their index.
async fn kinds_with(connection: &mut AnyConnection, prefix: &str) -> Result<Vec<String>, Error> {
    let kinds: Vec<String> = sqlx::query_scalar(
        "with recursive kinds (kind) as (select min(kind) from journal union all \
         select (select min(journal.kind) from journal where journal.kind > kinds.kind) \
         from kinds where kinds.kind is not null) \
         select kind from kinds where kind is not null limit $1",
    )
    .bind(KINDS_MAX)
    .fetch_all(connection)
    .await?;
    Ok(kinds.into_iter().filter(|kind| kind.starts_with(prefix)).collect())
}

/// As the statements compare it. Kinds are ours and hold no wildcard but `_`, which finds itself too.
fn spelled(kinds: Option<&[String]>) -> String {
    kinds.map_or_else(String::new, |kinds| format!(",{},", kinds.join(",")))
}

/// Whether so few entries are of these kinds that an actor's are best found among them.
async fn are_few(connection: &mut AnyConnection, kinds: &[String]) -> Result<bool, Error> {
    let mut entries = 0;
    for kind in kinds {
        let counted = sqlx::query_scalar::<_, i64>(
            "select count(*) from (select 1 from journal where kind = $1 limit $2) as counted",
        );
        let counted = counted.bind(kind).bind(ENTRIES_FEW + 1 - entries);
        entries += counted.fetch_one(&mut *connection).await?;
        if entries > ENTRIES_FEW {
            return Ok(false);
        }
    }
    Ok(true)
}

impl Look<'_> {
    /// The rows, by the index of the filter that leaves the fewest.
    async fn rows_of(
        mut self,
        connection: &mut AnyConnection,
        kinds: Option<Vec<String>>,
    ) -> Result<Vec<Row>, Error> {
        let by = match (self.subject, self.actor) {
            ("", "") => &BY_TIME,
            ("", _) => &BY_ACTOR,
            _ => &BY_SUBJECT,
        };
        let Some(kinds) = kinds else { return self.rows(connection, by, None).await };
        let is_by_kind = self.subject.is_empty()
            && (self.actor.is_empty() || are_few(connection, &kinds).await?);
        if !is_by_kind {
            self.kinds = spelled(Some(&kinds));
            return self.rows(connection, by, None).await;
        }
        let mut rows = Vec::new();
        for kind in &kinds {
            rows.extend(self.rows(connection, &BY_KIND, Some(kind)).await?);
        }
        Ok(self.merged(rows))
    }

    async fn rows(
        &self,
        connection: &mut AnyConnection,
        by: &Both,
        driver: Option<&str>,
    ) -> Result<Vec<Row>, Error> {
        let statement = match self.order {
            Order::Newest => by.newest,
            Order::Oldest => by.oldest,
        };
        let mut query = sqlx::query_as(statement)
            // The first page of the oldest begins one before it.
            .bind(self.since_ms.max(Millis::MIN + 1))
            .bind(self.cursor)
            .bind(self.actor)
            .bind(self.subject)
            .bind(&self.kinds)
            .bind(self.limit);
        if let Some(driver) = driver {
            query = query.bind(driver);
        }
        let rows: Vec<Stored> = query.fetch_all(connection).await?;
        Ok(rows.into_iter().map(Row::from).collect())
    }

    /// The first of several pages, each row once.
    fn merged(&self, mut rows: Vec<Row>) -> Vec<Row> {
        rows.sort_by_key(|row| (row.at_ms, row.seq));
        if self.order == Order::Newest {
            rows.reverse();
        }
        let mut seen = BTreeSet::new();
        rows.retain(|row| seen.insert(row.seq));
        rows.truncate(usize::try_from(self.limit).unwrap_or(0));
        rows
    }
}

#[derive(FromRow)]
pub(super) struct Stored {
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
