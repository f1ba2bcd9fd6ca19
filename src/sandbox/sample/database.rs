//! The sample's database: SQLite, migrated up by the files of a slot's tree, one transaction a
//! migration, and down by what it remembers of those files: the tree that brought a migration may be
//! gone when it must be undone. Its words are those of the manual's script.

use super::pair::Colour;
use super::{Place, repository};
use anyhow::{Context, bail, ensure};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, Connection};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A down migration that holds this cannot be undone.
pub(super) const IRREVERSIBLE: &str = "-- irreversible";

/// One migration of a tree.
struct Migration {
    number: i64,
    /// Such as `0004_order_fees`.
    name: String,
    up: PathBuf,
    down: PathBuf,
}

/// Makes the database for what stands in a slot, with rows that every rollback must keep.
pub(super) async fn create(place: &Place, colour: Colour) -> anyhow::Result<()> {
    let mut out = Vec::new();
    migrate(place, colour, &mut out).await?;
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
         insert into orders (id, symbol, quantity, price_cents, at_ms) values
           (1, '600519', 100, 165000, 1742000000000),
           (2, '300750', 300, 24000, 1745000000000),
           (3, '601318', 500, 5400, 1748000000000),
           (4, '000858', 200, 13100, 1750000000000);",
    )
    .execute(&mut database)
    .await
    .context("fill the sample database")?;
    database.close().await.context("close the sample database")
}

/// Applies what a slot's tree has and the database has not.
pub(super) async fn migrate(
    place: &Place,
    colour: Colour,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    writeln!(out, "执行数据库迁移...")?;
    let mut database = open(place, true).await?;
    let current = schema(&mut database).await?;
    for migration in migrations(&place.migrations(colour))? {
        if migration.number <= current {
            continue;
        }
        let sql = read(&migration.up)?;
        let mut transaction = database.begin().await.context("begin")?;
        run_file(&mut transaction, &sql)
            .await
            .with_context(|| format!("迁移 {} 失败，已撤销", migration.name))?;
        sqlx::query("insert into schema_migrations (version, name, down_sql) values ($1, $2, $3)")
            .bind(migration.number)
            .bind(&migration.name)
            // One without is one that cannot be undone.
            .bind(fs::read_to_string(&migration.down).unwrap_or_else(|_| IRREVERSIBLE.to_owned()))
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
    let Some(files) = repository::migrations_of(&place.repo(), version)? else {
        bail!("错误: 无效的版本 {version}");
    };
    let target = repository::newest(&files);
    let mut database = open(place, false).await?;
    let current = schema(&mut database).await?;
    writeln!(out, "数据库当前版本: {current}，{version} 需要版本: {target}")?;
    ensure!(
        current >= target,
        "错误: 数据库版本 {current} 低于 {version} 需要的 {target}：这是升级，请用 deploy {version}"
    );
    if current == target {
        writeln!(out, "数据库无需回滚")?;
        return database.close().await.context("close the database");
    }
    undo(&mut database, target, out).await?;
    database.close().await.context("close the database")
}

/// Undoes migrations until the newest is `target`; nothing is undone when one of those needed cannot be.
pub(super) async fn undo(
    database: &mut SqliteConnection,
    target: i64,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    for (number, name, down) in down_steps(database, target).await? {
        let mut transaction = database.begin().await.context("begin")?;
        run_file(&mut transaction, &down)
            .await
            .with_context(|| format!("回滚 {name} 失败，这一步已撤销"))?;
        sqlx::query("delete from schema_migrations where version = $1")
            .bind(number)
            .execute(&mut *transaction)
            .await
            .context("record the rollback")?;
        transaction.commit().await.context("commit")?;
        writeln!(out, "  回滚 {name} 完成")?;
    }
    writeln!(out, "数据库已回滚到版本 {target}").context("say so")
}

/// What leads down to `target`, newest first: number, name, statements. All of it is looked at before
/// the first is run.
async fn down_steps(
    database: &mut SqliteConnection,
    target: i64,
) -> anyhow::Result<Vec<(i64, String, String)>> {
    let steps: Vec<(i64, String, String)> = sqlx::query_as(
        "select version, name, down_sql from schema_migrations where version > $1
         order by version desc",
    )
    .bind(target)
    .fetch_all(database)
    .await
    .context("read how to undo the migrations")?;
    if let Some((_, name, _)) = steps.iter().find(|(.., down)| down.contains(IRREVERSIBLE)) {
        bail!("错误: 迁移 {name} 不可逆，数据库没有任何改动");
    }
    Ok(steps)
}

/// The schema that the database has now.
pub(super) async fn current_schema(place: &Place) -> anyhow::Result<i64> {
    let mut database = open(place, false).await?;
    let found = schema(&mut database).await;
    database.close().await.context("close the database")?;
    found
}

/// The newest migration that was applied; 0 before the first.
pub(super) async fn schema(database: &mut SqliteConnection) -> anyhow::Result<i64> {
    sqlx::query_scalar("select coalesce(max(version), 0) from schema_migrations")
        .fetch_one(database)
        .await
        .context("read the schema version of the database")
}

/// Opens the database; one that is made gets the table that counts its migrations.
pub(super) async fn open(place: &Place, make: bool) -> anyhow::Result<SqliteConnection> {
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
               version bigint primary key, name text not null, down_sql text not null
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

/// The schema that the code in a slot expects at least.
pub(super) fn expected_schema(place: &Place, colour: Colour) -> anyhow::Result<i64> {
    let newest = migrations(&place.migrations(colour))?.last().map(|migration| migration.number);
    Ok(newest.unwrap_or(0))
}

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("read {}", path.display()))
}
