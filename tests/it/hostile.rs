//! What a forger, a broken client or a malicious colleague sends: the right refusal, no state, no
//! panic, and a counter that tells.

use crate::harness::bot::Bot;
use crate::harness::database::{Engine, both_engines, run};
use crate::harness::place::ROLLBACK;
use crate::harness::wire::{
    EVENTS, FORM, JSON, exchange, form, read_to_end, rows, signature_under, slash,
};
use neostock_ops::sandbox::{Answer, Fault};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use std::time::Instant;
use tokio::io::AsyncWriteExt;
use tokio::runtime::Handle;
use tokio::task::block_in_place;

/// The bot's limit for a body.
const BODY_BYTES_MAX: usize = 256 * 1024;
/// Arbitrary bodies that are tried.
const BODIES: u32 = 96;

/// A step that writes its argument and its variable, byte for byte, each with a NUL behind it.
const NOTE: &str = r#"
  note:
    summary: {zh: 记录, en: Note something}
    role: operator
    parameters:
      reason: {type: text, required: true}
    steps:
      - {name: {zh: 记录, en: Note}, run: [sh, -c, "printf '%s\\0' \"$2\" \"$NEOSTOCK_ARG_REASON\" \"$#\" >> \"$MARKS\"", sh, "--", "{reason}"], timeout: 20s}
"#;

/// What people try, as they would type it.
const WORDS: [&str; 16] = [
    "; rm -rf /",
    "$(id)",
    "`id`",
    "--upload-pack=x",
    "-x",
    "../x",
    "a\nb\tc",
    "<!channel> & <!here>",
    "\u{202e}gnp.exe",
    "🚀",
    "{reason} {{version}} {MARKS}",
    "%s%n%x",
    "\\0\\n'\"$IFS",
    "*_~bold~_*",
    "<b>neostock</b>|<U0ANN>",
    "&lt;!channel&gt;",
];

/// The bot answers, and nobody else was harmed.
async fn assert_well(bot: &Bot) {
    let answer = bot.say("U0BOB", "status").await;
    assert!(answer.contains("neostock · status"), "{answer}");
    assert_eq!(bot.metric("neostock_http_answers_total{status=\"500\"}").await, 0);
}

/// A path, headers, and a body.
type Case<'c> = (&'c str, Vec<(&'c str, &'c str)>, &'c str);

both_engines! {
    async fn what_slack_did_not_sign_just_now_is_refused_counted_and_leaves_nothing(database: TestDatabase) {
        let bot = Bot::start(&database, ROLLBACK).await;
        let body = slash("U0ANN", "rollback v1.2 forged", "1.1.f");
        let now = bot.now_secs();
        let good = bot.workspace.sign(now, body.as_bytes());
        let forged = signature_under("another secret", now, body.as_bytes());
        let later = (now + 1).to_string();
        let now_text = now.to_string();
        let upper = good.to_uppercase().replacen('V', "v", 1);
        let (time, sign) = ("x-slack-request-timestamp", "x-slack-signature");
        let cases: [Case<'_>; 10] = [
            ("missing", vec![], &body),
            ("missing", vec![(time, &now_text)], &body),
            ("missing", vec![(sign, &good)], &body),
            ("forged", vec![(time, &now_text), (sign, &forged)], &body),
            ("forged", vec![(time, &later), (sign, &good)], &body),
            ("forged", vec![(time, &now_text), (sign, &good)], &body[..body.len() - 1]),
            ("malformed", vec![(time, "soon"), (sign, &good)], &body),
            ("malformed", vec![(time, &now_text), (sign, &upper)], &body),
            ("malformed", vec![(time, &now_text), (sign, &good), (sign, &good)], &body),
            ("malformed", vec![(time, &now_text), (time, &later), (sign, &good)], &body),
        ];
        let before = (rows(&database, "journal").await, rows(&database, "deliveries").await);

        for (reason, headers, body) in cases {
            let counted = bot.refused(reason).await;
            let mut headers = headers;
            headers.push(("content-type", FORM));
            let answer = bot.workspace.deliver_raw(EVENTS, &headers, body.as_bytes().to_vec()).await;
            assert_eq!(answer.status(), 401, "{headers:?}: {answer:?}");
            assert_eq!(answer.body(), "Unauthorized", "a forger learns nothing");
            assert_eq!(bot.refused(reason).await, counted + 1, "{reason} is not counted");
        }
        for off in [-301, 301, -86_400, 86_400] {
            let answer = bot.deliver_at(now + off, EVENTS, Some(FORM), body.as_bytes()).await;
            assert_eq!(answer.status(), 401, "signed {off} s from now: {answer:?}");
        }
        assert_eq!(bot.refused("stale").await, 4);

        let after = (rows(&database, "journal").await, rows(&database, "deliveries").await);
        assert_eq!(after, before);
        assert_eq!(rows(&database, "runs").await, 0);
        for (index, off) in [-300, -299, 299, 300].into_iter().enumerate() {
            let body = slash("U0BOB", "status", &format!("2.2.{index}"));
            let answer = bot.deliver_at(now + off, EVENTS, Some(FORM), body.as_bytes()).await;
            assert_eq!(answer.status(), 200, "signed {off} s from now: {answer:?}");
        }
        assert_well(&bot).await;
        bot.finish().await;
    }

    async fn the_same_bytes_twice_get_the_same_answer_and_do_one_thing(database: TestDatabase) {
        let bot = Bot::start(&database, ROLLBACK).await;
        let with_trigger = slash("U0ANN", "rollback v1.2 twice", "3.3.t");
        let without = with_trigger.replace("trigger_id", "not_a_trigger");
        let denied = slash("U0CAT", "rollback v1.2 denied", "3.4.t");
        let unknown = slash("U0BOB", "rolback v1.2 x", "3.5.t");

        for (body, kind) in [
            (&with_trigger, "run.requested"),
            (&without, "run.requested"),
            (&denied, "request.denied"),
            (&unknown, "request.refused"),
        ] {
            let of_kind = async || {
                bot.journal_kinds().await.iter().filter(|found| *found == kind).count()
            };
            let before = of_kind().await;
            let post = || bot.deliver(EVENTS, Some(FORM), body.as_bytes());
            // At once, and again later.
            let together = tokio::join!(post(), post(), post(), post(), post(), post());
            bot.advance_ms(120_000);
            let at_secs = bot.now_secs() - 120;
            let later = bot.deliver_at(at_secs, EVENTS, Some(FORM), body.as_bytes()).await;

            assert_eq!(later.status(), 200);
            assert!(!later.body().is_empty());
            for answer in [together.0, together.1, together.2, together.3, together.4, together.5] {
                assert_eq!(answer, later);
            }
            assert_eq!(of_kind().await, before + 1, "{kind}");
        }
        assert_eq!(rows(&database, "runs").await, 2);
        bot.until("both runs have left their mark", |bot| bot.place.marks().len() == 2).await;
        bot.finish().await;
    }

    async fn a_signed_body_that_cannot_be_read_is_refused_and_leaves_nothing(database: TestDatabase) {
        let bot = Bot::start(&database, ROLLBACK).await;
        let ordinary = slash("U0ANN", "rollback v1.2 x", "4.4.m");
        let nested = "[".repeat(20_000);
        let interaction = form(&[("payload", r#"{"type":"block_actions","user":{"id":"U0ANN"},"actions":[{"action_id":"a"}]}"#)]);
        let event = r#"{"type":"event_callback","event":{"type":"message"}}"#;
        let cases: Vec<(&str, Option<&str>, Vec<u8>, &str)> = vec![
            // Not UTF-8, raw and encoded.
            (EVENTS, Some(FORM), [ordinary.as_bytes(), b"&text=\xff\xfe"].concat(), "malformed"),
            (EVENTS, Some(FORM), format!("{ordinary}&x=%ff").into_bytes(), "malformed"),
            (EVENTS, Some(JSON), b"{\"type\":\"\xff\"}".to_vec(), "malformed"),
            // Broken percent-encoding.
            (EVENTS, Some(FORM), format!("{ordinary}&x=%zz").into_bytes(), "malformed"),
            (EVENTS, Some(FORM), format!("{ordinary}%4").into_bytes(), "malformed"),
            // Deeply nested.
            (EVENTS, Some(FORM), format!("payload={{\"type\":\"block_actions\",\"state\":{{\"values\":{nested}").into_bytes(), "malformed"),
            (EVENTS, Some(JSON), format!("{{\"type\":\"event_callback\",\"event\":{{\"x\":{nested}").into_bytes(), "malformed"),
            (EVENTS, Some(JSON), format!("{{\"type\":\"event_callback\",\"event\":{{\"x\":{nested}{}}}}}", "]".repeat(20_000)).into_bytes(), "malformed"),
            (EVENTS, Some(JSON), nested.clone().into_bytes(), "malformed"),
            // A field that is read, given twice.
            (EVENTS, Some(FORM), format!("{ordinary}&text=status").into_bytes(), "malformed"),
            (EVENTS, Some(FORM), format!("{ordinary}&user_id=U0BOB").into_bytes(), "malformed"),
            (EVENTS, Some(FORM), format!("{interaction}&{interaction}").into_bytes(), "malformed"),
            (EVENTS, Some(JSON), br#"{"type":"event_callback","type":"url_verification","challenge":"x"}"#.to_vec(), "malformed"),
            // Cut off, and signed like that.
            (EVENTS, Some(FORM), interaction.as_bytes()[..40].to_vec(), "malformed"),
            (EVENTS, Some(JSON), event.as_bytes()[..30].to_vec(), "malformed"),
            // More fields than Slack sends; none of those that matter.
            (EVENTS, Some(FORM), "a=b&".repeat(65).into_bytes(), "malformed"),
            (EVENTS, Some(FORM), b"command=/neostock&text=status".to_vec(), "malformed"),
            // Not what it says it is.
            (EVENTS, Some("text/plain"), ordinary.clone().into_bytes(), "malformed"),
            (EVENTS, Some("multipart/form-data; boundary=x"), ordinary.clone().into_bytes(), "malformed"),
            (EVENTS, Some(JSON), ordinary.clone().into_bytes(), "malformed"),
            // Not where it belongs.
            ("/slack/commands", Some(FORM), interaction.clone().into_bytes(), "wrong_route"),
            ("/slack/commands", Some(JSON), event.as_bytes().to_vec(), "wrong_route"),
            ("/slack/interactions", Some(FORM), ordinary.clone().into_bytes(), "wrong_route"),
        ];
        let before = (rows(&database, "journal").await, rows(&database, "deliveries").await);

        for (path, content_type, body, reason) in cases {
            let counted = bot.refused(reason).await;
            let answer = bot.deliver(path, content_type, &body).await;
            let shown: String = String::from_utf8_lossy(&body).chars().take(120).collect();
            assert_eq!(answer.status(), 400, "{path} {content_type:?} {shown}");
            assert_eq!(bot.refused(reason).await, counted + 1, "{reason}: {shown}");
        }
        let client = reqwest::Client::new();
        for path in [EVENTS, "/slack/commands", "/slack/interactions"] {
            let answer = client.get(format!("{}{path}", bot.url)).send().await.unwrap();
            assert_eq!(answer.status(), 405, "GET {path}");
            let answer = client.put(format!("{}{path}", bot.url)).send().await.unwrap();
            assert_eq!(answer.status(), 405, "PUT {path}");
        }
        let answer = client.get(format!("{}/etc/passwd", bot.url)).send().await.unwrap();
        assert_eq!(answer.status(), 404);
        assert_eq!(bot.metric("neostock_http_answers_total{status=\"405\"}").await, 6);

        let after = (rows(&database, "journal").await, rows(&database, "deliveries").await);
        assert_eq!(after, before);
        assert_eq!(rows(&database, "runs").await, 0);
        assert_well(&bot).await;
        bot.finish().await;
    }

    async fn a_body_over_the_limit_is_refused_however_it_is_sent(database: TestDatabase) {
        let bot = Bot::start(&database, ROLLBACK).await;
        let before = rows(&database, "journal").await;
        let body = slash("U0BOB", "status", "5.5.o");
        let padded = |bytes: usize| format!("{body}&pad={}", "x".repeat(bytes - body.len() - 5));
        let head = |body: &str, length: &str| {
            let signing = bot.signing_lines(body.as_bytes());
            format!("POST {EVENTS} HTTP/1.1\r\nHost: bot\r\nContent-Type: {FORM}\r\n{signing}{length}\r\n\r\n")
        };

        let large = padded(257 * 1024);
        let declared = head(&large, &format!("Content-Length: {}\r\nConnection: close", large.len()));
        let answer = exchange(&mut bot.connect().await, declared.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "before a byte of it: {answer}");

        let mut chunks = String::new();
        for chunk in large.as_bytes().chunks(8_000) {
            let size = format!("{:x}", chunk.len());
            chunks.extend([size.as_str(), "\r\n", &String::from_utf8_lossy(chunk), "\r\n"]);
        }
        let chunked = head(&large, "Transfer-Encoding: chunked\r\nConnection: close") + &chunks + "0\r\n\r\n";
        let answer = exchange(&mut bot.connect().await, chunked.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "chunked: {answer}");
        assert_eq!(bot.refused("too_large").await, 2);
        assert_eq!(rows(&database, "journal").await, before);

        let largest = padded(BODY_BYTES_MAX);
        assert_eq!(largest.len(), BODY_BYTES_MAX);
        let answer = bot.deliver(EVENTS, Some(FORM), largest.as_bytes()).await;
        assert_eq!(answer.status(), 200, "exactly the limit");
        assert_well(&bot).await;
        bot.finish().await;
    }

    async fn a_request_that_breaks_off_does_nothing(database: TestDatabase) {
        let bot = Bot::start(&database, ROLLBACK).await;
        let before = rows(&database, "journal").await;
        let body = slash("U0ANN", "rollback v1.2 broken off", "6.6.b");
        let signing = bot.signing_lines(body.as_bytes());
        let length = body.len();
        let head = format!("POST {EVENTS} HTTP/1.1\r\nHost: bot\r\nContent-Type: {FORM}\r\n{signing}Content-Length: {length}\r\n\r\n");

        let mut connection = bot.connect().await;
        connection.write_all(head.as_bytes()).await.unwrap();
        connection.write_all(&body.as_bytes()[..length - 1]).await.unwrap();
        connection.shutdown().await.unwrap();
        let answer = read_to_end(&mut connection).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{answer}");

        let mut broken = 0;
        for _ in 0..200 {
            broken = bot.refused("broken_off").await;
            if broken > 0 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        assert_eq!(broken, 1, "it is counted for what it is");
        assert_eq!(bot.refused("too_large").await, 0);
        assert_eq!(rows(&database, "journal").await, before);
        assert_well(&bot).await;
        bot.finish().await;
    }

    async fn slacks_own_probes_are_answered_as_slack_wants(database: TestDatabase) {
        let bot = Bot::start(&database, ROLLBACK).await;
        let before = rows(&database, "journal").await;

        for path in [EVENTS, "/slack/commands", "/slack/interactions"] {
            let probe = b"token=x&ssl_check=1";
            let answer = bot.deliver(path, Some(FORM), probe).await;
            assert_eq!((answer.status(), answer.body()), (200, ""), "{path}");
            let headers = [("content-type", FORM)];
            let answer = bot.workspace.deliver_raw(path, &headers, probe.to_vec()).await;
            assert_eq!(answer.status(), 401, "unsigned, to {path}");
        }
        let question = json!({"type": "url_verification", "challenge": "3eZbrw1aB\"<", "token": "x"});
        let answer = bot.deliver(EVENTS, Some(JSON), question.to_string().as_bytes()).await;
        let said: Value = serde_json::from_str(answer.body()).unwrap();
        assert_eq!(said, json!({"challenge": "3eZbrw1aB\"<"}));
        let event = json!({"type": "app_mention", "user": "U0ANN", "text": "<@U0NEO> rollback v1.2 x", "channel": "C0OPS"});
        let answers = bot.workspace.event(&event).await;
        assert_eq!((answers.len(), answers[0].status(), answers[0].body()), (1, 200, ""));
        for odd in [json!({}), json!([]), json!(null), json!({"type": "app_rate_limited"}), json!({"type": ["x"]})] {
            let status = bot.deliver(EVENTS, Some(JSON), odd.to_string().as_bytes()).await.status();
            assert!(matches!(status, 200 | 400), "{odd}: {status}");
        }

        assert_eq!(rows(&database, "journal").await, before);
        assert_well(&bot).await;
        bot.finish().await;
    }

    async fn a_press_on_a_button_that_does_nothing_is_answered_privately(database: TestDatabase) {
        let bot = Bot::start(&database, ROLLBACK).await;
        let ts = post_button(&bot).await;

        let answer = bot.workspace.click("U0BOB", "C0OPS", &ts, "approve", None).await;

        assert_eq!((answer.status(), answer.body()), (200, ""));
        let told = bot.workspace.ephemerals("U0BOB");
        assert_eq!(told.len(), 1);
        assert!(told[0].text.contains("does nothing any more"), "{:?}", told[0]);
        let journal = bot.journal().await;
        let entry = journal.iter().find(|(kind, ..)| kind == "request.refused").unwrap();
        assert_eq!(entry.1, "U0BOB");
        assert_eq!(rows(&database, "runs").await, 0);
        bot.finish().await;
    }

    async fn a_press_is_acknowledged_in_time_and_empty_when_slack_is_slow(database: TestDatabase) {
        let bot = Bot::start(&database, ROLLBACK).await;
        let ts = post_button(&bot).await;
        bot.workspace.fail_next("response_url", Fault::Slow(2_700));

        let answer = bot.workspace.click("U0BOB", "C0OPS", &ts, "approve", None).await;

        assert_eq!((answer.status(), answer.body()), (200, ""));
        bot.until("the words come late", |bot| bot.workspace.ephemerals("U0BOB").len() == 1).await;
        bot.finish().await;
    }

    async fn nobody_else_is_answered_on_the_word_of_a_request(database: TestDatabase) {
        let bot = Bot::start(&database, ROLLBACK).await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let elsewhere = listener.local_addr().unwrap();
        for (index, url) in [
            format!("http://{elsewhere}/commands/x"),
            format!("http://hooks.slack.com@{elsewhere}/"),
            "http://169.254.169.254/latest/meta-data".to_owned(),
            "file:///etc/passwd".to_owned(),
        ].into_iter().enumerate() {
            let payload = json!({
                "type": "block_actions", "user": {"id": "U0BOB"}, "trigger_id": format!("7.{index}"),
                "response_url": url, "actions": [{"action_id": "approve", "type": "button"}],
            });
            let body = form(&[("payload", &payload.to_string())]);

            let answer = bot.deliver(EVENTS, Some(FORM), body.as_bytes()).await;

            assert_eq!(answer.status(), 200);
            assert_eq!(bot.refused("response_url").await, index as u64 + 1, "{url}");
        }
        let nobody = tokio::time::timeout(std::time::Duration::from_millis(50), listener.accept());
        assert!(nobody.await.is_err(), "the bot called another host");
        bot.finish().await;
    }

    async fn no_signed_body_breaks_the_bot_or_starts_anything(database: TestDatabase) {
        let mut bot = Bot::start(&database, ROLLBACK).await;
        let mut runner = TestRunner::new(Config { cases: BODIES, failure_persistence: None, ..Config::default() });

        let outcome = runner.run(&(route(), content_type(), body()), |(route, content_type, body)| {
            let answer = block_in_place(|| {
                Handle::current().block_on(bot.deliver(route, content_type, &body))
            });
            prop_assert!(matches!(answer, Answer::Given { status: 200 | 400 | 413, .. }), "{:?}", answer);
            Ok(())
        });

        outcome.unwrap_or_else(|failure| panic!("{failure}"));
        assert_eq!(rows(&database, "runs").await, 0);
        assert_well(&bot).await;
        bot.end().await;
        let store = bot.inspect().await;
        let report = neostock_ops::store::journal::verify(&store, None).await.unwrap();
        assert!(report.is_sound(), "{:?}", report.findings);
        store.close().await;
    }

    async fn a_hostile_version_is_refused_with_words_and_starts_nothing(database: TestDatabase) {
        let bot = Bot::start(&database, ROLLBACK).await;
        let long = "v".repeat(5_000);
        let words = WORDS.into_iter().chain(["nul\0nul", "v1.2..v1.3", "v1.2^{tree}", "@{u}", "HEAD@{1}", ":/fix", "v1.2 ", &long]);

        let mut asked = 0;
        for word in words {
            let quoted = format!("'{word}'");
            for typed in [word, quoted.as_str()] {
                // Quoted, these are plain tags; unquoted, a newline ends the word as a space does.
                if typed.trim_matches('\'').trim() == "v1.2" {
                    continue;
                }
                let answer = bot.say("U0BOB", &format!("rollback {typed} why")).await;
                let is_clear = answer.contains("cannot be") || answer.contains("is not a tag");
                assert!(is_clear, "{typed:?}: {answer}");
                assert!(answer.chars().count() < 1_000, "{answer}");
                asked += 1;
            }
        }

        assert_eq!(rows(&database, "runs").await, 0);
        let kinds = bot.journal_kinds().await;
        assert_eq!(kinds.iter().filter(|kind| *kind == "request.refused").count(), asked);
        assert_well(&bot).await;
        bot.finish().await;
    }

    async fn a_hostile_reason_is_one_inert_argument_and_harmless_text(database: TestDatabase) {
        let bot = Bot::start(&database, &format!("{ROLLBACK}{NOTE}")).await;
        for word in ["nul\0nul", "bell\u{7}", "\u{1b}[31m", &"x".repeat(5_000)] {
            let answer = bot.say("U0BOB", &format!("note {word}")).await;
            assert!(answer.contains("cannot be"), "{word:?}: {answer}");
        }
        assert_eq!(rows(&database, "runs").await, 0);

        let mut expected = Vec::new();
        for word in WORDS {
            let answer = bot.say("U0BOB", &format!("note {word}")).await;
            assert!(answer.contains("note"), "{word:?}: {answer}");
            for piece in [word, word, "2"] {
                expected.extend_from_slice(piece.as_bytes());
                expected.push(0);
            }
            // One after the other, so that the marks come in this order.
            bot.until(word, |bot| std::fs::read(bot.place.marks_file()).is_ok_and(|marks| marks.len() >= expected.len())).await;
        }

        let marks = std::fs::read(bot.place.marks_file()).unwrap();
        assert_eq!(String::from_utf8_lossy(&marks), String::from_utf8_lossy(&expected));
        // Every card went through the sandbox, which reports each unescaped letter and broadcast.
        bot.finish().await;
    }

    async fn a_reason_is_no_option_where_a_program_would_read_one(database: TestDatabase) {
        let bot = Bot::start(&database, &NOTE.replace("\"--\", ", "")).await;

        let answer = bot.say("U0BOB", "note --upload-pack=x").await;

        assert!(answer.contains("must not begin with"), "{answer}");
        assert_eq!(rows(&database, "runs").await, 0);
        bot.finish().await;
    }
}

/// A message of the bot with a button that this version does not know.
async fn post_button(bot: &Bot) -> String {
    let message = json!({
        "channel": "C0OPS", "text": "old",
        "blocks": [{"type": "actions", "elements": [
            {"type": "button", "action_id": "approve", "text": {"type": "plain_text", "text": "Approve"}, "value": "R-1"},
        ]}],
    });
    let request = reqwest::Client::new()
        .post(format!("{}/chat.postMessage", bot.workspace.api_url()))
        .bearer_auth(bot.workspace.bot_token())
        .json(&message);
    let answer: Value = request.send().await.unwrap().json().await.unwrap();
    answer["ts"].as_str().unwrap().to_owned()
}

#[test]
fn a_connection_that_sends_a_head_and_then_nothing_is_ended() {
    run(Engine::Sqlite, |database| async move {
        let bot = Bot::start(&database, ROLLBACK).await;
        let signing = bot.signing_lines(b"x");
        let head = format!(
            "POST {EVENTS} HTTP/1.1\r\nHost: bot\r\nContent-Type: {FORM}\r\n{signing}Content-Length: 100\r\n\r\n"
        );
        let mut connection = bot.connect().await;
        let since = Instant::now();

        let answer = exchange(&mut connection, head.as_bytes()).await;

        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert!(since.elapsed().as_secs() < 15, "{:?}", since.elapsed());
        assert_eq!(bot.refused("too_slow").await, 1);
        assert_well(&bot).await;
        bot.finish().await;
    });
}

fn route() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![EVENTS, EVENTS, "/slack/commands", "/slack/interactions"])
}

fn content_type() -> impl Strategy<Value = Option<&'static str>> {
    let known =
        [Some(FORM), Some(JSON), None, Some("text/plain"), Some("application/json; charset=utf-8")];
    prop::sample::select(known.to_vec())
}

/// Bytes, forms of Slack's own fields, and JSON of Slack's own keys.
fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        fields().prop_map(|fields| {
            let pairs: Vec<(&str, &str)> =
                fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
            form(&pairs).into_bytes()
        }),
        payload().prop_map(|payload| form(&[("payload", &payload.to_string())]).into_bytes()),
        payload().prop_map(|payload| payload.to_string().into_bytes()),
    ]
}

/// Any of a slash command's fields, with values that may be right, from people who may not.
fn fields() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    let value = |right: &'static [&'static str]| prop_oneof![6 => prop::sample::select(right).prop_map(str::to_owned), 1 => any::<String>()];
    let user = value(&["U0CAT", "U0EVE", "U0NOBODY", "U\0", ""]);
    let text = value(&[
        "status",
        "help",
        "rollback v1.2 why",
        "show R-7K3QZD5A",
        "settle R-7K3QZD5A ok x",
        "rolback",
        "",
    ]);
    let slash = (
        user,
        text,
        value(&["T0NEO", "T0OTHER"]),
        value(&["C0OPS", "C\0"]),
        any::<Option<String>>(),
        any::<bool>(),
    );
    slash.prop_map(|(user, text, team, channel, trigger, is_complete)| {
        let mut fields =
            vec![("user_id", user), ("text", text), ("team_id", team), ("channel_id", channel)];
        if is_complete {
            fields.push(("command", "/neostock".to_owned()));
        }
        fields.extend(trigger.map(|trigger| ("trigger_id", trigger)));
        fields
    })
}

fn payload() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        prop::sample::select(vec![
            "block_actions",
            "view_submission",
            "event_callback",
            "url_verification",
            "U0CAT",
            "C0OPS",
        ])
        .prop_map(Value::from),
    ];
    let keys = prop::sample::select(vec![
        "type",
        "user",
        "id",
        "actions",
        "action_id",
        "trigger_id",
        "container",
        "channel",
        "state",
        "values",
        "view",
        "response_url",
        "event",
        "challenge",
        "message",
        "value",
        "selected_option",
    ]);
    leaf.prop_recursive(4, 40, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(keys.clone().prop_map(str::to_owned), inner, 0..8)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
    .prop_flat_map(|value| {
        let kinds =
            vec!["block_actions", "view_submission", "event_callback", "url_verification", "other"];
        prop::sample::select(kinds).prop_map(move |kind| {
            let mut value = value.clone();
            if let Value::Object(map) = &mut value {
                map.insert("type".to_owned(), json!(kind));
            }
            value
        })
    })
}
