//! What `run` tells over HTTP, and to whom.

use serde_json::{Value, json};

use super::Scenario;
use crate::support::case::Case;
use crate::support::http::{get, port, send};
use crate::support::{PATIENCE, held, wait_for};

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("from_the_copy_to_the_stream", from_the_copy_to_the_stream),
    Scenario::new("answers_without_servers", answers_without_servers),
    Scenario::new("beyond_loopback", beyond_loopback),
    Scenario::new("refused_before_anything_is_done", refused_before_anything_is_done),
];

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

fn case(name: &str) -> Case {
    let mut case = Case::shared(name);
    case.table("item", "id int PRIMARY KEY, name text");
    case.execute("INSERT INTO item SELECT n, 'x' FROM generate_series(1, 5000) n");
    case
}

fn from_the_copy_to_the_stream() {
    let mut case = case("http");
    case.config["pipeline"] = json!({"batch_rows": 100});
    case.config["http"] = json!({"ready_lag": "1s"});
    let mut connector = held::start(&mut case, "item", &["--listen", "localhost:0"]);
    let port = port(&mut connector);
    assert_eq!(get(port, "/livez").status, 200);
    let ready = get(port, "/readyz");
    assert_eq!((ready.status, ready.body.as_str()), (503, "not ready: copying\n"));
    let status = wait_for("the copy", PATIENCE, || {
        let status: Value = serde_json::from_str(&get(port, "/status").body).unwrap();
        status["progress"]["tables"].is_array().then_some(status)
    });
    assert_eq!(status["state"], "copying");
    assert_eq!(status["source"]["database"], "http");
    assert!(get(port, "/metrics").body.contains("wal2es_copied_rows "));
    assert!(!get(port, "/metrics").body.contains("wal2es_lag_"));

    held::release(&case, "item");
    wait_for("readiness", PATIENCE, || (get(port, "/readyz").status == 200).then_some(()));
    case.settle();
    let status: Value = serde_json::from_str(&get(port, "/status").body).unwrap();
    assert_eq!(status["state"], "streaming");
    assert!(status["lag_bytes"].is_u64() && status["progress"].is_null(), "{status}");
    assert_eq!(status["indexes"][0]["name"], case.alias("item"));
    let metrics = get(port, "/metrics");
    for name in ["wal2es_lag_bytes", "wal2es_lag_seconds", "wal2es_slot_wal_bytes", "wal2es_superseded_total"] {
        assert!(metrics.body.contains(&format!("\n{name} ")), "{name}: {}", metrics.body);
    }
    let page = get(port, "/");
    assert!(page.head.contains("text/html") && page.head.contains("content-security-policy"));
    assert!(page.body.contains(&case.alias("item")));
    whoever_asks(port);
    behind(&mut case, port);
    case.check();
    connector.stop();
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
}

/// A row that is not in the index keeps getting older.
fn behind(case: &mut Case, port: u16) {
    held::hold(case, "item");
    case.execute("INSERT INTO item VALUES (0, 'late')");
    let late = wait_for("the lag", PATIENCE, || Some(get(port, "/readyz")).filter(|ready| ready.status == 503));
    assert!(late.body.contains(" s behind, "), "{}", late.body);
    let status: Value = serde_json::from_str(&get(port, "/status").body).unwrap();
    assert!(status["lag_seconds"].as_f64() > Some(1.0) && status["lag_bytes"].as_u64() > Some(0), "{status}");
    held::release(case, "item");
    wait_for("readiness", PATIENCE, || (get(port, "/readyz").status == 200).then_some(()));
}

fn whoever_asks(port: u16) {
    assert_eq!(get(port, "/wait").status, 501);
    assert_eq!(get(port, "/nothing").status, 404);
    let with_host = |host: &str| send(port, &format!("GET /status HTTP/1.1\r\n{host}\r\n"));
    assert_eq!(with_host(&format!("Host: 127.0.0.1:{port}\r\n")).status, 200);
    for host in ["Host: evil.example\r\n", "", "Host: localhost\r\nHost: evil.example\r\n"] {
        let refused = with_host(host);
        assert_eq!(refused.status, 403, "{host}");
        assert!(!refused.body.contains("state"), "{}", refused.body);
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let refused = send(port, &format!("{method} /status HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        assert_eq!(refused.status, 405, "{method}");
        assert!(refused.head.contains("allow: get, head"), "{}", refused.head);
    }
    let head = send(port, "HEAD /status HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    let long = format!("GET /status HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(15_000));
    assert_eq!(send(port, &long).status, 200);
    let many = format!("GET /status HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "X: x\r\n".repeat(100));
    assert_eq!(send(port, &many).status, 431);
}

/// Both servers are away: it starts, answers, and ends as it would without.
fn answers_without_servers() {
    let mut case = case("httpalone");
    // Takes connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    case.config["source"]["url"] = format!("postgres://u@{address}/x?sslmode=disable").into();
    case.config["http"] = json!({"listen": "127.0.0.1:0"});
    let mut connector = case.start(&["run"]);
    let port = port(&mut connector);
    assert_eq!(get(port, "/livez").body, "alive\n");
    assert_eq!(get(port, "/readyz").body, "not ready: starting\n");
    let status: Value = serde_json::from_str(&get(port, "/status").body).unwrap();
    assert_eq!((&status["state"], &status["source"]), (&json!("starting"), &json!(null)));
    // Somebody who never ends the request does not keep it from stopping.
    let _open = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    connector.stop();
}

fn beyond_loopback() {
    let mut case = case("httptoken");
    case.config["http"] = json!({"listen": "0.0.0.0:0", "token_file": "token"});
    std::fs::write(case.dir.path().join("token"), format!("{TOKEN}\n")).unwrap();
    let mut connector = case.start(&["run", "--setup"]);
    let port = port(&mut connector);
    let with = |path: &str, header: &str| {
        send(port, &format!("GET {path} HTTP/1.1\r\nHost: any.example\r\n{header}\r\n"))
    };
    for path in ["/", "/status", "/wait", "/nothing"] {
        let refused = with(path, "");
        assert_eq!(refused.status, 401, "{path}");
        assert!(refused.head.contains("www-authenticate: bearer"), "{}", refused.head);
        assert_eq!(with(path, "Authorization: Bearer 0123456789abcdef\r\n").status, 401, "{path}");
    }
    assert_eq!(with("/status", &format!("Authorization: Bearer {TOKEN}\r\n")).status, 200);
    for path in ["/livez", "/metrics"] {
        assert_eq!(with(path, "").status, 200, "{path}");
    }
    wait_for("readiness", PATIENCE, || (with("/readyz", "").status == 200).then_some(()));
    connector.stop();
}

fn refused_before_anything_is_done() {
    let mut case = case("httpbad");
    case.config["http"] = json!({"listen": "0.0.0.0:0"});
    case.command(&["run", "--setup"]).expect(2, &["0.0.0.0:0", "http.token_file"]);
    case.config["http"] = json!({"listen": "0.0.0.0:0", "token_file": "absent"});
    case.command(&["run", "--setup"]).expect(2, &["http.token_file", "absent"]);
    case.config["http"] = json!({"listen": "nonsense"});
    case.command(&["run", "--setup"]).expect(2, &["http.listen", "nonsense"]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    case.command(&["run", "--setup", "--listen", &address]).expect(1, &["http.listen", &address]);
    case.expect_nothing_made();
}
