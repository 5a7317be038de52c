//! What people do on the pages, each as one would do it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    driver::Window,
    support::{Server, wait_for},
};

/// A value that tries everything.
pub const EVIL: &str = "\"><script>alert(document.domain)</script><img src=x onerror=alert(2)>\u{202e}txt.exe";

const ENTER: &str = "\u{e007}";
const DOWN: &str = "\u{e015}";
const BACKSPACE: &str = "\u{e003}";

/// Somebody in front of a window.
pub struct Desk<'w> {
    pub window: &'w Window<'w>,
    pub base: String,
}

/// Every page, with something on it.
pub fn pages(server: &Server) -> Vec<(&'static str, String)> {
    let alerts = server.get("/api/v2/alerts");
    let of = |name: &str| {
        let found = alerts.as_array().unwrap().iter().find(|alert| alert["labels"]["alertname"] == name).unwrap();
        found["fingerprint"].as_str().unwrap().to_owned()
    };
    let make = |name: &str, comment: &str| {
        let silence = json!({"matchers": [{"name": "alertname", "value": name, "isRegex": false}], "createdBy": "jonas", "comment": comment,
            "startsAt": "2024-01-01T00:00:00Z", "endsAt": "2090-01-01T00:00:00Z"});
        let (status, body) = server.post("/api/v2/silences", &silence).unwrap();
        assert_eq!(status, 200, "{body}");
        serde_json::from_str::<Value>(&body).unwrap()["silenceID"].as_str().unwrap().to_owned()
    };
    let silence = make("Alert03", "swap PSU, https://tracker.example.net/INFRA-4471");
    make("NoSuch", EVIL);
    vec![
        ("alerts", "/alerts".to_owned()),
        ("alerts-flat", "/alerts?view=flat".to_owned()),
        ("alerts-custom", "/alerts?view=custom&group=team".to_owned()),
        ("alerts-nothing", "/alerts?filter=team%3D%22wbe%22".to_owned()),
        ("alerts-mistake", "/alerts?filter=team%3D~%22(%22".to_owned()),
        ("alerts-silenced", "/alerts?state=silenced&state=inhibited".to_owned()),
        ("silences", "/silences".to_owned()),
        ("silences-none", "/silences?state=pending".to_owned()),
        ("silence", format!("/silences/{silence}")),
        ("silence-new", format!("/silences/new?from={}", of("HostDown"))),
        ("silence-evil", format!("/silences/new?from={}", of(EVIL))),
        ("silence-edit", format!("/silences/{silence}/edit")),
        ("silence-expire", format!("/silences/{silence}/expire")),
        ("why", "/why".to_owned()),
        ("why-told", format!("/why/{}", of("PostgresDown"))),
        ("why-quiet", format!("/why/{}", of("InstanceUnreachable"))),
        ("why-failing", format!("/why/{}", of("QueueNotDraining"))),
        ("why-evil", format!("/why/{}", of(EVIL))),
        ("cluster", "/cluster".to_owned()),
        ("routes", "/routes?labels=team%3Dpayments+severity%3Dcritical".to_owned()),
        ("status", "/status".to_owned()),
        ("help", "/help".to_owned()),
        ("missing", "/silences/none".to_owned()),
    ]
}

impl Desk<'_> {
    fn go(&self, path: &str) {
        self.window.go(&format!("{}{path}", self.base));
    }

    fn number(&self, css: &str) -> usize {
        self.window.all(css).len()
    }

    fn wait_for_url(&self, part: &str) {
        wait_for(&format!("the address has {part}"), std::time::Duration::from_secs(15), || {
            self.window.url().contains(part).then_some(())
        });
    }

    fn is_phone(&self) -> bool {
        self.window.look.width < 720
    }

    pub fn reads_and_filters(&self) {
        let w = self.window;
        self.go("/");
        w.see_text("h1", "firing");
        // Worst first, in the reader's zone.
        let first = w.see(".g h2");
        assert!(["PostgresDown", "HostDown"].iter().any(|name| w.text(&first).contains(name)), "{}", w.text(&first));
        wait_for("the page knows the reader's zone", std::time::Duration::from_secs(15), || {
            w.source().contains("Europe/Berlin").then_some(())
        });
        w.shoot("alerts");
        // A row is opened in place: annotations, labels, source.
        let row = w.see_text(".a summary", "hv-1407");
        w.click(&row);
        w.see_text(".a-body", "not a web link, shown as text");
        assert!(w.all(".a-body a[href^='javascript']").is_empty() && w.all(".a-body a[href^='data']").is_empty());
        w.shoot("alerts-open");
        // A closed group brings its rows when it is opened.
        let closed = w.all("details[data-piece] > summary");
        w.click(&closed[0]);
        w.see("#quiet ~ .gs .a, .g details[open]:not([data-piece]) .a");
        // Quiet ones are told apart by word, and say what keeps them quiet.
        w.see_text("#quiet + .gs .meta", "inhibited");
        w.see_text("#quiet + .gs .meta", "muted by time");
        // A label narrows, typing suggests, a chip goes.
        w.type_into("#q", "team=\"w");
        w.see_text("#sugg li", "team=\"web\"");
        w.shoot("suggestions");
        w.type_into("#q", DOWN);
        w.type_into("#q", ENTER);
        self.wait_for_url("filter=team");
        w.see_text("h1", "20 firing");
        let label = w.see_text(".g h2 ", "Alert");
        assert!(w.text(&label).contains("Alert"));
        w.type_into("#q", "host-3.");
        w.type_into("#q", ENTER);
        w.see_text("h1", "1 firing");
        w.type_into("#q", BACKSPACE);
        wait_for("the chip is text again", std::time::Duration::from_secs(15), || {
            let field = w.all("#q");
            field.first().filter(|field| w.value(field) == "host-3.").map(|_| ())
        });
        w.back();
        w.see_text("h1", "1 firing");
        // A matcher that cannot be read is told before it is sent.
        self.go("/alerts");
        w.type_into("#q", "instance=~\"db-[3\"");
        w.see_text("#qerr", "Cannot be read yet");
        w.type_into("#q", ENTER);
        assert!(!w.url().contains("filter"), "{}", w.url());
        w.shoot("matcher-mistake");
        // The table.
        self.go("/alerts");
        let flat = w.see_text(".seg a", "Flat");
        w.click(&flat);
        w.see(".flat tbody tr");
        assert_eq!(self.number(".flat tbody tr"), 50);
        w.shoot("flat");
        w.click_on("a[rel=next]");
        self.wait_for_url("after=");
        w.see(".flat tbody tr");
    }

    pub fn follows_old_bookmarks(&self) {
        let w = self.window;
        for (old, new, seen) in [
            (
                "/#/alerts?silenced=false&inhibited=false&muted=false&active=true&filter=%7Bteam%3D%22web%22%2C%20severity%3D~%22w.*%22%7D",
                "/alerts?filter=team",
                "20 firing",
            ),
            ("/#/alerts?receiver=oncall-db", "receiver=oncall-db", "1 firing"),
            ("/#/silences", "/silences", "Silences"),
            (
                "/#/silences/new?filter=%7Balertname%3D%22HostDown%22%7D&comment=maintenance",
                "/silences/new?filter=alertname",
                "New silence",
            ),
            ("/#/status", "/status", "Status"),
            ("/#/settings", "/status", "Status"),
        ] {
            w.go("about:blank");
            self.go(old);
            self.wait_for_url(new);
            w.see_text("h1", seen);
        }
    }

    pub fn silences_what_is_chosen(&self) {
        let w = self.window;
        self.go("/alerts?filter=alertname%3D%22HostDown%22");
        w.see_text("h1", "2 firing");
        if self.is_phone() {
            // There are no ticks on a phone: one alert at a time.
            let row = w.see_text(".a summary", "hv-1407");
            w.click(&row);
            let silence = w.see_text(".a-body .btn", "Silence");
            w.click(&silence);
            w.see_text("#pn", "Quiets 1 alert now");
        } else {
            for tick in w.all(".a .pick input") {
                w.click(&tick);
            }
            w.see_text("#nsel", "2 selected");
            w.shoot("selected");
            let silence = w.see_text(".selbar .btn", "Silence them");
            w.click(&silence);
            w.see_text("#pn", "Quiets 2 alerts now");
        }
        w.see_text("h1", "New silence");
        // The preview follows each key.
        let lines = w.all("#rows .mrow").len();
        assert!(lines >= 3, "{lines}");
        for tick in w.all(".mrow input[name=on]").into_iter().skip(1) {
            let checked = w.run("return arguments[0].checked", &[tick.argument()]);
            if checked == true {
                w.click(&tick);
            }
        }
        w.see_text("#pn", "Quiets 2 alerts now");
        w.click_on(".mrow summary");
        w.clear(".mrow [name=v]");
        w.type_into(".mrow [name=v]", "NoSuchAlert");
        w.see_text("#pn", "Quiets nothing now");
        w.clear(".mrow [name=v]");
        w.type_into(".mrow [name=v]", "HostDown");
        w.see_text("#pn", "Quiets 2 alerts now");
        w.clear("#cm");
        w.type_into("#cm", "swap PSU, https://tracker.example.net/INFRA-4471");
        w.clear("#au");
        w.type_into("#au", "mira");
        w.shoot("editor");
        w.click_on(".sendbar .btn.go");
        w.see_text(".note.d", "Silence created; quiets 2 alerts");
        w.see_text(".cm a", "tracker.example.net");
        w.shoot("silence-made");
        self.go("/alerts");
        w.see_text("#quiet + .gs .meta", "2 silenced");
        w.see_text("#quiet + .gs .told", "swap PSU");
    }

    pub fn silences_a_group_in_two_clicks(&self) {
        let w = self.window;
        self.go("/alerts?filter=alertname%3D%22PostgresDown%22");
        w.click_on(".g-acts a[href*='silences/new']");
        w.see_text("#pn", "Quiets 1 alert now");
        // Author and comment are remembered by this browser.
        let author = w.see("#au");
        assert_eq!(w.value(&author), "mira");
        w.click_on(".sendbar .btn.go");
        w.see_text(".note.d", "Silence created; quiets 1 alert");
        let undo = w.see_text(".note.d button", "Undo");
        w.click(&undo);
        w.see_text(".note.d", "Silence expired");
    }

    pub fn silences_by_filter(&self, filter: &str, comment: &str) {
        let w = self.window;
        self.go("/alerts");
        w.type_into("#q", filter);
        w.type_into("#q", ENTER);
        w.click_on("a.these");
        w.see_text("h1", "New silence");
        w.clear("#cm");
        w.type_into("#cm", comment);
        w.clear("#au");
        w.type_into("#au", "mira");
        let hour = w.see_text(".durs label", "8 h");
        w.click(&hour);
        w.click_on(".sendbar .btn.go");
        w.see_text(".note.d", "Silence created");
    }

    pub fn edits_extends_and_expires(&self) {
        let w = self.window;
        self.go("/silences");
        w.see_text(".sil", "swap PSU");
        w.shoot("silences");
        let extend = w.see_text(".sil .btn", "Extend");
        w.click(&extend);
        w.see_text("h1", "Edit silence");
        w.see_text("#endsay", "in 4 h");
        w.click_on(".sendbar .btn.go");
        w.see_text(".note.d", "Silence changed");
        // A silence of everything is asked for once more.
        self.go("/silences/new?filter=alertname%3D~%22.%2B%22&comment=x");
        w.see_text("#preview", "This fits every alert");
        w.clear("#au");
        w.type_into("#au", "mira");
        w.click_on(".sendbar .btn.go");
        w.see_text("#errors", "This quiets everything");
        w.shoot("editor-everything");
        // One that ends in the past is refused.
        self.go("/silences/new?filter=alertname%3DHostDown&comment=x");
        w.run("const e = document.querySelector('#ea'); e.value = '2020-01-01T00:00'; e.dispatchEvent(new Event('input', {bubbles: true}))", &[]);
        w.see_text("#endsay", "Ends in the past");
        // Expire names what comes back.
        self.go("/silences");
        let expire = w.see_text(".sil .btn", "Expire");
        w.click(&expire);
        w.see_text("main", "2 alerts are told again within 10 s, 2 of them critical");
        w.shoot("expire");
        let sure = w.see_text("button.stop", "Expire");
        w.click(&sure);
        w.see_text(".note.d", "Silence expired");
        let undo = w.see_text(".note.d button", "Undo");
        w.click(&undo);
        w.see_text(".note.d", "Silence created; quiets 2 alerts");
        // Recreate from the list of expired ones.
        self.go("/silences?state=expired");
        let again = w.see_text(".sil .btn", "Recreate");
        w.click(&again);
        w.see_text("h1", "Silence again");
    }

    pub fn expires_several(&self) {
        let w = self.window;
        for name in ["Alert01", "Alert02"] {
            self.silences_by_filter(&format!("alertname=\"{name}\""), "many");
        }
        self.go("/silences?filter=many");
        w.see_text(".sil", "many");
        if self.is_phone() {
            return;
        }
        let ticks = w.all(".sil .pick input");
        assert_eq!(ticks.len(), 2);
        ticks.iter().for_each(|tick| w.click(tick));
        let button = w.see_text(".selbar .btn", "Expire them");
        w.click(&button);
        w.see_text("h1", "Expire 2 silences?");
        let sure = w.see_text("button.stop", "Expire");
        w.click(&sure);
        w.see_text(".note.d", "2 silences expired.");
    }

    pub fn asks_why(&self) {
        let w = self.window;
        self.go("/alerts?filter=alertname%3D%22PostgresDown%22");
        let row = w.see(".a summary");
        w.click(&row);
        let why = w.see_text(".a-body .btn", "Why");
        w.click(&why);
        w.see_text("h1", "Told at");
        w.see_text(".steps", "oncall-db");
        w.see_text(".ev", "took it");
        w.shoot("why-told");
        self.go("/alerts?filter=alertname%3D%22QueueNotDraining%22");
        w.click_on(".a summary, .g summary");
        let why = self.window.all("a[href*='why/']");
        let href = w.run("return arguments[0].href", &[why[0].argument()]);
        w.go(href.as_str().unwrap());
        w.see_text("h1", "Not told: broken has not taken it");
        w.shoot("why-failing");
        self.go("/why");
        w.see_text(".ev", "took it");
        w.type_into("#q", "InstanceUnreachable");
        w.type_into("#q", ENTER);
        let alert = w.see_text(".lnk a", "InstanceUnreachable");
        w.click(&alert);
        w.see_text("h1", "inhibited by");
        w.see_text(".steps .stop", "HostDown");
        w.shoot("why-quiet");
    }

    pub fn looks_at_routes(&self) {
        let w = self.window;
        self.go("/routes");
        w.type_into("#labels", "team=payments severity=critical");
        w.type_into("#labels", ENTER);
        w.see_text(".rt.on .hit", "ends here: oncall-db is told");
        w.see_text(".rt", "active only");
        w.see_text(".week", "mutes 1 route");
        w.shoot("routes");
        w.run("document.querySelector('#intervals').scrollIntoView()", &[]);
        w.shoot("routes-intervals");
    }

    pub fn looks_at_cluster_and_status(&self) {
        let w = self.window;
        self.go("/cluster");
        w.see_text("h1", "One node, clustering is off.");
        w.shoot("cluster-alone");
        self.go("/status");
        w.see_text(".tbl-cards", "failing");
        w.see_text("dl", "Carillon");
        w.see_text(".cfg", "group_wait: 1s");
        assert!(w.source().contains("&lt;secret&gt;"));
        w.shoot("status");
    }

    pub fn sees_news_without_losing_the_place(&self, server: &Server, news: &Value) {
        let w = self.window;
        self.go("/alerts");
        w.see_text("h1", "firing");
        let before = self.number(".g");
        server.post_alerts(&Value::from(vec![news.clone()]));
        w.see_text(".pill", "1 new group");
        assert_eq!(self.number(".g"), before, "nothing moved");
        w.shoot("news");
        w.click_on(".pill");
        w.see_text(".g h2", "BrandNew");
    }

    pub fn works_with_keys_alone(&self) {
        let w = self.window;
        self.go("/alerts?filter=alertname%3D%22Alert05%22");
        w.see_text("h1", "firing");
        w.press("jj");
        w.press("x");
        w.see_text("#nsel", "1 selected");
        w.press("s");
        w.see_text("#pn", "Quiets 1 alert now");
        self.go("/alerts");
        w.press("gs");
        w.see_text("h1", "Silences");
        w.press("gt");
        w.see_text("h1", "Status");
        w.press("?");
        w.see_text("h1", "Keyboard");
        self.go("/alerts");
        w.press("/");
        w.press("disk");
        wait_for("the field has the text", std::time::Duration::from_secs(5), || {
            (w.value(&w.see("#q")) == "disk").then_some(())
        });
    }

    pub fn reads_silences_and_expires_without_script(&self) {
        let w = self.window;
        self.go("/alerts");
        w.see_text("h1", "firing");
        w.shoot("alerts");
        w.type_into("#q", "alertname=\"HostDown\"");
        w.click_on(".opts button");
        w.see_text("h1", "2 firing");
        // Opening a row is the browser's own.
        let row = w.see_text(".a summary", "hv-1407");
        w.click(&row);
        w.see_text(".a-body", "Labels, click to filter");
        // What is ticked is silenced.
        w.click_on(".a .pick input");
        w.click_on("#alert-list .page .btn");
        w.see_text("h1", "New silence");
        w.see_text("#pn", "Quiets 1 alert now");
        let instance = w.see("input[name=on][value='2']");
        w.click(&instance);
        w.type_into("#cm", "by hand");
        w.type_into("#au", "kofi");
        let preview = w.see_text(".sendbar .btn", "Preview");
        w.click(&preview);
        w.see_text("#pn", "alert");
        let comment = w.see("#cm");
        assert_eq!(w.value(&comment), "by hand");
        w.shoot("editor");
        w.click_on(".sendbar .btn.go");
        w.see_text(".note.d", "Silence created");
        self.go("/silences");
        let expire = w.see_text(".sil .btn", "Expire");
        w.click(&expire);
        let sure = w.see_text("button.stop", "Expire");
        w.click(&sure);
        w.see_text(".note.d", "Silence expired");
        self.go("/routes?labels=team%3Dpayments");
        w.see_text(".rt.on .hit", "ends here");
        self.go("/why");
        w.see_text("h1", "Why");
    }

    pub fn sees_all_nodes(&self, count: usize) {
        let w = self.window;
        self.go("/cluster");
        w.see_text("h1", &format!("{count} of {count} nodes are alive."));
        assert_eq!(self.number(".node"), count);
        w.see_text(".node", "first in the order");
        // The page says what was known when it was asked for, and just after the start that is little.
        wait_for("the nodes answer each other", Duration::from_secs(20), || {
            self.go("/cluster");
            let texts = |css: &str| w.all(css).iter().map(|cell| w.text(cell)).collect::<Vec<_>>();
            // Each node's own word, by UDP and by TCP, of each of the others.
            let reach = texts(".matrix td .tag");
            let is_square = self.number(".matrix tbody tr") == count && self.number(".matrix td") == count * count;
            (is_square
                && texts(".matrix td.self").len() == count
                && reach.len() == 2 * count * (count - 1)
                && reach.iter().all(|text| text.ends_with(" answers")))
            .then_some(())
        });
        w.see_text(".card", "Every node reaches every other, by UDP and by TCP.");
        w.see_text(".order", "n0");
        w.shoot("cluster-three");
    }

    pub fn asks_why_on_three_nodes(&self) {
        let w = self.window;
        self.go("/why?filter=alertname%3D%22PostgresDown%22");
        let alert = w.see_text(".lnk a", "PostgresDown");
        w.click(&alert);
        w.see_text("h1", "Told at");
        w.see_text(".ev", "took it");
        w.see_text(".steps", "The order is");
        w.shoot("why-three");
    }

    pub fn sees_one_missing(&self) {
        let w = self.window;
        self.go("/cluster");
        w.see_text("h1", "2 of 3 nodes are alive. Notifications go on.");
        w.see_text(".node.bad", "out of sight");
        // Two rows with a word of their own, and one without.
        assert_eq!(self.number(".matrix tbody tr"), 3);
        w.see_text(".matrix .mute", "no answer: it is out of sight");
        w.shoot("cluster-one-missing");
        self.go("/alerts");
        w.see_text(".health.bad", "2 of 3 nodes");
    }
}
