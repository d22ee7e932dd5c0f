//! Text.

use super::Draw;

/// What a reader may take for something else.
const HARD: &[&str] = &[
    "",
    " ",
    "null",
    "NULL",
    "\\N",
    "\\.",
    "'",
    "''",
    "\"",
    "\\",
    "\\'",
    "' x[integer]:1",
    "' x[integer]:1 new-tuple: y[text]:'z' null unchanged-toast-datum",
    "unchanged-toast-datum",
    "old-key: id[integer]:1 new-tuple: id[integer]:2",
    "COMMIT 731 (at 2024-01-01 00:00:00+00)",
    "table public.t: DELETE: id[integer]:1",
    "(no-tuple-data)",
    "\r\n",
    "a\nCOMMIT\nb",
    "{}",
    "[\"a\",\"b\"]",
    "sha256:0",
    "</script>",
    "ünï 😀 \u{2028}\u{2029}\u{feff}",
    "\u{10ffff}\u{ffff}\u{fffe}\u{e000}",
    "e\u{301} é \u{200d}👩\u{200d}👧",
    " both ends ",
    "t",
    "1.50",
];

/// Any text that a database can hold; some kilobytes at most.
pub fn text(d: &mut Draw) -> String {
    match d.rng.u32(..12) {
        0..4 => d.pick(HARD).to_owned(),
        4 => controls(),
        5 => "long ".repeat(d.rng.usize(1..700)),
        6 => format!("{} {}", d.pick(HARD), d.pick(HARD)),
        _ => mixed(d, 30),
    }
}

/// Every ASCII control character but NUL.
fn controls() -> String {
    (1..0x20).chain([0x7f]).map(char::from).collect()
}

/// Up to `most` characters, of which some are hard.
fn mixed(d: &mut Draw, most: usize) -> String {
    (0..d.rng.usize(..=most)).map(|_| character(d)).collect()
}

fn character(d: &mut Draw) -> char {
    match d.rng.u32(..12) {
        0 => char::from(d.rng.u8(1..=0x7f)),
        1 => d.rng.char('\u{80}'..='\u{10ffff}'),
        2 => {
            d.pick(&["'", "\"", "\\", "\n", "\t", ",", "{", "}", "(", ")"]).chars().next().unwrap()
        }
        _ => d.rng.alphanumeric(),
    }
}

/// Up to `most` characters.
pub fn short(d: &mut Draw, most: usize) -> String {
    if d.one_in(3) { d.pick(HARD).chars().take(most).collect() } else { mixed(d, most) }
}

pub fn varchar20(d: &mut Draw) -> String {
    short(d, 20)
}

/// What fits into 63 bytes.
pub fn name(d: &mut Draw) -> String {
    short(d, 15)
}

/// For the type `"char"`; an octal escape would be read as one byte.
pub fn one_byte(d: &mut Draw) -> String {
    if d.one_in(8) { String::new() } else { char::from(d.rng.u8(1..=0x7f)).into() }
}

pub fn label(d: &mut Draw) -> String {
    let at = d.rng.usize(..d.labels.len());
    d.labels[at].clone()
}

/// A part of a key: as hard, at times longer than an `_id` may be, never too long for an index.
pub fn key(d: &mut Draw) -> String {
    if d.one_in(12) { d.hex(700) } else { short(d, 40) }
}

/// 9,000 to 20,000 bytes that can't be compressed.
pub fn big(d: &mut Draw) -> String {
    (0..d.rng.usize(9_000..20_000)).map(|_| d.rng.alphanumeric()).collect()
}

pub fn xml(d: &mut Draw) -> String {
    let text: String = mixed(d, 20).chars().filter(|c| c.is_alphanumeric()).collect();
    format!("<a b=\"1\">{text}<c/> &amp; <![CDATA[<'\\>]]></a>")
}
