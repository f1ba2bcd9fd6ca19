//! How people decide about a step whose outcome is unknown: what they can choose, the buttons, and the
//! form that asks why.

use super::action::Lock;
use super::card::{Button, ButtonStyle, Line, Part, Span, text};
use super::evidence::{End, Evidence};
use super::id::RunId;
use super::press::Press;
use super::run::{State, StepState};
use super::run_card::RunView;
use super::text::{Lang, Text};

/// What a person says of a lost step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settlement {
    /// It was done.
    Ok,
    /// It was not done; the run ends.
    Failed,
    /// It is to be done again.
    Again,
    /// The step's processes that still ran were stopped just now.
    Stopped,
}

impl Settlement {
    /// All of them, in the order of the buttons.
    pub const ALL: [Self; 4] = [Self::Ok, Self::Failed, Self::Again, Self::Stopped];

    /// The word in the command.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Again => "again",
            Self::Stopped => "stop",
        }
    }

    /// Reads the command's word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|settlement| settlement.as_str() == word)
    }

    /// The word on the button.
    pub fn label(self) -> Text {
        match self {
            Self::Ok => Text::new("已完成", "Succeeded"),
            Self::Failed => Text::new("未完成", "Failed"),
            Self::Again => Text::new("再做一次", "Run again"),
            Self::Stopped => Text::new("停止进程", "Stop"),
        }
    }

    /// What it does.
    pub fn meaning(self) -> Text {
        match self {
            Self::Ok => Text::new(
                "这一步已经完成：继续后面的步骤。",
                "The step was done: the run goes on with the next step.",
            ),
            Self::Failed => {
                Text::new("这一步没有做成：结束这次执行。", "The step was not done: the run ends.")
            }
            Self::Again => Text::new(
                "再做一次这一步。请先确认重复执行是安全的。",
                "The step is done again. Make sure first that doing it twice is safe.",
            ),
            Self::Stopped => Text::new(
                "停止这一步遗留的进程；之后仍需选择结果。",
                "What the step left running is stopped; its outcome is still to be chosen then.",
            ),
        }
    }
}

/// The try of a step that a button was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// The step, from 0.
    pub position: usize,
    /// Its attempt, from 1.
    pub attempt: i64,
}

/// The lost step of a run and its attempt, while it waits for a person.
pub fn lost(run: &RunView) -> Option<Seen> {
    let position = run.steps.iter().position(|step| step.state == StepState::Unknown)?;
    let attempt = run.steps.get(position)?.attempts;
    (run.state == State::NeedsAttention).then_some(Seen { position, attempt })
}

fn has_survivors(run: &RunView) -> bool {
    let found = run.steps.iter().filter(|step| step.state == StepState::Unknown);
    found.filter_map(|step| step.evidence.as_ref()).any(|found| !found.survivors().is_empty())
}

/// How a person settles a lost step: the commands, with the run's id in them.
pub(super) fn what_now(run: &RunView, lang: Lang) -> Line {
    let id = &run.id;
    let is_locked = run.plan.lock == Lock::Environment && run.taken_over.is_none();
    let mut line = vec![text(if is_locked {
        lang.pick(
            "请先确认这一步实际做到了哪里，然后选择（环境在此之前保持锁定）：",
            "Find out how far this step really got, then choose (the environment stays locked until \
             then):",
        )
    } else {
        lang.pick(
            "请先确认这一步实际做到了哪里，然后选择：",
            "Find out how far this step really got, then choose:",
        )
    })];
    for settlement in choices(run) {
        let words = match settlement {
            Settlement::Ok => {
                Text::new("已经完成，继续后面的步骤", "it was done: go on with the next step")
            }
            Settlement::Failed if run.follow_up().is_some() && run.taken_over.is_none() => {
                Text::new(
                    "没有做成：结束这次执行，并自动执行失败后的操作",
                    "it was not done: end the run, and what follows a failure begins by itself",
                )
            }
            Settlement::Failed => {
                Text::new("没有做成，结束这次执行", "it was not done: end the run")
            }
            Settlement::Again => Text::new("可以安全地再做一次", "it is safe to do again"),
            Settlement::Stopped => Text::new(
                "停止仍在运行的进程（再做一次之前必须先停止）",
                "stop the processes that still run (needed before it can be done again)",
            ),
        };
        let word = settlement.as_str();
        line.push(text("\n"));
        line.push(Span::Code(format!(
            "/neostock settle {id} {word} {}",
            lang.pick("原因", "reason")
        )));
        line.push(text(format!(" {}", words.get(lang))));
    }
    line
}

/// What can be chosen now.
fn choices(run: &RunView) -> impl Iterator<Item = Settlement> {
    let (can_again, can_stop) = (run.taken_over.is_none(), has_survivors(run));
    Settlement::ALL.into_iter().filter(move |settlement| match settlement {
        Settlement::Ok | Settlement::Failed => true,
        Settlement::Again => can_again,
        Settlement::Stopped => can_stop,
    })
}

/// A button for each choice; it is about this try of this step and no later one.
pub(super) fn buttons(run: &RunView, lang: Lang) -> Option<Part> {
    let seen = lost(run)?;
    let row = choices(run).map(|settlement| {
        let press = Press::Settle { settlement, run: run.id.clone(), seen };
        let style = match settlement {
            Settlement::Ok => ButtonStyle::Primary,
            Settlement::Failed | Settlement::Stopped => ButtonStyle::Danger,
            Settlement::Again => ButtonStyle::Default,
        };
        Button {
            label: settlement.label().get(lang).to_owned(),
            action: press.action().to_owned(),
            value: press.value(),
            style,
            confirm: None,
        }
    });
    Some(Part::Buttons(row.collect()))
}

/// A button that asks for the same once more, under a run that ended before its first step began.
pub(super) fn ask_again(run: &RunView, lang: Lang) -> Option<Part> {
    let is_untouched = run.steps.first().and_then(|step| step.evidence.as_ref());
    let never_began = |found: &Evidence| matches!(found.end, End::NotStarted(_));
    if run.state != State::Failed
        || run.plan.cause.is_some()
        || !is_untouched.is_some_and(never_began)
    {
        return None;
    }
    let press = Press::Propose { words: format!("retry {}", run.id) };
    let button = Button {
        label: lang.pick("重新发起", "Ask again").to_owned(),
        action: press.action().to_owned(),
        value: press.value(),
        style: ButtonStyle::Default,
        confirm: None,
    };
    Some(Part::Buttons(vec![button]))
}

/// The title of the form that asks why; Slack takes 24 characters.
pub fn form_title(settlement: Settlement, lang: Lang) -> String {
    settlement.label().get(lang).to_owned()
}

/// What the form says above its question.
pub fn form_words(settlement: Settlement, run: &RunView, seen: Seen, lang: Lang) -> Line {
    let name = run.plan.steps.get(seen.position).map_or("", |step| step.name.get(lang));
    let (number, attempt) = (seen.position + 1, seen.attempt);
    vec![
        Span::Code(run.id.to_string()),
        text(format!(" {} → {}\n", run.plan.title(), run.plan.environment)),
        text(match lang {
            Lang::Zh => format!("第 {number} 步「{name}」，第 {attempt} 次\n"),
            Lang::En => format!("step {number} “{name}”, attempt {attempt}\n"),
        }),
        text(
            match run.taken_over.as_ref().map(|_| settlement) {
                Some(Settlement::Ok) => Text::new(
                    "这一步已经完成；它的锁已被接管，所以执行到此结束。",
                    "The step was done. Its lock was taken over, so the run ends here.",
                ),
                _ => settlement.meaning(),
            }
            .get(lang),
        ),
    ]
}

/// What a button's value says: `R-… 0 1`.
pub(super) fn value(run: &RunId, seen: Seen) -> String {
    format!("{run} {} {}", seen.position, seen.attempt)
}

/// Reads it.
pub(super) fn read_value(value: &str) -> Option<(RunId, Seen)> {
    let mut words = value.split(' ');
    let run = RunId::parse(words.next()?)?;
    let position = words.next()?.parse().ok()?;
    let attempt = words.next()?.parse().ok()?;
    words.next().is_none().then_some((run, Seen { position, attempt }))
}
