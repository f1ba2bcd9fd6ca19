//! Deploys, rollbacks and backups of the real sample service, asked for as people ask.

use crate::harness::bot::Bot;
use crate::harness::database::{TestDatabase, both_engines};
use crate::harness::place::Place;
use crate::harness::service::{Load, Service, execute};
use neostock_ops::sandbox::Options;

/// Requests from before the deploy until some time after it; and as many for the rollback.
const REQUESTS_MIN: u64 = 1_000;

/// A bot with the runbook of a sample service that serves v1.2.
async fn operated(database: &TestDatabase, edit: impl Fn(String) -> String) -> (Bot, Service) {
    let place = Place::new("");
    let service = Service::start().await;
    let runbook = std::fs::read_to_string(service.sample.runbook()).unwrap();
    std::fs::write(place.runbook(), edit(runbook)).unwrap();
    let bot = Bot::in_workspace(database, place, Options::default()).await;
    (bot, service)
}

/// Bob approves what waits.
async fn approve(bot: &Bot) {
    bot.until("a gate to open", |bot| bot.buttons().iter().any(|label| label == "批准")).await;
    let answer = bot.click("U0BOB", "批准").await;
    assert!(answer.contains("approved by you"), "{answer}");
}

both_engines! {
    async fn no_request_fails_through_a_deploy_and_a_rollback(database: TestDatabase) {
        let (bot, service) = operated(&database, |runbook| runbook).await;
        let load = Load::start(&service.url("/api/quotes"), 4);

        let answer = bot.say("U0ANN", "deploy v1.3").await;
        assert!(answer.contains("deploy v1.3 → production"), "{answer}");
        approve(&bot).await;
        bot.until_card("🚀 版本 v1.3 已上线").await;
        let (status, deployed) = service.health().await;
        bot.until("enough requests", |_| load.total() >= REQUESTS_MIN).await;
        bot.say("U0ANN", "rollback v1.2 p99 超过 5 秒").await;
        bot.until_card("应用已成功回滚到版本 v1.2").await;
        bot.until("enough requests", |_| load.total() >= 2 * REQUESTS_MIN).await;
        let counts = load.end().await;

        println!("requests by status and version: {counts:?}");
        let kinds: Vec<&str> = counts.keys().map(String::as_str).collect();
        assert_eq!(kinds, ["200 v1.2", "200 v1.3"], "{counts:?}");
        assert_eq!(status, 200);
        assert!(deployed.contains(r#""version":"v1.3","schema":4"#), "{deployed}");
        let back = service.health().await.1;
        assert!(back.contains(r#""version":"v1.2","schema":3"#), "{back}");
        bot.say("U0BOB", "log-audit").await;
        // The bot's clock is not the service's: to it, the log may be of another day.
        bot.until("both colours' log was found", |bot| {
            let found = ["读取 1 个文件", "更早的文件 1 个"];
            bot.thread().iter().any(|message| found.iter().any(|words| message.contains(words)))
        }).await;
        bot.until_card("✅").await;
        bot.finish().await;
    }

    async fn a_failed_health_check_never_switches(database: TestDatabase) {
        let hasty = |runbook: String| runbook.replace("within: 60s", "within: 1s");
        let (bot, service) = operated(&database, hasty).await;
        service.sample.misbehave("version=v1.3 health=500").unwrap();

        bot.say("U0ANN", "deploy v1.3 新费率").await;
        approve(&bot).await;
        let card = bot.until_card("🚨 版本 v1.3 发布失败").await;

        assert!(card.contains("健康检查") && card.contains("500"), "{card}");
        let (status, public) = service.health().await;
        assert_eq!(status, 200);
        assert!(public.contains(r#""version":"v1.2""#), "{public}");
        bot.finish().await;
    }

    async fn a_backup_is_verified_by_a_restore_and_a_damaged_one_is_told(database: TestDatabase) {
        let (bot, service) = operated(&database, |runbook| runbook).await;

        bot.say("U0ANN", "backup-verify").await;
        bot.until_card("💾 备份已验证").await;
        bot.until_quiet().await;
        let thread = bot.thread().join("\n");
        assert!(thread.contains("✅ 备份可用"), "{thread}");

        let [backup] = &service.backups()[..] else { panic!("one backup") };
        execute(backup, "update orders set quantity = 999 where id = 1").await;
        bot.say("U0ANN", "backup-verify latest").await;
        let card = bot.until_card("🚨 备份验证失败").await;

        assert!(card.contains("表 orders: 4 行，但内容不同"), "{card}");
        assert_eq!(service.backups().len(), 1, "latest takes none");
        bot.finish().await;
    }
}
