//! Free-form payloads: a YAML value from the configuration whose texts are templates
//! (reference/receivers.md 1, "payload rendering"; also PagerDuty `details` and Jira `fields`).
//!
//! A rendered text is read as YAML, so that `{{ .Alerts | len }}` becomes a number and the output of `toJson` a
//! structure. What such a text holds is final: it comes from alerts, and is never taken for a template again.

use crate::config::{model::Payload, yaml};

/// Renders every key and text of `value` with `render`.
///
/// # Errors
/// The first error of `render`.
pub fn render<E>(value: &Payload, render_text: &mut impl FnMut(&str) -> Result<String, E>) -> Result<Payload, E> {
    Ok(match value {
        Payload::Text(source) => read(render_text(source)?),
        Payload::List(items) => {
            Payload::List(items.iter().map(|item| render(item, render_text)).collect::<Result<_, E>>()?)
        }
        Payload::Map(entries) => {
            let rendered = entries.iter().map(|(key, value)| Ok((render_text(key)?, render(value, render_text)?)));
            Payload::Map(rendered.collect::<Result<_, E>>()?)
        }
        scalar => scalar.clone(),
    })
}

/// The value that a rendered text stands for; itself, if it is no YAML or a YAML string.
fn read(text: String) -> Payload {
    if is_plain_word(&text) {
        return Payload::Text(text);
    }
    match yaml::value(&text) {
        None | Some(Payload::Text(_)) => Payload::Text(text),
        Some(value) => value,
    }
}

/// Texts that obviously are strings are not worth a parser: words and spaces, beginning with a letter that
/// begins no YAML keyword (y, n, t, f, o for yes, no, null, true, false, on, off).
fn is_plain_word(text: &str) -> bool {
    let starts_plainly = text.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() && !b"yYnNtTfFoO".contains(&b));
    starts_plainly
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b' ' || b == b'-' || b == b'_' || b == b'.')
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::notify::receivers::json::push_payload;

    /// Renders with templates that stand for themselves.
    fn json_of(value: &Payload) -> String {
        let rendered = render(value, &mut |text: &str| Ok::<_, Infallible>(text.to_owned())).unwrap();
        let mut out = String::new();
        push_payload(&mut out, &rendered).unwrap();
        out
    }

    fn json_of_text(text: &str) -> String {
        json_of(&Payload::Text(text.to_owned()))
    }

    #[test]
    fn rendered_texts_are_read_as_yaml_1_1() {
        for (text, json) in [
            ("2", "2"),
            ("yes", "true"),
            ("y", "true"),
            ("Off", "false"),
            ("0x10", "16"),
            ("010", "8"),
            ("1_000", "1000"),
            ("1.5", "1.5"),
            ("1e3", "1000"),
            ("", "null"),
            ("null", "null"),
            ("~", "null"),
            ("a: b", r#"{"a":"b"}"#),
            ("2024-01-01", r#""2024-01-01""#),
            ("[1, x]", r#"[1,"x"]"#),
            (r#"{"a":{"b":[1,"2"]}}"#, r#"{"a":{"b":[1,"2"]}}"#),
            (r#""quoted""#, r#""\"quoted\"""#),
            ("high load", r#""high load""#),
            ("web-1:9100", r#""web-1:9100""#),
            ("{broken", r#""{broken""#),
            ("text: {{", r#""text: {{""#),
        ] {
            assert_eq!(json_of_text(text), json, "{text}");
        }
    }

    #[test]
    fn keys_that_are_not_strings_disappear() {
        assert_eq!(json_of_text("{n: 1, 2: 3, \"y\": 4, a: 5}"), r#"{"a":5,"y":4}"#);
    }

    #[test]
    fn what_a_rendered_structure_holds_is_final() {
        let mut calls = 0;
        let value = Payload::Text("source".to_owned());
        let rendered = render(&value, &mut |_: &str| {
            calls += 1;
            Ok::<_, Infallible>(r#"{"a": "{{ .Boom }}", "b": "", "c": "value1:"}"#.to_owned())
        });
        let mut out = String::new();
        push_payload(&mut out, &rendered.unwrap()).unwrap();
        assert_eq!((calls, out.as_str()), (1, r#"{"a":"{{ .Boom }}","b":"","c":"value1:"}"#));
    }

    #[test]
    fn keys_are_rendered_and_scalars_pass_through() {
        let value = Payload::Map(vec![
            ("k".to_owned(), Payload::Int(7)),
            ("l".to_owned(), Payload::List(vec![Payload::Bool(true), Payload::Text("3".to_owned())])),
        ]);
        let rendered = render(&value, &mut |text: &str| Ok::<_, Infallible>(text.to_uppercase())).unwrap();
        let mut out = String::new();
        push_payload(&mut out, &rendered).unwrap();
        assert_eq!(out, r#"{"K":7,"L":[true,3]}"#);
    }

    #[test]
    fn an_error_of_the_template_ends_the_rendering() {
        let value = Payload::List(vec![Payload::Text("a".to_owned())]);
        assert_eq!(render(&value, &mut |_: &str| Err("no")), Err("no"));
    }

    #[test]
    fn the_short_cut_for_words_agrees_with_the_parser() {
        for text in ["high load", "a", "prod-eu_1.x", "x - y", "critical", "inf", "e5", "a.b "] {
            assert!(is_plain_word(text));
            assert!(matches!(yaml::value(text), None | Some(Payload::Text(_))), "{text}");
        }
        for text in ["yes", "null", "1", "a: b", "", "~", "a #b"] {
            assert!(!is_plain_word(text), "{text}");
        }
    }
}
