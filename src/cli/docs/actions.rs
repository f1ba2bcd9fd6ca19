//! `docs/actions.md`: what the runbook lets people do, from the runbook itself. What stands in a runbook is text
//! here, whatever it holds.

use super::markdown::{code, plain, row, sentence};
use anyhow::{Context as _, bail};
use neostock_ops::command::{self, Command, action_usage};
use neostock_ops::core::action::{
    Action, Approval, Environment, LocalTemplate, Lock, Parameter, ParameterKind, Runbook, Step,
    StepKind, Suggest,
};
use neostock_ops::core::checklist::{By, Checklist};
use neostock_ops::core::duration::spell;
use neostock_ops::core::freeze::{Freeze, Then as Meanwhile};
use neostock_ops::core::rule::{Condition, Listed, Rule, Terms, Then};
use neostock_ops::core::text::{Lang, Text};

const HEAD: &str = "\
# Actions / 操作

<!-- Written by `neostock-ops docs actions` from the runbook: change the runbook, then write it anew. -->
";
/// What stands for a person and for a run in an example: who types it picks another.
const PERSON: &str = "<@U0123456789>";
const RUN: &str = "R-7K3QZD5A";
const VERSION: &str = "v1.4";

/// The whole document.
///
/// # Errors
/// An example that the bot itself would not understand: then this file, or the parser, is wrong.
pub fn page(runbook: &Runbook) -> anyhow::Result<String> {
    let mut page = format!(
        "{HEAD}\nWhat people can ask of the service {}, and exactly what is then done. 可以对该服务做什么，以及具体怎样做。\n\
         `<…>` is required, `[…]` is not. `<…>` 必填，`[…]` 可选。\n\n",
        code(&runbook.service)
    );
    page += &environments(runbook);
    page += &row(["Command / 命令", "中文", "English", "Role / 角色"]);
    page += "|---|---|---|---|\n";
    for action in runbook.actions.values() {
        let link = format!("[{}](#{})", code(&action.name), action.name);
        let (zh, en) = (plain(&action.summary.zh), plain(&action.summary.en));
        page += &row([link.as_str(), &zh, &en, &code(&action.role)]);
    }
    for action in runbook.actions.values() {
        page += &one(action, runbook)?;
    }
    if !runbook.checklists.is_empty() {
        page += "\n# Checklists / 检查清单\n";
        page += "\nA run begins when every item is in order: checked by a program (exit code 0 passes, 1 does not, any other \
                 could not be checked), or ticked off on its card. 每一项由程序检查（退出码 0 通过，1 未通过，其他为无法检查）\
                 或由人在卡片上确认，全部通过后才会执行。\n";
    }
    for checklist in runbook.checklists.values() {
        page += &list(checklist);
    }
    Ok(page)
}

fn environments(runbook: &Runbook) -> String {
    let name = |one: &Environment| {
        let default = if one.default { " (default / 默认)" } else { "" };
        let protected = if one.protected { " 🛡️" } else { "" };
        format!("{}{default}{protected}", code(&one.name))
    };
    let names: Vec<String> = runbook.environments.values().map(name).collect();
    format!("**Environments / 环境**, as `env=…`: {}\n\n", names.join(", "))
}

fn one(action: &Action, runbook: &Runbook) -> anyhow::Result<String> {
    let mut text = format!(
        "\n## {}\n\n{} · {}\n\n{}\n\nFor example / 例如: {}\n",
        action.name,
        plain(&action.summary.zh),
        plain(&action.summary.en),
        code(&format!("/neostock {}", action_usage(action))),
        code(&format!("/neostock {}", example(action, runbook)?)),
    );
    if !action.parameters.is_empty() {
        text.push('\n');
        text += &row(["Parameter / 参数", "Takes / 取值", "Default / 默认", "中文", "English"]);
        text += "|---|---|---|---|---|\n";
    }
    for parameter in &action.parameters {
        let none = Text::same("–");
        let help = parameter.help.as_ref().unwrap_or(&none);
        let default = match (&parameter.default, parameter.required) {
            (Some(value), _) => code(value),
            (None, true) => "required / 必填".to_owned(),
            (None, false) => "–".to_owned(),
        };
        let (name, zh, en) = (code(&parameter.name), plain(&help.zh), plain(&help.en));
        text += &row([name.as_str(), &takes(parameter), &default, &zh, &en]);
    }
    text.push('\n');
    for line in terms(action, runbook) {
        text.extend(["- ", &line, "\n"]);
    }
    if action.steps.is_empty() {
        text +=
            "\nIt has no steps: its checklist is all there is to do. 没有步骤，只有检查清单。\n";
    } else {
        text.push('\n');
        text += &row([
            "#",
            "中文",
            "English",
            "Does / 执行",
            "At most / 时限",
            "If it is lost / 中断后",
        ]);
        text += "|---|---|---|---|---|---|\n";
    }
    for (at, step) in action.steps.iter().enumerate() {
        let number = (at + 1).to_string();
        let (zh, en) = (plain(&step.name.zh), plain(&step.name.en));
        let lost = if step.idempotent { "again / 重做" } else { "people decide / 由人决定" };
        text += &row([number.as_str(), &zh, &en, &does(step), &spell(step.timeout_ms), lost]);
    }
    let notices = [("✔", &action.notices.succeeded), ("✘", &action.notices.failed)];
    if notices.iter().any(|(_, notice)| notice.is_some()) {
        text += "\nAt the end it says / 结束时的通知:\n\n";
    }
    for (sign, notice) in notices {
        let Some(LocalTemplate { zh, en }) = notice else { continue };
        let (zh, en) = (plain(&zh.shown()), plain(&en.shown()));
        text.extend(["- ", sign, " ", &zh, " · ", &en, "\n"]);
    }
    Ok(text)
}

/// A command that the bot understands as this action: that is tried.
fn example(action: &Action, runbook: &Runbook) -> anyhow::Result<String> {
    let mut words = vec![action.name.clone()];
    words.extend(action.parameters.iter().map(given));
    let example = words.join(" ");
    let read = command::parse(&example, runbook);
    match read {
        Ok(Command::Action(ask)) if ask.action.name == action.name => {
            Ok(example.replace(PERSON, "@ann"))
        }
        Ok(_) => bail!("the example `{example}` is read as something else"),
        Err(misread) => Err(anyhow::anyhow!(misread.card(Lang::En).summary))
            .with_context(|| format!("the example `{example}` is not understood")),
    }
}

fn given(parameter: &Parameter) -> String {
    let default = || parameter.default.clone();
    match &parameter.kind {
        // Not the default: it may be what a rule denies.
        ParameterKind::GitRef => VERSION.to_owned(),
        ParameterKind::Choice(choices) => {
            let other = choices.iter().find(|choice| Some(*choice) != parameter.default.as_ref());
            other.or(choices.first()).cloned().unwrap_or_default()
        }
        ParameterKind::Duration => default().unwrap_or_else(|| "2h".to_owned()),
        ParameterKind::Number { min, .. } => default().unwrap_or_else(|| min.to_string()),
        ParameterKind::Text => default().unwrap_or_else(|| "工单 OPS-42".to_owned()),
        ParameterKind::User => PERSON.to_owned(),
        ParameterKind::Run => RUN.to_owned(),
    }
}

fn takes(parameter: &Parameter) -> String {
    let mut takes = match &parameter.kind {
        ParameterKind::GitRef => "tag, branch or commit / 标签、分支或提交".to_owned(),
        ParameterKind::Choice(choices) => {
            choices.iter().map(|choice| code(choice)).collect::<Vec<_>>().join(" ")
        }
        ParameterKind::Duration => "duration, `15m` / 时长".to_owned(),
        ParameterKind::Number { min, max } => format!("number, {min}…{max} / 数字"),
        ParameterKind::Text => "text / 文字".to_owned(),
        ParameterKind::User => "person / 人".to_owned(),
        ParameterKind::Run => "run / 执行编号".to_owned(),
    };
    if let Some(Suggest::LastGood) = parameter.suggest {
        takes += "; left out, the last good release is proposed / 省略时建议上一个正常的版本";
    }
    takes
}

/// On what terms it is done, one line each.
fn terms(action: &Action, runbook: &Runbook) -> Vec<String> {
    let mut lines = vec![format!("**Role / 角色**: {}", code(&action.role))];
    lines.push(match &action.approval {
        Some(terms) => format!("**Approval / 审批**: {}", approval(terms)),
        None => "**Approval / 审批**: nobody's / 不需要".to_owned(),
    });
    if let Some(name) = &action.checklist {
        lines.push(format!("**Checklist / 检查清单**: {}", list_link(name)));
    }
    for rule in &action.rules {
        lines.push(format!("**Rule / 规则**: {}", ruled(rule)));
    }
    let freezes = runbook.freezes.iter().filter(|one| one.actions.contains(&action.name));
    lines.extend(freezes.map(|one| format!("**Freeze / 冻结**: {}", frozen(one))));
    if let Some(emergency) = &runbook.emergency
        && emergency.actions.contains(&action.name)
    {
        lines.push(format!(
            "**Emergency / 紧急操作**: with `--emergency` and a reason, by {} too, without approval, checklist \
             and freeze; {} reviews it / 加 `--emergency` 和原因可不经审批、检查清单和冻结，事后由 {} 复核",
            code(&emergency.role),
            code(&emergency.review),
            code(&emergency.review),
        ));
    }
    if let Some(name) = &action.makes_live {
        lines.push(format!(
            "**Release / 发布**: {} is live once it has succeeded / 成功后即为线上版本",
            code(name)
        ));
    }
    if let Some(follow) = &action.on_failure {
        let from = action.steps.get(follow.from_step);
        let from = from.map_or_else(String::new, |step| {
            format!(" from “{}” on / 从「{}」起失败时", plain(&step.name.en), plain(&step.name.zh))
        });
        let with: Vec<String> = follow
            .arguments
            .iter()
            .map(|(name, value)| code(&format!("{name}={}", value.shown())))
            .collect();
        let (link, with) =
            (format!("[{0}](#{1})", code(&follow.action), follow.action), with.join(" "));
        lines.push(format!("**After a failure / 失败后**{from}: {link} {with}"));
    }
    lines.push(match action.lock {
        Lock::Environment => {
            "**Lock / 锁**: the environment, while it runs / 执行期间独占环境".to_owned()
        }
        Lock::None => "**Lock / 锁**: none, it goes beside others / 不占用环境".to_owned(),
    });
    lines
}

fn approval(terms: &Approval) -> String {
    let from = terms.from.iter().map(|role| code(role)).collect::<Vec<_>>().join(", ");
    let own = if terms.allows_self {
        "one's own counts / 本人可以"
    } else {
        "never one's own / 不能是本人"
    };
    let reuse = terms.reuse_ms.map_or_else(String::new, |ms| {
        format!("; counts again for the same commit within {0} / 同一提交 {0} 内有效", spell(ms))
    });
    let within = spell(terms.expires_ms);
    format!("{} × {from}, {own}, within / 等待 {within}{reuse}", terms.count)
}

fn ruled(rule: &Rule) -> String {
    let when = rule.when.iter().map(Condition::shown).collect::<Vec<_>>().join(", ");
    let when = code(&when);
    match &rule.then {
        Then::Deny(words) => {
            // As in chat, what stands between backticks is code.
            format!("{when}: denied / 禁止: {} · {}", sentence(&words.zh), sentence(&words.en))
        }
        Then::Allow { role, approval: terms, checklist } => {
            let asker = role.as_ref().map(|name| format!("role / 角色 {}", code(name)));
            let terms = terms.as_ref().map(|terms| match terms {
                Terms::None => "no approval / 不需要审批".to_owned(),
                Terms::Approval(terms) => format!("approval / 审批 {}", approval(terms)),
            });
            let checklist = checklist.as_ref().map(|listed| match listed {
                Listed::None => "no checklist / 没有检查清单".to_owned(),
                Listed::Checklist(name) => format!("checklist / 检查清单 {}", list_link(name)),
            });
            let said: Vec<String> = [asker, terms, checklist].into_iter().flatten().collect();
            format!("{when}: {}", said.join("; "))
        }
    }
}

fn frozen(freeze: &Freeze) -> String {
    let planned = &freeze.planned;
    let where_to = match &freeze.environments {
        None => "everywhere / 所有环境".to_owned(),
        Some(names) => names.iter().map(|name| code(name)).collect::<Vec<_>>().join(", "),
    };
    let meanwhile = match planned.then {
        Meanwhile::Wait => "waits / 等待",
        Meanwhile::Refuse => "is refused / 拒绝",
    };
    let by = planned.overridable_by.as_ref().map_or_else(
        || "nobody overrides it / 不能越过".to_owned(),
        |role| format!("{} may let it pass / 批准后可越过", code(role)),
    );
    format!(
        "{} {} · {}, {} {}, {where_to}; {meanwhile}; {by}",
        code(&planned.name),
        plain(&planned.summary.zh),
        plain(&planned.summary.en),
        plain(&planned.times.shown(Lang::En)),
        plain(planned.zone.name()),
    )
}

/// What a step does, and under which conditions.
fn does(step: &Step) -> String {
    let mut parts = vec![match &step.kind {
        StepKind::Run { argv } => {
            let words = argv.iter().map(|template| {
                let word = template.shown();
                let is_plain = !word.is_empty() && !word.contains([' ', '"', '\'', '\n']);
                if is_plain { word } else { format!("{word:?}") }
            });
            code(&words.collect::<Vec<_>>().join(" "))
        }
        StepKind::Http { url, expect, contains, within_ms } => {
            let body = contains
                .as_ref()
                .map_or_else(String::new, |text| format!(", with / 包含 {}", code(&text.shown())));
            format!(
                "GET {} → {expect}{body}, within / 期限 {}",
                code(&url.shown()),
                spell(*within_ms)
            )
        }
        StepKind::Logs { files, window, .. } => {
            let files = files.iter().map(|file| code(&file.shown())).collect::<Vec<_>>().join(" ");
            format!("log report / 日志报告: {files}, {}", code(&window.shown()))
        }
        StepKind::Journal { window } => {
            format!("journal report / 审计汇总: {}", code(&window.shown()))
        }
    }];
    if let Some(when) = &step.when {
        let text = when.text();
        parts.push(format!("{} / {}", plain(&text.en), plain(&text.zh)));
    }
    if let Some(retry) = &step.retry {
        parts.push(format!("tried again / 重试 {}", plain(&retry.shown())));
    }
    if step.always {
        parts.push("whatever happened before / 无论前面结果如何".to_owned());
    }
    if step.leaves_processes {
        parts.push("leaves processes / 保留其启动的进程".to_owned());
    }
    if !step.outputs.is_empty() {
        let names = step.outputs.iter().map(|name| code(name)).collect::<Vec<_>>().join(", ");
        parts.push(format!("hands on / 输出 {names}"));
    }
    if let Some(user) = &step.user {
        parts.push(format!("as / 以 {}", code(user)));
    }
    parts.join("; ")
}

fn list_link(name: &str) -> String {
    format!("[{}](#checklist-{name})", code(name))
}

fn list(checklist: &Checklist) -> String {
    let mut text = format!(
        "\n## Checklist {}\n\n{} · {}. Waits at most {}; what was found counts for {}. 最多等待 {}，结果有效 {}。\n\n",
        checklist.name,
        plain(&checklist.title.zh),
        plain(&checklist.title.en),
        spell(checklist.expires_ms),
        spell(checklist.valid_ms),
        spell(checklist.expires_ms),
        spell(checklist.valid_ms),
    );
    text += &row(["#", "中文", "English", "By / 由", "At most / 时限"]);
    text += "|---|---|---|---|---|\n";
    for (at, item) in checklist.items.iter().enumerate() {
        let number = (at + 1).to_string();
        let (zh, en) = (plain(&item.name.zh), plain(&item.name.en));
        let (by, most) = match &item.by {
            By::Check(step) => (does(step), spell(step.timeout_ms)),
            By::Tick { role, allows_self } => {
                let own = if *allows_self { "" } else { ", never who asked / 不能是发起人" };
                (format!("ticked by / 人工确认 {}{own}", code(role)), "–".to_owned())
            }
        };
        text += &row([number.as_str(), &zh, &en, &by, &most]);
    }
    text
}
