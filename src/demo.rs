//! The demo: the bot, through its ordinary configuration, against the sandbox's workspace and
//! sample service. Everything lives in one temporary folder and ends with the program.

use crate::app::{Start, serve};
use crate::audit;
use crate::clock::Clock;
use crate::config::fault::listing;
use crate::config::settings::{Sources, from_sources};
use crate::core::text::Lang;
use crate::sandbox::sample::{self, Sample};
use crate::sandbox::{Language, Message, Options, Workspace, transcript};
use crate::store::Store;
use anyhow::{Context as _, ensure};
use secrecy::ExposeSecret;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The person who asks: 安安, the on-call engineer of the sandbox's cast.
const ASKER: &str = "U0ANN";
/// Where she asks.
const CHANNEL: &str = "C0OPS";
/// What she asks, one after the other, who must approve it, and what it must have led to.
const REQUESTS: [(&str, Option<&str>, &str); 2] = [
    ("deploy v1.3 订单手续费", Some("U0BOB"), "版本 v1.3 已上线"),
    ("rollback v1.2 p99 超过 5 秒，先回滚", None, "应用已成功回滚到版本 v1.2"),
];
/// The button with which one approves.
const APPROVE: &str = "批准";
/// How long the bot may take to be ready.
const READY_MS_MAX: u64 = 10_000;
/// How long a run may take to its last message.
const RUN_MS_MAX: u64 = 45_000;
/// How long an answer of the sample service may take.
const SAMPLE_TIME_MAX: Duration = Duration::from_secs(5);
/// How long the bot may take to stop.
const STOP_TIME_MAX: Duration = Duration::from_secs(15);

/// Runs the demo; whether everything was as it must be. With `is_script` it ends by itself,
/// otherwise it takes commands from standard input until it is interrupted.
///
/// # Errors
/// What kept it from starting or from being checked.
pub async fn run(program: PathBuf, is_script: bool, lang: Lang) -> anyhow::Result<bool> {
    let folder = Folder::make()?;
    let mut terminated = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let demo = Demo::start(program, &folder.0).await?;
    let outcome = tokio::select! {
        outcome = demo.play(is_script, lang) => outcome,
        _ = tokio::signal::ctrl_c() => Ok(!is_script),
        _ = terminated.recv() => Ok(!is_script),
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
    database_url: String,
    address: String,
    stop: CancellationToken,
    bot: JoinHandle<anyhow::Result<()>>,
}

impl Demo {
    async fn start(program: PathBuf, folder: &Path) -> anyhow::Result<Self> {
        let workspace = Workspace::start(Options::default()).await?;
        let port = free_port().await?;
        let sample = sample::create(&folder.join("sample"), &program, port).await?;
        sample.start().await?;
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listen on loopback")?;
        let address = format!("http://{}", listener.local_addr()?);
        workspace.set_request_url(&address);
        let settings = from_sources(&sources(&workspace, &sample, folder))
            .map_err(|faults| anyhow::anyhow!(listing(&faults)))?;
        let database_url = settings.database_url.expose_secret().to_owned();
        let stop = CancellationToken::new();
        let start = Start { settings, listener, clock: Clock::System, program, stop: stop.clone() };
        #[expect(clippy::disallowed_methods, reason = "the demo is a composition root of its own")]
        let bot = tokio::spawn(serve(start));
        let demo = Self { workspace, sample, database_url, address, stop, bot };
        demo.ready().await?;
        Ok(demo)
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

    async fn play(&self, is_script: bool, lang: Lang) -> anyhow::Result<bool> {
        let mut out = std::io::stdout();
        let language = match lang {
            Lang::Zh => Language::Zh,
            Lang::En => Language::En,
        };
        let mut ended = true;
        for (request, approver, expected) in REQUESTS {
            ended = ended && self.ask(request, approver, expected).await;
        }
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
        if !is_script {
            self.take_commands(&mut out, language).await?;
        }
        Ok(ok)
    }

    /// Whether the request led to what it must, in time.
    async fn ask(&self, request: &str, approver: Option<&str>, expected: &str) -> bool {
        self.workspace.say(ASKER, CHANNEL, request).await;
        if let Some(approver) = approver {
            let is_asked = |workspace: &Workspace| {
                let messages = workspace.messages(CHANNEL);
                let mut buttons = messages.iter().flat_map(Message::buttons);
                buttons.any(|button| button.label == APPROVE)
            };
            if !self.workspace.wait_until(RUN_MS_MAX, is_asked).await {
                return false;
            }
            self.workspace.press(approver, APPROVE).await;
        }
        let is_told = |workspace: &Workspace| {
            let messages = workspace.messages(CHANNEL);
            let mut replies = messages.iter().filter(|message| message.thread_ts.is_some());
            replies.any(|message| message.text.contains(expected))
        };
        self.workspace.wait_until(RUN_MS_MAX, is_told).await
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

    /// Lines of standard input are what 安安 types after `/neostock`.
    async fn take_commands(&self, out: &mut impl Write, language: Language) -> anyhow::Result<()> {
        writeln!(out, "\nThe bot stays up at {} (/readyz, /metrics).", self.address)?;
        writeln!(out, "The sample service answers at {}.", self.sample.health_url())?;
        writeln!(
            out,
            "Type what 安安 types in #ops, then Enter; Ctrl-C ends. Five things to try:"
        )?;
        let ideas =
            ["status", "deploy v1.3 try again", "backup-verify", "rollbak v1.1", "help rollback"];
        for idea in ideas {
            writeln!(out, "  /neostock {idea}")?;
        }
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        loop {
            write!(out, "\n/neostock ")?;
            out.flush()?;
            let Some(line) = lines.next_line().await? else {
                // No terminal: stay up until interrupted.
                return std::future::pending().await;
            };
            let text = line.trim().trim_start_matches("/neostock").trim();
            let before = transcript(&self.workspace, language);
            self.workspace.say(ASKER, CHANNEL, text).await;
            let after = transcript(&self.workspace, language);
            writeln!(out, "{}", news(&before, &after))?;
        }
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
fn sources(workspace: &Workspace, sample: &Sample, folder: &Path) -> Sources {
    let base = workspace.base_url();
    let host = base.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let environment = [
        ("SLACK_BOT_TOKEN", workspace.bot_token()),
        ("SLACK_SIGNING_SECRET", workspace.signing_secret()),
        ("SLACK_API_URL", workspace.api_url()),
        ("NEOSTOCK_RUNBOOK", sample.runbook().display().to_string()),
        ("NEOSTOCK_DATA_DIR", folder.join("bot").display().to_string()),
        ("NEOSTOCK_RESPONSE_HOSTS", host),
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

/// What a transcript has that an earlier one had not.
fn news<'t>(before: &str, after: &'t str) -> &'t str {
    let same = before.bytes().zip(after.bytes()).take_while(|(old, new)| old == new).count();
    let from = after[..after.floor_char_boundary(same)].rfind('\n').map_or(0, |at| at + 1);
    after[from..].trim_end()
}

async fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").await.context("look for a free port")?;
    let port = listener.local_addr()?.port();
    ensure!(port != 0, "no free port");
    Ok(port)
}
