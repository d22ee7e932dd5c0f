//! The rows of a table in parts of about the same size, each to be read by a session of its own.
//!
//! A part is a range of pages of one file: within a snapshot a row keeps its `ctid`, so the parts of a table are all of
//! its rows, each once, for as long as the file is not rewritten (the caller compares files before and after). The last
//! range of a file is open: what lies behind the size that was seen belongs to it.
//!
//! The rows of a partitioned table are in its leaves, which are read by themselves: pages are numbered in each file, and
//! a condition on `tableoid` would have each part go through all of them. A leaf has the root's columns under the same
//! names, in an order of its own, so they are asked for by name. Where a leaf may not be read directly (no right of its
//! own, row security, not a heap), the root is one part.

use std::sync::Arc;

use change::{Table, TableName};
use wal::{Connection, TextRow};

use crate::error::{Error, Result};

/// How much of a file, with what it has in TOAST, makes a range; in bytes. Large enough for starting a query to cost
/// nothing beside it, small enough for a range to be read again.
const RANGE: u64 = 16 << 20;

/// What a query reads from: a table, a leaf partition, or a partitioned table as a whole.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Relation {
    pub(crate) oid: u32,
    pub(crate) name: TableName,
    /// Without what inherits from it.
    pub(crate) only: bool,
}

/// A part of the rows of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    pub(crate) relation: Arc<Relation>,
    /// The first page.
    pub(crate) from: u32,
    /// The page behind the last; none for all the rest.
    pub(crate) to: Option<u32>,
    /// Pages in it by the size that was seen.
    pub(crate) pages: u32,
}

impl Range {
    /// All rows of `table`.
    pub fn whole(table: &Table) -> Self {
        // The rows of tables that inherit from this one are published as theirs.
        let (oid, name, only) = (table.oid, table.name.clone(), !table.partitioned);
        let relation = Arc::new(Relation { oid, name, only });
        Range { relation, from: 0, to: None, pages: 0 }
    }

    /// How many pages it is likely to have; 0 if that is not known.
    pub fn pages(&self) -> u32 {
        self.pages
    }

    /// The condition for its rows, if it is not all of them.
    pub(crate) fn condition(&self) -> Option<String> {
        match (self.from, self.to) {
            (0, None) => None,
            (from, None) => Some(format!("ctid >= '({from},0)'")),
            (from, Some(to)) => Some(format!("ctid >= '({from},0)' AND ctid < '({to},0)'")),
        }
    }
}

/// `public.item, pages 2048 to 4095`.
impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (name, from) = (&self.relation.name, self.from);
        match self.to {
            None if from == 0 => write!(f, "{name}"),
            None => write!(f, "{name}, pages from {from}"),
            Some(to) => write!(f, "{name}, pages {from} to {}", to.saturating_sub(1)),
        }
    }
}

/// The parts of `table`, as a session at the snapshot sees it. None when it is a partitioned table without partitions.
///
/// # Errors
/// The connection fails.
pub async fn cut(session: &mut Connection, table: &Table) -> Result<Vec<Range>> {
    if table.query.is_some() {
        return Ok(vec![Range::whole(table)]);
    }
    let failed = |source| Error::Wal { doing: format!("measuring {}", table.name), source };
    let rows = session.simple_query(&query(table.oid)).await.map_err(failed)?;
    let files: Vec<File> = rows.iter().filter_map(File::read).collect();
    if files.len() != rows.len() || !files.iter().all(|file| file.direct) {
        return Ok(vec![Range::whole(table)]);
    }
    Ok(files.into_iter().flat_map(File::ranges).collect())
}

/// The files that the rows of the table `oid` are in. The catalog is seen as of the snapshot; the sizes are those of now,
/// and no smaller than then.
fn query(oid: u32) -> String {
    format!(
        "WITH RECURSIVE tree(oid) AS (
             SELECT '{oid}'::oid
             UNION
             SELECT i.inhrelid FROM tree
               JOIN pg_catalog.pg_class p ON p.oid = tree.oid AND p.relkind = 'p'
               JOIN pg_catalog.pg_inherits i ON i.inhparent = p.oid AND NOT i.inhdetachpending)
         SELECT c.oid, n.nspname, c.relname,
                COALESCE(pg_catalog.pg_relation_size(c.oid), 0),
                COALESCE(pg_catalog.pg_relation_size(NULLIF(c.reltoastrelid, 0)), 0),
                pg_catalog.current_setting('block_size'),
                c.relkind = 'r' AND COALESCE(am.amname = 'heap', false) AND (c.oid = '{oid}' OR (
                    COALESCE(pg_catalog.has_table_privilege(c.oid, 'SELECT'), false)
                    AND NOT pg_catalog.row_security_active(c.oid)
                    AND NOT pg_catalog.row_security_active('{oid}'::oid)))
           FROM tree
           JOIN pg_catalog.pg_class c ON c.oid = tree.oid AND c.relkind <> 'p'
           JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
           LEFT JOIN pg_catalog.pg_am am ON am.oid = c.relam
          ORDER BY c.oid"
    )
}

struct File {
    relation: Relation,
    bytes: u64,
    toast_bytes: u64,
    page: u64,
    /// Its pages can be read by number.
    direct: bool,
}

impl File {
    fn read(row: &TextRow) -> Option<Self> {
        let [oid, schema, name, bytes, toast_bytes, page, direct] = row.as_slice() else {
            return None;
        };
        let number = |text: &Option<String>| text.as_ref()?.parse().ok();
        let name = TableName::new(schema.clone()?, name.clone()?);
        Some(File {
            relation: Relation { oid: oid.as_ref()?.parse().ok()?, name, only: true },
            bytes: number(bytes)?,
            toast_bytes: number(toast_bytes)?,
            page: number(page)?,
            direct: direct.as_deref() == Some("t"),
        })
    }

    fn ranges(self) -> Vec<Range> {
        let pages = u32::try_from(self.bytes / self.page.max(1)).unwrap_or(u32::MAX);
        let relation = Arc::new(self.relation);
        cuts(pages, self.bytes + self.toast_bytes)
            .map(|(from, to)| Range {
                relation: relation.clone(),
                from,
                to,
                pages: to.unwrap_or(pages).saturating_sub(from),
            })
            .collect()
    }
}

/// Where a file of that many pages, which stand for so many bytes, is cut.
fn cuts(pages: u32, bytes: u64) -> impl Iterator<Item = (u32, Option<u32>)> {
    let of_a_page = (bytes / u64::from(pages.max(1))).max(1);
    let step = u32::try_from((RANGE / of_a_page).max(1)).unwrap_or(u32::MAX);
    let count = pages.div_ceil(step).max(1);
    (0..count).map(move |at| {
        let from = at.saturating_mul(step);
        (from, (at + 1 < count).then(|| from.saturating_add(step)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: u64 = 8192;

    fn cut_at(pages: u32, toast: u64) -> Vec<(u32, Option<u32>)> {
        cuts(pages, u64::from(pages) * PAGE + toast).collect()
    }

    #[test]
    fn ranges_follow_each_other_and_the_last_is_open() {
        assert_eq!(cut_at(0, 0), [(0, None)]);
        assert_eq!(cut_at(1, 0), [(0, None)]);
        assert_eq!(cut_at(2048, 0), [(0, None)]);
        assert_eq!(cut_at(2049, 0), [(0, Some(2048)), (2048, None)]);
        for (pages, toast) in [(100_000, 0), (7, 1 << 40), (u32::MAX - 1, 0), (3000, 12_345_678)] {
            let ranges = cut_at(pages, toast);
            let mut next = Some(0);
            for (from, to) in &ranges {
                assert_eq!(next, Some(*from));
                next = *to;
            }
            assert_eq!(next, None);
        }
    }

    #[test]
    fn what_lies_in_toast_counts() {
        assert_eq!(cut_at(100, 0).len(), 1);
        assert_eq!(cut_at(100, 10 * RANGE).len(), 12);
        assert_eq!(cut_at(4, 1 << 40).len(), 4, "a range is a page at least");
    }

    #[test]
    fn conditions_and_names() {
        let relation =
            Arc::new(Relation { oid: 1, name: TableName::new("public", "item"), only: true });
        let range = |from, to| Range { relation: relation.clone(), from, to, pages: 0 };
        let text = |from, to| (range(from, to).condition(), range(from, to).to_string());
        assert_eq!(text(0, None), (None, "public.item".to_owned()));
        assert_eq!(
            text(0, Some(8)),
            (
                Some("ctid >= '(0,0)' AND ctid < '(8,0)'".to_owned()),
                "public.item, pages 0 to 7".to_owned()
            )
        );
        assert_eq!(
            text(8, None),
            (Some("ctid >= '(8,0)'".to_owned()), "public.item, pages from 8".to_owned())
        );
    }
}
