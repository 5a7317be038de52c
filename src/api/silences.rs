//! The silence operations.

use http::StatusCode;

use super::{
    Api,
    answer::{self, Answer, Body, Fault, empty, json_body, refused},
    body::ReadBody,
    body_text,
    filter::{BadParameter, matchers},
    json::{push_array, push_html_safe, push_object, push_string, push_time},
    list::list,
    query::Query,
    silence_body::{self, SilenceBody},
};
use crate::{
    alert::{matcher::Matcher, text::is_go_zero},
    silence::{self, Draft, ExpireError, MatcherText, NotDurable, SetError, Silence, State},
};

impl Api {
    pub(super) fn silences(&self, query: &Query<'_>) -> Result<Answer, BadParameter> {
        let filters = matchers(query, "filter", self.mode).map_err(BadParameter)?;
        let wanted = silence::Query {
            filters,
            active: query.flag("active", true),
            pending: query.flag("pending", true),
            expired: query.flag("expired", true),
        };
        let found = self.silences.query(&wanted);
        if let Some((silence, _)) = found.iter().find(|(silence, _)| silence.matchers().is_none()) {
            return Ok(several_sets(silence));
        }
        Ok(list(found.into_iter(), |out, (silence, state)| push_silence(out, &silence, state)))
    }

    pub(super) fn silence(&self, id: &str) -> Answer {
        let Some((silence, state)) = self.silences.get(id) else { return empty(StatusCode::NOT_FOUND) };
        let mut out = Vec::with_capacity(512);
        if !push_silence(&mut out, &silence, state) {
            return several_sets(&silence);
        }
        out.push(b'\n');
        json_body(StatusCode::OK, Body::whole(out))
    }

    /// Answers when the silence is on disk.
    pub(super) async fn post_silence(&self, body: &ReadBody) -> Result<Answer, Fault> {
        let draft = draft(silence_body::read(&body_text(body))?);
        Ok(match self.silences.set(draft).await {
            Ok(id) => {
                let mut out = b"{\"silenceID\":".to_vec();
                push_string(&mut out, id.as_str());
                out.extend_from_slice(b"}\n");
                json_body(StatusCode::OK, Body::whole(out))
            }
            Err(SetError::NotFound) => refused(StatusCode::NOT_FOUND, &SetError::NotFound.to_string()),
            Err(SetError::NotDurable(error)) => not_durable(&error),
            Err(error) => refused(StatusCode::BAD_REQUEST, &error.to_string()),
        })
    }

    /// Answers when the end of the silence is on disk.
    pub(super) async fn delete_silence(&self, id: &str) -> Answer {
        match self.silences.expire(id).await {
            Ok(()) => answer::ok(),
            Err(ExpireError::NotFound) => empty(StatusCode::NOT_FOUND),
            Err(ExpireError::NotDurable(error)) => not_durable(&error),
        }
    }
}

/// The program cannot keep its promise, and says so.
fn not_durable(error: &NotDurable) -> Answer {
    tracing::error!(component = "silences", err = %error, "A silence could not be made durable");
    refused(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string())
}

/// Only the configuration of later versions can hold such silences; this API has no form for them.
fn several_sets(silence: &Silence) -> Answer {
    let text = format!("silence {} has several sets of matchers, which API version 2 cannot show", silence.id);
    refused(StatusCode::INTERNAL_SERVER_ERROR, &text)
}

fn draft(body: SilenceBody<'_>) -> Draft {
    let given = |time| (!is_go_zero(time)).then_some(time);
    let matchers = body.matchers.into_iter();
    let annotations = body.annotations.into_iter();
    Draft {
        id: (!body.id.is_empty()).then(|| body.id.into_owned()),
        matchers: matchers
            .map(|(op, name, value)| MatcherText { op, name: name.into(), value: value.into() })
            .collect(),
        starts_at: given(body.starts_at),
        ends_at: given(body.ends_at),
        created_by: body.created_by.into_owned(),
        comment: body.comment.into_owned(),
        annotations: annotations.map(|(name, value)| (name.into_owned(), value.into_owned())).collect(),
    }
}

/// Whether it could be written: a silence of several sets of matchers cannot.
fn push_silence(out: &mut Vec<u8>, silence: &Silence, state: State) -> bool {
    let Some(matchers) = silence.matchers() else { return false };
    out.extend_from_slice(b"{\"id\":");
    push_html_safe(out, silence.id.as_str());
    out.extend_from_slice(b",\"status\":{\"state\":\"");
    out.extend_from_slice(state.as_str().as_bytes());
    out.extend_from_slice(b"\"},\"updatedAt\":");
    push_time(out, silence.updated_at);
    if !silence.annotations.is_empty() {
        out.extend_from_slice(b",\"annotations\":");
        push_object(out, silence.annotations.iter().map(|(name, value)| (&**name, &**value)), push_html_safe);
    }
    out.extend_from_slice(b",\"comment\":");
    push_html_safe(out, &silence.comment);
    out.extend_from_slice(b",\"createdBy\":");
    push_html_safe(out, &silence.created_by);
    out.extend_from_slice(b",\"endsAt\":");
    push_time(out, silence.ends_at);
    out.extend_from_slice(b",\"matchers\":");
    push_array(out, matchers, push_matcher);
    out.extend_from_slice(b",\"startsAt\":");
    push_time(out, silence.starts_at);
    out.push(b'}');
    true
}

fn push_matcher(out: &mut Vec<u8>, matcher: &Matcher) {
    let op = matcher.op();
    out.extend_from_slice(if op.is_equal() {
        b"{\"isEqual\":true,\"isRegex\":"
    } else {
        b"{\"isEqual\":false,\"isRegex\":"
    });
    out.extend_from_slice(if op.is_regex() { b"true,\"name\":" } else { b"false,\"name\":" });
    push_html_safe(out, matcher.name());
    out.extend_from_slice(b",\"value\":");
    push_html_safe(out, matcher.value());
    out.push(b'}');
}
