//! The demo: the bot, through its ordinary configuration, against the sandbox's workspace and
//! sample service. Everything lives in one temporary folder and ends with the program.

mod guide;

use crate::app::{Start, serve};
use crate::audit;
use crate::clock::Clock;
use crate::config::fault::listing;
use crate::config::settings::{Sources, from_sources};
use crate::core::text::Lang;
use crate::exec::git;
use crate::sandbox::sample::{self, Sample};
use crate::sandbox::{Guide, Language, Options, Workspace, transcript};
use crate::store::Store;
use crate::worker::reload::Reload;
use anyhow::{Context as _, ensure};
use secrecy::ExposeSecret;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The person who asks: 安安, the on-call engineer of the sandbox's cast.
const ASKER: &str = "U0ANN";
/// Where she asks.
const CHANNEL: &str = "C0OPS";
/// What happened before anybody looks: the version that is there goes through the gate once, so that the
/// bot knows what is live.
const BEFORE: &[Act] = &[
    Act::Say("deploy v1.2 登记当前版本"),
    Act::Press("U0BOB", "批准"),
    Act::Expect("版本 v1.2 已上线"),
];
/// The main job, played by the script.
const SCRIPT: &[Act] = &[
    Act::Say("deploy v1.3 订单手续费"),
    Act::Press("U0BOB", "批准"),
    Act::Expect("版本 v1.3 已上线"),
    Act::Say("rollback reason=\"p99 超过 5 秒，先回滚\""),
    Act::Press(ASKER, "回滚到 v1.2"),
    Act::Expect("应用已成功回滚到版本 v1.2"),
];
/// What is done about alerts: as the manual says, only quicker, so that somebody who looks sees it.
const ALERTING: &str = "\
alerts:
  error_rate: {threshold: 0.05, duration: 60s, severity: critical, channels: [slack]}
escalation:
  warning: {rises_after: 1m}
  error: {steps: [{tell: ['oncall:primary']}], rises_after: 1m}
  critical: {steps: [{tell: ['oncall:primary', S0LEADS]}], repeat: {every: 5m, times: 3}}
  checklist: recover
oncall:
  primary: {people: [U0ANN, U0BOB], shift: 1w, starts: 2026-11-23 09:00, zone: Asia/Shanghai}
";
/// Versions that completion offers.
const VERSIONS_MAX: usize = 20;
/// How long the bot may take to be ready.
const READY_MS_MAX: u64 = 10_000;
/// How long a run may take to its last message.
const RUN_MS_MAX: u64 = 45_000;
/// How long an answer of the sample service may take.
const SAMPLE_TIME_MAX: Duration = Duration::from_secs(5);
/// How long the bot may take to stop.
const STOP_TIME_MAX: Duration = Duration::from_secs(15);

/// One thing that happens in the workspace.
enum Act {
    /// 安安 types this after `/neostock`.
    Say(&'static str),
    /// This person presses the newest button that says this, once it is there.
    Press(&'static str, &'static str),
    /// A thread must say this.
    Expect(&'static str),
}

/// How it runs.
#[derive(Debug, Clone, Copy)]
pub struct Choices {
    /// Ask for a deploy and a rollback, check what came of them and end; otherwise a person plays
    /// until Ctrl-C.
    pub is_script: bool,
    /// The language of the transcript.
    pub lang: Lang,
    /// The page's port; 0: a free one.
    pub port: u16,
}

/// Runs the demo; whether everything was as it must be.
///
/// # Errors
/// What kept it from starting, from being checked or from stopping.
pub async fn run(program: PathBuf, choices: Choices) -> anyhow::Result<bool> {
    // Whoever interrupts the start finds nothing left behind either.
    let mut interrupted = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let mut terminated = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let folder = Folder::make()?;
    let demo = Demo::start(program, &folder.0, choices.port).await?;
    let outcome = tokio::select! {
        outcome = demo.play(choices) => outcome,
        _ = interrupted.recv() => Ok(!choices.is_script),
        _ = terminated.recv() => Ok(!choices.is_script),
    };
    demo.stop().await?;
    outcome
}

/// A folder that goes with the demo.
struct Folder(PathBuf);

impl Folder {
    fn make() -> anyhow::Result<Self> {
        let name = format!("neostock-demo-{}", hex::encode(crate::entropy::bytes::<6>()));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).with_context(|| format!("make {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is a temporary folder that stays behind.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

struct Demo {
    workspace: Workspace,
    sample: Sample,
    guide: Guide,
    database_url: String,
    address: String,
    /// What a program shows that sends an alert.
    token: String,
    stop: CancellationToken,
    bot: JoinHandle<anyhow::Result<()>>,
}

impl Demo {
    async fn start(program: PathBuf, folder: &Path, page_port: u16) -> anyhow::Result<Self> {
        let options = Options { port: page_port, ..Options::default() };
        let workspace = Workspace::start(options).await.context(
            "start the workspace; --port chooses another port, without it a free one is taken",
        )?;
        let port = free_port().await?;
        let sample = sample::create(&folder.join("sample"), &program, port).await?;
        sample.start().await?;
        let demo = match Self::start_bot(workspace, sample.clone(), program, folder).await {
            Ok(demo) => demo,
            Err(error) => {
                sample.stop().await?;
                return Err(error);
            }
        };
        match demo.ready().await {
            Ok(()) => Ok(demo),
            Err(error) => {
                demo.stop().await?;
                Err(error)
            }
        }
    }

    async fn start_bot(
        workspace: Workspace,
        sample: Sample,
        program: PathBuf,
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listen on loopback")?;
        let address = format!("http://{}", listener.local_addr()?);
        workspace.set_request_url(&address);
        let alerting = folder.join("alerting-config.yml");
        std::fs::write(&alerting, ALERTING).context("write the alerting configuration")?;
        let token = hex::encode(crate::entropy::bytes::<16>());
        let settings = from_sources(&sources(&workspace, &sample, folder, (&alerting, &token)))
            .map_err(|faults| anyhow::anyhow!(listing(&faults)))?;
        let versions = git::newest_tags(&sample.repo(), VERSIONS_MAX)
            .await
            .map_err(|fault| anyhow::anyhow!("read the sample's versions: {fault:?}"))?;
        let runbook = crate::config::runbook::load(&settings.runbook)
            .map_err(|faults| anyhow::anyhow!(listing(&faults)))?;
        let guide = guide::guide(&runbook, &versions, CHANNEL);
        workspace.set_guide(guide.clone());
        let database_url = settings.database_url.expose_secret().to_owned();
        let stop = CancellationToken::new();
        let start = Start {
            settings,
            listener,
            clock: Clock::System,
            program,
            stop: stop.clone(),
            reload: Reload::default(),
        };
        #[expect(clippy::disallowed_methods, reason = "the demo is a composition root of its own")]
        let bot = tokio::spawn(serve(start));
        Ok(Self { workspace, sample, guide, database_url, address, token, stop, bot })
    }

    /// Waits until the bot has reached its workspace and its database.
    async fn ready(&self) -> anyhow::Result<()> {
        let url = format!("{}/readyz", self.address);
        let is_ready = async {
            while !reqwest::get(&url).await.is_ok_and(|answer| answer.status().is_success()) {
                Clock::System.sleep_ms(50).await;
            }
        };
        let in_time = tokio::time::timeout(Duration::from_millis(READY_MS_MAX), is_ready).await;
        in_time.context("the bot did not become ready")
    }

    async fn play(&self, choices: Choices) -> anyhow::Result<bool> {
        if choices.is_script {
            return self.script(choices.lang).await;
        }
        let health = format!("{}/readyz", self.address);
        let page = self.workspace.base_url();
        let words = guide::welcome(&page, &health, &self.sample.health_url(), &self.guide)
            + &guide::alert(&self.address, &self.token);
        let starting = "正在启动，先登记当前版本 v1.2（约十秒）… Starting, and registering v1.2 as what is live (about \
                        ten seconds) …";
        writeln!(std::io::stdout(), "{starting}")?;
        // Before anybody is told the address: nobody else presses these buttons meanwhile.
        ensure!(self.perform(BEFORE).await, "the first deploy did not come to its end");
        std::io::stdout().write_all(words.as_bytes())?;
        std::future::pending().await
    }

    async fn script(&self, lang: Lang) -> anyhow::Result<bool> {
        let mut out = std::io::stdout();
        let language = match lang {
            Lang::Zh => Language::Zh,
            Lang::En => Language::En,
        };
        let ended = self.perform(BEFORE).await && self.perform(SCRIPT).await;
        writeln!(out, "{}", transcript(&self.workspace, language))?;
        let mut ok =
            report(&mut out, ended, "deploy and rollback were reported in their threads", "")?;
        let health = self.health().await.unwrap_or_else(|error| format!("{error:#}"));
        let is_back = health.contains("\"version\":\"v1.2\"") && health.contains("\"schema\":3");
        ok &= report(&mut out, is_back, "the service answers v1.2 on v1.2's schema", &health)?;
        let (journal, is_sound) = self.journal(lang).await?;
        ok &= report(&mut out, is_sound, "the journal verifies", journal.trim_end())?;
        let faults = self.workspace.faults();
        let shown = faults.join("; ");
        ok &= report(&mut out, faults.is_empty(), "Slack's rules were kept in every call", &shown)?;
        Ok(ok)
    }

    /// Does one after the other; whether everything that was waited for came in time.
    async fn perform(&self, acts: &[Act]) -> bool {
        for act in acts {
            match *act {
                Act::Say(words) => {
                    self.workspace.say(ASKER, CHANNEL, words).await;
                }
                Act::Press(user, label) => {
                    let is_there = |workspace: &Workspace| workspace.can_press(user, label);
                    if !self.workspace.wait_until(RUN_MS_MAX, is_there).await {
                        return false;
                    }
                    self.workspace.press(user, label).await;
                }
                Act::Expect(words) => {
                    let is_told = |workspace: &Workspace| {
                        let messages = workspace.messages(CHANNEL);
                        let mut replies = messages.iter().filter(|one| one.thread_ts.is_some());
                        replies.any(|message| message.text.contains(words))
                    };
                    if !self.workspace.wait_until(RUN_MS_MAX, is_told).await {
                        return false;
                    }
                }
            }
        }
        true
    }

    async fn health(&self) -> anyhow::Result<String> {
        let client = reqwest::Client::builder().timeout(SAMPLE_TIME_MAX).build()?;
        let answer =
            client.get(self.sample.health_url()).send().await.context("ask the service")?;
        answer.text().await.context("read the service's answer")
    }

    async fn journal(&self, lang: Lang) -> anyhow::Result<(String, bool)> {
        let keys = None::<secrecy::SecretString>;
        let store = Store::inspect(&self.database_url, Clock::System, keys).await?;
        let report = audit::verify_report(&store, None, lang).await?;
        store.close().await;
        Ok(report)
    }

    async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        let ended = tokio::time::timeout(STOP_TIME_MAX, self.bot).await;
        self.sample.stop().await?;
        self.workspace.shutdown().await;
        ended.context("the bot did not stop in time")??.context("the bot ended with a fault")
    }
}

/// The settings, as a person would give them.
fn sources(
    workspace: &Workspace,
    sample: &Sample,
    folder: &Path,
    (alerting, token): (&Path, &str),
) -> Sources {
    let base = workspace.base_url();
    let host = base.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let environment = [
        ("SLACK_BOT_TOKEN", workspace.bot_token()),
        ("SLACK_SIGNING_SECRET", workspace.signing_secret()),
        ("SLACK_API_URL", workspace.api_url()),
        ("NEOSTOCK_RUNBOOK", sample.runbook().display().to_string()),
        ("NEOSTOCK_DATA_DIR", folder.join("bot").display().to_string()),
        ("NEOSTOCK_RESPONSE_HOSTS", host),
        ("NEOSTOCK_ALERTING", alerting.display().to_string()),
        ("NEOSTOCK_WEBHOOK_TOKEN", token.to_owned()),
    ];
    Sources {
        file: None,
        environment: environment.map(|(name, value)| (name.to_owned(), value)).to_vec(),
        working_dir: folder.to_owned(),
        hostname: "demo".to_owned(),
    }
}

/// One line of the verdict; what was seen is shown when it is not as it must be.
fn report(out: &mut impl Write, ok: bool, what: &str, seen: &str) -> anyhow::Result<bool> {
    if ok {
        writeln!(out, "✅ {what}")?;
    } else {
        writeln!(out, "❌ not so: {what}\n   {seen}")?;
    }
    Ok(ok)
}

async fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").await.context("look for a free port")?;
    let port = listener.local_addr()?.port();
    ensure!(port != 0, "no free port");
    Ok(port)
}
