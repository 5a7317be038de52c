//! Expire: asked once, naming what comes back and to whom. For one silence or several.

use std::{collections::BTreeSet, sync::Arc};

use askama::Template;
use http::StatusCode;

use super::{
    Ui,
    ask::{Ask, escaped},
    html::{self, Html, Shown, count, number},
    page,
    past::Past,
    scene::{Scene, Seen},
    see_other,
    shell::{Shell, Tab},
    silences::{Effects, SilenceView},
};
use crate::{
    api::Answer,
    silence::{ExpireError, Silence, State},
};

/// Silences that are expired at once.
const AT_ONCE_MAX: usize = 500;

#[derive(Template)]
#[template(path = "expire.html")]
struct ExpirePage {
    shell: Shell,
    title: String,
    effect: Html,
    silences: Vec<SilenceView>,
    ids: Vec<String>,
    action: String,
    keep: String,
    error: Option<Html>,
}

type Chosen = Vec<(Arc<Silence>, State)>;

impl Ui {
    fn to_expire(&self, ids: &[&str]) -> Chosen {
        let found = ids.iter().take(AT_ONCE_MAX).filter_map(|id| self.api.silences.get(id));
        found.filter(|(_, state)| *state != State::Expired).collect()
    }

    /// The question. `single`: the way back leads to the silence, not to the list.
    pub(super) fn expire_page(&self, scene: &Arc<Scene>, ask: &Ask, ids: &[&str], single: bool) -> Answer {
        self.expire_question(scene, ask, ids, single, None)
    }

    fn expire_question(
        &self,
        scene: &Arc<Scene>,
        ask: &Ask,
        ids: &[&str],
        single: bool,
        error: Option<Html>,
    ) -> Answer {
        let chosen = self.to_expire(ids);
        if chosen.is_empty() {
            return self.missing(
                scene,
                ask,
                "There is nothing to expire: no silence was chosen, or it is over already.",
            );
        }
        let effects = Effects::of(scene);
        // What comes back is the question here.
        let past = Past::default();
        let views: Vec<SilenceView> = chosen
            .iter()
            .map(|(silence, state)| SilenceView::of(ask, scene, silence, *state, &effects, &past))
            .collect();
        let title = match &*views {
            [one] => format!("Expire “{}”?", one.plain),
            _ => format!("Expire {} silences?", number(views.len())),
        };
        let status = if error.is_some() { StatusCode::FORBIDDEN } else { StatusCode::OK };
        let path = if single {
            format!("silences/{}/expire", escaped(ids.first().unwrap_or(&"")))
        } else {
            "silences/expire".to_owned()
        };
        let page_ = ExpirePage {
            shell: self.shell(scene, ask, Tab::Silences, title.clone()),
            effect: what_comes_back(scene, &chosen),
            ids: chosen.iter().map(|(silence, _)| silence.id.as_str().to_owned()).collect(),
            silences: views,
            action: ask.to(&path).done(),
            keep: if single {
                ask.to(&format!("silences/{}", escaped(ids.first().unwrap_or(&"")))).done()
            } else {
                ask.to("silences").done()
            },
            title,
            error,
        };
        page(status, &page_)
    }

    /// Does it.
    pub(super) async fn expire(&self, ask: &Ask, ids: &[&str], single: bool, trusted: bool) -> Answer {
        let scene = self.scene().await;
        if !trusted {
            return self.expire_question(&scene, ask, ids, single, Some(super::editor::stale_form()));
        }
        let chosen = self.to_expire(ids);
        for (silence, _) in &chosen {
            match self.api.silences.expire(silence.id.as_str()).await {
                Ok(()) | Err(ExpireError::NotFound) => {}
                Err(ExpireError::NotDurable(error)) => {
                    tracing::error!(component = "ui", err = %error, "The end of a silence could not be made durable");
                    self.stage.clear();
                    let words = format!(
                        "<b>Not kept.</b> {}. The end is in effect on this node; a restart may undo it.",
                        Shown(&error.to_string())
                    );
                    return self.expire_question(&scene, ask, ids, single, Some(Html(words)));
                }
            }
        }
        self.stage.clear();
        match &*chosen {
            [(silence, _)] => {
                let to = ask.to(&format!("silences/{}", escaped(silence.id.as_str()))).with("done", "expired");
                see_other(&to.with("until", &silence.ends_at.timestamp().to_string()).done())
            }
            _ => see_other(&ask.to("silences").with("expired", &chosen.len().to_string()).done()),
        }
    }
}

/// What is told again, and to whom.
fn what_comes_back(scene: &Scene, chosen: &Chosen) -> Html {
    let ends = |seen: &&Seen| {
        // Another silence, or something else, may keep it quiet.
        !seen.silenced_by.is_empty()
            && seen.silenced_by.iter().all(|id| chosen.iter().any(|(silence, _)| silence.id == *id))
            && seen.inhibited_by.is_none()
            && seen.is_awake
    };
    let back: Vec<&Seen> = scene.alerts.iter().filter(ends).collect();
    if back.is_empty() {
        return Html("Nobody is told anything because of it: no alert is quiet by it alone.".to_owned());
    }
    let critical = back.iter().filter(|seen| seen.severity.rank() == 0).count();
    let groups: BTreeSet<usize> = back.iter().map(|seen| seen.group).collect();
    let groups: Vec<_> = groups.into_iter().filter_map(|at| scene.groups.get(at)).collect();
    let receivers: BTreeSet<&str> = groups.iter().map(|group| &*group.look.receiver.name).collect();
    let longest = groups.iter().map(|group| group.look.route.group_interval).max().unwrap_or_default();
    let names: Vec<String> = receivers.iter().take(5).map(|name| format!("<b>{}</b>", Shown(name))).collect();
    let worst = if critical == 0 { String::new() } else { format!(", {critical} of them critical") };
    Html(format!(
        "{} told again within {}{worst}, to {}{}.",
        count(back.len(), "alert is", "alerts are"),
        super::when::length(crate::clock::delta(longest)),
        names.join(", "),
        if receivers.len() > 5 { format!(" and {} more", receivers.len() - 5) } else { String::new() }
    ))
}
