//! Golden cards: every kind of message, in both languages, exactly as Slack gets it. What differs from run
//! to run (ids, digests, moments, folders) is written as a word in brackets.

use crate::harness::bot::Bot;
use crate::harness::database::{Engine, TestDatabase, run};
use crate::harness::place::Place;
use crate::settle::{kill, supervisors};
use neostock_ops::sandbox::{Message, Options};
use serde_json::Value;
use std::fmt::Write as _;

/// One action for each way in which a run can end.
const ACTIONS: &str = r#"
  deploy:
    summary: {zh: 部署一个版本, en: Deploy a version}
    role: operator
    approval: {from: lead, count: 1, expires: 15m}
    makes_live: version
    parameters:
      version: {type: git_ref, required: true, help: {zh: 要上线的标签, en: The tag that goes live}}
      reason: {type: text, required: true}
    steps:
      - {name: {zh: 部署, en: Deploy}, run: [sh, -c, "echo deploying $1", sh, "{version}"], timeout: 20s}
  rollback:
    summary: {zh: 回滚到指定版本, en: Roll the service back to a version}
    role: operator
    makes_live: version
    parameters:
      version: {type: git_ref, required: true, suggest: last_good}
      reason: {type: text, required: true}
    steps:
      - {name: {zh: 回滚, en: Roll back}, run: [sh, -c, "echo back to $1", sh, "{version}"], timeout: 20s}
  by-two:
    summary: {zh: 需要两人批准, en: Two people agree}
    role: operator
    approval: {from: operator, count: 2, self: true, expires: 1h}
    parameters: {reason: {type: text}}
    steps:
      - {name: {zh: 什么也不做, en: Do nothing}, run: ["true"], timeout: 20s}
  fail:
    summary: {zh: 失败, en: Fail}
    role: operator
    notices:
      failed: {zh: "🚨 {environment} 失败了", en: "🚨 {environment} failed"}
    steps:
      - {name: {zh: 第一步, en: First}, run: [sh, -c, "echo '<!channel> & the disk is full'; exit 3"], timeout: 20s, idempotent: true}
      - {name: {zh: 第二步, en: Second}, run: ["true"], timeout: 20s}
  slow:
    summary: {zh: 超时, en: Time out}
    role: operator
    steps:
      - {name: {zh: 睡觉, en: Sleep}, run: [sleep, "60"], timeout: 1s}
  hang:
    summary: {zh: 一直运行, en: Run on}
    role: operator
    steps:
      - {name: {zh: 睡觉, en: Sleep}, run: [sh, -c, "echo begun >> $MARKS; sleep 60"], timeout: 90s}
  ship:
    summary: {zh: 上架, en: Ship}
    role: operator
    parameters: {reason: {type: text}}
    steps:
      - {name: {zh: 上架, en: Ship}, run: ["true"], timeout: 20s}
  halt:
    summary: {zh: 停机, en: Halt}
    role: operator
    parameters: {reason: {type: text}}
    steps:
      - {name: {zh: 停机, en: Halt}, run: ["true"], timeout: 20s}
  listed:
    summary: {zh: 有检查清单, en: With a checklist}
    role: operator
    approval: {from: lead, expires: 15m}
    checklist: before
    steps:
      - {name: {zh: 什么也不做, en: Do nothing}, run: ["true"], timeout: 20s}
checklists:
  before:
    title: {zh: 执行前的检查清单, en: Before it begins}
    items:
      - {name: {zh: 检查通过, en: What passes}, run: [sh, -c, "echo '✅ all 7 <passed> & more'"], timeout: 20s}
      - {name: {zh: 检查不通过, en: What fails}, run: [sh, -c, "echo '❌ 2 of 7 <!channel>'; exit 1"], timeout: 20s}
      - {name: {zh: 无法检查, en: What cannot be checked}, run: [sh, -c, "echo no scanner; exit 69"], timeout: 20s}
      - {name: {zh: 有人值守, en: Somebody watches}, tick: operator}
      - {name: {zh: 已经演练, en: It was rehearsed}, tick: lead, self: false}
emergency: {role: operator, actions: [by-two], review: lead}
contacts:
  reviewed: 2026-07-01
  people:
    - {name: {zh: 值班工程师, en: Engineer on call}, duty: {zh: 任何故障先联系, en: Called first}, slack: S0OPS, phone: +86 10 5550 0100, hours: {zh: 全天, en: Around the clock}}
    - {name: {zh: 负责人, en: Lead}, duty: {zh: 决定, en: Decides}, when: {zh: 无人应答时, en: Nobody answers}, slack: U0BOB, email: lead@example.com}
freezes:
  trading-hours:
    summary: {zh: 交易时段, en: Trading hours}
    environments: [production]
    actions: [ship]
    weekly: [mon-fri 09:15-15:00]
    zone: Asia/Shanghai
    override: lead
  year-end:
    summary: {zh: 年终, en: Year end}
    actions: [halt]
    from: 2026-11-20 18:00
    until: 2026-12-20 08:00
    zone: Europe/Berlin
    then: refuse
"#;

/// Everybody reads one language; the channels too.
fn world(lang: &str) -> (Place, Options) {
    let place = Place::new(ACTIONS);
    let runbook = std::fs::read_to_string(place.runbook()).unwrap();
    std::fs::write(place.runbook(), runbook.replace("language: en", &format!("language: {lang}")))
        .unwrap();
    let locale = if lang == "zh" { "zh-CN" } else { "en-US" };
    let mut options = Options::default();
    for person in &mut options.persons {
        locale.clone_into(&mut person.locale);
    }
    (place, options)
}

/// The messages so far, each under what led to it.
struct Album {
    bot: Bot,
    text: String,
}

impl Album {
    fn add(&mut self, title: &str, message: &Message) {
        let mut blocks = message.blocks.clone();
        for block in &mut blocks {
            // Given by the workspace, in the order in which messages happened to arrive.
            block.as_object_mut().unwrap().remove("block_id");
        }
        let blocks = serde_json::to_string_pretty(&Value::Array(blocks)).unwrap();
        let text = format!("text: {}\n{blocks}", message.text);
        writeln!(self.text, "## {title}\n{}\n", self.nameless(&text)).unwrap();
    }

    /// What a person reads who types this.
    async fn says(&mut self, user: &str, text: &str) {
        self.bot.say(user, text).await;
        self.answered(user, text);
    }

    /// What a person reads who presses this.
    async fn presses(&mut self, user: &str, action: &str) {
        let card = self.newest_card();
        let button = card.buttons().into_iter().find(|button| button.action_id == action).unwrap();
        self.bot.workspace.click(user, "C0OPS", &card.ts, action, Some(&button.value)).await;
        self.answered(user, &format!("[{action}]"));
    }

    /// Fills in the form behind a button of the newest run, and keeps what the form says.
    async fn fills(&mut self, user: &str, action: &str, reason: &str) {
        let label = self.newest_card().buttons().into_iter().find(|one| one.action_id == action);
        let form = self.bot.opens(user, &label.unwrap().label).await.unwrap();
        let mut view = self.bot.workspace.views().pop().unwrap().view;
        // Given by the workspace, in the order in which messages happened to arrive.
        for key in ["id", "hash"] {
            view.as_object_mut().unwrap().remove(key);
        }
        let view = serde_json::to_string_pretty(&view).unwrap();
        writeln!(self.text, "## {user} ▸ [{action}]\n{}\n", self.nameless(&view)).unwrap();
        assert_eq!(self.bot.submits(user, &form, reason).await, "");
    }

    fn answered(&mut self, user: &str, what: &str) {
        let answer = self.bot.workspace.ephemerals(user).pop().unwrap();
        let what = self.nameless(what);
        self.add(&format!("{user} ▸ {what}"), &answer);
    }

    fn newest_card(&self) -> Message {
        let all = self.bot.workspace.messages("C0OPS");
        all.into_iter().rfind(|one| one.thread_ts.is_none() && one.is_bot).unwrap()
    }

    /// The newest card once nothing is due any more, and what its thread says.
    async fn settles(&mut self, title: &str) {
        self.bot.until_quiet().await;
        let card = self.newest_card();
        self.add(&format!("{title}: card"), &card);
        let thread = self.bot.workspace.thread("C0OPS", &card.ts);
        for reply in thread.iter().filter(|one| one.ts != card.ts) {
            self.add(&format!("{title}: in its thread"), reply);
        }
    }

    /// Without what differs from run to run.
    fn nameless(&self, text: &str) -> String {
        let place = self.bot.place.path().display().to_string();
        let text =
            text.replace(&place, "[folder]").replace(&self.bot.workspace.base_url(), "[workspace]");
        let mut out = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while let Some(first) = rest.chars().next() {
            let found = PATTERNS.iter().find_map(|(length, word)| Some((length(rest)?, word)));
            match found {
                Some((length, word))
                    if !out.ends_with(|letter: char| letter.is_ascii_alphanumeric()) =>
                {
                    out.push_str(word);
                    rest = &rest[length..];
                }
                _ => {
                    out.push(first);
                    rest = &rest[first.len_utf8()..];
                }
            }
        }
        out
    }
}

/// How long something is that differs from run to run, at the start of a text.
type Length = fn(&str) -> Option<usize>;

/// Each with what stands for it.
const PATTERNS: [(Length, &str); 8] = [
    (run_id, "[run]"),
    (|text| hex_of(text, 64), "[digest]"),
    (|text| hex_of(text, 40), "[commit]"),
    (|text| hex_of(text, 10), "[short commit]"),
    (cut_hex, "[hex]"),
    (process, "([process])"),
    (moment, "[moment]"),
    (duration, "[duration]"),
];

fn run_id(text: &str) -> Option<usize> {
    let id = text.strip_prefix("R-")?;
    let is_id = id.len() >= 8
        && id.bytes().take(8).all(|letter| letter.is_ascii_uppercase() || letter.is_ascii_digit());
    // The example in help is always the same.
    (is_id && !id.starts_with("7K3QZD5A")).then_some(10)
}

/// Whether it has letters, digits or both: one commit in a hundred has no letter in its beginning.
fn hex_of(text: &str, length: usize) -> Option<usize> {
    let digits = text.bytes().take_while(u8::is_ascii_hexdigit).count();
    (digits == length).then_some(length)
}

/// The beginning of a digest.
fn cut_hex(text: &str) -> Option<usize> {
    let digits = text.bytes().take_while(u8::is_ascii_hexdigit).count();
    (digits >= 12 && text[..digits].bytes().any(|digit| digit.is_ascii_digit())).then_some(digits)
}

/// `(30287)`, and never a short commit: no process of Linux has a number of more than seven digits.
fn process(text: &str) -> Option<usize> {
    let number = text.strip_prefix('(')?;
    let digits = number.bytes().take_while(u8::is_ascii_digit).count();
    ((1..=7).contains(&digits) && number[digits..].starts_with(')')).then_some(digits + 2)
}

/// `<!date^…>`, `2026-11-24 03:00:00 UTC`, and a message's number in a link.
fn moment(text: &str) -> Option<usize> {
    if text.starts_with("<!date^") {
        return Some(text.find('>')? + 1);
    }
    if text.starts_with("2026-") && text.as_bytes().get(19..23) == Some(b" UTC") {
        return Some(23);
    }
    let number = text.strip_prefix('p')?;
    let digits = number.bytes().take_while(u8::is_ascii_digit).count();
    (digits == 16).then_some(17)
}

/// `36 ms`, `1.4 s`, `3 min 5 s`.
fn duration(text: &str) -> Option<usize> {
    let digits = text.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
    let unit = [" ms", " s"].into_iter().find(|unit| text[digits..].starts_with(unit))?;
    let after = text[digits + unit.len()..].chars().next();
    let is_whole = !after.is_some_and(|letter| letter.is_ascii_alphanumeric());
    (digits > 0 && is_whole).then_some(digits + unit.len())
}

async fn album(database: TestDatabase, lang: &str) -> String {
    let (place, options) = world(lang);
    let bot = Bot::in_workspace(&database, place, options).await;
    let mut album = Album { bot, text: String::new() };
    whoever_asks(&mut album).await;
    gates(&mut album).await;
    ends(&mut album).await;
    releases(&mut album).await;
    lost(&mut album).await;
    listed(&mut album).await;
    frozen(&mut album).await;
    let Album { bot, text } = album;
    bot.finish().await;
    text
}

/// What is answered without anything being done.
async fn whoever_asks(album: &mut Album) {
    for text in [
        "help",
        "help deploy",
        "help status",
        "status",
        "deplyo v1.3 x",
        "explode",
        "deploy",
        "deploy v9.9 x",
        "deploy v1.3 env=prod x",
        "deploy v1.3 evn=staging x",
        "status now",
        "show R-00000000",
        "contacts",
    ] {
        album.says("U0BOB", text).await;
    }
    for text in ["deploy v1.3 x", "help", "help deploy", "whoami", "why deploy v1.3 x"] {
        album.says("U0CAT", text).await;
    }
    for text in ["status", "whoami"] {
        album.says("U0EVE", text).await;
    }
    album.says("U0BOB", "whoami").await;
    album.says("U0BOB", "why deploy v1.3 x").await;
    album.says("U0BOB", "rollback").await;
}

/// A run that waits for people, until it may not, or may.
async fn gates(album: &mut Album) {
    album.says("U0BOB", "deploy v1.3 new fees & <!here> rules").await;
    album.settles("waiting").await;
    album.presses("U0BOB", "approve").await;
    album.presses("U0CAT", "approve").await;
    album.presses("U0CAT", "details").await;
    album.fills("U0BOB", "reject", "not before the market closes").await;
    album.settles("rejected").await;
    let rejected = album.bot.run_id();
    album.says("U0BOB", &format!("approve {rejected}")).await;

    album.says("U0BOB", "plan deploy v1.3 new fees").await;
    album.says("U0ANN", "by-two p99 is 9 s --emergency").await;
    album.bot.until("it is done", |bot| bot.card().contains("✅ 1.")).await;
    album.settles("an emergency").await;
    album.fills("U0BOB", "review", "right; the alert came late").await;
    album.settles("reviewed").await;

    album.says("U0ANN", "by-two").await;
    album.settles("waiting for two").await;
    album.presses("U0ANN", "approve").await;
    album.presses("U0ANN", "approve").await;
    album.settles("one of two").await;
    album.presses("U0BOB", "approve").await;
    album.bot.until("it succeeds", |bot| bot.card().contains("✅ 1.")).await;
    album.settles("succeeded").await;
    let done = album.bot.run_id();
    album.says("U0ANN", &format!("show {done}")).await;
    album.says("U0ANN", &format!("retry {done}")).await;
    album.says("U0ANN", &format!("cancel {done}")).await;
    album.says("U0ANN", &format!("settle {done} ok it was")).await;

    album.says("U0ANN", "deploy v1.2 back").await;
    album.bot.until_quiet().await;
    album.presses("U0ANN", "cancel").await;
    album.settles("cancelled before it began").await;
    album.says("U0ANN", "deploy v1.2 back").await;
    album.bot.until_quiet().await;
    album.bot.advance_ms(15 * 60_000);
    album.bot.until("it expires", |bot| bot.buttons().is_empty()).await;
    album.settles("expired").await;
}

/// How runs end that began.
async fn ends(album: &mut Album) {
    album.says("U0ANN", "fail").await;
    album.bot.until("it fails", |bot| bot.card().contains("🚨")).await;
    album.settles("failed").await;
    album.says("U0ANN", "slow").await;
    album
        .bot
        .until("it times out", |bot| bot.card().contains("⏳") || bot.card().contains("slow"))
        .await;
    album
        .bot
        .until("it times out", |bot| bot.card().contains("slow") && bot.card().contains("❌"))
        .await;
    album.settles("timed out").await;
    album.says("U0ANN", "hang").await;
    album.bot.until("it runs", |bot| bot.place.marks() == ["begun"]).await;
    album
        .bot
        .until("it is shown", |bot| {
            let runs = ["— running", "— 执行中"].iter().any(|words| bot.card().contains(words));
            bot.card().contains("hang") && runs
        })
        .await;
    album.settles("running").await;
    album.says("U0BOB", "status").await;
    album.presses("U0BOB", "cancel").await;
    album.bot.until("it ends", |bot| bot.card().contains("🛑 ") && bot.buttons().is_empty()).await;
    album.settles("cancelled").await;
    let cancelled = album.bot.run_id();
    album.says("U0BOB", &format!("retry {cancelled}")).await;
}

/// What is live, what lies between, and the way back.
async fn releases(album: &mut Album) {
    for version in ["v1.2", "v1.3"] {
        album.bot.say("U0ANN", &format!("deploy {version} why")).await;
        album
            .bot
            .until("it asks", |bot| bot.card().contains("✋") && bot.card().contains(version))
            .await;
        album.bot.until_quiet().await;
        if version == "v1.3" {
            album.settles("a deploy with commits between").await;
        }
        let card = album.newest_card();
        let approve = card.buttons().into_iter().find(|one| one.action_id == "approve").unwrap();
        album
            .bot
            .workspace
            .click("U0BOB", "C0OPS", &card.ts, "approve", Some(&approve.value))
            .await;
        album.bot.until("it is live", |bot| bot.card().contains("✅ 1.")).await;
        album.bot.until_quiet().await;
    }
    album.says("U0BOB", "status").await;
    album.says("U0ANN", "rollback").await;
    album.says("U0ANN", "rollback p99 too slow").await;
    let proposed = album.bot.workspace.ephemerals("U0ANN").pop().unwrap();
    let button = proposed.buttons().remove(0);
    album.bot.workspace.click("U0ANN", "C0OPS", &proposed.ts, "propose", Some(&button.value)).await;
    album.answered("U0ANN", "[propose]");
    album
        .bot
        .until("it is back", |bot| {
            bot.card().contains("rollback v1.2") && bot.card().contains("✅ 1.")
        })
        .await;
    album.settles("rolled back as proposed").await;
    let run = album.bot.run_id();
    album.says("U0BOB", "runs rollback").await;
    album.says("U0BOB", "runs since").await;
    album.says("U0BOB", &format!("audit run {run}")).await;
    album.says("U0BOB", "audit outcome denied").await;
    album.says("U0BOB", "audit outcome maybe").await;
    album.says("U0BOB", &format!("logs {run}")).await;
    album.says("U0BOB", &format!("logs {run} 7")).await;
}

/// What a checklist asks of programs and people.
async fn listed(album: &mut Album) {
    album.says("U0BOB", "plan listed").await;
    album.says("U0BOB", "listed").await;
    album.bot.until_card("3. ").await;
    album.bot.until("all is checked", |bot| bot.buttons().len() == 7).await;
    album.settles("checked").await;
    album.presses("U0BOB", "tick_5").await;
    album.presses("U0BOB", "tick_4").await;
    album.settles("ticked off").await;
    let run = album.bot.run_id();
    album.says("U0BOB", &format!("tick {run} 9")).await;
    album.says("U0BOB", &format!("cancel {run}")).await;
    album.settles("checked and cancelled").await;
    album.says("U0BOB", &format!("recheck {run}")).await;
}

/// What a freeze stops, and what goes ahead in spite of it.
async fn frozen(album: &mut Album) {
    album.says("U0BOB", "freeze").await;
    album.says("U0BOB", "halt for the audit").await;
    album.says("U0BOB", "halt --override-freeze for the audit").await;
    album.says("U0BOB", "plan ship now").await;
    album.says("U0BOB", "ship now").await;
    album.settles("frozen").await;
    let run = album.bot.run_id();
    album.says("U0BOB", &format!("cancel {run}")).await;
    album.settles("frozen and cancelled").await;
    album.says("U0BOB", "ship --override-freeze the exchange asks").await;
    album.settles("overridden").await;
    album.says("U0BOB", &format!("cancel {}", album.bot.run_id())).await;
    album.settles("overridden and cancelled").await;
}

/// A step whose supervisor died.
async fn lost(album: &mut Album) {
    let begun = album.bot.place.marks().len();
    album.bot.say("U0ANN", "hang").await;
    album.bot.until("it runs", |bot| bot.place.marks().len() == begun + 1).await;
    album.bot.until("it is shown", |bot| bot.card().contains("⏳ 1.")).await;
    kill(supervisors(&album.bot)[0]);
    album.bot.until("it is lost", |bot| bot.card().contains("⚠️")).await;
    album.settles("needs attention").await;
    let run = album.bot.run_id();
    album.says("U0BOB", &format!("cancel {run}")).await;
    album.says("U0BOB", &format!("settle {run} again nothing happened")).await;
    album.says("U0BOB", &format!("settle {run} stop it must not go on")).await;
    album.says("U0BOB", &format!("settle {run} failed I looked")).await;
    album.bot.until("it ends", |bot| bot.card().contains("🚨")).await;
    album.settles("settled as failed").await;
}

#[test]
fn every_kind_of_message_in_chinese() {
    run(Engine::Sqlite, |database| async move {
        insta::assert_snapshot!(album(database, "zh").await);
    });
}

#[test]
fn every_kind_of_message_in_english() {
    run(Engine::Sqlite, |database| async move {
        insta::assert_snapshot!(album(database, "en").await);
    });
}
