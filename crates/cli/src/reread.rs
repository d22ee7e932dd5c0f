//! Has the connector read its state again, whoever runs it. It refreshes all of its indices then, at the end of a commit as
//! always: so what another command has written to them is shown without a refresh in the middle of a transaction.

use apply::Store;

use crate::failure::Failure;
use crate::position;
use crate::source::Source;

/// How often the state is changed again when the connector was faster.
const ATTEMPTS: u32 = 20;

/// See the module.
///
/// # Errors
/// The servers do not answer, or the connector is faster each time.
pub(crate) async fn have_state_reread(store: &mut Store, source: &Source) -> Result<(), Failure> {
    for _ in 0..ATTEMPTS {
        let Some(state) = store.load().await? else { break };
        if store.change(&state).await? {
            // A connector that has nothing to save does not look at the state.
            return position::nudge(&source.client).await;
        }
    }
    Err(Failure::retry("the connector keeps changing the state", "try again"))
}
