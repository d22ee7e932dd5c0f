//! The row of the other benchmarks (`../item`) as a table.

use postgres::{Client, NoTls};

/// Makes the table `item` with so many rows.
pub fn make(postgres: &str, rows: u64) {
    let mut sql = Client::connect(postgres, NoTls).unwrap();
    sql.batch_execute(&format!(
        "DROP TABLE IF EXISTS item;
         CREATE TABLE item (id bigint PRIMARY KEY, name text, description text, price numeric, active boolean,
                            at timestamptz, stars double precision);
         INSERT INTO item
         SELECT n, 'Nukuʻalofa ' || n % 1000,
                'The quick brown fox jumps over the lazy dog, and the dog does not mind at all. It has seen many foxes '
                'come and go, and this one too', 1234.50 + n % 10000, n % 2 = 0,
                timestamptz '2024-02-29 12:34:56.789012+00' + n * interval '1 s', 4.25
           FROM generate_series(1, {rows}) n"
    ))
    .unwrap();
    sql.batch_execute("VACUUM (FREEZE, ANALYZE) item").unwrap();
    sql.batch_execute("CHECKPOINT").unwrap();
}

/// Drops what one load has left in the database.
pub fn forget(postgres: &str, name: &str) {
    let mut sql = Client::connect(postgres, NoTls).unwrap();
    sql.execute("SELECT pg_drop_replication_slot($1::text::name)", &[&name]).unwrap();
    sql.batch_execute(&format!("DROP PUBLICATION {name}")).unwrap();
}
