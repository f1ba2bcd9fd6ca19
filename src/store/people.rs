//! What Slack last said of its people: workspaces, accounts and the lists of user groups. Only `engine`
//! calls the writers.

use crate::clock::Millis;
use sqlx::AnyConnection;

/// More rows than a limit of ours ever keeps: SQLite has no offset without a limit.
const ALL: i64 = i64::MAX;

/// The workspace that Slack named last: its team and its address.
///
/// # Errors
/// The database's.
pub async fn workspace(connection: &mut AnyConnection) -> sqlx::Result<Option<(String, String)>> {
    sqlx::query_as("select team_id, url from workspaces order by seen_ms desc, team_id limit 1")
        .fetch_optional(connection)
        .await
}

/// Writes which workspace Slack named; what is newer stays.
///
/// # Errors
/// The database's.
pub async fn put_workspace(
    connection: &mut AnyConnection,
    team_id: &str,
    url: &str,
    seen_ms: Millis,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into workspaces (team_id, url, seen_ms) values ($1, $2, $3) \
         on conflict (team_id) do update set url = excluded.url, seen_ms = excluded.seen_ms \
         where workspaces.seen_ms < excluded.seen_ms",
    )
    .bind(team_id)
    .bind(url)
    .bind(seen_ms)
    .execute(connection)
    .await
    .map(drop)
}

/// A person's standing and when Slack said so.
///
/// # Errors
/// The database's.
pub async fn person(
    connection: &mut AnyConnection,
    team_id: &str,
    user_id: &str,
) -> sqlx::Result<Option<(String, Millis)>> {
    sqlx::query_as("select standing, seen_ms from people where team_id = $1 and user_id = $2")
        .bind(team_id)
        .bind(user_id)
        .fetch_optional(connection)
        .await
}

/// Writes a person's standing; what is newer stays.
///
/// # Errors
/// The database's.
pub async fn put_person(
    connection: &mut AnyConnection,
    team_id: &str,
    user_id: &str,
    (standing, seen_ms): (&str, Millis),
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into people (team_id, user_id, standing, seen_ms) values ($1, $2, $3, $4) \
         on conflict (team_id, user_id) do update set standing = excluded.standing, \
         seen_ms = excluded.seen_ms where people.seen_ms < excluded.seen_ms",
    )
    .bind(team_id)
    .bind(user_id)
    .bind(standing)
    .bind(seen_ms)
    .execute(connection)
    .await
    .map(drop)
}

/// The members of a user group, as JSON, and when Slack said so.
///
/// # Errors
/// The database's.
pub async fn group(
    connection: &mut AnyConnection,
    team_id: &str,
    group_id: &str,
) -> sqlx::Result<Option<(String, Millis)>> {
    sqlx::query_as(
        "select members, seen_ms from group_members where team_id = $1 and group_id = $2",
    )
    .bind(team_id)
    .bind(group_id)
    .fetch_optional(connection)
    .await
}

/// Writes the members of a user group; what is newer stays.
///
/// # Errors
/// The database's.
pub async fn put_group(
    connection: &mut AnyConnection,
    team_id: &str,
    group_id: &str,
    (members, seen_ms): (&str, Millis),
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into group_members (team_id, group_id, members, seen_ms) values ($1, $2, $3, $4) \
         on conflict (team_id, group_id) do update set members = excluded.members, \
         seen_ms = excluded.seen_ms where group_members.seen_ms < excluded.seen_ms",
    )
    .bind(team_id)
    .bind(group_id)
    .bind(members)
    .bind(seen_ms)
    .execute(connection)
    .await
    .map(drop)
}

/// Forgets people and lists from before `before_ms`, and of the rest all but the newest `kept` of each;
/// how many rows.
///
/// # Errors
/// The database's.
pub async fn prune(
    connection: &mut AnyConnection,
    before_ms: Millis,
    kept: i64,
) -> sqlx::Result<u64> {
    let mut pruned = 0;
    for old in
        ["delete from people where seen_ms < $1", "delete from group_members where seen_ms < $1"]
    {
        let deleted = sqlx::query(old).bind(before_ms).execute(&mut *connection).await?;
        pruned += deleted.rows_affected();
    }
    for surplus in [
        "delete from people where (team_id, user_id) in (select team_id, user_id from people \
         order by seen_ms desc, team_id, user_id limit $1 offset $2)",
        "delete from group_members where (team_id, group_id) in (select team_id, group_id \
         from group_members order by seen_ms desc, team_id, group_id limit $1 offset $2)",
    ] {
        let deleted = sqlx::query(surplus).bind(ALL).bind(kept).execute(&mut *connection).await?;
        pruned += deleted.rows_affected();
    }
    Ok(pruned)
}
