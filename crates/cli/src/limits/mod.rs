//! What Postgres suffers when its log is not read, before it suffers: the log that the slot holds, how near the slot is to
//! being lost, and what it keeps vacuum from removing.
//!
//! [`Look`] is the server as it is, [`warnings`] what people should see to. Each warning is a fraction of a limit, and
//! [`Said`] decides when it is worth another line of the log.

mod look;
mod said;

pub(crate) use look::Look;
pub(crate) use said::Said;

use crate::progress::duration;

/// What can run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Limit {
    /// `source.max_wal_held`.
    Held,
    /// `max_slot_wal_keep_size` of the server.
    KeepSize,
    /// `max_wal_size` of the server, which bounds nothing but says what was meant to be enough.
    WalSize,
    /// `idle_replication_slot_timeout` of the server.
    Idle,
    /// `autovacuum_freeze_max_age` of the server.
    Age,
}

/// Something that people should see to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Warning {
    pub(crate) limit: Limit,
    /// Of the limit; 1 is all of it.
    pub(crate) fraction: f64,
    /// What it is and what to do about it.
    pub(crate) text: String,
}

/// From here on it is a warning.
const NEAR: f64 = 0.5;

/// What people should see to of the slot `slot`. `max_held` is `source.max_wal_held`.
pub(crate) fn warnings(look: &Look, slot: &str, max_held: u64) -> Vec<String> {
    let near = measured(look, slot, max_held).into_iter().filter(|one| one.fraction >= NEAR);
    near.map(|warning| warning.text).collect()
}

/// All that can run out, near its limit or not.
pub(crate) fn measured(look: &Look, slot: &str, max_held: u64) -> Vec<Warning> {
    let all = [
        held(look, slot, max_held),
        keep_size(look, slot),
        wal_size(look, slot),
        idle(look, slot),
        age(look, slot),
    ];
    all.into_iter().flatten().collect()
}

/// `used` of `limit`; 0 where there is no limit.
#[expect(clippy::cast_precision_loss, reason = "for people")]
fn fraction(used: u64, limit: u64) -> f64 {
    if limit == 0 { 0.0 } else { used as f64 / limit as f64 }
}

fn held(look: &Look, slot: &str, max_held: u64) -> Option<Warning> {
    let held = look.held?;
    let text = format!(
        "the slot {slot} holds {} of WAL, source.max_wal_held is {}: the index is behind, or a transaction has been open for long \
         (pg_stat_activity)",
        bytes(held),
        bytes(max_held)
    );
    Some(Warning { limit: Limit::Held, fraction: fraction(held, max_held), text })
}

fn keep_size(look: &Look, slot: &str) -> Option<Warning> {
    let warning = |fraction, text| Some(Warning { limit: Limit::KeepSize, fraction, text });
    let remedy = "raise max_slot_wal_keep_size, or find what holds the connector up";
    match look.wal_status.as_deref() {
        Some("lost") => {
            return warning(
                2.0,
                format!("the slot {slot} is lost: the server has removed log that it needed"),
            );
        }
        Some("unreserved") => {
            return warning(
                1.0,
                format!(
                    "the slot {slot} will be lost at the next checkpoint: it is over max_slot_wal_keep_size; {remedy}"
                ),
            );
        }
        _ => {}
    }
    let (keep, safe) = (look.keep_size?, look.safe_wal_size?);
    let used = keep.saturating_sub(u64::try_from(safe).unwrap_or(0));
    let text = format!(
        "the slot {slot} will be lost when {} more of WAL are written: max_slot_wal_keep_size is {}; {remedy}",
        bytes(u64::try_from(safe).unwrap_or(0)),
        bytes(keep)
    );
    warning(fraction(used, keep), text)
}

fn wal_size(look: &Look, slot: &str) -> Option<Warning> {
    let extended = look.wal_status.as_deref() == Some("extended");
    let text = format!("the slot {slot} makes the server keep more WAL than max_wal_size");
    extended.then_some(Warning { limit: Limit::WalSize, fraction: NEAR, text })
}

fn idle(look: &Look, slot: &str) -> Option<Warning> {
    let (inactive, timeout) = (look.inactive_seconds?, look.idle_timeout?);
    let text = format!(
        "nobody has read the slot {slot} for {}: after {} the server takes it away (idle_replication_slot_timeout); raise that, \
         or start `wal2es run`",
        duration(inactive),
        duration(timeout)
    );
    Some(Warning { limit: Limit::Idle, fraction: fraction(inactive, timeout), text })
}

fn age(look: &Look, slot: &str) -> Option<Warning> {
    let age = look.xmin_age?;
    let text = format!(
        "the slot {slot} keeps vacuum from cleaning the catalog of what happened in the last {age} transactions \
         (autovacuum_freeze_max_age is {}): let it be read, or end what has been open for long",
        look.freeze_max_age
    );
    Some(Warning { limit: Limit::Age, fraction: fraction(age, look.freeze_max_age), text })
}

/// `1.5 GiB`.
pub(crate) fn bytes(count: u64) -> String {
    bytesize::ByteSize(count).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn of(look: &Look) -> Vec<(Limit, f64)> {
        let near = measured(look, "s", 20 * GIB).into_iter().filter(|one| one.fraction >= NEAR);
        near.map(|warning| (warning.limit, warning.fraction)).collect()
    }

    #[test]
    fn what_is_near_a_limit_and_nothing_else() {
        let quiet =
            Look { held: Some(9 * GIB), wal_status: Some("reserved".into()), ..Look::default() };
        assert_eq!(of(&quiet), []);
        assert_eq!(of(&Look { held: Some(10 * GIB), ..quiet.clone() }), [(Limit::Held, 0.5)]);
        let keep = Look { keep_size: Some(4 * GIB), safe_wal_size: Some(3 << 30), ..quiet.clone() };
        assert_eq!(of(&keep), []);
        assert_eq!(
            of(&Look { safe_wal_size: Some(1 << 30), ..keep.clone() }),
            [(Limit::KeepSize, 0.75)]
        );
        assert_eq!(of(&Look { safe_wal_size: Some(-5), ..keep.clone() }), [(Limit::KeepSize, 1.0)]);
        assert_eq!(of(&Look { safe_wal_size: Some(5 << 30), ..keep }), []);
        let unreserved = Look { wal_status: Some("unreserved".into()), ..Look::default() };
        assert_eq!(of(&unreserved), [(Limit::KeepSize, 1.0)]);
        let extended = Look { wal_status: Some("extended".into()), ..Look::default() };
        assert_eq!(of(&extended), [(Limit::WalSize, 0.5)]);
        let idle = Look { inactive_seconds: Some(3000), idle_timeout: Some(3600), ..quiet.clone() };
        assert!(warnings(&idle, "s", GIB)[1].contains("for 50m: after 1h"));
        let old = Look { xmin_age: Some(150), freeze_max_age: 200, ..quiet };
        assert_eq!(of(&old), [(Limit::Age, 0.75)]);
        assert_eq!(of(&Look::default()), []);
    }
}
