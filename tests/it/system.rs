//! 系统健康检查: the daily look at a real server, by hand and through chat.

use crate::harness::bot::Bot;
use crate::harness::database::{Engine, run};
use crate::harness::parts::{Parts, result_of, said};
use crate::harness::place::Place;
use neostock_ops::sandbox::Options;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const SCRIPT: &str = "check-system.sh";
/// What this machine happens to do must not decide a test.
const ANYTHING: [(&str, &str); 4] = [
    ("CPU_PERCENT_MAX", "100"),
    ("MEMORY_PERCENT_MAX", "100"),
    ("DISK_PERCENT_MAX", "100"),
    ("SAMPLE_SECONDS", "1"),
];

#[test]
fn the_daily_look_finds_a_good_system_good_and_names_every_fault_of_another() {
    run(Engine::Sqlite, |database| async move {
        let mut parts = Parts::new().await;
        parts.serve();

        let good = parts.by_hand(SCRIPT, &[], &ANYTHING);
        assert_eq!(good.status.code(), Some(0), "{}", said(&good));
        for words in ["版本 1.1.0", "网站正常（blue）", "数据库", "CPU", "内存"] {
            assert!(said(&good).contains(words), "{words}: {}", said(&good));
        }
        let result = result_of(&good);
        assert_eq!(
            (&result["result"], &result["outcome"]),
            (&json!("system.health"), &json!("passed"))
        );
        let figures = result["figures"].as_array().unwrap();
        assert!(figures.iter().any(|figure| figure["name"] == "memory_percent"), "{result}");

        // Each bound, and all of them at once: a processor is kept busy meanwhile.
        let is_over = Arc::new(AtomicBool::new(false));
        let busy = {
            let is_over = is_over.clone();
            std::thread::spawn(move || while !is_over.load(Ordering::Relaxed) {})
        };
        let tight = [
            ("CPU_PERCENT_MAX", "1"),
            ("MEMORY_PERCENT_MAX", "1"),
            ("DISK_PERCENT_MAX", "1"),
            ("SAMPLE_SECONDS", "1"),
        ];
        let full = parts.by_hand(SCRIPT, &[], &tight);
        is_over.store(true, Ordering::Relaxed);
        busy.join().unwrap();
        assert_eq!(full.status.code(), Some(1), "{}", said(&full));
        for words in ["CPU ", "内存 ", "版本磁盘 "] {
            let line = said(&full);
            let line = line.lines().find(|line| line.starts_with(&format!("❌ {words}"))).unwrap();
            assert!(line.contains("超过上限 1%"), "{line}");
        }

        // Through chat, on the card in the channel's language.
        let place = Place::new("");
        let shipped = std::fs::read_to_string(parts.place.runbook()).unwrap();
        let variables =
            ANYTHING.map(|(name, value)| format!("      {name}: \"{value}\"\n")).concat();
        let text = shipped.replace("    variables:\n", &format!("    variables:\n{variables}"));
        std::fs::write(place.runbook(), text).unwrap();
        let bot = Bot::in_workspace(&database, place, Options::default()).await;
        bot.say("U0ANN", "health").await;
        let card = bot.until_card("✅ 系统健康").await;
        assert!(card.contains("📊 系统健康检查：") && card.contains("内存（%） *"), "{card}");

        // Nobody serves, and nobody answers for the database: all of it is told.
        parts.stop();
        let gone = [&ANYTHING[..], &[("PGPORT", "9")]].concat();
        let gone = parts.by_hand(SCRIPT, &[], &gone);
        assert_eq!(gone.status.code(), Some(1), "{}", said(&gone));
        for words in
            ["没有正常回答", "网站没有正常回答（blue）", "没有回答 / the database does not answer"]
        {
            assert!(said(&gone).contains(words), "{words}: {}", said(&gone));
        }
        bot.say("U0ANN", "health").await;
        let card = bot.until_card("❌ 系统有问题").await;
        assert!(card.contains("系统有 2 个问题"), "{card}");

        let unset = parts.by_hand(SCRIPT, &[], &[("CPU_PERCENT_MAX", "many")]);
        assert_eq!(unset.status.code(), Some(2), "{}", said(&unset));
        let without = parts.by_hand(SCRIPT, &[], &[("PATH", "/bin-that-is-not-there")]);
        assert_ne!(without.status.code(), Some(0), "{}", said(&without));
        bot.finish().await;
    });
}
