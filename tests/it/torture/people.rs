//! The people of the workspace: they ask, approve, cancel, and settle what was lost by what its own
//! evidence says.

use super::plan::Chance;
use super::world::{World, channel};
use crate::harness::bot::shown;
use neostock_ops::sandbox::{Answer, Message};
use std::time::Duration;

/// Between two looks of the operator.
const LOOK: Duration = Duration::from_millis(150);
/// May approve, and asks for nothing.
const APPROVER: &str = "U0CAT";
/// Settles what was lost.
const OPERATOR: &str = "U0BOB";

/// Types a command to one bot and reads the answer; empty when there was none.
pub async fn say(world: &World, bot: usize, user: &str, channel: &str, text: &str) -> String {
    world.workspace.set_request_url(&world.url(bot));
    match world.workspace.say(user, channel, text).await {
        Answer::Given { status: 200, message: Some(message), .. } => shown(&message),
        _ => String::new(),
    }
}

/// The key of a bot's message: `R-…/card`.
pub fn key(message: &Message) -> Option<String> {
    let payload = message.metadata.as_ref()?.get("event_payload")?;
    payload.get("key")?.as_str().map(str::to_owned)
}

/// The first run that a text names.
pub fn run_in(text: &str) -> Option<String> {
    let at = text.find("R-")?;
    text.get(at..at + 10).map(str::to_owned)
}

/// Approves whatever asks for it and settles whatever is lost, for ever.
pub async fn operate(world: &World, mut chance: Chance) {
    loop {
        for index in 0..world.shape.environments {
            let channel = channel(index);
            for message in world.workspace.messages(&channel) {
                if message.thread_ts.is_some() || !message.is_bot {
                    continue;
                }
                approve(world, &channel, &message, &mut chance).await;
                if let Some(run) = lost_run(&message) {
                    settle(world, &channel, &run, &mut chance).await;
                }
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn approve(world: &World, channel: &str, message: &Message, chance: &mut Chance) {
    let button = message.buttons().into_iter().find(|button| button.action_id == "approve");
    let (Some(button), Some(bot)) = (button, someone(world, chance)) else { return };
    world.workspace.set_request_url(&world.url(bot));
    let value = Some(button.value.as_str());
    // A press that nobody heard is made again at the next look.
    world.workspace.click(APPROVER, channel, &message.ts, "approve", value).await;
}

/// A bot that answers.
fn someone(world: &World, chance: &mut Chance) -> Option<usize> {
    let awake = world.awake();
    (!awake.is_empty()).then(|| chance.pick(&awake))
}

fn lost_run(card: &Message) -> Option<String> {
    let text = shown(card);
    let at = text.find("/neostock settle R-")?;
    run_in(&text[at..])
}

/// Looks at the run as it is now, then at the step's own evidence, and says what is true.
async fn settle(world: &World, channel: &str, run: &str, chance: &mut Chance) {
    let Some(bot) = someone(world, chance) else { return };
    let card = say(world, bot, OPERATOR, channel, &format!("show {run}")).await;
    let Some(step) = lost_step(&card) else { return };
    let decision = if card.contains(&format!("settle {run} stop")) {
        "stop"
    } else {
        let environment = super::world::environment(
            channel.trim_start_matches("C0E").parse().unwrap_or_default(),
        );
        truth(&world.evidence(&environment), run, &step, chance)
    };
    say(world, bot, OPERATOR, channel, &format!("settle {run} {decision} I looked")).await;
}

/// The number of the step that a card calls unknown: its line begins with the sign and the number.
fn lost_step(card: &str) -> Option<String> {
    let line = card.lines().find_map(|line| line.strip_prefix("⚠️ ")?.split_once(". Step "))?;
    line.0.parse::<u32>().ok().map(|number| number.to_string())
}

/// What the lines of a step say of its last attempt.
fn truth(lines: &[String], run: &str, step: &str, chance: &mut Chance) -> &'static str {
    let of_step = lines.iter().map(|line| line.split(' ').collect::<Vec<_>>());
    let of_step: Vec<_> = of_step.filter(|words| words[1] == run && words[2] == step).collect();
    match of_step.last().map(Vec::as_slice) {
        Some(["end", _, _, _, "0"]) => "ok",
        Some(["end", ..]) => "failed",
        // It began and did not end, or never came so far: it was not done.
        _ => chance.pick(&["failed", "again"]),
    }
}

/// The runs whose cards can still be cancelled, each with its channel.
pub fn open_runs(world: &World) -> Vec<(String, String)> {
    let mut open = Vec::new();
    for index in 0..world.shape.environments {
        let channel = channel(index);
        for card in world.workspace.messages(&channel) {
            let run = key(&card).and_then(|key| key.strip_suffix("/card").map(str::to_owned));
            let is_open = card.buttons().iter().any(|button| button.action_id == "cancel");
            open.extend(run.filter(|_| is_open).map(|run| (run, channel.clone())));
        }
    }
    open
}
