//! NeoStock for real, through chat: deployed, not deployed when it is ill, rolled back, with people and a
//! load on it, on nginx, bun, pm2, git and PostgreSQL.

use crate::harness::bot::Bot;
use crate::harness::database::{Engine, run_within};
use crate::harness::parts::{Parts, has_a_fault, said};
use reqwest::header::{COOKIE, ORIGIN, SET_COOKIE};
use serde_json::{Value, json};
use sqlx::Row;
use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;

/// From one question of a kind to the next: without it they would starve the build.
const PACE: Duration = Duration::from_millis(10);
/// Fewer answers than this would not be a load.
const ANSWERS_MIN: u64 = 500;
/// Every suite of the service runs before each of its deploys.
const TIME_MAX: Duration = Duration::from_mins(9);
/// What people ask for while versions come and go.
const ASKED: [&str; 3] = ["/health", "/api/trpc/quotes.list", "/"];

const MOUTAI: &str = "600519.SH";

/// Asks for every address without a pause until it is ended; how often each thing was answered.
struct Load {
    is_over: Arc<AtomicBool>,
    askers: Vec<JoinHandle<BTreeMap<String, u64>>>,
}

impl Load {
    fn start(base: &str) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let urls = ASKED.map(|path| format!("{base}{path}"));
        let askers = urls.map(|url| tokio::spawn(ask(url, is_over.clone()))).into();
        Self { is_over, askers }
    }

    async fn end(self) -> BTreeMap<String, u64> {
        self.is_over.store(true, Ordering::Relaxed);
        let mut all = BTreeMap::new();
        for asker in self.askers {
            for (answer, count) in asker.await.unwrap() {
                *all.entry(answer).or_insert(0) += count;
            }
        }
        all
    }
}

async fn ask(url: String, is_over: Arc<AtomicBool>) -> BTreeMap<String, u64> {
    // A connection each: one that idles while nginx closes it would be this client's own fault.
    let client = reqwest::Client::builder().pool_max_idle_per_host(0).no_proxy().build().unwrap();
    let mut answers = BTreeMap::new();
    let mut pace = tokio::time::interval(PACE);
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !is_over.load(Ordering::Relaxed) {
        pace.tick().await;
        let answer = match client.get(&url).send().await {
            Ok(answer) => {
                let status = answer.status();
                match answer.text().await {
                    Ok(body) => format!("{status} {}", version_in(&body)),
                    Err(error) => format!("{url}: {error}"),
                }
            }
            Err(error) => format!("{url}: {error:?}"),
        };
        *answers.entry(answer).or_insert(0) += 1;
    }
    answers
}

/// What `/health` says its version is; nothing of other answers.
fn version_in(body: &str) -> String {
    let json: Value = serde_json::from_str(body).unwrap_or_default();
    json["version"].as_str().unwrap_or_default().to_owned()
}

/// Somebody who uses NeoStock.
struct Person {
    base: String,
    http: reqwest::Client,
    cookie: String,
}

impl Person {
    async fn signs_up(base: &str) -> Self {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let body =
            json!({"email": "li@example.com", "password": "correct horse battery", "name": "李雷"});
        let url = format!("{base}/api/auth/sign-up/email");
        let answer = http.post(url).header(ORIGIN, base).json(&body).send().await.unwrap();
        let cookies = answer.headers().get_all(SET_COOKIE).iter();
        let cookies = cookies.map(|cookie| cookie.to_str().unwrap().split(';').next().unwrap());
        let cookie = cookies.collect::<Vec<_>>().join("; ");
        assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
        Self { base: base.to_owned(), http, cookie }
    }

    async fn remarks(&self, note: &str) {
        let request = self.http.post(format!("{}/api/trpc/watchlist.add", self.base));
        let request = request.header(ORIGIN, &self.base).header(COOKIE, &self.cookie);
        let answer = request.json(&json!({"symbol": MOUTAI, "note": note})).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    }

    /// The remarks about the one share that is watched.
    async fn reads(&self) -> Vec<String> {
        let request = self.http.get(format!("{}/api/trpc/watchlist.list", self.base));
        let answer = request.header(COOKIE, &self.cookie).send().await.unwrap();
        let json: Value = answer.json().await.unwrap();
        let items = json["result"]["data"].as_array().unwrap_or_else(|| panic!("{json}"));
        assert_eq!((items.len(), items[0]["symbol"].as_str()), (1, Some(MOUTAI)), "{json}");
        serde_json::from_value(items[0]["notes"].clone()).unwrap()
    }
}

/// Somebody asks for a deploy, and a lead agrees.
async fn deploy(bot: &Bot, text: &str) {
    let answer = bot.say("U0ANN", text).await;
    assert!(answer.contains("等待批准和检查清单"), "{answer}");
    let version = text.split(' ').nth(1).unwrap();
    bot.until_card(&format!("`{version}`")).await;
    patiently(bot, "生产部署检查清单 7/7").await;
    let answer = bot.click("U0BOB", "批准").await;
    assert!(answer.contains("approved by you"), "{answer}");
}

/// Suites and builds take their time.
async fn patiently(bot: &Bot, words: &str) -> String {
    for _ in 0..PATIENT_LOOKS {
        if bot.card().contains(words) || bot.card().contains("⛔") {
            break;
        }
        bot.advance_ms(500);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    bot.until_card(words).await
}

/// Half seconds that a card may take.
const PATIENT_LOOKS: u32 = 480;

async fn texts(parts: &Parts, question: &'static str) -> Vec<String> {
    let mut raw = parts.database.raw().await;
    let rows = sqlx::query(question).fetch_all(&mut raw).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

async fn migrations(parts: &Parts) -> usize {
    texts(parts, "select id from migrations order by id").await.len()
}

#[test]
fn neostock_is_deployed_under_load_never_while_ill_and_rolled_back_with_its_data() {
    run_within(TIME_MAX, Engine::Sqlite, |database| async move {
        let mut parts = Parts::neostock().await;
        parts.serve();
        assert_eq!(parts.live_version().await, "1.0.0");
        let base = parts.health_url().trim_end_matches("/health").to_owned();
        let bot = parts.bot(&database).await;
        let person = Person::signs_up(&base).await;
        person.remarks("年报之后再看").await;
        person.remarks("目标价 1800").await;

        // Two good versions, one after the other, under load.
        let load = Load::start(&base);
        deploy(&bot, "deploy v1.0.0 首次由机器人部署").await;
        patiently(&bot, "✅ 版本 v1.0.0 已上线").await;
        assert_eq!(migrations(&parts).await, 3);
        deploy(&bot, "deploy v1.1.0 备注成为单独的记录").await;
        patiently(&bot, "✅ 版本 v1.1.0 已上线").await;
        parts.until_live("1.1.0").await;
        let card = bot.card();
        assert!(card.contains("📊"), "{card}");
        assert_eq!(migrations(&parts).await, 4);
        assert_eq!(person.reads().await, ["年报之后再看", "目标价 1800"]);
        person.remarks("分红已到账").await;

        // One whose tests find nothing, and which is ill where it is served: it never gets the traffic.
        let upstream = std::fs::read_to_string(parts.upstream_file()).unwrap();
        deploy(&bot, "deploy v1.2.0 试试").await;
        let card = patiently(&bot, "❌ 版本 v1.2.0 部署失败").await;
        assert!(card.contains("健康检查") && card.contains("503"), "{card}");
        assert_eq!(std::fs::read_to_string(parts.upstream_file()).unwrap(), upstream);
        let by_hand = parts.by_hand("switch-traffic.sh", &["v1.2.0"], &[]);
        assert_eq!(by_hand.status.code(), Some(1), "{}", said(&by_hand));
        assert_eq!(std::fs::read_to_string(parts.upstream_file()).unwrap(), upstream);
        assert_eq!(parts.live_version().await, "1.1.0");

        let answers = load.end().await;
        let good = ["200 OK ", "200 OK 1.0.0", "200 OK 1.1.0"];
        let good: Vec<u64> =
            good.iter().map(|answer| answers.get(*answer).copied().unwrap_or(0)).collect();
        let sum: u64 = good.iter().sum();
        assert_eq!(sum, answers.values().sum::<u64>(), "{answers:?}");
        assert!(sum > ANSWERS_MIN && good.iter().all(|count| *count > 0), "{answers:?}");
        println!("0 of {sum} requests failed: {answers:?}");

        // The manual's rollback, on the release that is live: the database is one migration down, and
        // what was written since is where the older version looks for it.
        bot.say("U0ANN", "rollback v1.0.0 备注页面有问题").await;
        patiently(&bot, "🔄 应用已成功回滚到版本 v1.0.0").await;
        assert_eq!(parts.live_version().await, "1.0.0");
        assert_eq!(migrations(&parts).await, 3);
        let tables = "select tablename::text from pg_tables where tablename = 'watchlist_notes'";
        assert_eq!(texts(&parts, tables).await, Vec::<String>::new());
        let notes = texts(&parts, "select note from watchlist").await;
        assert_eq!(notes, ["年报之后再看\n目标价 1800\n分红已到账"]);
        assert_eq!(person.reads().await, ["年报之后再看", "目标价 1800", "分红已到账"]);
        assert_eq!(std::fs::read_to_string(parts.upstream_file()).unwrap(), upstream);

        assert!(!has_a_fault(&bot.everything()), "{}", bot.everything());
        bot.finish().await;
        assert_eq!(parts.stop(), Vec::<String>::new());
    });
}

/// The files of the service's tests that end in this, as git knows them.
fn test_files(ending: &str) -> Vec<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/neostock");
    let listed = Command::new("git").args(["ls-files"]).current_dir(folder).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    listed.lines().filter(|file| file.ends_with(ending)).map(str::to_owned).collect()
}

#[test]
fn every_suite_runs_through_chat_and_is_watched_while_it_does() {
    run_within(TIME_MAX, Engine::Sqlite, |database| async move {
        let parts = Parts::neostock().await;
        let bot = parts.bot(&database).await;
        let (unit_files, e2e_files) = (test_files(".test.ts"), test_files(".spec.ts"));
        assert_eq!((unit_files.len(), e2e_files.len()), (12, 4), "{unit_files:?} {e2e_files:?}");
        let mut seen = String::new();

        for suite in ["unit", "integration", "performance", "e2e"] {
            let before = bot.thread().len();
            bot.say("U0ANN", &format!("test {suite} v1.1.0")).await;
            // Every state of the message that shows what runs.
            let mut live = String::new();
            let done = format!("✅ {suite} 测试全部通过");
            for _ in 0..5 * PATIENT_LOOKS {
                let thread = bot.thread();
                for message in
                    thread.iter().skip(before).filter(|message| message.contains("仍在执行"))
                {
                    live.push_str(message);
                }
                if bot.card().contains(&done) || bot.card().contains("没有通过") {
                    break;
                }
                // Faster than real: what runs is looked at every three seconds, and a suite may take no longer.
                bot.advance_ms(300);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            let card = bot.until_card(&done).await;
            bot.until_quiet().await;
            assert!(card.contains("📊 运行测试套件：") && card.contains("测试"), "{card}");
            assert!(!live.is_empty(), "{suite} was not to be watched");
            seen.push_str(&live);
            seen.push_str(&bot.thread()[before..].join("\n"));
            println!("{card}");
        }

        for file in unit_files.iter().chain(&e2e_files) {
            let name = file.rsplit('/').next().unwrap();
            assert!(seen.contains(name), "{name}: {seen}");
        }
        let results = bot.say("U0ANN", "results").await;
        for suite in ["unit", "integration", "performance", "e2e"] {
            assert!(results.contains(&format!("`test.{suite}` · ✅")), "{results}");
        }
        let refused = bot.say("U0ANN", "test smoke v1.1.0").await;
        assert!(refused.contains("performance"), "{refused}");
        bot.finish().await;
    });
}
