//! The order of what goes to the target: nothing shown too early, nothing forgotten, nothing confirmed before it is saved.

use std::convert::Infallible;

use super::*;
use crate::bulk::{CurrentRow, RowRef};
use crate::indices::{IndexPlan, Managed};
use crate::state::{IndexState, Step};
use crate::stub::{Reply, Stub};

pub(super) const ROOMY: Limits = Limits { bytes: 1 << 20, rows: 100 };
pub(super) const REFRESH: &str = "POST /p-g1/_refresh";
pub(super) const BULK: &str = "POST /_bulk";

pub(crate) fn state() -> State {
    let index = IndexState {
        alias: "p".into(),
        table: "public.p".into(),
        index: "p-g1".into(),
        uuid: "U".into(),
        histories: vec!["h".into()],
        shown: Some("p-g1".into()),
        shown_lsn: Lsn::ZERO,
        retired: Vec::new(),
        making: None,
        truncations: 0,
        plan_hash: String::new(),
        columns: Vec::new(),
        table_oid: 1,
        membership: String::new(),
        parts: Vec::new(),
        since: Lsn::ZERO,
        held: false,
        kept: Vec::new(),
    };
    State {
        formula: crate::FORMULA,
        system_id: "1".into(),
        timeline: 1,
        database: "d".into(),
        slot: "s".into(),
        publication: "p".into(),
        capture: String::new(),
        read_to: String::new(),
        generation: 1,
        step: Step::Streaming,
        applied_lsn: Lsn::new(100),
        visible_lsn: Lsn::new(100),
        indexes: vec![index],
        writer: String::new(),
        sequence: 0,
        needs_resync: None,
        needs_resync_of: Vec::new(),
        detached: Vec::new(),
        revision: 0,
        handing_over: false,
        failover: false,
        last_commit: None,
        sent_below: Lsn::new(1 << 40),
        suspects: Vec::new(),
    }
}

/// No row is asked for.
pub(crate) struct NoRows;

impl Rows for NoRows {
    fn current<'a>(&'a self, _: &'a RowRef) -> CurrentRow<'a> {
        unreachable!()
    }
}

/// As long as requests may be executed late, where a test waits for the end of it.
pub(super) const LIMIT: Duration = Duration::from_secs(3);

/// Of the index in [`state`].
pub(crate) fn plan() -> IndexPlan {
    IndexPlan {
        alias: "p".into(),
        table: "public.p".into(),
        mapping: serde_json::json!({}),
        settings: serde_json::Map::new(),
        hash: String::new(),
        columns: Vec::new(),
        table_oid: 1,
        membership: String::new(),
        parts: Vec::new(),
    }
}

/// An applier at 100 whose session has replayed everything at `replay_end`.
pub(super) async fn applier(stub: &Stub, limits: Limits, replay_end: u64) -> Applier {
    let target = Arc::new(stub.target().await);
    let state = state();
    let indices = Indices::new(vec![Managed::new(plan(), state.indexes[0].clone(), 0)]);
    let store = Store::new(target.clone(), "1", "d", "s");
    let config = ApplierConfig {
        limits,
        lanes: 1,
        check_every: Duration::from_secs(60),
        refresh: Duration::from_millis(10),
        keep: Duration::ZERO,
        zombie_limit: Duration::from_secs(900),
    };
    let letters = Letters::new(target.clone(), indices.clone(), 10);
    let rows = Arc::new(NoRows);
    let mut applier = Applier::new(config, target, store, indices, state, rows, letters);
    applier.begin_session(Session { replay_end: Lsn::new(replay_end) });
    applier.set_dry(true);
    applier
}

fn created() -> Reply {
    let items = r#"{"errors":false,"items":[{"index":{"status":201,"result":"created"}}]}"#;
    Reply::Answer(200, items.to_owned())
}

fn change(applier: &mut Applier, id: &str) {
    let change = applier.next_change();
    let Ok(()) = applier.index(0, id.as_bytes(), change, |out| {
        out.extend_from_slice(b"{}");
        Ok::<_, Infallible>(())
    });
}

pub(super) fn begin(applier: &mut Applier, commit: u64) {
    applier.begin(CommitLsn(Lsn::new(commit)), 7, Duration::from_secs(u64::MAX / 4));
}

pub(super) fn transaction(applier: &mut Applier, commit: u64, id: &str) {
    begin(applier, commit);
    change(applier, id);
    applier.commit(Lsn::new(commit + 48));
}

#[tokio::test]
async fn a_change_that_arrives_while_refreshing_is_shown_by_the_next_refresh() {
    let stub = Stub::start(vec![]).await;
    let mut applier = applier(&stub, ROOMY, 100).await;
    // What the process before may have left unseen is being shown when the change arrives.
    applier.start_what_is_due();
    assert!(applier.showing.is_some());
    transaction(&mut applier, 800, "a");
    applier.step().await.unwrap();
    assert!(applier.visible() < Lsn::new(848), "it has not even been sent");
    applier.drain().await.unwrap();
    assert_eq!(applier.visible(), Lsn::new(848));
    let requests = stub.requests();
    let of = |what: &str| requests.iter().rposition(|request| request == what).unwrap();
    assert!(of(REFRESH) > of(BULK), "{requests:?}");
}

#[tokio::test]
async fn nothing_is_shown_before_the_replay_is_over() {
    let stub = Stub::start(vec![]).await;
    let mut applier = applier(&stub, ROOMY, 1000).await;
    transaction(&mut applier, 800, "a");
    applier.drain().await.unwrap();
    assert_eq!((applier.durable(), applier.visible()), (Lsn::new(848), Lsn::new(100)));
    assert!(!stub.requests().contains(&REFRESH.to_owned()));
    applier.idle(Lsn::new(1000));
    applier.drain().await.unwrap();
    assert_eq!(applier.visible(), Lsn::new(1000));
    assert!(stub.requests().contains(&REFRESH.to_owned()));
}

#[tokio::test]
async fn nothing_is_shown_in_the_middle_of_a_transaction() {
    let stub = Stub::start(vec![]).await;
    let mut applier = applier(&stub, Limits { rows: 2, ..ROOMY }, 100).await;
    applier.drain().await.unwrap();
    let before = stub.requests().len();
    begin(&mut applier, 800);
    change(&mut applier, "a");
    change(&mut applier, "b");
    while !applier.has_room() || applier.flight.is_some() {
        applier.step().await.unwrap();
    }
    // A keepalive from within the transaction moves nothing.
    applier.idle(Lsn::new(900));
    applier.drain().await.unwrap();
    let mut after = stub.requests().split_off(before);
    after.retain(|request| !request.starts_with("GET"));
    assert_eq!(after, [BULK]);
    assert_eq!((applier.durable(), applier.visible()), (Lsn::new(100), Lsn::new(100)));
    applier.commit(Lsn::new(848));
    applier.drain().await.unwrap();
    assert_eq!((applier.confirmed(), applier.visible()), (Lsn::new(848), Lsn::new(848)));
}

#[tokio::test]
async fn a_position_is_confirmed_after_the_state_that_holds_it_is_saved() {
    let stub = Stub::start(vec![]).await;
    let mut applier = applier(&stub, ROOMY, 100).await;
    transaction(&mut applier, 800, "a");
    while applier.confirmed() < Lsn::new(848) {
        applier.step().await.unwrap();
        let saved = stub.requests().iter().any(|request| request.starts_with("PUT /wal2es-state"));
        assert!(saved || applier.confirmed() == Lsn::new(100), "{:?}", stub.requests());
    }
    let requests = stub.requests();
    let first = |what: &str| requests.iter().position(|request| request.starts_with(what)).unwrap();
    assert!(first(BULK) < first("PUT /wal2es-state/_doc/"), "{requests:?}");
}

#[tokio::test]
async fn what_an_earlier_process_has_sent_is_on_disk_before_it_is_saved() {
    let newer = r#"{"errors":true,"items":[{"index":{"status":409,"error":{"type":"t",
        "reason":"[a]: version conflict, current version [9000000000] is higher or equal"}}}]}"#;
    for (answer, flushed) in [(Reply::Answer(200, newer.to_owned()), true), (created(), false)] {
        let stub = Stub::start(vec![answer]).await;
        let mut applier = applier(&stub, ROOMY, 1000).await;
        transaction(&mut applier, 800, "a");
        applier.drain().await.unwrap();
        let requests = stub.requests();
        let place = |what: &str| requests.iter().rposition(|request| request.starts_with(what));
        let (flush, saved) = (place("POST /p-g1/_flush"), place("PUT /wal2es-state"));
        assert_eq!(flush.is_some(), flushed, "{requests:?}");
        assert!(flush < saved, "{requests:?}");
    }
}

#[tokio::test]
async fn a_keepalive_counts_only_when_nothing_is_on_its_way() {
    let stub = Stub::start(vec![]).await;
    let mut applier = applier(&stub, ROOMY, 100).await;
    transaction(&mut applier, 800, "a");
    applier.idle(Lsn::new(900));
    assert_eq!(applier.durable(), Lsn::new(100), "the change before it has not been sent");
    applier.drain().await.unwrap();
    assert_eq!((applier.durable(), applier.visible()), (Lsn::new(900), Lsn::new(900)));
    applier.idle(Lsn::new(950));
    assert_eq!((applier.durable(), applier.visible()), (Lsn::new(950), Lsn::new(950)));
}

#[tokio::test]
async fn changed_columns_are_kept_with_the_transaction_that_changed_them() {
    let stub = Stub::start(vec![]).await;
    let mut applier = applier(&stub, ROOMY, 100).await;
    let wide = vec![ColumnState { name: "a".into(), number: 1, type_oid: 1043, type_modifier: 24 }];
    begin(&mut applier, 800);
    change(&mut applier, "a");
    applier.columns(0, wide.clone());
    assert_eq!(applier.current_state().indexes[0].columns, [], "the transaction is open");
    applier.commit(Lsn::new(848));
    assert_eq!(applier.current_state().indexes[0].columns, [], "it is not durable");
    applier.drain().await.unwrap();
    assert_eq!(applier.indexes()[0].columns, wide);
    // One that is left in the middle changes nothing.
    begin(&mut applier, 900);
    applier.columns(0, Vec::new());
    applier.begin_session(Session { replay_end: Lsn::new(848) });
    transaction(&mut applier, 900, "b");
    applier.drain().await.unwrap();
    assert_eq!(applier.indexes()[0].columns, wide);
}

#[tokio::test]
async fn the_last_commit_is_one_that_is_durable() {
    let stub = Stub::start(vec![]).await;
    let mut applier = applier(&stub, ROOMY, 100).await;
    let last = |applier: &Applier| applier.current_state().last_commit.map(|last| last.end.get());
    applier.idle(Lsn::new(400));
    assert_eq!((applier.durable().get(), last(&applier)), (400, None));
    transaction(&mut applier, 800, "a");
    assert_eq!(last(&applier), None, "it has not even been sent");
    applier.drain().await.unwrap();
    assert_eq!(last(&applier), Some(848));
    // Received, and then the session ends before it was sent; the next one is idle for a while.
    transaction(&mut applier, 1600, "b");
    applier.begin_session(Session { replay_end: Lsn::new(100) });
    applier.idle(Lsn::new(1200));
    assert_eq!((applier.durable().get(), last(&applier)), (1200, Some(848)));
    // An empty one counts, and an older one that comes again does not.
    begin(&mut applier, 1600);
    applier.commit(Lsn::new(1648));
    assert_eq!(last(&applier), Some(1648));
    transaction(&mut applier, 800, "a");
    applier.drain().await.unwrap();
    assert_eq!(last(&applier), Some(1648));
}

#[tokio::test]
async fn nothing_is_written_to_an_index_that_has_gone_while_nothing_happened() {
    let stub = Stub::start(vec![]).await;
    let mut applier = applier(&stub, ROOMY, 100).await;
    applier.indices.with(|list| list[0].state.uuid = "another".to_owned());
    transaction(&mut applier, 800, "a");
    let error = applier.drain().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Stop);
    assert!(!stub.requests().contains(&BULK.to_owned()), "{:?}", stub.requests());
}
