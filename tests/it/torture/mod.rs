//! Torture: real bots, real steps, and blows at random moments. After each blow what must hold at any
//! moment is looked at, and after each round, at rest, everything that knows something of the runs is
//! held against each other. `make torture` runs it.

mod check;
mod fence;
mod history;
mod people;
mod plan;
mod world;

use history::History;
use neostock_ops::audit;
use neostock_ops::clock::Clock;
use neostock_ops::core::text::Lang;
use neostock_ops::store::Store;
use plan::{Blow, Chance, Deed, SHAPES, Shape};
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use world::World;

/// Repeats the schedule of blows and requests of an earlier torture.
const SEED_VARIABLE: &str = "NEOSTOCK_TORTURE_SEED";
/// How long it lasts.
const MINUTES_VARIABLE: &str = "NEOSTOCK_TORTURE_MINUTES";
/// Only the shapes whose number is in here: `0,2`.
const SHAPES_VARIABLE: &str = "NEOSTOCK_TORTURE_SHAPES";
/// By itself.
const MINUTES_DEFAULT: f64 = 5.0;
/// Rounds in one world; then everything is made anew, so that hours do not fill a disk.
const ROUNDS_MAX: u64 = 40;
/// How long everything may take to come to rest after the last blow of a round.
const REST: Duration = Duration::from_secs(90);
/// How often somebody who gets no answer asks again, and how long they wait in between.
const ASKS_MAX: usize = 5;
const ASK_PAUSE: Duration = Duration::from_millis(700);
/// How long the database may be away before a look at what goes on is given up.
const LOOK: Duration = Duration::from_secs(10);
/// Lines of each bot's log in the report of a violation.
const LOG_LINES: usize = 60;

/// What was survived.
#[derive(Debug, Default)]
struct Score {
    blows: [usize; Blow::KINDS.len()],
    missed: usize,
    runs: BTreeMap<String, usize>,
    lost_steps: usize,
    resumed: usize,
    fenced: usize,
    rounds: u64,
    /// Looks while everything went on, one after a blow.
    looks: usize,
}

#[test]
#[ignore = "takes minutes and a database cluster of its own: `make torture`"]
fn everything_survives_what_kills_a_part_of_it() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    sqlx::any::install_default_drivers();
    let seed = number(SEED_VARIABLE).unwrap_or_else(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        since.as_micros() as u64 % 1_000_000_007
    });
    let minutes = std::env::var(MINUTES_VARIABLE).ok().map_or(MINUTES_DEFAULT, |text| {
        text.parse().unwrap_or_else(|_| panic!("{MINUTES_VARIABLE} is no number: {text:?}"))
    });
    println!(
        "torture: {SEED_VARIABLE}={seed} repeats this schedule of blows and requests (not the races \
         between processes); {minutes} minutes"
    );
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let score = runtime.block_on(torture(seed, Duration::from_secs_f64(minutes * 60.0)));
    println!("{}", score.line());
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is no whole number: {text:?}")))
}

/// The shapes that are asked for.
fn shapes() -> Vec<Shape> {
    let Ok(text) = std::env::var(SHAPES_VARIABLE) else { return SHAPES.to_vec() };
    text.split(',').map(|number| SHAPES[number.trim().parse::<usize>().unwrap()]).collect()
}

async fn torture(seed: u64, time: Duration) -> Score {
    let shapes = shapes();
    let mut score = Score::default();
    let end = Instant::now() + time;
    for season in 0.. {
        let shape = shapes[season % shapes.len()];
        let left = end.saturating_duration_since(Instant::now());
        // The first seasons share the time, so that each shape has its turn.
        let rest = shapes.len().saturating_sub(season).max(1);
        let season_end = Instant::now() + left / rest as u32;
        let seed = seed.wrapping_add(season as u64);
        run_season(shape, seed, season_end, &mut score).await;
        if Instant::now() >= end {
            break;
        }
    }
    score
}

/// One world, round after round.
async fn run_season(shape: Shape, seed: u64, end: Instant, score: &mut Score) {
    let mut chance = Chance::new(seed);
    let world = Arc::new(World::new(shape).await);
    println!("season of {}", shape.name);
    world.begin().await;
    let tending = tokio::spawn({
        let world = Arc::clone(&world);
        async move {
            loop {
                world.tend();
                tokio::time::sleep(Duration::from_millis(25)).await;
            }
        }
    });
    let operating = tokio::spawn({
        let world = Arc::clone(&world);
        async move { people::operate(&world, Chance::new(seed ^ 1)).await }
    });
    for round in 1..=ROUNDS_MAX {
        let began = Instant::now();
        let schedule = plan::round(shape, &mut chance);
        let (blows, mut found) = play(&world, schedule, score).await;
        let hit = began.elapsed();
        found.extend(match rest(&world).await {
            Ok(history) => check(&world, &history).await,
            Err(unrest) => unrest,
        });
        score.rounds += 1;
        println!(
            "  round {round}: {} in {:.1} s, at rest after {:.1} s",
            blows.join(", "),
            hit.as_secs_f64(),
            began.elapsed().as_secs_f64()
        );
        if !found.is_empty() {
            report(&world, seed, round, &blows, &found);
        }
        if Instant::now() >= end {
            break;
        }
    }
    operating.abort();
    tending.abort();
    let _ = tokio::join!(operating, tending);
    world.end_bots();
    finish(&world, seed, score).await;
}

/// Everything of one round at its moment; what was hit, and what did not hold after a blow.
async fn play(
    world: &Arc<World>,
    schedule: Vec<(u64, Deed)>,
    score: &mut Score,
) -> (Vec<String>, Vec<String>) {
    let began = Instant::now();
    let mut under_way = tokio::task::JoinSet::new();
    let mut looks = tokio::task::JoinSet::new();
    let mut blows = Vec::new();
    for (at_ms, deed) in schedule {
        let at = Duration::from_millis(at_ms);
        tokio::time::sleep(at.saturating_sub(began.elapsed())).await;
        match deed {
            Deed::Ask { user, action, environment, bot } => {
                under_way.spawn(ask(Arc::clone(world), user, action, environment, bot));
            }
            Deed::Cancel { pick, bot } => {
                let open = people::open_runs(world);
                if let Some((run, channel)) = open.get(pick as usize % open.len().max(1)).cloned() {
                    under_way.spawn(cancel(Arc::clone(world), bot, run, channel));
                }
            }
            Deed::Status { bot } => {
                let world = Arc::clone(world);
                under_way.spawn(async move {
                    people::say(&world, bot, "U0ANN", "C0OPS", "status").await;
                });
            }
            Deed::Blow(blow) => {
                if let Some(what) = strike(world, blow, &mut under_way).await {
                    score.blows[blow.kind()] += 1;
                    let world = Arc::clone(world);
                    looks.spawn({
                        let what = what.clone();
                        async move { look(&world, &what).await }
                    });
                    blows.push(what);
                } else {
                    score.missed += 1;
                }
            }
        }
    }
    while let Some(done) = under_way.join_next().await {
        done.unwrap();
    }
    let mut found = Vec::new();
    for looked in looks.join_all().await {
        score.looks += usize::from(looked.is_some());
        found.extend(looked.into_iter().flatten());
    }
    (blows, found)
}

/// What does not hold just after a blow; `None`: the database was away too long to tell.
async fn look(world: &World, blow: &str) -> Option<Vec<String>> {
    let deadline = Instant::now() + LOOK;
    let history = loop {
        match history::gather(world).await {
            Ok(history) => break history,
            Err(_) if Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(_) => return None,
        }
    };
    let found = check::violations_under_way(&history);
    Some(found.into_iter().map(|what| format!("after “{blow}”: {what}")).collect())
}

async fn ask(
    world: Arc<World>,
    user: &'static str,
    action: &'static str,
    environment: usize,
    bot: usize,
) {
    let text = format!("{action} env={}", world::environment(environment));
    // Whoever is not heard tries again.
    for _ in 0..ASKS_MAX {
        let answer = people::say(&world, bot, user, &world::channel(environment), &text).await;
        if let Some(run) = people::run_in(&answer) {
            return world.note_accepted(&run);
        }
        tokio::time::sleep(ASK_PAUSE).await;
    }
}

async fn cancel(world: Arc<World>, bot: usize, run: String, channel: String) {
    people::say(&world, bot, "U0ANN", &channel, &format!("cancel {run} enough")).await;
}

/// Strikes; what was hit, or nothing when there was nothing to hit.
async fn strike(
    world: &Arc<World>,
    blow: Blow,
    under_way: &mut tokio::task::JoinSet<()>,
) -> Option<String> {
    match blow {
        Blow::Bot { bot, down_ms } => {
            world.kill_bot(bot, down_ms);
            Some(format!("bot {bot} killed"))
        }
        Blow::Supervisor { pick } => {
            let mut all = world.supervisors();
            if all.is_empty() {
                return None;
            }
            let victim = all.swap_remove(pick as usize % all.len());
            let what = format!("supervisor of {} killed", victim.1);
            world.kill_supervisor(victim);
            Some(what)
        }
        Blow::Both { bot, down_ms } => {
            world.kill_bot(bot, down_ms);
            let all = world.supervisors();
            let what = format!("bot {bot} and {} supervisors killed", all.len());
            for one in all {
                world.kill_supervisor(one);
            }
            Some(what)
        }
        Blow::Database { down_ms } => {
            if world.is_database_down() {
                return None;
            }
            world.crash_database().await;
            let world = Arc::clone(world);
            under_way.spawn(async move {
                tokio::time::sleep(Duration::from_millis(down_ms)).await;
                world.resume_database().await;
            });
            Some("database killed".to_owned())
        }
        Blow::Stop { bot, stopped_ms } => {
            let stopped = world.stop_bot(bot)?;
            let world = Arc::clone(world);
            under_way.spawn(async move {
                tokio::time::sleep(Duration::from_millis(stopped_ms)).await;
                world.go_on(bot, stopped);
            });
            Some(format!("bot {bot} stopped for {stopped_ms} ms"))
        }
        Blow::Slack { for_ms } => {
            world.storm(for_ms);
            Some(format!("a storm in Slack for {for_ms} ms"))
        }
        Blow::Place { bot, place, passage } => {
            world.fault_bot(bot, format!("{place}@{passage}"));
            Some(format!("bot {bot} kills itself at {place}@{passage}"))
        }
    }
}

/// Waits until every run has ended and every message is sent, and gathers what is known then; what has
/// not, when that takes too long.
async fn rest(world: &World) -> Result<History, Vec<String>> {
    let deadline = Instant::now() + REST;
    let mut gathered = None;
    loop {
        let unrest = match history::unrest(world).await {
            Ok(unrest) => unrest,
            Err(error) => vec![format!("the database cannot be read: {error}")],
        };
        // Somebody's late request may have arrived meanwhile: only between two looks is it one moment.
        match gathered.take() {
            Some(history) if unrest.is_empty() => return Ok(history),
            _ if unrest.is_empty() => {
                gathered = history::gather_with_outputs(world).await.ok();
                continue;
            }
            _ => {}
        }
        if Instant::now() > deadline {
            return Err(unrest.into_iter().map(|what| format!("no rest: {what}")).collect());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Holds everything against each other.
async fn check(world: &World, history: &History) -> Vec<String> {
    let mut found = check::violations(history);
    found.extend(world.leftovers());
    found.extend(world.workspace.faults());
    let keys = None::<SecretString>;
    let reader = Store::inspect(&world.database.url, Clock::System, keys).await.unwrap();
    let (report, is_sound) = audit::verify_report(&reader, None, Lang::En).await.unwrap();
    reader.close().await;
    if !is_sound {
        found.push(report);
    }
    found
}

/// The season's figures, and that nothing is left.
async fn finish(world: &World, seed: u64, score: &mut Score) {
    let history = history::gather(world).await.unwrap();
    let count = |kind: &str| history.journal.iter().filter(|entry| entry.kind == kind).count();
    for run in &history.runs {
        *score.runs.entry(run.state.clone()).or_default() += 1;
    }
    score.lost_steps += count("step.lost");
    score.resumed += count("run.resumed");
    let logs: Vec<String> = (0..world.shape.bots).map(|bot| world.log(bot)).collect();
    score.fenced += logs.iter().map(|log| log.matches("another bot drives").count()).sum::<usize>();
    let left = world.leftovers();
    if !left.is_empty() {
        report(world, seed, 0, &[], &left);
    }
    world.workspace.shutdown().await;
}

/// Says everything that is needed to look into it, and ends the torture.
fn report(world: &World, seed: u64, round: u64, blows: &[String], found: &[String]) -> ! {
    println!("{}", world.logs(LOG_LINES));
    println!(
        "--- {SEED_VARIABLE}={seed} {SHAPES_VARIABLE}=… ({}), round {round}",
        world.shape.name
    );
    println!("blows of the round: {blows:#?}");
    println!("violations:");
    for what in found {
        println!("  {what}");
    }
    world.keep();
    panic!("{} violations", found.len());
}

impl Score {
    /// Everything in one line.
    fn line(&self) -> String {
        let total: usize = self.blows.iter().sum();
        let kinds = Blow::KINDS.iter().zip(self.blows);
        let kinds: Vec<String> = kinds.map(|(kind, count)| format!("{count} {kind}")).collect();
        let states = self.runs.iter().map(|(state, count)| format!("{count} {state}"));
        format!(
            "torture: {total} blows survived ({}), {} looked at just after, in {} rounds with {} runs \
             ({}), {} steps lost, {} runs resumed, {} late drivers refused: 0 violations",
            kinds.join(", "),
            self.looks,
            self.rounds,
            self.runs.values().sum::<usize>(),
            states.collect::<Vec<_>>().join(", "),
            self.lost_steps,
            self.resumed,
            self.fenced
        )
    }
}
