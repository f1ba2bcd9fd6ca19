//! Reads the runbook anew while the bot runs. A faulty file changes nothing; a good one is first
//! written into the journal and only then in force.
//!
//! The runbook is a `tokio::sync::watch` value: whoever answers a request takes one snapshot and keeps
//! it to the end. Runs are not touched, for each carries its own plan.

use super::health::operations_channel;
use crate::config::alerting::{self, Alerting};
use crate::config::fault::{Fault, listing};
use crate::config::runbook;
use crate::core::action::{Member, Runbook};
use crate::core::card::{Card, Line, Part, Span, Tone, text};
use crate::core::text::Lang;
use crate::core::{oncall, oncall_card};
use crate::engine::{Announcement, Engine, Error, Notice};
use crate::store;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

/// Faults that a message lists; the log has all.
const FAULTS_TOLD_MAX: usize = 15;
/// Characters of a digest that people read.
const DIGEST_CHARS: usize = 12;
/// Between two tries to write a reading down.
const AGAIN_AFTER_MS: u64 = 1_000;

/// Reads the settings anew and puts in force what can be: the settings that changed and wait for the
/// next start.
pub type Reread = Arc<dyn Fn() -> Result<Vec<&'static str>, Vec<Fault>> + Send + Sync>;

/// Asks for a reading, and what else is read with the runbook.
#[derive(Clone)]
pub struct Reload {
    /// Rung by a SIGHUP.
    pub wanted: Arc<Notify>,
    /// The settings.
    pub settings: Reread,
}

impl Default for Reload {
    fn default() -> Self {
        Self { wanted: Arc::default(), settings: Arc::new(|| Ok(Vec::new())) }
    }
}

/// What a reading needs.
pub struct Reader {
    /// Its journal and outbox.
    pub engine: Engine,
    /// The file.
    pub path: PathBuf,
    /// What is in force.
    pub runbook: watch::Sender<Arc<Runbook>>,
    /// The alerting configuration.
    pub alerting: Watched,
    /// When to read.
    pub reload: Reload,
}

/// The alerting configuration: where it stands, and what is in force of it.
pub struct Watched {
    /// The file; `None`: there is none.
    pub path: Option<PathBuf>,
    /// What is in force.
    pub in_force: watch::Sender<Arc<Alerting>>,
}

/// Reads the alerting configuration; without a file nothing is watched, and what others send is treated
/// as the manual says.
///
/// # Errors
/// Every fault of the file.
pub fn read_alerting(path: Option<&Path>) -> Result<Alerting, Vec<Fault>> {
    path.map_or_else(|| Ok(Alerting::default()), alerting::load)
}

/// Reads whenever it is asked to, until it is told to stop.
///
/// # Errors
/// None: a reading that fails leaves everything as it was.
pub async fn reload_when_asked(reader: Reader, stop: CancellationToken) -> anyhow::Result<()> {
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = reader.reload.wanted.notified() => {}
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = reader.read() => {}
        }
    }
}

impl Reader {
    async fn read(&self) {
        let old = self.runbook.borrow().clone();
        // All is read whole before anything changes.
        let mut read = runbook::load(&self.path);
        let alerting = match read_alerting(self.alerting.path.as_deref()) {
            Ok(alerting) => alerting,
            Err(mut faults) => {
                faults.extend(read.err().unwrap_or_default());
                read = Err(faults);
                Alerting::default()
            }
        };
        let waiting = match (self.reload.settings)() {
            Ok(waiting) => waiting,
            Err(mut faults) => {
                faults.extend(read.err().unwrap_or_default());
                return self.refuse(&old, &faults).await;
            }
        };
        if !waiting.is_empty() {
            warn!(
                "these settings have changed and wait for the next start: {}",
                waiting.join(", ")
            );
        }
        match read {
            Err(faults) => self.refuse(&old, &faults).await,
            Ok(new) => {
                if new.digest == old.digest {
                    info!("read the runbook anew: it has not changed ({})", short(&old.digest));
                } else {
                    self.put_in_force(&old, new, &waiting).await;
                }
                self.put_alerting_in_force(alerting).await;
            }
        }
    }

    async fn refuse(&self, old: &Runbook, faults: &[Fault]) {
        error!(
            "the new configuration is refused, the old one stays in force; its faults:\n{}",
            listing(faults)
        );
        let detail = json!({
            "kept": old.digest,
            "faults": faults.iter().take(FAULTS_TOLD_MAX).map(ToString::to_string).collect::<Vec<_>>(),
            "faults_total": faults.len(),
        });
        let card = refused_card(old, faults);
        self.announce(old, "runbook.refused", detail, card).await;
    }

    async fn put_in_force(&self, old: &Runbook, new: Runbook, waiting: &[&str]) {
        let detail = json!({
            "from": old.digest, "to": new.digest, "settings_for_next_start": waiting,
            "roles": changed_roles(old, &new),
        });
        let card = reloaded_card(old, &new, waiting);
        self.announce(&new, "runbook.reloaded", detail, card).await;
        info!(
            "a new runbook is in force: {} instead of {}",
            short(&new.digest),
            short(&old.digest)
        );
        self.engine.metrics().runbook(&new.digest);
        self.runbook.send_replace(Arc::new(new));
    }

    /// The new alerting configuration, once it is written down.
    async fn put_alerting_in_force(&self, new: Alerting) {
        let old = self.alerting.in_force.borrow().clone();
        if new.digest == old.digest {
            return;
        }
        let runbook = self.runbook.borrow().clone();
        let detail = json!({"from": old.digest, "to": new.digest});
        let on_call = self.on_call_changed(&old, &new, runbook.language).await;
        let card = alerting_card(&old, &new, on_call, runbook.language);
        self.announce(&runbook, "alerting.reloaded", detail, card).await;
        info!(
            "a new alerting configuration is in force: {} instead of {}",
            short(&new.digest),
            short(&old.digest)
        );
        self.alerting.in_force.send_replace(Arc::new(new));
    }

    /// What the new file changes about who is on call. That it cannot be looked up keeps no file from its force.
    async fn on_call_changed(&self, old: &Alerting, new: &Alerting, lang: Lang) -> Option<Line> {
        let now_ms = self.engine.clock().now_ms();
        let overrides = self.engine.oncall_overrides(now_ms).await.unwrap_or_else(|failure| {
            warn!("look whether somebody else is on call by the new file: {failure:#}");
            Vec::new()
        });
        let edit = oncall::edited(&old.oncall, &new.oncall, &overrides, now_ms);
        oncall_card::edited(&edit, lang)
    }

    /// Writes a reading down, however long that takes: nothing is in force that the journal lacks.
    async fn announce(
        &self,
        runbook: &Runbook,
        kind: &'static str,
        detail: serde_json::Value,
        card: Card,
    ) {
        // A reading is told by each bot: each reads its own file. Two in one millisecond are one.
        let key =
            format!("{kind}/{}/{}", self.engine.identity().owner, self.engine.clock().now_ms());
        let message = operations_channel(runbook).map(|channel| Notice {
            key,
            sisters: Vec::new(),
            channel: channel.clone(),
            card,
        });
        let subject = self.path.display().to_string();
        let announcement = Announcement { kind, subject, detail, message };
        loop {
            match self.engine.announce(announcement.clone()).await {
                Ok(()) => return,
                Err(Error::Store(store::Error::Setup(words))) => {
                    error!("a reading of the runbook cannot be written down: {words}");
                }
                Err(failure) => warn!("a reading of the runbook waits to be written: {failure:#}"),
            }
            self.engine.clock().sleep_ms(AGAIN_AFTER_MS).await;
        }
    }
}

/// The roles whose members are others now: who was added and who was removed, as the files name them.
fn changed_roles(old: &Runbook, new: &Runbook) -> BTreeMap<String, Value> {
    let members = |runbook: &Runbook, name: &str| -> BTreeSet<String> {
        let role = runbook.roles.get(name);
        role.map(|role| role.members.iter().map(named).collect()).unwrap_or_default()
    };
    let names: BTreeSet<&String> = old.roles.keys().chain(new.roles.keys()).collect();
    let changed = names.into_iter().filter_map(|name| {
        let (before, after) = (members(old, name), members(new, name));
        let is_role = (old.roles.contains_key(name), new.roles.contains_key(name));
        (before != after || is_role.0 != is_role.1).then(|| {
            let added: Vec<_> = after.difference(&before).collect();
            let removed: Vec<_> = before.difference(&after).collect();
            (name.clone(), json!({"added": added, "removed": removed}))
        })
    });
    changed.collect()
}

/// A line of a role as the file has it.
fn named(member: &Member) -> String {
    match member {
        Member::Everyone => "everyone".to_owned(),
        Member::User(id) | Member::Group(id) => id.clone(),
    }
}

fn short(digest: &str) -> &str {
    digest.get(..DIGEST_CHARS).unwrap_or(digest)
}

fn refused_card(old: &Runbook, faults: &[Fault]) -> Card {
    let lang = old.language;
    let title = lang
        .pick("新的配置有错误，没有采用", "The new configuration has faults and is not in force");
    let line = vec![
        text(match lang {
            Lang::Zh => format!("发现 {} 处错误，旧的操作手册继续有效（", faults.len()),
            Lang::En => format!("{} faults; the old runbook stays in force (", faults.len()),
        }),
        Span::Code(short(&old.digest).to_owned()),
        text(lang.pick("）。改好后运行 ", "). Put them right, look with ")),
        Span::Code("neostock-ops check".to_owned()),
        text(lang.pick(" 检查，再发一次 SIGHUP。", ", then send SIGHUP once more.")),
    ];
    let mut told: Vec<String> =
        faults.iter().take(FAULTS_TOLD_MAX).map(ToString::to_string).collect();
    let more = faults.len().saturating_sub(FAULTS_TOLD_MAX);
    if more > 0 {
        told.push(match lang {
            Lang::Zh => format!("……另有 {more} 处，见日志"),
            Lang::En => format!("… and {more} more in the log"),
        });
    }
    Card {
        summary: format!("🟡 {title}"),
        tone: Tone::Warning,
        parts: vec![
            Part::Header(title.to_owned()),
            Part::Paragraph(line),
            Part::Output(told.join("\n")),
        ],
    }
}

fn alerting_card(old: &Alerting, new: &Alerting, on_call: Option<Line>, lang: Lang) -> Card {
    let words = lang.pick("新的告警配置已生效：", "A new alerting configuration is in force: ");
    let mut line = vec![
        text(format!("🔔 {words}")),
        Span::Code(short(&new.digest).to_owned()),
        text(lang.pick("，原为 ", ", before it ")),
        Span::Code(short(&old.digest).to_owned()),
    ];
    line.extend(on_call.into_iter().flatten());
    Card {
        summary: format!("🔔 {words}{}", short(&new.digest)),
        tone: Tone::Neutral,
        parts: vec![Part::Paragraph(line)],
    }
}

fn reloaded_card(old: &Runbook, new: &Runbook, waiting: &[&str]) -> Card {
    let lang = new.language;
    let title = lang.pick("新的操作手册已生效", "A new runbook is in force");
    let mut line = vec![
        text(lang.pick("摘要 ", "Digest ")),
        Span::Code(short(&new.digest).to_owned()),
        text(lang.pick("，之前是 ", ", before it ")),
        Span::Code(short(&old.digest).to_owned()),
        text(lang.pick(
            "。等待中和排队中的执行保持原计划；新手册改变了其内容的，不再批准，也不再开始。",
            ". Runs that wait or are queued keep their plan; one that the new runbook would do otherwise is neither approved nor begun.",
        )),
    ];
    if !waiting.is_empty() {
        line.push(text(match lang {
            Lang::Zh => format!(" 这些设置要到下次启动才生效：{}。", waiting.join("、")),
            Lang::En => format!(" These settings wait for the next start: {}.", waiting.join(", ")),
        }));
    }
    Card {
        summary: format!("📘 {title}"),
        tone: Tone::Neutral,
        parts: vec![Part::Header(title.to_owned()), Part::Paragraph(line)],
    }
}
