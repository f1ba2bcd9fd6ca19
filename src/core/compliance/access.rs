//! The access rules in force, as the runbook says them, with their lines.

use super::page::Group;
use crate::core::action::{Action, Approval, Emergency, Member, Role, Runbook};
use crate::core::card::{Line, Span, text};
use crate::core::duration;
use crate::core::param::cut;
use crate::core::rule::{Condition, Listed, Rule, Terms, Then};
use crate::core::text::Lang;

const ROLES_MAX: usize = 20;
const MEMBERS_MAX: usize = 15;
const ACTIONS_MAX: usize = 25;
const RULES_MAX: usize = 8;
const LOGINS_MAX: usize = 15;

/// Roles with their members, actions with their terms, and system users.
pub(super) fn groups(runbook: &Runbook, lang: Lang) -> Vec<Group> {
    let source = lang.pick("操作手册", "the runbook");
    let more = |all: usize, shown: usize| all.saturating_sub(shown) as u64;
    let roles = Group::new(lang.pick("角色与成员", "Roles and their members"), source)
        .with(runbook.roles.values().take(ROLES_MAX).map(|role| role_line(role, lang)))
        .and_more(more(runbook.roles.len(), ROLES_MAX));
    let emergency = runbook.emergency.as_ref();
    let actions = runbook.actions.values().take(ACTIONS_MAX);
    let actions = Group::new(lang.pick("每个操作的规则", "The rules of each action"), source)
        .with(actions.map(|action| action_line(action, emergency, lang)))
        .and_more(more(runbook.actions.len(), ACTIONS_MAX));
    let logins = runbook.logins.iter().take(LOGINS_MAX).map(|(login, user)| {
        vec![Span::Code(cut(login)), text(" = "), Span::Code(user.to_string())]
    });
    let logins = Group::new(
        lang.pick("主机上的系统用户各是谁", "Who the system users of the machine are"),
        source,
    )
    .with(logins)
    .and_more(more(runbook.logins.len(), LOGINS_MAX));
    vec![roles, actions, logins]
}

/// `operator` (line 12): S0OPS, U0BOB; how long an answer of Slack counts.
fn role_line(role: &Role, lang: Lang) -> Line {
    let mut line = named(&role.name, role.line, lang);
    for (index, member) in role.members.iter().take(MEMBERS_MAX).enumerate() {
        if index > 0 {
            line.push(text(", "));
        }
        // An id and no mention: a report calls nobody.
        line.push(match member {
            Member::Everyone => text(lang.pick("每个正式成员", "every full member")),
            Member::User(id) | Member::Group(id) => Span::Code(id.clone()),
        });
    }
    let more = role.members.len().saturating_sub(MEMBERS_MAX);
    if more > 0 {
        line.push(text(match lang {
            Lang::Zh => format!("，另有 {more} 个"),
            Lang::En => format!(" and {more} more"),
        }));
    }
    line.push(text(match (role.max_age_ms, lang) {
        (Some(ms), Lang::Zh) => format!("；Slack 无法查询时采信 {} 内的答复", duration::spell(ms)),
        (Some(ms), Lang::En) => {
            format!("; while Slack is away, its answers count for {}", duration::spell(ms))
        }
        (None, Lang::Zh) => "；Slack 无法查询时采信 1m 内的答复".to_owned(),
        (None, Lang::En) => "; while Slack is away, its answers count for 1m".to_owned(),
    }));
    line
}

fn action_line(action: &Action, emergency: Option<&Emergency>, lang: Lang) -> Line {
    let mut line = named(&action.name, action.role_line, lang);
    line.push(text(lang.pick("角色 ", "role ")));
    line.push(Span::Code(action.role.clone()));
    line.push(text(lang.pick("；", "; ")));
    line.extend(match &action.approval {
        Some(approval) => approval_line(approval, lang),
        None => vec![text(lang.pick("不需要审批", "no approval"))],
    });
    line.extend(action.checklist.iter().flat_map(|name| checklist_line(name, lang)));
    if let Some(emergency) = emergency.filter(|one| one.actions.contains(&action.name)) {
        line.push(text(lang.pick("；紧急操作由 ", "; as an emergency by ")));
        line.push(Span::Code(emergency.role.clone()));
        line.push(text(lang.pick(" 免审批执行，事后由 ", ", without approval, reviewed by ")));
        line.push(Span::Code(emergency.review.clone()));
        line.push(text(match lang {
            Lang::Zh => format!(" 复核 (第 {} 行)", emergency.line),
            Lang::En => format!(" (line {})", emergency.line),
        }));
    }
    if let Some(follows) = &action.on_failure {
        line.push(text(lang.pick("；失败后自动执行 ", "; when it fails, by itself ")));
        line.push(Span::Code(follows.action.clone()));
    }
    for rule in action.rules.iter().take(RULES_MAX) {
        line.push(text("\n    "));
        line.extend(rule_line(rule, lang));
    }
    let more = action.rules.len().saturating_sub(RULES_MAX);
    if more > 0 {
        line.push(text(match lang {
            Lang::Zh => format!("\n    另有 {more} 条规则"),
            Lang::En => format!("\n    and {more} more rules"),
        }));
    }
    line
}

fn rule_line(rule: &Rule, lang: Lang) -> Line {
    let asked: Vec<String> = rule.when.iter().map(Condition::shown).collect();
    let mut line = vec![
        text(match lang {
            Lang::Zh => format!("第 {} 行：", rule.line),
            Lang::En => format!("line {}: ", rule.line),
        }),
        Span::Code(cut(&asked.join(", "))),
        text(" → "),
    ];
    match &rule.then {
        Then::Deny(words) => {
            line.push(text(lang.pick("任何人都不可以：", "nobody may: ")));
            line.push(text(cut(words.get(lang))));
        }
        Then::Allow { role, approval, checklist } => {
            if let Some(role) = role {
                line.push(text(lang.pick("角色 ", "role ")));
                line.push(Span::Code(role.clone()));
                line.push(text(lang.pick("；", "; ")));
            }
            line.extend(match approval {
                Some(Terms::Approval(approval)) => approval_line(approval, lang),
                Some(Terms::None) => vec![text(lang.pick("不需要审批", "no approval"))],
                None => vec![text(lang.pick("审批同上", "the approval as above"))],
            });
            match checklist {
                Some(Listed::Checklist(name)) => line.extend(checklist_line(name, lang)),
                Some(Listed::None) => {
                    line.push(text(lang.pick("；不需要检查清单", "; no checklist")));
                }
                None => {}
            }
        }
    }
    line
}

fn checklist_line(name: &str, lang: Lang) -> Line {
    vec![text(lang.pick("；检查清单 ", "; checklist ")), Span::Code(name.to_owned())]
}

/// How many of which roles, whether one's own counts, and for how long.
fn approval_line(approval: &Approval, lang: Lang) -> Line {
    let Approval { from, count, allows_self, expires_ms, reuse_ms } = approval;
    let mut line = vec![text(match lang {
        Lang::Zh => format!("需要 {count} 人批准，来自 "),
        Lang::En => format!("approved by {count} of "),
    })];
    for (index, role) in from.iter().enumerate() {
        if index > 0 {
            line.push(text(lang.pick("、", ", ")));
        }
        line.push(Span::Code(role.clone()));
    }
    line.push(text(match (allows_self, lang) {
        (true, Lang::Zh) => "，自己批准也算",
        (true, Lang::En) => ", one's own counts",
        (false, Lang::Zh) => "，自己批准不算",
        (false, Lang::En) => ", never one's own",
    }));
    let expires = duration::spell(*expires_ms);
    line.push(text(match lang {
        Lang::Zh => format!("，{expires} 内有效"),
        Lang::En => format!(", within {expires}"),
    }));
    if let Some(ms) = reuse_ms {
        let reuse = duration::spell(*ms);
        line.push(text(match lang {
            Lang::Zh => format!("，{reuse} 内对同样的工作沿用"),
            Lang::En => format!(", counts again for the same work within {reuse}"),
        }));
    }
    line
}

fn named(name: &str, at: usize, lang: Lang) -> Line {
    vec![
        Span::Code(name.to_owned()),
        text(match lang {
            Lang::Zh => format!("（第 {at} 行）："),
            Lang::En => format!(" (line {at}): "),
        }),
    ]
}
