//! An action of the runbook as a chat command: arguments, plan, run.

use super::follow_up;
use super::freeze;
use super::propose::{self, Proposal, Propose};
use super::roles::as_emergency;
use super::rules;
use super::supersede::{self, Asks};
use super::{
    Command, Context, Misunderstood, action_usage, answer, answer_with, ephemeral, message_link,
    refusal, text, with_code,
};
use crate::core::action::{Action, Environment, Lock, Parameter, ParameterKind, Runbook};
use crate::core::card::{Card, Line, Part, Span, Tone};
use crate::core::freeze_card;
use crate::core::id::RunId;
use crate::core::param::{self, Argument, Arguments, cut, did_you_mean};
use crate::core::plan::Plan;
use crate::core::policy::Authorized;
use crate::core::release::{self, Changes, DatabaseChanges, Release};
use crate::core::rule::own_terms;
use crate::core::run_card::RunView;
use crate::core::text::{Lang, Text};
use crate::core::words::Words;
use crate::engine::{Asked, Error, NewRun};
use crate::exec::drift;
use crate::exec::git::{self, GitError};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;

/// Tags that an unknown version is answered with.
const TAGS_SHOWN: usize = 5;
/// Commits between the live version and the target that a plan names.
const COMMITS_LISTED: usize = 10;
/// Files of database changes that a plan names.
const MIGRATIONS_LISTED: usize = 20;

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
    /// The digest of the plan that a button was shown with: only that one is wanted.
    pub digest: Option<String>,
}

/// Why a plan cannot be asked for anew by the runbook in force.
pub(super) enum NotAnew {
    /// The action or the environment is there no more.
    Gone,
    /// A parameter is required now, which the plan has no value for.
    Wants(String),
}

/// The request that a plan came from, by the runbook in force.
pub(super) fn anew(plan: &Plan, runbook: &Runbook) -> Result<Ask, NotAnew> {
    let action = runbook.actions.get(&plan.action).ok_or(NotAnew::Gone)?;
    let environment = runbook.environments.get(&plan.environment).ok_or(NotAnew::Gone)?;
    let mut values = Vec::new();
    for parameter in &action.parameters {
        match plan.arguments.get(&parameter.name) {
            Some(value) => {
                values.push(Argument { name: parameter.name.clone(), value: value.clone() });
            }
            None if parameter.required => return Err(NotAnew::Wants(parameter.name.clone())),
            None => {}
        }
    }
    Ok(Ask {
        action: action.clone(),
        environment: environment.clone(),
        arguments: Arguments {
            environment: Some(environment.name.clone()),
            values,
            ..Arguments::default()
        },
        retry_of: None,
        digest: None,
    })
}

/// Reads the words after an action's name.
pub fn parse(
    action: &Action,
    runbook: &Runbook,
    words: &mut Words<'_>,
) -> Result<Command, Misunderstood> {
    let mut again = words.clone();
    let (arguments, proposed) = match param::read(&action.parameters, words) {
        Ok(arguments) => (arguments, None),
        Err(fault) => {
            let proposed = propose::parse(action, &fault, &mut again);
            let (parameter, arguments) = proposed.ok_or_else(|| {
                let (command, usage) = (action.name.clone(), action_usage(action));
                Misunderstood::Arguments { command, usage, fault: Box::new(fault) }
            })?;
            (arguments, Some(parameter))
        }
    };
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
    let ask = Ask { action, environment, arguments, retry_of: None, digest: None };
    Ok(match proposed {
        Some(parameter) => Command::Propose(Box::new(Propose { ask, parameter })),
        None => Command::Action(Box::new(ask)),
    })
}

/// Plans and requests the run.
pub async fn run(
    ask: Ask,
    context: &Context<'_>,
    by: &Authorized,
    asked: Asked,
) -> Result<String, Error> {
    if let Some(refused) = super::failure::not_now(context).await? {
        return answer(context, asked, "request.refused", &refused).await;
    }
    let plan = match plan(&ask, context).await? {
        Ok(plan) => plan,
        Err(refused) => return answer(context, asked, "request.refused", &refused).await,
    };
    if !by.roles().contains(&plan.role) {
        return other_terms(&plan, context, asked).await;
    }
    let now_ms = context.engine.clock().now_ms();
    if let Some(line) = freeze_card::refused(&plan, context.lang, now_ms) {
        return answer(context, asked, "request.refused", &refusal(line)).await;
    }
    let supersede = match supersede::ask(&ask, &plan, context).await? {
        Asks::Nothing(supersede) => supersede,
        Asks::Person { kind, card } => return answer(context, asked, kind, &card).await,
    };
    let run = (context.new_run_id)();
    let ahead = ahead_of(&plan, context).await?;
    let answer = ephemeral(&accepted(&run, &plan, &ahead, &asked, context));
    let answer_reused = ephemeral(&reused(&run, &plan, context));
    let new = NewRun { run, plan, supersede, answer, answer_reused };
    context.engine.request_run(asked, by, new).await
}

/// Said where the approvals of an earlier run count once more.
fn reused(run: &RunId, plan: &Plan, context: &Context<'_>) -> Card {
    let (zh, en) = match (&plan.checklist, freeze::is_waited_for(plan, context)) {
        (Some(_), _) => ("，还要等检查清单。", ", and waits for its checklist."),
        (None, true) => ("。", "."),
        (None, false) => ("，已排队。", ", and is queued."),
    };
    let words = Text::new(
        format!("🕒 `{run}` {} → {} 沿用之前对同一计划的批准{zh}", plan.title(), plan.environment),
        format!(
            "🕒 `{run}` {} → {} goes on the approvals that the same plan has had{en}",
            plan.title(),
            plan.environment
        ),
    );
    let mut line = with_code(words.get(context.lang));
    line.extend(freeze::waits(plan, context));
    Card { tone: Tone::Neutral, ..refusal(line) }
}

/// The terms are others than those that the asker was let in on: a retry under rules that have changed, or
/// a version that went live this moment.
async fn other_terms(plan: &Plan, context: &Context<'_>, asked: Asked) -> Result<String, Error> {
    let (role, action) = (&plan.role, &plan.action);
    let words = Text::new(
        format!(
            "按现在的规则，这需要角色 `{role}`，所以什么也没有执行。请直接输入 `/neostock {action} …`。"
        ),
        format!(
            "By the rules as they are now this needs the role `{role}`, so nothing was done. Give the \
             command itself: `/neostock {action} …`"
        ),
    );
    let detail = json!({
        "text": asked.text, "channel": asked.channel, "role": role, "command": action,
        "why": "other_terms",
    });
    let card = refusal(with_code(words.get(context.lang)));
    answer_with(context, asked, "request.denied", detail, &card).await
}

/// Everything resolved, what follows a failure too; or the refusal that the asker reads.
pub(super) async fn plan(ask: &Ask, context: &Context<'_>) -> Result<Result<Plan, Card>, Error> {
    let mut plan = match resolve(ask, On::Rules, context).await? {
        Ok(plan) => plan,
        Err(refused) => return Ok(Err(refused)),
    };
    plan.on_failure = follow_up::plan(ask, context).await?;
    Ok(Ok(plan))
}

/// On whose terms an action is planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum On {
    /// A person asks: on those of its rules.
    Rules,
    /// The runbook itself asks: on the action's own.
    Runbook,
}

/// The action alone.
pub(super) async fn resolve(
    ask: &Ask,
    on: On,
    context: &Context<'_>,
) -> Result<Result<Plan, Card>, Error> {
    let commits = match commits(ask, context).await? {
        Ok(commits) => commits,
        Err(refused) => return Ok(Err(refused)),
    };
    let ruled = match on {
        On::Rules => rules::planned(ask, &commits, context.engine).await?,
        On::Runbook => Ok(own_terms(&ask.action)),
    };
    let ruled = match ruled {
        Ok(ruled) => ruled,
        Err(forbidden) => return Ok(Err(refusal(with_code(forbidden.text().get(context.lang))))),
    };
    let (action, environment) = (&ask.action, &ask.environment);
    let resolved = Plan::resolve(action, environment, context.runbook, &ask.arguments, &ruled);
    let mut plan = match resolved {
        Ok(plan) => plan,
        Err(fault) => return Ok(Err(refusal(with_code(fault.text().get(context.lang))))),
    };
    if on == On::Rules {
        plan = match as_emergency(ask, context.runbook) {
            Ok(Some(emergency)) => plan.without_gates(&ruled, emergency, context.runbook),
            Ok(None) => plan,
            Err(words) => return Ok(Err(refusal(with_code(words.get(context.lang))))),
        };
    }
    let now_ms = context.engine.clock().now_ms();
    plan = match freeze::overridden(ask, plan, context.runbook, now_ms) {
        Ok(plan) => plan,
        Err(words) => return Ok(Err(refusal(with_code(words.get(context.lang))))),
    };
    plan.retry_of.clone_from(&ask.retry_of);
    plan.commits = commits;
    plan.changes = changes(&plan, context).await?;
    plan.database = database(&plan, context).await;
    plan.scripts = drift::scripts(&plan).await;
    if on == On::Runbook || plan.emergency.is_some() {
        return Ok(Ok(plan));
    }
    let live = plan.changes.as_ref().map(|changes| changes.version.clone());
    let place = (environment, &**context.runbook);
    let listed = plan.with_checklist(ruled.checklist, place, &ask.arguments, live.as_deref());
    let mut plan = match listed {
        Ok(plan) => plan,
        Err(fault) => return Ok(Err(refusal(with_code(fault.text().get(context.lang))))),
    };
    if let Some(checks) = plan.checklist.as_mut().and_then(|list| list.checks.as_deref_mut()) {
        checks.scripts = drift::scripts(checks).await;
    }
    Ok(Ok(plan))
}

/// The commit of each version that was given.
async fn commits(
    ask: &Ask,
    context: &Context<'_>,
) -> Result<Result<BTreeMap<String, String>, Card>, Error> {
    let workdir = &ask.environment.workdir;
    let mut commits = BTreeMap::new();
    for parameter in &ask.action.parameters {
        if parameter.kind != ParameterKind::GitRef {
            continue;
        }
        let Some(version) = ask.arguments.get(&parameter.name) else { continue };
        match git::resolve(workdir, version).await {
            Ok(commit) => commits.insert(parameter.name.clone(), commit),
            Err(GitError::NoSuchVersion) => {
                return unknown_version(version, parameter, ask, context).await.map(Err);
            }
            Err(error) => return Ok(Err(unreadable(workdir, &error, context.lang))),
        };
    }
    Ok(Ok(commits))
}

/// How what the plan makes live differs from what is.
async fn changes(plan: &Plan, context: &Context<'_>) -> Result<Option<Changes>, Error> {
    let target = plan.makes_live.as_ref().and_then(|parameter| plan.commits.get(parameter));
    let Some(target) = target else { return Ok(None) };
    let history = context.engine.releases(&plan.environment).await?;
    let Some(live) = release::live(&history) else { return Ok(None) };
    Ok(Some(changes_to(&plan.workdir, live, target).await))
}

/// What changes in the database's folder on the way from what is live.
async fn database(plan: &Plan, context: &Context<'_>) -> Option<DatabaseChanges> {
    let folder = context.runbook.migrations.clone()?;
    let live = &plan.changes.as_ref()?.commit;
    let target = plan.commits.get(plan.makes_live.as_ref()?)?;
    let found = git::files_changed(&plan.workdir, (live, target), &folder, MIGRATIONS_LISTED).await;
    if let Err(error) = &found {
        tracing::warn!("compare {folder} of {live} with {target}: {error}");
    }
    let (files, more) = found.map_or((None, 0), |(files, more)| (Some(files), more));
    Some(DatabaseChanges { folder, files, more })
}

/// The same for any commit. A difference that git cannot tell stops nobody: the card says so.
pub(super) async fn changes_to(workdir: &Path, live: &Release, target: &str) -> Changes {
    let found = git::difference(workdir, &live.commit, target, COMMITS_LISTED).await;
    if let Err(error) = &found {
        tracing::warn!("compare {} with {target} in {}: {error}", live.commit, workdir.display());
    }
    Changes { version: live.version.clone(), commit: live.commit.clone(), difference: found.ok() }
}

fn unreadable(workdir: &Path, error: &GitError, lang: Lang) -> Card {
    tracing::error!("resolve a version in {}: {error}", workdir.display());
    refusal(vec![text(lang.pick(
        "现在无法读取该环境的 git 仓库，所以没有执行。请联系维护机器人的人：原因在它的日志里。",
        "The git repository of that environment cannot be read right now, so nothing was done. Tell \
         whoever looks after this bot: the cause is in its log.",
    ))])
}

/// The word is no version. If it was the beginning of a reason, the last good release is offered too.
async fn unknown_version(
    version: &str,
    parameter: &Parameter,
    ask: &Ask,
    context: &Context<'_>,
) -> Result<Card, Error> {
    let lang = context.lang;
    let tags = tags_of(&ask.environment).await;
    let mut line: Line = vec![Span::Code(version.to_owned())];
    line.push(text(
        lang.pick(" 在这里不是标签、分支或提交。", " is not a tag, branch or commit here."),
    ));
    line.extend(newest_tags(&tags, lang));
    if let Some(close) = did_you_mean(version, tags.iter().map(String::as_str)) {
        line.push(text(lang.pick("您是指 ", " Did you mean ")));
        line.push(Span::Code(close));
        line.push(text(lang.pick(" 吗？", "?")));
        return Ok(refusal(line));
    }
    let mut card = refusal(line);
    if parameter.suggest.is_some() {
        let ask = propose::without_version(ask, parameter, version);
        let proposal = propose::proposal(&ask, parameter, context).await?;
        card.parts.extend(proposal.map(Proposal::parts).unwrap_or_default());
    }
    Ok(card)
}

/// The newest tags of an environment's repository; none when it cannot be read.
pub(super) async fn tags_of(environment: &Environment) -> Vec<String> {
    git::newest_tags(&environment.workdir, TAGS_SHOWN).await.unwrap_or_default()
}

/// The newest tags as a sentence; nothing when there are none.
pub(super) fn newest_tags(tags: &[String], lang: Lang) -> Line {
    let mut line = Line::new();
    for (index, tag) in tags.iter().enumerate() {
        line.push(text(match index {
            0 => lang.pick("最新的标签：", " The newest tags are "),
            _ => lang.pick("、", ", "),
        }));
        line.push(Span::Code(tag.clone()));
    }
    if !line.is_empty() {
        line.push(text(lang.pick("。", ".")));
    }
    line
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
    if let Some(emergency) = &plan.emergency {
        let (zh, en) = emergency.without().map_or_else(Default::default, |without| {
            (format!("，{}", without.zh), format!(" {}", without.en))
        });
        let review = &emergency.review;
        let words = Text::new(
            format!(" 作为紧急操作{zh}；已通知 `{review}` 复核。"),
            format!(" goes ahead as an emergency{en}; `{review}` is called to review it."),
        );
        line.extend(with_code(words.get(lang)));
    }
    match ahead.first() {
        _ if plan.checklist.is_some() => line.push(text(match plan.approval {
            Some(_) => lang.pick(
                " 等待批准和检查清单，都通过后执行。",
                " waits for approval and its checklist, and is done after both.",
            ),
            None => lang.pick(
                " 等待检查清单，通过后执行。",
                " waits for its checklist, and is done after that.",
            ),
        })),
        _ if plan.approval.is_some() => line.push(text(
            lang.pick(" 等待批准，获批后执行。", " waits for approval, and is done after that."),
        )),
        _ if freeze::is_waited_for(plan, context) => {}
        Some(first) => {
            let count = ahead.len();
            line.push(text(match lang {
                crate::core::text::Lang::Zh => format!(" 已排队，前面有 {count} 个："),
                crate::core::text::Lang::En => format!(" is queued behind {count}: "),
            }));
            line.push(Span::Code(first.id.to_string()));
        }
        None if plan.emergency.is_some() => {}
        None => line.push(text(lang.pick(" 已接受。", " is accepted."))),
    }
    line.extend(freeze::waits(plan, context));
    if asked.channel != plan.channel.as_str() {
        line.push(text(lang.pick(" 进展见 ", " Follow it in ")));
        line.push(message_link(context, None, &plan.channel, ""));
    }
    Card { summary: super::plain(&line), tone: Tone::Neutral, parts: vec![Part::Paragraph(line)] }
}
