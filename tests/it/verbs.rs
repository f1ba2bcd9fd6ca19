//! Asking about runs, people, rules and the past: what each person reads.

use crate::harness::bot::{Bot, shown};
use crate::harness::database::both_engines;
use crate::harness::place::ROLLBACK;
use crate::harness::wire::rows;
use crate::harness::wire::{EVENTS, FORM, slash};
use neostock_ops::sandbox::Fault;
use std::time::Instant;

/// A rollback that waits for a lead's approval, and an action that only leads may ask for.
fn runbook() -> String {
    let gate = "role: operator\n    approval: {from: lead, count: 1, self: false, expires: 15m}";
    let wipe = r#"
  wipe:
    summary: {zh: 清空缓存, en: Empty the cache}
    role: lead
    lock: none
    steps:
      - {name: {zh: 清空, en: Empty}, run: [sh, -c, "echo wiping; exit 3"], timeout: 10s}
"#;
    ROLLBACK.replacen("role: operator", gate, 1) + wipe
}

async fn plain(bot: &Bot, user: &str, text: &str) -> String {
    bot.say(user, text).await.replace("&lt;", "<").replace("&gt;", ">")
}

/// What the newest private message of somebody says now.
fn newest(bot: &Bot, user: &str) -> String {
    bot.workspace.ephemerals(user).last().map_or_else(String::new, shown)
}

both_engines! {
    async fn help_lists_what_one_may_and_says_whom_to_ask_for_the_rest(database: TestDatabase) {
        let bot = Bot::start(&database, &runbook()).await;

        let lead = plain(&bot, "U0BOB", "help").await;
        for word in ["rollback <version>", "wipe", "audit", "approve", "logs <run>", "whoami", "why <command…>"] {
            assert!(lead.contains(word), "{word}: {lead}");
        }
        assert!(!lead.contains("may not"), "{lead}");
        // On call, and no lead: no wipe, no audit, no report, no approve, no reject, no unlock.
        let on_call = plain(&bot, "U0ANN", "help").await;
        assert!(on_call.contains("rollback <version>") && on_call.contains("cancel <run>"), "{on_call}");
        for word in ["wipe", "approve", "reject", "audit", "unlock"] {
            assert!(!on_call.contains(&format!("/neostock {word}")), "{word}: {on_call}");
        }
        let not = "您不能使用：`wipe`、`audit`、`compliance`、`approve`、`reject`、`unlock`、`delegate`。可以请他们来做：<@U0BOB>";
        assert!(on_call.contains(not), "{on_call}");
        assert!(on_call.contains("/neostock why"), "{on_call}");
        // Neither: what is left is to look.
        let neither = plain(&bot, "U0CAT", "help").await;
        assert!(!neither.contains("rollback <version>") && neither.contains("status"), "{neither}");
        assert!(neither.contains("<!subteam^S0OPS>") && neither.contains("<@U0BOB>"), "{neither}");
        let one = plain(&bot, "U0CAT", "help rollback").await;
        assert!(one.contains("回滚到指定版本"), "{one}");
        assert!(one.contains("您不能使用：需要角色 `operator`") && one.contains("<!subteam^S0OPS>"), "{one}");
        assert!(!plain(&bot, "U0ANN", "help rollback").await.contains("不能使用"));
        bot.finish().await;
    }

    async fn help_answers_in_time_with_what_is_certain_while_slack_hangs(database: TestDatabase) {
        let bot = Bot::start(&database, &runbook()).await;
        bot.workspace.fail_matching("usergroups*", 1, Fault::Slow(6_000));
        let since = Instant::now();

        let answer = plain(&bot, "U0CAT", "help").await;

        assert!(since.elapsed().as_millis() < 2_400, "{:?}", since.elapsed());
        assert!(answer.contains("现在无法向 Slack 查询您的角色") && answer.contains("status"), "{answer}");
        assert!(!answer.contains("rollback <version>"), "{answer}");
        bot.advance_ms(3_000);
        assert!(!plain(&bot, "U0CAT", "help").await.contains("无法"));
        bot.finish().await;
    }

    async fn whoami_says_what_slack_says_and_through_what_a_role_is_held(database: TestDatabase) {
        let bot = Bot::start(&database, &runbook()).await;

        let lead = plain(&bot, "U0BOB", "whoami").await;
        for word in ["a full member", "language: English", "`operator` through <!subteam^S0OPS>", "`lead` through <@U0BOB>", "`viewer` through everyone", "`wipe`"] {
            assert!(lead.replace('\n', "").contains(word), "{word}: {lead}");
        }
        let neither = plain(&bot, "U0CAT", "whoami").await;
        for word in ["正式成员", "语言：中文", "➖ `operator` 没有", "✅ `viewer` 凭 everyone", "不能使用"] {
            assert!(neither.contains(word), "{word}: {neither}");
        }
        let guest = plain(&bot, "U0EVE", "whoami").await;
        assert!(guest.contains("a guest") && guest.contains("`viewer` not held"), "{guest}");
        let may = guest.lines().find(|line| line.starts_with("You may use")).unwrap();
        assert_eq!(may, "You may use: `whoami`", "{guest}");
        assert!(guest.contains("You may not use: ") && guest.contains("`status`"), "{guest}");
        bot.workspace.deactivate("U0CAT");
        bot.advance_ms(60_000);
        let leaver = plain(&bot, "U0CAT", "whoami").await;
        assert!(leaver.contains("已停用的帐号") && leaver.contains("`viewer` 没有"), "{leaver}");
        bot.advance_ms(60_000);
        bot.workspace.fail_matching("user*", 8, Fault::ServerError(503));
        let unknown = plain(&bot, "U0ANN", "whoami").await;
        assert!(unknown.contains("unknown what") && unknown.contains("❔ `operator` unknown"), "{unknown}");
        bot.finish().await;
    }

    async fn why_tells_which_rule_decides_and_does_nothing(database: TestDatabase) {
        let bot = Bot::start(&database, &runbook()).await;
        let cases: [(&str, &str, &[&str]); 9] = [
            ("U0BOB", "why rollback v1.2 bad p99", &[
                "Read as `rollback` in the environment `production` (the default)", "`version=v1.2`",
                "Needs the role `operator` (actions.rollback.role, line 22)", "✅ <!subteam^S0OPS> names you", "You may",
                "1 approval(s) of `lead` within 15m, not your own: <@U0BOB>",
                "Holds the environment `production`, which is free now", "nothing was done",
            ]),
            ("U0BOB", "why rollback v9.9 x", &["it would be refused", "`v9.9` is not a tag", "v1.3"]),
            ("U0CAT", "why rollback v9.9 x", &["➖ <!subteam^S0OPS> 不包括您", "您没有 `operator` 角色"]),
            ("U0BOB", "why rollback", &["before anybody asks who you are", "`version` is missing"]),
            ("U0BOB", "why rolback v1.2 x", &["Did you mean `/neostock rollback`"]),
            ("U0BOB", "why wipe", &["Needs nobody's approval", "Holds no environment"]),
            ("U0ANN", "why audit since 7d", &["需要角色 `lead` (roles.lead，第 ", "➖ <@U0BOB> 不包括您"]),
            ("U0BOB", "why whoami", &["everybody may ask"]),
            ("U0BOB", "why why status", &["Read as `status`", "`viewer`", "everyone"]),
        ];

        for (user, typed, words) in cases {
            let answer = plain(&bot, user, typed).await;
            for word in words {
                assert!(answer.contains(word), "{typed}: {word}\n{answer}");
            }
        }

        // Who may not learns nothing about versions.
        assert!(!plain(&bot, "U0CAT", "why rollback v9.9 x").await.contains("v1.3"));
        assert_eq!(rows(&database, "runs").await, 0);
        assert!(bot.workspace.messages("C0OPS").is_empty());
        bot.say("U0BOB", "rollback v1.2 bad p99").await;
        bot.until_card("waiting").await;
        let run = bot.run_id();
        let own = plain(&bot, "U0BOB", &format!("why approve {run}")).await;
        assert!(own.contains("You may") && own.contains("it would not count"), "{own}");
        let held = plain(&bot, "U0ANN", "why rollback v1.1 x").await;
        assert!(held.contains("前面有 1 个") && held.contains(&run), "{held}");
        bot.finish().await;
    }

    async fn runs_are_listed_newest_first_filtered_and_paged_in_place(database: TestDatabase) {
        let bot = Bot::start(&database, &runbook()).await;
        for index in 0..12 {
            bot.say("U0BOB", "wipe").await;
            bot.until("it has failed", |bot| bot.workspace.messages("C0OPS").iter().filter(|card| card.thread_ts.is_none() && shown(card).contains("failed")).count() == index + 1).await;
        }
        bot.say("U0ANN", "rollback v1.2 env=staging 坏了").await;

        let first = plain(&bot, "U0BOB", "runs").await;
        assert_eq!(first.matches("wipe · ").count() + first.matches("*wipe*").count(), 9, "{first}");
        assert!(first.find("rollback v1.2").unwrap() < first.find("wipe").unwrap(), "{first}");
        assert!(first.contains("waiting") && first.contains("<@U0ANN>") && first.contains("Older"), "{first}");
        let before = bot.workspace.ephemerals("U0BOB").len();
        assert!(bot.workspace.press("U0BOB", "Older").await.is_ok());
        let second = newest(&bot, "U0BOB");
        assert_eq!(bot.workspace.ephemerals("U0BOB").len(), before, "the list was not replaced");
        assert_eq!(second.matches("*wipe*").count(), 3, "{second}");
        assert!(!second.contains("Older") && second.contains("Newest"), "{second}");
        assert!(bot.workspace.press("U0BOB", "Newest").await.is_ok());
        assert!(newest(&bot, "U0BOB").contains("rollback v1.2"));

        for (typed, count) in [("failed", 10), ("open", 1), ("env=staging", 1), ("by=me rollback", 0), ("by <@U0ANN>", 1), ("since 1m succeeded", 0)] {
            let answer = plain(&bot, "U0BOB", &format!("runs {typed}")).await;
            assert_eq!(answer.matches("`R-").count(), count, "{typed}: {answer}");
        }
        let refused = plain(&bot, "U0BOB", "runs faild").await;
        assert!(refused.contains("cannot be `faild`") && refused.contains("needs_attention"), "{refused}");
        bot.finish().await;
    }

    async fn the_trail_is_read_by_those_who_may_a_page_at_a_time(database: TestDatabase) {
        let bot = Bot::start(&database, &runbook()).await;
        bot.say("U0CAT", "rollback v1.2 please").await;
        bot.say("U0BOB", "wipe").await;
        bot.until_card("failed").await;
        let run = bot.run_id();

        let denied = plain(&bot, "U0CAT", "audit").await;
        assert!(denied.contains("您没有 `lead` 角色"), "{denied}");
        let denials = plain(&bot, "U0BOB", "audit outcome denied since 1d").await;
        assert_eq!(denials.matches("was denied").count(), 2, "{denials}");
        assert!(denials.contains("<@U0CAT>") && denials.contains("`rollback v1.2 please`"), "{denials}");
        assert!(denials.contains("role `operator`") && denials.contains("neostock-ops audit show"), "{denials}");
        let of_run = plain(&bot, "U0BOB", &format!("audit run {run}")).await;
        for words in ["asked for", "was queued", "a step failed"] {
            assert!(of_run.contains(words), "{words}: {of_run}");
        }
        assert!(!of_run.contains("U0CAT"), "{of_run}");
        let of_action = plain(&bot, "U0BOB", "audit action rollback").await;
        assert!(of_action.contains("rollback v1.2 please") && !of_action.contains("a step failed"), "{of_action}");
        let of_cat = plain(&bot, "U0BOB", "audit by <@U0CAT> outcome ok").await;
        assert!(of_cat.contains("No entry fits"), "{of_cat}");
        bot.advance_ms(3_600_000);
        assert!(plain(&bot, "U0BOB", "audit since 30m by <@U0CAT>").await.contains("No entry fits"));

        for _ in 0..16 {
            bot.say("U0CAT", "status").await;
        }
        let first = plain(&bot, "U0BOB", "audit by <@U0CAT>").await;
        assert_eq!(first.matches("  #").count(), 15, "{first}");
        assert!(bot.workspace.press("U0BOB", "Older").await.is_ok());
        let second = newest(&bot, "U0BOB");
        assert_eq!(second.matches("  #").count(), 3, "{second}");
        bot.finish().await;
    }

    async fn a_steps_whole_output_goes_into_its_runs_thread_as_a_file(database: TestDatabase) {
        let bot = Bot::start(&database, &runbook()).await;
        bot.say("U0BOB", "wipe").await;
        bot.until_card("failed").await;
        bot.until_quiet().await;
        let run = bot.run_id();

        let answer = plain(&bot, "U0BOB", &format!("logs {run}")).await;

        assert!(answer.contains(&format!("`{run}-1-empty.log` 📄 is in")), "{answer}");
        let files = bot.workspace.files();
        assert_eq!(files.len(), 1);
        assert_eq!((files[0].name.clone(), files[0].bytes.clone()), (format!("{run}-1-empty.log"), Some(b"wiping\n".to_vec())));
        let shown_in = bot.workspace.messages("C0OPS");
        let message = shown_in.iter().find(|message| message.files.contains(&files[0].id)).unwrap();
        assert_eq!(message.thread_ts.as_ref(), Some(&shown_in[0].ts));
        assert!(message.text.contains("<@U0BOB>"), "{}", message.text);

        let before = bot.workspace.files().len();
        let body = slash("U0BOB", &format!("logs {run}"), "the-same-delivery");
        let first = bot.deliver(EVENTS, Some(FORM), body.as_bytes()).await;
        let second = bot.deliver(EVENTS, Some(FORM), body.as_bytes()).await;
        assert_eq!(first.body(), second.body());
        assert_eq!(bot.workspace.files().len(), before + 1, "the same delivery shared it twice");

        let role = plain(&bot, "U0ANN", &format!("logs {run}")).await;
        assert!(role.contains("您没有 `lead` 角色"), "{role}");
        let missing = plain(&bot, "U0BOB", &format!("logs {run} 7")).await;
        assert!(missing.contains("has no such step: it has 1"), "{missing}");
        for (method, fault, words) in [
            ("files.completeUploadExternal", Fault::TimeoutAfterApplying(50), "whether Slack took it is unknown"),
            ("files.completeUploadExternal", Fault::NotJson, "whether Slack took it is unknown"),
            ("files.getUploadURLExternal", Fault::Error("missing_scope"), "lacks the scope `files:write`"),
            ("files.getUploadURLExternal", Fault::RateLimited { retry_after_secs: 7 }, "asks to wait 7 s"),
            ("upload", Fault::ServerError(503), "cannot be reached right now"),
        ] {
            bot.workspace.fail_next(method, fault);
            let told = plain(&bot, "U0BOB", &format!("logs {run}")).await;
            assert!(told.contains(words), "{method}: {told}");
        }
        bot.finish().await;
    }

    async fn of_output_on_another_host_the_end_is_sent_and_said_to_be_no_more(database: TestDatabase) {
        let bot = Bot::start(&database, &runbook()).await;
        bot.say("U0BOB", "wipe").await;
        bot.until_card("failed").await;
        bot.until_quiet().await;
        let run = bot.run_id();
        std::fs::rename(bot.place.data().join("attempts"), bot.place.path().join("elsewhere")).unwrap();

        let answer = plain(&bot, "U0BOB", &format!("logs {run}")).await;

        assert!(answer.contains("only its end, the whole is on host test"), "{answer}");
        let files = bot.workspace.files();
        assert_eq!(files[0].bytes.as_deref(), Some(&b"wiping\n"[..]));
        bot.until_quiet().await;
        let thread = bot.thread().join("\n");
        assert!(thread.contains("the end of its output (the whole is on host test)"), "{thread}");
        bot.finish().await;
    }
}
