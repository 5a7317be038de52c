//! JSON for scripts: what the server sent, in one line.

use std::{borrow::Cow, io::Write};

use serde_json::value::RawValue;

use super::{error::CtlError, model::Item};

/// # Errors
/// The output cannot be written.
pub fn json_list<T>(items: &[Item<T>], out: &mut dyn Write) -> Result<(), CtlError> {
    out.write_all(b"[")?;
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.write_all(b",")?;
        }
        out.write_all(as_go_writes(item.raw.get()).as_bytes())?;
    }
    Ok(out.write_all(b"]\n")?)
}

/// # Errors
/// The output cannot be written.
pub fn json(raw: &RawValue, out: &mut dyn Write) -> Result<(), CtlError> {
    Ok(writeln!(out, "{}", as_go_writes(raw.get()))?)
}

/// Servers do not escape everywhere what Go's clients escape: characters that mean something in HTML. They can stand
/// in texts only, so that the JSON stays the same.
fn as_go_writes(raw: &str) -> Cow<'_, str> {
    const SPECIAL: [char; 5] = ['<', '>', '&', '\u{2028}', '\u{2029}'];
    if !raw.contains(SPECIAL) {
        return Cow::Borrowed(raw);
    }
    let mut escaped = String::with_capacity(raw.len() + raw.len() / 8);
    for c in raw.chars() {
        if SPECIAL.contains(&c) {
            escaped.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            escaped.push(c);
        }
    }
    Cow::Owned(escaped)
}

/// A text as Go writes it in JSON.
pub fn json_text(text: &str) -> String {
    as_go_writes(&serde_json::Value::from(text).to_string()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped_as_go_escapes_them() {
        assert_eq!(json_text("<a> & \"b\"\u{2028}"), r#""\u003ca\u003e \u0026 \"b\"\u2028""#);
    }
}
