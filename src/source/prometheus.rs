//! Asks a Prometheus for one number at a moment, over its HTTP API. Never waits longer than it is told,
//! never reads more than a limit, and takes nothing for a number that is none.

use crate::config::alerting::Prometheus;
use crate::core::alert_rule::{Answer, Questions, Reading};
use crate::core::series;
use crate::core::text::Text;
use anyhow::Context as _;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Response};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// An answer to one of our questions is a few hundred bytes; of a histogram, its buckets.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// Letters of what Prometheus, or whoever answers in its place, says of a failure.
const WORDS_CHARS_MAX: usize = 200;
/// How long it may take to reach it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// One Prometheus. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    url: String,
    prometheus: Arc<Prometheus>,
    timeout: Duration,
}

/// What one question led to.
#[derive(Debug, Clone, PartialEq)]
pub struct Answered {
    /// The number, or none.
    pub answer: Answer,
    /// The first warning that came with it.
    pub warning: Option<String>,
}

impl Client {
    /// A client for a Prometheus of the configuration.
    ///
    /// # Errors
    /// Its certificate cannot be read.
    pub fn new(prometheus: &Prometheus) -> anyhow::Result<Self> {
        // What it redirects to is not what was configured, and would get the token.
        let mut http =
            reqwest::Client::builder().redirect(Policy::none()).connect_timeout(CONNECT_TIMEOUT);
        if let Some(path) = &prometheus.ca {
            let name = || format!("the certificate {}", path.display());
            let pem = std::fs::read(path).with_context(name)?;
            http = http.tls_certs_merge([Certificate::from_pem(&pem).with_context(name)?]);
        }
        Ok(Self {
            http: http.build().context("make a client for Prometheus")?,
            url: format!("{}/api/v1/query", prometheus.url),
            prometheus: Arc::new(prometheus.clone()),
            timeout: Duration::from_millis(prometheus.timeout_ms),
        })
    }

    /// Everything that a rule asks, as of a moment, all at once. No answer may take longer than
    /// `time_max`.
    pub async fn read(&self, questions: &Questions, at_ms: i64, time_max: Duration) -> Reading {
        let ask = |query: &str| {
            let query = query.to_owned();
            async move {
                if query.is_empty() { None } else { Some(self.ask(&query, at_ms, time_max).await) }
            }
        };
        let (value, age, volume) =
            tokio::join!(ask(&questions.value), ask(&questions.age), ask(&questions.volume));
        let asked = [&value, &age, &volume];
        let warning = asked.into_iter().flatten().find_map(|answered| answered.warning.clone());
        Reading {
            value: value.map_or(Answer::Nothing, |answered| answered.answer),
            age: age.map(|answered| answered.answer),
            volume: volume.map(|answered| answered.answer),
            warning,
        }
    }

    /// The one number that a query is at a moment.
    pub async fn ask(&self, query: &str, at_ms: i64, time_max: Duration) -> Answered {
        match self.fetch(query, at_ms, time_max).await {
            Ok((status, body)) => number(status, &body),
            Err(words) => Answered { answer: Answer::Failed(words), warning: None },
        }
    }

    /// The values of a label in the series that a query answers.
    ///
    /// # Errors
    /// Why they could not be had.
    pub async fn labels(&self, query: &str, label: &str, at_ms: i64) -> Result<Vec<String>, Text> {
        let (status, body) = self.fetch(query, at_ms, self.timeout).await?;
        match understood(status, &body)? {
            (Data::Vector(series), _) => Ok(series
                .into_iter()
                .filter_map(|one| Some(one.metric.get(label)?.as_str()?.to_owned()))
                .collect()),
            _ => Err(Text::new("结果里没有序列", "the answer has no series")),
        }
    }

    async fn fetch(
        &self,
        query: &str,
        at_ms: i64,
        time_max: Duration,
    ) -> Result<(u16, Vec<u8>), Text> {
        let time_max = time_max.min(self.timeout);
        let time = format!("{}.{:03}", at_ms.div_euclid(1_000), at_ms.rem_euclid(1_000));
        let timeout = format!("{}ms", time_max.as_millis());
        let form = [("query", query), ("time", &time), ("timeout", &timeout)];
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let mut request = self
            .http
            .post(&self.url)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body);
        // Read anew each time: a token that was renewed needs no restart.
        let token = authorization(&self.prometheus).map_err(|failure| no_token(&failure))?;
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, token);
        }
        let asking = async {
            let answer = request.send().await.map_err(|error| unreachable(&error))?;
            let status = answer.status().as_u16();
            Ok((status, bounded(answer).await?))
        };
        let late = |_| {
            let ms = time_max.as_millis();
            Err(Text::new(format!("{ms} ms 内没有回答"), format!("no answer within {ms} ms")))
        };
        tokio::time::timeout(time_max, asking).await.unwrap_or_else(late)
    }
}

/// The header with its token; `None`: it wants none.
fn authorization(prometheus: &Prometheus) -> anyhow::Result<Option<HeaderValue>> {
    let token = prometheus.token().context("the token for Prometheus")?;
    token.as_ref().map(bearer).transpose()
}

fn bearer(token: &SecretString) -> anyhow::Result<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret()))
        .context("the token for Prometheus holds letters that no header can")?;
    value.set_sensitive(true);
    Ok(value)
}

/// Why it cannot be asked, of whom a token is wanted.
fn no_token(failure: &anyhow::Error) -> Text {
    let cause = cut(&format!("{failure:#}"));
    Text::new(format!("令牌不可用：{cause}"), cause)
}

/// Why it could not be reached, without the address, which people know.
fn unreachable(error: &reqwest::Error) -> Text {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    let cause = cut(&cause.to_string());
    if error.is_connect() {
        Text::new(format!("连接不上：{cause}"), format!("it cannot be reached: {cause}"))
    } else {
        Text::new(format!("连接中断：{cause}"), format!("the connection broke: {cause}"))
    }
}

async fn bounded(mut answer: Response) -> Result<Vec<u8>, Text> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| unreachable(&error))? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            let kib = ANSWER_BYTES_MAX / 1024;
            return Err(Text::new(
                format!("回答超过 {kib} KiB"),
                format!("the answer is longer than {kib} KiB"),
            ));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Words from outside: one line, not too long.
fn cut(words: &str) -> String {
    let line = words.chars().map(|letter| if letter.is_control() { ' ' } else { letter });
    line.take(WORDS_CHARS_MAX).collect()
}

#[derive(Deserialize)]
struct Body {
    status: String,
    data: Option<RawData>,
    #[serde(rename = "errorType")]
    error_type: Option<String>,
    error: Option<String>,
    #[serde(default)]
    warnings: Vec<String>,
}

#[derive(Deserialize)]
struct RawData {
    #[serde(rename = "resultType")]
    result_type: String,
    result: Value,
}

#[derive(Deserialize)]
struct Series {
    #[serde(default)]
    metric: serde_json::Map<String, Value>,
    value: Option<(f64, String)>,
}

enum Data {
    Vector(Vec<Series>),
    Scalar(String),
    Other(String),
}

fn understood(status: u16, body: &[u8]) -> Result<(Data, Option<String>), Text> {
    let stranger = || {
        Text::new(
            format!("状态码 {status}，而且不是 Prometheus 的回答"),
            format!("status {status}, and no answer of a Prometheus"),
        )
    };
    let body: Body = serde_json::from_slice(body).map_err(|_| stranger())?;
    if body.status != "success" || !(200..300).contains(&status) {
        let kind = body.error_type.unwrap_or_else(|| "error".to_owned());
        let error = body.error.unwrap_or_default();
        let words = cut(&format!("{kind}: {error}"));
        return Err(Text::new(
            format!("状态码 {status}，{words}"),
            format!("status {status}, {words}"),
        ));
    }
    let data = body.data.ok_or_else(stranger)?;
    let warning = body.warnings.first().map(|words| cut(words));
    let data = match data.result_type.as_str() {
        "vector" => Data::Vector(serde_json::from_value(data.result).map_err(|_| stranger())?),
        "scalar" => {
            let (_, value): (f64, String) =
                serde_json::from_value(data.result).map_err(|_| stranger())?;
            Data::Scalar(value)
        }
        other => Data::Other(other.to_owned()),
    };
    Ok((data, warning))
}

/// The one number in an answer.
fn number(status: u16, body: &[u8]) -> Answered {
    let (data, warning) = match understood(status, body) {
        Ok(understood) => understood,
        Err(words) => return Answered { answer: Answer::Failed(words), warning: None },
    };
    let spelt = |text: &str| {
        let none = || {
            let text = cut(text);
            Text::new(format!("`{text}` 不是数字"), format!("`{text}` is not a number"))
        };
        series::number(text).map_or_else(|| Answer::Failed(none()), Answer::Number)
    };
    let answer = match data {
        Data::Scalar(text) => spelt(&text),
        Data::Vector(series) => match series.as_slice() {
            [] => Answer::Nothing,
            [Series { value: Some((_, text)), .. }] => spelt(text),
            [_] => no_number("histogram"),
            many => several(many.len()),
        },
        Data::Other(kind) => no_number(&kind),
    };
    Answered { answer, warning }
}

fn no_number(kind: &str) -> Answer {
    let kind = cut(kind);
    Answer::Failed(Text::new(
        format!("查询的结果是 {kind}，不是一个数字"),
        format!("the query answers a {kind} and not a number"),
    ))
}

/// Which of them is meant nobody but its author knows.
fn several(count: usize) -> Answer {
    Answer::Failed(Text::new(
        format!(
            "查询返回 {count} 个序列，只能是一个：请改写查询，用 max(…)、sum(…) 或 avg(…) 合成一个数字"
        ),
        format!(
            "the query answers {count} series, one expected: rewrite it with max(…), sum(…) or avg(…) \
             around it, which makes one number of them"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::action::SecretSource;
    use proptest::prelude::*;
    use std::path::Path;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    fn fixture(name: &str) -> Vec<u8> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/prometheus");
        std::fs::read(folder.join(format!("{name}.json"))).unwrap()
    }

    fn read(name: &str) -> Answer {
        number(200, &fixture(name)).answer
    }

    fn failure(answer: Answer) -> String {
        let Answer::Failed(words) = answer else { panic!("{answer:?}") };
        assert!(!words.zh.is_empty());
        words.en
    }

    #[test]
    fn every_captured_answer_is_what_it_is() {
        assert_eq!(read("query-p95"), Answer::Number(0.200_725_593_667_546_03));
        assert_eq!(read("query-pushgateway"), Answer::Number(1_795_473_318.0));
        assert_eq!(read("query-scalar"), Answer::Number(4.0));
        assert_eq!(read("query-empty"), Answer::Nothing);
        assert_eq!(read("query-ratio-no-series-empty"), Answer::Nothing);
        let Answer::Number(nan) = read("query-zero-div-nan") else { panic!() };
        assert!(nan.is_nan());
        for (name, count) in [("query-vector", 4), ("query-error-rate", 2), ("query-nan-inf", 4)] {
            let words = failure(read(name));
            assert!(words.contains(&format!("answers {count} series, one expected")), "{words}");
        }
        // Both languages say what to do.
        let Answer::Failed(words) = read("query-vector") else { panic!() };
        for way in ["max(…)", "sum(…)", "avg(…)"] {
            assert!(words.zh.contains(way) && words.en.contains(way), "{words:?}");
        }
        assert!(failure(read("query-string")).contains("answers a string and not a number"));
        assert!(failure(read("query-matrix")).contains("answers a matrix and not a number"));
        for (name, status, expected) in [
            ("query-error-parse", 400, "status 400, bad_data: invalid parameter"),
            ("query-error-exec", 422, "status 422, execution: found duplicate series"),
            ("query-error-timeout", 503, "status 503, execution: vector cannot contain"),
        ] {
            let words = failure(number(status, &fixture(name)).answer);
            assert!(words.starts_with(expected), "{words}");
            assert!(words.chars().count() <= WORDS_CHARS_MAX + "status 400, ".len(), "{words}");
        }
    }

    #[test]
    fn a_single_infinity_is_a_number_and_a_warning_comes_along() {
        let vector = |value: &str, more: &str| {
            format!(
                r#"{{"status":"success","data":{{"resultType":"vector","result":[{{"metric":{{}},"value":[1.5,{value}]}}]}}{more}}}"#
            )
        };
        let read = |text: String| number(200, text.as_bytes());
        assert_eq!(read(vector("\"+Inf\"", "")).answer, Answer::Number(f64::INFINITY));
        assert_eq!(read(vector("\"-Inf\"", "")).answer, Answer::Number(f64::NEG_INFINITY));
        assert_eq!(read(vector("\"1e-3\"", "")).answer, Answer::Number(0.001));
        let warned = read(vector("\"1\"", r#","warnings":["partial\n<!channel>"],"infos":[]"#));
        assert_eq!(warned.answer, Answer::Number(1.0));
        assert_eq!(warned.warning.as_deref(), Some("partial <!channel>"));
        for wrong in ["\"infinity\"", "\"nan\"", "\"\"", "\"1,5\"", "\"1 2\""] {
            assert!(failure(read(vector(wrong, "")).answer).contains("is not a number"), "{wrong}");
        }
        for wrong in ["1", "null", "[]"] {
            let words = failure(read(vector(wrong, "")).answer);
            assert!(words.contains("no answer of a Prometheus"), "{words}");
        }
        let histogram = r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"histogram":[1,{}]}]}}"#;
        assert!(failure(number(200, histogram.as_bytes()).answer).contains("a histogram"));
    }

    #[test]
    fn whoever_else_answers_is_not_taken_for_a_prometheus() {
        let empty = r#"{"status":"success"}"#;
        for (status, body) in [
            (200, &b"<html>It works!</html>"[..]),
            (200, b""),
            (200, b"{}"),
            (200, b"null"),
            (200, b"\xff\xfe"),
            (404, b"not found"),
            (302, b""),
            (200, empty.as_bytes()),
        ] {
            let words = failure(number(status, body).answer);
            assert!(words.contains(&format!("status {status}")), "{words}");
        }
        // A good answer with a bad status is none.
        assert!(failure(number(500, &fixture("query-p95")).answer).contains("status 500"));
    }

    /// A server that answers one request, in words that it is given, after a while.
    async fn server(answer: Vec<u8>, wait: Duration) -> (String, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        #[expect(clippy::disallowed_methods, reason = "a test's own server")]
        let task = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 8_192];
            let length = stream.read(&mut request).await.unwrap();
            #[expect(clippy::disallowed_methods, reason = "a slow server takes real time")]
            tokio::time::sleep(wait).await;
            // Whoever asked may have gone away.
            let _ = stream.write_all(&answer).await;
            String::from_utf8_lossy(&request[..length]).into_owned()
        });
        (url, task)
    }

    fn client(url: &str, timeout_ms: u64) -> Client {
        client_with(url, timeout_ms, None)
    }

    fn client_with(url: &str, timeout_ms: u64, bearer_token: Option<SecretSource>) -> Client {
        // The second test of a process finds it installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let prometheus = Prometheus { url: url.to_owned(), timeout_ms, bearer_token, ca: None };
        Client::new(&prometheus).unwrap()
    }

    fn http(body: &[u8]) -> Vec<u8> {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        [head.as_bytes(), body].concat()
    }

    const LONG: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn it_asks_for_a_moment_and_reads_the_answer() {
        let (url, task) = server(http(&fixture("query-p95")), Duration::ZERO).await;

        let answered = client(&url, 5_000).ask("a + b", 1_795_489_200_005, LONG).await;

        assert_eq!(answered.answer, Answer::Number(0.200_725_593_667_546_03));
        let request = task.await.unwrap();
        assert!(request.starts_with("POST /api/v1/query HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("query=a+%2B+b&time=1795489200.005&timeout=5000ms"), "{request}");
    }

    #[tokio::test]
    async fn a_token_that_is_renewed_counts_from_the_next_question_on() {
        let (url, task) = server(http(&fixture("query-p95")), Duration::ZERO).await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        let client = client_with(&url, 5_000, Some(SecretSource::File(file.clone())));

        let missing = failure(client.ask("a", 0, LONG).await.answer);
        assert!(missing.starts_with("the token for Prometheus: "), "{missing}");
        std::fs::write(&file, "renewed").unwrap();
        let answered = client.ask("a", 0, LONG).await;

        assert!(matches!(answered.answer, Answer::Number(_)), "{answered:?}");
        let request = task.await.unwrap().to_lowercase();
        assert!(request.contains("authorization: bearer renewed\r\n"), "{request}");
    }

    #[tokio::test]
    async fn who_is_slow_endless_or_away_fails_in_time_and_in_words() {
        let (url, _task) = server(Vec::new(), LONG).await;
        let slow = client(&url, 5_000).ask("a", 0, Duration::from_millis(100)).await;
        assert_eq!(failure(slow.answer), "no answer within 100 ms");

        let endless = http(&vec![b' '; ANSWER_BYTES_MAX + 1]);
        let (url, _task) = server(endless, Duration::ZERO).await;
        let endless = client(&url, 5_000).ask("a", 0, LONG).await;
        assert_eq!(failure(endless.answer), "the answer is longer than 256 KiB");

        let (url, _task) =
            server(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{".to_vec(), Duration::ZERO).await;
        let broken = client(&url, 5_000).ask("a", 0, LONG).await;
        assert!(failure(broken.answer).starts_with("the connection broke"));

        let away = client("http://127.0.0.1:1", 5_000).ask("a", 0, LONG).await;
        assert!(failure(away.answer).starts_with("it cannot be reached: "));
    }

    #[tokio::test]
    async fn a_redirection_is_not_followed() {
        let moved =
            b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n";
        let (url, _task) = server(moved.to_vec(), Duration::ZERO).await;

        let answered = client(&url, 5_000).ask("a", 0, LONG).await;

        assert!(failure(answered.answer).contains("status 302"));
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(status in 100_u16..600, body in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = number(status, &body);
        }

        #[test]
        fn no_answer_that_looks_like_one_makes_it_panic(
            kind in "vector|scalar|matrix|string|[a-z]{0,5}",
            value in "\"[0-9.eE+-]{0,9}\"|NaN|null|[0-9]{1,3}",
            status in "success|error|[a-z]{0,3}",
        ) {
            let text = format!(r#"{{"status":"{status}","data":{{"resultType":"{kind}","result":[{{"value":[1,{value}]}}]}}}}"#);
            let answered = number(200, text.as_bytes());
            if let Answer::Number(number) = answered.answer {
                prop_assert!(kind == "vector" && status == "success" && !number.is_nan());
            }
        }
    }
}
