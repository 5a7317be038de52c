//! Alerts: what is broken now, who has been told, what is quiet and why.
//!
//! Grouped as they are routed, or by labels of the reader's choice, or as one table. The server filters, counts, sorts
//! and sends 50 groups (or rows); numbers are exact, whatever is shown. What is quiet is folded at the foot of the page
//! and never left out silently.

use std::{collections::HashMap, sync::Arc};

use askama::Template;
use http::StatusCode;

use super::{
    Ui,
    ask::Ask,
    html::{self, Html, Icon, Shown, count, cut_link, number, shown_text, tinted},
    marks::SEVERITY_FILTERS,
    narrow, page,
    rows::{GroupView, Members, RowView, Title, Writing},
    scene::{Quiet, Scene},
    shell::{Shell, Tab},
    wish::{Place, Sort, View, Wish, page_of},
};
use crate::{
    alert::{Fingerprint, Labels},
    api::Answer,
};

/// Groups of a page, and rows of the table.
const PAGE: usize = 50;
/// Rows that are opened from the start.
const OPEN_ROWS: usize = 50;
/// Quiet groups at the foot.
const QUIET_GROUPS: usize = 20;

/// What stands above the list.
pub struct Sum {
    pub title: String,
    /// Link, icon, number, word.
    pub severities: Vec<(String, Html, String, &'static str)>,
    pub quiet: Vec<(String, Html, String, &'static str)>,
    pub quiet_total: usize,
}

/// The filter bar.
pub struct Bar {
    /// The text, and the list without it.
    pub chips: Vec<(String, String)>,
    pub receivers: Vec<String>,
    pub receiver: String,
    /// Kept when the form is sent.
    pub kept: Vec<(&'static str, String)>,
    pub views: Vec<(&'static str, String, bool)>,
    pub silence: Option<String>,
    /// Where suggestions come from.
    pub suggest: String,
    pub custom: Option<String>,
}

#[derive(Template)]
#[template(path = "alerts.html")]
struct AlertsPage {
    shell: Shell,
    sum: Sum,
    bar: Bar,
    notes: Vec<Html>,
    verdict: Option<Html>,
    groups: Vec<GroupView>,
    quiet: Vec<GroupView>,
    quiet_more: Option<(String, String)>,
    flat: Option<FlatView>,
    foot: String,
    next: Option<String>,
    first: Option<String>,
    live: String,
    may_write: bool,
}

/// The table.
pub struct FlatView {
    pub rows: Vec<FlatRow>,
    pub by_name: (String, bool),
    pub by_since: (String, bool),
}

pub struct FlatRow {
    pub row: RowView,
    pub name: Html,
    pub number: usize,
    pub fate: Html,
    pub more: usize,
}

#[derive(Template)]
#[template(path = "group_rows.html")]
struct RowsPiece {
    rows: Vec<RowView>,
    more: Option<(String, String)>,
}

impl Ui {
    pub(super) fn alerts_page(&self, scene: &Arc<Scene>, ask: &Ask) -> Answer {
        let wish = Wish::read(ask, self.api.mode);
        let custom = (wish.view == View::Custom).then(|| regrouped(scene, &wish.group_by));
        let shown = custom.as_ref().unwrap_or(scene);
        let writing = Writing { api: &self.api, ask, wish: &wish, scene: shown, nodes: self.node_names() };
        let mut notes = narrow::mistakes(&wish);
        let counted = Counted::of(shown, &wish);
        let mut page_ = AlertsPage {
            sum: counted.sum(ask, &wish),
            bar: self.bar(ask, &wish),
            shell: self.shell(scene, ask, Tab::Alerts, format!("{} firing", number(counted.loud()))),
            verdict: None,
            groups: Vec::new(),
            quiet: Vec::new(),
            quiet_more: None,
            flat: None,
            foot: String::new(),
            next: None,
            first: wish.after.is_some().then(|| wish.here(ask).done()),
            live: wish.piece(ask, "ui/live").done(),
            may_write: ask.may_write(),
            notes: Vec::new(),
        };
        if wish.view == View::Flat {
            fill_table(&mut page_, &writing);
        } else {
            fill_groups(&mut page_, &writing, &counted, &mut notes);
        }
        if counted.shown == 0 {
            match narrow::nothing(&self.api, &writing) {
                narrow::Nothing::Verdict(html) => page_.verdict = Some(html),
                narrow::Nothing::Note(html) => notes.push(html),
            }
        } else if counted.loud() == 0 && wish.filter.is_empty() && wish.view != View::Flat {
            page_.verdict = Some(narrow::all_quiet(&writing, counted.quiet.iter().sum()));
        }
        page_.notes = notes;
        page(StatusCode::OK, &page_)
    }

    /// The rows of one group, for the script.
    pub(super) fn group_rows(&self, scene: &Arc<Scene>, ask: &Ask) -> Answer {
        let wish = Wish::read(ask, self.api.mode);
        let custom = (wish.view == View::Custom).then(|| regrouped(scene, &wish.group_by));
        let shown = custom.as_ref().unwrap_or(scene);
        let writing = Writing { api: &self.api, ask, wish: &wish, scene: shown, nodes: Vec::new() };
        let id = ask.query.text("g").and_then(|id| u64::from_str_radix(id, 16).ok()).map(Fingerprint);
        let members = id.and_then(|id| shown.group(id)).and_then(|group| Members::of(&wish, shown, group));
        match members {
            Some(members) => {
                let view = writing.group(members, true);
                page(StatusCode::OK, &RowsPiece { rows: view.rows, more: view.more })
            }
            None => super::plain(StatusCode::NOT_FOUND, "The group is gone."),
        }
    }

    fn bar(&self, ask: &Ask, wish: &Wish) -> Bar {
        let receiver = wish.filter.receiver.as_ref().map(|(text, _)| text.clone()).unwrap_or_default();
        let config = self.api.config.load().config.clone();
        let mut receivers: Vec<String> = config.receivers.iter().map(|receiver| (*receiver.name).to_owned()).collect();
        receivers.sort();
        // Links in notifications have names, which as regular expressions mean other names too.
        if !receiver.is_empty() && !receivers.contains(&receiver) {
            receivers.insert(0, receiver.clone());
        }
        let chips = wish.filter.items.iter().enumerate();
        let chips = chips.map(|(index, (text, _))| (shown_text(text), wish.without_filter(ask, index))).collect();
        let mut kept: Vec<(&'static str, String)> =
            wish.filter.items.iter().map(|(text, _)| ("filter", text.clone())).collect();
        kept.extend(wish.filter.states.iter().map(|state| ("state", state.id().to_owned())));
        match wish.view {
            View::Groups => {}
            View::Flat => kept.push(("view", "flat".into())),
            View::Custom => kept.extend([("view", "custom".to_owned())]),
        }
        match wish.sort {
            Sort::Severity => {}
            Sort::Since => kept.push(("sort", "since".into())),
            Sort::Name => kept.push(("sort", "name".into())),
        }
        let views = [("Groups", View::Groups), ("Flat", View::Flat), ("Custom", View::Custom)];
        let silence = (ask.may_write() && wish.filter.matchers().next().is_some()).then(|| {
            let matchers = wish.filter.matchers();
            matchers.fold(ask.to("silences/new"), |to, matcher| to.with("filter", &matcher.to_string())).done()
        });
        Bar {
            chips,
            receivers,
            receiver,
            kept,
            views: views.into_iter().map(|(word, view)| (word, wish.in_view(ask, view), wish.view == view)).collect(),
            silence,
            suggest: wish.piece(ask, "ui/suggest").done(),
            custom: (wish.view == View::Custom).then(|| wish.group_by.join(",")),
        }
    }
}

/// What there is under a filter, whatever is shown of it.
pub struct Counted {
    by_severity: [usize; 4],
    /// Silenced, inhibited, muted by time; each alert once.
    quiet: [usize; 3],
    /// Under the wanted states.
    pub shown: usize,
}

impl Counted {
    pub fn of(scene: &Scene, wish: &Wish) -> Self {
        let mut counted = Counted { by_severity: [0; 4], quiet: [0; 3], shown: 0 };
        let receiver_fits: Vec<bool> = scene.groups.iter().map(|group| wish.filter.fits_group(group)).collect();
        let mut by_receiver = vec![false; scene.alerts.len()];
        if wish.filter.receiver.is_some() {
            for (group, _) in scene.groups.iter().zip(&receiver_fits).filter(|(_, fits)| **fits) {
                group.members.iter().for_each(|at| by_receiver[*at] = true);
            }
        }
        for (at, seen) in scene.alerts.iter().enumerate() {
            if (wish.filter.receiver.is_some() && !by_receiver[at]) || !wish.filter.fits(seen) {
                continue;
            }
            counted.shown += usize::from(wish.filter.wants(seen, !seen.is_awake));
            match seen.quiet() {
                Quiet::No => counted.by_severity[usize::from(seen.severity.rank())] += 1,
                Quiet::Silenced => counted.quiet[0] += 1,
                Quiet::Inhibited => counted.quiet[1] += 1,
                Quiet::Muted => counted.quiet[2] += 1,
            }
        }
        counted
    }

    pub fn loud(&self) -> usize {
        self.by_severity.iter().sum()
    }

    pub fn sum(&self, ask: &Ask, wish: &Wish) -> Sum {
        let marks =
            [tinted("crit", "f crit"), tinted("warn", "f warn"), tinted("info", "f info"), tinted("none", "dim")];
        let words = ["critical", "warning", "info", "other"];
        let severities =
            self.by_severity.iter().zip(marks).zip(words).zip(SEVERITY_FILTERS).filter(|(((n, _), _), _)| **n > 0);
        let severities = severities
            .map(|(((n, mark), word), filter)| (wish.with_filter(ask, filter), Html::of(mark), number(*n), word))
            .collect();
        let states = [Quiet::Silenced, Quiet::Inhibited, Quiet::Muted];
        let quiet = self.quiet.iter().zip(states).filter(|(n, _)| **n > 0);
        let quiet = quiet
            .map(|(n, state)| {
                (wish.in_states(ask, &[state]), Html::of(Icon(state.id(), "quiet")), number(*n), state.word())
            })
            .collect();
        let title = match *wish.filter.states {
            [] | [Quiet::No] => format!("{} firing", number(self.loud())),
            [state] => format!("{} {}", number(self.shown), state.word()),
            _ => count(self.shown, "alert", "alerts"),
        };
        Sum { title, severities, quiet, quiet_total: self.quiet.iter().sum() }
    }
}

/// The groups of a page.
pub struct Listed<'s> {
    pub loud: Placed<'s>,
    pub quiet: Placed<'s>,
    /// Of all pages.
    loud_total: usize,
    quiet_total: usize,
    has_more: bool,
}

/// Those of the page that is asked for, and on the first page the quiet ones.
pub fn page_groups<'s>(writing: &Writing<'s>) -> Listed<'s> {
    let wish = writing.wish;
    let (mut loud, mut quiet) = chosen(wish, writing.scene);
    let (loud_total, quiet_total) = (loud.len(), quiet.len());
    let has_more = page_of(&mut loud, wish.after.as_ref(), PAGE);
    page_of(&mut quiet, None, if wish.after.is_some() { 0 } else { QUIET_GROUPS });
    Listed { loud, quiet, loud_total, quiet_total, has_more }
}

/// The groups of a page, and the quiet ones at its foot.
fn fill_groups(page: &mut AlertsPage, writing: &Writing<'_>, counted: &Counted, notes: &mut Vec<Html>) {
    let (wish, ask) = (writing.wish, writing.ask);
    let listed = page_groups(writing);
    let total = listed.loud_total;
    if listed.has_more && wish.after.is_none() {
        notes.push(narrow::too_many(writing, counted.loud(), total, listed.loud.len()));
    }
    let last = listed.loud.last().filter(|_| listed.has_more);
    page.next = last.map(|(place, _)| wish.here(ask).with("after", &place.text()).done());
    let shown = listed.loud.len();
    let mut room = OPEN_ROWS;
    for (_, members) in listed.loud {
        let wanted = wish.open.contains(&members.group.id);
        let open = wanted || members.seen.len() <= room || (room == OPEN_ROWS && total == 1);
        // Once one does not fit, only what was asked for is opened: the rest would jump about.
        room = if open { room.saturating_sub(members.seen.len()) } else { 0 };
        page.groups.push(writing.group(members, open));
    }
    page.quiet_more = (!listed.quiet.is_empty() && listed.quiet_total > listed.quiet.len()).then(|| {
        let states = [Quiet::Silenced, Quiet::Inhibited, Quiet::Muted];
        let words = format!("{} more quiet groups", number(listed.quiet_total - listed.quiet.len()));
        (wish.in_states(ask, &states), words)
    });
    for (_, members) in listed.quiet {
        let open = wish.open.contains(&members.group.id);
        page.quiet.push(writing.group(members, open));
    }
    let order = match wish.sort {
        Sort::Severity => "most severe first, then newest",
        Sort::Since => "newest first",
        Sort::Name => "by name",
    };
    page.foot = format!("{} of {}, {order}.", number(shown), count(total, "group", "groups"));
}

pub type Placed<'s> = Vec<(Place, Members<'s>)>;

/// All groups that are wanted: those with loud alerts, and the others. With states asked for, all are in the first.
pub fn chosen<'s>(wish: &'s Wish, scene: &'s Scene) -> (Placed<'s>, Placed<'s>) {
    let (mut loud, mut quiet) = (Vec::new(), Vec::new());
    for group in &scene.groups {
        let Some(members) = Members::of(wish, scene, group) else { continue };
        let name = group.name().unwrap_or_default();
        let place = Place::new(wish.sort, members.worst.rank(), members.newest, name, group.id);
        let list = if members.loud > 0 || !wish.filter.states.is_empty() { &mut loud } else { &mut quiet };
        list.push((place, members));
    }
    (loud, quiet)
}

/// The rows of a page of the table: indices of alerts.
pub struct ListedRows {
    pub items: Vec<(Place, usize)>,
    total: usize,
    has_more: bool,
}

/// Those of the page that is asked for.
pub fn page_rows(writing: &Writing<'_>) -> ListedRows {
    let (wish, scene) = (writing.wish, writing.scene);
    let fits: Vec<bool> = scene.groups.iter().map(|group| wish.filter.fits_group(group)).collect();
    let is_wanted = |index: usize| fits.get(index) == Some(&true);
    let mut taken = vec![false; scene.alerts.len()];
    let mut items: Vec<(Place, usize)> = Vec::new();
    for (_, group) in scene.groups.iter().enumerate().filter(|(index, _)| is_wanted(*index)) {
        for at in &group.members {
            // An alert of several groups is one row.
            let (Some(seen), Some(taken)) = (scene.alerts.get(*at), taken.get_mut(*at)) else { continue };
            if *taken || !wish.filter.fits(seen) || !wish.filter.wants(seen, !seen.is_awake) {
                continue;
            }
            *taken = true;
            let quiet = seen.quiet() != Quiet::No && wish.filter.states.is_empty();
            let rank = seen.severity.rank() + if quiet { 10 } else { 0 };
            let since = seen.starts_at.timestamp_millis();
            items.push((Place::new(wish.sort, rank, since, seen.name(), seen.entry.fingerprint()), *at));
        }
    }
    let total = items.len();
    let has_more = page_of(&mut items, wish.after.as_ref(), PAGE);
    ListedRows { items, total, has_more }
}

fn fill_table(page: &mut AlertsPage, writing: &Writing<'_>) {
    let (wish, scene, ask) = (writing.wish, writing.scene, writing.ask);
    let ListedRows { items, total, has_more } = page_rows(writing);
    page.next = items.last().filter(|_| has_more).map(|(place, _)| wish.here(ask).with("after", &place.text()).done());
    page.foot = format!("{} of {}.", number(items.len()), count(total, "alert", "alerts"));
    let rows: Vec<_> = items.iter().filter_map(|(_, at)| scene.alerts.get(*at)).collect();
    let title = Title::without(&["alertname", "severity"]);
    let mut fates: HashMap<usize, Html> = HashMap::new();
    let mut view = FlatView {
        rows: Vec::new(),
        by_name: (wish.sorted(ask, Sort::Name), wish.sort == Sort::Name),
        by_since: (wish.sorted(ask, Sort::Since), wish.sort == Sort::Since),
    };
    for (index, seen) in rows.iter().enumerate() {
        let Some(group) = scene.groups.get(seen.group) else { continue };
        let mut row = writing.row(seen, group, seen.quiet(), &title);
        let rare =
            |name: &str, value: &str| rows.iter().filter(|other| other.labels().get(name) == Some(value)).count();
        let mut pairs: Vec<(usize, &str, &str)> = seen
            .labels()
            .iter()
            .filter(|(name, _)| !matches!(*name, "alertname" | "severity"))
            .map(|(name, value)| (rare(name, value), name, value))
            .collect();
        // Those that set the alert apart first.
        pairs.sort_unstable();
        let more = pairs.len().saturating_sub(4);
        row.labels = pairs
            .iter()
            .take(4)
            .map(|(_, name, value)| cut_link(name, value, &wish.with_label(ask, name, value)))
            .collect();
        let fate = match row.by_linked.clone() {
            Some(by) => Html(format!("<span class=\"quiet\">{by}</span>")),
            None => fates.entry(seen.group).or_insert_with(|| writing.short_fate(group)).clone(),
        };
        let name = Html(format!("<bdi>{}</bdi>", Shown(if seen.name().is_empty() { "no name" } else { seen.name() })));
        view.rows.push(FlatRow { row, name, number: index + 1, fate, more });
    }
    page.flat = Some(view);
}

/// The same alerts in groups of the reader's choice.
pub fn regrouped(scene: &Arc<Scene>, by: &[String]) -> Arc<Scene> {
    Arc::new(scene.regrouped(|labels: &Labels| labels.restricted(|name| by.iter().any(|by| by == name))))
}

impl FlatView {
    fn aria(sorted: &bool, word: &'static str) -> &'static str {
        if *sorted { word } else { "none" }
    }
}
