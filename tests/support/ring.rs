//! Nodes of a cluster as processes: started, killed, paused, restarted, on loopback ports of their own.

use std::{
    collections::BTreeSet,
    fs::File,
    io,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Mutex,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{http, pass, wait_for};

/// Of one node: what it is told, and the process, while there is one.
pub struct Node {
    pub name: String,
    /// Web address, as its clients call it.
    pub web: String,
    /// Holds the configuration (`alertmanager.yml`), the state (`data`) and the log (`log`).
    pub dir: PathBuf,
    /// Program and arguments.
    command: Vec<String>,
    child: Mutex<Option<Child>>,
}

impl Node {
    /// `command` is the whole command line; nothing is started yet.
    pub fn new(name: &str, web: &str, dir: &Path, command: Vec<String>) -> Node {
        Node { name: name.to_owned(), web: web.to_owned(), dir: dir.to_owned(), command, child: Mutex::new(None) }
    }

    pub fn start(&self) {
        let log = File::options().create(true).append(true).open(self.dir.join("log")).unwrap();
        let child = Command::new(&self.command[0])
            .args(&self.command[1..])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        *self.child.lock().unwrap() = Some(child);
    }

    pub fn pid(&self) -> Option<u32> {
        self.child.lock().unwrap().as_ref().map(Child::id)
    }

    pub fn signal(&self, name: &str) {
        if let Some(pid) = self.pid() {
            let status = Command::new("kill").args([format!("-{name}"), pid.to_string()]).status().unwrap();
            assert!(status.success());
        }
    }

    /// SIGKILL.
    pub fn kill(&self) {
        if let Some(mut child) = self.child.lock().unwrap().take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// SIGTERM; the exit status.
    pub fn stop(&self) -> Option<i32> {
        self.signal("TERM");
        let mut child = self.child.lock().unwrap().take()?;
        wait_for("the node ends", Duration::from_secs(20), || child.try_wait().unwrap()).code()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    pub fn request(&self, method: &str, path: &str, body: Option<&Value>) -> io::Result<http::Answer> {
        let body = body.map(Value::to_string);
        http::request_within(Duration::from_secs(5), &self.web, method, path, body.as_deref())
    }

    pub fn get(&self, path: &str) -> Option<Value> {
        let answer = self.request("GET", path, None).ok().filter(|answer| answer.status == 200)?;
        serde_json::from_slice(&answer.body).ok()
    }

    /// Whether it took the alerts.
    pub fn post_alerts(&self, alerts: &Value) -> bool {
        self.request("POST", "/api/v2/alerts", Some(alerts)).is_ok_and(|answer| answer.status == 200)
    }

    /// The id of the silence, if it was acknowledged.
    pub fn post_silence(&self, silence: &Value) -> Option<String> {
        let answer = self.request("POST", "/api/v2/silences", Some(silence)).ok().filter(|a| a.status == 200)?;
        let body: Value = serde_json::from_slice(&answer.body).ok()?;
        Some(body["silenceID"].as_str()?.to_owned())
    }

    pub fn silences(&self) -> Option<BTreeSet<String>> {
        let silences = self.get("/api/v2/silences")?;
        Some(silences.as_array()?.iter().filter_map(|s| s["id"].as_str()).map(str::to_owned).collect())
    }

    pub fn metrics(&self) -> Option<String> {
        self.request("GET", "/metrics", None).ok().filter(|answer| answer.status == 200).map(|answer| answer.text())
    }

    /// Value of the first sample whose line starts with `series`.
    pub fn metric(&self, series: &str) -> Option<f64> {
        let text = self.metrics()?;
        text.lines().find(|line| line.starts_with(series))?.rsplit(' ').next()?.parse().ok()
    }

    /// Ready, and sees so many members.
    pub fn sees(&self, members: usize) -> bool {
        self.get("/api/v2/status").is_some_and(|status| {
            let cluster = &status["cluster"];
            cluster["status"] == "ready" && cluster["peers"].as_array().is_some_and(|peers| peers.len() == members)
        })
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // A paused process dies of it too.
        self.kill();
    }
}

/// A cluster on loopback.
pub struct Ring {
    pub nodes: Vec<Node>,
    _dir: tempfile::TempDir,
}

impl Ring {
    /// `count` nodes with the configuration `config`, not started; `flags` go to each.
    pub fn new(count: usize, config: &str, flags: &[&str]) -> Ring {
        let dir = tempfile::tempdir().unwrap();
        let ports = free_ports(2 * count);
        let (web, mesh) = ports.split_at(count);
        let nodes = (0..count)
            .map(|i| {
                let home = dir.path().join(format!("n{i}"));
                let mut command = command(&home, &format!("n{i}"), &format!("127.0.0.1:{}", web[i]));
                command.push(format!("--cluster.listen-address=127.0.0.1:{}", mesh[i]));
                command.extend(mesh.iter().map(|port| format!("--cluster.peer=127.0.0.1:{port}")));
                command.extend(flags.iter().map(|flag| (*flag).to_owned()));
                prepare(&home, config);
                Node::new(&format!("n{i}"), &format!("127.0.0.1:{}", web[i]), &home, command)
            })
            .collect();
        Ring { nodes, _dir: dir }
    }

    pub fn start(&self) {
        self.nodes.iter().for_each(Node::start);
        self.wait_formed();
    }

    pub fn wait_formed(&self) {
        wait_formed(&self.nodes);
    }
}

/// Waits until all of `nodes` see all.
pub fn wait_formed(nodes: &[Node]) {
    let end = Instant::now() + Duration::from_secs(60);
    while !nodes.iter().all(|node| node.sees(nodes.len())) {
        if Instant::now() > end {
            for node in nodes {
                let cluster = node.get("/api/v2/status").map(|status| status["cluster"].clone());
                eprintln!("--- {}: {cluster:?}\n{}", node.name, node.log());
            }
            panic!("the nodes do not see each other");
        }
        pass(Duration::from_millis(30));
    }
}

/// The beginning of a node's command line: program, files, name, web address, advertised as its name.
pub fn command(home: &Path, name: &str, web: &str) -> Vec<String> {
    vec![
        env!("CARGO_BIN_EXE_carillon").to_owned(),
        format!("--config.file={}", home.join("alertmanager.yml").display()),
        format!("--storage.path={}", home.join("data").display()),
        format!("--web.listen-address={web}"),
        format!("--web.external-url=http://{name}"),
        format!("--cluster.peer-name={name}"),
    ]
}

/// Makes a node's directory.
pub fn prepare(home: &Path, config: &str) {
    std::fs::create_dir_all(home).unwrap();
    std::fs::write(home.join("alertmanager.yml"), config).unwrap();
}

/// Ports that nobody listens on at the moment, for TCP and so, most likely, for UDP.
pub fn free_ports(count: usize) -> Vec<u16> {
    let held: Vec<TcpListener> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    held.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
}
