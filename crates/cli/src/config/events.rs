//! The section `events`: an append-only table of events in place of the log.

use std::collections::BTreeMap;
use std::time::Duration;

use outbox::events::{Fill, Order};
use serde::Deserialize;

use super::interpolate::{Text, Texts};
use super::{Config, units};
use crate::commands::parse_name;
use crate::failure::Failure;

/// A table of events.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Events {
    /// `schema.name`, or a name in `public`.
    pub table: Option<Text>,
    /// How it is known that nothing more comes below an event: `transaction-id`, `table-lock`, or `stream`.
    pub order: Text,
    /// The column that tells events apart; left out: the primary key, if that is one column.
    pub id: Option<Text>,
    /// The column of type `xid8` that has the transaction of the writer, for `order: transaction-id`.
    pub transaction_id: Text,
    /// How long writers may have to wait each time that the table is locked for a moment, for `order: table-lock`.
    #[serde(deserialize_with = "units::duration")]
    pub lock_timeout: Duration,
    /// Who gives events their places, for `order: stream`: `trigger`, `function`, or `connector`.
    pub fill: Text,
    /// The schema of what is made for it.
    pub schema: Text,
    /// How often it is looked at; `0s`: when writers notify.
    #[serde(deserialize_with = "units::duration")]
    pub poll: Duration,
    /// How often it is looked at although nobody has notified.
    #[serde(deserialize_with = "units::duration")]
    pub sweep: Duration,
    /// What becomes of events that are in the index: `keep`, or `delete`.
    pub retention: Text,
}

impl Default for Events {
    fn default() -> Self {
        Events {
            table: None,
            order: Text::from("transaction-id"),
            id: None,
            transaction_id: Text::from("transaction_id"),
            lock_timeout: Duration::from_millis(200),
            fill: Text::from("trigger"),
            schema: Text::from("wal2es"),
            poll: Duration::ZERO,
            sweep: Duration::from_secs(60),
            retention: Text::from("keep"),
        }
    }
}

/// Texts by the column that they may stand in.
pub(crate) type ByColumn = BTreeMap<String, Texts>;

impl Events {
    /// How it is known which events are all there.
    ///
    /// # Errors
    /// The configuration names something else.
    pub fn order(&self) -> Result<Order, Failure> {
        match self.order.as_str() {
            "transaction-id" => {
                Ok(Order::TransactionId { column: self.transaction_id.to_string() })
            }
            "table-lock" => Ok(Order::TableLock { patience: self.lock_timeout }),
            "stream" => Ok(Order::Stream { fill: self.fill()? }),
            other => Err(Failure::config(
                format!("events.order: {other} is not known"),
                "use events.order: transaction-id, table-lock, or stream",
            )),
        }
    }

    fn fill(&self) -> Result<Fill, Failure> {
        match self.fill.as_str() {
            "trigger" => Ok(Fill::Trigger),
            "function" => Ok(Fill::Function),
            "connector" => Ok(Fill::Connector),
            other => Err(Failure::config(
                format!("events.fill: {other} is not known"),
                "use events.fill: trigger, function, or connector",
            )),
        }
    }

    /// Events that are in the index are deleted.
    pub fn deletes(&self) -> bool {
        self.retention.as_str() == "delete"
    }

    /// Writers notify.
    pub fn is_notified(&self) -> bool {
        self.poll.is_zero()
    }
}

/// What is wrong with the section, or with indices that belong to it.
pub(super) fn check(config: &Config) -> Result<(), Failure> {
    let events = &config.events;
    let is_used = config.by_events();
    let folded = config.indexes.iter().flatten().find(|index| index.is_of_events());
    if let Some(index) = folded.filter(|_| !is_used) {
        return Err(Failure::config(
            format!("the index of {} has only, deletes, payload or properties", index.table),
            "these are for source.capture: events",
        ));
    }
    if !is_used {
        return Ok(());
    }
    events.order()?;
    events.fill()?;
    let Some(table) = &events.table else {
        return Err(Failure::config(
            "source.capture: events needs a table of events",
            "name it in events.table",
        ));
    };
    if !matches!(events.retention.as_str(), "keep" | "delete") {
        return Err(Failure::config(
            format!("events.retention: {} is not known", events.retention),
            "use events.retention: keep, or delete",
        ));
    }
    let (second, day) = (Duration::from_secs(1), Duration::from_secs(86_400));
    let ranges = [
        ("sweep", events.sweep, second / 10, day, "60s"),
        ("lock_timeout", events.lock_timeout, second / 1000, second * 10, "200ms"),
        (
            "poll",
            if events.is_notified() { second } else { events.poll },
            second / 100,
            day,
            "0s, which waits for writers to notify",
        ),
    ];
    for (key, value, least, most, default) in ranges {
        if !(least..=most).contains(&value) {
            let [least, most] = [least, most].map(humantime::format_duration);
            return Err(Failure::config(
                format!("events.{key} must be between {least} and {most}"),
                format!("leave it out for the default, {default}"),
            ));
        }
    }
    let fixed = |index: &super::Index| index.columns.is_some() || index.payload.is_some();
    if events.deletes() && !config.indexes.as_ref().is_some_and(|all| all.iter().all(fixed)) {
        return Err(Failure::config(
            "with events.retention: delete an index of whatever columns there are could not be made anew when one is added",
            "name the columns of each index in `columns`, or its `payload`",
        ));
    }
    for index in config.indexes.iter().flatten() {
        if parse_name(&index.table) != parse_name(table) {
            return Err(Failure::config(
                format!("the index of {} is not of the table of events, {table}", index.table),
                format!("name {table}: with source.capture: events every index is of that table"),
            ));
        }
        if index.id.is_none() && !index.deletes.is_empty() {
            return Err(Failure::config(
                "an index without `id` has a document for each event, and `deletes` is of none",
                "name the columns of the key in `id`, or leave events out with `only`",
            ));
        }
        if index.payload.is_none() && !index.properties.is_empty() {
            return Err(Failure::config(
                "`properties` are of the fields of `payload`, which is not named",
                "name the JSON column in `payload`",
            ));
        }
    }
    Ok(())
}
