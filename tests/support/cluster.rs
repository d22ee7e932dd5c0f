//! Three nodes of OpenSearch that are one cluster.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use serde_json::{Value, json};

use super::search::Search;
use super::servers::Server;
use super::wait_for;

/// For three JVMs on a busy machine.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(240);

/// Nodes `n0`, `n1` and `n2`, which end with the test.
pub struct Cluster {
    pub nodes: Vec<Server>,
    ports: Vec<u16>,
}

impl Cluster {
    /// The first node begins the cluster and the others join it.
    pub fn start() -> Self {
        let ports: Vec<u16> = (0..3).map(|_| free_port()).collect();
        let first = node(0, &ports);
        let mut nodes = std::thread::scope(|scope| {
            let ports = &ports;
            let others: Vec<_> = (1..3).map(|at| scope.spawn(move || node(at, ports))).collect();
            others.into_iter().map(|one| one.join().unwrap()).collect::<Vec<_>>()
        });
        nodes.insert(0, first);
        Cluster { nodes, ports }
    }

    /// SIGSTOP, SIGCONT.
    pub fn signal(&self, node: usize, signal: Signal) {
        kill(Pid::from_raw(self.nodes[node].fact("pid").parse().unwrap()), signal).unwrap();
    }

    pub fn port(&self, node: usize) -> u16 {
        self.nodes[node].fact("port").parse().unwrap()
    }

    /// The addresses of all nodes.
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.fact("url").to_owned()).collect()
    }

    /// Starts a node that was killed.
    pub fn start_again(&mut self, node: usize) {
        let settings = settings(node, &self.ports);
        self.nodes[node].start_again(&flags(&settings));
    }

    /// Every copy of every shard is where it belongs, as `asked` knows.
    pub fn wait_until_whole(&self, asked: usize) {
        let search = Search::of(&self.nodes[asked]);
        let path = "_cluster/health?wait_for_nodes=3&wait_for_status=green&timeout=5s\
                    &wait_for_no_initializing_shards=true";
        wait_for("a green cluster of three nodes", PATIENCE, || {
            let (status, text) = search.try_request("GET", path, None).ok()?;
            (status == 200 && text.contains("\"timed_out\":false")).then_some(())
        });
    }

    /// The node that has the primary of the first shard of `index`.
    pub fn primary_of(&self, search: &Search, index: &str) -> usize {
        let copies = copies(search, index);
        let primary = copies.iter().find(|copy| copy["prirep"] == "p").unwrap();
        primary["node"].as_str().unwrap().trim_start_matches('n').parse().unwrap()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // One that stands still would not stop.
        for node in &self.nodes {
            let _ = kill(Pid::from_raw(node.fact("pid").parse().unwrap()), Signal::SIGCONT);
        }
    }
}

/// Each copy of the shards of `index` that is in use, with `prirep`, `node` and `id` of the node.
pub fn copies(search: &Search, index: &str) -> Vec<Value> {
    let path = format!("_cat/shards/{index}?format=json&h=prirep,state,node,id");
    let found = search.json("GET", &path, None);
    let started = |copy: &&Value| copy["state"] == "STARTED";
    found.as_array().unwrap().iter().filter(started).cloned().collect()
}

/// Every document of one copy, with version and sequence number.
pub fn documents_of(search: &Search, index: &str, node: &str) -> Value {
    let path = format!("{index}/_search?preference=_only_nodes:{node}&request_cache=false");
    let query = json!({"size": 10_000, "version": true, "seq_no_primary_term": true,
        "track_total_hits": true, "sort": ["_seq_no"]});
    let found = search.json("POST", &path, Some(&query));
    let hits = found["hits"]["hits"].as_array().unwrap();
    assert_eq!(found["hits"]["total"]["value"], hits.len(), "more than a page");
    let part = |hit: &Value| json!([hit["_id"], hit["_version"], hit["_seq_no"], hit["_source"]]);
    hits.iter().map(part).collect()
}

fn node(at: usize, ports: &[u16]) -> Server {
    Server::start("opensearch", &flags(&settings(at, ports)))
}

fn settings(at: usize, ports: &[u16]) -> Vec<String> {
    let hosts: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    let mut settings = vec![
        format!("node.name=n{at}"),
        format!("transport.port={}", ports[at]),
        format!("discovery.seed_hosts={}", hosts.join(",")),
        "discovery.type=zen".to_owned(),
    ];
    if at == 0 {
        settings.push("cluster.initial_cluster_manager_nodes=n0".to_owned());
    }
    settings
}

fn flags(settings: &[String]) -> Vec<&str> {
    settings.iter().flat_map(|one| ["--set", one.as_str()]).collect()
}

/// Below the ports that the kernel gives to clients.
fn free_port() -> u16 {
    let free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    std::iter::repeat_with(|| fastrand::u16(15_000..32_000)).find(free).unwrap()
}
