//! What a step hands on and prints, as whom: real processes, read back from the attempt's folder.

use crate::harness::attempt::{Attempt, PROGRAM, until};
use neostock_ops::exec::handed::OutputFault;
use neostock_ops::exec::local::Local;
use neostock_ops::exec::record::{Exit, Reason};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

/// The user that every Linux has and nobody is.
const OTHER: &str = "nobody";
const OTHER_ID: u32 = 65_534;

fn am_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn files_left_in_tmp() -> usize {
    let names = fs::read_dir("/tmp")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok());
    names.filter(|name| name.starts_with("neostock-outputs-")).count()
}

#[tokio::test]
async fn what_a_step_writes_into_its_outputs_is_on_its_record() {
    let mut attempt = Attempt::shell(
        "test $(stat -c %a $NEOSTOCK_OUTPUTS) = 600 || exit 9; echo version=v1.4 >> $NEOSTOCK_OUTPUTS; \
         echo path=/srv/it is=1 >> $NEOSTOCK_OUTPUTS; echo token=hunter2hunter2 >> $NEOSTOCK_OUTPUTS; \
         echo other=1 >> $NEOSTOCK_OUTPUTS",
    );
    attempt.spec.outputs = ["version", "path", "token", "count"].map(str::to_owned).to_vec();
    attempt.spec.secrets = vec!["hunter2hunter2".into()];

    let exit = attempt.run().await;

    assert!(exit.is_success(), "{exit:?}");
    let found: Vec<_> =
        exit.outputs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(found, [("path", "/srv/it is=1"), ("token", "[redacted]"), ("version", "v1.4")]);
    let expected = [
        OutputFault::HeldSecret("token".into()),
        OutputFault::Undeclared("other".into()),
        OutputFault::Missing("count".into()),
    ];
    assert_eq!(exit.output_faults, expected);
    assert!(!attempt.dir.join("outputs").exists());
}

#[tokio::test]
async fn a_step_that_fails_misses_no_output_and_one_that_declares_none_has_no_file() {
    let mut failing = Attempt::shell("echo a=1 > $NEOSTOCK_OUTPUTS; exit 1");
    failing.spec.outputs = vec!["a".into(), "b".into()];
    let exit = failing.run().await;
    assert_eq!(
        (exit.code, exit.outputs["a"].as_str(), exit.output_faults.len()),
        (Some(1), "1", 0)
    );

    let silent = Attempt::shell("test -z \"${NEOSTOCK_OUTPUTS+x}\"");
    assert!(silent.run().await.is_success());
}

#[tokio::test]
async fn an_outputs_file_that_became_something_else_is_a_fault_and_holds_nobody_up() {
    for trick in [
        "rm $NEOSTOCK_OUTPUTS; ln -s /etc/hostname $NEOSTOCK_OUTPUTS",
        "rm $NEOSTOCK_OUTPUTS; mkfifo $NEOSTOCK_OUTPUTS",
        "rm $NEOSTOCK_OUTPUTS",
        "rm $NEOSTOCK_OUTPUTS; mkdir $NEOSTOCK_OUTPUTS",
    ] {
        let mut attempt = Attempt::shell(trick);
        attempt.spec.outputs = vec!["a".into()];

        let exit = attempt.run().await;

        assert!(exit.is_success() && exit.outputs.is_empty(), "{trick}: {exit:?}");
        let [OutputFault::Unreadable(_), OutputFault::Missing(_)] = &exit.output_faults[..] else {
            panic!("{trick}: {exit:?}");
        };
    }
}

#[tokio::test]
async fn the_most_that_can_be_handed_on_fits_the_record() {
    let mut attempt = Attempt::shell(
        r#"i=0; v=$(head -c 4000 /dev/zero | tr '\0' '"'); while [ $i -lt 16 ]; do echo "n$i=$v"; i=$((i+1)); done > $NEOSTOCK_OUTPUTS"#,
    );
    attempt.spec.outputs = (0..16).map(|number| format!("n{number}")).collect();

    let exit = attempt.run().await;

    assert_eq!(exit.output_faults, []);
    assert_eq!(exit.outputs.values().map(String::len).sum::<usize>(), 64_000);
}

#[test]
fn a_record_of_an_earlier_version_is_read() {
    let old = r#"{"reason":"exited","code":0,"signal":null,"left_behind":[],"bytes":3,"dropped":0,
        "output_incomplete":false,"output_left_open":false,"started_ms":1,"ended_ms":2}"#;

    let exit: Exit = serde_json::from_str(old).unwrap();

    assert!(exit.is_success() && exit.outputs.is_empty() && exit.output_faults.is_empty());
}

#[tokio::test]
async fn a_step_of_another_user_has_that_users_rights_and_home_and_hands_on_its_outputs() {
    if !am_root() {
        println!(
            "NOT TESTED: another user needs root; what is refused to others is tested instead"
        );
        return;
    }
    let mut attempt = Attempt::shell(
        "id -u; id -g; id -G; echo $HOME $USER $LOGNAME; echo err > /dev/stderr; \
         echo who=$(id -un) >> $NEOSTOCK_OUTPUTS; cat /etc/shadow 2>/dev/null | head -1",
    );
    attempt.spec.user = Some(OTHER.into());
    attempt.spec.workdir = "/".into();
    attempt.spec.outputs = vec!["who".into()];
    let before = files_left_in_tmp();

    let exit = attempt.run().await;

    assert!(exit.is_success(), "{exit:?} {}", attempt.text().await);
    let text = attempt.text().await;
    for line in ["65534", "/nonexistent nobody nobody", "err"] {
        assert!(text.lines().any(|found| found.ends_with(line)), "{text}");
    }
    assert!(!text.contains("root:"), "{text}");
    assert_eq!(exit.outputs["who"], OTHER);
    assert_eq!(exit.output_faults, []);
    until("the file in the shared folder is gone", || files_left_in_tmp() <= before);
}

#[tokio::test]
async fn a_step_of_another_user_dies_with_its_supervisor() {
    if !am_root() {
        println!("NOT TESTED: another user needs root");
        return;
    }
    let mut attempt = Attempt::shell("echo $$; exec sleep 60");
    attempt.spec.user = Some(OTHER.into());
    attempt.spec.workdir = "/".into();
    attempt.start().await;
    let said = || fs::read_to_string(attempt.dir.join("output.log")).unwrap_or_default();
    until("the step said who it is", || said().ends_with('\n'));
    let pid = said().trim().to_owned();

    attempt.kill_supervisor();

    until("the step is gone", || !crate::harness::attempt::is_alive(&pid));
}

#[tokio::test]
async fn a_user_that_does_not_exist_is_named_and_nothing_runs() {
    let mut attempt = Attempt::shell("touch ran");
    attempt.spec.user = Some("no-such-user-here".into());

    let exit = attempt.run().await;

    let Reason::SpawnFailed(why) = &exit.reason else { panic!("{exit:?}") };
    assert!(why.contains("`no-such-user-here`") && why.contains("create it"), "{why}");
    assert!(!attempt.path("ran").exists());
}

#[tokio::test]
async fn a_bot_that_may_not_change_users_says_so_and_nothing_runs() {
    let mut attempt = Attempt::shell("touch ran");
    attempt.spec.workdir = "/tmp".into();
    if am_root() {
        // The supervisor of a bot that is not root.
        let wrapper = attempt.path("bot");
        let line = format!(
            "#!/bin/sh\nexec /usr/bin/setpriv --reuid={OTHER_ID} --regid={OTHER_ID} --clear-groups {PROGRAM} \"$@\"\n"
        );
        fs::write(&wrapper, line).unwrap();
        open_to_all(&wrapper);
        open_to_all(attempt.root.path());
        fs::create_dir_all(&attempt.dir).unwrap();
        open_to_all(attempt.dir.parent().unwrap());
        chown(&attempt.dir, Some(OTHER_ID), Some(OTHER_ID)).unwrap();
        attempt.local = Local::new(wrapper);
    }
    attempt.spec.user = Some(if am_root() { "daemon" } else { "root" }.into());

    let exit = attempt.run().await;

    let Reason::SpawnFailed(why) = &exit.reason else { panic!("{exit:?}") };
    assert!(why.contains("may not change users"), "{why}");
    assert!(!attempt.path("ran").exists());
}

fn open_to_all(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test]
async fn errors_are_told_from_output_in_the_order_in_which_they_came() {
    let attempt = Attempt::shell(
        "echo one; sleep 0.05; echo bad >&2; sleep 0.05; printf two; sleep 0.3; echo worse >&2; echo three",
    );

    let exit = attempt.run().await;

    assert_eq!(exit.bytes, 23, "{exit:?}");
    let (shown, next) = attempt.local.shown(&attempt.dir, 0, 1_000).await.unwrap();
    let shown = String::from_utf8(shown).unwrap();
    assert!(
        ["one\n! bad\ntwo\n! worse\nthree\n", "one\n! bad\ntwothree\n! worse\n"].contains(&&*shown),
        "{shown}"
    );
    assert_eq!(next, exit.bytes);
    assert_eq!(attempt.local.shown_last(&attempt.dir, 1_000).await.unwrap(), shown.as_bytes());
    let (rest, _) = attempt.local.shown(&attempt.dir, 4, 1_000).await.unwrap();
    assert_eq!(rest, &shown.as_bytes()[4..]);
}

#[tokio::test]
async fn lines_of_two_streams_are_never_mixed() {
    let attempt = Attempt::shell(
        "(i=0; while [ $i -lt 2000 ]; do printf out; echo $i; i=$((i+1)); done) &
         (i=0; while [ $i -lt 2000 ]; do printf err; echo $i; i=$((i+1)); done) >&2; wait",
    );

    attempt.run().await;

    let (shown, _) = attempt.local.shown(&attempt.dir, 0, 1_000_000).await.unwrap();
    let shown = String::from_utf8(shown).unwrap();
    for (mark, word) in [("", "out"), ("! ", "err")] {
        let wanted: Vec<_> = (0..2_000).map(|number| format!("{mark}{word}{number}")).collect();
        let found: Vec<_> = shown.lines().filter(|line| line.contains(word)).collect();
        assert_eq!(found, wanted);
    }
}
