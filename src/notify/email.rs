//! Sends one mail to one person over SMTP.
//!
//! Step by step instead of by the library's own sender, so that it is known at which step it failed: before
//! the mail's own bytes nothing was taken; after them, without an answer, it may have been. Such a mail is
//! sent again with the same Message-ID, by which servers and readers' programs can tell that it is the same.

use super::{CONNECT_TIME_MAX, Delivery, words};
use crate::config::alerting::Email;
use crate::config::alerting::ways::Tls;
use crate::core::alert_mail::Mail;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail as MailFrom, Rcpt};
use lettre::transport::smtp::extension::ClientId;
use lettre::{Address, Message};
use secrecy::{ExposeSecret, SecretString};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

/// Parts of the time of a call: one until the mail's own bytes, the others for these. Servers look for
/// spam before they answer.
const TIME_PARTS: u32 = 4;
/// How long a goodbye may take.
const QUIT_TIME_MAX: Duration = Duration::from_secs(2);
/// The server wants nothing from anybody who has not signed in.
const SIGN_IN_FIRST: u16 = 530;
/// The mail itself is too large.
const TOO_LARGE: u16 = 552;

/// Sends a mail, given as JSON, to one address; within a time.
pub async fn send(email: &Email, to: &str, body: &str, time_max: Duration) -> Delivery {
    let Ok(mail) = serde_json::from_str::<Mail>(body) else {
        return Delivery::Refused("unreadable".to_owned());
    };
    let (Ok(recipient), Ok(from)) = (to.parse::<Address>(), email.from.address.parse::<Address>())
    else {
        return Delivery::Refused("its sender or its recipient is not an address".to_owned());
    };
    let name = Some(email.from.name.clone()).filter(|name| !name.is_empty());
    let bytes = match message(Mailbox::new(name, from.clone()), &mail, recipient.clone()) {
        Ok(found) => found,
        Err(why) => return Delivery::Refused(why),
    };
    let password = match email.password() {
        Ok(password) => password,
        Err(error) => return Delivery::NotTaken(error.to_string()),
    };
    let part = time_max / TIME_PARTS;
    let opening = open(email, password, from, recipient);
    let mut connection = match tokio::time::timeout(part, opening).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(delivery)) => return delivery,
        Err(_) => {
            let secs = part.as_secs();
            return Delivery::NotTaken(format!("the mail server: no answer within {secs} s"));
        }
    };
    let sent =
        tokio::time::timeout(time_max.saturating_sub(part), connection.message(&bytes)).await;
    let delivery = match sent {
        Ok(Ok(_)) => Delivery::Taken(mail.name),
        Ok(Err(error)) if error.is_transient() => shut(&error, "the mail server"),
        Ok(Err(error)) if error.is_permanent() => Delivery::Refused(words(&error.to_string())),
        // The connection ended or fell silent after the last byte.
        Ok(Err(_)) | Err(_) => Delivery::Unknown,
    };
    // What was said counts, whether or not the server says goodbye.
    let _ = tokio::time::timeout(QUIT_TIME_MAX, connection.abort()).await;
    delivery
}

/// The mail's bytes.
fn message(from: Mailbox, mail: &Mail, to: Address) -> Result<Vec<u8>, String> {
    let domain = from.email.domain().to_owned();
    let thread = format!("<{}@{domain}>", mail.thread);
    let header = |name, value: &str| {
        HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
    };
    let date = UNIX_EPOCH + Duration::from_millis(mail.at_ms.max(0).unsigned_abs());
    let built = Message::builder()
        .from(from)
        .to(Mailbox::new(None, to))
        .date(date)
        .message_id(Some(format!("<{}@{domain}>", mail.name)))
        .in_reply_to(thread.clone())
        .references(thread)
        .subject(mail.subject.clone())
        // RFC 3834: nobody's absence is reported to a program.
        .raw_header(header("Auto-Submitted", "auto-generated"))
        .raw_header(header("X-Auto-Response-Suppress", "All"))
        .multipart(MultiPart::alternative_plain_html(mail.text.clone(), mail.html.clone()));
    built.map(|built| built.formatted()).map_err(|error| words(&error.to_string()))
}

/// A connection on which the mail's bytes come next.
async fn open(
    email: &Email,
    password: Option<SecretString>,
    from: Address,
    to: Address,
) -> Result<AsyncSmtpConnection, Delivery> {
    let hello = match &email.helo {
        Some(name) => ClientId::Domain(name.clone()),
        None => ClientId::default(),
    };
    let tls = tls(email).await?;
    let (wrapped, upgrade) = match email.tls {
        Tls::Wrapped => (tls, None),
        Tls::Starttls | Tls::None => (None, tls),
    };
    let server = (email.host.as_str(), email.port);
    let connecting =
        AsyncSmtpConnection::connect_tokio1(server, Some(CONNECT_TIME_MAX), &hello, wrapped, None);
    let mut connection = connecting.await.map_err(|error| shut(&error, "the mail server"))?;
    if let Some(upgrade) = upgrade {
        let upgraded = connection.starttls(upgrade, &hello).await;
        upgraded.map_err(|error| shut(&error, "the mail server's TLS"))?;
    }
    if let (Some(user), Some(password)) = (&email.user, password) {
        let credentials = Credentials::new(user.clone(), password.expose_secret().to_owned());
        let mechanisms = [Mechanism::Plain, Mechanism::Login];
        let signed_in = connection.auth(&mechanisms, &credentials).await;
        signed_in.map_err(|error| shut(&error, "signing in to the mail server"))?;
    }
    let accepted = connection.command(MailFrom::new(Some(from), Vec::new())).await;
    if let Err(error) = accepted {
        connection.abort().await;
        return Err(match code(&error) {
            Some(TOO_LARGE) => Delivery::Refused(words(&error.to_string())),
            // Whose mail a server takes is a matter of its settings, not of this mail.
            _ => shut(&error, "the mail server's view of the sender"),
        });
    }
    let accepted = match connection.command(Rcpt::new(to, Vec::new())).await {
        Ok(_) => connection.command(Data).await,
        Err(error) => Err(error),
    };
    if let Err(error) = accepted {
        connection.abort().await;
        return Err(match code(&error) {
            Some(SIGN_IN_FIRST) => shut(&error, "signing in to the mail server"),
            Some(_) if error.is_permanent() => Delivery::Refused(words(&error.to_string())),
            _ => shut(&error, "the mail server"),
        });
    }
    Ok(connection)
}

/// What a failure means that is no fault of the mail: it waits.
fn shut(error: &Error, what: &str) -> Delivery {
    Delivery::NotTaken(format!("{what}: {}", words(&error.to_string())))
}

fn code(error: &Error) -> Option<u16> {
    error.status().map(u16::from)
}

/// How TLS is spoken; `None`: it is not.
async fn tls(email: &Email) -> Result<Option<TlsParameters>, Delivery> {
    if email.tls == Tls::None {
        return Ok(None);
    }
    let (host, ca) = (email.host.clone(), email.ca.clone());
    // The system's certificates are read from files.
    let read = tokio::task::spawn_blocking(move || tls_parameters(host, ca)).await;
    read.unwrap_or_else(|_| Err("TLS cannot be set up".to_owned()))
        .map(Some)
        .map_err(Delivery::NotTaken)
}

fn tls_parameters(host: String, ca: Option<PathBuf>) -> Result<TlsParameters, String> {
    // A certificate names an address without brackets, as it stands in the configuration.
    let host = host.parse::<IpAddr>().map_or(host, |address| address.to_string());
    let mut builder = TlsParameters::builder(host);
    if let Some(path) = ca {
        let pem = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let certificate = Certificate::from_pem(&pem);
        let certificate = certificate
            .map_err(|error| format!("{}: {}", path.display(), words(&error.to_string())))?;
        builder = builder.add_root_certificate(certificate);
    }
    builder.build().map_err(|error| words(&error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::alert::{Level, State, Why};
    use crate::core::alert_mail::mail;
    use crate::core::text::Lang;
    use crate::core::told::Told;
    use proptest::prelude::*;

    /// RFC 5322's limit of a line, without its end.
    const LINE_BYTES_MAX: usize = 998;
    const HEADERS: [&str; 11] = [
        "From",
        "To",
        "Date",
        "Message-ID",
        "In-Reply-To",
        "References",
        "Subject",
        "Auto-Submitted",
        "X-Auto-Response-Suppress",
        "MIME-Version",
        "Content-Type",
    ];

    /// The bytes of a mail of which everything is these words.
    fn bytes(name: &str, words: &str) -> String {
        let links = [(words.to_owned(), format!("https://example.org/{}", "x".repeat(1_900)))];
        let told = Told {
            id: "AL-7q2f8k1c",
            number: 1,
            level: Level::Critical,
            state: State::Open,
            why: Some(Why::New),
            name: words,
            service: words,
            environment: words,
            summary: words,
            description: words,
            links: &links,
            value: words,
            by: words,
            since_ms: 0,
            at_ms: 1_795_489_200_000,
            lang: Lang::Zh,
        };
        let mailbox = Mailbox::new(Some(name.to_owned()), "ops@example.org".parse().unwrap());
        let to = "ann@example.org".parse().unwrap();
        String::from_utf8(message(mailbox, &mail(&told, "k"), to).unwrap()).unwrap()
    }

    fn headers(text: &str) -> Vec<&str> {
        let head = text.split("\r\n\r\n").next().unwrap();
        let names = head.split("\r\n").filter(|line| !line.starts_with([' ', '\t']));
        names.map(|line| line.split(':').next().unwrap()).collect()
    }

    fn assert_sound(text: &str) {
        assert!(text.is_ascii());
        assert!(!text.replace("\r\n", "").contains(['\r', '\n']), "a bare end of a line");
        let longest = text.split("\r\n").map(str::len).max();
        assert!(longest <= Some(LINE_BYTES_MAX), "{longest:?}");
        let mut found = headers(text);
        found.sort_unstable();
        let mut expected = HEADERS;
        expected.sort_unstable();
        assert_eq!(found, expected);
    }

    #[test]
    fn words_of_a_megabyte_and_words_that_try_to_be_headers_make_a_sound_mail() {
        for words in [
            "x".repeat(1_000_000),
            "界".repeat(300_000),
            "a\r\nBcc: eve@example.org\r\n\r\n.\r\nMAIL FROM:<eve@example.org>".to_owned(),
            "=?utf-8?q?Bcc=3A_eve=40example.org?=".to_owned(),
            "\u{202e}gro.elpmaxe\u{2028}\u{85}\u{0}.".to_owned(),
        ] {
            assert_sound(&bytes("Ops", &words));
        }
    }

    #[test]
    fn all_mails_of_an_alert_are_one_thread_of_the_senders_domain() {
        let text = bytes("Ops", "x");
        let value = |name: &str| {
            let line = text.split("\r\n").find_map(|line| line.strip_prefix(name));
            line.unwrap().trim_start_matches(": ").to_owned()
        };

        assert_eq!(value("References"), value("In-Reply-To"));
        assert_ne!(value("References"), value("Message-ID"));
        assert!(value("Message-ID").ends_with("@example.org>"), "{text}");
        assert_eq!(value("From"), "Ops <ops@example.org>");
    }

    proptest! {
        #[test]
        fn whatever_comes_is_a_sound_mail(name in "[^\\p{C}]{0,60}", words in any::<String>(), times in 1_usize..40) {
            assert_sound(&bytes(&name, &words.repeat(times)));
        }
    }
}
