//! The journal's head, posted once a day however many bots there are.

use crate::harness::bot::{Bot, shown};
use crate::harness::database::both_engines;
use neostock_ops::core::journal::Anchor;
use neostock_ops::store::journal;

const ACTIONS: &str = r#"
  greet:
    summary: greet
    role: operator
    steps:
      - {name: Greet, run: ["true"], timeout: 20s}
"#;
const HOUR_MS: u64 = 3_600_000;

/// The heads that stand in the channel.
fn posted(bot: &Bot) -> Vec<String> {
    let messages = bot.workspace.messages("C0OPS");
    let told = messages.iter().map(shown);
    told.filter(|text| text.contains("The journal's head of today")).collect()
}

fn anchor(text: &str) -> Anchor {
    let command = text.split("audit verify --anchor ").nth(1).expect("what to type");
    command.split('`').next().unwrap().split_whitespace().next().unwrap().parse().unwrap()
}

both_engines! {
    async fn two_bots_post_one_head_a_day_which_verifies(database: TestDatabase) {
        let bot = Bot::start(&database, ACTIONS).await;
        let (stop, second) = bot.second().await;
        bot.say("U0BOB", "status").await;
        assert_eq!(posted(&bot), [""; 0], "a journal of today has nothing to say yet");

        // The bots were started at three in the night.
        bot.advance_ms(22 * HOUR_MS);
        bot.until("the first", |bot| !posted(bot).is_empty()).await;
        bot.advance_ms(24 * HOUR_MS);
        bot.until("the second", |bot| posted(bot).len() >= 2).await;
        bot.advance_ms(24 * HOUR_MS);
        bot.until("the third", |bot| posted(bot).len() >= 3).await;
        bot.until_quiet().await;
        stop.cancel();
        second.await.unwrap().unwrap();

        let all = posted(&bot);
        assert_eq!(all.len(), 3, "{all:?}");
        let store = bot.inspect().await;
        let anchors: Vec<Anchor> = all.iter().map(|text| anchor(text)).collect();
        for noted in &anchors {
            let report = journal::verify(&store, Some(noted.clone())).await.unwrap();
            assert!(report.is_sound(), "{report:?}");
        }
        let other = Anchor { hash: "0".repeat(64), ..anchors[1].clone() };
        assert!(!journal::verify(&store, Some(other)).await.unwrap().is_sound());
        store.close().await;
        let heads: Vec<_> = bot
            .journal()
            .await
            .into_iter()
            .filter(|(kind, ..)| kind == "journal.head_posted")
            .map(|(.., detail)| detail["hash"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(heads, anchors.into_iter().map(|noted| noted.hash).collect::<Vec<_>>());
        bot.finish().await;
    }

    async fn a_bot_that_was_away_at_the_hour_posts_when_it_comes_back(database: TestDatabase) {
        let mut bot = Bot::start(&database, ACTIONS).await;
        bot.end().await;
        bot.advance_ms(30 * HOUR_MS);

        bot.begin().await;
        bot.until("it is posted", |bot| posted(bot).len() == 1).await;
        bot.end().await;
        bot.begin().await;
        bot.say("U0BOB", "status").await;
        bot.until_quiet().await;

        assert_eq!(posted(&bot).len(), 1);
        bot.finish().await;
    }
}
