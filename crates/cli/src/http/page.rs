//! The page that people look at: the screen of `wal2es status`, drawn anew every few seconds.

use std::fmt::Write as _;

use crate::status::Status;

const HEAD: &str = "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta http-equiv=\"refresh\" content=\"3\">\
    <meta name=\"viewport\" content=\"width=device-width\"><title>wal2es</title><style>\
    body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:60em;padding:0 1em;color:#222}\
    table{border-collapse:collapse;width:100%}th{text-align:left;vertical-align:top;width:6em;color:#666;font-weight:normal}\
    td,th{padding:.3em .6em;border-bottom:1px solid #ddd;overflow-wrap:anywhere}progress{width:100%}\
    tr.warning td,tr.stopped td{background:#fff3d6}</style></head><body><h1>wal2es</h1>";

pub(super) fn of(status: &Status) -> String {
    let mut html = HEAD.to_owned();
    // Writing to a text can't fail.
    if let Some(progress) = &status.progress {
        let (rows, of) = (progress.rows, progress.estimated_rows.max(1));
        let _ = write!(html, "<progress value=\"{rows}\" max=\"{of}\"></progress>");
    }
    html.push_str("<table>");
    for (about, text) in status.lines() {
        let text = escape(&text);
        let _ = write!(html, "<tr class=\"{about}\"><th>{about}</th><td>{text}</td></tr>");
    }
    html.push_str("</table></body></html>\n");
    html
}

/// Names of tables and indices are other people's.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::IndexStatus;

    #[test]
    fn names_do_not_become_markup() {
        let index = IndexStatus {
            name: "<script>alert('1')</script>".into(),
            table: "public.\"a&b\"".into(),
            index: "i".into(),
            shown: None,
            rolled_back: false,
            kept: Vec::new(),
            followed: true,
        };
        let html = of(&Status { indexes: vec![index], ..Status::default() });
        assert!(!html.contains("<script"), "{html}");
        assert!(html.contains("&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;"), "{html}");
        assert!(html.contains("&quot;a&amp;b&quot;"), "{html}");
    }
}
