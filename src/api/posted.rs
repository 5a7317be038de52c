//! The body of `POST /alerts`: from bytes to [`Posted`] alerts that borrow from them.
//!
//! Three sieves, as in the reference: JSON and its types (400, nothing is taken), the schema (422, nothing
//! is taken), and what alerts must fulfil (400 with all complaints, the good ones are taken).

use std::{borrow::Cow, time::Duration};

use chrono::DateTime;

use super::{
    answer::Fault,
    gotime,
    reader::{Kind, Reader, SyntaxError},
    uri::is_request_uri,
};
use crate::{
    alert::{
        Posted, fingerprint_of,
        matcher::{ParseMode, valid_label_name},
        sort_pairs,
        text::{is_go_zero, parse_time, quote},
    },
    clock::{Time, delta},
};

pub(super) type Pairs<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// How many labels an alert is expected to have: room is made for them at once.
const PAIRS_EXPECTED: usize = 12;

/// An element of the body that has the right types, nothing filled in.
#[derive(Debug, Default)]
pub(super) struct Draft<'a> {
    labels: Option<Pairs<'a>>,
    annotations: Pairs<'a>,
    generator_url: Cow<'a, str>,
    starts_at: Option<Time>,
    ends_at: Option<Time>,
}

/// Reads the body and checks it against the schema.
pub(super) fn read(text: &str) -> Result<Vec<Draft<'_>>, Fault> {
    if Reader::is_blank(text) {
        return Err(Fault::required("alerts", "body"));
    }
    let mut list = List::default();
    list.read(&mut Reader::new(text)).map_err(|error| fault(&error.to_string()))?;
    match (list.type_error, list.schema) {
        (Some(error), _) => Err(fault(&error)),
        (None, Some(schema)) => Err(schema),
        (None, None) => Ok(list.drafts),
    }
}

fn fault(why: &str) -> Fault {
    Fault::new(400, format!("parsing alerts body from \"\" failed, because {why}"))
}

#[derive(Default)]
struct List<'a> {
    drafts: Vec<Draft<'a>>,
    /// The first of each; syntax errors further on take precedence, so reading goes on.
    type_error: Option<String>,
    schema: Option<Fault>,
}

impl<'a> List<'a> {
    fn read(&mut self, reader: &mut Reader<'a>) -> Result<(), SyntaxError> {
        match reader.kind()? {
            Kind::Null => reader.skip(),
            Kind::Array => reader.array(|reader, index| self.element(reader, index)),
            kind => {
                self.type_error = Some(cannot(kind, "Go value of type models.PostableAlerts"));
                reader.skip()
            }
        }
    }

    fn element(&mut self, reader: &mut Reader<'a>, index: usize) -> Result<(), SyntaxError> {
        if self.type_error.is_some() {
            return reader.skip();
        }
        let mut element = Element::default();
        match reader.kind()? {
            Kind::Object => reader.object(|reader, name| element.field(reader, &name))?,
            // The reference panics here.
            Kind::Null => {
                self.schema.get_or_insert_with(|| Fault::required(&index.to_string(), "body"));
                return reader.skip();
            }
            kind => {
                self.type_error = Some(cannot(kind, ELEMENT));
                return reader.skip();
            }
        }
        self.type_error = element.times_error.or(element.labels_error);
        let draft = element.draft;
        if self.schema.is_none() {
            self.schema = draft.check_schema(index).err();
            self.drafts.push(draft);
        }
        Ok(())
    }
}

/// Go's name for the type of an element, which it prints.
const ELEMENT: &str = "Go value of type struct { Annotations models.LabelSet \"json:\\\"annotations,omitempty\\\"\"; \
    EndsAt strfmt.DateTime \"json:\\\"endsAt,omitempty\\\"\"; StartsAt strfmt.DateTime \"json:\\\"startsAt,omitempty\\\"\" }";

pub(super) fn cannot(kind: Kind, into: &str) -> String {
    format!("json: cannot unmarshal {} into {into}", kind.name())
}

/// The reference decodes an element twice: annotations and times first, then the rest; so an error in the
/// former comes before one in the latter, wherever they stand.
#[derive(Default)]
struct Element<'a> {
    draft: Draft<'a>,
    times_error: Option<String>,
    labels_error: Option<String>,
}

impl<'a> Element<'a> {
    fn field(&mut self, reader: &mut Reader<'a>, name: &str) -> Result<(), SyntaxError> {
        let Some(field) = ["labels", "annotations", "startsAt", "endsAt", "generatorURL"]
            .iter()
            .find(|known| name == **known || name.eq_ignore_ascii_case(known))
        else {
            return reader.skip();
        };
        let draft = &mut self.draft;
        match *field {
            "labels" => keep(&mut self.labels_error, read_map(reader, "Alert.labels", &mut draft.labels)?),
            "annotations" => {
                let mut pairs = Some(std::mem::take(&mut draft.annotations));
                keep(&mut self.times_error, read_map(reader, ".annotations", &mut pairs)?);
                draft.annotations = pairs.unwrap_or_default();
            }
            "startsAt" => keep(&mut self.times_error, read_time(reader, &mut draft.starts_at)?),
            "endsAt" => keep(&mut self.times_error, read_time(reader, &mut draft.ends_at)?),
            _ => keep(&mut self.labels_error, read_url(reader, &mut draft.generator_url)?),
        }
        Ok(())
    }
}

/// Keeps the first error.
pub(super) fn keep(error: &mut Option<String>, result: Result<(), String>) {
    if let Err(message) = result {
        error.get_or_insert(message);
    }
}

/// Outer: the text is malformed. Inner: the value has the wrong type; it has been consumed.
pub(super) type Typed<T> = Result<Result<T, String>, SyntaxError>;

/// An object of strings; a key given twice in the parent adds to what is there, null takes all away.
pub(super) fn read_map<'a>(reader: &mut Reader<'a>, place: &str, map: &mut Option<Pairs<'a>>) -> Typed<()> {
    match reader.kind()? {
        Kind::Null => {
            *map = None;
            reader.skip().map(Ok)
        }
        Kind::Object => {
            let pairs = map.get_or_insert_with(|| Vec::with_capacity(PAIRS_EXPECTED));
            let mut result = Ok(());
            reader.object(|reader, name| {
                let value = match reader.kind()? {
                    Kind::String => reader.string()?,
                    Kind::Null => {
                        reader.skip()?;
                        Cow::Borrowed("")
                    }
                    kind => {
                        if result.is_ok() {
                            let pointer = name.replace('~', "~0").replace('/', "~1");
                            result = Err(cannot(kind, &format!("Go struct field {place}.{pointer} of type string")));
                        }
                        return reader.skip();
                    }
                };
                pairs.push((name, value));
                Ok(())
            })?;
            Ok(result)
        }
        kind => {
            reader.skip()?;
            Ok(Err(cannot(kind, &format!("Go struct field {place} of type models.LabelSet"))))
        }
    }
}

/// A moment, or null for none.
pub(super) fn read_time(reader: &mut Reader<'_>, time: &mut Option<Time>) -> Typed<()> {
    match reader.kind()? {
        Kind::String => {
            let text = reader.string()?;
            Ok(match parse_time(&text) {
                Ok(read) => {
                    *time = Some(read);
                    Ok(())
                }
                Err(_) => Err(gotime::complaint(&text)),
            })
        }
        Kind::Null => reader.skip().map(Ok),
        kind => {
            reader.skip()?;
            Ok(Err(cannot(kind, "Go value of type string")))
        }
    }
}

fn read_url<'a>(reader: &mut Reader<'a>, url: &mut Cow<'a, str>) -> Typed<()> {
    match reader.kind()? {
        Kind::String => {
            *url = reader.string()?;
            Ok(Ok(()))
        }
        Kind::Null => reader.skip().map(Ok),
        kind => {
            reader.skip()?;
            Ok(Err(cannot(kind, "Go value of type string")))
        }
    }
}

impl<'a> Draft<'a> {
    fn check_schema(&self, index: usize) -> Result<(), Fault> {
        let url = &*self.generator_url;
        if !url.is_empty() && !is_request_uri(url) {
            let message = format!("{index}.generatorURL in body must be of type uri: {}", quote(url));
            return Err(Fault::new(601, message));
        }
        if self.labels.is_none() { Err(Fault::required(&format!("{index}.labels"), "body")) } else { Ok(()) }
    }

    /// Fills in what was left out; Go's zero time counts as left out.
    pub fn complete(self, now: Time, resolve_timeout: Duration) -> Posted<'a> {
        let mut labels = self.labels.unwrap_or_default();
        labels.retain(|(_, value)| !value.is_empty());
        sort_pairs(&mut labels);
        let mut annotations = self.annotations;
        sort_pairs(&mut annotations);
        let starts_at = self.starts_at.filter(|start| !is_go_zero(*start));
        let ends_at = self.ends_at.filter(|end| !is_go_zero(*end));
        Posted {
            fingerprint: fingerprint_of(labels.iter().map(|(name, value)| (&**name, &**value))),
            labels,
            annotations,
            generator_url: self.generator_url,
            starts_at: starts_at.or(ends_at).unwrap_or(now),
            ends_at: ends_at.unwrap_or_else(|| latest_sum(now, resolve_timeout)),
            timeout: ends_at.is_none(),
            start_given: starts_at.is_some(),
        }
    }
}

fn latest_sum(now: Time, duration: Duration) -> Time {
    now.checked_add_signed(delta(duration)).unwrap_or(DateTime::<chrono::Utc>::MAX_UTC)
}

/// What is wrong with an alert, if anything.
pub(super) fn check(posted: &Posted<'_>, mode: ParseMode) -> Result<(), String> {
    if posted.ends_at < posted.starts_at {
        return Err("start time must be before end time".into());
    }
    if posted.labels.is_empty() {
        return Err("at least one label pair required".into());
    }
    check_names(&posted.labels, mode).map_err(|name| format!("invalid label set: invalid name {}", quote(name)))?;
    check_names(&posted.annotations, mode).map_err(|name| format!("invalid annotations: invalid name {}", quote(name)))
}

/// The first name that is none.
fn check_names<'p>(pairs: &'p Pairs<'_>, mode: ParseMode) -> Result<(), &'p str> {
    let bad = pairs.iter().find(|(name, _)| !valid_label_name(mode, name));
    bad.map_or(Ok(()), |(name, _)| Err(name))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused(body: &str) -> (u16, String) {
        let fault = read(body).map(|drafts| drafts.len()).unwrap_err();
        (fault.code, fault.message.replace("parsing alerts body from \"\" failed, because ", "… "))
    }

    fn now() -> Time {
        parse_time("2026-01-01T00:00:00Z").unwrap()
    }

    fn posted(body: &str) -> Posted<'_> {
        read(body).unwrap().remove(0).complete(now(), Duration::from_secs(300))
    }

    #[test]
    fn wrong_types_are_named_as_the_reference_names_them() {
        for (body, message) in [
            ("{}", "… json: cannot unmarshal object into Go value of type models.PostableAlerts"),
            (
                r#"[{"labels":1}]"#,
                "… json: cannot unmarshal number into Go struct field Alert.labels of type models.LabelSet",
            ),
            (
                r#"[{"labels":{"x/y~z":1}}]"#,
                "… json: cannot unmarshal number into Go struct field Alert.labels.x~1y~0z of type string",
            ),
            (
                r#"[{"annotations":{"x":[]}}]"#,
                "… json: cannot unmarshal array into Go struct field .annotations.x of type string",
            ),
            (r#"[{"startsAt":1}]"#, "… json: cannot unmarshal number into Go value of type string"),
            (
                r#"[{"labels":{"a":1},"startsAt":"x"}]"#,
                "… parsing time \"x\" as \"2006-01-02\": cannot parse \"x\" as \"2006\"",
            ),
            (r#"[{"labels":1},2"#, "… unexpected EOF"),
        ] {
            assert_eq!(refused(body), (400, message.to_owned()), "{body}");
        }
        assert!(refused("[1]").1.starts_with(
            "… json: cannot unmarshal number into Go value of type struct { Annotations models.LabelSet \"json:\\\"ann"
        ));
    }

    #[test]
    fn the_first_breach_of_the_schema_is_told() {
        for (body, code, message) in [
            ("", 602, "alerts in body is required"),
            (" \n", 602, "alerts in body is required"),
            (r#"[{"labels":{"a":"b"}},{"annotations":{}},{}]"#, 602, "1.labels in body is required"),
            (r#"[{"labels":null}]"#, 602, "0.labels in body is required"),
            (r#"[{"generatorURL":"x"}]"#, 601, "0.generatorURL in body must be of type uri: \"x\""),
            (r#"[{"labels":{"a":"b"}},null]"#, 602, "1 in body is required"),
        ] {
            assert_eq!(refused(body), (code, message.to_owned()), "{body}");
        }
    }

    #[test]
    fn names_of_keys_are_read_in_any_case_and_unknown_ones_ignored() {
        let alert = posted(r#"[{"LABELS":{"a":"c"},"StartsAT":"2030-01-01T00:00:00Z","x":[{"y":1e3}]}]"#);
        assert_eq!((alert.labels.len(), alert.starts_at), (1, parse_time("2030-01-01T00:00:00Z").unwrap()));
    }

    #[test]
    fn empty_labels_go_and_empty_annotations_stay() {
        let alert = posted(r#"[{"labels":{"b":"1","a":"","c":null},"annotations":{"z":"","y":"1"}}]"#);
        assert_eq!(alert.labels, [("b".into(), Cow::from("1"))]);
        assert_eq!(alert.annotations, [("y".into(), Cow::from("1")), ("z".into(), Cow::from(""))]);
    }

    #[test]
    fn times_left_out_are_filled_in() {
        let minutes = |n: u64| now() + delta(Duration::from_secs(60 * n));
        let alert = posted(r#"[{"labels":{"a":"b"},"endsAt":"0001-01-01T00:00:00.000Z"}]"#);
        assert_eq!((alert.starts_at, alert.ends_at, alert.timeout), (now(), minutes(5), true));
        let alert = posted(r#"[{"labels":{"a":"b"},"endsAt":"2026-01-01T00:07:00Z"}]"#);
        assert_eq!((alert.starts_at, alert.ends_at, alert.timeout), (minutes(7), minutes(7), false));
        let alert = posted(r#"[{"labels":{"a":"b"},"endsAt":""}]"#);
        assert_eq!(alert.ends_at, DateTime::UNIX_EPOCH);
    }

    #[test]
    fn labels_given_twice_are_united() {
        let alert = posted(r#"[{"labels":{"a":"b"},"labels":{"c":"d","a":"x"}}]"#);
        assert_eq!(alert.labels, [("a".into(), Cow::from("x")), ("c".into(), Cow::from("d"))]);
    }

    #[test]
    fn an_alert_must_have_labels_valid_names_and_end_after_its_start() {
        for (body, message) in [
            (r#"[{"labels":{}}]"#, "at least one label pair required"),
            (r#"[{"labels":{"":"b"}}]"#, "invalid label set: invalid name \"\""),
            (r#"[{"labels":{"a":"b"},"annotations":{"":"x"}}]"#, "invalid annotations: invalid name \"\""),
            (r#"[{"labels":{},"startsAt":"2026-01-02","endsAt":"2026-01-01"}]"#, "start time must be before end time"),
        ] {
            assert_eq!(check(&posted(body), ParseMode::Fallback), Err(message.to_owned()), "{body}");
        }
    }

    proptest! {
        #[test]
        fn no_body_panics(
            text in any::<String>(),
            near in "\\[(\\{(\"(labels|startsAt|annotations|generatorURL|x)\":(\\{\"a\":(\"b\"|null|1)\\}|\"[0-9T:Z.-]{0,24}\"|null|[0-9.e-]{1,5}),?){0,3}\\},?){0,3}\\]?",
        ) {
            for body in [text, near] {
                if let Ok(drafts) = read(&body) {
                    for draft in drafts {
                        let _ = check(&draft.complete(now(), Duration::MAX), ParseMode::Classic);
                    }
                }
            }
        }
    }
}
