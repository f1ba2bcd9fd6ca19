//! Keys, secrets and logs of NeoStock itself, on its real programs, looked after through chat.

use crate::harness::bot::Bot;
use crate::harness::database::{Engine, run};
use crate::harness::parts::Parts;
use crate::harness::place::Place;
use neostock_ops::sandbox::Options;
use std::os::unix::fs::PermissionsExt;

#[test]
fn keys_secrets_and_logs_are_looked_after_through_chat() {
    run(Engine::Sqlite, |database| async move {
        let mut parts = Parts::neostock().await;
        parts.serve();
        // A home that others cannot look into.
        let closed = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(parts.place.path(), closed).unwrap();
        let folder = parts.place.path().display().to_string();
        let config = parts.place.path().join("logrotate.conf");
        std::fs::write(&config, format!("{folder}/api.log {{\n    rotate 3\n    dateext\n}}\n"))
            .unwrap();
        std::fs::set_permissions(&config, std::fs::Permissions::from_mode(0o644)).unwrap();
        let place = Place::new("");
        let variables = format!(
            "    variables:\n      LOGROTATE_CONFIG: {}\n      LOGROTATE_STATE: {folder}/logrotate.state\n      OVERLAP_SECONDS: \"1\"\n",
            config.display()
        );
        let shipped = std::fs::read_to_string(parts.place.runbook()).unwrap();
        std::fs::write(place.runbook(), shipped.replace("    variables:\n", &variables)).unwrap();
        let bot = Bot::in_workspace(&database, place, Options::default()).await;

        // The first key, and the one after it; nobody approves their own.
        for (words, key) in [("第一把有效的密钥 K1", "K1"), ("K2 有效，K1 已吊销", "K2")]
        {
            let answer = bot.say("U0ANN", "rotate-keys").await;
            assert!(answer.contains("等待批准"), "{answer}");
            bot.until("a gate to open", |bot| bot.buttons().iter().any(|label| label == "批准"))
                .await;
            let answer = bot.click("U0BOB", "批准").await;
            assert!(answer.contains("approved by you"), "{answer}");
            let card = bot.until_card("🔑 web 的 API 密钥已轮换").await;
            assert!(card.contains(words), "{card}");
            let port = parts.setting("BLUE_WEB_PORT");
            let answer = reqwest::get(format!("http://127.0.0.1:{port}/status")).await.unwrap();
            let answer: serde_json::Value = answer.json().await.unwrap();
            assert_eq!(answer["key"], key);
        }

        bot.say("U0ANN", "verify-secrets").await;
        let card = bot.until_card("verify-secrets ✅").await;
        assert!(card.contains("2 个机密都安全"), "{card}");
        bot.say("U0ANN", "audit-calls 1h").await;
        let card = bot.until_card("audit-calls ✅").await;
        assert!(card.contains("次调用，没有异常"), "{card}");
        bot.say("U0ANN", "errors 1h").await;
        let card = bot.until_card("errors ✅").await;
        assert!(card.contains("个错误") && card.contains("新的组"), "{card}");
        bot.say("U0ANN", "rotate-logs now").await;
        let card = bot.until_card("rotate-logs ✅").await;
        assert!(card.contains("轮转了 1 个日志"), "{card}");

        // What is not as it should be is on the card too.
        let key = parts.place.path().join("web-api-key");
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
        bot.say("U0ANN", "verify-secrets").await;
        let card = bot.until_card("❌ 机密有问题或未能查明").await;
        assert!(card.contains("机密有 1 处问题"), "{card}");
        let secret = std::fs::read_to_string(&key).unwrap();
        assert!(!bot.everything().contains(secret.trim()), "a key is shown");
        let results = bot.say("U0ANN", "results").await;
        for name in
            ["secrets.rotate", "secrets.verify", "audit.calls", "logs.errors", "logs.rotate"]
        {
            assert!(results.contains(name), "{name}: {results}");
        }
        bot.finish().await;
        assert_eq!(parts.stop(), Vec::<String>::new());
    });
}
