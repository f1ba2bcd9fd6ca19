//! The sample service by its own commands: the manual's rollback, the pair behind its front, and
//! backups that are proved by a restore.

use crate::harness::place::is_alive;
use crate::harness::ports::free_port;
use crate::harness::service::{Service, execute, open};
use std::path::Path;
use std::process::Command;

fn git(repo: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(repo)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

async fn orders(database: &Path) -> (i64, i64) {
    let mut connection = open(database).await;
    sqlx::query_as("select count(*), coalesce(sum(quantity), 0) from orders")
        .fetch_one(&mut connection)
        .await
        .unwrap()
}

/// What a healthy colour says.
fn ok(version: &str, schema: u8, colour: &str) -> (u16, String) {
    let body =
        format!(r#"{{"status":"ok","version":"{version}","schema":{schema},"colour":"{colour}"}}"#);
    (200, body)
}

#[tokio::test]
async fn the_sample_is_rolled_back_by_the_manuals_five_steps() {
    let service = Service::start().await;
    let sample = &service.sample;
    let before = orders(&sample.database()).await;
    assert_eq!(git(&sample.repo(), &["tag"]), "v1.0\nv1.1\nv1.2\nv1.3\nv1.4");
    assert_eq!(git(&sample.repo(), &["cat-file", "-t", "v1.2"]), "tag");
    assert_eq!(service.health().await, ok("v1.2", 3, "blue"));
    let old_pid = sample.pid();
    service.does("blue-green-deploy --to v1.3").await;
    assert_eq!(service.health().await, ok("v1.2", 4, "blue"), "the old code serves on");
    service.does("switch-traffic --to v1.3").await;
    assert_eq!(service.health().await, ok("v1.3", 4, "green"));

    insta::assert_snapshot!(service.does("db-rollback --to v1.2").await, @r"
    执行数据库回滚...
    数据库当前版本: 4，v1.2 需要版本: 3
      回滚 0004_order_fees 完成
    数据库已回滚到版本 3
    ");
    let (status, body) = service.health().await;
    assert_eq!(status, 503, "the code is ahead of the database");
    assert!(body.contains("schema_mismatch"), "{body}");
    assert!(service.does("db-rollback --to v1.2").await.contains("无需回滚"));
    service.does("app-rollback --to v1.2").await;
    service.does("restart --to v1.2").await;

    assert_eq!(service.health().await, ok("v1.2", 3, "blue"));
    assert_ne!(sample.pid(), old_pid, "a new process of the old version");
    assert_eq!(orders(&sample.database()).await, before, "every order survived");
    assert!(service.does("restart --to v1.2").await.contains("无需切换"), "a repeated step");
    assert_eq!(git(&sample.repo(), &["status", "--porcelain"]), "", "the clone is left alone");

    assert!(service.refuses("db-rollback --to v9.9").await.contains("无效的版本 v9.9"));
    assert!(service.refuses("db-rollback --to v1.3").await.contains("请用 deploy v1.3"));
    let note = "update schema_migrations set down_sql = '-- irreversible' where version = 2";
    execute(&sample.database(), note).await;
    assert!(service.refuses("db-rollback --to v1.0").await.contains("不可逆"));
    assert_eq!(service.health().await.0, 200, "a refused rollback changes nothing");

    sample.stop().await.unwrap();
    assert_eq!(sample.pid(), None);
    assert!(service.http.get(sample.health_url()).send().await.is_err(), "nobody listens");
    sample.stop().await.unwrap();
}

#[tokio::test]
async fn the_sample_misbehaves_on_demand_and_measures_it() {
    let service = Service::start().await;
    let quotes_url = service.url("/api/quotes");

    let quotes = service.get(&quotes_url).await;
    service.sample.misbehave("health=500\nerror_rate=0.2\nversion=v1.3 latency_ms=60000").unwrap();
    let sick = service.health().await.0;
    let mut statuses = Vec::new();
    for _ in 0..5 {
        statuses.push(service.get(&quotes_url).await.0);
    }
    service.sample.misbehave("").unwrap();
    let well = service.health().await.0;
    let metrics = service.get(&service.url("/metrics")).await.1;
    let log = std::fs::read_to_string(service.sample.dir().join("log/access.log")).unwrap();

    assert_eq!(quotes.0, 200);
    assert!(quotes.1.contains("贵州茅台"), "{}", quotes.1);
    assert_eq!((sick, well), (500, 200));
    assert_eq!(statuses, [200, 200, 200, 200, 500]);
    assert!(metrics.contains(r#"http_requests_total{path="/api/quotes",status="500"} 1"#));
    assert!(metrics.contains(r#"le="7.5""#));
    assert!(log.contains("\"GET /api/quotes HTTP/1.1\" 500"), "{log}");
}

#[tokio::test]
async fn a_port_that_is_taken_is_said_at_once_and_leaves_nothing_running() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let service = Service::make(port).await;

    let refused = service.sample.start().await.unwrap_err().to_string();

    assert!(refused.contains("服务启动失败") && refused.contains("listen on"), "{refused}");
    assert_eq!(service.sample.pid(), None);
}

#[tokio::test]
async fn a_request_under_way_at_the_switch_ends_on_the_old_colour() {
    let service = Service::start().await;
    service.does("blue-green-deploy --to v1.3").await;
    service.sample.misbehave("version=v1.2 latency_ms=6000").unwrap();
    let slow = tokio::spawn(service.http.get(service.url("/api/quotes")).send());
    let metrics_url = service.url("/metrics");
    let is_under_way =
        || async { service.get(&metrics_url).await.1.contains("http_requests_in_flight 1") };
    service.until("the slow request arrived", is_under_way).await;

    service.does("switch-traffic --to v1.3").await;
    let (_, check) = service.says("pre-deploy-check --to v1.4").await;

    assert_eq!(service.health().await, ok("v1.3", 4, "green"));
    assert!(check.contains("✗ 空闲颜色 blue 还有 1 个请求没有完成"), "{check}");
    let slow = slow.await.unwrap().unwrap();
    assert_eq!(slow.status(), 200);
    assert_eq!(slow.headers()["x-neostock-version"], "v1.2");
    service.does("pre-deploy-check --to v1.4").await;
}

#[tokio::test]
async fn traffic_goes_only_to_the_version_that_was_meant_and_is_healthy_now() {
    let service = Service::start().await;

    let nobody = service.preview().await;
    let refused = service.refuses("switch-traffic --to v1.3").await;
    assert_eq!(nobody.0, 502);
    assert!(refused.contains("green 没有在运行") && refused.contains("流量没有切换"), "{refused}");

    service.does("blue-green-deploy --to v1.3").await;
    assert_eq!(service.preview().await, ok("v1.3", 4, "green"));
    let refused = service.refuses("switch-traffic --to v1.4").await;
    assert!(refused.contains("没有健康地运行 v1.4"), "{refused}");
    service.sample.misbehave("version=v1.3 health=500").unwrap();
    let refused = service.refuses("switch-traffic --to v1.3").await;
    assert!(refused.contains("没有健康地运行 v1.3") && refused.contains("500"), "{refused}");
    assert_eq!(service.health().await, ok("v1.2", 4, "blue"));

    service.sample.misbehave("").unwrap();
    service.kill("front");
    let refused = service.refuses("switch-traffic --to v1.3").await;
    assert!(refused.contains("流量已切回 blue"), "{refused}");
    service.sample.start().await.unwrap();
    assert_eq!(service.health().await, ok("v1.2", 4, "blue"));

    service.kill("blue");
    let is_gone = || async { service.health().await.0 == 502 };
    service.until("a dead colour is answered 502", is_gone).await;
}

#[tokio::test]
async fn the_pre_deploy_check_lists_every_fault() {
    let service = Service::start().await;
    let said = service.does("pre-deploy-check --to v1.4").await;
    assert!(
        said.contains("✓ 迁移文件齐全") && said.contains("✓ 前端 正在把流量送到 blue"),
        "{said}"
    );
    let said = service.refuses("pre-deploy-check --to v1.1").await;
    assert!(said.contains("低于当前的 3：这是回滚，请用 rollback v1.1"), "{said}");

    service.sample.stop().await.unwrap();
    let database = service.sample.database();
    std::fs::rename(&database, database.with_extension("away")).unwrap();
    let said = service.refuses("pre-deploy-check --to v9.9").await;

    for fault in ["✗ 版本存在 v9.9 不是", "✗ 数据库可访问", "✗ 前端 没有在运行"]
    {
        assert!(said.contains(fault), "no {fault} in {said}");
    }
    assert!(said.contains("✓ 磁盘空间"), "{said}");
}

#[tokio::test]
async fn the_checks_of_a_deploy_change_nothing_and_say_what_they_found() {
    let service = Service::start().await;
    let said = service.does("check-migrations --to v1.4").await;
    assert!(said.contains("在副本上迁移 3 → 5、回滚、再迁移，结构一致"), "{said}");
    assert_eq!(service.health().await, ok("v1.2", 3, "blue"));
    let said = service.does("check-way-back --to v1.4 --live v1.2").await;
    assert!(said.contains("可回滚到 v1.2"), "{said}");
    let said = service.does("check-way-back --to v1.2 --live=").await;
    assert!(said.contains("首次登记"), "{said}");
    let said = service.refuses("check-migrations --to v9.9").await;
    assert!(said.contains("⚠️ v9.9 不是这里的标签或提交"), "{said}");

    // One that cannot be undone.
    let repo = service.sample.repo();
    std::fs::write(repo.join("db/0006_gone.up.sql"), "drop table order_events;\n").unwrap();
    std::fs::write(repo.join("db/0006_gone.down.sql"), "-- irreversible\n").unwrap();
    for arguments in [&["add", "--all"][..], &["commit", "--quiet", "-m", "gone"], &["tag", "v1.6"]]
    {
        let git = Command::new("git")
            .args(["-c", "user.name=t", "-c", "user.email=t@example.invalid"])
            .args(arguments)
            .current_dir(&repo)
            .status();
        assert!(git.unwrap().success(), "{arguments:?}");
    }
    let said = service.refuses("check-way-back --to v1.6 --live v1.4").await;
    assert!(said.contains("回滚目标 v1.4，但这些迁移不可逆: 0006_gone.down.sql"), "{said}");
    let said = service.refuses("check-migrations --to v1.6").await;
    assert!(said.contains("0006_gone 不可逆"), "{said}");
    let left: Vec<_> = std::fs::read_dir(service.sample.dir()).unwrap().flatten().collect();
    let left = left.iter().filter(|entry| entry.file_name().to_string_lossy().contains("check-"));
    assert_eq!(left.count(), 0);
}

#[tokio::test]
async fn nothing_outlives_the_owner_of_the_sample() {
    let service = Service::start().await;
    service.does("blue-green-deploy --to v1.3").await;
    assert_eq!(service.preview().await.0, 200);

    let pids = ["front", "blue", "green"].map(|name| service.pid_of(name));
    assert!(pids.into_iter().all(is_alive), "{pids:?}");

    let owner = service.sample.dir().join("run/owner");
    let mut written: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&owner).unwrap()).unwrap();
    written["started_ticks"] = 1.into();
    std::fs::write(&owner, written.to_string()).unwrap();

    let are_gone = || async { !pids.into_iter().any(is_alive) };
    service.until("everything ends by itself", are_gone).await;
}

/// Changes one field of a backup's manifest.
fn edit_manifest(backup: &Path, edit: impl FnOnce(&mut serde_json::Value)) {
    let file = backup.with_extension("json");
    let mut manifest = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    edit(&mut manifest);
    std::fs::write(&file, manifest.to_string()).unwrap();
}

#[tokio::test]
async fn a_backup_is_good_only_when_a_restore_proves_it() {
    let service = Service::make(free_port()).await;
    let said = service.refuses("verify-backup").await;
    assert!(said.contains("没有任何备份") && said.contains("backup-verify new"), "{said}");

    service.does("backup").await;
    let said = service.does("verify-backup").await;
    assert!(said.contains("内容一致: 数据库版本 3，6 张表，13 行"), "{said}");
    assert!(said.contains("RPO") && said.contains("RTO") && said.contains("✅ 备份可用"), "{said}");

    let [backup] = &service.backups()[..] else { panic!("one backup") };
    edit_manifest(backup, |manifest| {
        manifest["taken_ms"] = (manifest["taken_ms"].as_i64().unwrap() - 20 * 60_000).into();
    });
    let said = service.refuses("verify-backup").await;
    assert!(said.contains("内容一致") && said.contains("备份太旧: 超过 RPO 5 分"), "{said}");

    edit_manifest(backup, |manifest| manifest["taken_ms"] = i64::MAX.into());
    let said = service.refuses("verify-backup").await;
    assert!(said.contains("✗ 备份的时间在未来"), "{said}");

    edit_manifest(backup, |manifest| manifest["format"] = 2.into());
    let said = service.refuses("verify-backup").await;
    assert!(said.contains("格式 2 比本程序认识的 1 新"), "{said}");
    std::fs::remove_file(backup.with_extension("json")).unwrap();
    let said = service.refuses("verify-backup").await;
    assert!(said.contains("读不到清单"), "{said}");
    assert!(!service.sample.dir().join("scratch").exists(), "nothing stays behind");
}

/// SQLite's own default.
const PAGE_BYTES: usize = 4_096;

/// The page of a fresh copy in which the orders are.
async fn orders_page(backup: &Path) -> usize {
    let mut connection = open(backup).await;
    let page: i64 = sqlx::query_scalar("select rootpage from sqlite_master where name = 'orders'")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    usize::try_from(page).unwrap()
}

#[tokio::test]
async fn a_damaged_backup_is_told_by_what_differs() {
    let service = Service::make(free_port()).await;
    service.does("backup").await;
    let [backup] = &service.backups()[..] else { panic!("one backup") };
    let whole = std::fs::read(backup).unwrap();
    let page = orders_page(backup).await;

    let changes = "update orders set quantity = 999 where id = 1; delete from quotes where symbol \
                   not in (select symbol from orders); drop table sessions; create table extra (x)";
    execute(backup, changes).await;
    let said = service.refuses("verify-backup").await;
    for difference in [
        "✗ 表 orders: 4 行，但内容不同",
        "✗ 表 sessions: 备份里没有",
        "✗ 表 extra: 清单里没有",
        "❌ 备份验证失败",
    ] {
        assert!(said.contains(difference), "no {difference} in {said}");
    }
    assert!(!said.contains("表 users"), "what is whole is not blamed: {said}");

    let mut torn = whole.clone();
    torn[(page - 1) * PAGE_BYTES..page * PAGE_BYTES].fill(0);
    std::fs::write(backup, &torn).unwrap();
    let said = service.refuses("verify-backup").await;
    assert!(said.contains("✗ integrity_check: ") && said.contains("✗ 表 orders: "), "{said}");
    assert!(!said.contains("表 users"), "one that cannot be read hides no other: {said}");

    std::fs::write(backup, &whole[..whole.len() / 2]).unwrap();
    let said = service.refuses("verify-backup").await;
    assert!(said.contains("✗ 文件被截断"), "{said}");
    std::fs::write(backup, b"no database at all").unwrap();
    let said = service.refuses("verify-backup").await;
    assert!(said.contains("✗ 恢复出来的数据库无法读取"), "{said}");
    assert!(!service.sample.dir().join("scratch").exists(), "nothing stays behind");
}

#[tokio::test]
async fn only_the_newest_backups_are_kept() {
    let service = Service::make(free_port()).await;
    service.does("backup").await;
    let oldest = service.backups().remove(0);

    for _ in 0..8 {
        service.does("backup").await;
    }

    let kept = service.backups();
    assert_eq!(kept.len(), 8);
    assert!(!kept.contains(&oldest) && !oldest.with_extension("json").exists());
    assert!(kept.iter().all(|backup| backup.with_extension("json").exists()));
}
