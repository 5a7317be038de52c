//! The pages and what scripts ask for, by their paths.

use http::Method;

/// A path below the prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place<'p> {
    Alerts,
    Silences,
    NewSilence,
    /// Several at once.
    ExpireSilences,
    Silence(&'p str),
    EditSilence(&'p str),
    ExpireSilence(&'p str),
    Why,
    /// With a fingerprint.
    WhyAlert(&'p str),
    Cluster,
    Routes,
    Status,
    Help,
    Style,
    Script,
    /// What follows a text that is being typed.
    Suggest,
    /// What the silence that is being written would quiet.
    Preview,
    /// The rows of one group.
    Group,
    /// What has changed on a list of alerts.
    Live,
}

impl<'p> Place<'p> {
    /// `path` as in the request, without the prefix.
    #[must_use]
    pub fn of(path: &'p str) -> Option<Self> {
        Some(match path {
            "/" | "/alerts" => Place::Alerts,
            "/silences" => Place::Silences,
            "/silences/new" => Place::NewSilence,
            "/silences/expire" => Place::ExpireSilences,
            "/why" => Place::Why,
            "/cluster" => Place::Cluster,
            "/routes" => Place::Routes,
            "/status" => Place::Status,
            "/help" => Place::Help,
            "/ui/style.css" => Place::Style,
            "/ui/script.js" => Place::Script,
            "/ui/suggest" => Place::Suggest,
            "/ui/preview" => Place::Preview,
            "/ui/group" => Place::Group,
            "/ui/live" => Place::Live,
            _ => return Self::named(path),
        })
    }

    fn named(path: &'p str) -> Option<Self> {
        if let Some(fingerprint) = path.strip_prefix("/why/") {
            return is_segment(fingerprint).then_some(Place::WhyAlert(fingerprint));
        }
        let rest = path.strip_prefix("/silences/")?;
        let (id, act) = rest.split_once('/').map_or((rest, None), |(id, act)| (id, Some(act)));
        match act {
            _ if !is_segment(id) => None,
            None => Some(Place::Silence(id)),
            Some("edit") => Some(Place::EditSilence(id)),
            Some("expire") => Some(Place::ExpireSilence(id)),
            Some(_) => None,
        }
    }

    /// Label `handler` of the request metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Place::Alerts => "/alerts",
            Place::Silences => "/silences",
            Place::NewSilence => "/silences/new",
            Place::ExpireSilences => "/silences/expire",
            Place::Silence(_) => "/silences/:id",
            Place::EditSilence(_) => "/silences/:id/edit",
            Place::ExpireSilence(_) => "/silences/:id/expire",
            Place::Why => "/why",
            Place::WhyAlert(_) => "/why/:fingerprint",
            Place::Cluster => "/cluster",
            Place::Routes => "/routes",
            Place::Status => "/status",
            Place::Help => "/help",
            Place::Style => "/ui/style.css",
            Place::Script => "/ui/script.js",
            Place::Suggest => "/ui/suggest",
            Place::Preview => "/ui/preview",
            Place::Group => "/ui/group",
            Place::Live => "/ui/live",
        }
    }

    /// HEAD comes with GET.
    #[must_use]
    pub fn methods(self) -> &'static [Method] {
        match self {
            Place::NewSilence | Place::EditSilence(_) | Place::ExpireSilence(_) | Place::ExpireSilences => {
                &[Method::GET, Method::HEAD, Method::POST]
            }
            _ => &[Method::GET, Method::HEAD],
        }
    }

    /// The way up to the start page.
    #[must_use]
    pub fn root(self) -> &'static str {
        match self {
            Place::EditSilence(_) | Place::ExpireSilence(_) => "../../",
            Place::NewSilence
            | Place::ExpireSilences
            | Place::Silence(_)
            | Place::WhyAlert(_)
            | Place::Style
            | Place::Script => "../",
            // Pieces are put into pages: their links start where the page's do.
            _ => "./",
        }
    }
}

fn is_segment(text: &str) -> bool {
    !text.is_empty() && !text.contains('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_mean_pages() {
        for (path, place) in [
            ("/", Some(Place::Alerts)),
            ("/silences/new", Some(Place::NewSilence)),
            ("/silences/x", Some(Place::Silence("x"))),
            ("/silences/x/edit", Some(Place::EditSilence("x"))),
            ("/silences/x/y", None),
            ("/silences/", None),
            ("/silences//edit", None),
            ("/why/ab", Some(Place::WhyAlert("ab"))),
            ("/ui/", None),
            ("/Alerts", None),
        ] {
            assert_eq!(Place::of(path), place, "{path}");
        }
    }
}
