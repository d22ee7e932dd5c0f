//! Pairs of servers, each started by the first test that needs it.
//!
//! Most tests share one and leave it running. Those that stop and kill servers have another one, and have it to
//! themselves; those about TLS and passwords a third.

use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use super::servers::Server;

/// A Postgres and a search server.
pub struct Pair {
    pub postgres: Server,
    pub search: Server,
}

static SHARED: RwLock<Option<Pair>> = RwLock::new(None);
static STARTING: Mutex<()> = Mutex::new(());
static FRAGILE: Mutex<Option<Pair>> = Mutex::new(None);
static SECURE: Mutex<Option<Pair>> = Mutex::new(None);

/// `postgres-18` unless the environment says otherwise.
pub fn postgres_kind() -> String {
    chosen("WAL2ES_TEST_POSTGRES", "postgres-18", &["postgres-18", "postgres-15"])
}

/// `opensearch` unless the environment says otherwise.
pub fn search_kind() -> String {
    let kinds = ["opensearch", "elasticsearch-8", "elasticsearch-9"];
    chosen("WAL2ES_TEST_SEARCH", "opensearch", &kinds)
}

/// How the log is read; `pgoutput` unless the environment says otherwise.
pub fn way() -> String {
    chosen("WAL2ES_TEST_PLUGIN", "pgoutput", &["pgoutput", "streaming", "test_decoding"])
}

fn chosen(variable: &str, default: &str, kinds: &[&str]) -> String {
    let kind = std::env::var(variable).unwrap_or_else(|_| default.to_owned());
    assert!(kinds.contains(&kind.as_str()), "{variable}={kind}: not one of {}", kinds.join(", "));
    kind
}

/// The shared pair, held for as long as the guard lives.
pub fn pair() -> Guard {
    let running = || {
        let reading = SHARED.read().unwrap_or_else(PoisonError::into_inner);
        reading.is_some().then(|| Guard(reading))
    };
    if let Some(guard) = running() {
        return guard;
    }
    // Whoever waits here does not wait to write: that would keep a test that has one guard from taking another.
    let _starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(guard) = running() {
        return guard;
    }
    let pair = Pair::start(&postgres_kind(), &["--set", SLOTS], &search_kind(), &[]);
    *SHARED.write().unwrap_or_else(PoisonError::into_inner) = Some(pair);
    Guard(SHARED.read().unwrap_or_else(PoisonError::into_inner))
}

/// A pair that no other test uses meanwhile, to be stopped and killed. Notices a silent client after five seconds.
pub fn fragile() -> Exclusive {
    exclusive(&FRAGILE, || Pair::start(&postgres_kind(), &FRAGILE_POSTGRES, &search_kind(), &[]))
}

/// How its Postgres is started.
pub const FRAGILE_POSTGRES: [&str; 2] = ["--set", "wal_sender_timeout=5s"];

/// A pair with TLS, on which roles have passwords. Only some of the servers can do it.
pub fn secure() -> Exclusive {
    exclusive(&SECURE, || Pair::start("postgres-15", &["--tls"], "opensearch", &["--secure"]))
}

fn exclusive(pair: &'static Mutex<Option<Pair>>, start: impl FnOnce() -> Pair) -> Exclusive {
    let broken = pair.is_poisoned();
    pair.clear_poison();
    let mut guard = pair.lock().unwrap_or_else(PoisonError::into_inner);
    if broken {
        // A test failed and may have left a server stopped.
        *guard = None;
    }
    guard.get_or_insert_with(start);
    Exclusive(guard)
}

/// Stops everything.
pub fn stop() {
    drop(SHARED.write().unwrap_or_else(PoisonError::into_inner).take());
    for pair in [&FRAGILE, &SECURE] {
        drop(pair.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

impl Pair {
    fn start(postgres: &str, of_postgres: &[&str], search: &str, of_search: &[&str]) -> Self {
        std::thread::scope(|scope| {
            let search = scope.spawn(|| Server::start(search, of_search));
            let postgres = Server::start(postgres, of_postgres);
            let search = search.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            Pair { postgres, search }
        })
    }
}

const SLOTS: &str = "max_replication_slots=40";

pub struct Guard(RwLockReadGuard<'static, Option<Pair>>);

impl std::ops::Deref for Guard {
    type Target = Pair;

    fn deref(&self) -> &Pair {
        self.0.as_ref().expect("the shared servers run until the last test has ended")
    }
}

pub struct Exclusive(MutexGuard<'static, Option<Pair>>);

impl std::ops::Deref for Exclusive {
    type Target = Pair;

    fn deref(&self) -> &Pair {
        self.0.as_ref().expect("the pair was started")
    }
}

impl std::ops::DerefMut for Exclusive {
    fn deref_mut(&mut self) -> &mut Pair {
        self.0.as_mut().expect("the pair was started")
    }
}
