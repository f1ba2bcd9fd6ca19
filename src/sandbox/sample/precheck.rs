//! 预部署验证: everything that must hold before a deploy touches anything. It looks at all of it and
//! lists every fault, so that nobody mends them one at a time.

use super::get::{get, health};
use super::pair::{self, Colour};
use super::process::{self, Unit};
use super::{Place, database, repository};
use anyhow::Context;
use std::io::Write;

/// Free disk space below which nothing is deployed, beside room for two more databases.
const FREE_BYTES_MIN: u64 = 64 * 1024 * 1024;

/// Writes what it looked at, a line each; whether all of it is well.
pub(super) async fn check(
    place: &Place,
    version: &str,
    out: &mut dyn Write,
) -> anyhow::Result<bool> {
    writeln!(out, "预部署验证: {version}")?;
    let mut report = Report { out, is_sound: true };
    let files = repository::migrations_of(&place.repo(), version);
    report.line("版本存在", known(version, &files))?;
    let schema = database::current_schema(place).await;
    report.line("数据库可访问", said(&schema, |schema| format!("版本 {schema}")))?;
    if let (Ok(Some(files)), Ok(schema)) = (&files, &schema) {
        let faults = migration_faults(version, files, *schema);
        if faults.is_empty() {
            report.line("迁移文件齐全", Ok(String::new()))?;
        }
        for fault in faults {
            report.line("迁移文件", Err(fault))?;
        }
    }
    report.line("磁盘空间", space(place))?;
    report.line("空闲颜色", idle(place).await)?;
    report.line("前端", front(place).await)?;
    Ok(report.is_sound)
}

struct Report<'o> {
    out: &'o mut dyn Write,
    is_sound: bool,
}

impl Report<'_> {
    fn line(&mut self, what: &str, found: Result<String, String>) -> anyhow::Result<()> {
        self.is_sound &= found.is_ok();
        let (mark, said) = match found {
            Ok(said) => ("✓", said),
            Err(said) => ("✗", said),
        };
        writeln!(self.out, "{}", format!("{mark} {what} {said}").trim_end())?;
        Ok(())
    }
}

fn said<T>(found: &anyhow::Result<T>, show: impl Fn(&T) -> String) -> Result<String, String> {
    found.as_ref().map(show).map_err(|error| format!("{error:#}"))
}

fn known(version: &str, files: &anyhow::Result<Option<Vec<String>>>) -> Result<String, String> {
    match files {
        Ok(Some(_)) => Ok(version.to_owned()),
        Ok(None) => Err(format!("{version} 不是这里的标签或提交，请先打标签或推送")),
        Err(error) => Err(format!("{error:#}")),
    }
}

/// What is wrong with the way from the database's schema to the version's.
fn migration_faults(version: &str, files: &[String], schema: i64) -> Vec<String> {
    let target = repository::newest(files);
    if target < schema {
        return vec![format!(
            "{version} 需要数据库版本 {target}，低于当前的 {schema}：这是回滚，请用 rollback {version}"
        )];
    }
    let mut faults = Vec::new();
    for number in schema + 1..=target {
        let up = files.iter().find(|file| repository::number_of(file) == Some(number));
        let Some(up) = up else {
            faults.push(format!("缺少 {number:04} 的 .up.sql，请补上后重新打标签"));
            continue;
        };
        let down = up.replace(".up.sql", ".down.sql");
        if !files.contains(&down) {
            faults.push(format!("缺少 {down}，发布后将无法回滚，请补上后重新打标签"));
        }
    }
    faults
}

fn space(place: &Place) -> Result<String, String> {
    let look = || -> anyhow::Result<(u64, u64)> {
        let disk = rustix::fs::statvfs(&place.dir).context("look at the disk")?;
        // One that is missing is another line's fault.
        let database = std::fs::metadata(place.database()).map_or(0, |file| file.len());
        Ok((disk.f_bavail.saturating_mul(disk.f_frsize), FREE_BYTES_MIN + 2 * database))
    };
    let (free, needed) = look().map_err(|error| format!("{error:#}"))?;
    let mib = |bytes: u64| bytes.div_ceil(1024 * 1024);
    if free < needed {
        return Err(format!("只剩 {} MiB，需要 {} MiB，请先清理", mib(free), mib(needed)));
    }
    Ok(format!("剩余 {} MiB", mib(free)))
}

/// Free once its last requests are done: those of before the last switch.
async fn idle(place: &Place) -> Result<String, String> {
    let colour = pair::idle(place).map_err(|error| format!("{error:#}"))?;
    let name = colour.name();
    let Some(running) = process::running(place, Unit::Slot(colour)) else {
        return Ok(format!("{name} 没有在运行"));
    };
    // One that does not answer has nobody waiting for it that could still be served.
    let metrics = get(running.port, "/metrics").await.map_or_else(|_| String::new(), |it| it.1);
    match in_flight(&metrics) {
        0 => Ok(format!("{name} 没有进行中的请求")),
        count => Err(format!("{name} 还有 {count} 个请求没有完成，请稍后再试")),
    }
}

/// How many requests a colour is working on, by its own metrics page.
fn in_flight(metrics: &str) -> u64 {
    let value = metrics.lines().find_map(|line| line.strip_prefix("http_requests_in_flight "));
    value.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}

async fn front(place: &Place) -> Result<String, String> {
    let Some(front) = process::running(place, Unit::Front) else {
        return Err("没有在运行，切换无法生效，请先恢复前端".to_owned());
    };
    let live = pair::live(place).map_or("?", Colour::name);
    // A live colour that is sick is a reason to deploy; one that does not answer at all is not.
    match health(front.port).await {
        Ok(seen) if !seen.version.is_empty() => {
            Ok(format!("正在把流量送到 {live} ({})", seen.version))
        }
        Ok(seen) => Err(format!("在运行，但 {live} 没有回答: {seen}；请先恢复它")),
        Err(error) => Err(format!("没有回答: {error:#}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn every_gap_on_the_way_forward_is_named() {
        let files = files(&["0001_a.up.sql", "0001_a.down.sql", "0003_c.up.sql", "0004_d.up.sql"]);

        assert_eq!(
            migration_faults("v2", &files, 1),
            [
                "缺少 0002 的 .up.sql，请补上后重新打标签",
                "缺少 0003_c.down.sql，发布后将无法回滚，请补上后重新打标签",
                "缺少 0004_d.down.sql，发布后将无法回滚，请补上后重新打标签",
            ]
        );
        assert_eq!(migration_faults("v2", &files, 4), [""; 0], "what is applied is no matter");
    }

    #[test]
    fn the_way_back_is_a_rollback() {
        let faults = migration_faults("v1", &files(&["0001_a.up.sql", "0001_a.down.sql"]), 2);

        assert_eq!(faults.len(), 1);
        assert!(faults[0].contains("请用 rollback v1"), "{faults:?}");
    }

    #[test]
    fn the_metrics_page_says_how_many_requests_are_under_way() {
        assert_eq!(in_flight("# HELP http_requests_in_flight x\nhttp_requests_in_flight 3\n"), 3);
        assert_eq!(in_flight(""), 0);
    }
}
