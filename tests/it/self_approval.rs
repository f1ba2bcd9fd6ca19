//! Nobody approves or reviews what they asked for themselves: tried through every way in, through somebody
//! they chose, and through a run in the place of another.

use crate::harness::database::both_engines;
use crate::matrix::{Origin, What, World};
use neostock_ops::core::decision::Verdict;
use neostock_ops::core::id::RunId;
use neostock_ops::core::press::Press;
use sqlx::Row;

const ANN: (&str, &str) = ("U0ANN", "ann");
const BOB: (&str, &str) = ("U0BOB", "bob");
const CAT: (&str, &str) = ("U0CAT", "cat");

/// A run as the database has it: its id, digest and state.
struct Run {
    id: RunId,
    digest: String,
    state: String,
}

/// The newest run that still goes on.
async fn newest(world: &mut World) -> Run {
    let row = sqlx::query(
        "select id, plan_digest, state from runs where id like 'R-%' and ended_ms = 0 \
         order by created_ms desc, id limit 1",
    )
    .fetch_one(&mut world.raw)
    .await
    .unwrap();
    Run { id: RunId::parse(row.get(0)).unwrap(), digest: row.get(1), state: row.get(2) }
}

async fn approvals(world: &mut World) -> i64 {
    sqlx::query_scalar("select count(*) from decisions where verdict = 'approved'")
        .fetch_one(&mut world.raw)
        .await
        .unwrap()
}

/// A run of this person's that waits for approval, and nothing else.
async fn asks(world: &mut World, who: (&str, &str), words: &str) -> Run {
    world.execute("delete from runs where id like 'R-%'; delete from decisions;".to_owned()).await;
    let said = world.act(Origin::Slash, who, &What::Words(words.to_owned())).await;
    let run = newest(world).await;
    assert_eq!(run.state, "waiting", "{said}");
    // The command line lives in real time, the bot in the test's.
    world.execute(format!("update runs set expires_ms = 0 where id = '{}'", run.id)).await;
    run
}

/// Does it, and sees that it did not count: this entry, no approval, and the run waits on.
async fn in_vain(
    world: &mut World,
    (origin, who, what): (Origin, (&str, &str), What),
    (run, kind): (&Run, &str),
) {
    let before = world.seq().await;
    let said = world.act(origin, who, &what).await;
    let told = world.told(before, who.0).await;
    assert_eq!(told, [(kind.to_owned(), origin.as_str().to_owned())], "{what:?}: {said}");
    assert_eq!(approvals(world).await, 0, "{what:?} counted: {said}");
    let now = newest(world).await;
    assert_eq!((&now.id, now.state.as_str()), (&run.id, run.state.as_str()), "{what:?}: {said}");
}

/// Everything with which somebody could approve a run.
fn approving(run: &Run) -> Vec<(Origin, What, &'static str)> {
    let typed = || What::Words(format!("approve {} fine", run.id));
    let press = |digest: &str| Press::Decide {
        verdict: Verdict::Approved,
        run: run.id.clone(),
        digest: digest.to_owned(),
    };
    vec![
        (Origin::Slash, typed(), "decision.refused"),
        (Origin::Cli, typed(), "decision.refused"),
        (Origin::Button, What::Press(press(&run.digest)), "decision.refused"),
        // No form approves: one that says so is none of the bot's.
        (Origin::Form, What::Form(press(&run.digest)), "request.refused"),
    ]
}

/// Everything with which somebody could review a run.
fn reviewing(run: &Run) -> Vec<(Origin, What, &'static str)> {
    let typed = || What::Words(format!("review {} fine", run.id));
    let press = Press::Review { run: run.id.clone(), digest: run.digest.clone() };
    vec![
        (Origin::Slash, typed(), "review.refused"),
        (Origin::Cli, typed(), "review.refused"),
        (Origin::Button, What::Press(press.clone()), "review.refused"),
        (Origin::Form, What::Form(press), "review.refused"),
    ]
}

both_engines! {
    async fn nobody_approves_their_own_whichever_way(database: TestDatabase) {
        let mut world = World::begin(&database).await;

        let run = asks(&mut world, BOB, "gated env=staging why").await;
        for (origin, what, kind) in approving(&run) {
            in_vain(&mut world, (origin, BOB, what), (&run, kind)).await;
        }

        // Asked for in the place of another's, of one's own, and once more.
        let other = asks(&mut world, ANN, "gated env=staging why").await;
        let words = format!("gated env=staging supersede={} mine", other.id);
        let said = world.act(Origin::Slash, BOB, &What::Words(words)).await;
        let mine = newest(&mut world).await;
        assert_ne!(mine.id, other.id, "{said}");
        world.execute("update runs set expires_ms = 0".to_owned()).await;
        for (origin, what, kind) in approving(&mine) {
            in_vain(&mut world, (origin, BOB, what), (&mine, kind)).await;
        }
        world.act(Origin::Slash, CAT, &What::Words(format!("reject {} no", mine.id))).await;
        let said = world.act(Origin::Slash, BOB, &What::Words(format!("retry {}", mine.id))).await;
        let again = newest(&mut world).await;
        assert_ne!(again.id, mine.id, "{said}");
        world.execute("update runs set expires_ms = 0".to_owned()).await;
        for (origin, what, kind) in approving(&again) {
            in_vain(&mut world, (origin, BOB, what), (&again, kind)).await;
        }

        // The gate is no wall: somebody else opens it.
        let said = world.act(Origin::Slash, CAT, &What::Words(format!("approve {}", again.id))).await;
        assert_eq!(approvals(&mut world).await, 1, "{said}");
        world.act(Origin::Slash, CAT, &What::Words(format!("tick {} 1", again.id))).await;
        let own = world.act(Origin::Slash, BOB, &What::Words(format!("tick {} 2", again.id))).await;
        assert!(own.contains("is yours"), "{own}");
        assert_eq!(newest(&mut world).await.state, "waiting");
        world.act(Origin::Slash, CAT, &What::Words(format!("tick {} 2", again.id))).await;
        assert_eq!(newest(&mut world).await.state, "queued");
        world.bot.end().await;
    }

    async fn nobody_approves_their_own_through_whom_they_chose(database: TestDatabase) {
        let mut world = World::begin(&database).await;
        let run = asks(&mut world, BOB, "gated env=staging why").await;

        for origin in [Origin::Slash, Origin::Cli] {
            let oneself = What::Words("delegate <@U0BOB> 8h me".to_owned());
            in_vain(&mut world, (origin, BOB, oneself), (&run, "request.refused")).await;
        }
        // Each at the time that its way in lives in.
        for origin in [Origin::Slash, Origin::Cli] {
            let chosen = What::Words("delegate <@U0ANN> 8h role=lead for me".to_owned());
            world.act(origin, BOB, &chosen).await;
            for (by, what, kind) in approving(&run) {
                if (origin == Origin::Cli) == (by == Origin::Cli) {
                    in_vain(&mut world, (by, ANN, what), (&run, kind)).await;
                }
            }
        }
        // Nor their own with what was delegated to them, nor on and on.
        let own = asks(&mut world, ANN, "gated env=staging why").await;
        for (origin, what, kind) in approving(&own) {
            in_vain(&mut world, (origin, ANN, what), (&own, kind)).await;
        }
        let on = What::Words("delegate <@U0CAT> 8h role=lead further".to_owned());
        in_vain(&mut world, (Origin::Slash, ANN, on), (&own, "request.denied")).await;

        let said = world.act(Origin::Slash, CAT, &What::Words(format!("approve {}", own.id))).await;
        assert_eq!(approvals(&mut world).await, 1, "{said}");
        world.bot.end().await;
    }

    async fn nobody_reviews_their_own_emergency_whichever_way(database: TestDatabase) {
        let mut world = World::begin(&database).await;
        world.act(Origin::Slash, BOB, &What::Words("gated env=staging why --emergency".to_owned())).await;
        let run = newest(&mut world).await;
        // It has ended; only the word for that is needed here, not the time.
        world.execute(format!("update runs set state = 'succeeded' where id = '{}'", run.id)).await;
        let run = Run { state: "succeeded".to_owned(), ..run };

        for (origin, what, kind) in reviewing(&run) {
            in_vain(&mut world, (origin, BOB, what), (&run, kind)).await;
        }
        for origin in [Origin::Slash, Origin::Cli] {
            world.act(origin, BOB, &What::Words("delegate <@U0ANN> 8h role=lead for me".to_owned())).await;
            for (by, what, kind) in reviewing(&run) {
                if (origin == Origin::Cli) == (by == Origin::Cli) {
                    in_vain(&mut world, (by, ANN, what), (&run, kind)).await;
                }
            }
        }

        world.act(Origin::Slash, CAT, &What::Words(format!("review {} right", run.id))).await;
        let reviewed: String = sqlx::query_scalar("select user_id from reviews where at_ms > 0")
            .fetch_one(&mut world.raw)
            .await
            .unwrap();
        assert_eq!(reviewed, "U0CAT");
        world.bot.end().await;
    }
}
