//! What has changed on a list of alerts since the page was made: counts, what happened to each group that is shown, and
//! which groups there are now. The script asks every few seconds; nothing is sent when nothing is new.

use std::sync::Arc;

use askama::Template;
use http::{Response, StatusCode};
use xxhash_rust::xxh64::xxh64;

use super::{
    Ui,
    alerts::{Counted, Sum, page_groups, page_rows, regrouped},
    ask::Ask,
    html::{self, Html, number},
    html_answer,
    rows::Writing,
    scene::Scene,
    wish::{View, Wish},
};
use crate::api::{Answer, Body};

#[derive(Template)]
#[template(path = "live.html")]
struct LivePiece {
    sum: Sum,
    firing: String,
    groups: Vec<(String, Html)>,
    rows: Vec<String>,
}

impl Ui {
    pub(super) fn live_piece(&self, scene: &Arc<Scene>, ask: &Ask) -> Answer {
        let wish = Wish::read(ask, self.api.mode);
        let custom = (wish.view == View::Custom).then(|| regrouped(scene, &wish.group_by));
        let shown = custom.as_ref().unwrap_or(scene);
        let writing = Writing { api: &self.api, ask, wish: &wish, scene: shown, nodes: self.node_names() };
        let sum = Counted::of(shown, &wish).sum(ask, &wish);
        let (mut groups, mut rows) = (Vec::new(), Vec::new());
        if wish.view == View::Flat {
            rows = page_rows(&writing)
                .items
                .iter()
                .filter_map(|(_, at)| shown.alerts.get(*at))
                .map(|seen| seen.entry.fingerprint().to_string())
                .collect();
        } else {
            let listed = page_groups(&writing);
            let all = listed.loud.iter().chain(&listed.quiet);
            groups = all.map(|(_, members)| (members.group.id.to_string(), writing.meta(members))).collect();
        }
        let piece = LivePiece { sum, firing: number(scene.firing()), groups, rows };
        let Ok(text) = piece.render() else { return super::plain(StatusCode::INTERNAL_SERVER_ERROR, "Not written.") };
        let version = format!("{:016x}", xxh64(text.as_bytes(), 0));
        if ask.query.text("have") == Some(&version) {
            let mut answer = Response::new(Body::empty());
            *answer.status_mut() = StatusCode::NO_CONTENT;
            super::guard(answer.headers_mut());
            return answer;
        }
        html_answer(StatusCode::OK, format!("<div data-version=\"{version}\">{text}</div>"))
    }
}
