//! What the sessions write: everything that is hard to follow, and a mark on all that never commits.
//!
//! `ghost` is true in rows that only transactions and savepoints write that are rolled back. The rows of `twin` have the same
//! number each, and nothing that commits removes one.

use super::load::Line;

/// The tables, with what follows CREATE TABLE.
pub const TABLES: [(&str, &str); 5] = [
    ("kv", "k int PRIMARY KEY, n bigint, t varchar(20), ghost boolean DEFAULT false"),
    ("log", "n bigint PRIMARY KEY, t text, ghost boolean DEFAULT false"),
    ("large", "k int PRIMARY KEY, n bigint, big text, ghost boolean DEFAULT false"),
    ("loose", "k int PRIMARY KEY, n bigint, big text, ghost boolean DEFAULT false, other text"),
    ("twin", "id int PRIMARY KEY, n bigint, ghost boolean DEFAULT false"),
];

/// A table that is there, and written to, before it is followed.
pub const LATER: (&str, &str) =
    ("later", "k int PRIMARY KEY, n bigint, ghost boolean DEFAULT false");

/// What is there before the first copy.
pub const PREPARE: &str = "INSERT INTO later SELECT i, i FROM generate_series(0, 3000) i; \
     ALTER TABLE large REPLICA IDENTITY FULL; \
     ALTER TABLE large ALTER big SET STORAGE EXTERNAL; \
     ALTER TABLE loose ALTER big SET STORAGE EXTERNAL, ALTER other SET STORAGE EXTERNAL; \
     INSERT INTO loose SELECT i, i, repeat(md5(i::text), 200) FROM generate_series(0, 9) i; \
     INSERT INTO twin SELECT i, 0 FROM generate_series(1, 8) i; \
     INSERT INTO kv SELECT i, i, 'first' FROM generate_series(0, 59) i; \
     INSERT INTO large SELECT i, i, repeat(md5(i::text), 200) FROM generate_series(0, 9) i; \
     INSERT INTO log SELECT -i, 'first' FROM generate_series(1, 2000) i";

/// Rows of `twin`.
pub const TWINS: usize = 8;

const KEYS: i32 = 120;
const LARGE: i32 = 25;

/// One step of a transaction. `doomed`: it will be rolled back. `n` is new. `many` rows are a lot, and less than a thousand.
pub fn statement(rng: &mut fastrand::Rng, n: u64, many: u64, doomed: bool) -> Vec<Line> {
    let k = rng.i32(0..KEYS);
    // It makes a new index each time.
    if rng.u32(..800) == 0 {
        return truncated(rng);
    }
    match rng.u32(..100) {
        0..22 => one(format!(
            "INSERT INTO kv VALUES ({k}, {n}, 'set', {doomed}) \
             ON CONFLICT (k) DO UPDATE SET n = {n}, t = 'again', ghost = {doomed}"
        )),
        22..32 => one(format!("DELETE FROM kv WHERE k = {k}")),
        32..40 => reborn(k, n, doomed),
        40..48 => swapped(rng, k, n, doomed),
        48..53 => {
            one(format!("UPDATE kv SET n = {n}, ghost = {doomed} WHERE k % {} = 0", rng.i32(3..20)))
        }
        53..60 => one(format!("INSERT INTO log VALUES ({n}, 'one', {doomed})")),
        60..64 => one(format!(
            "INSERT INTO log SELECT {n} + i, 'many', {doomed} FROM generate_series(1, {}) i",
            rng.u64(1..=many.min(100))
        )),
        64..69 => copied(rng, n, many, doomed),
        69 => one(format!(
            "INSERT INTO later VALUES ({k}, {n}, {doomed}) \
             ON CONFLICT (k) DO UPDATE SET n = {n}, ghost = {doomed}"
        )),
        70 => one(format!("DELETE FROM later WHERE k % {} = 0", rng.i32(20..300))),
        71 => one(format!("DELETE FROM log WHERE n % {} = 0", rng.i32(2..40))),
        72..84 => large(rng, n, doomed),
        84..96 => twins(rng, n, doomed),
        96..97 => one(format!(
            "INSERT INTO log SELECT {n} + i, repeat('many', 20), {doomed} FROM generate_series(1, {many}) i"
        )),
        _ => one(altered(rng)),
    }
}

fn one(sql: String) -> Vec<Line> {
    vec![Line::Sql(sql)]
}

fn reborn(k: i32, n: u64, doomed: bool) -> Vec<Line> {
    vec![
        Line::Sql(format!("DELETE FROM kv WHERE k = {k}")),
        Line::Sql(format!(
            "INSERT INTO kv VALUES ({k}, {n}, 'reborn', {doomed}) ON CONFLICT DO NOTHING"
        )),
    ]
}

/// Two rows change their keys for each other's, or one takes a key that may be free.
fn swapped(rng: &mut fastrand::Rng, k: i32, n: u64, doomed: bool) -> Vec<Line> {
    let other = rng.i32(0..KEYS);
    let aside = -1 - k;
    let rename = |from: i32, to: i32| {
        Line::Sql(format!("UPDATE kv SET k = {to}, n = {n}, ghost = {doomed} WHERE k = {from}"))
    };
    if rng.bool() {
        return vec![rename(k, aside), rename(other, k), rename(aside, other)];
    }
    vec![Line::Sql(format!("DELETE FROM kv WHERE k = {other}")), rename(k, other)]
}

fn copied(rng: &mut fastrand::Rng, n: u64, many: u64, doomed: bool) -> Vec<Line> {
    let rows: String = (1..=rng.u64(1..=many.min(60)))
        .map(|at| format!("{}\tcopied\t{doomed}\n", n + at))
        .collect();
    vec![Line::Copy("COPY log (n, t, ghost) FROM STDIN".to_owned(), rows)]
}

fn truncated(rng: &mut fastrand::Rng) -> Vec<Line> {
    let tables = ["log", "log, kv", "loose", "large, loose"][rng.usize(..4)];
    one(format!("TRUNCATE {tables}"))
}

/// Values that are kept apart from their row, and are not sent when they do not change; with the old row (`large`) and without
/// it (`loose`).
fn large(rng: &mut fastrand::Rng, n: u64, doomed: bool) -> Vec<Line> {
    let (k, other) = (rng.i32(0..LARGE), rng.i32(0..LARGE));
    let table = if rng.u32(..3) == 0 { "large" } else { "loose" };
    let rename = |from: i32, to: i32| {
        Line::Sql(format!(
            "UPDATE {table} SET k = {to}, n = {n}, ghost = {doomed} WHERE k = {from}"
        ))
    };
    one(match rng.u32(..12) {
        0..4 => format!(
            "INSERT INTO {table} VALUES ({k}, {n}, repeat(md5('{n}'), {}), {doomed}) \
             ON CONFLICT (k) DO UPDATE SET n = {n}, big = EXCLUDED.big, ghost = {doomed}",
            rng.u32(80..1500)
        ),
        4..7 => format!("UPDATE {table} SET n = {n}, ghost = {doomed} WHERE k = {k}"),
        7 => {
            format!("UPDATE {table} SET n = {n}, ghost = {doomed} WHERE k % {} = 0", rng.i32(2..6))
        }
        8 if table == "loose" => format!(
            "UPDATE loose SET other = repeat('{n}', {}), n = {n}, ghost = {doomed} WHERE k = {k}",
            rng.u32(1..600)
        ),
        8 | 9 => format!("DELETE FROM {table} WHERE k = {k}"),
        10 => return vec![rename(k, -1 - k), rename(other, k), rename(-1 - k, other)],
        _ => {
            let free = format!("DELETE FROM {table} WHERE k = {other} AND k <> {k}");
            return vec![Line::Sql(free), rename(k, other)];
        }
    })
}

fn twins(rng: &mut fastrand::Rng, n: u64, doomed: bool) -> Vec<Line> {
    if doomed && rng.bool() {
        return one("DELETE FROM twin".to_owned());
    }
    one(format!("UPDATE twin SET n = {n}, ghost = {doomed}"))
}

/// Never narrower: that would be another form of the documents.
const WIDER: &str = "DO $$ BEGIN EXECUTE (SELECT format('ALTER TABLE kv ALTER t TYPE varchar(%s)', atttypmod - 3) \
     FROM pg_attribute WHERE attrelid = 'kv'::regclass AND attname = 't'); END $$";

/// What documents survive.
fn altered(rng: &mut fastrand::Rng) -> String {
    let table = ["kv", "log", "twin", "loose"][rng.usize(..4)];
    match rng.u32(..5) {
        0 => format!("ALTER TABLE {table} REPLICA IDENTITY FULL"),
        1 => format!("ALTER TABLE {table} REPLICA IDENTITY DEFAULT"),
        2 => format!("LOCK TABLE kv; {WIDER}"),
        3 => "DROP TABLE IF EXISTS aside; CREATE TABLE aside (LIKE kv INCLUDING ALL); \
              INSERT INTO aside SELECT * FROM kv"
            .to_owned(),
        _ => format!("ALTER TABLE {table} SET (fillfactor = {})", rng.u32(50..100)),
    }
}
