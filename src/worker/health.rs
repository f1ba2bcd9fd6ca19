//! Looks at what the bot needs (database, Slack, disk), tells people once when something goes bad and
//! once when it is over, and shuts and opens the doors that depend on it.
//!
//! Everything here is real time: a database is gone by the wall, whatever clock the leases use. It
//! repairs nothing: what stood still goes on by itself when the cause is gone.

mod words;

use crate::clock::Millis;
use crate::core::action::Runbook;
use crate::core::card::Card;
use crate::core::id::ChannelId;
use crate::engine::{Announcement, Engine, Notice};
use crate::exec::space;
use crate::slack::client::{CallError, Client, Ts};
use crate::slack::render::render;
use crate::store::NoSign;
use crate::vitals::{Part, RESERVE_BYTES};
use serde_json::json;
use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use words::Place;

/// How often database and disk are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often it is looked whether Slack has answered lately.
const SLACK_LOOK_EVERY: Duration = Duration::from_secs(5);
/// After this many looks without need Slack is asked all the same.
const SLACK_LOOKS_IDLE_MAX: u32 = 12;
/// A database that is silent this often in a row is gone; one that refuses is gone at once.
const SILENT_LOOKS_MAX: u32 = 2;
/// Calls in a row that Slack must have left unanswered before it counts as gone.
const UNANSWERED_MIN: u32 = 3;
/// How long something is bad before people are told: a restart of the database is none of theirs.
const TELL_AFTER_MS: Millis = 5_000;
/// Bots tell about a shared database at different moments, so that the second finds the first's words.
const TELL_SPREAD_MS: u64 = 6_000;
/// What two bots saw at moments that differ by less than this is one trouble.
const SAME_TROUBLE_MS: Millis = 60_000;
/// Troubles that are over and could not be written down yet.
const UNWRITTEN_MAX: usize = 32;

/// What a watch looks at, and whom it tells.
pub struct Watch {
    /// Its store is looked at, its outbox takes what is to be told.
    pub engine: Engine,
    /// Asked for a sign of life; it alone can tell of a database that is gone.
    pub client: Client,
    /// Where the operations channel is.
    pub runbook: watch::Receiver<Arc<Runbook>>,
    /// Where steps leave their evidence.
    pub data_dir: PathBuf,
}

/// Looks until it is told to stop.
///
/// # Errors
/// None: a look that fails is what it is there for.
pub async fn watch(watch: Watch, stop: CancellationToken) -> anyhow::Result<()> {
    let mut teller = Teller::new(&watch);
    let around = async {
        let mut silent_looks = 0;
        loop {
            watch.look_at_database(&mut silent_looks).await;
            watch.look_at_disk();
            rest(LOOK_EVERY).await;
        }
    };
    let slack = async {
        let mut idle_looks = 0;
        loop {
            watch.look_at_slack(&mut idle_looks).await;
            rest(SLACK_LOOK_EVERY).await;
        }
    };
    let telling = async {
        loop {
            teller.tell().await;
            rest(LOOK_EVERY).await;
        }
    };
    tokio::select! {
        () = stop.cancelled() => Ok(()),
        () = async { tokio::join!(around, slack, telling); } => Ok(()),
    }
}

async fn rest(time: Duration) {
    #[expect(clippy::disallowed_methods, reason = "the surroundings live in real time")]
    tokio::time::sleep(time).await;
}

/// Where the operations are talked about: the default environment's channel.
pub fn operations_channel(runbook: &Runbook) -> Option<&ChannelId> {
    runbook.operations_channel()
}

impl Watch {
    fn see(&self, part: Part, is_good: bool) {
        let vitals = self.engine.vitals();
        if vitals.is_good(part) != is_good {
            if is_good {
                info!("{} is as it should be again", part.as_str());
            } else {
                error!("{} is not as it should be", part.as_str());
            }
        }
        vitals.see(part, is_good, self.engine.clock().now_ms());
        self.engine.metrics().part_up(part.as_str(), is_good);
    }

    async fn look_at_database(&self, silent_looks: &mut u32) {
        let is_good = match self.engine.store().ping().await {
            Ok(()) => {
                *silent_looks = 0;
                true
            }
            Err(NoSign::Silent) => {
                *silent_looks = silent_looks.saturating_add(1);
                *silent_looks < SILENT_LOOKS_MAX && self.engine.vitals().is_good(Part::Database)
            }
            Err(NoSign::Refused(cause)) => {
                if self.engine.vitals().is_good(Part::Database) {
                    error!("the database gives no sign of life: {cause}");
                }
                false
            }
        };
        self.see(Part::Database, is_good);
        self.engine.store().set_reachable(is_good);
    }

    fn look_at_disk(&self) {
        let folders = [Some(self.data_dir.as_path()), self.engine.store().file_folder()];
        let free = folders.into_iter().flatten().map(space::free_bytes);
        match free.reduce(|one, other| Ok(one?.min(other?))) {
            Some(Ok(bytes)) => {
                let vitals = self.engine.vitals();
                let was_good = vitals.is_good(Part::Disk);
                vitals.see_free_bytes(bytes, self.engine.clock().now_ms());
                self.engine.metrics().free_bytes(bytes);
                let is_good = vitals.is_good(Part::Disk);
                self.engine.metrics().part_up(Part::Disk.as_str(), is_good);
                if was_good && !is_good {
                    error!("{bytes} bytes are free for evidence: no new run begins");
                }
                if !was_good && is_good {
                    info!("{bytes} bytes are free for evidence: runs begin again");
                    self.engine.work().notify_one();
                }
            }
            Some(Err(error)) => warn!("ask how much space is free: {error}"),
            None => {}
        }
    }

    async fn look_at_slack(&self, idle_looks: &mut u32) {
        let contact = self.client.contact();
        *idle_looks = idle_looks.saturating_add(1);
        if contact.unanswered() == 0 && *idle_looks < SLACK_LOOKS_IDLE_MAX {
            self.see(Part::Slack, true);
            return;
        }
        *idle_looks = 0;
        // A refusal is an answer: whether the token is good is not asked here.
        let has_answered = !matches!(
            self.client.auth_test().await,
            Err(CallError::Transient | CallError::Unknown)
        );
        if has_answered || contact.unanswered() >= UNANSWERED_MIN {
            let was_good = self.engine.vitals().is_good(Part::Slack);
            self.see(Part::Slack, has_answered);
            if has_answered && !was_good {
                self.engine.mail().notify_one();
            }
        }
    }
}

/// A trouble that is not over.
#[derive(Debug, Clone)]
struct Trouble {
    since_ms: Millis,
    is_told: bool,
}

/// Says each trouble once when it begins and once when it is over.
struct Teller<'w> {
    watch: &'w Watch,
    open: [Option<Trouble>; Part::ALL.len()],
    unwritten: VecDeque<Announcement>,
    wait_ms: Millis,
}

impl<'w> Teller<'w> {
    fn new(watch: &'w Watch) -> Self {
        let mut hasher = DefaultHasher::new();
        watch.engine.identity().owner.hash(&mut hasher);
        let wait_ms = TELL_AFTER_MS.saturating_add_unsigned(hasher.finish() % TELL_SPREAD_MS);
        Self { watch, open: Default::default(), unwritten: VecDeque::new(), wait_ms }
    }

    async fn tell(&mut self) {
        let sight = self.watch.engine.vitals().sight();
        for part in Part::ALL {
            let open = self.open[part as usize].take();
            self.open[part as usize] = match (open, sight.bad_since_ms(part)) {
                (None, None) => None,
                (None, Some(since_ms)) => Some(Trouble { since_ms, is_told: false }),
                (Some(trouble), Some(_)) => Some(self.told(part, trouble).await),
                (Some(trouble), None) => {
                    self.over(part, &trouble);
                    None
                }
            };
        }
        while let Some(announcement) = self.unwritten.front() {
            match self.watch.engine.announce(announcement.clone()).await {
                Ok(()) => _ = self.unwritten.pop_front(),
                // The next turn tries again.
                Err(_) => break,
            }
        }
    }

    /// Tells of a trouble that has lasted.
    async fn told(&mut self, part: Part, trouble: Trouble) -> Trouble {
        let wait_ms = if part == Part::Database { self.wait_ms } else { TELL_AFTER_MS };
        let now_ms = self.watch.engine.clock().now_ms();
        if trouble.is_told || now_ms - trouble.since_ms < wait_ms {
            return trouble;
        }
        let message = match part {
            // Nobody reads it while Slack is away.
            Part::Slack => None,
            _ => self.notice(part, trouble.since_ms, None),
        };
        let detail = json!({"since_ms": trouble.since_ms, "reserve_bytes": RESERVE_BYTES});
        let announcement = Announcement {
            kind: "trouble.began",
            subject: part.as_str().to_owned(),
            detail,
            message: message.clone(),
        };
        let is_told = match part {
            Part::Database => self.tell_past_the_outbox(message).await,
            // A full disk may be the outbox's own.
            _ => {
                self.watch.engine.announce(announcement).await.is_ok()
                    || self.tell_past_the_outbox(message).await
            }
        };
        Trouble { is_told, ..trouble }
    }

    /// Straight to Slack, unless another bot said so already.
    async fn tell_past_the_outbox(&self, message: Option<Notice>) -> bool {
        let Some(notice) = message else { return false };
        let client = &self.watch.client;
        let since_ms = self.watch.engine.clock().now_ms() - 2 * SAME_TROUBLE_MS;
        for name in notice.sisters.iter().chain([&notice.key]) {
            match client.find_by_key(&notice.channel, None, name, since_ms).await {
                Ok(None) => {}
                Ok(Some(_)) => return true,
                Err(_) => return false,
            }
        }
        match client.post(&notice.channel, None, &render(&notice.card), &notice.key).await {
            Ok(ts) => {
                self.give_way(&notice, &ts, since_ms).await;
                true
            }
            Err(failure) => {
                warn!("tell {} past the outbox: {failure}", notice.channel);
                false
            }
        }
    }

    /// Takes this bot's message away again where another bot said the same first: both had looked before
    /// either had posted. Of any number of bots the one with the oldest message leaves it standing.
    async fn give_way(&self, notice: &Notice, ts: &Ts, since_ms: Millis) {
        let client = &self.watch.client;
        for name in notice.sisters.iter().chain([&notice.key]) {
            match client.find_before(&notice.channel, ts, name, since_ms).await {
                Ok(None) => {}
                Ok(Some(_)) => {
                    if let Err(failure) = client.delete(&notice.channel, ts).await {
                        warn!("take back what another bot said first: {failure}");
                    }
                    return;
                }
                Err(failure) => return warn!("see whether another bot said it first: {failure}"),
            }
        }
    }

    fn over(&mut self, part: Part, trouble: &Trouble) {
        let until_ms = self.watch.engine.clock().now_ms();
        let is_short = part != Part::Slack && !trouble.is_told;
        if is_short && until_ms - trouble.since_ms < TELL_AFTER_MS {
            return;
        }
        // Where nobody heard of its beginning, its end would only puzzle; Slack's own could not be told.
        let message = match part {
            Part::Slack => self.notice(part, trouble.since_ms, Some(until_ms)),
            _ if trouble.is_told => self.notice(part, trouble.since_ms, Some(until_ms)),
            _ => None,
        };
        if self.unwritten.len() >= UNWRITTEN_MAX {
            warn!(
                "the end of {UNWRITTEN_MAX} troubles could not be written; the oldest is left out"
            );
            self.unwritten.pop_front();
        }
        self.unwritten.push_back(Announcement {
            kind: "trouble.over",
            subject: part.as_str().to_owned(),
            detail: json!({"since_ms": trouble.since_ms, "until_ms": until_ms}),
            message,
        });
    }

    fn notice(&self, part: Part, since_ms: Millis, until_ms: Option<Millis>) -> Option<Notice> {
        let runbook = self.watch.runbook.borrow().clone();
        let channel = operations_channel(&runbook)?.clone();
        let identity = self.watch.engine.identity();
        let place = Place {
            host: identity.host.clone(),
            data_dir: self.watch.data_dir.display().to_string(),
            free_bytes: self.watch.engine.vitals().sight().free_bytes,
        };
        let card: Card = words::card(part, &place, since_ms, until_ms, runbook.language);
        let phase = if until_ms.is_some() { "over" } else { "began" };
        let name = |bucket: Millis| match part {
            // The database and Slack are everybody's, a disk is one bot's.
            Part::Disk => format!("trouble/disk/{}/{since_ms}/{phase}", identity.owner),
            _ => format!("trouble/{}/{bucket}/{phase}", part.as_str()),
        };
        let bucket = since_ms / SAME_TROUBLE_MS;
        let sisters = vec![name(bucket - 1), name(bucket + 1)];
        Some(Notice { key: name(bucket), sisters, channel, card })
    }
}
