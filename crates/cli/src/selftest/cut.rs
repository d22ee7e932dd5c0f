//! A proxy before the target whose connections can be cut, wherever they are.

use std::sync::Arc;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::config::Texts;
use crate::failure::Failure;

/// Runs until it is dropped.
pub(super) struct Cut {
    url: String,
    /// How often everything was cut.
    cuts: Arc<watch::Sender<u64>>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Cut {
    /// Before the first of these nodes; none before one that is reached over TLS, whose certificate names another host.
    pub(super) async fn before(urls: &Texts) -> Result<Option<Self>, Failure> {
        let Some(authority) = urls.first().and_then(|url| url.strip_prefix("http://")) else {
            return Ok(None);
        };
        let mut node = authority.trim_end_matches('/').to_owned();
        if node.rsplit(']').next().is_some_and(|port| !port.contains(':')) {
            node.push_str(":9200");
        }
        let failed = |error: std::io::Error| {
            Failure::retry(
                format!("no port for the proxy: {error}"),
                "look at the limits (ulimit -a)",
            )
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(failed)?;
        let url = format!("http://{}", listener.local_addr().map_err(failed)?);
        let cuts = Arc::new(watch::Sender::new(0));
        let accepting = tokio::spawn(accept(listener, node, cuts.clone()));
        Ok(Some(Cut { url, cuts, accepting }))
    }

    /// Where it listens.
    pub(super) fn url(&self) -> String {
        self.url.clone()
    }

    /// Ends all connections, in whatever they are doing.
    pub(super) fn all(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, node: String, cuts: Arc<watch::Sender<u64>>) {
    while let Ok((mut client, _)) = listener.accept().await {
        let (node, mut cut) = (node.clone(), cuts.subscribe());
        tokio::spawn(async move {
            let Ok(mut server) = TcpStream::connect(&node).await else { return };
            tokio::select! {
                _ = copy_bidirectional(&mut client, &mut server) => {}
                _ = cut.changed() => {}
            }
        });
    }
}
