//! Help: the keys, and how to switch them off.

use std::sync::Arc;

use askama::Template;
use http::StatusCode;

use super::{
    Ui,
    ask::Ask,
    html, page,
    scene::Scene,
    shell::{Shell, Tab},
};
use crate::api::Answer;

#[derive(Template)]
#[template(path = "help.html")]
struct HelpPage {
    shell: Shell,
}

impl Ui {
    pub(super) fn help_page(&self, scene: &Arc<Scene>, ask: &Ask) -> Answer {
        page(StatusCode::OK, &HelpPage { shell: self.shell(scene, ask, Tab::None, "Keyboard") })
    }
}
