//! Arguments, logging and the runtime. Words for people go to standard output, faults to standard
//! error; exit code 0 is good, 1 is a finding or a failure, 2 is a wrong command line.

mod alerts;
mod audit;
mod compliance;
mod docs;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use neostock_ops::app::{Start, serve};
use neostock_ops::audit::summary;
use neostock_ops::clock::Clock;
use neostock_ops::command_line::{self, Typed};
use neostock_ops::config::check;
use neostock_ops::config::fault::listing;
use neostock_ops::config::settings::{self, LogFormat, Settings};
use neostock_ops::core::action::AccessFormat;
use neostock_ops::core::text::Lang;
use neostock_ops::core::words;
use neostock_ops::demo;
use neostock_ops::exec::login::login;
use neostock_ops::logs;
use neostock_ops::store::Store;
use neostock_ops::worker::reload::{Reload, Reread};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use secrecy::{ExposeSecret, SecretString};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// How long `health` waits for the bot.
const HEALTH_TIME_MAX: Duration = Duration::from_secs(4);

/// A Slack bot that runs an operations manual: safe, audited one-line commands.
#[derive(Parser)]
#[command(version, about, propagate_version = true)]
struct Cli {
    /// The settings file; otherwise `NEOSTOCK_CONFIG`, or `./neostock.yml` if there is one.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the bot.
    Serve,
    /// Run it against a local workspace and a sample service: nothing to install, nothing kept.
    Demo {
        /// Ask for a deploy and a rollback, print the conversation, check what came of it, and exit.
        #[arg(long)]
        script: bool,
        /// The language of the transcript.
        #[arg(long, value_parser = language, default_value = "zh")]
        lang: Lang,
        /// The page's port on 127.0.0.1, so that a bookmark stays good; otherwise a free one.
        #[arg(long, default_value_t = 0, hide_default_value = true)]
        port: u16,
    },
    /// Give a command as in chat, from the bot's machine: `do rollback v1.2 "too many errors"`. Exit code
    /// 0: done; 1: failed; 2: refused; 3: waits for people, or for a bot.
    Do {
        /// The language of the answer; otherwise that of the environment.
        #[arg(long, value_parser = language)]
        lang: Option<Lang>,
        /// Return once it is accepted, and do not follow the run to its end.
        #[arg(long)]
        no_wait: bool,
        /// The words after `/neostock`; quote what has blanks.
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// Read settings, runbook and alerting configuration, and list every fault of them.
    Check {
        /// Explain instead which rule decides about a command for somebody; exit code 0: they may.
        #[arg(long, num_args = 2, value_names = ["USER", "COMMAND"])]
        explain: Option<Vec<String>>,
        /// The language of the explanation; otherwise that of the environment.
        #[arg(long, value_parser = language, requires = "explain")]
        lang: Option<Lang>,
        /// Check this alerting configuration (`alerting-config.yml`) instead, and nothing else.
        #[arg(long, value_name = "FILE", conflicts_with = "explain")]
        alerting: Option<PathBuf>,
    },
    /// Ask the bot of these settings whether it is ready; exit code 0: it is.
    Health,
    /// Print the JSON Schema of the runbook, for editors.
    Schema,
    /// Write the documents that are made from the runbook and the code, or check that they are not stale.
    Docs {
        #[command(subcommand)]
        command: docs::Docs,
    },
    /// Try the alerting configuration out.
    Alerts {
        #[command(subcommand)]
        command: alerts::Alerts,
    },
    /// Read the audit journal.
    Audit {
        #[command(subcommand)]
        command: audit::Audit,
    },
    /// Print the compliance report: access rules, who used them, what was bypassed, the journal, encryption
    /// as configured, and the last tests that a backup restores.
    Compliance {
        /// How far to look back, from 1h to 366d.
        #[arg(long, value_parser = compliance::window, value_name = "AGE", default_value = "30d")]
        window: u64,
        /// The language of the report; otherwise that of the environment.
        #[arg(long, value_parser = language)]
        lang: Option<Lang>,
    },
    /// Let the journal go on under the key that is set now although its own is lost: what stands there
    /// is sealed as a whole, and the loss is an entry. Stop the bots first.
    LostKey {
        /// How the key was lost; it stands in the journal.
        #[arg(long, value_parser = reason)]
        reason: String,
    },
    /// The program of `logs` steps.
    #[command(hide = true)]
    LogReport {
        #[arg(long = "file", required = true)]
        files: Vec<String>,
        #[arg(long, value_parser = access_format)]
        format: AccessFormat,
        #[arg(long, default_value = "")]
        sign_in: String,
        #[command(flatten)]
        window: Window,
    },
    /// The program of `journal` steps.
    #[command(hide = true)]
    JournalReport {
        #[command(flatten)]
        window: Window,
    },
    /// The sample service of the demo.
    #[command(hide = true, disable_help_flag = true)]
    Sample {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
}

/// What a report is about, and for whom.
#[derive(clap::Args)]
struct Window {
    #[arg(long)]
    window_ms: u64,
    #[arg(long)]
    until_ms: i64,
    #[arg(long, value_parser = language)]
    lang: Lang,
}

fn reason(text: &str) -> Result<String, String> {
    let words = text.trim();
    if words.is_empty() { Err("say how it was lost".to_owned()) } else { Ok(words.to_owned()) }
}

fn language(text: &str) -> Result<Lang, String> {
    match text {
        "zh" => Ok(Lang::Zh),
        "en" => Ok(Lang::En),
        _ => Err("zh or en".to_owned()),
    }
}

fn access_format(text: &str) -> Result<AccessFormat, String> {
    AccessFormat::parse(text).ok_or_else(|| AccessFormat::NAMES.join(" or "))
}

fn duration(text: &str) -> Result<u64, String> {
    neostock_ops::core::param::duration_ms(text)
        .ok_or_else(|| "a duration such as 90s, 15m, 2h or 7d".to_owned())
}

/// Reads the command line and does what it says.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nobody is left to read it when even standard error is closed.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "neostock-ops: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout();
    match cli.command {
        Command::Sample { words } => {
            // It makes its own runtime where it needs one.
            install_tls()?;
            Ok(ExitCode::from(neostock_ops::sandbox::sample::run(&words, &mut out)?))
        }
        Command::Schema => {
            let schema = neostock_ops::config::runbook::schema();
            writeln!(out, "{schema:#}")?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Alerts { command } => {
            let _ = log("error", LogFormat::Text);
            runtime()?.block_on(alerts::run(command, &mut out))
        }
        Command::Docs { command } => {
            let is_read = command.needs_settings();
            let settings = is_read.then(|| read(cli.config.as_deref())).transpose()?;
            docs::run(&command, settings.as_ref(), &mut out)
        }
        Command::Do { lang, no_wait, words } => {
            install_tls()?;
            set_dumpable_behavior(DumpableBehavior::NotDumpable).context("forbid core dumps")?;
            let settings = read(cli.config.as_deref())?;
            let _ = log("error", LogFormat::Text);
            let program = std::env::current_exe().context("find this program")?;
            let typed = Typed {
                text: words::as_chat(&words),
                login: login(),
                lang: lang.or_else(settings::language),
                follows: !no_wait,
            };
            let given = command_line::give(&settings, program, typed, &mut out);
            Ok(ExitCode::from(runtime()?.block_on(given)? as u8))
        }
        Command::Check { explain: Some(words), lang, .. } => {
            install_tls()?;
            let settings = read(cli.config.as_deref())?;
            let _ = log("error", LogFormat::Text);
            let program = std::env::current_exe().context("find this program")?;
            let [user, command] = words.as_slice() else { anyhow::bail!("a user and a command") };
            let lang = lang.or_else(settings::language);
            let about = (user.as_str(), command.as_str());
            let explained = command_line::explain(&settings, program, about, lang, &mut out);
            Ok(verdict(runtime()?.block_on(explained)?))
        }
        Command::Check { explain: None, alerting, .. } => {
            let report = match &alerting {
                Some(file) => check::check_alerting(file),
                None => check::check(cli.config.as_deref(), Clock::System.now_ms()),
            };
            write!(out, "{}", report.text)?;
            if report.ok {
                let settings = read(cli.config.as_deref()).ok();
                let file = alerting.or_else(|| settings.as_ref()?.alerting.clone());
                install_tls()?;
                for note in runtime()?.block_on(alerts::notes(file.as_deref(), settings.as_ref())) {
                    writeln!(out, "note: {note}")?;
                }
            }
            Ok(verdict(report.ok))
        }
        Command::Serve => {
            install_tls()?;
            // No core dump and no debugger of the same user may show the tokens.
            set_dumpable_behavior(DumpableBehavior::NotDumpable).context("forbid core dumps")?;
            let settings = read(cli.config.as_deref())?;
            let put_filter = log(&settings.log, settings.log_format);
            let settings_again = reread(cli.config, settings.clone(), put_filter);
            runtime()?.block_on(serve_forever(settings, settings_again))
        }
        Command::Health => {
            install_tls()?;
            let listen = read(cli.config.as_deref())?.listen;
            runtime()?.block_on(health(listen, &mut out))
        }
        Command::Demo { script, lang, port } => {
            install_tls()?;
            let _ = log(if script { "off" } else { "error" }, LogFormat::Text);
            let program = std::env::current_exe().context("find this program")?;
            let choices = demo::Choices { is_script: script, lang, port };
            let ok = runtime()?.block_on(demo::run(program, choices))?;
            Ok(verdict(ok))
        }
        Command::LogReport { files, format, sign_in, window } => {
            let Window { window_ms, until_ms, lang } = window;
            let options = logs::Options { files, format, window_ms, until_ms, sign_in, lang };
            Ok(verdict(logs::report(&options, &mut out)?))
        }
        Command::JournalReport { window } => {
            install_tls()?;
            let url = settings::database_of_step().context("no database is given to this step")?;
            runtime()?.block_on(async {
                let store =
                    Store::inspect(url.expose_secret(), Clock::System, None::<SecretString>)
                        .await
                        .context("open the database")?;
                let span = (window.window_ms, window.until_ms);
                write!(out, "{}", summary(&store, span, window.lang).await?)?;
                Ok(ExitCode::SUCCESS)
            })
        }
        Command::LostKey { reason } => {
            install_tls()?;
            let settings = read(cli.config.as_deref())?;
            runtime()?.block_on(begin_journal_anew(settings, &reason, &mut out))
        }
        Command::Compliance { window, lang } => {
            install_tls()?;
            let settings = read(cli.config.as_deref())?;
            runtime()?.block_on(compliance::run(settings, window, lang))
        }
        Command::Audit { command } => {
            install_tls()?;
            let settings = read(cli.config.as_deref())?;
            runtime()?.block_on(audit::run(settings, command))
        }
    }
}

fn verdict(ok: bool) -> ExitCode {
    if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// One TLS provider for the whole binary, before anything could choose another.
fn install_tls() -> anyhow::Result<()> {
    let installed = rustls::crypto::ring::default_provider().install_default();
    installed.map_err(|_| anyhow::anyhow!("a TLS provider is installed already"))
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.context("start the runtime")
}

fn read(config: Option<&Path>) -> anyhow::Result<Settings> {
    settings::read(config)
        .map_err(|faults| anyhow::anyhow!("the settings have faults\n{}", listing(&faults)))
}

/// Puts another log filter in force.
type PutFilter = Box<dyn Fn(&str) + Send + Sync>;

/// Begins to log.
fn log(filter: &str, format: LogFormat) -> PutFilter {
    let read = |filter: &str| EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt().with_writer(std::io::stderr);
    // A handle that outlives its subscriber has nothing to change.
    match format {
        LogFormat::Text => {
            let lines = lines.with_env_filter(read(filter)).with_filter_reloading();
            let handle = lines.reload_handle();
            lines.init();
            Box::new(move |filter| _ = handle.reload(read(filter)))
        }
        LogFormat::Json => {
            let lines = lines.json().with_env_filter(read(filter)).with_filter_reloading();
            let handle = lines.reload_handle();
            lines.init();
            Box::new(move |filter| _ = handle.reload(read(filter)))
        }
    }
}

/// Reads the settings once more; the log filter is in force at once.
fn reread(config: Option<PathBuf>, first: Settings, put_filter: PutFilter) -> Reread {
    Arc::new(move || {
        let again = settings::read(config.as_deref())?;
        put_filter(&again.log);
        Ok(first.for_next_start(&again))
    })
}

/// Asks `/readyz` of the bot that these settings describe.
async fn health(listen: SocketAddr, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let mut address = listen;
    if address.ip().is_unspecified() {
        let loopback: IpAddr = match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        };
        address.set_ip(loopback);
    }
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(HEALTH_TIME_MAX)
        .build()
        .context("make an HTTP client")?;
    let answer = client.get(format!("http://{address}/readyz")).send().await;
    let answer = answer.with_context(|| {
        format!("nobody answers on {address}: start the bot, or set NEOSTOCK_LISTEN to what it has")
    })?;
    let is_ready = answer.status().is_success();
    write!(out, "{}", answer.text().await.context("read the answer")?)?;
    Ok(verdict(is_ready))
}

async fn serve_forever(settings: Settings, again: Reread) -> anyhow::Result<ExitCode> {
    let listener = TcpListener::bind(settings.listen).await.with_context(|| {
        format!("listen on {}: choose another address with NEOSTOCK_LISTEN", settings.listen)
    })?;
    let stop = CancellationToken::new();
    let program = std::env::current_exe().context("find this program")?;
    let wanted = Arc::new(Notify::new());
    let reload = Reload { wanted: Arc::clone(&wanted), settings: again };
    let start =
        Start { settings, listener, clock: Clock::System, program, stop: stop.clone(), reload };
    let mut hangup = signal(SignalKind::hangup()).context("listen for SIGHUP")?;
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let bot = serve(start);
    tokio::pin!(bot);
    loop {
        tokio::select! {
            ended = &mut bot => return ended.map(|()| ExitCode::SUCCESS),
            _ = terminate.recv() => stop.cancel(),
            _ = interrupt.recv() => stop.cancel(),
            _ = hangup.recv() => wanted.notify_one(),
        }
    }
}

async fn begin_journal_anew(
    settings: Settings,
    reason: &str,
    out: &mut impl Write,
) -> anyhow::Result<ExitCode> {
    let by = audit::by();
    let (url, keys) = (settings.database_url.expose_secret(), settings.journal_keys());
    let ended = Store::begin_journal_anew(url, Clock::System, keys, (&by, reason)).await?;
    writeln!(
        out,
        "The journal goes on under the new key. It ended at {ended} under the lost one, and everything \
         up to there is sealed. Note the head now: neostock-ops audit verify"
    )?;
    Ok(ExitCode::SUCCESS)
}
