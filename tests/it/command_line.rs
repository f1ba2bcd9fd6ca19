//! Commands from the bot's machine: the same pipeline as in chat, by whoever is logged in, also while
//! Slack is away.

use crate::harness::database::{Engine, both_engines, run};
use crate::harness::place::ROLLBACK;
use crate::harness::process::Process;
use neostock_ops::clock::Clock;
use neostock_ops::exec::login::login;
use neostock_ops::sandbox::Fault;
use neostock_ops::store::Store;
use neostock_ops::store::journal::{Filter, newest_of};
use secrecy::SecretString;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

/// More calls than a test makes.
const ALWAYS: u32 = 100_000;

/// Something that another lead must agree to, and something that fails.
const ACTIONS: &str = r#"
  gated:
    summary: gated
    role: operator
    lock: none
    approval: {from: lead}
    steps:
      - {name: Gated, run: [sh, -c, "echo gated >> $MARKS"], timeout: 20s}
  broken:
    summary: broken
    role: operator
    lock: none
    parameters:
      why: {type: text, default: none}
    steps:
      - {name: Break, run: [sh, -c, "echo \"broken $1\" >> $MARKS; exit 3", sh, "{why}"], timeout: 20s}
  frozen:
    summary: frozen
    role: operator
    lock: none
    steps:
      - {name: Frozen, run: [sh, -c, "echo frozen >> $MARKS"], timeout: 20s}
freezes:
  all-but-mon: {summary: Nearly always, actions: [frozen], weekly: [mon 00:01 - mon 00:00], zone: UTC}
  all-but-tue: {summary: Nearly always, actions: [frozen], weekly: [tue 00:01 - tue 00:00], zone: UTC}
"#;

async fn place(database_url: &str) -> Process {
    let bot = Process::new(database_url, &format!("{ROLLBACK}{ACTIONS}")).await;
    let text = std::fs::read_to_string(bot.place.runbook()).unwrap();
    let text = text.replace("lead: {members: [U0BOB]}", "lead: {members: [U0BOB, U0ANN]}");
    std::fs::write(bot.place.runbook(), text).unwrap();
    bot
}

/// A running bot, with whoever runs this test as a person of its runbook.
async fn start(database_url: &str, user: &str) -> Process {
    let mut bot = place(database_url).await;
    maps(&bot, user);
    assert!(bot.start(None).await);
    bot
}

/// From now on the runbook says that whoever runs this test is this person.
fn maps(bot: &Process, user: &str) {
    let text = std::fs::read_to_string(bot.place.runbook()).unwrap();
    let rules = text.split("command_line:").next().unwrap();
    let name = login().name;
    let text = format!("{rules}command_line: {{users: {{{name}: {user}, other: {user}}}}}\n");
    std::fs::write(bot.place.runbook(), text).unwrap();
}

async fn types(bot: &Process, words: &[&str]) -> (i32, String) {
    bot.types(&[&["do", "--lang", "en"], words].concat()).await
}

/// The run that was told of.
fn run_in(said: &str) -> String {
    let at = said.find("R-").unwrap_or_else(|| panic!("no run in {said}"));
    said[at..at + 10].to_owned()
}

/// What was noted of commands of the command line: kind, actor, detail.
async fn noted(bot: &Process) -> Vec<(String, String, Value)> {
    let keys = None::<SecretString>;
    let store = Store::inspect(&bot.database_url, Clock::System, keys).await.unwrap();
    let mut reader = store.read().await.unwrap();
    let mut rows = newest_of(&mut reader, &Filter::default(), 200).await.unwrap();
    drop(reader);
    store.close().await;
    rows.sort_by_key(|row| row.seq);
    let detail = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let typed = rows.into_iter().map(|row| (row.kind, row.actor, row.origin, detail(&row.detail)));
    typed
        .filter(|(.., origin, detail)| origin == "cli" && detail.get("login").is_some())
        .map(|(kind, actor, _, detail)| (kind, actor, detail))
        .collect()
}

both_engines! {
    async fn a_command_is_followed_to_its_end_and_twice_typed_is_asked_twice(database: TestDatabase) {
        let mut bot = start(&database.url, "U0BOB").await;

        let (code, said) = types(&bot, &["rollback", "v1.2", "bad p99 & <more>"]).await;
        let (again, _) = types(&bot, &["rollback", "v1.2", "bad p99 & <more>"]).await;

        assert_eq!((code, again), (0, 0), "{said}");
        for words in ["rollback v1.2 → production is accepted", "✅ 1. Verify", "✅ 2. Roll back", "rolled back to version v1.2"] {
            assert!(said.contains(words), "{words}: {said}");
        }
        assert_eq!(bot.place.marks(), ["back v1.2", "back v1.2"]);
        bot.until("both are told in Slack", |bot| {
            bot.told().iter().filter(|text| text.contains("rolled back to version v1.2")).count() >= 2
        })
        .await;
        assert!(bot.everything().contains("bad p99 & <more>"), "{}", bot.everything());
        let noted = noted(&bot).await;
        let requested: Vec<_> = noted.iter().filter(|(kind, ..)| kind == "run.requested").collect();
        assert_eq!(requested.len(), 2, "{noted:?}");
        for (_, actor, detail) in requested {
            assert_eq!(actor, "U0BOB");
            assert_eq!(detail["login"], login().name.as_str());
        }
        let (failed, said) = types(&bot, &["broken"]).await;
        assert_eq!(failed, 1, "{said}");
        assert!(said.contains("1. Break — failed") && said.contains("failed: somebody must act now"), "{said}");
    }

    async fn what_waits_for_the_end_of_a_freeze_is_told_so_and_not_followed(database: TestDatabase) {
        let mut bot = start(&database.url, "U0BOB").await;

        let (code, said) = types(&bot, &["frozen"]).await;

        assert_eq!(code, 3, "{said}");
        assert!(said.contains("frozen → production · waiting for a freeze to end"), "{said}");
        assert!(said.contains(" Nearly always, until more than 400 days from now") && !said.contains("approval:"), "{said}");
        bot.until("its card", |bot| bot.everything().contains("waiting for a freeze to end")).await;
        assert!(bot.place.marks().is_empty());
    }

    async fn another_person_approves_and_nobody_their_own(database: TestDatabase) {
        let mut bot = start(&database.url, "U0BOB").await;

        let (code, said) = types(&bot, &["gated"]).await;
        assert_eq!(code, 3, "{said}");
        let run = run_in(&said);
        assert!(said.contains(&format!("`neostock-ops do approve {run}`")), "{said}");
        let (own, said) = types(&bot, &["approve", &run]).await;
        assert_eq!(own, 2, "{said}");
        assert!(said.contains("You asked for this yourself: somebody else has to approve it"), "{said}");
        maps(&bot, "U0CAT");
        let (wrong, said) = types(&bot, &["approve", &run]).await;
        assert_eq!(wrong, 2, "{said}");
        assert!(said.contains("You do not hold the role `lead`"), "{said}");
        maps(&bot, "U0ANN");
        let (approved, said) = types(&bot, &["approve", &run]).await;
        assert_eq!(approved, 0, "{said}");
        bot.until("it is done", |bot| bot.place.marks() == ["gated"]).await;

        let kinds: Vec<_> = noted(&bot).await.into_iter().map(|(kind, actor, _)| (kind, actor)).collect();
        let expected = [
            ("run.requested", "U0BOB"),
            ("decision.refused", "U0BOB"),
            ("request.denied", "U0CAT"),
            ("decision.approved", "U0ANN"),
        ];
        assert_eq!(kinds, expected.map(|(kind, actor)| (kind.to_owned(), actor.to_owned())));
        let (status, said) = types(&bot, &["show", &run]).await;
        assert_eq!(status, 0, "{said}");
        let (second, said) = types(&bot, &["--no-wait", "gated"]).await;
        assert_eq!(second, 3, "{said}");
    }

    async fn a_login_that_the_runbook_does_not_know_is_refused_and_noted(database: TestDatabase) {
        let mut bot = place(&database.url).await;
        assert!(bot.start(None).await);
        let name = login().name;

        let (code, said) = types(&bot, &["rollback", "v1.2", "x"]).await;

        assert_eq!(code, 2, "{said}");
        assert!(said.contains(&format!("does not know the system user `{name}`")), "{said}");
        assert!(said.contains("command_line: {users:") && said.contains("nothing was done"), "{said}");
        let noted = noted(&bot).await;
        let [(kind, actor, detail)] = noted.as_slice() else { panic!("{noted:?}") };
        assert_eq!((kind.as_str(), actor.as_str()), ("request.denied", format!("login:{name}").as_str()));
        assert_eq!((&detail["why"], &detail["login"]), (&"unknown_login".into(), &name.as_str().into()));
        assert!(bot.place.marks().is_empty());
    }

    async fn without_a_database_nothing_is_made(database: TestDatabase) {
        let bot = place(&database.url).await;
        maps(&bot, "U0BOB");

        let (code, said) = types(&bot, &["status"]).await;

        assert_eq!(code, 1, "{said}");
        match database.engine {
            Engine::Sqlite => {
                assert!(said.contains("there is no database file"), "{said}");
                assert_eq!(std::fs::read_dir(database.folder()).unwrap().count(), 0);
            }
            Engine::Postgres => assert!(said.contains("start the bot of this version once"), "{said}"),
        }
    }

    async fn while_slack_is_away_whoever_is_known_works_and_slack_is_told_later(database: TestDatabase) {
        let mut bot = start(&database.url, "U0BOB").await;
        assert!(bot.say("U0BOB", "rollback v1.2 first").await.contains("is accepted"));
        bot.until("the first", |bot| bot.place.marks() == ["back v1.2"]).await;
        bot.until("it is told", |bot| bot.told().join("\n").contains("version v1.2")).await;
        bot.workspace.fail_matching("*", ALWAYS, Fault::DropBefore);

        let (code, said) = types(&bot, &["rollback", "v1.1", "alone at night"]).await;
        assert_eq!(code, 0, "{said}");
        assert!(said.contains("rolled back to version v1.1"), "{said}");
        maps(&bot, "U0CAT");
        let (unknown, said) = types(&bot, &["rollback", "v1.3", "x"]).await;
        assert_eq!(unknown, 2, "{said}");
        assert!(said.contains("You do not hold the role `operator`"), "{said}");
        let (unknown, said) = types(&bot, &["status"]).await;
        assert_eq!(unknown, 2, "{said}");
        assert!(said.contains("nothing is known from before"), "{said}");
        assert!(!bot.told().join("\n").contains("version v1.1"), "{:?}", bot.told());

        bot.workspace.clear_faults();
        bot.until("Slack is told", |bot| bot.told().join("\n").contains("version v1.1")).await;
        assert_eq!(bot.place.marks(), ["back v1.2", "back v1.1"]);
        assert_eq!(bot.workspace.faults(), Vec::<String>::new());
    }

    async fn whatever_an_argument_holds_it_stays_one_and_steers_no_terminal(database: TestDatabase) {
        let bot = start(&database.url, "U0BOB").await;
        let hostile = "$(touch owned); `id` <!channel> & «-rf» \"x";

        let (code, said) = types(&bot, &["broken", hostile]).await;
        let (steering, shown) = types(&bot, &["broken", "\u{1b}]0;owned\u{7}\u{202e}x"]).await;
        let (unknown, also) = types(&bot, &["\u{1b}[2Jrm", "-rf", "/"]).await;
        let (long, too) = types(&bot, &["broken", &"x".repeat(20_000)]).await;

        assert_eq!((code, steering, unknown, long), (1, 2, 2, 2), "{said}{shown}{also}{too}");
        for said in [&said, &shown, &also, &too] {
            let steers = |letter: char| letter != '\n' && (letter.is_control() || letter == '\u{202e}');
            assert!(!said.contains(steers), "{said:?}");
        }
        assert_eq!(bot.place.marks(), [format!("broken {hostile}")]);
        assert!(!bot.place.repo().join("owned").exists());
        let noted = noted(&bot).await;
        assert_eq!(noted.iter().filter(|(kind, ..)| kind == "request.refused").count(), 3, "{noted:?}");
    }

    async fn a_rule_is_explained_for_anybody_and_nothing_is_written(database: TestDatabase) {
        let bot = start(&database.url, "U0BOB").await;
        let before = noted(&bot).await.len();
        let explains = async |user: &str, words: &str| {
            bot.types(&["check", "--lang", "en", "--explain", user, words]).await
        };

        let (may, said) = explains("U0BOB", "rollback v1.2 env=staging x").await;
        assert_eq!(may, 0, "{said}");
        for words in ["Needs the role `operator`", "✅ @S0OPS names you", "You may", "`staging`"] {
            assert!(said.contains(words), "{words}: {said}");
        }
        let (may, said) = explains("U0CAT", "rollback v1.2 x").await;
        assert_eq!(may, 1, "{said}");
        assert!(said.contains("➖ @S0OPS does not name you"), "{said}");
        let (may, said) = explains("U0BOB", "rolback v1.2").await;
        assert_eq!(may, 1, "{said}");
        assert!(said.contains("rollback"), "{said}");
        let (wrong, said) = explains("bob", "status").await;
        assert_eq!(wrong, 1, "{said}");
        assert!(said.contains("no Slack user id"), "{said}");
        bot.say("U0BOB", "rollback v1.2 x").await;
        bot.workspace.fail_matching("*", ALWAYS, Fault::DropBefore);
        assert_eq!(explains("U0BOB", "rollback v1.2 x").await.0, 0);
        let (may, said) = explains("U0EVE", "status").await;
        assert_eq!(may, 1, "{said}");
        assert!(said.contains("nothing is known from before"), "{said}");

        assert_eq!(noted(&bot).await.len(), before);
        assert!(bot.types(&["check"]).await.1.contains("ok: "));
    }
}

/// A second login of this machine that everybody has.
const NOBODY: (&str, u32) = ("nobody", 65_534);

#[test]
fn two_logins_of_one_person_are_one_person() {
    // Whoever logged in stays the same with another user id, and only root can take one.
    if login().uid != 0 || std::fs::read_to_string("/proc/self/loginuid").unwrap().trim() == "0" {
        eprintln!("NOT SHOWN: a second login. Nobody may change users here");
        return;
    }
    // A SQLite file belongs to one user.
    run(Engine::Postgres, |database| async move {
        let mut bot = start(&database.url, "U0BOB").await;
        let text = std::fs::read_to_string(bot.place.runbook()).unwrap();
        let text = text.replace("other:", &format!("{}:", NOBODY.0));
        std::fs::write(bot.place.runbook(), text).unwrap();
        std::fs::set_permissions(bot.place.path(), std::fs::Permissions::from_mode(0o755)).unwrap();

        let (code, said) = types(&bot, &["gated"]).await;
        assert_eq!(code, 3, "{said}");
        let run = run_in(&said);
        let (own, said) =
            bot.types_as(Some(NOBODY.1), &["do", "--lang", "en", "approve", &run]).await;
        assert_eq!(own, 2, "{said}");
        assert!(said.contains("You asked for this yourself"), "{said}");

        let noted = noted(&bot).await;
        let logins: Vec<_> =
            noted.iter().map(|(_, actor, detail)| (actor, &detail["login"])).collect();
        let person = "U0BOB".to_owned();
        assert_eq!(logins, [(&person, &"root".into()), (&person, &NOBODY.0.into())]);
        bot.kill();
    });
}

#[test]
fn that_no_bot_runs_is_said_and_the_command_stands() {
    run(Engine::Sqlite, |database| async move {
        let mut bot = start(&database.url, "U0BOB").await;
        bot.kill();

        let (at_once, said) = types(&bot, &["--no-wait", "rollback", "v1.2", "x"]).await;
        assert_eq!(at_once, 0, "{said}");
        let (waits, said) = types(&bot, &["broken"]).await;
        assert_eq!(waits, 3, "{said}");
        assert!(
            said.contains("No bot has taken it yet: is `neostock-ops serve` running?"),
            "{said}"
        );
        assert!(said.contains("Not waited for any longer"), "{said}");

        assert!(bot.start(None).await);
        let looked = tokio::time::timeout(
            Duration::from_secs(30),
            bot.until("both are done", |bot| bot.place.marks().len() == 2),
        );
        looked.await.unwrap();
    });
}
