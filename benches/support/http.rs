//! A client that costs next to nothing: prepared bytes out, one answer back, over connections that
//! stay open.

use anyhow::{Context, bail, ensure};
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

/// The largest answer that is read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// One connection.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// What was answered.
pub struct Answer<'a> {
    pub status: u16,
    pub body: &'a [u8],
}

impl Connection {
    pub async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(ANSWER_BYTES_MAX) })
    }

    /// Sends one request and reads its whole answer.
    pub async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<Answer<'_>> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        loop {
            ensure!(self.stream.read_buf(&mut self.buffer).await? > 0, "the connection was closed");
            ensure!(self.buffer.len() < ANSWER_BYTES_MAX, "the answer is too long");
            if let Some((body, size)) = frame(&self.buffer)?
                && self.buffer.len() >= body + size
            {
                let status = std::str::from_utf8(&self.buffer[9..12])?.parse()?;
                return Ok(Answer { status, body: &self.buffer[body..body + size] });
            }
        }
    }
}

/// Where an answer's body begins and how long it is, once its head is there.
fn frame(answer: &[u8]) -> anyhow::Result<Option<(usize, usize)>> {
    let Some(end) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&answer[..end])?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim())
    });
    let length = length.context("an answer without a length")?.parse()?;
    Ok(Some((end + 4, length)))
}

/// A request for a path.
pub fn request(path: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let method = if body.is_empty() { "GET" } else { "POST" };
    let mut request = format!("{method} {path} HTTP/1.1\r\nhost: bench\r\n");
    for (name, value) in headers {
        request.extend([name, ": ", value, "\r\n"]);
    }
    request.extend(["content-length: ", &body.len().to_string(), "\r\n\r\n", body]);
    request.into_bytes()
}

/// What one load came to.
pub struct Load {
    pub elapsed: Duration,
    pub latencies: Vec<Duration>,
}

impl Load {
    pub fn per_second(&self) -> f64 {
        self.latencies.len() as f64 / self.elapsed.as_secs_f64()
    }
}

/// Sends all requests over so many connections, each taking the next when its last is answered. Runs
/// on a thread of its own. Every answer must be 200.
pub fn load(
    address: SocketAddr,
    connections: usize,
    requests: Vec<Vec<u8>>,
) -> anyhow::Result<Load> {
    let generator = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        LocalSet::new().block_on(&runtime, drive(address, connections, requests))
    });
    generator.join().map_err(|_| anyhow::anyhow!("the generator panicked"))?
}

async fn drive(
    address: SocketAddr,
    connections: usize,
    requests: Vec<Vec<u8>>,
) -> anyhow::Result<Load> {
    let mut open = Vec::new();
    for _ in 0..connections {
        open.push(Connection::open(address).await?);
    }
    let latencies = Rc::new(RefCell::new(Vec::with_capacity(requests.len())));
    let requests = Rc::new(RefCell::new(requests.into_iter()));
    let began = Instant::now();
    let tasks = open.into_iter().map(|mut connection| {
        let (requests, latencies) = (Rc::clone(&requests), Rc::clone(&latencies));
        tokio::task::spawn_local(async move {
            loop {
                let Some(request) = requests.borrow_mut().next() else { return anyhow::Ok(()) };
                let sent = Instant::now();
                let status = connection.exchange(&request).await?.status;
                if status != 200 {
                    bail!("answered {status}");
                }
                latencies.borrow_mut().push(sent.elapsed());
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await??;
    }
    let elapsed = began.elapsed();
    let latencies = latencies.take();
    Ok(Load { elapsed, latencies })
}
