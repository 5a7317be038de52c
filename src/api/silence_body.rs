//! The body of `POST /silences`: its types (400) and its schema (422). What it means is judged elsewhere.

use std::borrow::Cow;

use super::{
    answer::Fault,
    posted::{Pairs, Typed, cannot, keep, read_map, read_time},
    reader::{Kind, Reader, SyntaxError},
};
use crate::{alert::matcher::MatchOp, clock::Time};

/// A silence as it was posted: complete, but not yet judged.
#[derive(Debug, PartialEq)]
pub(super) struct SilenceBody<'a> {
    /// Empty: a new silence is wanted.
    pub id: Cow<'a, str>,
    /// Operator, name, value.
    pub matchers: Vec<(MatchOp, Cow<'a, str>, Cow<'a, str>)>,
    pub starts_at: Time,
    pub ends_at: Time,
    pub created_by: Cow<'a, str>,
    pub comment: Cow<'a, str>,
    pub annotations: Pairs<'a>,
}

/// Reads the body and checks it against the schema.
pub(super) fn read(text: &str) -> Result<SilenceBody<'_>, Fault> {
    if Reader::is_blank(text) {
        return Err(Fault::required("silence", "body"));
    }
    let mut draft = Draft::default();
    draft.read(&mut Reader::new(text)).map_err(|error| fault(&error.to_string()))?;
    match draft.id_error.take().or(draft.error.take()) {
        Some(error) => Err(fault(&error)),
        None => draft.complete(),
    }
}

fn fault(why: &str) -> Fault {
    Fault::new(400, format!("parsing silence body from \"\" failed, because {why}"))
}

#[derive(Default)]
struct Draft<'a> {
    id: Option<Cow<'a, str>>,
    comment: Option<Cow<'a, str>>,
    created_by: Option<Cow<'a, str>>,
    starts_at: Option<Time>,
    ends_at: Option<Time>,
    /// `None` in it: a null, at which the reference panics.
    matchers: Option<Vec<Option<MatcherDraft<'a>>>>,
    annotations: Option<Pairs<'a>>,
    /// The reference reads the id before everything else.
    id_error: Option<String>,
    error: Option<String>,
}

#[derive(Default)]
struct MatcherDraft<'a> {
    name: Option<Cow<'a, str>>,
    value: Option<Cow<'a, str>>,
    is_regex: Option<bool>,
    is_equal: Option<bool>,
}

impl<'a> Draft<'a> {
    fn read(&mut self, reader: &mut Reader<'a>) -> Result<(), SyntaxError> {
        match reader.kind()? {
            Kind::Null => reader.skip(),
            Kind::Object => reader.object(|reader, name| self.field(reader, &name)),
            kind => {
                self.id_error =
                    Some(cannot(kind, "Go value of type struct { ID string \"json:\\\"id,omitempty\\\"\" }"));
                reader.skip()
            }
        }
    }

    fn field(&mut self, reader: &mut Reader<'a>, name: &str) -> Result<(), SyntaxError> {
        let known = ["id", "comment", "createdBy", "startsAt", "endsAt", "matchers", "annotations"];
        match known.into_iter().find(|known| name.eq_ignore_ascii_case(known)) {
            Some("id") => keep(&mut self.id_error, read_string(reader, ".id", &mut self.id)?),
            Some("comment") => keep(&mut self.error, read_string(reader, "Silence.comment", &mut self.comment)?),
            Some("createdBy") => keep(&mut self.error, read_string(reader, "Silence.createdBy", &mut self.created_by)?),
            Some("startsAt") => keep(&mut self.error, read_time(reader, &mut self.starts_at)?),
            Some("endsAt") => keep(&mut self.error, read_time(reader, &mut self.ends_at)?),
            Some("annotations") => {
                keep(&mut self.error, read_map(reader, "Silence.annotations", &mut self.annotations)?)
            }
            Some("matchers") => keep(&mut self.error, read_matchers(reader, &mut self.matchers)?),
            _ => reader.skip()?,
        }
        Ok(())
    }

    /// Checks the schema, key by key in the order of their names.
    fn complete(self) -> Result<SilenceBody<'a>, Fault> {
        let required = |what: &str| Fault::required(what, "body");
        let comment = self.comment.ok_or_else(|| required("comment"))?;
        let created_by = self.created_by.ok_or_else(|| required("createdBy"))?;
        let ends_at = self.ends_at.ok_or_else(|| required("endsAt"))?;
        let matchers = self.matchers.ok_or_else(|| required("matchers"))?;
        if matchers.is_empty() {
            return Err(Fault::new(612, "matchers in body should have at least 1 items"));
        }
        let matchers = matchers.into_iter().enumerate().map(|(index, draft)| MatcherDraft::complete(draft, index));
        Ok(SilenceBody {
            id: self.id.unwrap_or_default(),
            matchers: matchers.collect::<Result<_, _>>()?,
            starts_at: self.starts_at.ok_or_else(|| required("startsAt"))?,
            ends_at,
            created_by,
            comment,
            annotations: self.annotations.unwrap_or_default(),
        })
    }
}

impl<'a> MatcherDraft<'a> {
    fn field(
        &mut self,
        reader: &mut Reader<'a>,
        name: &str,
        index: usize,
        error: &mut Option<String>,
    ) -> Result<(), SyntaxError> {
        let known = ["name", "value", "isRegex", "isEqual"].into_iter().find(|known| name.eq_ignore_ascii_case(known));
        let place = format!("Silence.matchers.{index}.{}", known.unwrap_or_default());
        match known {
            Some("name") => keep(error, read_string(reader, &place, &mut self.name)?),
            Some("value") => keep(error, read_string(reader, &place, &mut self.value)?),
            Some("isRegex") => keep(error, read_bool(reader, &place, &mut self.is_regex)?),
            Some("isEqual") => keep(error, read_bool(reader, &place, &mut self.is_equal)?),
            _ => reader.skip()?,
        }
        Ok(())
    }

    fn complete(draft: Option<Self>, index: usize) -> Result<(MatchOp, Cow<'a, str>, Cow<'a, str>), Fault> {
        let required = |what: &str| Fault::required(&format!("matchers.{index}{what}"), "body");
        let draft = draft.ok_or_else(|| required(""))?;
        let is_regex = draft.is_regex.ok_or_else(|| required(".isRegex"))?;
        let name = draft.name.ok_or_else(|| required(".name"))?;
        let value = draft.value.ok_or_else(|| required(".value"))?;
        Ok((MatchOp::from_flags(is_regex, draft.is_equal.unwrap_or(true)), name, value))
    }
}

fn read_matchers<'a>(reader: &mut Reader<'a>, into: &mut Option<Vec<Option<MatcherDraft<'a>>>>) -> Typed<()> {
    let mut error = None;
    let mut matchers = Vec::new();
    match reader.kind()? {
        Kind::Array => reader.array(|reader, index| match reader.kind()? {
            Kind::Object => {
                let mut matcher = MatcherDraft::default();
                reader.object(|reader, name| matcher.field(reader, &name, index, &mut error))?;
                matchers.push(Some(matcher));
                Ok(())
            }
            Kind::Null => {
                matchers.push(None);
                reader.skip()
            }
            kind => {
                error.get_or_insert_with(|| cannot(kind, &format!("Silence.matchers.{index} of type models.Matcher")));
                reader.skip()
            }
        })?,
        Kind::Null => {
            *into = None;
            return reader.skip().map(Ok);
        }
        kind => {
            reader.skip()?;
            return Ok(Err(cannot(kind, "Go struct field Silence.matchers of type models.Matchers")));
        }
    }
    *into = Some(matchers);
    Ok(error.map_or(Ok(()), Err))
}

fn read_string<'a>(reader: &mut Reader<'a>, place: &str, into: &mut Option<Cow<'a, str>>) -> Typed<()> {
    match reader.kind()? {
        Kind::String => *into = Some(reader.string()?),
        Kind::Null => {
            *into = None;
            reader.skip()?;
        }
        kind => {
            reader.skip()?;
            return Ok(Err(cannot(kind, &format!("Go struct field {place} of type string"))));
        }
    }
    Ok(Ok(()))
}

fn read_bool(reader: &mut Reader<'_>, place: &str, into: &mut Option<bool>) -> Typed<()> {
    match reader.kind()? {
        Kind::Bool => *into = Some(reader.bool()?),
        Kind::Null => {
            *into = None;
            reader.skip()?;
        }
        kind => {
            reader.skip()?;
            return Ok(Err(cannot(kind, &format!("Go struct field {place} of type bool"))));
        }
    }
    Ok(Ok(()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const REST: &str =
        r#""startsAt":"2030-01-01T00:00:00Z","endsAt":"2036-01-01T00:00:00Z","createdBy":"","comment":"""#;

    fn refused(body: &str) -> (u16, String) {
        let fault = read(body).unwrap_err();
        (
            fault.code,
            fault.message.replace("parsing silence body from \"\" failed, because json: cannot unmarshal ", "… "),
        )
    }

    #[test]
    fn a_silence_is_read_with_its_matchers_in_order() {
        let text = format!(
            r#"{{"matchers":[{{"name":"b","value":"1","isRegex":false}},{{"name":"a","value":".","isRegex":true,"isEqual":false}}],"status":{{}},{REST}}}"#
        );
        let body = read(&text).unwrap();
        assert_eq!(
            body.matchers,
            [(MatchOp::Equal, "b".into(), "1".into()), (MatchOp::NotRegex, "a".into(), ".".into())]
        );
        assert_eq!((&*body.id, body.annotations.len()), ("", 0));
    }

    #[test]
    fn what_is_missing_is_told_in_order_of_names() {
        for (body, code, message) in [
            ("".into(), 602, "silence in body is required"),
            ("null".into(), 602, "comment in body is required"),
            (r#"{"comment":"x"}"#.into(), 602, "createdBy in body is required"),
            (format!("{{{REST}}}"), 602, "matchers in body is required"),
            (format!(r#"{{"matchers":[],{REST}}}"#), 612, "matchers in body should have at least 1 items"),
            (format!(r#"{{"matchers":[{{"name":"a"}}],{REST}}}"#), 602, "matchers.0.isRegex in body is required"),
            (
                format!(r#"{{"matchers":[{{"value":"a","isRegex":true}}],{REST}}}"#),
                602,
                "matchers.0.name in body is required",
            ),
            (format!(r#"{{"matchers":[null],{REST}}}"#), 602, "matchers.0 in body is required"),
        ] {
            assert_eq!(refused(&body), (code, message.to_owned()), "{body}");
        }
    }

    #[test]
    fn wrong_types_are_named_as_the_reference_names_them() {
        for (body, message) in [
            ("[]", "… array into Go value of type struct { ID string \"json:\\\"id,omitempty\\\"\" }"),
            (r#"{"comment":1,"id":1}"#, "… number into Go struct field .id of type string"),
            (r#"{"comment":1,"matchers":1}"#, "… number into Go struct field Silence.comment of type string"),
            (r#"{"matchers":1}"#, "… number into Go struct field Silence.matchers of type models.Matchers"),
            (r#"{"matchers":[1]}"#, "… number into Silence.matchers.0 of type models.Matcher"),
            (
                r#"{"matchers":[{"isEqual":1}]}"#,
                "… number into Go struct field Silence.matchers.0.isEqual of type bool",
            ),
        ] {
            assert_eq!(refused(body), (400, message.to_owned()), "{body}");
        }
    }

    proptest! {
        #[test]
        fn no_body_panics(text in any::<String>(), near in "\\{(\"(id|matchers|endsAt|comment)\":(\"x\"|null|1|\\[(\\{\"name\":(\"a\"|1)\\}|null),?\\]),?){0,4}\\}?") {
            let _ = (read(&text), read(&near));
        }
    }
}
