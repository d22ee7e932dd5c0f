//! A cluster of three nodes, one of which stands still for a while with a request in its hands.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;

use super::Scenario;
use crate::support::case::Case;
use crate::support::cluster::Cluster;
use crate::support::fault::{End, Protocol, Proxy};
use crate::support::servers::Server;
use crate::support::shared::postgres_kind;
use crate::support::{PATIENCE, wait_for};

pub const SCENARIOS: &[Scenario] =
    &[Scenario::long("a_node_executes_a_request_after_95_s", a_node_executes_a_request_after_95_s)];

/// Longer than a tombstone is kept.
const STANDS_STILL: Duration = Duration::from_secs(95);

/// The connector asks the node that stands still; it cuts the connection and asks another one, and then the row is deleted.
fn a_node_executes_a_request_after_95_s() {
    let (cluster, postgres) = (Cluster::start(), Server::start(&postgres_kind(), &[]));
    let mut case = Case::on("nodes", &postgres, &cluster.nodes[0]);
    let proxy = Proxy::start(Protocol::Http, cluster.port(2), fastrand::Rng::with_seed(1));
    let urls = [proxy.port, cluster.port(1)].map(|port| format!("http://127.0.0.1:{port}"));
    case.config["target"]["url"] = json!(urls);
    if let Ok(limit) = std::env::var("WAL2ES_TEST_ZOMBIE_LIMIT") {
        case.config["pipeline"] = json!({ "zombie_limit": limit });
    }
    // The node that will stand still holds no shard: it only has to pass on what it was asked.
    let settings = json!({"routing.allocation.exclude._name": "n2", "number_of_replicas": 1});
    case.table("item", "id int PRIMARY KEY, name text");
    case.config["indexes"][0]["settings"] = settings;
    case.execute("INSERT INTO item VALUES (0, 'before')");
    let mut connector = case.run();

    // Just after a write the next one is sent without a look at the index before.
    let alias = case.alias("item");
    case.execute("INSERT INTO item VALUES (2, 'before')");
    wait_for("the row before", PATIENCE, || case.search.find(&format!("{alias}/_doc/2")));
    cluster.signal(2, Signal::SIGSTOP);
    let stopped = Instant::now();
    case.execute("INSERT INTO item VALUES (1, 'back from the dead')");
    // It has the request by now; nothing would tell us.
    std::thread::sleep(Duration::from_secs(3));
    proxy.end(End::Cut);
    wait_for("the row through another node", PATIENCE, || {
        connector.must_run();
        case.search.find(&format!("{alias}/_doc/1"))
    });
    assert!(connector.log().contains("did not take a batch"), "{}", connector.log());
    case.execute("DELETE FROM item WHERE id = 1");
    wait_for("the delete", PATIENCE, || {
        case.search.find(&format!("{alias}/_doc/1")).is_none().then_some(())
    });
    std::thread::sleep(STANDS_STILL.saturating_sub(stopped.elapsed()));
    cluster.signal(2, Signal::SIGCONT);
    // Long enough for the node to do what it was asked, and for the next round of deletes.
    std::thread::sleep(Duration::from_secs(40));
    connector.must_run();
    // Nobody else would show it.
    case.search.expect("POST", &format!("{alias}/_refresh"), None);
    case.check();
    assert_eq!(case.search.count(&alias), Some(2));
    println!("it stood still for {:?}", stopped.elapsed());
    connector.stop();
}
