//! Backups of the sample's database, and the manifest beside each: what a restore must bring back. It
//! is made from the database itself, not from the copy, so that it also proves the copying.

use super::{Place, database};
use anyhow::{Context, bail};
use futures_util::TryStreamExt;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Connection, Row};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Older ones go.
const KEPT_MAX: usize = 8;
/// How a backup's name begins; its time follows, so that names sort by age.
const PREFIX: &str = "neostock-";
/// The form of the manifest that this program writes and reads.
pub(super) const FORMAT: u32 = 1;

/// What a backup must hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub(super) format: u32,
    /// The moment of the snapshot.
    pub(super) taken_ms: i64,
    pub(super) schema: i64,
    pub(super) size_bytes: u64,
    pub(super) sha256: String,
    pub(super) tables: BTreeMap<String, Table>,
}

/// One table of the snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Table {
    pub(super) ddl: String,
    pub(super) rows: u64,
    /// SHA-256 of the rows in the order of their values.
    pub(super) checksum: String,
}

/// Takes a backup and writes its manifest; afterwards both are there, or neither.
pub(super) async fn take(place: &Place, out: &mut dyn Write) -> anyhow::Result<()> {
    writeln!(out, "数据库备份...")?;
    let folder = place.backups();
    let _lock = lock(&folder)?;
    let unfinished = folder.join("unfinished");
    if unfinished.exists() {
        fs::remove_file(&unfinished).context("remove what an interrupted backup left")?;
    }
    let mut database = database::open(place, false).await?;
    // Nobody writes until the copy is made and the manifest read: both see the same moment.
    let mut snapshot = database.begin_with("begin immediate").await.context("hold the database")?;
    let taken_ms = now_ms();
    copy(place, &unfinished).await?;
    let tables = tables(&mut snapshot).await?;
    let tables = tables.into_iter().map(|(name, table)| Ok((name, table?)));
    let tables = tables.collect::<anyhow::Result<_>>()?;
    let schema = database::schema(&mut snapshot).await?;
    snapshot.rollback().await.context("let go of the database")?;
    database.close().await.context("close the database")?;

    File::open(&unfinished).and_then(|file| file.sync_all()).context("flush the backup")?;
    let (size_bytes, sha256) = digest(&unfinished)?;
    let manifest = Manifest { format: FORMAT, taken_ms, schema, size_bytes, sha256, tables };
    let file = folder.join(format!("{PREFIX}{}.db", stamp(taken_ms)));
    super::replace(&manifest_of(&file), &serde_json::to_vec_pretty(&manifest)?)?;
    fs::rename(&unfinished, &file).context("put the backup in place")?;
    super::sync_folder(&folder)?;
    let count: u64 = manifest.tables.values().map(|table| table.rows).sum();
    writeln!(
        out,
        "{} 已写入: {} 张表，{count} 行，{size_bytes} 字节",
        name_of(&file),
        manifest.tables.len()
    )?;
    prune(&folder, out)
}

/// The newest backup.
pub(super) fn newest(folder: &Path) -> anyhow::Result<Option<PathBuf>> {
    Ok(all(folder)?.pop())
}

/// Where the manifest of a backup is.
pub(super) fn manifest_of(backup: &Path) -> PathBuf {
    backup.with_extension("json")
}

pub(super) fn name_of(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

pub(super) fn now_ms() -> i64 {
    #[expect(clippy::disallowed_methods, reason = "the sandbox uses none of the other rooms")]
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Size and SHA-256 of a file.
pub(super) fn digest(file: &Path) -> anyhow::Result<(u64, String)> {
    let mut reading = File::open(file).with_context(|| format!("open {}", file.display()))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    let mut size = 0;
    loop {
        let count = reading.read(&mut buffer).context("read the backup")?;
        if count == 0 {
            return Ok((size, hex::encode(hash.finalize())));
        }
        hash.update(&buffer[..count]);
        size += count as u64;
    }
}

/// Every table of a database as a manifest describes it; one that cannot be read hides no other.
pub(super) async fn tables(
    database: &mut SqliteConnection,
) -> anyhow::Result<BTreeMap<String, anyhow::Result<Table>>> {
    let names: Vec<(String, String)> = sqlx::query_as(
        "select name, sql from sqlite_master where type = 'table' and name not like 'sqlite_%'",
    )
    .fetch_all(&mut *database)
    .await
    .context("list the tables")?;
    let mut found = BTreeMap::new();
    for (name, ddl) in names {
        let table = match contents(database, &name).await {
            Ok((rows, checksum)) => Ok(Table { ddl, rows, checksum }),
            Err(error) => Err(error).with_context(|| format!("read the table {name}")),
        };
        found.insert(name, table);
    }
    Ok(found)
}

/// The number of a table's rows and their checksum: of each value in a form that no two values share,
/// in the order of these forms, whatever the row ids are.
async fn contents(database: &mut SqliteConnection, table: &str) -> sqlx::Result<(u64, String)> {
    let columns: Vec<String> = sqlx::query_scalar("select name from pragma_table_info($1)")
        .bind(table)
        .fetch_all(&mut *database)
        .await?;
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    // SQLite quotes every kind of value so that it can be read back, but a text only to its first NUL.
    let form = |column: &String| {
        let it = quoted(column);
        format!("case typeof({it}) when 'text' then 't' || hex({it}) else quote({it}) end")
    };
    let values: Vec<String> = columns.iter().map(form).collect();
    let order: Vec<String> = (1..=columns.len()).map(|number| number.to_string()).collect();
    let statement = format!(
        "select {} from {} order by {}",
        values.join(", "),
        quoted(table),
        order.join(", ")
    );
    let mut hash = Sha256::new();
    let mut count = 0;
    // Names come from the database's own catalogue and are quoted.
    let mut rows = sqlx::query(AssertSqlSafe(statement)).fetch(database);
    while let Some(row) = rows.try_next().await? {
        for index in 0..columns.len() {
            let value: String = row.try_get(index)?;
            hash.update((value.len() as u64).to_be_bytes());
            hash.update(value);
        }
        count += 1;
    }
    Ok((count, hex::encode(hash.finalize())))
}

async fn copy(place: &Place, into: &Path) -> anyhow::Result<()> {
    let mut database = database::open(place, false).await?;
    sqlx::query("vacuum into $1")
        .bind(into.to_str().context("the path is not UTF-8")?)
        .execute(&mut database)
        .await
        .context("copy the database")?;
    database.close().await.context("close the database")
}

/// One backup or verification at a time; the lock goes with the file.
pub(super) fn lock(folder: &Path) -> anyhow::Result<File> {
    let file = File::create(folder.join("lock")).context("open the lock of the backups")?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => bail!("错误: 另一个备份或验证正在进行，请等它结束"),
        Err(error) => Err(error).context("lock the backups"),
    }
}

/// Every finished backup, the oldest first.
fn all(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let entries = fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))?;
    for entry in entries {
        let file = entry.context("read the folder of backups")?.path();
        let is_backup = file.extension().is_some_and(|extension| extension == "db");
        if is_backup && name_of(&file).starts_with(PREFIX) {
            found.push(file);
        }
    }
    found.sort();
    Ok(found)
}

fn prune(folder: &Path, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut old = all(folder)?;
    old.truncate(old.len().saturating_sub(KEPT_MAX));
    for backup in old {
        fs::remove_file(&backup).with_context(|| format!("remove {}", backup.display()))?;
        // One without a manifest is as old.
        let _ = fs::remove_file(manifest_of(&backup));
        writeln!(out, "已删除最旧的 {}（只保留 {KEPT_MAX} 个）", name_of(&backup))?;
    }
    Ok(())
}

/// A time that sorts as text: `20261125T155959.123Z`.
fn stamp(at_ms: i64) -> String {
    let at = chrono::DateTime::from_timestamp_millis(at_ms).unwrap_or_default();
    at.format("%Y%m%dT%H%M%S%.3fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_by_age() {
        assert_eq!(stamp(1_795_489_200_007), "20261124T030000.007Z");
        assert!(stamp(999) < stamp(1_000));
    }

    #[tokio::test]
    async fn a_checksum_tells_values_apart_and_ignores_row_ids() {
        let mut database = SqliteConnection::connect("sqlite::memory:").await.expect("SQLite");
        sqlx::raw_sql(
            "create table a (x, y); insert into a values (1, '1'), (null, x'00');
             create table b (x, y); insert into b values (null, x'00'), (1, '1');
             create table c (x, y); insert into c values (null, x'00'), ('1', 1);
             create table d (x); insert into d values ('a' || char(0) || 'b'), (0.1);
             create table e (x); insert into e values ('a' || char(0) || 'c'), (0.1);
             create table f (x); insert into f values ('a' || char(0) || 'b'), (0.1 + 1e-16);",
        )
        .execute(&mut database)
        .await
        .expect("tables");

        let found = tables(&mut database).await.expect("readable");

        let table = |name: &str| found[name].as_ref().expect("readable");
        assert_eq!(table("a").rows, 2);
        assert_eq!(table("a").checksum, table("b").checksum);
        for (one, other) in [("a", "c"), ("d", "e"), ("d", "f")] {
            assert_ne!(table(one).checksum, table(other).checksum, "{one} and {other}");
        }
    }
}
