//! A real Chromium, driven by its own driver over the WebDriver protocol: as much of it as a person's tasks need.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use crate::support::wait_for;

const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
const LIMIT: Duration = Duration::from_secs(20);
/// The accessibility checker takes its time on a busy machine.
const CALL_LIMIT: Duration = Duration::from_secs(240);

/// The driver's process.
pub struct Driver {
    child: Child,
    address: String,
}

/// How a page is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    pub width: u32,
    pub dark: bool,
    pub script: bool,
}

/// A browser with one window, closed when dropped.
pub struct Window<'d> {
    driver: &'d Driver,
    session: String,
    pub look: Look,
}

/// An element of the page.
#[derive(Clone)]
pub struct Element(String);

impl Element {
    /// For scripts.
    pub fn argument(&self) -> Value {
        json!({ELEMENT: self.0})
    }
}

impl Driver {
    /// `None`, and a message, where Chromium or its driver is not installed.
    pub fn start() -> Option<Driver> {
        let found = |name: &str| {
            let folders = std::env::var_os("PATH").unwrap_or_default();
            std::env::split_paths(&folders).map(|folder| folder.join(name)).find(|path| path.exists())
        };
        let (Some(driver), Some(_)) = (found("chromedriver"), found("chromium")) else {
            eprintln!("skipped: chromium and chromedriver are not installed (Debian: chromium, chromium-driver)");
            return None;
        };
        let mut child =
            Command::new(driver).arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let said = lines.find_map(|line| line.split("successfully on port ").nth(1).map(str::to_owned));
        let port =
            said.and_then(|rest| rest.trim_end_matches('.').parse::<u16>().ok()).expect("the driver says its port");
        // It goes on talking.
        std::thread::spawn(move || lines.for_each(drop));
        Some(Driver { child, address: format!("127.0.0.1:{port}") })
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> Result<Value, Value> {
        let body = (method == "POST").then(|| body.to_string());
        let (status, body) = exchange(&self.address, method, path, &body.unwrap_or_default()).unwrap();
        let value: Value = serde_json::from_slice(&body).unwrap();
        if status == 200 { Ok(value["value"].clone()) } else { Err(value["value"].clone()) }
    }

    pub fn open(&self, look: Look) -> Window<'_> {
        let height = if look.width < 720 { 760 } else { 900 };
        let mut options = json!({
            "binary": "/usr/bin/chromium",
            "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage",
                     "--lang=en", format!("--window-size={},{height}", look.width)],
            "prefs": {},
        });
        if look.width < 720 {
            // A desktop window has a least width.
            options["mobileEmulation"] =
                json!({"deviceMetrics": {"width": look.width, "height": height, "pixelRatio": 1.0, "touch": true}});
        }
        if !look.script {
            options["prefs"]["profile.managed_default_content_settings.javascript"] = json!(2);
        }
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}, "unhandledPromptBehavior": "ignore"}}});
        let made = self.call("POST", "/session", &wanted).unwrap();
        let window = Window { driver: self, session: made["sessionId"].as_str().unwrap().to_owned(), look };
        window.call("POST", "/timeouts", &json!({"script": 200_000, "pageLoad": 60_000}));
        let scheme = if look.dark { "dark" } else { "light" };
        window.devtools(
            "Emulation.setEmulatedMedia",
            &json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]}),
        );
        window
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Window<'_> {
    fn drop(&mut self) {
        let _ = self.driver.call("DELETE", &format!("/session/{}", self.session), &Value::Null);
    }
}

impl Window<'_> {
    fn try_call(&self, method: &str, path: &str, body: &Value) -> Result<Value, Value> {
        self.driver.call(method, &format!("/session/{}{path}", self.session), body)
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        self.try_call(method, path, body).unwrap_or_else(|error| panic!("{method} {path} {body}: {}", error["message"]))
    }

    fn devtools(&self, command: &str, params: &Value) {
        self.call("POST", "/goog/cdp/execute", &json!({"cmd": command, "params": params}));
    }

    /// The reader's clock is there.
    pub fn set_zone(&self, zone: &str) {
        self.devtools("Emulation.setTimezoneOverride", &json!({"timezoneId": zone}));
    }

    pub fn go(&self, url: &str) {
        self.call("POST", "/url", &json!({"url": url}));
    }

    pub fn back(&self) {
        self.call("POST", "/back", &json!({}));
    }

    pub fn url(&self) -> String {
        self.call("GET", "/url", &Value::Null).as_str().unwrap().to_owned()
    }

    pub fn source(&self) -> String {
        self.call("GET", "/source", &Value::Null).as_str().unwrap().to_owned()
    }

    pub fn all(&self, css: &str) -> Vec<Element> {
        let found = self.call("POST", "/elements", &json!({"using": "css selector", "value": css}));
        found.as_array().unwrap().iter().map(|element| Element(element[ELEMENT].as_str().unwrap().to_owned())).collect()
    }

    /// The first element that fits and can be seen; waited for.
    pub fn see(&self, css: &str) -> Element {
        wait_for(&format!("{css} on {}", self.url()), LIMIT, || {
            self.all(css).into_iter().find(|element| self.is_shown(element))
        })
    }

    /// The first element that fits and has this text in it; waited for.
    pub fn see_text(&self, css: &str, text: &str) -> Element {
        wait_for(&format!("{css} with {text:?} on {}", self.url()), LIMIT, || {
            self.all(css).into_iter().find(|element| self.text(element).contains(text) && self.is_shown(element))
        })
    }

    pub fn is_shown(&self, element: &Element) -> bool {
        self.try_call("GET", &format!("/element/{}/displayed", element.0), &Value::Null) == Ok(Value::Bool(true))
    }

    pub fn text(&self, element: &Element) -> String {
        let text = self.try_call("GET", &format!("/element/{}/text", element.0), &Value::Null);
        text.ok().and_then(|text| text.as_str().map(str::to_owned)).unwrap_or_default()
    }

    pub fn value(&self, element: &Element) -> String {
        let value = self.call("GET", &format!("/element/{}/property/value", element.0), &Value::Null);
        value.as_str().unwrap_or_default().to_owned()
    }

    /// As a person clicks: scrolled to the middle, where nothing that sticks covers it. Without script the driver cannot
    /// click (it waits for an answer that never comes), so there the keyboard does it.
    pub fn click(&self, element: &Element) {
        if !self.look.script {
            let name = self.call("GET", &format!("/element/{}/name", element.0), &Value::Null);
            let key = if name == "input" { " " } else { "\u{e007}" };
            self.call("POST", &format!("/element/{}/value", element.0), &json!({"text": key}));
            return;
        }
        self.run("arguments[0].scrollIntoView({block: 'center'})", &[element.argument()]);
        self.call("POST", &format!("/element/{}/click", element.0), &json!({}));
    }

    pub fn click_on(&self, css: &str) {
        let element = self.see(css);
        self.click(&element);
    }

    pub fn type_into(&self, css: &str, text: &str) {
        let element = self.see(css);
        self.call("POST", &format!("/element/{}/value", element.0), &json!({"text": text}));
    }

    pub fn clear(&self, css: &str) {
        let element = self.see(css);
        self.call("POST", &format!("/element/{}/clear", element.0), &json!({}));
    }

    /// Keys for the page, whatever has the focus.
    pub fn press(&self, keys: &str) {
        let actions: Vec<Value> = keys
            .chars()
            .flat_map(|key| {
                [
                    json!({"type": "keyDown", "value": key.to_string()}),
                    json!({"type": "keyUp", "value": key.to_string()}),
                ]
            })
            .collect();
        self.call("POST", "/actions", &json!({"actions": [{"type": "key", "id": "keys", "actions": actions}]}));
    }

    pub fn run(&self, script: &str, arguments: &[Value]) -> Value {
        self.call("POST", "/execute/sync", &json!({"script": script, "args": arguments}))
    }

    fn run_later(&self, script: &str) -> Value {
        self.call("POST", "/execute/async", &json!({"script": script, "args": []}))
    }

    /// What the browser complained of since the last time.
    pub fn complaints(&self) -> Vec<String> {
        let log = self.call("POST", "/se/log", &json!({"type": "browser"}));
        let lines =
            log.as_array().unwrap().iter().filter(|line| matches!(line["level"].as_str(), Some("SEVERE" | "WARNING")));
        lines.map(|line| line["message"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// No dialog is open: nothing that was a label has run.
    pub fn has_no_dialog(&self) -> bool {
        self.try_call("GET", "/alert/text", &Value::Null).is_err()
    }

    /// Writes what is seen into the folder of `CARILLON_SHOTS`, the whole page at once.
    pub fn shoot(&self, name: &str) {
        let Some(folder) = std::env::var_os("CARILLON_SHOTS").map(PathBuf::from) else { return };
        std::fs::create_dir_all(&folder).unwrap();
        let shot = self.call(
            "POST",
            "/goog/cdp/execute",
            &json!({"cmd": "Page.captureScreenshot", "params": {"captureBeyondViewport": false}}),
        );
        let bytes = BASE64_STANDARD.decode(shot["data"].as_str().unwrap()).unwrap();
        std::fs::write(folder.join(self.file_name(name)), bytes).unwrap();
    }

    fn file_name(&self, name: &str) -> String {
        let mut file = format!("{name}-{}", self.look.width);
        if self.look.dark {
            file.push_str("-dark");
        }
        if !self.look.script {
            file.push_str("-noscript");
        }
        file + ".png"
    }

    /// How far the page is wider than the window.
    pub fn overflow(&self) -> i64 {
        self.run("return document.documentElement.scrollWidth - document.documentElement.clientWidth", &[])
            .as_i64()
            .unwrap()
    }

    /// What the accessibility checker finds, in lines.
    pub fn violations(&self, checker: &str) -> Vec<String> {
        self.run(checker, &[]);
        let found = self.run_later(
            "const done = arguments[0]; axe.run(document, {resultTypes: ['violations'], runOnly: ['wcag2a','wcag2aa','wcag21a','wcag21aa','wcag22aa','best-practice']})\
             .then(r => done(r.violations.map(v => v.id + ': ' + v.nodes.slice(0, 3).map(n => n.target.join(' ') + ' ' + n.html.slice(0, 120)).join(' | '))))",
        );
        found.as_array().unwrap().iter().map(|line| line.as_str().unwrap().to_owned()).collect()
    }
}

/// One request. The driver keeps connections open whatever it is asked, so the length tells where the answer ends.
fn exchange(address: &str, method: &str, path: &str, body: &str) -> std::io::Result<(u16, Vec<u8>)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(CALL_LIMIT))?;
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all((head + body).as_bytes())?;
    let mut reader = BufReader::new(stream);
    let (mut status, mut length, mut line) = (0, 0, String::new());
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let lower = line.trim().to_ascii_lowercase();
        if lower.is_empty() {
            break;
        }
        if let Some(rest) = lower.strip_prefix("http/1.1 ") {
            status = rest.split(' ').next().and_then(|code| code.parse().ok()).unwrap_or(0);
        } else if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut answer = vec![0; length];
    reader.read_exact(&mut answer)?;
    Ok((status, answer))
}

/// The accessibility checker: axe-core's script, from the file that `CARILLON_AXE` names, or by npm into a folder that
/// is thrown away. `None`, and a message, where neither works.
pub fn checker() -> Option<String> {
    if let Some(path) = std::env::var_os("CARILLON_AXE") {
        return Some(std::fs::read_to_string(Path::new(&path)).unwrap());
    }
    let dir = tempfile::tempdir().unwrap();
    let installed = Command::new("npm")
        .args(["install", "--silent", "--no-save", "--prefix"])
        .arg(dir.path())
        .arg("axe-core@4")
        .status();
    let file = dir.path().join("node_modules/axe-core/axe.min.js");
    let text =
        installed.ok().filter(std::process::ExitStatus::success).and_then(|_| std::fs::read_to_string(file).ok());
    if text.is_none() {
        eprintln!("skipped: the accessibility check; set CARILLON_AXE to axe-core's axe.min.js, or have npm");
    }
    text
}
