//! JSON: duplicate keys, large numbers, nesting, white space.

use super::Draw;

/// OpenSearch takes 20 at most, a few of which the document itself and an array around it need.
const DEEPEST: u32 = 18;

/// As the type `json` keeps it: also with `\u0000`, which `jsonb` refuses.
pub fn json(d: &mut Draw) -> String {
    match d.rng.u32(..10) {
        0 => r#"{"a":"\u0000","b":"\u001f"}"#.to_owned(),
        1 => r#" { "b" : 1.50, "a" : [1e5, 1E+2, -0, null], "b" : { "x" : 1, "x" : 2 } } "#
            .to_owned(),
        _ => jsonb(d),
    }
}

/// What both types take.
pub fn jsonb(d: &mut Draw) -> String {
    match d.rng.u32(..10) {
        0 => scalar(d),
        1 => deep(d),
        _ => value(d, 4),
    }
}

fn deep(d: &mut Draw) -> String {
    let depth = d.rng.u32(5..=DEEPEST);
    (0..depth).fold("1".to_owned(), |inner, _| {
        if d.rng.bool() { format!("[{inner}]") } else { format!("{{\"d\":{inner}}}") }
    })
}

fn value(d: &mut Draw, depth: u32) -> String {
    let members = d.rng.usize(..4);
    match d.rng.u32(..3) {
        0 if depth > 0 => {
            let members: Vec<String> = (0..members).map(|_| value(d, depth - 1)).collect();
            format!("[{}]", members.join(space(d)))
        }
        1 if depth > 0 => {
            let members: Vec<String> = (0..members).map(|_| member(d, depth - 1)).collect();
            format!("{{{}}}", members.join(space(d)))
        }
        _ => scalar(d),
    }
}

fn space(d: &mut Draw) -> &'static str {
    d.pick(&[",", ", ", " ,\n\t"])
}

/// Few names, so that they meet.
fn member(d: &mut Draw, depth: u32) -> String {
    let names = ["\"a\"", "\"\\u0061\"", "\"b\"", "\"\"", "\"a.b\"", "\"ü\\\"\"", "\"_id\""];
    format!("{}:{}", d.pick(&names), value(d, depth))
}

fn scalar(d: &mut Draw) -> String {
    match d.rng.u32(..6) {
        0 => d.pick(&["null", "true", "false", "-0", "0.00", "1.50", "1e-7"]).to_owned(),
        1 => format!("1{}", d.digits(600)),
        2 => format!("-1{}.{}", d.digits(20), d.digits(20)),
        3 => "1E+300".to_owned(),
        4 => serde_json::to_string(&super::text::text(d)).unwrap(),
        _ => d
            .pick(&[
                "\"\"",
                "\"\\ud83d\\ude00\"",
                "\"\\/\"",
                "\"' x[integer]:1\"",
                "12345678901234567890",
            ])
            .to_owned(),
    }
}
