//! One mail to a real server: what protects it on its way, and what is said where it cannot go.

use crate::harness::mail::{MailServer, Speaks};
use neostock_ops::config::alerting::{Email, parse};
use neostock_ops::core::alert_mail::Mail;
use neostock_ops::notify::{Delivery, email};
use std::time::Duration;

/// How long a call may take, as the bot has it.
const TIME_MAX: Duration = Duration::from_secs(40);
/// A quarter of it is a second: so long a test waits for a silent server.
const SHORT_TIME_MAX: Duration = Duration::from_secs(4);

/// The way that a section of an alerting configuration describes.
fn way(section: &str) -> Email {
    // The second test of a process finds it installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let alerts =
        "alerts: {cpu: {threshold: 0.8, duration: 5m, severity: warning, channels: [slack]}}";
    let text = format!("{alerts}\nnotices:\n  {section}\n");
    parse("a.yml", text.as_bytes()).unwrap().ways.email.unwrap()
}

async fn send(way: &Email, time_max: Duration) -> Delivery {
    let mail = Mail {
        name: "0123456789abcdef".to_owned(),
        thread: "fedcba9876543210".to_owned(),
        subject: "三级 · production: error_rate".to_owned(),
        text: "无人处理\n".to_owned(),
        html: "<p>无人处理</p>".to_owned(),
        at_ms: 1_795_489_200_000,
    };
    let body = serde_json::to_string(&mail).unwrap();
    email::send(way, "ann@example.org", &body, time_max).await
}

/// Why it was not taken.
fn why(delivery: Delivery) -> String {
    let Delivery::NotTaken(why) = delivery else { panic!("{delivery:?}") };
    why
}

/// A configuration that trusts nobody but those whom the system trusts.
fn without_ca(section: &str) -> String {
    let (before, after) = section.split_once("ca: ").unwrap();
    let (_, after) = after.split_once(", ").unwrap();
    format!("{before}{after}")
}

#[tokio::test]
async fn over_tls_from_the_first_byte_a_mail_arrives() {
    let server = MailServer::start_as("", Speaks::Tls, "localhost").await;

    let taken = send(&way(&server.configuration("ann@example.org")), TIME_MAX).await;

    assert_eq!(taken, Delivery::Taken("0123456789abcdef".to_owned()), "{}", server.log());
    let mails = server.mails();
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0].header("X-Test-Subject"), "三级 · production: error_rate");
    assert_eq!(server.heard_in_clear(), "");
}

#[tokio::test]
async fn with_starttls_nothing_but_a_greeting_is_said_in_clear() {
    let server = MailServer::start("").await;

    let taken = send(&way(&server.configuration("ann@example.org")), TIME_MAX).await;

    assert!(matches!(taken, Delivery::Taken(_)), "{taken:?}\n{}", server.log());
    let heard = server.heard_in_clear();
    let said: Vec<&str> = heard.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(said, ["EHLO", "STARTTLS"]);
}

#[tokio::test]
async fn a_server_without_tls_gets_neither_the_password_nor_the_mail() {
    let server = MailServer::start_as("", Speaks::Clear, "localhost").await;

    let why = why(send(&way(&server.configuration("ann@example.org")), TIME_MAX).await);

    assert!(why.contains("STARTTLS is not supported"), "{why}");
    let heard = server.heard_in_clear();
    assert!(heard.starts_with("EHLO") && heard.lines().count() <= 2, "{heard}");
    assert_eq!(server.mails().len(), 0);
}

#[tokio::test]
async fn a_certificate_of_another_host_or_of_nobody_who_is_trusted_stops_everything_and_says_so() {
    for speaks in [Speaks::Starttls, Speaks::Tls] {
        let server = MailServer::start_as("", speaks, "mail.example.org").await;
        let section = server.configuration("ann@example.org");

        let why_another = why(send(&way(&section), TIME_MAX).await);
        let why_unknown = why(send(&way(&without_ca(&section)), TIME_MAX).await);

        assert!(why_another.contains("not valid for name"), "{why_another}");
        assert!(why_unknown.contains("invalid peer certificate"), "{why_unknown}");
        let heard = server.heard_in_clear();
        assert!(!heard.contains("AUTH") && !heard.contains("MAIL"), "{heard}");
        assert_eq!(server.mails().len(), 0);
    }
}

#[tokio::test]
async fn a_server_says_why_it_does_not_let_the_bot_in_and_never_the_password() {
    let server = MailServer::start("").await;
    let section = server.configuration("ann@example.org");

    server.behave("535");
    let wrong = why(send(&way(&section), TIME_MAX).await);
    server.behave("451");
    let later = why(send(&way(&section), TIME_MAX).await);
    server.behave("hang");
    let silent = why(send(&way(&section), SHORT_TIME_MAX).await);
    let nobody = section.replace(&format!(":{}", server.port), ":1");
    let absent = why(send(&way(&nobody), TIME_MAX).await);

    assert!(wrong.starts_with("signing in to the mail server") && wrong.contains("535"), "{wrong}");
    assert!(later.contains("451") && later.contains("try again later"), "{later}");
    assert_eq!(silent, "the mail server: no answer within 1 s");
    assert!(absent.contains("refused"), "{absent}");
    for why in [wrong, later, silent, absent] {
        assert!(!why.contains(crate::harness::mail::PASSWORD), "{why}");
    }
    assert_eq!(server.mails().len(), 0);
}
