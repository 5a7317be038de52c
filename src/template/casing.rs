//! Upper, lower and title case as Go and its text library do them.

/// `strings.ToUpper`: one code point for one.
pub fn upper(text: &str) -> String {
    text.chars().map(simple_upper).collect()
}

/// `strings.ToLower`: one code point for one, no final sigma.
pub fn lower(text: &str) -> String {
    text.chars().map(simple_lower).collect()
}

fn simple_upper(c: char) -> char {
    let mut full = c.to_uppercase();
    match (full.next(), full.next()) {
        (Some(upper), None) => upper,
        // Greek with iota below: the full form is two letters, the simple one a title letter.
        _ => match u32::from(c) {
            code @ (0x1f80..=0x1f87 | 0x1f90..=0x1f97 | 0x1fa0..=0x1fa7) => char::from_u32(code + 8).unwrap_or(c),
            code @ (0x1fb3 | 0x1fc3 | 0x1ff3) => char::from_u32(code + 9).unwrap_or(c),
            _ => c,
        },
    }
}

fn simple_lower(c: char) -> char {
    let mut full = c.to_lowercase();
    match (full.next(), full.next()) {
        (Some(lower), None) => lower,
        // Only the dotted capital I has a longer full form.
        _ if c == 'İ' => 'i',
        _ => c,
    }
}

/// American English title case: the first letter of each word, the rest in lower case.
pub fn title(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(c) = chars.get(at).copied() {
        if !is_word(c) {
            out.push(c);
            at += 1;
            continue;
        }
        let end = word_end(&chars, at);
        let word: String = chars.get(at..end).unwrap_or(&[]).iter().collect();
        push_titled(&mut out, &word);
        at = end;
    }
    out
}

/// Letters, digits, underscores and what joins letters inside a word.
fn word_end(chars: &[char], start: usize) -> usize {
    let mut at = start;
    while let Some(c) = chars.get(at).copied() {
        let joined = || {
            let before = at.checked_sub(1).and_then(|i| chars.get(i)).copied();
            let after = chars.get(at + 1).copied();
            let both = |test: fn(char) -> bool| before.is_some_and(test) && after.is_some_and(test);
            match c {
                '\'' | '.' | '\u{2018}' | '\u{2019}' | '\u{2024}' | '\u{fe52}' | '\u{ff07}' | '\u{ff0e}' => {
                    both(char::is_alphabetic) || both(char::is_numeric)
                }
                ':' | '\u{b7}' | '\u{387}' | '\u{55f}' | '\u{5f4}' | '\u{2027}' | '\u{fe13}' | '\u{fe55}'
                | '\u{ff1a}' => both(char::is_alphabetic),
                ',' | ';' | '\u{37e}' | '\u{589}' | '\u{60c}' | '\u{60d}' | '\u{66c}' | '\u{7f8}' | '\u{2044}' => {
                    both(char::is_numeric)
                }
                _ => false,
            }
        };
        if !is_word(c) && !joined() {
            break;
        }
        at += 1;
    }
    at
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || is_mark(c)
}

/// Combining marks of the common blocks stay with their letter.
fn is_mark(c: char) -> bool {
    matches!(u32::from(c), 0x300..=0x36f | 0x483..=0x489 | 0x1ab0..=0x1aff | 0x1dc0..=0x1dff | 0x20d0..=0x20ff | 0xfe00..=0xfe0f | 0xfe20..=0xfe2f | 0x200d)
}

fn push_titled(out: &mut String, word: &str) {
    let Some(first) = word.find(is_cased) else {
        out.push_str(word);
        return;
    };
    let (before, rest) = word.split_at(first);
    out.push_str(before);
    let Some(letter) = rest.chars().next() else {
        return;
    };
    push_title_letter(out, letter);
    // Lowered with its word around it: a sigma at the end becomes final.
    let lowered = rest.to_lowercase();
    let skipped: usize = letter.to_lowercase().map(char::len_utf8).sum();
    out.push_str(lowered.get(skipped..).unwrap_or(""));
}

fn is_cased(c: char) -> bool {
    c.is_lowercase() || c.is_uppercase() || is_title_letter(c)
}

fn is_title_letter(c: char) -> bool {
    matches!(c, 'ǅ' | 'ǈ' | 'ǋ' | 'ǲ')
}

fn push_title_letter(out: &mut String, c: char) {
    let pair = match c {
        'Ǆ' | 'ǅ' | 'ǆ' => Some('ǅ'),
        'Ǉ' | 'ǈ' | 'ǉ' => Some('ǈ'),
        'Ǌ' | 'ǋ' | 'ǌ' => Some('ǋ'),
        'Ǳ' | 'ǲ' | 'ǳ' => Some('ǲ'),
        _ => None,
    };
    if let Some(title) = pair {
        out.push(title);
        return;
    }
    // A letter that becomes several ("ß" to "SS") keeps only its first in upper case.
    let mut seen = false;
    for upper in c.to_uppercase() {
        if seen {
            out.extend(upper.to_lowercase());
        } else {
            out.push(upper);
            // A modifier such as that of "ŉ" has no case of its own.
            seen = upper.is_uppercase() && upper.to_lowercase().next() != Some(upper);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_changes_letter_by_letter() {
        assert_eq!(upper("straße Ñ ǆ ᾳ"), "STRAßE Ñ Ǆ ᾼ");
        assert_eq!(lower("ÀÉ İstanbul ΑΣ"), "àé istanbul ασ");
    }

    #[test]
    fn titles_are_made_word_by_word() {
        for (text, titled) in [
            ("hello wORLD foo-bar o'neil", "Hello World Foo-Bar O'neil"),
            ("a.b_c d", "A.b_c D"),
            ("ALREADY UPPER", "Already Upper"),
            ("3rd x1y hello_world it’s ǆx ÉCOLE don't", "3Rd X1y Hello_world It’s ǅx École Don't"),
            ("a:b a·b 12ab ab12cd x-y_z -foo", "A:b A·b 12Ab Ab12cd X-Y_z -Foo"),
            ("ﬁrst ΑΣ ß ŉ", "First Ας Ss ʼN"),
        ] {
            assert_eq!(title(text), titled);
        }
    }
}
