//! From the answer to a commit until GET finds the document, beside the time of the same write by a client of its own.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use postgres::{Client, NoTls};

use super::connector::Connector;
use super::http;

/// Longer than a consumer looks on before it sleeps: it has to be notified.
const LONG: Duration = Duration::from_millis(500);
/// Shorter: it has not fallen asleep yet.
const SHORT: Duration = Duration::from_millis(50);
const LOOK_EVERY: Duration = Duration::from_micros(500);
/// Rows before those of the measurement: the servers warm up with them.
const WARM_UP: usize = 300;

/// Prints it.
pub fn measure(binary: &str, postgres: &str, search: &str, commits: usize) {
    let mut client = Client::connect(postgres, NoTls).unwrap();
    client.batch_execute("TRUNCATE item").unwrap();
    let connector = Connector { binary, postgres, target: search, name: "latency", order: None };
    let running = connector.run();
    let mut ids = 1_u64..;
    let mut stream = http::connect(search);
    let mut some = |pause: Duration, many: usize| {
        let mut took: Vec<Duration> = ids
            .by_ref()
            .take(many)
            .map(|id| {
                std::thread::sleep(pause);
                one(&mut client, &mut stream, id)
            })
            .collect();
        took.sort();
        took
    };
    some(Duration::ZERO, WARM_UP);
    let (asleep, awake) = (some(LONG, commits), some(SHORT, commits));
    print("commit to GET, notified", &asleep);
    print("commit to GET, awake", &awake);
    print("the same write alone", &floor(&mut stream, commits));
    connector.tear_down(running);
}

fn one(client: &mut Client, stream: &mut TcpStream, id: u64) -> Duration {
    let sql = format!(
        "INSERT INTO item VALUES ({id}, 'a name', 'a description', 1.5, true, now(), 4.25)"
    );
    client.batch_execute(&sql).unwrap();
    let committed = Instant::now();
    while !http::exchange(stream, "GET", &format!("/latency/_doc/{id}"), b"")
        .first
        .contains(" 200 ")
    {
        std::thread::sleep(LOOK_EVERY);
    }
    committed.elapsed()
}

/// Bulk requests of one document, at the slower pace.
fn floor(stream: &mut TcpStream, many: usize) -> Vec<Duration> {
    let write = |id| {
        std::thread::sleep(SHORT);
        let body = format!(
            "{{\"index\":{{\"_index\":\"floor\",\"_id\":\"{id}\",\"version\":1,\"version_type\":\"external\"}}}}\n\
             {{\"id\":{id},\"name\":\"a name\",\"description\":\"a description\"}}\n"
        );
        let began = Instant::now();
        http::exchange(stream, "POST", "/_bulk", body.as_bytes());
        began.elapsed()
    };
    let mut took: Vec<Duration> = (0..many).map(write).collect();
    took.sort();
    took
}

fn print(what: &str, took: &[Duration]) {
    let at =
        |share: usize| took[(took.len() * share / 100).min(took.len() - 1)].as_secs_f64() * 1e3;
    println!("{what:<28} p50 {:.1} ms, p90 {:.1} ms, of {}", at(50), at(90), took.len());
}
