//! Three search nodes and one replica: a node that is killed takes nothing with it.

use std::time::Duration;

use serde_json::{Value, json};

use super::Scenario;
use crate::support::case::Case;
use crate::support::cluster::{Cluster, copies, documents_of};
use crate::support::search::Search;
use crate::support::seed::Seed;
use crate::support::{shared, spoil};
use crate::support::workload::{TABLES, Workload};
use crate::support::{PATIENCE, wait_for};

pub const SCENARIOS: &[Scenario] = &[
    Scenario::long("a_node_is_killed", a_node_is_killed),
    Scenario::long("a_copy_that_differs_is_named", a_copy_that_differs_is_named),
];

fn a_copy_that_differs_is_named() {
    let pair = shared::pair();
    let cluster = Cluster::start();
    cluster.wait_until_whole(0);
    let mut case = Case::on("copies", &pair.postgres, &cluster.nodes[0]);
    case.table("item", "id int PRIMARY KEY, name text");
    case.config["indexes"][0]["settings"] = json!({"number_of_replicas": 1});
    case.execute("INSERT INTO item SELECT n, 'row ' || n FROM generate_series(1, 50) n; INSERT INTO item VALUES (51, 'planted-000')");
    let connector = case.run();
    cluster.wait_until_whole(0);
    case.command(&["verify", "--copies"]).expect_success();
    let both = copies(&case.search, &case.alias("item"));
    let node = |kind: &str| {
        let found = both.iter().find(|copy| copy["prirep"] == kind).unwrap();
        found["id"].as_str().unwrap().to_owned()
    };
    for rotten in ["r", "p"] {
        let port = spoil::start(cluster.port(0), &node(rotten), "planted-000", "planted-999");
        case.config["target"]["url"] = json!([format!("http://127.0.0.1:{port}")]);
        let ended = case.command(&["verify", "--copies", "--json"]).expect(1, &["index and table differ", "number_of_replicas"]);
        let told: Value = serde_json::from_str(&ended.stdout).unwrap();
        let expected = json!([{"id": "51", "shard": 0, "nodes": [node("p"), node("r")]}]);
        assert_eq!(told["indexes"][0]["copies"]["differences"], expected, "{told}");
        assert_eq!(told["indexes"][0]["differences"], json!([]), "{told}");
    }
    case.config["target"]["url"] = json!(cluster.urls());
    case.command(&["verify", "--copies"]).expect_success();
    connector.stop();
}

fn a_node_is_killed() {
    let mut seed = Seed::new();
    let pair = shared::pair();
    let mut cluster = Cluster::start();
    cluster.wait_until_whole(0);
    let mut case = Case::on("cluster", &pair.postgres, &cluster.nodes[0]);
    case.config["target"]["url"] = json!(cluster.urls());
    Workload::prepare(&mut case);
    for index in case.config["indexes"].as_array_mut().unwrap() {
        index["settings"] = json!({"number_of_replicas": 1});
    }
    let mut connector = case.run();
    cluster.wait_until_whole(0);
    let workload = Workload::start(&case, seed.fork(), Duration::from_millis(5));
    some_more(&workload);
    for _ in 0..2 {
        let killed = cluster.primary_of(&case.search, &case.alias("kv"));
        cluster.nodes[killed].kill9();
        let living = (killed + 1) % 3;
        case.search = Search::of(&cluster.nodes[living]);
        some_more(&workload);
        {
            // What is left has everything.
            let _quiet = workload.pause();
            case.check();
        }
        cluster.start_again(killed);
        some_more(&workload);
        cluster.wait_until_whole(living);
    }
    workload.stop();
    connector.must_run();
    case.check();
    for (table, _) in TABLES {
        copies_are_equal(&case, &case.alias(table));
    }
    connector.stop();
}

fn some_more(workload: &Workload) {
    let enough = workload.done() + 50;
    wait_for("the load", PATIENCE, || (workload.done() > enough).then_some(()));
}

/// Every document of every copy, to the sequence number.
fn copies_are_equal(case: &Case, alias: &str) {
    case.search.expect("POST", &format!("{alias}/_refresh"), None);
    let copies = copies(&case.search, alias);
    assert_eq!(copies.len(), 2, "{copies:?}");
    let [one, other] = [0, 1].map(|at| {
        documents_of(&case.search, alias, copies[at]["id"].as_str().unwrap())
    });
    assert_eq!(one, other, "two copies of {alias}");
}
