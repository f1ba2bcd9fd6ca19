//! What is known of how a step ended, in a form that every room understands and the store keeps.

use super::step_result::{Earlier, StepResult};
use super::text::Text;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A process that outlived what started it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Survivor {
    /// Its process id on the step's host.
    pub pid: i32,
    /// Its program's name, redacted.
    pub name: String,
}

/// The end of an attempt, as its supervisor or its absence proves it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct Evidence {
    /// How it ended.
    pub end: End,
    /// What was still running when the program had ended.
    #[serde(default)]
    pub left_behind: Vec<Survivor>,
    /// Bytes of output in all.
    #[serde(default)]
    pub output_bytes: u64,
    /// Of these, bytes that were not kept.
    #[serde(default)]
    pub dropped_bytes: u64,
    /// Whether output was lost because it could not be written.
    #[serde(default)]
    pub is_output_incomplete: bool,
    /// What it hands to later steps, redacted.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, String>,
    /// What was wrong with that, for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub output_faults: Vec<Text>,
    /// What it said of itself in its last line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<StepResult>,
    /// What the last result of this name was as it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earlier: Option<Earlier>,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The program ended by itself with this code.
    Exited(i32),
    /// A signal that nobody here sent ended it.
    Signalled(i32),
    /// Its supervisor stopped it for time.
    TimedOut,
    /// Its supervisor stopped it for a person.
    Cancelled,
    /// It could not be started: the reason, from the operating system.
    NotStarted(String),
    /// It began, and its supervisor died before it ended.
    Lost {
        /// Whether the machine restarted meanwhile.
        rebooted: bool,
        /// Its processes that still run.
        survivors: Vec<Survivor>,
    },
    /// Its host cannot be asked: it may have ended, or run still.
    Unreachable {
        /// The host that keeps the evidence.
        host: String,
    },
}

impl Evidence {
    /// An end without output.
    pub fn of(end: End) -> Self {
        Self {
            end,
            left_behind: Vec::new(),
            output_bytes: 0,
            dropped_bytes: 0,
            is_output_incomplete: false,
            outputs: BTreeMap::new(),
            output_faults: Vec::new(),
            result: None,
            earlier: None,
        }
    }

    /// One sentence for people; `None` where the step's state says it all.
    pub fn text(&self) -> Option<Text> {
        Some(match &self.end {
            End::Exited(0) | End::TimedOut | End::Cancelled => return None,
            End::Exited(code) => Text::new(format!("退出码 {code}"), format!("exit code {code}")),
            End::Signalled(signal) => {
                Text::new(format!("被信号 {signal} 终止"), format!("ended by signal {signal}"))
            }
            End::NotStarted(why) => {
                Text::new(format!("无法启动：{why}"), format!("could not be started: {why}"))
            }
            End::Lost { rebooted, survivors } if survivors.is_empty() => {
                let (zh, en) = if *rebooted {
                    (
                        "主机重启了，没有结束记录",
                        "the host restarted, and there is no record of its end",
                    )
                } else {
                    (
                        "监督进程中断，没有结束记录",
                        "its supervisor died, and there is no record of its end",
                    )
                };
                Text::new(zh, en)
            }
            End::Unreachable { host } => Text::new(
                format!("主机 {host} 失联，结果不明，也可能仍在运行"),
                format!("its host {host} cannot be asked: it may have ended, or run still"),
            ),
            End::Lost { survivors, .. } => {
                let list = names(survivors);
                Text::new(
                    format!("监督进程中断，步骤的进程仍在运行：{list}"),
                    format!("its supervisor died, and processes of the step still run: {list}"),
                )
            }
        })
    }

    /// What it left running, for people; `None` when nothing.
    pub fn left_behind_text(&self, stays: bool) -> Option<Text> {
        if self.left_behind.is_empty() {
            return None;
        }
        let list = names(&self.left_behind);
        Some(if stays {
            Text::new(format!("留下运行：{list}"), format!("left running: {list}"))
        } else {
            Text::new(format!("已停止遗留进程：{list}"), format!("left behind, stopped: {list}"))
        })
    }

    /// Processes of a lost step that still run.
    pub fn survivors(&self) -> &[Survivor] {
        match &self.end {
            End::Lost { survivors, .. } => survivors,
            _ => &[],
        }
    }
}

/// `sleep (123), node (124)`; a long list is cut.
fn names(processes: &[Survivor]) -> String {
    const SHOWN_MAX: usize = 8;
    let mut shown: Vec<String> = processes
        .iter()
        .take(SHOWN_MAX)
        .map(|process| format!("{} ({})", process.name, process.pid))
        .collect();
    if processes.len() > SHOWN_MAX {
        shown.push(format!("+{}", processes.len() - SHOWN_MAX));
    }
    shown.join(", ")
}
