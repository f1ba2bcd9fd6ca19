//! An action of the runbook as a chat command: arguments, plan, run.

use super::{
    Context, Misunderstood, action_usage, answer, ephemeral, message_link, refusal, text, with_code,
};
use crate::core::action::{Action, Environment, Lock, ParameterKind, Runbook};
use crate::core::card::{Card, Line, Part, Span, Tone};
use crate::core::id::RunId;
use crate::core::param::{self, Arguments, cut, did_you_mean};
use crate::core::plan::Plan;
use crate::core::policy::Authorized;
use crate::core::run_card::RunView;
use crate::core::words::Words;
use crate::engine::{Asked, Error};
use crate::exec::drift;
use crate::exec::git::{self, GitError};

/// Tags that an unknown version is answered with.
const TAGS_SHOWN: usize = 5;

/// A request for an action in an environment.
#[derive(Debug, Clone)]
pub struct Ask {
    /// What.
    pub action: Action,
    /// Where.
    pub environment: Environment,
    /// With what.
    pub arguments: Arguments,
    /// The run that it is another try of.
    pub retry_of: Option<RunId>,
}

/// Reads the words after an action's name.
pub fn parse(
    action: &Action,
    runbook: &Runbook,
    words: &mut Words<'_>,
) -> Result<Ask, Misunderstood> {
    let arguments = param::read(&action.parameters, words).map_err(|fault| {
        let usage = action_usage(action);
        Misunderstood::Arguments { command: action.name.clone(), usage, fault: Box::new(fault) }
    })?;
    let environment = match &arguments.environment {
        Some(name) => runbook.environments.get(name),
        None => runbook.default_environment(),
    };
    let Some(environment) = environment else {
        let word = arguments.environment.as_deref().unwrap_or_default();
        let known = runbook.environments.keys().cloned().collect();
        return Err(Misunderstood::UnknownEnvironment { word: cut(word), known });
    };
    let (action, environment) = (action.clone(), environment.clone());
    Ok(Ask { action, environment, arguments, retry_of: None })
}

/// Plans and requests the run.
pub async fn run(
    ask: Ask,
    context: &Context<'_>,
    by: &Authorized,
    asked: Asked,
) -> Result<String, Error> {
    let plan = match plan(&ask, context).await {
        Ok(plan) => plan,
        Err(refused) => return answer(context, asked, "request.refused", &refused).await,
    };
    let run = (context.new_run_id)();
    let ahead = ahead_of(&plan, context).await?;
    let answer = ephemeral(&accepted(&run, &plan, &ahead, &asked, context));
    context.engine.request_run(asked, by, run, plan, answer).await
}

/// Everything resolved, or the refusal that the asker reads.
pub(super) async fn plan(ask: &Ask, context: &Context<'_>) -> Result<Plan, Card> {
    let refused =
        |fault: crate::core::plan::PlanFault| refusal(with_code(fault.text().get(context.lang)));
    let mut plan = Plan::resolve(&ask.action, &ask.environment, context.runbook, &ask.arguments)
        .map_err(refused)?;
    plan.retry_of.clone_from(&ask.retry_of);
    for parameter in &ask.action.parameters {
        if parameter.kind != ParameterKind::GitRef {
            continue;
        }
        let Some(version) = ask.arguments.get(&parameter.name) else { continue };
        match git::resolve(&plan.workdir, version).await {
            Ok(commit) => plan.commits.insert(parameter.name.clone(), commit),
            Err(error) => return Err(unknown_version(version, &error, ask, context).await),
        };
    }
    plan.scripts = drift::scripts(&plan).await;
    Ok(plan)
}

async fn unknown_version(
    version: &str,
    error: &GitError,
    ask: &Ask,
    context: &Context<'_>,
) -> Card {
    let lang = context.lang;
    let workdir = &ask.environment.workdir;
    if *error != GitError::NoSuchVersion {
        tracing::error!("resolve a version in {}: {error}", workdir.display());
        return refusal(vec![text(lang.pick(
            "现在无法读取该环境的 git 仓库，所以没有执行。请联系维护机器人的人：原因在它的日志里。",
            "The git repository of that environment cannot be read right now, so nothing was done. Tell \
             whoever looks after this bot: the cause is in its log.",
        ))]);
    }
    let tags = git::newest_tags(workdir, TAGS_SHOWN).await.unwrap_or_default();
    let mut line: Line = vec![Span::Code(version.to_owned())];
    line.push(text(
        lang.pick(" 在这里不是标签、分支或提交。", " is not a tag, branch or commit here."),
    ));
    if !tags.is_empty() {
        line.push(text(lang.pick("最新的标签：", " The newest tags are ")));
        for (index, tag) in tags.iter().enumerate() {
            if index > 0 {
                line.push(text(lang.pick("、", ", ")));
            }
            line.push(Span::Code(tag.clone()));
        }
        line.push(text(lang.pick("。", ".")));
    }
    if let Some(close) = did_you_mean(version, tags.iter().map(String::as_str)) {
        line.push(text(lang.pick("您是指 ", " Did you mean ")));
        line.push(Span::Code(close));
        line.push(text(lang.pick(" 吗？", "?")));
    }
    refusal(line)
}

/// Open runs that hold or wait for the same environment.
pub(super) async fn ahead_of(plan: &Plan, context: &Context<'_>) -> Result<Vec<RunView>, Error> {
    if plan.lock == Lock::None {
        return Ok(Vec::new());
    }
    let open = context.engine.open_runs().await?;
    let same = |run: &RunView| {
        run.plan.environment == plan.environment && run.plan.lock == Lock::Environment
    };
    Ok(open.into_iter().filter(same).collect())
}

fn accepted(
    run: &RunId,
    plan: &Plan,
    ahead: &[RunView],
    asked: &Asked,
    context: &Context<'_>,
) -> Card {
    let lang = context.lang;
    let mut line: Line = vec![
        text("🕒 "),
        Span::Code(run.to_string()),
        text(format!(" {} → {}", plan.title(), plan.environment)),
    ];
    match ahead.first() {
        _ if plan.approval.is_some() => line.push(text(
            lang.pick(" 等待批准，获批后执行。", " waits for approval, and is done after that."),
        )),
        Some(first) => {
            let count = ahead.len();
            line.push(text(match lang {
                crate::core::text::Lang::Zh => format!(" 已排队，前面有 {count} 个："),
                crate::core::text::Lang::En => format!(" is queued behind {count}: "),
            }));
            line.push(Span::Code(first.id.to_string()));
        }
        None => line.push(text(lang.pick(" 已接受。", " is accepted."))),
    }
    if asked.channel != plan.channel.as_str() {
        line.push(text(lang.pick(" 进展见 ", " Follow it in ")));
        line.push(message_link(context, None, &plan.channel, ""));
    }
    Card { summary: super::plain(&line), tone: Tone::Neutral, parts: vec![Part::Paragraph(line)] }
}
