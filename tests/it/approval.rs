//! A run that waits for people: who may open its gate, when, and what everybody else reads.

use crate::harness::bot::Bot;
use crate::harness::database::both_engines;
use crate::harness::place::Place;
use neostock_ops::sandbox::{Answer, Options};
use serde_json::Value;

/// A deploy that a lead approves and that only leaves a mark.
const DEPLOY: &str = r#"
  deploy:
    summary: {zh: 部署一个版本, en: Deploy a version}
    role: operator
    approval: {from: lead, count: 1, expires: 15m}
    parameters:
      version: {type: git_ref, required: true}
      reason: {type: text, default: routine}
    steps:
      - {name: {zh: 部署, en: Deploy}, run: [sh, -c, "echo deployed $1 >> $MARKS", sh, "{version}"], timeout: 20s}
"#;

/// Two of the people on call, the asker among them.
fn by_two() -> String {
    DEPLOY.replace("{from: lead, count: 1,", "{from: operator, count: 2, self: true,")
}

/// A deploy that names a script of the repository.
fn by_script() -> String {
    DEPLOY.replace(
        r#"[sh, -c, "echo deployed $1 >> $MARKS", sh, "{version}"]"#,
        r#"[./deploy.sh, "{version}"]"#,
    )
}

/// The verdict and the reason of each refused decision, in order.
async fn refusals(bot: &Bot) -> Vec<(String, String)> {
    let journal = bot.journal().await;
    let refused = journal.into_iter().filter(|(kind, ..)| kind == "decision.refused");
    refused.map(|(_, actor, detail)| (actor, detail["why"].as_str().unwrap().to_owned())).collect()
}

both_engines! {
    async fn what_a_lead_approves_is_done_and_told(database: TestDatabase) {
        let bot = Bot::start(&database, DEPLOY).await;

        let answer = bot.say("U0ANN", "deploy v1.3 新的费率").await;
        assert!(answer.contains("deploy v1.3 → production") && answer.contains("等待批准"), "{answer}");
        let card = bot.until_card("✋ deploy v1.3 → production").await;
        assert!(card.contains("Waiting for `lead` <@U0BOB> to approve; one's own request does not count"), "{card}");
        assert_eq!(bot.buttons(), ["Approve", "Reject", "Details", "Cancel"]);
        bot.advance_ms(60_000);
        assert!(bot.place.marks().is_empty(), "it was done without an approval");

        let answer = bot.click("U0BOB", "Approve").await;
        assert!(answer.contains("approved by you; it is queued now"), "{answer}");
        let card = bot.until_card("deploy v1.3 ✅ done").await;

        assert_eq!(bot.place.marks(), ["deployed v1.3"]);
        assert!(card.contains("✅ <@U0BOB> approved"), "{card}");
        assert_eq!(bot.buttons(), Vec::<String>::new());
        bot.until_quiet().await;
        let thread = bot.thread().join("\n");
        assert!(thread.contains("<@U0BOB> approved\ndeploy v1.3 is queued now <@U0ANN>"), "{thread}");
        let journal = bot.journal().await;
        let (_, actor, detail) = journal.iter().find(|(kind, ..)| kind == "decision.approved").unwrap();
        assert_eq!((actor.as_str(), detail["role"].as_str()), ("U0BOB", Some("lead")));
        let requested = journal.iter().find(|(kind, ..)| kind == "run.requested").unwrap();
        assert_eq!(detail["digest"], requested.2["digest"]);
        let queued = journal.iter().find(|(kind, ..)| kind == "run.queued").unwrap();
        assert_eq!(queued.1, "U0BOB");
        bot.finish().await;
    }

    async fn ones_own_request_the_wrong_person_and_a_second_press_do_not_count(database: TestDatabase) {
        let bot = Bot::start(&database, DEPLOY).await;
        bot.say("U0BOB", "deploy v1.3").await;
        bot.until_card("✋ deploy v1.3").await;

        let own = bot.click("U0BOB", "Approve").await;
        assert!(own.contains("You asked for this yourself: somebody else has to approve it"), "{own}");
        let wrong = bot.click("U0CAT", "Approve").await;
        assert!(wrong.contains("`lead`") && wrong.contains("<@U0BOB>"), "{wrong}");
        let guest = bot.click("U0EVE", "Reject").await;
        assert!(guest.contains("and you are a guest; nothing was done"), "{guest}");
        bot.advance_ms(5_000);
        assert!(bot.place.marks().is_empty());
        let run = bot.run_id();
        let typed = bot.say("U0BOB", &format!("approve {run}")).await;
        assert!(typed.contains("You asked for this yourself"), "{typed}");

        assert_eq!(refusals(&bot).await, [("U0BOB".to_owned(), "own_request".to_owned()), ("U0BOB".to_owned(), "own_request".to_owned())]);
        let denied = bot.journal().await.into_iter().filter(|(kind, ..)| kind == "request.denied");
        let denied: Vec<(String, Value)> = denied.map(|(_, actor, detail)| (actor, detail)).collect();
        assert_eq!(denied.len(), 2);
        assert_eq!((denied[0].0.as_str(), denied[0].1["command"].as_str()), ("U0CAT", Some("approve")));
        let cancelled = bot.click("U0BOB", "Cancel").await;
        assert!(cancelled.contains("cancelled by you; nothing was begun"), "{cancelled}");
        bot.until_card("deploy v1.3 🛑 was cancelled").await;
        assert_eq!(bot.buttons(), Vec::<String>::new());
        bot.finish().await;
    }

    async fn two_of_them_are_two_people_and_each_counts_once(database: TestDatabase) {
        let bot = Bot::start(&database, &by_two()).await;
        bot.say("U0ANN", "deploy v1.3").await;
        bot.until_card("2 of them to approve (0 so far)").await;
        let run = bot.run_id();

        let first = bot.say("U0ANN", &format!("approve {} 我看过了", run.to_lowercase())).await;
        assert!(first.contains("1/2"), "{first}");
        let card = bot.until_card("(1 so far)").await;
        assert!(card.contains("✅ <@U0ANN> approved: 我看过了"), "{card}");
        let again = bot.click("U0ANN", "Approve").await;
        assert!(again.contains("您已经批准过了"), "{again}");
        bot.advance_ms(5_000);
        assert!(bot.place.marks().is_empty(), "one person was enough");
        let second = bot.click("U0BOB", "Approve").await;
        assert!(second.contains("it is queued now"), "{second}");
        bot.until_card("deploy v1.3 ✅ done").await;
        let late = bot.say("U0BOB", &format!("reject {run} I changed my mind")).await;
        assert!(late.contains("Too late: it is “succeeded” now"), "{late}");

        let whys: Vec<String> = refusals(&bot).await.into_iter().map(|(_, why)| why).collect();
        assert_eq!(whys, ["already", "too_late"]);
        bot.finish().await;
    }

    async fn a_rejection_ends_it_and_says_why(database: TestDatabase) {
        let bot = Bot::start(&database, DEPLOY).await;
        bot.say("U0ANN", "deploy v1.3").await;
        bot.until_card("✋ deploy v1.3").await;
        let run = bot.run_id();

        let bare = bot.say("U0BOB", &format!("reject {run}")).await;
        assert!(bare.contains("`reason` is missing"), "{bare}");
        let answer = bot.say("U0BOB", &format!("reject {run} not before the market closes <!channel>")).await;
        assert!(answer.contains("rejected by you; nothing is done"), "{answer}");
        let card = bot.until_card("deploy v1.3 ⛔ was rejected; nothing was done").await;
        assert!(card.contains("⛔ <@U0BOB> rejected: not before the market closes"), "{card}");
        let late = bot.say("U0BOB", &format!("approve {run}")).await;
        assert!(late.contains("Too late: it is “rejected” now"), "{late}");
        bot.until_quiet().await;

        let end = bot.thread().last().unwrap().clone();
        assert!(end.contains("<@U0ANN>") && end.contains("rejected: not before the market closes"), "{end}");
        assert!(bot.place.marks().is_empty());
        bot.finish().await;
    }

    async fn a_request_that_nobody_answers_expires_and_a_late_press_is_told(database: TestDatabase) {
        let bot = Bot::start(&database, DEPLOY).await;
        bot.say("U0ANN", "deploy v1.3").await;
        bot.until_card("✋ deploy v1.3").await;
        let run = bot.run_id();
        let kept = bot.workspace.messages("C0OPS").pop().unwrap();
        let button = kept.buttons().into_iter().find(|button| button.action_id == "approve").unwrap();

        bot.advance_ms(14 * 60_000);
        bot.until_quiet().await;
        assert_eq!(bot.buttons().len(), 4, "it expired too early");
        bot.advance_ms(60_000);
        bot.until_card("was not approved in time; nothing was done").await;
        assert_eq!(bot.buttons(), Vec::<String>::new());
        let late = bot.say("U0BOB", &format!("approve {run}")).await;
        assert!(late.contains("Too late: it is “expired” now"), "{late}");
        // The button is gone from the card: Slack itself has nothing to press any more.
        let gone = bot.workspace.click("U0BOB", "C0OPS", &kept.ts, "approve", Some(&button.value)).await;
        assert!(matches!(gone, Answer::NoSuchButton), "{gone:?}");

        assert!(bot.place.marks().is_empty());
        bot.until_quiet().await;
        assert!(bot.thread().last().unwrap().contains("<@U0ANN>"));
        bot.finish().await;
    }

    async fn a_press_at_the_very_end_finds_the_time_over(database: TestDatabase) {
        let mut bot = Bot::start(&database, DEPLOY).await;
        bot.say("U0ANN", "deploy v1.3").await;
        bot.until_card("✋ deploy v1.3").await;

        // The bot was away when the time was over, and has had no chance to say so.
        bot.abort().await;
        bot.advance_ms(15 * 60_000);
        let run = bot.run_id();
        bot.begin().await;
        let answer = bot.say("U0BOB", &format!("approve {run}")).await;

        assert!(answer.contains("Too late"), "{answer}");
        bot.until_card("was not approved in time").await;
        assert!(bot.place.marks().is_empty());
        bot.finish().await;
    }

    async fn a_plan_that_changed_since_it_was_shown_is_not_approved(database: TestDatabase) {
        let place = Place::new(&by_script());
        let script = place.repo().join("deploy.sh");
        std::fs::write(&script, "#!/bin/sh\necho deployed $1 >> $MARKS\n").unwrap();
        std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let bot = Bot::in_workspace(&database, place, Options::default()).await;
        bot.say("U0ANN", "deploy v1.3").await;
        bot.until_card("✋ deploy v1.3").await;

        std::fs::write(&script, "#!/bin/sh\necho evil $1 >> $MARKS\n").unwrap();
        let answer = bot.click("U0BOB", "Approve").await;
        assert!(answer.contains("the script `./deploy.sh` was changed since it was asked"), "{answer}");
        std::fs::write(&script, "#!/bin/sh\necho deployed $1 >> $MARKS\n").unwrap();
        let neighbour = bot.place.repo().join("lib.sh");
        std::fs::write(&neighbour, "echo evil\n").unwrap();
        let answer = bot.click("U0BOB", "Approve").await;
        assert!(answer.contains("the script `./lib.sh` was changed"), "{answer}");
        std::fs::remove_file(&neighbour).unwrap();
        let (git, away) = (bot.place.repo().join(".git"), bot.place.path().join("away"));
        std::fs::rename(&git, &away).unwrap();
        let answer = bot.click("U0BOB", "Approve").await;
        assert!(answer.contains("the repository cannot be read right now to check `v1.3`"), "{answer}");
        assert!(answer.contains("Try again in a moment"), "{answer}");
        std::fs::rename(&away, &git).unwrap();
        bot.place.git(&["tag", "--force", "v1.3", "v1.2"]);
        let answer = bot.click("U0BOB", "Approve").await;
        assert!(answer.contains("`v1.3` was") && answer.contains("when it was asked"), "{answer}");
        let whys: Vec<String> = refusals(&bot).await.into_iter().map(|(_, why)| why).collect();
        assert_eq!(whys, ["plan_changed", "plan_changed", "plan_unreadable", "plan_changed"]);

        // As it was shown, it may be approved; what changes after that is seen before the first step.
        bot.place.git(&["tag", "--force", "v1.3", "main"]);
        bot.click("U0BOB", "Approve").await;
        bot.until_card("deploy v1.3 ✅ done").await;
        assert_eq!(bot.place.marks(), ["deployed v1.3"]);
        bot.finish().await;
    }

    async fn a_press_on_another_plan_binds_to_nothing(database: TestDatabase) {
        let bot = Bot::start(&database, DEPLOY).await;
        bot.say("U0ANN", "deploy v1.3").await;
        bot.until_card("✋ deploy v1.3").await;
        let run = bot.run_id();
        let value = format!("{run} {}", "0".repeat(64));

        let forged = press(&bot, "U0BOB", "approve", &value).await;
        assert!(forged.contains("not this run's plan"), "{forged}");
        for (action, value) in [("approve", run.as_str()), ("approve", ""), ("explode", &value), ("approve", "R-00000000 x")] {
            let answer = press(&bot, "U0BOB", action, value).await;
            let is_refused = answer.contains("does nothing any more") || answer.contains("There is no run");
            assert!(is_refused, "{action} {value}: {answer}");
        }
        bot.advance_ms(5_000);

        assert!(bot.place.marks().is_empty());
        bot.rejects("U0BOB", "not today").await;
        bot.finish().await;
    }

    async fn a_rejection_by_its_button_asks_why_and_binds_to_the_plan_that_was_shown(database: TestDatabase) {
        let bot = Bot::start(&database, DEPLOY).await;
        bot.say("U0ANN", "deploy v1.3 new fees").await;
        bot.until_card("✋ deploy v1.3").await;

        let form = bot.opens("U0BOB", "Reject").await.unwrap();
        let shown = bot.workspace.views().pop().unwrap().view.to_string();
        let other = bot.opens("U0BOB", "Reject").await.unwrap();
        assert!(shown.contains("deploy v1.3 → production") && shown.contains("new fees"), "{shown}");
        assert!(bot.submits("U0BOB", &form, "  ").await.contains("Say why"));
        bot.advance_ms(5_000);
        assert!(bot.card().contains("✋ deploy v1.3"), "{}", bot.card());
        assert_eq!(bot.submits("U0BOB", &form, "not before <!here> the market closes").await, "");
        let card = bot.until_card("deploy v1.3 ⛔ was rejected; nothing was done").await;

        assert!(card.contains("⛔ <@U0BOB> rejected: not before"), "{card}");
        let late = bot.submits("U0BOB", &other, "and again").await;
        assert!(late.contains("You have rejected it already"), "{late}");
        let decided = bot.journal().await.into_iter().find(|(kind, ..)| kind == "decision.rejected").unwrap();
        assert_eq!(decided.2["reason"], "not before <!here> the market closes");
        bot.finish().await;
    }

    async fn two_presses_at_once_open_the_gate_once(database: TestDatabase) {
        let any_one = DEPLOY.replace("{from: lead, count: 1,", "{from: operator, count: 1, self: true,");
        let bot = Bot::start(&database, &any_one).await;
        bot.say("U0ANN", "deploy v1.3").await;
        bot.until_card("✋ deploy v1.3").await;

        let (ann, bob) = tokio::join!(
            bot.workspace.press("U0ANN", "Approve"),
            bot.workspace.press("U0BOB", "Approve"),
        );
        assert!(ann.is_ok() && bob.is_ok(), "{ann:?} {bob:?}");
        bot.until_card("deploy v1.3 ✅ done").await;

        assert_eq!(bot.place.marks(), ["deployed v1.3"]);
        let kinds = bot.journal_kinds().await;
        let count = |kind: &str| kinds.iter().filter(|found| *found == kind).count();
        assert_eq!((count("decision.approved"), count("decision.refused")), (1, 1), "{kinds:?}");
        assert_eq!((count("run.queued"), count("run.started")), (1, 1), "{kinds:?}");
        bot.finish().await;
    }

    async fn the_same_press_delivered_twice_counts_once(database: TestDatabase) {
        let bot = Bot::start(&database, &by_two()).await;
        bot.say("U0ANN", "deploy v1.3").await;
        bot.until_card("✋ deploy v1.3").await;
        let value = bot.workspace.messages("C0OPS")[0].buttons()[0].value.clone();
        let body = press_body("U0BOB", "approve", &value, "one-trigger");

        for _ in 0..3 {
            let answer = bot.workspace.deliver_signed("application/x-www-form-urlencoded", &body, &[]).await;
            assert!(answer.is_ok(), "{answer:?}");
        }
        bot.until_card("(1 so far)").await;

        let approved = bot.journal_kinds().await.iter().filter(|kind| *kind == "decision.approved").count();
        assert_eq!(approved, 1);
        assert_eq!(refusals(&bot).await, []);
        bot.rejects("U0BOB", "not today").await;
        bot.finish().await;
    }

    async fn approvals_count_once_more_only_for_the_same_work_within_their_time(database: TestDatabase) {
        let reusable = DEPLOY.replace("expires: 15m}", "expires: 15m, reuse: 30m}").replace("    steps:", "    lock: none\n    steps:");
        let bot = Bot::start(&database, &reusable).await;
        bot.say("U0ANN", "deploy v1.3 first").await;
        bot.until_card("✋ deploy v1.3").await;
        bot.click("U0BOB", "Approve").await;
        bot.until_card("deploy v1.3 ✅ done").await;
        let first = bot.run_id();

        let again = bot.say("U0ANN", "deploy v1.3 once more").await;
        assert!(again.contains("沿用"), "{again}");
        bot.until("it is done again", |bot| bot.place.marks().len() == 2).await;
        let card = bot.until_card("reused from").await;
        assert!(card.contains(&format!("<@U0BOB> approved: reused from {first}")), "{card}");
        // Another version, the approver's own, a moved tag, or too late: people are asked.
        let cases = [("U0ANN", "deploy v1.2 other"), ("U0BOB", "deploy v1.3 mine")];
        for (user, typed) in cases {
            bot.say(user, typed).await;
            bot.until_card("✋ deploy").await;
            bot.rejects("U0BOB", "not this one").await;
            bot.until_card("was rejected").await;
        }
        bot.place.git(&["tag", "--force", "v1.3", "v1.1"]);
        bot.say("U0ANN", "deploy v1.3 moved").await;
        bot.until_card("✋ deploy v1.3").await;
        bot.rejects("U0BOB", "it moved").await;
        bot.until_card("was rejected").await;
        bot.place.git(&["tag", "--force", "v1.3", "main"]);
        bot.advance_ms(30 * 60_000);
        bot.say("U0ANN", "deploy v1.3 late").await;
        bot.until_card("✋ deploy v1.3").await;
        bot.rejects("U0BOB", "look again").await;

        assert_eq!(bot.place.marks().len(), 2);
        let reused: Vec<Value> = bot.journal().await.into_iter().filter(|(kind, ..)| kind == "approval.reused").map(|(.., detail)| detail).collect();
        assert_eq!(reused.len(), 1, "{reused:?}");
        assert_eq!(reused[0]["from"], first.as_str());
        bot.finish().await;
    }

    async fn the_details_show_every_step_and_what_an_approval_binds_to(database: TestDatabase) {
        let bot = Bot::start(&database, DEPLOY).await;
        bot.say("U0ANN", "deploy v1.3 & <more>").await;
        bot.until_card("✋ deploy v1.3").await;
        // Only then the bot knows where its card is, and links to it.
        bot.until_quiet().await;

        let pressed = bot.click("U0CAT", "Details").await;
        let typed = bot.say("U0CAT", &format!("show {} plan", bot.run_id())).await;
        assert_eq!(pressed, typed);
        let journal = bot.journal().await;
        let requested = journal.iter().find(|(kind, ..)| kind == "run.requested").unwrap();
        let digest = requested.2["digest"].as_str().unwrap();
        for words in ["计划：deploy v1.3", "1. 部署", "echo deployed $1 &gt;&gt; $MARKS", "限时 20s", "&amp; &lt;more&gt;", digest] {
            assert!(pressed.contains(words), "{words}\n{pressed}");
        }
        bot.click("U0ANN", "Cancel").await;
        bot.finish().await;
    }
}

/// What somebody reads who pressed a button that no card shows.
async fn press(bot: &Bot, user: &str, action: &str, value: &str) -> String {
    let before = bot.workspace.ephemerals(user).len();
    let url =
        format!("{}{}", bot.workspace.base_url(), bot.workspace.open_response_url(user, "C0OPS"));
    let body =
        press_body_with(user, action, value, &format!("{action}{value}{before}"), Some(&url));
    let answer =
        bot.workspace.deliver_signed("application/x-www-form-urlencoded", &body, &[]).await;
    assert!(answer.is_ok(), "{answer:?}");
    let after = bot.workspace.ephemerals(user);
    assert!(after.len() > before, "nothing was said to {user}");
    after.last().map_or_else(String::new, crate::harness::bot::shown)
}

fn press_body(user: &str, action: &str, value: &str, trigger: &str) -> String {
    press_body_with(user, action, value, trigger, None)
}

fn press_body_with(
    user: &str,
    action: &str,
    value: &str,
    trigger: &str,
    response_url: Option<&str>,
) -> String {
    let payload = serde_json::json!({
        "type": "block_actions",
        "user": {"id": user, "team_id": "T0NEO"},
        "team": {"id": "T0NEO"},
        "container": {"type": "message", "channel_id": "C0OPS", "message_ts": "1.000001"},
        "trigger_id": trigger,
        "response_url": response_url,
        "actions": [{"type": "button", "action_id": action, "block_id": "b", "value": value, "action_ts": "1.0"}],
    });
    form_urlencoded::Serializer::new(String::new())
        .append_pair("payload", &payload.to_string())
        .finish()
}
