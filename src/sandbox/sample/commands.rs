//! The hidden `neostock-ops sample …` commands: what the runbook's steps call.

use super::pair::Colour;
use super::process;
use super::{Place, backup, check, database, front, pair, precheck, serve, verify};
use anyhow::Context;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::io::Write;
use std::path::PathBuf;

/// How a check says that it could not be done, other than that it found something (1).
const COULD_NOT_BE_CHECKED: u8 = 69;

#[derive(Debug, Parser)]
#[command(name = "neostock-ops sample", about = "The demo's own small service")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// The folder of the sample.
#[derive(Debug, Args)]
struct Here {
    #[arg(long)]
    dir: PathBuf,
}

/// The folder, and a version: a tag, branch or commit.
#[derive(Debug, Args)]
struct Target {
    #[arg(long)]
    dir: PathBuf,
    #[arg(long)]
    to: String,
}

/// The folder, a version, and the version that is live; empty where none is known to be.
#[derive(Debug, Args)]
struct Change {
    #[arg(long)]
    dir: PathBuf,
    #[arg(long)]
    to: String,
    #[arg(long)]
    live: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Which {
    New,
    Latest,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve what stands in a slot.
    Serve {
        #[arg(long)]
        dir: PathBuf,
        #[arg(long)]
        colour: Colour,
        /// Leave the terminal's session first.
        #[arg(long)]
        detach: bool,
    },
    /// Send requests to the live colour, and those on the preview port to the idle one.
    Front {
        #[arg(long)]
        dir: PathBuf,
        #[arg(long)]
        port: u16,
        #[arg(long)]
        preview: u16,
        /// Leave the terminal's session first.
        #[arg(long)]
        detach: bool,
    },
    /// 预部署验证: look at everything that a deploy needs, and list every fault.
    PreDeployCheck(Target),
    /// 数据库迁移脚本验证: try a version's migrations on a copy of the database: up, down, up again.
    CheckMigrations(Target),
    /// 回滚计划确认: name what would be gone back to, and what could not be undone.
    CheckWayBack(Change),
    /// 蓝绿部署: put a version into the idle slot, migrate the database forward, start it.
    BlueGreenDeploy(Target),
    /// 流量切换: send the traffic to the idle colour if it is the version and healthy.
    SwitchTraffic(Target),
    /// 数据库回滚: undo migrations until the database fits a version.
    DbRollback(Target),
    /// 应用回滚: put a version into the idle slot.
    AppRollback(Target),
    /// 重启服务: start the idle slot and send the traffic to it.
    Restart(Target),
    /// 数据库备份: take a backup, or with `latest` take none.
    Backup {
        #[command(flatten)]
        here: Here,
        #[arg(long, default_value = "new")]
        which: Which,
    },
    /// 备份验证: restore the newest backup and compare it with its manifest.
    VerifyBackup(Here),
    /// Stop the front and both colours.
    Stop(Here),
}

/// Does `neostock-ops sample <args>` and says the exit code. Words for people go to `out`.
///
/// It makes its own runtime where it needs one, so it must not be called inside one.
///
/// # Errors
/// What was asked could not be done; the message is meant for the person who reads the step's
/// output.
pub fn run(args: &[String], out: &mut dyn Write) -> anyhow::Result<u8> {
    let words = std::iter::once("sample").chain(args.iter().map(String::as_str));
    let cli = match Cli::try_parse_from(words) {
        Ok(cli) => cli,
        Err(error) => {
            write!(out, "{error}")?;
            return Ok(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build().context("make a runtime")?;
    if let Command::CheckMigrations(_) | Command::CheckWayBack(_) = cli.command {
        return match runtime.block_on(obey(cli.command, out)) {
            Ok(is_sound) => Ok(u8::from(!is_sound)),
            Err(fault) => {
                writeln!(out, "⚠️ {fault:#}")?;
                Ok(COULD_NOT_BE_CHECKED)
            }
        };
    }
    let is_sound = runtime.block_on(obey(cli.command, out))?;
    Ok(u8::from(!is_sound))
}

async fn obey(command: Command, out: &mut dyn Write) -> anyhow::Result<bool> {
    let program = std::env::current_exe().context("find this program")?;
    match command {
        Command::Serve { dir, colour, detach } => {
            if detach {
                process::detach();
            }
            serve::serve(Place::new(&dir), colour).await?;
        }
        Command::Front { dir, port, preview, detach } => {
            if detach {
                process::detach();
            }
            front::serve(Place::new(&dir), port, preview).await?;
        }
        Command::PreDeployCheck(Target { dir, to }) => {
            return precheck::check(&Place::new(&dir), &to, out).await;
        }
        Command::CheckMigrations(Target { dir, to }) => {
            return check::migrations(&Place::new(&dir), &to, out).await;
        }
        Command::CheckWayBack(Change { dir, to, live }) => {
            return check::way_back(&Place::new(&dir), (&to, &live), out);
        }
        Command::BlueGreenDeploy(Target { dir, to }) => {
            pair::deploy(&program, &Place::new(&dir), &to, out).await?;
        }
        Command::SwitchTraffic(Target { dir, to }) => {
            pair::switch(&Place::new(&dir), &to, out).await?;
        }
        Command::DbRollback(Target { dir, to }) => {
            database::rollback(&Place::new(&dir), &to, out).await?;
        }
        Command::AppRollback(Target { dir, to }) => {
            pair::roll_back(&Place::new(&dir), &to, out)?;
        }
        Command::Restart(Target { dir, to }) => {
            pair::restart(&program, &Place::new(&dir), &to, out).await?;
        }
        Command::Backup { here: Here { dir }, which: Which::New } => {
            backup::take(&Place::new(&dir), out).await?;
        }
        Command::Backup { which: Which::Latest, .. } => {
            writeln!(out, "不做新备份，下一步验证现有的最新备份")?;
        }
        Command::VerifyBackup(Here { dir }) => {
            return verify::newest(&Place::new(&dir), out).await;
        }
        Command::Stop(Here { dir }) => match process::stop_all(&Place::new(&dir))?.as_slice() {
            [] => writeln!(out, "服务没有在运行")?,
            pids => writeln!(out, "服务已停止 (pid {pids:?})")?,
        },
    }
    Ok(true)
}
