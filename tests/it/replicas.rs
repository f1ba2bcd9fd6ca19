//! Two bots on one PostgreSQL: each effect happens once, and a bot that is gone is replaced.

use crate::harness::bot::{Bot, shown};
use crate::harness::database::{Engine as Database, TestDatabase, run};
use crate::harness::place::{Place, ROLLBACK, is_alive};
use crate::settle;
use neostock_ops::core::card::{Card, Tone};
use neostock_ops::core::evidence::{End, Evidence};
use neostock_ops::core::id::AttemptId;
use neostock_ops::core::run::Event;
use neostock_ops::engine::gates::Back;
use neostock_ops::engine::{Engine, Error, Facts, Identity};
use neostock_ops::metrics::Metrics;
use neostock_ops::sandbox::Options;
use neostock_ops::store::Store;
use secrecy::SecretString;

const HANG: &str = r#"
  hang:
    summary: hang
    role: operator
    steps:
      - {name: Hang, run: [sh, -c, "echo hang >> $MARKS; while ! [ -e go ]; do sleep 0.05; done"], timeout: 60s}
      - {name: After, run: [sh, -c, "echo after >> $MARKS"], timeout: 20s}
"#;

#[test]
fn two_bots_do_every_run_once_and_tell_it_once() {
    run(Database::Postgres, |database: TestDatabase| async move {
        let bot = Bot::start(&database, ROLLBACK).await;
        let (stop, second) = bot.second().await;
        let versions = ["v1.0", "v1.1", "v1.2"];

        for version in versions {
            bot.say("U0BOB", &format!("rollback {version} why")).await;
            bot.say("U0BOB", &format!("rollback {version} env=staging why")).await;
        }
        let ends = |bot: &Bot, version: &str| {
            let words = format!("rolled back to version {version} ");
            ["C0OPS", "C0DEV"].map(|channel| {
                let messages = bot.workspace.messages(channel);
                let replies = messages.iter().filter(|one| one.thread_ts.is_some());
                replies.filter(|one| shown(one).contains(&words)).count()
            })
        };
        for version in versions {
            bot.until(version, |bot| ends(bot, version) == [1, 1]).await;
        }
        bot.until_quiet().await;

        let mut marks = bot.place.marks();
        marks.sort();
        assert_eq!(
            marks,
            ["back v1.0", "back v1.0", "back v1.1", "back v1.1", "back v1.2", "back v1.2"]
        );
        for version in versions {
            assert_eq!(ends(&bot, version), [1, 1], "{version}");
        }
        stop.cancel();
        second.await.unwrap().unwrap();
        bot.finish().await;
    });
}

/// Slack talks to a bot whose host may not run the steps; they are for the host `far`.
async fn with_far_host(database: &TestDatabase, actions: &str) -> Bot {
    let place = Place::new(actions);
    let text = std::fs::read_to_string(place.runbook()).unwrap();
    let text = text.replace("    default: true\n", "    default: true\n    host: far\n");
    std::fs::write(place.runbook(), text).unwrap();
    Bot::in_workspace(database, place, Options::default()).await
}

/// A bot's engine beside the bots, with a lease of a second.
async fn engine(bot: &Bot, owner: &str) -> Engine {
    let keys = None::<SecretString>;
    let store = Store::connect(&bot.database_url, bot.clock.clone(), keys).await.unwrap();
    let identity = Identity { owner: owner.to_owned(), host: "far".to_owned(), lease_ms: 1_000 };
    Engine::new(store, identity, Metrics::new().unwrap())
}

#[test]
fn no_write_of_a_driver_that_was_replaced_is_taken() {
    run(Database::Postgres, |database: TestDatabase| async move {
        let bot = with_far_host(&database, HANG).await;
        bot.say("U0BOB", "hang").await;
        let (first, second) = (engine(&bot, "far/1").await, engine(&bot, "far/2").await);
        let late = first.claim(1).await.unwrap().remove(0);
        bot.advance_ms(1_001);
        let newer = second.claim(1).await.unwrap().remove(0);
        let view = second.attend(&newer).await.unwrap().view;
        let facts = || Facts {
            attempt: Some((AttemptId::new("A-1"), bot.place.path().join("A-1"))),
            ..Facts::default()
        };
        let card = Card { summary: "x".to_owned(), tone: Tone::Neutral, parts: Vec::new() };

        let refused = [
            first.attend(&late).await.map(drop),
            first.apply(&late, &[Event::Starting], facts()).await.map(drop),
            first.show_output(&late, &view, (0, 1), &card).await,
            first.send_back(&late, Back::NotApproved(Vec::new())).await,
            first.gate_unasked(&late).await,
            first.amend(&late, 0, Evidence::of(End::TimedOut)).await,
        ];
        for (index, outcome) in refused.iter().enumerate() {
            assert!(matches!(outcome, Err(Error::Fenced(_))), "write {index}: {outcome:?}");
        }
        assert_eq!((late.run.clone(), late.fence + 1), (newer.run.clone(), newer.fence));
        second.apply(&newer, &[Event::Starting], facts()).await.unwrap();

        let kinds = bot.journal_kinds().await;
        assert_eq!(kinds.iter().filter(|kind| *kind == "step.starting").count(), 1, "{kinds:?}");
        first.store().close().await;
        second.store().close().await;
        bot.finish().await;
    });
}

/// A run that hangs on the host `far`, whose bot then dies without a goodbye.
async fn left_hanging(bot: &Bot) {
    let (_, far) = bot.another(&[("NEOSTOCK_HOST", "far")]).await;
    bot.say("U0BOB", "hang").await;
    bot.until_card("Hang — running").await;
    far.abort();
    let _ = far.await;
    bot.until_card("The bot on host far has not been heard of since").await;
    let told = |bot: &Bot| bot.thread().into_iter().find(|one| one.contains("not been heard of"));
    bot.until("the asker is told", |bot| told(bot).is_some()).await;
    let told = told(bot).unwrap();
    assert!(told.contains("<@U0BOB>"), "{told}");
    assert_eq!(bot.place.marks(), ["hang"], "it was run elsewhere");
}

#[test]
fn a_host_that_cannot_be_asked_is_said_so_and_its_evidence_counts_when_it_appears() {
    run(Database::Postgres, |database: TestDatabase| async move {
        let bot = with_far_host(&database, HANG).await;
        left_hanging(&bot).await;
        bot.advance_ms(9 * 60_000);
        bot.until_quiet().await;
        assert!(bot.card().contains("Hang — running"), "given up too early: {}", bot.card());
        bot.advance_ms(2 * 60_000);
        let card = bot.until_card("its host far cannot be asked").await;
        assert!(card.contains("Hang — unknown"), "{card}");
        let again = bot.say("U0BOB", &format!("settle {} again I think so", bot.run_id())).await;
        assert!(again.contains("the step may still run there"), "{again}");

        // It ends while nobody of that host's bot lives.
        std::fs::write(bot.place.repo().join("go"), "").unwrap();
        let (stop, far) = bot.another(&[("NEOSTOCK_HOST", "far")]).await;
        let card = bot.until_card("hang ✅ done").await;
        bot.until_quiet().await;

        assert!(!card.contains("far"), "the card still speaks of the host: {card}");
        let thread = bot.thread().join("\n");
        assert!(
            thread.contains("Host far is back. The evidence of step 1, “Hang”: it ended well"),
            "{thread}"
        );
        assert_eq!(bot.place.marks(), ["hang", "after"]);
        stop.cancel();
        far.await.unwrap().unwrap();
        bot.finish().await;
    });
}

#[test]
fn a_step_that_is_found_running_after_all_goes_on() {
    run(Database::Postgres, |database: TestDatabase| async move {
        let bot = with_far_host(&database, HANG).await;
        left_hanging(&bot).await;
        bot.advance_ms(11 * 60_000);
        bot.until_card("its host far cannot be asked").await;
        let (stop, far) = bot.another(&[("NEOSTOCK_HOST", "far")]).await;
        bot.until_card("Hang — running").await;
        std::fs::write(bot.place.repo().join("go"), "").unwrap();
        bot.until_card("hang ✅ done").await;
        bot.until_quiet().await;

        assert!(bot.thread().join("\n").contains("“Hang”: it runs still"), "{:?}", bot.thread());
        assert_eq!(bot.place.marks(), ["hang", "after"]);
        stop.cancel();
        far.await.unwrap().unwrap();
        bot.finish().await;
    });
}

#[test]
fn what_people_decided_of_a_host_that_was_gone_stands_and_the_evidence_is_told() {
    run(Database::Postgres, |database: TestDatabase| async move {
        let bot = with_far_host(&database, HANG).await;
        left_hanging(&bot).await;
        bot.advance_ms(11 * 60_000);
        bot.until_card("its host far cannot be asked").await;
        let run = bot.run_id();
        bot.say("U0BOB", &format!("settle {run} ok I looked at it")).await;
        bot.until_quiet().await;
        let (stop, far) = bot.another(&[("NEOSTOCK_HOST", "far")]).await;
        // The step still runs, so the next does not begin.
        bot.advance_ms(1_000);
        bot.until_quiet().await;
        assert_eq!(bot.place.marks(), ["hang"], "two steps of one run at once");
        std::fs::write(bot.place.repo().join("go"), "").unwrap();
        bot.until_card("hang ✅ done").await;
        bot.until_quiet().await;

        assert!(bot.thread().join("\n").contains("“Hang”: it ended well"), "{:?}", bot.thread());
        assert_eq!(bot.place.marks(), ["hang", "after"]);
        let kinds = bot.journal_kinds().await;
        assert!(kinds.contains(&"step.amended".to_owned()), "{kinds:?}");
        stop.cancel();
        far.await.unwrap().unwrap();
        bot.finish().await;
    });
}

/// A run whose step was lost on the host `far`, with a process of it alive; whose bot lives.
async fn lost_far_away(bot: &Bot) -> (String, i32) {
    bot.say("U0BOB", "hang").await;
    bot.until_card("Hang — running").await;
    let supervisors = settle::supervisors_in(&bot.place.path().join("data-2"));
    assert_eq!(supervisors.len(), 1, "{supervisors:?}");
    settle::kill(supervisors[0]);
    bot.until_card("a step's outcome is unknown").await;
    (bot.run_id(), settle::survivor(bot))
}

#[test]
fn a_decision_about_processes_is_carried_out_by_the_bot_of_their_host() {
    run(Database::Postgres, |database: TestDatabase| async move {
        let bot = with_far_host(&database, settle::HANG).await;
        let (stop, far) = bot.another(&[("NEOSTOCK_HOST", "far")]).await;
        let (run, survivor) = lost_far_away(&bot).await;
        let thread = |bot: &Bot, words: &str| bot.thread().iter().any(|one| one.contains(words));

        let handed = bot.say("U0BOB", &format!("settle {run} again I think so")).await;
        assert!(handed.contains("handed to the bot on host far"), "{handed}");
        bot.until("it is refused there", |bot| thread(bot, "was not done on host far")).await;
        assert!(thread(&bot, "Stop them before it is done again"), "{:?}", bot.thread());
        assert!(is_alive(survivor));
        bot.say("U0BOB", &format!("settle {run} stop it must not go on")).await;
        bot.until("it is stopped there", |bot| thread(bot, "what still ran was stopped")).await;
        assert!(!is_alive(survivor), "the survivor lives");
        std::fs::write(bot.place.repo().join("go"), "").unwrap();
        bot.say("U0BOB", &format!("settle {run} again nothing was changed")).await;
        bot.until_card("hang ✅ done").await;
        bot.until_quiet().await;

        assert!(thread(&bot, "agrees: the step is done again"), "{:?}", bot.thread());
        assert_eq!(bot.place.marks(), ["hang", "hang", "after"]);
        let kinds = bot.journal_kinds().await;
        let count = |kind: &str| kinds.iter().filter(|found| *found == kind).count();
        assert_eq!(count("settle.handed_on"), 3, "{kinds:?}");
        assert_eq!(count("settle.refused"), 1, "{kinds:?}");
        assert_eq!(count("step.survivors_stopped"), 1, "{kinds:?}");
        stop.cancel();
        far.await.unwrap().unwrap();

        // As on another machine: of the log only its end is here.
        let data = bot.place.path().join("data-2");
        std::fs::rename(&data, data.with_file_name("away")).unwrap();
        bot.say("U0BOB", &format!("logs {run} 1")).await;
        let files = bot.workspace.files();
        let file = files.last().expect("no file was shared");
        let bytes = file.bytes.as_deref().unwrap_or_default();
        assert!(String::from_utf8_lossy(bytes).contains("before"), "{file:?}");
        assert!(bot.thread().iter().any(|one| one.contains("the whole is on host far")));
        bot.finish().await;
    });
}

#[test]
fn a_decision_that_no_bot_of_the_host_answers_is_said_to_be_open() {
    run(Database::Postgres, |database: TestDatabase| async move {
        let bot = with_far_host(&database, settle::HANG).await;
        let (stop, far) = bot.another(&[("NEOSTOCK_HOST", "far")]).await;
        let (run, survivor) = lost_far_away(&bot).await;
        stop.cancel();
        far.await.unwrap().unwrap();

        bot.say("U0BOB", &format!("settle {run} stop it must not go on")).await;
        bot.until_quiet().await;
        assert!(!bot.thread().iter().any(|one| one.contains("did not answer")), "said too early");
        bot.advance_ms(61_000);
        bot.until("the asker is told", |bot| {
            bot.thread().iter().any(|one| one.contains("far did not answer within a minute"))
        })
        .await;
        // It comes back, and finds nothing that it should do now.
        let (stop, far) = bot.another(&[("NEOSTOCK_HOST", "far")]).await;
        bot.advance_ms(1_000);
        bot.until_quiet().await;

        assert!(is_alive(survivor), "a decision of the past was carried out");
        settle::kill(survivor);
        stop.cancel();
        far.await.unwrap().unwrap();
        bot.finish().await;
    });
}

#[test]
fn a_bot_that_is_gone_is_replaced_and_its_step_is_not_run_again() {
    run(Database::Postgres, |database: TestDatabase| async move {
        let mut bot = Bot::start(&database, HANG).await;
        bot.say("U0BOB", "hang").await;
        bot.until_card("Hang — running").await;

        bot.abort().await;
        let (stop, second) = bot.second().await;
        bot.until("the lease has ended", |bot| {
            bot.clock.now_ms() > crate::harness::bot::NIGHT_MS + 45_000
        })
        .await;
        std::fs::write(bot.place.repo().join("go"), "").unwrap();
        bot.until_card("hang ✅ done").await;

        assert_eq!(bot.place.marks(), ["hang", "after"]);
        let kinds = bot.journal_kinds().await;
        assert!(kinds.iter().any(|kind| kind == "run.resumed"), "{kinds:?}");
        bot.until_quiet().await;
        stop.cancel();
        second.await.unwrap().unwrap();
        bot.begin().await;
        bot.finish().await;
    });
}
