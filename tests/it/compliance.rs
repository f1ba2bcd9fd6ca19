//! The compliance report: what it tells of a real story, in the channel and at the command line, to whom,
//! and what the journal keeps of it.

use crate::harness::bot::{Bot, shown};
use crate::harness::database::both_engines;
use crate::harness::place::{Place, ROLLBACK};
use crate::harness::process::Process;
use crate::releases::ended;
use crate::settle::{kill, supervisors};
use neostock_ops::sandbox::Options;
use serde_json::Value;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

const ACTIONS: &str = r#"
  rollback:
    summary: {zh: 回滚, en: Roll back}
    role: operator
    approval: {from: lead, expires: 15m}
    rules:
      - {when: {environment: staging}, approval: none}
    parameters:
      version: {type: git_ref, required: true}
      reason: {type: text, default: routine}
    steps:
      - {name: {zh: 回滚, en: Roll back}, run: [sh, -c, "echo back >> $MARKS"], timeout: 20s}
  patch:
    summary: patch
    role: operator
    lock: none
    approval: {from: lead, self: true, expires: 15m}
    steps:
      - {name: Patch, run: [sh, -c, "echo patch >> $MARKS"], timeout: 20s}
  backup-verify:
    summary: {zh: 验证备份, en: Test the backup}
    role: operator
    lock: none
    steps:
      - {name: Test, run: [sh, -c, "echo verified >> $MARKS"], timeout: 20s}
  hang:
    summary: hang
    role: operator
    steps:
      - {name: Hang, run: [sh, -c, "echo hang >> $MARKS; while ! [ -e go ]; do sleep 0.05; done"], timeout: 60s}
  probe:
    summary: probe
    role: operator
    lock: none
    steps:
      - {name: Ask, http: {url: "http://metrics.example.com/x?token=hidden", expect: 200}}
emergency: {role: oncall, actions: [rollback], review: lead}
"#;

fn place() -> Place {
    let place = Place::new(ACTIONS);
    let runbook = std::fs::read_to_string(place.runbook()).unwrap();
    let roles = "  lead: {members: [U0BOB]}\n  oncall: {members: [U0ANN], max_age: 12h}\n";
    let runbook = runbook.replace("  lead: {members: [U0BOB]}\n", roles);
    let token = place.path().join("token");
    std::fs::write(&token, "a-secret-value").unwrap();
    std::fs::set_permissions(&token, Permissions::from_mode(0o644)).unwrap();
    let secrets =
        format!("channel: C0OPS\n    secrets: {{TOKEN: {{file: {}}}}}\n", token.display());
    std::fs::write(place.runbook(), runbook.replace("channel: C0OPS\n", &secrets)).unwrap();
    place
}

/// What the newest report in #ops says: its first message, and its thread.
async fn posted(bot: &Bot) -> (String, String) {
    bot.until_quiet().await;
    let all = bot.workspace.messages("C0OPS");
    let is_head = |text: &str| text.contains("Compliance report") || text.contains("合规报告");
    let head = all
        .iter()
        .rfind(|one| one.is_bot && one.thread_ts.is_none() && is_head(&shown(one)))
        .unwrap_or_else(|| panic!("no report in {}", bot.everything()));
    let thread = bot.workspace.thread("C0OPS", &head.ts);
    let rest: Vec<String> = thread.iter().skip(1).map(shown).collect();
    assert_eq!(rest.len(), 6, "{rest:#?}");
    (shown(head), rest.join("\n"))
}

fn holds(text: &str, all: &[&str]) {
    for words in all {
        assert!(text.contains(words), "{words:?} is missing in:\n{text}");
    }
}

async fn of_kind(bot: &Bot, kind: &str) -> Vec<(String, Value)> {
    let all = bot.journal().await.into_iter().filter(|(found, ..)| found == kind);
    all.map(|(_, actor, detail)| (actor, detail)).collect()
}

/// One night: allowed, denied, an emergency, an own approval, a delegation, a takeover, a backup's test.
async fn a_night(bot: &Bot) {
    bot.say("U0ANN", "backup-verify").await;
    ended(bot, 1).await;
    bot.say("U0ANN", "rollback v1.2 <!channel> *bold* `x` <@U0EVE> & more --emergency").await;
    ended(bot, 2).await;
    bot.say("U0CAT", "rollback v1.2 let me").await;
    bot.say("U0CAT", "rollback v1.2 let me").await;
    bot.say("U0ANN", "rollback v1.3 better").await;
    bot.until_card("✋ rollback v1.3").await;
    bot.click("U0ANN", "Approve").await;
    bot.click("U0BOB", "Approve").await;
    ended(bot, 3).await;
    bot.say("U0BOB", "patch").await;
    bot.until_card("✋ patch").await;
    bot.click("U0BOB", "Approve").await;
    ended(bot, 4).await;
    bot.say("U0BOB", "delegate <@U0CAT> 8h on a plane").await;
    bot.say("U0BOB", "hang").await;
    bot.until("the step hangs", |bot| bot.place.marks().len() == 5 && supervisors(bot).len() == 1)
        .await;
    bot.until_card(" — running").await;
    kill(supervisors(bot)[0]);
    bot.until_card("a step's outcome is unknown").await;
    bot.say("U0BOB", "unlock production the host is gone").await;
    bot.until_quiet().await;
}

both_engines! {
    async fn a_lead_has_the_report_of_a_night_posted_in_both_languages(database: TestDatabase) {
        let mut bot = Bot::in_workspace(&database, place(), Options::default()).await;
        a_night(&bot).await;

        let answer = bot.say("U0BOB", "compliance 2d").await;
        assert!(answer.contains("The compliance report on the last 2d is being posted in <#C0OPS>"), "{answer}");
        let (head, rest) = posted(&bot).await;

        holds(&head, &[
            "Compliance report · the last 2d",
            "asked for by `U0BOB`",
            "emergencies that nobody has reviewed: 1",
            "locks taken over: 1",
            "approvals by whoever asked: 1",
            "no backup of staging was ever proved to restore",
            "no head of the journal was ever posted",
            "the journal is under no key",
            "http steps that ask over the network without encryption: 2",
            "files or folders open to others: 1; chmod go-rwx",
            "what was not checked is called not known",
        ]);
        assert!(!head.contains("no backup of production"), "{head}");
        holds(&rest, &[
            "1 Data protection",
            "Encryption in transit",
            "this machine only; TLS towards Slack is the proxy's",
            "`http://metrics.example.com`: not encrypted, over the network",
            "whether disks, database and backups are encrypted: the bot cannot see that, not known",
            "the operator states nothing (encryption_at_rest is not set)",
            "token` `0644`: ⚠️ open to others",
            "2 Access control: the rules",
            "`lead` (line 18): `U0BOB`; while Slack is away, its answers count for 1m",
            "`oncall` (line 19): `U0ANN`; while Slack is away, its answers count for 12h",
            "`rollback` (line 24): role `operator`; approved by 1 of `lead`, never one's own, within 15m; as an \
             emergency by `oncall`, without approval, reviewed by `lead`",
            "`environment: staging` → no approval",
            "one's own counts",
            "2 Access control: their use",
            "`rollback` 2: `U0ANN` ×2",
            "`U0BOB` lets somebody decide in their place ×1",
            "`U0CAT` `rollback` ×2: does not hold operator",
            "`U0ANN` `approve` ×1: does not hold lead",
            "2 Access control: bypassed",
            "Emergencies, not reviewed yet",
            "🔴 open for",
            "&lt;!channel&gt; ",
            " lost `production` · `U0BOB`",
            "the host is gone",
            "`lead`: `U0BOB` → `U0CAT`",
            "on a plane",
            "3 Audit journal",
            "last check: not known",
            "the newest entry is under no key",
            "4 Backups",
            "`backup-verify` @ production: succeeded",
            "`backup-verify` @ staging: never run",
        ]);
        // Nobody is called by a report, and nothing secret or unescaped stands in it.
        for forbidden in ["<!channel>", "<@U0", "hidden", "a-secret-value", &bot.workspace.bot_token(), &bot.workspace.signing_secret()] {
            assert!(!head.contains(forbidden) && !rest.contains(forbidden), "{forbidden}: {head}\n{rest}");
        }
        let noted = of_kind(&bot, "compliance.reported").await;
        assert_eq!(noted.len(), 1);
        assert_eq!((noted[0].0.as_str(), noted[0].1["window"].as_str(), noted[0].1["posted_in"].as_str()), ("U0BOB", Some("2d"), Some("C0OPS")));
        assert_eq!(noted[0].1["sha256"].as_str().map(str::len), Some(64));

        let run = of_kind(&bot, "emergency.used").await;
        assert_eq!(run.len(), 1);
        bot.end().await;
        let runbook = std::fs::read_to_string(bot.place.runbook()).unwrap();
        std::fs::write(bot.place.runbook(), runbook.replace("language: en", "language: zh")).unwrap();
        bot.begin().await;
        bot.advance_ms(40 * 86_400_000);
        bot.say("U0BOB", "compliance 60d").await;
        let (head, rest) = posted(&bot).await;
        holds(&head, &[
            "合规报告 · 最近 60d",
            "1 次紧急操作无人复核，最早的已有 40 天",
            "production 的备份上次验证成功是 40 天前，手册要求每月一次",
            "staging 的备份从未验证成功过",
            "没有查的写「未知」",
        ]);
        holds(&rest, &[
            "1 数据保护", "2 访问控制：规则", "2 访问控制：使用", "2 访问控制：绕过", "3 审计日志", "4 备份策略",
            "磁盘、数据库与备份是否加密：机器人无法查看，未知",
            "`rollback` 2: `U0ANN` ×2",
            "没有 operator 角色",
            " 失去 `production`",
            "🔴 已等待 40 天",
            "发布合规报告 ×1",
        ]);
        bot.finish().await;
    }

    async fn without_the_role_nothing_is_posted_and_a_wrong_window_is_refused(database: TestDatabase) {
        let bot = Bot::in_workspace(&database, place(), Options::default()).await;

        for user in ["U0ANN", "U0CAT", "U0EVE"] {
            let answer = bot.say(user, "compliance").await;
            assert!(answer.contains("lead") || answer.contains("访客") || answer.contains("guest"), "{user}: {answer}");
        }
        let wrong = bot.say("U0BOB", "compliance 5m").await;
        assert!(wrong.contains("from 1h to 366d"), "{wrong}");
        bot.until_quiet().await;

        assert!(!bot.everything().contains("Compliance report"), "{}", bot.everything());
        assert_eq!(of_kind(&bot, "compliance.reported").await.len(), 0);
        assert_eq!(of_kind(&bot, "request.denied").await.len(), 3);
        bot.finish().await;
    }

    async fn a_journal_in_which_nothing_happened_makes_a_report_too(database: TestDatabase) {
        let bot = Bot::in_workspace(&database, Place::new(ROLLBACK), Options::default()).await;

        bot.say("U0BOB", "compliance").await;
        let (head, rest) = posted(&bot).await;

        holds(&head, &["the last 30d", "no action of the runbook tests a backup"]);
        holds(&rest, &["Who asked for which action (allowed)* · the journal\n• none", "last archive: none"]);
        bot.finish().await;
    }

    async fn the_command_line_prints_it_without_slack_and_notes_who_had_it(database: TestDatabase) {
        let mut bot = Process::new(&database.url, ROLLBACK).await;
        assert!(bot.start(None).await);
        bot.say("U0ANN", "rollback v1.2 p99 is bad").await;
        bot.until("it is done", |bot| bot.place.marks().len() == 1).await;
        bot.say("U0CAT", "rollback v1.2 let me").await;
        bot.kill();
        // An empty variable counts as unset.
        for name in ["SLACK_BOT_TOKEN", "SLACK_SIGNING_SECRET", "SLACK_API_URL"] {
            bot.variables.push((name.to_owned(), String::new()));
        }
        let said = "LUKS on <all> disks";
        bot.variables.push(("NEOSTOCK_ENCRYPTION_AT_REST".to_owned(), said.to_owned()));

        let (code, en) = bot.types(&["compliance", "--window", "1d", "--lang", "en"]).await;
        let (_, zh) = bot.types(&["compliance", "--lang", "zh"]).await;
        let (wrong, refused) = bot.types(&["compliance", "--window", "5m"]).await;
        let (_, shown) = bot.types(&["audit", "show", "--kind", "compliance."]).await;

        assert_eq!(code, 0, "{en}");
        holds(&en, &[
            "Compliance report · the last 1d",
            "asked for by `uid ",
            "as stated by the operator, not checked: LUKS on <all> disks (encryption_at_rest)",
            "`rollback` 1: `U0ANN` ×1",
            "`U0CAT` `rollback` ×1: does not hold operator",
            "Slack: `https` `slack.com`",
            "4 Backups",
        ]);
        holds(&zh, &["合规报告 · 最近 30d", "维护者的说明，未经核实：LUKS on <all> disks", "发布合规报告 ×1"]);
        assert_eq!(wrong, 2, "{refused}");
        assert!(refused.contains("from 1h to 366d"), "{refused}");
        assert_eq!(shown.matches("compliance.reported").count(), 2, "{shown}");
        match database.engine {
            Engine::Sqlite => holds(&en, &["database: a SQLite file, no network", "database file `"]),
            Engine::Postgres => holds(&en, &["database: PostgreSQL, sslmode `", "the server says: this connection is not encrypted"]),
        }
    }
}
