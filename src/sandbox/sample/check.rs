//! The checks of the manual's deploy checklist that this small service can answer for itself. Nothing of it is
//! changed: what has to be tried is tried on a copy.

use super::pair::Colour;
use super::result::{self, Outcome};
use super::{Place, database, repository};
use anyhow::Context;
use sqlx::Connection;
use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;

/// The idle slot of the copy: which one it is makes no difference there.
const SLOT: Colour = Colour::Green;

/// A copy of the database beside the real repository; it goes with its value.
struct Scratch {
    place: Place,
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed goes with the demo's folder.
        let _ = fs::remove_dir_all(&self.place.dir);
    }
}

impl Scratch {
    async fn make(place: &Place, version: &str) -> anyhow::Result<Self> {
        let dir = place.dir.join(format!("check-{}", std::process::id()));
        let scratch = Self { place: Place::new(&dir) };
        for folder in ["data", "slots"] {
            fs::create_dir_all(dir.join(folder)).context("make the scratch folder")?;
        }
        symlink(place.repo(), scratch.place.repo()).context("link the repository")?;
        repository::export(&place.repo(), version, &scratch.place.slot(SLOT))?;
        let mut database = database::open(place, false).await?;
        let copy = scratch.place.database();
        sqlx::query("vacuum into $1")
            .bind(copy.to_str().context("the path is not UTF-8")?)
            .execute(&mut database)
            .await
            .context("copy the database")?;
        database.close().await.context("close the database")?;
        Ok(scratch)
    }

    /// The schema as text, the same for the same schema.
    async fn schema(&self) -> anyhow::Result<Vec<String>> {
        let mut database = database::open(&self.place, false).await?;
        let schema = sqlx::query_scalar(
            "select sql from sqlite_master where sql is not null order by type, name",
        );
        let schema = schema.fetch_all(&mut database).await.context("read the schema")?;
        database.close().await.context("close the database")?;
        Ok(schema)
    }
}

/// 数据库迁移脚本验证: up, down and up again on a copy; whether each came to the same schema.
pub(super) async fn migrations(
    place: &Place,
    version: &str,
    out: &mut dyn Write,
) -> anyhow::Result<bool> {
    let files = repository::migrations_of(&place.repo(), version)?;
    let files = files.with_context(|| format!("{version} 不是这里的标签或提交"))?;
    let current = database::current_schema(place).await?;
    let target = repository::newest(&files);
    if target <= current {
        let zh = format!("数据库已是版本 {current}，没有要执行的迁移");
        let en = format!("the database is at {current}: there is nothing to migrate");
        return migrations_are(Outcome::Passed, (&zh, &en), out);
    }
    let scratch = Scratch::make(place, version).await?;
    let before = scratch.schema().await?;
    let tried = async {
        database::migrate(&scratch.place, SLOT, out).await?;
        let after = scratch.schema().await?;
        let mut copy = database::open(&scratch.place, false).await?;
        database::undo(&mut copy, current, out).await?;
        copy.close().await.context("close the copy")?;
        let back = scratch.schema().await?;
        database::migrate(&scratch.place, SLOT, out).await?;
        anyhow::Ok((after, back, scratch.schema().await?))
    };
    let (after, back, again) = match tried.await {
        Ok(schemas) => schemas,
        Err(fault) => {
            let zh = format!("迁移 {current} → {target}: {fault:#}");
            let en = format!("migrating {current} → {target} failed: {fault:#}");
            return migrations_are(Outcome::Failed, (&zh, &en), out);
        }
    };
    if back != before {
        let (zh, en) =
            ("回滚之后的结构与迁移之前不同", "undone, the schema is not what it was before");
        return migrations_are(Outcome::Failed, (zh, en), out);
    }
    if again != after {
        let (zh, en) =
            ("再次迁移得到的结构与第一次不同", "migrated again, the schema is another one");
        return migrations_are(Outcome::Failed, (zh, en), out);
    }
    let zh = format!("在副本上迁移 {current} → {target}、回滚、再迁移，结构一致");
    let en = format!("on a copy {current} → {target}, back and forth again: the schemas match");
    migrations_are(Outcome::Passed, (&zh, &en), out)
}

fn migrations_are(
    outcome: Outcome,
    (zh, en): (&str, &str),
    out: &mut dyn Write,
) -> anyhow::Result<bool> {
    Ok(result::conclude(out, ("check.migrations", outcome), (zh, en), &[])?)
}

/// 回滚计划确认: what would be gone back to, and whether every migration on the way can be undone.
pub(super) fn way_back(
    place: &Place,
    (version, live): (&str, &str),
    out: &mut dyn Write,
) -> anyhow::Result<bool> {
    let repo = place.repo();
    let files = repository::migrations_of(&repo, version)?;
    let files = files.with_context(|| format!("{version} 不是这里的标签或提交"))?;
    if live.is_empty() {
        let zh = "首次登记：之前没有已知的线上版本，无需回滚计划";
        let en = "no version is known to be live: there is nothing to go back to";
        return way_back_is(Outcome::Passed, (zh, en), out);
    }
    let before = repository::migrations_of(&repo, live)?;
    let before = before.with_context(|| format!("回滚目标 {live} 不是这里的标签或提交"))?;
    let new = files.iter().filter(|file| {
        repository::number_of(file).is_some_and(|number| number > repository::newest(&before))
    });
    let mut stuck = Vec::new();
    for up in new {
        let down = up.replace(".up.sql", ".down.sql");
        let text = repository::file_of(&repo, version, &format!("db/{down}")).unwrap_or_default();
        if text.trim().is_empty() || text.contains(database::IRREVERSIBLE) {
            stuck.push(down);
        }
    }
    if stuck.is_empty() {
        let zh = format!("可回滚到 {live}，途中的迁移都可逆");
        let en = format!("back to {live}: every migration on the way can be undone");
        return way_back_is(Outcome::Passed, (&zh, &en), out);
    }
    let zh = format!("回滚目标 {live}，但这些迁移不可逆: {}", stuck.join("、"));
    let en = format!("back to {live}, but these cannot be undone: {}", stuck.join(", "));
    way_back_is(Outcome::Failed, (&zh, &en), out)
}

fn way_back_is(
    outcome: Outcome,
    (zh, en): (&str, &str),
    out: &mut dyn Write,
) -> anyhow::Result<bool> {
    Ok(result::conclude(out, ("check.rollback-plan", outcome), (zh, en), &[])?)
}
