//! Level 3: an incident with its thread, the manual's checklist opened, and the clock of its recovery.

use crate::harness::alerts::{Source, firing, over, watching};
use crate::harness::bot::{Bot, shown};
use crate::harness::database::both_engines;
use neostock_ops::core::alert::{Level, Sighting};
use neostock_ops::core::id::AlertId;
use neostock_ops::store::alerts::AlertFilter;

const MINUTE_MS: u64 = 60_000;

/// The manual's list, and an action of the same name that is more than a list.
const ACTIONS: &str = r"
  disaster-recovery:
    summary: {zh: 灾难恢复检查清单, en: The list for a disaster}
    role: operator
    lock: none
    checklist: recovery
checklists:
  recovery:
    title: {zh: 灾难恢复检查清单, en: Disaster recovery}
    expires: 1d
    items:
      - {name: {zh: 识别故障范围和影响, en: What is hit is known}, tick: operator}
      - {name: {zh: 通知用户, en: Users are told}, tick: operator}
";

/// The same with something that a program would do: nothing that may begin by itself.
const STEPS: &str = r#"
  disaster-recovery:
    summary: {zh: 恢复, en: Recover}
    role: operator
    checklist: recovery
    steps: [{name: Recover, run: [sh, -c, "echo recovered >> $MARKS"]}]
checklists:
  recovery:
    title: {zh: 清单, en: The list}
    items:
      - {name: {zh: 通知用户, en: Users are told}, tick: operator}
"#;

async fn incident(bot: &Bot) -> (Source, Sighting, AlertId) {
    let source = Source::beside(bot).await;
    let fires = firing(bot, "error_rate", Level::Critical);
    source.says(std::slice::from_ref(&fires)).await;
    let filter = AlertFilter { limit: 1, ..AlertFilter::default() };
    let id = source.engine.alerts(&filter).await.unwrap()[0].id.clone();
    bot.until_quiet().await;
    (source, fires, id)
}

/// What the alert's card says, and what its thread does.
fn of_alert(bot: &Bot, id: &AlertId) -> (String, String) {
    let messages = bot.workspace.messages("C0OPS");
    let card = messages
        .iter()
        .find(|one| one.thread_ts.is_none() && shown(one).contains(id.as_str()))
        .unwrap_or_else(|| panic!("{id} has no card\n{}", bot.everything()));
    let replies = messages.iter().filter(|one| one.thread_ts.as_ref() == Some(&card.ts));
    (shown(card), replies.map(shown).collect::<Vec<_>>().join("\n"))
}

async fn kinds(bot: &Bot, kind: &str) -> usize {
    bot.journal_kinds().await.iter().filter(|found| *found == kind).count()
}

both_engines! {
    async fn level_3_opens_the_checklist_once_and_its_clock_runs(database: TestDatabase) {
        let bot = watching(&database, ACTIONS).await;
        let (source, fires, id) = incident(&bot).await;

        let run = source.engine.alert(&id).await.unwrap().unwrap().checklist.expect("no list was opened");
        let (card, thread) = of_alert(&bot, &id);
        assert!(card.contains("3 · critical") && card.contains("Recover by (RTO)") && card.contains(run.as_str()), "{card}");
        assert!(thread.contains("This is an incident") && thread.contains(&format!("The checklist is open: `{run}`")), "{thread}");
        let requested: Vec<_> = bot.journal().await.into_iter().filter(|(kind, ..)| kind == "run.requested").collect();
        assert_eq!(requested.len(), 1);
        assert_eq!(requested[0].1, "neostock-ops");
        assert_eq!(requested[0].2["alert"], id.as_str());
        for item in ["1", "2"] {
            let ticked = bot.say("U0BOB", &format!("tick {run} {item}")).await;
            assert!(ticked.contains('✅') || ticked.contains("☑"), "{ticked}");
        }
        bot.until("the list is done", |bot| {
            bot.workspace.messages("C0OPS").iter().any(|one| shown(one).contains(run.as_str()) && shown(one).contains("done"))
        }).await;

        // It comes back within its ten minutes: the same incident, the same list.
        source.says(&[over(&bot, &fires)]).await;
        bot.until_quiet().await;
        bot.advance_ms(MINUTE_MS);
        source.says(&[firing(&bot, "error_rate", Level::Critical)]).await;
        bot.until_quiet().await;
        assert_eq!(kinds(&bot, "run.requested").await, 1);

        for _ in 0..63 {
            bot.advance_ms(MINUTE_MS);
            bot.until_quiet().await;
        }
        bot.until("it is overdue", |bot| of_alert(bot, &id).0.contains("⏰ overdue")).await;
        bot.until_quiet().await;
        let (_, thread) = of_alert(&bot, &id);
        assert_eq!(thread.matches("The recovery takes longer than it may").count(), 1, "{thread}");
        assert_eq!(kinds(&bot, "alert.recovery_overdue").await, 1);
        source.end().await;
        bot.finish().await;
    }

    async fn a_list_that_would_do_something_is_not_begun_by_itself(database: TestDatabase) {
        let bot = watching(&database, STEPS).await;
        let (source, _, id) = incident(&bot).await;

        assert_eq!(source.engine.alert(&id).await.unwrap().unwrap().checklist, None);
        let (_, thread) = of_alert(&bot, &id);
        assert!(thread.contains("This is an incident") && !thread.contains("checklist is open"), "{thread}");
        assert_eq!(kinds(&bot, "run.requested").await, 0);
        source.end().await;
        bot.finish().await;
    }
}
