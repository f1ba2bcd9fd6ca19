//! 备份验证: restores the newest backup into a scratch folder, compares it with its manifest and lists
//! every difference. It never touches the database that serves.

use super::Place;
use super::backup::{self, FORMAT, Manifest, Table};
use super::result::{self, Figure, Outcome};
use anyhow::{Context, ensure};
use sqlx::Connection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// 恢复点目标 of the manual: how much may be lost.
const RECOVERY_POINT_MAX: Duration = Duration::from_mins(15);
/// 恢复时间目标 of the manual: how long a restore may take.
const RECOVERY_TIME_MAX: Duration = Duration::from_hours(1);
/// How many complaints of SQLite's own check are shown.
const COMPLAINTS_MAX: usize = 20;

/// Verifies the newest backup; whether it is good.
pub(super) async fn newest(place: &Place, out: &mut dyn Write) -> anyhow::Result<bool> {
    writeln!(out, "备份验证...")?;
    let _lock = backup::lock(&place.backups())?;
    let file = backup::newest(&place.backups())?.with_context(|| {
        "错误: 没有任何备份，现在出事就无法恢复。请先做一个: backup-verify new".to_owned()
    })?;
    writeln!(out, "备份: {}", backup::name_of(&file))?;
    let manifest = manifest_of(&file)?;
    #[expect(clippy::disallowed_methods, reason = "a restore takes real time")]
    let started = Instant::now();
    let mut faults = compare(place, &file, &manifest).await?;
    let took = started.elapsed();
    let rows = manifest.tables.values().map(|table| table.rows).sum();
    if faults.is_empty() {
        writeln!(
            out,
            "内容一致: 数据库版本 {}，{} 张表，{rows} 行",
            manifest.schema,
            manifest.tables.len()
        )?;
    }
    writeln!(out, "恢复并核对用时 {}（RTO 目标 {}）", shown(took), shown(RECOVERY_TIME_MAX))?;
    faults.extend(time_fault(took));
    let age_ms = backup::now_ms().saturating_sub(manifest.taken_ms);
    match u64::try_from(age_ms).map(Duration::from_millis) {
        Ok(age) => {
            writeln!(out, "备份距今 {}（RPO 目标 {}）", shown(age), shown(RECOVERY_POINT_MAX))?;
            faults.extend(age_fault(age));
        }
        Err(_) => faults.push("备份的时间在未来，无法判断有多旧，请校准时钟后做新备份".to_owned()),
    }
    for fault in &faults {
        writeln!(out, "✗ {fault}")?;
    }
    let figures: [Figure; 4] = [
        ("faults", faults.len() as u64, "问题", "faults"),
        ("rows", rows, "行", "rows"),
        (
            "restore_ms",
            u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            "恢复毫秒",
            "restore, ms",
        ),
        ("age_secs", u64::try_from(age_ms / 1_000).unwrap_or(0), "备份距今秒", "age, s"),
    ];
    let (outcome, zh, en) = if faults.is_empty() {
        (Outcome::Passed, "备份可用".to_owned(), "the backup can be used".to_owned())
    } else {
        let count = faults.len();
        let zh = format!("备份验证失败，{count} 处问题");
        (Outcome::Failed, zh, format!("the backup was not verified: {count} faults"))
    };
    writeln!(out, "{} {zh}", if outcome == Outcome::Passed { "✅" } else { "❌" })?;
    Ok(result::conclude(out, ("backup.verify", outcome), (&zh, &en), &figures)?)
}

/// What is wrong with a restore that took this long.
fn time_fault(took: Duration) -> Option<String> {
    let over = shown(over(took, RECOVERY_TIME_MAX)?);
    Some(format!("恢复太慢: 超过 RTO {over}，请减小数据量或改用更快的存储"))
}

/// What is wrong with a backup of this age.
fn age_fault(age: Duration) -> Option<String> {
    let over = shown(over(age, RECOVERY_POINT_MAX)?);
    Some(format!("备份太旧: 超过 RPO {over}，请做新备份 (backup-verify new) 并检查定时备份"))
}

fn over(time: Duration, limit: Duration) -> Option<Duration> {
    time.checked_sub(limit).filter(|over| !over.is_zero())
}

fn manifest_of(file: &Path) -> anyhow::Result<Manifest> {
    #[derive(serde::Deserialize)]
    struct Head {
        format: u32,
    }
    let path = backup::manifest_of(file);
    let name = backup::name_of(&path);
    let text = fs::read(&path).map_err(|error| {
        anyhow::anyhow!(
            "错误: 读不到清单 {name} ({error})，无法证明备份完整。请做新备份: backup-verify new"
        )
    })?;
    let damaged =
        || format!("错误: 清单 {name} 已损坏，无法证明备份完整。请做新备份: backup-verify new");
    let head: Head = serde_json::from_slice(&text).with_context(damaged)?;
    ensure!(
        head.format <= FORMAT,
        "错误: 清单 {name} 的格式 {} 比本程序认识的 {FORMAT} 新，请用写它的那个版本来验证",
        head.format
    );
    serde_json::from_slice(&text).with_context(damaged)
}

/// Restores the backup and lists what is not as the manifest says.
async fn compare(place: &Place, file: &Path, manifest: &Manifest) -> anyhow::Result<Vec<String>> {
    let scratch = Scratch::make(place)?;
    let restored = scratch.0.join("neostock.db");
    fs::copy(file, &restored).context("恢复失败: 无法复制备份")?;
    let mut faults = file_faults(manifest, backup::digest(&restored)?);
    if let Err(error) = database_faults(&restored, manifest, &mut faults).await {
        faults.push(format!("恢复出来的数据库无法读取: {error:#}"));
    }
    Ok(faults)
}

fn file_faults(manifest: &Manifest, (size_bytes, sha256): (u64, String)) -> Vec<String> {
    let wanted = manifest.size_bytes;
    if size_bytes < wanted {
        return vec![format!("文件被截断: {size_bytes} 字节，应为 {wanted}")];
    }
    if size_bytes > wanted {
        return vec![format!("文件变长了: {size_bytes} 字节，应为 {wanted}")];
    }
    if sha256 != manifest.sha256 {
        return vec!["文件内容变了: SHA-256 与清单不同".to_owned()];
    }
    Vec::new()
}

async fn database_faults(
    file: &Path,
    manifest: &Manifest,
    faults: &mut Vec<String>,
) -> anyhow::Result<()> {
    let options = SqliteConnectOptions::new().filename(file).read_only(true).immutable(true);
    let mut database = SqliteConnection::connect_with(&options).await.context("open it")?;
    let check = sqlx::query_scalar("pragma integrity_check").fetch_all(&mut database).await;
    // A file can be too damaged even for that; its tables are looked at all the same.
    let complaints: Vec<String> = check.unwrap_or_else(|error| vec![error.to_string()]);
    let complaints = complaints.into_iter().filter(|line| line != "ok").take(COMPLAINTS_MAX);
    faults.extend(complaints.map(|line| format!("integrity_check: {}", line.replace('\n', " "))));
    match super::database::schema(&mut database).await {
        Ok(schema) if schema == manifest.schema => {}
        Ok(schema) => faults.push(format!("数据库版本 {schema}，应为 {}", manifest.schema)),
        Err(error) => faults.push(format!("数据库版本读不出来: {error:#}")),
    }
    faults.extend(table_faults(&manifest.tables, &backup::tables(&mut database).await?));
    database.close().await.context("close it")
}

/// Every difference, by table.
fn table_faults(
    wanted: &BTreeMap<String, Table>,
    found: &BTreeMap<String, anyhow::Result<Table>>,
) -> Vec<String> {
    let names: BTreeSet<&String> = wanted.keys().chain(found.keys()).collect();
    let mut faults = Vec::new();
    for name in names {
        match (wanted.get(name), found.get(name)) {
            (Some(_), None) => faults.push(format!("表 {name}: 备份里没有")),
            (None, Some(_)) => faults.push(format!("表 {name}: 清单里没有")),
            (Some(_), Some(Err(error))) => faults.push(format!("表 {name}: 读不出来: {error:#}")),
            (Some(wanted), Some(Ok(found))) => {
                if wanted.ddl != found.ddl {
                    faults.push(format!("表 {name}: 结构不同"));
                }
                if wanted.rows != found.rows {
                    faults.push(format!("表 {name}: {} 行，应为 {}", found.rows, wanted.rows));
                } else if wanted.checksum != found.checksum {
                    faults.push(format!("表 {name}: {} 行，但内容不同", found.rows));
                }
            }
            (None, None) => {}
        }
    }
    faults
}

/// A folder that goes whatever happens.
struct Scratch(PathBuf);

impl Scratch {
    fn make(place: &Place) -> anyhow::Result<Self> {
        let path = place.dir.join("scratch");
        // One that was killed left it; only whoever holds the lock is here.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).with_context(|| format!("make {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is a copy that stays behind.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn shown(time: Duration) -> String {
    let secs = time.as_secs();
    match secs {
        0 => format!("{} 毫秒", time.as_millis()),
        1..60 => format!("{secs} 秒"),
        60..3_600 => format!("{} 分 {} 秒", secs / 60, secs % 60),
        _ => format!("{} 小时 {} 分", secs / 3_600, secs / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(ddl: &str, rows: u64, checksum: &str) -> Table {
        Table { ddl: ddl.to_owned(), rows, checksum: checksum.to_owned() }
    }

    #[test]
    fn a_backup_older_than_the_recovery_point_says_by_how_much() {
        assert_eq!(age_fault(Duration::from_secs(3)), None);
        assert_eq!(age_fault(RECOVERY_POINT_MAX), None);

        let fault = age_fault(RECOVERY_POINT_MAX + Duration::from_secs(125)).expect("too old");

        assert!(fault.contains("超过 RPO 2 分 5 秒"), "{fault}");
        assert_eq!(time_fault(RECOVERY_TIME_MAX), None);
        let fault = time_fault(RECOVERY_TIME_MAX * 3).expect("too slow");
        assert!(fault.contains("超过 RTO 2 小时 0 分"), "{fault}");
    }

    #[test]
    fn every_difference_is_listed_by_table() {
        let same = table("create table s", 1, "aa");
        let wanted = BTreeMap::from([
            ("gone".to_owned(), same.clone()),
            ("less".to_owned(), table("create table l", 5, "bb")),
            ("other".to_owned(), table("create table o (x)", 2, "cc")),
            ("same".to_owned(), same.clone()),
            ("torn".to_owned(), same.clone()),
        ]);
        let found = BTreeMap::from([
            ("less".to_owned(), Ok(table("create table l", 4, "b2"))),
            ("new".to_owned(), Ok(same.clone())),
            ("other".to_owned(), Ok(table("create table o (y)", 2, "c2"))),
            ("same".to_owned(), Ok(same.clone())),
            ("torn".to_owned(), Err(anyhow::anyhow!("malformed"))),
        ]);

        assert_eq!(
            table_faults(&wanted, &found),
            [
                "表 gone: 备份里没有",
                "表 less: 4 行，应为 5",
                "表 new: 清单里没有",
                "表 other: 结构不同",
                "表 other: 2 行，但内容不同",
                "表 torn: 读不出来: malformed",
            ]
        );
    }
}
