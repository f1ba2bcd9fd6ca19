//! What a person is told about settings, and what good ones become.

use super::super::fault::listing;
use super::*;
use secrecy::ExposeSecret;

fn sources(file: &str, environment: &[(&str, &str)]) -> Sources {
    let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Sources {
        file: (!file.is_empty()).then(|| ("neostock.yml".to_owned(), file.into())),
        environment: environment.iter().map(pair).collect(),
        working_dir: PathBuf::from("/opt/ops"),
        hostname: "app-1".to_owned(),
    }
}

fn faults_of(file: &str, environment: &[(&str, &str)]) -> String {
    let faults = from_sources(&sources(file, environment)).expect_err("faults");
    listing(&faults)
}

#[test]
fn the_defaults_alone_are_settings() {
    let settings = from_sources(&sources("", &[])).unwrap();

    assert_eq!(settings.slack_api_url, "https://slack.com/api");
    assert_eq!(settings.database_url.expose_secret(), "sqlite:/opt/ops/neostock-data/neostock.db");
    assert_eq!(settings.listen, "127.0.0.1:8080".parse().unwrap());
    assert_eq!(settings.data_dir, PathBuf::from("/opt/ops/neostock-data"));
    assert_eq!(settings.runbook, PathBuf::from("/opt/ops/runbook/runbook.yml"));
    assert_eq!(settings.host, "app-1");
    assert_eq!(settings.lease_ms, 30_000);
    assert_eq!(settings.evidence_kept_ms, 90 * 86_400_000);
    assert_eq!(settings.evidence_bytes_max, 5 * 1024 * MIB);
    assert_eq!(settings.log, "info");
    assert_eq!(settings.log_format, LogFormat::Text);
    assert!(settings.alerting.is_none() && settings.response_hosts.is_empty());
}

#[test]
fn the_environment_goes_before_the_file_and_the_file_before_the_defaults() {
    let file = "listen: 0.0.0.0:9000\nlog: debug\ndata_dir: /var/lib/ops\n";
    let environment = [("NEOSTOCK_LOG", "warn"), ("NEOSTOCK_LISTEN", ""), ("HOME", "/root")];

    let settings = from_sources(&sources(file, &environment)).unwrap();

    assert_eq!(settings.listen, "0.0.0.0:9000".parse().unwrap());
    assert_eq!(settings.log, "warn");
    assert_eq!(settings.database_url.expose_secret(), "sqlite:/var/lib/ops/neostock.db");
}

#[test]
fn every_variable_does_the_same_as_its_key() {
    let values = [
        ("SLACK_BOT_TOKEN", "xoxb-1"),
        ("SLACK_SIGNING_SECRET", "abc"),
        ("SLACK_APP_TOKEN", "xapp-1"),
        ("SLACK_API_URL", "http://127.0.0.1:3999/api/"),
        ("DATABASE_URL", "postgres://u:p@db/ops"),
        ("NEOSTOCK_LISTEN", "[::1]:80"),
        ("NEOSTOCK_DATA_DIR", "d"),
        ("NEOSTOCK_RUNBOOK", "r.yml"),
        ("NEOSTOCK_ALERTING", "a.yml"),
        ("NEOSTOCK_HOST", "here"),
        ("NEOSTOCK_LEASE", "45s"),
        ("NEOSTOCK_EVIDENCE_KEPT", "30d"),
        ("NEOSTOCK_EVIDENCE_MIB_MAX", "100"),
        ("NEOSTOCK_JOURNAL_KEY", "0123456789abcdef0123456789abcdef"),
        (
            "NEOSTOCK_JOURNAL_KEY_PREVIOUS",
            "fedcba9876543210fedcba9876543210, 00112233445566778899aabbccddeeff",
        ),
        ("NEOSTOCK_EXPORT_KEY", "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"),
        ("NEOSTOCK_WEBHOOK_TOKEN", "hook"),
        ("NEOSTOCK_RESPONSE_HOSTS", "127.0.0.1:3999, Example.com"),
        ("NEOSTOCK_RUNS_WAITING_MAX", "7"),
        ("NEOSTOCK_ENCRYPTION_AT_REST", "LUKS on all disks"),
        ("NEOSTOCK_LOG", "info,neostock_ops=debug"),
        ("NEOSTOCK_LOG_FORMAT", "json"),
    ];
    let file = "slack: {bot_token: xoxb-1, signing_secret: abc, app_token: xapp-1, \
                    api_url: 'http://127.0.0.1:3999/api/'}\n\
                    database_url: postgres://u:p@db/ops\nlisten: '[::1]:80'\ndata_dir: d\n\
                    runbook: r.yml\nalerting: a.yml\nhost: here\n\
                    lease: 45s\nevidence_kept: 30d\nevidence_mib_max: 100\n\
                    journal_key: 0123456789abcdef0123456789abcdef\nwebhook_token: hook\n\
                    journal_key_previous: [fedcba9876543210fedcba9876543210, \
                    00112233445566778899aabbccddeeff]\nruns_waiting_max: 7\n\
                    export_key: 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n\
                    response_hosts: ['127.0.0.1:3999', Example.com]\n\
                    encryption_at_rest: LUKS on all disks\n\
                    log: info,neostock_ops=debug\nlog_format: json\n";
    let exposed = |settings: &Settings| {
        let secrets = [
            settings.slack_bot_token.clone(),
            settings.slack_signing_secret.clone(),
            settings.slack_app_token.clone(),
            settings.journal_key.clone(),
            settings.export_key.clone(),
            settings.webhook_token.clone(),
            Some(settings.database_url.clone()),
        ];
        secrets.map(|secret| secret.map(|secret| secret.expose_secret().to_owned()))
    };

    let by_variable = from_sources(&sources("", &values)).unwrap();
    let by_key = from_sources(&sources(file, &[])).unwrap();

    assert_eq!(values.map(|(name, _)| name), VARIABLES.map(|(name, _)| name));
    assert_eq!(format!("{by_variable:?}"), format!("{by_key:?}"));
    assert_eq!(exposed(&by_variable), exposed(&by_key));
    assert_eq!(by_variable.for_next_start(&by_key), [""; 0]);
    assert_eq!(by_key.journal_keys().previous.len(), 2);
    assert_eq!(by_key.runs_waiting_max, 7);
    assert_eq!(by_key.response_hosts, ["127.0.0.1:3999", "example.com"]);
    assert_eq!(by_key.slack_api_url, "http://127.0.0.1:3999/api");
}

#[test]
fn what_another_reading_changes_for_the_next_start_is_named() {
    let one = from_sources(&sources("", &[])).unwrap();
    let file = "listen: 127.0.0.1:9\nlog: debug\njournal_key_previous: \
                    [fedcba9876543210fedcba9876543210]\nruns_waiting_max: 3\n";

    let other = from_sources(&sources(file, &[])).unwrap();

    let named = one.for_next_start(&other);
    assert_eq!(named, ["listen", "journal_key_previous", "runs_waiting_max"]);
}

#[test]
fn a_limit_that_is_no_number_and_a_short_previous_key_are_faults() {
    for (name, value, words) in [
        ("NEOSTOCK_RUNS_WAITING_MAX", "many", "`many` is not a number from 1 to 100000"),
        ("NEOSTOCK_RUNS_WAITING_MAX", "0", "`0` is not a number from 1 to 100000"),
        ("NEOSTOCK_JOURNAL_KEY_PREVIOUS", "short", "5 bytes; a key has at least 32"),
        ("NEOSTOCK_EXPORT_KEY", "hunter2", "a key is 32 bytes, written as 64 hexadecimal digits"),
    ] {
        let faults = from_sources(&sources("", &[(name, value)])).unwrap_err();
        assert_eq!(faults[0].message, words);
    }
}

#[test]
fn debug_shows_no_secret() {
    let settings = from_sources(&sources(
        "",
        &[
            ("SLACK_BOT_TOKEN", "xoxb-hunter2"),
            ("SLACK_SIGNING_SECRET", "hunter2"),
            ("SLACK_APP_TOKEN", "xapp-hunter2"),
            ("DATABASE_URL", "postgres://u:hunter2@db/ops"),
            ("NEOSTOCK_JOURNAL_KEY", "hunter2-hunter2-hunter2-hunter2-hunter2"),
            ("NEOSTOCK_WEBHOOK_TOKEN", "hunter2"),
        ],
    ))
    .unwrap();

    let slack = settings.slack().unwrap();

    assert!(!format!("{settings:?}{slack:?}").contains("hunter2"));
}

#[test]
fn every_fault_of_both_sources_is_listed_at_once() {
    let file = "lissten: 1\nslack: {bot_token: xapp-hunter2, api_url: 'http://slack.com/api'}\n\
                    log_format: xml\ndatabase_url: mysql://u:hunter2@db/x\njournal_key: hunter2\n\
                    webhook_token: {hunter2: 1}\n";
    let environment = [
        ("NEOSTOCK_LISTEN", "8080"),
        ("NEOSTOCK_DATADIR", "/x"),
        ("NEOSTOCK_SECRET_DB", "hunter2"),
        ("NEOSTOCK_TEST_ANY", "1"),
        ("NEOSTOCK_RESPONSE_HOSTS", "a.example,evil.example/path"),
        ("NEOSTOCK_LOG", "info=loud=very"),
        ("SLACK_SIGNING_SECRET", "xoxb-hunter2"),
    ];

    let faults = faults_of(file, &environment);

    assert!(!faults.contains("hunter2@") && !faults.contains("xoxb-h"), "{faults}");
    insta::assert_snapshot!(faults, @r#"
        neostock.yml:1:1: `lissten` is not a key of the settings
            did you mean `listen`? keys: `slack`, `database_url`, `listen`, `data_dir`, `runbook`, `alerting`, `host`, `lease`, `evidence_kept`, `evidence_mib_max`, `journal_key`, `journal_key_previous`, `export_key`, `webhook_token`, `response_hosts`, `runs_waiting_max`, `encryption_at_rest`, `log`, `log_format`
        neostock.yml:2:20: the token does not begin with `xoxb-`; this is an app-level token: SLACK_APP_TOKEN, slack.app_token
            copy it again from your Slack app's pages
        neostock.yml:2:43: http would send the bot's token unencrypted
            for example: https://slack.com/api
        neostock.yml:3:13: `xml` is not one of the choices here
            choices: `text`, `json`
        neostock.yml:4:15: the address is neither SQLite's nor PostgreSQL's
            begin it with `sqlite:` or `postgres://`
        neostock.yml:5:14: 7 bytes; a key has at least 32
            make one: openssl rand -hex 32
        neostock.yml:6:16: a map found, a secret (text) expected
            for example: …
        NEOSTOCK_DATADIR: is not a setting; NEOSTOCK_ names are the bot's
            did you mean NEOSTOCK_DATA_DIR?
        SLACK_SIGNING_SECRET: this is a token and not the signing secret
            your Slack app > Basic Information > App Credentials > Signing Secret
        NEOSTOCK_LISTEN: `8080` is not an address with a port
            for example: 127.0.0.1:8080, or 0.0.0.0:8080 for every interface
        NEOSTOCK_RESPONSE_HOSTS: `evil.example/path` is not a host or host:port
            for example: 127.0.0.1:3999
        NEOSTOCK_LOG: `info=loud=very` is not a log filter
            for example: info, or "info,neostock_ops=debug"
        "#);
}

#[test]
fn what_slack_needs_is_named_with_where_to_get_it() {
    let settings = from_sources(&sources("", &[])).unwrap();

    let faults = settings.slack().unwrap_err();

    insta::assert_snapshot!(listing(&faults), @r"
        SLACK_BOT_TOKEN: is not set, and Slack cannot be spoken to without it
            get it from your Slack app > OAuth & Permissions > Bot User OAuth Token (xoxb-…); the settings file's key is `slack.bot_token`
        SLACK_SIGNING_SECRET: is not set, and Slack cannot be spoken to without it
            get it from your Slack app > Basic Information > App Credentials > Signing Secret; the settings file's key is `slack.signing_secret`
        ");
}

#[test]
fn a_named_file_is_read_and_must_be_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ops.yml");
    let Err(faults) = super::sources(Some(&path)) else { panic!("there is no file yet") };
    std::fs::write(&path, "log: debug\n").unwrap();

    let sources = super::sources(Some(&path)).ok().unwrap();

    assert!(faults[0].message.starts_with("the settings file cannot be read"));
    assert_eq!(sources.file, Some((path.display().to_string(), b"log: debug\n".to_vec())));
    assert!(!sources.hostname.is_empty() && sources.working_dir.is_absolute());
}

#[test]
fn only_this_machine_is_spoken_to_without_encryption() {
    for right in
        ["https://slack.com/api", "http://localhost:1/api", "http://[::1]:1", "http://127.9.0.1"]
    {
        assert!(api_url(right).is_ok(), "{right}");
    }
    for wrong in [
        "http://slack.com/api",
        "http://127.0.0.1.example.com/api",
        "http://127.0.0.1@example.com/",
        "https://u:p@slack.com/api",
        "ftp://slack.com",
        "slack.com/api",
        "https://",
        "/api",
        "https://slack.com/api?x=1",
    ] {
        assert!(api_url(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_response_host_is_a_host_and_nothing_more() {
    for right in ["a", "a.example", "127.0.0.1:1", "[::1]:80", "a:65535"] {
        assert!(is_authority(right), "{right}");
    }
    for wrong in ["", "a/b", "http://a", "a@b", "a b", "a:99999", "a:", "*.example"] {
        assert!(!is_authority(wrong), "{wrong}");
    }
}

#[test]
fn the_defaults_file_explains_every_setting() {
    for (variable, key) in VARIABLES {
        let last = key.rsplit('.').next().unwrap();
        let line = format!("{last}:");
        assert!(DEFAULTS.contains(variable), "{variable}");
        let is_key = |text: &str| text.trim_start_matches(['#', ' ']).starts_with(&line);
        assert!(DEFAULTS.lines().any(is_key), "{key}");
    }
}

#[test]
fn a_terminal_asks_for_a_language_or_for_none() {
    let asks = |values: &[&str]| super::language_of(values.iter().map(|&value| value.to_owned()));
    assert_eq!(asks(&["", "zh_CN.UTF-8", "en_US"]), Some(Lang::Zh));
    assert_eq!(asks(&["en_GB@euro"]), Some(Lang::En));
    assert_eq!(asks(&["C.UTF-8", "zh_CN"]), None);
    assert_eq!(asks(&["POSIX"]), None);
    assert_eq!(asks(&[]), None);
}
