//! A proxy between the connector and a server that does to their conversation what networks do.
//!
//! It carries bytes for Postgres and, for a search server, knows where a request ends, so that it can lose, cut or replace
//! the answer to one that has been executed. What it does is set while it runs. Nothing depends on time: a fault lasts until
//! [`Proxy::heal`], and what it has begun with a connection that can't go on, because bytes of it were lost, ends with a reset
//! then.

mod answers;
mod link;
mod relay;
mod request;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use answers::{Answers, Canned};

/// What happens to everything that is sent, in both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Nothing,
    /// Each piece comes so much later.
    Delayed(Duration),
    /// So many bytes per second and direction.
    Slow(u32),
    /// Nothing moves; what was sent comes later.
    Stalled,
    /// Everything is taken and lost, without a word to either side.
    HalfOpen,
    /// Nobody listens. What is connected stays so.
    Refused,
    /// Of so many per cent of the requests of HTTP.
    Answered(Answers, u8),
}

/// How all connections of the moment end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// FIN on both sides.
    Cut,
    /// RST on both sides.
    Reset,
    /// Not at all: nothing comes through any more, for ever, and neither side is told.
    Forgotten,
}

/// What a proxy understands of what it carries.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Bytes,
    Http,
}

/// Listens until it is dropped.
pub struct Proxy {
    /// On 127.0.0.1; stays the same.
    pub port: u16,
    shared: Arc<Shared>,
    listening: JoinHandle<()>,
}

/// What the connections of a proxy share.
struct Shared {
    server: SocketAddr,
    protocol: Protocol,
    fault: watch::Sender<Fault>,
    /// How the connections before end, and how many such ends there were.
    end: watch::Sender<(u64, End)>,
    rng: Mutex<fastrand::Rng>,
    /// Requests whose answer was lost, cut or replaced.
    spoilt: AtomicU64,
}

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap());

impl Proxy {
    /// To a port of 127.0.0.1. `rng` draws the requests that an [`Answers`] is about.
    pub fn start(protocol: Protocol, server: u16, rng: fastrand::Rng) -> Self {
        let shared = Arc::new(Shared {
            server: SocketAddr::from(([127, 0, 0, 1], server)),
            protocol,
            fault: watch::Sender::new(Fault::Nothing),
            end: watch::Sender::new((0, End::Cut)),
            rng: Mutex::new(rng),
            spoilt: AtomicU64::new(0),
        });
        let listener = RUNTIME.block_on(some_port());
        let port = listener.local_addr().unwrap().port();
        let listening = RUNTIME.spawn(link::listen(shared.clone(), listener));
        Proxy { port, shared, listening }
    }

    /// In place of the fault before.
    pub fn set(&self, fault: Fault) {
        self.shared.fault.send_replace(fault);
    }

    /// Everything passes again.
    pub fn heal(&self) {
        self.set(Fault::Nothing);
    }

    /// Ends what is connected now.
    pub fn end(&self, end: End) {
        self.shared.end.send_modify(|(count, how)| (*count, *how) = (*count + 1, end));
    }

    /// How many answers were lost, cut or replaced by now.
    pub fn spoilt(&self) -> u64 {
        self.shared.spoilt.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listening.abort();
        self.end(End::Reset);
    }
}

impl Shared {
    /// What is to be done with the answer to the next request.
    fn draw(&self) -> Option<Answers> {
        let Fault::Answered(answers, share) = *self.fault.borrow() else { return None };
        let drawn = self.rng.lock().unwrap_or_else(PoisonError::into_inner).u8(..100);
        (drawn < share).then(|| {
            self.spoilt.fetch_add(1, Ordering::Relaxed);
            answers
        })
    }
}

/// Below the ports that the kernel gives to clients: it must be free again after it was given up for a while.
async fn some_port() -> TcpListener {
    loop {
        let port = fastrand::u16(15_000..32_000);
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)).await {
            return listener;
        }
    }
}
