//! A minute in which Slack answers nothing well, while fifty runs finish.

use crate::harness::bot::{Bot, shown};
use crate::harness::database::both_engines;
use neostock_ops::sandbox::{ApiCall, Fault, Message};
use std::collections::{BTreeMap, BTreeSet};

/// Half of them in each channel.
const RUNS: usize = 50;
const CHANNELS: [&str; 2] = ["C0OPS", "C0DEV"];
const STORM_MS: i64 = 60_000;
/// How long a lost answer hangs, in real time, before the connection drops.
const HANG_MS: u64 = 20;

/// Waits for the storm, and says something.
const HOLD: &str = r#"
  hold:
    summary: hold
    role: operator
    lock: none
    steps:
      - {name: Hold, run: [sh, -c, "echo held >> $MARKS; while ! [ -e go ]; do sleep 0.2; done; echo said $NEOSTOCK_RUN"], timeout: 10m}
      - {name: After, run: [sh, -c, "echo after >> $MARKS"], timeout: 10m}
"#;

fn ways() -> Vec<Fault> {
    vec![
        Fault::RateLimited { retry_after_secs: 3 },
        Fault::ServerError(503),
        Fault::TimeoutAfterApplying(HANG_MS),
        Fault::DropBefore,
        Fault::RateLimited { retry_after_secs: 1 },
        Fault::TimeoutAfterApplying(HANG_MS),
        Fault::ServerError(500),
        Fault::NotJson,
    ]
}

/// The name of the message that a call writes.
fn key(call: &ApiCall) -> &str {
    call.args["metadata"]["event_payload"]["key"].as_str().unwrap_or_default()
}

fn is_write(call: &ApiCall) -> bool {
    call.method == "chat.postMessage" || call.method == "chat.update"
}

/// The bot's messages of a channel by their names.
fn by_key(messages: &[Message]) -> BTreeMap<String, Vec<&Message>> {
    let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for message in messages.iter().filter(|message| message.is_bot) {
        let payload = &message.metadata.as_ref().unwrap()["event_payload"];
        found.entry(payload["key"].as_str().unwrap().to_owned()).or_default().push(message);
    }
    found
}

both_engines! {
    async fn fifty_runs_that_finish_in_a_storm_are_told_whole_and_once(database: TestDatabase) {
        let bot = Bot::start(&database, HOLD).await;
        let mut runs = BTreeSet::new();
        for count in 0..RUNS {
            let environment = ["production", "staging"][count % 2];
            let answer = bot.say("U0BOB", &format!("hold env={environment}")).await;
            let at = answer.find("R-").unwrap();
            runs.insert(answer[at..at + 10].to_owned());
        }
        bot.until("all of them hold", |bot| bot.place.marks().len() == RUNS).await;

        bot.workspace.storm(STORM_MS, ways());
        let storm_end_ms = bot.clock.now_ms() + STORM_MS;
        std::fs::write(bot.place.repo().join("go"), "").unwrap();
        let has_ended = |bot: &Bot| bot.place.marks().len() == 2 * RUNS;
        bot.until("all of them are done", has_ended).await;
        let store = bot.inspect().await;
        bot.until("the storm is over", |bot| bot.clock.now_ms() >= storm_end_ms).await;
        bot.until_quiet().await;

        for channel in CHANNELS {
            let messages = bot.workspace.messages(channel);
            let told = by_key(&messages);
            let doubled: Vec<_> = told.iter().filter(|(_, all)| all.len() > 1).collect();
            assert!(doubled.is_empty(), "{doubled:?}");
            let calls: Vec<_> = bot.workspace.calls().into_iter().filter(|call| {
                is_write(call) && call.args["channel"] == channel
            }).collect();
            assert_waits_are_kept(&calls);
            assert_urgent_first(&calls, storm_end_ms);
        }
        let messages: Vec<_> = CHANNELS.iter().flat_map(|name| bot.workspace.messages(name)).collect();
        let told = by_key(&messages);
        for run in &runs {
            let thread: Vec<_> = told.iter().filter(|(key, _)| key.starts_with(run.as_str())).collect();
            let card = told[&format!("{run}/card")][0];
            let end = told[&format!("{run}/end")][0];
            assert!(shown(card).contains("hold ✅ done"), "{}", shown(card));
            assert!(shown(end).contains("hold ✅ done"), "{}", shown(end));
            let said = thread.iter().filter(|(_, all)| shown(all[0]).contains(&format!("said {run}")));
            assert_eq!(said.count(), 1, "{thread:?}");
            for (key, all) in &thread {
                assert!(card.ts <= all[0].ts && all[0].ts <= end.ts || key.ends_with("/card"), "{key} is out of order");
            }
        }

        // A card is written at every event, and sent in its latest state only.
        let events = bot_events(&store).await;
        let edits = bot.workspace.calls_of("chat.update").iter().filter(|call| call.answer["ok"] == true).count();
        assert!(events >= 7 * RUNS, "{events} events");
        assert!(edits < 3 * RUNS, "{edits} edits for {events} events");
        println!("{events} events, {edits} edits, {} calls in all", bot.workspace.calls().len());
        store.close().await;
        bot.finish().await;
    }
}

/// After a 429 nothing is sent to its channel for as long as Slack says.
fn assert_waits_are_kept(calls: &[ApiCall]) {
    for pair in calls.windows(2) {
        if pair[0].status == 429 {
            let waited_ms = pair[1].at_ms - pair[0].at_ms;
            assert!(waited_ms >= 1_000, "the next call came {waited_ms} ms after a 429");
        }
    }
}

/// When it is calm again and every run has ended, cards go before the words in their threads.
fn assert_urgent_first(calls: &[ApiCall], storm_end_ms: i64) {
    // One message may have been under way.
    let calm = calls.iter().filter(|call| call.at_ms > storm_end_ms).skip(1);
    let is_card: Vec<bool> = calm.map(|call| key(call).ends_with("/card")).collect();
    let cards = is_card.iter().filter(|is_card| **is_card).count();
    // One more may have been announced before the storm was over: that one is looked for first.
    let others = is_card.iter().take(cards).filter(|is_card| !**is_card).count();
    assert!(others <= 1, "{is_card:?}");
}

/// Entries of the journal about steps and runs.
async fn bot_events(store: &neostock_ops::store::Store) -> usize {
    use neostock_ops::store::journal::{Filter, newest_of};

    let mut count = 0;
    for kind_prefix in ["run.", "step."] {
        let filter = Filter { kind_prefix: kind_prefix.to_owned(), ..Filter::default() };
        let mut reader = store.read().await.unwrap();
        count += newest_of(&mut reader, &filter, 10_000).await.unwrap().len();
    }
    count
}
