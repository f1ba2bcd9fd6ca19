//! The journal's kinds as people read them: a sentence each, and what they came to.

use super::text::Text;

/// What an entry came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was done, or counted.
    Ok,
    /// The person may not.
    Denied,
    /// It could not be understood, or did not count.
    Refused,
    /// It went wrong, or nobody knows how it went.
    Failed,
    /// People, or time, ended it.
    Stopped,
    /// A stage on the way.
    Progress,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 6] =
        [Self::Ok, Self::Denied, Self::Refused, Self::Failed, Self::Stopped, Self::Progress];

    /// The word in a filter.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Denied => "denied",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
            Self::Progress => "progress",
        }
    }

    /// Reads a filter's word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == word)
    }

    /// Its sign in a list.
    pub fn icon(self) -> &'static str {
        match self {
            Self::Ok => "✅",
            Self::Denied => "⛔",
            Self::Refused => "🟡",
            Self::Failed => "🚨",
            Self::Stopped => "🛑",
            Self::Progress => "▫️",
        }
    }

    /// The kinds that came to it.
    pub fn kinds(self) -> impl Iterator<Item = &'static str> {
        KINDS.iter().filter(move |(_, outcome, ..)| *outcome == self).map(|(kind, ..)| *kind)
    }
}

/// Every kind: what it came to, 中文, English.
const KINDS: &[(&str, Outcome, &str, &str)] = &[
    (
        "alerts.refused",
        Outcome::Refused,
        "收到的告警无法读取",
        "alerts that were sent cannot be read",
    ),
    ("bot.started", Outcome::Progress, "机器人启动", "the bot started"),
    (
        "bot.swept",
        Outcome::Progress,
        "清理了过期的证据与消息",
        "old evidence and messages were removed",
    ),
    ("trouble.began", Outcome::Failed, "发现故障", "something the bot needs went bad"),
    ("trouble.over", Outcome::Progress, "故障结束", "it is as it should be again"),
    (
        "alerting.reloaded",
        Outcome::Progress,
        "告警配置已重新读取",
        "read the alerting configuration anew",
    ),
    ("alert.opened", Outcome::Failed, "出现告警", "an alert was opened"),
    ("alert.told", Outcome::Progress, "告警已通知", "people were told of an alert"),
    (
        "alert.kept_quiet",
        Outcome::Progress,
        "告警静默或被抑制，没有叫人",
        "nobody was told of an alert, for it is silenced or inhibited",
    ),
    ("alert.acknowledged", Outcome::Ok, "告警已有人处理", "an alert was taken"),
    ("alert.given_back", Outcome::Stopped, "告警被放回", "an alert was given back"),
    (
        "alert.reminded",
        Outcome::Progress,
        "提醒告警处理人",
        "asked whether an alert is still looked after",
    ),
    ("alert.escalated", Outcome::Ok, "告警被人升级", "somebody wanted more people for an alert"),
    ("alert.silenced", Outcome::Ok, "告警已静默", "an alert was silenced"),
    ("alert.unsilenced", Outcome::Ok, "告警静默被取消", "a silence was ended"),
    ("alert.inhibited", Outcome::Progress, "告警被抑制", "another alert explains an alert"),
    ("alert.released", Outcome::Progress, "告警不再被抑制", "an alert is not explained any more"),
    ("alert.incident", Outcome::Failed, "事故开始", "an alert became an incident"),
    (
        "alert.recovery_overdue",
        Outcome::Failed,
        "恢复超过时限",
        "a recovery takes longer than it may",
    ),
    (
        "alert.undelivered",
        Outcome::Failed,
        "告警通知没有送达",
        "a notice of an alert did not get through",
    ),
    ("alert.settling", Outcome::Progress, "告警反复，观察中", "an alert comes and goes"),
    ("alert.resolved", Outcome::Ok, "告警结束", "an alert is over"),
    ("alert.resolved_by_hand", Outcome::Ok, "告警被人关闭", "an alert was resolved by hand"),
    ("runbook.reloaded", Outcome::Progress, "操作手册已重新读取", "read the runbook anew"),
    (
        "runbook.refused",
        Outcome::Refused,
        "新的操作手册有错误，继续用旧的",
        "refused a faulty runbook and kept the old one",
    ),
    ("rule.fired", Outcome::Failed, "规则触发", "a rule fires"),
    ("rule.ended", Outcome::Progress, "规则恢复", "a rule that fired is in order again"),
    ("rule.unknown", Outcome::Failed, "规则无法评估", "a rule cannot be evaluated"),
    ("rule.known", Outcome::Progress, "规则恢复评估", "a rule can be evaluated again"),
    (
        "rule.changed",
        Outcome::Progress,
        "规则已修改，重新开始",
        "a rule was changed and starts anew",
    ),
    (
        "rule.removed",
        Outcome::Progress,
        "规则已删除",
        "a rule is not in the configuration any more",
    ),
    ("request.answered", Outcome::Ok, "查询", "asked"),
    ("request.denied", Outcome::Denied, "没有权限，被拒绝", "was denied"),
    (
        "request.other_team",
        Outcome::Denied,
        "来自别的工作区，被拒绝",
        "came from another workspace",
    ),
    (
        "request.refused",
        Outcome::Refused,
        "请求无法执行",
        "was not understood, or could not be done",
    ),
    ("press.refused", Outcome::Refused, "按了失效的按钮", "pressed a button of the past"),
    ("decision.approved", Outcome::Ok, "批准", "approved"),
    ("decision.rejected", Outcome::Stopped, "拒绝批准", "rejected"),
    ("decision.cancelled", Outcome::Stopped, "要求取消", "cancelled"),
    ("decision.refused", Outcome::Refused, "决定不算数", "decided, and it did not count"),
    (
        "settle.handed_on",
        Outcome::Progress,
        "处理已转给另一台主机的机器人",
        "settled, for the bot of another host to do",
    ),
    ("settle.refused", Outcome::Refused, "处理未被接受", "tried to settle, and was refused"),
    ("run.requested", Outcome::Ok, "发起", "asked for"),
    (
        "run.follows",
        Outcome::Progress,
        "因另一次执行失败而自动发起",
        "follows the failure of another run",
    ),
    ("run.queued", Outcome::Progress, "进入队列", "was queued"),
    ("run.gate_voided", Outcome::Progress, "批准或检查失效", "lost a gate that held"),
    (
        "run.frozen",
        Outcome::Progress,
        "轮到时处于冻结时段，继续等待",
        "waits again: a freeze began",
    ),
    ("freeze.overridden", Outcome::Ok, "申请越过冻结", "asked to go ahead in spite of a freeze"),
    (
        "run.gate_unasked",
        Outcome::Progress,
        "轮到时无法向 Slack 确认角色，等待中",
        "waits: Slack could not be asked about its people",
    ),
    ("run.superseded", Outcome::Stopped, "以新的执行取代", "put another run in the place of"),
    ("run.reminded", Outcome::Progress, "提醒处理", "reminded people of a lost step"),
    ("supersede.refused", Outcome::Refused, "取代未被接受", "tried to supersede, and was refused"),
    ("lock.taken_over", Outcome::Stopped, "接管环境的锁", "took an environment's lock over"),
    (
        "lock.refused",
        Outcome::Refused,
        "接管未被接受",
        "tried to take a lock over, and was refused",
    ),
    ("run.started", Outcome::Progress, "开始执行", "began"),
    ("run.resumed", Outcome::Progress, "由机器人接手", "was taken up again"),
    ("run.rejected", Outcome::Stopped, "因被拒绝而结束", "ended: rejected"),
    ("run.expired", Outcome::Stopped, "因无人及时批准而结束", "ended: nobody approved in time"),
    ("run.cancelled", Outcome::Stopped, "因取消而结束", "ended: cancelled"),
    (
        "approval.reused",
        Outcome::Ok,
        "沿用之前的批准",
        "goes on approvals of an earlier run of the same work",
    ),
    ("role.delegated", Outcome::Ok, "委托审批", "lets somebody decide in their place"),
    ("role.delegation_ended", Outcome::Stopped, "结束委托", "ended a delegation"),
    ("oncall.overridden", Outcome::Ok, "调整值班", "changed who is on call"),
    ("oncall.override_ended", Outcome::Stopped, "取消值班调整", "ended a change of who is on call"),
    ("oncall.handed_over", Outcome::Progress, "值班交接", "somebody else is on call"),
    ("silence.begun", Outcome::Ok, "静默告警", "silenced alerts for a while"),
    ("silence.ended", Outcome::Stopped, "结束静默", "ended a silence"),
    (
        "silence.warned",
        Outcome::Progress,
        "静默即将结束，已提醒",
        "a silence's owner was warned of its end",
    ),
    ("follow_up.made", Outcome::Ok, "登记后续事项", "wrote down what is to be done"),
    ("follow_up.done", Outcome::Ok, "后续事项已完成", "did what was to be done"),
    ("follow_up.reminded", Outcome::Progress, "提醒后续事项", "was reminded of what is to be done"),
    (
        "emergency.used",
        Outcome::Ok,
        "作为紧急操作执行（未经审批）",
        "did it as an emergency, without approval",
    ),
    (
        "emergency.reminded",
        Outcome::Progress,
        "提醒复核紧急操作",
        "reminded people of an emergency to be reviewed",
    ),
    ("emergency.reviewed", Outcome::Ok, "复核了紧急操作", "reviewed an emergency"),
    ("review.refused", Outcome::Refused, "复核未被接受", "tried to review, and it did not count"),
    ("checklist.begun", Outcome::Progress, "开始检查清单的检查", "began the checks of a checklist"),
    ("checklist.ticked", Outcome::Ok, "确认检查清单的一项", "ticked an item of a checklist off"),
    ("checklist.again", Outcome::Ok, "重新检查", "had the checks of a checklist done again"),
    (
        "checklist.refused",
        Outcome::Refused,
        "对检查清单的操作不算数",
        "wanted something of a checklist, and it did not count",
    ),
    ("release.live", Outcome::Ok, "版本上线", "made a version live"),
    ("step.starting", Outcome::Progress, "步骤将启动", "is about to start a step"),
    ("step.started", Outcome::Progress, "步骤启动", "started a step"),
    (
        "step.never_started",
        Outcome::Progress,
        "步骤没有启动，将再试",
        "a step never started; trying again",
    ),
    ("step.cannot_start", Outcome::Failed, "步骤无法启动", "a step could not be started"),
    ("step.ok", Outcome::Ok, "步骤完成", "a step was done"),
    ("step.failed", Outcome::Failed, "步骤失败", "a step failed"),
    ("step.timed_out", Outcome::Failed, "步骤超时", "a step took too long"),
    ("step.cancelled", Outcome::Stopped, "步骤被停止", "a step was stopped"),
    (
        "step.skipped",
        Outcome::Progress,
        "步骤已跳过：条件不成立",
        "a step was passed over: its condition does not hold",
    ),
    ("step.retrying", Outcome::Progress, "步骤失败，稍后重试", "a step failed and is tried again"),
    ("step.lost", Outcome::Failed, "步骤结果未知", "a step's outcome is unknown"),
    (
        "step.amended",
        Outcome::Progress,
        "失联主机恢复，补记证据",
        "the evidence of a step appeared late",
    ),
    ("host.unreachable", Outcome::Failed, "主机失联", "its host cannot be asked"),
    ("host.reachable", Outcome::Progress, "主机恢复", "its host can be asked again"),
    ("step.again", Outcome::Progress, "重做步骤", "a step is done again"),
    ("step.settled_ok", Outcome::Ok, "人工确认步骤已完成", "said that a step was done"),
    ("step.settled_failed", Outcome::Failed, "人工确认步骤未完成", "said that a step was not done"),
    (
        "step.survivors_stopped",
        Outcome::Stopped,
        "停止遗留的进程",
        "stopped what a step left running",
    ),
    ("notice.refused", Outcome::Failed, "一条消息未被接受", "a message was refused for good"),
    ("compliance.reported", Outcome::Ok, "发布合规报告", "made the compliance report"),
    ("journal.read", Outcome::Ok, "查阅他人的日志记录", "read other people's entries"),
    ("journal.exported", Outcome::Ok, "导出审计日志", "exported the journal"),
    (
        "journal.archived",
        Outcome::Progress,
        "归档并移出旧的日志记录",
        "archived old entries and removed them from the database",
    ),
    (
        "journal.head_posted",
        Outcome::Progress,
        "公布当天的日志头",
        "posted the journal's head of the day",
    ),
    ("journal.key_changed", Outcome::Progress, "日志换了密钥", "the journal's key changed"),
    (
        "journal.key_began",
        Outcome::Progress,
        "日志启用新密钥",
        "the journal goes on under a new key",
    ),
    (
        "journal.key_lost",
        Outcome::Failed,
        "日志的密钥丢失，之前的内容已整体封存",
        "the journal's key was lost; what stood there was sealed as a whole",
    ),
];

/// What a kind came to and its sentence; `None` for a kind of a later version.
pub fn of(kind: &str) -> Option<(Outcome, Text)> {
    let (_, outcome, zh, en) = KINDS.iter().find(|(known, ..)| *known == kind)?;
    Some((*outcome, Text::new(*zh, *en)))
}

/// The kinds that begin so.
pub fn beginning_with(prefix: &str) -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|(kind, ..)| *kind).filter(move |kind| kind.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_that_is_documented_has_its_words_and_no_other() {
        let documented = include_str!("../../docs/journal.md");
        let section = documented.split("Kinds of this version").nth(1).unwrap();
        let section = section.split("Requests that are not Slack's").next().unwrap();
        let mut names: Vec<&str> = section
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|name| name.contains('.') && !name.contains('/'))
            .collect();
        for name in &names {
            assert!(of(name).is_some(), "{name} has no words");
        }
        // A kind that this version reads and does not write any more.
        names.push("press.refused");
        for (kind, ..) in KINDS {
            assert!(names.contains(kind), "{kind} is not documented");
        }
    }

    #[test]
    fn an_outcome_is_read_as_it_is_written_and_has_kinds() {
        for outcome in Outcome::ALL {
            assert_eq!(Outcome::parse(outcome.as_str()), Some(outcome));
            assert!(outcome.kinds().count() > 0, "{outcome:?}");
        }
        assert_eq!(
            Outcome::Denied.kinds().collect::<Vec<_>>(),
            ["request.denied", "request.other_team"]
        );
    }
}
