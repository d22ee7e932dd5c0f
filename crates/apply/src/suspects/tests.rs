use std::collections::HashMap;

use change::CommitLsn;

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const FAR: Lsn = Lsn::new(1 << 40);

fn version(commit: u64) -> Version {
    Version::streamed(CommitLsn(Lsn::new(commit)), 0)
}

fn write(id: &'static str, commit: u64, delete: bool) -> Written<'static> {
    Written { index: "p-g1", id: id.as_bytes(), version: version(commit), delete }
}

fn index(id: &'static str, commit: u64) -> Written<'static> {
    write(id, commit, false)
}

fn delete(id: &'static str, commit: u64) -> Written<'static> {
    write(id, commit, true)
}

impl Suspects {
    fn takes(&mut self, writes: Vec<Written<'_>>, now: Instant) {
        self.delivered(writes.into_iter(), now);
    }

    /// What is sent again at `now`, all of it done.
    fn round(&mut self, durable: Lsn, now: Instant) -> Vec<(String, u64)> {
        let mut ids = Vec::new();
        while let Some(due) = self.due(durable, 2, now) {
            let id = |again: &Again| String::from_utf8_lossy(&again.id).into_owned();
            ids.extend(due.iter().map(|again| (id(again), again.version.commit().get())));
            self.sent(now, due.into_iter().map(|again| (again, true)));
        }
        ids.sort();
        ids
    }
}

#[test]
fn only_a_delete_of_a_suspect_key_is_sent_again_to_the_end_and_once_more() {
    let (mut suspects, began) = (Suspects::default(), Instant::now());
    suspects.unknown([index("a", 800), delete("c", 800)].into_iter(), began);
    suspects.takes(vec![index("a", 800), index("b", 800)], began);
    suspects.takes(vec![delete("a", 808), delete("b", 808), delete("c", 816)], began);
    assert_eq!(suspects.len(), 1);
    let mut at = began;
    let mut sent = 0;
    while let Some(wake) = suspects.wake() {
        assert!(wake >= at && wake - at <= ROUND_EVERY, "{:?}", wake - at);
        at = wake.max(at + SECOND);
        let round = suspects.round(FAR, at);
        assert!(round.is_empty() || round == [("a".to_owned(), 808)]);
        sent += round.len();
        if suspects.len() == 0 {
            break;
        }
    }
    assert!(at >= began + ZOMBIE_LIMIT, "once at the end");
    assert_eq!(sent, 30);
    assert!(suspects.is_quiet() || suspects.keep("o", FAR, at).refs.is_empty());
}

#[test]
fn a_later_document_ends_it_and_a_later_delete_begins_it_anew() {
    let (mut suspects, now) = (Suspects::default(), Instant::now());
    suspects.unknown([index("a", 800)].into_iter(), now);
    suspects.takes(vec![delete("a", 808), index("a", 816)], now);
    assert_eq!(suspects.len(), 0);
    suspects.takes(vec![delete("a", 824)], now);
    assert_eq!(suspects.round(FAR, now), []);
    assert_eq!(suspects.round(FAR, now + ROUND_EVERY), [("a".to_owned(), 824)]);
}

#[test]
fn what_an_earlier_process_may_have_sent_is_suspect() {
    let (mut suspects, now) = (Suspects::default(), Instant::now());
    suspects.earlier(Lsn::new(1000), now);
    suspects.takes(vec![delete("a", 800), index("b", 808), index("c", 1000)], now);
    suspects.takes(vec![delete("b", 2000), delete("c", 2000), delete("d", 2000)], now);
    let round = suspects.round(FAR, now + ROUND_EVERY);
    assert_eq!(round, [("a".to_owned(), 800), ("b".to_owned(), 2000)]);
    // Not for ever.
    let later = now + ZOMBIE_LIMIT;
    suspects.round(FAR, later);
    suspects.takes(vec![delete("b", 3000)], later);
    assert_eq!(suspects.len(), 0);
    assert!(suspects.is_quiet());
}

#[test]
fn nothing_is_sent_again_or_kept_of_a_transaction_that_goes_on() {
    let (mut suspects, now) = (Suspects::default(), Instant::now());
    suspects.unknown([index("a", 800)].into_iter(), now);
    suspects.takes(vec![delete("a", 808)], now);
    assert_eq!(suspects.round(Lsn::new(808), now + ROUND_EVERY), []);
    let kept = suspects.keep("o", Lsn::new(808), now);
    assert_eq!(kept.write[0].1.deletes().count(), 0);
    let kept = suspects.keep("o", Lsn::new(856), now);
    assert_eq!(kept.write[0].1.deletes().count(), 1, "it is written again");
    assert_eq!(suspects.keep("o", Lsn::new(856), now).write.len(), 0, "and then not any more");
    assert_eq!(suspects.round(Lsn::new(856), now + 2 * ROUND_EVERY).len(), 1);
}

#[test]
fn what_failed_is_sent_again_soon() {
    let (mut suspects, now) = (Suspects::default(), Instant::now());
    suspects.unknown([index("a", 800)].into_iter(), now);
    suspects.takes(vec![delete("a", 808)], now);
    let at = now + ZOMBIE_LIMIT;
    let due = suspects.due(FAR, 10, at).unwrap();
    suspects.sent(at, due.into_iter().map(|again| (again, false)));
    assert_eq!(suspects.due(FAR, 10, at), None, "not at once");
    assert_eq!(suspects.len(), 1, "even the last time has to be answered");
    let soon = suspects.wake().unwrap();
    assert!(soon <= at + ROUND_EVERY / 5);
    assert_eq!(suspects.round(FAR, soon).len(), 1);
    assert_eq!(suspects.len(), 0);
}

#[test]
fn an_index_that_is_not_written_any_more_is_forgotten() {
    let (mut suspects, now) = (Suspects::default(), Instant::now());
    let other = |id: &'static str, delete| Written { index: "q-g1", ..write(id, 800, delete) };
    suspects.unknown([index("a", 800), other("a", false)].into_iter(), now);
    suspects.takes(vec![delete("a", 808), other("a", true)], now);
    assert_eq!(suspects.len(), 2);
    suspects.forget("p-g1");
    assert_eq!(suspects.len(), 1);
    suspects.round(FAR, now + ZOMBIE_LIMIT);
    assert!(suspects.is_quiet() || suspects.keep("o", FAR, now + ZOMBIE_LIMIT).refs.is_empty());
}

#[test]
fn what_is_kept_is_known_to_the_next_process() {
    let (mut before, now) = (Suspects::default(), Instant::now());
    before.unknown([index(r#""ä\n""#, 800), index(r#""b""#, 800)].into_iter(), now);
    before.takes(vec![delete(r#""ä\n""#, 808)], now);
    let kept = before.keep("o", FAR, now);
    let [(id, document)] = &kept.write[..] else { panic!("{kept:?}") };
    assert!(id.starts_with("o.suspects.") && kept.refs[0].id == *id);
    let text = serde_json::to_string(document).unwrap();

    let mut after = Suspects::default();
    after.recall(&kept.refs[0], serde_json::from_str(&text).unwrap(), |_| true, now);
    after.takes(vec![delete(r#""b""#, 2000), delete(r#""c""#, 2000)], now);
    let all = after.round(FAR, now);
    assert_eq!(all, [(r#""b""#.to_owned(), 2000), (r#""ä\n""#.to_owned(), 808)]);
    // An index that is not written any more is not made anew by a delete.
    let mut elsewhere = Suspects::default();
    elsewhere.recall(&kept.refs[0], serde_json::from_str(&text).unwrap(), |_| false, now);
    assert_eq!(elsewhere.len(), 0);
    // What has run out while nobody ran is sent once, and then its document is not needed any more.
    let late = SuspectChunk { until: 1, ..kept.refs[0].clone() };
    let mut late_process = Suspects::default();
    late_process.recall(&late, serde_json::from_str(&text).unwrap(), |_| true, now);
    assert_eq!(late_process.round(FAR, now).len(), 1);
    let kept = late_process.keep("o", FAR, now);
    assert_eq!((kept.refs.len(), kept.over.as_slice()), (0, &[late.id][..]));
}

#[test]
fn a_document_that_is_gone_makes_every_key_suspect() {
    let (mut suspects, now) = (Suspects::default(), Instant::now());
    let reference = SuspectChunk { id: "x".into(), until: u64::MAX };
    suspects.recall(&reference, None, |_| true, now);
    suspects.takes(vec![delete("a", 800)], now);
    assert_eq!(suspects.len(), 1);
}

#[test]
fn many_keys_are_not_told_apart() {
    let (mut suspects, now) = (Suspects::default(), Instant::now());
    for key in 0..MOST_KEYS as u64 + 2 {
        suspects.note(key, now + ZOMBIE_LIMIT, now);
    }
    assert!(suspects.chunks.last().unwrap().every);
    suspects.takes(vec![delete("a", 800)], now);
    assert_eq!(suspects.len(), 1);
}

#[test]
fn an_index_is_full_by_itself() {
    let mut suspects = Suspects::default();
    for number in 0..MOST_DELETES as u64 {
        let id = number.to_string().into_bytes().into();
        let again = Again { index: "p-g1".into(), id, version: version(800) };
        suspects.deletes.insert(number, again, Instant::now(), 0);
    }
    assert!(suspects.has_full() && suspects.is_full("p-g1") && !suspects.is_full("q-g1"));
}

/// A target that executes abandoned requests whenever it likes and forgets tombstones whenever it likes, as long as the
/// limit allows: what was deleted is gone at the end.
#[test]
fn whatever_comes_late_is_gone_at_the_end() {
    const IDS: [&str; 4] = [r#""a""#, r#""b""#, r#""c""#, r#""d""#];
    for seed in 0..2_000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut suspects, mut now) = (Suspects::default(), Instant::now());
        // Documents by id, what the source says, and abandoned requests with the time until which they may be executed.
        let mut target: HashMap<&str, u64> = HashMap::new();
        let mut truth: HashMap<&str, u64> = HashMap::new();
        let mut abandoned: Vec<(&str, u64, Instant)> = Vec::new();
        let mut commit = 800;
        for step in 0..60 {
            now += Duration::from_millis(random.u64(..120_000));
            commit += 8;
            let id = IDS[random.usize(..IDS.len())];
            match random.u8(..6) {
                _ if step >= 50 => now += ZOMBIE_LIMIT / 4,
                0..3 => {
                    if random.bool() {
                        suspects.unknown([index(id, commit)].into_iter(), now);
                        abandoned.push((id, commit, now + ZOMBIE_LIMIT));
                    }
                    suspects.takes(vec![index(id, commit)], now);
                    target.insert(id, commit);
                    truth.insert(id, commit);
                }
                3..5 => {
                    suspects.takes(vec![delete(id, commit)], now);
                    target.remove(id);
                    truth.remove(id);
                }
                _ => {
                    // A restart: what is kept is all that the next process knows.
                    let kept = suspects.keep("o", FAR, now);
                    let documents: HashMap<String, Document> = kept.write.into_iter().collect();
                    let mut next = Suspects::default();
                    for reference in &kept.refs {
                        let until =
                            suspects.chunks.iter().find(|c| c.id.as_ref() == Some(&reference.id));
                        let left =
                            until.unwrap().until.saturating_duration_since(now).as_secs() + 1;
                        let until = crate::state::unix_seconds() + left;
                        let of_before = suspects_document(&suspects, &reference.id);
                        let document = documents.get(&reference.id).cloned().or(of_before);
                        next.recall(
                            &SuspectChunk { until, ..reference.clone() },
                            document,
                            |_| true,
                            now,
                        );
                    }
                    suspects = next;
                }
            }
            abandoned.retain(|(id, version, until)| {
                let late = *until >= now && random.u8(..4) == 0;
                if late && target.get(id).is_none_or(|current| current < version) {
                    target.insert(id, *version);
                }
                !late && *until >= now
            });
            for _ in 0..2 {
                for (id, version) in suspects.round(FAR, now) {
                    let id = IDS.iter().find(|known| **known == id).unwrap();
                    if target.get(id).is_some_and(|current| *current <= version) {
                        target.remove(id);
                    }
                }
                now += ROUND_EVERY;
            }
        }
        assert_eq!(target, truth, "seed {seed}");
        assert_eq!(suspects.len(), 0, "seed {seed}");
    }
}

/// A chunk's document as it was when it was written last.
fn suspects_document(suspects: &Suspects, id: &str) -> Option<Document> {
    let chunk = suspects.chunks.iter().find(|chunk| chunk.id.as_deref() == Some(id))?;
    Some(Document::of(chunk, &suspects.deletes.of_chunk(chunk.number, FAR)))
}
