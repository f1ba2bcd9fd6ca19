//! The systemd unit that ships: systemd itself accepts it, and it says what the steps rely on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

fn unit() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/neostock-ops.service")
}

/// Section and key, and every value that is given.
fn keys(text: &str) -> BTreeMap<(String, String), Vec<String>> {
    let mut section = String::new();
    let mut found: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix('[') {
            name.trim_end_matches(']').clone_into(&mut section);
        } else {
            let (key, value) = line.split_once('=').unwrap_or_else(|| panic!("no key: {line}"));
            found.entry((section.clone(), key.to_owned())).or_default().push(value.to_owned());
        }
    }
    found
}

#[test]
fn the_unit_says_what_the_steps_rely_on() {
    let keys = keys(&std::fs::read_to_string(unit()).unwrap());
    let value = |section: &str, key: &str| {
        let found = keys.get(&(section.to_owned(), key.to_owned()));
        found.and_then(|values| values.last()).map(String::as_str)
    };

    for (key, wanted) in [
        ("Type", "notify"),
        // The bot alone is told to stop: supervisors and steps go on, and the next start adopts them.
        ("KillMode", "process"),
        ("Delegate", "yes"),
        ("Restart", "always"),
        ("ExecReload", "/bin/kill -HUP $MAINPID"),
        ("EnvironmentFile", "/etc/neostock-ops/environment"),
        ("User", "neostock-ops"),
        ("StateDirectory", "neostock-ops"),
        ("UMask", "0077"),
        ("OOMPolicy", "continue"),
    ] {
        assert_eq!(value("Service", key), Some(wanted), "{key}");
    }
    let stop = value("Service", "TimeoutStopSec").unwrap();
    let stop: u32 = stop.trim_end_matches('s').parse().unwrap();
    assert!(stop > 10, "the bot takes up to ten seconds");
    // What would break steps: they inherit all of it.
    for key in [
        "MemoryDenyWriteExecute",
        "PrivateTmp",
        "ProtectHome",
        "PrivateNetwork",
        "NoNewPrivileges",
        "SystemCallFilter",
        "PrivateUsers",
        "RestrictAddressFamilies",
        // These imply NoNewPrivileges where the user is an ordinary one (systemd.exec(5)).
        "ProtectKernelModules",
        "ProtectClock",
        "ProtectHostname",
        "LockPersonality",
        "RestrictRealtime",
    ] {
        assert_eq!(value("Service", key), None, "{key} would bind every step of every runbook");
    }
    assert_eq!(value("Install", "WantedBy"), Some("multi-user.target"));
}

#[test]
fn systemd_accepts_the_unit() {
    // The unit names a program that is installed elsewhere: verified with the one that was built.
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(unit()).unwrap();
    let program = env!("CARGO_BIN_EXE_neostock-ops");
    let here =
        text.replace("/usr/bin/neostock-ops", program).replace("User=neostock-ops", "User=root");
    assert_ne!(here, text, "the unit names its program");
    let path = folder.path().join("neostock-ops.service");
    std::fs::write(&path, here).unwrap();
    let verified =
        Command::new("systemd-analyze").arg("verify").arg("--man=no").arg(&path).output();
    let Ok(verified) = verified else {
        eprintln!("NOT SHOWN: there is no systemd-analyze here; only the keys were checked");
        return;
    };

    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    let ours: Vec<&str> = said.lines().filter(|line| line.contains("neostock-ops")).collect();
    assert_eq!(ours, Vec::<&str>::new(), "{said}");
    assert!(verified.status.success(), "{said}");
}
