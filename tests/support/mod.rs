//! What tests of the whole program share: the server as a child process, a webhook receiver and a mail
//! server that record what they get, and a small HTTP client. All on ephemeral loopback ports.

#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::disallowed_methods, reason = "these tests run the real program in real time")]

pub mod hook;
pub mod http;
pub mod ring;
pub mod smtp;

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

/// Waits for `what` to give an answer; the state it waits for decides, not the clock.
pub fn wait_for<T>(text: &str, limit: Duration, mut what: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + limit;
    loop {
        if let Some(answer) = what() {
            return answer;
        }
        assert!(Instant::now() < end, "waited {limit:?} in vain: {text}");
        thread::park_timeout(Duration::from_millis(15));
    }
}

/// Lets `time` pass: only for "nothing more happens".
pub fn pass(time: Duration) {
    let end = Instant::now() + time;
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        thread::park_timeout(left);
    }
}

/// The program under test, killed when dropped.
pub struct Server {
    child: Child,
    /// Web address, `127.0.0.1:PORT`.
    pub address: String,
    log: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Starts the server without a cluster on `dir` (configuration in `alertmanager.yml`, state in `data`).
    pub fn start(dir: &Path, args: &[&str]) -> Server {
        Self::try_start(dir, args).unwrap_or_else(|log| panic!("the server did not start:\n{log}"))
    }

    /// Like `start`; the log if the process ended before it served.
    pub fn try_start(dir: &Path, args: &[&str]) -> Result<Server, String> {
        let mut child = Command::new(env!("CARGO_BIN_EXE_carillon"))
            .arg(format!("--config.file={}", dir.join("alertmanager.yml").display()))
            .arg(format!("--storage.path={}", dir.join("data").display()))
            .args(["--web.listen-address=127.0.0.1:0", "--cluster.listen-address=", "--log.format=json"])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let stderr = child.stderr.take().unwrap();
        let lines = Arc::clone(&log);
        let reader = thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                lines.lock().unwrap().push(line);
            }
        });
        let address = wait_for("the server listens or ends", Duration::from_secs(30), || {
            if let Some(address) = log.lock().unwrap().iter().find_map(|line| listening(line)) {
                return Some(Ok(address));
            }
            child.try_wait().unwrap().map(|_| Err(()))
        });
        match address {
            Ok(address) => Ok(Server { child, address, log }),
            Err(()) => {
                reader.join().unwrap();
                Err(log.lock().unwrap().join("\n"))
            }
        }
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, now.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM; the exit status.
    pub fn stop(mut self) -> Option<i32> {
        self.signal("TERM");
        wait_for("the server ends", Duration::from_secs(20), || self.child.try_wait().unwrap()).code()
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    pub fn get(&self, path: &str) -> Value {
        let answer = http::request(&self.address, "GET", path, None).unwrap();
        assert_eq!(answer.status, 200, "GET {path}: {}", answer.text());
        serde_json::from_slice(&answer.body).unwrap()
    }

    pub fn text(&self, path: &str) -> String {
        http::request(&self.address, "GET", path, None).unwrap().text()
    }

    /// POST of JSON; the answer's status and body.
    pub fn post(&self, path: &str, body: &Value) -> std::io::Result<(u16, String)> {
        let answer = http::request(&self.address, "POST", path, Some(&body.to_string()))?;
        Ok((answer.status, answer.text()))
    }

    pub fn post_alerts(&self, alerts: &Value) {
        let (status, text) = self.post("/api/v2/alerts", alerts).unwrap();
        assert_eq!(status, 200, "{text}");
    }

    /// Value of the first sample whose line starts with `series`.
    pub fn metric(&self, series: &str) -> Option<f64> {
        let text = self.text("/metrics");
        let line = text.lines().find(|line| line.starts_with(series))?;
        line.rsplit(' ').next()?.parse().ok()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The address in the line that says where the server listens.
fn listening(line: &str) -> Option<String> {
    let line: Value = serde_json::from_str(line).ok()?;
    (line["msg"] == "Listening on").then(|| line["address"].as_str().unwrap_or_default().to_owned())
}

/// A directory with this configuration in it.
pub fn dir_with(config: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("alertmanager.yml"), config).unwrap();
    dir
}

/// A program of the reference, from the folder that the environment names; `None` (and a message) without.
pub fn peer(program: &str) -> Option<PathBuf> {
    let found =
        std::env::var_os("CARILLON_PEER_DIR").map(|dir| PathBuf::from(dir).join(program)).filter(|path| path.exists());
    if found.is_none() {
        eprintln!("skipped: set CARILLON_PEER_DIR to a folder that holds `{program}`");
    }
    found
}
