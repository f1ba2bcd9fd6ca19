//! Proof that Slack sent a request: the v0 signature over the raw bytes.
//!
//! Owns the only way to a request's body. Must never parse the body, read a clock, or say in an
//! error what the right signature would have been.

use axum::http::HeaderMap;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use std::fmt;

/// How far a request's time may be from ours, in both directions (Slack's own advice).
const AGE_MS_MAX: u64 = 300_000;
/// Digits in a timestamp of seconds: enough until the year 33658.
const TIMESTAMP_CHARS_MAX: usize = 12;
/// What a signature starts with.
const VERSION: &[u8] = b"v0=";
/// Hex digits of a SHA-256.
const SIGNATURE_CHARS: usize = 64;

/// The header with the time of signing, in seconds.
pub const TIMESTAMP_HEADER: &str = "x-slack-request-timestamp";
/// The header with the signature.
pub const SIGNATURE_HEADER: &str = "x-slack-signature";

/// The app's signing secret, as an HMAC state that is keyed once and cloned for each request.
#[derive(Clone)]
pub struct SigningSecret(Hmac<Sha256>);

impl SigningSecret {
    /// Keys the state. `None` for an empty secret: anybody could sign with that.
    pub fn new(secret: &SecretString) -> Option<Self> {
        let key = secret.expose_secret().as_bytes();
        if key.is_empty() {
            return None;
        }
        Hmac::new_from_slice(key).ok().map(Self)
    }

    fn mac(&self, timestamp: &[u8], body: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        mac.update(b"v0:");
        mac.update(timestamp);
        mac.update(b":");
        mac.update(body);
        mac
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("SigningSecret(…)")
    }
}

/// A body that Slack signed. Only [`verify`] makes one.
#[derive(Debug, Clone)]
pub struct Verified {
    body: Bytes,
}

impl Verified {
    /// The bytes that were signed.
    pub fn body(&self) -> &Bytes {
        &self.body
    }
}

/// Why a request is not Slack's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A header is absent.
    #[error("the request carries no signature")]
    Missing,
    /// A header is there and cannot be one of Slack's, or is there twice.
    #[error("the request's signature headers are malformed")]
    Malformed,
    /// Signed too long ago, or too far in the future: a replay, or a clock that is wrong.
    #[error("the request was signed at another time")]
    Stale,
    /// The signature belongs to other bytes or another secret.
    #[error("the request's signature is wrong")]
    Forged,
}

impl Refusal {
    /// A stable word for a metric's label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::Stale => "stale",
            Self::Forged => "forged",
        }
    }
}

/// [`verify`], with the two headers taken from a request: one that comes twice is refused.
///
/// # Errors
/// As [`verify`].
pub fn verify_request(
    secret: &SigningSecret,
    headers: &HeaderMap,
    body: Bytes,
    now_ms: i64,
) -> Result<Verified, Refusal> {
    let timestamp = single(headers, TIMESTAMP_HEADER)?;
    let signature = single(headers, SIGNATURE_HEADER)?;
    verify(secret, timestamp, signature, body, now_ms)
}

fn single<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h [u8]>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(Refusal::Malformed);
    }
    Ok(first.map(axum::http::HeaderValue::as_bytes))
}

/// Proves that Slack signed these bytes within the last five minutes.
///
/// # Errors
/// A [`Refusal`]; nothing was parsed and nothing was done.
pub fn verify(
    secret: &SigningSecret,
    timestamp_header: Option<&[u8]>,
    signature_header: Option<&[u8]>,
    body: Bytes,
    now_ms: i64,
) -> Result<Verified, Refusal> {
    let (Some(timestamp), Some(signature)) = (timestamp_header, signature_header) else {
        return Err(Refusal::Missing);
    };
    let signed_ms = timestamp_ms(timestamp).ok_or(Refusal::Malformed)?;
    let signature = signature_bytes(signature).ok_or(Refusal::Malformed)?;
    if now_ms.abs_diff(signed_ms) > AGE_MS_MAX {
        return Err(Refusal::Stale);
    }
    // `verify_slice` compares in constant time.
    secret.mac(timestamp, &body).verify_slice(&signature).map_err(|_| Refusal::Forged)?;
    Ok(Verified { body })
}

/// The signature header's value for a body: for tests, benches and local tools that play Slack.
pub fn sign(secret: &SigningSecret, timestamp_secs: i64, body: &[u8]) -> String {
    let mac = secret.mac(timestamp_secs.to_string().as_bytes(), body);
    format!("v0={}", hex::encode(mac.finalize().into_bytes()))
}

fn timestamp_ms(header: &[u8]) -> Option<i64> {
    if header.is_empty() || header.len() > TIMESTAMP_CHARS_MAX {
        return None;
    }
    header
        .iter()
        .try_fold(0_i64, |secs, byte| {
            byte.is_ascii_digit().then(|| secs * 10 + i64::from(byte - b'0'))
        })?
        .checked_mul(1_000)
}

/// Lower-case hex only, as Slack writes it: one signature has one spelling.
fn signature_bytes(header: &[u8]) -> Option<[u8; SIGNATURE_CHARS / 2]> {
    let digits = header.strip_prefix(VERSION)?;
    if digits.len() != SIGNATURE_CHARS || digits.iter().any(u8::is_ascii_uppercase) {
        return None;
    }
    let mut bytes = [0; SIGNATURE_CHARS / 2];
    hex::decode_to_slice(digits, &mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW_MS: i64 = 1_700_000_000_000;

    fn secret() -> SigningSecret {
        SigningSecret::new(&SecretString::from("8f742231b10e8888abcd99yyyzzz85a5")).unwrap()
    }

    fn check(
        timestamp: &str,
        signature: &str,
        body: &[u8],
        now_ms: i64,
    ) -> Result<Verified, Refusal> {
        let body = Bytes::copy_from_slice(body);
        verify(&secret(), Some(timestamp.as_bytes()), Some(signature.as_bytes()), body, now_ms)
    }

    #[test]
    fn slacks_published_example_is_accepted() {
        let body = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
        let signature = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";

        let verified = check("1531420618", signature, body.as_bytes(), 1_531_420_618_000).unwrap();

        assert_eq!(verified.body(), body.as_bytes());
        assert_eq!(sign(&secret(), 1_531_420_618, body.as_bytes()), signature);
    }

    #[test]
    fn five_minutes_in_either_direction_are_the_limit() {
        let secs = NOW_MS / 1_000;
        let signature = sign(&secret(), secs, b"x");
        let at = |now_ms| check(&secs.to_string(), &signature, b"x", now_ms).map(|_| ());

        assert_eq!(at(NOW_MS + 300_000), Ok(()));
        assert_eq!(at(NOW_MS - 300_000), Ok(()));
        assert_eq!(at(NOW_MS + 300_001), Err(Refusal::Stale));
        assert_eq!(at(NOW_MS - 300_001), Err(Refusal::Stale));
    }

    #[test]
    fn headers_that_cannot_be_slacks_are_malformed() {
        let good = sign(&secret(), NOW_MS / 1_000, b"x");
        let time = (NOW_MS / 1_000).to_string();
        for timestamp in ["", " ", "+1700000000", "-1", "1700000000.0", "1700000000000000", "１"] {
            assert_eq!(check(timestamp, &good, b"x", NOW_MS).unwrap_err(), Refusal::Malformed);
        }
        let long = format!("{good}00");
        let upper = good.to_uppercase().replacen('V', "v", 1);
        for signature in ["", "v0=", "v1=00", &good[3..], &good[..66], &long, &upper] {
            assert_eq!(check(&time, signature, b"x", NOW_MS).unwrap_err(), Refusal::Malformed);
        }
    }

    #[test]
    fn a_missing_or_doubled_header_is_refused() {
        let time = (NOW_MS / 1_000).to_string();
        let signature = sign(&secret(), NOW_MS / 1_000, b"x");
        let mut headers = HeaderMap::new();
        let check = |headers: &HeaderMap| {
            verify_request(&secret(), headers, Bytes::from_static(b"x"), NOW_MS).map(|_| ())
        };

        assert_eq!(check(&headers), Err(Refusal::Missing));
        headers.append(TIMESTAMP_HEADER, time.parse().unwrap());
        assert_eq!(check(&headers), Err(Refusal::Missing));
        headers.append(SIGNATURE_HEADER, signature.parse().unwrap());
        assert_eq!(check(&headers), Ok(()));
        headers.append(SIGNATURE_HEADER, signature.parse().unwrap());
        assert_eq!(check(&headers), Err(Refusal::Malformed));
    }

    #[test]
    fn a_secret_is_never_empty_and_never_shown() {
        assert!(SigningSecret::new(&SecretString::from("")).is_none());
        assert_eq!(format!("{:?}", secret()), "SigningSecret(…)");
    }

    proptest! {
        #[test]
        fn what_was_signed_verifies(body: Vec<u8>, secs in 0_i64..=99_999_999_999, off in -300_000_i64..=300_000) {
            let signature = sign(&secret(), secs, &body);

            let verified = check(&secs.to_string(), &signature, &body, secs * 1_000 + off).unwrap();

            prop_assert_eq!(verified.body().as_ref(), body.as_slice());
        }

        #[test]
        fn any_bytes_are_refused_without_a_panic(
            timestamp: Option<Vec<u8>>, signature: Option<Vec<u8>>, body: Vec<u8>, now_ms: i64
        ) {
            let refused = verify(&secret(), timestamp.as_deref(), signature.as_deref(), body.into(), now_ms);
            prop_assert!(refused.is_err());
        }

        #[test]
        fn a_change_to_any_byte_is_refused(
            body in proptest::collection::vec(any::<u8>(), 1..200), at: prop::sample::Index, flip in 1_u8..=255
        ) {
            let time = (NOW_MS / 1_000).to_string();
            let signature = sign(&secret(), NOW_MS / 1_000, &body);
            let whole = [time.as_bytes(), signature.as_bytes(), &body].concat();
            let mut forged = whole.clone();
            let index = at.index(forged.len());
            forged[index] ^= flip;
            let (time, rest) = forged.split_at(time.len());
            let (signature, body) = rest.split_at(signature.len());

            let refused =
                verify(&secret(), Some(time), Some(signature), Bytes::copy_from_slice(body), NOW_MS);

            prop_assert!(refused.is_err());
        }
    }
}
