//! Bodies as Alertmanager sent them, and bodies that nobody should send.

use super::received::{DESCRIPTION_CHARS_MAX, SUMMARY_CHARS_MAX};
use super::*;
use crate::config::runbook;
use crate::core::action::Runbook;
use crate::core::alert::{Level, Sighting, Way};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// 2026-11-24 03:00:00 UTC.
const NOW_MS: i64 = 1_795_489_200_000;
const RUNBOOK: &str = "
service: neostock
language: en
environments:
  production: {workdir: /, default: true, channel: C0OPS}
  staging: {workdir: /, channel: C0DEV}
roles:
  viewer: {members: [everyone]}
actions:
  touch:
    summary: {zh: 摸, en: Touch}
    role: viewer
    steps:
      - {name: Touch, run: ['true'], timeout: 5s}
";
static KNOWN: LazyLock<Runbook> =
    LazyLock::new(|| runbook::parse("r.yml", RUNBOOK.as_bytes()).unwrap());

/// Every captured body.
static CAPTURED: LazyLock<Vec<(String, Vec<u8>)>> = LazyLock::new(|| {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/alertmanager");
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let read = |path: std::path::PathBuf| {
        (path.file_stem().unwrap().to_str().unwrap().to_owned(), std::fs::read(path).unwrap())
    };
    let mut bodies: Vec<_> = files.map(read).collect();
    bodies.sort();
    bodies
});

fn around() -> Surroundings<'static> {
    Surroundings { runbook: &KNOWN, watchdog: "Watchdog", now_ms: NOW_MS }
}

fn read(body: &Value) -> Received {
    alertmanager::read(body.to_string().as_bytes(), around()).unwrap()
}

fn sent(body: &Value) -> Received {
    generic::read(body.to_string().as_bytes(), around()).unwrap()
}

fn captured(name: &str) -> Received {
    let (_, body) = CAPTURED.iter().find(|(found, _)| found == name).unwrap();
    alertmanager::read(body, around()).unwrap()
}

fn alert() -> Value {
    json!({
        "status": "firing",
        "labels": {"alertname": "DiskFull", "severity": "critical"},
        "annotations": {"summary": "the disk is full"},
        "startsAt": "2026-11-24T02:00:00Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "fingerprint": "aa",
    })
}

fn with(path: &str, value: Value) -> Value {
    let mut alert = alert();
    let (parent, key) = path.rsplit_once('/').unwrap();
    alert.pointer_mut(parent).unwrap()[key] = value;
    alert
}

fn body(alerts: &[Value]) -> Value {
    json!({"version": "4", "status": "firing", "alerts": alerts, "truncatedAlerts": 0})
}

#[test]
fn a_captured_body_is_read_as_it_was_meant() {
    let received = captured("firing-grouped");

    let ids: Vec<&str> = received.sightings.iter().map(|one| &*one.fingerprint).collect();
    assert_eq!(ids, ["ccca33268041f23d", "21c417107e3058de"]);
    let first = &received.sightings[0];
    assert_eq!(first.source, "alertmanager");
    assert_eq!(
        (&*first.name, &*first.service, &*first.environment),
        ("InstanceDown", "neostock", "production")
    );
    assert_eq!(
        (first.level, first.starts_ms, first.ended_ms),
        (Level::Critical, 1_795_473_356_616, None)
    );
    assert_eq!(first.ways, BTreeSet::from(Way::ALL));
    assert_eq!(first.summary, "127.0.0.1:19101 is down");
    assert_eq!(first.description, "neostock/127.0.0.1:19101 has been down for >3s");
    assert_eq!(first.labels["instance"], "127.0.0.1:19101");
    let links: Vec<(&str, &str)> = first.links.iter().map(|(name, to)| (&**name, &**to)).collect();
    assert_eq!(
        links,
        [
            ("runbook", "https://runbook.test/service-down"),
            (
                "query",
                "http://vm:19090/graph?g0.expr=up%7Bjob%3D%22neostock%22%7D+%3D%3D+0&g0.tab=1"
            ),
            ("alertmanager", "http://vm:19093/"),
        ]
    );
}

#[test]
fn each_alert_of_a_mixed_body_stands_by_itself() {
    let received = captured("mixed-one-resolved-one-firing");

    let ends: Vec<Option<i64>> = received.sightings.iter().map(|one| one.ended_ms).collect();
    assert_eq!(ends, [Some(1_795_473_364_616), None]);
}

#[test]
fn what_a_truncated_body_leaves_out_is_counted_and_nothing_else() {
    let received = captured("truncated-resolved-while-group-still-firing");

    assert_eq!((received.sightings.len(), received.truncated), (1, 1));
}

#[test]
fn every_captured_body_is_read_without_a_fault() {
    assert_eq!(CAPTURED.len(), 14);
    for (name, body) in CAPTURED.iter() {
        let received = alertmanager::read(body, around()).unwrap();
        assert_eq!((received.refused, &received.faults), (0, &vec![]), "{name}");
        assert!(!received.sightings.is_empty(), "{name}");
    }
}

#[test]
fn an_alert_that_cannot_be_read_does_not_lose_the_others() {
    let bad = [
        json!(7),
        json!(null),
        json!(["x"]),
        json!({}),
        with("/status", json!("pending")),
        with("/status", json!({})),
        with("/status", json!(" ")),
        with("/startsAt", json!("yesterday")),
        with("/startsAt", json!("0001-01-01T00:00:00Z")),
        with("/startsAt", json!(null)),
        with("/endsAt", json!("never")),
        with("/labels", json!("x")),
        with("/labels/instance", json!(["a", "b"])),
    ];
    let expected = [
        "/alerts/0: a number, an alert expected",
        "/alerts/1: null, an alert expected",
        "/alerts/2: a list, an alert expected",
        "/alerts/3/status: missing, `firing` or `resolved` expected",
        "/alerts/4/status: `pending` found, `firing` or `resolved` expected",
        "/alerts/5/status: an object, a text expected",
        "/alerts/6/status: missing, `firing` or `resolved` expected",
        "/alerts/7/startsAt: `yesterday` found, a time like 2026-11-23T22:35:56Z expected",
        "/alerts/8/startsAt: missing, the time of its beginning expected",
        "/alerts/9/startsAt: missing, the time of its beginning expected",
        "/alerts/10/endsAt: `never` found, a time like 2026-11-23T22:35:56Z expected",
        "/alerts/11/labels: a text, names and texts expected",
        "/alerts/12/labels/instance: a list, a text expected",
    ];
    let mut all = bad.to_vec();
    all.push(alert());

    let received = read(&body(&all));

    assert_eq!((received.refused, received.sightings.len()), (bad.len(), 1));
    for (index, line) in expected.into_iter().enumerate() {
        let own = format!("/alerts/{index}");
        let fits = |one: &&Fault| one.at == own || one.at.starts_with(&format!("{own}/"));
        let found = received.faults.iter().find(fits).unwrap();
        assert_eq!(format!("{}: {}", found.at, found.fault), line);
    }
}

#[test]
fn a_name_that_is_there_twice_is_refused_and_not_guessed() {
    let labels = r#"{"alertname": "A", "severity": "none", "severity": "critical"}"#;
    let twice = format!(
        r#"{{"alerts": [{{"status": "firing", "startsAt": "2026-11-24T02:00:00Z", "labels": {labels}}}, {}]}}"#,
        alert()
    );

    let received = alertmanager::read(twice.as_bytes(), around()).unwrap();

    assert_eq!((received.refused, received.sightings.len()), (1, 1));
    assert_eq!(received.faults[0].at, "/alerts/0/labels");
    assert!(received.faults[0].fault.contains("a name twice"), "{:?}", received.faults);
}

#[test]
fn text_that_is_no_unicode_costs_nobody_an_alert() {
    // What a program sends whose texts are of another encoding, and one that cuts a pair in two.
    let (mut broken, mut halved) = (alert(), alert());
    broken["annotations"]["summary"] = json!("GBK");
    halved["annotations"]["summary"] = json!("HALF");
    let text =
        body(&[broken, halved, alert()]).to_string().replace("HALF", r"\ud83d full \ud83d\ude80");
    let at = text.find("GBK").unwrap();
    let mut bytes = text.into_bytes();
    bytes.splice(at..at + 3, *b"\xb4\xc5\xc5\xcc");

    let received = alertmanager::read(&bytes, around()).unwrap();

    let told: Vec<&str> = received.sightings.iter().map(|one| &*one.summary).collect();
    assert_eq!(told, ["\u{fffd}\u{fffd}\u{fffd}\u{fffd}", "\u{fffd} full 🚀", "the disk is full"]);
    assert_eq!(received.refused, 0, "{:?}", received.faults);
    let own = br#"{"name": "A", "starts_at": "2026-11-24T02:00:00Z", "summary": "\udc80 "#;
    let own = [&own[..], b"\xff\"}"].concat();
    assert_eq!(generic::read(&own, around()).unwrap().sightings[0].summary, "\u{fffd} \u{fffd}");
}

#[test]
fn what_nobody_sees_tells_no_two_names_apart() {
    let named = |name: &str| {
        let named = with("/labels/alertname", json!(name));
        read(&body(&[named])).sightings.remove(0).name
    };
    assert_eq!(named("Disk\u{200b}Fu\u{2060}ll\u{e0041}"), "DiskFull");
    assert_eq!(named("\u{200b}\u{202e}\0"), "unnamed");
    let own = sent(&json!({"name": "\u{200b}", "starts_at": "2026-11-24T02:00:00Z"}));
    assert_eq!(own.faults[0].fault, "missing, what is wrong expected, such as `DiskFull`");
}

#[test]
fn a_time_that_cannot_be_is_told_or_counts_as_now() {
    let of = |starts: &str, ends: &str| {
        let mut alert = with("/startsAt", json!(starts));
        alert["status"] = json!("resolved");
        alert["endsAt"] = json!(ends);
        let received = read(&body(&[alert]));
        let one = received.sightings.first().map(|one| (one.starts_ms, one.ended_ms.unwrap()));
        one.ok_or_else(|| received.faults[0].at.clone())
    };
    let hour_ms = 3_600_000;
    let (at, ends) = ("2026-11-24T02:00:00Z", "2026-11-24T02:30:00Z");

    assert_eq!(of(at, ends), Ok((NOW_MS - hour_ms, NOW_MS - hour_ms / 2)));
    // Over before it began.
    assert_eq!(of(at, "2026-11-23T00:00:00Z"), Ok((NOW_MS - hour_ms, NOW_MS - hour_ms)));
    assert_eq!(of(at, "0001-01-01T00:00:00Z"), Ok((NOW_MS - hour_ms, NOW_MS)));
    // A clock that is a little ahead, and one that is wrong.
    assert_eq!(of("2026-11-24T03:04:00Z", ends), Ok((NOW_MS + 240_000, NOW_MS + 240_000)));
    for wrong in ["2026-11-24T03:06:00Z", "2027-11-24T02:00:00Z", "9999-12-31T23:59:59Z"] {
        assert_eq!(of(wrong, ends), Ok((NOW_MS, NOW_MS)), "{wrong}");
    }
    for none in ["0001-01-01T00:00:00Z", "-001-01-01T00:00:00Z", "10000-01-01T00:00:00Z"] {
        assert_eq!(of(none, ends), Err("/alerts/0/startsAt".to_owned()), "{none}");
    }
    let own = sent(&json!({"name": "A", "starts_at": "2036-01-01T00:00:00Z"}));
    assert_eq!(own.sightings[0].starts_ms, NOW_MS);
}

#[test]
fn the_owner_is_read_however_many_labels_stand_before_it() {
    let mut labels: serde_json::Map<String, Value> =
        (0..1_000).map(|index| (format!("label{index:04}"), json!("x".repeat(500)))).collect();
    labels.insert("team".to_owned(), json!("data"));

    let received = read(&body(&[with("/labels", Value::Object(labels))]));

    assert_eq!((&*received.sightings[0].owner, received.sightings[0].labels.len()), ("data", 64));
}

#[test]
fn what_is_optional_may_be_of_any_type() {
    for path in ["/annotations", "/annotations/summary", "/generatorURL", "/fingerprint"] {
        for odd in [json!(7), json!([1]), json!({"a": {"b": 1}}), json!(null), json!(true)] {
            let received = read(&body(&[with(path, odd.clone())]));
            assert_eq!(received.sightings.len(), 1, "{path} {odd}: {:?}", received.faults);
        }
    }
    // What is no text at all is as if it were not there.
    let hashed = read(&body(&[with("/fingerprint", json!({}))]));
    assert!(hashed.sightings[0].fingerprint.starts_with("h-"));
}

#[test]
fn what_the_labels_leave_open_is_the_runbooks() {
    let of = |labels: Value| read(&body(&[with("/labels", labels)])).sightings.remove(0);

    let plain = of(json!({}));
    assert_eq!(
        (&*plain.name, &*plain.service, &*plain.environment),
        ("unnamed", "neostock", "production")
    );
    assert_eq!(plain.level, Level::Error);
    let other = of(json!({"alertname": "X", "service": "api", "env": "staging", "team": "data"}));
    assert_eq!((&*other.service, &*other.environment, &*other.owner), ("api", "staging", "data"));
    assert_eq!(of(json!({"env": "moon"})).environment, "production");
    assert_eq!(of(json!({"env": "production", "environment": "staging"})).environment, "staging");
}

#[test]
fn the_watchdog_and_what_is_for_nobody_are_no_alerts() {
    let named = |name: &str, severity: &str, status: &str| {
        let mut alert = alert();
        alert["labels"] = json!({"alertname": name, "severity": severity});
        alert["status"] = json!(status);
        alert
    };
    let received = read(&body(&[
        named("Watchdog", "none", "firing"),
        named("InfoInhibitor", "none", "firing"),
    ]));
    assert_eq!(
        (received.sightings.len(), received.ignored, received.is_watchdog_heard),
        (0, 2, true)
    );

    // That it is over is no sign of life.
    let over = read(&body(&[named("Watchdog", "critical", "resolved")]));
    assert_eq!((over.sightings.len(), over.ignored, over.is_watchdog_heard), (0, 1, false));
}

#[test]
fn hostile_text_is_cut_and_cleaned() {
    let mut hostile = alert();
    hostile["annotations"] = json!({
        "summary": format!("\u{202e}<!channel>\0 {}", "a".repeat(1_000_000)),
        "description": "\u{1b}[31m@everyone\u{2066}\n".repeat(100_000),
        "runbook_url": "javascript:alert(1)",
    });
    let labels: serde_json::Map<String, Value> =
        (0..500).map(|index| (format!("label{index}"), json!("\0x".repeat(10_000)))).collect();
    hostile["labels"] = Value::Object(labels);

    let received = read(&body(&[hostile]));

    let Sighting { summary, description, labels, links, .. } = &received.sightings[0];
    assert_eq!(summary.chars().count(), SUMMARY_CHARS_MAX);
    assert!(summary.starts_with("<!channel> aaa"), "{summary}");
    assert_eq!(description.chars().count(), DESCRIPTION_CHARS_MAX);
    assert!(!description.contains(['\u{1b}', '\u{2066}']));
    assert_eq!(labels.len(), 64);
    assert!(labels.values().all(|text| text.chars().count() == 200 && !text.contains('\0')));
    assert_eq!(links.len(), 0);
}

#[test]
fn more_alerts_than_are_read_are_counted() {
    let all = vec![alert(); ALERTS_MAX + 3];

    let received = read(&body(&all));

    assert_eq!((received.sightings.len(), received.refused), (ALERTS_MAX, 3));
    assert_eq!(received.faults.len(), 1);
}

#[test]
fn what_is_no_body_is_refused_with_its_place() {
    let of = |body: &str| alertmanager::read(body.as_bytes(), around()).unwrap_err().to_string();

    for odd in ["", "{}", "{\"alerts\":", "\u{feff}{}", "{\"alerts\": [], \"alerts\": []}"] {
        assert!(of(odd).contains("no such JSON"), "{odd}: {}", of(odd));
    }
    for (odd, what) in [("7", "a number"), ("[]", "a list"), ("[[]]", "a list"), ("null", "null")] {
        assert_eq!(of(odd), format!(": {what}, an object expected"));
    }
    assert_eq!(of("{\"alerts\": 7}"), "/alerts: a number, a list expected");
    assert_eq!(of("{\"alerts\": {}}"), "/alerts: an object, a list expected");
    let deep = format!("{{\"alerts\": [{}]}}", "{\"labels\":".repeat(100_000));
    assert!(of(&deep).contains("no such JSON"), "{}", of(&deep));
}

#[test]
fn what_is_not_asked_for_may_be_nested_as_deep_as_it_likes() {
    let nested = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep = format!("{{\"alerts\": [], \"x\": {nested}}}");
    assert_eq!(alertmanager::read(deep.as_bytes(), around()), Ok(Received::default()));
    let deep = format!("{{\"alerts\": [{{\"labels\": {{\"a\": {nested}}}}}]}}");
    assert_eq!(alertmanager::read(deep.as_bytes(), around()).unwrap().refused, 1);
}

#[test]
fn an_alert_of_ones_own_is_read_alone_or_in_a_list() {
    let own = json!({
        "name": "BackupLate", "severity": "warning", "summary": "no backup since noon", "value": 7.5,
        "starts_at": "2026-11-24T02:00:00+08:00", "labels": {"host": "db1", "shard": 3, "dry": false},
        "links": {"log": "https://logs.test/x"}, "environment": "staging", "owner": "data",
    });

    let alone = sent(&own);
    let listed = sent(&json!({"alerts": [own]}));

    assert_eq!(alone, listed);
    assert_eq!((alone.refused, alone.sightings.len()), (0, 1), "{:?}", alone.faults);
    let one = &alone.sightings[0];
    assert_eq!(
        (&*one.source, &*one.name, &*one.value, &*one.environment),
        ("webhook", "BackupLate", "7.5", "staging")
    );
    assert_eq!((one.level, one.ended_ms), (Level::Warning, None));
    assert_eq!(one.starts_ms, 1_795_456_800_000);
    assert_eq!(one.labels["shard"], "3");
    assert_eq!(one.links, [("log".to_owned(), "https://logs.test/x".to_owned())]);
}

#[test]
fn the_end_of_ones_own_alert_is_that_of_the_same_instance() {
    let own =
        json!({"name": "A", "starts_at": "2026-11-24T02:00:00Z", "labels": {"b": "1", "a": "2"}});
    let mut over = own.clone();
    over["labels"] = json!({"a": "2", "b": "1"});
    over["status"] = json!("resolved");
    over["summary"] = json!("it is over");

    let (began, ended) = (sent(&own), sent(&over));

    assert_eq!(began.sightings[0].fingerprint, ended.sightings[0].fingerprint);
    assert_eq!(ended.sightings[0].ended_ms, Some(NOW_MS));
    let mut other = own;
    other["labels"]["a"] = json!("3");
    assert_ne!(began.sightings[0].fingerprint, sent(&other).sightings[0].fingerprint);
}

#[test]
fn the_end_of_one_senders_alert_is_never_anothers() {
    let fingerprint = |name: &str, more: Value| {
        let mut own = json!({"name": name, "starts_at": "2026-11-24T02:00:00Z"});
        own.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        sent(&own).sightings.remove(0).fingerprint
    };
    // Two programs count their instances alike.
    let one = fingerprint("BackupLate", json!({"fingerprint": "1"}));
    assert_ne!(one, fingerprint("DiskFull", json!({"fingerprint": "1"})));
    assert_ne!(
        one,
        fingerprint("BackupLate", json!({"fingerprint": "1", "environment": "staging"}))
    );
    assert_eq!(one, fingerprint("BackupLate", json!({"fingerprint": "1", "labels": {"a": "b"}})));
    assert!(one.starts_with("1@"), "{one}");

    // What is cut off on the card tells instances apart all the same.
    let path = "x".repeat(300);
    let labelled =
        |end: &str| fingerprint("DiskFull", json!({"labels": {"path": format!("{path}{end}")}}));
    assert_ne!(labelled("/a"), labelled("/b"));
    assert_eq!(labelled("/a"), labelled("/a"));
}

#[test]
fn an_end_counts_whatever_it_is_called() {
    let end = json!({
        "name": "A", "starts_at": "2026-11-24T02:00:00Z", "status": "resolved", "severity": "none",
    });

    let received = sent(&end);

    assert_eq!((received.sightings.len(), received.ignored), (1, 0));
    assert_eq!(received.sightings[0].ended_ms, Some(NOW_MS));
}

#[test]
fn every_fault_of_ones_own_alert_is_told_with_its_place() {
    let received = sent(&json!({"alerts": [
        {"nmae": "A", "starts_at": "noon", "status": "open", "severity": ["x"], "labels": {"a/b": {}},
         "links": {"x": "file:///etc/passwd"}, "environment": "moon"},
        {"name": "B", "starts_at": "2026-11-24T02:00:00Z", "ends_at": "2026-11-24T02:30:00Z"},
        {"name": "C", "starts_at": "2026-11-24T02:00:00Z"},
    ]}));

    let told: Vec<String> =
        received.faults.iter().map(|one| format!("{}: {}", one.at, one.fault)).collect();
    insta::assert_snapshot!(told.join("\n"), @r#"
    /alerts/0/nmae: unknown key, did you mean `name`?
    /alerts/0/name: missing, what is wrong expected, such as `DiskFull`
    /alerts/0/status: `open` found, `firing` or `resolved` expected
    /alerts/0/starts_at: `noon` found, a time like 2026-11-23T22:35:56Z expected
    /alerts/0/labels/a~1b: an object, a text expected
    /alerts/0/links/x: an address that begins with http:// or https:// expected
    /alerts/0/environment: `moon` found, expected is one of: production, staging
    /alerts/0/severity: a list, a text expected
    /alerts/1/ends_at: an alert that fires has no end: `"status": "resolved"` has one
    "#);
    assert_eq!((received.refused, received.sightings.len()), (2, 1));
}

#[test]
fn keys_beside_a_list_and_keys_twice_are_refused() {
    let of = |body: &str| generic::read(body.as_bytes(), around()).unwrap_err().to_string();

    assert!(of("{\"alerts\": [], \"name\": \"A\"}").contains("beside `alerts`"));
    assert!(of("{\"alerts\": 7}").contains("a list expected"));
    assert!(of("{\"name\": \"A\", \"name\": \"B\"}").contains("`name` is there twice"));
    assert!(of("[]").contains("no such JSON"));
    let inner = sent(
        &json!({"alerts": [{"name": "A", "starts_at": "2026-11-24T02:00:00Z", "alerts": []}]}),
    );
    assert_eq!(inner.faults[0].at, "/alerts/0/alerts");
    let deep = "{\"alerts\":[".repeat(100_000);
    assert!(of(&deep).contains("no such JSON"), "{}", of(&deep));
}

/// Any value in the place of any other.
fn odd() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|value| json!(value)),
        any::<i64>().prop_map(|value| json!(value)),
        any::<f64>().prop_map(|value| json!(value)),
        any::<String>().prop_map(|value| json!(value)),
        Just(json!([])),
        Just(json!({})),
        Just(json!([{"a": [null, {}]}])),
        Just(json!("0001-01-01T00:00:00Z")),
        Just(json!("9999-12-31T23:59:59Z")),
        Just(json!("\0\u{202e}<!channel>")),
        Just(json!("x".repeat(100_000))),
    ]
}

/// How many places a value has, itself among them.
fn places(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(places).sum(),
        Value::Object(object) => object.values().map(places).sum(),
        _ => 0,
    }
}

/// Puts another value into a place.
fn put(value: &mut Value, at: usize, other: &Value) {
    if at == 0 {
        *value = other.clone();
        return;
    }
    let mut at = at - 1;
    let inner: Vec<&mut Value> = match value {
        Value::Array(items) => items.iter_mut().collect(),
        Value::Object(object) => object.values_mut().collect(),
        _ => return,
    };
    for one in inner {
        let inside = places(one);
        if at < inside {
            return put(one, at, other);
        }
        at -= inside;
    }
}

/// Whatever was read can be stored and shown.
fn assert_fit(received: &Received) {
    for one in &received.sightings {
        let mut texts =
            vec![&one.name, &one.service, &one.environment, &one.summary, &one.description];
        texts.extend([&one.value, &one.owner, &one.fingerprint]);
        texts.extend(one.labels.iter().flat_map(|(name, text)| [name, text]));
        texts.extend(one.links.iter().flat_map(|(name, text)| [name, text]));
        assert!(texts.iter().all(|text| !text.contains(['\0', '\u{202e}'])), "{one:?}");
        assert!(one.starts_ms > 0 && one.ended_ms.is_none_or(|ended_ms| ended_ms >= one.starts_ms));
        assert!(!one.fingerprint.is_empty() && one.fingerprint.len() <= 128);
        assert!(!one.name.is_empty());
    }
}

proptest! {
    #[test]
    fn a_body_with_anything_anywhere_is_read_or_refused(
        index in 0_usize..14, changes in proptest::collection::vec((any::<prop::sample::Index>(), odd()), 1..4),
    ) {
        let mut value: Value = serde_json::from_slice(&CAPTURED[index].1).unwrap();
        for (at, other) in &changes {
            let place = at.index(places(&value));
            put(&mut value, place, other);
        }
        let alerts = value["alerts"].as_array().map(Vec::len);
        if let Ok(received) = alertmanager::read(value.to_string().as_bytes(), around()) {
            prop_assert_eq!(Some(received.sightings.len() + received.refused + received.ignored), alerts);
            assert_fit(&received);
        }
        if let Ok(received) = generic::read(value.to_string().as_bytes(), around()) {
            assert_fit(&received);
        }
    }

    #[test]
    fn broken_bytes_never_panic(
        index in 0_usize..14, cut in any::<prop::sample::Index>(),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..5),
    ) {
        let mut bytes = CAPTURED[index].1.clone();
        for (at, byte) in flips {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.index(bytes.len()) + 1);
        let _ = alertmanager::read(&bytes, around()).map(|received| assert_fit(&received));
        let _ = generic::read(&bytes, around()).map(|received| assert_fit(&received));
    }
}
