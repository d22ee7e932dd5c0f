//! Three nodes of OpenSearch that are one cluster.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::servers::Server;

/// Nodes `n0`, `n1` and `n2`, which end with the test.
pub struct Cluster {
    pub nodes: Vec<Server>,
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
        Cluster { nodes }
    }

    /// SIGSTOP, SIGCONT.
    pub fn signal(&self, node: usize, signal: Signal) {
        kill(Pid::from_raw(self.nodes[node].fact("pid").parse().unwrap()), signal).unwrap();
    }

    pub fn port(&self, node: usize) -> u16 {
        self.nodes[node].fact("port").parse().unwrap()
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

fn node(at: usize, ports: &[u16]) -> Server {
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
    let options: Vec<&str> = settings.iter().flat_map(|one| ["--set", one.as_str()]).collect();
    Server::start("opensearch", &options)
}

/// Below the ports that the kernel gives to clients.
fn free_port() -> u16 {
    let free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    std::iter::repeat_with(|| fastrand::u16(15_000..32_000)).find(free).unwrap()
}
