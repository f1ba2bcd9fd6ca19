//! A replica that was stopped for longer than its lease: another goes on, and what the first still
//! wants to write is refused.

use super::check::violations;
use super::history::{self, gather_with_outputs};
use super::people;
use super::plan::Shape;
use super::world::World;
use crate::harness::database::TestDatabase;
use crate::harness::looks::Looks;
use sqlx::{AnyConnection, Connection, Row};
use std::sync::Arc;
use std::time::Duration;

const TWO_BOTS: Shape = Shape {
    name: "two bots of one host on PostgreSQL",
    is_postgres: true,
    bots: 2,
    environments: 1,
    has_hosts: false,
    asks_max: 1,
};
/// How long the test waits for what must happen.
const PATIENCE: Duration = Duration::from_mins(1);

/// The owner and the state of the only run.
async fn owner(database: &TestDatabase) -> (String, String) {
    let mut connection = AnyConnection::connect(&database.url).await.unwrap();
    let row =
        sqlx::query("select owner, state from runs").fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    (row.get(0), row.get(1))
}

async fn until<F: Future<Output = bool>>(world: &World, what: &str, holds: impl Fn() -> F) {
    let looks = Looks::within(PATIENCE);
    while !holds().await {
        looks.again(|| format!("not in time: {what}\n{}", world.logs(30))).await;
    }
}

#[test]
fn a_stopped_replica_is_replaced_and_its_late_write_is_refused() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    sqlx::any::install_default_drivers();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let world = Arc::new(World::new(TWO_BOTS).await);
        world.begin().await;
        people::say(&world, 0, "U0ANN", "C0E00", "long").await;
        until(&world, "the step begins", || async { !world.evidence("e00").is_empty() }).await;
        let (first, _) = owner(&world.database).await;
        let bot = (0..2).find(|bot| first.ends_with(&world.instance(*bot))).unwrap();

        let stopped = world.stop_bot(bot).unwrap();
        until(&world, "the other takes over", || async { owner(&world.database).await.0 != first })
            .await;
        world.go_on(bot, stopped);
        until(&world, "the late write is refused", || async {
            world.log(bot).contains("another bot drives R-")
        })
        .await;
        until(&world, "the run ends", || async { owner(&world.database).await.1 == "succeeded" })
            .await;
        until(&world, "everything is told", || async {
            history::unrest(&world).await.unwrap().is_empty()
        })
        .await;

        let history = gather_with_outputs(&world).await.unwrap();
        let resumed = history.journal.iter().filter(|entry| entry.kind == "run.resumed").count();
        assert_eq!(violations(&history), Vec::<String>::new());
        assert_eq!((resumed, world.leftovers()), (1, Vec::new()));
        world.workspace.shutdown().await;
    });
}
