//! The build of indices that are missing, beside the stream of those that are there.
//!
//! It runs as a task with connections of its own. When it is done it has changed the state document, which the stream must
//! not write any more: everything is read again then.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::beside::{self, Run, Scope};
use super::prepare::Context;
use crate::failure::Failure;

/// See the module. There may be nothing to build.
pub(super) struct Building {
    task: Option<JoinHandle<Result<(), Failure>>>,
    stop: CancellationToken,
    waits: Arc<AtomicBool>,
}

impl Building {
    /// Begins to build the indices of these aliases.
    pub(super) fn of(context: &Context, aliases: &[String]) -> Self {
        let stop = context.stop.child_token();
        let waits = Arc::new(AtomicBool::new(false));
        let task = (!aliases.is_empty()).then(|| {
            tracing::info!(
                indexes = aliases.join(", "),
                "new tables: building their indices beside the stream"
            );
            let (config, stop) = (context.config.clone(), stop.clone());
            let scope = Scope::Missing(aliases.to_vec());
            let run = Run { monitor: context.monitor.clone(), waits: waits.clone() };
            tokio::spawn(async move { beside::build_until_done(config, scope, stop, run).await })
        });
        Building { task, stop, waits }
    }

    /// Something is being built.
    pub(super) fn is_under_way(&self) -> bool {
        self.task.is_some()
    }

    /// Nothing more is to be taken of the stream until it is built.
    pub(super) fn has_us_wait(&self) -> bool {
        self.waits.load(Ordering::Relaxed)
    }

    /// Comes back when it is built; never if there is nothing to build. May be dropped and called again.
    ///
    /// # Errors
    /// It can't be built.
    pub(super) async fn done(&mut self) -> Result<(), Failure> {
        let Some(task) = &mut self.task else { return std::future::pending().await };
        let built = task.await;
        self.task = None;
        built.map_err(|error| Failure::stop(format!("the build failed: {error}"), "report this"))?
    }

    /// Ends what is under way, which removes what it has made.
    pub(super) async fn end(mut self) {
        self.stop.cancel();
        if let Some(task) = self.task.take() {
            let _ = tokio::time::timeout(super::DRAIN, task).await;
        }
    }
}

impl Drop for Building {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}
