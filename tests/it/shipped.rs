//! What ships for NeoStock works on what NeoStock runs on: nginx, bun, pm2, git and PostgreSQL.

use crate::harness::bot::Bot;
use crate::harness::database::{Engine, run};
use crate::harness::parts::{Parts, said};
use axum::routing::post;
use axum::{Json, Router};
use sqlx::Row;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tokio::task::JoinHandle;

/// Somebody asks for a deploy, and a lead agrees.
async fn deploy(bot: &Bot, text: &str) {
    let answer = bot.say("U0ANN", text).await;
    assert!(answer.contains("等待批准和检查清单"), "{answer}");
    bot.until_card("生产部署检查清单 7/7").await;
    let answer = bot.click("U0BOB", "批准").await;
    assert!(answer.contains("approved by you"), "{answer}");
}

async fn migrations(parts: &Parts) -> Vec<String> {
    let mut raw = parts.database.raw().await;
    let rows = sqlx::query("select id from migrations order by id").fetch_all(&mut raw).await;
    rows.unwrap().iter().map(|row| row.get(0)).collect()
}

#[test]
fn a_version_whose_tests_fail_is_held_and_even_in_an_emergency_never_goes_live_while_ill() {
    run(Engine::Sqlite, |database| async move {
        let mut parts = Parts::new().await;
        parts.serve();
        assert_eq!(parts.live_version().await, "1.1.0");
        let bot = parts.bot(&database).await;

        deploy(&bot, "deploy v1.2.0 新的提醒功能").await;
        bot.until_card("✅ 版本 v1.2.0 已上线").await;
        parts.until_live("1.2.0").await;
        assert_eq!(migrations(&parts).await, ["0001", "0002"]);

        let thread = bot.thread().join("\n");
        assert!(!thread.contains("check-"), "what was in order is not told: {thread}");

        // One that is ill: its own tests say so, and nothing begins.
        let upstream = std::fs::read_to_string(parts.upstream_file()).unwrap();
        bot.say("U0ANN", "deploy v1.3.0 试试").await;
        let card = bot.until_card("⛔ 1 项不通过，执行不会开始").await;
        assert!(
            card.contains("❌ 1. 所有测试通过(单元测试、集成测试、E2E测试) — 未通过"),
            "{card}"
        );
        assert!(card.contains("✅ 5. 回滚计划确认 — 回滚计划已确认：v1.3.0 → v1.2.0"), "{card}");
        bot.say("U0BOB", &format!("reject {} its tests fail", bot.run_id())).await;
        bot.until_card("已被拒绝").await;
        // Without its checklist, in an emergency: the traffic stays all the same.
        bot.say("U0ANN", "deploy v1.3.0 试试 --emergency").await;
        let card = bot.until_card("❌ 版本 v1.3.0 部署失败").await;
        assert!(card.contains("健康检查失败"), "{card}");
        assert_eq!(std::fs::read_to_string(parts.upstream_file()).unwrap(), upstream);
        let by_hand = parts.by_hand("switch-traffic.sh", &["v1.3.0"], &[]);
        assert_eq!(by_hand.status.code(), Some(1), "{}", said(&by_hand));
        assert_eq!(std::fs::read_to_string(parts.upstream_file()).unwrap(), upstream);
        assert_eq!(parts.live_version().await, "1.2.0");

        // The manual's rollback, on the release that is live.
        bot.say("U0ANN", "rollback v1.1.0 提醒功能有问题").await;
        bot.until_card("🔄 应用已成功回滚到版本 v1.1.0").await;
        assert_eq!(parts.live_version().await, "1.1.0");
        assert_eq!(migrations(&parts).await, ["0001"]);
        assert_eq!(std::fs::read_to_string(parts.upstream_file()).unwrap(), upstream);

        bot.finish().await;
        assert_eq!(parts.stop(), Vec::<String>::new());
    });
}

#[test]
fn a_switch_that_does_not_arrive_is_taken_back() {
    run(Engine::Sqlite, |_| async move {
        let mut parts = Parts::new().await;
        parts.serve();
        parts.done("blue-green-deploy.sh", &["v1.2.0"]);
        let upstream = std::fs::read_to_string(parts.upstream_file()).unwrap();

        // Nobody answers through nginx where the health address points.
        let nowhere = [("HEALTH_URL", "http://127.0.0.1:9/health"), ("SWITCH_WITHIN", "1")];
        let switch = parts.by_hand("switch-traffic.sh", &["v1.2.0"], &nowhere);
        let words = said(&switch);
        assert_eq!(switch.status.code(), Some(1), "{words}");
        assert!(words.contains("恢复原来的 upstream (blue)"), "{words}");
        assert_eq!(std::fs::read_to_string(parts.upstream_file()).unwrap(), upstream);
        parts.until_live("1.1.0").await;

        // A tag that moved after people approved it.
        let approved = [("NEOSTOCK_COMMIT_VERSION", "0123456789012345678901234567890123456789")];
        for script in
            ["pre-deploy-check.sh", "blue-green-deploy.sh", "switch-traffic.sh", "health-check.sh"]
        {
            let moved = parts.by_hand(script, &["v1.2.0"], &approved);
            // Of a check nothing is known then.
            let code = if script == "health-check.sh" { 69 } else { 1 };
            assert_eq!(moved.status.code(), Some(code), "{script}: {}", said(&moved));
            assert!(said(&moved).contains("被移动了"), "{script}: {}", said(&moved));
        }

        // By hand, the whole of it: forward and back again.
        parts.done("switch-traffic.sh", &["v1.2.0"]);
        parts.until_live("1.2.0").await;
        let (webhook, told) = listen().await;
        let hook = [("SLACK_WEBHOOK", webhook.as_str())];
        // A dry run tells nobody.
        let dry = parts.by_hand("rollback.sh", &["--dry-run", "v1.1.0", "p99 \"high\""], &hook);
        assert!(dry.status.success() && told.lock().unwrap().is_empty(), "{}", said(&dry));
        let words = said(&parts.by_hand("rollback.sh", &["v1.1.0", "p99 \"high\""], &hook));
        assert!(words.contains("✅ 回滚成功完成"), "{words}");
        assert_eq!(*told.lock().unwrap(), ["🔄 应用已成功回滚到版本 v1.1.0"]);
        assert_eq!(parts.live_version().await, "1.1.0");
        assert_eq!(migrations(&parts).await, ["0001"]);

        // A failure is told too, but not where the bot itself tells.
        let broken = [hook[0], ("RELEASES_DIR", "/nowhere")];
        let failed = parts.by_hand("rollback.sh", &["v1.1.0", "again"], &broken);
        assert_eq!(failed.status.code(), Some(1), "{}", said(&failed));
        let in_a_run = [broken[0], broken[1], ("NEOSTOCK_RUN", "R-00000000")];
        let failed = parts.by_hand("rollback.sh", &["v1.1.0", "again"], &in_a_run);
        assert_eq!(failed.status.code(), Some(1), "{}", said(&failed));
        assert_eq!(told.lock().unwrap()[1..], ["🚨 应用回滚失败，需要立即人工干预"]);
        assert_eq!(parts.stop(), Vec::<String>::new());
    });
}

#[test]
fn a_backup_is_proved_by_restoring_it_and_a_damaged_one_says_what_differs() {
    run(Engine::Sqlite, |database| async move {
        let parts = Parts::new().await;
        let bot = parts.bot(&database).await;
        fill(&parts).await;

        bot.say("U0ANN", "backup-verify latest").await;
        let card = bot.until_card("🚨 备份未通过验证").await;
        assert!(card.contains("没有备份"), "{card}");

        // Sound, although the service goes on writing.
        let writer = keep_writing(&parts).await;
        bot.say("U0ANN", "backup-verify").await;
        bot.until_card("✅ 备份完好，可以恢复").await;
        bot.until_quiet().await;
        let thread = bot.thread().join("\n");
        for words in ["2 张表的结构、行数与校验和一致", "目标 15 分钟", "目标 60 分钟"]
        {
            assert!(thread.contains(words), "{words}: {thread}");
        }
        writer.abort();

        // Another database's dump under this one's manifest: every difference has its line.
        let mut raw = parts.database.raw().await;
        for statement in [
            "delete from orders where id = 7",
            "update quotes set price = price + 1 where symbol = 'S3'",
            "alter table orders drop column note",
            "create table extra (id bigint)",
        ] {
            sqlx::query(statement).execute(&mut raw).await.unwrap();
        }
        let dump = newest_backup(&parts).join("dump");
        parts.done("backup-database.sh", &[]);
        let other = newest_backup(&parts);
        std::fs::rename(other.join("dump"), &dump).unwrap();
        std::fs::remove_dir_all(other).unwrap();
        bot.say("U0ANN", "backup-verify latest").await;
        let card = bot.until_card("🚨 备份未通过验证").await;
        bot.until_quiet().await;
        let told = bot.thread().join("\n") + &card;
        for words in [
            "文件 dump 与清单的 SHA-256 不符",
            "-    note text",
            "多出的表 / a table that the backup does not name: public.extra",
            "public.orders：行数",
            "public.quotes：100 行，但内容校验和不同",
        ] {
            assert!(told.contains(words), "{words}: {told}");
        }

        // A few flipped bits.
        let mut bytes = std::fs::read(&dump).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle..middle + 8].iter_mut().for_each(|byte| *byte ^= 0xff);
        std::fs::write(&dump, bytes).unwrap();
        let flipped = parts.by_hand("verify-backup.sh", &[], &[]);
        assert_eq!(flipped.status.code(), Some(1), "{}", said(&flipped));

        // Nothing of it stays in the server.
        let left = sqlx::query(
            "select count(*) from pg_database where datname like 'neostock\\_verify\\_%'",
        );
        let left: i64 = left.fetch_one(&mut raw).await.unwrap().get(0);
        assert_eq!(left, 0);
        bot.finish().await;
    });
}

#[test]
fn an_old_backup_that_is_sound_misses_the_recovery_point() {
    run(Engine::Sqlite, |_| async move {
        let parts = Parts::new().await;
        fill(&parts).await;
        parts.done("backup-database.sh", &[]);
        let manifest = newest_backup(&parts).join("manifest");
        let text = std::fs::read_to_string(&manifest).unwrap();
        let (before, after) = text.split_once("taken\t").unwrap();
        let (taken, after) = after.split_once('\n').unwrap();
        let older = taken.parse::<u64>().unwrap() - 16 * 60;
        std::fs::write(&manifest, format!("{before}taken\t{older}\n{after}")).unwrap();

        let late = parts.by_hand("verify-backup.sh", &[], &[]);

        let words = said(&late);
        assert_eq!(late.status.code(), Some(4), "{words}");
        assert!(
            words.contains("超过目标 15 分钟") && words.contains("完好，但未达到恢复目标"),
            "{words}"
        );
        // The hour is not so near.
        let patient = parts.by_hand("verify-backup.sh", &[], &[("RPO_MINUTES", "20")]);
        assert_eq!(patient.status.code(), Some(0), "{}", said(&patient));
    });
}

/// A webhook, and the texts that it was told.
async fn listen() -> (String, Arc<Mutex<Vec<String>>>) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = told.clone();
    let hear = move |Json(body): Json<serde_json::Value>| {
        heard.lock().unwrap().push(body["text"].as_str().unwrap().to_owned());
        async {}
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/services/T0/B0/secret", listener.local_addr().unwrap());
    let router = Router::new().route("/services/T0/B0/secret", post(hear));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (url, told)
}

/// Two tables with something in them.
async fn fill(parts: &Parts) {
    let mut raw = parts.database.raw().await;
    for statement in [
        "create table quotes (symbol text primary key, price bigint not null)",
        "create table orders (id bigserial primary key, symbol text references quotes, note text)",
        "insert into quotes select 'S' || n, n * 100 from generate_series(1, 100) n",
        "insert into orders (symbol, note) select 'S' || (n % 100 + 1), '备注 ' || n from generate_series(1, 5000) n",
    ] {
        sqlx::query(statement).execute(&mut raw).await.unwrap();
    }
}

async fn keep_writing(parts: &Parts) -> JoinHandle<()> {
    let mut raw = parts.database.raw().await;
    tokio::spawn(async move {
        loop {
            let insert = "insert into orders (symbol, note) values ('S1', 'while it is backed up')";
            sqlx::query(insert).execute(&mut raw).await.unwrap();
        }
    })
}

fn newest_backup(parts: &Parts) -> PathBuf {
    let folders = std::fs::read_dir(parts.backups()).unwrap();
    folders.map(|folder| folder.unwrap().path()).max().unwrap()
}
