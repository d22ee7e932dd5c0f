//! Either server goes away and comes back while the connector runs.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Scenario;
use crate::support::case::Case;
use crate::support::connector::Connector;
use crate::support::fault::{End, Protocol, Proxy};
use crate::support::seed::Seed;
use crate::support::servers::Server;
use crate::support::shared;
use crate::support::workload::Workload;
use crate::support::{PATIENCE, wait_for};

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("search_stands_still_for_20_s", search_stands_still),
    Scenario::new("search_is_killed", search_is_killed),
    Scenario::new("postgres_is_stopped", postgres_is_stopped),
    Scenario::new("postgres_crashes_behind_a_longer_position", postgres_crashes_behind_a_longer_position),
    Scenario::long("connections_are_forgotten", connections_are_forgotten),
];

const PAUSE: Duration = Duration::from_millis(5);

fn begin(name: &str, pair: &shared::Pair, seed: &mut Seed) -> (Case, Connector, Workload) {
    let mut case = Case::on(name, &pair.postgres, &pair.search);
    Workload::prepare(&mut case);
    let connector = case.run();
    let workload = Workload::start(&case, seed.fork(), PAUSE);
    some_more(&workload);
    (case, connector, workload)
}

fn some_more(workload: &Workload) {
    let enough = workload.done() + 50;
    wait_for("the load", PATIENCE, || (workload.done() > enough).then_some(()));
}

/// Index and table are equal; the process is still the same one.
fn end(mut case: Case, mut connector: Connector, workload: Workload) {
    workload.stop();
    connector.must_run();
    case.check();
    connector.stop();
    case.compare();
}

/// The server ends a connection that says nothing for five seconds; keepalives must be answered all the time.
fn search_stands_still() {
    let mut seed = Seed::new();
    let pair = shared::fragile();
    let (mut case, mut connector, workload) = begin("still", &pair, &mut seed);
    let search = Pid::from_raw(pair.search.fact("pid").parse().unwrap());
    let reader = reader(&mut case);
    kill(search, Signal::SIGSTOP).unwrap();
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(500));
        connector.must_run();
        if self::reader(&mut case) != reader {
            kill(search, Signal::SIGCONT).unwrap();
            panic!("the walsender ended after {:?}", began.elapsed());
        }
    }
    kill(search, Signal::SIGCONT).unwrap();
    end(case, connector, workload);
}

/// The process of Postgres that reads the slot.
fn reader(case: &mut Case) -> Option<i32> {
    let query = "SELECT active_pid FROM pg_replication_slots WHERE slot_name = $1";
    case.sql.query_one(query, &[&case.name]).unwrap().get(0)
}

fn search_is_killed() {
    let mut seed = Seed::new();
    let mut pair = shared::fragile();
    let (case, connector, workload) = begin("searchkill", &pair, &mut seed);
    pair.search.kill9();
    some_more(&workload);
    pair.search.start_again(&[]);
    some_more(&workload);
    end(case, connector, workload);
}

fn postgres_is_stopped() {
    let mut seed = Seed::new();
    let mut pair = shared::fragile();
    let (mut case, connector, workload) = begin("pgstop", &pair, &mut seed);
    for mode in ["immediate", "fast"] {
        pair.postgres.stop(mode);
        pair.postgres.start_again(&shared::FRAGILE_POSTGRES);
        some_more(&workload);
        case.reconnect();
        case.check_positions();
    }
    end(case, connector, workload);
}

/// Something between us and a server has lost what it knew of our connections; nobody says so.
fn connections_are_forgotten() {
    let mut seed = Seed::new();
    let pair = shared::fragile();
    let mut case = Case::on("forgotten", &pair.postgres, &pair.search);
    Workload::prepare(&mut case);
    let port = |fact: &str| fact.rsplit(':').next().unwrap().parse().unwrap();
    let source =
        Proxy::start(Protocol::Bytes, port(pair.postgres.fact("port")), seed.rng.fork());
    let target = Proxy::start(Protocol::Http, port(pair.search.fact("url")), seed.rng.fork());
    case.through(&source, &target);
    let connector = case.run();
    let workload = Workload::start(&case, seed.fork(), PAUSE);
    some_more(&workload);
    for (proxy, silence) in [(&source, 60), (&target, 120)] {
        proxy.end(End::Forgotten);
        some_more(&workload);
        let written = case.written();
        wait_for("what was written meanwhile", Duration::from_secs(silence) + PATIENCE, || {
            (case.confirmed() >= written).then_some(())
        });
    }
    end(case, connector, workload);
}

/// Positions grow by a digit, which text would sort before; the crash forgets how far the slot was, so the log is compared.
fn postgres_crashes_behind_a_longer_position() {
    let pair = shared::pair();
    let options = ["--set", "checkpoint_timeout=1h", "--set", "max_wal_size=4GB"];
    let mut postgres = Server::start(&shared::postgres_kind(), &options);
    let mut case = Case::on("restart_digit", &postgres, &pair.search);
    case.table("item", "id int PRIMARY KEY");
    case.execute("CREATE TABLE fill (n int)");
    let connector = case.run();
    let longer = 0x1000_0000;
    let beyond = |case: &mut Case, position: u64| {
        assert!(case.written() < longer + (64 << 20));
        while case.written() < position {
            case.execute("INSERT INTO fill VALUES (1); SELECT pg_switch_wal()");
        }
    };
    beyond(&mut case, longer - (32 << 20));
    case.execute("INSERT INTO item VALUES (1)");
    assert!(case.written() < longer);
    case.settle();
    beyond(&mut case, longer);
    case.execute("INSERT INTO item VALUES (2)");
    case.settle();
    connector.kill();
    postgres.stop("immediate");
    postgres.start_again(&options);
    case.reconnect();
    assert!(case.confirmed() < longer - (32 << 20), "the slot knows where it was");
    let connector = case.start(&["run"]);
    case.check();
    connector.stop();
}
