//! What the demo tells a person who comes by: the addresses, things to try, and what can be
//! typed. The commands come from the bot's own list and from the runbook in force.

use crate::command::{VERBS, action_usage};
use crate::core::action::{ParameterKind, Runbook};
use crate::sandbox::{CommandHint, Guide, Idea};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// As whom, what to type, 中文, English.
const IDEAS: [(&str, &str, &str, &str); 6] = [
    (
        "U0ANN",
        "deploy v1.3 手续费修复",
        "以安安的身份申请部署 v1.3，再换成 Bob 在卡片上批准，看它执行",
        "Ask to deploy v1.3 as 安安; then be Bob, approve it on its card and watch",
    ),
    (
        "U0BOB",
        "deploy v1.4 can I approve my own?",
        "以 Bob 的身份申请一次部署，再试着批准自己的申请",
        "Ask to deploy as Bob, then try to approve it yourself",
    ),
    (
        "U0ANN",
        "rollback",
        "只说“回滚”，不写版本：机器人会建议最近一个好的版本",
        "Say rollback without a version: the bot proposes the last good one",
    ),
    (
        "U0ANN",
        "recover",
        "打开灾难恢复检查清单，在卡片上逐项确认；有两项要换成 Bob",
        "Open the list for a disaster and tick it off on its card; two items are Bob's",
    ),
    (
        "U0BOB",
        "log-audit 1h",
        "看看最近一小时的错误、慢请求和失败的登录",
        "See the last hour's errors, slow routes and failed sign-ins",
    ),
    (
        "U0CAT",
        "help",
        "换成没有权限的小猫：看她能做什么、该找谁",
        "Be 小猫, who holds no role: see what she may do and whom to ask",
    ),
];

/// What the page helps people to type; `versions` newest first.
pub(super) fn guide(runbook: &Runbook, versions: &[String], channel: &str) -> Guide {
    let verbs = VERBS.iter().map(|spec| CommandHint {
        usage: format!("{} {}", spec.name, spec.usage).trim_end().to_owned(),
        zh: spec.zh.to_owned(),
        en: spec.en.to_owned(),
    });
    let actions = runbook.actions.values().map(|action| CommandHint {
        usage: action_usage(action),
        zh: action.summary.zh.clone(),
        en: action.summary.en.clone(),
    });
    let commands: Vec<CommandHint> = actions.chain(verbs).collect();
    let name = |usage: &str| usage.split(' ').next().unwrap_or_default().to_owned();
    let names: Vec<String> = commands.iter().map(|hint| name(&hint.usage)).collect();
    let environments = runbook.environments.keys().map(|name| format!("env={name}")).collect();
    let mut choices =
        BTreeMap::from([("command".to_owned(), names.clone()), ("env".to_owned(), environments)]);
    for parameter in runbook.actions.values().flat_map(|action| &action.parameters) {
        let known = match &parameter.kind {
            ParameterKind::Choice(words) => words.as_slice(),
            ParameterKind::GitRef => versions,
            _ => continue,
        };
        choices.insert(parameter.name.clone(), known.to_vec());
    }
    let ideas = IDEAS.iter().filter(|(_, text, ..)| names.contains(&name(text)));
    let ideas = ideas.map(|(user, text, zh, en)| Idea {
        user: (*user).to_owned(),
        channel: channel.to_owned(),
        text: (*text).to_owned(),
        zh: (*zh).to_owned(),
        en: (*en).to_owned(),
    });
    Guide { ideas: ideas.collect(), choices, commands }
}

/// What is printed once everything answers.
pub(super) fn welcome(page: &str, health: &str, service: &str, guide: &Guide) -> String {
    let mut text = format!(
        "\nNeoStock Ops · 演示 demo\n\n  \
         页面 page     {page}/\n  健康 health   {health}\n  服务 service  {service}\n\n\
         可以试试 · Things to try:\n"
    );
    for (number, idea) in guide.ideas.iter().enumerate() {
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "\n  {}. {}\n     {}\n     {page}/?as={}  →  /neostock {}\n",
            number + 1,
            idea.zh,
            idea.en,
            idea.user,
            idea.text
        );
    }
    text
}

/// How to have an alert, from another terminal: no button of the page makes one.
pub(super) fn alert(address: &str, token: &str) -> String {
    format!(
        "\n  ·  在另一个终端发送一个告警；一分钟内无人接手就升级，把 error 换成 critical 则立即成为事故\n     \
         Send an alert from another terminal; it rises unless somebody takes it within a minute, and with \
         critical for error it is an incident at once\n     \
         curl -H 'Authorization: Bearer {token}' -H 'Content-Type: application/json' {address}/webhooks/alerts -d \
         '{{\"name\":\"error_rate\",\"severity\":\"error\",\"summary\":\"7.2% of all answers are errors\",\"value\":\"7.2% > 5%\",\
         \"starts_at\":\"'$(date -u +%FT%TZ)'\"}}'\n\nCtrl-C 结束 · ends it\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_idea_is_a_command_that_exists() {
        let runbook = crate::config::runbook::parse(
            "runbook.yml",
            include_bytes!("../../runbook/runbook.yml"),
        )
        .expect("the shipped runbook has no faults");

        let guide = guide(&runbook, &["v1.3".to_owned(), "v1.2".to_owned()], "C0OPS");

        assert_eq!(guide.choices["version"], ["v1.3", "v1.2"]);
        assert!(guide.choices["command"].contains(&"rollback".to_owned()));
        assert!(!guide.ideas.is_empty());
        let welcome = welcome("http://127.0.0.1:1", "h", "s", &guide);
        assert!(alert("http://127.0.0.1:1", "t").contains("/webhooks/alerts"));
        for idea in &guide.ideas {
            assert!(welcome.contains(&idea.zh) && welcome.contains(&idea.en), "{welcome}");
        }
    }
}
