//! `carillon demo`: three nodes on this machine, a receiver that prints what it hears, and a node that is killed and
//! comes back. The nodes are processes of their own, started from this very program, so that a kill is one.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::{sleep, timeout},
};

use crate::clock::Clock;

const NODES: usize = 3;
const CONFIGURATION: &str = "route:
  receiver: printer
  group_by: [alertname]
  group_wait: 3s
  group_interval: 5s
receivers:
  - name: printer
    webhook_configs:
      - url: http://127.0.0.1:PORT/
        send_resolved: true
";
/// How long anything of the demonstration may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the nodes get to end.
const GOODBYE_TENTHS: u32 = 80;
const BODY_BYTES_MAX: u64 = 1 << 20;

/// Why the demonstration cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error("{what}: {source}")]
    Io { what: String, source: io::Error },
    #[error("the nodes have not become one cluster; their logs are in {0}")]
    NotFormed(String),
    #[error("no notification came; the logs of the nodes are in {0}")]
    Silent(String),
}

fn failed(what: impl Into<String>) -> impl FnOnce(io::Error) -> DemoError {
    let what = what.into();
    move |source| DemoError::Io { what, source }
}

/// What the receiver heard.
struct Heard {
    node: String,
    status: String,
    alert: String,
}

/// Everything that runs; ends with it.
struct Stage {
    directory: PathBuf,
    web: Vec<u16>,
    cluster: Vec<u16>,
    nodes: Vec<Option<Child>>,
}

/// Runs until Ctrl-C.
///
/// # Errors
/// When this machine cannot do it.
pub async fn run() -> Result<(), DemoError> {
    let (mut heard, port) = receiver().await?;
    let mut stage = Stage::set(port).await?;
    let shown = async {
        stage.show(&mut heard).await?;
        println!("\nThe three nodes go on until Ctrl-C. Try it yourself, on any of them:");
        println!("  curl -H 'Content-Type: application/json' http://127.0.0.1:{}/api/v2/alerts \\", stage.web[0]);
        println!("    -d '[{{\"labels\":{{\"alertname\":\"Mine\"}}}}]'\n");
        while let Some(heard) = heard.recv().await {
            print(&heard);
        }
        Ok(())
    };
    let outcome = tokio::select! {
        outcome = shown => outcome,
        _ = tokio::signal::ctrl_c() => Ok(()),
    };
    println!("\nThe nodes end …");
    stage.clear(outcome.is_ok()).await;
    outcome
}

impl Stage {
    async fn set(receiver: u16) -> Result<Self, DemoError> {
        let directory = std::env::temp_dir().join(format!("carillon-demo-{}", std::process::id()));
        let at = directory.display().to_string();
        std::fs::create_dir_all(&directory).map_err(failed(at.clone()))?;
        let text = CONFIGURATION.replace("PORT", &receiver.to_string());
        std::fs::write(directory.join("demo.yml"), text).map_err(failed(at))?;
        let ports = free_ports(2 * NODES).await?;
        let (web, cluster) = ports.split_at(NODES);
        let nodes = (0..NODES).map(|_| None).collect();
        Ok(Stage { directory, web: web.to_vec(), cluster: cluster.to_vec(), nodes })
    }

    fn start(&mut self, place: usize) -> Result<(), DemoError> {
        let home = self.directory.join(format!("node-{place}"));
        std::fs::create_dir_all(&home).map_err(failed(home.display().to_string()))?;
        let program = std::env::current_exe().map_err(failed("this program"))?;
        let log =
            std::fs::File::options().create(true).append(true).open(home.join("log")).map_err(failed("the log"))?;
        let errors = log.try_clone().map_err(failed("the log"))?;
        let mut command = Command::new(program);
        command
            .arg(format!("--config.file={}", self.directory.join("demo.yml").display()))
            .arg(format!("--storage.path={}", home.join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{}", self.web[place]))
            .arg(format!("--web.external-url=http://127.0.0.1:{}", self.web[place]))
            .arg(format!("--cluster.listen-address=127.0.0.1:{}", self.cluster[place]))
            .arg(format!("--cluster.advertise-address=127.0.0.1:{}", self.cluster[place]))
            .arg(format!("--cluster.peer-name=node-{place}"))
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors);
        for other in (0..NODES).filter(|other| *other != place) {
            command.arg(format!("--cluster.peer=127.0.0.1:{}", self.cluster[other]));
        }
        self.nodes[place] = Some(command.spawn().map_err(failed("a node"))?);
        Ok(())
    }

    /// `kill -9`.
    fn kill(&mut self, place: usize) {
        if let Some(mut node) = self.nodes[place].take() {
            // It may have ended by itself.
            let _ = node.kill();
            let _ = node.wait();
        }
    }

    async fn show(&mut self, heard: &mut mpsc::Receiver<Heard>) -> Result<(), DemoError> {
        for place in 0..NODES {
            self.start(place)?;
        }
        self.formed().await?;
        println!("Three nodes are one ring:");
        for (place, port) in self.web.iter().enumerate() {
            println!("  node-{place}  http://127.0.0.1:{port}");
        }
        println!("\n1. An alert is posted to all three. It is told once:");
        self.post("Hello", false).await;
        self.listen(heard).await?;

        println!("\n2. Another one, and before it is due node-0, whose turn it would be, is killed (kill -9):");
        self.post("NodeZeroIsGone", false).await;
        sleep(Duration::from_secs(2)).await;
        self.kill(0);
        self.listen(heard).await?;

        println!("\n3. node-0 comes back. Nothing is told again; the end of both alerts is told once:");
        self.start(0)?;
        self.formed().await?;
        self.post("Hello", false).await;
        sleep(Duration::from_secs(2)).await;
        self.post("Hello", true).await;
        self.post("NodeZeroIsGone", true).await;
        self.listen(heard).await?;
        self.listen(heard).await
    }

    /// Waits until all see each other.
    async fn formed(&self) -> Result<(), DemoError> {
        let all = async {
            for port in &self.web {
                while self.members(*port).await != Some(NODES) {
                    sleep(Duration::from_millis(100)).await;
                }
            }
        };
        timeout(PATIENCE, all).await.map_err(|_| DemoError::NotFormed(self.directory.display().to_string()))
    }

    async fn members(&self, port: u16) -> Option<usize> {
        let answer = request(port, "GET", "/api/v2/status", "").await.ok()?;
        let body: Value = serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()?;
        let cluster = body.get("cluster")?;
        let is_ready = cluster.get("status")?.as_str()? == "ready";
        is_ready.then(|| cluster.get("peers").and_then(Value::as_array).map_or(0, Vec::len))
    }

    /// To every node that runs, as Prometheus does.
    async fn post(&self, name: &str, over: bool) {
        let now = Clock::system().now().to_rfc3339();
        let end = if over { format!(r#","endsAt":"{now}""#) } else { String::new() };
        let body = format!(r#"[{{"labels":{{"alertname":"{name}"}}{end}}}]"#);
        for (port, _) in self.web.iter().zip(&self.nodes).filter(|(_, node)| node.is_some()) {
            if let Err(error) = request(*port, "POST", "/api/v2/alerts", &body).await {
                println!("   (a node did not take the alert: {error})");
            }
        }
    }

    async fn listen(&self, heard: &mut mpsc::Receiver<Heard>) -> Result<(), DemoError> {
        match timeout(PATIENCE, heard.recv()).await {
            Ok(Some(heard)) => {
                print(&heard);
                Ok(())
            }
            _ => Err(DemoError::Silent(self.directory.display().to_string())),
        }
    }

    /// Ends the nodes as a service manager would, and removes what they wrote.
    async fn clear(&mut self, all_well: bool) {
        let running = self.nodes.iter().flatten();
        let _ = Command::new("kill").args(running.map(|node| node.id().to_string())).stderr(Stdio::null()).status();
        for _ in 0..GOODBYE_TENTHS {
            if self.nodes.iter_mut().flatten().all(|node| matches!(node.try_wait(), Ok(Some(_)))) {
                break;
            }
            sleep(Duration::from_millis(100)).await;
        }
        (0..NODES).for_each(|place| self.kill(place));
        if all_well {
            // What is left is in the directory for temporary files.
            let _ = std::fs::remove_dir_all(Path::new(&self.directory));
        }
    }
}

fn print(heard: &Heard) {
    println!("   {} says: {} is {}", heard.node, heard.alert, heard.status);
}

/// Ports that nobody listens on at the moment.
async fn free_ports(count: usize) -> Result<Vec<u16>, DemoError> {
    let mut held = Vec::new();
    for _ in 0..count {
        held.push(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(failed("a free port"))?);
    }
    let ports = held.iter().filter_map(|listener| listener.local_addr().ok());
    Ok(ports.map(|address| address.port()).collect())
}

/// A webhook receiver; what it heard, and its port.
async fn receiver() -> Result<(mpsc::Receiver<Heard>, u16), DemoError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(failed("the receiver"))?;
    let port = listener.local_addr().map_err(failed("the receiver"))?.port();
    let (sender, heard) = mpsc::channel(64);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let sender = sender.clone();
            tokio::spawn(async move {
                // A node that was killed meanwhile leaves half a request.
                let _ = serve(stream, sender).await;
            });
        }
    });
    Ok((heard, port))
}

async fn serve(stream: TcpStream, heard: mpsc::Sender<Heard>) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let line = line.trim().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0).min(BODY_BYTES_MAX);
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = Vec::new();
        (&mut stream).take(length).read_to_end(&mut body).await?;
        if let Some(message) = read(&body) {
            let _ = heard.send(message).await;
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await?;
    }
}

fn read(body: &[u8]) -> Option<Heard> {
    let message: Value = serde_json::from_slice(body).ok()?;
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    Some(Heard {
        node: text(message.get("externalURL"))?,
        status: text(message.get("status"))?,
        alert: text(message.pointer("/groupLabels/alertname"))?,
    })
}

/// One request on a connection of its own; the whole answer.
async fn request(port: u16, method: &str, path: &str, body: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_node_sends_is_read() {
        let body = br#"{"externalURL":"http://x","status":"firing","groupLabels":{"alertname":"a"}}"#;
        let heard = read(body).unwrap();
        assert_eq!((heard.node, heard.status, heard.alert), ("http://x".into(), "firing".into(), "a".into()));
        assert!(read(b"{}").is_none());
    }
}
