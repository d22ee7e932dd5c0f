//! What of a table's shape its documents depend on, and which changes of it they survive.
//!
//! A change of a table that rewrites its rows sends none of them: after `ADD COLUMN … DEFAULT` or `ALTER COLUMN … TYPE`
//! every document is stale, and nothing but the next description of the table tells. So descriptions are compared, going
//! forward in time: from the shape that the index is known to have, which is kept with its state, to each that the stream
//! brings.

use change::Table;
use decode::{ColumnType, Relation};
use document::Plan;

/// One column that documents are made of, as it was at some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnShape {
    /// Its name.
    pub name: String,
    /// `pg_attribute.attnum`: another one when it was dropped and made anew; 0 where it is not known.
    pub number: i16,
    /// The OID of its type.
    pub type_oid: u32,
    /// Its type modifier, -1 for none.
    pub modifier: i32,
}

/// The columns that the documents of an index are made of, in the order of the table.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Shape(pub Vec<ColumnShape>);

/// The types whose modifier bounds something without changing what is stored or printed, as long as it is only raised:
/// [`ALTER TABLE` does not rewrite the table then](https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-NOTES).
mod oid {
    pub(super) const VARCHAR: u32 = 1043;
    pub(super) const VARBIT: u32 = 1562;
    pub(super) const NUMERIC: u32 = 1700;
    pub(super) const TIME: u32 = 1083;
    pub(super) const TIMESTAMP: u32 = 1114;
    pub(super) const TIMESTAMPTZ: u32 = 1184;
    pub(super) const TIMETZ: u32 = 1266;
}

impl Shape {
    /// The shape that `plan` was made for.
    pub fn of(table: &Table, plan: &Plan) -> Shape {
        let used = |name: &str| {
            plan.key_columns().chain(plan.payload_column()).any(|column| column == name)
                || plan.fields().any(|(field, _)| field == name)
        };
        let columns = table.columns.iter().filter(|column| used(&column.name));
        Shape(
            columns
                .map(|column| ColumnShape {
                    name: column.name.clone(),
                    number: column.number,
                    type_oid: column.type_oid,
                    modifier: column.type_modifier,
                })
                .collect(),
        )
    }

    /// What in `later`, a later shape of the same table, documents of this one do not survive.
    pub fn broken_by(&self, later: &Shape) -> Option<String> {
        self.0.iter().find_map(|column| {
            let Some(now) = later.0.iter().find(|now| now.name == column.name) else {
                return Some(format!("column {:?} is gone", column.name));
            };
            if column.number != now.number && column.number != 0 && now.number != 0 {
                return Some(format!("column {:?} was dropped and made anew", column.name));
            }
            column.broken_by(now.type_oid, now.modifier)
        })
    }

    /// This shape, as `relation` describes it later; or what of it documents do not survive. Where a plugin does not tell
    /// OIDs, types are compared by the names that `table` has for them now, and modifiers are not.
    pub(crate) fn followed_by(&self, relation: &Relation, table: &Table) -> Result<Shape, String> {
        let later = |column: &ColumnShape| {
            let found = relation.columns.iter().find(|now| now.name == column.name);
            let Some(now) = found else {
                return Err(format!("column {:?} was dropped or renamed", column.name));
            };
            match &now.ty {
                ColumnType::Oid { oid, modifier } => match column.broken_by(*oid, *modifier) {
                    Some(broken) => Err(broken),
                    None => Ok(ColumnShape { modifier: *modifier, ..column.clone() }),
                },
                ColumnType::Name(name) => {
                    let known = table.columns.iter().find(|known| known.name == column.name);
                    match known.filter(|known| known.bare_type_name != *name) {
                        Some(known) => Err(format!(
                            "column {:?} was of type {name}, not {}",
                            column.name, known.bare_type_name
                        )),
                        None => Ok(column.clone()),
                    }
                }
            }
        };
        let shape: Vec<ColumnShape> = self.0.iter().map(later).collect::<Result<_, _>>()?;
        // Columns keep their order, so one that stands elsewhere now is another one of the same name. Partitions have orders of
        // their own.
        let place =
            |column: &ColumnShape| relation.columns.iter().position(|now| now.name == column.name);
        let moved = shape.windows(2).find(|pair| match pair {
            [a, b] => place(a) > place(b),
            _ => false,
        });
        match moved {
            Some([column, _]) if relation.oid.is_some() => {
                Err(format!("column {:?} was dropped and made anew", column.name))
            }
            _ => Ok(Shape(shape)),
        }
    }
}

impl ColumnShape {
    fn broken_by(&self, type_oid: u32, modifier: i32) -> Option<String> {
        if type_oid != self.type_oid {
            let (was, is) = (self.type_oid, type_oid);
            return Some(format!("the type of column {:?} changed (OID {was} to {is})", self.name));
        }
        let same = modifier == self.modifier || widened(type_oid, self.modifier, modifier);
        (!same).then(|| {
            format!(
                "the type modifier of column {:?} changed ({} to {modifier})",
                self.name, self.modifier
            )
        })
    }
}

/// True when every value under the modifier `before` is the same, and printed the same, under `after`.
fn widened(type_oid: u32, before: i32, after: i32) -> bool {
    if !matches!(
        type_oid,
        oid::VARCHAR
            | oid::VARBIT
            | oid::NUMERIC
            | oid::TIME
            | oid::TIMESTAMP
            | oid::TIMESTAMPTZ
            | oid::TIMETZ
    ) {
        return false;
    }
    if after == -1 {
        return true;
    }
    // (precision << 16 | scale) + 4: the scale shows in the text.
    let scale = |modifier: i32| modifier.wrapping_sub(4) & 0xFFFF;
    before != -1 && after >= before && (type_oid != oid::NUMERIC || scale(before) == scale(after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(type_oid: u32, modifier: i32) -> Shape {
        Shape(vec![ColumnShape { name: "a".into(), number: 1, type_oid, modifier }])
    }

    fn numeric(precision: i32, scale: i32) -> i32 {
        (precision << 16 | scale) + 4
    }

    #[test]
    fn a_raised_bound_changes_no_document() {
        for (oid, before, after) in [
            (oid::VARCHAR, 14, 14),
            (oid::VARCHAR, 14, 24),
            (oid::VARCHAR, 14, -1),
            (oid::NUMERIC, numeric(10, 2), numeric(12, 2)),
            (oid::NUMERIC, numeric(10, 2), -1),
            (oid::TIMESTAMP, 3, 6),
            (oid::TIMESTAMPTZ, 3, -1),
        ] {
            assert_eq!(
                shape(oid, before).broken_by(&shape(oid, after)),
                None,
                "{oid} {before} {after}"
            );
        }
    }

    #[test]
    fn whatever_can_change_a_value_is_told() {
        for (oid, before, after) in [
            (oid::VARCHAR, 24, 14),
            (oid::VARCHAR, -1, 14),
            (oid::NUMERIC, numeric(10, 2), numeric(12, 3)),
            (oid::NUMERIC, numeric(10, 2), numeric(9, 2)),
            (oid::NUMERIC, -1, numeric(10, 2)),
            (oid::TIMESTAMP, 6, 3),
            (1042, 14, 24),
        ] {
            let broken = shape(oid, before).broken_by(&shape(oid, after));
            assert!(
                broken.is_some_and(|why| why.contains("modifier of column \"a\"")),
                "{oid} {before} {after}"
            );
        }
        let mut anew = shape(23, -1);
        anew.0[0].number = 2;
        assert!(shape(23, -1).broken_by(&anew).unwrap().contains("dropped and made anew"));
        anew.0[0].number = 0;
        assert_eq!(anew.broken_by(&shape(23, -1)), None);
        assert!(shape(23, -1).broken_by(&shape(20, -1)).unwrap().contains("(OID 23 to 20)"));
        assert_eq!(shape(23, -1).broken_by(&Shape::default()).unwrap(), "column \"a\" is gone");
    }
}
