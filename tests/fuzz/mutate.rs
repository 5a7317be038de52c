//! Ways to spoil an input: bytes, characters, tokens, lines and their indentation, numbers, brackets, and parts of
//! two inputs put together.

use crate::rng::Rng;

/// What the mutations of a target draw from.
pub struct Words<'a> {
    /// Whole inputs, for splicing.
    pub corpus: &'a [&'a str],
    /// Pieces that mean something to the parser.
    pub tokens: &'a [&'a str],
}

const ODD_BYTES: [u8; 16] = [0, 9, 10, 13, 32, b'"', b'\'', b'\\', b'{', b'}', b'[', b':', 0x7F, 0x80, 0xC3, 0xFF];
const ODD_TEXTS: [&str; 18] = [
    "\0",
    "é",
    "\u{a0}",
    "\u{feff}",
    "\u{2028}",
    "🙂",
    "ß",
    "İ",
    "\u{300}",
    "\r\n",
    "\\x",
    "\\u12",
    "\\U00110000",
    "\\777",
    "%zz",
    "\u{10ffff}",
    "\\",
    "ﬁ",
];
const NUMBERS: [&str; 22] = [
    "0",
    "-1",
    "00",
    "1e400",
    "-0",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "18446744073709551616",
    "4294967296",
    "2147483648",
    "99999999999999999999999999999999",
    "0x",
    "0xFFFFFFFFFFFFFFFF",
    "1_000",
    "1.5",
    ".5",
    "5.",
    "NaN",
    "1e-400",
    "0b2",
    "0o9",
];

impl Words<'_> {
    pub fn input<'a>(&'a self, rng: &mut Rng) -> &'a str {
        rng.pick(self.corpus)
    }

    /// A corpus input, spoiled zero to `most` times.
    pub fn mutant(&self, rng: &mut Rng, most: usize) -> Vec<u8> {
        let mut bytes = self.input(rng).as_bytes().to_vec();
        for _ in 0..rng.between(0, most) {
            self.mutate(rng, &mut bytes);
        }
        bytes
    }

    /// As [`Words::mutant`]; what is no UTF-8 is replaced.
    pub fn mutant_text(&self, rng: &mut Rng, most: usize) -> String {
        String::from_utf8_lossy(&self.mutant(rng, most)).into_owned()
    }

    pub fn spoiled(&self, rng: &mut Rng, text: &str, most: usize) -> String {
        let mut bytes = text.as_bytes().to_vec();
        for _ in 0..rng.between(0, most) {
            self.mutate(rng, &mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// One change.
    pub fn mutate(&self, rng: &mut Rng, bytes: &mut Vec<u8>) {
        match rng.below(18) {
            0 | 1 => change_byte(rng, bytes),
            2 => remove_some(rng, bytes),
            3 => repeat_some(rng, bytes),
            4 => insert(rng, bytes, rng_text(&ODD_TEXTS)),
            5..=7 => {
                let token = rng.pick(self.tokens).to_owned();
                insert(rng, bytes, |_| token);
            }
            8 | 9 => {
                let token = rng.pick(self.tokens).to_owned();
                replace_word(rng, bytes, &token);
            }
            10 => {
                let number = rng.pick(&NUMBERS).to_owned();
                replace_number(rng, bytes, &number);
            }
            11 => self.splice(rng, bytes),
            12 => move_lines(rng, bytes),
            13 => indent(rng, bytes),
            14 => nest(rng, bytes),
            15 => bytes.truncate(rng.below(bytes.len() + 1)),
            16 => swap_words(rng, bytes),
            _ => multiply_token(rng, bytes, self.tokens),
        }
        // Growth comes from repetition, and the interesting part of it is small.
        bytes.truncate(1 << 16);
    }

    /// The beginning of this one, the end of another.
    fn splice(&self, rng: &mut Rng, bytes: &mut Vec<u8>) {
        let other = self.input(rng).as_bytes();
        let from = rng.below(other.len() + 1);
        bytes.truncate(rng.below(bytes.len() + 1));
        bytes.extend_from_slice(&other[from..]);
    }
}

fn rng_text<'t>(texts: &'t [&'t str]) -> impl FnOnce(&mut Rng) -> String + 't {
    |rng| rng.pick(texts).to_owned()
}

fn change_byte(rng: &mut Rng, bytes: &mut [u8]) {
    let at = rng.below(bytes.len());
    let Some(byte) = bytes.get_mut(at) else { return };
    *byte = match rng.below(3) {
        0 => *byte ^ (1 << rng.below(8)),
        1 => ODD_BYTES[rng.below(ODD_BYTES.len())],
        _ => rng.next() as u8,
    };
}

/// A stretch that begins anywhere; mostly short.
fn stretch(rng: &mut Rng, bytes: &[u8]) -> std::ops::Range<usize> {
    let from = rng.below(bytes.len() + 1);
    let longest = if rng.one_in(4) { bytes.len() } else { 12 };
    let length = rng.below(longest + 1);
    from..bytes.len().min(from + length)
}

fn remove_some(rng: &mut Rng, bytes: &mut Vec<u8>) {
    let range = stretch(rng, bytes);
    bytes.drain(range);
}

fn repeat_some(rng: &mut Rng, bytes: &mut Vec<u8>) {
    let range = stretch(rng, bytes);
    let piece = bytes[range.clone()].to_vec();
    let times = if rng.one_in(8) { rng.between(2, 1000) } else { rng.between(1, 4) };
    let room = (1 << 14) / piece.len().max(1);
    let repeated = piece.repeat(times.min(room));
    bytes.splice(range.end..range.end, repeated);
}

fn insert(rng: &mut Rng, bytes: &mut Vec<u8>, text: impl FnOnce(&mut Rng) -> String) {
    let at = rng.below(bytes.len() + 1);
    let text = text(rng);
    bytes.splice(at..at, text.into_bytes());
}

fn multiply_token(rng: &mut Rng, bytes: &mut Vec<u8>, tokens: &[&str]) {
    let token = rng.pick(tokens);
    let times = if rng.one_in(4) { rng.between(50, 3000) } else { rng.between(2, 20) };
    let at = rng.below(bytes.len() + 1);
    let times = times.min((1 << 14) / token.len().max(1));
    bytes.splice(at..at, token.repeat(times).into_bytes());
}

/// The word around some place.
fn word(rng: &mut Rng, bytes: &[u8]) -> std::ops::Range<usize> {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte >= 0x80;
    let at = rng.below(bytes.len() + 1);
    let from = bytes[..at].iter().rposition(|byte| !is_word(byte)).map_or(0, |end| end + 1);
    let to = bytes[at..].iter().position(|byte| !is_word(byte)).map_or(bytes.len(), |length| at + length);
    from..to
}

fn replace_word(rng: &mut Rng, bytes: &mut Vec<u8>, with: &str) {
    let range = word(rng, bytes);
    bytes.splice(range, with.bytes());
}

fn swap_words(rng: &mut Rng, bytes: &mut Vec<u8>) {
    let (a, b) = (word(rng, bytes), word(rng, bytes));
    let (a, b) = if a.start <= b.start { (a, b) } else { (b, a) };
    if a.end > b.start {
        return;
    }
    let (first, second) = (bytes[a.clone()].to_vec(), bytes[b.clone()].to_vec());
    bytes.splice(b, first);
    bytes.splice(a, second);
}

fn replace_number(rng: &mut Rng, bytes: &mut Vec<u8>, with: &str) {
    let start = rng.below(bytes.len() + 1);
    let Some(from) = bytes[start..].iter().position(u8::is_ascii_digit).map(|at| start + at) else { return };
    let length = bytes[from..].iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(bytes.len() - from);
    bytes.splice(from..from + length, with.bytes());
}

fn lines(bytes: &[u8]) -> Vec<Vec<u8>> {
    bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

/// A block of lines goes, comes twice, or stands elsewhere.
fn move_lines(rng: &mut Rng, bytes: &mut Vec<u8>) {
    let mut all = lines(bytes);
    if all.is_empty() {
        return;
    }
    let from = rng.below(all.len());
    let to = all.len().min(from + rng.between(1, 4));
    let block: Vec<Vec<u8>> = match rng.below(3) {
        0 => {
            all.drain(from..to);
            Vec::new()
        }
        1 => all[from..to].to_vec(),
        _ => all.drain(from..to).collect(),
    };
    let at = rng.below(all.len() + 1);
    all.splice(at..at, block);
    *bytes = all.concat();
}

/// Some lines move to the right or to the left.
fn indent(rng: &mut Rng, bytes: &mut Vec<u8>) {
    let mut all = lines(bytes);
    let from = rng.below(all.len());
    let count = rng.between(1, 5);
    let by = rng.between(1, 4);
    let right = rng.one_in(2);
    let blank = if rng.one_in(8) { b'\t' } else { b' ' };
    for line in all.iter_mut().skip(from).take(count) {
        if right {
            line.splice(0..0, std::iter::repeat_n(blank, by));
        } else {
            let blanks = line.iter().take_while(|byte| **byte == b' ').count();
            line.drain(..blanks.min(by));
        }
    }
    *bytes = all.concat();
}

/// Brackets inside each other: around a stretch, or opened and left so.
fn nest(rng: &mut Rng, bytes: &mut Vec<u8>) {
    const PAIRS: [(&str, &str); 9] = [
        ("[", "]"),
        ("{", "}"),
        ("(", ")"),
        ("{a: ", "}"),
        ("{\"a\":", "}"),
        ("\"", "\""),
        ("(?:", ")*"),
        ("- ", ""),
        ("{{ ", " }}"),
    ];
    let (open, close) = PAIRS[rng.below(PAIRS.len())];
    let depth = if rng.one_in(3) { rng.between(20, 4000) } else { rng.between(1, 6) };
    let range = stretch(rng, bytes);
    if !rng.one_in(4) {
        bytes.splice(range.end..range.end, close.repeat(depth).into_bytes());
    }
    bytes.splice(range.start..range.start, open.repeat(depth).into_bytes());
}
