//! The blue/green pair: two slots, each an exported tree and a process, and the file that names the
//! live one. Nothing here ever touches the live slot's tree or process; only a colour that serves
//! the wanted version and is healthy at that moment becomes live.

use super::get::health;
use super::process::{self, Unit};
use super::{Place, database, repository};
use anyhow::{Context, bail, ensure};
use std::fs;
use std::io::Write;
use std::path::Path;

/// One of the two slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Colour {
    Blue,
    Green,
}

impl Colour {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Blue => "blue",
            Self::Green => "green",
        }
    }

    pub(super) fn other(self) -> Self {
        match self {
            Self::Blue => Self::Green,
            Self::Green => Self::Blue,
        }
    }
}

/// The colour that gets the traffic.
pub(super) fn live(place: &Place) -> anyhow::Result<Colour> {
    let text = fs::read_to_string(place.live_file()).context("read which colour is live")?;
    match text.trim() {
        "blue" => Ok(Colour::Blue),
        "green" => Ok(Colour::Green),
        other => {
            bail!("错误: {} 里写的是 {other:?}，应为 blue 或 green", place.live_file().display())
        }
    }
}

/// The colour that gets none.
pub(super) fn idle(place: &Place) -> anyhow::Result<Colour> {
    live(place).map(Colour::other)
}

/// Sends the traffic to a colour, from one request to the next.
pub(super) fn make_live(place: &Place, colour: Colour) -> anyhow::Result<()> {
    let text = format!("{}\n", colour.name());
    super::replace(&place.live_file(), text.as_bytes()).context("write which colour is live")
}

/// Puts a version's tree into a slot, whose process ends first. Nothing else writes a slot.
pub(super) fn export(place: &Place, version: &str, colour: Colour) -> anyhow::Result<()> {
    process::stop(place, Unit::Slot(colour))?;
    let slot = place.slot(colour);
    let new = slot.with_extension("new");
    for old in [&new, &slot] {
        if old.exists() {
            fs::remove_dir_all(old).with_context(|| format!("empty {}", old.display()))?;
        }
    }
    repository::export(&place.repo(), version, &new)?;
    // As a build stamps its product: what was asked for is what the process says it is.
    fs::write(new.join(super::RELEASE), version).context("stamp the release")?;
    fs::rename(&new, &slot).context("put the slot in place")
}

/// Starts a slot's process anew; returns when it answers anything.
pub(super) fn start(program: &Path, place: &Place, colour: Colour) -> anyhow::Result<u16> {
    let words = ["serve", "--colour", colour.name()].map(str::to_owned);
    let running = process::restart(program, place, Unit::Slot(colour), &words)?;
    Ok(running.port)
}

/// Exports the version to the idle slot, migrates the database forward, starts the idle process.
pub(super) async fn deploy(
    program: &Path,
    place: &Place,
    version: &str,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let colour = idle(place)?;
    writeln!(out, "蓝绿部署: {version} → {}（空闲，没有流量）", colour.name())?;
    export(place, version, colour)?;
    database::migrate(place, colour, out).await?;
    let port = start(program, place, colour)?;
    writeln!(out, "{} 已启动 (端口 {port})，流量仍在 {}", colour.name(), colour.other().name())?;
    Ok(())
}

/// Exports the version to the idle slot: 应用回滚.
pub(super) fn roll_back(place: &Place, version: &str, out: &mut dyn Write) -> anyhow::Result<()> {
    writeln!(out, "执行应用回滚...")?;
    let colour = idle(place)?;
    export(place, version, colour)?;
    writeln!(out, "{version} 已放到 {}，流量仍在 {}", colour.name(), colour.other().name())?;
    Ok(())
}

/// Starts the idle slot, in which the version must stand, and switches to it: 重启服务 without a
/// dropped request.
pub(super) async fn restart(
    program: &Path,
    place: &Place,
    version: &str,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    writeln!(out, "重启服务...")?;
    let colour = idle(place)?;
    if release(place, colour)? == version {
        let port = start(program, place, colour)?;
        writeln!(out, "{} 已启动 (端口 {port})", colour.name())?;
    }
    switch(place, version, out).await
}

/// The version that stands in a slot; empty when none does.
pub(super) fn release(place: &Place, colour: Colour) -> anyhow::Result<String> {
    let stamp = place.slot(colour).join(super::RELEASE);
    match fs::read_to_string(&stamp) {
        Ok(version) => Ok(version.trim().to_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error).with_context(|| format!("read {}", stamp.display())),
    }
}

/// Sends the traffic to the idle colour if that serves exactly this version and is healthy now. Done
/// already, it says so: a repeated step is no fault.
pub(super) async fn switch(
    place: &Place,
    version: &str,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let old = live(place)?;
    let new = old.other();
    let is_ready = match state_of(place, new).await {
        Ok(health) if health.is(version) => Ok(()),
        Ok(health) => Err(format!("{health}")),
        Err(error) => Err(format!("{error:#}")),
    };
    if let Err(seen) = is_ready {
        if state_of(place, old).await.is_ok_and(|health| health.is(version)) {
            writeln!(out, "流量已经在 {} ({version})，无需切换", old.name())?;
            return Ok(());
        }
        bail!("错误: {} 没有健康地运行 {version}，流量没有切换。它的回答: {seen}", new.name());
    }
    make_live(place, new)?;
    if let Err(error) = confirm(place, version).await {
        make_live(place, old)?;
        return Err(error.context(format!("流量已切回 {}", old.name())));
    }
    writeln!(out, "流量切换: {} → {} ({version})", old.name(), new.name())?;
    Ok(())
}

async fn state_of(place: &Place, colour: Colour) -> anyhow::Result<super::get::Health> {
    let running = process::running(place, Unit::Slot(colour));
    health(running.with_context(|| format!("{} 没有在运行", colour.name()))?.port).await
}

/// Asks as anybody would, through the front.
async fn confirm(place: &Place, version: &str) -> anyhow::Result<()> {
    let front = process::running(place, Unit::Front).context("错误: 前端没有在运行")?;
    let seen = health(front.port).await.context("错误: 经前端没有得到回答")?;
    ensure!(seen.is(version), "错误: 切换后经前端得到的是 {seen}，不是健康的 {version}");
    Ok(())
}
