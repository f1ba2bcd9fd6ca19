//! A Slack for unit tests: answers from a list, over real sockets, and can hang or hang up.

use serde_json::Value;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What the next request gets.
#[derive(Debug, Clone)]
pub enum Reply {
    /// An HTTP answer; `headers` are whole lines.
    Http { status: u16, headers: &'static str, body: String },
    /// Nothing, for ever.
    Hang,
    /// The request is read and the connection closed.
    Drop,
    /// Another one, later.
    After(Duration, Box<Reply>),
}

impl Reply {
    pub fn json(status: u16, body: &Value) -> Self {
        let headers = "content-type: application/json\r\nconnection: close\r\n";
        Self::Http { status, headers, body: body.to_string() }
    }

    pub fn kept_alive(self) -> Self {
        match self {
            Self::Http { status, body, .. } => {
                Self::Http { status, headers: "content-type: application/json\r\n", body }
            }
            other => other,
        }
    }
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Request {
    pub head: String,
    pub body: String,
}

#[derive(Default)]
struct State {
    replies: Mutex<VecDeque<Reply>>,
    requests: Mutex<Vec<Request>>,
    connections: Mutex<usize>,
}

/// Listens until it is dropped.
pub struct Fake {
    address: std::net::SocketAddr,
    state: Arc<State>,
    task: tokio::task::JoinHandle<()>,
}

impl Fake {
    pub async fn start(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State { replies: Mutex::new(replies.into()), ..State::default() });
        let shared = state.clone();
        let accept = async move {
            let mut sockets = tokio::task::JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                *shared.connections.lock().unwrap() += 1;
                sockets.spawn(serve(socket, shared.clone()));
            }
        };
        #[expect(clippy::disallowed_methods, reason = "a test's own server")]
        let task = tokio::spawn(accept);
        Self { address, state, task }
    }

    pub fn base_url(&self) -> String {
        format!("http://{}/api", self.address)
    }

    pub fn requests(&self) -> Vec<Request> {
        self.state.requests.lock().unwrap().clone()
    }

    pub fn connections(&self) -> usize {
        *self.state.connections.lock().unwrap()
    }

    /// Hangs up on everybody and listens no more.
    pub fn stop(&self) {
        self.task.abort();
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut socket: TcpStream, state: Arc<State>) {
    while let Some(request) = read(&mut socket).await {
        state.requests.lock().unwrap().push(request);
        let reply = state.replies.lock().unwrap().pop_front();
        let mut reply = reply.expect("a request that the test did not expect");
        while let Reply::After(wait, then) = reply {
            crate::clock::Clock::System.sleep_ms(wait.as_millis() as u64).await;
            reply = *then;
        }
        match reply {
            Reply::After(..) => unreachable!("unwrapped above"),
            Reply::Hang => std::future::pending().await,
            Reply::Drop => return,
            Reply::Http { status, headers, body } => {
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\n\r\n{body}"
                );
                socket.write_all(answer.as_bytes()).await.unwrap();
                if headers.contains("connection: close") {
                    return;
                }
            }
        }
    }
}

async fn read(socket: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return Some(Request { head: head.to_owned(), body: body.to_owned() });
            }
        }
        let mut buffer = [0; 4096];
        match socket.read(&mut buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
        }
    }
}
