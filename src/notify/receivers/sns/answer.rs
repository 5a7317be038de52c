//! The little XML that AWS's query services answer with.

use crate::httpconf::Response;

/// The text of the first element of that name.
pub(super) fn element(body: &str, name: &str) -> Option<String> {
    let (_, rest) = body.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    Some(unescaped(text.trim()))
}

fn unescaped(text: &str) -> String {
    const ENTITIES: [(&str, &str); 6] =
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&#39;", "'"), ("&amp;", "&")];
    ENTITIES.iter().fold(text.to_owned(), |text, (entity, plain)| match text.contains(entity) {
        true => text.replace(entity, plain),
        false => text,
    })
}

/// `<Code>` of an error, or nothing.
pub(super) fn code(response: &Response) -> Option<String> {
    element(&String::from_utf8_lossy(&response.body), "Code")
}

/// What an error says: `Code: Message`, or the body if it is no such answer.
pub(super) fn complaint(response: &Response) -> String {
    let body = String::from_utf8_lossy(&response.body);
    match (element(&body, "Code"), element(&body, "Message")) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code,
        _ => body.into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_is_found_and_unescaped() {
        let body = "<E><Error><Code> X </Code><Message>a &amp;lt; &quot;b&quot;</Message></Error></E>";
        assert_eq!(element(body, "Code").as_deref(), Some("X"));
        assert_eq!(element(body, "Message").as_deref(), Some("a &lt; \"b\""));
        assert_eq!(element(body, "Nope"), None);
    }
}
