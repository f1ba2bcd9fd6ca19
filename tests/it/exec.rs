//! Steps as the bot runs them: real processes, real signals, evidence read back from the folder.

#![expect(clippy::unwrap_used, reason = "helpers of tests, which may")]

use crate::harness::attempt::{Attempt, DEADLINE, PROGRAM, command, is_alive, now, signal, until};
use neostock_ops::exec::local::{Cancel, Local, StartError, Verdict};
use neostock_ops::exec::record::{self, Lock, Reason, Started};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

/// Runs `exec-step` by hand and answers its exit code.
fn exec_step(attempt: &Attempt, input: &[u8]) -> i32 {
    let mut child = command(PROGRAM)
        .arg("exec-step")
        .arg(&attempt.dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait().unwrap().code().unwrap()
}

#[tokio::test]
async fn a_step_ends_with_its_code_and_its_output() {
    let attempt = Attempt::shell("echo out; echo err >&2; exit 3");

    let exit = attempt.run().await;

    assert_eq!((exit.reason.clone(), exit.code, exit.signal), (Reason::Exited, Some(3), None));
    assert!(!exit.is_success() && exit.left_behind.is_empty() && !exit.output_incomplete);
    assert_eq!((exit.bytes, exit.dropped), (8, 0));
    assert_eq!(attempt.text().await, "out\nerr\n");
    assert_eq!(attempt.local.tail(&attempt.dir, 4).await.unwrap(), b"err\n");
    let (rest, next) = attempt.local.output(&attempt.dir, 4, 2).await.unwrap();
    assert_eq!((&rest[..], next), (&b"er"[..], 6));
}

#[tokio::test]
async fn a_signal_that_ends_the_program_is_told() {
    let exit = Attempt::shell("kill -SEGV $$").run().await;

    assert_eq!((exit.code, exit.signal), (None, Some(11)));
}

#[tokio::test]
async fn arguments_are_inert() {
    let nasty =
        ["; rm -rf /", "$(touch pwned)", "`id`", "a\nb", "  two  spaces ", "", "*", "-n", "'\""];
    let mut argv = vec!["printf", "<%s>"];
    argv.extend(nasty);
    let attempt = Attempt::of(&argv);

    let exit = attempt.run().await;

    assert!(exit.is_success());
    assert_eq!(attempt.text().await, format!("<{}>", nasty.join("><")));
    assert!(!attempt.path("pwned").exists());
}

#[tokio::test]
async fn a_step_gets_its_own_environment_and_no_open_file() {
    // This process has an environment; none of it may arrive.
    assert!(std::env::vars_os().count() > 2);
    let mut attempt = Attempt::of(&["sh", "-c", "env; echo; ls -l /proc/$$/fd; pwd"]);
    attempt.spec.env.push(("GREETING".into(), "hello".into()));
    attempt.spec.env.push(("NEOSTOCK_ATTEMPT".into(), "forged".into()));

    attempt.run().await;

    let text = attempt.text().await;
    let (environment, files) = text.split_once("\n\n").unwrap();
    let mut names: Vec<_> =
        environment.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    names.sort_unstable();
    names.retain(|name| !["PWD", "_", "OLDPWD", "SHLVL"].contains(name));
    assert_eq!(names, ["GREETING", "NEOSTOCK_ATTEMPT", "PATH"], "{text}");
    assert!(environment.contains(&format!("NEOSTOCK_ATTEMPT={}", attempt.spec.attempt)));
    assert!(files.contains("/dev/null"), "{text}");
    assert!(!files.contains("lock") && !files.contains("socket"), "{text}");
    assert!(files.ends_with(&format!("{}\n", attempt.root.path().display())), "{text}");
}

/// A child that ignores TERM, and a daemon in a session of its own that does too.
const STUBBORN: &str = "trap '' TERM
    sh -c 'trap \"\" TERM; echo $$ >child; while :; do sleep 1; done' &
    setsid sh -c 'trap \"\" TERM; echo $$ >daemon; while :; do sleep 1; done' &
    while :; do sleep 1; done";

#[tokio::test]
async fn a_time_out_ends_even_what_ignores_term() {
    let mut attempt = Attempt::shell(STUBBORN);
    attempt.spec.timeout_ms = 700;

    attempt.start().await;
    let (child, daemon) = (attempt.await_file("child"), attempt.await_file("daemon"));
    let exit = attempt.finish().await;

    assert_eq!((exit.reason, exit.signal), (Reason::Timeout, Some(9)));
    assert!(exit.ended_ms - exit.started_ms >= 1_000, "700 ms and 300 ms of grace");
    assert!(exit.left_behind.is_empty());
    assert!(!is_alive(&child) && !is_alive(&daemon));
}

#[tokio::test]
async fn a_cancellation_sends_term_at_once_and_ends_everything() {
    let mut attempt = Attempt::shell(
        "trap 'date +%s%N >told' TERM
         setsid sh -c 'trap \"\" TERM; echo $$ >daemon; while :; do sleep 1; done' &
         echo ready >ready; while :; do sleep 0.05; done",
    );
    attempt.spec.leaves_processes = true;
    attempt.start().await;
    attempt.await_file("ready");
    let daemon = attempt.await_file("daemon");

    let asked = now();
    assert_eq!(attempt.local.cancel(&attempt.dir).await.unwrap(), Cancel::Heard);
    attempt.await_file("told");
    assert!(asked.elapsed() < Duration::from_secs(1));

    let exit = attempt.finish().await;
    assert_eq!(exit.reason, Reason::Cancelled);
    assert!(!is_alive(&daemon));
    assert_eq!(attempt.local.cancel(&attempt.dir).await.unwrap(), Cancel::NobodyThere);
}

#[tokio::test]
async fn a_program_that_obeys_term_ends_before_the_grace_does() {
    let mut attempt =
        Attempt::shell("trap 'exit 7' TERM; echo ready >ready; while :; do sleep 0.05; done");
    attempt.spec.grace_ms = 15_000;
    attempt.start().await;
    attempt.await_file("ready");

    let asked = now();
    attempt.local.cancel(&attempt.dir).await.unwrap();
    let exit = attempt.finish().await;

    assert_eq!((exit.reason, exit.code), (Reason::Cancelled, Some(7)));
    assert!(asked.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_killed_supervisor_leaves_the_outcome_unknown_and_survivors_named() {
    let attempt = Attempt::shell("setsid sleep 1000 & echo $! >daemon; exec sleep 1001");
    attempt.start().await;
    let daemon = attempt.await_file("daemon");
    let held = attempt.local.stop_survivors(&attempt.dir).await.unwrap_err();
    assert_eq!(held.kind(), std::io::ErrorKind::ResourceBusy);

    attempt.kill_supervisor();

    let seen = |verdict: &Verdict| match verdict {
        Verdict::Unknown { rebooted: false, survivors } => survivors
            .iter()
            .map(|process| (process.pid.to_string(), process.name.clone()))
            .collect(),
        other => panic!("{other:?}"),
    };
    let since = now();
    let survivors: Vec<(String, String)> = loop {
        // The program itself dies by its parent-death signal, a moment later.
        let survivors: Vec<_> = seen(&attempt.verdict().await);
        if survivors.len() == 1 || since.elapsed() > DEADLINE {
            break survivors;
        }
    };
    assert_eq!(survivors, [(daemon.clone(), "sleep".to_owned())]);

    assert_eq!(attempt.local.stop_survivors(&attempt.dir).await.unwrap(), []);
    assert!(!is_alive(&daemon));
    assert_eq!(attempt.verdict().await, Verdict::Unknown { rebooted: false, survivors: vec![] });
}

#[tokio::test]
async fn another_bot_adopts_what_a_killed_bot_started() {
    let attempt = Attempt::shell("echo begin; until test -e go; do sleep 0.02; done; echo end");
    // The bot is a process group of its own, and dies whole while the supervisor runs.
    let script = "\"$0\" exec-step \"$1\" <spec >report & echo started >bot; wait";
    fs::create_dir_all(&attempt.dir).unwrap();
    fs::write(attempt.path("spec"), serde_json::to_vec(&attempt.spec).unwrap()).unwrap();
    let mut bot = command("setsid")
        .args(["sh", "-c", script, PROGRAM])
        .arg(&attempt.dir)
        .current_dir(attempt.root.path())
        .spawn()
        .unwrap();
    assert_eq!(attempt.await_file("report"), "locked");
    let group = format!("-{}", bot.id());
    command("kill").args(["-KILL", "--", &group]).status().unwrap();
    bot.wait().unwrap();

    let other = Local::new(PROGRAM);
    assert_eq!(other.observe(&attempt.dir).await.unwrap(), Verdict::Running);
    fs::write(attempt.path("go"), "").unwrap();

    assert!(attempt.finish().await.is_success());
    assert_eq!(attempt.text().await, "begin\nend\n");
}

#[tokio::test]
async fn a_supervisor_outlives_the_signals_of_a_terminal_and_of_a_service_manager() {
    let attempt = Attempt::shell("echo ready >ready; until test -e go; do sleep 0.02; done");
    attempt.start().await;
    attempt.await_file("ready");

    for name in ["HUP", "INT", "QUIT", "TERM"] {
        signal(attempt.supervisor_pid(), name);
    }
    fs::write(attempt.path("go"), "").unwrap();

    assert!(attempt.finish().await.is_success());
}

#[tokio::test]
async fn an_attempt_is_started_once() {
    let attempt = Attempt::shell("echo ran >>effect; until test -e go; do sleep 0.02; done");
    attempt.start().await;

    let second = attempt.local.start(&attempt.dir, &attempt.spec).await;
    assert!(matches!(second, Err(StartError::Held)), "{second:?}");

    fs::write(attempt.path("go"), "").unwrap();
    assert!(attempt.finish().await.is_success());
    // The record stands before the lock is free.
    let since = now();
    let third = loop {
        let third = attempt.local.start(&attempt.dir, &attempt.spec).await;
        if !matches!(third, Err(StartError::Held)) || since.elapsed() > DEADLINE {
            break third;
        }
    };
    assert!(matches!(third, Err(StartError::Fenced)), "{third:?}");
    assert_eq!(fs::read_to_string(attempt.path("effect")).unwrap(), "ran\n");
}

#[tokio::test]
async fn what_was_never_started_is_abandoned_by_asking_and_stays_so() {
    let attempt = Attempt::shell("echo ran >effect");

    assert_eq!(attempt.verdict().await, Verdict::NeverStarted);
    assert_eq!(attempt.verdict().await, Verdict::NeverStarted);
    let late = attempt.local.start(&attempt.dir, &attempt.spec).await;

    assert!(matches!(late, Err(StartError::Fenced)), "{late:?}");
    assert!(!attempt.path("effect").exists());
    assert_eq!(attempt.local.cancel(&attempt.dir).await.unwrap(), Cancel::NobodyThere);
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_proves_nothing() {
    let attempt = Attempt::shell("true");
    fs::write(attempt.path("attempts"), "a file").unwrap();

    assert!(attempt.local.observe(&attempt.dir).await.is_err());
}

#[tokio::test]
async fn a_step_whose_folder_was_swept_away_is_not_called_never_started() {
    let attempt = Attempt::shell("echo ready >ready; sleep 1000");
    attempt.start().await;
    attempt.await_file("ready");
    let supervisor = attempt.supervisor_pid();

    fs::remove_dir_all(&attempt.dir).unwrap();
    let verdict = attempt.verdict().await;

    let Verdict::Unknown { rebooted: false, survivors } = verdict else { panic!("{verdict:?}") };
    assert!(!survivors.is_empty());
    assert_eq!(attempt.local.stop_survivors(&attempt.dir).await.unwrap(), []);
    // Its supervisor has nowhere to write and ends.
    until("the supervisor ended", || !is_alive(&supervisor.to_string()));
}

#[tokio::test]
async fn a_specification_cut_short_starts_nothing() {
    let attempt = Attempt::shell("echo ran >effect");
    fs::create_dir_all(&attempt.dir).unwrap();
    let json = serde_json::to_vec(&attempt.spec).unwrap();

    assert_eq!(exec_step(&attempt, &json[..json.len() / 2]), 65);
    assert_eq!(attempt.verdict().await, Verdict::NeverStarted);
    assert_eq!(exec_step(&attempt, &json), 76);
    assert!(!attempt.path("effect").exists());
}

#[tokio::test]
async fn a_reboot_is_told_from_a_crash() {
    let attempt = Attempt::of(&["sleep", "1000"]);
    attempt.start().await;
    until("it started", || attempt.dir.join("started").exists());
    attempt.kill_supervisor();
    until("the lock is free", || Lock::try_take(&attempt.dir).unwrap().is_some());

    let mut started = record::read::<Started>(&attempt.dir).unwrap().unwrap();
    started.boot_id = "another".into();
    record::write(&attempt.dir, &started).unwrap();

    assert_eq!(attempt.verdict().await, Verdict::Unknown { rebooted: true, survivors: vec![] });
}

#[tokio::test]
async fn a_torn_record_is_an_unknown_outcome() {
    let attempt = Attempt::shell("true");
    fs::create_dir_all(&attempt.dir).unwrap();
    fs::write(attempt.dir.join("started"), "{").unwrap();

    let verdict = attempt.verdict().await;

    assert_eq!(verdict, Verdict::Unknown { rebooted: false, survivors: vec![] });
}

#[tokio::test]
async fn output_and_memory_are_bounded() {
    let mut attempt =
        Attempt::shell("echo first; head -c 50000000 /dev/zero | tr '\\0' x; echo; echo last");
    attempt.spec.output_bytes_max = 1_000;
    attempt.start().await;
    // The peak is the kernel's own figure; read as long as the supervisor lives.
    let status = format!("/proc/{}/status", {
        until("it started", || attempt.dir.join("started").exists());
        attempt.supervisor_pid()
    });
    let mut peak_kib = 0;
    while let Ok(text) = fs::read_to_string(&status) {
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let Some(kib) = line.and_then(|line| line.split_whitespace().next()?.parse().ok()) else {
            break;
        };
        peak_kib = peak_kib.max(kib);
        std::thread::sleep(Duration::from_millis(2));
    }

    let exit = attempt.finish().await;

    assert!(exit.is_success());
    let total = 50_000_000 + "first\n".len() as u64 + "\nlast\n".len() as u64;
    assert_eq!(exit.bytes, total);
    assert_eq!(exit.dropped, total - 1_000 - 64 * 1024);
    assert!(!exit.output_incomplete);
    let text = attempt.text().await;
    assert!(text.starts_with("first\nxxx") && text.ends_with("xxx\nlast\n"));
    assert!(text.contains(&format!("[... {} bytes not kept ...]", exit.dropped)));
    assert!(text.len() < 70_000);
    assert!(peak_kib < 40_000, "{peak_kib} KiB");
}

#[tokio::test]
async fn secrets_never_reach_the_disk() {
    let secret = "s3cr3t/with+signs";
    let mut attempt = Attempt::shell(
        "echo \"plain $TOKEN\"; printf s3cr3t; sleep 0.1; printf /with; sleep 0.1; echo +signs
         printf %s \"$TOKEN\" | base64; echo 'key s3cr3t%2Fwith%2Bsigns'; echo Bearer abcdefgh12345678
         printf 'no line end %s' \"$TOKEN\"",
    );
    attempt.spec.env.push(("TOKEN".into(), secret.into()));
    attempt.spec.secrets = vec![secret.into()];

    let exit = attempt.run().await;

    assert!(exit.is_success());
    assert_eq!(
        attempt.text().await,
        "plain [redacted]\n[redacted]\n[redacted]\nkey [redacted]\nBearer [redacted]\nno line end [redacted]"
    );
    for file in fs::read_dir(&attempt.dir).unwrap() {
        let path = file.unwrap().path();
        let bytes = fs::read(&path).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&bytes).contains("s3cr3t"), "{}", path.display());
    }
}

#[tokio::test]
async fn output_is_shown_while_the_step_runs() {
    let attempt = Attempt::shell("echo early; until test -e go; do sleep 0.02; done; echo late");
    attempt.start().await;

    until("the output is there", || {
        fs::read_to_string(attempt.dir.join("output.log")).is_ok_and(|text| text == "early\n")
    });
    fs::write(attempt.path("go"), "").unwrap();

    attempt.finish().await;
    assert_eq!(attempt.text().await, "early\nlate\n");
}

#[tokio::test]
async fn a_program_that_cannot_be_executed_is_no_exit_code() {
    let attempt = Attempt::of(&["no-such-program-here"]);
    let Reason::SpawnFailed(why) = attempt.run().await.reason else { panic!() };
    assert_eq!(
        why,
        "cannot execute `no-such-program-here`: No such file or directory (os error 2)"
    );

    let attempt = Attempt::of(&["./script"]);
    fs::write(attempt.path("script"), "#!/bin/sh\n").unwrap();
    let Reason::SpawnFailed(why) = attempt.run().await.reason else { panic!() };
    assert!(why.contains("Permission denied"), "{why}");

    let mut attempt = Attempt::shell("true");
    attempt.spec.workdir = "/no/such/place".into();
    let Reason::SpawnFailed(why) = attempt.run().await.reason else { panic!() };
    assert!(why.starts_with("cannot enter the directory `/no/such/place`"), "{why}");

    let attempt = Attempt::of(&["printf", "nul \0 byte"]);
    assert!(matches!(attempt.run().await.reason, Reason::SpawnFailed(_)));
}

#[tokio::test]
async fn a_long_path_to_the_folder_is_no_obstacle() {
    let mut attempt = Attempt::shell("echo ready >ready; sleep 1000");
    attempt.dir = attempt.dir.join("d".repeat(200)).join("e".repeat(200));
    attempt.start().await;
    attempt.await_file("ready");

    assert_eq!(attempt.local.cancel(&attempt.dir).await.unwrap(), Cancel::Heard);
    assert_eq!(attempt.finish().await.reason, Reason::Cancelled);
}

#[tokio::test]
async fn what_a_step_leaves_behind_is_stopped_and_named() {
    let attempt = Attempt::shell("setsid sleep 1000 & echo $! >daemon; sleep 0.05");

    let exit = attempt.run().await;

    let daemon = attempt.await_file("daemon");
    assert!(exit.is_success());
    let [left] = &exit.left_behind[..] else { panic!("{:?}", exit.left_behind) };
    assert_eq!(
        (left.pid.to_string(), left.name.as_str(), left.alive),
        (daemon.clone(), "sleep", false)
    );
    assert!(!is_alive(&daemon));
}

#[tokio::test]
async fn what_a_step_is_meant_to_leave_is_named_and_stays() {
    let mut attempt = Attempt::shell("setsid sleep 1000 & echo $! >daemon; echo done");
    attempt.spec.leaves_processes = true;

    let since = now();
    let exit = attempt.run().await;

    let daemon = attempt.await_file("daemon");
    assert!(exit.is_success() && exit.output_left_open);
    assert!(since.elapsed() < Duration::from_secs(3));
    assert!(exit.left_behind.iter().any(|left| left.pid.to_string() == daemon && left.alive));
    assert!(is_alive(&daemon));
    assert_eq!(attempt.text().await, "done\n");
    // Finished, so that nobody calls it a survivor; the mark still finds it.
    until("the lock is free", || Lock::try_take(&attempt.dir).unwrap().is_some());
    assert_eq!(attempt.local.stop_survivors(&attempt.dir).await.unwrap(), []);
    assert!(!is_alive(&daemon));
}

#[tokio::test]
async fn what_ends_by_itself_at_once_is_not_called_left_behind() {
    let exit = Attempt::shell("sleep 0.03 & echo done").run().await;

    assert!(exit.is_success() && exit.left_behind.is_empty(), "{:?}", exit.left_behind);
}

#[tokio::test]
async fn waiting_ends_with_the_step_and_never_spins() {
    let attempt = Attempt::shell("until test -e go; do sleep 0.02; done");
    attempt.start().await;
    let wait = attempt.local.wait(&attempt.dir);
    let press = async {
        tokio::task::yield_now().await;
        fs::write(attempt.path("go"), "").unwrap();
    };

    let since = now();
    tokio::join!(wait, press);
    assert!(since.elapsed() < Duration::from_secs(3));

    // The end is written before it is heard of.
    let verdict = attempt.local.observe(&attempt.dir).await.unwrap();
    assert!(matches!(verdict, Verdict::Finished(_)), "{verdict:?}");
    let since = now();
    attempt.local.wait(&attempt.dir).await;
    assert!(since.elapsed() >= Duration::from_millis(200), "it returned at once");
}

#[tokio::test]
async fn no_zombie_stays_in_the_bot() {
    let attempt = Attempt::shell("true");
    attempt.start().await;
    until("it started", || attempt.dir.join("started").exists());
    let supervisor = attempt.supervisor_pid();

    attempt.finish().await;

    until("it was reaped", || !Path::new(&format!("/proc/{supervisor}")).exists());
}

/// Kills supervisors at random moments: whatever is claimed must fit what the step did.
#[tokio::test]
async fn a_hundred_random_kills_give_no_wrong_verdict() {
    let script = "echo ran >>effect; sleep 0.02; echo done >>effect";
    let whole = now();
    assert!(Attempt::shell(script).run().await.is_success());
    let whole_micros = u64::try_from(whole.elapsed().as_micros()).unwrap();
    let mut tally = [0; 3];
    let mut seed: u64 = 0x9E37_79B9_7F4A_7C15 ^ u64::from(std::process::id());
    for _ in 0..100 {
        let attempt = Attempt::shell(script);
        fs::create_dir_all(&attempt.dir).unwrap();
        let mut supervisor = command(PROGRAM)
            .arg("exec-step")
            .arg(&attempt.dir)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let json = serde_json::to_vec(&attempt.spec).unwrap();
        supervisor.stdin.take().unwrap().write_all(&json).unwrap();
        // xorshift: from before the lock to after the end, however busy the machine is.
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        std::thread::sleep(Duration::from_micros(seed % (whole_micros * 3 / 2)));
        supervisor.kill().unwrap();
        supervisor.wait().unwrap();

        let verdict = attempt.verdict().await;
        let effect = fs::read_to_string(attempt.path("effect")).unwrap_or_default();
        match verdict {
            Verdict::Finished(exit) => {
                assert!(exit.is_success(), "{exit:?}");
                assert_eq!(effect, "ran\ndone\n");
                tally[0] += 1;
            }
            Verdict::NeverStarted => {
                assert_eq!(effect, "");
                let late = attempt.local.start(&attempt.dir, &attempt.spec).await;
                assert!(matches!(late, Err(StartError::Fenced)), "{late:?}");
                tally[1] += 1;
            }
            Verdict::Unknown { rebooted, .. } => {
                assert!(!rebooted);
                attempt.local.stop_survivors(&attempt.dir).await.unwrap();
                tally[2] += 1;
            }
            Verdict::Running => unreachable!("verdict() waits"),
        }
        // Whatever was said stays said.
        let again = attempt.local.observe(&attempt.dir).await.unwrap();
        let effect_again = fs::read_to_string(attempt.path("effect")).unwrap_or_default();
        if again == Verdict::NeverStarted {
            assert_eq!(effect_again, "");
        }
    }
    println!("finished {}, never started {}, unknown {}", tally[0], tally[1], tally[2]);
    assert!(tally[2] > 0, "no kill met a running step: {tally:?}");
}

/// Needs a small file system, which only root can mount.
#[tokio::test]
async fn a_full_disk_is_a_flag_and_the_outcome_is_kept() {
    let mut attempt =
        Attempt::shell("head -c 3000000 /dev/zero | tr '\\0' x; echo ran >effect; exit 4");
    let disk = attempt.path("disk");
    fs::create_dir(&disk).unwrap();
    let mount =
        command("mount").args(["-t", "tmpfs", "-o", "size=512k", "none"]).arg(&disk).output();
    if !mount.is_ok_and(|mount| mount.status.success()) {
        println!("NOT TESTED: a disk that is really full, as this user may not mount one");
        return;
    }
    let _mounted = Mounted(disk.clone());
    attempt.dir = disk.join("attempt");
    attempt.spec.output_bytes_max = 2_000_000;

    let exit = attempt.run().await;

    assert_eq!((exit.reason.clone(), exit.code), (Reason::Exited, Some(4)));
    assert!(exit.output_incomplete && exit.dropped > 2_000_000, "{exit:?}");
    assert_eq!(exit.bytes, 3_000_000);
    assert_eq!(attempt.await_file("effect"), "ran");
}

/// Where nothing can be mounted, and besides: a limit on the size of files, as a quota would be.
#[tokio::test]
async fn a_limit_on_files_is_a_full_disk_like_another() {
    let mut attempt = Attempt::shell("head -c 3000000 /dev/zero | tr '\\0' x; exit 4");
    let bot = attempt.path("bot");
    // 1,024 blocks of 512 bytes; the step's own pipes know no such limit.
    fs::write(&bot, format!("#!/bin/sh\nulimit -f 1024\nexec {PROGRAM} \"$@\"\n")).unwrap();
    fs::set_permissions(&bot, fs::Permissions::from_mode(0o755)).unwrap();
    attempt.local = Local::new(bot);
    attempt.spec.output_bytes_max = 2_000_000;

    let exit = attempt.run().await;

    assert_eq!((exit.reason.clone(), exit.code), (Reason::Exited, Some(4)));
    assert!(exit.output_incomplete && exit.dropped >= 3_000_000 - 1024 * 512, "{exit:?}");
    assert_eq!(exit.bytes, 3_000_000);
    assert_eq!(attempt.text().await.len(), 1024 * 512);
}

struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = command("umount").arg("-l").arg(&self.0).status();
    }
}

/// Answers these bodies, one a connection, the last one for ever.
fn server(answers: Vec<&'static str>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for (index, connection) in listener.incoming().enumerate() {
            let mut connection = connection.unwrap();
            let _ = connection.read(&mut [0; 4_096]);
            let answer = answers[index.min(answers.len() - 1)];
            let _ = connection.write_all(answer.as_bytes());
        }
    });
    format!("http://{address}/health?token=do-not-print")
}

fn probe(url: &str, more: &[&str]) -> Attempt {
    let mut argv = vec![PROGRAM, "probe", "--url", url, "--expect", "200"];
    argv.extend(more);
    Attempt::of(&argv)
}

#[tokio::test]
async fn a_probe_asks_until_the_answer_is_the_expected_one() {
    let url = server(vec![
        "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 17\r\nConnection: close\r\n\r\nwarming up\nsecret",
        "HTTP/1.1 302 Found\r\nLocation: /other\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nwait",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nready",
    ]);
    let attempt = probe(&url, &["--within-ms", "15000", "--contains", "ready"]);

    let exit = attempt.run().await;

    let text = attempt.text().await;
    assert!(exit.is_success(), "{text}");
    let outcomes: Vec<_> = text.lines().filter_map(|line| Some(line.split_once(": ")?.1)).collect();
    assert_eq!(
        outcomes,
        [
            "answered 503 Service Unavailable, not 200: warming up",
            "answered 302 Found, not 200: (empty)",
            "answered 200 OK without the expected text: wait",
            "answered 200 OK with the expected text",
        ]
    );
    assert!(!text.contains("do-not-print"));
}

#[tokio::test]
async fn a_probe_gives_up_when_its_time_is_over() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let attempt = probe(&format!("http://{closed}/"), &["--within-ms", "1200"]);

    let exit = attempt.run().await;

    let text = attempt.text().await;
    assert_eq!((exit.reason, exit.code), (Reason::Exited, Some(1)), "{text}");
    assert_eq!(text.matches("cannot connect: Connection refused").count(), 1, "{text}");
    assert!(text.ends_with("not as expected within 1200 ms\n"), "{text}");
}

#[tokio::test]
async fn a_probe_refuses_what_it_does_not_understand() {
    let attempt = probe("not an address", &["--within-ms", "10"]);

    assert_eq!(attempt.run().await.code, Some(2));
}

/// `cargo test overhead -- --ignored --nocapture`
#[tokio::test]
#[ignore = "a measurement, not a check"]
async fn the_overhead_of_the_supervisor() {
    let mut bare = Vec::new();
    let mut supervised = Vec::new();
    for _ in 0..100 {
        let since = now();
        assert!(command("/bin/true").status().unwrap().success());
        bare.push(since.elapsed());

        let attempt = Attempt::of(&["/bin/true"]);
        let since = now();
        assert!(attempt.run().await.is_success());
        supervised.push(since.elapsed());
    }
    bare.sort_unstable();
    supervised.sort_unstable();
    println!(
        "bare p50 {:?}, supervised p50 {:?} p95 {:?}",
        bare[50], supervised[50], supervised[95]
    );
}

/// Where this machine keeps control groups that these tests may make groups in.
fn group_of(attempt: &Attempt) -> Option<PathBuf> {
    let own = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].map(PathBuf::from);
    let own = own.into_iter().find(|folder| folder.join("cgroup.procs").exists())?;
    let below = fs::read_to_string("/proc/self/cgroup").unwrap();
    let below = below.lines().find_map(|line| line.strip_prefix("0::/"))?.to_owned();
    let own = own.join(below);
    let probe = own.join(format!("probe-{}", std::process::id()));
    fs::create_dir(&probe).ok()?;
    fs::remove_dir(probe).unwrap();
    Some(own.join(format!("neostock-{}", attempt.spec.attempt)))
}

/// A chain of short-lived processes in sessions of their own, which TERM does not end.
const HOPPING: &str = "trap '' TERM; printf '%s\\n' '#!/bin/sh' 'echo $$ >> hops' 'setsid sh hop &' > hop; sh hop; sleep 1000";

#[tokio::test]
async fn what_forks_for_its_life_is_stopped_at_the_time_out() {
    let mut attempt = Attempt::shell(HOPPING);
    attempt.spec.timeout_ms = 500;
    attempt.spec.grace_ms = 100;

    let exit = attempt.run().await;

    assert_eq!(exit.reason, Reason::Timeout);
    let hops = || fs::read_to_string(attempt.path("hops")).unwrap().lines().count();
    let before = hops();
    assert!(before > 5, "{before}");
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(hops(), before, "it hops on");
    match group_of(&attempt) {
        Some(group) => assert!(!group.exists(), "{} is left", group.display()),
        None => println!("NOT TESTED: the step's control group, as none can be made here"),
    }
}

#[tokio::test]
async fn a_step_has_a_control_group_and_what_hides_its_mark_is_found_there() {
    let attempt = Attempt::shell(
        "env -i /bin/sh -c 'setsid sleep 1000 & echo $! >hidden'; echo ready >ready; sleep 1000",
    );
    let Some(group) = group_of(&attempt) else {
        println!("NOT TESTED: control groups, as none can be made here; the file protocol is");
        return;
    };
    attempt.start().await;
    attempt.await_file("ready");
    let hidden = attempt.await_file("hidden");
    let members = fs::read_to_string(group.join("cgroup.procs")).unwrap();
    assert!(members.lines().any(|pid| pid == hidden), "{members}");
    let supervisor = attempt.supervisor_pid().to_string();
    assert!(!members.lines().any(|pid| pid == supervisor), "the supervisor was moved");

    attempt.kill_supervisor();

    let Verdict::Unknown { survivors, .. } = attempt.verdict().await else { panic!() };
    assert!(survivors.iter().any(|left| left.pid.to_string() == hidden), "{survivors:?}");
    assert_eq!(attempt.local.stop_survivors(&attempt.dir).await.unwrap(), []);
    until("it is gone", || !is_alive(&hidden));
    fs::remove_dir(group).unwrap();
}

/// The other way: a bot that may make no group stops everything by sessions and the subreaper.
#[tokio::test]
async fn without_control_groups_a_time_out_ends_everything_all_the_same() {
    let mut attempt = Attempt::shell(
        "trap '' TERM; setsid sh -c \"trap '' TERM; while :; do sleep 0.1; done\" & echo $! >daemon; while :; do sleep 0.1; done",
    );
    attempt.spec.workdir = "/tmp".into();
    attempt.spec.timeout_ms = 300;
    attempt.spec.grace_ms = 100;
    let daemon = attempt.path("daemon");
    attempt.spec.argv[2] =
        attempt.spec.argv[2].replace(">daemon", &format!(">{}", daemon.display()));
    if rustix::process::geteuid().is_root() {
        let bot = attempt.path("bot");
        fs::write(&bot, format!("#!/bin/sh\nexec setpriv --reuid=65534 --regid=65534 --clear-groups {PROGRAM} \"$@\"\n")).unwrap();
        fs::create_dir_all(&attempt.dir).unwrap();
        for open in [attempt.root.path(), attempt.dir.parent().unwrap(), &attempt.dir, &bot] {
            fs::set_permissions(open, fs::Permissions::from_mode(0o777)).unwrap();
        }
        attempt.local = Local::new(bot);
    }

    let exit = attempt.run().await;

    assert_eq!(exit.reason, Reason::Timeout);
    assert!(!is_alive(attempt.await_file("daemon").as_str()));
}
