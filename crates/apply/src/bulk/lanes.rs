//! Delivers a batch in several requests at once, which a target takes faster than one after the other.
//!
//! Each document belongs to one lane, by the hash of its index and id, so its operations stay in order and are never in two
//! requests. All lanes of a batch land before the next batch goes, so what is durable is whole batches, and a commit
//! boundary has nothing in flight.

use futures_util::future::try_join_all;

use super::batch::{Sealed, select};
use super::deliver::{Delivered, Guard, deliver};
use crate::Error;
use crate::target::Target;

/// A request smaller than this is not worth another one beside it, in bytes. Tests have small ones.
const WORTH_IT: usize = if cfg!(test) { 300 } else { 256 << 10 };

/// As [`deliver`], in up to `lanes` requests at once.
///
/// # Errors
/// Those of [`deliver`], of the first lane that fails; what the others have sent may be executed.
pub(crate) async fn deliver_in_lanes(
    target: &Target,
    guard: &impl Guard,
    lanes: usize,
    sealed: Sealed,
) -> Result<Delivered, Error> {
    let lanes = lanes.min(sealed.body.len().div_ceil(WORTH_IT));
    if lanes < 2 {
        return deliver(target, guard, &sealed).await;
    }
    let parts = split(&sealed, lanes);
    drop(sealed);
    let mut delivered = Delivered::default();
    for part in try_join_all(parts.iter().map(|part| deliver(target, guard, part))).await? {
        delivered.add(part);
    }
    Ok(delivered)
}

fn split(sealed: &Sealed, lanes: usize) -> Vec<Sealed> {
    let lane_of = |hash: u64| usize::try_from(hash >> 32).unwrap_or_default() % lanes;
    (0..lanes)
        .map(|lane| {
            let (body, ops) = select(&sealed.body, &sealed.ops, |_, op| lane_of(op.hash) == lane);
            Sealed { body, ops, ..*sealed }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use change::{CommitLsn, Lsn};

    use super::super::batch::{Batch, Limits, Origin, Write};
    use super::*;
    use crate::version::Version;

    #[test]
    fn every_document_has_one_lane_and_keeps_its_order() {
        let mut batch = Batch::new(Limits { bytes: 1 << 20, rows: 10_000 });
        for commit in 1..=300_u64 {
            let version = Version::streamed(CommitLsn(Lsn::new(commit * 8)), 0);
            let id = (commit % 50).to_string();
            let (id, origin) = (id.as_bytes(), Origin::Live);
            let Ok(()) =
                batch.index(&Write { index: 0, index_name: "p-g1", id, version, origin }, |out| {
                    out.extend_from_slice(b"{}");
                    Ok::<_, Infallible>(())
                });
            batch.commit(Lsn::new(commit * 8 + 4));
        }
        let sealed = batch.seal(true).unwrap();
        let parts = split(&sealed, 3);
        assert!(parts.iter().all(|part| part.ops.len() > sealed.ops.len() / 10));
        let bytes = parts.iter().map(|part| part.body.len()).sum::<usize>();
        assert_eq!(bytes, sealed.body.len());
        for (at, part) in parts.iter().enumerate() {
            assert!(part.ops.windows(2).all(|two| two[0].version < two[1].version));
            let elsewhere = parts.iter().enumerate().filter(|(other, _)| *other != at);
            let others: Vec<u64> =
                elsewhere.flat_map(|(_, part)| part.ops.iter().map(|op| op.hash)).collect();
            assert!(part.ops.iter().all(|op| !others.contains(&op.hash)));
        }
    }
}
