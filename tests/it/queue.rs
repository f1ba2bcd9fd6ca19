//! A run's turn: its place, what it waits for, whose place it takes, and that its gate still holds.

use crate::harness::bot::{Bot, shown};
use crate::harness::database::both_engines;
use crate::harness::place::Place;
use neostock_ops::sandbox::{Fault, Options};

/// A deploy that a lead of a group approves, and a run that holds the environment until `go` appears.
const ACTIONS: &str = r#"
  deploy:
    summary: {zh: 部署一个版本, en: Deploy a version}
    role: operator
    makes_live: version
    approval: {from: lead, count: 1, expires: 1h}
    parameters:
      version: {type: git_ref, required: true}
      reason: {type: text, default: routine}
    steps:
      - {name: {zh: 部署, en: Deploy}, run: [sh, -c, "echo deploy $1 >> $MARKS", sh, "{version}"], timeout: 20s}
  hold:
    summary: hold
    role: operator
    parameters:
      reason: {type: text, default: routine}
    steps:
      - {name: Look, run: ["true"], timeout: 20s}
      - {name: Hold, run: [sh, -c, "while ! [ -e go ]; do sleep 0.05; done; echo held >> $MARKS"], timeout: 60s}
  quick:
    summary: quick
    role: operator
    steps:
      - {name: Quick, run: [sh, -c, "echo quick >> $MARKS"], timeout: 20s}
"#;

/// The leads are a group, so that people can leave it.
async fn start(database: &crate::harness::database::TestDatabase, actions: &str) -> Bot {
    let place = Place::new(actions);
    let runbook = std::fs::read_to_string(place.runbook()).unwrap();
    let runbook = runbook.replace("lead: {members: [U0BOB]}", "lead: {members: [S0LEADS]}");
    std::fs::write(place.runbook(), runbook).unwrap();
    let bot = Bot::in_workspace(database, place, Options::default()).await;
    bot.workspace.set_group("S0LEADS", &["U0BOB"]);
    bot
}

fn go(bot: &Bot) {
    std::fs::write(bot.place.repo().join("go"), "").unwrap();
}

/// The card of the run whose title this is.
fn card_of(bot: &Bot, title: &str) -> String {
    let cards = bot.workspace.messages("C0OPS");
    let mut cards = cards.iter().filter(|one| one.thread_ts.is_none() && one.is_bot).map(shown);
    cards.rfind(|card| card.contains(title)).unwrap_or_default()
}

/// The id on a card.
fn id_of(card: &str) -> String {
    let at = card.find("R-").unwrap_or_else(|| panic!("no run id in {card:?}"));
    card[at..at + 10].to_owned()
}

/// Holds the environment, with a deploy approved by Bob waiting behind.
async fn deploy_behind(bot: &Bot) -> String {
    bot.say("U0BOB", "hold load test").await;
    bot.until_card("Hold — running").await;
    bot.say("U0ANN", "deploy v1.3").await;
    bot.until_card("✋ deploy v1.3").await;
    bot.click("U0BOB", "Approve").await;
    bot.until_card("waiting for: ").await;
    bot.run_id()
}

async fn kinds_of(bot: &Bot, kind: &str) -> usize {
    bot.journal_kinds().await.iter().filter(|found| *found == kind).count()
}

both_engines! {
    async fn a_queued_run_shows_its_place_and_its_asker_is_told_when_it_is_its_turn(database: TestDatabase) {
        let bot = start(&database, ACTIONS).await;
        bot.say("U0BOB", "hold load test").await;
        bot.until_card("Hold — running").await;
        let holder = bot.run_id();
        bot.say("U0BOB", "quick").await;
        let card = bot.until_card("Place 1 in the queue, waiting for: ").await;
        let first = bot.run_id();

        assert!(card.contains(&format!("`{holder}` hold · <@U0BOB>")), "{card}");
        assert!(card.contains("at step 2/2 “Hold”: load test"), "{card}");
        bot.say("U0ANN", "quick").await;
        let card = bot.until_card("Place 2 in the queue").await;
        assert!(card.contains(&format!("Ahead of it: `{first}` quick")), "{card}");
        let second = bot.run_id();
        let status = bot.say("U0BOB", "status").await;
        assert!(status.contains(&format!("place 2, waits for {holder}")) && status.contains("🔒 since"), "{status}");
        let runs = bot.say("U0BOB", "runs queued").await;
        assert!(runs.contains(&format!("place 1, waits for {holder}")), "{runs}");
        let show = bot.say("U0BOB", &format!("show {second}")).await;
        assert!(show.contains("Place 2 in the queue"), "{show}");
        bot.say("U0BOB", &format!("cancel {first}")).await;
        let card = bot.until_card("Place 1 in the queue").await;
        assert!(!card.contains("Ahead of it"), "{card}");

        go(&bot);
        bot.until_card("quick ✅ done").await;
        bot.until_quiet().await;
        let thread = bot.thread().join("\n");

        assert_eq!(bot.place.marks(), ["held", "quick"]);
        assert_eq!(thread.matches("It is the turn of quick now. <@U0ANN>").count(), 1, "{thread}");
        assert_eq!(thread.matches("It is the turn of").count(), 1, "a run that did not wait was told so: {thread}");
        bot.finish().await;
    }

    async fn a_later_version_takes_the_place_of_one_that_waits_or_goes_behind_it(database: TestDatabase) {
        let bot = start(&database, ACTIONS).await;
        bot.say("U0ANN", "deploy v1.2 the old one").await;
        bot.until_card("✋ deploy v1.2").await;
        let old = bot.run_id();

        let asked = bot.say("U0BOB", "deploy v1.3 the new one").await;
        assert!(asked.contains("Does deploy v1.3 take its place, or go behind it?"), "{asked}");
        assert!(asked.contains(&old), "{asked}");
        bot.until_quiet().await;
        assert_eq!(bot.run_id(), old, "it was queued without an answer");
        let answer = bot.click("U0BOB", &format!("Supersede {old}")).await;
        assert!(answer.contains("waits for approval"), "{answer}");
        let card = bot.until_card("✋ deploy v1.3").await;
        let new = id_of(&card);
        bot.until("the old one ends", |bot| card_of(bot, "deploy v1.2").contains("was cancelled")).await;

        let ended = card_of(&bot, "deploy v1.2");
        assert!(ended.contains("<@U0BOB> cancelled") && ended.contains(&format!("superseded by {new}")), "{ended}");
        bot.until_quiet().await;
        let thread = bot.thread().join("\n");
        assert!(thread.contains(&format!("superseded by {new}")), "{thread}");
        let journal = bot.journal().await;
        let (_, actor, detail) = journal.iter().find(|(kind, ..)| kind == "run.superseded").unwrap();
        assert_eq!((actor.as_str(), detail["superseded_by"].as_str()), ("U0BOB", Some(new.as_str())));
        let card = card_of(&bot, "deploy v1.3");
        assert!(card.contains("the new one"), "{card}");

        bot.say("U0BOB", "deploy v1.1").await;
        bot.click("U0BOB", "Queue behind it").await;
        bot.until_card("✋ deploy v1.1").await;
        assert!(card_of(&bot, "deploy v1.3").contains("✋"), "going behind cancelled it");
        let typed = bot.say("U0BOB", &format!("deploy v1.0 supersede={new} typed")).await;
        assert!(typed.contains("waits for approval"), "{typed}");
        bot.until("it ends", |bot| card_of(bot, "deploy v1.3").contains("was cancelled")).await;
        let wrong = bot.say("U0BOB", "deploy v1.0 supersede=R-1 why").await;
        assert!(wrong.contains("`no` to go behind it") || wrong.contains("no to go behind it"), "{wrong}");
        bot.finish().await;
    }

    async fn a_press_on_an_old_question_queues_nothing(database: TestDatabase) {
        let bot = start(&database, ACTIONS).await;
        bot.say("U0ANN", "deploy v1.2").await;
        bot.until_card("✋ deploy v1.2").await;
        let old = bot.run_id();
        bot.say("U0BOB", "deploy v1.3").await;
        let denied = bot.say("U0CAT", &format!("deploy v1.3 supersede={old}")).await;
        assert!(denied.contains("operator"), "{denied}");

        bot.click("U0BOB", "Approve").await;
        bot.until_card("deploy v1.2 ✅ done").await;
        // What is live has changed with it: the plan that was shown does not hold any more.
        let late = bot.click("U0BOB", &format!("Supersede {old}")).await;
        assert!(late.contains("does not hold any more"), "{late}");
        let late = bot.say("U0BOB", &format!("deploy v1.3 supersede={old} typed")).await;
        assert!(late.contains("Too late") && late.contains("supersede=no"), "{late}");
        bot.until_quiet().await;

        assert_eq!(bot.run_id(), old, "something was queued silently");
        assert_eq!(bot.place.marks(), ["deploy v1.2"]);
        assert_eq!(kinds_of(&bot, "run.superseded").await, 0);
        bot.finish().await;
    }

    async fn an_approval_of_somebody_who_left_the_role_is_void_at_the_turn(database: TestDatabase) {
        let bot = start(&database, ACTIONS).await;
        let run = deploy_behind(&bot).await;
        bot.workspace.set_group("S0LEADS", &["U0CAT"]);
        bot.advance_ms(61_000);
        go(&bot);
        let card = bot.until_card("✋ deploy v1.3").await;

        assert!(card.contains("counts no more: <@U0BOB>'s approval"), "{card}");
        assert_eq!(bot.buttons(), ["Approve", "Reject", "Details", "Cancel"]);
        bot.until_quiet().await;
        let thread = bot.thread().join("\n");
        assert!(thread.contains("approved or ticked off held no more"), "{thread}");
        assert!(thread.contains("Please approve it anew: `lead` <!subteam^S0LEADS> <@U0ANN>"), "{thread}");
        assert_eq!(bot.place.marks(), ["held"]);
        bot.say("U0BOB", "quick").await;
        bot.until("the environment was given back", |bot| bot.place.marks().len() == 2).await;
        let late = bot.say("U0BOB", &format!("approve {run}")).await;
        assert!(late.contains("lead"), "{late}");
        let counted = bot.say("U0CAT", &format!("approve {run}")).await;
        assert!(counted.contains("开始排队执行"), "{counted}");
        bot.until("it is done", |bot| card_of(bot, "deploy v1.3").contains("✅ done")).await;

        assert_eq!(bot.place.marks(), ["held", "quick", "deploy v1.3"]);
        assert_eq!(kinds_of(&bot, "run.gate_voided").await, 1);
        bot.finish().await;
    }

    async fn who_comes_back_to_the_role_can_approve_again(database: TestDatabase) {
        let bot = start(&database, ACTIONS).await;
        let run = deploy_behind(&bot).await;
        bot.workspace.set_group("S0LEADS", &[]);
        bot.advance_ms(61_000);
        go(&bot);
        bot.until_card("counts no more: <@U0BOB>").await;
        bot.workspace.set_group("S0LEADS", &["U0BOB"]);
        bot.advance_ms(61_000);
        bot.say("U0BOB", &format!("approve {run}")).await;
        bot.until_card("deploy v1.3 ✅ done").await;

        assert_eq!(bot.place.marks(), ["held", "deploy v1.3"]);
        bot.finish().await;
    }

    async fn an_approval_of_somebody_who_was_deactivated_is_void(database: TestDatabase) {
        let bot = start(&database, ACTIONS).await;
        bot.workspace.set_group("S0LEADS", &["U0BOB", "U0CAT"]);
        bot.say("U0BOB", "hold").await;
        bot.until_card("Hold — running").await;
        bot.say("U0ANN", "deploy v1.3").await;
        bot.until_card("✋ deploy v1.3").await;
        bot.click("U0CAT", "Approve").await;
        bot.until_card("waiting for: ").await;
        bot.workspace.deactivate("U0CAT");
        bot.advance_ms(61_000);
        go(&bot);
        bot.until_card("counts no more: <@U0CAT>").await;
        bot.click("U0BOB", "Approve").await;
        bot.until_card("deploy v1.3 ✅ done").await;

        assert_eq!(bot.place.marks(), ["held", "deploy v1.3"]);
        bot.finish().await;
    }

    async fn a_run_waits_while_slack_cannot_be_asked_about_its_people(database: TestDatabase) {
        let bot = start(&database, ACTIONS).await;
        deploy_behind(&bot).await;
        bot.advance_ms(61_000);
        bot.workspace.fail_matching("usergroups.users.list", 1_000, Fault::ServerError(500));
        go(&bot);
        bot.until("it says so", |bot| bot.thread().join("\n").contains("Slack cannot be asked whether its people")).await;
        let before = bot.clock.now_ms();
        bot.until("it is asked again and again", |bot| bot.clock.now_ms() > before + 20_000).await;

        assert_eq!(bot.place.marks(), ["held"], "it ran although nobody could be asked");
        assert_eq!(kinds_of(&bot, "run.gate_voided").await, 0);
        assert_eq!(kinds_of(&bot, "run.gate_unasked").await, 1, "it says so once");
        bot.workspace.clear_faults();
        bot.until_card("deploy v1.3 ✅ done").await;
        assert_eq!(bot.place.marks(), ["held", "deploy v1.3"]);
        bot.finish().await;
    }

    async fn a_run_of_somebody_who_lost_the_role_is_not_begun(database: TestDatabase) {
        let bot = start(&database, ACTIONS).await;
        deploy_behind(&bot).await;
        bot.workspace.set_group("S0OPS", &["U0BOB"]);
        bot.advance_ms(61_000);
        go(&bot);
        let card = bot.until_card("who asked for it does not hold the role").await;

        assert!(card.contains("failed"), "{card}");
        assert_eq!(bot.place.marks(), ["held"]);
        bot.finish().await;
    }

    async fn a_plan_whose_live_version_changed_is_not_begun_and_can_be_asked_again(database: TestDatabase) {
        let bot = start(&database, ACTIONS).await;
        bot.say("U0BOB", "hold").await;
        bot.until_card("Hold — running").await;
        bot.say("U0ANN", "deploy v1.2").await;
        bot.until_card("✋ deploy v1.2").await;
        bot.click("U0BOB", "Approve").await;
        bot.say("U0ANN", "deploy v1.3 supersede=no").await;
        bot.until_card("✋ deploy v1.3").await;
        bot.click("U0BOB", "Approve").await;
        go(&bot);
        bot.until_card("it would not do what people saw").await;

        assert_eq!(bot.place.marks(), ["held", "deploy v1.2"]);
        bot.until_quiet().await;
        let again = bot.click("U0BOB", "Ask again").await;
        assert!(again.contains("waits for approval"), "{again}");
        bot.until_card("✋ deploy v1.3").await;
        bot.say("U0ANN", &format!("cancel {}", bot.run_id())).await;
        bot.until_card("deploy v1.3 🛑").await;
        bot.finish().await;
    }
}
