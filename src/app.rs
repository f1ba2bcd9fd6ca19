//! The composition root: connects the rooms, starts the loops, stops them gracefully.
//!
//! Stopping claims nothing new and lets running steps go on under their supervisors; the next start
//! adopts them.

use crate::clock::Clock;
use crate::command::settle_elsewhere;
use crate::config::protection::Declared;
use crate::config::settings::Settings;
use crate::core::alert::Way;
use crate::engine::{Engine, Error, Identity, Swept, Terms};
use crate::exec::local::Local;
use crate::exec::past::Past;
use crate::http::{Health, Parts, Web, Webhooks, router};
use crate::metrics::Metrics;
use crate::notify::pagerduty::Pager;
use crate::pipeline::{Pipeline, Workspace};
use crate::slack::client::{CallError, Client, Timeouts};
use crate::slack::directory::Directory;
use crate::slack::verify::SigningSecret;
use crate::store::Store;
use crate::vitals::Part;
use crate::worker::daily_head::post_daily;
use crate::worker::driver::Means;
use crate::worker::evaluate::evaluate;
use crate::worker::gates::Gates;
use crate::worker::hand_over::tell_hand_overs;
use crate::worker::health::{self, Watch};
use crate::worker::heartbeat::beat;
use crate::worker::patience::drive_patiently;
use crate::worker::reload::{Reader, Reload, Watched, read_alerting, reload_when_asked};
use crate::worker::reminders::keep_reminding;
use crate::worker::retention::{Limits, sweep};
use crate::worker::self_watch::watch_itself;
use crate::worker::sender::{Courier, send_one};
use anyhow::{Context as _, bail};
use rustix::fs::{FlockOperation, flock};
use sd_notify::NotifyState;
use secrecy::ExposeSecret;
use std::fs::File;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

/// Runs that one bot drives at once.
const RUNS_MAX: usize = 64;
/// Messages under way at once, each in another channel.
const SENDERS: usize = 4;
/// The same of each other way: one that hangs leaves another.
const SENDERS_ELSEWHERE: usize = 2;
/// How often work that nobody rang for is looked for: another bot's, or a lease that ended.
const LOOK_MS: u64 = 1_000;
/// How often it is looked for what was made live.
const CHANGES_MS: u64 = 5_000;
/// Between two looks whether inhibited alerts still are to be.
const WEIGH_MS: u64 = 60_000;
/// How often old deliveries are forgotten.
const HOUSEKEEPING_MS: u64 = 600_000;
/// Between two tries to learn who we are in Slack.
const GREETING_RETRY_MS: u64 = 5_000;
/// How long the first try may take before the bot goes on with what Slack said to an earlier process.
const GREETING_TIME_MAX: Duration = Duration::from_secs(2);
/// How long the loops may take to stop.
const STOP_TIME_MAX: Duration = Duration::from_secs(7);
/// How long closing the database may take after that; both together stay below ten seconds.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(2);

/// What a bot is made from.
pub struct Start {
    /// The settings.
    pub settings: Settings,
    /// Where it listens, bound already.
    pub listener: TcpListener,
    /// Its time.
    pub clock: Clock,
    /// This program, which supervises steps.
    pub program: PathBuf,
    /// Ends it gracefully when cancelled.
    pub stop: CancellationToken,
    /// Has the runbook read anew.
    pub reload: Reload,
}

/// Runs the bot until it is told to stop.
///
/// # Errors
/// What keeps it from starting, in words for whoever starts it; nothing is left half done.
pub async fn serve(start: Start) -> anyhow::Result<()> {
    let Start { settings, listener, clock, program, stop, reload } = start;
    let slack = settings.slack().map_err(|faults| anyhow::anyhow!(listing(&faults)))?;
    if slack.app_token.is_some() {
        bail!(
            "SLACK_APP_TOKEN asks for Socket Mode, and this version takes requests over HTTP only: \
             unset it, and give Slack the address of POST /slack/events"
        );
    }
    let runbook = crate::config::runbook::load(&settings.runbook)
        .map_err(|faults| anyhow::anyhow!(listing(&faults)))?;
    let runbook = watch::Sender::new(Arc::new(runbook));
    let alerting = read_alerting(settings.alerting.as_deref())
        .map_err(|faults| anyhow::anyhow!(listing(&faults)))?;
    let alerting = watch::Sender::new(Arc::new(alerting));
    let data = DataDir::take(&settings.data_dir)?;
    let metrics = Metrics::new()?;
    let url = settings.database_url.expose_secret();
    let store = Store::connect(url, clock.clone(), settings.journal_keys())
        .await
        .context("open the database")?;
    let identity = Identity {
        owner: format!("{}/{}", settings.host, data.instance),
        host: settings.host.clone(),
        lease_ms: settings.lease_ms.cast_signed(),
    };
    let engine = Engine::new(store, identity, metrics.clone())
        .with_runs_waiting_max(settings.runs_waiting_max)
        .with_terms(Terms { runbook: runbook.subscribe(), alerting: alerting.subscribe() });
    let timeouts = Timeouts::default().at_most(engine.call_time_max());
    let client = Client::new(&slack.api_url, &slack.bot_token, timeouts)?;
    let secret =
        SigningSecret::new(&slack.signing_secret).context("the signing secret is empty")?;
    let workspace = Arc::new(OnceLock::new());
    let local = Local::new(program.clone());
    let means = Means {
        local: local.clone(),
        attempts: data.attempts(),
        past: Arc::new(Past::read(&data.attempts())),
        program,
        database_url: settings.database_url.clone(),
        gates: Gates { workspace: Arc::clone(&workspace), runbook: runbook.subscribe() },
    };
    let digest = runbook.borrow().digest.clone();
    metrics.runbook(&digest);
    let taken = engine.begin(env!("CARGO_PKG_VERSION"), digest).await?;
    if taken > 0 {
        info!("took back {taken} runs of this bot's earlier process");
    }
    let pipeline = Arc::new(Pipeline {
        engine: engine.clone(),
        runbook: runbook.subscribe(),
        client: client.clone(),
        local: local.clone(),
        workspace: Arc::clone(&workspace),
        response_hosts: settings.response_hosts.clone(),
        declared: Declared::of(&settings),
    });
    let health = Health { engine: engine.clone(), workspace: Arc::clone(&workspace) };
    let webhooks = Webhooks::new(settings.webhook_token.clone());
    let web = Web::new(Parts { pipeline, secret, clock, metrics, health, webhooks });
    let address = listener.local_addr()?;

    let mut loops: JoinSet<anyhow::Result<()>> = JoinSet::new();
    loops.spawn(keep_reminding(engine.clone(), stop.clone()));
    loops.spawn(tell_hand_overs(engine.clone(), Arc::clone(&workspace), stop.clone()));
    loops.spawn(greet(engine.clone(), client.clone(), workspace, stop.clone()));
    loops.spawn(drive_runs(engine.clone(), means, stop.clone()));
    for _ in 0..SENDERS {
        let courier = Courier::Slack(client.clone());
        loops.spawn(send_messages(engine.clone(), courier, stop.clone()));
    }
    let pager = Pager::new(engine.send_time_max(Way::Pagerduty))?;
    for _ in 0..SENDERS_ELSEWHERE {
        for courier in [Courier::Email, Courier::Pagerduty(pager.clone())] {
            loops.spawn(send_messages(engine.clone(), courier, stop.clone()));
        }
    }
    loops.spawn(tell_of_changes(engine.clone(), stop.clone()));
    loops.spawn(beat(engine.clone(), stop.clone()));
    loops.spawn(keep_waiting(engine.clone(), stop.clone()));
    loops.spawn(keep_queue(engine.clone(), stop.clone()));
    loops.spawn(keep_alerts(engine.clone(), stop.clone()));
    loops.spawn(keep_wishes(engine.clone(), local, stop.clone()));
    loops.spawn(evaluate(engine.clone(), stop.clone()));
    let kept =
        Limits { kept_ms: settings.evidence_kept_ms, bytes_max: settings.evidence_bytes_max };
    loops.spawn(keep_house(engine.clone(), data.attempts(), kept, stop.clone()));
    loops.spawn(post_daily(engine.clone(), runbook.subscribe(), stop.clone()));
    loops.spawn(watch_itself(engine.clone(), stop.clone()));
    let watching = Watch {
        engine: engine.clone(),
        client: client.clone(),
        runbook: runbook.subscribe(),
        data_dir: data.path.clone(),
    };
    loops.spawn(health::watch(watching, stop.clone()));
    let alerting = Watched { path: settings.alerting, in_force: alerting };
    let reader =
        Reader { engine: engine.clone(), path: settings.runbook, runbook, alerting, reload };
    loops.spawn(reload_when_asked(reader, stop.clone()));
    let until = stop.clone().cancelled_owned();
    loops.spawn(async move {
        let serving = axum::serve(listener, router(web)).with_graceful_shutdown(until);
        serving.await.context("serve HTTP")
    });
    info!("listening on http://{address}");
    tell_manager(&[NotifyState::Ready]);

    let ended = tokio::select! {
        () = stop.cancelled() => Ok(()),
        first = loops.join_next() => match first {
            Some(Ok(result)) => result,
            Some(Err(panic)) => Err(anyhow::anyhow!("a loop of the bot broke: {panic}")),
            None => Ok(()),
        },
    };
    stop.cancel();
    tell_manager(&[NotifyState::Stopping]);
    let rest = async { while loops.join_next().await.is_some() {} };
    if tokio::time::timeout(STOP_TIME_MAX, rest).await.is_err() {
        warn!("stopped without waiting longer for what was under way; the next start goes on");
        loops.abort_all();
    }
    if tokio::time::timeout(CLOSE_TIME_MAX, engine.store().close()).await.is_err() {
        warn!("the database did not say goodbye; nothing is lost by that");
    }
    drop(data);
    ended
}

/// Tells systemd, where it asked to be told (`Type=notify`).
fn tell_manager(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!("tell the service manager: {error}");
    }
}

/// Learns who we are in Slack. A token that Slack refuses ends the bot; a Slack that cannot be
/// reached does not: what runs goes on.
async fn greet(
    engine: Engine,
    client: Client,
    workspace: Arc<OnceLock<Workspace>>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut patience = GREETING_TIME_MAX;
    loop {
        // Who waits for a Slack that hangs is helped sooner by what it said before.
        let asked = tokio::time::timeout(patience, client.auth_test()).await;
        patience = Duration::MAX;
        match asked.unwrap_or(Err(CallError::Transient)) {
            Ok(identity) => {
                info!("in Slack as {} of team {}", identity.user_id, identity.team_id);
                let found = workspace_of(&engine, &client, identity.team_id, identity.url);
                if let Err(failure) = engine.keep_workspace(&found.team_id, &found.url).await {
                    warn!("keep which workspace this is: {failure:#}");
                }
                let team_id = found.team_id.clone();
                let standing = workspace.get_or_init(|| found);
                if standing.team_id != team_id {
                    bail!(
                        "the bot token belongs to the team {team_id} now, and the database knows {}: \
                         starting anew",
                        standing.team_id
                    );
                }
                standing.confirm();
                break;
            }
            Err(CallError::Refused(code)) => bail!(
                "Slack refuses the bot token ({code}): copy the Bot User OAuth Token from the app's \
                 “OAuth & Permissions” page into SLACK_BOT_TOKEN"
            ),
            Err(error) => {
                warn!("Slack cannot be reached: {error}; trying again");
                if workspace.get().is_none() {
                    remember_workspace(&engine, &client, &workspace).await;
                }
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    () = engine.clock().sleep_ms(GREETING_RETRY_MS) => {}
                }
            }
        }
    }
    stop.cancelled().await;
    Ok(())
}

/// A workspace and whom to ask about its people.
fn workspace_of(engine: &Engine, client: &Client, team_id: String, url: String) -> Workspace {
    let (client, clock) = (client.clone(), engine.clock().clone());
    let directory = Directory::new(client, clock, team_id.clone());
    Workspace::new(team_id, url, directory)
}

/// Goes on with the workspace that Slack named to an earlier process.
async fn remember_workspace(engine: &Engine, client: &Client, workspace: &OnceLock<Workspace>) {
    match engine.known_workspace().await {
        Ok(Some((team_id, url))) => {
            info!("going on with the team {team_id}, which Slack named before");
            // Who greets is the only writer.
            let _ = workspace.set(workspace_of(engine, client, team_id, url));
        }
        Ok(None) => {}
        Err(failure) => warn!("look up which workspace this is: {failure:#}"),
    }
}

/// Claims runs and drives each in a task of its own.
async fn drive_runs(engine: Engine, means: Means, stop: CancellationToken) -> anyhow::Result<()> {
    let mut driving: JoinSet<()> = JoinSet::new();
    loop {
        while driving.try_join_next().is_some() {}
        let mut is_looking =
            driving.len() < RUNS_MAX && !stop.is_cancelled() && has_database(&engine);
        while is_looking {
            is_looking = match engine.claim(RUNS_MAX - driving.len()).await {
                Ok(claimed) => {
                    let is_more_likely = !claimed.is_empty();
                    for driven in claimed {
                        info!(run.id = %driven.run, "driving {}", driven.run);
                        let (engine, means) = (engine.clone(), means.clone());
                        driving.spawn(async move {
                            let driving = drive_patiently(&engine, &means, &driven);
                            if let Err(failure) = driving.await {
                                report(&driven.run, &failure);
                            }
                            engine.work().notify_one();
                        });
                    }
                    is_more_likely && driving.len() < RUNS_MAX
                }
                // Another bot was quicker; there may be more.
                Err(Error::Fenced(_)) => true,
                Err(failure) => {
                    error!("look for runs: {failure:#}");
                    false
                }
            };
        }
        tokio::select! {
            // What drives is dropped; the steps themselves go on under their supervisors.
            () = stop.cancelled() => return Ok(()),
            () = engine.work().notified() => {}
            () = engine.clock().sleep_ms(LOOK_MS) => {}
        }
    }
}

fn report(run: &crate::core::id::RunId, failure: &Error) {
    match failure {
        Error::Fenced(_) => info!(run.id = %run, "another bot drives {run} now"),
        other => {
            error!(run.id = %run, "drive {run}: {other:#}; its lease ends, then it is taken up");
        }
    }
}

/// Whether it is worth asking the database: while it is away only the watch does, and says so once.
fn has_database(engine: &Engine) -> bool {
    engine.vitals().is_good(Part::Database)
}

async fn send_messages(
    engine: Engine,
    courier: Courier,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let way = courier.way();
    while !stop.is_cancelled() {
        if !has_database(&engine) {
            tokio::select! {
                () = stop.cancelled() => {}
                () = engine.vitals().until_good(Part::Database) => {}
            }
            continue;
        }
        let wait_ms = match send_one(&engine, &courier).await {
            Ok(true) => continue,
            Ok(false) => until_next(&engine, way).await,
            Err(failure) => {
                error!("send messages: {failure:#}");
                LOOK_MS
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = engine.mail().notified(way) => {}
            () = engine.clock().sleep_ms(wait_ms) => {}
        }
    }
    Ok(())
}

async fn until_next(engine: &Engine, way: Way) -> u64 {
    let next_ms = engine.next_message_ms(way).await.ok().flatten();
    let wait_ms = next_ms.map(|next_ms| next_ms - engine.clock().now_ms());
    // At least a moment: a due message that cannot go yet must not spin the loop.
    wait_ms.map_or(LOOK_MS, |wait_ms| u64::try_from(wait_ms).unwrap_or(0).clamp(20, LOOK_MS))
}

/// Ends requests that nobody approved in time, queues those whose last gate opened by itself, and says what
/// hosts cannot be asked.
async fn keep_waiting(engine: Engine, stop: CancellationToken) -> anyhow::Result<()> {
    loop {
        if has_database(&engine)
            && let Err(failure) = engine.open_gates().await
        {
            warn!("look for gates that have opened: {failure:#}");
        }
        if has_database(&engine)
            && let Err(failure) = engine.expire_overdue().await
        {
            warn!("end requests that nobody answered: {failure:#}");
        }
        if let Err(failure) = engine.watch_hosts().await {
            warn!("look for hosts that cannot be asked: {failure:#}");
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = engine.clock().sleep_ms(LOOK_MS) => {}
        }
    }
}

/// Keeps the cards of queued runs up to date, and reminds people of what needs attention.
async fn keep_queue(engine: Engine, stop: CancellationToken) -> anyhow::Result<()> {
    loop {
        if let Err(failure) = engine.show_queue().await {
            warn!("show the queue: {failure:#}");
        }
        if let Err(failure) = engine.remind().await {
            warn!("remind people of what needs attention: {failure:#}");
        }
        if let Err(failure) = engine.remind_of_reviews().await {
            warn!("remind people of emergencies to be reviewed: {failure:#}");
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = engine.clock().sleep_ms(LOOK_MS) => {}
        }
    }
}

/// Has PagerDuty told what was made live.
async fn tell_of_changes(engine: Engine, stop: CancellationToken) -> anyhow::Result<()> {
    loop {
        if has_database(&engine)
            && let Err(failure) = engine.tell_of_changes().await
        {
            warn!("have PagerDuty told what was made live: {failure:#}");
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = engine.clock().sleep_ms(CHANGES_MS) => {}
        }
    }
}

/// Does what time brings to alerts, when it is due.
async fn keep_alerts(engine: Engine, stop: CancellationToken) -> anyhow::Result<()> {
    let mut weigh_ms = 0;
    while !stop.is_cancelled() {
        // From before the look: what comes due while it lasts is not slept over.
        let looked_ms = engine.clock().now_ms();
        let mut wake_ms = looked_ms.saturating_add_unsigned(LOOK_MS);
        if has_database(&engine) {
            match look_at_alerts(&engine, &mut weigh_ms).await {
                // There may be more: an outage leaves many.
                Ok(moved) if moved > 0 => continue,
                Ok(_) => wake_ms = next_alert(&engine, looked_ms).await,
                Err(failure) => warn!("do what is due about alerts: {failure:#}"),
            }
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = engine.alarms().notified() => {}
            () = engine.clock().sleep_until(wake_ms) => {}
        }
    }
    Ok(())
}

/// How many alerts were moved, or heard of a silence. `weigh_ms`: when inhibitions are weighed next.
async fn look_at_alerts(engine: &Engine, weigh_ms: &mut i64) -> Result<usize, Error> {
    let advanced = engine.advance_alerts().await;
    // Whatever came of that.
    let told = engine.tell_of_silences().await?;
    let now_ms = engine.clock().now_ms();
    if now_ms >= *weigh_ms {
        engine.weigh_inhibitions().await?;
        *weigh_ms = now_ms.saturating_add_unsigned(WEIGH_MS);
    }
    Ok(advanced? + told)
}

/// When something is due; another bot may make it sooner, so a look a second is the least.
async fn next_alert(engine: &Engine, looked_ms: i64) -> i64 {
    let (least_ms, most_ms) = (looked_ms + 20, looked_ms.saturating_add_unsigned(LOOK_MS));
    let next_ms = engine.next_alert_ms().await.ok().flatten();
    next_ms.map_or(most_ms, |next_ms| next_ms.clamp(least_ms, most_ms))
}

/// Does what people decided elsewhere about lost steps of this host.
async fn keep_wishes(engine: Engine, local: Local, stop: CancellationToken) -> anyhow::Result<()> {
    loop {
        if has_database(&engine)
            && let Err(failure) = settle_elsewhere::keep(&engine, &local).await
        {
            warn!("do what was decided about a lost step: {failure:#}");
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = engine.clock().sleep_ms(LOOK_MS) => {}
        }
    }
}

async fn keep_house(
    engine: Engine,
    attempts: PathBuf,
    kept: Limits,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    loop {
        match engine.forget_deliveries().await {
            // There may be more: a busy day leaves many.
            Ok(forgotten) if forgotten > 0 && !stop.is_cancelled() => continue,
            Ok(_) => {}
            Err(failure) => warn!("forget old deliveries: {failure:#}"),
        }
        match sweep(&engine, &attempts, kept).await {
            Ok(swept) if swept != Swept::default() => info!("removed what is old: {swept:?}"),
            Ok(_) => {}
            Err(failure) => warn!("remove what is old: {failure:#}"),
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = engine.clock().sleep_ms(HOUSEKEEPING_MS) => {}
        }
    }
}

/// The bot's own folder: one process at a time holds it.
struct DataDir {
    path: PathBuf,
    instance: String,
    _lock: File,
}

impl DataDir {
    fn take(path: &Path) -> anyhow::Result<Self> {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(path).with_context(|| format!("make the data folder {}", path.display()))?;
        builder.create(path.join("attempts")).context("make the folder for evidence")?;
        let lock = std::fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path.join("lock"))
            .with_context(|| format!("write in the data folder {}", path.display()))?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            bail!(
                "another bot uses the data folder {}: stop it, or set NEOSTOCK_DATA_DIR to another \
                 folder",
                path.display()
            );
        }
        let instance = instance(path)?;
        Ok(Self { path: path.to_owned(), instance, _lock: lock })
    }

    fn attempts(&self) -> PathBuf {
        self.path.join("attempts")
    }
}

/// The folder's name for itself, made once: tells this bot's own leases from another's.
fn instance(path: &Path) -> anyhow::Result<String> {
    let file = path.join("instance");
    if let Ok(found) = std::fs::read_to_string(&file)
        && !found.trim().is_empty()
    {
        return Ok(found.trim().to_owned());
    }
    let made = hex::encode(crate::entropy::bytes::<8>());
    let temporary = path.join("instance.new");
    std::fs::write(&temporary, &made).context("name the data folder")?;
    std::fs::rename(&temporary, &file).context("name the data folder")?;
    Ok(made)
}

/// Faults as the lines that whoever starts the program reads.
fn listing(faults: &[crate::config::fault::Fault]) -> String {
    crate::config::fault::listing(faults)
}
