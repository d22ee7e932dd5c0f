//! `wal2es setup`: publication and slot.

use std::process::ExitCode;

use change::TableName;
use serde_json::json;

use super::answer;
use crate::config::Config;
use crate::failure::Failure;
use crate::source::Source;
use crate::{planned, relations};

/// Makes them, or prints the SQL.
pub(super) async fn perform(config: &Config, print: bool) -> Result<ExitCode, Failure> {
    if print {
        let sql = match (config.by_queue(), config.by_events()) {
            (true, _) => with_grants(&crate::queue::script(config).await?, &config.queue.schema),
            (_, true) => with_grants(&crate::events::script(config).await?, &config.events.schema),
            _ => script(config),
        };
        answer(false, &json!(sql), || sql.clone());
        return Ok(ExitCode::SUCCESS);
    }
    if config.by_events() {
        return of_events(config).await;
    }
    let source = ensure(config).await?;
    let (slot, publication) = (&config.source.slot, &config.source.publication);
    if config.by_queue() {
        let schema = &config.queue.schema;
        answer(false, &json!(null), || {
            format!(
                "publication {publication} and trigger queue {schema}.queue are there; next: wal2es run"
            )
        });
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(why) = source.slot(slot).await?.and_then(|slot| slot.invalid()) {
        return Err(Failure::stop(
            format!("the slot {slot} is there but can't be read any more: {}", why.cause),
            format!(
                "if it was in use, build the indices anew: `wal2es resync`; else SELECT pg_drop_replication_slot({}), then \
                 `wal2es setup`; {}",
                wal::literal(slot),
                why.prevention
            ),
        ));
    }
    answer(false, &json!(null), || {
        format!("publication {publication} and slot {slot} are there; next: wal2es run")
    });
    Ok(ExitCode::SUCCESS)
}

async fn of_events(config: &Config) -> Result<ExitCode, Failure> {
    let made = crate::events::ensure(config, &Source::connect(config).await?).await?;
    let schema = &config.events.schema;
    answer(false, &json!(null), || match made {
        true => {
            format!("what is needed to read events is in the schema {schema}; next: wal2es run")
        }
        false => "nothing has to be made to read events; next: wal2es run".to_owned(),
    });
    Ok(ExitCode::SUCCESS)
}

/// Makes what is missing. A slot that can't be read any more is left to the gate, which knows what was made from it.
pub(super) async fn ensure(config: &Config) -> Result<Source, Failure> {
    planned::check_names(config)?;
    let source = Source::connect(config).await?;
    // The right to replicate is asked for before anything is made.
    source.identify().await?;
    source.encoding(config).await?;
    if config.by_events() {
        crate::events::ensure(config, &source).await?;
        return Ok(source);
    }
    let name = &config.source.publication;
    let slot = source.slot(&config.source.slot).await?;
    if snapshot::catalog::publication(&source.client, name).await?.is_none() {
        let tables = configured_tables(config)?;
        let tables = relations::publishable(&source, &tables).await?;
        let sql = create_publication(name, &tables);
        source.client.batch_execute(&sql).await.map_err(|error| not_allowed(error, &sql))?;
        tracing::info!(publication = %name, "made the publication");
    }
    if config.by_queue() {
        crate::queue::ensure(config, &source).await?;
    } else if let Some(slot) = &slot {
        source.fits(config, slot)?;
    } else {
        let sql = create_slot(config);
        source.client.batch_execute(&sql).await.map_err(|error| not_allowed(error, &sql))?;
        tracing::info!(slot = %config.source.slot, "made the slot");
    }
    Ok(source)
}

fn configured_tables(config: &Config) -> Result<Vec<String>, Failure> {
    match &config.indexes {
        Some(indexes) => Ok(indexes.iter().map(|index| index.table.to_string()).collect()),
        None => Err(Failure::config(
            format!(
                "there is no publication {}, and no tables are named to make it of",
                config.source.publication
            ),
            "name the tables under `indexes` or with --table, or make the publication yourself",
        )),
    }
}

/// `schema.name`, each part quoted or as it is in the catalog; a name alone is in `public`.
pub(crate) fn parse_name(text: &str) -> TableName {
    let (first, rest) = part(text);
    match rest.strip_prefix('.') {
        Some(rest) => match part(rest) {
            (name, "") => TableName::new(first, name),
            // A dot without quotes: as the catalog has it.
            _ => TableName::new(first, rest),
        },
        None => TableName::new("public", first),
    }
}

/// One part of a name and what follows it. Without quotes it ends at the first dot.
fn part(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find('.').unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        return (name.to_owned(), rest);
    };
    let mut name = String::new();
    let mut rest = quoted;
    while let Some((before, after)) = rest.split_once('"') {
        name.push_str(before);
        match after.strip_prefix('"') {
            Some(after) => {
                name.push('"');
                rest = after;
            }
            None => return (name, after),
        }
    }
    (text.to_owned(), "")
}

fn create_publication(name: &str, tables: &[TableName]) -> String {
    let tables: Vec<_> = tables.iter().map(TableName::quoted).collect();
    format!(
        "CREATE PUBLICATION {} FOR TABLE {} WITH (publish_via_partition_root = true)",
        wal::identifier(name),
        tables.join(", ")
    )
}

fn create_slot(config: &Config) -> String {
    format!(
        "SELECT pg_catalog.pg_create_logical_replication_slot({}, {})",
        wal::literal(&config.source.slot),
        wal::literal(&config.source.plugin)
    )
}

fn not_allowed(error: tokio_postgres::Error, sql: &str) -> Failure {
    let denied = error.as_db_error().is_some_and(|db| db.code().code() == "42501");
    // undefined_file: the library of the plugin is not installed.
    if error.as_db_error().is_some_and(|db| db.code().code() == "58P01") {
        return Failure::config(
            format!("the server has not got the output plugin: {error}"),
            "install the contrib modules of Postgres on the server, or use source.plugin: pgoutput",
        );
    }
    if denied {
        return Failure::config(
            format!(
                "{}: the role may not do it: {error}",
                sql.split(" FOR ").next().unwrap_or(sql)
            ),
            "have the SQL run by the owner of the tables: `wal2es setup --print`, or scripts/setup.sql",
        );
    }
    error.into()
}

/// With what the role of the connector needs, if that is not the owner of the tables.
fn with_grants(sql: &str, schema: &str) -> String {
    let schema = wal::identifier(schema);
    format!(
        "{sql}\n-- What the role of the connector needs (name it as in source.url), beside SELECT on the tables:\n\
         -- GRANT USAGE ON SCHEMA {schema} TO wal2es; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO wal2es;"
    )
}

/// The SQL for an administrator.
fn script(config: &Config) -> String {
    let tables: Vec<TableName> =
        config.indexes.iter().flatten().map(|index| parse_name(&index.table)).collect();
    let publication = match tables.is_empty() {
        true => format!(
            "CREATE PUBLICATION {} FOR TABLE … WITH (publish_via_partition_root = true)",
            wal::identifier(&config.source.publication)
        ),
        false => create_publication(&config.source.publication, &tables),
    };
    format!(
        "-- One statement after the other, not in one transaction.\n\n-- As the owner of the tables, with CREATE on the database:\n{publication};\n\n\
         -- As a role with REPLICATION, in the same database:\n{};\n\n\
         -- What the role of the connector needs (name it as in source.url):\n\
         -- CREATE ROLE wal2es LOGIN REPLICATION;\n\
         -- GRANT USAGE ON SCHEMA … TO wal2es; GRANT SELECT ON … TO wal2es;",
        create_slot(config)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_tables() {
        let name = |text| {
            let name = parse_name(text);
            (name.schema, name.name)
        };
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(name("place"), pair("public", "place"));
        assert_eq!(name("geo.Place"), pair("geo", "Place"));
        assert_eq!(name(r#""My.Geo"."a""b""#), pair("My.Geo", "a\"b"));
        assert_eq!(name(r#"geo."x.y""#), pair("geo", "x.y"));
        assert_eq!(name("geo.x.y"), pair("geo", "x.y"));
        assert_eq!(name(r#"public."select""#), pair("public", "select"));
    }

    #[test]
    fn sql_is_quoted() {
        let sql = create_publication("p\"q", &[TableName::new("s", "t\"u")]);
        assert_eq!(
            sql,
            r#"CREATE PUBLICATION "p""q" FOR TABLE "s"."t""u" WITH (publish_via_partition_root = true)"#
        );
    }
}
