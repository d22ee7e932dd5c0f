//! The names of the kinds of statements, by which they are counted.

macro_rules! kinds {
    ($($name:ident = $text:literal),+ $(,)?) => {
        $(pub const $name: &str = $text;)+
        /// All of them.
        pub const ALL: &[&str] = &[$($text),+];
    };
}

kinds!(
    SETTINGS = "settings",
    PREPARE = "prepare the schema",
    CREATE_TABLE = "create table",
    BEGIN = "begin",
    COMMIT = "commit",
    ROLLBACK = "rollback",
    SAVEPOINT = "savepoint",
    ROLLBACK_TO = "rollback to",
    RELEASE = "release",
    PREPARE_TRANSACTION = "prepare transaction",
    COMMIT_PREPARED = "commit prepared",
    ROLLBACK_PREPARED = "rollback prepared",
    INSERT = "insert",
    UPSERT = "insert on conflict",
    DUPLICATE = "insert that fails",
    COPY = "copy",
    COPY_MANY = "copy of many",
    UPDATE = "update",
    UPDATE_BIG = "update of a large value",
    UPDATE_NOTHING = "update that changes nothing",
    UPDATE_MANY = "update of many",
    KEY_CHANGE = "key change",
    KEY_PART = "change of a part of a key",
    KEY_SPELLING = "key change to an equal key",
    KEY_SWAP = "key swap",
    MOVE = "move between partitions",
    DELETE = "delete",
    DELETE_MANY = "delete of many",
    REBIRTH = "delete and insert of one key",
    TRUNCATE = "truncate",
    TRUNCATE_SEVERAL = "truncate several",
    TRUNCATE_CASCADE = "truncate cascade",
    TRUNCATE_RESTART = "truncate restart identity",
    MESSAGE = "transactional message",
    MESSAGE_NOW = "message outside of the transaction",
    TEMPORARY = "temporary table",
    BLOCK = "exception block",
    ADD_COLUMN = "add column",
    ADD_COLUMN_DEFAULT = "add column default",
    DROP_COLUMN = "drop column",
    RENAME_COLUMN = "rename column",
    REWRITE = "alter type with rewrite",
    WIDEN = "alter type without rewrite",
    RENAME_TABLE = "rename table",
    SET_SCHEMA = "set schema",
    DROP_TABLE = "drop and create",
    IDENTITY = "replica identity",
    TOUCH = "touch of all rows",
    STORAGE = "set storage",
    ADD_VALUE = "add value to enum",
    VACUUM_FULL = "vacuum full",
    CLUSTER = "cluster",
);
