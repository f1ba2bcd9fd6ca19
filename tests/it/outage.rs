//! The database goes, Slack goes, the disk fills up: nothing that runs stops, nothing is lost, people
//! are told once, and all of it heals by itself.

use crate::harness::bot::shown;
use crate::harness::cluster::Cluster;
use crate::harness::database::both_engines;
use crate::harness::looks::Looks;
use crate::harness::process::Process;
use neostock_ops::audit;
use neostock_ops::clock::Clock;
use neostock_ops::core::text::Lang;
use neostock_ops::sandbox::Fault;
use neostock_ops::store::Store;
use neostock_ops::store::journal::{Filter, newest_of};
use rustix::process::{Pid, Signal, kill_process};
use secrecy::SecretString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Slack's own limit for an answer.
const SLACK_WAITS: Duration = Duration::from_secs(3);
/// The folder's disk in the test of a full one.
const DISK_MIB: u64 = 112;
const MIB: usize = 1024 * 1024;

/// A step that goes on until the file `go` appears, another behind it, and others beside them.
pub const HANG: &str = r#"
  hang:
    summary: hang
    role: operator
    steps:
      - {name: Hang, run: [sh, -c, "echo hang >> $MARKS; while ! [ -e go ]; do sleep 0.05; done; echo it went on"], timeout: 90s}
      - {name: After, run: [sh, -c, "echo after >> $MARKS"], timeout: 20s}
  quick:
    summary: quick
    role: operator
    lock: none
    steps:
      - {name: Quick, run: [sh, -c, "echo quick >> $MARKS"], timeout: 20s}
  gated:
    summary: gated
    role: operator
    lock: none
    approval: {from: lead, self: true}
    steps:
      - {name: Gated, run: [sh, -c, "echo gated >> $MARKS"], timeout: 20s}
"#;

fn run_in_time(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let in_time =
        runtime.block_on(async { tokio::time::timeout(Duration::from_mins(3), test).await });
    assert!(in_time.is_ok(), "the test took too long");
}

/// A bot on this database that is ready.
async fn started(database_url: &str) -> Process {
    let mut bot = Process::new(database_url, HANG).await;
    assert!(bot.start(None).await);
    bot
}

/// Whether the step that hangs has written how it ended.
pub fn has_exit(bot: &Process) -> bool {
    attempts(bot).iter().any(|folder| {
        folder.join("exit").exists()
            && std::fs::read_to_string(folder.join("output.log"))
                .is_ok_and(|output| output.contains("it went on"))
    })
}

fn attempts(bot: &Process) -> Vec<PathBuf> {
    // The second bot's too: it may have been the one.
    let data = [bot.place.data(), bot.place.path().join("data-2")];
    let folders = data.iter().filter_map(|data| std::fs::read_dir(data.join("attempts")).ok());
    folders.flatten().map(|entry| entry.unwrap().path()).collect()
}

pub fn go(bot: &Process) {
    std::fs::write(bot.place.repo().join("go"), "").unwrap();
}

fn times(told: &[String], words: &str) -> usize {
    told.iter().filter(|text| text.contains(words)).count()
}

/// What a question is answered, which must come within Slack's patience.
async fn asked(bot: &Process, words: &str) -> String {
    let began = Instant::now();
    let answer = bot.say("U0BOB", words).await;
    assert!(began.elapsed() < SLACK_WAITS, "{words:?} took {:?}", began.elapsed());
    answer
}

/// What the journal says of troubles, newest first.
async fn troubles(url: &str) -> Vec<String> {
    let store = Store::inspect(url, Clock::System, None::<SecretString>).await.unwrap();
    let filter = Filter { kind_prefix: "trouble.".to_owned(), ..Filter::default() };
    let mut reader = store.read().await.unwrap();
    let told = newest_of(&mut reader, &filter, 9).await.unwrap();
    drop(reader);
    store.close().await;
    told.iter().map(|row| format!("{} {}", row.kind, row.subject)).collect()
}

async fn assert_sound(url: &str) {
    let store = Store::inspect(url, Clock::System, None::<SecretString>).await.unwrap();
    let (report, is_sound) = audit::verify_report(&store, None, Lang::En).await.unwrap();
    assert!(is_sound, "{report}");
    store.close().await;
}

#[test]
fn a_database_that_goes_and_comes_back_takes_nothing_with_it() {
    run_in_time(async {
        let cluster = Cluster::start();
        let mut bot = started(&cluster.url).await;
        bot.second();
        asked(&bot, "hang").await;
        bot.until("the step hangs", |bot| bot.place.marks() == ["hang"]).await;
        bot.until("the card", |bot| times(&bot.told(), "hang") > 0).await;

        cluster.halt();
        // Before anybody has looked, and after.
        let first = asked(&bot, "quick").await;
        let report = bot.until_ready("not ready", |status, _| status == 503).await;
        let second = asked(&bot, "quick").await;
        for answer in [&first, &second] {
            assert!(answer.contains("cannot be reached"), "{answer}");
            assert!(answer.contains("nothing was done"), "{answer}");
        }
        assert_eq!(report["database"], "cannot be reached", "{report}");
        assert_eq!(report["slack"], "ok", "{report}");
        assert_eq!(bot.metric("neostock_part_up{part=\"database\"}").await, Some(0));
        go(&bot);
        bot.until("the step's end, which nobody can write down", |bot| has_exit(bot)).await;
        bot.until("people are told", |bot| times(&bot.told(), "database cannot be reached") > 0)
            .await;

        cluster.resume();
        bot.until_ready("ready again", |status, _| status == 200).await;
        bot.until("the run ends", |bot| times(&bot.told(), "hang ✅ done") > 0).await;
        bot.until("that it is over", |bot| times(&bot.told(), "The database is back") > 0).await;
        assert!(asked(&bot, "quick").await.contains("is accepted"));
        bot.until("the next run", |bot| times(&bot.told(), "quick ✅ done") > 0).await;

        let told = bot.told();
        assert_eq!(bot.place.marks(), ["hang", "after", "quick"]);
        assert_eq!(times(&told, "database cannot be reached"), 1, "{told:#?}");
        assert_eq!(times(&told, "The database is back"), 1, "{told:#?}");
        assert_eq!(bot.metric("neostock_part_up{part=\"database\"}").await, Some(1));
        assert_eq!(bot.metric("neostock_leases_held").await, Some(0));
        let log = bot.log();
        let loud = log.lines().filter(|line| line.contains("ERROR")).count();
        assert!(loud < 40, "{loud} errors in the log\n{log}");
        assert_eq!(bot.workspace.faults(), Vec::<String>::new());
        bot.kill();
        assert_sound(&cluster.url).await;
    });
}

#[test]
fn bots_that_tell_of_the_database_at_the_same_moment_leave_one_message() {
    run_in_time(async {
        let cluster = Cluster::start();
        let mut bot = started(&cluster.url).await;
        bot.second();
        bot.until("both bots are there", |bot| bot.log().matches("listening").count() == 2).await;
        let posts = |bot: &Process| bot.workspace.calls_of("chat.postMessage").len();
        let posts_before = posts(&bot);
        // Longer than the bots wait for each other's words: the second looks before the first's stand.
        bot.workspace.fail_next("chat.postMessage", Fault::Slow(7_400));

        cluster.halt();
        bot.until("both have told", |bot| posts(bot) == posts_before + 2).await;
        bot.until("one gave way", |bot| !bot.workspace.calls_of("chat.delete").is_empty()).await;

        assert_eq!(times(&bot.told(), "database cannot be reached"), 1, "{:#?}", bot.told());
        cluster.resume();
        bot.until("that it is over", |bot| times(&bot.told(), "The database is back") > 0).await;
        assert_eq!(times(&bot.told(), "database cannot be reached"), 1, "{:#?}", bot.told());
        assert_eq!(bot.workspace.calls_of("chat.delete").len(), 1);
        assert_eq!(bot.workspace.faults(), Vec::<String>::new());
        bot.kill();
    });
}

/// The server's processes: it and its children.
pub fn server(pid: i32) -> Vec<i32> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    let children = children.split_whitespace().map(|child| child.parse().unwrap());
    std::iter::once(pid).chain(children).collect()
}

#[test]
fn a_database_that_says_nothing_is_gone_too() {
    run_in_time(async {
        let cluster = Cluster::start();
        let mut bot = started(&cluster.url).await;
        asked(&bot, "quick").await;
        bot.until("it is done", |bot| times(&bot.told(), "quick ✅ done") > 0).await;
        let stopped = server(cluster.pid());
        let signal = |signal| {
            for pid in &stopped {
                let _ = kill_process(Pid::from_raw(*pid).unwrap(), signal);
            }
        };

        signal(Signal::STOP);
        // Nobody knows yet whether it is only slow: the answer follows, but the question is taken.
        let first = asked(&bot, "quick").await;
        bot.until_ready("not ready", |status, _| status == 503).await;
        let second = asked(&bot, "quick").await;
        signal(Signal::CONT);
        bot.until_ready("ready again", |status, _| status == 200).await;

        assert!(
            first.contains("the answer follows") || first.contains("nothing was done"),
            "{first}"
        );
        assert!(second.contains("nothing was done"), "{second}");
        assert!(asked(&bot, "quick").await.contains("is accepted"));
        bot.kill();
        assert_sound(&cluster.url).await;
    });
}

both_engines! {
    async fn while_slack_is_gone_runs_go_on_and_are_told_afterwards(database: TestDatabase) {
        let mut bot = started(&database.url).await;
        asked(&bot, "quick").await;
        // The card and its thread.
        bot.until("the first", |bot| times(&bot.told(), "quick ✅ done") == 2).await;

        bot.workspace.fail_matching("*", 100_000, Fault::DropBefore);
        asked(&bot, "quick").await;
        bot.until("it is done all the same", |bot| bot.place.marks().len() == 2).await;
        let report = bot.until_ready("Slack is missed", |status, _| status == 503).await;
        assert_eq!(report["slack"], "does not answer", "{report}");
        assert_eq!(report["database"], "ok", "{report}");
        assert_eq!(bot.metric("neostock_part_up{part=\"slack\"}").await, Some(0));
        assert!(bot.metric("neostock_outbox{what=\"due\"}").await.unwrap() > 0);

        let looks = Looks::within(Duration::from_secs(30));
        while troubles(&database.url).await.is_empty() {
            looks.again(|| format!("its beginning is not written\n{}", bot.log())).await;
        }
        bot.workspace.clear_faults();
        bot.until_ready("ready again", |status, _| status == 200).await;
        bot.until("the second is told", |bot| times(&bot.told(), "quick ✅ done") == 4).await;
        bot.until("that it is over", |bot| times(&bot.told(), "Slack can be reached again") > 0).await;

        assert_eq!(times(&bot.told(), "Slack can be reached again"), 1);
        assert_eq!(bot.workspace.faults(), Vec::<String>::new());
        bot.kill();
        let told = troubles(&database.url).await;
        assert_eq!(told, ["trouble.over slack", "trouble.began slack"]);
        assert_sound(&database.url).await;
    }
}

/// A small disk under a folder; unmounted when this is dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None`, loudly, where this machine lets nobody mount.
    fn under(folder: &Path) -> Option<Self> {
        std::fs::create_dir_all(folder).unwrap();
        let size = format!("size={DISK_MIB}m,mode=700");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(folder.to_owned())),
            other => {
                eprintln!(
                    "NOT SHOWN: a full disk. Nobody may mount a tmpfs on {} here: {other:?}",
                    folder.display()
                );
                None
            }
        }
    }

    fn free(&self) -> usize {
        usize::try_from(neostock_ops::exec::space::free_bytes(&self.0).unwrap()).unwrap()
    }

    /// Leaves this much, or nothing.
    fn leave(&self, bytes: usize) {
        let mut file = std::fs::File::options()
            .append(true)
            .create(true)
            .open(self.0.join("ballast"))
            .unwrap();
        let piece = vec![0; MIB / 4];
        while self.free() > bytes {
            if file.write_all(&piece).is_err() {
                // The rest, to the last byte.
                while file.write_all(&[0]).is_ok() {}
                break;
            }
        }
    }

    fn empty(&self) {
        std::fs::remove_file(self.0.join("ballast")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

both_engines! {
    async fn a_low_disk_begins_nothing_a_full_one_loses_nothing_and_room_heals_both(
        database: TestDatabase
    ) {
        let mut bot = Process::new(&database.url, HANG).await;
        let data = bot.place.data();
        let Some(disk) = SmallDisk::under(&data) else { return };
        if database.engine == Engine::Sqlite {
            // Where it is unless somebody says otherwise: beside the evidence.
            bot.database_url = format!("sqlite:{}", data.join("neostock.db").display());
        }
        assert!(bot.start(None).await);
        asked(&bot, "hang").await;
        asked(&bot, "gated").await;
        bot.until("the step hangs", |bot| bot.place.marks() == ["hang"]).await;
        bot.until("the gate", |bot| bot.workspace.can_press("U0BOB", "Approve")).await;

        disk.leave(20 * MIB);
        let report = bot.until_ready("the disk is low", |_, report| report["disk"] != "ok").await;
        assert_eq!(report["ready"], true, "{report}");
        let refused = asked(&bot, "quick").await;
        assert!(refused.contains("less than the reserve of 64 MiB"), "{refused}");
        assert!(refused.contains("no new run was begun"), "{refused}");
        bot.workspace.press("U0BOB", "Approve").await;
        bot.until("people are told", |bot| times(&bot.told(), "The disk is low") > 0).await;
        // What runs has the reserve.
        go(&bot);
        bot.until("what runs goes on", |bot| times(&bot.told(), "hang ✅ done") > 0).await;
        assert_eq!(bot.metric("neostock_runs_open{state=\"queued\"}").await, Some(1));
        assert_eq!(bot.place.marks(), ["hang", "after"]);
        assert!(bot.metric("neostock_data_free_bytes").await.unwrap() < 64 * MIB as i64);

        disk.leave(0);
        for _ in 0..20 {
            let answer = asked(&bot, "whoami").await;
            let is_known = answer.contains("U0BOB") || answer.contains("is full, so nothing was done")
                || answer.contains("nothing was done");
            assert!(is_known, "{answer}");
        }

        disk.empty();
        bot.until_ready("room again", |status, report| status == 200 && report["disk"] == "ok").await;
        bot.until("what was queued", |bot| times(&bot.told(), "gated ✅ done") > 0).await;
        bot.until("that it is over", |bot| times(&bot.told(), "The disk has room again") > 0).await;
        assert!(asked(&bot, "quick").await.contains("is accepted"));
        bot.until("the next", |bot| times(&bot.told(), "quick ✅ done") > 0).await;

        let told = bot.told();
        assert_eq!(bot.place.marks(), ["hang", "after", "gated", "quick"]);
        assert_eq!(times(&told, "The disk is low"), 1, "{told:#?}");
        assert_eq!(times(&told, "The disk has room again"), 1, "{told:#?}");
        bot.kill();
        assert_sound(&bot.database_url).await;
    }
}

both_engines! {
    async fn more_than_may_wait_are_refused(database: TestDatabase) {
        let mut bot = Process::new(&database.url, HANG).await;
        bot.variables.push(("NEOSTOCK_RUNS_WAITING_MAX".to_owned(), "2".to_owned()));
        assert!(bot.start(None).await);

        let answers = [asked(&bot, "gated").await, asked(&bot, "gated").await];
        let third = asked(&bot, "gated").await;

        assert!(answers.iter().all(|answer| answer.contains("waits for approval")), "{answers:?}");
        assert!(third.contains("2 runs wait or are queued already, and 2 may"), "{third}");
        assert!(third.contains("cancel what nobody needs"), "{third}");
        bot.until("the cards", |bot| bot.workspace.can_press("U0BOB", "Approve")).await;
        bot.workspace.press("U0BOB", "Approve").await;
        bot.until("one is done", |bot| {
            bot.workspace.messages("C0OPS").iter().any(|one| shown(one).contains("gated ✅ done"))
        })
        .await;
        assert!(asked(&bot, "gated").await.contains("waits for approval"));
        bot.kill();
    }
}
