//! The outbox: what people are to see, and what of it has reached them already.
//!
//! A slot is one message. Writing a slot again replaces its wanted body, so edits coalesce to the
//! latest state by themselves. A post is announced (`posting`) before it is made: a slot that was
//! announced and has no `ts` may be in Slack, and is looked for there before it is posted again.
//!
//! A channel belongs to one way ([`way_of`]), and each way has senders of its own. Which slot goes next
//! in a channel is another question for Slack ([`next_in_channel`]) than for the others
//! ([`next_in_rows`]).

use crate::core::alert::Way;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

/// A message to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// Its name for ever: `R-…/card`, `R-…/2`; also in the message's metadata.
    pub key: String,
    /// Where.
    pub channel: String,
    /// In Slack the key of the slot whose thread it is a reply in; empty: a message of its own. By every
    /// other way the name of a row of messages, which go in the order in which they were written.
    pub parent: String,
    /// Higher goes first, between threads and rows.
    pub priority: i64,
    /// The run it is about; empty: none.
    pub run_id: String,
    /// JSON: in Slack a `Card`, by every other way what it reads.
    pub body: String,
}

/// By which way a channel is reached: `email:`, `pagerduty:default`; Slack's ids have no colon.
pub fn way_of(channel: &str) -> Way {
    let named = channel.split_once(':').and_then(|(way, _)| Way::named(way));
    named.unwrap_or(Way::Slack)
}

/// A slot that is due, as a sender needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The slot's key.
    pub key: String,
    /// Where.
    pub channel: String,
    /// The message whose thread it belongs in; empty: none.
    pub parent_ts: String,
    /// What is wanted, as JSON.
    pub body: String,
    /// The version of that body.
    pub version: i64,
    /// Its message; empty: not posted, as far as is known.
    pub ts: String,
    /// Whether a post was announced whose outcome is not known.
    pub is_posting: bool,
    /// Tries so far.
    pub attempts: i64,
    /// When the slot was first written.
    pub created_ms: i64,
}

/// Writes a slot, or gives an existing one a new body. The channel's row comes first, as in
/// [`hold_channel`], and is written only when it is missing: an insert that meets a row which a sender
/// is changing would wait for it while holding the slot the sender wants next.
///
/// # Errors
/// The database's.
pub async fn put(connection: &mut AnyConnection, slot: &Slot, now_ms: i64) -> sqlx::Result<()> {
    sqlx::query(
        "insert into outbox_channels \
         (channel, way, owner, fence, lease_until_ms, next_ms, failures, trouble) \
         select $1, $2, '', 0, 0, 0, 0, '' where not exists (\
           select 1 from outbox_channels where channel = $1) \
         on conflict (channel) do nothing",
    )
    .bind(&slot.channel)
    .bind(way_of(&slot.channel).name())
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "insert into outbox (key, seq, channel, parent, priority, run_id, body, version, \
         sent_version, ts, state, posting, attempts, refusal, created_ms, due_ms) values \
         ($1, (select coalesce(max(seq), 0) + 1 from outbox), $2, $3, $4, $5, $6, 1, 0, '', 'due', \
         0, 0, '', $7, $7) \
         on conflict (key) do update set body = excluded.body, version = outbox.version + 1, \
         due_ms = case when outbox.state = 'due' then outbox.due_ms else excluded.due_ms end, \
         state = case when outbox.state = 'refused' then 'refused' else 'due' end",
    )
    .bind(&slot.key)
    .bind(&slot.channel)
    .bind(&slot.parent)
    .bind(slot.priority)
    .bind(&slot.run_id)
    .bind(&slot.body)
    .bind(now_ms)
    .execute(connection)
    .await?;
    Ok(())
}

/// The slots that were first written after this one, in their order, at most `limit`, each with its number.
///
/// # Errors
/// The database's.
pub async fn written_after(
    connection: &mut AnyConnection,
    seq: i64,
    limit: i64,
) -> sqlx::Result<Vec<(i64, Slot)>> {
    let rows = sqlx::query(
        "select seq, key, channel, parent, priority, run_id, body from outbox where seq > $1 \
         order by seq limit $2",
    )
    .bind(seq)
    .bind(limit)
    .fetch_all(connection)
    .await?;
    let slot = |row: &AnyRow| {
        let slot = Slot {
            key: row.try_get(1)?,
            channel: row.try_get(2)?,
            parent: row.try_get(3)?,
            priority: row.try_get(4)?,
            run_id: row.try_get(5)?,
            body: row.try_get(6)?,
        };
        Ok((row.try_get(0)?, slot))
    };
    rows.iter().map(slot).collect()
}

/// Whether a slot was ever written.
///
/// # Errors
/// The database's.
pub async fn is_written(connection: &mut AnyConnection, key: &str) -> sqlx::Result<bool> {
    let row = sqlx::query("select key from outbox where key = $1")
        .bind(key)
        .fetch_optional(connection)
        .await?;
    Ok(row.is_some())
}

/// A claimed channel: nobody else posts there until the lease ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelClaim {
    /// The channel.
    pub channel: String,
    /// The claim's number; a later write with an older one is refused.
    pub fence: i64,
    /// Failures in a row so far.
    pub failures: i64,
}

/// Takes a channel of this way that has something due and may be posted to now.
///
/// # Errors
/// The database's.
pub async fn claim_channel(
    connection: &mut AnyConnection,
    way: Way,
    owner: &str,
    now_ms: i64,
    lease_until_ms: i64,
) -> sqlx::Result<Option<ChannelClaim>> {
    let row = sqlx::query(
        "update outbox_channels set owner = $1, fence = fence + 1, lease_until_ms = $2 \
         where lease_until_ms <= $3 and next_ms <= $3 and channel = (\
           select c.channel from outbox_channels c \
           where c.way = $4 and c.lease_until_ms <= $3 and c.next_ms <= $3 and exists (\
             select 1 from outbox o where o.channel = c.channel and o.state = 'due') \
           order by c.next_ms, c.channel limit 1) \
         returning channel, fence, failures",
    )
    .bind(owner)
    .bind(lease_until_ms)
    .bind(now_ms)
    .bind(way.name())
    .fetch_optional(connection)
    .await?;
    row.map(|row| {
        Ok(ChannelClaim {
            channel: row.try_get(0)?,
            fence: row.try_get(1)?,
            failures: row.try_get(2)?,
        })
    })
    .transpose()
}

/// When the next channel of this way with something due may be posted to; `None`: nothing is due.
///
/// # Errors
/// The database's.
pub async fn next_due_ms(connection: &mut AnyConnection, way: Way) -> sqlx::Result<Option<i64>> {
    let row = sqlx::query(
        "select cast(min(case when c.next_ms > c.lease_until_ms then c.next_ms \
         else c.lease_until_ms end) as bigint) from outbox_channels c where c.way = $1 and exists (\
         select 1 from outbox o where o.channel = c.channel and o.state = 'due')",
    )
    .bind(way.name())
    .fetch_one(connection)
    .await?;
    row.try_get(0)
}

/// The slot of a channel that goes next: by priority, then in the order in which they were written;
/// a reply waits for the message it answers. Where Slack will never take that one, the reply stands by
/// itself: it may be what calls people.
///
/// # Errors
/// The database's.
pub async fn next_in_channel(
    connection: &mut AnyConnection,
    channel: &str,
) -> sqlx::Result<Option<Due>> {
    let row = sqlx::query(
        "select o.key, o.channel, coalesce(p.ts, ''), o.body, o.version, o.ts, o.posting, \
         o.attempts, o.created_ms from outbox o left join outbox p on p.key = o.parent \
         where o.channel = $1 and o.state = 'due' and (o.parent = '' or p.ts <> '' or p.state = 'refused') \
         order by o.priority desc, o.seq limit 1",
    )
    .bind(channel)
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(due).transpose()
}

/// The slot of a channel that is not Slack's that goes next: by priority, then in the order in which
/// they were written; within a row of messages that order alone counts. One that was refused holds
/// nothing up.
///
/// # Errors
/// The database's.
pub async fn next_in_rows(
    connection: &mut AnyConnection,
    channel: &str,
) -> sqlx::Result<Option<Due>> {
    let row = sqlx::query(
        "select o.key, o.channel, '', o.body, o.version, o.ts, o.posting, o.attempts, o.created_ms \
         from outbox o where o.channel = $1 and o.state = 'due' and (o.parent = '' or not exists (\
           select 1 from outbox e where e.parent = o.parent and e.state = 'due' \
           and e.channel = o.channel and e.seq < o.seq)) \
         order by o.priority desc, o.seq limit 1",
    )
    .bind(channel)
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(due).transpose()
}

fn due(row: &AnyRow) -> sqlx::Result<Due> {
    Ok(Due {
        key: row.try_get(0)?,
        channel: row.try_get(1)?,
        parent_ts: row.try_get(2)?,
        body: row.try_get(3)?,
        version: row.try_get(4)?,
        ts: row.try_get(5)?,
        is_posting: row.try_get::<i64, _>(6)? != 0,
        attempts: row.try_get(7)?,
        created_ms: row.try_get(8)?,
    })
}

/// Proves that a claim is still the newest of its channel.
///
/// # Errors
/// The database's.
pub async fn hold_channel(
    connection: &mut AnyConnection,
    claim: &ChannelClaim,
) -> sqlx::Result<bool> {
    let result =
        sqlx::query("update outbox_channels set fence = fence where channel = $1 and fence = $2")
            .bind(&claim.channel)
            .bind(claim.fence)
            .execute(connection)
            .await?;
    Ok(result.rows_affected() == 1)
}

/// Says that a post is about to be made.
///
/// # Errors
/// The database's.
pub async fn announce(connection: &mut AnyConnection, key: &str) -> sqlx::Result<()> {
    sqlx::query("update outbox set posting = 1, attempts = attempts + 1 where key = $1")
        .bind(key)
        .execute(connection)
        .await?;
    Ok(())
}

/// A body of this version has arrived as message `ts`. The slot stays due when a newer body waits.
///
/// # Errors
/// The database's.
pub async fn sent(
    connection: &mut AnyConnection,
    key: &str,
    version: i64,
    ts: &str,
) -> sqlx::Result<()> {
    sqlx::query(
        "update outbox set ts = $3, sent_version = $2, posting = 0, attempts = 0, \
         state = case when version > $2 then 'due' else 'sent' end where key = $1",
    )
    .bind(key)
    .bind(version)
    .bind(ts)
    .execute(connection)
    .await?;
    Ok(())
}

/// The announced post is certainly not in Slack.
///
/// # Errors
/// The database's.
pub async fn not_posted(connection: &mut AnyConnection, key: &str) -> sqlx::Result<()> {
    sqlx::query("update outbox set posting = 0 where key = $1")
        .bind(key)
        .execute(connection)
        .await?;
    Ok(())
}

/// The message is gone from Slack: it is posted anew.
///
/// # Errors
/// The database's.
pub async fn forget_ts(connection: &mut AnyConnection, key: &str) -> sqlx::Result<()> {
    sqlx::query("update outbox set ts = '', posting = 0, sent_version = 0 where key = $1")
        .bind(key)
        .execute(connection)
        .await?;
    Ok(())
}

/// A slot was refused for good; it is kept for people to see.
///
/// # Errors
/// The database's.
pub async fn refused(connection: &mut AnyConnection, key: &str, why: &str) -> sqlx::Result<()> {
    sqlx::query("update outbox set state = 'refused', refusal = $2, posting = 0 where key = $1")
        .bind(key)
        .bind(why)
        .execute(connection)
        .await?;
    Ok(())
}

/// Gives every slot that Slack refused another chance; how many there were. By the other ways an event that
/// comes late would undo those that went after it.
///
/// # Errors
/// The database's.
pub async fn retry_refused(connection: &mut AnyConnection) -> sqlx::Result<u64> {
    let result = sqlx::query(
        "update outbox set state = 'due', refusal = '' where state = 'refused' \
             and channel not like '%:%'",
    )
    .execute(connection)
    .await?;
    Ok(result.rows_affected())
}

/// How a channel is left.
#[derive(Debug, Clone, Copy)]
pub struct Rest<'r> {
    /// It is not used before.
    pub next_ms: i64,
    /// Failures in a row.
    pub failures: i64,
    /// Why the latest call came to nothing; empty: it did not.
    pub trouble: &'r str,
}

/// Lets a channel go.
///
/// # Errors
/// The database's.
pub async fn release_channel(
    connection: &mut AnyConnection,
    claim: &ChannelClaim,
    rest: Rest<'_>,
) -> sqlx::Result<()> {
    sqlx::query(
        "update outbox_channels set lease_until_ms = 0, next_ms = $3, failures = $4, trouble = $5 \
         where channel = $1 and fence = $2",
    )
    .bind(&claim.channel)
    .bind(claim.fence)
    .bind(rest.next_ms)
    .bind(rest.failures)
    .bind(rest.trouble)
    .execute(connection)
    .await?;
    Ok(())
}

/// A channel on which something waits because calls come to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// The channel.
    pub channel: String,
    /// Failures in a row.
    pub failures: i64,
    /// Why the latest came to nothing.
    pub why: String,
}

/// The channels on which something waits because calls come to nothing, by name, at most `limit`.
///
/// # Errors
/// The database's.
pub async fn channels_in_trouble(
    connection: &mut AnyConnection,
    limit: i64,
) -> sqlx::Result<Vec<Trouble>> {
    let rows = sqlx::query(
        "select c.channel, c.failures, c.trouble from outbox_channels c where c.trouble <> '' \
         and exists (select 1 from outbox o where o.channel = c.channel and o.state = 'due') \
         order by c.channel limit $1",
    )
    .bind(limit)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            let (channel, failures, why) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            Ok(Trouble { channel, failures, why })
        })
        .collect()
}

/// Ends the channel leases of an owner that is known to be gone.
///
/// # Errors
/// The database's.
pub async fn end_leases_of(connection: &mut AnyConnection, owner: &str) -> sqlx::Result<()> {
    sqlx::query("update outbox_channels set lease_until_ms = 0 where owner = $1")
        .bind(owner)
        .execute(connection)
        .await?;
    Ok(())
}

/// The message of a slot: its channel and `ts`, once it is in Slack.
///
/// # Errors
/// The database's.
pub async fn message_of(
    connection: &mut AnyConnection,
    key: &str,
) -> sqlx::Result<Option<(String, String)>> {
    let row = sqlx::query("select channel, ts from outbox where key = $1 and ts <> ''")
        .bind(key)
        .fetch_optional(connection)
        .await?;
    row.map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).transpose()
}

/// The channels on which a row of messages was begun, by name, at most `limit`.
///
/// # Errors
/// The database's.
pub async fn channels_of_row(
    connection: &mut AnyConnection,
    row: &str,
    limit: i64,
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "select distinct channel from outbox where parent = $1 order by channel limit $2",
    )
    .bind(row)
    .bind(limit)
    .fetch_all(connection)
    .await
}

/// The latest wanted body of a slot.
///
/// # Errors
/// The database's.
pub async fn body_of(connection: &mut AnyConnection, key: &str) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar("select body from outbox where key = $1")
        .bind(key)
        .fetch_optional(connection)
        .await
}

/// Forgets at most `limit` messages of runs that ended before `before_ms`, or of no run and as old: those that
/// were sent, and outside Slack those that were refused, which nobody tries again. A run of which anything else
/// is there keeps all of its; what is of no run stands as long as there are replies to it, or the alert that it
/// is about is not over.
///
/// # Errors
/// The database's.
pub async fn prune(
    connection: &mut AnyConnection,
    before_ms: i64,
    limit: i64,
) -> sqlx::Result<u64> {
    let pruned = sqlx::query(
        "delete from outbox where key in (select o.key from outbox o \
         left join runs r on r.id = o.run_id where \
         (o.state = 'sent' or (o.state = 'refused' and o.channel like '%:%')) and \
         ((o.run_id = '' and o.due_ms < $1 and not exists \
         (select 1 from outbox t where t.parent = o.key) and not exists \
         (select 1 from alerts a where a.state <> 'resolved' \
          and o.key like 'alert/' || a.id || '/%')) or (r.ended_ms > 0 and r.ended_ms < $1)) and not exists \
         (select 1 from outbox d where d.run_id = o.run_id and o.run_id <> '' and d.state <> 'sent' \
          and not (d.state = 'refused' and d.channel like '%:%')) \
         order by o.seq limit $2)",
    )
    .bind(before_ms)
    .bind(limit)
    .execute(connection)
    .await?;
    Ok(pruned.rows_affected())
}

/// The outbox in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Census {
    /// Slots that are due.
    pub due: i64,
    /// Slots that were refused for good.
    pub refused: i64,
    /// Since when the oldest due slot waits; 0: none does.
    pub oldest_ms: i64,
}

/// Counts the outbox.
///
/// # Errors
/// The database's.
pub async fn census(connection: &mut AnyConnection) -> sqlx::Result<Census> {
    let row = sqlx::query(
        "select cast(coalesce(sum(case when state = 'due' then 1 else 0 end), 0) as bigint), \
         cast(coalesce(sum(case when state = 'refused' then 1 else 0 end), 0) as bigint), \
         cast(coalesce(min(case when state = 'due' then due_ms end), 0) as bigint) \
         from outbox where state <> 'sent'",
    )
    .fetch_one(connection)
    .await?;
    Ok(Census { due: row.try_get(0)?, refused: row.try_get(1)?, oldest_ms: row.try_get(2)? })
}
