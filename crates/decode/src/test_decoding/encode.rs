//! The inverse of the decoder: writes lines as the plugin does, for tests and benchmarks.

use std::io::Write;

use change::{OldImage, Row, RowChange, TableName, Value};

use super::time;
use super::value::Form;
use crate::event::{LogicalMessage, Truncate};
use crate::relation::{ColumnType, Relation};

/// `BEGIN 725`; without a number if `include-xids` is off.
pub fn begin(xid: Option<u32>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"BEGIN");
    number(xid, out);
}

/// `COMMIT 725 (at …)`. `committed_at` in microseconds since 2000-01-01 UTC, in the years 1 to 294275.
pub fn commit(xid: Option<u32>, committed_at: Option<i64>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"COMMIT");
    number(xid, out);
    if let Some(at) = committed_at {
        print(format_args!(" (at {})", time::write(at)), out);
    }
}

/// A change of a row of `relation`. Of an old row it names the columns that have a text, as the plugin does.
pub fn row(relation: &Relation, change: &RowChange<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"table ");
    table(&relation.name, out);
    match change {
        RowChange::Insert { new } => {
            out.extend_from_slice(b": INSERT:");
            columns(relation, new, false, out);
        }
        RowChange::Update { old, new } => {
            out.extend_from_slice(b": UPDATE:");
            if let Some(old) = old.row() {
                out.extend_from_slice(b" old-key:");
                columns(relation, &old, true, out);
                out.extend_from_slice(b" new-tuple:");
            }
            columns(relation, new, false, out);
        }
        RowChange::Delete { old: OldImage::Absent } => {
            out.extend_from_slice(b": DELETE: (no-tuple-data)");
        }
        RowChange::Delete { old: OldImage::Key(old) | OldImage::Full(old) } => {
            out.extend_from_slice(b": DELETE:");
            columns(relation, old, true, out);
        }
    }
}

/// `table public.a, public.b: TRUNCATE: …`.
pub fn truncate(truncate: &Truncate, out: &mut Vec<u8>) {
    for (at, one) in truncate.tables.iter().enumerate() {
        out.extend_from_slice(if at == 0 { b"table " } else { b", " });
        table(&one.name, out);
    }
    out.extend_from_slice(b": TRUNCATE:");
    let flags = truncate.options;
    for (set, text) in [
        (flags.restart_identity, " restart_seqs"),
        (flags.cascade, " cascade"),
        (!flags.restart_identity && !flags.cascade, " (no-flags)"),
    ] {
        if set {
            out.extend_from_slice(text.as_bytes());
        }
    }
}

/// `message: transactional: 1 prefix: p, sz: 3 content:abc`.
pub fn message(message: &LogicalMessage<'_>, out: &mut Vec<u8>) {
    let LogicalMessage { transactional, prefix, content, .. } = message;
    let (flag, len) = (u8::from(*transactional), content.len());
    print(format_args!("message: transactional: {flag} prefix: {prefix}, sz: {len} content:"), out);
    out.extend_from_slice(content);
}

fn columns(relation: &Relation, row: &Row<'_>, named_only: bool, out: &mut Vec<u8>) {
    for (column, value) in relation.columns.iter().zip(row.values()) {
        if named_only && !matches!(value, Value::Text(_)) {
            continue;
        }
        let ty = match &column.ty {
            ColumnType::Name(name) => name,
            ColumnType::Oid { .. } => "???",
        };
        out.push(b' ');
        identifier(&column.name, out);
        print(format_args!("[{ty}]:"), out);
        match value {
            Value::Null => out.extend_from_slice(b"null"),
            Value::Unchanged => out.extend_from_slice(b"unchanged-toast-datum"),
            Value::Text(text) => literal(Form::of(ty), text, out),
        }
    }
}

fn literal(form: Form, text: &[u8], out: &mut Vec<u8>) {
    match form {
        Form::Bare => out.extend_from_slice(text),
        Form::Boolean => out.extend_from_slice(if text == b"t" { b"true" } else { b"false" }),
        Form::Bits => {
            out.push(b'B');
            literal(Form::Quoted, text, out);
        }
        Form::Quoted => {
            out.push(b'\'');
            for &byte in text {
                if byte == b'\'' {
                    out.push(byte);
                }
                out.push(byte);
            }
            out.push(b'\'');
        }
    }
}

fn table(name: &TableName, out: &mut Vec<u8>) {
    identifier(&name.schema, out);
    out.push(b'.');
    identifier(&name.name, out);
}

fn identifier(name: &str, out: &mut Vec<u8>) {
    let mut bytes = name.bytes();
    let plain = bytes.next().is_some_and(|first| first.is_ascii_lowercase() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if plain {
        out.extend_from_slice(name.as_bytes());
    } else {
        print(format_args!("\"{}\"", name.replace('"', "\"\"")), out);
    }
}

fn number(xid: Option<u32>, out: &mut Vec<u8>) {
    if let Some(xid) = xid {
        print(format_args!(" {xid}"), out);
    }
}

fn print(text: std::fmt::Arguments<'_>, out: &mut Vec<u8>) {
    // Writing to memory does not fail.
    let _ = out.write_fmt(text);
}
