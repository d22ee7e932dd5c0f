//! Single documents, written anew as the rows at a later position of the log have them.
//!
//! They carry the version of a copy at that position `at`. Everything that the stream has brought by then is older and is
//! replaced; everything that commits from there on is newer, whether it is there already or comes later, and wins. The
//! index must show all that commits before `at`: then no request with an older change is on its way but one that was
//! given up, and that one comes too late.

use std::sync::Arc;

use change::Lsn;
use hyper::StatusCode;

use crate::backoff::Backoff;
use crate::bulk::{Batch, Limits, Origin, Write, answer, current_version};
use crate::target::{Target, explain, shorten};
use crate::version::Version;
use crate::{Error, IndexState};

/// How often a request is sent that gets no answer.
const PATIENCE: u32 = 24;

/// What became of one document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repaired {
    /// It is as the row is.
    Done,
    /// The index has a newer version, by the stream or by somebody else.
    Newer(Version),
    /// The target does not take it, and says why.
    Refused(String),
}

/// Repairs documents of one index.
pub struct Repair {
    target: Arc<Target>,
    index: IndexState,
    at: Lsn,
    limits: Limits,
    batch: Batch,
    ids: Vec<Box<[u8]>>,
}

impl Repair {
    /// Of `index`, which shows everything that commits before `at`.
    pub fn new(target: Arc<Target>, index: IndexState, limits: Limits, at: Lsn) -> Self {
        let (batch, ids) = (Batch::new(limits), Vec::new());
        Repair { target, index, at, limits, batch, ids }
    }

    /// The document is to be this one.
    pub fn index(&mut self, id: &[u8], source: &[u8]) {
        let written: Result<(), std::convert::Infallible> =
            self.batch.index(&write(&self.index.index, self.at, id), |out| {
                out.extend_from_slice(source);
                Ok(())
            });
        let Ok(()) = written;
        self.sent_to(id);
    }

    /// The document is not to be there.
    pub fn delete(&mut self, id: &[u8]) {
        self.batch.delete(&write(&self.index.index, self.at, id));
        self.sent_to(id);
    }

    fn sent_to(&mut self, id: &[u8]) {
        self.batch.commit(self.at);
        self.ids.push(id.into());
    }

    /// It is time to [`Repair::send`].
    pub fn is_full(&self) -> bool {
        self.batch.is_full()
    }

    /// Sends what there is, and tells what became of each document.
    ///
    /// # Errors
    /// The index is not there any more, the target does not answer or refuses the request as a whole.
    pub async fn send(&mut self) -> Result<Vec<(Box<[u8]>, Repaired)>, Error> {
        let ids = std::mem::take(&mut self.ids);
        let mut batch = std::mem::replace(&mut self.batch, Batch::new(self.limits));
        let Some(sealed) = batch.seal(true) else { return Ok(Vec::new()) };
        let mut backoff = Backoff::default();
        loop {
            self.must_be_there().await?;
            let why = match self.target.bulk(sealed.body.clone()).await {
                Ok(answer) if answer.status == StatusCode::OK => {
                    match answer::parse(&answer.body, ids.len()) {
                        Ok(items) => match self.outcomes(&items) {
                            Some(outcomes) => return Ok(ids.into_iter().zip(outcomes).collect()),
                            None => "the target is busy".to_owned(),
                        },
                        Err(why) => why,
                    }
                }
                Ok(answer) => {
                    format!("the target answers {}{}", answer.status, explain(&answer.body))
                }
                Err(error) => error.to_string(),
            };
            if backoff.attempts() >= PATIENCE {
                let text = format!("documents of {} could not be written: {why}", self.index.index);
                return Err(Error::transient(text, "look into the search server's log"));
            }
            tokio::time::sleep(backoff.next()).await;
        }
    }

    /// None when some may be taken at another time.
    fn outcomes(&self, items: &[answer::Item<'_>]) -> Option<Vec<Repaired>> {
        items.iter().map(|item| outcome(self.at, item)).collect()
    }

    /// A write to an index that is gone would make it anew.
    async fn must_be_there(&self) -> Result<(), Error> {
        let IndexState { index, uuid, .. } = &self.index;
        let found = self.target.uuids(&[index]).await?;
        if found.get(index) == Some(uuid) {
            return Ok(());
        }
        Err(Error::transient(format!("the index {index} is gone"), "start again"))
    }
}

fn write<'a>(index_name: &'a str, at: Lsn, id: &'a [u8]) -> Write<'a> {
    Write { index: 0, index_name, id, version: Version::copied(at), origin: Origin::Live }
}

fn outcome(at: Lsn, item: &answer::Item<'_>) -> Option<Repaired> {
    match (item.status, &item.error) {
        (200 | 201 | 404, None) => Some(Repaired::Done),
        (409, Some(error)) => Some(match current_version(&error.reason) {
            // This very write, the answer to which was lost.
            Some(current) if current == Version::copied(at) => Repaired::Done,
            Some(current) => Repaired::Newer(current),
            None => Repaired::Refused(shorten(&error.reason).to_owned()),
        }),
        (403 | 408 | 429 | 500.., _) => None,
        (_, Some(error)) => Some(Repaired::Refused(shorten(&error.reason).to_owned())),
        (status, None) => Some(Repaired::Refused(status.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bulk::answer::ItemError;

    const AT: Lsn = Lsn::new(800);

    fn failed(status: u16, reason: String) -> answer::Item<'static> {
        let error = ItemError { kind: "k".into(), reason: reason.into(), caused_by: None };
        answer::Item { status, result: None, error: Some(error) }
    }

    fn conflict(current: Version) -> answer::Item<'static> {
        failed(
            409,
            format!("[1]: version conflict, current version [{current}] is higher or equal"),
        )
    }

    #[test]
    fn what_the_answers_mean() {
        for status in [200, 201, 404] {
            let item = answer::Item { status, result: None, error: None };
            assert_eq!(outcome(AT, &item), Some(Repaired::Done));
        }
        for status in [403, 408, 429, 503] {
            assert_eq!(outcome(AT, &failed(status, String::new())), None, "{status}: later");
        }
        let refused = outcome(AT, &failed(400, "no date".to_owned()));
        assert_eq!(refused, Some(Repaired::Refused("no date".to_owned())));
    }

    #[test]
    fn what_is_newer_stays() {
        let newer = Version::copied(Lsn::new(808));
        assert_eq!(outcome(AT, &conflict(newer)), Some(Repaired::Newer(newer)));
        let own = conflict(Version::copied(AT));
        assert_eq!(outcome(AT, &own), Some(Repaired::Done), "an answer was lost");
        assert!(matches!(outcome(AT, &failed(409, String::new())), Some(Repaired::Refused(_))));
    }
}
