//! What a search server takes at most: the very requests of a load, sent by clients that do nothing else.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::http;
use super::sink::Sink;

const PATH: &str = "/_bulk?filter_path=errors,items.*.status,items.*.result&refresh=false";

/// Sends what the sink has kept into an index made in the same way, and refreshes it.
pub fn measure(search: &str, sink: &Sink, connections: usize) -> Duration {
    let (index, made_by) = sink.index();
    let path = format!("/{index}");
    http::request(search, "DELETE", &path, "");
    let made = http::request(search, "PUT", &path, &made_by);
    assert!(made.first.contains(" 200 "), "{}", String::from_utf8_lossy(&made.body));
    http::request(
        search,
        "PUT",
        &format!("{path}/_settings"),
        r#"{"index.number_of_replicas": 0}"#,
    );
    let bodies = sink.bodies();
    let next = AtomicUsize::new(0);
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..connections {
            scope.spawn(|| {
                let mut stream = http::connect(search);
                while let Some(body) = bodies.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let answer = http::exchange(&mut stream, "POST", PATH, body);
                    assert!(answer.body.starts_with(b"{\"errors\":false"), "{}", answer.first);
                }
            });
        }
    });
    http::request(search, "POST", &format!("{path}/_refresh"), "");
    let took = began.elapsed();
    http::request(search, "DELETE", &path, "");
    took
}
