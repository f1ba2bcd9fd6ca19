//! The compliance report of the manual (合规检查): data protection, access control, journal, backups; facts
//! with their sources, as cards. What was not checked is said to be not known, never to be in order.

mod access;
mod page;
mod protection;
mod used;

pub use protection::{
    Database, Endpoint, FileFact, FileKind, Probe, Protection, STATEMENT_CHARS_MAX,
};
pub use used::{KINDS, Used};

use super::action::{Action, Runbook, StepKind};
use super::card::{Card, Line, Part, Span, Tone, text};
use super::duration;
use super::id::ChannelId;
use super::journal::Anchor;
use super::param::cut;
use super::text::{Lang, Text};
use page::Group;
use serde_json::Value;
use sha2::{Digest, Sha256};
use used::{person, run_line};

/// The journal's kind of a report.
pub const KIND_REPORTED: &str = "compliance.reported";
/// How far back a report looks when nobody says.
pub const WINDOW_DEFAULT_MS: u64 = 30 * DAY_MS;
/// The shortest and the longest look back.
pub const WINDOW_MS_MIN: u64 = 3_600_000;
/// See above.
pub const WINDOW_MS_MAX: u64 = 366 * DAY_MS;
/// The manual tests every month that a backup restores.
pub const RESTORE_TEST_EVERY_MS: i64 = 31 * 86_400_000;
/// Lines of each list that the database gives.
pub const LISTED_MAX: usize = 15;
/// Tests of backups that are listed: an action in an environment each.
pub const TESTS_MAX: usize = 20;
const DAY_MS: u64 = 86_400_000;
const WARNINGS_MAX: usize = 12;
const DIGEST_SHOWN: usize = 12;

/// The program of the manual that proves that a backup restores, and the action named after it.
const RESTORE_TEST_NAMES: [&str; 2] = ["verify-backup", "backup-verify"];

/// Some of many.
#[derive(Debug, Clone, Default)]
pub struct Few<T> {
    /// At most [`LISTED_MAX`].
    pub shown: Vec<T>,
    /// How many there are.
    pub total: u64,
}

impl<T> Few<T> {
    fn more(&self) -> u64 {
        self.total.saturating_sub(self.shown.len() as u64)
    }
}

/// A run that was done as an emergency.
#[derive(Debug, Clone)]
pub struct Emergency {
    /// Which.
    pub run: String,
    /// What, where and by whom.
    pub action: String,
    /// See above.
    pub environment: String,
    /// See above.
    pub actor: String,
    /// Why, in their words.
    pub reason: String,
    /// When it was asked for.
    pub at_ms: i64,
    /// Who reviewed it, what they wrote, and when; `None`: nobody yet.
    pub review: Option<(String, String, i64)>,
}

/// An approval by whoever asked.
#[derive(Debug, Clone)]
pub struct OwnApproval {
    /// Of which run.
    pub run: String,
    /// What, where and by whom.
    pub action: String,
    /// See above.
    pub environment: String,
    /// See above.
    pub actor: String,
    /// When.
    pub at_ms: i64,
}

/// Somebody decided in another's place.
#[derive(Debug, Clone)]
pub struct Delegated {
    /// In which role.
    pub role: String,
    /// In whose place.
    pub from: String,
    /// Who.
    pub to: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub at_ms: i64,
    /// Until when.
    pub until_ms: i64,
}

/// The newest entry of a kind.
#[derive(Debug, Clone)]
pub struct Newest {
    /// When.
    pub at_ms: i64,
    /// By whom.
    pub actor: String,
    /// What it says: its last entry, or its own kind.
    pub about: String,
}

/// What is known of the journal itself.
#[derive(Debug, Clone)]
pub struct JournalFacts {
    /// Where the chain ends.
    pub head: Anchor,
    /// The first entry that is there, and when it was written; `None`: the journal is empty.
    pub first: Option<(i64, i64)>,
    /// The key of the newest entry; empty: none.
    pub key_id: String,
    /// The newest post of the day's head.
    pub posted: Option<Newest>,
    /// The newest archive.
    pub archived: Option<Newest>,
    /// The newest export.
    pub exported: Option<Newest>,
    /// The newest change or loss of the key.
    pub key_event: Option<Newest>,
}

/// A test of backups: an action in an environment.
#[derive(Debug, Clone)]
pub struct RestoreTest {
    /// The action.
    pub action: String,
    /// The environment.
    pub environment: String,
    /// The run that ended last.
    pub last: Option<TestRun>,
    /// The one that succeeded last.
    pub succeeded: Option<TestRun>,
}

/// A run of a test.
#[derive(Debug, Clone)]
pub struct TestRun {
    /// Which.
    pub run: String,
    /// How it ended.
    pub outcome: Text,
    /// When.
    pub at_ms: i64,
    /// Who asked for it.
    pub actor: String,
}

/// Everything that a report tells.
pub struct Facts<'f> {
    /// The reviewed file in force.
    pub runbook: &'f Runbook,
    /// The window of time: since, until.
    pub span: (i64, i64),
    /// Who asked for the report.
    pub asked_by: String,
    /// What people did.
    pub used: Used,
    /// Emergencies that nobody has reviewed, however old.
    pub open: Few<Emergency>,
    /// Emergencies of the window that somebody has.
    pub reviewed: Few<Emergency>,
    /// Approvals by the asker.
    pub own: Few<OwnApproval>,
    /// Delegations that were in force.
    pub delegated: Few<Delegated>,
    /// The journal itself.
    pub journal: JournalFacts,
    /// How data is protected.
    pub protection: Protection,
    /// Tests of backups; empty: the runbook has no such action.
    pub tests: Vec<RestoreTest>,
}

/// A report as messages: the first, and those below it.
#[derive(Debug, Clone)]
pub struct Report {
    /// What should be looked at.
    pub head: Card,
    /// The facts.
    pub sections: Vec<Card>,
}

impl Report {
    /// What the journal names it by: SHA-256 of its messages.
    pub fn digest(&self) -> String {
        let cards = [&self.head].into_iter().chain(&self.sections);
        let bodies = cards.map(|card| serde_json::to_string(card).unwrap_or_default());
        hex::encode(bodies.fold(Sha256::new(), Sha256::chain_update).finalize())
    }
}

/// A report that is to be posted.
#[derive(Debug, Clone)]
pub struct Posting {
    /// Where.
    pub channel: ChannelId,
    /// What.
    pub report: Report,
    /// The answer to whoever asked.
    pub answer: String,
    /// More for the journal.
    pub detail: Value,
}

/// Whether an action proves that a backup restores: it bears the manual's name for that, or a step does.
pub fn is_restore_test(action: &Action) -> bool {
    let is_named = |text: &str| RESTORE_TEST_NAMES.iter().any(|name| text.contains(name));
    let by_step = action.steps.iter().any(|step| match &step.kind {
        StepKind::Run { argv } => argv.iter().any(|word| is_named(&word.shown())),
        StepKind::Http { .. } | StepKind::Logs { .. } | StepKind::Journal { .. } => false,
    });
    is_named(&action.name) || by_step
}

impl Facts<'_> {
    /// The report in a language.
    pub fn report(&self, lang: Lang) -> Report {
        let mut access = access::groups(self.runbook, lang);
        access.insert(0, self.in_force(lang));
        let mut used = self.used.groups(lang);
        if self.used.is_cut {
            used.push(Group::new(
                lang.pick("注意", "Note"),
                lang.pick(
                    "记录太多，只统计了较新的一部分",
                    "too many entries: only the newer ones are counted",
                ),
            ));
        }
        let titled = |zh: &str, en: &str, groups| page::card(lang.pick(zh, en), groups, lang);
        Report {
            head: self.head(lang),
            sections: vec![
                titled("1 数据保护", "1 Data protection", self.protection.groups(lang)),
                titled("2 访问控制：规则", "2 Access control: the rules", access),
                titled("2 访问控制：使用", "2 Access control: their use", used),
                titled("2 访问控制：绕过", "2 Access control: bypassed", self.bypassed(lang)),
                titled("3 审计日志", "3 Audit journal", vec![self.journal_group(lang)]),
                titled("4 备份策略", "4 Backups", self.tests_groups(lang)),
            ],
        }
    }

    fn head(&self, lang: Lang) -> Card {
        let (since_ms, until_ms) = self.span;
        let window = duration::spell(until_ms.abs_diff(since_ms));
        let title = match lang {
            Lang::Zh => format!("合规报告 · 最近 {window}"),
            Lang::En => format!("Compliance report · the last {window}"),
        };
        let span = vec![
            Span::Time(since_ms),
            text(" – "),
            Span::Time(until_ms),
            text(lang.pick(" · 由 ", " · asked for by ")),
            person(&self.asked_by),
            text(lang.pick(" 发起 · 操作手册 ", " · runbook ")),
            Span::Code(self.digest()),
        ];
        let mut warnings = self.warnings();
        let more = warnings.len().saturating_sub(WARNINGS_MAX) as u64;
        warnings.truncate(WARNINGS_MAX);
        let lines = warnings.iter().map(|words| vec![text(format!("⚠️ {}", words.get(lang)))]);
        let group = Group::new(
            lang.pick("需要处理", "To be looked at"),
            lang.pick("这份报告所查的", "of what this report looks at"),
        );
        let mut card = page::card(&title, vec![group.with(lines).and_more(more)], lang);
        card.parts.insert(1, Part::Context(span));
        card.parts.push(Part::Context(vec![text(lang.pick(
            "每一项都写明来源；没有查的写「未知」，不等于没有问题。",
            "Each fact names its source; what was not checked is called not known, which is not the same \
             as in order.",
        ))]));
        card.tone = if warnings.is_empty() { Tone::Neutral } else { Tone::Warning };
        card
    }

    fn digest(&self) -> String {
        self.runbook.digest.chars().take(DIGEST_SHOWN).collect()
    }

    fn warnings(&self) -> Vec<Text> {
        let mut found = Vec::new();
        if self.open.total > 0 {
            let open = self.open.total;
            let oldest = self.open.shown.first().map_or(self.span.1, |one| one.at_ms);
            let age = self.age(oldest);
            found.push(Text::new(
                format!("{open} 次紧急操作无人复核，最早的已有 {}", age.zh),
                format!("emergencies that nobody has reviewed: {open}, the oldest for {}", age.en),
            ));
        }
        if self.used.takeovers() > 0 {
            let times = self.used.takeovers();
            found.push(Text::new(
                format!("锁被接管 {times} 次"),
                format!("locks taken over: {times}"),
            ));
        }
        if self.own.total > 0 {
            let times = self.own.total;
            found.push(Text::new(
                format!("{times} 次由发起人自己批准"),
                format!("approvals by whoever asked: {times}"),
            ));
        }
        found.extend(self.tests.iter().filter_map(|test| self.overdue(test)));
        if self.tests.is_empty() {
            found.push(Text::new(
                "操作手册没有验证备份的操作：加上步骤 scripts/verify-backup.sh",
                "no action of the runbook tests a backup: add one with scripts/verify-backup.sh",
            ));
        }
        if self.journal.posted.is_none() {
            found.push(Text::new(
                "日志头从未公布到 Slack",
                "no head of the journal was ever posted in Slack",
            ));
        }
        found.extend(self.protection.warnings());
        found
    }

    /// Why a test of backups should be looked at; `None`: it succeeded within a month.
    fn overdue(&self, test: &RestoreTest) -> Option<Text> {
        let (action, environment) = (cut(&test.action), cut(&test.environment));
        let Some(succeeded) = &test.succeeded else {
            return Some(Text::new(
                format!("{environment} 的备份从未验证成功过：/neostock {action} env={environment}"),
                format!(
                    "no backup of {environment} was ever proved to restore: /neostock {action} \
                     env={environment}"
                ),
            ));
        };
        if self.span.1 - succeeded.at_ms <= RESTORE_TEST_EVERY_MS {
            return None;
        }
        let age = self.age(succeeded.at_ms);
        Some(Text::new(
            format!("{environment} 的备份上次验证成功是 {}前，手册要求每月一次", age.zh),
            format!(
                "the last proof that a backup of {environment} restores is {} old; the manual asks for \
                 one a month",
                age.en
            ),
        ))
    }

    fn age(&self, at_ms: i64) -> Text {
        duration::about(u64::try_from(self.span.1 - at_ms).unwrap_or_default())
    }

    fn in_force(&self, lang: Lang) -> Group {
        let title = lang.pick("生效的操作手册", "The runbook in force");
        let digest = vec![text("SHA-256 "), Span::Code(self.runbook.digest.clone())];
        Group::new(title, lang.pick("操作手册", "the runbook")).with([digest])
    }

    fn bypassed(&self, lang: Lang) -> Vec<Group> {
        let journal = lang.pick("数据库", "the database");
        let open = self.open.shown.iter().map(|one| self.emergency_line(one, lang));
        let reviewed = self.reviewed.shown.iter().map(|one| self.emergency_line(one, lang));
        let own = self.own.shown.iter().map(|one| {
            let mut line = run_line(&one.run, &one.action, &one.environment);
            line.extend([text(" · "), person(&one.actor), text(" · "), Span::Time(one.at_ms)]);
            line
        });
        let delegated = self.delegated.shown.iter().map(|one| {
            let mut line = vec![Span::Code(cut(&one.role)), text(": "), person(&one.from)];
            line.extend([text(" → "), person(&one.to), text(" · "), Span::Time(one.at_ms)]);
            line.extend([text(" – "), Span::Time(one.until_ms)]);
            line.extend(said(&one.reason));
            line
        });
        let group = |zh, en, more| Group::new(lang.pick(zh, en), journal).and_more(more);
        let mut groups = vec![
            group("紧急操作，尚未复核", "Emergencies, not reviewed yet", self.open.more())
                .with(open),
            group("紧急操作，已复核", "Emergencies, reviewed", self.reviewed.more()).with(reviewed),
        ];
        groups.extend(self.used.bypasses(lang));
        groups.push(
            group("发起人自己的批准", "Approvals by whoever asked", self.own.more()).with(own),
        );
        groups.push(
            group("委托的审批权", "Approvals in another's place", self.delegated.more())
                .with(delegated),
        );
        groups
    }

    fn emergency_line(&self, one: &Emergency, lang: Lang) -> Line {
        let mut line = run_line(&one.run, &one.action, &one.environment);
        line.extend([text(" · "), person(&one.actor), text(" · "), Span::Time(one.at_ms)]);
        line.extend(said(&one.reason));
        if let Some((by, note, at_ms)) = &one.review {
            line.push(text(lang.pick("；复核：", "; reviewed by ")));
            line.extend([person(by), text(" "), Span::Time(*at_ms)]);
            line.extend(said(note));
        } else {
            let age = self.age(one.at_ms);
            line.push(text(match lang {
                Lang::Zh => format!("；🔴 已等待 {}", age.zh),
                Lang::En => format!("; 🔴 open for {}", age.en),
            }));
        }
        line
    }

    fn journal_group(&self, lang: Lang) -> Group {
        let journal = &self.journal;
        let mut group = Group::new(
            lang.pick("审计日志", "The journal"),
            lang.pick("日志本身", "the journal itself"),
        );
        let first = journal.first.map_or(0, |(seq, _)| seq);
        let kept = if first > 0 { journal.head.seq - first + 1 } else { 0 };
        let mut line = vec![text(match lang {
            Lang::Zh => format!("现有 {kept} 条"),
            Lang::En => format!("{kept} entries are there"),
        })];
        if let Some((seq, at_ms)) = journal.first {
            line.push(text(match lang {
                Lang::Zh => format!("，最早的是第 {seq} 条，"),
                Lang::En => format!(", the first is {seq}, "),
            }));
            line.push(Span::Time(at_ms));
        }
        group.push(line);
        let counted = self.used.entries;
        group.push(vec![text(match lang {
            Lang::Zh => format!("这份报告统计了此期间的 {counted} 条"),
            Lang::En => format!("this report counted {counted} of the window"),
        })]);
        let head = Span::Code(journal.head.to_string());
        group.push(vec![text(lang.pick("日志头：", "head: ")), head]);
        group.push(if journal.key_id.is_empty() {
            vec![text(lang.pick("最新一条没有密钥", "the newest entry is under no key"))]
        } else {
            let key = Span::Code(journal.key_id.clone());
            vec![text(lang.pick("最新一条的密钥：", "the newest entry is under the key ")), key]
        });
        let newest = |zh: &str, en: &str, found: &Option<Newest>| {
            let mut line = vec![text(lang.pick(zh, en))];
            match found {
                Some(newest) => {
                    line.extend([Span::Time(newest.at_ms), text(" "), person(&newest.actor)]);
                    if !newest.about.is_empty() {
                        line.extend([text(" · "), Span::Code(cut(&newest.about))]);
                    }
                }
                None => line.push(text(lang.pick("没有", "none"))),
            }
            line
        };
        group.push(newest("最近一次公布日志头：", "last head posted in Slack: ", &journal.posted));
        group.push(newest("最近一次换钥：", "last change of the key: ", &journal.key_event));
        group.push(newest("最近一次归档：", "last archive: ", &journal.archived));
        group.push(newest("最近一次导出：", "last export: ", &journal.exported));
        group.push(vec![
            text(lang.pick(
                "最近一次核对：未知，核对不留记录。现在核对：",
                "last check: not known, a check leaves no entry. To check now: ",
            )),
            Span::Code(format!("neostock-ops audit verify --anchor {}", journal.head)),
        ]);
        group
    }

    fn tests_groups(&self, lang: Lang) -> Vec<Group> {
        let title = lang.pick("恢复测试", "Tests that a backup restores");
        let source = lang.pick("执行记录", "the runs");
        let mut group = Group::new(title, source);
        for test in &self.tests {
            let mut line = vec![
                Span::Code(cut(&test.action)),
                text(format!(" @ {}: ", cut(&test.environment))),
            ];
            match &test.last {
                None => line.push(text(lang.pick("从未执行", "never run"))),
                Some(last) => {
                    line.push(text(format!("{} ", last.outcome.get(lang))));
                    line.extend([Span::Time(last.at_ms), text(" "), Span::Code(last.run.clone())]);
                    line.extend([text(" "), person(&last.actor)]);
                }
            }
            let is_other = |succeeded: &&TestRun| {
                test.last.as_ref().is_some_and(|last| last.run != succeeded.run)
            };
            if let Some(succeeded) = test.succeeded.as_ref().filter(is_other) {
                line.push(text(lang.pick("；上次成功 ", "; last succeeded ")));
                line.extend([Span::Time(succeeded.at_ms), text(" ")]);
                line.push(Span::Code(succeeded.run.clone()));
            }
            if let Some(words) = self.overdue(test) {
                line.push(text(format!(" · ⚠️ {}", words.get(lang))));
            }
            group.push(line);
        }
        let unknown = Group::new(
            lang.pick("备份本身", "The backups themselves"),
            lang.pick("不在机器人的视野内", "beyond what the bot sees"),
        );
        let words = lang.pick(
            "定时备份是否按时完成、备份存放在哪里、保留多久：未知（它们由主机的定时任务决定）",
            "whether scheduled backups are made, where they lie and how long they are kept: not known \
             (the host's own timers decide)",
        );
        vec![group, unknown.with([vec![text(words)]])]
    }
}

/// Words from outside, shortened.
fn said(words: &str) -> Line {
    if words.is_empty() { Line::new() } else { vec![text(format!(" · {}", cut(words)))] }
}
