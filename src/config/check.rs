//! `neostock-ops check`: settings and runbook read as the bot would read them, and every fault of
//! both in one list, and of the alerting configuration that they name. Or that one alone.

use super::alerting::{self, Alerting};
use super::fault::{Fault, listing};
use super::runbook::{self, check_machine};
use super::settings::{self, Settings, Sources};
use crate::core::action::Runbook;
use crate::core::contact_card;
use crate::core::duration;
use std::fmt::Write as _;
use std::path::Path;

/// What `check` found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// For a person; ends with a newline.
    pub text: String,
    /// Whether the bot would start with this.
    pub ok: bool,
}

/// Checks what [`settings::read`] would read, and the runbook that it names. `now_ms`: for what is due again
/// after some time.
pub fn check(config_path: Option<&Path>, now_ms: i64) -> Report {
    match settings::sources(config_path) {
        Ok(sources) => check_sources(&sources, now_ms),
        Err(faults) => report(&faults, "", &[]),
    }
}

/// Checks given sources, and the runbook that they name.
pub fn check_sources(sources: &Sources, now_ms: i64) -> Report {
    // A faulty setting has its default here, so that the runbook is read all the same.
    let (settings, mut faults) = settings::assemble(sources);
    let (mut summary, mut notes) = (String::new(), Vec::new());
    match runbook::load(&settings.runbook) {
        Ok(runbook) => {
            summary = summary_of(&settings, &runbook);
            notes = check_machine(&runbook, &settings.host);
            notes.extend(contacts_note(&runbook, now_ms));
        }
        Err(mut found) => faults.append(&mut found),
    }
    if let Some(path) = &settings.alerting {
        match alerting::load(path) {
            Ok(alerting) => {
                let _ = write!(summary, "\nok: {}", alerting_summary(path, &alerting));
                notes.extend(alerting_notes(path, &alerting));
            }
            Err(mut found) => faults.append(&mut found),
        }
    }
    if faults.is_empty()
        && let Err(mut missing) = settings.slack()
    {
        // Not a fault of the files: `audit` and `check` themselves work without. Where there are
        // faults, one of them may be why it is missing.
        notes.append(&mut missing);
    }
    report(&faults, &summary, &notes)
}

/// The contacts are due for a review: the bot starts all the same.
fn contacts_note(runbook: &Runbook, now_ms: i64) -> Option<Fault> {
    let words = contact_card::review_words(runbook.contacts.as_ref()?, now_ms)?;
    Some(Fault::whole("contacts", words.en))
}

/// Checks an alerting configuration, and nothing else.
pub fn check_alerting(path: &Path) -> Report {
    match alerting::load(path) {
        Ok(alerting) => {
            report(&[], &alerting_summary(path, &alerting), &alerting_notes(path, &alerting))
        }
        Err(faults) => report(&faults, "", &[]),
    }
}

/// What keeps notices from leaving now: the bot starts all the same.
fn alerting_notes(path: &Path, alerting: &Alerting) -> Vec<Fault> {
    let file = path.display().to_string();
    let mut notes = alerting.ways.notes(&file);
    notes.extend(alerting.liveness.heartbeat.as_ref().and_then(|one| one.note(&file)));
    notes
}

fn alerting_summary(path: &Path, alerting: &Alerting) -> String {
    let alerts = alerting.alerts.iter().map(|(name, alert)| {
        let severity = alert.severity.name();
        let duration = duration::spell(alert.duration_ms);
        format!("{name} over {} for {duration}: {severity}", alert.threshold)
    });
    format!("{}: {}", path.display(), counted("alert", alerts))
}

fn summary_of(settings: &Settings, runbook: &Runbook) -> String {
    let environments = runbook.environments.values().map(|one| {
        let name = one.name.clone();
        if one.default { format!("{name} by default") } else { name }
    });
    let freezes = runbook.freezes.iter().map(|one| one.planned.name.clone());
    let freezes = match runbook.freezes.len() {
        0 => String::new(),
        _ => format!("; {}", counted("freeze", freezes)),
    };
    format!(
        "{}: service {}: {}; {}; {}{}; digest {}",
        settings.runbook.display(),
        runbook.service,
        counted("environment", environments),
        counted("role", runbook.roles.keys().cloned()),
        counted("action", runbook.actions.keys().cloned()),
        freezes,
        runbook.digest.get(..12).unwrap_or_default(),
    )
}

/// "2 roles (lead, viewer)"
fn counted(what: &str, names: impl Iterator<Item = String>) -> String {
    let names = names.collect::<Vec<_>>();
    let plural = if names.len() == 1 { "" } else { "s" };
    format!("{} {what}{plural} ({})", names.len(), names.join(", "))
}

fn report(faults: &[Fault], summary: &str, notes: &[Fault]) -> Report {
    let mut text = listing(faults);
    // Writing to a String cannot fail.
    let _ = match faults.len() {
        0 => writeln!(text, "ok: {summary}"),
        1 => writeln!(text, "1 fault"),
        count => writeln!(text, "{count} faults"),
    };
    for note in notes {
        let _ = writeln!(text, "note: {note}");
    }
    Report { text, ok: faults.is_empty() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    /// 2026-11-24 03:00:00 UTC.
    const NIGHT_MS: i64 = 1_795_489_200_000;
    const GOOD: &str = "\
service: shop
environments:
  production: {workdir: /nowhere/shop, default: true, channel: C0OPS}
  staging: {workdir: /, channel: C0OPS, host: elsewhere}
roles: {operator: {members: [everyone]}}
actions:
  restart: {summary: Restart it, role: operator, steps: [{name: Restart, run: [no-such-program]}]}
  probe: {summary: Probe it, role: operator, lock: none, steps: [{name: Probe, http: {url: 'http://127.0.0.1/'}}]}
";

    const ALERTING: &str =
        "alerts: {cpu: {threshold: 0.8, duration: 5m, severity: error, channels: [slack]}}\n";

    /// The folder's own name is nobody's business in a snapshot.
    fn check_files(settings: &str, runbook: &str, variables: &[(&str, &str)]) -> Report {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("runbook")).unwrap();
        std::fs::write(folder.path().join("runbook/runbook.yml"), runbook).unwrap();
        std::fs::write(folder.path().join("a.yml"), ALERTING).unwrap();
        let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let sources = Sources {
            file: Some(("neostock.yml".to_owned(), settings.as_bytes().to_vec())),
            environment: variables.iter().map(pair).collect(),
            working_dir: PathBuf::from(folder.path()),
            hostname: "here".to_owned(),
        };
        let report = check_sources(&sources, NIGHT_MS);
        let text = report.text.replace(&folder.path().display().to_string(), "[folder]");
        Report { text, ..report }
    }

    #[test]
    fn a_good_pair_of_files_is_summed_up_in_one_line() {
        let slack = [("SLACK_BOT_TOKEN", "xoxb-1"), ("SLACK_SIGNING_SECRET", "1")];

        let report = check_files("alerting: a.yml\n", GOOD, &slack);

        assert!(report.ok, "{}", report.text);
        insta::assert_snapshot!(report.text, @r"
        ok: [folder]/runbook/runbook.yml: service shop: 2 environments (production by default, staging); 1 role (operator); 2 actions (probe, restart); digest 277b9b579926
        ok: [folder]/a.yml: 1 alert (cpu over 80% for 5m: error)
        note: environment production: workdir /nowhere/shop is not a folder
            create it, or correct `workdir`
        note: environment production: program `no-such-program` is not found
            install it, write its whole path, or set PATH under `variables`; now /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
        ");
    }

    #[test]
    fn faults_of_settings_and_runbook_are_listed_together() {
        let runbook = GOOD.replace("role: operator", "role: operater");

        let report = check_files("listne: 1\n", &runbook, &[("NEOSTOCK_LISTEN", "x")]);

        assert!(!report.ok);
        insta::assert_snapshot!(report.text, @r"
        neostock.yml:1:1: `listne` is not a key of the settings
            did you mean `listen`? keys: `slack`, `database_url`, `listen`, `data_dir`, `runbook`, `alerting`, `host`, `lease`, `evidence_kept`, `evidence_mib_max`, `journal_key`, `journal_key_previous`, `export_key`, `webhook_token`, `response_hosts`, `runs_waiting_max`, `encryption_at_rest`, `log`, `log_format`
        NEOSTOCK_LISTEN: `x` is not an address with a port
            for example: 127.0.0.1:8080, or 0.0.0.0:8080 for every interface
        [folder]/runbook/runbook.yml:7:40: there is no role `operater`
            did you mean `operator`? roles: `operator`
        [folder]/runbook/runbook.yml:8:36: there is no role `operater`
            did you mean `operator`? roles: `operator`
        4 faults
        ");
    }

    #[test]
    fn faults_of_the_alerting_configuration_are_listed_with_the_others() {
        let report = check_files("alerting: b.yml\nlistne: 1\n", GOOD, &[]);
        assert!(!report.ok);
        let words = "[folder]/b.yml: the alerting configuration cannot be read";
        assert!(report.text.contains(words) && report.text.contains("listne"), "{}", report.text);
    }

    #[test]
    fn what_slack_needs_is_a_note_and_no_fault() {
        let report = check_files("log: debug\n", GOOD, &[("SLACK_SIGNING_SECRET", "1")]);

        assert!(report.ok);
        let note = "note: SLACK_BOT_TOKEN: is not set, and Slack cannot be spoken to without it";
        assert!(report.text.contains(note), "{}", report.text);
        assert!(!report.text.contains("SLACK_SIGNING_SECRET"), "{}", report.text);
    }

    #[test]
    fn an_alerting_configuration_is_summed_up_or_refused_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.yml");
        let check = |text: &str| {
            std::fs::write(&path, text).unwrap();
            let report = check_alerting(&path);
            (report.ok, report.text.replace(&folder.path().display().to_string(), "[folder]"))
        };

        let (ok, text) = check(
            "alerts:\n  response_time: {threshold: 5s, percentile: 99, duration: 120s, severity: warning, channels: [slack]}\n  \
             cpu: {threshold: 0.825, duration: 300s, severity: error, channels: [slack]}\n",
        );
        assert!(ok, "{text}");
        insta::assert_snapshot!(text, @"ok: [folder]/a.yml: 2 alerts (cpu over 82.5% for 5m: error, response_time over P99 5s for 2m: warning)");

        let (ok, text) = check("alerts: {gpu: 1}\n");
        assert!(!ok, "{text}");
        insta::assert_snapshot!(text, @r"
        [folder]/a.yml:1:10: `gpu` is not measured by itself, and there is no `query`
            did you mean `cpu`? built in: `error_rate`, `response_time`, `auth_failure`, `data_fetch_failure`, `cpu`, `memory`; or add its `query`, in PromQL
        [folder]/a.yml:1:15: text found, an alert with a query (a map) expected
            for example: {query: max(queue_age_seconds), threshold: 5m, duration: 60s, severity: error, channels: [slack]}
        2 faults
        ");

        let report = check_alerting(&folder.path().join("nowhere.yml"));
        assert!(!report.ok && report.text.contains("cannot be read"), "{}", report.text);
    }

    #[test]
    fn contacts_that_are_due_for_a_review_are_a_note_and_no_fault() {
        let check = |day: &str| {
            let contacts = format!(
                "contacts: {{reviewed: {day}, people: [{{name: A, duty: a, slack: U1}}]}}\n"
            );
            check_files("log: debug\n", &format!("{GOOD}{contacts}"), &[])
        };

        let report = check("2026-08-01");
        assert!(report.ok);
        let note = "note: contacts: Last reviewed on 2026-08-01, 115 days ago";
        assert!(report.text.contains(note), "{}", report.text);
        assert!(!check("2026-11-01").text.contains("note: contacts"));
    }

    #[test]
    fn a_runbook_that_is_not_there_is_a_fault() {
        let report = check_files("log: debug\nrunbook: nowhere.yml\n", GOOD, &[]);

        assert!(!report.ok);
        insta::assert_snapshot!(report.text, @r"
        [folder]/nowhere.yml: the runbook cannot be read: No such file or directory (os error 2)
            name the right file with NEOSTOCK_RUNBOOK or the setting `runbook`
        1 fault
        ");
    }
}
