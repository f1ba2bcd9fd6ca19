//! The sample's database: SQLite, migrated up and down by the files of the tree that is checked
//! out, one transaction a migration. Its words are those of the manual's script.

use super::Place;
use super::repository;
use anyhow::{Context, bail, ensure};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, Connection};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A down migration that holds this cannot be undone.
const IRREVERSIBLE: &str = "-- irreversible";

/// One migration of the tree.
struct Migration {
    number: i64,
    /// Such as `0004_order_fees`.
    name: String,
    up: PathBuf,
    down: PathBuf,
}

/// Makes the database at the newest schema with rows that every rollback must keep.
pub(super) async fn create(place: &Place) -> anyhow::Result<()> {
    let mut out = Vec::new();
    migrate(place, &mut out).await?;
    let mut database = open(place, true).await?;
    sqlx::raw_sql(
        "insert into quotes (symbol, name, price_cents, at_ms) values
           ('600519', '贵州茅台', 168800, 1750000000000),
           ('000858', '五粮液', 13245, 1750000000000),
           ('300750', '宁德时代', 25610, 1750000000000),
           ('601318', '中国平安', 5482, 1750000000000);
         insert into users (id, email, created_ms) values (1, 'demo@neostock.example', 1744340000000);
         insert into price_alerts (id, user_id, symbol, above_cents, below_cents)
           values (1, 1, '600519', 170000, null);
         insert into orders (id, symbol, quantity, price_cents, at_ms, fee_cents) values
           (1, '600519', 100, 165000, 1742000000000, 0),
           (2, '300750', 300, 24000, 1745000000000, 0),
           (3, '601318', 500, 5400, 1748000000000, 810),
           (4, '000858', 200, 13100, 1750000000000, 786);",
    )
    .execute(&mut database)
    .await
    .context("fill the sample database")?;
    database.close().await.context("close the sample database")
}

/// Applies what the tree has and the database has not.
pub(super) async fn migrate(place: &Place, out: &mut dyn Write) -> anyhow::Result<()> {
    writeln!(out, "执行数据库迁移...")?;
    let mut database = open(place, true).await?;
    let current = schema(&mut database).await?;
    for migration in migrations(&place.migrations())? {
        if migration.number <= current {
            continue;
        }
        let sql = read(&migration.up)?;
        let mut transaction = database.begin().await.context("begin")?;
        run_file(&mut transaction, &sql)
            .await
            .with_context(|| format!("迁移 {} 失败，已撤销", migration.name))?;
        sqlx::query("insert into schema_migrations (version, name) values ($1, $2)")
            .bind(migration.number)
            .bind(&migration.name)
            .execute(&mut *transaction)
            .await
            .context("record the migration")?;
        transaction.commit().await.context("commit")?;
        writeln!(out, "  迁移 {} 完成", migration.name)?;
    }
    let now = schema(&mut database).await?;
    writeln!(out, "数据库版本: {now}")?;
    database.close().await.context("close the database")
}

/// Undoes migrations until the database fits `version`; nothing is undone when one of those needed
/// cannot be.
pub(super) async fn rollback(
    place: &Place,
    version: &str,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    writeln!(out, "执行数据库回滚...")?;
    let Some(target) = repository::schema_of(&place.repo(), version)? else {
        bail!("错误: 无效的版本 {version}");
    };
    let mut database = open(place, false).await?;
    let current = schema(&mut database).await?;
    writeln!(out, "数据库当前版本: {current}，{version} 需要版本: {target}")?;
    ensure!(
        current >= target,
        "错误: 数据库版本 {current} 低于 {version} 需要的 {target}，请在检出该版本后执行 db-migrate"
    );
    if current == target {
        writeln!(out, "数据库无需回滚")?;
        return database.close().await.context("close the database");
    }
    let steps = down_steps(place, current, target)?;
    for (migration, sql) in &steps {
        let mut transaction = database.begin().await.context("begin")?;
        run_file(&mut transaction, sql)
            .await
            .with_context(|| format!("回滚 {} 失败，这一步已撤销", migration.name))?;
        sqlx::query("delete from schema_migrations where version = $1")
            .bind(migration.number)
            .execute(&mut *transaction)
            .await
            .context("record the rollback")?;
        transaction.commit().await.context("commit")?;
        writeln!(out, "  回滚 {} 完成", migration.name)?;
    }
    writeln!(out, "数据库已回滚到版本 {target}")?;
    database.close().await.context("close the database")
}

/// The down migrations from `current` to `target`, newest first, all read before the first runs.
fn down_steps(
    place: &Place,
    current: i64,
    target: i64,
) -> anyhow::Result<Vec<(Migration, String)>> {
    let mut found = migrations(&place.migrations())?;
    found.retain(|migration| (target + 1..=current).contains(&migration.number));
    ensure!(
        i64::try_from(found.len()) == Ok(current - target),
        "错误: 当前代码缺少从版本 {current} 回到 {target} 的迁移文件，请先检出写入它们的版本"
    );
    found.reverse();
    found
        .into_iter()
        .map(|migration| {
            let sql = fs::read_to_string(&migration.down).ok();
            match sql.filter(|sql| !sql.contains(IRREVERSIBLE)) {
                Some(sql) => Ok((migration, sql)),
                None => bail!("错误: 迁移 {} 不可逆，数据库没有任何改动", migration.name),
            }
        })
        .collect()
}

/// The newest migration that was applied; 0 before the first.
pub(super) async fn schema(database: &mut SqliteConnection) -> anyhow::Result<i64> {
    sqlx::query_scalar("select coalesce(max(version), 0) from schema_migrations")
        .fetch_one(database)
        .await
        .context("read the schema version of the database")
}

/// Opens the database; one that is made gets the table that counts its migrations.
async fn open(place: &Place, make: bool) -> anyhow::Result<SqliteConnection> {
    let path = place.database();
    let options = SqliteConnectOptions::new()
        .filename(&path)
        .create_if_missing(make)
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(5));
    let mut database = SqliteConnection::connect_with(&options)
        .await
        .with_context(|| format!("open the database {}", path.display()))?;
    if make {
        sqlx::raw_sql(
            "create table if not exists schema_migrations (
               version bigint primary key, name text not null
             )",
        )
        .execute(&mut database)
        .await
        .context("make the table of migrations")?;
    }
    Ok(database)
}

/// Runs the statements of a reviewed file; nothing in them comes from a request.
async fn run_file(database: &mut SqliteConnection, sql: &str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(database).await.map(|_| ())
}

fn migrations(folder: &Path) -> anyhow::Result<Vec<Migration>> {
    let entries = fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))?;
    let mut found = Vec::new();
    for entry in entries {
        let file = entry.context("read the folder of migrations")?.file_name();
        let file = file.to_string_lossy();
        if let Some(number) = repository::number_of(&file) {
            let name = file.trim_end_matches(".up.sql").to_owned();
            let up = folder.join(file.as_ref());
            let down = folder.join(format!("{name}.down.sql"));
            found.push(Migration { number, name, up, down });
        }
    }
    found.sort_by_key(|migration| migration.number);
    Ok(found)
}

/// The schema that the code of this tree expects.
pub(super) fn expected_schema(place: &Place) -> anyhow::Result<i64> {
    let newest = migrations(&place.migrations())?.last().map(|migration| migration.number);
    Ok(newest.unwrap_or(0))
}

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("read {}", path.display()))
}
