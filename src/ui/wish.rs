//! Which alerts a reader wants to see, and in which form: the address of the list, read and written.

use std::cmp::Ordering;

use super::{
    ask::{Address, Ask},
    filter::Filter,
    html::matcher_text,
    scene::Quiet,
};
use crate::alert::{
    Fingerprint,
    matcher::{MatchOp, ParseMode},
};

/// How the list is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// As routed.
    Groups,
    /// One table.
    Flat,
    /// Grouped by labels of the reader's choice.
    Custom,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    Severity,
    Since,
    Name,
}

/// See the module.
#[derive(Debug)]
pub struct Wish {
    pub filter: Filter,
    pub view: View,
    pub sort: Sort,
    /// Label names of [`View::Custom`]; none: no grouping.
    pub group_by: Vec<String>,
    /// Groups to be opened.
    pub open: Vec<Fingerprint>,
    pub after: Option<Place>,
}

/// Where something stands in a sorted list; the last one of a page is where the next begins.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    rank: u8,
    /// Newest first.
    age: i64,
    name: String,
    id: u64,
}

impl Place {
    /// `since` in milliseconds.
    pub fn new(sort: Sort, rank: u8, since: i64, name: &str, id: Fingerprint) -> Self {
        let (rank, age, name) = match sort {
            Sort::Severity => (rank, -since, String::new()),
            Sort::Since => (0, -since, String::new()),
            Sort::Name => (0, 0, name.to_owned()),
        };
        Place { rank, age, name, id: id.0 }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(4, '.');
        let mut next = || parts.next();
        let (rank, age, id) = (next()?.parse().ok()?, next()?.parse().ok()?, u64::from_str_radix(next()?, 16).ok()?);
        Some(Place { rank, age, id, name: next()?.to_owned() })
    }

    pub fn text(&self) -> String {
        format!("{}.{}.{:x}.{}", self.rank, self.age, self.id, self.name)
    }
}

/// The first `count` of `items` that come after `after`, in order, and whether there are more.
pub fn page_of<T>(items: &mut Vec<(Place, T)>, after: Option<&Place>, count: usize) -> bool {
    if let Some(after) = after {
        items.retain(|(place, _)| place > after);
    }
    let order = |a: &(Place, T), b: &(Place, T)| -> Ordering { a.0.cmp(&b.0) };
    let more = items.len() > count;
    if more {
        items.select_nth_unstable_by(count, order);
        items.truncate(count);
    }
    items.sort_unstable_by(order);
    more
}

impl Wish {
    pub fn read(ask: &Ask, mode: ParseMode) -> Self {
        let query = &ask.query;
        let filter = Filter::parse(query.all("filter"), query.text("receiver"), query.all("state"), mode);
        let view = match query.text("view") {
            Some("flat") => View::Flat,
            Some("custom") => View::Custom,
            _ => View::Groups,
        };
        let sort = match query.text("sort") {
            Some("since") => Sort::Since,
            Some("name") => Sort::Name,
            _ => Sort::Severity,
        };
        // As in the old interface: none given is `alertname`, an empty one is no grouping.
        let names = query.last("group").unwrap_or("alertname").split(',').map(str::trim);
        Wish {
            filter,
            view,
            sort,
            group_by: names.filter(|name| !name.is_empty()).map(str::to_owned).collect(),
            open: query.all("open").filter_map(|id| u64::from_str_radix(id, 16).ok()).map(Fingerprint).collect(),
            after: query.text("after").and_then(Place::parse),
        }
    }

    /// The list with these filters and states in place of its own; the first page.
    fn address(&self, ask: &Ask, path: &str, filters: &[&str], states: &[Quiet]) -> Address {
        let mut address = ask.to(path);
        for filter in filters {
            address = address.with("filter", filter);
        }
        if let Some((receiver, _)) = &self.filter.receiver {
            address = address.with("receiver", receiver);
        }
        for state in states {
            address = address.with("state", state.id());
        }
        match self.view {
            View::Groups => {}
            View::Flat => address = address.with("view", "flat"),
            View::Custom => address = address.with("view", "custom").with("group", &self.group_by.join(",")),
        }
        match self.sort {
            Sort::Severity => address,
            Sort::Since => address.with("sort", "since"),
            Sort::Name => address.with("sort", "name"),
        }
    }

    fn filters(&self) -> Vec<&str> {
        self.filter.items.iter().map(|(text, _)| text.as_str()).collect()
    }

    /// The first page of this list.
    pub fn here(&self, ask: &Ask) -> Address {
        self.address(ask, "alerts", &self.filters(), &self.filter.states)
    }

    /// The same wish, for a piece of the page.
    pub fn piece(&self, ask: &Ask, path: &str) -> Address {
        self.address(ask, path, &self.filters(), &self.filter.states)
    }

    /// The list narrowed by one more matcher; the reader's own name of it, if it is there already, goes.
    pub fn with_filter(&self, ask: &Ask, text: &str) -> String {
        let mut filters = self.filters();
        filters.retain(|filter| *filter != text);
        filters.push(text);
        self.address(ask, "alerts", &filters, &self.filter.states).done()
    }

    pub fn with_label(&self, ask: &Ask, name: &str, value: &str) -> String {
        self.with_filter(ask, &matcher_text(MatchOp::Equal, name, value))
    }

    /// The list without its filter number `index`.
    pub fn without_filter(&self, ask: &Ask, index: usize) -> String {
        let mut filters = self.filters();
        if index < filters.len() {
            filters.remove(index);
        }
        self.address(ask, "alerts", &filters, &self.filter.states).done()
    }

    /// The list in these states.
    pub fn in_states(&self, ask: &Ask, states: &[Quiet]) -> String {
        self.address(ask, "alerts", &self.filters(), states).done()
    }

    pub fn in_view(&self, ask: &Ask, view: View) -> String {
        Wish {
            filter: Filter::default(),
            group_by: self.group_by.clone(),
            open: vec![],
            after: None,
            view,
            sort: self.sort,
        }
        .like(self, ask)
    }

    pub fn sorted(&self, ask: &Ask, sort: Sort) -> String {
        Wish {
            filter: Filter::default(),
            group_by: self.group_by.clone(),
            open: vec![],
            after: None,
            view: self.view,
            sort,
        }
        .like(self, ask)
    }

    /// This layout with the filter of another wish.
    fn like(mut self, other: &Wish, ask: &Ask) -> String {
        self.filter.receiver = other.filter.receiver.as_ref().map(|(text, pattern)| (text.clone(), pattern.clone()));
        self.address(ask, "alerts", &other.filters(), &other.filter.states).done()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(rank: u8, since: i64, id: u64) -> Place {
        Place::new(Sort::Severity, rank, since, "", Fingerprint(id))
    }

    #[test]
    fn a_place_is_read_back() {
        for place in [place(1, 1_700_000_000_000, u64::MAX), Place::new(Sort::Name, 0, 5, "a.b.c", Fingerprint(1))] {
            assert_eq!(Place::parse(&place.text()), Some(place));
        }
        for text in ["", "x", "1.2", "1.2.zz.", "999.1.1."] {
            assert_eq!(Place::parse(text), None, "{text}");
        }
    }

    #[test]
    fn pages_follow_each_other_without_gap_or_overlap() {
        let all =
            || -> Vec<(Place, u64)> { (0..25).map(|n| (place((n % 3) as u8, 100 - (n / 3) as i64, n), n)).collect() };
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let mut items = all();
            let more = page_of(&mut items, after.as_ref(), 10);
            seen.extend(items.iter().map(|(_, n)| *n));
            after = items.last().map(|(place, _)| place.clone());
            if !more {
                break;
            }
        }
        let mut sorted = all();
        sorted.sort();
        assert_eq!(seen, sorted.iter().map(|(_, n)| *n).collect::<Vec<_>>());
    }
}
