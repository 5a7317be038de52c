//! `template render`: expands a text as a notification would.
//!
//! Like amtool's packaged builds it knows only the templates of the given files, so that what renders here
//! shows what these files define; `--template.data` takes the JSON that `toJson .` prints.

use std::{fs, io::Write, path::Path};

use chrono::{SecondsFormat, TimeDelta};
use serde_json::json;

use super::{
    args::{RenderArgs, TemplateKind},
    error::CtlError,
};
use crate::{
    clock::Clock,
    template::{Data, Templates},
};

/// Renders and prints, without a newline of its own.
///
/// # Errors
/// A template or the data cannot be read, or the text cannot be rendered.
pub fn run(args: &RenderArgs, clock: &Clock, out: &mut dyn Write) -> Result<(), CtlError> {
    Ok(out.write_all(render(args, clock)?.as_bytes())?)
}

fn render(args: &RenderArgs, clock: &Clock) -> Result<String, CtlError> {
    let templates = Templates::load_without_shipped(&args.globs)?.with_clock(clock.clone());
    let data = match &args.data {
        Some(path) => read(path)?,
        None => example(clock),
    };
    Ok(match args.kind {
        TemplateKind::Text => templates.text(&args.text, &data)?,
        TemplateKind::Html => templates.html(&args.text, &data)?,
    })
}

fn read(path: &Path) -> Result<Data, CtlError> {
    let text = fs::read_to_string(path).map_err(|source| CtlError::Read { path: path.to_owned(), source })?;
    Data::from_json(&text).map_err(|source| CtlError::Data { path: path.to_owned(), source })
}

/// What amtool renders with when it is given no data: two alerts, one of them over.
fn example(clock: &Clock) -> Data {
    let now = clock.now();
    let ago = |minutes| {
        let at = now.checked_sub_signed(TimeDelta::minutes(minutes)).unwrap_or(now);
        at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
    };
    let common = json!({"commonlabelkey1": "commonlabelvalue1", "commonlabelkey2": "commonlabelvalue2"});
    let common_annotations = json!({
        "commonannotationkey1": "commonannotationvalue1",
        "commonannotationkey2": "commonannotationvalue2",
    });
    let with = |base: &serde_json::Value, pairs: &[(&str, &str)]| {
        let mut all = base.clone();
        for (name, value) in pairs {
            all[*name] = json!(value);
        }
        all
    };
    let data = json!({
        "receiver": "receiver",
        "status": "alertstatus",
        "alerts": [
            {
                "status": "firing",
                "labels": with(&common, &[("label1", "value1"), ("label2", "value2"), ("instance", "foo.bar:1234")]),
                "annotations": with(&common_annotations, &[("annotation1", "value1"), ("annotation2", "value2")]),
                "startsAt": ago(5),
                "endsAt": ago(0),
                "generatorURL": "https://generatorurl.com",
                "fingerprint": "fingerprint1",
            },
            {
                "status": "resolved",
                "labels": with(&common, &[("foo", "bar"), ("baz", "qux")]),
                "annotations": with(&common_annotations, &[("aaa", "bbb"), ("ccc", "ddd")]),
                "startsAt": ago(10),
                "endsAt": ago(0),
                "generatorURL": "https://generatorurl.com",
                "fingerprint": "fingerprint2",
            },
        ],
        "groupLabels": {"grouplabelkey1": "grouplabelvalue1", "grouplabelkey2": "grouplabelvalue2"},
        "commonLabels": common,
        "commonAnnotations": common_annotations,
        "externalURL": "https://example.com",
    });
    // The text above is well-formed, as the test shows.
    Data::from_json(&data.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(text: &str, kind: TemplateKind) -> RenderArgs {
        RenderArgs { globs: vec!["none/*.tmpl".into()], text: text.to_owned(), kind, data: None }
    }

    fn clock() -> Clock {
        Clock::simulated("2024-05-06T07:08:09Z".parse().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn the_example_has_a_firing_and_a_resolved_alert() {
        let text = "{{ .Receiver }} {{ .Status }} {{ range .Alerts }}{{ .Status }} {{ .StartsAt }};{{ end }} {{ .GroupLabels }}";
        let rendered = render(&args(text, TemplateKind::Text), &clock()).unwrap();
        assert_eq!(
            rendered,
            "receiver alertstatus firing 2024-05-06 07:03:09 +0000 UTC;resolved 2024-05-06 06:58:09 +0000 UTC; \
             grouplabelkey1=grouplabelvalue1, grouplabelkey2=grouplabelvalue2"
        );
    }

    #[test]
    fn html_is_escaped_and_data_is_read_from_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), r#"{"receiver": "<r>"}"#).unwrap();
        let mut args = args("<b>{{ .Receiver }}</b>", TemplateKind::Html);
        args.data = Some(file.path().to_owned());
        assert_eq!(render(&args, &clock()).unwrap(), "<b>&lt;r&gt;</b>");
    }

    #[test]
    fn only_the_given_files_define_templates() {
        let error = render(&args(r#"{{ template "__subject" . }}"#, TemplateKind::Text), &clock()).unwrap_err();
        assert!(error.to_string().ends_with(r#"template "__subject" not defined"#), "{error}");
    }
}
